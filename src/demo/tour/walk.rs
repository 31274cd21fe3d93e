//! The connection to the engine, and what every station does with it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::cli::failure::{Failure, Sort};
use crate::cli::session;
use crate::demo::load::{Load, Visitors};
use crate::demo::stack::Stack;
use crate::demo::{Place, Teller, project};
use crate::domain::command::{Command, Promote};
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{AttemptKey, DeploymentId, EnvironmentName, Owner, ReleaseNumber, RunId, StepId};
use crate::domain::plan::Verdict;
use crate::domain::project::Strategy;
use crate::domain::query::{Answer, Query};
use crate::domain::state::{DeploymentPhase, Ending, RunEnd, RunPhase, State, StepPhase, StepState};
use crate::router::nginx::label;
use crate::store::layout::Layout;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// How long a pipeline may take: its first install fetches everything.
const PIPELINE: Duration = Duration::from_secs(30 * 60);
/// How long a deployment may take.
pub(super) const DEPLOYMENT: Duration = Duration::from_secs(15 * 60);
/// How long anything else may.
pub(super) const SHORTLY: Duration = Duration::from_secs(60);
/// How often an engine is looked for that has just been killed.
const RECONNECTS: u32 = 20;

/// What visitors ask, in turn: mostly what is cheap, for what is measured is the way there; each shelf and the home
/// page too, for what a release does to them.
const PATHS: [&str; 16] = [
    "/version",
    "/version",
    "/version",
    "/shelves/tea/",
    "/version",
    "/version",
    "/version",
    "/shelves/nuts/",
    "/version",
    "/version",
    "/version",
    "/version",
    "/version",
    "/shelves/spices/",
    "/version",
    "/",
];

/// A walk through the story.
pub(super) struct Walk<'a> {
    pub(super) place: Place,
    pub(super) stack: Stack,
    pub(super) layout: Layout,
    pub(super) client: Client,
    pub(super) state: State,
    stream: mpsc::Receiver<FromEngine>,
    pub(super) teller: Teller<'a>,
}

impl<'a> Walk<'a> {
    pub(super) async fn begin(place: Place, stack: Stack, teller: Teller<'a>) -> Result<Self, Failure> {
        let layout = place.layout()?;
        let client = session::connect(&layout, "tour").await?;
        let (state, stream) = session::attach(&client).await?;
        Ok(Self { place, stack, layout, client, state, stream, teller })
    }

    /// Follows what happens until something is so.
    pub(super) async fn until<T>(
        &mut self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, Failure> {
        let until = tokio::time::Instant::now() + limit;
        loop {
            if let Some(found) = look(&self.state) {
                return Ok(found);
            }
            match tokio::time::timeout_at(until, self.stream.recv()).await {
                Err(_) => {
                    let message =
                        format!("Expected: {what}. Measured: nothing of it within {} s.", limit.as_secs());
                    return Err(Failure::new(Sort::StepFailed, message, ""));
                }
                Ok(Some(FromEngine::Happened { envelope })) => self.happened(&envelope)?,
                Ok(Some(FromEngine::Snapshot { state })) => self.state = *state,
                Ok(Some(_)) => {}
                Ok(None) => self.reconnect().await?,
            }
        }
    }

    fn happened(&mut self, envelope: &Envelope) -> Result<(), Failure> {
        if envelope.seq <= self.state.seq {
            return Ok(());
        }
        self.state.apply(envelope);
        let Event::StepFinished { key, verdict, output } = &envelope.event else { return Ok(()) };
        let took = self.step(key).and_then(|step| Some(step.ended?.since(step.started?)));
        let took = took.map(|took| format!("  {took}")).unwrap_or_default();
        let how = match verdict {
            Verdict::Passed => "passed".to_owned(),
            Verdict::Failed(cause) => format!("FAILED: {}", cause.summary),
            Verdict::Inconclusive { reason } => format!("inconclusive: {reason}"),
            Verdict::Cancelled => "stopped".to_owned(),
        };
        let who = match key.owner {
            Owner::Run(run) => format!("run {run}"),
            Owner::Deployment(deployment) => match self.state.deployments.get(&deployment) {
                Some(found) => format!("{} {deployment}", found.environment),
                None => deployment.to_string(),
            },
        };
        let facts = output.facts.join(" · ");
        let facts = if facts.is_empty() { facts } else { format!("  {facts}") };
        let line = crate::print::style::visible_lines(&format!("    {who}: {} {how}{took}{facts}", key.step));
        self.teller.say(&line)
    }

    pub(super) fn step(&self, key: &AttemptKey) -> Option<&StepState> {
        match key.owner {
            Owner::Run(run) => self.state.runs.get(&run)?.steps.get(&key.step),
            Owner::Deployment(deployment) => self.state.deployments.get(&deployment)?.steps.get(&key.step),
        }
    }

    /// The engine is gone: another one is found, or started.
    pub(super) async fn reconnect(&mut self) -> Result<(), Failure> {
        let mut told = None;
        for _ in 0..RECONNECTS {
            match session::connect(&self.layout, "tour").await {
                Ok(client) => {
                    (self.state, self.stream) = session::attach(&client).await?;
                    self.client = client;
                    return Ok(());
                }
                Err(failure) => told = Some(failure),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(told.unwrap_or_else(|| Failure::unexpected("a new connection")))
    }

    /// Walks a commit through the pipeline. Checks that could not do their work here are acknowledged, and said.
    pub(super) async fn pipeline(&mut self, tag: &str) -> Result<(ReleaseNumber, Vec<String>), Failure> {
        let began = Instant::now();
        let Answer::Resolved { commit } =
            session::ask(&self.client, Query::Resolve { revision: tag.to_owned() }).await?
        else {
            return Err(Failure::unexpected("what a revision means"));
        };
        self.teller.say(&format!("  $ towpath run --commit {tag}"))?;
        let rows = session::request(&self.client, Command::StartRun { commit, until: None }).await?;
        let run = rows.iter().find_map(|row| match row.event {
            Event::RunQueued { run, .. } => Some(run),
            _ => None,
        });
        let run = run.ok_or_else(|| Failure::unexpected("`start a run`"))?;
        let mut acknowledged = Vec::new();
        loop {
            let phase = self.until("the pipeline's end", PIPELINE, |state| ended_or_held(state, run)).await?;
            match phase {
                RunPhase::Ended(RunEnd::Passed { release: Some(release) }) => {
                    self.teller.took(&format!("  {tag} is release {release}"), began)?;
                    return Ok((release, acknowledged));
                }
                RunPhase::Held => {
                    for (step, reason) in self.inconclusive(run) {
                        self.teller.say(&format!(
                            "  $ towpath ack {run} {step} --reason \"not to be had here\"    ({reason})"
                        ))?;
                        let reason = format!("the demo's tour: not to be had on this machine ({reason})");
                        let command = Command::Acknowledge { run, step: step.clone(), reason };
                        session::request(&self.client, command).await?;
                        acknowledged.push(step.0);
                    }
                    self.until("the run goes on", SHORTLY, |state| {
                        (state.runs.get(&run)?.phase != RunPhase::Held).then_some(())
                    })
                    .await?;
                }
                other => {
                    let failed = self.state.runs.get(&run).and_then(|run| run.failed.clone());
                    let failed = failed.map(|(step, why)| format!("{step}: {why}")).unwrap_or_default();
                    super::check(
                        false,
                        &format!("{tag} passes its pipeline"),
                        format!("{other:?} {failed}"),
                    )?;
                }
            }
        }
    }

    fn inconclusive(&self, run: RunId) -> Vec<(StepId, String)> {
        let steps = self.state.runs.get(&run).into_iter().flat_map(|run| &run.steps);
        let waiting = steps.filter(|(_, step)| step.wants_acknowledgement());
        waiting
            .map(|(name, step)| match &step.phase {
                StepPhase::Inconclusive { reason } => (name.clone(), reason.clone()),
                _ => (name.clone(), String::new()),
            })
            .collect()
    }

    /// Promotes what would be done now: looks at the plan, then confirms it.
    pub(super) async fn promote(
        &mut self,
        environment: &str,
        release: ReleaseNumber,
    ) -> Result<DeploymentId, Failure> {
        let name = EnvironmentName::from(environment);
        let query = Query::PreviewPromotion { environment: name.clone(), release };
        let Answer::Promotion { preview } = session::ask(&self.client, query).await? else {
            return Err(Failure::unexpected("what a promotion would do"));
        };
        self.teller.say(&format!(
            "  $ towpath promote {environment} --release {} --plan {}    {} steps",
            release.0,
            preview.plan.digest.short(),
            preview.plan.steps.len()
        ))?;
        let promote = Promote {
            environment: name,
            release,
            plan: preview.plan.digest.clone(),
            seen: Some(preview.plan.parts.clone()),
            confirm: environment.to_owned(),
            reason: "the demo's tour".to_owned(),
        };
        let rows = session::request(&self.client, Command::Promote(promote)).await?;
        created(&rows)
    }

    /// Waits for a deployment's end.
    pub(super) async fn ending(&mut self, deployment: DeploymentId) -> Result<Ending, Failure> {
        let wanted = format!("the end of deployment {deployment}");
        let phase = self
            .until(&wanted, DEPLOYMENT, |state| match &state.deployments.get(&deployment)?.phase {
                phase @ (DeploymentPhase::Ended(_) | DeploymentPhase::Held { .. }) => Some(phase.clone()),
                _ => None,
            })
            .await?;
        match phase {
            DeploymentPhase::Ended(ending) => Ok(ending),
            other => {
                Err(Failure::new(Sort::StepFailed, format!("Expected: {wanted}. Measured: {other:?}."), ""))
            }
        }
    }

    /// Promotes and wants it live in the end.
    pub(super) async fn deploy(
        &mut self,
        environment: &str,
        release: ReleaseNumber,
    ) -> Result<DeploymentId, Failure> {
        let began = Instant::now();
        let deployment = self.promote(environment, release).await?;
        self.lives(deployment).await?;
        self.teller.took(&format!("  {release} is live on {environment} ({deployment})"), began)?;
        Ok(deployment)
    }

    /// Waits for a deployment's end and wants it live and verified.
    pub(super) async fn lives(&mut self, deployment: DeploymentId) -> Result<(), Failure> {
        let ending = self.ending(deployment).await?;
        super::check(
            ending == Ending::Live,
            &format!("deployment {deployment} ends live"),
            format!("{ending:?}"),
        )
    }

    /// Waits until a step of a deployment has passed; one that ends otherwise is told at once.
    pub(super) async fn passed(&mut self, deployment: DeploymentId, step: &str) -> Result<(), Failure> {
        let name = StepId::from(step);
        let ended = self
            .until(&format!("{step} of {deployment}"), DEPLOYMENT, |state| {
                let found = state.deployments.get(&deployment)?;
                let over = matches!(found.phase, DeploymentPhase::Ended(_) | DeploymentPhase::Held { .. });
                let phase = found.steps.get(&name).map(|step| step.phase.clone()).unwrap_or_default();
                let ended = !matches!(phase, StepPhase::Waiting | StepPhase::Running | StepPhase::Observing);
                (over || ended).then_some(phase)
            })
            .await?;
        super::check(
            ended == StepPhase::Passed,
            &format!("{step} of {deployment} passes"),
            format!("{ended:?}"),
        )
    }

    /// Waits until a step of a deployment has begun.
    pub(super) async fn begun(
        &mut self,
        deployment: DeploymentId,
        step: &str,
    ) -> Result<AttemptKey, Failure> {
        let name = StepId::from(step);
        let attempt = self
            .until(&format!("{step} of {deployment} begins"), DEPLOYMENT, |state| {
                let found = state.deployments.get(&deployment)?;
                let attempt = found.steps.get(&name)?.attempt;
                (attempt > 0 || matches!(found.phase, DeploymentPhase::Ended(_))).then_some(attempt)
            })
            .await?;
        super::check(attempt > 0, &format!("{step} of {deployment} begins"), "the deployment ended before")?;
        Ok(AttemptKey { owner: Owner::Deployment(deployment), step: name, attempt })
    }

    /// Rewrites the strategy's line in the working tree, and waits until the engine has read it.
    pub(super) async fn strategy(
        &mut self,
        line: &str,
        strategy: Strategy,
        bake_s: u64,
    ) -> Result<(), Failure> {
        let name = EnvironmentName::from("production");
        let is_so = |state: &State| {
            let found = state.project.as_ref()?.environments.get(&name)?;
            let window = match &strategy {
                Strategy::Canary(_) => found.canary_window(),
                _ => crate::domain::time::Millis::seconds(bake_s),
            };
            let is_so = found.strategy == strategy && window == crate::domain::time::Millis::seconds(bake_s);
            is_so.then_some(())
        };
        project::set_strategy(&self.place, "production", line)?;
        self.teller
            .say(&format!("  in the shop's towpath.toml, [environment.production]: strategy = {line}"))?;
        // A viewer that comes has the working tree read.
        (self.state, self.stream) = session::attach(&self.client).await?;
        self.until("the engine reads the working tree", SHORTLY, is_so).await
    }

    /// Visitors of production.
    pub(super) fn visitors(&self, connections: usize, think_ms: u64, phase: &str) -> Result<Load, Failure> {
        let visitors = Visitors {
            port: self.place.ports("production")?.nginx,
            connections,
            paths: PATHS.map(str::to_owned).to_vec(),
            think: Duration::from_millis(think_ms),
        };
        Load::begin(visitors, phase).map_err(|error| Failure::new(Sort::Unclear, format!("{error:#}"), ""))
    }

    /// Where an attempt's files lie.
    pub(super) fn attempt(&self, key: &AttemptKey) -> PathBuf {
        self.layout.attempt(key)
    }

    /// What is live on an environment.
    pub(super) fn live(&self, environment: &str) -> Result<(DeploymentId, ReleaseNumber), Failure> {
        let live = self.state.live(&EnvironmentName::from(environment));
        live.map(|(number, live)| (number, live.release))
            .ok_or_else(|| Failure::new(Sort::StepFailed, format!("Nothing is live on {environment}."), ""))
    }
}

fn ended_or_held(state: &State, run: RunId) -> Option<RunPhase> {
    let phase = state.runs.get(&run)?.phase;
    matches!(phase, RunPhase::Ended(_) | RunPhase::Held).then_some(phase)
}

/// The deployment that a command has made.
pub(super) fn created(rows: &[Envelope]) -> Result<DeploymentId, Failure> {
    let created = rows.iter().find_map(|row| match row.event {
        Event::DeploymentCreated { deployment, .. } => Some(deployment),
        _ => None,
    });
    created.ok_or_else(|| Failure::unexpected("a deployment"))
}

/// As nginx's header names a deployment.
pub(super) fn named(deployment: DeploymentId) -> String {
    label(deployment)
}

/// Waits until visitors have seen something, or it takes too long.
pub(super) async fn seen(
    load: &Load,
    what: &str,
    limit: Duration,
    is_so: impl Fn(&crate::demo::load::Counted) -> bool,
) -> Result<(), Failure> {
    let until = Instant::now() + limit;
    while !is_so(&load.counted()) {
        if Instant::now() > until {
            let all = load.counted().all();
            let measured = format!("{} requests, {} failed, by {:?}", all.requests(), all.failed(), all.by);
            return super::check(false, what, measured);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
