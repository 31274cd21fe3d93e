//! When each step of a run began and ended, or is likely to: the bars, the critical path, what is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{DeploymentId, Owner, RunId, StepId};
use crate::domain::plan::Step;
use crate::domain::state::{DeploymentPhase, RunPhase, State, StepPhase, StepState};
use crate::domain::time::{Millis, Timestamp};

/// One step's place on the time axis, in milliseconds since the run's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// When it began, or is likely to.
    pub from: u64,
    /// Up to when it is done: now for a step that runs; `from` for one that waits.
    pub now: u64,
    /// When it ended, or is likely to.
    pub to: u64,
    /// Whether it has begun.
    pub begun: bool,
}

/// A run on its time axis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Steps that ran, run, or can be foretold.
    pub spans: BTreeMap<StepId, Span>,
    /// The length of the axis, milliseconds; at least 1.
    pub length: u64,
    /// The chain of steps that decides how long it all takes.
    pub critical: BTreeSet<StepId>,
    /// How long the rest is likely to take, milliseconds; `None` when a step that is left was never timed.
    pub left: Option<u64>,
}

/// A pause of this length, milliseconds, is a person's: the engine has none between steps.
const IDLE: u64 = 5_000;

/// The schedule of a run at a moment. Steps that wait are placed by their usual duration, `jobs` at once.
#[must_use]
pub fn schedule(state: &State, run: RunId, now: Timestamp) -> Schedule {
    let Some(origin) = state.runs.get(&run).and_then(|run| run.started) else {
        return Schedule { length: 1, ..Schedule::default() };
    };
    // A held run waits for a person: nothing can be foretold, and the axis does not grow.
    let open = state.runs.get(&run).is_some_and(|run| run.ended.is_none() && run.phase != RunPhase::Held);
    let jobs = state.project.as_ref().map_or(2, |project| project.pipeline.jobs).max(1) as usize;
    let axis = Axis { origin, now, open, jobs };
    lay(&state.steps(Owner::Run(run)), &axis, |step| state.estimate(&step.id))
}

/// The same of a deployment: one step after the other.
#[must_use]
pub fn deployment_schedule(state: &State, number: DeploymentId, now: Timestamp) -> Schedule {
    let Some(deployment) = state.deployments.get(&number) else {
        return Schedule { length: 1, ..Schedule::default() };
    };
    let open = matches!(deployment.phase, DeploymentPhase::Leasing | DeploymentPhase::Running);
    let axis = Axis { origin: deployment.created, now, open, jobs: 1 };
    lay(&state.steps(Owner::Deployment(number)), &axis, |step| {
        state.deployment_estimate(&deployment.environment, step)
    })
}

/// When it all began, the moment, whether it goes on, and how many steps run at once.
struct Axis {
    origin: Timestamp,
    now: Timestamp,
    open: bool,
    jobs: usize,
}

fn lay(steps: &[(&Step, &StepState)], axis: &Axis, estimate: impl Fn(&Step) -> Option<Millis>) -> Schedule {
    let Axis { origin, now, open, jobs } = *axis;
    let elapsed = now.since(origin).0;

    let mut spans: BTreeMap<StepId, Span> = BTreeMap::new();
    let mut known = true;
    // When each of the places for a step is free again.
    let mut places: Vec<u64> = Vec::new();
    for (step, at) in steps {
        let Some(started) = at.started else { continue };
        let from = started.since(origin).0;
        let span = match at.ended.filter(|_| !at.is_open()) {
            Some(ended) => {
                let to = ended.since(origin).0.max(from);
                Span { from, now: to, to, begun: true }
            }
            None => {
                let usual = estimate(step).map(|usual| from.saturating_add(usual.0));
                known &= usual.is_some();
                let to = usual.unwrap_or(elapsed).max(elapsed);
                places.push(to);
                Span { from, now: elapsed.max(from), to: to.max(from), begun: true }
            }
        };
        spans.insert(step.id.clone(), span);
    }

    if open {
        while places.len() < jobs {
            places.push(elapsed);
        }
        // What cannot start any more (a need failed) has no forecast, nor has what stands on it.
        let mut waiting: Vec<_> = steps.iter().filter(|(_, at)| at.phase == StepPhase::Waiting).collect();
        while !waiting.is_empty() {
            let ready = |step: &&(&Step, &StepState)| {
                step.0.needs.iter().try_fold(elapsed, |latest, need| match spans.get(need) {
                    Some(span) => {
                        let ok = steps.iter().find(|(other, _)| &other.id == need).is_some_and(|(_, at)| {
                            at.lets_others_start() || at.is_open() || at.phase == StepPhase::Waiting
                        });
                        ok.then_some(latest.max(span.to))
                    }
                    None => steps
                        .iter()
                        .any(|(other, at)| &other.id == need && at.lets_others_start())
                        .then_some(latest),
                })
            };
            // The one that can begin first; the plan's order among equals.
            let Some((index, from)) = waiting
                .iter()
                .enumerate()
                .filter_map(|(index, step)| ready(step).map(|from| (index, from)))
                .min_by_key(|(index, from)| (*from, *index))
            else {
                break;
            };
            let (step, _) = waiting.remove(index);
            let usual = estimate(step);
            known &= usual.is_some();
            let place = places.iter_mut().min_by_key(|free| **free);
            let from = place.as_ref().map_or(from, |free| from.max(**free));
            let to = from.saturating_add(usual.map_or(0, |usual| usual.0));
            if let Some(free) = place {
                *free = to;
            }
            spans.insert(step.id.clone(), Span { from, now: from, to, begun: false });
        }
    }

    let left = {
        let end = spans.values().map(|span| span.to).max().unwrap_or(0);
        (open && known && !spans.is_empty()).then(|| end.saturating_sub(elapsed))
    };
    let elapsed = without_idle(&mut spans, elapsed);
    let end = spans.values().map(|span| span.to).max().unwrap_or(0);
    let mut critical = BTreeSet::new();
    let mut at = spans.iter().max_by_key(|(_, span)| span.to).map(|(id, _)| id.clone());
    while let Some(id) = at {
        let needs = steps.iter().find(|(step, _)| step.id == id).map(|(step, _)| step.needs.clone());
        critical.insert(id);
        at = needs
            .into_iter()
            .flatten()
            .filter_map(|need| spans.get(&need).map(|span| (span.to, need)))
            .max()
            .map(|(_, need)| need);
    }
    Schedule { spans, length: end.max(if open { elapsed } else { 0 }).max(1), critical, left }
}

/// Takes out of the axis what passed while nothing was done: between a failure and its retry may lie a night, and
/// the bars of both would vanish beside it. Returns where `now` is then.
fn without_idle(spans: &mut BTreeMap<StepId, Span>, now: u64) -> u64 {
    let mut busy: Vec<(u64, u64)> =
        spans.values().filter(|span| span.begun).map(|span| (span.from, span.now)).collect();
    busy.push((now, now));
    busy.sort_unstable();
    let mut idle = Vec::new();
    let mut until = 0;
    for (from, to) in busy {
        if from > until + IDLE {
            idle.push((until, from));
        }
        until = until.max(to);
    }
    // An end in the middle of idle time is only foretold, and then begins after it.
    let place = |at: u64| {
        at - idle.iter().map(|(from, to)| (*to).min(at).saturating_sub((*from).min(at))).sum::<u64>()
    };
    for span in spans.values_mut() {
        (span.from, span.now, span.to) = (place(span.from), place(span.now), place(span.to));
    }
    place(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_between_failure_and_retry_is_no_part_of_the_axis() {
        let night = 10 * 3_600_000;
        let span = |from, now, to, begun| Span { from, now, to, begun };
        let mut spans = BTreeMap::from([
            ("install".into(), span(0, 1_000, 1_000, true)),
            ("test".into(), span(night, night + 4_000, night + 9_000, true)),
            ("check".into(), span(1_500, 3_000, 3_000, true)),
            ("drift".into(), span(night + 4_000, night + 4_000, night + 6_000, false)),
        ]);
        assert_eq!(without_idle(&mut spans, night + 4_000), 7_000);
        assert_eq!(spans[&StepId::from("check")], span(1_500, 3_000, 3_000, true));
        assert_eq!(spans[&StepId::from("test")], span(3_000, 7_000, 12_000, true));
        assert_eq!(spans[&StepId::from("drift")], span(7_000, 7_000, 9_000, false));
    }

    #[test]
    fn a_run_that_is_not_known_has_an_empty_axis() {
        let schedule = schedule(&State::default(), RunId(1), Timestamp(0));
        assert_eq!(schedule.length, 1);
        assert!(schedule.spans.is_empty());
    }
}
