//! `towpath rollback`: what was live before becomes live again; a deployment that is under way is taken back.

use super::arguments::Word;
use super::deployments::Earlier;
use super::failure::{Failure, Sort};
use super::{Invocation, back, deployments, follow, session};
use crate::domain::command::{Command, Rollback};
use crate::domain::ids::EnvironmentName;
use crate::domain::state::{DeploymentKind, RollbackVerdict};
use crate::print::preview;

pub(super) async fn rollback(
    invocation: &mut Invocation,
    environment: EnvironmentName,
    to: Option<Earlier>,
    word: Word,
    detach: bool,
) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "rollback").await?;
    let (state, _stream) = session::attach(&client).await?;
    if let Some((number, deployment)) = state.under_way(&environment) {
        if matches!(deployment.kind, DeploymentKind::Rollback { .. }) && to.is_none() && !detach {
            return follow::watch(invocation, &layout, client, number).await;
        }
        if to.is_some() {
            return Err(Failure::new(
                Sort::Refused,
                format!("Deployment {number} is under way on {environment}; where it goes back to is fixed."),
                format!(
                    "`towpath rollback {environment}` takes it back; --to names another one when it is over."
                ),
            ));
        }
        return back::take_back(invocation, (&layout, client), &state, number, word, detach).await;
    }
    let mut found = deployments::rollback(&client, &environment, None).await;
    if let Some(to) = to {
        let target = match (&found, to) {
            (_, Earlier::Deployment(number)) => number,
            (Ok(usual), to) => to.deployment(&state, usual)?,
            // There is nothing to go back to at all: the engine's own words say so.
            (Err(_), _) => return Err(found.err().unwrap_or_else(|| Failure::unexpected("a rollback"))),
        };
        found = deployments::rollback(&client, &environment, Some(target)).await;
    }
    let found = found?;
    if !invocation.output.json {
        let style = invocation.output.style.clone();
        invocation.output.lines(preview::rollback(&style, &state, &found))?;
    }
    let wants_name = found.verdict != RollbackVerdict::Safe;
    let (confirm, reason) = word.said(invocation, &environment, wants_name, false)?;
    let (from, to) = (found.from.0, Some(found.to.0));
    let command = Command::Rollback(Rollback { environment, from, to, confirm, reason });
    let asked = follow::Asked { command, deployment: None, detach };
    follow::carry_out(invocation, &layout, client, asked).await
}
