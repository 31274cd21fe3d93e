//! The merged log of an environment: a colour and a label a source, the level marked, deployments as rules.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget as _};

use super::brief::shown_name;
use super::log::{cells, lay};
use super::{Words, panel_of, put};
use crate::domain::query::LogSource;
use crate::domain::state::{DeploymentPhase, Ending};
use crate::domain::time::Timestamp;
use crate::text::width::width;
use crate::tui::layout::first_shown;
use crate::tui::log::find;
use crate::tui::logs::{Level, StreamLine, level};
use crate::tui::measure::truncate;
use crate::tui::model::{Link, Model};
use crate::tui::streaming::{Choice, choices, has_search_line, role};
use crate::tui::theme::{Mark, Role};

/// The longest label of a source.
const LABEL: usize = 16;

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((name, settings)) = model.environment() else {
        let title = [(Role::Strong, "Logs".to_owned())];
        let inside = panel_of(model, area, false, true, &title, &[], buffer);
        let mut words = Words::new(&model.theme);
        let text = "no environment is configured: 2 Environments says how to add one";
        words.cut(Role::Dim, text, usize::from(inside.width));
        return put(buffer, inside, 0, &words.line());
    };
    let stream = &model.stream;
    let all = stream.sources.as_ref().map_or(0, Vec::len);
    let shown = stream.shown().len();
    let count = if shown == all { format!("{all} sources") } else { format!("{shown} of {all} sources") };
    let title = [
        (Role::Strong, shown_name(name, settings)),
        (Role::Dim, format!(" · {}", if all > 0 { count } else { "logs".to_owned() })),
    ];
    let waiting = stream.waiting();
    let right = if stream.follow {
        vec![(Role::Dim, "follow".to_owned())]
    } else if waiting > 0 {
        vec![(Role::Warn, format!("{}{waiting} lines wait below", model.theme.pick("↓ ", "")))]
    } else {
        vec![(Role::Dim, "at the end".to_owned())]
    };
    let inside = panel_of(model, area, settings.protected, true, &title, &right, buffer);
    let search = u16::from(has_search_line(model) && inside.height > 1);
    let page = Rect { height: inside.height - search, ..inside };
    if stream.lines.is_empty() {
        let (role, text) = match (&stream.trouble, &stream.sources) {
            (Some(why), _) => (Role::Bad, why.as_str()),
            (None, None) if model.link != Link::Up => {
                (Role::Dim, "waiting for the engine to say where they are")
            }
            (None, None) => (Role::Dim, "asking the engine where they are…"),
            (None, Some(sources)) if sources.is_empty() => (Role::Dim, "nothing was deployed here yet"),
            (None, Some(_)) if shown == 0 => (Role::Dim, "every source is hidden: s shows them"),
            (None, Some(_)) if !stream.read => (Role::Dim, "reading…"),
            (None, Some(_)) => (Role::Dim, "nothing was written yet"),
        };
        let mut words = Words::new(&model.theme);
        words.cut(role, text, usize::from(page.width));
        put(buffer, page, 0, &words.line());
    } else {
        for (line, row) in (0..page.height).zip(&rows(model, page)) {
            put(buffer, page, line, row);
        }
    }
    if search == 1 {
        draw_search(model, Rect { y: inside.bottom() - 1, height: 1, ..inside }, buffer);
    }
    if let Some(at) = stream.choosing {
        draw_sources(model, at, area, buffer);
    }
}

fn draw_search(model: &Model, area: Rect, buffer: &mut Buffer) {
    let stream = &model.stream;
    let hits = stream.hits().len();
    let part = if stream.at_start { "" } else { " of those read" };
    let count = match hits {
        _ if stream.query.is_empty() => String::new(),
        0 => format!("not found in the {} lines that were read", stream.lines.len()),
        1 => format!("1 line{part}"),
        hits => format!("{hits} lines{part}"),
    };
    let mut words = Words::new(&model.theme);
    words.add(Role::Accent, "/");
    if stream.typing.is_none() {
        words.add(Role::Text, &stream.query).add(Role::Dim, &format!("  {count}   n N move · esc end"));
        return put(buffer, area, 0, &words.line());
    }
    put(buffer, area, 0, &words.line());
    let mut tail = Words::new(&model.theme);
    tail.cut(Role::Dim, &count, usize::from(area.width.saturating_sub(12)));
    let wide = u16::try_from(tail.columns()).unwrap_or(0);
    let field = Rect { x: area.x + 1, width: area.width.saturating_sub(wide + 2), ..area };
    if let Some(typing) = &stream.typing
        && !field.is_empty()
    {
        super::dialogs::draw_field(model, typing, field, buffer);
    }
    put(buffer, Rect { x: area.right() - wide, width: wide, ..area }, 0, &tail.line());
}

/// The lines in sight, from the bottom upwards until the page is full, with the deployments between them.
fn rows(model: &Model, page: Rect) -> Vec<Line<'static>> {
    let stream = &model.stream;
    let height = usize::from(page.height);
    let moments = moments(model);
    let labels = stream.sources.iter().flatten().map(|source| width(&source.label)).max().unwrap_or(0);
    let label = labels.min(LABEL);
    let mut rows: Vec<Line<'static>> = Vec::with_capacity(height);
    let end = stream.lines.len().saturating_sub(stream.below);
    // What happened after a line is drawn below it; after the last of all, only where that is in sight.
    let mut until = match stream.below {
        0 => Timestamp(i64::MAX),
        _ => stream.lines.get(end).map_or(Timestamp(i64::MAX), |line| line.at),
    };
    for line in stream.lines.range(..end).rev() {
        if rows.len() >= height {
            break;
        }
        let between = moments.iter().rev().filter(|(at, _)| *at > line.at && *at <= until);
        rows.extend(between.map(|(_, text)| rule(model, text, usize::from(page.width))));
        until = line.at;
        let mut folded = draw_line(model, line, label, usize::from(page.width));
        folded.truncate(height);
        folded.reverse();
        rows.extend(folded);
    }
    rows.truncate(height);
    rows.reverse();
    rows
}

/// When deployments began and ended here, oldest first.
fn moments(model: &Model) -> Vec<(Timestamp, String)> {
    let mut moments = Vec::new();
    for (number, one) in model.history() {
        moments.push((one.created, format!("{number} {} begins", one.release)));
        if let (Some(ended), DeploymentPhase::Ended(ending)) = (one.ended, &one.phase) {
            let word = match ending {
                Ending::Live => "live",
                Ending::LiveUnverified { .. } => "live, not verified",
                Ending::RolledBack { .. } => "rolled back",
                Ending::Broken { .. } => "BROKEN",
            };
            moments.push((ended, format!("{number} {} {word}", one.release)));
        }
    }
    moments.sort();
    moments.into_iter().map(|(at, text)| (at, format!("{text} {}", model.clock(at)))).collect()
}

fn rule(model: &Model, text: &str, columns: usize) -> Line<'static> {
    let sign = model.theme.pick("━", "=");
    let mut words = Words::new(&model.theme);
    words.add(Role::Accent, &sign.repeat(2)).add(Role::Strong, &format!(" {text} "));
    let left = columns.saturating_sub(words.columns());
    words.add(Role::Accent, &sign.repeat(left));
    words.line()
}

fn draw_line(model: &Model, line: &StreamLine, label: usize, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let stream = &model.stream;
    let mut words = Words::new(theme);
    if !stream.no_times {
        words.add(Role::Dim, &format!("{} ", model.clock(line.at)));
    }
    let sources = stream.sources.as_deref().unwrap_or_default();
    let (name, style) = named(model, sources, &line.source);
    let start = words.columns();
    let name = truncate(&name, label, theme.ellipsis());
    words.styled(&name, style).to(start + label + 1);
    let (glyph, role) = match level(&line.text) {
        Some(Level::Error) => (theme.glyph(Mark::Failed), Role::Bad),
        Some(Level::Warning) => (theme.glyph(Mark::Inconclusive), Role::Warn),
        None => (" ", Role::Dim),
    };
    words.add(role, glyph).add(Role::Text, " ");
    let mut cells = cells(model, &line.text);
    if !stream.query.is_empty() {
        let text: String = cells.iter().map(|(cluster, ..)| cluster.as_str()).collect();
        let found = find(&text, &stream.query);
        for cell in &mut cells {
            if found.iter().any(|range| range.contains(&cell.2)) {
                cell.1 = cell.1.patch(theme.style(Role::Hit));
            }
        }
    }
    lay(model, words, &cells, columns, stream.wrap)
}

/// A source's label and its colour.
fn named(model: &Model, sources: &[LogSource], directory: &str) -> (String, Style) {
    let place = sources.iter().position(|source| source.directory == directory);
    let label = place.and_then(|place| sources.get(place)).map_or("?", |source| source.label.as_str());
    (label.to_owned(), model.theme.source(place.unwrap_or(0)))
}

fn draw_sources(model: &Model, at: usize, area: Rect, buffer: &mut Buffer) {
    let theme = &model.theme;
    let list = choices(model);
    let height = u16::try_from(list.len()).unwrap_or(u16::MAX).saturating_add(3).min(area.height);
    let wide = 44.min(area.width);
    let spot = Rect { x: area.right() - wide, width: wide, height, ..area };
    Clear.render(spot, buffer);
    let inside = panel_of(model, spot, false, true, &[(Role::Strong, "Sources".to_owned())], &[], buffer);
    let room = usize::from(inside.height.saturating_sub(1));
    let from = first_shown(list.len(), at, room);
    let sources = model.stream.sources.as_deref().unwrap_or_default();
    let is_shown = |source: &LogSource| !model.stream.hidden.contains(&source.directory);
    for (line, (index, choice)) in (0_u16..).zip(list.iter().enumerate().skip(from).take(room)) {
        let mut words = Words::new(theme);
        let (on, text, style) = match choice {
            Choice::Role(name) => {
                let own: Vec<&LogSource> = sources.iter().filter(|source| role(source) == name).collect();
                let on = own.iter().filter(|source| is_shown(source)).count();
                (on > 0, format!("{name}: {on} of {}", own.len()), theme.style(Role::Strong))
            }
            Choice::Source(place) => {
                let source = sources.get(*place);
                let label = source.map_or("?", |source| source.label.as_str());
                (source.is_some_and(is_shown), format!("  {label}"), theme.source(*place))
            }
        };
        words.add(if on { Role::Accent } else { Role::Dim }, if on { "[x] " } else { "[ ] " });
        words.styled(&truncate(&text, usize::from(inside.width).saturating_sub(4), theme.ellipsis()), style);
        put(buffer, inside, line, &words.line());
        if index == at {
            let mark = Span::styled(theme.pick("▌", ">").to_owned(), theme.style(Role::Chosen));
            buffer.set_span(inside.x - 1, inside.y + line, &mark, 1);
        }
    }
    let mut words = Words::new(theme);
    words.cut(Role::Dim, "space toggles · a all · esc close", usize::from(inside.width));
    put(buffer, inside, inside.height.saturating_sub(1), &words.line());
}
