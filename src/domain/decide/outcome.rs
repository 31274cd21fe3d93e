//! What follows when outside work ends.

use super::{Draft, deployment, run};
use crate::domain::command::CommitFacts;
use crate::domain::effect::{Found, Outcome};
use crate::domain::event::Event;
use crate::domain::finding::Finding;
use crate::domain::ids::{AttemptKey, Owner, RunId};
use crate::domain::plan::{Cause, Output, Plan, Verdict};
use crate::domain::state::{DeploymentPhase, RunEnd, RunPhase, State, StepPhase, StepState};
use crate::domain::time::Millis;

pub(super) fn decides(draft: &mut Draft, outcome: Outcome) {
    match outcome {
        Outcome::EngineStarted { version } => draft.write(Event::EngineStarted { version }),
        Outcome::ProjectLoaded { project, config } => {
            if draft.state.config != config || draft.state.project.as_ref() != Some(project.as_ref()) {
                draft.write(Event::ProjectLoaded { project, config });
            }
        }
        Outcome::BranchSeen { branch, commit } => branch_seen(draft, branch, commit),
        Outcome::BranchNotSeen { branch, why } => {
            if draft.state.unseen.get(&branch) != Some(&why) {
                draft.write(Event::BranchNotSeen { branch, why });
            }
        }
        Outcome::Prepared { run, plan } => prepared(draft, run, plan),
        Outcome::Finished { key, verdict, output } => finished(draft, key, verdict, *output),
        Outcome::Observed { key, found } => observed(draft, key, found),
        Outcome::KeptRemoved { key } if draft.state.kept.iter().any(|kept| kept.key == key) => {
            draft.write(Event::KeptRemoved { key });
        }
        Outcome::KeptRemoved { .. } => {}
        // Once: an engine that is started again asks again.
        Outcome::LeaseBreak { environment, done } if draft.state.lease_breaks.contains_key(&environment) => {
            draft.write(Event::LeaseBreakEnded { environment, trouble: done.err() });
        }
        Outcome::LeaseBreak { .. } => {}
        Outcome::Lease { deployment, lease } => deployment::leased(draft, deployment, lease),
        Outcome::EnvironmentObserved { environment, deployment, live } => {
            deployment::observed(draft, environment, deployment, live);
        }
    }
}

/// The first sight of a branch is where we come in; every later change is a new commit to walk.
fn branch_seen(draft: &mut Draft, branch: String, commit: CommitFacts) {
    let before = draft.state.branches.get(&branch);
    if before == Some(&commit.id) && !draft.state.unseen.contains_key(&branch) {
        return;
    }
    let has_run = draft.state.runs.values().any(|run| run.commit.id == commit.id);
    let is_new = before.is_some_and(|before| before != &commit.id) && !has_run;
    draft.write(Event::BranchSeen { branch, commit: commit.clone() });
    if is_new {
        run::queue(draft, commit, None, true);
    }
}

fn prepared(draft: &mut Draft, run: RunId, plan: Result<(Plan, Vec<Finding>), Cause>) {
    let phase = draft.state.runs.get(&run).map(|run| run.phase);
    if phase != Some(RunPhase::Preparing) {
        return;
    }
    match plan {
        Ok((plan, findings)) => draft.write(Event::RunPlanned { run, plan, findings }),
        Err(cause) => {
            draft.write(Event::RunUnplannable { run, cause });
            draft.write(Event::RunFinished { run, end: RunEnd::Failed });
        }
    }
}

fn finished(draft: &mut Draft, key: AttemptKey, verdict: Verdict, output: Output) {
    let Some(state) = open_attempt(&draft.state, &key) else { return };
    let verdict = match verdict {
        Verdict::Cancelled if state.timed_out => Verdict::Failed(timed_out(&draft.state, &key, &output)),
        other => other,
    };
    draft.write(Event::StepFinished { key, verdict, output });
}

fn timed_out(state: &State, key: &AttemptKey, output: &Output) -> Cause {
    let plan = match key.owner {
        Owner::Run(run) => state.runs.get(&run).and_then(|run| run.plan.as_ref()),
        Owner::Deployment(number) => state.deployments.get(&number).map(|deployment| &deployment.plan),
    };
    let limit = plan.and_then(|plan| plan.step(&key.step)).map_or(Millis(0), |step| step.timeout);
    Cause {
        summary: format!("{} did not end within {limit}", key.step),
        expected: format!("an end within {limit}"),
        measured: format!("still running after {limit}; it was stopped"),
        exit_code: None,
        last_lines: output.tail.clone(),
        cure:
            "See what it was doing last; give it more time with `timeout` in towpath.toml if it is only slow."
                .to_owned(),
    }
}

fn observed(draft: &mut Draft, key: AttemptKey, found: Found) {
    let Some(state) = open_attempt(&draft.state, &key) else { return };
    if state.phase != StepPhase::Observing {
        return;
    }
    match found {
        Found::Finished { verdict, output } => finished(draft, key, verdict, *output),
        // The same attempt goes on: an attempt starts at most once, whoever asks.
        Found::Open => draft.write(Event::StepStarted { key }),
        Found::Lost => {
            let verdict = Verdict::Failed(lost());
            let again = key.attempt.saturating_add(1);
            draft.write(Event::StepFinished { key: key.clone(), verdict, output: Output::default() });
            if lets_steps_start(&draft.state, key.owner) {
                draft.write(Event::StepStarted { key: AttemptKey { attempt: again, ..key } });
            }
        }
    }
}

fn lost() -> Cause {
    Cause {
        summary: "the attempt was lost: its process died without a word".to_owned(),
        expected: "a result, or a living process".to_owned(),
        measured: "neither (the machine was restarted, or the process was killed)".to_owned(),
        cure: "Nothing of it was kept; it is done again.".to_owned(),
        ..Cause::default()
    }
}

fn lets_steps_start(state: &State, owner: Owner) -> bool {
    match owner {
        Owner::Run(run) => state.runs.get(&run).is_some_and(|run| run.phase == RunPhase::Running),
        Owner::Deployment(number) => state
            .deployments
            .get(&number)
            .is_some_and(|deployment| deployment.phase == DeploymentPhase::Running),
    }
}

pub(super) fn deadline(draft: &mut Draft, key: AttemptKey) {
    if open_attempt(&draft.state, &key).is_some_and(|state| !state.timed_out) {
        draft.write(Event::StepTimedOut { key });
    }
}

/// The step's state, where this attempt is its current one and has not ended.
fn open_attempt<'a>(state: &'a State, key: &AttemptKey) -> Option<&'a StepState> {
    let steps = match key.owner {
        Owner::Run(run) => state.runs.get(&run).map(|run| &run.steps),
        Owner::Deployment(number) => state.deployments.get(&number).map(|deployment| &deployment.steps),
    };
    steps?.get(&key.step).filter(|step| step.is_open() && step.attempt == key.attempt)
}
