//! Keys in dialogs.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::action::{ACTIONS, Action, Entry};
use super::model::{Dialog, Model, Request};
use super::update::{perform, show_run};
use super::{deploying, fuzzy};
use crate::domain::command::Command;
use crate::domain::query::{CommitRow, Query};

/// How far a page key goes in a list.
const PAGE: isize = 10;

/// The actions that the palette shows: those whose name fits, then those whose help says the word.
pub(crate) fn palette<'a>(query: &str) -> Vec<&'a Entry> {
    let mut found = fuzzy::filter(query, ACTIONS.iter().map(|entry| (entry, entry.name.to_owned())));
    let word = query.trim().to_lowercase();
    let told = ACTIONS.iter().filter(|entry| entry.help.to_lowercase().contains(&word));
    for entry in told {
        if !found.iter().any(|known| known.action == entry.action) {
            found.push(entry);
        }
    }
    // Nobody looks for the arrows' names first.
    found.sort_by_key(|entry| {
        use Action::{Down, First, Last, PageDown, PageUp, Up};
        word.is_empty() && matches!(entry.action, Up | Down | PageUp | PageDown | First | Last)
    });
    found
}

/// The commits of the list that is open: the picker's, else the page's.
pub(crate) fn listed(model: &Model) -> Vec<&CommitRow> {
    match &model.dialog {
        Some(Dialog::Picker { field }) => picker(model, field.text()),
        _ => model.commits.rows.iter().flatten().collect(),
    }
}

/// The commits that the picker shows.
pub(crate) fn picker<'a>(model: &'a Model, query: &str) -> Vec<&'a CommitRow> {
    let rows = model.commits.rows.as_deref().unwrap_or_default();
    fuzzy::filter(
        query,
        rows.iter().map(|row| {
            let commit = &row.commit;
            let names = [commit.tags.join(" "), commit.branches.join(" ")].join(" ");
            (row, format!("{} {} {names} {}", commit.id.short(), commit.subject, commit.author))
        }),
    )
}

pub(super) fn key(model: &mut Model, event: KeyEvent, requests: &mut Vec<Request>) {
    if deploying::key(model, event, requests) {
        return;
    }
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    match event.code {
        KeyCode::Esc => model.dialog = None,
        KeyCode::Char('c') if control => model.dialog = None,
        KeyCode::Enter => enter(model, requests),
        KeyCode::Up => step(model, -1),
        KeyCode::Down => step(model, 1),
        KeyCode::Char('p') if control => step(model, -1),
        KeyCode::Char('n') if control => step(model, 1),
        KeyCode::PageUp => step(model, -PAGE),
        KeyCode::PageDown => step(model, PAGE),
        _ => other(model, event),
    }
}

fn other(model: &mut Model, event: KeyEvent) {
    match &mut model.dialog {
        Some(Dialog::Palette { field, at }) => *at = if field.key(event) { 0 } else { *at },
        Some(Dialog::Picker { field }) => {
            let first = field.key(event);
            model.commits.at = if first { 0 } else { model.commits.at };
        }
        Some(Dialog::Acknowledge { field, .. }) => {
            field.key(event);
        }
        Some(Dialog::Cancel { .. }) => match event.code {
            KeyCode::Tab | KeyCode::BackTab | KeyCode::Char('j' | 'k') => step(model, 1),
            KeyCode::Char('q') => model.dialog = None,
            _ => {}
        },
        Some(Dialog::Help { .. } | Dialog::Runs { .. } | Dialog::Findings { .. }) => match event.code {
            KeyCode::Char('k') => step(model, -1),
            KeyCode::Char('j') => step(model, 1),
            KeyCode::Char('g') | KeyCode::Home => step(model, isize::MIN / 2),
            KeyCode::Char('G') | KeyCode::End => step(model, isize::MAX / 2),
            KeyCode::Char('q' | '?' | 'o' | 'u') => model.dialog = None,
            _ => {}
        },
        Some(Dialog::Promote(_) | Dialog::Rollback(_) | Dialog::Word(_) | Dialog::Lease(_)) | None => {}
    }
}

/// Moves the selection, or scrolls.
pub(super) fn step(model: &mut Model, by: isize) {
    let runs = model.state.runs.len();
    let rows = match &model.dialog {
        Some(Dialog::Picker { field }) => picker(model, field.text()).len(),
        _ => 0,
    };
    let text = match &model.dialog {
        Some(Dialog::Help { .. }) => super::view::dialogs::help_lines(model).len(),
        Some(Dialog::Findings { .. }) => super::view::dialogs::finding_lines(model, model.size.0).len(),
        _ => 0,
    };
    let page = super::view::dialogs::text_page(model);
    let moved = |at: usize, count: usize| at.saturating_add_signed(by).min(count.saturating_sub(1));
    match &mut model.dialog {
        Some(Dialog::Palette { field, at }) => *at = moved(*at, palette(field.text()).len()),
        Some(Dialog::Picker { .. }) => model.commits.at = moved(model.commits.at, rows),
        Some(Dialog::Runs { at }) => *at = moved(*at, runs),
        Some(Dialog::Cancel { now, .. }) => *now = !*now,
        Some(Dialog::Help { top } | Dialog::Findings { top }) => {
            *top = moved(*top, text.saturating_sub(page) + 1);
        }
        Some(Dialog::Promote(_) | Dialog::Rollback(_)) => deploying::step(model, by),
        Some(Dialog::Acknowledge { .. } | Dialog::Word(_) | Dialog::Lease(_)) | None => {}
    }
}

fn enter(model: &mut Model, requests: &mut Vec<Request>) {
    match model.dialog.take() {
        Some(Dialog::Palette { field, at }) => {
            if let Some(entry) = palette(field.text()).get(at) {
                perform(model, entry.action, requests);
            }
        }
        Some(Dialog::Picker { field }) => {
            let chosen = picker(model, field.text()).get(model.commits.at).map(|row| row.commit.clone());
            match chosen {
                Some(commit) => requests.push(Request::Send(Command::StartRun { commit, until: None })),
                // Not in the list: git may know it.
                None if !field.text().trim().is_empty() => {
                    requests.push(Request::Ask(Query::Resolve { revision: field.text().trim().to_owned() }));
                }
                None => model.dialog = Some(Dialog::Picker { field }),
            }
        }
        Some(Dialog::Runs { at }) => {
            let run = model.state.runs.keys().rev().nth(at).copied();
            show_run(model, run);
        }
        Some(Dialog::Cancel { run, now }) => requests.push(Request::Send(Command::CancelRun { run, now })),
        Some(Dialog::Acknowledge { run, step, field }) => {
            let reason = field.text().trim().to_owned();
            if reason.is_empty() {
                // Dead until there is a reason.
                model.dialog = Some(Dialog::Acknowledge { run, step, field });
            } else {
                requests.push(Request::Send(Command::Acknowledge { run, step, reason }));
            }
        }
        // Those about deployments have taken it already.
        Some(Dialog::Promote(_) | Dialog::Rollback(_) | Dialog::Word(_) | Dialog::Lease(_)) => {}
        Some(Dialog::Help { .. } | Dialog::Findings { .. }) | None => {}
    }
}

pub(super) fn paste(model: &mut Model, text: &str) {
    match &mut model.dialog {
        Some(Dialog::Palette { field, at }) => {
            field.paste(text);
            *at = 0;
        }
        Some(Dialog::Picker { field }) => {
            field.paste(text);
            model.commits.at = 0;
        }
        Some(Dialog::Acknowledge { field, .. }) => field.paste(text),
        Some(Dialog::Promote(_) | Dialog::Rollback(_) | Dialog::Word(_) | Dialog::Lease(_)) => {
            deploying::paste(model, text);
        }
        Some(Dialog::Help { .. } | Dialog::Runs { .. } | Dialog::Cancel { .. } | Dialog::Findings { .. })
        | None => {}
    }
}
