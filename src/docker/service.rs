//! A container beside a step: started, and asked whether it is ready from within its own network.
//!
//! Nothing of ours runs there to ask. So each question is asked of what is there: the image's own health check, its
//! own `psql`, a command line of the project's, or the kernel's table of listening sockets, which `cat` shows in the
//! service, and where its image has no `cat`, a container of the step's image that shares its network.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerState, HealthStatusEnum, HostConfig, HostConfigLogConfig,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::exec::exec;
use super::run::{self, Command, Joins, OneOff, Said};
use super::trouble::{Result, cause};
use super::{Engine, image};
use crate::domain::project::{ContainerService, Ready};

/// The size at which a service's log begins anew, so that it does not fill the host's disk.
const LOG_SIZE: &str = "10m";

/// A service that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Its container.
    pub id: String,
    /// Whether its image has a health check.
    health: bool,
}

/// What a service answers when it is asked whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is; with what could not be asked, where something could not.
    Ready(Option<String>),
    /// Not yet; with what it said.
    NotYet(String),
    /// It has ended, with this exit code, out of memory or not.
    Ended(i64, bool),
}

/// Starts a service on a network, where its name is its host name.
///
/// # Errors
/// When its image is not to be had, or the container cannot be made or started.
pub async fn start(
    engine: &Engine,
    service: &ContainerService,
    name: &str,
    network: &str,
    labels: &BTreeMap<String, String>,
    progress: &mut (dyn FnMut(String) + Send),
) -> Result<Started> {
    let about = image::have(engine, &service.image, progress).await?;
    let joins = Joins { network: network.to_owned(), aliases: vec![service.name.clone()] };
    let (mode, networking) = run::joined(Some(&joins));
    // The image's own entry point prepares what a server needs (a database's directory): it is asked, and gets the
    // command as its arguments.
    let command = service.command.as_ref().map(|line| vec!["sh".to_owned(), "-c".to_owned(), line.clone()]);
    let body = ContainerCreateBody {
        image: Some(about.id.clone()),
        hostname: Some(service.name.clone()),
        cmd: command,
        env: Some(run::variables(&service.env)),
        labels: Some(labels.clone().into_iter().collect()),
        host_config: Some(HostConfig {
            network_mode: mode,
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(HashMap::from([
                    ("max-size".to_owned(), LOG_SIZE.to_owned()),
                    ("max-file".to_owned(), "2".to_owned()),
                ])),
            }),
            ..HostConfig::default()
        }),
        networking_config: networking,
        ..ContainerCreateBody::default()
    };
    let what = format!("the service {} could not be started", service.name);
    let failed = |error: &bollard::errors::Error| {
        let mut failed = cause(engine.name(), &what, error);
        failed.expected = format!("a container of {}", service.image);
        failed.cure = format!("Correct [service.{}] in towpath.toml, then start a new run.", service.name);
        failed
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let made = engine.client().create_container(Some(options), body).await.map_err(|error| failed(&error))?;
    engine.client().start_container(&made.id, None).await.map_err(|error| failed(&error))?;
    Ok(Started { id: made.id, health: about.health })
}

/// Asks once whether it is ready. `helper` is an image with `cat` that is on the engine.
///
/// # Errors
/// When the engine is lost.
pub async fn ask(engine: &Engine, service: &Started, ready: &Ready, helper: &str) -> Result<Answer> {
    let what = "how a service is could not be asked";
    let found = engine.client().inspect_container(&service.id, None).await;
    let state = found.map_err(|error| cause(engine.name(), what, &error))?.state.unwrap_or_default();
    if state.running != Some(true) {
        return Ok(Answer::Ended(state.exit_code.unwrap_or(-1), state.oom_killed.unwrap_or(false)));
    }
    let asked = match ready {
        Ready::Image => Ok(by_image(service, &state)),
        Ready::Tcp(port) => listens(engine, service, *port, helper).await,
        Ready::Command(line) => {
            exec(engine, &service.id, &["sh", "-c", line]).await.map(|(code, said)| answered(code, &said))
        }
        Ready::Postgres(url) => postgres(engine, service, url, helper).await,
    };
    match asked {
        // It may have ended while it was asked: the next question says so, with its exit code.
        Err(failed) if failed.measured.contains("not running") => Ok(Answer::NotYet(failed.measured)),
        asked => asked,
    }
}

fn answered(code: i64, said: &str) -> Answer {
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    match code {
        0 => Answer::Ready(None),
        code => Answer::NotYet(format!("exit code {code}: {last}")),
    }
}

fn by_image(service: &Started, state: &ContainerState) -> Answer {
    if !service.health {
        return Answer::Ready(Some(
            "its image has no health check; only that it runs was looked at".to_owned(),
        ));
    }
    match state.health.as_ref().and_then(|health| health.status) {
        Some(HealthStatusEnum::HEALTHY) => Answer::Ready(None),
        other => {
            let checks = state.health.as_ref().and_then(|health| health.log.as_ref());
            let said = checks.and_then(|checks| checks.last()).and_then(|check| check.output.clone());
            let status = other.map_or_else(|| "no status".to_owned(), |status| status.to_string());
            Answer::NotYet(format!("its health check says {status}: {}", said.unwrap_or_default().trim()))
        }
    }
}

/// PostgreSQL takes the user in: its own `psql` asks, by its name on the network as the step will.
async fn postgres(engine: &Engine, service: &Started, url: &str, helper: &str) -> Result<Answer> {
    let (code, said) = exec(engine, &service.id, &["psql", url, "-Atqc", "select 1"]).await?;
    if code != 126 && code != 127 {
        return Ok(answered(code, &said));
    }
    let answer = listens(engine, service, port_of(url), helper).await?;
    Ok(match answer {
        Answer::Ready(_) => {
            Answer::Ready(Some("its image has no psql; only that it listens was looked at".to_owned()))
        }
        other => other,
    })
}

/// The port of a `postgres://` address.
fn port_of(url: &str) -> u16 {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or(authority);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    host.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432)
}

/// Whether somebody listens at a port where others on the network can reach it.
async fn listens(engine: &Engine, service: &Started, port: u16, helper: &str) -> Result<Answer> {
    const TABLES: [&str; 3] = ["cat", "/proc/net/tcp", "/proc/net/tcp6"];
    let (code, mut table) = exec(engine, &service.id, &TABLES).await?;
    // Without IPv6 there is no second table, and `cat` complains, having shown the first.
    if code == 126 || code == 127 {
        let mut one = OneOff::new(helper, Command::Argv(TABLES.map(str::to_owned).to_vec()));
        one.network = Some(Joins { network: format!("container:{}", service.id), aliases: Vec::new() });
        one.user = Some("0".to_owned());
        let mut said = Vec::new();
        let mut on = |piece: Said<'_>| {
            if let Said::Output(bytes) = piece {
                said.extend_from_slice(bytes);
            }
        };
        run::run(engine, &one, std::future::pending(), &mut on).await?;
        table = String::from_utf8_lossy(&said).into_owned();
    }
    Ok(match listening(&table, port) {
        Listening::Reachable => Answer::Ready(None),
        Listening::Loopback => Answer::NotYet(format!(
            "it listens at port {port} of 127.0.0.1 alone, where no other container reaches it"
        )),
        Listening::Nobody => Answer::NotYet(format!("nobody listens at port {port}")),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Listening {
    Reachable,
    Loopback,
    Nobody,
}

/// Reads the kernel's tables (`/proc/net/tcp`): `sl local_address rem_address st …`, addresses hexadecimal in the
/// machine's byte order; state 0A is listening.
fn listening(table: &str, port: u16) -> Listening {
    let wanted = format!("{port:04X}");
    let mut found = Listening::Nobody;
    for line in table.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(local), Some(state)) = (words.next(), words.nth(1)) else { continue };
        let Some((address, at)) = local.split_once(':') else { continue };
        if state != "0A" || at != wanted {
            continue;
        }
        // 127.0.0.0/8 ends in 7F on a little-endian machine and begins with it on the other sort.
        let loopback = match address.len() {
            8 => address.ends_with("7F") || address.starts_with("7F"),
            _ => {
                address == "00000000000000000000000001000000" || address == "00000000000000000000000000000001"
            }
        };
        if !loopback {
            return Listening::Reachable;
        }
        found = Listening::Loopback;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_where_is_read_from_the_kernels_table() {
        let head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
        let line = |local: &str, state: &str| format!("{head}   0: {local} 00000000:0000 {state} 0:0\n");
        assert_eq!(listening(&line("00000000:1538", "0A"), 5432), Listening::Reachable);
        assert_eq!(listening(&line("0100007F:1538", "0A"), 5432), Listening::Loopback);
        assert_eq!(listening(&line("00000000:1538", "01"), 5432), Listening::Nobody);
        let six =
            "   0: 00000000000000000000000000000000:1538 00000000000000000000000000000000:0000 0A 0:0\n";
        assert_eq!(listening(six, 5432), Listening::Reachable);
        assert_eq!(listening(six, 5433), Listening::Nobody);
    }

    #[test]
    fn a_port_is_read_from_an_address() {
        assert_eq!(port_of("postgres://a:b@db:6000/x"), 6000);
        assert_eq!(port_of("postgres://db/x"), 5432);
        assert_eq!(port_of("postgres://a:p@db/x?sslmode=disable"), 5432);
    }
}
