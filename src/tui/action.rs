//! The one registry of actions. The footer, `?` and the `:` palette are made from it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Dialog, Focus, Link, Model};
use crate::domain::state::{RunPhase, StepPhase};

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
    entry(
        Action::Zoom,
        &[key('z')],
        BOTH,
        "zoom",
        "Give the log the whole width, or only its part.",
        true,
    ),
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

    /// Whether it can be done now.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub fn availability(self, model: &Model) -> Result<(), &'static str> {
        let need = |holds: bool, reason: &'static str| if holds { Ok(()) } else { Err(reason) };
        let linked = || need(model.link == Link::Up, "no engine");
        let step = model.step();
        match self {
            Self::NewRun => linked(),
            Self::StartCommit => {
                linked()?;
                need(model.run_id().is_none(), "there are runs: n picks a commit")?;
                need(model.commits.rows.as_ref().is_some_and(|rows| !rows.is_empty()), "no commits")
            }
            Self::Cancel => {
                linked()?;
                let (_, run) = model.run().ok_or("no run")?;
                match run.phase {
                    RunPhase::Ended(_) => Err("it has ended"),
                    RunPhase::Cancelling { now: true } => Err("it is stopping"),
                    _ => Ok(()),
                }
            }
            Self::Retry => {
                linked()?;
                let (_, at) = step.ok_or("no step")?;
                match at.phase {
                    StepPhase::Failed { .. } | StepPhase::Inconclusive { .. } | StepPhase::Cancelled => {
                        Ok(())
                    }
                    StepPhase::Running | StepPhase::Observing => Err("it runs"),
                    StepPhase::Waiting => Err("it has not run"),
                    StepPhase::Passed => Err("it passed"),
                    StepPhase::Skipped { .. } => Err("it is skipped"),
                }
            }
            Self::Shell => {
                let (_, at) = step.ok_or("no step")?;
                need(
                    matches!(at.phase, StepPhase::Failed { .. } | StepPhase::Inconclusive { .. }),
                    "it did not fail",
                )?;
                need(at.output.kept.is_some(), "nothing was kept")
            }
            Self::Acknowledge => {
                linked()?;
                let (_, at) = step.ok_or("no step")?;
                need(matches!(at.phase, StepPhase::Inconclusive { .. }), "not inconclusive")?;
                need(at.acknowledged.is_none(), "it was acknowledged")
            }
            Self::OpenLog => {
                step.ok_or("no step")?;
                need(model.attempt().is_some() || model.has_card(), "it has not run")
            }
            Self::Search | Self::Follow | Self::Wrap | Self::Zoom | Self::Times | Self::Copy => {
                need(model.attempt().is_some(), "no log yet")
            }
            Self::NextHit | Self::PreviousHit => {
                let hits = model.log.hits.as_ref().ok_or("nothing is searched for")?;
                need(hits.complete || !hits.lines.is_empty(), "it is being searched for")?;
                need(!hits.lines.is_empty(), "not found")
            }
            Self::Findings => need(!model.findings().is_empty(), "none"),
            Self::Runs => need(!model.state.runs.is_empty(), "no run yet"),
            Self::OlderRun => {
                let here = model.run_id().ok_or("no run yet")?;
                need(model.state.runs.range(..here).next().is_some(), "the first")
            }
            Self::NewerRun => {
                let here = model.run_id().ok_or("no run yet")?;
                need(model.state.runs.range(here..).nth(1).is_some(), "the newest")
            }
            Self::Live => need(model.chosen_run.is_some() || model.chosen_step.is_some(), "it does already"),
            Self::Back => {
                need(model.focus != Focus::Steps || model.log.hits.is_some(), "nothing to go back from")
            }
            Self::Reconnect => need(model.link != Link::Up, "the engine is here"),
            Self::Up | Self::Down | Self::PageUp | Self::PageDown | Self::First | Self::Last => Ok(()),
            Self::Help | Self::Palette | Self::Redraw | Self::Suspend | Self::Quit => Ok(()),
        }
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

/// One key of the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FooterKey {
    /// What it does.
    pub action: Action,
    /// The key.
    pub key: String,
    /// Its name here.
    pub name: String,
    /// Why it can't be done now.
    pub reason: Option<&'static str>,
}

/// The context that has the keys.
#[must_use]
pub const fn context(model: &Model) -> Context {
    match model.focus {
        Focus::Steps | Focus::Detail => Context::Steps,
        Focus::Log => Context::Log,
    }
}

/// The footer's keys. What concerns the part without the keys is left to `?`.
#[must_use]
pub fn footer(model: &Model) -> Vec<FooterKey> {
    let here = context(model);
    let nothing = model.run_id().is_none();
    ACTIONS
        .iter()
        .filter(|entry| entry.footer && entry.contexts.contains(&here))
        .filter(|entry| match (here, entry.action) {
            (Context::Steps, Action::Back) => model.focus == Focus::Detail,
            (Context::Steps, Action::Follow | Action::Wrap | Action::Times | Action::Search | Action::Zoom) => {
                false
            }
            (Context::Log, Action::Zoom) => model.size.0 >= super::layout::WIDE,
            (Context::Steps, Action::Runs) => !nothing,
            (Context::Steps, Action::StartCommit) => nothing,
            (Context::Log, Action::Runs | Action::Findings) => false,
            (Context::Log, Action::Acknowledge | Action::Cancel) => false,
            (_, Action::OpenLog | Action::Findings) => !nothing,
            (_, Action::Cancel | Action::Retry | Action::Shell | Action::Acknowledge) => !nothing,
            _ => true,
        })
        .map(|entry| {
            let name = match entry.action {
                Action::Up if nothing => "commit",
                Action::Up if here == Context::Log => "scroll",
                Action::Quit if model.moves() && model.link == Link::Up => "quit: the run goes on",
                _ => entry.name,
            };
            let key = match entry.action {
                Action::Up => "↑↓".to_owned(),
                Action::StartCommit => "⏎".to_owned(),
                _ => entry.keys.first().map(Key::label).unwrap_or_default(),
            };
            let reason = entry.action.availability(model).err();
            FooterKey { action: entry.action, key, name: name.to_owned(), reason }
        })
        .collect()
}

/// Whether a dialog has a text field, so that letters are text.
#[must_use]
pub const fn has_field(dialog: &Dialog) -> bool {
    matches!(dialog, Dialog::Palette { .. } | Dialog::Picker { .. } | Dialog::Acknowledge { .. })
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
            }
        };
        assert_eq!(ACTIONS.iter().map(|entry| count(entry.action)).sum::<usize>(), 33);
        for entry in ACTIONS {
            assert_eq!(ACTIONS.iter().filter(|other| other.action == entry.action).count(), 1);
        }
    }
}
