//! The docker room on real engines: the machine's, and some of the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking"
)]

mod connect;
#[path = "../support/engines.rs"]
mod engines;
mod lease;
mod support;
