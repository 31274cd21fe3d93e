//! What a watch knows of an environment's containers on one engine.

use std::collections::BTreeMap;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};

use super::connect::Engine;
use super::labels::{self, Kind};
use crate::domain::health::ReplicaState;
use crate::domain::ids::ReplicaKey;
use crate::domain::time::Timestamp;
use crate::text::sanitise::Sanitiser;

/// The longest word of an engine's that is kept, characters: names, labels and reasons are far shorter.
const LONGEST: usize = 300;
/// Signal 9, as an exit code of a container: 128 and the signal's number.
const KILLED: i64 = 137;

/// Whether an engine answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It is being asked for the first time.
    NotYet,
    /// It does; its version.
    Yes(String),
    /// It does not; why, a clause.
    No(String),
}

/// An environment's containers on one engine. While the engine does not answer, this is how they were last: ask
/// [`Seen::state`], which is `Unknown` then.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether the engine answers.
    pub reached: Reached,
    /// Since when it does, or does not.
    pub since: Timestamp,
    /// Every container with this environment's labels, by its id.
    pub containers: BTreeMap<String, Container>,
    /// The engine, while it answers: for those who want more of it.
    pub engine: Option<Engine>,
    /// Grows with each thing that happened to the environment's lease there.
    pub lease_events: u64,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name, without the slash.
    pub name: String,
    /// Which replica it is, where it is one.
    pub key: Option<ReplicaKey>,
    /// The value of its label [`labels::KIND`].
    pub kind: String,
    /// Where it is.
    pub state: ReplicaState,
    /// Since when.
    pub since: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// When it was started last.
    pub started: Option<Timestamp>,
    /// It was paused by somebody: nothing of it runs on.
    pub paused: bool,
    /// How often the engine started it again because it had exited.
    pub restarts: u32,
    /// How it exited last; `None` before it ever did.
    pub exit: Option<i64>,
    /// What the engine said when it could not start it.
    pub error: Option<String>,
    /// It, or a process of it, was ended for want of memory.
    pub oom: bool,
    /// What Docker's own health check says; `None` without one.
    pub health: Option<String>,
    /// Its main process on its host, while it runs.
    pub pid: Option<i32>,
    /// The memory it uses, without the cache that could be let go, bytes; `None` until it is known.
    pub memory: Option<u64>,
    /// The most that it may, bytes; `None` without a limit.
    pub memory_limit: Option<u64>,
    /// Tenths of a per cent of one core that it used over the last second; `None` until it is known.
    pub cpu_permille: Option<u32>,
    /// The port that it publishes on its host, by its label.
    pub port: Option<u16>,
    /// The id of the image that it really runs.
    pub image: String,
    /// Its label [`labels::ARTIFACT`]: the image that it should run.
    pub artifact: Option<String>,
    /// Its label [`labels::SETTINGS`].
    pub settings: Option<String>,
}

impl Seen {
    /// Of an engine that nobody has heard of yet.
    #[must_use]
    pub const fn unheard(at: Timestamp) -> Self {
        Self {
            reached: Reached::NotYet,
            since: at,
            containers: BTreeMap::new(),
            engine: None,
            lease_events: 0,
        }
    }

    /// Whether the engine answers now.
    #[must_use]
    pub const fn is_reached(&self) -> bool {
        matches!(self.reached, Reached::Yes(_))
    }

    /// The container of a replica, with its id: where there are two, the one that runs, then the newer one.
    #[must_use]
    pub fn find(&self, key: &ReplicaKey) -> Option<(&str, &Container)> {
        let all = self.containers.iter().filter(|(_, one)| one.key.as_ref() == Some(key));
        let found = all.max_by_key(|(_, one)| (one.pid.is_some(), one.since));
        found.map(|(id, one)| (id.as_str(), one))
    }

    /// Where a replica is: `Unknown` while the engine does not answer, `Gone` when it answers and has none.
    #[must_use]
    pub fn state(&self, key: &ReplicaKey) -> ReplicaState {
        match (&self.reached, self.find(key)) {
            (Reached::Yes(_), Some((_, container))) => container.state,
            (Reached::Yes(_), None) => ReplicaState::Gone,
            _ => ReplicaState::Unknown,
        }
    }
}

impl Container {
    /// From what the engine says of it.
    pub(super) fn of(said: &ContainerInspectResponse, now: Timestamp) -> Self {
        let labels = said.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
        let labels: BTreeMap<String, String> =
            labels.into_iter().map(|(name, value)| (name, harmless(&value))).collect();
        let label = |name: &str| labels.get(name).cloned();
        let state = said.state.clone().unwrap_or_default();
        let started = state.started_at.as_deref().and_then(moment);
        let finished = state.finished_at.as_deref().and_then(moment);
        let created = said
            .created
            .and_then(|at| i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok())
            .map(Timestamp);
        let status = state.status.unwrap_or(ContainerStateStatusEnum::EMPTY);
        let ran = finished.is_some() || status == ContainerStateStatusEnum::RESTARTING;
        let (place, since) = match status {
            ContainerStateStatusEnum::RUNNING => (ReplicaState::Up, started),
            ContainerStateStatusEnum::PAUSED => (ReplicaState::Stopped, started),
            ContainerStateStatusEnum::RESTARTING => (ReplicaState::Backoff, finished),
            ContainerStateStatusEnum::REMOVING => (ReplicaState::Stopping, finished),
            ContainerStateStatusEnum::CREATED => (ReplicaState::Starting, created),
            ContainerStateStatusEnum::DEAD => (ReplicaState::Gone, finished),
            _ => (ReplicaState::Stopped, finished),
        };
        let health = state.health.and_then(|health| health.status).filter(|status| {
            // Without a check, and of a container that does not run, it says nothing.
            !matches!(status, HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) && place == ReplicaState::Up
        });
        let limit = said.host_config.as_ref().and_then(|config| config.memory).filter(|bytes| *bytes > 0);
        Self {
            name: harmless(said.name.as_deref().unwrap_or_default().trim_start_matches('/')),
            key: labels::key(&labels),
            kind: label(labels::KIND).unwrap_or_default(),
            state: place,
            since: since.unwrap_or(now),
            created: created.unwrap_or(now),
            started,
            paused: status == ContainerStateStatusEnum::PAUSED,
            restarts: said.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            // What runs has not exited; what it did before is known from the events.
            exit: state.exit_code.filter(|_| ran && place != ReplicaState::Up),
            error: state.error.filter(|error| !error.is_empty()).map(|error| harmless(&error)),
            oom: state.oom_killed.unwrap_or(false),
            health: health.map(|status| status.to_string()),
            pid: state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
            memory: None,
            memory_limit: limit.and_then(|bytes| u64::try_from(bytes).ok()),
            cpu_permille: None,
            port: label(labels::PORT).and_then(|port| port.parse().ok()),
            image: harmless(said.image.as_deref().unwrap_or_default()),
            artifact: label(labels::ARTIFACT),
            settings: label(labels::SETTINGS),
        }
    }

    /// Whether it is of this kind.
    #[must_use]
    pub fn is(&self, kind: Kind) -> bool {
        self.kind == kind.word()
    }

    /// How it ended last, in words; `None` when it never did.
    #[must_use]
    pub fn last_exit(&self) -> Option<String> {
        if self.paused {
            return Some("paused by somebody".to_owned());
        }
        if let Some(error) = self.error.as_ref().filter(|_| self.state != ReplicaState::Up) {
            return Some(format!("could not be started: {error}"));
        }
        let code = self.exit?;
        Some(match code {
            KILLED if self.oom => format!("exit code {code}: ended for want of memory"),
            KILLED => format!("exit code {KILLED}: killed (signal 9)"),
            129..=159 => format!("exit code {code}: signal {}", code - 128),
            code => format!("exit code {code}"),
        })
    }
}

/// A word of an engine's, fit for a log and a screen: one line, bounded.
pub(super) fn harmless(text: &str) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(text.as_bytes());
    lines.extend(sanitiser.finish());
    crate::text::width::plain(&lines.join(" ")).chars().take(LONGEST).collect()
}

/// A moment as the engine writes it; `None` of its zero, which is the year 1.
fn moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at.as_millisecond() > 0).then(|| Timestamp(at.as_millisecond()))
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(json: &str) -> Container {
        Container::of(&serde_json::from_str(json).unwrap(), Timestamp(1))
    }

    #[test]
    fn what_an_engine_says_is_read_as_a_replica() {
        let one = inspected(
            r#"{"Id":"a","Created":"2026-11-22T10:00:00.5Z","Name":"/h-production-web-d3-2","Image":"sha256:1",
            "RestartCount":4,"State":{"Status":"restarting","Running":true,"Restarting":true,"OOMKilled":true,
            "Pid":0,"ExitCode":137,"StartedAt":"2026-11-22T10:00:01Z","FinishedAt":"2026-11-22T10:00:02Z"},
            "HostConfig":{"Memory":1048576},"Config":{"Labels":{"towpath.kind":"replica","towpath.project":"h",
            "towpath.environment":"production","towpath.deployment":"3","towpath.role":"web",
            "towpath.index":"2","towpath.port":"8123","towpath.artifact":"sha256:2"}}}"#,
        );
        let key = one.key.clone().unwrap();
        assert_eq!((key.role.as_str(), key.index, key.deployment.0), ("web", 2, 3));
        assert_eq!((one.state, one.restarts, one.oom), (ReplicaState::Backoff, 4, true));
        assert_eq!(one.since, Timestamp(1_795_341_602_000));
        assert_eq!((one.port, one.memory_limit, one.pid), (Some(8123), Some(1 << 20), None));
        assert_eq!(one.last_exit().unwrap(), "exit code 137: ended for want of memory");
        assert_ne!(Some(&one.image), one.artifact.as_ref());
    }

    #[test]
    fn of_an_engine_that_does_not_answer_everything_is_unknown() {
        let one = inspected(
            r#"{"Name":"/x","State":{"Status":"running","Pid":7,"Health":{"Status":"healthy"}},
            "Config":{"Labels":{"towpath.kind":"replica","towpath.environment":"e","towpath.deployment":"1",
            "towpath.role":"web","towpath.index":"1"}}}"#,
        );
        let key = one.key.clone().unwrap();
        let mut seen = Seen::unheard(Timestamp(0));
        assert_eq!(seen.state(&key), ReplicaState::Unknown);
        seen.reached = Reached::Yes("20.10".to_owned());
        assert_eq!(seen.state(&key), ReplicaState::Gone);
        assert_eq!(one.health.as_deref(), Some("healthy"));
        seen.containers.insert("a".to_owned(), one);
        assert_eq!(seen.state(&key), ReplicaState::Up);
        seen.reached = Reached::No("connection refused".to_owned());
        assert_eq!(seen.state(&key), ReplicaState::Unknown);
    }

    #[test]
    fn words_of_an_engine_harm_no_terminal() {
        assert_eq!(harmless("a\u{1b}]0;owned\u{7}b\nc"), "ab c");
        assert_eq!(harmless(&"x".repeat(10_000)).len(), LONGEST);
    }
}
