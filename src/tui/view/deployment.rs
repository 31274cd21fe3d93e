//! A deployment: its steps, what is waited for, what a bake counts, how it ended, and those before it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::card::Card;
use super::environments::{millis, per_cent, phase_word, shown_name, verdict_role, verdict_word};
use super::steps::{self, Columns, said};
use super::{Words, fold, panel_of, put};
use crate::domain::health::{BakeReport, Traffic};
use crate::domain::ids::{AttemptKey, DeploymentId, Owner};
use crate::domain::plan::{Replicas, Step, Work};
use crate::domain::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, StepPhase, StepState};
use crate::domain::time::Timestamp;
use crate::text::width::width;
use crate::tui::arrange::Arranged;
use crate::tui::layout::first_shown;
use crate::tui::model::{Focus, Model};
use crate::tui::places::Row;
use crate::tui::samples::STALE_AFTER;
use crate::tui::schedule::deployment_schedule;
use crate::tui::theme::{Mark, Role};

/// Why a deployment exists, in a word.
pub(crate) const fn kind_word(kind: DeploymentKind) -> &'static str {
    match kind {
        DeploymentKind::Promotion => "promotion",
        DeploymentKind::Redeploy => "redeploy",
        DeploymentKind::Rollback { automatic: true, .. } => "automatic rollback",
        DeploymentKind::Rollback { automatic: false, .. } => "rollback",
    }
}

/// Where a deployment is, in a sentence.
pub(crate) fn sentence(model: &Model, number: DeploymentId, deployment: &Deployment) -> (Mark, String) {
    let (mark, word) = phase_word(deployment);
    let text = match &deployment.phase {
        DeploymentPhase::Leasing => {
            format!("waits for {}'s lease: only one deployment at a time", deployment.environment)
        }
        DeploymentPhase::Running => {
            let open = open_step(model, number);
            match open {
                Some((step, at)) => {
                    let so_far = at.started.map(|started| model.shown_at().since(started));
                    let so_far = so_far.map(|took| format!(", {}", steps::whole(took))).unwrap_or_default();
                    // A bake counts down; its numbers follow.
                    let so_far = if matches!(step.work, Work::Bake { .. }) { String::new() } else { so_far };
                    format!("{}{so_far}", doing(step, deployment))
                }
                None => "the next step is about to start".to_owned(),
            }
        }
        DeploymentPhase::Held { reason } => format!("held, waits for a person: {reason}"),
        DeploymentPhase::Observing { failed: None } => {
            "its steps are over; what is really live is being looked at".to_owned()
        }
        DeploymentPhase::Observing { failed: Some(why) } => {
            format!("stopped early ({why}); what is really live is being looked at")
        }
        DeploymentPhase::TakenBack { by, why } => format!("is being taken back by {by}: {why}"),
        DeploymentPhase::Ended(Ending::Live) => "live and verified".to_owned(),
        DeploymentPhase::Ended(Ending::LiveUnverified { why }) => format!("live, not verified: {why}"),
        DeploymentPhase::Ended(Ending::RolledBack { why }) => format!("{word}: {why}"),
        DeploymentPhase::Ended(Ending::Broken { why }) => {
            format!("BROKEN, a person has to look: {why}")
        }
    };
    (mark, text)
}

fn open_step(model: &Model, number: DeploymentId) -> Option<(&Step, &StepState)> {
    model.state.steps(Owner::Deployment(number)).into_iter().find(|(_, at)| at.is_open())
}

/// The bake that is open, or that a hold has stopped at.
pub(crate) fn open_bake(number: DeploymentId, deployment: &Deployment) -> Option<(AttemptKey, &Step)> {
    let step = deployment.plan.steps.iter().find(|step| {
        matches!(step.work, Work::Bake { .. })
            && deployment.steps.get(&step.id).is_some_and(StepState::is_open)
    })?;
    let attempt = deployment.steps.get(&step.id)?.attempt;
    Some((AttemptKey { owner: Owner::Deployment(number), step: step.id.clone(), attempt }, step))
}

/// What a step does, as it is said while it does it.
fn doing(step: &Step, deployment: &Deployment) -> String {
    let release = deployment.release;
    match &step.work {
        Work::Fetch(_) => format!("brings {release} to the host and verifies it"),
        Work::Migrate(_) => format!("applies the migrations of {release}"),
        Work::Start(set) => format!("starts {}", those(set)),
        Work::AwaitHealthy(set) => format!("waits until {} answer well", those(set)),
        Work::Shift { weight, .. } => format!("gives {release} {weight} % of the traffic"),
        Work::Bake { weight, .. } => format!("watches {release} with {weight} % of the traffic"),
        Work::Hook(hook) => format!("runs {}", hook.run),
        Work::Drain(set) => format!("lets the requests to {} end", those(set)),
        Work::Stop(set) => format!("stops {}", those(set)),
        Work::Verify(_) => "asks what is really live".to_owned(),
        Work::Install(_) | Work::Exec(_) | Work::Build(_) | Work::Inspect(_) | Work::MigrateEmpty(_) => {
            step.id.0.clone()
        }
    }
}

/// Replicas in a few letters: `web ×4 of #12`.
fn those(set: &Replicas) -> String {
    let of = set.of.map(|of| format!(" of {of}")).unwrap_or_default();
    let count = if set.count == 1 { format!("-{}", set.first) } else { format!(" ×{}", set.count) };
    format!("{}{count}{of}", set.role)
}

/// What a waiting step is for; or why it is not done any more.
fn waits(step: &Step, deployment: &Deployment) -> String {
    let stopped = deployment.plan.steps.iter().find_map(|one| {
        let at = deployment.steps.get(&one.id)?;
        matches!(at.phase, StepPhase::Failed { .. } | StepPhase::Cancelled)
            .then(|| format!("not done: {} {}", one.id, Mark::of_step(at).word()))
    });
    if let Some(stopped) = stopped {
        return stopped;
    }
    match &deployment.phase {
        DeploymentPhase::Ended(_) | DeploymentPhase::TakenBack { .. } | DeploymentPhase::Observing { .. } => {
            "not done".to_owned()
        }
        _ => doing(step, deployment),
    }
}

/// A bake in two lines: its countdown, and the new set against the old one.
pub(crate) fn bake_summary(
    model: &Model,
    key: &AttemptKey,
    step: &Step,
    columns: usize,
) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, "  ");
    let Some((at, report)) = model.samples.bake(key) else {
        words.cut(Role::Dim, "no numbers of it yet", columns.saturating_sub(2));
        return vec![words.line()];
    };
    let share = |traffic: &Option<Traffic>| {
        traffic.as_ref().map_or_else(
            || "no traffic measured".to_owned(),
            |one| {
                format!("{} of {} failed, {}", one.failed, one.requests, per_cent(one.failed, one.requests))
            },
        )
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
    let text = format!("new: {} · old: {}", share(&report.new), share(&report.old));
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
fn bake_table(model: &Model, key: &AttemptKey, step: &Step) -> Vec<Line<'static>> {
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
            per_cent(one.failed, one.requests),
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

/// What there is to say of the deployment that is shown.
pub(crate) fn lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let Some((number, deployment)) = model.deployment() else { return Vec::new() };
    let inside = Rect { width: u16::try_from(columns).unwrap_or(u16::MAX), ..Rect::default() };
    let mut card = Card::new(model, inside);
    let (mark, text) = sentence(model, number, deployment);
    card.head(mark, &text);
    if let Some((key, step)) = open_bake(number, deployment) {
        for line in bake_table(model, &key, step) {
            card.lines.push(line);
        }
    }
    if matches!(deployment.phase, DeploymentPhase::Held { .. }) {
        card.say("do", Role::Accent, "c lets it go on · R takes it back");
    }
    card.say("why", Role::Text, &deployment.reason);
    let who = format!("{} {}", deployment.by, model.ago(deployment.created));
    let took = deployment.ended.map(|ended| format!(", took {}", ended.since(deployment.created)));
    card.say("by", Role::Text, &format!("{who}{}", took.unwrap_or_default()));
    if deployment.ended.is_none() {
        let left = deployment_schedule(&model.state, number, model.shown_at()).left;
        let usual = model.state.plan_estimate(&deployment.environment, &deployment.plan);
        let so_far = steps::whole(model.shown_at().since(deployment.created));
        let text = match (left, usual) {
            (Some(left), _) => format!("{so_far} so far, {}", steps::time_left(left)),
            (None, Some(usual)) => format!("{so_far} so far, usually {}", steps::about(usual)),
            (None, None) => format!("{so_far} so far; some of its steps were never done here"),
        };
        card.say("time", Role::Text, &text);
        let target = deployment.way_back.target.and_then(|target| model.state.deployments.get(&target));
        let verdict = &deployment.way_back.verdict;
        let to = target.map(|one| format!("to {}: ", one.release)).unwrap_or_default();
        card.say("way back", verdict_role(verdict), &format!("{to}{}", verdict_word(verdict)));
    }
    card.lines
}

/// The panel beside the steps: the failed step's cause, else the deployment.
pub(crate) fn draw_card(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((number, deployment)) = model.deployment() else {
        return panel_none(model, area, buffer);
    };
    let focused = model.focus == Focus::Detail;
    let selected = model.step();
    let chosen = matches!(model.places.row, Some(Row::Step(_))) && model.places.open;
    let title = title(number, deployment);
    let inside = panel_of(model, area, false, focused, &title, &[], buffer);
    let mut card = Card::new(model, inside);
    let failed = selected.filter(|(_, at)| matches!(at.phase, StepPhase::Failed { .. }));
    if let Some((step, at)) = failed
        && let StepPhase::Failed { cause } = &at.phase
    {
        let (mark, text) = sentence(model, number, deployment);
        if deployment.is_open() {
            card.head(mark, &text);
            card.blank();
        }
        let mut cause = cause.clone();
        if !cause.summary.starts_with(step.id.as_str()) {
            cause.summary = format!("{}: {}", step.id, cause.summary);
        }
        card.cause(&cause, Mark::Failed, Some(at), &[crate::tui::action::Action::OpenLog]);
    } else {
        card.lines = lines(model, usize::from(inside.width));
        if let Some((step, at)) = selected.filter(|_| chosen) {
            card.blank();
            let (role, text) = said(model, step, at, || waits(step, deployment));
            card.say(&step.id.0, role, &text);
            card.describe(step);
        }
    }
    card.draw(buffer);
}

fn title(number: DeploymentId, deployment: &Deployment) -> Vec<(Role, String)> {
    let (mark, word) = phase_word(deployment);
    vec![
        (Role::Strong, format!("{number} {}", deployment.release)),
        (Role::Dim, format!(" · {} · ", kind_word(deployment.kind))),
        (mark.role(), word.to_owned()),
    ]
}

fn panel_none(model: &Model, area: Rect, buffer: &mut Buffer) {
    let inside = panel_of(model, area, false, false, &[(Role::Dim, "Deployment".to_owned())], &[], buffer);
    let mut words = Words::new(&model.theme);
    words.cut(Role::Dim, "nothing was deployed here yet", usize::from(inside.width));
    put(buffer, inside, 0, &words.line());
}

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
