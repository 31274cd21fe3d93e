//! One line a happening, for people: the journal of a run as it is written.

use super::line;
use super::style::{Mark, Style};
use crate::domain::event::{Envelope, Event};
use crate::domain::finding::Finding;
use crate::domain::ids::{AttemptKey, RunId, StepId};
use crate::domain::plan::Plan;
use crate::domain::release::Release;
use crate::domain::state::{RunEnd, State, StepPhase};
use crate::domain::time::{Millis, Timestamp};

/// Folds the stream into lines about one run.
#[derive(Debug)]
pub struct Printer {
    style: Style,
    run: RunId,
    state: State,
    /// Added to the commands that are suggested, e.g. ` --repository /srv/shop`; empty in the repository.
    place: String,
}

impl Printer {
    /// A printer for a run that goes on from a state. `place` is added to the commands that are suggested.
    #[must_use]
    pub const fn new(style: Style, run: RunId, state: State, place: String) -> Self {
        Self { style, run, state, place }
    }

    /// What is known so far.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Goes on from another state: a fresh snapshot after a broken connection.
    pub fn resume(&mut self, state: State) {
        self.state = state;
    }

    /// Folds a row in; what it says about the run, as lines. A row that was folded in before says nothing.
    pub fn feed(&mut self, envelope: &Envelope) -> Vec<String> {
        if envelope.seq <= self.state.seq {
            return Vec::new();
        }
        let before = self.started_at(envelope);
        self.state.apply(envelope);
        match (&envelope.event, envelope.event.run()) {
            (Event::EngineStarted { version }, _) => {
                let text =
                    format!("the engine was started anew (towpath {version}); open steps are looked after");
                vec![self.line(envelope.at, Mark::Note, &text)]
            }
            (_, Some(run)) if run == self.run => self.lines(envelope, before),
            _ => Vec::new(),
        }
    }

    /// The moment the attempt that this row is about was started, as far as was known before it.
    fn started_at(&self, envelope: &Envelope) -> Option<Timestamp> {
        let (Event::StepFinished { key, .. } | Event::StepStarted { key }) = &envelope.event else {
            return None;
        };
        let step = self.state.runs.get(&self.run)?.steps.get(&key.step)?;
        if step.attempt == key.attempt { step.started } else { None }
    }

    fn lines(&self, envelope: &Envelope, started: Option<Timestamp>) -> Vec<String> {
        let at = envelope.at;
        match &envelope.event {
            Event::RunQueued { run, commit, followed, .. } => {
                let by = if *followed {
                    "for the followed branch".to_owned()
                } else {
                    format!("by {}", envelope.actor)
                };
                let subject = crate::print::style::visible(&commit.subject);
                let text = format!("run {run} queued · {} “{subject}” · {by}", commit.id.short());
                vec![self.line(at, Mark::Waiting, &text)]
            }
            Event::RunStarted { run } => vec![self.line(at, Mark::Running, &format!("run {run} started"))],
            Event::RunPlanned { plan, findings, .. } => self.planned(at, plan, findings),
            Event::RunUnplannable { run, cause } => {
                let headline = format!("run {run} cannot be planned: {}", cause.summary);
                line::cause(&self.style, at, &headline, cause)
            }
            Event::RunSuperseded { run, by } => {
                vec![self.line(
                    at,
                    Mark::Skipped,
                    &format!("run {run} is superseded by run {by}, of a newer commit"),
                )]
            }
            Event::RunHeld { run, waits_for } => self.held(at, *run, waits_for),
            Event::RunCancelled { run, now } => {
                let how = if *now { "now" } else { "after the running steps" };
                let text = format!("run {run} is cancelled by {}; it stops {how}", envelope.actor);
                vec![self.line(at, Mark::Stopped, &text)]
            }
            Event::StepRetried { run, step } => {
                let text =
                    format!("run {run} goes on: {step} is to be tried again (asked by {})", envelope.actor);
                vec![self.line(at, Mark::Waiting, &text)]
            }
            Event::RunFinished { run, end } => vec![self.finished(at, *run, *end)],
            // A new engine found it and looks after it: nothing was started twice.
            Event::StepStarted { key } if started.is_some() => {
                vec![self.line(at, Mark::Running, &format!("{} is looked after again", key.step))]
            }
            Event::StepStarted { key } => {
                let estimate = self.state.estimate(&key.step);
                vec![self.line(at, Mark::Running, &line::step_started(&key.step, key.attempt, estimate))]
            }
            Event::StepTimedOut { key } => {
                let text = line::step_timed_out(&key.step, self.timeout(key));
                vec![self.line(at, Mark::Warn, &text)]
            }
            Event::StepFinished { key, verdict, output } => {
                let took = started.map(|started| at.since(started));
                let words = (&*self.acknowledge(&key.step), &*self.look(&key.step));
                line::step_finished(&self.style, at, &key.step, (verdict, output), took, words)
            }
            Event::StepAcknowledged { step, reason, .. } => {
                let reason = super::style::visible(reason);
                let text = format!("{step} acknowledged by {}: {reason}", envelope.actor);
                vec![self.line(at, Mark::Warn, &text)]
            }
            Event::ReleaseCreated { release } => vec![self.line(at, Mark::Good, &release_text(release))],
            _ => Vec::new(),
        }
    }

    fn planned(&self, at: Timestamp, plan: &Plan, findings: &[Finding]) -> Vec<String> {
        let mut lines = line::planned(&self.style, at, plan);
        lines.extend(findings.iter().flat_map(|finding| line::finding(&self.style, finding)));
        lines
    }

    fn timeout(&self, key: &AttemptKey) -> Option<Millis> {
        let run = self.state.runs.get(&self.run)?;
        Some(run.plan.as_ref()?.step(&key.step)?.timeout)
    }

    fn held(&self, at: Timestamp, run: RunId, waits_for: &[StepId]) -> Vec<String> {
        let names: Vec<&str> = waits_for.iter().map(StepId::as_str).collect();
        let text =
            format!("run {run} is held: {} could not be checked and waits for a person", names.join(", "));
        let mut lines = vec![self.line(at, Mark::Warn, &text)];
        for step in waits_for {
            if let Some(reason) = self.reason_of(step) {
                lines.push(self.indented(&format!("{step}: {reason}")));
            }
            lines.push(self.indented(&format!("to accept it: {}", self.acknowledge(step))));
            lines.push(self.indented(&format!("to try again: towpath retry {run} {step}{}", self.place)));
        }
        lines
    }

    fn reason_of(&self, step: &StepId) -> Option<&str> {
        match &self.state.runs.get(&self.run)?.steps.get(step)?.phase {
            StepPhase::Inconclusive { reason } => Some(reason),
            _ => None,
        }
    }

    /// The command that accepts an inconclusive check.
    fn acknowledge(&self, step: &StepId) -> String {
        format!("towpath ack {} {step} --reason \"…\"{}", self.run, self.place)
    }

    /// The commands that look at a failed step.
    fn look(&self, step: &StepId) -> String {
        let (run, place) = (self.run, &self.place);
        format!("towpath shell {run} {step}{place} · towpath bundle {run} {step}{place}")
    }

    fn finished(&self, at: Timestamp, run: RunId, end: RunEnd) -> String {
        let known = self.state.runs.get(&run);
        let took = known.and_then(|known| Some(at.since(known.started?)));
        let took = took.map(|took| format!(" after {took}")).unwrap_or_default();
        match end {
            RunEnd::Passed { release: Some(release) } => {
                self.line(at, Mark::Good, &format!("run {run} passed{took} · release {release}"))
            }
            RunEnd::Passed { release: None } => self.line(at, Mark::Good, &format!("run {run} passed{took}")),
            RunEnd::Failed => {
                let first = known.and_then(|known| known.failed.as_ref());
                let first = first.map(|(step, _)| format!(" · {step} failed first")).unwrap_or_default();
                self.line(at, Mark::Bad, &format!("run {run} failed{took}{first}"))
            }
            RunEnd::Cancelled => self.line(at, Mark::Stopped, &format!("run {run} was cancelled{took}")),
            RunEnd::Superseded { by } => {
                self.line(at, Mark::Skipped, &format!("run {run} gave way to run {by}, of a newer commit"))
            }
        }
    }

    fn line(&self, at: Timestamp, mark: Mark, text: &str) -> String {
        line::line(&self.style, at, mark, text)
    }

    fn indented(&self, text: &str) -> String {
        line::indented(&self.style, text)
    }
}

/// A release in a line.
#[must_use]
pub fn release_text(release: &Release) -> String {
    let version = release.version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
    let artifact = &release.artifact;
    format!(
        "release {}{version} · {} · {}, {}",
        release.number,
        artifact.id.short(),
        artifact.parts(),
        bytes(artifact.bytes)
    )
}

/// Bytes as people read them: `812 B`, `4.2 kB`, `31.0 MB` (powers of 1000).
#[must_use]
pub fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    let mut tenths = u128::from(count) * 10;
    if count < 1000 {
        return format!("{count} B");
    }
    let mut name = "B";
    for unit in units {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1000;
        name = unit;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests;
