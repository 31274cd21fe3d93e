//! What became of a replica.

use std::net::SocketAddr;

use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};

use super::start::{find, label};
use crate::docker::exec::last_words;
use crate::docker::trouble::{Result, cause};
use crate::docker::{Engine, labels};
use crate::domain::health::ReplicaState;
use crate::domain::ids::ReplicaKey;
use crate::domain::time::Timestamp;

/// A replica as its engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is doing.
    pub state: ReplicaState,
    /// Since when.
    pub since: Timestamp,
    /// How often the engine has started it again by itself.
    pub restarts: u32,
    /// How it ended, where it has ended: `exit code 3`, `out of memory`.
    pub ended: Option<String>,
    /// Its exit code, where it has ended.
    pub exit_code: Option<i32>,
    /// It was ended for want of memory.
    pub oom: bool,
    /// What the image's own health check says last; `None` without one.
    pub health: Option<Health>,
    /// Where the router reaches it.
    pub address: Option<SocketAddr>,
    /// The process id of its first process, on its host.
    pub pid: Option<i32>,
    /// The image's id.
    pub image: String,
}

/// What an image's own health check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub word: &'static str,
    /// The last line of what the check said; not sanitised.
    pub said: String,
}

/// Looks at a replica; `None` when there is none.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn look(engine: &Engine, project: &str, key: &ReplicaKey) -> Result<Option<Seen>> {
    let there = find(engine, &labels::replica(project, key)).await?;
    Ok(there.filter(|there| label(there, labels::PROJECT) == Some(project)).map(|there| seen(engine, &there)))
}

fn seen(engine: &Engine, there: &ContainerInspectResponse) -> Seen {
    use ContainerStateStatusEnum as Status;
    let state = there.state.clone().unwrap_or_default();
    let at = |time: &Option<String>| time.as_deref().and_then(timestamp);
    let (started, finished) = (at(&state.started_at), at(&state.finished_at));
    let oom = state.oom_killed.unwrap_or(false);
    let (doing, since) = match state.status.unwrap_or(Status::EMPTY) {
        Status::RUNNING | Status::PAUSED => (ReplicaState::Up, started),
        Status::RESTARTING => (ReplicaState::Backoff, finished),
        Status::CREATED => (ReplicaState::Starting, None),
        Status::REMOVING => (ReplicaState::Stopping, None),
        Status::EXITED | Status::DEAD | Status::STOPPING | Status::EMPTY => (ReplicaState::Stopped, finished),
    };
    let has_ended = matches!(doing, ReplicaState::Stopped | ReplicaState::Backoff);
    let exit_code = state.exit_code.and_then(|code| i32::try_from(code).ok()).filter(|_| has_ended);
    Seen {
        state: doing,
        since: since.unwrap_or(Timestamp(0)),
        restarts: there.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        ended: exit_code.map(|code| how(code, oom, state.error.as_deref().unwrap_or_default())),
        exit_code,
        oom,
        health: state.health.and_then(|health| {
            let word = match health.status? {
                HealthStatusEnum::STARTING => "starting",
                HealthStatusEnum::HEALTHY => "healthy",
                HealthStatusEnum::UNHEALTHY => "unhealthy",
                HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => return None,
            };
            let last = health.log.unwrap_or_default().pop().and_then(|last| last.output).unwrap_or_default();
            let said = last.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            Some(Health { word, said: said.trim().to_owned() })
        }),
        address: label(there, labels::PORT)
            .and_then(|port| port.parse().ok())
            .map(|port| SocketAddr::new(engine.address(), port)),
        pid: state.pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0),
        image: there.image.clone().unwrap_or_default(),
    }
}

/// How a container ended, in words.
#[must_use]
pub fn how(code: i32, oom: bool, error: &str) -> String {
    if oom {
        return "out of memory".to_owned();
    }
    if !error.is_empty() {
        return error.to_owned();
    }
    match code {
        // What Docker reports for a signal.
        129..=159 => format!("signal {}", signal(code - 128)),
        code => format!("exit code {code}"),
    }
}

fn signal(number: i32) -> String {
    match number {
        1 => "SIGHUP".to_owned(),
        2 => "SIGINT".to_owned(),
        6 => "SIGABRT".to_owned(),
        9 => "SIGKILL".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => other.to_string(),
    }
}

/// A time as Docker writes it.
#[must_use]
pub fn timestamp(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-") {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp(at.as_millisecond()))
}

/// A replica's last lines, oldest first, as they are: not sanitised, not redacted. Empty where they cannot be had.
pub async fn last_lines(engine: &Engine, project: &str, key: &ReplicaKey, count: usize) -> Vec<u8> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    last_words(engine, &labels::replica(project, key), count).await
}

/// The containers that carry all of these labels, of whatever state.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn all(
    engine: &Engine,
    labels: &std::collections::BTreeMap<String, String>,
) -> Result<Vec<bollard::models::ContainerSummary>> {
    let wanted = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let options = bollard::query_parameters::ListContainersOptions {
        all: true,
        filters: Some(std::collections::HashMap::from([("label".to_owned(), wanted)])),
        ..Default::default()
    };
    let listed = engine.client().list_containers(Some(options)).await;
    listed.map_err(|error| cause(engine.name(), "the containers could not be listed", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_said_in_words() {
        assert_eq!(how(3, false, ""), "exit code 3");
        assert_eq!(how(137, false, ""), "signal SIGKILL");
        assert_eq!(how(137, true, ""), "out of memory");
        assert_eq!(how(127, false, "no such file"), "no such file");
        assert_eq!(how(255, false, ""), "exit code 255");
    }

    #[test]
    fn never_is_no_time() {
        assert_eq!(timestamp("0001-01-01T00:00:00Z"), None);
        assert_eq!(timestamp("1970-01-01T00:00:01.5Z"), Some(Timestamp(1500)));
    }
}
