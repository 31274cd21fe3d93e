//! `towpath retry`: one step once more; the run goes on from there.

use super::failure::Failure;
use super::{Invocation, session};
use crate::domain::command::Command;
use crate::domain::ids::{RunId, StepId};

pub(super) async fn retry(invocation: &mut Invocation, run: RunId, step: StepId) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "retry").await?;
    let rows = session::request(&client, Command::RetryStep { run, step: step.clone() }).await?;
    let place = invocation.place();
    let said =
        format!("{step} of run {run} is tried again; to watch: towpath logs {run} {step} --follow{place}");
    invocation.carried_out("retried", &rows, &said)
}
