//! `towpath promote`: a release goes live in an environment, watched until that has ended or is held.

use super::arguments::Word;
use super::failure::{Failure, Sort};
use super::{Invocation, deployments, follow, session};
use crate::domain::command::{Command, Promote};
use crate::domain::gate::GateState;
use crate::domain::ids::{DeploymentId, EnvironmentName, PlanDigest, ReleaseNumber};
use crate::domain::query::PromotionPreview;
use crate::domain::state::{DeploymentKind, State};
use crate::print::preview;
use crate::store::layout::Layout;
use crate::wire::client::Client;

pub(super) struct Wanted {
    pub(super) environment: EnvironmentName,
    pub(super) release: ReleaseNumber,
    pub(super) plan: Option<PlanDigest>,
    pub(super) detach: bool,
}

pub(super) async fn promote(invocation: &mut Invocation, wanted: Wanted, word: Word) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "promote").await?;
    let (state, _stream) = session::attach(&client).await?;
    carry_out(invocation, (&layout, client), &state, wanted, word).await
}

/// Promotes by a state that was just looked at.
pub(super) async fn carry_out(
    invocation: &mut Invocation,
    (layout, client): (&Layout, Client),
    state: &State,
    wanted: Wanted,
    word: Word,
) -> Result<u8, Failure> {
    if let Some(number) = same_under_way(state, &wanted) {
        if wanted.detach {
            let said = format!("deployment {number} does this already");
            return invocation.carried_out("deployment", &[], &said);
        }
        return follow::watch(invocation, layout, client, number).await;
    }
    let Wanted { environment, release, plan, detach } = wanted;
    let found = deployments::promotion(&client, &environment, release).await?;
    if let Some(seen) = plan {
        still_the_same(&found, &seen)?;
    }
    if !invocation.output.json {
        let style = invocation.output.style.clone();
        invocation.output.lines(preview::promotion_summary(&style, state, &found))?;
    }
    gates_hold(&found)?;
    let protected = found.protected;
    let (confirm, reason) = word.said(invocation, &environment, protected, protected)?;
    let command = Command::Promote(Promote {
        environment,
        release,
        plan: found.plan.digest,
        seen: Some(found.plan.parts),
        confirm,
        reason,
    });
    let asked = follow::Asked { command, deployment: None, detach };
    follow::carry_out(invocation, layout, client, asked).await
}

/// The deployment that does just what is asked for, begun before: asking twice watches once.
fn same_under_way(state: &State, wanted: &Wanted) -> Option<DeploymentId> {
    let (number, deployment) = state.under_way(&wanted.environment)?;
    let plan = &deployment.plan.digest;
    let is_same = deployment.release == wanted.release
        && !matches!(deployment.kind, DeploymentKind::Rollback { .. })
        && wanted.plan.as_ref().is_none_or(|seen| plan.0.starts_with(&seen.0));
    is_same.then_some(number)
}

/// A digest alone doesn't say what it stood for: what is different shows when both plans are read.
fn still_the_same(found: &PromotionPreview, seen: &PlanDigest) -> Result<(), Failure> {
    let today = &found.plan.digest;
    if today.0.starts_with(&seen.0) {
        return Ok(());
    }
    let (environment, release) = (&found.environment, found.release);
    let live = match found.from {
        Some((number, live)) => format!("{live} by deployment {number} is live there"),
        None => "nothing is live there".to_owned(),
    };
    Err(Failure::new(
        Sort::Refused,
        format!(
            "The plan {} is not what would be done any more: now that is {}. The release, what is live, the \
             environment's configuration or its steps have changed; {live}.",
            seen.short(),
            today.short()
        ),
        format!("Look at it again: towpath plan {environment} --release {}. Nothing was done.", release.0),
    ))
}

fn gates_hold(found: &PromotionPreview) -> Result<(), Failure> {
    let failing: Vec<_> = found.gates.iter().filter(|gate| gate.state == GateState::Fails).collect();
    if failing.is_empty() {
        return Ok(());
    }
    let words: Vec<&str> = failing.iter().map(|gate| gate.words.trim_end_matches('.')).collect();
    let cures: Vec<&str> =
        failing.iter().map(|gate| gate.cure.as_str()).filter(|cure| !cure.is_empty()).collect();
    Err(Failure::new(
        Sort::Refused,
        format!("{} may not go to {}: {}.", found.release, found.environment, words.join("; ")),
        cures.join("\n"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::print::fixtures::Story;

    fn wanted(release: u64, plan: Option<&str>) -> Wanted {
        let plan = plan.map(|digits| PlanDigest(digits.to_owned()));
        Wanted { environment: "staging".into(), release: ReleaseNumber(release), plan, detach: false }
    }

    #[test]
    fn asking_for_what_is_under_way_watches_it() {
        let mut story = Story::new();
        assert_eq!(same_under_way(&story.state, &wanted(1, None)), None);
        let number = story.promotes("staging", 1);
        assert_eq!(same_under_way(&story.state, &wanted(1, None)), Some(number));
        assert_eq!(same_under_way(&story.state, &wanted(2, None)), None);
        let digest = story.state.deployments[&number].plan.digest.0.clone();
        assert_eq!(same_under_way(&story.state, &wanted(1, Some(&digest[..6]))), Some(number));
        assert_eq!(same_under_way(&story.state, &wanted(1, Some("000000"))), None);
    }

    #[test]
    fn a_plan_that_is_another_now_is_refused_and_a_gate_says_its_cure() {
        let story = Story::new();
        let found = story.state.preview_promotion(&"production".into(), ReleaseNumber(2)).unwrap();
        assert!(still_the_same(&found, &PlanDigest(found.plan.digest.0[..7].to_owned())).is_ok());
        let other = PlanDigest("00000000".to_owned());
        let Err(Failure::Said { sort, message, hint }) = still_the_same(&found, &other) else { panic!() };
        assert_eq!(sort, Sort::Refused);
        assert!(
            message.contains("The plan 000000 is not") && message.contains(found.plan.digest.short()),
            "{message}"
        );
        assert!(hint.contains("towpath plan production --release 2"), "{hint}");
        let Err(Failure::Said { sort, message, hint }) = gates_hold(&found) else { panic!() };
        assert_eq!(sort, Sort::Refused);
        assert!(
            message.contains("v2 may not go to production: v2 was never verified on staging"),
            "{message}"
        );
        assert_eq!(hint, "Deploy it to staging first.");
    }
}
