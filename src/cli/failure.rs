//! How a verb can end badly: what it says, and with which exit code.

use crate::domain::command::{Refusal, RefusalKind};
use crate::wire::client::{ConnectError, Gone};

/// The exit codes, as `--help` documents them.
pub const EXIT_CODES: &str = "\
Exit codes:
    0  done
    1  a step failed, or the run was cancelled
    2  usage or configuration
    3  refused by a gate
    4  a deployment was taken back: what was live before is live
    5  the engine or the runtime can't be reached
    6  held: it waits for a person
    7  the state is unclear or broken
    8  live, but something about it could not be verified
  130  the viewer left and the work goes on";

/// What sort of ending it is; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// A step failed, or the run was cancelled.
    StepFailed,
    /// The command line or the configuration is wrong.
    Usage,
    /// A gate, a stale plan or a missing confirmation.
    Refused,
    /// A deployment was taken back.
    TakenBack,
    /// The engine or the runtime can't be reached.
    Unreachable,
    /// It waits for a person.
    Held,
    /// The state is unclear or broken.
    Unclear,
    /// It is live, but something about it could not be verified.
    Unverified,
    /// The viewer left and the work goes on.
    Left,
}

impl Sort {
    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::StepFailed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::TakenBack => 4,
            Self::Unreachable => 5,
            Self::Held => 6,
            Self::Unclear => 7,
            Self::Unverified => 8,
            Self::Left => 130,
        }
    }

    /// Its word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::StepFailed => "step_failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::TakenBack => "taken_back",
            Self::Unreachable => "unreachable",
            Self::Held => "held",
            Self::Unclear => "unclear",
            Self::Unverified => "unverified",
            Self::Left => "left",
        }
    }
}

/// Why a verb could not do what it was asked, in a person's words.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Something to say.
    #[error("{message}")]
    Said {
        /// Decides the exit code.
        sort: Sort,
        /// What is wrong and where; sentences.
        message: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// Whoever read our output stopped reading. There is nobody left to tell.
    #[error("the output was closed")]
    Closed,
}

impl Failure {
    /// A failure with a hint.
    #[must_use]
    pub fn new(sort: Sort, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Said { sort, message: message.into(), hint: hint.into() }
    }

    /// The command line or the configuration is wrong.
    #[must_use]
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Sort::Usage, message, hint)
    }

    /// The engine answered something that does not answer the question.
    #[must_use]
    pub fn unexpected(what: &str) -> Self {
        Self::new(
            Sort::Unclear,
            format!("The engine answered {what} with something else."),
            "That is a mistake of Towpath's; its version is in `towpath engine status`.",
        )
    }
}

impl From<std::io::Error> for Failure {
    /// Of writing to standard output; reading failures are told with their path where they happen.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::new(Sort::Unclear, format!("The output could not be written: {error}."), ""),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let sort = match refusal.kind {
            RefusalKind::Unknown => Sort::Usage,
            _ => Sort::Refused,
        };
        Self::new(sort, refusal.message, refusal.hint)
    }
}

impl From<Gone> for Failure {
    fn from(gone: Gone) -> Self {
        Self::new(Sort::Unreachable, gone.to_string(), "Ask again: an engine is started when none runs.")
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let hint = match &error {
            ConnectError::NoEngine(_) => "`towpath run` and `towpath history` start one.",
            ConnectError::Protocol { busy: true, .. } => {
                "It is at work. Wait until it is idle, or use the version that started it."
            }
            ConnectError::Protocol { busy: false, .. } => "`towpath engine stop` ends it.",
            ConnectError::Refused(_) | ConnectError::Io { .. } => "",
        };
        Self::new(Sort::Unreachable, error.to_string(), hint)
    }
}

/// A clause of another room as a sentence: a capital and a full stop.
#[must_use]
pub fn sentence(clause: &str) -> String {
    let mut signs = clause.trim().chars();
    let first: String = signs.next().into_iter().flat_map(char::to_uppercase).collect();
    let rest = signs.as_str();
    let stop = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{rest}{stop}")
}
