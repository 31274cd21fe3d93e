//! The fold: what each event makes true. Infallible: an event about something unknown changes nothing.

use super::event::{Envelope, Event};
use super::ids::{AttemptKey, Owner, RunId};
use super::plan::{Plan, Verdict};
use super::state::{
    DURATIONS_KEPT, Deployment, DeploymentKind, DeploymentPhase, Ending, KeptOnEngine, Observation,
    RUNS_KEPT_WHOLE, RollbackVerdict, Run, RunEnd, RunPhase, State, StepPhase, StepState, WayBack,
};
use super::time::{Millis, Timestamp};
use std::collections::BTreeMap;

use super::ids::StepId;

impl State {
    /// Folds one journal row in.
    pub fn apply(&mut self, envelope: &Envelope) {
        self.seq = envelope.seq;
        let at = envelope.at;
        match &envelope.event {
            Event::EngineStarted { .. } => self.every_open_step_is_looked_at(),
            Event::ProjectLoaded { project, config } => {
                self.project = Some(project.as_ref().clone());
                self.config.clone_from(config);
            }
            Event::BranchSeen { branch, commit } => {
                self.branches.insert(branch.clone(), commit.id.clone());
                self.unseen.remove(branch);
            }
            Event::BranchNotSeen { branch, why } => {
                self.unseen.insert(branch.clone(), why.clone());
            }
            Event::RunQueued { run, commit, until, followed } => {
                let queued = Run {
                    commit: commit.clone(),
                    until: until.clone(),
                    followed: *followed,
                    by: envelope.actor.clone(),
                    queued: at,
                    started: None,
                    ended: None,
                    phase: RunPhase::Queued,
                    plan: None,
                    steps: BTreeMap::new(),
                    findings: Vec::new(),
                    cause: None,
                    failed: None,
                };
                self.runs.insert(*run, queued);
            }
            Event::RunSuperseded { run, by } => self.run_ends(*run, RunEnd::Superseded { by: *by }, at),
            Event::RunFinished { run, end } => self.run_ends(*run, *end, at),
            Event::ReleaseCreated { release } => {
                self.releases.insert(release.number, release.clone());
            }
            Event::StepStarted { .. }
            | Event::StepTimedOut { .. }
            | Event::StepFinished { .. }
            | Event::StepAcknowledged { .. } => self.apply_step(&envelope.event, at),
            Event::KeptRemoved { key } => self.kept_is_gone(key),
            Event::RunStarted { run }
            | Event::RunPlanned { run, .. }
            | Event::RunUnplannable { run, .. }
            | Event::RunHeld { run, .. }
            | Event::RunCancelled { run, .. }
            | Event::StepRetried { run, .. } => {
                if let Event::StepRetried { run, step } = &envelope.event {
                    self.kept_is_due(Owner::Run(*run), step, None, at);
                }
                if let Some(run) = self.runs.get_mut(run) {
                    run.apply(&envelope.event, at);
                }
            }
            Event::LeaseBreakBegun { environment, who, since, .. } => {
                self.lease_breaks.insert(environment.clone(), (who.clone(), *since));
            }
            Event::LeaseBreakEnded { environment, .. } => {
                self.lease_breaks.remove(environment);
            }
            Event::DeploymentCreated { .. } => self.deployment_begins(envelope),
            Event::WayBackFixed { deployment, .. }
            | Event::LeaseAcquired { deployment, .. }
            | Event::LeaseDenied { deployment, .. }
            | Event::DeploymentHeld { deployment, .. }
            | Event::DeploymentResumed { deployment, .. }
            | Event::DeploymentStepsEnded { deployment, .. }
            | Event::DeploymentFinished { deployment, .. } => {
                if let Some(deployment) = self.deployments.get_mut(deployment) {
                    deployment.apply(&envelope.event, at);
                }
            }
            Event::EnvironmentObserved { environment, live } => {
                self.observed.insert(environment.clone(), Observation { at, live: live.clone() });
            }
        }
    }

    fn every_open_step_is_looked_at(&mut self) {
        let runs = self.runs.values_mut().map(|run| &mut run.steps);
        let deployments = self.deployments.values_mut().map(|deployment| &mut deployment.steps);
        for state in runs.chain(deployments).flat_map(BTreeMap::values_mut) {
            if state.phase == StepPhase::Running {
                state.phase = StepPhase::Observing;
            }
        }
    }

    fn run_ends(&mut self, number: RunId, end: RunEnd, at: Timestamp) {
        if let Some(run) = self.runs.get_mut(&number) {
            run.phase = RunPhase::Ended(end);
            run.ended = Some(at);
        }
        self.let_go_of_old_runs();
    }

    /// Old runs keep their summary only: the journal has the rest.
    fn let_go_of_old_runs(&mut self) {
        let ended = self.runs.values_mut().rev().filter(|run| matches!(run.phase, RunPhase::Ended(_)));
        for run in ended.skip(RUNS_KEPT_WHOLE) {
            run.plan = None;
            run.steps.clear();
            run.findings.clear();
        }
    }

    /// What a step's attempts have kept is needed no longer, but for that of `but`.
    fn kept_is_due(&mut self, owner: Owner, step: &StepId, but: Option<u32>, at: Timestamp) {
        for kept in &mut self.kept {
            if kept.key.owner == owner && &kept.key.step == step && Some(kept.key.attempt) != but {
                kept.until = kept.until.min(at);
            }
        }
    }

    fn kept_is_gone(&mut self, key: &AttemptKey) {
        self.kept.retain(|kept| &kept.key != key);
        if let Some(state) = self.attempt_mut(key) {
            state.output.kept = None;
        }
    }

    fn steps_of(&mut self, owner: Owner) -> Option<&mut BTreeMap<StepId, StepState>> {
        match owner {
            Owner::Run(run) => self.runs.get_mut(&run).map(|run| &mut run.steps),
            Owner::Deployment(deployment) => {
                self.deployments.get_mut(&deployment).map(|deployment| &mut deployment.steps)
            }
        }
    }

    fn apply_step(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::StepStarted { key } => {
                self.kept_is_due(key.owner, &key.step, Some(key.attempt), at);
                if let Owner::Run(run) = key.owner
                    && let Some(run) = self.runs.get_mut(&run)
                    && run.failed.as_ref().is_some_and(|(step, _)| step == &key.step)
                {
                    run.failed = None;
                }
                match self.steps_of(key.owner).and_then(|steps| steps.get_mut(&key.step)) {
                    // Found alive after a restart: it is the same attempt, and began when it began.
                    Some(state) if state.attempt == key.attempt => state.phase = StepPhase::Running,
                    Some(state) => {
                        let earlier = match &state.phase {
                            StepPhase::Failed { cause } => Some(cause.summary.clone()),
                            StepPhase::Inconclusive { reason } => Some(reason.clone()),
                            _ => None,
                        };
                        *state = StepState {
                            phase: StepPhase::Running,
                            attempt: key.attempt,
                            started: Some(at),
                            earlier,
                            ..StepState::default()
                        };
                    }
                    None => {}
                }
            }
            Event::StepTimedOut { key } => {
                if let Some(state) = self.attempt_mut(key) {
                    state.timed_out = true;
                }
            }
            Event::StepFinished { key, verdict, output } => {
                let Some(state) = self.attempt_mut(key) else { return };
                state.phase = phase_after(verdict);
                state.ended = Some(at);
                state.output.clone_from(output);
                if let Some(container) = output.kept.as_ref().and_then(|kept| kept.container.as_ref()) {
                    let until = container.until;
                    self.kept.push(KeptOnEngine { key: key.clone(), until });
                }
                let Some(state) = self.attempt_mut(key) else { return };
                let took = state.started.map(|started| at.since(started));
                if let (Verdict::Passed, Some(took)) = (verdict, took) {
                    self.remember(key, took);
                }
                if let (Verdict::Failed(cause), Owner::Run(run)) = (verdict, key.owner)
                    && let Some(run) = self.runs.get_mut(&run)
                    && run.failed.is_none()
                {
                    run.failed = Some((key.step.clone(), cause.summary.clone()));
                }
            }
            Event::StepAcknowledged { owner, step, reason } => {
                if let Some(state) = self.steps_of(*owner).and_then(|steps| steps.get_mut(step)) {
                    state.acknowledged = Some(reason.clone());
                }
            }
            _ => {}
        }
    }

    fn remember(&mut self, key: &AttemptKey, took: Millis) {
        let durations = match key.owner {
            Owner::Run(_) => &mut self.durations,
            Owner::Deployment(number) => match self.deployments.get(&number) {
                Some(deployment) => {
                    self.deployment_durations.entry(deployment.environment.clone()).or_default()
                }
                None => return,
            },
        };
        let past = durations.entry(key.step.clone()).or_default();
        past.push_back(took);
        while past.len() > DURATIONS_KEPT {
            past.pop_front();
        }
    }

    /// The step that this attempt is the current one of.
    fn attempt_mut(&mut self, key: &AttemptKey) -> Option<&mut StepState> {
        self.steps_of(key.owner)?.get_mut(&key.step).filter(|state| state.attempt == key.attempt)
    }

    fn deployment_begins(&mut self, envelope: &Envelope) {
        let Event::DeploymentCreated {
            deployment,
            environment,
            kind,
            plan,
            release,
            reason,
            lease,
            settings,
        } = &envelope.event
        else {
            return;
        };
        if let DeploymentKind::Rollback { of, .. } = kind
            && let Some(taken_back) = self.deployments.get_mut(of)
            && !matches!(taken_back.phase, DeploymentPhase::Ended(_))
        {
            taken_back.phase = DeploymentPhase::TakenBack { by: *deployment, why: reason.clone() };
            taken_back.lease = None;
        }
        let begun = Deployment {
            environment: environment.clone(),
            release: *release,
            kind: *kind,
            plan: plan.clone(),
            settings: settings.as_ref().clone(),
            reason: reason.clone(),
            by: envelope.actor.clone(),
            created: envelope.at,
            ended: None,
            way_back: WayBack { target: None, verdict: RollbackVerdict::NoTarget },
            lease: *lease,
            phase: if lease.is_some() { DeploymentPhase::Running } else { DeploymentPhase::Leasing },
            steps: steps_of_plan(plan),
        };
        self.deployments.insert(*deployment, begun);
    }
}

impl Run {
    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunStarted { .. } => {
                // One that is planned already has a step that is tried again, and goes on.
                self.phase = if self.plan.is_some() { RunPhase::Running } else { RunPhase::Preparing };
                self.started.get_or_insert(at);
            }
            Event::RunPlanned { plan, findings, .. } => {
                self.steps = steps_of_plan(plan);
                self.plan = Some(plan.clone());
                self.findings.clone_from(findings);
                if self.phase == RunPhase::Preparing {
                    self.phase = RunPhase::Running;
                }
            }
            Event::RunUnplannable { cause, .. } => self.cause = Some(cause.clone()),
            Event::RunHeld { .. } => self.phase = RunPhase::Held,
            Event::RunCancelled { now, .. } => self.phase = RunPhase::Cancelling { now: *now },
            Event::StepRetried { step, .. } => {
                if matches!(self.phase, RunPhase::Ended(_) | RunPhase::Held) {
                    self.phase = RunPhase::Queued;
                    self.ended = None;
                    self.failed = None;
                    for state in self.steps.values_mut() {
                        if state.phase == StepPhase::Cancelled {
                            state.phase = StepPhase::Waiting;
                        }
                    }
                }
                if self.failed.as_ref().is_some_and(|(failed, _)| failed == step) {
                    self.failed = None;
                }
                if let Some(state) = self.steps.get_mut(step) {
                    *state = StepState { attempt: state.attempt, ..StepState::default() };
                }
            }
            _ => {}
        }
    }
}

impl Deployment {
    fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::WayBackFixed { way_back, .. } => self.way_back.clone_from(way_back),
            Event::LeaseAcquired { epoch, .. } => {
                self.lease = Some(*epoch);
                if self.phase == DeploymentPhase::Leasing {
                    self.phase = DeploymentPhase::Running;
                }
            }
            Event::LeaseDenied { .. } => self.lease = None,
            Event::DeploymentHeld { reason, .. } => {
                self.phase = DeploymentPhase::Held { reason: reason.clone() };
            }
            Event::DeploymentResumed { .. } => self.phase = DeploymentPhase::Running,
            Event::DeploymentStepsEnded { why, .. } => {
                self.phase = DeploymentPhase::Observing { failed: why.clone() };
            }
            Event::DeploymentFinished { ending, .. } => self.end(ending.clone(), at),
            _ => {}
        }
    }

    fn end(&mut self, ending: Ending, at: Timestamp) {
        self.phase = DeploymentPhase::Ended(ending);
        self.ended = Some(at);
        self.lease = None;
    }
}

fn steps_of_plan(plan: &Plan) -> BTreeMap<StepId, StepState> {
    let state = |skip: &Option<String>| StepState {
        phase: match skip {
            Some(why) => StepPhase::Skipped { why: why.clone() },
            None => StepPhase::Waiting,
        },
        ..StepState::default()
    };
    plan.steps.iter().map(|step| (step.id.clone(), state(&step.skip))).collect()
}

fn phase_after(verdict: &Verdict) -> StepPhase {
    match verdict {
        Verdict::Passed => StepPhase::Passed,
        Verdict::Failed(cause) => StepPhase::Failed { cause: cause.clone() },
        Verdict::Inconclusive { reason } => StepPhase::Inconclusive { reason: reason.clone() },
        Verdict::Cancelled => StepPhase::Cancelled,
    }
}
