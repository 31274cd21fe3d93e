//! The messages, one JSON object a line in both directions.

use serde::{Deserialize, Serialize};

use crate::domain::command::{Command, Refusal};
use crate::domain::event::Envelope;
use crate::domain::health::Sample;
use crate::domain::query::{Answer, Query};
use crate::domain::state::State;
use crate::domain::time::Timestamp;

/// The protocol's version. A viewer and an engine of different ones do not talk.
pub const PROTOCOL_VERSION: u32 = 1;

/// The longest line either side accepts, in bytes: a snapshot of a long-lived project is a few MB.
pub const LONGEST_LINE: usize = 64 * 1024 * 1024;

/// From a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum FromViewer {
    /// First.
    Hello {
        /// [`PROTOCOL_VERSION`].
        protocol: u32,
        /// The program's version and build, e.g. `0.1.0`.
        version: String,
        /// What sort of viewer: `console`, `run`, `status`.
        role: String,
        /// Where its user sits: `pts/3`, or `-`.
        terminal: String,
        /// Whether it wants to be refused every command.
        read_only: bool,
    },
    /// A command; answered by `Reply`.
    Command {
        /// Chosen by the viewer; comes back in the reply.
        id: u64,
        /// What is asked.
        command: Command,
    },
    /// A question; answered by `Reply`.
    Query {
        /// Chosen by the viewer; comes back in the reply.
        id: u64,
        /// What is asked.
        query: Query,
    },
    /// Send a snapshot and then everything that happens.
    Attach,
    /// End the engine when nothing is under way; answered by `Reply`.
    Shutdown {
        /// Chosen by the viewer; comes back in the reply.
        id: u64,
        /// End it even though work is under way. (Steps that run go on and are found again.)
        force: bool,
    },
}

/// From the engine.
#[expect(clippy::large_enum_variant, reason = "the large one, `Happened`, is nearly every message")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum FromEngine {
    /// Answer to `Hello`.
    Welcome {
        /// [`PROTOCOL_VERSION`].
        protocol: u32,
        /// The program's version.
        version: String,
        /// The engine's process id.
        pid: u32,
        /// When it started.
        since: Timestamp,
        /// Whether work is under way.
        busy: bool,
    },
    /// Answer to a command, a question, a shutdown.
    Reply {
        /// The request's.
        id: u64,
        /// What came of it.
        reply: Reply,
    },
    /// The state at this moment. What follows are the envelopes after it.
    Snapshot {
        /// The state.
        state: Box<State>,
    },
    /// Something happened.
    Happened {
        /// What.
        envelope: Envelope,
    },
    /// Something was measured. Lossy: a viewer that falls behind misses some. The newest of each kind, and the answers
    /// of health checks of the last minutes, follow a snapshot.
    Sampled {
        /// What.
        sample: Sample,
    },
    /// Who is here; sent whenever it changes.
    Present {
        /// Everybody, the receiver included.
        viewers: Vec<Viewer>,
    },
    /// The engine says good-bye.
    Bye {
        /// Why, one sentence.
        reason: String,
    },
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Reply {
    /// The command was carried out; this is what it wrote into the journal.
    Done {
        /// The rows.
        rows: Vec<Envelope>,
    },
    /// The command was refused.
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The question's answer.
    Answer {
        /// What is known.
        answer: Box<Answer>,
    },
    /// The question has no answer, or the engine could not do it.
    Failed {
        /// Why, one sentence.
        message: String,
    },
}

/// One who is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Viewer {
    /// The engine's number for the connection.
    pub id: u64,
    /// Login name.
    pub name: String,
    /// What sort of viewer.
    pub role: String,
    /// Where.
    pub terminal: String,
    /// Whether it is the receiver of this message.
    pub you: bool,
}
