//! What a bake counts: its countdown, and the new set against the old one.

use ratatui::text::Line;

use super::numbers::{millis, per_cent};
use super::{Words, fold, steps};
use crate::domain::health::{BakeReport, Traffic};
use crate::domain::ids::{AttemptKey, DeploymentId, Owner};
use crate::domain::plan::{Step, Work};
use crate::domain::state::{Deployment, StepState};
use crate::domain::time::Timestamp;
use crate::text::width::width;
use crate::tui::model::Model;
use crate::tui::samples::STALE_AFTER;
use crate::tui::theme::Role;

/// The bake that is open, or that a hold has stopped at.
pub(crate) fn open_bake(number: DeploymentId, deployment: &Deployment) -> Option<(AttemptKey, &Step)> {
    let step = deployment.plan.steps.iter().find(|step| {
        matches!(step.work, Work::Bake { .. })
            && deployment.steps.get(&step.id).is_some_and(StepState::is_open)
    })?;
    let attempt = deployment.steps.get(&step.id)?.attempt;
    Some((AttemptKey { owner: Owner::Deployment(number), step: step.id.clone(), attempt }, step))
}

/// A bake in two lines: its countdown, and the new set against the old one.
pub(crate) fn summary(model: &Model, key: &AttemptKey, step: &Step, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, "  ");
    let Some((at, report)) = model.samples.bake(key) else {
        words.cut(Role::Dim, "no numbers of it yet", columns.saturating_sub(2));
        return vec![words.line()];
    };
    let share = |name: &str, traffic: &Option<Traffic>| match traffic {
        None => format!("{name} not measured"),
        // A share of nothing would look like a good one.
        Some(one) if one.requests == 0 => format!("{name} no request"),
        Some(one) => {
            format!("{name} {} of {}, {}", one.failed, one.requests, per_cent(one.failed, one.requests))
        }
    };
    words.add(Role::Accent, &left(model, report, step));
    let failed = report.failed_checks > 0;
    let checks = format!(
        " · checks {} well{}",
        report.checks,
        if failed { format!(", {} not", report.failed_checks) } else { String::new() }
    );
    words.add(if failed { Role::Warn } else { Role::Dim }, &checks);
    words.add(Role::Dim, &old_news(model, at, key));
    lines.push(words.line());
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, "  ");
    let text = format!("failed: {} · {}", share("new", &report.new), share("old", &report.old));
    words.cut(Role::Text, &text, columns.saturating_sub(2));
    lines.push(words.line());
    if !report.trouble.is_empty() {
        let mut words = Words::new(&model.theme);
        words.add(Role::Warn, "  ").cut(Role::Warn, &report.trouble, columns.saturating_sub(2));
        lines.push(words.line());
    }
    lines
}

fn left(model: &Model, report: &BakeReport, step: &Step) -> String {
    let left = report.until.since(model.shown_at());
    let of = match &step.work {
        Work::Bake { window, .. } => format!(" of {}", steps::about(*window)),
        _ => String::new(),
    };
    if left.0 == 0 {
        format!("the window of{of} has closed").replace("of of", "of")
    } else {
        format!("{} left{of}", steps::whole(left))
    }
}

/// That numbers are old, where they are.
fn old_news(model: &Model, at: Timestamp, key: &AttemptKey) -> String {
    let name = match key.owner {
        Owner::Deployment(number) => model.state.deployments.get(&number).map(|one| &one.environment),
        Owner::Run(_) => None,
    };
    let interval = name.map_or(2_000, |name| model.interval(name).0);
    if model.now.since(at).0 > interval.saturating_mul(STALE_AFTER) {
        format!(" · numbers of {}", model.clock(at))
    } else {
        String::new()
    }
}

/// A bake as a table: requests, failed, their share, median, 95 of 100.
pub(crate) fn table(model: &Model, key: &AttemptKey, step: &Step) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let Some((at, report)) = model.samples.bake(key) else { return Vec::new() };
    let mut lines = Vec::new();
    let mut head = Words::new(theme);
    head.add(Role::Accent, &left(model, report, step)).add(Role::Dim, &old_news(model, at, key));
    lines.push(head.line());
    let cells = |cells: [&str; 6], roles: [Role; 6]| {
        let mut words = Words::new(theme);
        for (place, (cell, role)) in cells.iter().zip(roles).enumerate() {
            let wide = if place == 0 { 6 } else { 9 };
            let cell = theme.words(cell);
            let pad = if place == 0 {
                0
            } else {
                usize::from(wide > width(&cell)) * (wide - width(&cell).min(wide))
            };
            words.add(Role::Text, &" ".repeat(pad)).add(role, &cell);
            let column = if place == 0 { wide } else { words.columns() };
            words.to(column);
        }
        words.line()
    };
    lines.push(cells(["", "requests", "failed", "share", "median", "p95"], [Role::Dim; 6]));
    for (name, traffic, other) in [("new", &report.new, &report.old), ("old", &report.old, &report.new)] {
        let Some(one) = traffic else {
            let mut words = Words::new(theme);
            words.add(Role::Text, name).to(6).add(Role::Dim, "   no traffic is measured here");
            lines.push(words.line());
            continue;
        };
        let worse = name == "new"
            && other.as_ref().is_some_and(|other| {
                one.failed.saturating_mul(other.requests.max(1))
                    > other.failed.saturating_mul(one.requests.max(1))
            });
        let role = if worse { Role::Warn } else { Role::Text };
        let texts = [
            one.requests.to_string(),
            one.failed.to_string(),
            if one.requests == 0 { "-".to_owned() } else { per_cent(one.failed, one.requests) },
            millis(one.median),
            millis(one.p95),
        ];
        let text = |index: usize| texts.get(index).map_or("", String::as_str);
        lines.push(cells(
            [name, text(0), text(1), text(2), text(3), text(4)],
            [Role::Strong, Role::Text, role, role, Role::Text, Role::Text],
        ));
    }
    let mut words = Words::new(theme);
    let all = report.checks + report.failed_checks;
    let role = if report.failed_checks > 0 { Role::Warn } else { Role::Text };
    words.add(Role::Strong, "checks").add(role, &format!("  {} of {all} well", report.checks));
    lines.push(words.line());
    for piece in fold(&theme.words(&report.trouble), 54).iter().filter(|piece| !piece.is_empty()) {
        let mut words = Words::new(theme);
        words.add(Role::Warn, piece);
        lines.push(words.line());
    }
    lines
}
