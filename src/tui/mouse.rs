//! What the mouse means: the wheel scrolls, a click selects or presses.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::model::{Focus, Model, Request, Screen};
use super::places::Places;
use super::update::{move_step, perform, show_run, show_screen};
use super::{dialog, layout, places};

/// How many lines the wheel scrolls.
const WHEEL: i64 = 3;

pub(super) fn mouse(model: &mut Model, event: MouseEvent, requests: &mut Vec<Request>) {
    if model.shell {
        return;
    }
    let at = Position::new(event.column, event.row);
    let regions = layout::regions(model);
    let wheel = match event.kind {
        MouseEventKind::ScrollUp => -WHEEL,
        MouseEventKind::ScrollDown => WHEEL,
        MouseEventKind::Down(MouseButton::Left) => 0,
        _ => return,
    };
    if model.dialog.is_some() {
        if wheel != 0 {
            dialog::step(model, if wheel > 0 { 1 } else { -1 });
        }
        return;
    }
    if wheel != 0 {
        if model.screen == Screen::Logs {
            let page = super::streaming::page(model);
            model.stream.scroll(wheel, page);
        } else if regions.right.contains(at) {
            let page = layout::log_page(model);
            model.log.scroll(wheel, page);
        } else if model.screen == Screen::Environments {
            places::move_row(model, if wheel > 0 { 1 } else { -1 });
        } else if regions.left.contains(at) {
            move_step(model, if wheel > 0 { 1 } else { -1 });
        }
        return;
    }
    model.news = None;
    if regions.footer.contains(at) {
        let pressed = layout::footer_keys(model, regions.footer).into_iter().find(|key| {
            Rect::new(regions.footer.x + key.x, regions.footer.y + key.y, key.width, 1).contains(at)
        });
        if let Some(key) = pressed {
            perform(model, key.item.action, requests);
        }
    } else if regions.runs.contains(at) {
        let tab = super::view::header::tabs().into_iter().find(|(_, x, wide)| (*x..x + wide).contains(&at.x));
        if let Some((screen, ..)) = tab {
            return show_screen(model, screen);
        }
        if model.screen != Screen::Pipeline {
            return;
        }
        let columns = super::view::header::chip_room(model);
        let start = super::view::header::chips_from();
        let pressed = layout::chips(model, columns)
            .into_iter()
            .find(|(_, x, wide)| (start + x..start + x + wide).contains(&at.x));
        if let Some((run, ..)) = pressed {
            show_run(model, Some(run));
        }
    } else if model.screen == Screen::Environments {
        click_place(model, regions.body, at);
    } else if regions.left.contains(at) {
        click_left(model, layout::inside(regions.left), at);
    } else if regions.right.contains(at) && layout::is_wide(model) && model.attempt().is_some() {
        model.focus = Focus::Log;
    }
}

fn click_place(model: &mut Model, body: Rect, at: Position) {
    let parts = super::arrange::arrange(model, body);
    let panel = parts.panels.iter().find(|(_, area)| area.contains(at)).map(|(index, _)| *index);
    let name = panel.and_then(|index| model.environments().get(index).map(|(name, _)| (*name).clone()));
    if let Some(name) = name {
        model.places = Places { at: Some(name), ..Places::default() };
        model.focus = Focus::Steps;
        return;
    }
    if parts.right.contains(at) && model.attempt().is_some() {
        model.places.open = true;
        model.focus = Focus::Log;
        return;
    }
    // The first line that is seen depends on what is selected: as it was drawn.
    let (steps, history) = (model.steps().len(), model.history().len());
    let rows = model.rows();
    let row = model.row();
    let here = rows.iter().position(|one| Some(one) == row.as_ref()).unwrap_or(0);
    for (area, offset, count) in [(parts.steps, 0, steps), (parts.history, steps, history)] {
        let inside = layout::inside(area);
        if !inside.contains(at) {
            continue;
        }
        let height = usize::from(inside.height);
        let chosen = match here.checked_sub(offset) {
            Some(place) if place < count => place,
            _ if offset == 0 => count.saturating_sub(1),
            _ => 0,
        };
        let index = layout::first_shown(count, chosen, height) + usize::from(at.y - inside.y);
        if index < count {
            model.places.open = true;
            model.focus = Focus::Steps;
            model.places.row = rows.get(offset + index).cloned();
        }
    }
}

fn click_left(model: &mut Model, inside: Rect, at: Position) {
    if at.y < inside.y {
        return;
    }
    let line = usize::from(at.y - inside.y);
    if model.run_id().is_none() {
        let rows = model.commits.rows.as_ref().map_or(0, Vec::len);
        let height = usize::from(inside.height.saturating_sub(super::view::commits::HEAD));
        let Some(line) = line.checked_sub(usize::from(super::view::commits::HEAD)) else { return };
        let index = layout::first_shown(rows, model.commits.at, height) + line;
        if index < rows && line < height {
            model.commits.at = index;
        }
        return;
    }
    let steps = model.steps();
    let height = usize::from(layout::step_lines(model, inside.height));
    let selected = model.step().map(|(step, _)| step.id.clone());
    let here = steps.iter().position(|(step, _)| Some(&step.id) == selected.as_ref()).unwrap_or(0);
    let index = layout::first_shown(steps.len(), here, height) + line;
    if line < height
        && let Some((step, _)) = steps.get(index)
    {
        model.chosen_step = Some(step.id.clone());
        model.focus = Focus::Steps;
    }
}
