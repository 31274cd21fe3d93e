//! `towpath` alone: the console.

use std::io::IsTerminal as _;

use super::Invocation;
use super::failure::{Failure, Sort};

pub(super) fn open(invocation: &mut Invocation) -> Result<u8, Failure> {
    if invocation.output.json {
        return Err(Failure::usage(
            "The console has no JSON.",
            "`towpath status --json` says where things are; `towpath run --json` says what happens.",
        ));
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "The console needs a terminal, and here is none.",
            "`towpath run` walks a commit through its checks without one; `towpath --help` lists the rest.",
        ));
    }
    let _layout = invocation.layout()?;
    Err(Failure::new(Sort::Unreachable, "This build has no console.", ""))
}
