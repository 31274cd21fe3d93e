//! Why a piece of work stopped early: because the project's side failed (a step's cause), or ours did.

use crate::domain::plan::{Cause, Output, Verdict};

use crate::runtime::workbench::{CannotCheck, Done};

/// Why a piece of work stopped early.
#[derive(Debug)]
pub enum Halt {
    /// The step failed, and a person can act on the cause.
    Failed(Box<Cause>),
    /// The step could not do its work: neither a pass nor a failure.
    Inconclusive(String),
    /// Something of Towpath's own broke (a disk, a missing input).
    Broken(anyhow::Error),
}

impl From<Cause> for Halt {
    fn from(cause: Cause) -> Self {
        Self::Failed(Box::new(cause))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Broken(error.into())
    }
}

impl Halt {
    /// As an error of a step's code, where no verdict can be given.
    #[must_use]
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Failed(cause) => anyhow::anyhow!("{}: {}", cause.summary, cause.measured),
            Self::Inconclusive(reason) => CannotCheck(reason).into(),
            Self::Broken(error) => error,
        }
    }
}

/// What a step's work came to, with whatever it had put out until then.
///
/// # Errors
/// When something of Towpath's own broke.
pub fn done(work: Result<(), Halt>, output: Output) -> anyhow::Result<Done> {
    let verdict = match work {
        Ok(()) => Verdict::Passed,
        Err(Halt::Failed(cause)) => Verdict::Failed(*cause),
        Err(Halt::Inconclusive(reason)) => Verdict::Inconclusive { reason },
        Err(Halt::Broken(error)) => return Err(error),
    };
    Ok(Done { verdict, output })
}
