//! The only room that refuses. `decide` turns one input into the events that follow from it, those that follow
//! from these included (`advance`): a journal never waits for somebody to notice what is due.

mod advance;
mod deployment;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod kept;
mod outcome;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod routes;
mod run;
#[cfg(test)]
mod tests;

use super::command::{Command, Refusal, RefusalKind};
use super::effect::Outcome;
use super::event::{Envelope, Event};
use super::ids::{Actor, AttemptKey, Seq};
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

/// Decides what happens. Inputs that are late (an outcome of an attempt that is no longer open) change nothing.
///
/// # Errors
/// A [`Refusal`] when a command cannot be carried out in this state; it says what to do instead.
pub fn decide(state: &State, input: Input, at: Timestamp) -> Result<Vec<Event>, Refusal> {
    let mut draft = Draft { state: state.clone(), events: Vec::new(), at };
    match input {
        Input::Command(command) => command_decides(&mut draft, command)?,
        Input::Outcome(outcome) => outcome::decides(&mut draft, outcome),
        Input::Deadline { key } => outcome::deadline(&mut draft, key),
    }
    advance::all(&mut draft);
    Ok(draft.events)
}

fn command_decides(draft: &mut Draft, command: Command) -> Result<(), Refusal> {
    match command {
        Command::StartRun { commit, until } => run::start(draft, commit, until),
        Command::CancelRun { run, now } => run::cancel(draft, run, now),
        Command::RetryStep { run, step } => run::retry(draft, run, &step),
        Command::Acknowledge { run, step, reason } => run::acknowledge(draft, run, step, &reason),
        Command::Promote(promote) => deployment::promote(draft, promote),
        Command::Rollback(rollback) => deployment::rollback(draft, rollback),
        Command::Go { deployment, reason } => deployment::go(draft, deployment, &reason),
        Command::Hold { deployment } => deployment::hold(draft, deployment),
        Command::Back { deployment, confirm, reason } => {
            deployment::back(draft, deployment, &confirm, &reason)
        }
        Command::BreakLease { environment, who, since, confirm, reason } => {
            deployment::break_lease(draft, environment, who, since, (&confirm, &reason))
        }
        Command::Leave { deployment, confirm, reason } => {
            deployment::leave(draft, deployment, &confirm, &reason)
        }
    }
}

/// The events decided so far, and the state as they leave it.
struct Draft {
    state: State,
    events: Vec<Event>,
    at: Timestamp,
}

impl Draft {
    fn write(&mut self, event: Event) {
        let seq = Seq(self.state.seq.0.saturating_add(1));
        let envelope = Envelope { seq, at: self.at, actor: Actor::Engine, event };
        self.state.apply(&envelope);
        self.events.push(envelope.event);
    }
}

fn refuse<T>(kind: RefusalKind, message: impl Into<String>, hint: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(kind, message, hint))
}
