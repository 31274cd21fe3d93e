//! What is due by itself: places in the queue, steps that may start, ends.

use std::collections::BTreeMap;

use super::{Draft, deployment};
use crate::domain::event::Event;
use crate::domain::finding::Finding;
use crate::domain::ids::{AttemptKey, Owner, ReleaseNumber, RunId, StepId};
use crate::domain::plan::{Plan, Step, Work};
use crate::domain::release::{Release, STAMPS, STATIC_FILES, Serving};
use crate::domain::state::{Run, RunEnd, RunPhase, State, StepPhase, StepState};
use crate::domain::time::{Millis, Timestamp};

/// Writes every event that is due, those that they make due included.
pub(super) fn all(draft: &mut Draft) {
    while let Some(event) = next(&draft.state, draft.at) {
        draft.write(event);
    }
}

fn next(state: &State, at: Timestamp) -> Option<Event> {
    superseded(state)
        .or_else(|| queue(state))
        .or_else(|| state.runs.iter().find_map(|(number, run)| next_of_run(state, *number, run, at)))
        .or_else(|| deployment::next(state))
}

/// A queued run of the followed branch gives way to a newer one.
fn superseded(state: &State) -> Option<Event> {
    let newest = state.runs.iter().rev().find(|(_, run)| run.followed).map(|(number, _)| *number)?;
    let older = state.runs.iter().find(|(number, run)| {
        // One that began and is queued again waits for a person's retry.
        let never_began = run.phase == RunPhase::Queued && run.started.is_none();
        **number < newest && run.followed && never_began
    })?;
    Some(Event::RunSuperseded { run: *older.0, by: newest })
}

fn queue(state: &State) -> Option<Event> {
    let places = state.project.as_ref().map_or(1, |project| project.pipeline.runs.max(1));
    let taken = state.runs.values().filter(|run| run.is_active()).count();
    if taken >= usize::try_from(places).unwrap_or(usize::MAX) {
        return None;
    }
    let (run, _) = state.runs.iter().find(|(_, run)| run.phase == RunPhase::Queued)?;
    Some(Event::RunStarted { run: *run })
}

fn next_of_run(state: &State, number: RunId, run: &Run, at: Timestamp) -> Option<Event> {
    match run.phase {
        RunPhase::Running => {
            let plan = run.plan.as_ref()?;
            let jobs = state.project.as_ref().map_or(2, |project| project.pipeline.jobs.max(1));
            startable(Owner::Run(number), plan, &run.steps, jobs, |step| state.estimate(step))
                .map(|key| Event::StepStarted { key })
                .or_else(|| settle(state, number, run, at))
        }
        RunPhase::Cancelling { .. } if run.steps.values().any(StepState::is_open) => None,
        RunPhase::Cancelling { .. } => Some(Event::RunFinished { run: number, end: RunEnd::Cancelled }),
        RunPhase::Held if !run.steps.values().any(StepState::wants_acknowledgement) => {
            Some(pass(state, number, run, at))
        }
        _ => None,
    }
}

/// The attempt that may start now: fast ones first, so that a quick failure is known early; those whose duration
/// is not known yet in the plan's order.
pub(super) fn startable(
    owner: Owner,
    plan: &Plan,
    states: &BTreeMap<StepId, StepState>,
    jobs: u32,
    estimate: impl Fn(&StepId) -> Option<Millis>,
) -> Option<AttemptKey> {
    let open = states.values().filter(|state| state.is_open()).count();
    if open >= usize::try_from(jobs).unwrap_or(usize::MAX) {
        return None;
    }
    let ready = plan.steps.iter().filter_map(|step| {
        let state = states.get(&step.id)?;
        may_start(step, state, states).then_some((step, state))
    });
    let (step, state) = ready.min_by_key(|(step, _)| estimate(&step.id).unwrap_or(Millis(0)))?;
    Some(AttemptKey { owner, step: step.id.clone(), attempt: state.attempt.saturating_add(1) })
}

fn may_start(step: &Step, state: &StepState, states: &BTreeMap<StepId, StepState>) -> bool {
    match state.phase {
        StepPhase::Waiting => {
            step.needs.iter().all(|need| states.get(need).is_some_and(StepState::lets_others_start))
        }
        StepPhase::Failed { .. } => state.attempt <= step.retries,
        _ => false,
    }
}

/// Nothing more can start: once nothing runs, the run ends or waits for a person.
fn settle(state: &State, number: RunId, run: &Run, at: Timestamp) -> Option<Event> {
    if run.steps.values().any(StepState::is_open) {
        return None;
    }
    let ended_badly = |step: &StepState| {
        matches!(step.phase, StepPhase::Failed { .. } | StepPhase::Cancelled | StepPhase::Waiting)
    };
    if run.steps.values().any(ended_badly) {
        return Some(Event::RunFinished { run: number, end: RunEnd::Failed });
    }
    let waiting = run.steps.iter().filter(|(_, step)| step.wants_acknowledgement());
    let waits_for: Vec<StepId> = waiting.map(|(step, _)| step.clone()).collect();
    if !waits_for.is_empty() {
        return Some(Event::RunHeld { run: number, waits_for });
    }
    Some(pass(state, number, run, at))
}

/// How a release of the run is run: from its commit's configuration, which the build step carries, and from what the
/// build put out.
fn serving(run: &Run) -> Serving {
    let steps = run.plan.iter().flat_map(|plan| &plan.steps).rev();
    let mut build = steps.filter_map(|step| match &step.work {
        Work::Build(build) => Some((&step.id, build)),
        _ => None,
    });
    let Some((step, build)) = build.next() else { return Serving::default() };
    let values = run.steps.get(step).map(|state| &state.output.values);
    Serving {
        kind: Some(build.setting.kind),
        settings: build.setting.settings.clone(),
        roles: build.roles.clone(),
        image: build.artifact.image.clone(),
        static_files: values.and_then(|values| values.get(STATIC_FILES)).cloned(),
        stamps: values.and_then(|values| values.get(STAMPS)).cloned(),
    }
}

/// Everything is done: first the release gets its number, then the run ends.
fn pass(state: &State, number: RunId, run: &Run, at: Timestamp) -> Event {
    let artifact = run.steps.values().find_map(|step| step.output.artifact.clone());
    let Some(artifact) = artifact.filter(|_| run.until.is_none()) else {
        return Event::RunFinished { run: number, end: RunEnd::Passed { release: None } };
    };
    let known = state
        .releases
        .values()
        .find(|release| release.artifact.id == artifact.id && release.commit == run.commit.id);
    if let Some(release) = known {
        return Event::RunFinished { run: number, end: RunEnd::Passed { release: Some(release.number) } };
    }
    let last = state.releases.keys().next_back().map_or(0, |last| last.0);
    let mut migrations: Vec<_> =
        run.steps.values().flat_map(|step| step.output.migrations.iter().cloned()).collect();
    migrations.sort();
    migrations.dedup();
    let noticed = run.steps.values().flat_map(|step| step.output.findings.iter());
    let mut findings: Vec<Finding> = run.findings.iter().chain(noticed).cloned().collect();
    findings.sort();
    findings.dedup();
    let serving = serving(run);
    let release = Release {
        serving,
        number: ReleaseNumber(last + 1),
        commit: run.commit.id.clone(),
        subject: run.commit.subject.clone(),
        version: run.commit.version(),
        artifact,
        run: number,
        created: at,
        migrations,
        findings,
    };
    Event::ReleaseCreated { release }
}
