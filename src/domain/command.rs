//! What an operator asks of the engine.

use serde::{Deserialize, Serialize};

use super::ids::{CommitId, DeploymentId, EnvironmentName, PlanDigest, ReleaseNumber, RunId, StepId};
use super::plan::PlanParts;

/// A request that may change something. The engine decides; a refusal says why and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "with")]
pub enum Command {
    /// Walk a commit through the pipeline.
    StartRun {
        /// The commit, as the engine resolved it.
        commit: CommitFacts,
        /// The last step to run; `None` runs all.
        until: Option<StepId>,
    },
    /// Stop a run: between steps, or at once.
    CancelRun {
        /// Which run.
        run: RunId,
        /// Stop the running steps too instead of letting them end.
        now: bool,
    },
    /// Try a failed or inconclusive step once more; the run goes on from there.
    RetryStep {
        /// Which run.
        run: RunId,
        /// Which step.
        step: StepId,
    },
    /// Say that an inconclusive check is acceptable, and why.
    Acknowledge {
        /// Which run.
        run: RunId,
        /// Which step.
        step: StepId,
        /// Why; never empty.
        reason: String,
    },
    /// Deploy a release to an environment.
    Promote(Promote),
    /// Deploy the release that was live before, or another one that was.
    Rollback(Rollback),
    /// Go on with a held deployment.
    Go {
        /// Which deployment.
        deployment: DeploymentId,
        /// Why; never empty.
        reason: String,
    },
    /// Hold a deployment before its next step.
    Hold {
        /// Which deployment.
        deployment: DeploymentId,
    },
    /// Take a deployment back: the way back that was fixed when it started.
    Back {
        /// Which deployment.
        deployment: DeploymentId,
        /// What was typed: the environment's name unless the verdict is SAFE.
        confirm: String,
        /// Why.
        reason: String,
    },
    /// End a held deployment as it is: nothing more is done, and its environment is free for another.
    Leave {
        /// Which deployment.
        deployment: DeploymentId,
        /// What was typed: the environment's name.
        confirm: String,
        /// Why; never empty.
        reason: String,
    },
    /// Take an environment's lease from somebody who does not give it back.
    BreakLease {
        /// Where.
        environment: EnvironmentName,
        /// Who was seen to hold it: nobody else's is broken.
        who: String,
        /// And since when.
        since: super::time::Timestamp,
        /// What was typed: the environment's name.
        confirm: String,
        /// Why; never empty.
        reason: String,
    },
}

/// A promotion, as confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promote {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: ReleaseNumber,
    /// The digest of the plan that was looked at.
    pub plan: PlanDigest,
    /// The parts of that plan, where the asker still has them: a refusal then names what changed.
    pub seen: Option<PlanParts>,
    /// What was typed: the environment's name where it is protected.
    pub confirm: String,
    /// Why; kept in the journal.
    pub reason: String,
}

/// A rollback, as confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// Where.
    pub environment: EnvironmentName,
    /// The deployment that was live when it was looked at.
    pub from: DeploymentId,
    /// The deployment to go back to; `None` is the rollback target.
    pub to: Option<DeploymentId>,
    /// What was typed: the environment's name unless the verdict is SAFE.
    pub confirm: String,
    /// Why.
    pub reason: String,
}

/// A commit as git knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitFacts {
    /// Its full name.
    pub id: CommitId,
    /// Subject line.
    pub subject: String,
    /// Author's name.
    pub author: String,
    /// Author date, milliseconds since the epoch, UTC.
    pub authored: super::time::Timestamp,
    /// The tags on it, sorted.
    pub tags: Vec<String>,
    /// The branches whose tip it is, sorted.
    pub branches: Vec<String>,
}

impl CommitFacts {
    /// The version that its tags give: the first tag that reads as `v1.2.3` or `1.2.3`, without the `v`.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        self.tags.iter().map(|tag| tag.strip_prefix('v').unwrap_or(tag)).find_map(|tag| {
            let numeric = tag.split('.').count() >= 2
                && tag
                    .split('.')
                    .next()
                    .is_some_and(|major| !major.is_empty() && major.bytes().all(|b| b.is_ascii_digit()));
            numeric.then(|| tag.to_owned())
        })
    }
}

/// Why a command was not carried out. Always says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What sort of refusal; decides the exit code.
    pub kind: RefusalKind,
    /// One sentence with its period.
    pub message: String,
    /// What to do instead; may be empty.
    pub hint: String,
}

/// Sorts of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// There is no such run, step, release, environment.
    Unknown,
    /// It can't be done in this state.
    State,
    /// A gate does not hold.
    Gate,
    /// What was looked at is no longer what would be done.
    Stale,
    /// The confirmation is missing or is not the environment's name.
    Confirmation,
    /// This viewer may not command.
    ReadOnly,
}
