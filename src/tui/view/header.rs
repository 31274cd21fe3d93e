//! The first two lines: what, who, which commit, when; and the runs to look at.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Words, put};
use crate::tui::layout::chips;
use crate::tui::model::{Link, Model, SCREENS, Screen};
use crate::tui::theme::{Mark, Role};

/// The screens in the second line: which, and from which column to which.
pub(crate) fn tabs() -> Vec<(Screen, u16, u16)> {
    let mut x = 1;
    SCREENS
        .iter()
        .map(|(screen, _, name)| {
            let wide = u16::try_from(name.len()).unwrap_or(0).saturating_add(4);
            let tab = (*screen, x, wide);
            x += wide;
            tab
        })
        .collect()
}

/// The column of the first run of the switcher.
pub(crate) fn chips_from() -> u16 {
    tabs().last().map_or(1, |(_, x, wide)| x + wide + 2)
}

/// How many columns the switcher has.
pub(crate) fn chip_room(model: &Model) -> u16 {
    model.size.0.saturating_sub(chips_from() + 14)
}

pub(crate) fn draw(model: &Model, header: Rect, runs: Rect, buffer: &mut Buffer) {
    let theme = &model.theme;
    let columns = usize::from(header.width);
    let mut left = Words::new(theme);
    left.add(Role::Text, " ")
        .add(Role::Accent, "towpath")
        .add(Role::Dim, " · ")
        .add(Role::Strong, model.project());

    let mut right = Words::new(theme);
    if let Some(commit) = commit(model) {
        right.add(Role::Dim, &commit).add(Role::Text, "   ");
    }
    right.add(Role::Text, &clock(model)).add(Role::Text, " ");

    let room = columns.saturating_sub(left.columns() + right.columns() + 6);
    let mut here = Words::new(theme);
    match &model.link {
        Link::Lost { .. } => {
            here.cut(Role::Bad, &format!("{} no engine", theme.glyph(Mark::Failed)), room);
        }
        Link::Opening => {
            here.cut(Role::Dim, "connecting…", room);
        }
        Link::Up => {
            let names = viewers(model);
            if !names.is_empty() {
                here.cut(Role::Dim, &format!("here: {names}"), room);
            }
        }
    }
    let gap = columns.saturating_sub(left.columns() + right.columns() + here.columns() + 3);
    left.to(left.columns() + gap);
    left.spans.extend(here.line().spans);
    put(buffer, header, 0, &left.line());
    let from = header.width.saturating_sub(u16::try_from(right.columns()).unwrap_or(0));
    put(buffer, Rect { x: header.x + from, width: header.width - from, ..header }, 0, &right.line());

    let mut line = Words::new(theme);
    line.add(Role::Text, " ");
    for (screen, key, name) in SCREENS {
        let chosen = screen == model.screen;
        line.add(Role::Accent, if chosen { "[" } else { " " });
        line.add(if chosen { Role::Accent } else { Role::Dim }, &key.to_string());
        line.add(if chosen { Role::Strong } else { Role::Dim }, &format!(" {name}"));
        line.add(Role::Accent, if chosen { "]" } else { " " });
    }
    line.to(usize::from(chips_from()));
    if model.screen != Screen::Pipeline {
        return put(buffer, runs, 0, &line.line());
    }
    let here = model.run_id();
    for (run, ..) in chips(model, chip_room(model)) {
        let Some(mark) = model.state.runs.get(&run).map(|run| Mark::of_phase(run.phase)) else { continue };
        let chosen = Some(run) == here;
        line.add(Role::Accent, if chosen { "[" } else { " " });
        line.add(if chosen { Role::Strong } else { Role::Dim }, &run.to_string());
        line.add(Role::Text, " ").add(mark.role(), theme.glyph(mark));
        line.add(Role::Accent, if chosen { "]" } else { " " });
    }
    put(buffer, runs, 0, &line.line());
    if model.state.runs.len() > 1 {
        let mut hint = Words::new(theme);
        hint.add(Role::Accent, "[ ]").add(Role::Dim, " other run ");
        let from = runs.width.saturating_sub(u16::try_from(hint.columns()).unwrap_or(0));
        put(buffer, Rect { x: runs.x + from, width: runs.width - from, ..runs }, 0, &hint.line());
    }
}

/// The followed branch and where it was last seen; without one, the commit that is looked at.
fn commit(model: &Model) -> Option<String> {
    let followed = model.state.project.as_ref().and_then(|project| project.pipeline.branch.clone());
    if let (Some(branch), Some(_)) = (&followed, model.state.branch_trouble()) {
        return Some(format!("{branch} is not followed"));
    }
    if let Some((branch, tip)) = followed.and_then(|name| model.state.branches.get_key_value(&name)) {
        return Some(format!("{branch} {}", tip.short()));
    }
    let (_, run) = model.run()?;
    let name = run.commit.branches.first().or(run.commit.tags.first());
    Some(
        name.map_or_else(
            || run.commit.id.short().to_owned(),
            |name| format!("{name} {}", run.commit.id.short()),
        ),
    )
}

/// With seconds while something moves; they would stand still otherwise.
fn clock(model: &Model) -> String {
    let clock = model.clock(model.now);
    if model.moves() { clock } else { clock.get(..5).unwrap_or(&clock).to_owned() }
}

fn viewers(model: &Model) -> String {
    let mut names: Vec<(String, usize)> = Vec::new();
    let mine = model.viewers.iter().filter(|viewer| viewer.you);
    for viewer in mine.chain(model.viewers.iter().filter(|viewer| !viewer.you)) {
        let name = if viewer.you { format!("{} (you)", viewer.name) } else { viewer.name.clone() };
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let named =
        names.into_iter().map(|(name, count)| if count > 1 { format!("{name} ×{count}") } else { name });
    named.collect::<Vec<_>>().join(", ")
}
