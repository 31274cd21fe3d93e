//! What may come into the console, and what it wants done outside.

use super::log::LogLine;
use super::logs::{Cursor, StreamRead, Way};
use crate::domain::command::Command;
use crate::domain::ids::{AttemptKey, EnvironmentName, RunId, StepId};
use crate::domain::plan::Kept;
use crate::domain::query::Query;
use crate::domain::time::Timestamp;
use crate::wire::protocol::{FromEngine, Reply};

/// What comes in.
#[derive(Debug, Clone)]
pub enum Msg {
    /// The clock moved.
    Tick(Timestamp),
    /// A bundle was written, or could not be: the sentence.
    Bundled(Result<String, String>),
    /// A key was pressed.
    Key(crossterm::event::KeyEvent),
    /// The mouse did something.
    Mouse(crossterm::event::MouseEvent),
    /// Text was pasted: it goes into a text field or nowhere.
    Paste(String),
    /// The terminal has another size now: columns, rows.
    Resize(u16, u16),
    /// The terminal got (`true`) or lost the person's attention.
    Focus(bool),
    /// The engine pushed.
    Pushed(Box<FromEngine>),
    /// A command or a question came back.
    Answered {
        /// What was sent.
        request: Box<Asked>,
        /// What came of it.
        reply: Reply,
    },
    /// Lines of a log were read.
    LogLines {
        /// Whose.
        key: AttemptKey,
        /// The number of the first of them, from 0.
        first: u64,
        /// The lines.
        lines: Vec<LogLine>,
        /// How many the log has.
        total: u64,
    },
    /// A log cannot be read.
    LogTrouble {
        /// Whose.
        key: AttemptKey,
        /// One sentence.
        why: String,
    },
    /// A log was searched.
    LogHits {
        /// Whose.
        key: AttemptKey,
        /// For what.
        query: String,
        /// The lines that hold it, ascending; at most [`super::log::HITS_KEPT`].
        lines: Vec<u64>,
        /// How many hold it.
        count: u64,
    },
    /// A part of the merged log was read.
    StreamRead {
        /// Whose.
        environment: EnvironmentName,
        /// What was read.
        read: Box<StreamRead>,
    },
    /// The sources of the merged log have another number of lines.
    StreamEnds {
        /// Whose.
        environment: EnvironmentName,
        /// How many.
        ends: Cursor,
    },
    /// The merged log cannot be read.
    StreamTrouble {
        /// Whose.
        environment: EnvironmentName,
        /// One sentence.
        why: String,
    },
    /// The connection is lost.
    Disconnected {
        /// One sentence.
        why: String,
        /// When it is tried again.
        again: Timestamp,
    },
    /// There is a connection again; a snapshot comes.
    Reconnected,
    /// The shell is over and the terminal is ours again.
    ShellEnded {
        /// Why there was none; `None` when there was.
        trouble: Option<String>,
    },
}

/// What was sent to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A command.
    Command(Command),
    /// A question.
    Query(Query),
}

/// What the console wants done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Send a command.
    Send(Command),
    /// Ask a question.
    Ask(Query),
    /// Read this log's end, and what is added while `open`; stop reading any other. `None` stops.
    FollowLog {
        /// Whose.
        key: Option<AttemptKey>,
        /// Whether lines may still come.
        open: bool,
    },
    /// Read lines of the log that is followed.
    ReadLog {
        /// The first of them, from 0.
        from: u64,
        /// How many.
        count: usize,
    },
    /// Search the log that is followed; any search before it is needless. An empty query only ends that.
    SearchLog {
        /// For what.
        query: String,
    },
    /// Read these logs as one, and any other no longer; without an environment, none.
    Merge {
        /// Whose.
        environment: Option<EnvironmentName>,
        /// The directories of their segments.
        directories: Vec<String>,
    },
    /// Read a part of the merged log.
    ReadStream {
        /// Which way.
        way: Way,
        /// From where on.
        from: Cursor,
    },
    /// Hand the terminal to a shell in a kept directory.
    OpenShell {
        /// Where, and with which environment.
        kept: Kept,
        /// Whose.
        of: (RunId, StepId),
        /// What to call it: `run 58 pytest`.
        title: String,
        /// What is good to know in it: what the step ran, and what is no longer beside it. May be empty.
        hint: String,
    },
    /// Write a step's bundle.
    Bundle {
        /// Whose.
        of: (RunId, StepId),
    },
    /// Put text on the clipboard of the person's terminal (OSC 52).
    Copy(String),
    /// Ring: something ended while nobody looked.
    Bell,
    /// Stop as ctrl-z does.
    Suspend,
    /// Draw everything anew.
    Redraw,
    /// Try the connection now.
    Reconnect,
    /// Leave.
    Quit,
}
