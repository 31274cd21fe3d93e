//! `towpath cancel`: stop a run.

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::command::Command;
use crate::domain::ids::RunId;

pub(super) async fn cancel(invocation: &mut Invocation, run: RunId, now: bool) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "cancel").await?;
    let rows = session::request(&client, Command::CancelRun { run, now }).await?;
    let said = match now {
        true => format!("run {run} is cancelled; its running steps are being stopped"),
        false => format!("run {run} is cancelled; it stops after the steps that are running"),
    };
    invocation.carried_out("cancelled", &rows, &said)
}
