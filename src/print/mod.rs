//! What people and programs read without a screen: folds of the stream into lines.
//!
//! | file | is |
//! |---|---|
//! | [`plain`] | one line a happening, for people |
//! | [`json`] | one object a line, versioned, for programs |
//! | [`table`] | lists of runs, and where a run's steps are |
//! | [`style`] | glyphs, colours, clock: what a terminal can show |

pub mod json;
pub mod plain;
pub mod style;
pub mod table;

use crate::domain::event::Event;
use crate::domain::ids::{AttemptKey, Owner, RunId};

/// The run that an event is about; `None` is one about the project, an environment or a deployment.
#[must_use]
pub fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::RunQueued { run, .. }
        | Event::RunSuperseded { run, .. }
        | Event::RunStarted { run }
        | Event::RunPlanned { run, .. }
        | Event::RunUnplannable { run, .. }
        | Event::RunHeld { run, .. }
        | Event::RunCancelled { run, .. }
        | Event::RunReopened { run }
        | Event::RunFinished { run, .. }
        | Event::StepStarted { key: AttemptKey { owner: Owner::Run(run), .. } }
        | Event::StepTimedOut { key: AttemptKey { owner: Owner::Run(run), .. } }
        | Event::StepFinished { key: AttemptKey { owner: Owner::Run(run), .. }, .. }
        | Event::StepAcknowledged { owner: Owner::Run(run), .. } => Some(*run),
        Event::ReleaseCreated { release } => Some(release.run),
        _ => None,
    }
}
