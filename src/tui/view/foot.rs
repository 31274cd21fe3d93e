//! Below the steps: what the run comes to.

use ratatui::text::Line;

use super::Words;
use super::brief::{phase_word, shown_name};
use crate::domain::finding::Severity;
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::Work;
use crate::domain::project::Environment;
use crate::domain::state::{Run, RunEnd, RunPhase, StepPhase, StepState};
use crate::tui::model::Model;
use crate::tui::theme::{Mark, Role};

/// What the run comes to: its release, what it noticed, what comes after it.
pub(crate) fn foot(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some((id, run)) = model.run() {
        lines.extend(release(model, id, run));
        lines.extend(findings(model, columns));
        lines.extend(places(model, run, columns));
    }
    let queued: Vec<String> = model
        .state
        .runs
        .iter()
        .filter(|(id, run)| run.phase == RunPhase::Queued && Some(**id) != model.run_id())
        .map(|(id, run)| format!("{id} {} “{}”", run.commit.id.short(), run.commit.subject))
        .collect();
    if !queued.is_empty() {
        let mut words = Words::new(&model.theme);
        words.add(Role::Dim, model.theme.glyph(Mark::Waiting));
        words.add(Role::Dim, &format!(" queued  {}", queued.join(" · ")));
        lines.push(words.line());
    }
    lines
}

/// Where the run's release stands: an environment a line, in the order in which it goes through them.
fn places(model: &Model, run: &Run, columns: usize) -> Vec<Line<'static>> {
    let RunPhase::Ended(RunEnd::Passed { release: Some(release) }) = run.phase else { return Vec::new() };
    let line = |(name, settings): (&EnvironmentName, &Environment)| {
        let theme = &model.theme;
        let newest = model
            .state
            .deployments
            .iter()
            .rev()
            .find(|(_, one)| one.release == release && &one.environment == name);
        let live = model.state.live(name);
        let (mark, said) = match (newest, live) {
            (Some((number, one)), _) if one.is_open() => {
                let (mark, word) = phase_word(one);
                (mark, format!("{word} · {number}"))
            }
            (_, Some((number, one))) if one.release == release => {
                (Mark::Passed, format!("live · {number} · {}", model.ago(model.since(one))))
            }
            (Some((number, one)), now) => {
                let (mark, word) = match phase_word(one) {
                    // Its deployment went well; another one has taken its place since.
                    (Mark::Passed | Mark::Inconclusive, _) => (Mark::Skipped, "was live"),
                    other => other,
                };
                let now = now.map(|(_, now)| format!(" · now {}", now.release)).unwrap_or_default();
                (mark, format!("{word} · {number}{now}"))
            }
            (None, now) => {
                let now = now.map(|(_, now)| format!(" · now {}", now.release)).unwrap_or_default();
                (Mark::Waiting, format!("not yet{now}"))
            }
        };
        let mut words = Words::new(theme);
        words.add(mark.role(), theme.glyph(mark)).add(Role::Text, " ");
        words.add(if settings.protected { Role::Strong } else { Role::Text }, &shown_name(name, settings));
        words.add(Role::Text, "  ");
        let room = columns.saturating_sub(words.columns());
        words.cut(Role::Dim, &said, room);
        words.line()
    };
    model.environments().into_iter().map(line).collect()
}

fn release(model: &Model, id: crate::domain::ids::RunId, run: &Run) -> Option<Line<'static>> {
    let theme = &model.theme;
    let mut words = Words::new(theme);
    let made = match run.phase {
        RunPhase::Ended(RunEnd::Passed { release }) => {
            release.and_then(|number| model.state.releases.get(&number))
        }
        _ => None,
    };
    if let Some(release) = made {
        words
            .add(Role::Good, theme.pick("●", "*"))
            .add(Role::Strong, &format!(" release {}", release.number));
        if let Some(version) = &release.version {
            words.add(Role::Text, &format!(" · version {version}"));
        }
        words.add(Role::Dim, &format!("  {}", release.artifact.id.short()));
        return Some(words.line());
    }
    let builds = run.plan.as_ref()?.steps.iter().any(|step| matches!(step.work, Work::Build(_)));
    if !builds {
        return None;
    }
    let none = |words: &mut Words<'_>, why: &str| {
        words.add(Role::Dim, &format!("{} no release: {why}", theme.glyph(Mark::Skipped)));
    };
    match run.phase {
        RunPhase::Ended(RunEnd::Passed { .. }) => {
            let until = run
                .until
                .as_ref()
                .map_or("it ended early".to_owned(), |until| format!("it ran until {until}"));
            none(&mut words, &until);
        }
        RunPhase::Ended(RunEnd::Failed) => {
            let why =
                run.failed.as_ref().map_or("the run failed".to_owned(), |(step, _)| format!("{step} failed"));
            none(&mut words, &why);
        }
        RunPhase::Ended(RunEnd::Cancelled) | RunPhase::Cancelling { .. } => {
            none(&mut words, "the run was cancelled");
        }
        RunPhase::Ended(RunEnd::Superseded { by }) => none(&mut words, &format!("run {by} took its place")),
        _ if run.until.is_some() => {
            let until = run.until.as_ref().map_or("", |until| until.as_str());
            none(&mut words, &format!("it runs until {until}"));
        }
        RunPhase::Queued | RunPhase::Preparing | RunPhase::Running | RunPhase::Held => {
            let steps = model.steps();
            let left = |wanted: fn(&StepState) -> bool| -> Vec<&str> {
                steps.iter().filter(|(_, at)| wanted(at)).map(|(step, _)| step.id.as_str()).collect()
            };
            let word = left(StepState::wants_acknowledgement);
            let open = left(|at| matches!(at.phase, StepPhase::Waiting) || at.is_open());
            words.add(Role::Dim, theme.glyph(Mark::Waiting));
            words.add(Role::Text, &format!(" release{}", foretold(model, id, run)));
            let why = match (open.is_empty(), word.is_empty()) {
                (true, false) => format!("  waits for your word on {}", word.join(", ")),
                (true, true) => String::new(),
                (false, _) if open.len() > 3 => {
                    format!("  waits for {} and {} more", open[..2].join(", "), open.len() - 2)
                }
                (false, _) => format!("  waits for {}", open.join(", ")),
            };
            words.add(Role::Dim, &why);
        }
    }
    Some(words.line())
}

/// The number that the release will have, where no other run can take it first.
fn foretold(model: &Model, id: crate::domain::ids::RunId, run: &Run) -> String {
    if let Some(release) = model.state.release_of(&run.commit.id) {
        return format!(" {}", release.number);
    }
    let alone =
        model.state.runs.iter().all(|(other, run)| *other >= id || matches!(run.phase, RunPhase::Ended(_)));
    let next = model.state.releases.keys().next_back().map_or(1, |last| last.0 + 1);
    if alone { format!(" v{next}") } else { String::new() }
}

fn findings(model: &Model, columns: usize) -> Option<Line<'static>> {
    let findings = model.findings();
    let (_, worst) = findings.first()?;
    let count = |severity| findings.iter().filter(|(_, finding)| finding.severity == severity).count();
    let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (count(severity), severity.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let (glyph, role) = model.theme.severity(worst.severity);
    let mut words = Words::new(&model.theme);
    words.add(role, glyph).add(Role::Text, &format!(" {}", parts.join(", ")));
    let room = columns.saturating_sub(words.columns());
    words.cut(Role::Dim, &format!("  {}", worst.title), room);
    Some(words.line())
}
