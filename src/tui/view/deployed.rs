//! Lists of the Environments screen: a deployment's steps, and the deployments before.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::brief::{phase_word, shown_name};
use super::deployment::{kind_word, panel_none, title, waits};
use super::steps::{self, Columns, said};
use super::{Words, panel_of, put};
use crate::domain::ids::DeploymentId;
use crate::domain::state::{Deployment, DeploymentPhase, Ending};
use crate::tui::arrange::Arranged;
use crate::tui::layout::first_shown;
use crate::tui::model::{Focus, Model};
use crate::tui::places::Row;
use crate::tui::schedule::deployment_schedule;
use crate::tui::theme::Role;

/// The steps, and the deployments before.
pub(crate) fn draw(model: &Model, parts: &Arranged, buffer: &mut Buffer) {
    if !parts.steps.is_empty() {
        draw_steps(model, parts.steps, buffer);
    }
    if !parts.history.is_empty() {
        draw_history(model, parts.history, buffer);
    }
}

fn draw_steps(model: &Model, area: Rect, buffer: &mut Buffer) {
    let focused = model.places.open && model.focus == Focus::Steps;
    let Some((number, deployment)) = model.deployment() else {
        return panel_none(model, area, buffer);
    };
    let name = model.environment().map(|(name, settings)| shown_name(name, settings)).unwrap_or_default();
    let mut words = vec![(Role::Strong, name), (Role::Dim, " · ".to_owned())];
    words.extend(title(number, deployment));
    let inside = panel_of(model, area, false, focused, &words, &[], buffer);
    let list = model.steps();
    let columns = Columns::plain(&list, usize::from(inside.width));
    let schedule = deployment_schedule(&model.state, number, model.shown_at());
    let row = model.row();
    let here = list.iter().position(|(step, _)| row == Some(Row::Step(step.id.clone())));
    let want = here.or_else(|| (!list.is_empty()).then(|| list.len() - 1)).unwrap_or(0);
    let from = first_shown(list.len(), want, usize::from(inside.height));
    for (line, (index, (step, at))) in (0..inside.height).zip(list.iter().enumerate().skip(from)) {
        let chosen = Some(index) == here;
        let facts = said(model, step, at, || waits(step, deployment));
        let drawn = steps::row(model, (step, at), facts, None, chosen, &columns, &schedule);
        put(buffer, inside, line, &drawn);
        mark_chosen(model, inside, line, chosen, buffer);
    }
    more(model, area, list.len(), from, usize::from(inside.height), buffer);
}

/// How much of a list is seen, in its panel's lower border.
fn more(model: &Model, area: Rect, count: usize, from: usize, height: usize, buffer: &mut Buffer) {
    if count <= height {
        return;
    }
    let mut words = Words::new(&model.theme);
    words.add(Role::Dim, &format!(" {}–{} of {count} ", from + 1, from + height));
    let wide = u16::try_from(words.columns()).unwrap_or(0);
    if area.width > wide + 4 {
        buffer.set_line(area.right() - wide - 2, area.bottom().saturating_sub(1), &words.line(), wide);
    }
}

fn mark_chosen(model: &Model, inside: Rect, line: u16, chosen: bool, buffer: &mut Buffer) {
    if chosen && inside.x > 0 && line < inside.height {
        let style = model.theme.style(Role::Chosen);
        buffer.set_string(inside.x - 1, inside.y + line, model.theme.pick("▌", ">"), style);
    }
}

fn draw_history(model: &Model, area: Rect, buffer: &mut Buffer) {
    let focused = model.places.open && model.focus == Focus::Steps;
    let title = [(Role::Strong, "History".to_owned())];
    let inside = panel_of(model, area, false, focused, &title, &[], buffer);
    let all = model.history();
    let row = model.row();
    let here = all.iter().position(|(number, _)| row == Some(Row::Deployment(*number)));
    let from = first_shown(all.len(), here.unwrap_or(0), usize::from(inside.height));
    let shown = model.deployment().map(|(number, _)| number);
    for (line, (index, (number, deployment))) in (0..inside.height).zip(all.iter().enumerate().skip(from)) {
        let chosen = Some(index) == here;
        let drawn = history_line(model, *number, deployment, (chosen, shown == Some(*number)), inside.width);
        put(buffer, inside, line, &drawn);
        mark_chosen(model, inside, line, chosen, buffer);
    }
    more(model, area, all.len(), from, usize::from(inside.height), buffer);
}

fn history_line(
    model: &Model,
    number: DeploymentId,
    deployment: &Deployment,
    (chosen, shown): (bool, bool),
    columns: u16,
) -> Line<'static> {
    let (mark, word) = phase_word(deployment);
    let mut words = Words::new(&model.theme);
    let role = if chosen || shown { Role::Strong } else { Role::Text };
    words.add(mark.role(), model.theme.glyph(mark)).add(role, &format!(" {number} {}", deployment.release));
    words.to(11).add(mark.role(), word);
    let mut tail =
        format!(" · {} · {} · {}", kind_word(deployment.kind), deployment.by, model.ago(deployment.created));
    if let Some(ended) = deployment.ended {
        tail.push_str(&format!(" · took {}", ended.since(deployment.created)));
    }
    let why = match &deployment.phase {
        DeploymentPhase::Ended(
            Ending::RolledBack { why } | Ending::Broken { why } | Ending::LiveUnverified { why },
        ) => why,
        _ => &deployment.reason,
    };
    if !why.is_empty() {
        tail.push_str(&format!(" · {why}"));
    }
    words.cut(Role::Dim, &tail, usize::from(columns).saturating_sub(words.columns()));
    words.line()
}
