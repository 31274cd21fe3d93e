//! One-shot outside work as tasks. Each ends with exactly one input to the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::core::Engine;
use super::deployments::{lease_of, project_name};
use super::{log, prepare};
use crate::domain::command::CommitFacts;
use crate::domain::decide::Input;
use crate::domain::effect::{Effect, Found, Outcome};
use crate::domain::ids::{AttemptKey, DeploymentId, Owner, ReplicaKey};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::release::Release;
use crate::domain::state::{DeploymentKind, Run, State};
use crate::runtime::attempt::{self, Spec};
use crate::runtime::deploy::{Deploy, observe};
use crate::runtime::fleet::{Fleet, Member};
use crate::runtime::{OWN_PROGRAM, environment};
use crate::store::layout::Layout;

/// How long asking for a lease may take: its file may be locked by somebody else for one write, its engines may be
/// far away.
const LEASE: Duration = Duration::from_secs(30);
/// How long a look at what is live may take; it has its own patience, this only ends what would never end.
const OBSERVE: Duration = Duration::from_secs(60);

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
            // A run's step never gets what a deployment's secrets are taken from.
            let secrets = match key.owner {
                Owner::Deployment(_) => engine.secret_variables(),
                Owner::Run(_) => BTreeMap::new(),
            };
            tokio::spawn(async move {
                let dir = layout.attempt(&key);
                let (verdict, output) = match attend(dir, spec, secrets).await {
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
        Effect::AcquireLease { environment, deployment } => {
            let (lease, asker) = (engine.lease(&environment, deployment), engine.asker());
            tokio::spawn(async move {
                let had = tokio::time::timeout(LEASE, lease.acquire(&asker, deployment)).await;
                let lease = match had {
                    Ok(had) => had.map_err(|denied| denied.to_string()),
                    Err(_) => Err(format!("nobody answered within {} seconds", LEASE.as_secs())),
                };
                send(Outcome::Lease { deployment, lease }).await;
            });
        }
        Effect::BreakLease { environment, who, since } => {
            let (lease, asker) = (engine.newest_lease(&environment), engine.asker());
            tokio::spawn(async move {
                let broken = tokio::time::timeout(LEASE, lease.break_seen(&asker, &who, since)).await;
                let done = match broken {
                    Ok(broken) => broken.map_err(|denied| denied.to_string()),
                    Err(_) => Err(format!("nobody answered within {} seconds", LEASE.as_secs())),
                };
                send(Outcome::LeaseBreak { environment, done }).await;
            });
        }
        Effect::ObserveEnvironment { environment, deployment } => {
            let settings = engine.settings_of(deployment);
            let running: Vec<ReplicaKey> = engine.state.running(&environment).into_iter().collect();
            let members = engine_members(&engine.state, &engine.state.running(&environment));
            let hosts: Vec<_> = members.into_iter().map(|member| (member.key, member.host)).collect();
            let project = project_name(&engine.state);
            let home = layout.repository.join(&layout.root);
            let traffic = engine.state.traffic(&environment);
            let given: Vec<DeploymentId> = traffic.iter().filter_map(|share| share.replicas.of).collect();
            tokio::spawn(async move {
                let directory = layout.environment(&environment);
                let fleet = Fleet::new(&project, &environment, &directory, &home, hosts);
                let look = observe::live(&settings, &fleet, &running, &given);
                let live = tokio::time::timeout(OBSERVE, look).await.ok().flatten();
                send(Outcome::EnvironmentObserved { environment, deployment, live }).await;
            });
        }
    }
}

async fn attend(
    dir: PathBuf,
    spec: Option<Spec>,
    secrets: BTreeMap<String, String>,
) -> anyhow::Result<(Verdict, Output)> {
    if let Some(spec) = spec {
        let at = dir.clone();
        tokio::task::spawn_blocking(move || attempt::prepare(&at, &spec)).await??;
    }
    let report = attempt::attend(&dir, Path::new(OWN_PROGRAM), &secrets).await?;
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
    let number = match key.owner {
        Owner::Run(number) => number,
        Owner::Deployment(number) => return deployment_spec(state, layout, key, number),
    };
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
        home: layout.repository.join(&layout.root),
        artifacts: layout.artifacts(),
        cache: layout.cache.clone(),
        redact: Vec::new(),
        deploy: None,
        env: environment::allowed_without(&state.secret_variables(), std::env::vars()),
    })
}

/// The same of a deployment's step: which release, where, under which lease, beside what.
fn deployment_spec(state: &State, layout: &Layout, key: &AttemptKey, number: DeploymentId) -> Option<Spec> {
    let deployment = state.deployments.get(&number)?;
    let release = state.releases.get(&deployment.release)?;
    let step = deployment.plan.step(&key.step)?.clone();
    let inputs = deployment.steps.iter().map(|(step, state)| (step.clone(), state.output.clone())).collect();
    let directory = layout.environment(&deployment.environment);
    let running = state.running(&deployment.environment);
    let release_of = |key: &ReplicaKey| state.deployments.get(&key.deployment).map(|one| one.release);
    let mut static_files: Vec<(DeploymentId, PathBuf)> = Vec::new();
    for key in &running {
        let known = static_files.iter().any(|(deployment, _)| *deployment == key.deployment);
        let release = release_of(key).and_then(|release| state.releases.get(&release));
        if let Some(Release { artifact, serving, .. }) = release.filter(|_| !known)
            && let Some(files) = &serving.static_files
        {
            static_files.push((key.deployment, Path::new(&artifact.location).join(files)));
        }
    }
    Some(Spec {
        v: attempt::VERSION,
        key: key.clone(),
        step,
        commit: commit_of(state, release),
        inputs,
        mirror: layout.mirror(),
        home: layout.repository.join(&layout.root),
        artifacts: layout.artifacts(),
        cache: layout.cache.clone(),
        redact: Vec::new(),
        deploy: Some(Box::new(Deploy {
            project: project_name(state),
            environment: deployment.environment.clone(),
            deployment: number,
            settings: deployment.settings.clone(),
            serving: release.serving.clone(),
            goes_back: matches!(deployment.kind, DeploymentKind::Rollback { .. }),
            version: release.version.clone(),
            lease: lease_of(state, layout, &deployment.settings, &deployment.environment),
            directory,
            root: layout.root.clone(),
            home: layout.repository.join(&layout.root),
            epoch: deployment.lease?,
            running: engine_members(state, &running),
            static_files,
        })),
        env: environment::allowed(std::env::vars()),
    })
}

/// Replicas with where they are.
fn engine_members(state: &State, keys: &BTreeSet<ReplicaKey>) -> Vec<Member> {
    let member = |key: &ReplicaKey| {
        let deployment = state.deployments.get(&key.deployment)?;
        let host = deployment.settings.host_of(key.index).cloned();
        Some(Member { key: key.clone(), release: deployment.release, host })
    };
    keys.iter().filter_map(member).collect()
}

/// The commit of a release, also where its run is forgotten.
fn commit_of(state: &State, release: &Release) -> CommitFacts {
    let known = state.runs.get(&release.run).map(|run| run.commit.clone());
    known.unwrap_or_else(|| CommitFacts {
        id: release.commit.clone(),
        subject: release.subject.clone(),
        author: String::new(),
        authored: release.created,
        tags: Vec::new(),
        branches: Vec::new(),
    })
}
