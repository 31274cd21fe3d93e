//! Images on real engines: built, moved from engine to engine, pushed and pulled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking"
)]

mod build;
#[path = "../support/engines.rs"]
mod engines;
mod full;
mod moves;
mod registry;
mod steps;
mod support;
