//! What follows from the state: one-shot effects that are due, and lasting work that should be under way.

use std::collections::BTreeSet;

use super::effect::Effect;
use super::ids::{AttemptKey, EnvironmentName, Owner};
use super::plan::{Plan, Work};
use super::state::{Deployment, DeploymentPhase, Run, RunPhase, State, StepPhase, StepState};
use super::watch::Watch;

impl State {
    /// Every one-shot effect that is due. The engine subtracts what is in flight.
    #[must_use]
    pub fn pending(&self) -> Vec<Effect> {
        let mut due = Vec::new();
        for (number, run) in &self.runs {
            if run.phase == RunPhase::Preparing {
                due.push(Effect::Prepare { run: *number, commit: run.commit.id.clone() });
            }
            let stop = matches!(run.phase, RunPhase::Cancelling { now: true });
            due.extend(self.due_steps(Owner::Run(*number), stop));
        }
        for (number, deployment) in &self.deployments {
            let environment = deployment.environment.clone();
            match deployment.phase {
                DeploymentPhase::Leasing => {
                    due.push(Effect::AcquireLease { environment, deployment: *number });
                }
                DeploymentPhase::Observing { .. } => {
                    due.push(Effect::ObserveEnvironment { environment, deployment: *number });
                }
                _ => {}
            }
            let stop = matches!(deployment.phase, DeploymentPhase::TakenBack { .. });
            due.extend(self.due_steps(Owner::Deployment(*number), stop));
        }
        due.extend(self.lease_breaks.iter().map(|(environment, (who, since))| Effect::BreakLease {
            environment: environment.clone(),
            who: who.clone(),
            since: *since,
        }));
        due
    }

    fn due_steps(&self, owner: Owner, stop: bool) -> Vec<Effect> {
        let mut due = Vec::new();
        for (key, state) in self.open_attempts(owner) {
            match state.phase {
                StepPhase::Running => {
                    if stop || state.timed_out {
                        due.push(Effect::Stop { key: key.clone() });
                    }
                    due.push(Effect::Attempt { key });
                }
                StepPhase::Observing => due.push(Effect::Observe { key }),
                _ => {}
            }
        }
        due
    }

    /// The attempts of a run or a deployment that have begun and not ended.
    fn open_attempts(&self, owner: Owner) -> Vec<(AttemptKey, &StepState)> {
        let states = match owner {
            Owner::Run(run) => self.runs.get(&run).map(|run| &run.steps),
            Owner::Deployment(deployment) => {
                self.deployments.get(&deployment).map(|deployment| &deployment.steps)
            }
        };
        let open = states.into_iter().flatten().filter(|(_, state)| state.is_open());
        open.map(|(step, state)| (AttemptKey { owner, step: step.clone(), attempt: state.attempt }, state))
            .collect()
    }

    /// All lasting work that should be under way.
    #[must_use]
    pub fn watches(&self) -> BTreeSet<Watch> {
        let mut watches = BTreeSet::new();
        if let Some(pipeline) = self.project.as_ref().map(|project| &project.pipeline)
            && let Some(branch) = &pipeline.branch
        {
            watches.insert(Watch::FollowBranch { branch: branch.clone(), every: pipeline.poll });
        }
        for (number, run) in &self.runs {
            self.deadlines(Owner::Run(*number), run.plan.as_ref(), &mut watches);
        }
        for (number, deployment) in &self.deployments {
            self.deadlines(Owner::Deployment(*number), Some(&deployment.plan), &mut watches);
            if let Some(epoch) = deployment.lease {
                let environment = deployment.environment.clone();
                watches.insert(Watch::HoldLease { environment, deployment: *number, epoch });
            }
            for (key, _) in self.open_attempts(Owner::Deployment(*number)) {
                if matches!(deployment.plan.step(&key.step).map(|step| &step.work), Some(Work::Bake { .. })) {
                    watches.insert(Watch::FollowBake { key });
                }
            }
        }
        self.of_environments(&mut watches);
        watches.extend(
            self.kept.iter().map(|kept| Watch::RemoveKept { key: kept.key.clone(), until: kept.until }),
        );
        watches
    }

    /// What is meant to live is looked after, and asked how it is.
    fn of_environments(&self, watches: &mut BTreeSet<Watch>) {
        let names: BTreeSet<&EnvironmentName> =
            self.deployments.values().map(|deployment| &deployment.environment).collect();
        for name in names {
            let running = self.running(name);
            let newest = self.deployments.values().rev().find(|deployment| &deployment.environment == name);
            if let Some(newest) = newest.filter(|newest| newest.is_open() || !running.is_empty()) {
                // The environment as it is configured today, or as it was when it was last deployed to.
                let today = self.project.as_ref().and_then(|project| project.environments.get(name));
                let settings = today.unwrap_or(&newest.settings);
                watches.insert(Watch::Probe {
                    environment: name.clone(),
                    health: settings.health.clone(),
                    url: settings.url.clone(),
                });
            }
            watches.extend(running.into_iter().map(|replica| Watch::KeepReplica { replica }));
        }
    }

    fn deadlines(&self, owner: Owner, plan: Option<&Plan>, watches: &mut BTreeSet<Watch>) {
        for (key, state) in self.open_attempts(owner) {
            // What is being looked at may have ended in time, while no engine was there to see it.
            if state.timed_out || state.phase == StepPhase::Observing {
                continue;
            }
            if let (Some(step), Some(since)) = (plan.and_then(|plan| plan.step(&key.step)), state.started) {
                watches.insert(Watch::Deadline { key, since, after: step.timeout });
            }
        }
    }
}

impl Run {
    /// Whether it takes one of the places that `[pipeline] runs` gives.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self.phase, RunPhase::Preparing | RunPhase::Running | RunPhase::Cancelling { .. })
    }
}

impl Deployment {
    /// Whether it is not over yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.phase, DeploymentPhase::Ended(_))
    }
}
