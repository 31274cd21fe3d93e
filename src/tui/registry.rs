//! The one registry of actions. The footer, `?` and the `:` palette are made from it.

use crossterm::event::KeyCode;

use super::action::{Action, Context, Entry, Key};

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
const RUN: &[Context] = &[Context::Steps, Context::Log];
const LISTS: &[Context] = &[Context::Steps, Context::Log, Context::Place, Context::Stream];
const ZOOM: &[Context] = &[Context::Steps, Context::Log, Context::Place];
const LOGS: &[Context] = &[Context::Log, Context::Stream];
const STREAM: &[Context] = &[Context::Stream];
const EVERYWHERE: &[Context] =
    &[Context::Steps, Context::Log, Context::Panels, Context::Place, Context::Stream];
const PANELS: &[Context] = &[Context::Panels];
const PLACE: &[Context] = &[Context::Place];

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
        LISTS,
        "step",
        "Select the step above; in a log, scroll up.",
        true,
    ),
    entry(
        Action::Down,
        &[named(KeyCode::Down), key('j')],
        LISTS,
        "down",
        "Select the step below; in a log, scroll down.",
        false,
    ),
    entry(
        Action::OpenLog,
        &[named(KeyCode::Enter), named(KeyCode::Right)],
        &[Context::Steps, Context::Place],
        "log",
        "Go to the selected step's log.",
        true,
    ),
    entry(
        Action::Back,
        &[named(KeyCode::Esc), named(KeyCode::Left)],
        LISTS,
        "back",
        "Go back from the log or the page to the steps.",
        true,
    ),
    entry(
        Action::NextPlace,
        &[named(KeyCode::Right), named(KeyCode::Down), key('j')],
        PANELS,
        "environment",
        "Select the next environment.",
        true,
    ),
    entry(
        Action::PreviousPlace,
        &[named(KeyCode::Left), named(KeyCode::Up), key('k')],
        PANELS,
        "environment before",
        "Select the environment before.",
        false,
    ),
    entry(
        Action::OpenPlace,
        &[named(KeyCode::Enter)],
        PANELS,
        "open",
        "Open the selected environment: its steps, its history, its replicas.",
        true,
    ),
    entry(
        Action::Replicas,
        &[key('v')],
        PLACE,
        "replicas",
        "Show the environment's replicas in place of its deployment.",
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
    entry(Action::Cancel, &[key('x')], RUN, "cancel", "Cancel the run: between steps, or at once.", true),
    entry(
        Action::Retry,
        &[key('r')],
        RUN,
        "retry",
        "Try the selected step once more; the run goes on from there.",
        true,
    ),
    entry(
        Action::Shell,
        &[key('s')],
        RUN,
        "shell",
        "Open a shell in the failed step's kept directory and environment.",
        true,
    ),
    entry(
        Action::Acknowledge,
        &[key('a')],
        RUN,
        "acknowledge",
        "Say that an inconclusive check is acceptable, and why.",
        true,
    ),
    entry(
        Action::Promote,
        &[key('p')],
        EVERYWHERE,
        "promote",
        "Look at what promoting a release would do, then confirm it.",
        true,
    ),
    entry(
        Action::Rollback,
        &[key('R')],
        EVERYWHERE,
        "roll back",
        "Go back to the release that was live before, or take the deployment under way back.",
        true,
    ),
    entry(
        Action::GoOn,
        &[key('c')],
        EVERYWHERE,
        "go on",
        "Go on with the held deployment, and say why.",
        true,
    ),
    entry(Action::Hold, &[key('H')], EVERYWHERE, "hold", "Hold the deployment before its next step.", true),
    entry(
        Action::Leave,
        &[key('L')],
        EVERYWHERE,
        "leave",
        "End the held deployment as it is: nothing more is done, its environment is free.",
        true,
    ),
    entry(
        Action::BreakLease,
        &[key('B')],
        &[Context::Panels, Context::Place],
        "break lease",
        "Take the environment's lease from somebody else who does not give it back.",
        true,
    ),
    entry(Action::Search, &[key('/')], LISTS, "search", "Search the log as you type.", true),
    entry(Action::NextHit, &[key('n')], LOGS, "next", "Go to the next hit.", true),
    entry(Action::PreviousHit, &[key('N')], LOGS, "previous", "Go to the hit before.", false),
    entry(
        Action::Follow,
        &[key('f')],
        LISTS,
        "follow",
        "Keep the log's end in sight; scrolling up stops it.",
        true,
    ),
    entry(Action::Wrap, &[key('w')], LISTS, "wrap", "Fold the log's long lines, or cut them.", true),
    entry(Action::Zoom, &[key('z')], ZOOM, "zoom", "Give the log the whole width, or only its part.", true),
    entry(Action::Times, &[key('t')], LISTS, "times", "Show when each line of the log was written.", true),
    entry(Action::Copy, &[key('y')], LOGS, "copy", "Copy the log's lines in sight to the clipboard.", true),
    // Its key is that of the findings, where there is a container to look at.
    entry(
        Action::Bundle,
        &[key('O')],
        RUN,
        "bundle",
        "Write what is known of the step into an archive, redacted: log, container, versions.",
        false,
    ),
    entry(
        Action::Findings,
        &[key('o')],
        RUN,
        "findings",
        "List what this run noticed, and what to do about it.",
        true,
    ),
    entry(Action::OlderRun, &[key('[')], RUN, "older run", "Look at the run before this one.", false),
    entry(Action::NewerRun, &[key(']')], RUN, "newer run", "Look at the run after this one.", false),
    entry(Action::Runs, &[key('u')], RUN, "runs", "List the runs and look at one of them.", true),
    entry(Action::Live, &[key('.')], RUN, "live", "Look at whatever runs, wherever it goes.", false),
    entry(
        Action::PageUp,
        &[named(KeyCode::PageUp), control('b')],
        LISTS,
        "page up",
        "Scroll the log a page up.",
        false,
    ),
    entry(
        Action::PageDown,
        &[named(KeyCode::PageDown), control('f'), key(' ')],
        LISTS,
        "page down",
        "Scroll the log a page down.",
        false,
    ),
    entry(
        Action::First,
        &[key('g'), named(KeyCode::Home)],
        LISTS,
        "first",
        "Go to the first step; in a log, to its first line.",
        false,
    ),
    entry(
        Action::Last,
        &[key('G'), named(KeyCode::End)],
        LISTS,
        "last",
        "Go to the last step; in a log, to its end, and follow.",
        false,
    ),
    entry(
        Action::Reconnect,
        &[control('r')],
        EVERYWHERE,
        "reconnect",
        "Try to reach the engine now instead of waiting.",
        false,
    ),
    entry(Action::Redraw, &[control('l')], EVERYWHERE, "redraw", "Draw everything anew.", false),
    entry(
        Action::Suspend,
        &[control('z')],
        EVERYWHERE,
        "suspend",
        "Step aside as a job of your shell; fg brings the console back.",
        false,
    ),
    entry(
        Action::ShowPipeline,
        &[key('1')],
        EVERYWHERE,
        "pipeline",
        "Look at a commit's way to a release.",
        false,
    ),
    entry(
        Action::ShowEnvironments,
        &[key('2')],
        EVERYWHERE,
        "environments",
        "Look at what is live where, and how it gets there.",
        false,
    ),
    entry(Action::ShowLogs, &[key('4')], EVERYWHERE, "logs", "Look at what an environment says.", false),
    entry(
        Action::Sources,
        &[key('s')],
        STREAM,
        "sources",
        "Choose whose lines are shown: by role, or one by one.",
        true,
    ),
    entry(
        Action::OtherPlace,
        &[key('e')],
        STREAM,
        "other environment",
        "Look at the next environment's logs.",
        true,
    ),
    entry(
        Action::NextScreen,
        &[named(KeyCode::Tab)],
        EVERYWHERE,
        "next screen",
        "Look at the next screen.",
        true,
    ),
    entry(
        Action::Palette,
        &[key(':'), control('p')],
        EVERYWHERE,
        "palette",
        "Find any of these by its name.",
        true,
    ),
    entry(Action::Help, &[key('?'), named(KeyCode::F(1))], EVERYWHERE, "help", "Show every key.", true),
    entry(
        Action::Quit,
        &[key('q'), control('c')],
        EVERYWHERE,
        "quit",
        "Leave the console. A run that is open goes on.",
        true,
    ),
];
