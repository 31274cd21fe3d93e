//! What lies over the screen.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget as _};

use super::{Words, confirm, fold, lease, panel, promote, put, rollback, run_words, steps, word};
use crate::domain::query::CommitRow;
use crate::domain::state::RunPhase;
use crate::tui::action::{ACTIONS, Action, Key};
use crate::tui::dialog::{palette, picker};
use crate::tui::field::Field;
use crate::tui::layout::first_shown;
use crate::tui::model::{Dialog, Model};
use crate::tui::theme::{Mark, Role, run_word};

/// The columns of a dialog that holds text.
const TEXT: u16 = 76;
/// The columns of the list of keys, at most, and of the keys in it.
const WIDE: u16 = 100;
const KEYS: usize = 20;

pub(crate) fn draw(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    match &model.dialog {
        None => {}
        Some(Dialog::Help { top }) => draw_help(model, *top, area, buffer),
        Some(Dialog::Palette { field, at }) => draw_palette(model, field, *at, area, buffer),
        Some(Dialog::Picker { field }) => draw_picker(model, field, area, buffer),
        Some(Dialog::Runs { at }) => draw_runs(model, *at, area, buffer),
        Some(Dialog::Cancel { run, now }) => run_words::cancel(model, *run, *now, area, buffer),
        Some(Dialog::Acknowledge { run, step, field }) => {
            run_words::acknowledge(model, *run, step.as_str(), field, area, buffer);
        }
        Some(Dialog::Findings { top }) => draw_findings(model, *top, area, buffer),
        Some(Dialog::Promote(dialog)) => promote::draw(model, dialog, area, buffer),
        Some(Dialog::Rollback(dialog)) => rollback::draw(model, dialog, area, buffer),
        Some(Dialog::Word(dialog)) => word::draw(model, dialog, area, buffer),
        Some(Dialog::Lease(dialog)) => lease::draw(model, dialog, area, buffer),
    }
}

/// How far what is to be read before a person's word can be scrolled.
pub(crate) fn last_top(model: &Model) -> usize {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    let sheet = match &model.dialog {
        Some(Dialog::Promote(dialog)) => Some(promote::sheet(model, dialog, area.width)),
        Some(Dialog::Rollback(dialog)) => Some(rollback::sheet(model, dialog, area.width)),
        Some(Dialog::Word(dialog)) => word::sheet(model, dialog, area.width),
        Some(Dialog::Lease(dialog)) => Some(lease::sheet(model, dialog, area.width)),
        _ => None,
    };
    sheet.map_or(0, |sheet| confirm::last_top(model, &sheet, area))
}

/// A box in the middle, what is below it wiped.
pub(super) fn place(area: Rect, columns: u16, lines: u16) -> Rect {
    let width = columns.min(area.width);
    let height = lines.min(area.height);
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}

pub(super) fn open(model: &Model, spot: Rect, title: &str, hint: &str, buffer: &mut Buffer) -> Rect {
    // Half of a wide sign that stuck out from under the box would tear the line: blanks on both sides.
    let wider = Rect { x: spot.x.saturating_sub(1), width: spot.width.saturating_add(2), ..spot };
    Clear.render(wider.intersection(*buffer.area()), buffer);
    let inside = panel(model, spot, true, &[(Role::Strong, title.to_owned())], &[], buffer);
    if !hint.is_empty() && spot.height > 1 {
        let mut words = Words::new(&model.theme);
        words.add(Role::Text, " ").cut(Role::Dim, hint, usize::from(spot.width.saturating_sub(6)));
        words.add(Role::Text, " ");
        let wide = u16::try_from(words.columns()).unwrap_or(0);
        let x = spot.right().saturating_sub(wide + 2).max(spot.x);
        buffer.set_line(x, spot.bottom() - 1, &words.line(), wide);
    }
    inside
}

/// A text field with its cursor.
pub(crate) fn draw_field(model: &Model, field: &Field, area: Rect, buffer: &mut Buffer) {
    let mut drawn = field.area().clone();
    drawn.set_cursor_line_style(ratatui::style::Style::new());
    drawn.set_style(model.theme.style(Role::Text));
    (&drawn).render(area, buffer);
}

/// Every key, one a line, as `?` shows them.
pub(crate) fn help_lines(model: &Model) -> Vec<Line<'static>> {
    ACTIONS
        .iter()
        .filter(|entry| !entry.keys.is_empty())
        .flat_map(|entry| {
            let keys: Vec<String> = entry.keys.iter().map(Key::label).collect();
            let reason = entry.action.availability(model).err();
            let text =
                reason.map_or(entry.help.to_owned(), |reason| format!("{} Not now: {reason}.", entry.help));
            let (key_role, role) =
                if reason.is_some() { (Role::Dim, Role::Dim) } else { (Role::Accent, Role::Text) };
            let columns = usize::from(model.size.0.min(WIDE)).saturating_sub(4 + KEYS);
            fold(&text, columns).into_iter().enumerate().map(move |(index, piece)| {
                let mut words = Words::new(&model.theme);
                let shown = if index == 0 { keys.join(" ") } else { String::new() };
                words.cut(key_role, &shown, KEYS - 1).to(KEYS).add(role, &piece);
                words.line()
            })
        })
        .collect()
}

/// What was noticed, folded.
pub(crate) fn finding_lines(model: &Model, columns: u16) -> Vec<Line<'static>> {
    let columns = usize::from(TEXT.min(columns).saturating_sub(4));
    let theme = &model.theme;
    let mut lines = Vec::new();
    for (step, finding) in model.findings() {
        let (glyph, role) = theme.severity(finding.severity);
        let from = step.map_or("plan", |step| step.as_str());
        let mut head = Words::new(theme);
        head.add(role, glyph).add(role, &format!(" {}", finding.severity.word()));
        head.add(Role::Dim, &format!(" · {from} · ")).cut(Role::Dim, &finding.id, columns.saturating_sub(24));
        lines.push(head.line());
        for (role, text) in [(Role::Text, &finding.title), (Role::Accent, &finding.cure)] {
            if text.is_empty() {
                continue;
            }
            for piece in fold(&theme.words(text), columns.saturating_sub(2)) {
                let mut words = Words::new(theme);
                words.add(Role::Text, "  ").add(role, &piece);
                lines.push(words.line());
            }
        }
        lines.push(Line::default());
    }
    lines.pop();
    lines
}

/// How many lines of text a dialog shows.
pub(crate) fn text_page(model: &Model) -> usize {
    usize::from(model.size.1.saturating_sub(4)).max(1)
}

fn draw_text(
    model: &Model,
    title: &str,
    lines: &[Line<'static>],
    top: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2);
    let spot = place(
        area,
        if title == "Keys" { area.width.min(WIDE) } else { TEXT },
        height.min(area.height.saturating_sub(2)),
    );
    let page = usize::from(spot.height.saturating_sub(2));
    let hint = if lines.len() > page { "↑↓ more · esc close" } else { "esc close" };
    let inside = open(model, spot, title, hint, buffer);
    let top = top.min(lines.len().saturating_sub(page));
    for (line, text) in (0..inside.height).zip(lines.iter().skip(top)) {
        put(buffer, inside, line, text);
    }
}

fn draw_help(model: &Model, top: usize, area: Rect, buffer: &mut Buffer) {
    draw_text(model, "Keys", &help_lines(model), top, area, buffer);
}

fn draw_findings(model: &Model, top: usize, area: Rect, buffer: &mut Buffer) {
    draw_text(model, "Findings", &finding_lines(model, area.width), top, area, buffer);
}

fn draw_palette(model: &Model, field: &Field, at: usize, area: Rect, buffer: &mut Buffer) {
    let entries = palette(field.text());
    let spot = place(area, TEXT, 18.min(area.height.saturating_sub(2)));
    let inside = open(model, spot, "Do", "⏎ do · esc close", buffer);
    let list = prompt(model, ":", field, inside, buffer);
    if entries.is_empty() {
        put(buffer, list, 0, &Line::styled("No action is called so.", model.theme.style(Role::Dim)));
    }
    let from = first_shown(entries.len(), at, usize::from(list.height));
    for (line, (index, entry)) in (0..list.height).zip(entries.iter().enumerate().skip(from)) {
        let reason = entry.action.availability(model).err();
        let mut words = Words::new(&model.theme);
        let key = match entry.action {
            Action::StartCommit => "⏎".to_owned(),
            _ => entry.keys.first().map(Key::label).unwrap_or_default(),
        };
        words.cut(if reason.is_some() { Role::Dim } else { Role::Accent }, &key, 7).to(8);
        let role = match (index == at, reason) {
            (true, _) => Role::Strong,
            (false, None) => Role::Text,
            (false, Some(_)) => Role::Dim,
        };
        words.cut(role, entry.name, 12).to(21);
        let text = reason.map_or(entry.help.to_owned(), |reason| format!("not now: {reason}"));
        words.cut(Role::Dim, &text, usize::from(list.width).saturating_sub(21));
        put(buffer, list, line, &words.line());
        mark_chosen(model, list, line, index == at, buffer);
    }
}

/// A prompt with its field on the first line. Returns what is left below it.
pub(super) fn prompt(model: &Model, sign: &str, field: &Field, inside: Rect, buffer: &mut Buffer) -> Rect {
    let mut words = Words::new(&model.theme);
    words.add(Role::Accent, sign);
    let words_before = words.columns();
    put(buffer, inside, 0, &words.line());
    let from = u16::try_from(words_before + 1).unwrap_or(2);
    if inside.width > from && inside.height > 0 {
        let spot = Rect { x: inside.x + from, width: inside.width - from, height: 1, ..inside };
        draw_field(model, field, spot, buffer);
    }
    Rect { y: inside.y.saturating_add(2), height: inside.height.saturating_sub(2), ..inside }
}

pub(super) fn mark_chosen(model: &Model, list: Rect, line: u16, chosen: bool, buffer: &mut Buffer) {
    if chosen && list.x > 0 {
        buffer.set_string(
            list.x - 1,
            list.y + line,
            model.theme.pick("▌", ">"),
            model.theme.style(Role::Chosen),
        );
    }
}

fn draw_picker(model: &Model, field: &Field, area: Rect, buffer: &mut Buffer) {
    let rows: Vec<&CommitRow> = picker(model, field.text());
    // As high as the whole list, so that it does not jump while a word is typed.
    let all = model.commits.rows.as_ref().map_or(usize::MAX, Vec::len);
    let high = u16::try_from(all).unwrap_or(u16::MAX).saturating_add(4).max(8);
    let spot =
        place(area, 110.min(area.width.saturating_sub(2)), high.min(area.height.saturating_sub(4).max(8)));
    let typed = field.text().trim();
    let hint = if rows.is_empty() && !typed.is_empty() {
        format!("⏎ asks git for “{typed}” · esc close")
    } else {
        "⏎ start a run · esc close".to_owned()
    };
    let inside = open(model, spot, "New run: choose a commit or a tag", &hint, buffer);
    let list = prompt(model, model.theme.pick("›", ">"), field, inside, buffer);
    super::commits::draw_rows(model, &rows, list, buffer);
}

fn draw_runs(model: &Model, at: usize, area: Rect, buffer: &mut Buffer) {
    let count = u16::try_from(model.state.runs.len()).unwrap_or(u16::MAX);
    let spot = place(
        area,
        100.min(area.width.saturating_sub(2)),
        count.saturating_add(2).min(area.height.saturating_sub(4)).max(3),
    );
    let inside = open(model, spot, "Runs", "⏎ look at it · esc close", buffer);
    let from = first_shown(model.state.runs.len(), at, usize::from(inside.height));
    let runs = model.state.runs.iter().rev().enumerate().skip(from);
    for (line, (index, (id, run))) in (0..inside.height).zip(runs) {
        let mark = Mark::of_phase(run.phase);
        let mut words = Words::new(&model.theme);
        words.add(mark.role(), model.theme.glyph(mark)).add(Role::Text, &format!(" {id:>4} "));
        let word = match run.phase {
            RunPhase::Cancelling { .. } => "stopping",
            RunPhase::Preparing => "preparing",
            _ => run_word(run),
        };
        words.add(mark.role(), &format!("{word:<11}"));
        words.add(Role::Dim, run.commit.id.short()).add(Role::Text, "  ");
        let took = steps::took(model, run).map(|took| took.to_string()).unwrap_or_default();
        let release = model.state.releases.values().find(|release| release.run == *id);
        let tail = match (&run.failed, release) {
            (Some((step, _)), _)
                if !matches!(run.phase, RunPhase::Ended(crate::domain::state::RunEnd::Passed { .. })) =>
            {
                format!("{step} · {took}")
            }
            (_, Some(release)) => format!("{} · {took}", release.number),
            _ => took,
        };
        let room = usize::from(inside.width).saturating_sub(words.columns() + 24);
        let end = words.columns() + room;
        words.cut(if index == at { Role::Strong } else { Role::Text }, &run.commit.subject, room);
        words.to(end + 1).cut(Role::Dim, &tail, 22);
        put(buffer, inside, line, &words.line());
        mark_chosen(model, inside, line, index == at, buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_never_leaves_the_screen() {
        for (columns, lines) in [(1, 1), (40, 10), (300, 100)] {
            let area = Rect::new(0, 0, columns, lines);
            let spot = place(area, TEXT, 18);
            assert_eq!(spot.intersection(area), spot);
            assert!(crate::tui::layout::inside(spot).width <= spot.width);
        }
    }
}
