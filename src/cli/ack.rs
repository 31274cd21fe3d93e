//! `towpath ack`: accept a check that could not do its work.

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::command::Command;
use crate::domain::ids::{RunId, StepId};

pub(super) async fn ack(
    invocation: &mut Invocation,
    run: RunId,
    step: StepId,
    reason: String,
) -> Result<u8, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::usage("The reason is empty.", "Say with --reason TEXT why it is acceptable."));
    }
    let client = session::connect(&invocation.layout()?, "ack").await?;
    let said = format!("{step} of run {run} is acknowledged");
    let rows = session::request(&client, Command::Acknowledge { run, step, reason }).await?;
    invocation.carried_out("acknowledged", &rows, &said)
}
