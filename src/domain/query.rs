//! What an operator wants to know.

use serde::{Deserialize, Serialize};

use super::command::CommitFacts;
use super::event::Envelope;
use super::ids::{AttemptKey, EnvironmentName, ReleaseNumber, RunId, Seq, StepId};
use super::plan::{Kept, Plan};
use super::state::{RunEnd, RunPhase};
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
    /// What a promotion would do.
    PreviewPromotion {
        /// Where.
        environment: EnvironmentName,
        /// What.
        release: ReleaseNumber,
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
        plan: Plan,
    },
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
