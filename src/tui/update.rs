//! What a message changes, and what it wants done outside. No IO.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use super::action::{self, Action, Context};
use super::dialog;
use super::field::Field;
use super::layout::{self, Shape};
use super::log::{Hits, WINDOW};
use super::model::{Asked, COMMITS, Commits, Dialog, Focus, Link, Model, Msg, News, Request, Tone};
use crate::domain::command::Command;
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::query::{Answer, Query};
use crate::text::width::plain;
use crate::wire::protocol::{FromEngine, Reply};

/// How many lines the wheel scrolls.
const WHEEL: i64 = 3;

/// Takes a message in.
#[must_use]
pub fn update(model: &mut Model, msg: Msg) -> Vec<Request> {
    let mut requests = Vec::new();
    match msg {
        Msg::Tick(now) => model.now = now,
        Msg::Key(event) => key(model, event, &mut requests),
        Msg::Mouse(event) => mouse(model, event, &mut requests),
        Msg::Paste(text) => paste(model, &text, &mut requests),
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Focus(attention) => model.attention = attention,
        Msg::Pushed(pushed) => push(model, *pushed, &mut requests),
        Msg::Answered { request, reply } => answer(model, *request, reply, &mut requests),
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
        Msg::Disconnected { why, again } => {
            let since = match &model.link {
                Link::Lost { since, .. } => *since,
                Link::Opening | Link::Up => model.heard,
            };
            model.link = Link::Lost { since, why, again };
            model.viewers.clear();
        }
        Msg::Reconnected => {}
        Msg::ShellEnded { trouble } => {
            model.shell = false;
            if let Some(text) = trouble {
                model.news = Some(News { tone: Tone::Trouble, text });
            }
            requests.push(Request::Redraw);
        }
    }
    look_at_log(model, &mut requests);
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
    if model.log.key.is_some()
        && let Some(from) = model.log.missing(layout::log_page(model))
        // Once: what a full log left out does not come by asking again.
        && model.log.asked != Some(from)
    {
        model.log.asked = Some(from);
        requests.push(Request::ReadLog { from, count: WINDOW });
    }
}

fn push(model: &mut Model, pushed: FromEngine, requests: &mut Vec<Request>) {
    model.heard = model.now;
    match pushed {
        FromEngine::Snapshot { state } => {
            model.state = *state;
            model.link = Link::Up;
            if !model.log.read {
                // It may have been asked for while there was no engine to say where it is.
                model.log.key = None;
            }
            if model.run_id().is_none() || model.commits.rows.is_some() {
                requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
            }
        }
        FromEngine::Happened { envelope } => {
            if envelope.seq <= model.state.seq {
                return;
            }
            model.state.apply(&envelope);
            let over = matches!(envelope.event, Event::RunFinished { .. } | Event::RunHeld { .. });
            // What a key led to is old news once the run has come further.
            let further = over || matches!(envelope.event, Event::StepFinished { .. });
            if further && model.news.as_ref().is_some_and(|news| news.tone == Tone::Done) {
                model.news = None;
            }
            if over && !model.attention {
                requests.push(Request::Bell);
            }
            if over && matches!(model.dialog, Some(Dialog::Picker { .. })) {
                requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
            }
        }
        FromEngine::Present { viewers } => model.viewers = viewers,
        // A farewell comes again as the reason of the lost connection, and goes with it.
        FromEngine::Bye { .. } | FromEngine::Welcome { .. } | FromEngine::Reply { .. } => {}
    }
}

fn answer(model: &mut Model, request: Asked, reply: Reply, requests: &mut Vec<Request>) {
    let trouble = |text: String| Some(News { tone: Tone::Trouble, text });
    match (request, reply) {
        (Asked::Command(command), Reply::Done { rows }) => {
            let queued = rows.iter().find_map(|row| match &row.event {
                Event::RunQueued { run, .. } => Some(*run),
                _ => None,
            });
            if let Some(run) = queued {
                show_run(model, Some(run));
            }
            model.news = Some(News { tone: Tone::Done, text: done(&command, queued) });
        }
        (Asked::Command(_), Reply::Refused { refusal }) => {
            let text = if refusal.hint.is_empty() {
                refusal.message
            } else {
                format!("{} {}", refusal.message, refusal.hint)
            };
            model.news = trouble(text);
        }
        (Asked::Query(Query::Commits { .. }), Reply::Answer { answer }) => {
            if let Answer::Commits { commits } = *answer {
                // The selection stays on its commit while new ones come in above.
                model.commits = Commits { rows: Some(commits), trouble: None, at: model.commits.at };
            }
        }
        (Asked::Query(Query::Commits { .. }), Reply::Failed { message }) => {
            model.commits.trouble = Some(message);
        }
        (Asked::Query(Query::Resolve { .. }), Reply::Answer { answer }) => {
            if let Answer::Resolved { commit } = *answer {
                requests.push(Request::Send(Command::StartRun { commit, until: None }));
            }
        }
        (_, Reply::Failed { message }) => model.news = trouble(message),
        (Asked::Query(_), Reply::Refused { refusal }) => model.news = trouble(refusal.message),
        (Asked::Command(_), Reply::Answer { .. }) | (Asked::Query(_), _) => {}
    }
}

fn done(command: &Command, queued: Option<RunId>) -> String {
    match command {
        Command::StartRun { commit, .. } => match queued {
            Some(run) => format!("Run {run} walks {}.", commit.id.short()),
            None => format!("A run was asked for {}.", commit.id.short()),
        },
        Command::CancelRun { run, now: false } => {
            format!("Run {run} stops when its running steps have ended.")
        }
        Command::CancelRun { run, now: true } => format!("Run {run} is being stopped."),
        Command::RetryStep { run, step } => format!("{step} of run {run} is tried again."),
        Command::Acknowledge { run, step, .. } => format!("{step} of run {run} is acknowledged."),
        Command::Promote(_)
        | Command::Rollback(_)
        | Command::Go { .. }
        | Command::Hold { .. }
        | Command::Back { .. }
        | Command::Leave { .. } => "Done.".to_owned(),
    }
}

/// Looks at a run (`None`: whatever runs), at the step that wants to be looked at.
pub(super) fn show_run(model: &mut Model, run: Option<RunId>) {
    model.chosen_run = run;
    model.chosen_step = None;
    model.focus = Focus::Steps;
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
    if model.log.typing.is_some() {
        return search_key(model, event, requests);
    }
    if let Some(wanted) = Action::of(event, action::context(model)) {
        perform(model, wanted, requests);
    }
}

/// Does what an action means, or says why it can't be done.
pub(super) fn perform(model: &mut Model, wanted: Action, requests: &mut Vec<Request>) {
    let wanted = match wanted {
        // Without a run, the list of commits stands where the steps would.
        Action::OpenLog if model.run_id().is_none() => Action::StartCommit,
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
    match wanted {
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
            Focus::Log if !layout::is_wide(model) && model.has_card() => model.focus = Focus::Detail,
            Focus::Log | Focus::Detail | Focus::Steps => model.focus = Focus::Steps,
        },
        Action::NewRun => {
            model.commits.at = 0;
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
                requests.push(Request::OpenShell { kept, title: format!("run {run} {step}") });
            }
        }
        Action::Acknowledge => {
            if let (Some(run), Some((step, _))) = (run, step) {
                model.dialog = Some(Dialog::Acknowledge { run, step, field: Field::new() });
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
        Action::Help => model.dialog = Some(Dialog::Help { top: 0 }),
        Action::Palette => model.dialog = Some(Dialog::Palette { field: Field::new(), at: 0 }),
        Action::Reconnect => requests.push(Request::Reconnect),
        Action::Redraw => requests.push(Request::Redraw),
        Action::Suspend => requests.push(Request::Suspend),
        Action::Quit => requests.push(Request::Quit),
    }
}

fn move_step(model: &mut Model, by: isize) {
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
    } else if let Some(field) = model.log.typing.as_mut() {
        field.paste(text);
        search(model, requests);
    }
}

fn mouse(model: &mut Model, event: MouseEvent, requests: &mut Vec<Request>) {
    if model.shell {
        return;
    }
    let at = Position::new(event.column, event.row);
    let regions = layout::regions(model);
    let wheel = match event.kind {
        MouseEventKind::ScrollUp => -WHEEL,
        MouseEventKind::ScrollDown => WHEEL,
        MouseEventKind::Down(MouseButton::Left) => 0,
        _ => return,
    };
    if model.dialog.is_some() {
        if wheel != 0 {
            dialog::step(model, if wheel > 0 { 1 } else { -1 });
        }
        return;
    }
    if wheel != 0 {
        if regions.right.contains(at) {
            let page = layout::log_page(model);
            model.log.scroll(wheel, page);
        } else if regions.left.contains(at) {
            move_step(model, if wheel > 0 { 1 } else { -1 });
        }
        return;
    }
    model.news = None;
    if regions.footer.contains(at) {
        let pressed = layout::footer_keys(model, regions.footer).into_iter().find(|key| {
            Rect::new(regions.footer.x + key.x, regions.footer.y + key.y, key.width, 1).contains(at)
        });
        if let Some(key) = pressed {
            perform(model, key.item.action, requests);
        }
    } else if regions.runs.contains(at) {
        let columns = super::view::header::chip_room(model);
        let start = super::view::header::CHIPS_FROM;
        let pressed = layout::chips(model, columns)
            .into_iter()
            .find(|(_, x, wide)| (start + x..start + x + wide).contains(&at.x));
        if let Some((run, ..)) = pressed {
            show_run(model, Some(run));
        }
    } else if regions.left.contains(at) {
        click_left(model, layout::inside(regions.left), at);
    } else if regions.right.contains(at) && layout::is_wide(model) && model.attempt().is_some() {
        model.focus = Focus::Log;
    }
}

fn click_left(model: &mut Model, inside: Rect, at: Position) {
    if at.y < inside.y {
        return;
    }
    let line = usize::from(at.y - inside.y);
    if model.run_id().is_none() {
        let rows = model.commits.rows.as_ref().map_or(0, Vec::len);
        let height = usize::from(inside.height.saturating_sub(super::view::commits::HEAD));
        let Some(line) = line.checked_sub(usize::from(super::view::commits::HEAD)) else { return };
        let index = layout::first_shown(rows, model.commits.at, height) + line;
        if index < rows && line < height {
            model.commits.at = index;
        }
        return;
    }
    let steps = model.steps();
    let height = usize::from(layout::step_lines(model, inside.height));
    let selected = model.step().map(|(step, _)| step.id.clone());
    let here = steps.iter().position(|(step, _)| Some(&step.id) == selected.as_ref()).unwrap_or(0);
    let index = layout::first_shown(steps.len(), here, height) + line;
    if line < height
        && let Some((step, _)) = steps.get(index)
    {
        model.chosen_step = Some(step.id.clone());
        model.focus = Focus::Steps;
    }
}
