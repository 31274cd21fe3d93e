//! How what a deployment started is doing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a replica is doing. It says nothing about whether the application inside answers: probes say that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It may not run beside another one, which still lives.
    Waiting,
    /// Its secrets are asked for, its process is being started.
    Starting,
    /// Its process runs.
    Up,
    /// Its process ended, or could not be started; it is started again after a pause.
    Backoff,
    /// Somebody wants it stopped; it has not ended yet.
    Stopping,
    /// It was stopped: nothing of it runs.
    Stopped,
    /// Nothing of it runs and nobody looks after it, or its process is gone and that was not noticed yet.
    Gone,
}

/// As a person reads it in a row: `up`, `backing off`.
impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Backoff => "backing off",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
        })
    }
}
