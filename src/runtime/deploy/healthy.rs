//! Started replicas are waited for until they answer well; one that ends meanwhile fails the step at once, with its
//! own last words.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Deploy, count, failed, passed, place};
use crate::docker::labels;
use crate::docker::replica::start;
use crate::domain::health::ReplicaState;
use crate::domain::ids::ReplicaKey;
use crate::domain::plan::{Cause, Replicas};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, HealthCheck};
use crate::domain::time::Millis;
use crate::probe::http::{Answer, Ask, Prober};
use crate::runtime::fleet::Fleet;
use crate::runtime::log::now;
use crate::runtime::replica::Status;
use crate::runtime::workbench::{Done, Stopped, Workbench};
use crate::text::redact::Redactor;

/// How long a replica that cannot be asked has to live until it counts as started: long enough for an import error,
/// a missing module or a refused connection to end it.
const SETTLED: Millis = Millis::seconds(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// How many good answers in a row are wanted.
const IN_A_ROW: u32 = 2;
/// How many of a replica's last lines are shown.
const LINES: usize = 20;

/// The question whether a replica is well, asked past the router.
#[must_use]
pub fn ask(settings: &Environment, at: SocketAddr) -> Ask {
    let HealthCheck { path, status, within, .. } = &settings.health;
    let (scheme, host) = settings
        .url
        .as_deref()
        .and_then(|url| url.split_once("://"))
        .map_or((None, None), |(scheme, rest)| {
            (Some(scheme.to_owned()), Some(rest.split('/').next().unwrap_or(rest).to_owned()))
        });
    let ask =
        Ask::direct(at.ip(), at.port(), path, host, Duration::from(*within).max(Duration::from_secs(1)));
    Ask { expect_status: *status, within: Some(*within), forwarded_proto: scheme, ..ask }
}

/// The question whether an environment is well, asked as its visitors would.
#[must_use]
pub fn ask_through(url: &str, health: &HealthCheck, timeout: Duration) -> Ask {
    Ask {
        expect_status: health.status,
        within: Some(health.within),
        ..Ask::new(address(url, &health.path), timeout)
    }
}

/// A path below an environment's address.
pub(super) fn address(url: &str, path: &str) -> String {
    format!("{}{path}", url.trim_end_matches('/'))
}

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, replicas: &Replicas) -> Result<Done> {
    let prober = Prober::new().map_err(anyhow::Error::msg)?;
    let until = Instant::now() + Duration::from(deploy.settings.health.start);
    let keys = deploy.keys(replicas);
    let fleet = deploy.fleet(&keys);
    let mut slowest = Millis(0);
    for key in &keys {
        let mut in_a_row = 0;
        let mut last: Option<Answer> = None;
        let mut silence = Silence::default();
        loop {
            if bench.cancelled() {
                return Err(Stopped.into());
            }
            let status = fleet.status(key).await;
            silence.heard(bench, key, &status);
            if let Some(mut cause) = ended(bench, deploy, &fleet, key, &status).await {
                silence.explains(&mut cause);
                return Ok(failed(cause));
            }
            // An image's own health check is waited for too, where it has one.
            let checked = status.health.as_deref().is_none_or(|health| health == "healthy");
            if status.state == ReplicaState::Up && checked {
                let is_well = match status.address.filter(|_| key.role == ROUTED_ROLE) {
                    Some(at) => {
                        let answer = prober.ask(&ask(&deploy.settings, at)).await;
                        in_a_row = if answer.healthy { in_a_row + 1 } else { 0 };
                        if answer.healthy {
                            slowest = slowest.max(answer.latency);
                        }
                        last = Some(answer);
                        in_a_row >= IN_A_ROW
                    }
                    None => now().since(status.since) >= SETTLED,
                };
                if is_well {
                    if let Some(cause) = keep(deploy, &fleet, key).await {
                        return Ok(failed(cause));
                    }
                    bench.say(&format!("{key} is well."));
                    break;
                }
            }
            if Instant::now() > until {
                let last_lines = last_lines(bench, deploy, &fleet, key).await;
                let mut cause = never(deploy, key, &status, last.as_ref(), last_lines);
                at_host(&fleet, key, &mut cause);
                silence.explains(&mut cause);
                return Ok(failed(cause));
            }
            if in_a_row == 0 {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
    let mut facts = vec![format!("{} well", count(keys.len()))];
    if slowest > Millis(0) {
        facts.push(format!("{} in {slowest}", deploy.settings.health.path));
    }
    Ok(passed(facts))
}

/// From here on its engine starts a container again by itself.
async fn keep(deploy: &Deploy, fleet: &Fleet, key: &ReplicaKey) -> Option<Cause> {
    let host = fleet.host(key)?;
    let kept = match fleet.engine_again(host).await {
        Ok(engine) => start::keep(&engine, &deploy.project, key).await,
        Err(cause) => Err(cause),
    };
    kept.err().map(|cause| *cause)
}

/// For how long a replica's engine did not answer: whoever restarts it ends its containers too.
#[derive(Default)]
struct Silence {
    since: Option<Instant>,
    longest: Duration,
    why: String,
}

impl Silence {
    fn heard(&mut self, bench: &mut Workbench, key: &ReplicaKey, status: &Status) {
        if status.state != ReplicaState::Unknown {
            if let Some(since) = self.since.take() {
                bench.say(&format!("{key} can be asked for again after {}.", millis(since.elapsed())));
                self.longest = self.longest.max(since.elapsed());
            }
            return;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        self.longest = self.longest.max(since.elapsed());
        if let Some(why) = status.waits_for.as_ref().filter(|_| self.why.is_empty()) {
            bench.say(&format!("{key} cannot be asked for: {why}."));
            self.why.clone_from(why);
        }
    }

    /// An engine that was away is why its container has ended, as a rule.
    fn explains(&self, cause: &mut Cause) {
        if self.why.is_empty() {
            return;
        }
        cause.summary = format!(
            "{}; its engine did not answer for {} before that ({})",
            cause.summary,
            millis(self.longest),
            self.why
        );
        cause.cure = format!(
            "If somebody restarted Docker there, that ended it: deploy again. Otherwise: {}",
            cause.cure
        );
    }
}

fn millis(time: Duration) -> Millis {
    Millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Says at which host it was, and in which container.
fn at_host(fleet: &Fleet, key: &ReplicaKey, cause: &mut Cause) {
    if let Some(host) = fleet.host(key) {
        cause.expected = format!(
            "{} (container {} on {})",
            cause.expected,
            labels::replica(fleet.project(), key),
            host.name
        );
        cause.summary = cause.summary.replacen(&key.to_string(), &format!("{key} on {}", host.name), 1);
    }
}

/// A replica's last lines, the environment's secrets hidden.
pub(super) async fn last_lines(
    bench: &mut Workbench,
    deploy: &Deploy,
    fleet: &Fleet,
    key: &ReplicaKey,
) -> Vec<String> {
    let lines = fleet.last_lines(key, LINES).await;
    if fleet.host(key).is_none() {
        return lines;
    }
    match place::secrets(bench, deploy).await {
        Ok(secrets) => {
            let mut redactor = Redactor::new(secrets.into_values());
            lines.iter().map(|line| redactor.redact(line).into_owned()).collect()
        }
        Err(cause) => {
            vec![format!("(not shown: a secret that might be in them cannot be had: {})", cause.summary)]
        }
    }
}

/// Why a replica is not what it should be, where it has ended (again and again, as a rule).
pub(super) async fn ended(
    bench: &mut Workbench,
    deploy: &Deploy,
    fleet: &Fleet,
    key: &ReplicaKey,
    status: &Status,
) -> Option<Cause> {
    let is_container = fleet.host(key).is_some();
    let has_ended = match status.state {
        ReplicaState::Backoff | ReplicaState::Stopped | ReplicaState::Stopping => true,
        // Of a process, its keeper is about to say how.
        ReplicaState::Gone => is_container || !status.keeper,
        ReplicaState::Up | ReplicaState::Starting | ReplicaState::Waiting => status.restarts > 0,
        ReplicaState::Unknown => false,
    };
    let is_sick = status.health.as_deref() == Some("unhealthy");
    if !has_ended && !is_sick {
        return None;
    }
    let last_lines = last_lines(bench, deploy, fleet, key).await;
    if !has_ended {
        let said = status.health_said.clone().unwrap_or_default();
        let mut cause = Cause {
            summary: format!("{key} is unhealthy by its image's own health check: {said}"),
            expected: "healthy".to_owned(),
            measured: said,
            exit_code: None,
            last_lines,
            cure: "See its last lines, and the HEALTHCHECK of the Dockerfile.".to_owned(),
        };
        at_host(fleet, key, &mut cause);
        return Some(cause);
    }
    let how = status.last_exit.clone().unwrap_or_else(|| {
        if is_container && status.state == ReplicaState::Gone {
            "its container was removed".to_owned()
        } else {
            "nobody knows how".to_owned()
        }
    });
    let mut cause = Cause {
        summary: format!("{key} ended: {how}"),
        expected: "a process that goes on running".to_owned(),
        measured: how,
        exit_code: status.exit_code,
        last_lines,
        cure: "Its own last lines say why; its whole log is in the Logs screen.".to_owned(),
    };
    at_host(fleet, key, &mut cause);
    Some(cause)
}

fn never(
    deploy: &Deploy,
    key: &ReplicaKey,
    status: &Status,
    last: Option<&Answer>,
    last_lines: Vec<String>,
) -> Cause {
    let HealthCheck { path, start, status: wanted, within, .. } = &deploy.settings.health;
    let wanted = wanted.map_or_else(|| "a status below 500".to_owned(), |status| format!("status {status}"));
    let measured = match (last, &status.waits_for, &status.health) {
        (_, Some(waits), _) => format!("it waits: {waits}"),
        (_, None, Some(health)) if health != "healthy" => format!("its own health check says {health}"),
        (Some(answer), None, _) if answer.body_start.is_empty() => answer.why.clone(),
        (Some(answer), None, _) => format!("{}: {}", answer.why, answer.body_start),
        (None, None, _) => format!("it is {}", status.state.word()),
    };
    Cause {
        summary: format!("{key} was not well within {start}: {measured}"),
        expected: match status.address {
            Some(at) if key.role == ROUTED_ROLE => {
                format!("{wanted} from http://{at}{path}, each within {within}")
            }
            _ => format!("a process that lives for {SETTLED}"),
        },
        measured,
        exit_code: None,
        last_lines,
        cure: "See its last lines. If it only starts slowly, give it more time: health = { start = \"…\" }."
            .to_owned(),
    }
}
