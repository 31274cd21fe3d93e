//! Commands about deployments, and what follows in them.

use super::{Draft, advance, refuse};
use crate::domain::command::{Promote, Refusal, RefusalKind, Rollback};
use crate::domain::event::Event;
use crate::domain::ids::{AttemptKey, DeploymentId, EnvironmentName, Epoch, Owner, ReleaseNumber};
use crate::domain::plan::{Moment, Plan, Work};
use crate::domain::planner;
use crate::domain::project::{Environment, Router};
use crate::domain::state::{
    Deployment, DeploymentKind, DeploymentPhase, Ending, Live, RollbackVerdict, State, StepPhase, StepState,
    WayBack,
};
use crate::domain::time::Timestamp;

pub(super) fn promote(draft: &mut Draft, promote: Promote) -> Result<(), Refusal> {
    let Promote { environment: name, release: number, plan: digest, seen, confirm, reason } = promote;
    let state = &draft.state;
    let environment = state.environment(&name)?;
    let release = state.release(number)?;
    nothing_under_way(state, &name)?;
    let is_live = state.live(&name).is_some_and(|(_, live)| live.release == number);
    if !is_live {
        state.promotable(&name, number)?;
    }
    if environment.protected {
        typed(&name, &confirm)?;
        if reason.trim().is_empty() {
            return refuse(
                RefusalKind::Confirmation,
                format!("A promotion to {name} needs a reason."),
                "Say why.",
            );
        }
    }
    let plan = planner::deployment(state, &name, environment, release);
    let settings = environment.clone();
    if plan.digest != digest {
        let changed = match seen {
            Some(seen) if !plan.parts.differences(&seen).is_empty() => {
                plan.parts.differences(&seen).join(", ")
            }
            _ => format!("what would be done now is plan {}", plan.digest.short()),
        };
        return refuse(
            RefusalKind::Stale,
            format!("The plan {} is not what would be done any more. Changed: {changed}.", digest.short()),
            "Look at the plan again, then confirm it.",
        );
    }
    let kind = match state.live(&name) {
        Some((_, live)) if live.release == number => DeploymentKind::Redeploy,
        _ => DeploymentKind::Promotion,
    };
    let way_back = state.way_back_from(&name, number);
    create(draft, name, kind, plan, number, reason, None, way_back, settings);
    Ok(())
}

fn nothing_under_way(state: &State, name: &EnvironmentName) -> Result<(), Refusal> {
    match state.under_way(name) {
        None => Ok(()),
        Some((number, deployment)) => refuse(
            RefusalKind::State,
            format!("Deployment {number} of {} is under way on {name}.", deployment.release),
            "Wait for its end, or take it back.",
        ),
    }
}

fn typed(name: &EnvironmentName, confirm: &str) -> Result<(), Refusal> {
    if confirm == name.as_str() {
        return Ok(());
    }
    refuse(
        RefusalKind::Confirmation,
        format!("{name} was not confirmed: \"{confirm}\" was typed."),
        format!("Type the environment's name: {name}."),
    )
}

#[expect(clippy::too_many_arguments, reason = "the event's own fields, written in one place")]
fn create(
    draft: &mut Draft,
    environment: EnvironmentName,
    kind: DeploymentKind,
    plan: Plan,
    release: ReleaseNumber,
    reason: String,
    lease: Option<Epoch>,
    way_back: WayBack,
    settings: Environment,
) {
    let deployment = DeploymentId(draft.state.deployments.keys().next_back().map_or(1, |last| last.0 + 1));
    // The way back is an event before the first mutation: both are in one transaction of the journal.
    let settings = Box::new(settings);
    draft.write(Event::DeploymentCreated {
        deployment,
        environment,
        kind,
        plan,
        release,
        reason,
        lease,
        settings,
    });
    draft.write(Event::WayBackFixed { deployment, way_back });
}

pub(super) fn rollback(draft: &mut Draft, command: Rollback) -> Result<(), Refusal> {
    let Rollback { environment: name, from, to, confirm, reason } = command;
    let state = &draft.state;
    state.environment(&name)?;
    nothing_under_way(state, &name)?;
    let Some((live, current)) = state.live(&name) else {
        return refuse(
            RefusalKind::State,
            format!("Nothing of ours is live on {name}."),
            "Promote a release first.",
        );
    };
    if live != from {
        return refuse(
            RefusalKind::Stale,
            format!("{live} is live on {name}, not {from}."),
            "Look again at what is live, then decide.",
        );
    }
    let target = match to {
        None => state.rollback_target(&name).map(|(number, _)| number),
        Some(to) => Some(past_target(state, &name, live, to)?),
    };
    let Some(target) = target else {
        return refuse(
            RefusalKind::Gate,
            format!(
                "There is nothing to go back to on {name}: no other artifact was live and verified here."
            ),
            "Promote another release instead.",
        );
    };
    let to_release = state.deployments.get(&target).map_or(current.release, |deployment| deployment.release);
    if state.verdict_between(current.release, to_release) != RollbackVerdict::Safe {
        typed(&name, &confirm)?;
    }
    begin_rollback(draft, live, target, reason, Why::Wanted)
}

fn past_target(
    state: &State,
    name: &EnvironmentName,
    live: DeploymentId,
    to: DeploymentId,
) -> Result<DeploymentId, Refusal> {
    let was_live = state.deployments.get(&to).is_some_and(|deployment| {
        &deployment.environment == name && matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live))
    });
    if was_live && to != live {
        return Ok(to);
    }
    refuse(
        RefusalKind::Gate,
        format!("{to} is not a deployment that was live and verified on {name} before."),
        "Choose one from the environment's history.",
    )
}

/// Why a deployment is gone back from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It was live, and a person wants what was live before.
    Wanted,
    /// It is under way, and a person takes it back.
    TakenBack,
    /// It is under way, and something about it failed.
    Failed,
}

/// The environment as a rollback goes by it: as it is configured now. What is taken back while it is under way may
/// have been configured wrongly; then what was live before is to be as it was, and is judged by what it runs with.
/// (Where nginx's file has moved since, the lease has moved with it, and the environment of now is gone by.)
fn settings_of_rollback(environment: &Environment, to: &Deployment, why: Why) -> Environment {
    let include = |environment: &Environment| match &environment.router {
        Router::Nginx(nginx) => Some(nginx.include.clone()),
        Router::None => None,
    };
    let is_same_place = include(environment) == include(&to.settings);
    if why != Why::Wanted && is_same_place { to.settings.clone() } else { environment.clone() }
}

/// Begins the deployment that takes `of` back to `target`.
///
/// # Errors
/// A refusal when one of them, its release or the environment is not known (any more).
fn begin_rollback(
    draft: &mut Draft,
    of: DeploymentId,
    target: DeploymentId,
    reason: String,
    why: Why,
) -> Result<(), Refusal> {
    let state = &draft.state;
    let known = |number: DeploymentId| match state.deployments.get(&number) {
        Some(deployment) => Ok((deployment, state.release(deployment.release)?)),
        None => refuse(RefusalKind::Unknown, format!("There is no deployment {number}."), ""),
    };
    let ((from, _), (to, to_release)) = (known(of)?, known(target)?);
    let environment = state.environment(&from.environment)?;
    let settings = settings_of_rollback(environment, to, why);
    let plan = planner::rollback(state, &settings, (of, from), (target, to_release));
    let way_back = WayBack { target: Some(of), verdict: state.verdict_between(to.release, from.release) };
    let (name, release, lease) = (from.environment.clone(), to.release, from.lease);
    let kind = DeploymentKind::Rollback { of, automatic: why == Why::Failed };
    create(draft, name, kind, plan, release, reason, lease, way_back, settings);
    Ok(())
}

fn open(state: &State, number: DeploymentId) -> Result<&Deployment, Refusal> {
    match state.deployments.get(&number) {
        Some(deployment) if deployment.is_open() => Ok(deployment),
        Some(_) => refuse(RefusalKind::State, format!("Deployment {number} is over."), ""),
        None => refuse(RefusalKind::Unknown, format!("There is no deployment {number}."), ""),
    }
}

pub(super) fn hold(draft: &mut Draft, number: DeploymentId) -> Result<(), Refusal> {
    if open(&draft.state, number)?.phase != DeploymentPhase::Running {
        return refuse(RefusalKind::State, format!("Deployment {number} does not run steps now."), "");
    }
    draft.write(Event::DeploymentHeld { deployment: number, reason: "held by the operator".to_owned() });
    Ok(())
}

/// Goes on: what was inconclusive is accepted, what failed is tried once more.
pub(super) fn go(draft: &mut Draft, number: DeploymentId, reason: &str) -> Result<(), Refusal> {
    let deployment = open(&draft.state, number)?;
    if !matches!(deployment.phase, DeploymentPhase::Held { .. }) {
        return refuse(RefusalKind::State, format!("Deployment {number} is not held."), "");
    }
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return refuse(RefusalKind::Confirmation, "Going on needs a reason.", "Say why it may go on.");
    }
    let owner = Owner::Deployment(number);
    let mut then = Vec::new();
    for (step, state) in &deployment.steps {
        match state.phase {
            StepPhase::Inconclusive { .. } if state.acknowledged.is_none() => {
                then.push(Event::StepAcknowledged { owner, step: step.clone(), reason: reason.clone() });
            }
            StepPhase::Failed { .. } | StepPhase::Cancelled => {
                let attempt = state.attempt.saturating_add(1);
                then.push(Event::StepStarted { key: AttemptKey { owner, step: step.clone(), attempt } });
            }
            _ => {}
        }
    }
    draft.write(Event::DeploymentResumed { deployment: number, reason });
    for event in then {
        draft.write(event);
    }
    Ok(())
}

/// Takes a deployment back that is under way, by the way that was fixed when it began.
pub(super) fn back(
    draft: &mut Draft,
    number: DeploymentId,
    confirm: &str,
    reason: &str,
) -> Result<(), Refusal> {
    let deployment = open(&draft.state, number)?;
    if !matches!(deployment.phase, DeploymentPhase::Running | DeploymentPhase::Held { .. }) {
        return refuse(
            RefusalKind::State,
            format!("Deployment {number} can't be taken back now."),
            "Wait a moment.",
        );
    }
    if matches!(deployment.kind, DeploymentKind::Rollback { .. }) {
        return refuse(
            RefusalKind::State,
            format!("Deployment {number} is a rollback itself."),
            "Go on with it, or leave it as it is; then promote the release that you want.",
        );
    }
    let Some(target) = deployment.way_back.target else {
        return refuse(
            RefusalKind::Gate,
            format!("There is no way back from {number}: nothing was live before it."),
            "Go on with it, or leave it as it is; then promote another release.",
        );
    };
    if deployment.way_back.verdict != RollbackVerdict::Safe && has_touched(deployment) {
        typed(&deployment.environment.clone(), confirm)?;
    }
    begin_rollback(draft, number, target, reason.to_owned(), Why::TakenBack)
}

/// Ends a held deployment as it is. Without this a first deployment that cannot go on, or a rollback that fails
/// again and again, would keep its environment from every other release.
pub(super) fn leave(
    draft: &mut Draft,
    number: DeploymentId,
    confirm: &str,
    reason: &str,
) -> Result<(), Refusal> {
    let deployment = open(&draft.state, number)?;
    let is_held = matches!(deployment.phase, DeploymentPhase::Held { .. });
    if !is_held || deployment.steps.values().any(StepState::is_open) {
        return refuse(
            RefusalKind::State,
            format!("Deployment {number} can't be left as it is now: it is not held, or a step still runs."),
            "Hold it, and wait until its step has ended.",
        );
    }
    typed(&deployment.environment.clone(), confirm)?;
    let reason = reason.trim();
    if reason.is_empty() {
        return refuse(RefusalKind::Confirmation, "Leaving it needs a reason.", "Say why.");
    }
    let why = format!("It was left as it is: {reason}");
    draft.write(Event::DeploymentFinished { deployment: number, ending: Ending::Broken { why } });
    Ok(())
}

/// Takes a lease from somebody else. What this project itself has under way is held, left or taken back instead.
pub(super) fn break_lease(
    draft: &mut Draft,
    environment: EnvironmentName,
    who: String,
    since: Timestamp,
    (confirm, reason): (&str, &str),
) -> Result<(), Refusal> {
    let is_known = draft.state.deployments.values().any(|one| one.environment == environment);
    if !is_known {
        draft.state.environment(&environment)?;
    }
    if let Some((number, _)) = draft.state.under_way(&environment).filter(|(_, one)| one.lease.is_some()) {
        return refuse(
            RefusalKind::State,
            format!("Deployment {number} of this very project holds the lease of {environment}."),
            "Hold it and leave it as it is, or take it back: both give the lease back.",
        );
    }
    if draft.state.lease_breaks.contains_key(&environment) {
        return refuse(
            RefusalKind::State,
            format!("The lease of {environment} is being broken already."),
            "",
        );
    }
    typed(&environment, confirm)?;
    let reason = reason.trim().to_owned();
    if reason.is_empty() {
        return refuse(RefusalKind::Confirmation, "Breaking a lease needs a reason.", "Say why.");
    }
    draft.write(Event::LeaseBreakBegun { environment, who, since, reason });
    Ok(())
}

pub(super) fn leased(draft: &mut Draft, number: DeploymentId, lease: Result<Epoch, String>) {
    let phase = draft.state.deployments.get(&number).map(|deployment| &deployment.phase);
    match (phase, &lease) {
        (Some(DeploymentPhase::Leasing), _) => {}
        // It was held, and was lost: whoever has it now must not be worked against.
        (Some(DeploymentPhase::Running | DeploymentPhase::Held { .. }), Err(reason)) => {
            let held = format!("the environment's lease was lost: {reason}");
            draft.write(Event::LeaseDenied { deployment: number, reason: reason.clone() });
            return draft.write(Event::DeploymentHeld { deployment: number, reason: held });
        }
        _ => return,
    }
    match lease {
        Ok(epoch) => draft.write(Event::LeaseAcquired { deployment: number, epoch }),
        Err(reason) => {
            draft.write(Event::LeaseDenied { deployment: number, reason: reason.clone() });
            let why = format!("The lease could not be had: {reason}. Nothing was touched.");
            draft.write(Event::DeploymentFinished { deployment: number, ending: Ending::RolledBack { why } });
        }
    }
}

/// Whether anything outside may have been changed by it.
fn has_touched(deployment: &Deployment) -> bool {
    deployment.plan.steps.iter().any(|step| {
        step.work.mutates_environment()
            && deployment.steps.get(&step.id).is_some_and(|state| state.attempt > 0)
    })
}

/// The steps are over and what is really there is known: the only place where a deployment's end is said.
pub(super) fn observed(
    draft: &mut Draft,
    environment: EnvironmentName,
    number: DeploymentId,
    live: Option<Live>,
) {
    let Some(deployment) = draft.state.deployments.get(&number) else { return };
    let DeploymentPhase::Observing { failed } = deployment.phase.clone() else { return };
    let deployment = deployment.clone();
    draft.write(Event::EnvironmentObserved { environment, live });
    let live = draft.state.observed.get(&deployment.environment).and_then(|seen| seen.live.clone());
    let answers = live.as_ref().filter(|live| is_wanted(&draft.state, number, &deployment, live.deployment));
    let ending = match (failed, answers) {
        (None, Some(live)) if live.healthy => Ending::Live,
        (None, Some(_)) => Ending::LiveUnverified { why: "It answers, but not well.".to_owned() },
        (None, None) => {
            Ending::Broken { why: format!("Every step passed, yet {} has the traffic.", whom(live.as_ref())) }
        }
        (Some(why), _) if !has_touched(&deployment) => {
            Ending::RolledBack { why: format!("{why} Nothing was touched.") }
        }
        (Some(why), Some(live)) if live.healthy && only_leftovers(&deployment) => {
            Ending::LiveUnverified { why }
        }
        (Some(why), _) => return take_back_or_hold(draft, number, &deployment, &why),
    };
    draft.write(Event::DeploymentFinished { deployment: number, ending });
}

fn whom(live: Option<&Live>) -> String {
    live.map_or_else(|| "nothing of ours".to_owned(), |live| format!("deployment {}", live.deployment))
}

/// Whether what answers is what this deployment wanted live. A warm rollback gives the traffic back to the set of
/// the earlier deployment: there the artifact tells.
fn is_wanted(state: &State, number: DeploymentId, deployment: &Deployment, answers: DeploymentId) -> bool {
    let same_release = || {
        state.deployments.get(&answers).is_some_and(|other| {
            other.release == deployment.release && other.environment == deployment.environment
        })
    };
    answers == number || (matches!(deployment.kind, DeploymentKind::Rollback { .. }) && same_release())
}

/// Whether all that failed is letting the old set go, after the new one had been judged.
fn only_leftovers(deployment: &Deployment) -> bool {
    deployment.plan.steps.iter().all(|step| {
        let passed = deployment.steps.get(&step.id).is_some_and(StepState::lets_others_start);
        let after = matches!(&step.work, Work::Hook(hook) if hook.moment == Moment::After);
        passed || after || matches!(step.work, Work::Drain(_) | Work::Stop(_) | Work::Verify(_))
    }) && deployment.plan.steps.iter().any(|step| matches!(step.work, Work::Bake { .. }))
}

fn take_back_or_hold(draft: &mut Draft, number: DeploymentId, deployment: &Deployment, why: &str) {
    let is_rollback = matches!(deployment.kind, DeploymentKind::Rollback { .. });
    let reason = match (&deployment.way_back, is_rollback) {
        // It never loops: a rollback that failed calls for a person.
        (_, true) => format!("The rollback failed: {why}"),
        (WayBack { target: Some(target), verdict: RollbackVerdict::Safe }, false) => {
            match begin_rollback(draft, number, *target, why.to_owned(), Why::Failed) {
                Ok(()) => return,
                Err(refusal) => format!("{why} It can't be taken back by itself: {refusal}"),
            }
        }
        (WayBack { target: None, .. }, false) => format!("{why} There is nothing to go back to."),
        (WayBack { verdict, .. }, false) => {
            format!("{why} Going back is not known to be safe: {}", word(verdict))
        }
    };
    draft.write(Event::DeploymentHeld { deployment: number, reason });
}

fn word(verdict: &RollbackVerdict) -> &str {
    match verdict {
        RollbackVerdict::Safe => "safe.",
        RollbackVerdict::Unknown { why } => why,
        RollbackVerdict::NoTarget => "there is no target.",
    }
}

/// What is due in deployments by itself.
pub(super) fn next(state: &State) -> Option<Event> {
    state.deployments.iter().find_map(|(number, deployment)| match &deployment.phase {
        DeploymentPhase::Running => next_step(state, *number, deployment),
        DeploymentPhase::TakenBack { by, why } => ended_with(state, *number, *by, why),
        _ => None,
    })
}

fn next_step(state: &State, number: DeploymentId, deployment: &Deployment) -> Option<Event> {
    let any_open = |deployment: &Deployment| deployment.steps.values().any(StepState::is_open);
    if let DeploymentKind::Rollback { of, .. } = deployment.kind
        && state.deployments.get(&of).is_some_and(any_open)
    {
        // What is being taken back still has a step under way; it is being stopped.
        return None;
    }
    let inconclusive = deployment.steps.iter().find(|(_, step)| step.wants_acknowledgement());
    if let Some((step, StepState { phase: StepPhase::Inconclusive { reason }, .. })) = inconclusive {
        return Some(Event::DeploymentHeld { deployment: number, reason: format!("{step}: {reason}") });
    }
    let owner = Owner::Deployment(number);
    if let Some(key) = advance::startable(owner, &deployment.plan, &deployment.steps, 1, |_| None) {
        return Some(Event::StepStarted { key });
    }
    if any_open(deployment) {
        return None;
    }
    let why = deployment.steps.iter().find_map(|(step, state)| match &state.phase {
        StepPhase::Failed { cause } => Some(format!("{step}: {}.", cause.summary)),
        StepPhase::Cancelled => Some(format!("{step} was stopped.")),
        _ => None,
    });
    Some(Event::DeploymentStepsEnded { deployment: number, why })
}

/// A deployment that is taken back ends as its rollback ends.
fn ended_with(state: &State, number: DeploymentId, by: DeploymentId, why: &str) -> Option<Event> {
    let DeploymentPhase::Ended(ending) = &state.deployments.get(&by)?.phase else { return None };
    let ending = match ending {
        Ending::Live | Ending::LiveUnverified { .. } => Ending::RolledBack { why: why.to_owned() },
        Ending::RolledBack { why } | Ending::Broken { why } => Ending::Broken { why: why.clone() },
    };
    Some(Event::DeploymentFinished { deployment: number, ending })
}
