//! What runs in an environment by the record, and who has its traffic: told from the steps that were begun, not
//! from today's configuration, which may want other roles and other numbers.

use std::collections::BTreeSet;

use super::ids::{DeploymentId, EnvironmentName, ReplicaKey};
use super::plan::{Replicas, Share, Target, Work};
use super::planner::ROUTED_ROLE;
use super::project::SecretSource;
use super::state::{Deployment, State, StepPhase, StepState};

impl State {
    /// Every replica of an environment that is meant to live: started, and not stopped.
    #[must_use]
    pub fn running(&self, environment: &EnvironmentName) -> BTreeSet<ReplicaKey> {
        let mut running = BTreeSet::new();
        // Ascending: a replica is stopped by its own deployment or by a later one.
        for (number, deployment) in self.deployments.iter().filter(|(_, one)| &one.environment == environment)
        {
            for (step, state) in self.begun(deployment) {
                match &step.work {
                    Work::Start(replicas) => running.extend(keys(replicas, *number)),
                    Work::Stop(replicas) if state.phase == StepPhase::Passed => {
                        for key in keys(replicas, *number) {
                            running.remove(&key);
                        }
                    }
                    _ => {}
                }
            }
        }
        running
    }

    /// Those of [`running`](Self::running) that nobody has begun to let go of.
    #[must_use]
    pub fn untouched(&self, environment: &EnvironmentName) -> BTreeSet<ReplicaKey> {
        let mut untouched = self.running(environment);
        for (number, deployment) in self.deployments.iter().filter(|(_, one)| &one.environment == environment)
        {
            for (step, _) in self.begun(deployment) {
                if let Work::Drain(replicas) | Work::Stop(replicas) = &step.work {
                    for key in keys(replicas, *number) {
                        untouched.remove(&key);
                    }
                }
            }
        }
        untouched
    }

    fn begun<'a>(
        &self,
        deployment: &'a Deployment,
    ) -> impl Iterator<Item = (&'a super::plan::Step, &'a StepState)> + use<'a> {
        let steps = deployment.plan.steps.iter();
        steps
            .filter_map(|step| deployment.steps.get(&step.id).map(|state| (step, state)))
            .filter(|(_, state)| state.attempt > 0)
    }

    /// Who has which share of an environment's traffic since the last switch that was confirmed; empty before the
    /// first. Every share names its deployment.
    #[must_use]
    pub fn traffic(&self, environment: &EnvironmentName) -> Vec<Share> {
        let newest = self.deployments.iter().rev().filter(|(_, one)| &one.environment == environment);
        for (number, deployment) in newest {
            let shifts = deployment.plan.steps.iter().rev().filter_map(|step| match &step.work {
                Work::Shift { shares, .. } => {
                    let passed =
                        deployment.steps.get(&step.id).is_some_and(|state| state.phase == StepPhase::Passed);
                    passed.then_some(shares)
                }
                _ => None,
            });
            if let Some(shares) = shifts.into_iter().next() {
                let named = |share: &Share| {
                    let mut share = share.clone();
                    share.replicas.of.get_or_insert(*number);
                    share
                };
                return shares.iter().map(named).collect();
            }
        }
        Vec::new()
    }

    /// Whether any traffic was, or is about to be, given to replicas of a deployment.
    #[must_use]
    pub fn had_traffic(&self, number: DeploymentId) -> bool {
        self.deployments.iter().any(|(own, deployment)| {
            self.begun(deployment).any(|(step, _)| match &step.work {
                Work::Shift { shares, .. } => {
                    shares.iter().any(|share| share.replicas.of.unwrap_or(*own) == number)
                }
                _ => false,
            })
        })
    }

    /// The replicas that made a deployment live: its own, and, where a rollback found an earlier set still warm,
    /// those of that one whose roles it did not start itself.
    #[must_use]
    pub fn set_of(&self, number: DeploymentId) -> BTreeSet<ReplicaKey> {
        let Some(deployment) = self.deployments.get(&number) else { return BTreeSet::new() };
        let mut set = BTreeSet::new();
        let mut earlier = None;
        for step in &deployment.plan.steps {
            match &step.work {
                Work::Start(replicas) => set.extend(keys(replicas, number)),
                Work::Shift { of: Some(of), .. } => earlier = Some(*of),
                _ => {}
            }
        }
        // An earlier one always: this ends.
        if let Some(earlier) = earlier.filter(|earlier| *earlier < number) {
            let own: BTreeSet<String> = set.iter().map(|key| key.role.clone()).collect();
            set.extend(self.set_of(earlier).into_iter().filter(|key| !own.contains(&key.role)));
        }
        set
    }

    /// The variables that secrets are taken from, of every environment as it is configured today or was when it was
    /// last deployed to: they are the engine's to pass on to deployments, and to nothing else.
    #[must_use]
    pub fn secret_variables(&self) -> BTreeSet<String> {
        let today = self.project.iter().flat_map(|project| project.environments.values());
        let deployed = self.deployments.values().map(|deployment| &deployment.settings);
        let sources = today.chain(deployed).flat_map(|environment| environment.secrets.values());
        sources.filter_map(SecretSource::variable).map(ToOwned::to_owned).collect()
    }

    /// Replicas as a plan's steps name them: runs of one role of one deployment, the routed role first.
    #[must_use]
    pub fn grouped(&self, keys: &BTreeSet<ReplicaKey>) -> Vec<Replicas> {
        let mut groups: Vec<Replicas> = Vec::new();
        for key in keys {
            if let Some(last) = groups.last_mut()
                && last.of == Some(key.deployment)
                && last.role == key.role
                && last.first + last.count == key.index
            {
                last.count += 1;
                continue;
            }
            let Some(deployment) = self.deployments.get(&key.deployment) else { continue };
            let Some(release) = self.releases.get(&deployment.release) else { continue };
            groups.push(Replicas {
                target: Target {
                    environment: key.environment.clone(),
                    release: release.number,
                    artifact: release.artifact.clone(),
                },
                role: key.role.clone(),
                first: key.index,
                count: 1,
                of: Some(key.deployment),
            });
        }
        groups.sort_by_key(|group| group.role != ROUTED_ROLE);
        groups
    }
}

/// The replicas that a step is about.
pub fn keys(replicas: &Replicas, own: DeploymentId) -> impl Iterator<Item = ReplicaKey> + use<> {
    let (environment, role) = (replicas.target.environment.clone(), replicas.role.clone());
    let deployment = replicas.of.unwrap_or(own);
    (replicas.first..replicas.first.saturating_add(replicas.count)).map(move |index| ReplicaKey {
        environment: environment.clone(),
        deployment,
        role: role.clone(),
        index,
    })
}
