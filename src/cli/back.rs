//! `towpath back`: takes the deployment that is under way back, by the way that was fixed when it began.

use super::arguments::Word;
use super::failure::Failure;
use super::{Invocation, deployments, follow, session};
use crate::domain::command::Command;
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::state::{Deployment, RollbackVerdict, State};
use crate::print::deployment::way_back_text;
use crate::store::layout::Layout;
use crate::wire::client::Client;

pub(super) async fn back(
    invocation: &mut Invocation,
    environment: &EnvironmentName,
    confirm: String,
    reason: String,
    detach: bool,
) -> Result<u8, Failure> {
    let reason = deployments::reason(&reason)?;
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "back").await?;
    let (state, _stream) = session::attach(&client).await?;
    let (number, _) = deployments::under_way(&state, environment)?;
    let confirm = Some(confirm).filter(|confirm| !confirm.is_empty());
    let word = Word { confirm, reason: Some(reason) };
    take_back(invocation, (&layout, client), &state, number, word, detach).await
}

/// Takes a deployment back by a state that was just looked at.
pub(super) async fn take_back(
    invocation: &mut Invocation,
    (layout, client): (&Layout, Client),
    state: &State,
    number: DeploymentId,
    word: Word,
    detach: bool,
) -> Result<u8, Failure> {
    let Some(deployment) = state.deployments.get(&number) else {
        return Err(Failure::unexpected("a deployment"));
    };
    if !invocation.output.json {
        let style = invocation.output.style.clone();
        let text = format!(
            "deployment {number} of {} to {} is taken back · {}",
            deployment.release,
            deployment.environment,
            way_back_text(state, &deployment.way_back)
        );
        invocation.output.line(&style.words(&text))?;
    }
    let wants_name = deployment.way_back.target.is_some()
        && deployment.way_back.verdict != RollbackVerdict::Safe
        && has_touched(deployment);
    let (confirm, reason) = word.said(invocation, &deployment.environment, wants_name, false)?;
    let command = Command::Back { deployment: number, confirm, reason };
    let asked = follow::Asked { command, deployment: Some(number), detach };
    follow::carry_out(invocation, layout, client, asked).await
}

/// Whether anything outside may have been changed: before that no name is wanted. (The engine decides; this is only
/// about whether to ask.)
fn has_touched(deployment: &Deployment) -> bool {
    deployment.plan.steps.iter().any(|step| {
        let begun = deployment.steps.get(&step.id).is_some_and(|state| state.attempt > 0);
        begun && step.work.mutates_environment()
    })
}
