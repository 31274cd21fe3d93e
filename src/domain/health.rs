//! How what is deployed is: what the engine measures and shows. Samples are lossy and never in the journal.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptKey, DeploymentId, EnvironmentName, ReleaseNumber, ReplicaKey};
use super::time::{Millis, Timestamp};

/// Where a replica's process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// An earlier process of a role that may only run once still lives.
    Waiting,
    /// It is being started.
    Starting,
    /// Its process lives.
    Up,
    /// It exited, and is started again after a while.
    Backoff,
    /// It was told to stop.
    Stopping,
    /// It was stopped, as it should be.
    Stopped,
    /// It should live, and nothing of it does.
    Gone,
    /// Its host cannot be asked: neither well nor unwell.
    Unknown,
}

/// As a person reads it in a row.
impl std::fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl ReplicaState {
    /// The word on screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Backoff => "back-off",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// One replica as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSample {
    /// Which.
    pub key: ReplicaKey,
    /// Of which release.
    pub release: ReleaseNumber,
    /// Where it is.
    pub state: ReplicaState,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again because it had exited.
    pub restarts: u32,
    /// How it exited last, in words.
    pub last_exit: Option<String>,
    /// Its process id, while it lives.
    pub pid: Option<i32>,
    /// Its port.
    pub port: Option<u16>,
    /// Per cent of the traffic that it is given; `None` where it is not routed.
    pub weight: Option<u8>,
    /// Resident memory, bytes.
    pub memory: Option<u64>,
    /// The most memory it may have, bytes; `None` without a limit.
    #[serde(default)]
    pub memory_limit: Option<u64>,
    /// Tenths of a per cent of one core that it used lately.
    #[serde(default)]
    pub cpu_permille: Option<u32>,
    /// The host that it is on, by name; `None` on the process runtime.
    #[serde(default)]
    pub host: Option<String>,
    /// What Docker's own health check says; `None` without one.
    #[serde(default)]
    pub health: Option<String>,
    /// It was ended for want of memory.
    #[serde(default)]
    pub oom: bool,
}

/// One Docker engine as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSample {
    /// Its name in the environment.
    pub name: String,
    /// Its version, or why it cannot be reached, a clause.
    pub reached: Result<String, String>,
    /// Since when it is so.
    pub since: Timestamp,
    /// What runs there under this environment's labels and should not, or is another than was deployed: a clause each.
    pub strays: Vec<String>,
}

/// Who may change an environment now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseHolder {
    /// Who: a person and a machine.
    pub who: String,
    /// What for: a deployment, of which repository.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was heard of last.
    pub heartbeat: Timestamp,
    /// It is this engine's own.
    pub ours: bool,
}

/// One answer to a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpSample {
    /// What was asked: an address without its query.
    pub asked: String,
    /// The status; `None` without an answer.
    pub status: Option<u16>,
    /// How long the answer took, or how long it was waited for.
    pub latency: Millis,
    /// Whether it was what is wanted.
    pub healthy: bool,
    /// In a few words: `200 OK`, `connection refused`.
    pub why: String,
    /// The deployment that answered, where the proxy's header says it.
    pub deployment: Option<DeploymentId>,
}

/// Requests of one set while it was watched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// How many.
    pub requests: u64,
    /// How many failed.
    pub failed: u64,
    /// Half of them took at most this.
    pub median: Option<Millis>,
    /// 95 of 100 took at most this.
    pub p95: Option<Millis>,
}

/// What a bake has counted so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakeReport {
    /// When its window closes.
    pub until: Timestamp,
    /// Per cent of the traffic that the new set has.
    pub weight: u8,
    /// The new set's requests; `None` where no traffic is measured.
    pub new: Option<Traffic>,
    /// The old set's, over the same minutes.
    pub old: Option<Traffic>,
    /// Health checks of the new set that went well.
    pub checks: u64,
    /// Those that did not.
    pub failed_checks: u64,
    /// The last thing that was wrong; empty when nothing was.
    pub trouble: String,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Sample {
    /// An environment's replicas: all that are meant to live, and those that are on their way out.
    Replicas {
        /// Where.
        environment: EnvironmentName,
        /// When.
        at: Timestamp,
        /// Who; sorted by deployment, role, index.
        replicas: Vec<ReplicaSample>,
    },
    /// An environment's hosts: every one that is configured.
    Hosts {
        /// Where.
        environment: EnvironmentName,
        /// When.
        at: Timestamp,
        /// Which.
        hosts: Vec<HostSample>,
    },
    /// An environment's lease.
    Lease {
        /// Where.
        environment: EnvironmentName,
        /// When.
        at: Timestamp,
        /// Who holds it; `None`: nobody.
        holder: Option<LeaseHolder>,
    },
    /// An environment's health check.
    Http {
        /// Where.
        environment: EnvironmentName,
        /// When.
        at: Timestamp,
        /// What came.
        answer: HttpSample,
    },
    /// A bake that is under way.
    Bake {
        /// Which attempt.
        key: AttemptKey,
        /// When.
        at: Timestamp,
        /// Its numbers.
        report: BakeReport,
    },
}

/// How many answers of a health check are kept for a sparkline.
pub const ANSWERS_KEPT: usize = 60;
