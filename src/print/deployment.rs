//! One line a happening, for people: the journal of a deployment, and of the rollback that takes it back.

use std::collections::BTreeSet;

use super::line;
use super::style::{Mark, Style, visible};
use crate::domain::event::{Envelope, Event};
use crate::domain::health::{BakeReport, Traffic};
use crate::domain::ids::{AttemptKey, DeploymentId, EnvironmentName, Owner};
use crate::domain::state::{
    Deployment, DeploymentKind, DeploymentPhase, Ending, Live, RollbackVerdict, State, StepPhase, WayBack,
};
use crate::domain::time::Timestamp;

/// Folds the stream into lines about one deployment and, once it is taken back, about the one that does that.
#[derive(Debug)]
pub struct Printer {
    style: Style,
    followed: BTreeSet<DeploymentId>,
    state: State,
    /// Added to the commands that are suggested, e.g. ` --repository /srv/shop`; empty in the repository.
    place: String,
}

impl Printer {
    /// A printer for a deployment that goes on from a state. `place` is added to the commands that are suggested.
    #[must_use]
    pub fn new(style: Style, deployment: DeploymentId, state: State, place: String) -> Self {
        Self { style, followed: BTreeSet::from([deployment]), state, place }
    }

    /// What is known so far.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The deployments that are told of: the one that was asked for, and what took it back.
    #[must_use]
    pub const fn followed(&self) -> &BTreeSet<DeploymentId> {
        &self.followed
    }

    /// Goes on from another state: a fresh snapshot after a broken connection.
    pub fn resume(&mut self, state: State) {
        self.state = state;
    }

    /// Whether a row is part of what is told. A rollback of a followed deployment is followed from here on.
    pub fn concerns(&mut self, event: &Event) -> bool {
        if let Event::DeploymentCreated { deployment, kind: DeploymentKind::Rollback { of, .. }, .. } = event
            && self.followed.contains(of)
        {
            self.followed.insert(*deployment);
        }
        let environment = |name: &EnvironmentName| {
            let environments = self.followed.iter().filter_map(|number| self.state.deployments.get(number));
            environments.into_iter().any(|deployment| &deployment.environment == name)
        };
        match event {
            Event::EngineStarted { .. } => true,
            Event::EnvironmentObserved { environment: name, .. } => environment(name),
            other => deployment_of(other).is_some_and(|number| self.followed.contains(&number)),
        }
    }

    /// Folds a row in; what it says, as lines. A row that was folded in before says nothing.
    pub fn feed(&mut self, envelope: &Envelope) -> Vec<String> {
        if envelope.seq <= self.state.seq {
            return Vec::new();
        }
        let concerns = self.concerns(&envelope.event);
        let started = self.started_at(&envelope.event);
        self.state.apply(envelope);
        if concerns { self.lines(envelope, started) } else { Vec::new() }
    }

    /// The moment the attempt that a row is about was started, as far as was known before it.
    fn started_at(&self, event: &Event) -> Option<Timestamp> {
        let (Event::StepFinished { key, .. } | Event::StepStarted { key }) = event else { return None };
        let Owner::Deployment(number) = key.owner else { return None };
        let step = self.state.deployments.get(&number)?.steps.get(&key.step)?;
        if step.attempt == key.attempt { step.started } else { None }
    }

    fn lines(&self, envelope: &Envelope, started: Option<Timestamp>) -> Vec<String> {
        let (style, at) = (&self.style, envelope.at);
        let one = |mark: Mark, text: &str| vec![line::line(style, at, mark, text)];
        match &envelope.event {
            Event::EngineStarted { version } => one(
                Mark::Note,
                &format!("the engine was started anew (towpath {version}); open steps are looked after"),
            ),
            Event::DeploymentCreated { deployment, .. } => self.created(envelope, *deployment),
            Event::WayBackFixed { way_back, .. } => one(Mark::Note, &way_back_text(&self.state, way_back)),
            Event::LeaseAcquired { deployment, epoch } => {
                let name = self.name_of(*deployment);
                one(Mark::Note, &format!("the lease of {name} is held by {deployment} (epoch {epoch})"))
            }
            Event::LeaseDenied { deployment, reason } => {
                let name = self.name_of(*deployment);
                one(Mark::Bad, &format!("the lease of {name} is not held by {deployment}: {reason}"))
            }
            Event::DeploymentHeld { deployment, reason } => self.held(at, *deployment, reason),
            Event::DeploymentResumed { deployment, reason } => one(
                Mark::Running,
                &format!("deployment {deployment} goes on (by {}): {reason}", envelope.actor),
            ),
            Event::DeploymentStepsEnded { deployment, why: None } => {
                one(Mark::Looking, &format!("every step of {deployment} passed; what is live is looked at"))
            }
            Event::DeploymentStepsEnded { deployment, why: Some(why) } => {
                one(Mark::Looking, &format!("{deployment} stopped early; what is live is looked at. {why}"))
            }
            Event::EnvironmentObserved { environment, live } => self.observed(at, environment, live.as_ref()),
            Event::DeploymentFinished { deployment, ending } => self.finished(at, *deployment, ending),
            // A new engine found it and looks after it: nothing was started twice.
            Event::StepStarted { key } if started.is_some() => {
                one(Mark::Running, &format!("{} is looked after again", key.step))
            }
            Event::StepStarted { key } => {
                let estimate = self.step_of(key).and_then(|(deployment, step)| {
                    self.state.deployment_estimate(&deployment.environment, step)
                });
                one(Mark::Running, &line::step_started(&key.step, key.attempt, estimate))
            }
            Event::StepTimedOut { key } => {
                let limit = self.step_of(key).map(|(_, step)| step.timeout);
                one(Mark::Warn, &line::step_timed_out(&key.step, limit))
            }
            Event::StepFinished { key, verdict, output } => {
                let took = started.map(|started| at.since(started));
                // What accepts it is said where the deployment is held for it.
                line::step_finished(style, at, &key.step, (verdict, output), took, ("", ""))
            }
            Event::StepAcknowledged { step, reason, .. } => {
                one(Mark::Warn, &format!("{step} acknowledged by {}: {reason}", envelope.actor))
            }
            _ => Vec::new(),
        }
    }

    fn step_of(&self, key: &AttemptKey) -> Option<(&Deployment, &crate::domain::plan::Step)> {
        let Owner::Deployment(number) = key.owner else { return None };
        let deployment = self.state.deployments.get(&number)?;
        Some((deployment, deployment.plan.step(&key.step)?))
    }

    fn name_of(&self, number: DeploymentId) -> &str {
        self.state.deployments.get(&number).map_or("?", |deployment| deployment.environment.as_str())
    }

    fn created(&self, envelope: &Envelope, number: DeploymentId) -> Vec<String> {
        let Some(deployment) = self.state.deployments.get(&number) else { return Vec::new() };
        let why = if deployment.reason.is_empty() { "" } else { " · " };
        let text = format!(
            "deployment {number} to {} · {} {} · by {}{why}{}",
            deployment.environment,
            kind_text(deployment.kind),
            deployment.release,
            envelope.actor,
            deployment.reason
        );
        let mark = match deployment.kind {
            DeploymentKind::Rollback { automatic: true, .. } => Mark::Warn,
            _ => Mark::Waiting,
        };
        let mut lines = vec![line::line(&self.style, envelope.at, mark, &text)];
        lines.extend(line::planned(&self.style, envelope.at, &deployment.plan));
        lines
    }

    fn held(&self, at: Timestamp, number: DeploymentId, reason: &str) -> Vec<String> {
        let text = format!("deployment {number} is held: {reason}");
        let mut lines = vec![line::line(&self.style, at, Mark::Warn, &text)];
        if let Some(deployment) = self.state.deployments.get(&number) {
            let next = what_next(deployment, &self.place);
            lines.extend(
                next.iter()
                    .map(|(what, command)| line::indented(&self.style, &format!("to {what}: {command}"))),
            );
        }
        lines
    }

    fn observed(&self, at: Timestamp, name: &EnvironmentName, live: Option<&Live>) -> Vec<String> {
        let (mark, text) = match live {
            Some(Live { deployment, healthy }) => {
                let release =
                    self.state.deployments.get(deployment).map(|one| format!(" of {}", one.release));
                let how = if *healthy { "well" } else { "not well" };
                let mark = if *healthy { Mark::Note } else { Mark::Warn };
                (mark, format!("{name} answers {how} by {deployment}{}", release.unwrap_or_default()))
            }
            None => (Mark::Warn, format!("nothing of ours answers on {name}")),
        };
        vec![line::line(&self.style, at, mark, &text)]
    }

    fn finished(&self, at: Timestamp, number: DeploymentId, ending: &Ending) -> Vec<String> {
        let Some(deployment) = self.state.deployments.get(&number) else { return Vec::new() };
        let (mark, word) = ending_mark(ending);
        let took = at.since(deployment.created);
        let (name, release) = (&deployment.environment, deployment.release);
        let text = match ending {
            Ending::Live => format!("deployment {number} after {took} · {release} is {word} on {name}"),
            Ending::LiveUnverified { why } => {
                format!("deployment {number} after {took} · {release} is {word} on {name}: {why}")
            }
            Ending::RolledBack { why } | Ending::Broken { why } => {
                format!("deployment {number} {word} after {took} · {why}")
            }
        };
        let mut lines = vec![line::line(&self.style, at, mark, &text)];
        if matches!(ending, Ending::Live | Ending::LiveUnverified { .. })
            && let Some(command) = undo(&self.state, deployment)
        {
            lines.push(line::indented(&self.style, &format!("to undo it: {command}{}", self.place)));
        }
        lines
    }
}

/// The deployment that an event is part of the story of.
fn deployment_of(event: &Event) -> Option<DeploymentId> {
    match event {
        Event::DeploymentCreated { deployment, .. }
        | Event::WayBackFixed { deployment, .. }
        | Event::LeaseAcquired { deployment, .. }
        | Event::LeaseDenied { deployment, .. }
        | Event::DeploymentHeld { deployment, .. }
        | Event::DeploymentResumed { deployment, .. }
        | Event::DeploymentStepsEnded { deployment, .. }
        | Event::DeploymentFinished { deployment, .. } => Some(*deployment),
        Event::StepStarted { key } | Event::StepTimedOut { key } | Event::StepFinished { key, .. } => {
            of_owner(key.owner)
        }
        Event::StepAcknowledged { owner, .. } => of_owner(*owner),
        _ => None,
    }
}

const fn of_owner(owner: Owner) -> Option<DeploymentId> {
    match owner {
        Owner::Deployment(number) => Some(number),
        Owner::Run(_) => None,
    }
}

/// Why a deployment exists, in words.
#[must_use]
pub fn kind_text(kind: DeploymentKind) -> String {
    match kind {
        DeploymentKind::Promotion => "promotion of".to_owned(),
        DeploymentKind::Redeploy => "redeployment of".to_owned(),
        DeploymentKind::Rollback { of, automatic: false } => format!("rollback of {of} to"),
        DeploymentKind::Rollback { of, automatic: true } => format!("automatic rollback of {of} to"),
    }
}

/// How a deployment ended, at a glance.
#[must_use]
pub const fn ending_mark(ending: &Ending) -> (Mark, &'static str) {
    match ending {
        Ending::Live => (Mark::Good, "live and verified"),
        Ending::LiveUnverified { .. } => (Mark::Warn, "live, not verified"),
        Ending::RolledBack { .. } => (Mark::Stopped, "was taken back"),
        Ending::Broken { .. } => (Mark::Bad, "is broken"),
    }
}

/// Where a deployment is, at a glance.
#[must_use]
pub const fn phase_mark(phase: &DeploymentPhase) -> (Mark, &'static str) {
    match phase {
        DeploymentPhase::Leasing => (Mark::Waiting, "waits for the lease"),
        DeploymentPhase::Running => (Mark::Running, "running"),
        DeploymentPhase::Held { .. } => (Mark::Warn, "held"),
        DeploymentPhase::Observing { .. } => (Mark::Looking, "what is live is looked at"),
        DeploymentPhase::TakenBack { .. } => (Mark::Warn, "being taken back"),
        DeploymentPhase::Ended(ending) => ending_mark(ending),
    }
}

/// What a way back is, in words.
#[must_use]
pub fn way_back_text(state: &State, way_back: &WayBack) -> String {
    let release = |number: &DeploymentId| state.deployments.get(number).map(|one| one.release);
    match (&way_back.target, &way_back.verdict) {
        (None, _) | (_, RollbackVerdict::NoTarget) => "way back: none, nothing was live here".to_owned(),
        (Some(target), verdict) => {
            let to = release(target).map(|release| format!(" of {release}")).unwrap_or_default();
            format!("way back: to {target}{to}, {}", verdict_text(verdict))
        }
    }
}

/// What going back means for the data.
#[must_use]
pub fn verdict_text(verdict: &RollbackVerdict) -> String {
    match verdict {
        RollbackVerdict::Safe => "SAFE: the same migrations".to_owned(),
        RollbackVerdict::Unknown { why } => format!("UNKNOWN: {why}"),
        RollbackVerdict::NoTarget => "there is nothing to go back to".to_owned(),
    }
}

/// The commands that a held deployment can be answered with: what for, and how.
#[must_use]
pub fn what_next(deployment: &Deployment, place: &str) -> Vec<(&'static str, String)> {
    let name = &deployment.environment;
    let stopped = deployment
        .steps
        .values()
        .any(|step| matches!(step.phase, StepPhase::Failed { .. } | StepPhase::Cancelled));
    let go = if stopped { "try again" } else { "go on" };
    let mut next = vec![(go, format!("towpath go {name} --reason \"…\"{place}"))];
    let is_rollback = matches!(deployment.kind, DeploymentKind::Rollback { .. });
    if deployment.way_back.target.is_some() && !is_rollback {
        let confirm = match deployment.way_back.verdict {
            RollbackVerdict::Safe => String::new(),
            _ => format!(" --confirm {name}"),
        };
        next.push(("take it back", format!("towpath back {name}{confirm} --reason \"…\"{place}")));
    }
    let leave = format!("towpath leave {name} --confirm {name} --reason \"…\"{place}");
    next.push(("leave it as it is", leave));
    next
}

/// The command that undoes a rollback that a person asked for. (What failed is not to be had back.)
fn undo(state: &State, deployment: &Deployment) -> Option<String> {
    let DeploymentKind::Rollback { of, automatic: false } = deployment.kind else { return None };
    let name = &deployment.environment;
    let before = state.deployments.get(&of)?;
    // Only what was live and verified can be gone back to; anything else is promoted anew.
    Some(match before.phase {
        DeploymentPhase::Ended(Ending::Live) => format!("towpath rollback {name} --to {}", of.0),
        _ => format!("towpath promote {name} --release {}", before.release.0),
    })
}

/// What a bake has counted, in a line.
#[must_use]
pub fn bake_text(step: &str, report: &BakeReport, now: Timestamp) -> String {
    let traffic = |who: &str, traffic: &Option<Traffic>| {
        let Some(Traffic { requests, failed, p95, .. }) = traffic else { return String::new() };
        let p95 = p95.map(|p95| format!(", p95 {p95}")).unwrap_or_default();
        format!(" · {who} {requests} requests, {failed} failed{p95}")
    };
    let left = report.until.since(now);
    let trouble = if report.trouble.is_empty() { "" } else { " · " };
    let checks = report.checks + report.failed_checks;
    format!(
        "{step} · {} % of the traffic · {left} left · {} of {checks} checks well{}{}{trouble}{}",
        report.weight,
        report.checks,
        traffic("new", &report.new),
        traffic("old", &report.old),
        visible(&report.trouble)
    )
}

#[cfg(test)]
mod tests;
