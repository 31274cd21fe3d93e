//! Versioned JSON lines over a Unix socket: what a viewer and an engine say to each other.
//!
//! | file | is |
//! |---|---|
//! | [`protocol`] | the messages |
//! | [`server`] | the engine's side: who connects, what they may ask, who fell behind |
//! | [`client`] | a viewer's side: requests and pushes over one connection |
//! | [`peer`] | who is at the other end of a socket, and whether a stage started it |
//!
//! The engine itself sees nothing of sockets: it receives [`ToEngine`] and pushes
//! [`protocol::FromEngine`] into sinks.

pub mod client;
pub mod peer;
pub mod protocol;
pub mod server;

use tokio::sync::{mpsc, oneshot};

use crate::domain::command::Command;
use crate::domain::ids::Actor;
use crate::domain::query::Query;
use crate::domain::time::Timestamp;

use protocol::{FromEngine, Reply, Viewer};

/// How many messages wait for one viewer before it has fallen behind. At human rate this is many minutes of a
/// busy run.
pub const SINK_DEPTH: usize = 1024;

/// What the server asks of the engine's loop.
///
/// A reply that is dropped unanswered reaches the viewer as a `Failed` with a sentence. None of these may
/// block the loop: a sink is only ever `try_send`ed to, and dropped when it is full.
#[derive(Debug)]
pub enum ToEngine {
    /// A viewer said hello: when did this engine start, and is work under way?
    Greet {
        /// Where the answer goes.
        reply: oneshot::Sender<Greeting>,
    },
    /// A command of somebody who may command.
    Command {
        /// What is asked.
        command: Command,
        /// Who asks.
        actor: Actor,
        /// From which connection.
        viewer: u64,
        /// `Done` or `Refused`.
        reply: oneshot::Sender<Reply>,
    },
    /// A question.
    Query {
        /// What is asked.
        query: Query,
        /// `Answer` or `Failed`.
        reply: oneshot::Sender<Reply>,
    },
    /// Push a `Snapshot` into the sink, then everything that happens. A second `Attach` of the same viewer
    /// replaces the first.
    Attach {
        /// Who (`you` is set by the server as each viewer receives the list).
        viewer: Viewer,
        /// Where to push; bounded by [`SINK_DEPTH`]. A full one is dropped: the server says good-bye.
        sink: mpsc::Sender<FromEngine>,
        /// Answered once the snapshot is in the sink.
        reply: oneshot::Sender<()>,
    },
    /// A viewer is gone, whether or not it had attached.
    Detach {
        /// Which connection.
        id: u64,
    },
    /// End the engine; `Done` without rows, or `Refused` while work is under way.
    Shutdown {
        /// Even though work is under way.
        force: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Reply>,
    },
}

/// What an engine says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// When it started.
    pub since: Timestamp,
    /// Whether work is under way.
    pub busy: bool,
}
