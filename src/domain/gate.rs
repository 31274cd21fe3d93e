//! What must hold before something may go live, and what there is to go back to.

use serde::{Deserialize, Serialize};

use super::command::{Refusal, RefusalKind};
use super::ids::{DeploymentId, EnvironmentName, ReleaseNumber};
use super::project::Environment;
use super::release::Release;
use super::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, RollbackVerdict, State, WayBack};

/// One thing that is looked at before a promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Whether it holds.
    pub state: GateState,
    /// What it says, a few words: `verified on staging by #14`.
    pub words: String,
    /// What to do where it does not hold; empty otherwise.
    pub cure: String,
}

/// Whether a gate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateState {
    /// It does.
    Holds,
    /// It does not stand in the way, and is worth knowing.
    Warns,
    /// It does not: the promotion is refused.
    Fails,
}

impl Refusal {
    /// A refusal of that kind.
    #[must_use]
    pub fn new(kind: RefusalKind, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: hint.into() }
    }
}

impl State {
    /// The deployment that is live in an environment by the record: the newest that ended live.
    #[must_use]
    pub fn live(&self, environment: &EnvironmentName) -> Option<(DeploymentId, &Deployment)> {
        self.deployments_of(environment).find(|(_, deployment)| {
            matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live | Ending::LiveUnverified { .. }))
        })
    }

    /// The deployment that is under way in an environment.
    #[must_use]
    pub fn under_way(&self, environment: &EnvironmentName) -> Option<(DeploymentId, &Deployment)> {
        self.deployments_of(environment).find(|(_, deployment)| deployment.is_open())
    }

    /// Newest first.
    fn deployments_of<'a, 'b>(
        &'a self,
        environment: &'b EnvironmentName,
    ) -> impl Iterator<Item = (DeploymentId, &'a Deployment)> + use<'a, 'b> {
        let all = self.deployments.iter().rev();
        all.filter(move |(_, deployment)| &deployment.environment == environment)
            .map(|(number, deployment)| (*number, deployment))
    }

    /// Whether a rollback took this deployment back (or is about to, or tried and broke on the way: somebody
    /// wanted it gone). One that touched nothing does not count.
    #[must_use]
    pub fn is_taken_back(&self, deployment: DeploymentId) -> bool {
        self.deployments.values().any(|other| {
            let takes_it = matches!(other.kind, DeploymentKind::Rollback { of, .. } if of == deployment);
            takes_it && !matches!(other.phase, DeploymentPhase::Ended(Ending::RolledBack { .. }))
        })
    }

    /// What a rollback goes back to: the newest deployment here that was live and verified, of another artifact
    /// than what is live now, and not taken back since.
    #[must_use]
    pub fn rollback_target(&self, environment: &EnvironmentName) -> Option<(DeploymentId, &Deployment)> {
        let current = self.live(environment)?;
        self.target_before(environment, current)
    }

    fn target_before(
        &self,
        environment: &EnvironmentName,
        (from, current): (DeploymentId, &Deployment),
    ) -> Option<(DeploymentId, &Deployment)> {
        self.deployments_of(environment).find(|(number, deployment)| {
            *number != from
                && matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live))
                && !self.same_artifact(deployment.release, current.release)
                && !self.is_taken_back(*number)
        })
    }

    fn same_artifact(&self, one: ReleaseNumber, other: ReleaseNumber) -> bool {
        let id = |number| self.releases.get(&number).map(|release| &release.artifact.id);
        one == other || (id(one).is_some() && id(one) == id(other))
    }

    /// What going from one release back to another means, as far as anybody has looked: SAFE where both have
    /// the same migration leaves with the same content, else UNKNOWN.
    #[must_use]
    pub fn verdict_between(&self, from: ReleaseNumber, to: ReleaseNumber) -> RollbackVerdict {
        let (Some(from), Some(to)) = (self.releases.get(&from), self.releases.get(&to)) else {
            return RollbackVerdict::Unknown { why: "One of the releases is not known here.".to_owned() };
        };
        if from.migrations == to.migrations {
            RollbackVerdict::Safe
        } else {
            let why = format!("{} and {} carry different migrations.", from.number, to.number);
            RollbackVerdict::Unknown { why }
        }
    }

    /// The way back from a release that is about to go live: to what is live now.
    #[must_use]
    pub fn way_back_from(&self, environment: &EnvironmentName, release: ReleaseNumber) -> WayBack {
        match self.live(environment) {
            Some((target, live)) => {
                WayBack { target: Some(target), verdict: self.verdict_between(release, live.release) }
            }
            None => WayBack { target: None, verdict: RollbackVerdict::NoTarget },
        }
    }

    /// An environment as configured.
    ///
    /// # Errors
    /// A refusal that names the environments there are.
    pub fn environment(&self, name: &EnvironmentName) -> Result<&Environment, Refusal> {
        let all = self.project.as_ref().map(|project| &project.environments);
        all.and_then(|all| all.get(name)).ok_or_else(|| {
            let names: Vec<&str> = all.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            let hint = if names.is_empty() {
                "towpath.toml names no environment.".to_owned()
            } else {
                format!("There are: {}.", names.join(", "))
            };
            Refusal::new(RefusalKind::Unknown, format!("There is no environment \"{name}\"."), hint)
        })
    }

    /// A release by its number.
    ///
    /// # Errors
    /// A refusal when there is none.
    pub fn release(&self, number: ReleaseNumber) -> Result<&Release, Refusal> {
        self.releases.get(&number).ok_or_else(|| {
            let newest = self.releases.keys().next_back();
            let hint = newest.map_or_else(
                || "No commit has passed its pipeline yet.".to_owned(),
                |newest| format!("The newest is {newest}."),
            );
            Refusal::new(RefusalKind::Unknown, format!("There is no release {number}."), hint)
        })
    }

    /// Whether a release may go to an environment: it was verified on the environment that comes before, by a
    /// deployment not taken back since.
    ///
    /// # Errors
    /// A refusal that says where it must be verified first.
    pub fn promotable(&self, environment: &EnvironmentName, release: ReleaseNumber) -> Result<(), Refusal> {
        let Some(after) = &self.environment(environment)?.after else { return Ok(()) };
        let proven = self.deployments_of(after).any(|(number, deployment)| {
            self.same_artifact(deployment.release, release)
                && matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live))
                && !self.is_taken_back(number)
        });
        if proven {
            return Ok(());
        }
        Err(Refusal::new(
            RefusalKind::Gate,
            format!("{release} was never verified on {after}, or was taken back there."),
            format!("Deploy it to {after} first."),
        ))
    }
}
