//! What a message changes, and what it wants done outside. No IO.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::action::{self, Action, Context};
use super::field::Field;
use super::layout::{self, Shape};
use super::log::{Hits, WINDOW};
use super::model::{COMMITS, Dialog, Focus, Link, Model, Msg, News, Request, SCREENS, Screen, Tone};
use super::target::Word;
use super::{dialog, mouse, places, promote, rollback, streaming, told, word};
use crate::domain::command::Command;
use crate::domain::ids::RunId;
use crate::domain::plan::{Step, Work};
use crate::domain::project::Service;
use crate::domain::query::Query;
use crate::text::width::plain;

/// Takes a message in.
#[must_use]
pub fn update(model: &mut Model, msg: Msg) -> Vec<Request> {
    let mut requests = Vec::new();
    match msg {
        Msg::Tick(now) => model.now = now,
        Msg::Key(event) => key(model, event, &mut requests),
        Msg::Mouse(event) => mouse::mouse(model, event, &mut requests),
        Msg::Paste(text) => paste(model, &text, &mut requests),
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Focus(attention) => {
            model.attention = attention;
            // Whoever comes back from committing something looks for it in the list.
            let listed = model.run_id().is_none() || matches!(model.dialog, Some(Dialog::Picker { .. }));
            if attention && listed && model.link == Link::Up {
                requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
            }
        }
        Msg::Pushed(pushed) => told::push(model, *pushed, &mut requests),
        Msg::Answered { request, reply } => told::answer(model, *request, reply, &mut requests),
        Msg::LogLines { key, first, lines, total } => {
            if model.log.key.as_ref() == Some(&key) {
                model.log.take(first, lines, total);
            }
        }
        Msg::LogTrouble { key, why } => {
            if model.log.key.as_ref() == Some(&key) {
                model.log.trouble = Some(why);
            }
        }
        Msg::LogHits { key, query, lines, count } => {
            let page = layout::log_page(model);
            let wanted = model.log.hits.as_mut().filter(|hits| hits.query == query);
            if model.log.key.as_ref() == Some(&key)
                && let Some(hits) = wanted
            {
                (hits.lines, hits.count, hits.complete, hits.here) = (lines, count, true, None);
                model.log.to_hit(-1, page);
            }
        }
        Msg::StreamRead { environment, read } => {
            if model.stream.environment.as_ref() == Some(&environment) {
                model.stream.take(*read);
            }
        }
        Msg::StreamEnds { environment, ends } => {
            if model.stream.environment.as_ref() == Some(&environment) {
                model.stream.ends = ends;
            }
        }
        Msg::StreamTrouble { environment, why } => {
            if model.stream.environment.as_ref() == Some(&environment) {
                model.stream.trouble = Some(why);
                model.stream.asked = None;
            }
        }
        Msg::Disconnected { why, again } => {
            let since = match &model.link {
                Link::Lost { since, .. } => *since,
                Link::Opening | Link::Up => model.heard,
            };
            model.link = Link::Lost { since, why, again };
            model.viewers.clear();
        }
        Msg::Reconnected => {}
        Msg::Bundled(done) => {
            let (tone, text) = match done {
                Ok(text) => (Tone::Done, text),
                Err(text) => (Tone::Trouble, text),
            };
            model.news = Some(News { tone, text });
        }
        Msg::ShellEnded { trouble } => {
            model.shell = false;
            if let Some(text) = trouble {
                model.news = Some(News { tone: Tone::Trouble, text });
            }
            requests.push(Request::Redraw);
        }
    }
    look_at_log(model, &mut requests);
    streaming::look(model, &mut requests);
    requests
}

/// Keeps the log that is read in step with the step that is selected.
fn look_at_log(model: &mut Model, requests: &mut Vec<Request>) {
    let (wanted, open) = model.attempt().map_or((None, false), |(key, open)| (Some(key), open));
    if wanted != model.log.key {
        model.log.turn_to(wanted.clone(), open);
        requests.push(Request::FollowLog { key: wanted, open });
        return;
    }
    if open != model.log.open {
        model.log.open = open;
        requests.push(Request::FollowLog { key: wanted, open });
    }
    // Only near the log's beginning there is something to count.
    if model.log.bottom() <= layout::log_page(model)
        && let Some(line) = super::view::log::first_page(model)
    {
        model.log.not_above(line);
    }
    if model.log.key.is_some()
        && let Some(from) = model.log.missing(layout::log_page(model))
        // Once: what a full log left out does not come by asking again.
        && model.log.asked != Some(from)
    {
        model.log.asked = Some(from);
        requests.push(Request::ReadLog { from, count: WINDOW });
    }
}

/// Looks at a run (`None`: whatever runs), at the step that wants to be looked at.
pub(super) fn show_run(model: &mut Model, run: Option<RunId>) {
    model.chosen_run = run;
    model.chosen_step = None;
    model.focus = Focus::Steps;
}

/// Turns to a screen, as it was left but for what has the keys.
pub(super) fn show_screen(model: &mut Model, screen: Screen) {
    if model.screen != screen {
        model.screen = screen;
        model.focus = Focus::Steps;
        model.zoom = false;
    }
}

fn key(model: &mut Model, event: KeyEvent, requests: &mut Vec<Request>) {
    if event.kind == KeyEventKind::Release || model.shell {
        return;
    }
    model.news = None;
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if layout::regions(model).shape == Shape::TooSmall {
        if matches!(event.code, KeyCode::Char('q')) || (control && event.code == KeyCode::Char('c')) {
            requests.push(Request::Quit);
        }
        return;
    }
    if control && event.code == KeyCode::Char('z') {
        return requests.push(Request::Suspend);
    }
    if model.dialog.is_some() {
        return dialog::key(model, event, requests);
    }
    if model.screen == Screen::Logs && model.stream.choosing.is_some() {
        return streaming::choose_key(model, event, requests);
    }
    if model.screen == Screen::Logs && model.stream.typing.is_some() {
        return streaming::search_key(model, event);
    }
    if model.log.typing.is_some() {
        return search_key(model, event, requests);
    }
    if let Some(wanted) = Action::of(event, action::context(model)) {
        // A failed step's container is looked at from outside with the key that lists what was found.
        let kept =
            model.step().and_then(|(_, at)| at.output.kept.as_ref()).filter(|_| wanted == Action::Findings);
        let bundle = model.screen == Screen::Pipeline && kept.is_some_and(|kept| kept.container.is_some());
        perform(model, if bundle { Action::Bundle } else { wanted }, requests);
    }
}

/// Does what an action means, or says why it can't be done.
pub(super) fn perform(model: &mut Model, wanted: Action, requests: &mut Vec<Request>) {
    let wanted = match wanted {
        // Without a run, the list of commits stands where the steps would.
        Action::OpenLog if model.screen == Screen::Pipeline && model.run_id().is_none() => {
            Action::StartCommit
        }
        other => other,
    };
    if let Err(reason) = wanted.availability(model) {
        // A movement that leads nowhere needs no words.
        if !matches!(wanted, Action::Back) {
            let name = wanted.entry().map_or("this", |entry| entry.name);
            let text = format!("{name} can’t be done now: {reason}.");
            model.news = Some(News { tone: Tone::Trouble, text });
        }
        return;
    }
    let page = layout::log_page(model);
    let in_log = action::context(model) == Context::Log;
    let run = model.run_id();
    let step = model.step().map(|(step, at)| (step.id.clone(), at.output.kept.clone()));
    if model.screen == Screen::Environments && places::perform(model, wanted) {
        return;
    }
    if model.screen == Screen::Logs && streaming::perform(model, wanted, requests) {
        return;
    }
    match wanted {
        Action::ShowLogs => show_screen(model, Screen::Logs),
        Action::ShowPipeline => show_screen(model, Screen::Pipeline),
        Action::ShowEnvironments => show_screen(model, Screen::Environments),
        Action::NextScreen => {
            let here = SCREENS.iter().position(|(screen, ..)| *screen == model.screen).unwrap_or(0);
            let next =
                SCREENS.get((here + 1) % SCREENS.len()).map_or(Screen::Pipeline, |(screen, ..)| *screen);
            show_screen(model, next);
        }
        // The Environments screen has done these.
        Action::NextPlace | Action::PreviousPlace | Action::OpenPlace | Action::Replicas => {}
        Action::Sources | Action::OtherPlace => {}
        Action::Up if in_log => model.log.scroll(-1, page),
        Action::Down if in_log => model.log.scroll(1, page),
        Action::Up => move_step(model, -1),
        Action::Down => move_step(model, 1),
        Action::PageUp => model.log.scroll(-i64::try_from(page).unwrap_or(1), page),
        Action::PageDown => model.log.scroll(i64::try_from(page).unwrap_or(1), page),
        Action::First if in_log => model.log.scroll(i64::MIN / 2, page),
        Action::Last if in_log => model.log.scroll(i64::MAX / 2, page),
        Action::First => move_step(model, isize::MIN / 2),
        Action::Last => move_step(model, isize::MAX / 2),
        Action::OpenLog => {
            let card = model.focus == Focus::Steps && !layout::is_wide(model) && model.has_card();
            if model.attempt().is_none() || card {
                model.focus = if layout::is_wide(model) { Focus::Steps } else { Focus::Detail };
            } else {
                model.focus = Focus::Log;
            }
        }
        Action::Back => match model.focus {
            Focus::Log if model.log.hits.is_some() => {
                model.log.hits = None;
                requests.push(Request::SearchLog { query: String::new() });
            }
            Focus::Log if layout::is_zoomed(model) => {
                model.zoom = false;
                model.focus = Focus::Steps;
            }
            Focus::Log if !layout::is_wide(model) && model.has_card() => model.focus = Focus::Detail,
            Focus::Log | Focus::Detail | Focus::Steps => model.focus = Focus::Steps,
        },
        Action::NewRun => {
            (model.commits.at, model.commits.opened) = (0, true);
            model.dialog = Some(Dialog::Picker { field: Field::new() });
            requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
        }
        Action::StartCommit => {
            let rows = model.commits.rows.as_deref().unwrap_or_default();
            if let Some(row) = rows.get(model.commits.at) {
                requests.push(Request::Send(Command::StartRun { commit: row.commit.clone(), until: None }));
            }
        }
        Action::Runs => {
            let at = model.state.runs.keys().rev().position(|id| Some(*id) == run).unwrap_or(0);
            model.dialog = Some(Dialog::Runs { at });
        }
        Action::OlderRun => {
            let older = run.and_then(|run| model.state.runs.range(..run).next_back().map(|(id, _)| *id));
            show_run(model, older);
        }
        Action::NewerRun => {
            let newer = run.and_then(|run| model.state.runs.range(run..).nth(1).map(|(id, _)| *id));
            show_run(model, newer);
        }
        Action::Live => show_run(model, None),
        Action::Cancel => model.dialog = run.map(|run| Dialog::Cancel { run, now: false }),
        Action::Retry => {
            if let (Some(run), Some((step, _))) = (run, step) {
                requests.push(Request::Send(Command::RetryStep { run, step }));
            }
        }
        Action::Shell => {
            if let (Some(run), Some((step, Some(kept)))) = (run, step) {
                model.shell = true;
                let hint = model.step().map(|(step, _)| shell_hint(step)).unwrap_or_default();
                let title = format!("run {run} {step}");
                requests.push(Request::OpenShell { kept, of: (run, step), title, hint });
            }
        }
        Action::Acknowledge => {
            if let (Some(run), Some((step, _))) = (run, step) {
                model.dialog = Some(Dialog::Acknowledge { run, step, field: Field::new() });
            }
        }
        Action::Bundle => {
            if let (Some(run), Some((step, _))) = (run, step) {
                requests.push(Request::Bundle { of: (run, step) });
            }
        }
        Action::Findings => model.dialog = Some(Dialog::Findings { top: 0 }),
        Action::Search => {
            model.focus = Focus::Log;
            let before = model.log.hits.as_ref().map_or("", |hits| hits.query.as_str());
            model.log.typing = Some(Field::with(before));
        }
        Action::NextHit => model.log.to_hit(1, page),
        Action::PreviousHit => model.log.to_hit(-1, page),
        Action::Follow => {
            model.log.follow = !model.log.follow;
            model.log.bottom = model.log.total.saturating_sub(1);
        }
        Action::Wrap => model.log.wrap = !model.log.wrap,
        Action::Zoom => {
            model.zoom = !layout::is_zoomed(model);
            model.focus = Focus::Log;
        }
        Action::Times => model.log.times = !model.log.times,
        Action::Copy => {
            let bottom = model.log.bottom();
            let top = bottom.saturating_sub(page.saturating_sub(1));
            let lines: Vec<String> = (top..=bottom)
                .filter_map(|number| model.log.line(number))
                .map(|line| plain(&line.text))
                .collect();
            let text = format!("{} lines copied, where the terminal allows it (OSC 52).", lines.len());
            model.news = Some(News { tone: Tone::Done, text });
            requests.push(Request::Copy(lines.join("\n")));
        }
        Action::Promote => promote::open(model, requests),
        Action::Rollback => rollback::open(model, requests),
        Action::GoOn => word::open(model, Word::Go, requests),
        Action::Hold => word::open(model, Word::Hold, requests),
        Action::Leave => word::open(model, Word::Leave, requests),
        Action::BreakLease => super::lease::open(model),
        Action::Help => model.dialog = Some(Dialog::Help { top: 0 }),
        Action::Palette => model.dialog = Some(Dialog::Palette { field: Field::new(), at: 0 }),
        Action::Reconnect => requests.push(Request::Reconnect),
        Action::Redraw => requests.push(Request::Redraw),
        Action::Suspend => requests.push(Request::Suspend),
        Action::Quit => requests.push(Request::Quit),
    }
}

/// What a person wants to know in the shell of a step: the command to try, and what is gone.
fn shell_hint(step: &Step) -> String {
    let (ran, setting) = match &step.work {
        Work::Exec(exec) => (exec.run.as_str(), Some(&exec.setting)),
        Work::MigrateEmpty(exec) => (exec.run.as_str(), Some(&exec.setting)),
        Work::Install(setting) | Work::Inspect(setting) => ("", Some(setting)),
        Work::Build(build) => ("", Some(&build.setting)),
        _ => ("", None),
    };
    let mut lines = Vec::new();
    if !ran.is_empty() {
        lines.push(format!("the step ran: {ran}"));
    }
    if setting.is_some_and(|setting| setting.services.contains(&Service::Postgres)) {
        lines.push("its throw-away PostgreSQL is gone; DATABASE_URL still names it.".to_owned());
    }
    lines.join("\n")
}

pub(super) fn move_step(model: &mut Model, by: isize) {
    if model.run_id().is_none() {
        let last = model.commits.rows.as_ref().map_or(0, Vec::len).saturating_sub(1);
        model.commits.at = model.commits.at.saturating_add_signed(by).min(last);
        return;
    }
    let steps = model.steps();
    let here = model.step().map(|(step, _)| step.id.clone());
    let at = steps.iter().position(|(step, _)| Some(&step.id) == here.as_ref()).unwrap_or(0);
    let to = at.saturating_add_signed(by).min(steps.len().saturating_sub(1));
    model.chosen_step = steps.get(to).map(|(step, _)| step.id.clone());
    if model.focus == Focus::Detail && !model.has_card() {
        model.focus = Focus::Log;
    }
}

fn search_key(model: &mut Model, event: KeyEvent, requests: &mut Vec<Request>) {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Esc => stop_search(model, requests),
        KeyCode::Char('c') if control => stop_search(model, requests),
        KeyCode::Enter => {
            model.log.typing = None;
            if model.log.hits.as_ref().is_some_and(|hits| hits.query.is_empty()) {
                model.log.hits = None;
            }
        }
        KeyCode::Down => model.log.to_hit(1, layout::log_page(model)),
        KeyCode::Up => model.log.to_hit(-1, layout::log_page(model)),
        _ => {
            if model.log.typing.as_mut().is_some_and(|field| field.key(event)) {
                search(model, requests);
            }
        }
    }
}

fn stop_search(model: &mut Model, requests: &mut Vec<Request>) {
    model.log.typing = None;
    model.log.hits = None;
    requests.push(Request::SearchLog { query: String::new() });
}

fn search(model: &mut Model, requests: &mut Vec<Request>) {
    let query = model.log.typing.as_ref().map(|field| field.text().to_owned()).unwrap_or_default();
    model.log.hits = Some(Hits { query: query.clone(), ..Hits::default() });
    requests.push(Request::SearchLog { query });
}

fn paste(model: &mut Model, text: &str, requests: &mut Vec<Request>) {
    if model.dialog.is_some() {
        dialog::paste(model, text);
    } else if let Some(field) = model.stream.typing.as_mut() {
        field.paste(text);
        streaming::searched(model);
    } else if let Some(field) = model.log.typing.as_mut() {
        field.paste(text);
        search(model, requests);
    }
}
