//! `towpath check`: what the working tree's `towpath.toml` means. Starts nothing, needs no engine.

use super::Invocation;
use super::failure::{Failure, Sort};

pub(super) fn check(invocation: &mut Invocation) -> Result<u8, Failure> {
    let _location = invocation.location()?;
    Err(Failure::new(Sort::Unreachable, "This build has no check.", ""))
}
