//! The runtime room on the real thing: real worker processes, real commands, a real PostgreSQL.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says what is wrong by panicking"
)]

mod attempts;
mod commands;
mod django;
mod postgres;
mod stage;
