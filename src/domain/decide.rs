//! The only room that refuses.

use super::command::{Command, Refusal};
use super::effect::Outcome;
use super::event::Event;
use super::ids::AttemptKey;
use super::state::State;
use super::time::Timestamp;

/// What comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// An operator asked.
    Command(Command),
    /// Outside work ended.
    Outcome(Outcome),
    /// An attempt's time is up.
    Deadline {
        /// Which attempt.
        key: AttemptKey,
    },
}

/// Decides what happens.
///
/// # Errors
/// A [`Refusal`] when a command cannot be carried out in this state.
pub fn decide(_state: &State, _input: Input, _at: Timestamp) -> Result<Vec<Event>, Refusal> {
    Ok(Vec::new())
}
