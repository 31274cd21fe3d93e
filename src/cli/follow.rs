//! A deployment being watched: from the command that begins it, or that it goes on with, until it has ended or is
//! held. What takes it back is watched too.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::departure::Departure;
use super::failure::{Failure, Sort};
use super::output::{Output, note};
use super::{Invocation, session};
use crate::domain::command::Command;
use crate::domain::event::{Envelope, Event};
use crate::domain::health::{BakeReport, Sample};
use crate::domain::ids::{AttemptKey, DeploymentId, Owner, Seq};
use crate::domain::query::{Answer, Query};
use crate::domain::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, State, StepState};
use crate::print::deployment::{Printer, bake_text, phase_mark, what_next};
use crate::print::{json, table};
use crate::store::layout::Layout;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// How often the bottom line is drawn over while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// How many rows are asked for after a broken connection: a deployment of thirty steps writes a hundred.
const ROWS: u32 = 10_000;

/// How often a lost engine is looked for again before its loss is told.
const RECONNECTS: u32 = 5;

/// What is asked of the engine, and of which deployment when it begins none.
pub(super) struct Asked {
    pub(super) command: Command,
    pub(super) deployment: Option<DeploymentId>,
    pub(super) detach: bool,
}

/// Asks for something and watches the deployment that it begins or goes on with.
///
/// # Errors
/// When it is refused, or the engine is lost and not found again.
pub(super) async fn carry_out(
    invocation: &mut Invocation,
    layout: &Layout,
    client: Client,
    asked: Asked,
) -> Result<u8, Failure> {
    let Asked { command, deployment, detach } = asked;
    let mut departure = Departure::watch()?;
    let (state, stream) = session::attach(&client).await?;
    let rows = session::request(&client, command).await.map_err(in_doubt)?;
    let begun = rows.iter().find_map(|row| match row.event {
        Event::DeploymentCreated { deployment, .. } => Some(deployment),
        _ => None,
    });
    let Some(number) = begun.or(deployment) else { return Err(Failure::unexpected("a deployment")) };
    if detach {
        let place = invocation.place();
        let said =
            format!("deployment {number} is under way; towpath environments{place} says how far it is");
        return invocation.carried_out("deployment", &rows, &said);
    }
    let since = rows.last().map_or(Seq(0), |row| row.seq);
    let told = Told { asked: number, also: deployment, since };
    Viewing::new(invocation, layout, client, stream, state, told).follow(invocation, &mut departure).await
}

/// Watches a deployment that is under way already.
///
/// # Errors
/// When the engine is lost and not found again.
pub(super) async fn watch(
    invocation: &mut Invocation,
    layout: &Layout,
    client: Client,
    number: DeploymentId,
) -> Result<u8, Failure> {
    let mut departure = Departure::watch()?;
    let (state, stream) = session::attach(&client).await?;
    if invocation.output.json {
        invocation.output.json("watching", &json!({ "deployment": number }))?;
    } else {
        let style = invocation.output.style.clone();
        invocation.output.line(&format!("deployment {number} does this already; this watches it"))?;
        let mut lines = table::deployment(&style, &state, number, session::now());
        if let Some(deployment) = state.deployments.get(&number)
            && matches!(deployment.phase, DeploymentPhase::Held { .. })
        {
            let next = what_next(deployment, &invocation.place());
            lines.extend(next.iter().map(|(what, how)| format!("to {what}: {}", style.words(how))));
        }
        invocation.output.lines(lines)?;
    }
    let told = Told { asked: number, also: None, since: state.seq };
    Viewing::new(invocation, layout, client, stream, state, told).follow(invocation, &mut departure).await
}

/// A connection that ends between the asking and the answer leaves open whether it was done.
fn in_doubt(failure: Failure) -> Failure {
    match failure {
        Failure::Said { sort: Sort::Unreachable, message, .. } => {
            let hint = "It may have been begun all the same: `towpath environments` says what is under way.";
            Failure::new(Sort::Unreachable, message, hint)
        }
        other => other,
    }
}

/// Which deployments are told of.
struct Told {
    /// The one whose ending decides the exit code.
    asked: DeploymentId,
    /// The one that it takes back, where that is under way too.
    also: Option<DeploymentId>,
    /// The row that answered the command: before it is seen nothing has ended.
    since: Seq,
}

struct Viewing<'a> {
    printer: Printer,
    asked: DeploymentId,
    since: Seq,
    layout: &'a Layout,
    client: Client,
    stream: mpsc::Receiver<FromEngine>,
    bake: Option<(AttemptKey, BakeReport)>,
}

impl<'a> Viewing<'a> {
    fn new(
        invocation: &Invocation,
        layout: &'a Layout,
        client: Client,
        stream: mpsc::Receiver<FromEngine>,
        state: State,
        Told { asked, also, since }: Told,
    ) -> Self {
        let style = invocation.output.style.clone();
        // A rollback of the first is followed by itself, as soon as it is created.
        let first = also.unwrap_or(asked);
        let printer = Printer::new(style, first, state, invocation.place());
        Self { printer, asked, since, layout, client, stream, bake: None }
    }

    async fn follow(
        &mut self,
        invocation: &mut Invocation,
        departure: &mut Departure,
    ) -> Result<u8, Failure> {
        let code = match self.watch(&mut invocation.output, departure).await {
            Ok(Some(code)) => code,
            Ok(None) => {
                invocation.output.settle()?;
                self.leave(&invocation.place());
                return Ok(Sort::Left.code());
            }
            // Whoever read our lines left; the deployment goes on.
            Err(Failure::Closed) => return Ok(Sort::Left.code()),
            Err(failure) => {
                let _ = invocation.output.settle();
                return Err(failure);
            }
        };
        invocation.output.settle()?;
        if invocation.output.json {
            invocation.output.json("result", &result(self.printer.state(), self.asked, code))?;
        }
        Ok(code)
    }

    /// Prints until there is nothing to wait for; `None` when the viewer leaves first.
    async fn watch(&mut self, output: &mut Output, departure: &mut Departure) -> Result<Option<u8>, Failure> {
        let mut tick = tokio::time::interval(TICK);
        loop {
            if let Some(code) = self.ended() {
                return Ok(Some(code));
            }
            tokio::select! {
                push = self.stream.recv() => match push {
                    Some(FromEngine::Happened { envelope }) => self.happened(output, &envelope)?,
                    Some(FromEngine::Sampled { sample: Sample::Bake { key, report, .. } }) => self.baked(key, report),
                    Some(_) => {}
                    None => {
                        output.settle()?;
                        tokio::select! {
                            resumed = self.resume(output) => resumed?,
                            () = departure.came() => return Ok(None),
                        }
                    }
                },
                _ = tick.tick(), if output.live => {}
                () = departure.came() => return Ok(None),
            }
            output.draw(&self.under_way())?;
        }
    }

    fn happened(&mut self, output: &mut Output, envelope: &Envelope) -> Result<(), Failure> {
        if envelope.seq <= self.printer.state().seq {
            return Ok(());
        }
        if let (Event::StepFinished { key, .. }, Some((baking, _))) = (&envelope.event, &self.bake)
            && key == baking
        {
            self.bake = None;
        }
        let concerns = self.printer.concerns(&envelope.event);
        let lines = self.printer.feed(envelope);
        match output.json {
            true if concerns => output.line(&json::event(envelope)),
            true => Ok(()),
            false => output.lines(lines),
        }
    }

    fn baked(&mut self, key: AttemptKey, report: BakeReport) {
        let Owner::Deployment(number) = key.owner else { return };
        if self.printer.followed().contains(&number) {
            self.bake = Some((key, report));
        }
    }

    /// The engine is gone, or we fell behind: an engine is found or started, and what was missed is read from the
    /// journal.
    async fn resume(&mut self, output: &mut Output) -> Result<(), Failure> {
        let mut told = None;
        for _ in 0..RECONNECTS {
            match self.reconnect(output).await {
                Ok(()) => return Ok(()),
                Err(Failure::Closed) => return Err(Failure::Closed),
                Err(failure) => told = Some(failure),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Err(told.unwrap_or_else(|| Failure::unexpected("a new connection")))
    }

    async fn reconnect(&mut self, output: &mut Output) -> Result<(), Failure> {
        self.client = session::connect(self.layout, "deployment").await?;
        let (state, stream) = session::attach(&self.client).await?;
        let query = Query::Journal { run: None, after: self.printer.state().seq, limit: ROWS };
        let Answer::Journal { rows } = session::ask(&self.client, query).await? else {
            return Err(Failure::unexpected("the journal"));
        };
        // What came after the snapshot comes through the stream once more.
        rows.iter().filter(|row| row.seq <= state.seq).try_for_each(|row| self.happened(output, row))?;
        self.printer.resume(state);
        self.stream = stream;
        Ok(())
    }

    fn told(&self) -> impl Iterator<Item = (DeploymentId, &Deployment)> {
        let state = self.printer.state();
        let told = self.printer.followed().iter();
        told.filter_map(|number| Some((*number, state.deployments.get(number)?)))
    }

    fn ended(&self) -> Option<u8> {
        if self.printer.state().seq < self.since {
            return None;
        }
        exit_code(self.printer.state(), self.asked, &self.told().map(|(_, one)| one).collect::<Vec<_>>())
    }

    /// What is under way, in one line.
    fn under_way(&self) -> String {
        let now = session::now();
        if let Some((key, report)) = &self.bake {
            return bake_text(key.step.as_str(), report, now);
        }
        let Some((_, deployment)) = self.told().filter(|(_, one)| one.is_open()).last() else {
            return String::new();
        };
        let open = deployment.steps.iter().filter(|(_, step)| step.is_open()).map(|(name, step)| {
            let took = step.started.map(|started| format!(" {}", now.since(started))).unwrap_or_default();
            format!("{name}{took}")
        });
        let open: Vec<String> = open.collect();
        if open.is_empty() { phase_mark(&deployment.phase).1.to_owned() } else { open.join(" · ") }
    }

    fn leave(&self, place: &str) {
        let Some((number, deployment)) = self.told().last() else { return };
        let name = &deployment.environment;
        let again = match deployment.kind {
            DeploymentKind::Promotion | DeploymentKind::Redeploy => {
                format!("towpath promote {name} --release {}", deployment.release.0)
            }
            DeploymentKind::Rollback { .. } => format!("towpath rollback {name}"),
        };
        note(&format!(
            "you left; deployment {number} to {name} goes on.\nTo come back: {again}{place}  (or `towpath \
             status{place}`)\nTo hold it:   towpath hold {name}{place}"
        ));
    }
}

/// The exit code, once there is nothing to wait for: everything that is told of has ended, or waits for a person.
fn exit_code(state: &State, asked: DeploymentId, told: &[&Deployment]) -> Option<u8> {
    let at_rest = |one: &&Deployment| !one.steps.values().any(StepState::is_open);
    let held = |one: &&Deployment| matches!(one.phase, DeploymentPhase::Held { .. });
    if told.iter().copied().filter(|one| held(one)).any(|one| at_rest(&one)) {
        return Some(Sort::Held.code());
    }
    if told.iter().any(|one| one.is_open()) {
        return None;
    }
    match &state.deployments.get(&asked)?.phase {
        DeploymentPhase::Ended(Ending::Live) => Some(0),
        DeploymentPhase::Ended(Ending::LiveUnverified { .. }) => Some(Sort::Unverified.code()),
        DeploymentPhase::Ended(Ending::RolledBack { .. }) => Some(Sort::TakenBack.code()),
        DeploymentPhase::Ended(Ending::Broken { .. }) => Some(Sort::Unclear.code()),
        _ => None,
    }
}

/// The last line for a program: how the deployment that was asked for ended, and what took it back.
fn result(state: &State, asked: DeploymentId, code: u8) -> serde_json::Value {
    let one = |number: DeploymentId, deployment: &Deployment| {
        let (ending, held) = match &deployment.phase {
            DeploymentPhase::Ended(ending) => (Some(ending), None),
            DeploymentPhase::Held { reason } => (None, Some(reason)),
            _ => (None, None),
        };
        json!({
            "deployment": number, "environment": deployment.environment, "release": deployment.release,
            "ending": ending, "held": held,
        })
    };
    let is_rollback =
        |one: &Deployment| matches!(one.kind, DeploymentKind::Rollback { of, .. } if of == asked);
    let back = state.deployments.iter().rev().find(|(_, deployment)| is_rollback(deployment));
    let mut body = state.deployments.get(&asked).map_or_else(|| json!({}), |it| one(asked, it));
    if let Some(body) = body.as_object_mut() {
        body.insert("rollback".to_owned(), back.map(|(number, it)| one(*number, it)).into());
        body.insert("exit".to_owned(), code.into());
    }
    body
}

#[cfg(test)]
mod tests;
