//! Outside work as data, and how it ended.

use serde::{Deserialize, Serialize};

use super::command::CommitFacts;
use super::finding::Finding;
use super::ids::{AttemptKey, CommitId, DeploymentId, EnvironmentName, Epoch, RunId};
use super::plan::{Cause, Output, Plan, Verdict};
use super::state::Live;

/// One piece of one-shot outside work. The engine starts each that is pending and not in flight.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Effect {
    /// Read a commit's configuration, detect its presets, make its plan.
    Prepare {
        /// For which run.
        run: RunId,
        /// Which commit.
        commit: CommitId,
    },
    /// Start an attempt (or find that it was started already) and wait for its end.
    Attempt {
        /// Which attempt.
        key: AttemptKey,
    },
    /// After a restart: find out what became of an attempt that was open, without starting anything.
    Observe {
        /// Which attempt.
        key: AttemptKey,
    },
    /// Stop an attempt that runs.
    Stop {
        /// Which attempt.
        key: AttemptKey,
    },
    /// Take the environment's lease.
    AcquireLease {
        /// Where.
        environment: EnvironmentName,
        /// For which deployment.
        deployment: DeploymentId,
    },
    /// Take the environment's lease from whoever was seen to hold it.
    BreakLease {
        /// Where.
        environment: EnvironmentName,
        /// From whom.
        who: String,
        /// Who has held it since then.
        since: super::time::Timestamp,
    },
    /// Look at what is really live.
    ObserveEnvironment {
        /// Where.
        environment: EnvironmentName,
        /// For which deployment's end.
        deployment: DeploymentId,
    },
}

/// How a piece of outside work ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// The engine has loaded the journal and looks after it from here on.
    EngineStarted {
        /// The program's version.
        version: String,
    },
    /// The operator's configuration was read (again).
    ProjectLoaded {
        /// What it says.
        project: Box<super::project::Project>,
        /// Its hash.
        config: String,
    },
    /// A followed branch points here.
    BranchSeen {
        /// Which branch.
        branch: String,
        /// Its tip.
        commit: CommitFacts,
    },
    /// A followed branch starts no runs now.
    BranchNotSeen {
        /// Which branch.
        branch: String,
        /// Why, a sentence.
        why: String,
    },
    /// A commit was planned, or could not be.
    Prepared {
        /// For which run.
        run: RunId,
        /// The plan with what was noticed, or why there is none.
        plan: Result<(Plan, Vec<Finding>), Cause>,
    },
    /// An attempt ended.
    Finished {
        /// Which attempt.
        key: AttemptKey,
        /// How.
        verdict: Verdict,
        /// What it left behind.
        output: Box<Output>,
    },
    /// What a failed attempt had kept on an engine is gone.
    KeptRemoved {
        /// Which attempt.
        key: AttemptKey,
    },
    /// What became of an attempt that was open.
    Observed {
        /// Which attempt.
        key: AttemptKey,
        /// What was found.
        found: Found,
    },
    /// The lease was taken from whoever held it, or not.
    LeaseBreak {
        /// Where.
        environment: EnvironmentName,
        /// Why not, a clause.
        done: Result<(), String>,
    },
    /// The lease was had, or not.
    Lease {
        /// For which deployment.
        deployment: DeploymentId,
        /// The epoch, or who has it.
        lease: Result<Epoch, String>,
    },
    /// What is live was looked at.
    EnvironmentObserved {
        /// Where.
        environment: EnvironmentName,
        /// For which deployment's end.
        deployment: DeploymentId,
        /// What answers there.
        live: Option<Live>,
    },
}

/// What became of an attempt that was open when an engine died.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Found {
    /// It ended while no engine looked.
    Finished {
        /// How.
        verdict: Verdict,
        /// What it left behind.
        output: Box<Output>,
    },
    /// It still runs, or never began: either way an `Attempt` of the same key is right, for it starts at most once.
    Open,
    /// It began, and died without a word (a reboot, a kill): it has to be done again.
    Lost,
}
