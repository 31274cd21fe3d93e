//! Where the parts of the Environments screen are.

use ratatui::layout::Rect;

use super::layout::{WIDE, is_zoomed};
use super::model::{Focus, Model};
use super::view::{deployment, facts};

/// From this many rows of the terminal on, panels, replicas and the deployment stand on one page.
const TALL: u16 = 34;
/// A panel is at least this wide and this high.
const PANEL: (u16, u16) = (38, 5);
/// The history gets at most this many lines with its border.
const HISTORY: u16 = 7;

/// The parts. One that is not drawn is empty.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arranged {
    /// Which environments, by their place in the order, and where.
    pub(crate) panels: Vec<(usize, Rect)>,
    pub(crate) replicas: Rect,
    pub(crate) steps: Rect,
    pub(crate) history: Rect,
    /// What there is to say of the deployment, or of the selected step; its log.
    pub(crate) right: Rect,
}

/// Whether everything stands on one page.
pub(crate) const fn is_one_page(model: &Model) -> bool {
    model.size.0 >= WIDE && model.size.1 >= TALL
}

pub(crate) fn arrange(model: &Model, body: Rect) -> Arranged {
    let mut parts = Arranged::default();
    if model.environments().is_empty() {
        parts.panels = vec![(0, body)];
        return parts;
    }
    if is_zoomed(model) {
        parts.right = body;
        return parts;
    }
    let page = model.places.open || model.focus != Focus::Steps;
    if is_one_page(model) {
        let (top, rest) = split(body, panels_height(model, body).min(body.height / 3));
        parts.panels = beside(model, top);
        let (replicas, rest) = split(rest, replica_lines(model).clamp(1, 8).saturating_add(3));
        parts.replicas = replicas;
        if model.deployment().is_none() {
            // It is said once.
            parts.right = rest;
            return parts;
        }
        let (left, right) = cut(rest, rest.width / 2);
        parts.right = right;
        (parts.steps, parts.history) = split_below(left, history_height(model, left.height));
    } else if !page {
        parts.panels = if body.width >= WIDE { beside(model, body) } else { stacked(model, body) };
    } else if model.places.replicas && model.focus == Focus::Steps {
        parts.replicas = body;
    } else if body.width >= WIDE {
        let (left, right) = cut(body, body.width / 2);
        parts.right = right;
        (parts.steps, parts.history) = split_below(left, history_height(model, left.height));
    } else if model.focus != Focus::Steps {
        parts.right = body;
    } else {
        let said = deployment::lines(model, usize::from(body.width.saturating_sub(4))).len();
        let said = u16::try_from(said).unwrap_or(u16::MAX).saturating_add(2);
        // A cause is longer than what else there is to say.
        let said = if model.has_failed() { body.height } else { said };
        let (top, rest) = split(body, said.min(body.height / 2));
        parts.right = top;
        (parts.steps, parts.history) = split_below(rest, history_height(model, rest.height).min(5));
    }
    parts
}

fn replica_lines(model: &Model) -> u16 {
    u16::try_from(super::view::replicas::shown(model).len()).unwrap_or(u16::MAX)
}

fn history_height(model: &Model, height: u16) -> u16 {
    let lines = u16::try_from(model.history().len()).unwrap_or(u16::MAX).saturating_add(2);
    lines.min(HISTORY).min(height / 2)
}

fn split(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

fn split_below(area: Rect, height: u16) -> (Rect, Rect) {
    split(area, area.height.saturating_sub(height))
}

fn cut(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    (Rect { width, ..area }, Rect { x: area.x + width, width: area.width - width, ..area })
}

/// Those of the environments that fit, the selected one among them.
fn shown(model: &Model, most: usize) -> std::ops::Range<usize> {
    let count = model.environments().len();
    let most = most.clamp(1, count.max(1));
    let from = super::layout::first_shown(count, place(model), most);
    from..(from + most).min(count)
}

/// The selected environment's place in the order.
pub(crate) fn place(model: &Model) -> usize {
    let here = model.environment().map(|(name, _)| name);
    model.environments().iter().position(|(name, _)| Some(*name) == here).unwrap_or(0)
}

fn beside(model: &Model, area: Rect) -> Vec<(usize, Rect)> {
    let range = shown(model, usize::from(area.width / PANEL.0));
    let count = u16::try_from(range.len()).unwrap_or(1).max(1);
    let each = area.width / count;
    let mut x = area.x;
    let mut panels = Vec::new();
    for (nth, index) in (1..=count).zip(range) {
        let width = if nth == count { area.right() - x } else { each };
        panels.push((index, Rect { x, width, ..area }));
        x += width;
    }
    panels
}

fn stacked(model: &Model, area: Rect) -> Vec<(usize, Rect)> {
    let range = shown(model, usize::from(area.height / PANEL.1));
    let all = model.environments();
    let wanted: Vec<u16> = range.clone().map(|index| height_of(model, &all, index, area.width)).collect();
    let mut spare = area.height.saturating_sub(wanted.iter().map(|height| (*height).min(PANEL.1)).sum());
    let mut y = area.y;
    let mut panels = Vec::new();
    for (index, wanted) in range.zip(wanted) {
        // The first ones get what they want; what is missing is on the page of the environment.
        let more = wanted.saturating_sub(PANEL.1).min(spare);
        spare -= more;
        let height = (wanted.min(PANEL.1) + more).min(area.bottom().saturating_sub(y));
        panels.push((index, Rect { y, height, ..area }));
        y += height;
    }
    panels
}

fn height_of(
    model: &Model,
    all: &[(&crate::domain::ids::EnvironmentName, &crate::domain::project::Environment)],
    index: usize,
    width: u16,
) -> u16 {
    let columns = usize::from(width.saturating_sub(4));
    let lines =
        all.get(index).map_or(0, |(name, settings)| facts::lines(model, name, settings, columns).len());
    u16::try_from(lines).unwrap_or(u16::MAX).saturating_add(2)
}

fn panels_height(model: &Model, area: Rect) -> u16 {
    let all = model.environments();
    let panels = beside(model, area);
    panels.iter().map(|(index, spot)| height_of(model, &all, *index, spot.width)).max().unwrap_or(PANEL.1)
}
