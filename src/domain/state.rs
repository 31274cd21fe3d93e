//! What is true now: the fold of the journal. Types here; the fold is in `fold.rs`, what follows from it
//! (pending effects, watches) in `due.rs`.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::command::CommitFacts;
use super::finding::Finding;
use super::ids::{
    Actor, AttemptKey, CommitId, DeploymentId, EnvironmentName, Epoch, Owner, ReleaseNumber, RunId, Seq,
    StepId,
};
use super::plan::{Cause, Output, Plan, Step, Work};
use super::project::{Environment, Project};
use super::release::Release;
use super::time::{Millis, Timestamp};

/// How many ended runs keep their plan and their steps in memory; older ones keep their summary. The journal
/// keeps everything.
pub const RUNS_KEPT_WHOLE: usize = 40;

/// How many past durations of a step are kept for estimates.
pub const DURATIONS_KEPT: usize = 9;

/// Everything that is known, without looking outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The last journal row folded in.
    pub seq: Seq,
    /// The operator's configuration: limits, followed branch, environments.
    pub project: Option<Project>,
    /// Its hash.
    pub config: String,
    /// Where followed branches were last seen.
    pub branches: BTreeMap<String, CommitId>,
    /// Why a followed branch is not seen at the moment, a sentence.
    #[serde(default)]
    pub unseen: BTreeMap<String, String>,
    /// Runs by number.
    pub runs: BTreeMap<RunId, Run>,
    /// Releases by number.
    pub releases: BTreeMap<ReleaseNumber, Release>,
    /// Deployments by number.
    pub deployments: BTreeMap<DeploymentId, Deployment>,
    /// What was last observed in each environment.
    pub observed: BTreeMap<EnvironmentName, Observation>,
    /// Durations of a step's latest passes, oldest first.
    pub durations: BTreeMap<StepId, VecDeque<Millis>>,
    /// The same of deployments' steps, by environment.
    #[serde(default)]
    pub deployment_durations: BTreeMap<EnvironmentName, BTreeMap<StepId, VecDeque<Millis>>>,
    /// Leases that are being taken from whoever holds them: from whom, and since when they have it.
    #[serde(default)]
    pub lease_breaks: BTreeMap<EnvironmentName, (String, Timestamp)>,
    /// What failed attempts have kept on engines and is not removed yet, also of runs that are let go.
    #[serde(default)]
    pub kept: Vec<KeptOnEngine>,
}

/// That a failed attempt's containers are kept on an engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOnEngine {
    /// Which attempt's.
    pub key: AttemptKey,
    /// When they are removed; in the past once nobody needs them any more.
    pub until: Timestamp,
}

/// One commit's way through its pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its commit.
    pub commit: CommitFacts,
    /// The last step to run; `None` runs all.
    pub until: Option<StepId>,
    /// Whether the followed branch asked for it.
    pub followed: bool,
    /// Who asked for it.
    pub by: Actor,
    /// When it was asked for.
    pub queued: Timestamp,
    /// When its turn came.
    pub started: Option<Timestamp>,
    /// When it ended (last).
    pub ended: Option<Timestamp>,
    /// Where it is.
    pub phase: RunPhase,
    /// What is done; `None` until it is planned, and again when the run is old.
    pub plan: Option<Plan>,
    /// Where each step is.
    pub steps: BTreeMap<StepId, StepState>,
    /// What was noticed while planning. (What steps noticed is in their output.)
    pub findings: Vec<Finding>,
    /// Why it could not be planned; or, of an old run, why its first failed step failed.
    pub cause: Option<Cause>,
    /// The step that failed first, with its cause's summary. Kept when the rest is let go.
    pub failed: Option<(StepId, String)>,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum RunPhase {
    /// Other runs go first.
    Queued,
    /// Its commit is being read.
    Preparing,
    /// Steps run, or are about to.
    Running,
    /// Everything that can be done is done; an inconclusive check waits for a person's word.
    Held,
    /// It stops: after the running steps, or with them.
    Cancelling {
        /// With them.
        now: bool,
    },
    /// It is over.
    Ended(RunEnd),
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RunEnd {
    /// Every step passed, was skipped, or was acknowledged.
    Passed {
        /// The release it made or found; `None` where it did not run to the end or builds no artifact.
        release: Option<ReleaseNumber>,
    },
    /// A step failed, or it could not be planned.
    Failed,
    /// A person stopped it.
    Cancelled,
    /// A newer commit of the followed branch took its place before it began.
    Superseded {
        /// That commit's run.
        by: RunId,
    },
}

/// Where a step is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepState {
    /// Where.
    pub phase: StepPhase,
    /// The last attempt's number; 0 before the first.
    pub attempt: u32,
    /// When the last attempt started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it left behind.
    pub output: Output,
    /// Why a person accepted that it was inconclusive.
    pub acknowledged: Option<String>,
    /// Its deadline has passed; it is being stopped.
    pub timed_out: bool,
    /// Why the attempt before did not do; `None` at the first.
    #[serde(default)]
    pub earlier: Option<String>,
}

/// Where a step is, in a word.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepPhase {
    /// Something it needs has not ended well, or there is no room yet.
    #[default]
    Waiting,
    /// An attempt runs.
    Running,
    /// An engine died while an attempt ran: it is being found out what became of it.
    Observing,
    /// It did what it should.
    Passed,
    /// It did not.
    Failed {
        /// Why.
        cause: Cause,
    },
    /// It could not do its work.
    Inconclusive {
        /// Why.
        reason: String,
    },
    /// It was stopped.
    Cancelled,
    /// This commit does not need it.
    Skipped {
        /// Why.
        why: String,
    },
}

impl StepState {
    /// Whether what stands on it may start.
    #[must_use]
    pub const fn lets_others_start(&self) -> bool {
        matches!(self.phase, StepPhase::Passed | StepPhase::Skipped { .. } | StepPhase::Inconclusive { .. })
    }

    /// Whether an attempt is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, StepPhase::Running | StepPhase::Observing)
    }

    /// Whether a person's word is wanted.
    #[must_use]
    pub const fn wants_acknowledgement(&self) -> bool {
        matches!(self.phase, StepPhase::Inconclusive { .. }) && self.acknowledged.is_none()
    }
}

/// One deployment's way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Where.
    pub environment: EnvironmentName,
    /// The release that it makes live.
    pub release: ReleaseNumber,
    /// Why it exists.
    pub kind: DeploymentKind,
    /// What is done.
    pub plan: Plan,
    /// The environment as it was configured when this was confirmed.
    #[serde(default)]
    pub settings: Environment,
    /// The reason given.
    pub reason: String,
    /// Who confirmed it.
    pub by: Actor,
    /// When.
    pub created: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The way back, fixed before anything was touched.
    pub way_back: WayBack,
    /// The environment's lease, while it is held.
    pub lease: Option<Epoch>,
    /// Where it is.
    pub phase: DeploymentPhase,
    /// Where each step is.
    pub steps: BTreeMap<StepId, StepState>,
}

/// Why a deployment exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum DeploymentKind {
    /// A release goes where it was not live.
    Promotion,
    /// The live release once more, with another configuration.
    Redeploy,
    /// A release that was live becomes live again.
    Rollback {
        /// The deployment that is taken back.
        of: DeploymentId,
        /// Whether the engine began it (and not a person).
        automatic: bool,
    },
}

/// Where a deployment is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum DeploymentPhase {
    /// It waits for the environment's lease.
    Leasing,
    /// Steps run, or are about to.
    Running,
    /// It waits for a person.
    Held {
        /// Why.
        reason: String,
    },
    /// Its steps are over; what is really there is being looked at.
    Observing {
        /// Why it stopped early; `None` when every step passed.
        failed: Option<String>,
    },
    /// It is being taken back.
    TakenBack {
        /// By which deployment.
        by: DeploymentId,
        /// Why.
        why: String,
    },
    /// It is over.
    Ended(Ending),
}

/// How a deployment ended, from what is really there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Ending {
    /// It is live and was verified.
    Live,
    /// It is live, but something about it could not be verified.
    LiveUnverified {
        /// What.
        why: String,
    },
    /// What was live before is live.
    RolledBack {
        /// Why.
        why: String,
    },
    /// Neither: a person has to look.
    Broken {
        /// What was found.
        why: String,
    },
}

/// The way back from a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// The deployment to go back to; `None` when there is none.
    pub target: Option<DeploymentId>,
    /// What going back means for the data.
    pub verdict: RollbackVerdict,
}

/// What a rollback means, said beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RollbackVerdict {
    /// The old release runs on today's schema.
    Safe,
    /// Nobody has looked, or could.
    Unknown {
        /// Why.
        why: String,
    },
    /// There is nothing to go back to.
    NoTarget,
}

/// What answers in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Which deployment's replicas have the traffic.
    pub deployment: DeploymentId,
    /// Whether they answer well.
    pub healthy: bool,
}

/// What was last seen in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When.
    pub at: Timestamp,
    /// What.
    pub live: Option<Live>,
}

impl State {
    /// The steps of a run or a deployment with where they are, in the plan's order. Empty when unknown.
    #[must_use]
    pub fn steps(&self, owner: Owner) -> Vec<(&Step, &StepState)> {
        let (plan, states) = match owner {
            Owner::Run(run) => match self.runs.get(&run) {
                Some(Run { plan: Some(plan), steps, .. }) => (plan, steps),
                _ => return Vec::new(),
            },
            Owner::Deployment(deployment) => match self.deployments.get(&deployment) {
                Some(Deployment { plan, steps, .. }) => (plan, steps),
                None => return Vec::new(),
            },
        };
        plan.steps.iter().filter_map(|step| states.get(&step.id).map(|state| (step, state))).collect()
    }

    /// How long a step is likely to take: the median of its latest passes.
    #[must_use]
    pub fn estimate(&self, step: &StepId) -> Option<Millis> {
        median(self.durations.get(step)?)
    }

    /// How long a deployment's step is likely to take: a bake as long as its window, the others the median of their
    /// latest passes there.
    #[must_use]
    pub fn deployment_estimate(&self, environment: &EnvironmentName, step: &Step) -> Option<Millis> {
        if let Work::Bake { window, .. } = step.work {
            return Some(window);
        }
        median(self.deployment_durations.get(environment)?.get(&step.id)?)
    }

    /// The release that was made from a commit.
    #[must_use]
    pub fn release_of(&self, commit: &CommitId) -> Option<&Release> {
        self.releases.values().rev().find(|release| &release.commit == commit)
    }

    /// Why the followed branch starts no runs at the moment; `None` when it does, or none is followed.
    #[must_use]
    pub fn branch_trouble(&self) -> Option<&str> {
        let branch = self.project.as_ref()?.pipeline.branch.as_ref()?;
        self.unseen.get(branch).map(String::as_str)
    }

    /// Whether anything is under way that an engine has to look after.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.runs.values().any(|run| !matches!(run.phase, RunPhase::Ended(_) | RunPhase::Held))
            || self
                .deployments
                .values()
                .any(|deployment| !matches!(deployment.phase, DeploymentPhase::Ended(_)))
    }
}

fn median(past: &VecDeque<Millis>) -> Option<Millis> {
    let mut past: Vec<Millis> = past.iter().copied().collect();
    past.sort_unstable();
    past.get(past.len() / 2).copied()
}
