//! What the loop does with one message. Nothing here waits for anything but the journal's disk.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::containers::Engines;
use super::deployments::MeantToLive;
use super::fresh::{self, Fresh};
use super::samples::Samples;
use super::{effects, log, now, queries, watches};
use crate::domain::command::{Command, Refusal, RefusalKind};
use crate::domain::decide::{Input, decide};
use crate::domain::effect::{Effect, Outcome};
use crate::domain::event::{Envelope, Event};
use crate::domain::health::Sample;
use crate::domain::ids::Actor;
use crate::domain::query::Query;
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::domain::watch::Watch;
use crate::store::StoreError;
use crate::store::ballast;
use crate::store::journal::Journal;
use crate::store::layout::Layout;
use crate::store::retention;
use crate::wire::protocol::{FromEngine, Reply, Viewer};
use crate::wire::{Greeting, ToEngine};

/// How many outcomes may wait for the loop. Tasks wait when it is full; nothing is lost.
pub(super) const INPUTS: usize = 256;

/// New runs need this much room on the state's disk, bytes: an install, a candidate and its logs.
const ROOM_FOR_A_RUN: u64 = 256 * 1024 * 1024;

/// Everything the loop owns.
pub(super) struct Engine {
    pub(super) layout: Arc<Layout>,
    pub(super) state: State,
    pub(super) inputs: mpsc::Sender<Input>,
    /// Where watches put what they measure.
    pub(super) measured: mpsc::Sender<Sample>,
    /// What is meant to live.
    pub(super) meant: MeantToLive,
    /// The Docker engines that are watched.
    pub(super) engines: Engines,
    /// Git on the mirror is done by one task at a time.
    pub(super) mirror: Arc<Mutex<()>>,
    samples: Samples,
    journal: Journal,
    viewers: BTreeMap<u64, (Viewer, mpsc::Sender<FromEngine>)>,
    in_flight: BTreeSet<Effect>,
    watches: BTreeMap<Watch, AbortHandle>,
    since: Timestamp,
    /// Whether the working tree's configuration is being read.
    reading: Arc<AtomicBool>,
    /// Held while it is read: a later reading is taken in later.
    turn: Arc<Mutex<()>>,
    /// Where messages come back that waited for it.
    fresh: mpsc::Sender<Fresh>,
    /// Outcomes that could not be written because the disk is full.
    unwritten: VecDeque<Input>,
    /// A commit of the followed branch for whose run the disk has no room.
    waits_for_room: Option<Input>,
    last_needed: Instant,
    over: Option<String>,
}

/// Sends a sample to a viewer that has room for it: what is measured may be missed, what happens may not.
fn offer(sink: &mpsc::Sender<FromEngine>, sample: &Sample) {
    if sink.capacity() > sink.max_capacity() / 2 {
        let _ = sink.try_send(FromEngine::Sampled { sample: sample.clone() });
    }
}

/// Why an input was not carried out.
enum NotDone {
    Refused(Refusal),
    Store(StoreError),
}

impl Engine {
    pub(super) fn new(
        layout: Arc<Layout>,
        journal: Journal,
        state: State,
        inputs: mpsc::Sender<Input>,
        measured: mpsc::Sender<Sample>,
        fresh: mpsc::Sender<Fresh>,
    ) -> Self {
        Self {
            layout,
            state,
            inputs,
            measured,
            meant: MeantToLive::default(),
            engines: Engines::default(),
            samples: Samples::default(),
            mirror: Arc::default(),
            journal,
            viewers: BTreeMap::new(),
            in_flight: BTreeSet::new(),
            watches: BTreeMap::new(),
            since: now(),
            reading: Arc::default(),
            turn: Arc::default(),
            fresh,
            unwritten: VecDeque::new(),
            waits_for_room: None,
            last_needed: Instant::now(),
            over: None,
        }
    }

    /// Why the loop should end, once it should.
    pub(super) fn over(&self) -> Option<&str> {
        self.over.as_deref()
    }

    /// Asks the loop to end.
    pub(super) fn end(&mut self, why: &str) {
        self.over.get_or_insert_with(|| why.to_owned());
    }

    /// Says good-bye to everybody.
    pub(super) fn farewell(&mut self) {
        let reason = self.over.clone().unwrap_or_else(|| "The engine ends.".to_owned());
        self.tell(&FromEngine::Bye { reason });
        self.viewers.clear();
        for watch in self.watches.values() {
            watch.abort();
        }
    }

    /// Something a viewer sent.
    pub(super) fn message(&mut self, message: ToEngine) {
        self.last_needed = Instant::now();
        if fresh::is_wanted(&message) {
            let (layout, turn) = (Arc::clone(&self.layout), Arc::clone(&self.turn));
            return fresh::wait(layout, turn, self.fresh.clone(), message);
        }
        self.carry_message(message);
    }

    /// A message for which the configuration was read.
    pub(super) fn fresh(&mut self, Fresh { loaded, message }: Fresh) {
        let message = match loaded {
            Ok(loaded) => {
                self.outcome(Input::Outcome(loaded));
                Some(message)
            }
            Err(mistakes) => fresh::refuses(message, &mistakes),
        };
        if let Some(message) = message {
            self.carry_message(message);
        }
    }

    fn carry_message(&mut self, message: ToEngine) {
        match message {
            ToEngine::Greet { reply } => {
                let _ = reply.send(Greeting { since: self.since, busy: self.state.is_busy() });
            }
            ToEngine::Command { command, actor, reply, .. } => {
                let _ = reply.send(self.command(command, &actor));
            }
            ToEngine::Query { query, reply } => self.query(query, reply),
            ToEngine::Attach { viewer, sink, reply } => {
                if viewer.role == fresh::CONSOLE {
                    self.read_project();
                }
                let snapshot = FromEngine::Snapshot { state: Box::new(self.state.clone()) };
                if sink.try_send(snapshot).is_ok() {
                    for sample in self.samples.all() {
                        offer(&sink, sample);
                    }
                    self.viewers.insert(viewer.id, (viewer, sink));
                    let _ = reply.send(());
                    self.tell_who_is_here();
                }
            }
            ToEngine::Detach { id } => {
                if self.viewers.remove(&id).is_some() {
                    self.tell_who_is_here();
                }
            }
            ToEngine::Shutdown { force, reply } => {
                let _ = reply.send(self.shutdown(force));
            }
        }
    }

    fn shutdown(&mut self, force: bool) -> Reply {
        if self.state.is_busy() && !force {
            return Reply::Refused {
                refusal: Refusal::new(
                    RefusalKind::State,
                    "Work is under way.",
                    "Wait for its end, or stop the engine by force: running steps go on and are found again.",
                ),
            };
        }
        self.end("The engine was asked to stop.");
        Reply::Done { rows: Vec::new() }
    }

    fn command(&mut self, command: Command, actor: &Actor) -> Reply {
        if matches!(command, Command::StartRun { .. }) {
            self.read_project();
        }
        if matches!(command, Command::StartRun { .. } | Command::Promote(_))
            && let Err(message) = self.room_for_a_run()
        {
            return Reply::Failed { message };
        }
        match self.carry_out(Input::Command(command), actor) {
            Ok(rows) => Reply::Done { rows },
            Err(NotDone::Refused(refusal)) => Reply::Refused { refusal },
            Err(NotDone::Store(error)) => Reply::Failed {
                message: format!("The journal could not be written, so nothing was done: {error}"),
            },
        }
    }

    /// New work stops while there is room to end what is under way.
    fn room_for_a_run(&self) -> Result<(), String> {
        let state = &self.layout.state;
        let enough = match nix::sys::statvfs::statvfs(state) {
            Ok(disk) => {
                let free = disk.blocks_available().saturating_mul(disk.fragment_size());
                free >= ROOM_FOR_A_RUN
            }
            Err(_) => true,
        };
        let put_aside = ballast::ensure(&self.layout.ballast(), ballast::SIZE).is_ok();
        if enough && put_aside {
            return Ok(());
        }
        Err(format!(
            "The disk of {} is nearly full (a run needs {} MiB): no new run is started until there is room. \
             What is under way goes on.",
            state.display(),
            ROOM_FOR_A_RUN / 1024 / 1024
        ))
    }

    fn query(&self, query: Query, reply: oneshot::Sender<Reply>) {
        match queries::at_once(&self.state, &self.layout, &self.journal, query) {
            Ok(answer) => {
                let _ = reply.send(answer);
            }
            Err(later) => {
                let asked = later.asked(&self.state, &self.layout, &self.mirror);
                tokio::spawn(async move {
                    let _ = reply.send(asked.answer().await);
                });
            }
        }
    }

    /// Reads the operator's configuration from the working tree, beside the loop.
    pub(super) fn read_project(&self) {
        let reading = Arc::clone(&self.reading);
        if reading.swap(true, Ordering::AcqRel) {
            return;
        }
        let (layout, turn, inputs) = (Arc::clone(&self.layout), Arc::clone(&self.turn), self.inputs.clone());
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let read = fresh::read(layout).await;
            reading.store(false, Ordering::Release);
            if let Ok(loaded) = read {
                let _ = inputs.send(Input::Outcome(loaded)).await;
            }
        });
    }

    /// Outside work ended. Unlike a command it can't be refused: what can't be written now is written later.
    pub(super) fn outcome(&mut self, input: Input) {
        self.last_needed = Instant::now();
        let Some(input) = self.with_room(input) else { return };
        if !self.unwritten.is_empty() {
            self.unwritten.push_back(input);
            return self.write_the_unwritten();
        }
        self.try_outcome(input);
    }

    /// A new commit of the followed branch starts a run, and on a full disk it waits: what is to be done instead
    /// is to say so. Only the newest waits.
    fn with_room(&mut self, input: Input) -> Option<Input> {
        let Input::Outcome(Outcome::BranchSeen { branch, commit }) = &input else { return Some(input) };
        if self.state.branches.get(branch).is_none_or(|before| before == &commit.id) {
            return Some(input);
        }
        let Err(why) = self.room_for_a_run() else {
            self.waits_for_room = None;
            return Some(input);
        };
        let why = Outcome::BranchNotSeen { branch: branch.clone(), why };
        self.waits_for_room = Some(input);
        Some(Input::Outcome(why))
    }

    /// What is looked at every few seconds: whether there is room again.
    pub(super) fn look_for_room(&mut self) {
        self.write_the_unwritten();
        if let Some(waiting) = self.waits_for_room.take() {
            let before = self.last_needed;
            self.outcome(waiting);
            self.last_needed = before;
        }
    }

    /// Tries once more what a full disk kept from being written.
    fn write_the_unwritten(&mut self) {
        while let Some(input) = self.unwritten.pop_front() {
            if !self.try_outcome(input) {
                break;
            }
        }
    }

    fn try_outcome(&mut self, input: Input) -> bool {
        let first = self.carry_out(input.clone(), &Actor::Engine);
        let Err(NotDone::Store(error)) = first else { return true };
        log(&format!("the journal could not be written: {error}"));
        if ballast::release(&self.layout.ballast()).is_ok()
            && !matches!(self.carry_out(input.clone(), &Actor::Engine), Err(NotDone::Store(_)))
        {
            return true;
        }
        self.unwritten.push_front(input);
        false
    }

    /// Decides, writes ahead, folds, tells, and starts what is due: in this order.
    fn carry_out(&mut self, input: Input, actor: &Actor) -> Result<Vec<Envelope>, NotDone> {
        let at = now();
        let events = decide(&self.state, input, at).map_err(NotDone::Refused)?;
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.journal.append(at, actor, &events).map_err(NotDone::Store)?;
        let leases = self.ending_leases(&events);
        for envelope in &rows {
            self.state.apply(envelope);
            self.tell(&FromEngine::Happened { envelope: envelope.clone() });
        }
        self.reconcile();
        self.give_back(leases);
        let is_over =
            |event: &Event| matches!(event, Event::RunFinished { .. } | Event::DeploymentFinished { .. });
        if events.iter().any(is_over) {
            self.sweep();
        }
        Ok(rows)
    }

    /// Starts what is due and not under way, stops what is under way and no longer due.
    pub(super) fn reconcile(&mut self) {
        self.meant.update(&self.state);
        let due = self.state.pending();
        self.in_flight.retain(|effect| due.contains(effect));
        for effect in due {
            if self.in_flight.insert(effect.clone()) {
                effects::begin(self, effect);
            }
        }
        let wanted = self.state.watches();
        self.watches.retain(|watch, task| {
            let stays = wanted.contains(watch);
            if !stays {
                task.abort();
            }
            stays
        });
        for watch in wanted {
            if !self.watches.contains_key(&watch) {
                let task = watches::begin(self, &watch);
                self.watches.insert(watch, task);
            }
        }
    }

    /// Lets old files go, while no commit is being planned: what is about to be found again must not go.
    fn sweep(&self) {
        let (layout, state) = (Arc::clone(&self.layout), self.state.clone());
        let gate = Arc::clone(&self.mirror);
        tokio::spawn(async move {
            let guard = gate.lock_owned().await;
            let swept = tokio::task::spawn_blocking(move || {
                let swept = retention::present(&layout)
                    .and_then(|present| retention::sweep(&layout, &retention::plan(&state, &present)));
                drop(guard);
                swept
            });
            if let Ok(Err(error)) = swept.await {
                log(&format!("old files could not be removed: {error}"));
            }
        });
    }

    /// Ends the engine when nobody has needed it for that long.
    pub(super) fn rest(&mut self, idle: Duration) {
        let needed = !self.viewers.is_empty()
            || self.state.is_busy()
            || !self.unwritten.is_empty()
            || self.watches.keys().any(|watch| watch.keeps_engine(now()));
        if needed {
            self.last_needed = Instant::now();
        } else if self.last_needed.elapsed() >= idle {
            self.end("Nothing was left to do and nobody was here.");
        }
    }

    /// Something was measured.
    pub(super) fn sample(&mut self, sample: &Sample) {
        self.samples.keep(sample);
        for (_, sink) in self.viewers.values() {
            offer(sink, sample);
        }
    }

    fn tell(&mut self, message: &FromEngine) {
        // A viewer whose sink is full has fallen behind: dropping the sink lets the server say so.
        let before = self.viewers.len();
        self.viewers.retain(|_, (_, sink)| sink.try_send(message.clone()).is_ok());
        if self.viewers.len() != before && !matches!(message, FromEngine::Present { .. }) {
            self.tell_who_is_here();
        }
    }

    fn tell_who_is_here(&mut self) {
        let viewers = self.viewers.values().map(|(viewer, _)| viewer.clone()).collect();
        self.tell(&FromEngine::Present { viewers });
    }
}
