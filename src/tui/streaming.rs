//! Keeps the merged log in step with what is looked at, and does what keys mean on the Logs screen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::Action;
use super::field::Field;
use super::layout;
use super::logs::Way;
use super::model::{Link, Model, News, Request, Screen, Tone};
use crate::domain::ids::{EnvironmentName, Owner};
use crate::domain::query::{LogSource, Query};
use crate::text::width::plain;

/// How many lines of the stream are seen.
pub(crate) fn page(model: &Model) -> usize {
    let height = layout::inside(layout::regions(model).body).height;
    usize::from(height.saturating_sub(u16::from(has_search_line(model)))).max(1)
}

/// Whether the last line inside the panel is the search's.
pub(crate) const fn has_search_line(model: &Model) -> bool {
    model.stream.typing.is_some() || !model.stream.query.is_empty()
}

/// What the sources of an environment depend on: when it changes, they are asked for again.
fn fingerprint(model: &Model, name: &EnvironmentName) -> usize {
    let all = model.state.deployments.iter().filter(|(_, one)| &one.environment == name);
    let attempts = all.flat_map(|(number, _)| model.state.steps(Owner::Deployment(*number)));
    let attempts: usize = attempts.map(|(_, at)| usize::try_from(at.attempt).unwrap_or(0)).sum();
    attempts + model.state.running(name).len()
}

/// Asks for what the screen lacks.
pub(super) fn look(model: &mut Model, requests: &mut Vec<Request>) {
    if model.screen != Screen::Logs {
        if model.stream.environment.is_some() {
            model.stream.turn_to(None);
            requests.push(Request::Merge { environment: None, directories: Vec::new() });
        }
        return;
    }
    let wanted = model.environment().map(|(name, _)| name.clone());
    if wanted != model.stream.environment {
        model.stream.turn_to(wanted.clone());
        requests.push(Request::Merge { environment: None, directories: Vec::new() });
    }
    let Some(name) = wanted else { return };
    let now = fingerprint(model, &name);
    if model.link == Link::Up && model.stream.known != Some(now) {
        model.stream.known = Some(now);
        requests.push(Request::Ask(Query::Sources { environment: name }));
    }
    if let Some(way) = model.stream.missing(page(model)) {
        model.stream.asked = Some(way);
        let from = match way {
            Way::Older => model.stream.top.clone(),
            Way::Newer | Way::End => model.stream.bottom.clone(),
        };
        requests.push(Request::ReadStream { way, from });
    }
}

/// Takes in where the logs are.
pub(super) fn sources(
    model: &mut Model,
    name: &EnvironmentName,
    sources: Vec<LogSource>,
    requests: &mut Vec<Request>,
) {
    if model.stream.environment.as_ref() != Some(name) || model.stream.sources.as_ref() == Some(&sources) {
        return;
    }
    model.stream.sources = Some(sources);
    start(model, requests);
}

/// Reads the sources that are shown. What was read already stays.
fn start(model: &mut Model, requests: &mut Vec<Request>) {
    let directories = model.stream.shown();
    model.stream.asked = None;
    requests.push(Request::Merge { environment: model.stream.environment.clone(), directories });
}

/// What the list of sources shows: a role (all of it), or one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// All sources of a role; steps are one too.
    Role(String),
    /// One, by its place among the sources.
    Source(usize),
}

/// The role of a source: the replica's, or that it is a step.
pub(crate) fn role(source: &LogSource) -> &str {
    source.replica.as_ref().map_or("steps", |key| key.role.as_str())
}

/// The lines of the list of sources.
pub(crate) fn choices(model: &Model) -> Vec<Choice> {
    let sources = model.stream.sources.as_deref().unwrap_or_default();
    let mut roles: Vec<&str> = Vec::new();
    for source in sources {
        if !roles.contains(&role(source)) {
            roles.push(role(source));
        }
    }
    let roles = roles.into_iter().map(|role| Choice::Role(role.to_owned()));
    roles.chain((0..sources.len()).map(Choice::Source)).collect()
}

/// A key while the list of sources is open.
pub(super) fn choose_key(model: &mut Model, event: KeyEvent, requests: &mut Vec<Request>) {
    let Some(at) = model.stream.choosing else { return };
    let last = choices(model).len().saturating_sub(1);
    match event.code {
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('s' | 'q') => model.stream.choosing = None,
        KeyCode::Up | KeyCode::Char('k') => model.stream.choosing = Some(at.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => model.stream.choosing = Some((at + 1).min(last)),
        KeyCode::Char(' ') => toggle(model, at, requests),
        KeyCode::Char('a') if !model.stream.hidden.is_empty() => {
            model.stream.hidden.clear();
            model.stream.forget();
            start(model, requests);
        }
        _ => {}
    }
}

fn toggle(model: &mut Model, at: usize, requests: &mut Vec<Request>) {
    let Some(choice) = choices(model).into_iter().nth(at) else { return };
    let sources = model.stream.sources.iter().flatten().enumerate();
    let meant: Vec<String> = sources
        .filter(|(index, source)| match &choice {
            Choice::Role(wanted) => role(source) == wanted,
            Choice::Source(wanted) => index == wanted,
        })
        .map(|(_, source)| source.directory.clone())
        .collect();
    let hidden = &mut model.stream.hidden;
    // A role of which a part is hidden is shown whole first.
    if meant.iter().any(|directory| hidden.contains(directory)) {
        hidden.retain(|directory| !meant.contains(directory));
    } else {
        hidden.extend(meant);
    }
    model.stream.forget();
    start(model, requests);
}

/// A key in the search field.
pub(super) fn search_key(model: &mut Model, event: KeyEvent) {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Esc => stop_search(model),
        KeyCode::Char('c') if control => stop_search(model),
        KeyCode::Enter => model.stream.typing = None,
        KeyCode::Down => model.stream.to_hit(1),
        KeyCode::Up => model.stream.to_hit(-1),
        _ => {
            if model.stream.typing.as_mut().is_some_and(|field| field.key(event)) {
                searched(model);
            }
        }
    }
}

pub(super) fn searched(model: &mut Model) {
    model.stream.query = model.stream.typing.as_ref().map_or("", |field| field.text()).to_owned();
    let bottom = model.stream.lines.len().saturating_sub(model.stream.below + 1);
    if !model.stream.hits().contains(&bottom) {
        model.stream.to_hit(-1);
    }
}

fn stop_search(model: &mut Model) {
    model.stream.typing = None;
    model.stream.query.clear();
}

/// Does what an action means on the Logs screen. Returns whether it was one of its own.
pub(super) fn perform(model: &mut Model, wanted: Action, requests: &mut Vec<Request>) -> bool {
    let page = page(model);
    let lines = i64::try_from(page).unwrap_or(1);
    let stream = &mut model.stream;
    match wanted {
        Action::Up => stream.scroll(-1, page),
        Action::Down => stream.scroll(1, page),
        Action::PageUp => stream.scroll(-lines, page),
        Action::PageDown => stream.scroll(lines, page),
        Action::First => stream.scroll(i64::MIN / 2, page),
        // Whatever lies between is not read.
        Action::Last => {
            stream.follow = true;
            stream.below = 0;
            if stream.unread() > 0 {
                stream.forget();
            }
        }
        Action::Follow if stream.follow => stream.follow = false,
        Action::Follow => return perform(model, Action::Last, requests),
        Action::Wrap => stream.wrap = !stream.wrap,
        Action::Times => stream.no_times = !stream.no_times,
        Action::Search => stream.typing = Some(Field::with(&stream.query)),
        Action::NextHit => stream.to_hit(1),
        Action::PreviousHit => stream.to_hit(-1),
        Action::Sources => stream.choosing = Some(0),
        Action::OtherPlace => {
            super::places::select(model, 1);
        }
        Action::Back => stop_search(model),
        Action::Copy => {
            let bottom = stream.lines.len().saturating_sub(stream.below);
            let shown = stream.lines.range(bottom.saturating_sub(page)..bottom);
            let text: Vec<String> = shown.map(|line| plain(&line.text)).collect();
            let said = format!("{} lines copied, where the terminal allows it (OSC 52).", text.len());
            model.news = Some(News { tone: Tone::Done, text: said });
            requests.push(Request::Copy(text.join("\n")));
        }
        _ => return false,
    }
    true
}
