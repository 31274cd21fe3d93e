//! What a key means, and where it counts. The actions themselves are listed in [`ACTIONS`].

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub use super::registry::ACTIONS;

use super::model::{Dialog, Focus, Model, Screen};

/// What a key means in the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Select the line above, or scroll up.
    Up,
    /// Select the line below, or scroll down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first line.
    First,
    /// The last line.
    Last,
    /// Go to the selected step's log.
    OpenLog,
    /// One level back.
    Back,
    /// Start a run for a commit.
    NewRun,
    /// Start a run for the selected commit of the list.
    StartCommit,
    /// List the runs.
    Runs,
    /// Look at the run before.
    OlderRun,
    /// Look at the run after.
    NewerRun,
    /// Look at whatever runs.
    Live,
    /// Cancel the run.
    Cancel,
    /// Retry the step.
    Retry,
    /// Open a shell where the step failed.
    Shell,
    /// Acknowledge an inconclusive check.
    Acknowledge,
    /// List what was noticed.
    Findings,
    /// Write what is known of the step into an archive.
    Bundle,
    /// Promote a release to an environment.
    Promote,
    /// Go back to an earlier release, or take the deployment under way back.
    Rollback,
    /// Go on with a held deployment.
    GoOn,
    /// Hold the deployment under way.
    Hold,
    /// End a held deployment as it is.
    Leave,
    /// Take the environment's lease from somebody else.
    BreakLease,
    /// Search the log.
    Search,
    /// The next hit.
    NextHit,
    /// The hit before.
    PreviousHit,
    /// Keep the log's end in sight.
    Follow,
    /// Fold long lines.
    Wrap,
    /// Give the log the whole width.
    Zoom,
    /// Show when each line was written.
    Times,
    /// Copy the log's lines in sight.
    Copy,
    /// Look at the Pipeline screen.
    ShowPipeline,
    /// Look at the Environments screen.
    ShowEnvironments,
    /// Look at the next screen.
    NextScreen,
    /// Select the environment on the right.
    NextPlace,
    /// Select the environment on the left.
    PreviousPlace,
    /// Open the selected environment's page.
    OpenPlace,
    /// Show an environment's replicas, or its deployment.
    Replicas,
    /// Look at the Logs screen.
    ShowLogs,
    /// Choose the sources of the merged log.
    Sources,
    /// Look at the other environment's logs.
    OtherPlace,
    /// Every key.
    Help,
    /// Every action by name.
    Palette,
    /// Try the connection now.
    Reconnect,
    /// Draw everything anew.
    Redraw,
    /// Stop as a job of the shell.
    Suspend,
    /// Leave.
    Quit,
}

/// Where a key counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// The list of steps, or a step's page, has the keys.
    Steps,
    /// The log has the keys.
    Log,
    /// The panels of the environments have the keys.
    Panels,
    /// An environment's page has the keys: its steps and its history.
    Place,
    /// The merged log has the keys.
    Stream,
}

/// A key as it is pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which key.
    pub code: KeyCode,
    /// Whether control is held.
    pub control: bool,
}

/// What the registry says of an action.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The action.
    pub action: Action,
    /// Its keys; the first is the one that is shown.
    pub keys: &'static [Key],
    /// Where they count.
    pub contexts: &'static [Context],
    /// Its short name, for the footer.
    pub name: &'static str,
    /// What it does, one line with its period.
    pub help: &'static str,
    /// Whether the footer shows it.
    pub footer: bool,
}

impl Action {
    /// What the registry says of it; `None` only for an action that was forgotten there (a test fails then).
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        ACTIONS.iter().find(|entry| entry.action == self)
    }

    /// The action of a key in a context.
    #[must_use]
    pub fn of(event: KeyEvent, context: Context) -> Option<Self> {
        let control = event.modifiers.contains(KeyModifiers::CONTROL);
        if event.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
            return None;
        }
        let pressed = Key { code: event.code, control };
        ACTIONS
            .iter()
            .find(|entry| entry.contexts.contains(&context) && entry.keys.contains(&pressed))
            .map(|entry| entry.action)
    }
}

impl Key {
    /// As it is shown: `x`, `⏎`, `ctrl-z`.
    #[must_use]
    pub fn label(&self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "space".to_owned(),
            KeyCode::Char(sign) => sign.to_string(),
            KeyCode::Enter => "⏎".to_owned(),
            KeyCode::Esc => "esc".to_owned(),
            KeyCode::Up => "↑".to_owned(),
            KeyCode::Down => "↓".to_owned(),
            KeyCode::Left => "left".to_owned(),
            KeyCode::Right => "right".to_owned(),
            KeyCode::Tab => "tab".to_owned(),
            KeyCode::BackTab => "shift-tab".to_owned(),
            KeyCode::PageUp => "pgup".to_owned(),
            KeyCode::PageDown => "pgdn".to_owned(),
            KeyCode::Home => "home".to_owned(),
            KeyCode::End => "end".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            other => format!("{other:?}").to_lowercase(),
        };
        if self.control { format!("ctrl-{name}") } else { name }
    }
}

/// The context that has the keys.
#[must_use]
pub const fn context(model: &Model) -> Context {
    match (model.screen, model.focus) {
        (Screen::Logs, _) => Context::Stream,
        (_, Focus::Log) => Context::Log,
        (Screen::Pipeline, Focus::Steps | Focus::Detail) => Context::Steps,
        (Screen::Environments, Focus::Steps) if !model.places.open => Context::Panels,
        (Screen::Environments, Focus::Steps | Focus::Detail) => Context::Place,
    }
}

/// Whether a dialog has a text field, so that letters are text.
#[must_use]
pub const fn has_field(dialog: &Dialog) -> bool {
    matches!(
        dialog,
        Dialog::Palette { .. }
            | Dialog::Picker { .. }
            | Dialog::Acknowledge { .. }
            | Dialog::Promote(_)
            | Dialog::Rollback(_)
            | Dialog::Word(_)
            | Dialog::Lease(_)
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_action_has_a_name_a_help_and_an_own_key() {
        let mut taken: HashMap<(Context, Key), Action> = HashMap::new();
        let mut names: HashMap<&str, Action> = HashMap::new();
        for entry in ACTIONS {
            assert!(!entry.name.is_empty(), "{:?} has no name", entry.action);
            assert!(entry.help.len() > 10 && entry.help.ends_with('.'), "{:?} has no help", entry.action);
            assert!(!entry.contexts.is_empty(), "{:?} counts nowhere", entry.action);
            assert!(
                !entry.keys.is_empty() || entry.action == Action::StartCommit,
                "{:?} has no key",
                entry.action
            );
            assert!(names.insert(entry.name, entry.action).is_none(), "{} names two actions", entry.name);
            for context in entry.contexts {
                for key in entry.keys {
                    let before = taken.insert((*context, *key), entry.action);
                    assert!(
                        before.is_none(),
                        "{key:?} means {before:?} and {:?} in {context:?}",
                        entry.action
                    );
                }
            }
        }
    }

    #[test]
    fn every_action_is_in_the_registry_once() {
        // A match without a catch-all: a new action does not compile until it is counted here.
        let count = |action: Action| -> usize {
            match action {
                Action::Up | Action::Down | Action::PageUp | Action::PageDown | Action::First => 1,
                Action::Last | Action::OpenLog | Action::Back | Action::NewRun | Action::StartCommit => 1,
                Action::Runs | Action::OlderRun | Action::NewerRun | Action::Live | Action::Cancel => 1,
                Action::Retry | Action::Shell | Action::Acknowledge | Action::Findings | Action::Search => 1,
                Action::NextHit | Action::PreviousHit | Action::Follow | Action::Wrap | Action::Times => 1,
                Action::Copy | Action::Help | Action::Palette | Action::Reconnect | Action::Redraw => 1,
                Action::Suspend | Action::Quit | Action::Zoom => 1,
                Action::ShowPipeline | Action::ShowEnvironments | Action::NextScreen => 1,
                Action::NextPlace | Action::PreviousPlace | Action::OpenPlace | Action::Replicas => 1,
                Action::ShowLogs | Action::Sources | Action::OtherPlace => 1,
                Action::Promote | Action::Rollback | Action::GoOn | Action::Hold | Action::Leave => 1,
                Action::BreakLease | Action::Bundle => 1,
            }
        };
        assert_eq!(ACTIONS.iter().map(|entry| count(entry.action)).sum::<usize>(), 50);
        for entry in ACTIONS {
            assert_eq!(ACTIONS.iter().filter(|other| other.action == entry.action).count(), 1);
        }
    }
}
