//! The room `router` against a real nginx.

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
#[path = "../support/nginx.rs"]
mod program;
mod switches;
mod upstream;
