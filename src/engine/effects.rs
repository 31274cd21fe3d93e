//! One-shot outside work as tasks. Each ends with exactly one input to the loop.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::core::Engine;
use super::{OWN_PROGRAM, log, prepare};
use crate::domain::decide::Input;
use crate::domain::effect::{Effect, Found, Outcome};
use crate::domain::ids::{AttemptKey, Owner};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::state::{Run, State};
use crate::runtime::attempt::{self, Spec};
use crate::runtime::environment;
use crate::store::layout::Layout;

/// Starts the task of an effect.
pub(super) fn begin(engine: &Engine, effect: Effect) {
    let layout = Arc::clone(&engine.layout);
    let inputs = engine.inputs.clone();
    let send = move |outcome: Outcome| {
        let inputs = inputs.clone();
        async move {
            // A loop that is gone needs no outcome: the next engine observes.
            let _ = inputs.send(Input::Outcome(outcome)).await;
        }
    };
    match effect {
        Effect::Prepare { run, commit } => {
            let until = engine.state.runs.get(&run).and_then(|run| run.until.clone());
            let mirror = Arc::clone(&engine.mirror);
            tokio::spawn(async move {
                let plan = prepare::plan(layout, mirror, commit, until).await;
                send(Outcome::Prepared { run, plan }).await;
            });
        }
        Effect::Attempt { key } => {
            let spec = spec(&engine.state, &layout, &key);
            tokio::spawn(async move {
                let dir = layout.attempt(&key);
                let (verdict, output) = match attend(dir, spec).await {
                    Ok(ended) => ended,
                    Err(error) => (Verdict::Failed(engine_trouble(&key, &error)), Output::default()),
                };
                send(Outcome::Finished { key, verdict, output: Box::new(output) }).await;
            });
        }
        Effect::Observe { key } => {
            tokio::spawn(async move {
                let dir = layout.attempt(&key);
                let found = tokio::task::spawn_blocking(move || attempt::observe(&dir)).await;
                let found = match found {
                    Ok(Ok(found)) => found,
                    Ok(Err(error)) => {
                        log(&format!("{key} could not be observed: {error:#}"));
                        Found::Lost
                    }
                    Err(_) => Found::Lost,
                };
                send(Outcome::Observed { key, found }).await;
            });
        }
        Effect::Stop { key } => {
            // Its outcome is the attempt's own.
            tokio::spawn(async move {
                if let Err(error) = attempt::stop(&layout.attempt(&key)).await {
                    log(&format!("{key} could not be stopped: {error:#}"));
                }
            });
        }
        Effect::AcquireLease { deployment, .. } => {
            tokio::spawn(send(Outcome::Lease {
                deployment,
                lease: Err("this version of Towpath has no runtime that deploys".to_owned()),
            }));
        }
        Effect::ObserveEnvironment { environment, deployment } => {
            tokio::spawn(send(Outcome::EnvironmentObserved { environment, deployment, live: None }));
        }
    }
}

async fn attend(dir: PathBuf, spec: Option<Spec>) -> anyhow::Result<(Verdict, Output)> {
    if let Some(spec) = spec {
        let at = dir.clone();
        tokio::task::spawn_blocking(move || attempt::prepare(&at, &spec)).await??;
    }
    let report = attempt::attend(&dir, Path::new(OWN_PROGRAM)).await?;
    Ok((report.verdict, report.output))
}

fn engine_trouble(key: &AttemptKey, error: &anyhow::Error) -> Cause {
    Cause {
        summary: format!("{} could not be started", key.step),
        expected: "a worker process for the step".to_owned(),
        measured: format!("{error:#}"),
        cure: "See that the disk has room and that the state directory is yours, then retry the step."
            .to_owned(),
        ..Cause::default()
    }
}

/// What a worker needs to know; `None` when the step is not known, which no open attempt's is.
fn spec(state: &State, layout: &Layout, key: &AttemptKey) -> Option<Spec> {
    let Owner::Run(number) = key.owner else { return None };
    let Run { commit, plan, steps, .. } = state.runs.get(&number)?;
    let step = plan.as_ref()?.step(&key.step)?.clone();
    let inputs = steps.iter().map(|(step, state)| (step.clone(), state.output.clone())).collect();
    Some(Spec {
        v: attempt::VERSION,
        key: key.clone(),
        step,
        commit: commit.clone(),
        inputs,
        mirror: layout.mirror(),
        artifacts: layout.artifacts(),
        cache: layout.cache.clone(),
        redact: Vec::new(),
        deploy: None,
        env: environment::allowed(std::env::vars()),
    })
}
