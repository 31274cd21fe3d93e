//! An environment's containers on one engine, as they are now: one list when the engine is reached, then one stream
//! of events and one of numbers for each running container. While nothing happens, nothing is asked.
//!
//! An engine that is not reached is asked again after pauses that grow; what was known of it until then is no more
//! than that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::EventMessage;
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::connect::Engine;
use super::labels::{self, Kind};
use super::pause::Pause;
use super::seen::{Container, Reached, Seen, harmless, now};
use super::stats::{self, Used};
use super::trouble;
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::Cause;
use crate::domain::project::Host;

/// How long an engine may take to be reached, or to answer a small question.
const PATIENCE: Duration = Duration::from_secs(20);
/// An engine that has sent nothing for this long is asked whether it lives: a connection can be lost without a word.
/// Where a container runs its numbers come every second, so this is only ever asked of an idle or a hanging engine.
const QUIET: Duration = Duration::from_secs(20);
/// The pauses between attempts to reach it.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often new numbers are passed on, all containers' together.
const NUMBERS: Duration = Duration::from_secs(1);
/// Containers that are asked about at once.
const AT_ONCE: usize = 4;
/// Numbers on their way; more are dropped.
const SAMPLES: usize = 256;
/// What may happen to a container that changes what is known of it, and what tells of a lease: a heartbeat is an
/// archive that was put. Commands inside (`exec_…`) are left out: each health check is three.
const EVENTS: [&str; 13] = [
    "create",
    "start",
    "die",
    "oom",
    "health_status",
    "destroy",
    "restart",
    "stop",
    "pause",
    "unpause",
    "rename",
    "update",
    "extract-to-dir",
];

/// Whose containers, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The engine.
    pub host: Host,
    /// What a relative path in the configuration is relative to.
    pub home: PathBuf,
    /// The project's name.
    pub project: String,
    /// The environment's.
    pub environment: EnvironmentName,
}

/// A watch that is under way. Dropping it closes its streams.
#[derive(Debug)]
pub struct Watch {
    seen: watch::Receiver<Arc<Seen>>,
    task: AbortHandle,
}

impl Watch {
    /// Begins to watch.
    #[must_use]
    pub fn begin(whose: Whose) -> Self {
        let (teller, seen) = watch::channel(Arc::new(Seen::unheard(now())));
        let watcher = Watcher { whose, seen: Seen::unheard(now()), teller, numbers: BTreeMap::new() };
        Self { seen, task: tokio::spawn(watcher.run()).abort_handle() }
    }

    /// What is known now; asks nothing of the engine.
    #[must_use]
    pub fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.seen.borrow())
    }

    /// Tells of each change from here on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Seen>> {
        self.seen.clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Aborted when it is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Watcher {
    whose: Whose,
    seen: Seen,
    teller: watch::Sender<Arc<Seen>>,
    /// The streams of numbers, by container.
    numbers: BTreeMap<String, Task>,
}

/// Why an engine was lost, a clause.
struct Lost(String);

impl From<Box<Cause>> for Lost {
    fn from(cause: Box<Cause>) -> Self {
        Self(harmless(if cause.measured.is_empty() { &cause.summary } else { &cause.measured }))
    }
}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self(harmless(&match error {
            Error::DockerResponseServerError { message, .. } => message,
            error => error.to_string(),
        }))
    }
}

impl From<tokio::time::error::Elapsed> for Lost {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self(format!("no answer within {} seconds", PATIENCE.as_secs()))
    }
}

impl Watcher {
    async fn run(mut self) {
        let mut pause = Pause::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let Lost(why) = match self.attend(&mut pause).await {
                Ok(never) => match never {},
                Err(lost) => lost,
            };
            self.numbers.clear();
            self.seen.engine = None;
            if !matches!(self.seen.reached, Reached::No(_)) {
                self.seen.since = now();
            }
            self.seen.reached = Reached::No(why);
            self.tell();
            tokio::time::sleep(pause.next()).await;
        }
    }

    fn tell(&self) {
        self.teller.send_replace(Arc::new(self.seen.clone()));
    }

    /// Reaches the engine and keeps up with it until it is lost.
    async fn attend(&mut self, pause: &mut Pause) -> Result<std::convert::Infallible, Lost> {
        let engine = timeout(PATIENCE, Engine::connect(&self.whose.host, &self.whose.home)).await??;
        let client = engine.client().clone();
        // By the engine's own clock: what happens between the list and the stream is told again.
        let about = timeout(PATIENCE, client.info()).await??;
        self.list(&engine).await?;
        let (sender, mut samples) = mpsc::channel(SAMPLES);
        self.follow_numbers(&engine, &sender);
        self.seen.reached = Reached::Yes(harmless(engine.version()));
        self.seen.since = now();
        self.seen.engine = Some(engine.clone());
        self.seen.lease_events += 1;
        self.tell();

        let mut filters = self.filters();
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), EVENTS.map(ToOwned::to_owned).to_vec());
        let since = about.system_time.as_deref().and_then(seconds).unwrap_or_default();
        let options = EventsOptionsBuilder::new().filters(&filters);
        let options = if since.is_empty() { options } else { options.since(&since) };
        let mut events = Box::pin(client.events(Some(options.build())));
        let mut heard = Instant::now();
        let mut tell_at = None;
        loop {
            tokio::select! {
                event = events.next() => {
                    let event = event.ok_or_else(|| Lost("the engine closed its stream of events".to_owned()))?;
                    let mut which = BTreeSet::new();
                    self.note(event?, &mut which);
                    // What came at once is looked at once.
                    while let Some(Some(event)) = events.next().now_or_never() {
                        self.note(event?, &mut which);
                    }
                    self.look(&engine, which).await?;
                    self.follow_numbers(&engine, &sender);
                    self.tell();
                    (heard, tell_at) = (Instant::now(), None);
                    pause.reset();
                }
                Some(used) = samples.recv() => {
                    self.take(&used);
                    heard = Instant::now();
                    tell_at.get_or_insert(heard + NUMBERS);
                    pause.reset();
                }
                () = until(tell_at) => {
                    tell_at = None;
                    self.tell();
                }
                () = tokio::time::sleep_until(heard + QUIET) => {
                    timeout(PATIENCE, client.ping()).await??;
                    heard = Instant::now();
                    pause.reset();
                }
            }
        }
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        let project = format!("{}={}", labels::PROJECT, self.whose.project);
        let environment = format!("{}={}", labels::ENVIRONMENT, self.whose.environment);
        HashMap::from([("label".to_owned(), vec![project, environment])])
    }

    /// Everything that is there, stopped or not.
    async fn list(&mut self, engine: &Engine) -> Result<(), Lost> {
        let options = ListContainersOptionsBuilder::new().all(true).filters(&self.filters()).build();
        let all = timeout(PATIENCE, engine.client().list_containers(Some(options))).await??;
        let ids: BTreeSet<String> = all.into_iter().filter_map(|one| one.id).collect();
        self.seen.containers.retain(|id, _| ids.contains(id));
        self.look(engine, ids).await
    }

    /// Asks about these containers.
    async fn look(&mut self, engine: &Engine, ids: BTreeSet<String>) -> Result<(), Lost> {
        let asked = ids.into_iter().map(|id| async move {
            let said = engine.client().inspect_container(&id, None::<InspectContainerOptions>);
            let said = timeout(PATIENCE, said).await;
            (id, said)
        });
        let mut answers = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
        while let Some((id, said)) = answers.next().await {
            match said? {
                Ok(said) => {
                    let mut container = Container::of(&said, now());
                    // Numbers come on their own way.
                    if let Some(before) = self.seen.containers.get(&id) {
                        if container.pid.is_some() {
                            (container.memory, container.cpu_permille) = (before.memory, before.cpu_permille);
                        }
                        // The engine forgets both when it starts it again.
                        container.exit = container.exit.or(before.exit);
                        container.oom |= before.oom;
                    }
                    self.seen.containers.insert(id, container);
                }
                Err(error) if trouble::status(&error) == Some(404) => drop(self.seen.containers.remove(&id)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Notes whom an event is about.
    fn note(&mut self, event: EventMessage, which: &mut BTreeSet<String>) {
        let Some(actor) = event.actor else { return };
        let of = |name: &str| actor.attributes.as_ref().and_then(|all| all.get(name));
        let is_lease = of(labels::KIND).is_some_and(|kind| kind == Kind::Lease.word());
        if is_lease {
            self.seen.lease_events += 1;
        }
        if let Some(container) = actor.id.as_ref().and_then(|id| self.seen.containers.get_mut(id)) {
            match event.action.as_deref() {
                Some("die") => container.exit = of("exitCode").and_then(|code| code.parse().ok()),
                Some("oom") => container.oom = true,
                _ => {}
            }
        }
        // A heartbeat changes nothing that is seen of the container itself.
        if event.action.as_deref() != Some("extract-to-dir") {
            which.extend(actor.id);
        }
    }

    /// One stream for each that runs, none for any other.
    fn follow_numbers(&mut self, engine: &Engine, samples: &mpsc::Sender<Used>) {
        let containers = &self.seen.containers;
        let runs = |id: &String| containers.get(id).is_some_and(|one| one.pid.is_some());
        self.numbers.retain(|id, _| runs(id));
        for id in containers.keys().filter(|id| runs(id)) {
            if !self.numbers.contains_key(id) {
                let task = stats::follow(engine.client().clone(), id.clone(), samples.clone());
                self.numbers.insert(id.clone(), Task(tokio::spawn(task).abort_handle()));
            }
        }
    }

    fn take(&mut self, used: &Used) {
        let Some(container) = self.seen.containers.get_mut(&used.id) else { return };
        if container.pid.is_some() {
            container.memory = used.memory;
            container.cpu_permille = used.cpu_permille.or(container.cpu_permille);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The engine's clock as the filter of its events wants it: seconds and nanoseconds.
fn seconds(text: &str) -> Option<String> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(format!("{}.{:09}", at.as_second(), at.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_clock_is_said_as_its_filter_wants_it() {
        assert_eq!(seconds("2026-11-22T10:00:00.5+01:00").unwrap(), "1795338000.500000000");
        assert_eq!(seconds("soon"), None);
    }
}
