//! What a replica is doing.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ending::Stopped;
use super::files::{Files, read, replace};
use super::spec::VERSION;
use crate::domain::health::ReplicaState;
use crate::domain::time::Timestamp;
use crate::runtime::fleet::HERE;
use crate::runtime::process::Identity;

/// What a replica is doing, as far as can be seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is doing.
    pub state: ReplicaState,
    /// Since when; 1970 where nobody knows.
    pub since: Timestamp,
    /// How often its process was started after the first time.
    pub restarts: u32,
    /// How its process ended the last time, or why it could not be started: `exit code 3 after 4.1s`.
    pub last_exit: Option<String>,
    /// The exit code of that, where it is known.
    pub exit_code: Option<i32>,
    /// The process id of its main process, while that lives.
    pub pid: Option<i32>,
    /// Whether a keeper looks after it.
    pub keeper: bool,
    /// Where it answers.
    pub address: Option<SocketAddr>,
    /// What its image's own health check says; `None` without one, and of a process.
    pub health: Option<String>,
    /// The last line of what that check said.
    pub health_said: Option<String>,
    /// What it waits for, a clause, while it waits.
    pub waits_for: Option<String>,
    /// When it is started the next time, while it backs off.
    pub next_start: Option<Timestamp>,
}

/// What the keeper writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) v: u32,
    pub(super) state: ReplicaState,
    pub(super) since: Timestamp,
    pub(super) restarts: u32,
    pub(super) last_exit: Option<String>,
    pub(super) pid: Option<i32>,
    pub(super) waits_for: Option<String>,
    pub(super) next_start: Option<Timestamp>,
    /// How it was stopped.
    pub(super) stopped: Option<Stopped>,
}

impl Written {
    pub(super) const fn new(state: ReplicaState, since: Timestamp) -> Self {
        Self {
            v: VERSION,
            state,
            since,
            restarts: 0,
            last_exit: None,
            pid: None,
            waits_for: None,
            next_start: None,
            stopped: None,
        }
    }

    /// What was written last; `None` where nothing was, or not by this version.
    pub(super) fn read(files: &Files) -> Option<Self> {
        read::<Self>(&files.status_path()).ok().flatten().filter(|written| written.v == VERSION)
    }

    pub(super) fn write(&self, files: &Files) -> std::io::Result<()> {
        replace(&files.status_path(), self)
    }
}

/// What the replica in `dir` is doing. Never fails: of a replica that nobody can read anything about, nothing runs
/// as far as anybody knows. What lives is asked of the kernel; the file says the rest.
#[must_use]
pub fn status(dir: &Path) -> Status {
    let files = Files::of(dir);
    let keeper = files.is_kept();
    // In this order: a process that is started in between is seen with the older word about it, not the other way.
    let written = Written::read(&files);
    let recorded = files.recorded();
    let process = recorded.and_then(|recorded| recorded.process).filter(Identity::lives);
    let state = truth(written.as_ref().map(|written| written.state), keeper, process.is_some(), &files);
    let written = written.unwrap_or_else(|| Written::new(state, Timestamp(0)));
    Status {
        state,
        since: written.since,
        restarts: written.restarts,
        last_exit: written.last_exit,
        pid: process.map(|process| process.pid),
        keeper,
        exit_code: None,
        address: files.spec().ok().and_then(|spec| spec.port).map(|port| SocketAddr::new(HERE, port)),
        health: None,
        health_said: None,
        waits_for: written.waits_for.filter(|_| state == ReplicaState::Waiting),
        next_start: written.next_start.filter(|_| state == ReplicaState::Backoff),
    }
}

fn truth(written: Option<ReplicaState>, keeper: bool, lives: bool, files: &Files) -> ReplicaState {
    use ReplicaState::{Backoff, Gone, Starting, Stopped, Stopping, Up, Waiting};
    match (written, keeper, lives) {
        (Some(Stopping), true, _) | (Some(Stopping), false, true) => Stopping,
        (Some(Up | Gone), true, true) => Up,
        (Some(Up | Gone), true, false) => Gone,
        (Some(state @ (Waiting | Starting | Backoff)), true, _) => state,
        // A keeper that has just begun has not said anything yet.
        (None | Some(Stopped), true, lives) => {
            if lives {
                Up
            } else {
                Starting
            }
        }
        (_, false, true) => Up,
        (Some(Stopped), false, false) => Stopped,
        (Some(Stopping), false, false) if files.is_stop_wanted() => Stopped,
        (_, false, false) => Gone,
        // Of another machine alone: no keeper writes it.
        (Some(ReplicaState::Unknown), true, lives) => {
            if lives {
                Up
            } else {
                Gone
            }
        }
    }
}
