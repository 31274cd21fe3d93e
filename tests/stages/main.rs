//! Steps in containers, on a real engine: real worker processes, real images, a real PostgreSQL beside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking"
)]

mod candidate;
mod case;
mod console;
#[path = "../support/engines.rs"]
mod engines;
mod kept;
mod once;
mod services;
