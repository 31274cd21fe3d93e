//! What is asked of a keeper. Fully said: it looks nothing up but the secrets.

use std::collections::BTreeMap;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::domain::project::SecretSource;
use crate::domain::time::Millis;

/// The version of every file in a replica's directory.
pub const VERSION: u32 = 1;

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`VERSION`].
    pub v: u32,
    /// Its name, unique among all: `shop-production-web-d112-1`.
    pub name: String,
    /// Its command line, for `sh -c`.
    pub command: String,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Its whole environment but for the secrets: nothing else is inherited.
    pub env: BTreeMap<String, String>,
    /// Where the values of further variables come from; asked at each start.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The operator's working tree: `command` sources run there, relative `file` sources lie below it.
    pub home: PathBuf,
    /// The port it is to listen on, given to it as `PORT`.
    pub port: Option<u16>,
    /// How long it may take to end once it was told to.
    pub stop_timeout: Millis,
    /// How it is told to.
    pub stop_signal: StopSignal,
    /// A file that is locked while the replica lives, for roles of which there may be one only (a scheduler).
    pub lock: Option<PathBuf>,
    /// User and group to run as, for a server that refuses to run as root; only root can give this.
    pub user: Option<(u32, u32)>,
}

/// The signal that asks a replica's main process to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// TERM: gunicorn's and Celery's graceful (Celery: warm) end.
    #[default]
    Term,
    /// INT.
    Int,
    /// QUIT: uWSGI's graceful end where it was started so, nginx's.
    Quit,
}

impl StopSignal {
    pub(super) const fn signal(self) -> Signal {
        match self {
            Self::Term => Signal::SIGTERM,
            Self::Int => Signal::SIGINT,
            Self::Quit => Signal::SIGQUIT,
        }
    }
}
