//! What is drawn. Nothing here changes the model; a file a part.

pub(crate) mod bake;
pub(crate) mod bar;
pub(crate) mod brief;
pub(crate) mod card;
pub(crate) mod commits;
pub(crate) mod confirm;
pub(crate) mod deployed;
pub(crate) mod deployment;
pub(crate) mod dialogs;
pub(crate) mod environments;
pub(crate) mod facts;
pub(crate) mod foot;
pub(crate) mod footer;
pub(crate) mod header;
pub(crate) mod lease;
pub(crate) mod log;
pub(crate) mod logs;
pub(crate) mod numbers;
pub(crate) mod plan;
pub(crate) mod promote;
pub(crate) mod replicas;
pub(crate) mod rollback;
pub(crate) mod run_words;
pub(crate) mod small;
pub(crate) mod steps;
pub(crate) mod word;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget as _};

use super::arrange;
use super::layout::{self, Shape};
use super::measure::truncate;
use super::model::{Focus, Model, Screen};
use super::theme::{Role, Theme};
use crate::text::width::width;

/// Draws the console.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    // The terminal may have changed since the model heard of its size: nothing is drawn outside.
    let mut parts = layout::regions(model);
    for part in [
        &mut parts.header,
        &mut parts.runs,
        &mut parts.left,
        &mut parts.right,
        &mut parts.strip,
        &mut parts.status,
        &mut parts.footer,
    ] {
        *part = part.intersection(area);
    }
    match parts.shape {
        Shape::TooSmall => return small::too_small(model, area, frame.buffer_mut()),
        Shape::Small => small::draw(model, area, frame.buffer_mut()),
        Shape::Full => {
            let buffer = frame.buffer_mut();
            header::draw(model, parts.header, parts.runs, buffer);
            if model.screen == Screen::Logs {
                logs::draw(model, parts.body.intersection(area), buffer);
            } else if model.screen == Screen::Environments {
                draw_environments(model, parts.body.intersection(area), buffer);
            } else if model.run_id().is_none() {
                commits::draw_page(model, parts.left, buffer);
            } else {
                if !parts.left.is_empty() {
                    steps::draw(model, parts.left, buffer);
                }
                if !parts.right.is_empty() {
                    draw_right(model, parts.right, buffer);
                }
            }
            if !parts.strip.is_empty() {
                let strip = brief::strip(model, usize::from(parts.strip.width));
                put(buffer, parts.strip, 0, &strip);
            }
            footer::status(model, parts.status, buffer);
            footer::keys(model, parts.footer, buffer);
        }
    }
    dialogs::draw(model, frame);
}

fn draw_environments(model: &Model, body: Rect, buffer: &mut Buffer) {
    let parts = arrange::arrange(model, body);
    environments::draw(model, &parts, buffer);
    if !parts.replicas.is_empty() {
        replicas::draw(model, parts.replicas, buffer);
    }
    deployed::draw(model, &parts, buffer);
    if !parts.right.is_empty() {
        draw_right(model, parts.right, buffer);
    }
}

fn draw_right(model: &Model, panel: Rect, buffer: &mut Buffer) {
    // A page that was opened on a failure shows the log once the step is tried again.
    let log = model.focus == Focus::Log || (model.screen == Screen::Pipeline && !model.has_card());
    if log && model.attempt().is_some() {
        log::draw(model, panel, buffer);
    } else if model.screen == Screen::Environments {
        deployment::draw_card(model, panel, buffer);
    } else {
        card::draw(model, panel, buffer);
    }
}

/// Spans in the roles of a theme, put together piece by piece.
pub(crate) struct Words<'m> {
    theme: &'m Theme,
    spans: Vec<Span<'static>>,
    columns: usize,
}

impl<'m> Words<'m> {
    pub(crate) const fn new(theme: &'m Theme) -> Self {
        Self { theme, spans: Vec::new(), columns: 0 }
    }

    /// Adds text.
    pub(crate) fn add(&mut self, role: Role, text: &str) -> &mut Self {
        let text = self.theme.words(text).into_owned();
        self.columns += width(&text);
        self.spans.push(Span::styled(text, self.theme.style(role)));
        self
    }

    /// Adds text in a style of its own.
    pub(crate) fn styled(&mut self, text: &str, style: ratatui::style::Style) -> &mut Self {
        self.columns += width(text);
        self.spans.push(Span::styled(text.to_owned(), style));
        self
    }

    /// Adds blanks up to a column.
    pub(crate) fn to(&mut self, column: usize) -> &mut Self {
        if let Some(missing) = column.checked_sub(self.columns).filter(|missing| *missing > 0) {
            self.spans.push(Span::raw(" ".repeat(missing)));
            self.columns = column;
        }
        self
    }

    /// Adds text, cut to some columns.
    pub(crate) fn cut(&mut self, role: Role, text: &str, columns: usize) -> &mut Self {
        let text = truncate(&self.theme.words(text), columns, self.theme.ellipsis());
        self.columns += width(&text);
        self.spans.push(Span::styled(text, self.theme.style(role)));
        self
    }

    /// How many columns it has.
    pub(crate) const fn columns(&self) -> usize {
        self.columns
    }

    /// As a line.
    pub(crate) fn line(self) -> Line<'static> {
        Line::from(self.spans)
    }
}

/// Writes a line at a place, no further than the area goes.
pub(crate) fn put(buffer: &mut Buffer, area: Rect, line: u16, text: &Line<'_>) {
    if line < area.height && area.width > 0 {
        buffer.set_line(area.x, area.y + line, text, area.width);
    }
}

/// A panel's lines and titles. Returns what is inside.
pub(crate) fn panel(
    model: &Model,
    area: Rect,
    focused: bool,
    title: &[(Role, String)],
    right: &[(Role, String)],
    buffer: &mut Buffer,
) -> Rect {
    panel_of(model, area, false, focused, title, right, buffer)
}

/// The same; `heavy` is for what must be told apart at a glance.
pub(crate) fn panel_of(
    model: &Model,
    area: Rect,
    heavy: bool,
    focused: bool,
    title: &[(Role, String)],
    right: &[(Role, String)],
    buffer: &mut Buffer,
) -> Rect {
    let theme = &model.theme;
    let border = theme.style(match (focused, heavy) {
        (true, _) => Role::Focus,
        (false, true) => Role::Strong,
        (false, false) => Role::Border,
    });
    let set = if heavy { theme.heavy_border() } else { theme.border() };
    Block::bordered().border_set(set).border_style(border).render(area, buffer);
    let room = usize::from(area.width.saturating_sub(4));
    let right_columns: usize = right.iter().map(|(_, text)| width(&theme.words(text))).sum::<usize>()
        + if right.is_empty() { 0 } else { 2 };
    let right_columns = if right_columns + 8 > room { 0 } else { right_columns };
    let mut words = Words::new(theme);
    words.add(Role::Text, " ");
    let most = room.saturating_sub(right_columns).saturating_sub(2);
    for (role, text) in title {
        let left = most.saturating_sub(words.columns());
        if left > 0 {
            words.cut(*role, text, left);
        }
    }
    words.add(Role::Text, " ");
    if area.width > 4 && area.height > 0 {
        buffer.set_line(area.x + 2, area.y, &words.line(), area.width - 4);
    }
    if right_columns > 0 {
        let mut words = Words::new(theme);
        words.add(Role::Text, " ");
        for (role, text) in right {
            words.add(*role, text);
        }
        words.add(Role::Text, " ");
        let columns = u16::try_from(words.columns()).unwrap_or(0);
        let x = area.right().saturating_sub(columns + 2).max(area.x);
        buffer.set_line(x, area.y, &words.line(), columns);
    }
    layout::inside(area).intersection(area)
}

/// Words folded into lines of some columns; a word that is too long is cut into pieces.
pub(crate) fn fold(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let mut word = word;
            let gap = usize::from(!line.is_empty());
            if width(&line) + gap + width(word) <= columns {
                if gap == 1 {
                    line.push(' ');
                }
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            while width(word) > columns {
                let piece = truncate(word, columns, "");
                if piece.is_empty() {
                    break;
                }
                word = word.get(piece.len()..).unwrap_or("");
                lines.push(piece);
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fold_between_words_and_long_ones_are_cut() {
        assert_eq!(fold("one two three", 7), ["one two", "three"]);
        assert_eq!(fold("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(fold("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(fold("", 5), [""]);
    }
}
