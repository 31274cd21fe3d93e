//! What did happen. The journal is a list of these; the state is their fold.

use serde::{Deserialize, Serialize};

use super::command::CommitFacts;
use super::ids::{Actor, AttemptKey, DeploymentId, EnvironmentName, Epoch, Owner, RunId, Seq, StepId};
use super::plan::{Cause, Output, Plan, Verdict};
use super::project::{Environment, Project};
use super::release::Release;
use super::state::{DeploymentKind, Ending, Live, RunEnd, WayBack};
use super::time::Timestamp;

/// The version of the event payloads that this program writes. An unknown version is refused, never guessed.
pub const PAYLOAD_VERSION: u32 = 1;

/// One row of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Its place.
    pub seq: Seq,
    /// When it was written.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}

/// Something that happened, in the past tense.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Event {
    /// An engine took over this journal. Attempts that were open are looked at before anything is redone.
    EngineStarted {
        /// The program's version.
        version: String,
    },
    /// The operator's configuration was read: environments and limits come from here.
    ProjectLoaded {
        /// What it says.
        project: Box<Project>,
        /// Its hash.
        config: String,
    },
    /// The followed branch was seen at this commit.
    BranchSeen {
        /// The branch.
        branch: String,
        /// Its tip.
        commit: CommitFacts,
    },
    /// The followed branch starts no runs now: it is not there, could not be looked at, or there is no room for one.
    BranchNotSeen {
        /// The branch.
        branch: String,
        /// Why, a sentence.
        why: String,
    },
    /// A run was asked for.
    RunQueued {
        /// Its number.
        run: RunId,
        /// Its commit.
        commit: CommitFacts,
        /// The last step to run.
        until: Option<StepId>,
        /// Whether the followed branch asked for it (and not a person).
        followed: bool,
    },
    /// A newer commit of the followed branch made this queued run needless.
    RunSuperseded {
        /// The run.
        run: RunId,
        /// The run that took its place.
        by: RunId,
    },
    /// Its turn came: its commit is read and a plan is made.
    RunStarted {
        /// The run.
        run: RunId,
    },
    /// The commit was read: this is what will be done.
    RunPlanned {
        /// The run.
        run: RunId,
        /// The plan.
        plan: Plan,
        /// What was noticed while planning.
        findings: Vec<super::finding::Finding>,
    },
    /// The commit could not be planned (no configuration, a mistake in it, no such commit).
    RunUnplannable {
        /// The run.
        run: RunId,
        /// Why.
        cause: Cause,
    },
    /// All that can be done is done; inconclusive checks wait for a person's word.
    RunHeld {
        /// The run.
        run: RunId,
        /// The checks that wait.
        waits_for: Vec<StepId>,
    },
    /// A person asked that it stops.
    RunCancelled {
        /// The run.
        run: RunId,
        /// Whether running steps are stopped too.
        now: bool,
    },
    /// A person asked that a step is tried again. A run that had ended, or was held, goes on from it when it
    /// has a place.
    StepRetried {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
    },
    /// A run ended. (A run that waits for an acknowledgement has not ended.)
    RunFinished {
        /// The run.
        run: RunId,
        /// How.
        end: RunEnd,
    },
    /// An attempt is about to touch the outside world. On disk before it does.
    StepStarted {
        /// Which attempt.
        key: AttemptKey,
    },
    /// An attempt passed its deadline; it is being stopped.
    StepTimedOut {
        /// Which attempt.
        key: AttemptKey,
    },
    /// An attempt ended.
    StepFinished {
        /// Which attempt.
        key: AttemptKey,
        /// How.
        verdict: Verdict,
        /// What it left behind.
        output: Output,
    },
    /// What a failed attempt had kept on an engine was removed.
    KeptRemoved {
        /// Which attempt.
        key: AttemptKey,
    },
    /// A person accepted an inconclusive check.
    StepAcknowledged {
        /// Whose step.
        owner: Owner,
        /// Which step.
        step: StepId,
        /// Why.
        reason: String,
    },
    /// A tested artifact got its number.
    ReleaseCreated {
        /// The release.
        release: Release,
    },
    /// A deployment was confirmed.
    DeploymentCreated {
        /// Its number.
        deployment: DeploymentId,
        /// Where.
        environment: EnvironmentName,
        /// Why it exists.
        kind: DeploymentKind,
        /// What will be done.
        plan: Plan,
        /// The release that it makes live.
        release: super::ids::ReleaseNumber,
        /// The reason given.
        reason: String,
        /// The lease it takes over from the deployment that it takes back.
        lease: Option<Epoch>,
        /// The environment as it was configured when this was confirmed: the deployment goes by it to its end.
        #[serde(default)]
        settings: Box<Environment>,
    },
    /// The way back was fixed, before anything was touched.
    WayBackFixed {
        /// For which deployment.
        deployment: DeploymentId,
        /// What it is.
        way_back: WayBack,
    },
    /// The environment's lease is held.
    LeaseAcquired {
        /// By which deployment.
        deployment: DeploymentId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// The lease could not be had, or was lost.
    LeaseDenied {
        /// By which deployment.
        deployment: DeploymentId,
        /// Who has it, or what went wrong.
        reason: String,
    },
    /// A person takes an environment's lease from whoever holds it.
    LeaseBreakBegun {
        /// Where.
        environment: EnvironmentName,
        /// From whom.
        who: String,
        /// Who has held it since then.
        since: Timestamp,
        /// Why.
        reason: String,
    },
    /// It was taken from them, or could not be.
    LeaseBreakEnded {
        /// Where.
        environment: EnvironmentName,
        /// Why not, a clause; `None` when it was.
        trouble: Option<String>,
    },
    /// A deployment waits for a person before its next step.
    DeploymentHeld {
        /// Which deployment.
        deployment: DeploymentId,
        /// Why.
        reason: String,
    },
    /// A person let it go on.
    DeploymentResumed {
        /// Which deployment.
        deployment: DeploymentId,
        /// Why.
        reason: String,
    },
    /// A deployment's steps are over; what is really there is looked at before anything is said.
    DeploymentStepsEnded {
        /// Which deployment.
        deployment: DeploymentId,
        /// Why it stopped early; `None` when every step passed.
        why: Option<String>,
    },
    /// What is really there was looked at.
    EnvironmentObserved {
        /// Where.
        environment: EnvironmentName,
        /// What answers there; `None` when nothing of ours does.
        live: Option<Live>,
    },
    /// A deployment ended.
    DeploymentFinished {
        /// Which deployment.
        deployment: DeploymentId,
        /// How, from what is really there.
        ending: Ending,
    },
}

impl Event {
    /// The run that an event is part of the story of; `None` for what concerns the project or a deployment.
    #[must_use]
    pub const fn run(&self) -> Option<RunId> {
        match self {
            Self::RunQueued { run, .. }
            | Self::RunSuperseded { run, .. }
            | Self::RunStarted { run }
            | Self::RunPlanned { run, .. }
            | Self::RunUnplannable { run, .. }
            | Self::RunHeld { run, .. }
            | Self::RunCancelled { run, .. }
            | Self::StepRetried { run, .. }
            | Self::RunFinished { run, .. } => Some(*run),
            Self::StepStarted { key }
            | Self::StepTimedOut { key }
            | Self::StepFinished { key, .. }
            | Self::KeptRemoved { key } => of_owner(key.owner),
            Self::StepAcknowledged { owner, .. } => of_owner(*owner),
            Self::ReleaseCreated { release } => Some(release.run),
            Self::EngineStarted { .. }
            | Self::ProjectLoaded { .. }
            | Self::BranchSeen { .. }
            | Self::BranchNotSeen { .. }
            | Self::DeploymentCreated { .. }
            | Self::WayBackFixed { .. }
            | Self::LeaseAcquired { .. }
            | Self::LeaseDenied { .. }
            | Self::LeaseBreakBegun { .. }
            | Self::LeaseBreakEnded { .. }
            | Self::DeploymentHeld { .. }
            | Self::DeploymentResumed { .. }
            | Self::EnvironmentObserved { .. }
            | Self::DeploymentStepsEnded { .. }
            | Self::DeploymentFinished { .. } => None,
        }
    }
}

const fn of_owner(owner: Owner) -> Option<RunId> {
    match owner {
        Owner::Run(run) => Some(run),
        Owner::Deployment(_) => None,
    }
}
