//! The way back that is looked at.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::confirm::{Sheet, columns, labelled, marked};
use super::dialogs::{mark_chosen, open, place};
use super::{Words, confirm, plan, put};
use crate::domain::ids::{DeploymentId, ReleaseNumber};
use crate::domain::query::RollbackPreview;
use crate::domain::state::RollbackVerdict;
use crate::tui::layout::first_shown;
use crate::tui::model::Model;
use crate::tui::rollback::RollbackDialog;
use crate::tui::target;
use crate::tui::theme::{Mark, Role};

pub(super) fn draw(model: &Model, dialog: &RollbackDialog, area: Rect, buffer: &mut Buffer) {
    match dialog.picker {
        Some(at) => draw_picker(model, dialog, at, area, buffer),
        None => confirm::draw(model, &sheet(model, dialog, area.width), area, buffer),
    }
}

pub(super) fn sheet<'a>(model: &Model, dialog: &'a RollbackDialog, wide: u16) -> Sheet<'a> {
    let state = &model.state;
    let name = target::title(state, &dialog.environment);
    let to = dialog.look.shown().map(|preview| format!(" back to {}", preview.to.1));
    let title = match (dialog.under_way(state), to) {
        (Some(number), to) => {
            format!("Take deployment {number} of {name}{}", to.unwrap_or_else(|| " back".to_owned()))
        }
        (None, to) => format!("Roll {name}{}", to.unwrap_or_else(|| " back".to_owned())),
    };
    let ready = dialog.ready(model);
    let does = match &ready {
        Ok(_) => "⏎ roll back now".to_owned(),
        Err((_, missing)) => format!("⏎ needs {missing}"),
    };
    let mut others = String::new();
    if dialog.word.is_untouched() {
        if dialog.targets(state).len() > 1 {
            others.push_str(" · ↓ another release");
        }
        if target::chain(state).len() > 1 {
            others.push_str(" · tab environment");
        }
    }
    let can = dialog.look.shown().is_some() && target::way_back(state, &dialog.environment).is_ok();
    Sheet {
        title,
        heavy: target::is_protected(state, &dialog.environment),
        body: body(model, dialog, columns(wide)),
        word: can.then(|| (&dialog.word, dialog.wanted(state))),
        hint: if can { format!("{does}{others} · esc back") } else { format!("esc back{others}") },
    }
}

fn named(model: &Model, number: ReleaseNumber) -> String {
    let commit = model.state.releases.get(&number).map(|release| release.commit.short());
    commit.map_or_else(|| number.to_string(), |commit| format!("{number} {commit}"))
}

fn body(model: &Model, dialog: &RollbackDialog, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let mut lines = Vec::new();
    let way = target::way_back(&model.state, &dialog.environment).err();
    let why = dialog.look.trouble().map(str::to_owned);
    if let Some(why) = why.or_else(|| way.map(|why| format!("There is no way back: {why}."))) {
        lines.extend(marked(theme, (Role::Bad, theme.glyph(Mark::Failed)), &why, columns));
        return lines;
    }
    let Some(preview) = dialog.look.shown() else {
        lines.push(Line::styled("Looking at what it would do…", theme.style(Role::Dim)));
        return lines;
    };
    let mut words = Words::new(theme);
    words.add(Role::Text, &named(model, preview.from.1)).add(Role::Dim, " → ");
    words.add(Role::Strong, &named(model, preview.to.1));
    let how = how(preview);
    if words.columns() + 3 + crate::text::width::width(&how) <= columns {
        words.add(Role::Dim, " · ").add(Role::Text, &how);
        lines.push(words.line());
    } else {
        lines.push(words.line());
        lines.extend(super::fold(&theme.words(&how), columns).into_iter().map(Line::from));
    }
    if let Some(verdict) = dialog.verdict(&model.state) {
        lines.extend(verdict_lines(model, verdict, preview, columns));
    }
    lines.push(Line::default());
    let label = format!("plan {}", preview.plan.digest.short());
    lines.extend(labelled(theme, &label, (Role::Text, &plan::steps(&preview.plan)), columns));
    lines.extend(labelled(theme, "", (Role::Dim, &plan::estimate(preview.estimate)), columns));
    lines
}

/// What it takes.
fn how(preview: &RollbackPreview) -> String {
    let replicas = match plan::started(&preview.plan) {
        0 => None,
        1 => Some("starts 1 replica".to_owned()),
        more => Some(format!("starts {more} replicas")),
    };
    match (preview.warm, replicas) {
        (true, None) => "still warm: one traffic switch".to_owned(),
        (true, Some(starts)) => format!("still warm: one traffic switch, then {starts}"),
        (false, Some(starts)) => format!("cold: {starts}, then switches"),
        (false, None) => "cold".to_owned(),
    }
}

fn verdict_lines(
    model: &Model,
    verdict: &RollbackVerdict,
    preview: &RollbackPreview,
    columns: usize,
) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let (mark, text) = match verdict {
        RollbackVerdict::Safe => {
            (Mark::Passed, format!("schema: SAFE, {} runs on today’s schema", preview.to.1))
        }
        RollbackVerdict::Unknown { why } => (Mark::Inconclusive, format!("schema: UNKNOWN. {why}")),
        RollbackVerdict::NoTarget => (Mark::Failed, "schema: there was nothing live before".to_owned()),
    };
    marked(theme, (mark.role(), theme.glyph(mark)), &text, columns)
}

fn draw_picker(model: &Model, dialog: &RollbackDialog, at: usize, area: Rect, buffer: &mut Buffer) {
    let state = &model.state;
    let targets = dialog.targets(state);
    let high = u16::try_from(targets.len()).unwrap_or(u16::MAX).saturating_add(2);
    let spot = place(area, confirm::COLUMNS, high.min(area.height.saturating_sub(4)).max(3));
    let title = format!("Roll {} back: to which release?", target::title(state, &dialog.environment));
    let inside = open(model, spot, &title, "⏎ look at it · esc back", buffer);
    let live = state.live(&dialog.environment).map(|(_, live)| live.release);
    let from = first_shown(targets.len(), at, usize::from(inside.height));
    for (line, (index, number)) in (0..inside.height).zip(targets.iter().enumerate().skip(from)) {
        let words = target_row(model, *number, live, index == at, usize::from(inside.width));
        put(buffer, inside, line, &words);
        mark_chosen(model, inside, line, index == at, buffer);
    }
}

fn target_row(
    model: &Model,
    number: DeploymentId,
    live: Option<ReleaseNumber>,
    chosen: bool,
    columns: usize,
) -> Line<'static> {
    let (state, theme) = (&model.state, &model.theme);
    let mut words = Words::new(theme);
    let Some(deployment) = state.deployments.get(&number) else { return words.line() };
    let role = if chosen { Role::Strong } else { Role::Text };
    words.add(role, &deployment.release.to_string()).to(6);
    words.add(Role::Dim, &number.to_string()).to(12);
    let release = state.releases.get(&deployment.release);
    words.add(Role::Dim, release.map_or("", |release| release.commit.short())).to(21);
    let verdict = live.map(|live| state.verdict_between(live, deployment.release));
    let mut tail = verdict.as_ref().map_or("", target::verdict_word).to_owned();
    if state.is_taken_back(number) {
        tail = format!("was taken back · {tail}");
    }
    let room = columns.saturating_sub(words.columns() + crate::text::width::width(&tail) + 2);
    words.cut(role, release.map_or("", |release| &release.subject), room);
    words.to(columns.saturating_sub(crate::text::width::width(&theme.words(&tail))));
    let role = if verdict == Some(RollbackVerdict::Safe) { Role::Good } else { Role::Warn };
    words.add(role, &tail);
    words.line()
}
