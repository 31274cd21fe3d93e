//! Commands about runs.

use super::{Draft, refuse};
use crate::domain::command::{CommitFacts, Refusal, RefusalKind};
use crate::domain::event::Event;
use crate::domain::ids::{Owner, RunId, StepId};
use crate::domain::state::{Run, RunEnd, RunPhase, State, StepPhase};

pub(super) fn start(draft: &mut Draft, commit: CommitFacts, until: Option<StepId>) -> Result<(), Refusal> {
    let open = draft.state.runs.iter().find(|(_, run)| {
        run.commit.id == commit.id && !matches!(run.phase, RunPhase::Ended(_)) && run.until == until
    });
    if let Some((number, _)) = open {
        return refuse(
            RefusalKind::State,
            format!("Run {number} walks {} already.", commit.id.short()),
            "Look at that run, or cancel it first.",
        );
    }
    queue(draft, commit, until, false);
    Ok(())
}

/// Queues a run under the next number.
pub(super) fn queue(draft: &mut Draft, commit: CommitFacts, until: Option<StepId>, followed: bool) {
    let run = RunId(draft.state.runs.keys().next_back().map_or(1, |last| last.0 + 1));
    draft.write(Event::RunQueued { run, commit, until, followed });
}

fn known(state: &State, number: RunId) -> Result<&Run, Refusal> {
    match state.runs.get(&number) {
        Some(run) => Ok(run),
        None => refuse(
            RefusalKind::Unknown,
            format!("There is no run {number}."),
            match state.runs.keys().next_back() {
                Some(last) => format!("The newest is {last}."),
                None => "Nothing has run yet.".to_owned(),
            },
        ),
    }
}

pub(super) fn cancel(draft: &mut Draft, number: RunId, now: bool) -> Result<(), Refusal> {
    match known(&draft.state, number)?.phase {
        RunPhase::Ended(_) => {
            return refuse(
                RefusalKind::State,
                format!("Run {number} is over."),
                "There is nothing to cancel.",
            );
        }
        RunPhase::Cancelling { now: already } if already || !now => {
            return refuse(
                RefusalKind::State,
                format!("Run {number} is being cancelled already."),
                if already {
                    "It ends as soon as its commands have ended."
                } else {
                    "Cancel it now to stop its running steps too."
                },
            );
        }
        _ => {}
    }
    draft.write(Event::RunCancelled { run: number, now });
    Ok(())
}

pub(super) fn retry(draft: &mut Draft, number: RunId, step: &StepId) -> Result<(), Refusal> {
    let run = known(&draft.state, number)?;
    if run.plan.is_none() {
        return refuse(
            RefusalKind::State,
            format!("Run {number} was never planned, or is too old to go on."),
            "Start a new run of its commit.",
        );
    }
    let Some(state) = run.steps.get(step) else {
        let steps: Vec<&str> = run.steps.keys().map(StepId::as_str).collect();
        return refuse(
            RefusalKind::Unknown,
            format!("Run {number} has no step \"{step}\"."),
            format!("Its steps: {}.", steps.join(", ")),
        );
    };
    match &state.phase {
        StepPhase::Failed { .. } | StepPhase::Inconclusive { .. } | StepPhase::Cancelled => {}
        StepPhase::Waiting if matches!(run.phase, RunPhase::Ended(RunEnd::Cancelled)) => {}
        StepPhase::Running | StepPhase::Observing => {
            return refuse(
                RefusalKind::State,
                format!("{step} is running."),
                "Wait for its end, or cancel the run.",
            );
        }
        StepPhase::Waiting => {
            return refuse(
                RefusalKind::State,
                format!("{step} has not run yet."),
                "Retry the step that failed.",
            );
        }
        StepPhase::Passed => {
            return refuse(
                RefusalKind::State,
                format!("{step} has passed."),
                "Only a step that did not pass can be retried.",
            );
        }
        StepPhase::Skipped { why } => {
            return refuse(
                RefusalKind::State,
                format!("{step} is skipped: {why}."),
                "Start a run that includes it.",
            );
        }
    }
    if let RunPhase::Cancelling { .. } = run.phase {
        return refuse(
            RefusalKind::State,
            format!("Run {number} is being cancelled."),
            "Wait for its end, then retry.",
        );
    }
    if let RunPhase::Ended(RunEnd::Passed { release }) = run.phase {
        // What has passed stands: its release may be live somewhere by now.
        let what = release.map(|release| format!(" and made {release}")).unwrap_or_default();
        return refuse(
            RefusalKind::State,
            format!("Run {number} has passed{what}."),
            "Start a new run of its commit.",
        );
    }
    let needs = run.plan.as_ref().and_then(|plan| plan.step(step)).map_or(&[][..], |step| &step.needs);
    let is_failed = |need: &&StepId| {
        run.steps.get(*need).is_some_and(|state| matches!(state.phase, StepPhase::Failed { .. }))
    };
    if let Some(need) = needs.iter().find(is_failed) {
        return refuse(
            RefusalKind::State,
            format!("{step} stands on {need}, which failed."),
            format!("Retry {need}."),
        );
    }
    // It starts when the run has a place among `runs` and the step one among `jobs`.
    draft.write(Event::StepRetried { run: number, step: step.clone() });
    Ok(())
}

pub(super) fn acknowledge(
    draft: &mut Draft,
    number: RunId,
    step: StepId,
    reason: &str,
) -> Result<(), Refusal> {
    let reason = reason.trim();
    if reason.is_empty() {
        return refuse(
            RefusalKind::Confirmation,
            "An acknowledgement needs a reason.",
            "Say why the check may be left open.",
        );
    }
    let run = known(&draft.state, number)?;
    let Some(state) = run.steps.get(&step) else {
        return refuse(RefusalKind::Unknown, format!("Run {number} has no step \"{step}\"."), "");
    };
    match &state.phase {
        StepPhase::Inconclusive { .. } if state.acknowledged.is_none() => {}
        StepPhase::Inconclusive { .. } => {
            return refuse(RefusalKind::State, format!("{step} is acknowledged already."), "");
        }
        StepPhase::Failed { .. } => {
            return refuse(
                RefusalKind::Gate,
                format!("{step} failed: a failure cannot be acknowledged."),
                "Mend it, or retry the step.",
            );
        }
        _ => {
            return refuse(
                RefusalKind::State,
                format!("{step} is not inconclusive."),
                "Only a check that could not do its work is acknowledged.",
            );
        }
    }
    if matches!(run.phase, RunPhase::Ended(_)) {
        return refuse(RefusalKind::State, format!("Run {number} is over."), "Retry its failed step first.");
    }
    draft.write(Event::StepAcknowledged { owner: Owner::Run(number), step, reason: reason.to_owned() });
    Ok(())
}
