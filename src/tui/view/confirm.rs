//! A dialog that asks for a person's word: what is to be read above, the fields below, never out of sight.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::dialogs::{draw_field, open, place};
use super::{Words, fold, put};
use crate::tui::confirm::{Confirmation, Part, Wanted};
use crate::tui::field::Field;
use crate::tui::model::Model;
use crate::tui::theme::{Role, Theme};

/// The columns of such a dialog, at most.
pub(super) const COLUMNS: u16 = 92;
/// The columns of a label, where there is room for one.
const LABEL: usize = 14;
/// From this many columns on there is.
const ROOMY: usize = 56;

/// What is drawn.
pub(super) struct Sheet<'a> {
    /// What it is about.
    pub(super) title: String,
    /// Whether the environment is protected: then nobody may take it for another.
    pub(super) heavy: bool,
    /// What is to be read.
    pub(super) body: Vec<Line<'static>>,
    /// What was said so far, and what has to be; without it nothing is to be said.
    pub(super) word: Option<(&'a Confirmation, Wanted)>,
    /// What the keys do.
    pub(super) hint: String,
}

/// How many columns of text there are.
pub(super) fn columns(area_width: u16) -> usize {
    usize::from(COLUMNS.min(area_width).saturating_sub(4))
}

/// The lines below what is to be read, and how many lines of that are seen.
fn parts(model: &Model, sheet: &Sheet<'_>, area: Rect) -> (Vec<String>, u16, u16) {
    let said = sheet.word.as_ref().and_then(|(word, _)| word.said.as_deref());
    let said = said.map_or_else(Vec::new, |said| fold(&model.theme.words(said), columns(area.width)));
    let fields = sheet.word.as_ref().map_or(0, |(_, wanted)| 1 + u16::from(wanted.name.is_some()));
    let most = area.height.saturating_sub(2);
    // As many as there is room for beside one line of what is to be read.
    let lines = usize::from(most.saturating_sub(fields + 1)).min(3);
    let said: Vec<String> = said.into_iter().take(lines).collect();
    let below = fields + u16::try_from(said.len()).unwrap_or(0);
    (said, below, most.saturating_sub(below))
}

/// The last line that can be the first to be shown.
pub(super) fn last_top(model: &Model, sheet: &Sheet<'_>, area: Rect) -> usize {
    let (_, _, room) = parts(model, sheet, area);
    dense(&sheet.body, usize::from(room)).len().saturating_sub(usize::from(room))
}

/// Without its blank lines, where they would cost others their place.
fn dense(body: &[Line<'static>], room: usize) -> Vec<Line<'static>> {
    let all = body.len() < room;
    body.iter().filter(|line| all || line.width() > 0).cloned().collect()
}

pub(super) fn draw(model: &Model, sheet: &Sheet<'_>, area: Rect, buffer: &mut Buffer) {
    let theme = &model.theme;
    let (said, below, room) = parts(model, sheet, area);
    let body = dense(&sheet.body, usize::from(room));
    let lines = u16::try_from(body.len()).unwrap_or(u16::MAX);
    // A blank line between, where there is room.
    let gap = u16::from(lines < room && below > 0);
    let spot = place(area, COLUMNS, lines.min(room).saturating_add(gap + below + 2));
    let hidden = lines > room;
    let hint = if hidden { format!("pgup pgdn · {}", sheet.hint) } else { sheet.hint.clone() };
    let inside = open(model, spot, &sheet.title, &hint, buffer);
    if sheet.heavy {
        thicken(theme, spot, buffer);
    }
    let shown = lines.min(room);
    let top =
        sheet.word.as_ref().map_or(0, |(word, _)| word.top).min(usize::from(lines.saturating_sub(shown)));
    for (line, text) in (0..shown).zip(body.iter().skip(top)) {
        put(buffer, inside, line, text);
    }
    let mut next = shown + gap;
    for piece in said {
        let mut words = Words::new(theme);
        words.add(Role::Warn, &piece);
        put(buffer, inside, next, &words.line());
        next += 1;
    }
    if let Some((word, wanted)) = &sheet.word {
        let rest =
            Rect { y: inside.y.saturating_add(next), height: inside.height.saturating_sub(next), ..inside };
        draw_fields(model, word, wanted, rest, buffer);
    }
}

fn draw_fields(model: &Model, word: &Confirmation, wanted: &Wanted, area: Rect, buffer: &mut Buffer) {
    let label = wanted.name.as_ref().map(|name| format!("type “{name}”"));
    let theme = &model.theme;
    let columns = label.as_deref().map_or(3, |label| crate::text::width::width(&theme.words(label)));
    let columns = if usize::from(area.width) > ROOMY { columns.max(LABEL - 2) } else { columns };
    let here = if wanted.name.is_some() { word.part } else { Part::Why };
    let empty = if wanted.reason { "" } else { "may stay empty" };
    let why = (0, "why", &word.why, here == Part::Why, empty, Role::Text);
    let is_right = wanted.name.as_ref().is_some_and(|name| word.name.text() == name.as_str());
    let role = if is_right { Role::Good } else { Role::Text };
    let name = label.as_deref().map(|label| (1, label, &word.name, here == Part::Name, "", role));
    for (line, label, field, has_keys, empty, role) in std::iter::once(why).chain(name) {
        let mut words = Words::new(theme);
        words.add(if has_keys { Role::Accent } else { Role::Dim }, label).to(columns + 2);
        put(buffer, area, line, &words.line());
        let from = u16::try_from(columns + 2).unwrap_or(0);
        if line < area.height && from < area.width {
            let spot = Rect { x: area.x + from, y: area.y + line, width: area.width - from, height: 1 };
            draw_one(model, field, has_keys, (empty, role), spot, buffer);
        }
    }
}

fn draw_one(
    model: &Model,
    field: &Field,
    has_keys: bool,
    (empty, role): (&str, Role),
    spot: Rect,
    buffer: &mut Buffer,
) {
    let mut words = Words::new(&model.theme);
    if field.text().is_empty() {
        words.add(Role::Text, "  ").cut(Role::Dim, empty, usize::from(spot.width).saturating_sub(2));
        put(buffer, spot, 0, &words.line());
        if has_keys {
            draw_field(model, field, Rect { width: 1, ..spot }, buffer);
        }
    } else if has_keys {
        draw_field(model, field, spot, buffer);
    } else {
        words.cut(role, field.text(), usize::from(spot.width));
        put(buffer, spot, 0, &words.line());
    }
}

/// Makes a box's thin lines heavy ones; its title and its hint stay.
fn thicken(theme: &Theme, spot: Rect, buffer: &mut Buffer) {
    let heavy = |sign: &str| {
        Some(match (sign, theme.ascii) {
            ("─", false) => "━",
            ("│", false) => "┃",
            ("╭", false) => "┏",
            ("╮", false) => "┓",
            ("╰", false) => "┗",
            ("╯", false) => "┛",
            ("|" | "+", true) => "#",
            _ => return None,
        })
    };
    for y in spot.top()..spot.bottom() {
        let is_edge = y == spot.top() || y + 1 == spot.bottom();
        for x in spot.left()..spot.right() {
            let is_end = x == spot.left() || x + 1 == spot.right();
            if !is_end && (!is_edge || theme.ascii) {
                continue;
            }
            if let Some(cell) = buffer.cell_mut((x, y))
                && let Some(sign) = heavy(cell.symbol())
            {
                cell.set_symbol(sign);
            }
        }
    }
}

/// The columns that a fact has.
pub(super) const fn beside_label(columns: usize) -> usize {
    if columns >= ROOMY { columns.saturating_sub(LABEL) } else { columns }
}

/// A fact with its label before it, folded.
pub(super) fn labelled(
    theme: &Theme,
    label: &str,
    (role, text): (Role, &str),
    columns: usize,
) -> Vec<Line<'static>> {
    let text = theme.words(text);
    let roomy = columns >= ROOMY;
    let pieces = if roomy {
        fold(&text, beside_label(columns))
    } else if label.is_empty() {
        fold(&text, columns)
    } else {
        fold(&format!("{label}: {text}"), columns)
    };
    let line = |(at, piece): (usize, String)| {
        let mut words = Words::new(theme);
        if roomy {
            words.cut(Role::Dim, if at == 0 { label } else { "" }, LABEL - 1).to(LABEL);
        }
        words.add(role, &piece);
        words.line()
    };
    pieces.into_iter().enumerate().map(line).collect()
}

/// A mark with its words behind it, folded under each other.
pub(super) fn marked(
    theme: &Theme,
    (role, mark): (Role, &str),
    text: &str,
    columns: usize,
) -> Vec<Line<'static>> {
    let pieces = fold(&theme.words(text), columns.saturating_sub(2));
    let line = |(at, piece): (usize, String)| {
        let mut words = Words::new(theme);
        words.add(role, if at == 0 { mark } else { "" }).to(2).add(Role::Text, &piece);
        words.line()
    };
    pieces.into_iter().enumerate().map(line).collect()
}
