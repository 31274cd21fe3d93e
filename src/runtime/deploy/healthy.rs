//! Started replicas are waited for until they answer well; one that ends meanwhile fails the step at once, with its
//! own last words.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::{Deploy, count, failed, passed};
use crate::domain::health::ReplicaState;
use crate::domain::ids::ReplicaKey;
use crate::domain::plan::{Cause, Replicas};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, HealthCheck};
use crate::domain::time::Millis;
use crate::probe::http::{Answer, Ask, Prober};
use crate::runtime::log::now;
use crate::runtime::replica::{self, Status};
use crate::runtime::workbench::{Done, Stopped, Workbench};

/// How long a replica that cannot be asked has to live until it counts as started: long enough for an import error,
/// a missing module or a refused connection to end it.
const SETTLED: Millis = Millis::seconds(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(100);
/// How many good answers in a row are wanted.
const IN_A_ROW: u32 = 2;
/// How many of a replica's last lines are shown.
const LINES: usize = 20;

/// A replica's own address.
pub(super) const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The question whether a replica is well, asked past the router.
#[must_use]
pub fn ask(settings: &Environment, port: u16) -> Ask {
    let HealthCheck { path, status, within, .. } = &settings.health;
    let (scheme, host) = settings
        .url
        .as_deref()
        .and_then(|url| url.split_once("://"))
        .map_or((None, None), |(scheme, rest)| {
            (Some(scheme.to_owned()), Some(rest.split('/').next().unwrap_or(rest).to_owned()))
        });
    let ask = Ask::direct(HERE, port, path, host, Duration::from(*within).max(Duration::from_secs(1)));
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
    let mut slowest = Millis(0);
    for key in &keys {
        let mut in_a_row = 0;
        let mut last: Option<Answer> = None;
        loop {
            if bench.cancelled() {
                return Err(Stopped.into());
            }
            let dir = deploy.replica(key);
            let status = replica::status(&dir);
            if let Some(cause) = ended(key, &dir, &status) {
                return Ok(failed(cause));
            }
            if status.state == ReplicaState::Up {
                let is_well = match status.port.filter(|_| key.role == ROUTED_ROLE) {
                    Some(port) => {
                        let answer = prober.ask(&ask(&deploy.settings, port)).await;
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
                    bench.say(&format!("{key} is well."));
                    break;
                }
            }
            if Instant::now() > until {
                return Ok(failed(never(deploy, key, &dir, &status, last.as_ref())));
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

/// Why a replica is not what it should be, where it has ended (again and again, as a rule).
pub(super) fn ended(key: &ReplicaKey, dir: &Path, status: &Status) -> Option<Cause> {
    let has_ended = match status.state {
        ReplicaState::Backoff | ReplicaState::Stopped | ReplicaState::Stopping => true,
        // Its keeper is about to say how.
        ReplicaState::Gone => !status.keeper,
        ReplicaState::Up | ReplicaState::Starting | ReplicaState::Waiting | ReplicaState::Unknown => {
            status.restarts > 0
        }
    };
    if !has_ended {
        return None;
    }
    let how = status.last_exit.clone().unwrap_or_else(|| "nobody knows how".to_owned());
    Some(Cause {
        summary: format!("{key} ended: {how}"),
        expected: "a process that goes on running".to_owned(),
        measured: how,
        exit_code: None,
        last_lines: replica::last_lines(dir, LINES),
        cure: "Its own last lines say why; its whole log is in the Logs screen.".to_owned(),
    })
}

fn never(deploy: &Deploy, key: &ReplicaKey, dir: &Path, status: &Status, last: Option<&Answer>) -> Cause {
    let HealthCheck { path, start, status: wanted, within, .. } = &deploy.settings.health;
    let wanted = wanted.map_or_else(|| "a status below 500".to_owned(), |status| format!("status {status}"));
    let measured = match (last, &status.waits_for) {
        (_, Some(waits)) => format!("it waits: {waits}"),
        (Some(answer), _) if answer.body_start.is_empty() => answer.why.clone(),
        (Some(answer), _) => format!("{}: {}", answer.why, answer.body_start),
        (None, None) => format!("it is {}", status.state.word()),
    };
    Cause {
        summary: format!("{key} was not well within {start}: {measured}"),
        expected: match status.port {
            Some(port) if key.role == ROUTED_ROLE => {
                format!("{wanted} from http://{HERE}:{port}{path}, each within {within}")
            }
            _ => format!("a process that lives for {SETTLED}"),
        },
        measured,
        exit_code: None,
        last_lines: replica::last_lines(dir, LINES),
        cure: "See its last lines. If it only starts slowly, give it more time: health = { start = \"…\" }."
            .to_owned(),
    }
}
