//! What an operator wants to know.

use serde::{Deserialize, Serialize};

use super::command::CommitFacts;
use super::event::Envelope;
use super::gate::Gate;
use super::ids::{AttemptKey, DeploymentId, EnvironmentName, ReleaseNumber, ReplicaKey, RunId, Seq, StepId};
use super::plan::{Kept, Plan};
use super::state::{RollbackVerdict, RunEnd, RunPhase, WayBack};
use super::time::{Millis, Timestamp};

/// A question. Answering it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Query {
    /// Recent commits of every branch and tag, newest first, with how far each has come.
    Commits {
        /// How many at the most.
        limit: u32,
    },
    /// What a revision (branch, tag, short or long name) means.
    Resolve {
        /// As git reads it.
        revision: String,
    },
    /// Where an attempt's log is.
    Log {
        /// Which attempt.
        key: AttemptKey,
    },
    /// A failed step's kept directory.
    Kept {
        /// Which run.
        run: RunId,
        /// Which step.
        step: StepId,
    },
    /// Runs, newest first.
    History {
        /// How many at the most.
        limit: u32,
    },
    /// The journal's rows of one run, oldest first.
    Journal {
        /// Of which run; `None` is all.
        run: Option<RunId>,
        /// After this row.
        after: Seq,
        /// How many at the most.
        limit: u32,
    },
    /// Whether the journal's hash chain holds.
    VerifyChain,
    /// Who may change an environment now.
    Lease {
        /// Which.
        environment: EnvironmentName,
    },
    /// What a promotion would do.
    PreviewPromotion {
        /// Where.
        environment: EnvironmentName,
        /// What.
        release: ReleaseNumber,
    },
    /// What a rollback would do; or, while a deployment is under way, taking that one back.
    PreviewRollback {
        /// Where.
        environment: EnvironmentName,
        /// The deployment to go back to; `None` is the rollback target.
        to: Option<DeploymentId>,
    },
    /// Where the logs of an environment's newest deployments are: their steps' and their replicas'.
    Sources {
        /// Where.
        environment: EnvironmentName,
    },
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Answer {
    /// To `Commits`.
    Commits {
        /// Newest first.
        commits: Vec<CommitRow>,
    },
    /// To `Lease`.
    Lease {
        /// Who; `None`: nobody.
        holder: Option<super::health::LeaseHolder>,
    },
    /// To `Resolve`.
    Resolved {
        /// The commit.
        commit: CommitFacts,
    },
    /// To `Log`.
    Log {
        /// The directory of its segments, on the engine's host. It may not exist yet.
        directory: String,
    },
    /// To `Kept`.
    Kept {
        /// The directory and its environment.
        kept: Kept,
    },
    /// To `History`.
    History {
        /// Newest first.
        runs: Vec<RunSummary>,
    },
    /// To `Journal`.
    Journal {
        /// Oldest first.
        rows: Vec<Envelope>,
    },
    /// To `VerifyChain`.
    Chain {
        /// Rows that were read.
        rows: u64,
        /// The first row whose hash does not fit, and what is wrong with it.
        broken: Option<(Seq, String)>,
    },
    /// To `PreviewPromotion`.
    Promotion {
        /// What would be done.
        preview: Box<PromotionPreview>,
    },
    /// To `PreviewRollback`.
    Rollback {
        /// What would be done.
        preview: Box<RollbackPreview>,
    },
    /// To `Sources`.
    Sources {
        /// The newest deployment's first.
        sources: Vec<LogSource>,
    },
}

/// What a promotion would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPreview {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: ReleaseNumber,
    /// What is live there now.
    pub from: Option<(DeploymentId, ReleaseNumber)>,
    /// What would be done; its digest is what is confirmed.
    pub plan: Plan,
    /// What must hold, and what is worth knowing.
    pub gates: Vec<Gate>,
    /// The commits that it brings, newest first; bounded.
    pub commits: Vec<CommitFacts>,
    /// Whether the commits are only some of them, or could not be read: why.
    pub commits_note: String,
    /// The migrations that it brings, by name.
    pub migrations: Vec<String>,
    /// How long it is likely to take; `None` where a step was never done there.
    pub estimate: Option<Millis>,
    /// What going back would mean afterwards.
    pub way_back: WayBack,
    /// Whether the environment's name must be typed, with a reason.
    pub protected: bool,
}

/// What a rollback would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackPreview {
    /// Where.
    pub environment: EnvironmentName,
    /// The deployment that would be taken back, and its release.
    pub from: (DeploymentId, ReleaseNumber),
    /// The deployment that would be gone back to, and its release.
    pub to: (DeploymentId, ReleaseNumber),
    /// Whether that one's replicas still run: then it is one switch of traffic.
    pub warm: bool,
    /// What it means for the data.
    pub verdict: RollbackVerdict,
    /// What would be done.
    pub plan: Plan,
    /// Other deployments that were live and verified here, newest first.
    pub others: Vec<(DeploymentId, ReleaseNumber)>,
    /// How long it is likely to take.
    pub estimate: Option<Millis>,
}

/// A log that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSource {
    /// In a few letters: `web-1 #112`, `migrate #112`.
    pub label: String,
    /// The deployment that it belongs to.
    pub deployment: DeploymentId,
    /// The replica that says it; `None` is a step.
    pub replica: Option<ReplicaKey>,
    /// The directory of its segments, on the engine's host. It may not exist yet.
    pub directory: String,
}

/// One commit in a list to pick from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRow {
    /// The commit.
    pub commit: CommitFacts,
    /// Its newest run, when it has one, and how far that came.
    pub run: Option<(RunId, RunPhase)>,
    /// The release that was made of it.
    pub release: Option<ReleaseNumber>,
}

/// One line of history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// Its number.
    pub run: RunId,
    /// Its commit.
    pub commit: CommitFacts,
    /// Who asked for it.
    pub by: super::ids::Actor,
    /// When it was asked for.
    pub queued: Timestamp,
    /// How long it took from its start, when it has ended.
    pub took: Option<Millis>,
    /// How it ended, when it has.
    pub end: Option<RunEnd>,
    /// The release it made.
    pub release: Option<ReleaseNumber>,
    /// The step that failed first, with the cause's summary.
    pub failed: Option<(StepId, String)>,
}
