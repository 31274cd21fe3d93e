//! `towpath run`: walk a commit through the pipeline and watch until the run has ended or is held.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::departure::{self, Departure};
use super::failure::{Failure, Sort, sentence};
use super::output::Output;
use super::{Invocation, session};
use crate::domain::command::{Command, CommitFacts};
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{RunId, Seq, StepId};
use crate::domain::query::{Answer, Query};
use crate::domain::state::{Run, RunEnd, RunPhase, State};
use crate::print::plain::Printer;
use crate::print::{json, table};
use crate::store::layout::Layout;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// How often the bottom line is drawn over while nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// How many rows are asked for after a broken connection: a run of a hundred steps writes some hundreds.
const ROWS: u32 = 10_000;

/// How often a lost engine is looked for again before its loss is told.
const RECONNECTS: u32 = 5;

pub(super) async fn run(
    invocation: &mut Invocation,
    revision: &str,
    until: Option<StepId>,
) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let mut departure = Departure::watch()?;
    let client = tokio::select! {
        client = session::connect(&layout, "run") => client?,
        () = departure.came() => return Err(departure::before_start()),
    };
    let Answer::Resolved { commit } =
        session::ask(&client, Query::Resolve { revision: revision.to_owned() }).await.map_err(unresolved)?
    else {
        return Err(Failure::unexpected("what a revision means"));
    };
    let (mut state, mut stream) = session::attach(&client).await?;
    let begun = match begin(&client, &state, commit.clone(), until.clone()).await {
        // Somebody else may have asked for the same between our look and our asking: then we watch theirs.
        Err(refused @ Failure::Said { sort: Sort::Refused, .. }) => {
            (state, stream) = session::attach(&client).await?;
            open_run(&state, &commit, until.as_ref()).map(Begun::Before).ok_or(refused)?
        }
        begun => begun?,
    };
    let (number, is_new) = match begun {
        Begun::Now(number) => (number, true),
        Begun::Before(number) => (number, false),
    };
    let place = invocation.place();
    let style = invocation.output.style.clone();
    let mut viewing = Viewing {
        printer: Printer::new(style, number, state, place),
        run: number,
        layout: &layout,
        client,
        stream,
        is_new,
    };
    viewing.follow(invocation, &mut departure).await
}

enum Begun {
    Now(RunId),
    Before(RunId),
}

/// Starts a run of the commit, or finds the open one: asking twice watches once.
async fn begin(
    client: &Client,
    state: &State,
    commit: CommitFacts,
    until: Option<StepId>,
) -> Result<Begun, Failure> {
    if let Some(number) = open_run(state, &commit, until.as_ref()) {
        return Ok(Begun::Before(number));
    }
    let rows = session::request(client, Command::StartRun { commit, until }).await?;
    rows.iter()
        .find_map(|row| match row.event {
            Event::RunQueued { run, .. } => Some(Begun::Now(run)),
            _ => None,
        })
        .ok_or_else(|| Failure::unexpected("`start a run`"))
}

/// The run that walks this commit just that far already.
fn open_run(state: &State, commit: &CommitFacts, until: Option<&StepId>) -> Option<RunId> {
    let is_same = |run: &Run| {
        run.commit.id == commit.id && run.until.as_ref() == until && !matches!(run.phase, RunPhase::Ended(_))
    };
    state.runs.iter().find(|(_, run)| is_same(run)).map(|(number, _)| *number)
}

/// One run being watched.
struct Viewing<'a> {
    printer: Printer,
    run: RunId,
    layout: &'a Layout,
    client: Client,
    stream: mpsc::Receiver<FromEngine>,
    is_new: bool,
}

impl Viewing<'_> {
    async fn follow(
        &mut self,
        invocation: &mut Invocation,
        departure: &mut Departure,
    ) -> Result<u8, Failure> {
        let watched = self.watch(&mut invocation.output, departure).await;
        let code = match watched {
            Ok(Some(code)) => code,
            Ok(None) => {
                invocation.output.settle()?;
                self.leave(invocation);
                return Ok(Sort::Left.code());
            }
            // Whoever read our lines left; the run goes on.
            Err(Failure::Closed) => return Ok(Sort::Left.code()),
            Err(failure) => {
                let _ = invocation.output.settle();
                return Err(failure);
            }
        };
        invocation.output.settle()?;
        if invocation.output.json {
            let run = self.printer.state().runs.get(&self.run);
            let phase = run.map(|run| run.phase);
            let end = match phase {
                Some(RunPhase::Ended(end)) => Some(end),
                _ => None,
            };
            let release = match end {
                Some(RunEnd::Passed { release }) => release,
                _ => None,
            };
            let waits_for: Vec<&StepId> = run.map(waiting).unwrap_or_default();
            let body = json!({
                "run": self.run, "end": end, "held": phase == Some(RunPhase::Held), "waits_for": waits_for,
                "release": release, "exit": code,
            });
            invocation.output.json("result", &body)?;
        }
        Ok(code)
    }

    /// Prints until the run has ended or is held; `None` when the viewer leaves first.
    async fn watch(&mut self, output: &mut Output, departure: &mut Departure) -> Result<Option<u8>, Failure> {
        if !self.is_new {
            self.say_where_it_is(output)?;
        }
        let mut tick = tokio::time::interval(TICK);
        loop {
            if let Some(code) = self.ended() {
                return Ok(Some(code));
            }
            tokio::select! {
                push = self.stream.recv() => match push {
                    Some(FromEngine::Happened { envelope }) => self.happened(output, &envelope)?,
                    Some(FromEngine::Snapshot { .. } | FromEngine::Present { .. } | FromEngine::Sampled { .. } | FromEngine::Welcome { .. }
                        | FromEngine::Reply { .. } | FromEngine::Bye { .. }) => {}
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
        let is_new = envelope.seq > self.printer.state().seq;
        let lines = self.printer.feed(envelope);
        if !output.json {
            return output.lines(lines);
        }
        let concerns =
            envelope.event.run() == Some(self.run) || matches!(envelope.event, Event::EngineStarted { .. });
        if is_new && concerns { output.line(&json::event(envelope)) } else { Ok(()) }
    }

    fn say_where_it_is(&self, output: &mut Output) -> Result<(), Failure> {
        if output.json {
            return output.json("watching", &json!({ "run": self.run }));
        }
        output.line(&format!("run {} walks this commit already; this watches it", self.run))?;
        output.lines(table::run(&output.style, self.printer.state(), self.run, session::now()))
    }

    /// The engine is gone, or we fell behind: an engine is found or started, and what was missed is read from
    /// the journal.
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
        self.client = session::connect(self.layout, "run").await?;
        let (state, stream) = session::attach(&self.client).await?;
        let after = self.printer.state().seq;
        // Of every run: that the engine was started anew belongs to none.
        let query = Query::Journal { run: None, after, limit: ROWS };
        let Answer::Journal { rows } = session::ask(&self.client, query).await? else {
            return Err(Failure::unexpected("the journal"));
        };
        let (seq, missed): (Seq, Vec<Envelope>) = (state.seq, rows);
        // What came after the snapshot comes through the stream once more.
        missed.iter().filter(|row| row.seq <= seq).try_for_each(|row| self.happened(output, row))?;
        self.printer.resume(state);
        self.stream = stream;
        Ok(())
    }

    /// The exit code, once there is nothing to wait for.
    fn ended(&self) -> Option<u8> {
        let run = self.printer.state().runs.get(&self.run)?;
        match run.phase {
            RunPhase::Held => Some(Sort::Held.code()),
            RunPhase::Ended(RunEnd::Passed { .. }) => Some(0),
            // It was never planned: the commit's configuration is at fault, not a step.
            RunPhase::Ended(RunEnd::Failed)
                if run.plan.is_none() && run.steps.is_empty() && run.failed.is_none() =>
            {
                Some(Sort::Usage.code())
            }
            RunPhase::Ended(RunEnd::Failed | RunEnd::Cancelled) => Some(Sort::StepFailed.code()),
            RunPhase::Ended(RunEnd::Superseded { .. }) => Some(Sort::Unclear.code()),
            RunPhase::Queued | RunPhase::Preparing | RunPhase::Running | RunPhase::Cancelling { .. } => None,
        }
    }

    /// What is under way, in one line.
    fn under_way(&self) -> String {
        let state = self.printer.state();
        let Some(run) = state.runs.get(&self.run) else { return String::new() };
        let now = session::now();
        let open = run.steps.iter().filter(|(_, step)| step.is_open()).map(|(name, step)| {
            let took = step.started.map(|started| format!(" {}", now.since(started))).unwrap_or_default();
            format!("{name}{took}")
        });
        let open: Vec<String> = open.collect();
        match run.phase {
            RunPhase::Queued => "queued: other runs go first".to_owned(),
            RunPhase::Preparing => "reading the commit".to_owned(),
            _ if open.is_empty() => String::new(),
            _ => open.join(" · "),
        }
    }

    fn leave(&self, invocation: &Invocation) {
        let (run, place) = (self.run, invocation.place());
        let revision = self.printer.state().runs.get(&run).map_or("HEAD", |run| run.commit.id.short());
        super::output::note(&format!(
            "you left; run {run} goes on.\nTo come back: towpath run --commit {revision}{place}  (or `towpath{place}`)\n\
             To stop it:   towpath cancel {run}{place}"
        ));
    }
}

/// The checks of a run that wait for a person.
fn waiting(run: &Run) -> Vec<&StepId> {
    run.steps.iter().filter(|(_, step)| step.wants_acknowledgement()).map(|(name, _)| name).collect()
}

/// A revision that means nothing is the caller's mistake, not a broken state.
fn unresolved(failure: Failure) -> Failure {
    match failure {
        Failure::Said { sort: Sort::Unclear, message, hint } => Failure::usage(sentence(&message), hint),
        other => other,
    }
}
