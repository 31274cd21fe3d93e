//! The docker room on real engines: the machine's, and some of the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test says what is wrong by panicking"
)]

mod back;
mod bad_days;
mod connect;
#[path = "../support/engines.rs"]
mod engines;
mod inside;
mod killed;
mod lease;
#[path = "../support/nginx.rs"]
mod program;
mod project;
mod see;
#[path = "../deploy/site.rs"]
#[allow(dead_code, reason = "the deployments of processes use all of it")]
mod site;
mod support;
mod three;
#[path = "../deploy/world.rs"]
#[allow(dead_code, reason = "the deployments of processes use all of it")]
mod world;

use std::io::Write as _;

use world::Said;

/// Keeps what was said for people to read.
fn words(title: &str, said: Said) -> Said {
    if let Some(path) = std::env::var_os("TOWPATH_TEST_WORDS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("## {title}\n\n```\n{said}\n```\n\n").as_bytes()).unwrap();
    }
    said
}
