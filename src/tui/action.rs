//! The one registry of actions. The footer, `?` and the `:` palette are made from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Dialog, Focus, Model};

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

const fn key(sign: char) -> Key {
    Key { code: KeyCode::Char(sign), control: false }
}
const fn control(sign: char) -> Key {
    Key { code: KeyCode::Char(sign), control: true }
}
const fn named(code: KeyCode) -> Key {
    Key { code, control: false }
}

const STEPS: &[Context] = &[Context::Steps];
const LOG: &[Context] = &[Context::Log];
const BOTH: &[Context] = &[Context::Steps, Context::Log];

const fn entry(
    action: Action,
    keys: &'static [Key],
    contexts: &'static [Context],
    name: &'static str,
    help: &'static str,
    footer: bool,
) -> Entry {
    Entry { action, keys, contexts, name, help, footer }
}

/// Every action, in the order in which it is shown.
pub const ACTIONS: &[Entry] = &[
    entry(
        Action::Up,
        &[named(KeyCode::Up), key('k')],
        BOTH,
        "step",
        "Select the step above; in a log, scroll up.",
        true,
    ),
    entry(
        Action::Down,
        &[named(KeyCode::Down), key('j')],
        BOTH,
        "down",
        "Select the step below; in a log, scroll down.",
        false,
    ),
    entry(
        Action::OpenLog,
        &[named(KeyCode::Enter), named(KeyCode::Right), named(KeyCode::Tab)],
        STEPS,
        "log",
        "Go to the selected step's log.",
        true,
    ),
    entry(
        Action::Back,
        &[named(KeyCode::Esc), named(KeyCode::Left), named(KeyCode::BackTab)],
        BOTH,
        "back",
        "Go back from the log or the page to the steps.",
        true,
    ),
    entry(
        Action::StartCommit,
        &[],
        STEPS,
        "start",
        "Start a run for the selected commit, where there is no run yet.",
        true,
    ),
    entry(
        Action::NewRun,
        &[key('n')],
        STEPS,
        "new run",
        "Pick a commit or a tag and start a run for it.",
        true,
    ),
    entry(Action::Cancel, &[key('x')], BOTH, "cancel", "Cancel the run: between steps, or at once.", true),
    entry(
        Action::Retry,
        &[key('r')],
        BOTH,
        "retry",
        "Try the selected step once more; the run goes on from there.",
        true,
    ),
    entry(
        Action::Shell,
        &[key('s')],
        BOTH,
        "shell",
        "Open a shell in the failed step's kept directory and environment.",
        true,
    ),
    entry(
        Action::Acknowledge,
        &[key('a')],
        BOTH,
        "acknowledge",
        "Say that an inconclusive check is acceptable, and why.",
        true,
    ),
    entry(
        Action::Promote,
        &[key('p')],
        BOTH,
        "promote",
        "Look at what promoting a release would do, then confirm it.",
        true,
    ),
    entry(
        Action::Rollback,
        &[key('R')],
        BOTH,
        "roll back",
        "Go back to the release that was live before, or take the deployment under way back.",
        true,
    ),
    entry(Action::GoOn, &[key('c')], BOTH, "go on", "Go on with the held deployment, and say why.", true),
    entry(Action::Hold, &[key('H')], BOTH, "hold", "Hold the deployment before its next step.", true),
    entry(
        Action::Leave,
        &[key('L')],
        BOTH,
        "leave",
        "End the held deployment as it is: nothing more is done, its environment is free.",
        true,
    ),
    entry(Action::Search, &[key('/')], BOTH, "search", "Search the log as you type.", true),
    entry(Action::NextHit, &[key('n')], LOG, "next", "Go to the next hit.", true),
    entry(Action::PreviousHit, &[key('N')], LOG, "previous", "Go to the hit before.", false),
    entry(
        Action::Follow,
        &[key('f')],
        BOTH,
        "follow",
        "Keep the log's end in sight; scrolling up stops it.",
        true,
    ),
    entry(Action::Wrap, &[key('w')], BOTH, "wrap", "Fold the log's long lines, or cut them.", true),
    entry(Action::Zoom, &[key('z')], BOTH, "zoom", "Give the log the whole width, or only its part.", true),
    entry(Action::Times, &[key('t')], BOTH, "times", "Show when each line of the log was written.", true),
    entry(Action::Copy, &[key('y')], LOG, "copy", "Copy the log's lines in sight to the clipboard.", true),
    entry(
        Action::Findings,
        &[key('o')],
        BOTH,
        "findings",
        "List what this run noticed, and what to do about it.",
        true,
    ),
    entry(Action::OlderRun, &[key('[')], BOTH, "older run", "Look at the run before this one.", false),
    entry(Action::NewerRun, &[key(']')], BOTH, "newer run", "Look at the run after this one.", false),
    entry(Action::Runs, &[key('u')], BOTH, "runs", "List the runs and look at one of them.", true),
    entry(Action::Live, &[key('.')], BOTH, "live", "Look at whatever runs, wherever it goes.", false),
    entry(
        Action::PageUp,
        &[named(KeyCode::PageUp), control('b')],
        BOTH,
        "page up",
        "Scroll the log a page up.",
        false,
    ),
    entry(
        Action::PageDown,
        &[named(KeyCode::PageDown), control('f'), key(' ')],
        BOTH,
        "page down",
        "Scroll the log a page down.",
        false,
    ),
    entry(
        Action::First,
        &[key('g'), named(KeyCode::Home)],
        BOTH,
        "first",
        "Go to the first step; in a log, to its first line.",
        false,
    ),
    entry(
        Action::Last,
        &[key('G'), named(KeyCode::End)],
        BOTH,
        "last",
        "Go to the last step; in a log, to its end, and follow.",
        false,
    ),
    entry(
        Action::Reconnect,
        &[control('r')],
        BOTH,
        "reconnect",
        "Try to reach the engine now instead of waiting.",
        false,
    ),
    entry(Action::Redraw, &[control('l')], BOTH, "redraw", "Draw everything anew.", false),
    entry(
        Action::Suspend,
        &[control('z')],
        BOTH,
        "suspend",
        "Step aside as a job of your shell; fg brings the console back.",
        false,
    ),
    entry(
        Action::Palette,
        &[key(':'), control('p')],
        BOTH,
        "palette",
        "Find any of these by its name.",
        true,
    ),
    entry(Action::Help, &[key('?'), named(KeyCode::F(1))], BOTH, "help", "Show every key.", true),
    entry(
        Action::Quit,
        &[key('q'), control('c')],
        BOTH,
        "quit",
        "Leave the console. A run that is open goes on.",
        true,
    ),
];

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
    match model.focus {
        Focus::Steps | Focus::Detail => Context::Steps,
        Focus::Log => Context::Log,
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
                Action::Promote | Action::Rollback | Action::GoOn | Action::Hold | Action::Leave => 1,
            }
        };
        assert_eq!(ACTIONS.iter().map(|entry| count(entry.action)).sum::<usize>(), 38);
        for entry in ACTIONS {
            assert_eq!(ACTIONS.iter().filter(|other| other.action == entry.action).count(), 1);
        }
    }
}
