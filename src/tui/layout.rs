//! Where things are: for drawing and for the mouse alike.

use ratatui::layout::Rect;

use super::action::Action;
use super::model::{Focus, Model, Screen};
use super::offered::{FooterKey, footer};
use crate::domain::ids::RunId;
use crate::text::width::width;

/// From this many columns on, steps and log stand beside each other.
pub(crate) const WIDE: u16 = 100;

/// How much fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One line that says so.
    TooSmall,
    /// The status and the current step.
    Small,
    /// The screen: one page or two panes.
    Full,
}

/// The parts of the screen. A part that is not drawn is empty.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regions {
    pub(crate) shape: Shape,
    pub(crate) header: Rect,
    pub(crate) runs: Rect,
    /// Everything between the header and the status; `left` and `right` are parts of it.
    pub(crate) body: Rect,
    /// How the environments are, above the status.
    pub(crate) strip: Rect,
    pub(crate) left: Rect,
    pub(crate) right: Rect,
    pub(crate) status: Rect,
    pub(crate) footer: Rect,
}

/// Smallest size at which anything but one line is drawn.
pub(crate) const SMALLEST: (u16, u16) = (40, 10);

pub(crate) fn regions(model: &Model) -> Regions {
    let (columns, rows) = model.size;
    let none = Rect::default();
    let blank = Regions {
        shape: Shape::TooSmall,
        header: none,
        runs: none,
        body: none,
        strip: none,
        left: none,
        right: none,
        status: none,
        footer: none,
    };
    if columns < SMALLEST.0 || rows < SMALLEST.1 {
        return blank;
    }
    if columns < 60 || rows < 16 {
        let body = Rect::new(0, 1, columns, rows.saturating_sub(3));
        return Regions { shape: Shape::Small, body, ..blank };
    }
    let footer_rows = footer_lines(model, columns);
    let line = |y: u16, height: u16| Rect::new(0, y, columns, height);
    let strip_rows = u16::from(has_strip(model));
    let body = line(2, rows.saturating_sub(3 + footer_rows + strip_rows));
    let (left, right) = if model.screen == Screen::Environments {
        let parts = super::arrange::arrange(model, body);
        (parts.steps, parts.right)
    } else if model.screen == Screen::Logs {
        (none, none)
    } else if model.run_id().is_none() {
        (body, none)
    } else if is_wide(model) {
        let share = (u32::from(columns) * 3 / 5).clamp(60, 96);
        let split = u16::try_from(share).unwrap_or(60);
        (Rect { width: split, ..body }, Rect { x: split, width: columns - split, ..body })
    } else if model.focus == Focus::Steps {
        (body, none)
    } else {
        (none, body)
    };
    Regions {
        shape: Shape::Full,
        header: line(0, 1),
        runs: line(1, 1),
        body,
        strip: line(rows.saturating_sub(1 + footer_rows + strip_rows), strip_rows),
        left,
        right,
        status: line(rows - 1 - footer_rows, 1),
        footer: line(rows - footer_rows, footer_rows),
    }
}

/// Whether the environments are said in a line of their own: they are no part of the screen otherwise.
pub(crate) fn has_strip(model: &Model) -> bool {
    model.screen != Screen::Environments && !model.environments().is_empty()
}

/// Whether steps and log stand beside each other.
pub(crate) fn is_wide(model: &Model) -> bool {
    model.size.0 >= WIDE && !is_zoomed(model)
}

/// Whether the log has the whole width of a terminal in which it would stand beside the steps.
pub(crate) fn is_zoomed(model: &Model) -> bool {
    model.zoom && model.size.0 >= WIDE && model.focus == Focus::Log
}

/// What is inside a panel's lines and its margin.
pub(crate) fn inside(panel: Rect) -> Rect {
    Rect {
        x: panel.x.saturating_add(2),
        y: panel.y.saturating_add(1),
        width: panel.width.saturating_sub(4),
        height: panel.height.saturating_sub(2),
    }
}

/// A key of the footer in its place: relative column and line.
pub(crate) struct Placed {
    pub(crate) item: FooterKey,
    pub(crate) x: u16,
    pub(crate) y: u16,
    pub(crate) width: u16,
}

const FOOTER_LINES: u16 = 2;

fn footer_lines(model: &Model, columns: u16) -> u16 {
    let most = if model.size.1 >= 24 { FOOTER_LINES } else { 1 };
    place_footer(model, columns, most).iter().map(|placed| placed.y + 1).max().unwrap_or(1)
}

/// The footer's keys in their places. What can be done comes first in need of room: reasons go before keys do.
pub(crate) fn footer_keys(model: &Model, area: Rect) -> Vec<Placed> {
    place_footer(model, area.width, area.height)
}

fn place_footer(model: &Model, columns: u16, lines: u16) -> Vec<Placed> {
    let mut items = footer(model);
    loop {
        if let Some(placed) = try_place(model, &items, columns, lines) {
            return placed;
        }
        // Too much: the last key that can't act now goes (`?` has it, with its reason), then the last but the
        // three that are always wanted.
        let needless = items.iter().rposition(|item| item.reason.is_some()).or_else(|| {
            items
                .iter()
                .rposition(|item| !matches!(item.action, Action::Help | Action::Palette | Action::Quit))
        });
        match needless {
            Some(index) => {
                items.remove(index);
            }
            None => return Vec::new(),
        }
    }
}

fn try_place(model: &Model, items: &[FooterKey], columns: u16, lines: u16) -> Option<Vec<Placed>> {
    let (mut x, mut y) = (1_u16, 0_u16);
    let mut placed = Vec::with_capacity(items.len());
    for item in items {
        let wide = u16::try_from(width(&footer_text(model, item))).unwrap_or(u16::MAX);
        if x > 1 && x.saturating_add(wide) > columns {
            (x, y) = (1, y + 1);
        }
        if y >= lines || x.saturating_add(wide) > columns {
            return None;
        }
        placed.push(Placed { item: item.clone(), x, y, width: wide });
        x = x.saturating_add(wide).saturating_add(2);
    }
    Some(placed)
}

/// A footer key as it is written.
pub(crate) fn footer_text(model: &Model, item: &FooterKey) -> String {
    let text = match item.reason {
        Some(reason) => format!("{} {}: {reason}", item.key, item.name),
        None => format!("{} {}", item.key, item.name),
    };
    model.theme.words(&text).into_owned()
}

/// The runs that the switcher shows, oldest first, with their columns; the one looked at is always among them.
pub(crate) fn chips(model: &Model, columns: u16) -> Vec<(RunId, u16, u16)> {
    let Some(here) = model.run_id() else { return Vec::new() };
    let size = |run: &RunId| u16::try_from(run.to_string().len()).unwrap_or(u16::MAX).saturating_add(4);
    let mut shown: Vec<RunId> = vec![here];
    let mut used = size(&here);
    let mut newer = model.state.runs.range(here..).map(|(run, _)| *run).skip(1);
    let mut older = model.state.runs.range(..here).rev().map(|(run, _)| *run);
    // Newer ones first: what comes matters more than what was.
    loop {
        let next = newer.next().map(|run| (run, true)).or_else(|| older.next().map(|run| (run, false)));
        let Some((run, after)) = next else { break };
        if used.saturating_add(size(&run)) > columns || shown.len() >= 12 {
            break;
        }
        used = used.saturating_add(size(&run));
        if after { shown.push(run) } else { shown.insert(0, run) }
    }
    let mut x = 0;
    shown
        .into_iter()
        .map(|run| {
            let wide = size(&run);
            let place = (run, x, wide);
            x += wide;
            place
        })
        .collect()
}

/// The first step that is shown in a list of `height` lines, so that the selected one is among them.
pub(crate) const fn first_shown(count: usize, selected: usize, height: usize) -> usize {
    if count <= height {
        return 0;
    }
    let middle = selected.saturating_sub(height / 2);
    let last = count - height;
    if middle < last { middle } else { last }
}

/// How many lines of the steps' panel are for steps; the others say what the run comes to.
pub(crate) fn step_lines(model: &Model, height: u16) -> u16 {
    let steps = u16::try_from(model.steps().len()).unwrap_or(u16::MAX);
    let foot = u16::try_from(super::view::foot::foot(model, usize::MAX).len()).unwrap_or(0);
    // A blank line between, where there is room.
    let gap = u16::from(steps.saturating_add(foot) < height && foot > 0);
    height.saturating_sub(foot + gap).max(1).min(steps.max(1))
}

/// Where the search field, or what was found, is written: the last line inside the log's panel.
pub(crate) const fn has_search_line(model: &Model) -> bool {
    model.log.typing.is_some() || model.log.hits.is_some()
}

/// How many lines of the log are seen.
pub(crate) fn log_page(model: &Model) -> u64 {
    let height = inside(regions(model).right).height;
    u64::from(height.saturating_sub(u16::from(has_search_line(model)))).max(1)
}
