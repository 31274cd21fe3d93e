//! Outside work that lasts, as data. Derived from the state: the engine starts what is missing, stops what is extra.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptKey, DeploymentId, EnvironmentName, Epoch, ReplicaKey};
use super::project::HealthCheck;
use super::time::{Millis, Timestamp};

/// One piece of lasting work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Watch {
    /// Look at a branch's tip.
    FollowBranch {
        /// Which branch.
        branch: String,
        /// How often.
        every: Millis,
    },
    /// Say when an attempt's time is up.
    Deadline {
        /// Which attempt.
        key: AttemptKey,
        /// When it began: an engine that takes it over does not give it its time anew.
        since: Timestamp,
        /// How long one attempt may take.
        after: Millis,
    },
    /// Keep an environment's lease alive.
    HoldLease {
        /// Where.
        environment: EnvironmentName,
        /// For which deployment.
        deployment: DeploymentId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// See that a replica that is meant to live has somebody who looks after it.
    KeepReplica {
        /// Which.
        replica: ReplicaKey,
    },
    /// Ask an environment how it is: its replicas, its traffic, its health.
    Probe {
        /// Where.
        environment: EnvironmentName,
        /// How.
        health: HealthCheck,
        /// Where its visitors ask.
        url: Option<String>,
    },
    /// Remove what a failed attempt has kept on an engine, once its time is up.
    RemoveKept {
        /// Which attempt's.
        key: AttemptKey,
        /// When.
        until: Timestamp,
    },
    /// Pass on what a bake has counted so far.
    FollowBake {
        /// Which attempt.
        key: AttemptKey,
    },
}

/// How long an engine stays for the removal of what is kept, beyond its time. Where a Docker engine does not answer for
/// so long, it may never again; the next engine tries again.
const REMOVAL: Millis = Millis::minutes(10);

impl Watch {
    /// Whether an engine stays for it where nothing else is to be done.
    #[must_use]
    pub fn keeps_engine(&self, now: Timestamp) -> bool {
        match self {
            Self::RemoveKept { until, .. } => now.since(*until) < REMOVAL,
            _ => true,
        }
    }
}
