//! Replicas as containers of one engine.
//!
//! | file | is |
//! |---|---|
//! | [`start`](mod@start) | made and started, at most once, on a port of its own |
//! | `port` | which ports are free there |
//! | [`look`] | what became of it |
//! | [`connections`] | who is still connected to it |
//! | [`end`] | stopped; removed when nobody wants it any more |

pub mod connections;
pub mod end;
pub mod look;
mod port;
pub mod start;

use std::collections::BTreeMap;

use crate::domain::ids::ReplicaKey;
use crate::domain::time::Millis;

/// A replica as it is wanted.
#[derive(Clone)]
pub struct Wanted {
    /// The project's name.
    pub project: String,
    /// Which replica.
    pub key: ReplicaKey,
    /// The id of the image, as it was tested.
    pub image: String,
    /// The command line; the image's own entry point stays before it.
    pub command: Vec<String>,
    /// Its environment, secrets included: an engine shows it to whoever may ask it.
    pub env: BTreeMap<String, String>,
    /// What is told of it beyond whose it is; never a secret.
    pub labels: BTreeMap<String, String>,
    /// The port that it listens at inside; `None` publishes none.
    pub port: Option<u16>,
    /// The network that it joins, where its role is its name.
    pub network: String,
    /// What is mounted, as Docker writes binds.
    pub volumes: Vec<String>,
    /// How long it may take to stop before it is killed.
    pub stop_timeout: Millis,
}

/// Without the environment: its values may be secrets.
impl std::fmt::Debug for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wanted").field("key", &self.key).field("image", &self.image).finish_non_exhaustive()
    }
}
