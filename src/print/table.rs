//! Lists: runs and deployments, and where their steps are.

use super::deployment::{kind_text, phase_mark};
use super::plain::release_text;
use super::style::{Mark, Style, visible};
use crate::domain::ids::{DeploymentId, Owner, RunId};
use crate::domain::query::RunSummary;
use crate::domain::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, RunPhase, State, StepPhase};
use crate::domain::time::{Millis, Timestamp};
use crate::text::width::{pad, truncate, width};

/// The widest that a column becomes before its text is cut, in terminal columns.
const WIDEST: usize = 50;

/// Runs as a table, in the order given. The first line names the columns.
#[must_use]
pub fn history(style: &Style, runs: &[RunSummary]) -> Vec<String> {
    let header = ["run", "when", "commit", "subject", "by", "took", "end", "release", "failed"];
    let mut rows = vec![header.map(str::to_owned)];
    for run in runs {
        let phase = run.end.map_or(RunPhase::Running, RunPhase::Ended);
        let (_, word) = Mark::of_run(phase);
        rows.push([
            run.run.to_string(),
            style.day(run.queued),
            run.commit.id.short().to_owned(),
            run.commit.subject.clone(),
            run.by.to_string(),
            run.took.map(|took| took.to_string()).unwrap_or_default(),
            if run.end.is_some() { word.to_owned() } else { "open".to_owned() },
            run.release.map(|release| release.to_string()).unwrap_or_default(),
            run.failed.as_ref().map(|(step, why)| format!("{step}: {why}")).unwrap_or_default(),
        ]);
    }
    align(style, &rows)
}

/// Deployments as a table, in the order given. The first line names the columns.
#[must_use]
pub fn deployments(style: &Style, deployments: &[(&DeploymentId, &Deployment)]) -> Vec<String> {
    let header = ["deployment", "environment", "kind", "release", "when", "by", "took", "end", "why"];
    let mut rows = vec![header.map(str::to_owned)];
    for (number, one) in deployments {
        let kind = match one.kind {
            DeploymentKind::Promotion => "promotion".to_owned(),
            DeploymentKind::Redeploy => "redeployment".to_owned(),
            DeploymentKind::Rollback { of, automatic: false } => format!("rollback of {of}"),
            DeploymentKind::Rollback { of, automatic: true } => format!("automatic rollback of {of}"),
        };
        let (_, word) = phase_mark(&one.phase);
        let why = why(&one.phase);
        rows.push([
            number.to_string(),
            one.environment.to_string(),
            kind,
            one.release.to_string(),
            style.day(one.created),
            one.by.to_string(),
            one.ended.map(|ended| ended.since(one.created).to_string()).unwrap_or_default(),
            word.to_owned(),
            if why.is_empty() { one.reason.clone() } else { why.to_owned() },
        ]);
    }
    align(style, &rows)
}

/// Why a deployment is where it is; empty where there is nothing to say.
fn why(phase: &DeploymentPhase) -> &str {
    match phase {
        DeploymentPhase::Held { reason: why }
        | DeploymentPhase::TakenBack { why, .. }
        | DeploymentPhase::Observing { failed: Some(why) }
        | DeploymentPhase::Ended(
            Ending::LiveUnverified { why } | Ending::RolledBack { why } | Ending::Broken { why },
        ) => why,
        _ => "",
    }
}

/// A deployment for a program: one row of history.
#[must_use]
pub fn deployment_object(number: DeploymentId, deployment: &Deployment) -> serde_json::Value {
    let ending = match &deployment.phase {
        DeploymentPhase::Ended(ending) => Some(ending),
        _ => None,
    };
    serde_json::json!({
        "deployment": number, "environment": deployment.environment, "deployment_kind": deployment.kind,
        "release": deployment.release, "by": deployment.by, "reason": deployment.reason,
        "created": deployment.created, "took": deployment.ended.map(|ended| ended.since(deployment.created)),
        "phase": deployment.phase, "ending": ending, "way_back": deployment.way_back,
    })
}

/// Open runs with their steps, and the newest release.
#[must_use]
pub fn status(style: &Style, state: &State, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = state.branch_trouble() {
        lines.push(format!("{} {}", style.glyph(Mark::Warn), style.words(&visible(why))));
    }
    let open = state.runs.iter().filter(|(_, run)| !matches!(run.phase, RunPhase::Ended(_)));
    for (number, _) in open {
        lines.extend(run(style, state, *number, now));
    }
    if !state.runs.values().any(|run| !matches!(run.phase, RunPhase::Ended(_))) {
        lines.push("no run is open".to_owned());
        if let Some(number) = state.runs.keys().next_back() {
            lines.extend(run(style, state, *number, now));
        }
    }
    lines.extend(state.kept.iter().filter_map(|kept| {
        let Owner::Run(run) = kept.key.owner else { return None };
        let (step, left) = (&kept.key.step, kept.until.since(now));
        let text = match left {
            Millis(0) => format!("run {run}: the container that {step} has kept is being removed"),
            left => format!(
                "run {run}: {step} keeps its container for {}: towpath shell {run} {step} · towpath bundle {run} {step}",
                left.in_minutes()
            ),
        };
        Some(format!("{} {}", style.glyph(Mark::Note), style.words(&visible(&text))))
    }));
    match state.releases.values().next_back() {
        Some(release) => {
            let text = format!(
                "newest {} of {}, {}",
                release_text(release),
                release.commit.short(),
                style.day(release.created)
            );
            lines.push(style.words(&text).into_owned());
        }
        None => lines.push("there is no release yet".to_owned()),
    }
    lines
}

/// One run with its steps.
#[must_use]
pub fn run(style: &Style, state: &State, number: RunId, now: Timestamp) -> Vec<String> {
    let Some(run) = state.runs.get(&number) else { return Vec::new() };
    let (mark, word) = Mark::of_run(run.phase);
    let took = run.started.map(|started| format!(" · {}", run.ended.unwrap_or(now).since(started)));
    let text = format!(
        "run {number} {word} · {} “{}” · by {}{}",
        run.commit.id.short(),
        visible(&run.commit.subject),
        run.by,
        took.unwrap_or_default()
    );
    let mut lines = vec![format!("{} {}", style.glyph(mark), style.words(&text))];
    if let Some(cause) = &run.cause {
        lines.push(format!("    {}", style.words(&visible(&cause.summary))));
    }
    lines.extend(steps(style, state, Owner::Run(number), now));
    lines
}

/// One deployment with its steps.
#[must_use]
pub fn deployment(style: &Style, state: &State, number: DeploymentId, now: Timestamp) -> Vec<String> {
    let Some(deployment) = state.deployments.get(&number) else { return Vec::new() };
    let (mark, word) = phase_mark(&deployment.phase);
    let took = deployment.ended.unwrap_or(now).since(deployment.created);
    let text = format!(
        "deployment {number} to {}, {} {}, {word} · by {} · {took}",
        deployment.environment,
        kind_text(deployment.kind),
        deployment.release,
        deployment.by
    );
    let mut lines = vec![format!("{} {}", style.glyph(mark), style.words(&visible(&text)))];
    let why = why(&deployment.phase);
    if !why.is_empty() {
        lines.push(format!("    {}", style.words(&visible(why))));
    }
    lines.extend(steps(style, state, Owner::Deployment(number), now));
    lines
}

/// Where the steps of a run or a deployment are.
fn steps(style: &Style, state: &State, owner: Owner, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    let steps = state.steps(owner);
    let widest = steps.iter().map(|(step, _)| width(&step.id.0)).max().unwrap_or(0);
    for (step, at) in steps {
        let (mark, word) = Mark::of_step(at);
        let took = match (at.started, at.ended) {
            (Some(started), Some(ended)) => ended.since(started).to_string(),
            (Some(started), None) if at.is_open() => now.since(started).to_string(),
            _ => String::new(),
        };
        let why = match &at.phase {
            StepPhase::Failed { cause } => cause.summary.clone(),
            StepPhase::Inconclusive { reason } => match &at.acknowledged {
                Some(word) => format!("{reason} · accepted: {word}"),
                None => reason.clone(),
            },
            StepPhase::Skipped { why } => why.clone(),
            _ => {
                let again = at.earlier.as_ref().map(|why| format!("attempt {}, before: {why}", at.attempt));
                at.output.facts.iter().cloned().chain(again).collect::<Vec<_>>().join(" · ")
            }
        };
        let text = format!("{} {word:<13} {took:>7}  {}", pad(&step.id.0, widest), visible(&why));
        lines.push(format!("  {} {}", style.glyph(mark), style.words(text.trim_end())));
    }
    lines
}

/// Columns under each other; the header stands back.
fn align<const N: usize>(style: &Style, rows: &[[String; N]]) -> Vec<String> {
    let shown: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| style.words(&truncate(&visible(cell), WIDEST)).into_owned()))
        .collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| shown.iter().map(|row| width(&row[column])).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, columns)| pad(cell, columns)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines: Vec<String> = shown.iter().map(line).collect();
    if let Some(header) = lines.first_mut() {
        *header = style.dim(header);
    }
    lines
}
