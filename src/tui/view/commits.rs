//! Commits and tags to pick from, with how far each has come.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Words, panel, put};
use crate::domain::query::CommitRow;
use crate::domain::state::{RunEnd, RunPhase};
use crate::text::width::width;
use crate::tui::layout::first_shown;
use crate::tui::model::{Link, Model};
use crate::tui::theme::{Mark, Role};

/// Lines above the list.
pub(crate) const HEAD: u16 = 2;

/// The page that stands where the steps would, while there is no run.
pub(crate) fn draw_page(model: &Model, area: Rect, buffer: &mut Buffer) {
    let title = [(Role::Strong, "Commits".to_owned()), (Role::Dim, " · no run yet".to_owned())];
    let inside = panel(model, area, true, &title, &[], buffer);
    let mut words = Words::new(&model.theme);
    words
        .add(Role::Dim, "Choose a commit; ")
        .add(Role::Accent, "⏎")
        .add(Role::Dim, " walks it through the pipeline.");
    put(buffer, inside, 0, &words.line());
    let list =
        Rect { y: inside.y.saturating_add(HEAD), height: inside.height.saturating_sub(HEAD), ..inside };
    let rows: Vec<&CommitRow> = model.commits.rows.iter().flatten().collect();
    draw_rows(model, &rows, list, buffer);
}

/// The lines of a list of commits, the selected one among them.
pub(crate) fn draw_rows(model: &Model, rows: &[&CommitRow], area: Rect, buffer: &mut Buffer) {
    if rows.is_empty() {
        let (role, text) = match (&model.commits.trouble, &model.commits.rows, &model.link) {
            (Some(why), ..) => (Role::Bad, why.as_str()),
            (None, None, Link::Up) => (Role::Dim, "reading the commits…"),
            (None, None, _) => (Role::Dim, "waiting for the engine…"),
            (None, Some(all), _) if all.is_empty() => (Role::Dim, "This repository has no commit yet."),
            (None, Some(_), _) => (Role::Dim, "None of the newest commits fits."),
        };
        let mut words = Words::new(&model.theme);
        words.cut(role, text, usize::from(area.width));
        return put(buffer, area, 0, &words.line());
    }
    let columns = usize::from(area.width);
    let author = if columns >= 84 { 14 } else { 0 };
    let came = match columns {
        84.. => 24,
        60..84 => 19,
        // The glyph alone.
        _ => 2,
    };
    let from = first_shown(rows.len(), model.commits.at, usize::from(area.height));
    for (line, (index, row)) in (0..area.height).zip(rows.iter().enumerate().skip(from)) {
        let chosen = index == model.commits.at;
        put(buffer, area, line, &commit_line(model, row, chosen, columns, author, came));
        if chosen && area.x > 0 {
            let style = model.theme.style(Role::Chosen);
            buffer.set_string(area.x - 1, area.y + line, model.theme.pick("▌", ">"), style);
        }
    }
}

fn commit_line(
    model: &Model,
    row: &CommitRow,
    chosen: bool,
    columns: usize,
    author: usize,
    came: usize,
) -> Line<'static> {
    let commit = &row.commit;
    let mut words = Words::new(&model.theme);
    words.add(Role::Accent, commit.id.short()).add(Role::Text, "  ");
    let age = if came > 2 { model.ago(commit.authored) } else { String::new() };
    let tail = came + 1 + author + usize::from(author > 0) + if came > 2 { 9 } else { 0 };
    let room = columns.saturating_sub(words.columns() + tail);
    let names: Vec<&str> = commit.tags.iter().chain(&commit.branches).map(String::as_str).collect();
    let mut names = names.join(" ");
    if width(&names) > room / 2 {
        names = crate::tui::measure::truncate(&names, room / 2, model.theme.ellipsis());
    }
    let gap = usize::from(!names.is_empty()) * 2;
    let end = words.columns() + room;
    words.cut(
        if chosen { Role::Strong } else { Role::Text },
        &commit.subject,
        room.saturating_sub(width(&names) + gap),
    );
    if !names.is_empty() {
        words.add(Role::Text, "  ").add(Role::Warn, &names);
    }
    words.to(end + 1);
    let (mark, text) = far(row);
    if let Some(mark) = mark {
        words.add(mark.role(), model.theme.glyph(mark)).cut(
            Role::Text,
            &format!(" {text}"),
            came.saturating_sub(2),
        );
    }
    words.to(end + 1 + came);
    if author > 0 {
        words.cut(Role::Dim, &commit.author, author);
        words.to(end + 1 + came + author + 1);
    }
    words.add(Role::Dim, &" ".repeat(8_usize.saturating_sub(width(&age)))).add(Role::Dim, &age);
    words.line()
}

/// How far a commit has come.
fn far(row: &CommitRow) -> (Option<Mark>, String) {
    let Some((run, phase)) = row.run else {
        return (
            row.release.map(|_| Mark::Passed),
            row.release.map(|release| release.to_string()).unwrap_or_default(),
        );
    };
    let word = match phase {
        RunPhase::Queued => "queued",
        RunPhase::Preparing => "prepared",
        RunPhase::Running => "running",
        RunPhase::Held => "held",
        RunPhase::Cancelling { .. } => "stopping",
        RunPhase::Ended(RunEnd::Passed { .. }) => "passed",
        RunPhase::Ended(RunEnd::Failed) => "failed",
        RunPhase::Ended(RunEnd::Cancelled) => "cancelled",
        RunPhase::Ended(RunEnd::Superseded { .. }) => "superseded",
    };
    let release = row.release.map(|release| format!(" · {release}")).unwrap_or_default();
    (Some(Mark::of_phase(phase)), format!("run {run} {word}{release}"))
}
