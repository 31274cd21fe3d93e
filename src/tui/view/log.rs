//! The selected step's log: colours kept, long lines cut or folded, hits marked.

use ansi_to_tui::IntoText as _;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Words, panel, put};
use crate::text::width::{plain, width};
use crate::tui::layout::has_search_line;
use crate::tui::log::{LogLine, find};
use crate::tui::model::{Focus, Model};
use crate::tui::theme::{Mark, Role};

/// A longer line is drawn up to here (bytes): nobody reads on, and a frame must stay short.
const LONGEST: usize = 16 * 1024;
/// Columns between tab stops.
const TAB: usize = 8;

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let inside = panel(model, area, model.focus == Focus::Log, &title(model), &right_title(model), buffer);
    let log = &model.log;
    let search = u16::from(has_search_line(model) && inside.height > 1);
    let page = Rect { height: inside.height - search, ..inside };
    if log.lines.is_empty() {
        let text = match (&log.trouble, log.read, log.open) {
            (Some(why), ..) => why.as_str(),
            (None, false, _) => "reading…",
            (None, true, true) => "nothing written yet",
            (None, true, false) => "it wrote nothing",
        };
        let mut words = Words::new(&model.theme);
        words.cut(if log.trouble.is_some() { Role::Bad } else { Role::Dim }, text, usize::from(page.width));
        put(buffer, page, 0, &words.line());
    } else {
        for (line, row) in (0..page.height).zip(&rows(model, page)) {
            put(buffer, page, line, row);
        }
    }
    if search == 1 {
        draw_search(model, Rect { y: inside.bottom() - 1, height: 1, ..inside }, buffer);
    }
}

fn title(model: &Model) -> Vec<(Role, String)> {
    let Some((step, at)) = model.step() else { return Vec::new() };
    let mark = Mark::of_step(at);
    let mut title = vec![(Role::Strong, step.id.0.clone()), (Role::Dim, " · ".to_owned())];
    title.push((mark.role(), mark.word().to_owned()));
    if at.attempt > 1 {
        title.push((Role::Dim, format!(" · attempt {}", at.attempt)));
    }
    if let Some(started) = at.started {
        let took = if at.is_open() {
            super::steps::whole(model.shown_at().since(started))
        } else {
            at.ended.unwrap_or(model.shown_at()).since(started).to_string()
        };
        title.push((Role::Dim, format!(" · {took}")));
    }
    title
}

fn right_title(model: &Model) -> Vec<(Role, String)> {
    let log = &model.log;
    let below = log.below();
    if log.follow || (below == 0 && log.total > 0) {
        let word = if log.open && log.follow { "follow".to_owned() } else { lines(log.total) };
        vec![(Role::Dim, word)]
    } else {
        let word = if log.open { "new below" } else { "below" };
        vec![(Role::Warn, format!("{}{below} {word}", model.theme.pick("↓ ", "")))]
    }
}

fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

fn draw_search(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = &model.theme;
    let log = &model.log;
    let count = log.hits.as_ref().filter(|hits| !hits.query.is_empty()).map(|hits| {
        let place = hits.here.map(|here| format!("{} of ", here + 1)).unwrap_or_default();
        match (hits.complete, hits.count) {
            (false, _) => "searching…".to_owned(),
            (true, 0) => "not found".to_owned(),
            (true, 1) => format!("{place}1 line"),
            (true, count) => format!("{place}{count} lines"),
        }
    });
    let count = count.unwrap_or_default();
    let mut words = Words::new(theme);
    words.add(Role::Accent, "/");
    if log.typing.is_none() {
        words.add(Role::Text, log.hits.as_ref().map_or("", |hits| hits.query.as_str()));
        words.add(Role::Dim, &format!("  {count}   n N move · esc end"));
        put(buffer, area, 0, &words.line());
        return;
    }
    put(buffer, area, 0, &words.line());
    let mut tail = Words::new(theme);
    tail.add(Role::Dim, &count);
    let wide = u16::try_from(tail.columns()).unwrap_or(0).min(area.width.saturating_sub(4));
    let field = Rect { x: area.x + 1, width: area.width.saturating_sub(wide + 2), ..area };
    if let Some(typing) = &log.typing
        && !field.is_empty()
    {
        super::dialogs::draw_field(model, typing, field, buffer);
    }
    put(buffer, Rect { x: area.right() - wide, width: wide, ..area }, 0, &tail.line());
}

/// The lines in sight, from the bottom line upwards until the page is full.
fn rows(model: &Model, page: Rect) -> Vec<Line<'static>> {
    let log = &model.log;
    let height = usize::from(page.height);
    let mut rows: Vec<Line<'static>> = Vec::with_capacity(height);
    let mut number = Some(log.bottom());
    while let Some(at) = number {
        if rows.len() >= height {
            break;
        }
        match log.line(at) {
            Some(line) => {
                let mut folded = draw_line(model, at, line, usize::from(page.width));
                // Of a line that is higher than the pane, its beginning.
                folded.truncate(height);
                folded.reverse();
                rows.extend(folded);
            }
            // Being read.
            None => rows.push(Line::from(Span::styled(model.theme.ellipsis(), model.theme.style(Role::Dim)))),
        }
        number = at.checked_sub(1);
    }
    rows.truncate(height);
    rows.reverse();
    // The log's first lines, folded, do not fill the pane: what is below them does.
    let mut below = log.bottom() + 1;
    while rows.len() < height
        && let Some(line) = log.line(below)
    {
        rows.extend(draw_line(model, below, line, usize::from(page.width)));
        below += 1;
    }
    rows.truncate(height);
    rows
}

/// The last of the log's first lines that fit into the pane when they are folded; `None` when they have not been
/// read, or are not folded.
pub(crate) fn first_page(model: &Model) -> Option<u64> {
    let log = &model.log;
    if !log.wrap || log.first > 0 || log.lines.is_empty() {
        return None;
    }
    let inside = crate::tui::layout::inside(crate::tui::layout::regions(model).right);
    let mut room = usize::try_from(crate::tui::layout::log_page(model)).unwrap_or(usize::MAX);
    let mut last = 0;
    for (number, line) in (0..).zip(&log.lines) {
        room = match room.checked_sub(draw_line(model, number, line, usize::from(inside.width)).len()) {
            Some(left) => left,
            None => break,
        };
        last = number;
    }
    Some(last)
}

/// A cluster of signs that is drawn as one, with its style and where it stands in the plain text.
pub(crate) type Cell = (String, Style, usize);

fn draw_line(model: &Model, number: u64, line: &LogLine, columns: usize) -> Vec<Line<'static>> {
    let log = &model.log;
    let theme = &model.theme;
    let mut words = Words::new(theme);
    if log.times {
        words.add(Role::Dim, &format!("{} ", model.clock(line.at)));
    }
    let mut cells = cells(model, &line.text);
    if let Some(hits) = &log.hits {
        let text: String = cells.iter().map(|(cluster, ..)| cluster.as_str()).collect();
        let here = hits.here.and_then(|here| hits.lines.get(here)) == Some(&number);
        let style = theme.style(if here { Role::HitHere } else { Role::Hit });
        let found = find(&text, &hits.query);
        for cell in &mut cells {
            if found.iter().any(|range| range.contains(&cell.2)) {
                cell.1 = cell.1.patch(style);
            }
        }
    }
    lay(model, words, &cells, columns, log.wrap)
}

/// Lays signs on lines behind a prefix: folded below each other, or cut at the end of the first.
pub(crate) fn lay(
    model: &Model,
    prefix: Words<'_>,
    cells: &[Cell],
    columns: usize,
    wrap: bool,
) -> Vec<Line<'static>> {
    let margin = prefix.columns();
    let columns = columns.saturating_sub(margin).max(1);
    let mut lines = vec![prefix.line().spans];
    let mut used = 0;
    for (index, (cluster, style, _)) in cells.iter().enumerate() {
        let wide = width(cluster);
        if used + wide > columns {
            if !wrap {
                cut(&mut lines, model, used, columns, cells, index);
                break;
            }
            lines.push(vec![Span::raw(" ".repeat(margin))]);
            used = 0;
        }
        used += wide;
        if let Some(spans) = lines.last_mut() {
            match spans.last_mut() {
                Some(last) if last.style == *style => last.content.to_mut().push_str(cluster),
                _ => spans.push(Span::styled(cluster.clone(), *style)),
            }
        }
    }
    lines.into_iter().map(Line::from).collect()
}

/// Puts the sign of a cut line into the last column, over what stood there.
fn cut(
    lines: &mut [Vec<Span<'static>>],
    model: &Model,
    used: usize,
    columns: usize,
    cells: &[Cell],
    index: usize,
) {
    let Some(spans) = lines.last_mut() else { return };
    if used >= columns
        && let (Some(last), Some((cluster, ..))) = (spans.last_mut(), cells.get(index.wrapping_sub(1)))
    {
        let text = last.content.to_mut();
        text.truncate(text.len().saturating_sub(cluster.len()));
    }
    spans.push(Span::styled(model.theme.ellipsis(), model.theme.style(Role::Dim)));
}

pub(crate) fn cells(model: &Model, text: &str) -> Vec<Cell> {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = text.get(..end).unwrap_or("");
    let parsed = if model.colours() { text.into_text().ok() } else { None };
    let spans: Vec<(String, Style)> = match parsed.and_then(|text| text.lines.into_iter().next()) {
        Some(line) => line.spans.into_iter().map(|span| (span.content.into_owned(), span.style)).collect(),
        None => vec![(plain(text), Style::new())],
    };
    let mut cells = Vec::new();
    let (mut column, mut at) = (0, 0);
    for (content, style) in spans {
        for cluster in content.graphemes(true) {
            let drawn = match cluster {
                "\t" => " ".repeat(TAB - column % TAB),
                control if control.chars().any(char::is_control) => continue,
                other if model.theme.ascii && !other.is_ascii() => "?".repeat(width(other).max(1)),
                other => other.to_owned(),
            };
            let wide = width(&drawn);
            if wide == 0 {
                continue;
            }
            column += wide;
            let length = drawn.len();
            cells.push((drawn, style, at));
            at += length;
        }
    }
    cells
}
