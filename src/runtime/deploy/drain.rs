//! Requests in flight are let end: a replica is drained when no connection to its port is open.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio::time::Instant;

use super::{Deploy, passed};
use crate::domain::plan::Replicas;
use crate::domain::project::Router;
use crate::router::nginx::IDLE_SURVIVES;
use crate::runtime::replica;
use crate::runtime::workbench::{Done, Stopped, Workbench};

/// How long it is waited at most: a router may keep idle connections for longer, and they mean nothing. What is
/// still being answered then has the role's `stop_timeout` to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after its file was written nginx may have taken the new configuration up.
const RELOAD: Duration = Duration::from_secs(2);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// `TCP_ESTABLISHED` in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, replicas: &Replicas) -> Result<Done> {
    // nginx keeps idle connections of clients for a while after a switch, and their next request still comes here.
    let idle = survivors(deploy);
    if !idle.is_zero() {
        bench.say(&format!(
            "Idle connections from before the switch may still bring requests for {:.1}s.",
            idle.as_secs_f64()
        ));
    }
    let quiet = Instant::now() + idle;
    let began = Instant::now();
    let ports: Vec<u16> =
        deploy.keys(replicas).iter().filter_map(|key| replica::status(&deploy.replica(key)).port).collect();
    loop {
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        let open: usize = {
            let all = connections();
            ports.iter().map(|port| all.get(port).copied().unwrap_or(0)).sum()
        };
        if open == 0 && Instant::now() >= quiet {
            return Ok(passed(["no request in flight".to_owned()]));
        }
        if began.elapsed() > PATIENCE + idle {
            let s = if open == 1 { "" } else { "s" };
            bench.say(&format!(
                "{open} connection{s} stay open; whatever they carry has the stop's time to end."
            ));
            return Ok(passed([format!("{open} connection{s} left open")]));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// For how much longer a client's idle connection from before the last switch may bring a request here.
fn survivors(deploy: &Deploy) -> Duration {
    let Router::Nginx(nginx) = &deploy.settings.router else { return Duration::ZERO };
    // The file is written at every switch, and only then.
    let written = std::fs::metadata(deploy.home.join(&nginx.include)).and_then(|about| about.modified());
    let age = written.ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    let survive = IDLE_SURVIVES + RELOAD;
    survive.saturating_sub(age.unwrap_or_default())
}

/// How many connections are established, by the port on this machine that they came to.
fn connections() -> BTreeMap<u16, usize> {
    let mut found = BTreeMap::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in std::fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            if let Some(port) = established(line) {
                *found.entry(port).or_insert(0) += 1;
            }
        }
    }
    found
}

/// The local port of a line of `/proc/net/tcp`, where its connection is established.
fn established(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace();
    let port = fields.nth(1)?.rsplit(':').next()?;
    let state = fields.nth(1)?;
    (state == ESTABLISHED).then(|| u16::from_str_radix(port, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_while_it_is_open() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(connections().get(&port), None);
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(connections().get(&port), Some(&1));
        drop((client, server));
    }

    #[test]
    fn a_listening_socket_is_no_connection() {
        let line =
            "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1";
        assert_eq!(established(line), None);
        assert_eq!(established(&line.replace(" 0A ", " 01 ")), Some(8080));
        assert_eq!(established(""), None);
    }
}
