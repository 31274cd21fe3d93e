//! Requests in flight are let end: a replica is drained when no connection to its port is open.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio::time::Instant;

use super::{Deploy, passed};
use crate::domain::plan::Replicas;
use crate::domain::project::Router;
use crate::router::nginx::IDLE_SURVIVES;
use crate::runtime::workbench::{Done, Stopped, Workbench};

/// How long it is waited at most: a router may keep idle connections for longer, and they mean nothing. What is
/// still being answered then has the role's `stop_timeout` to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after its file was written nginx may have taken the new configuration up.
const RELOAD: Duration = Duration::from_secs(2);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(50);
/// How often an engine is asked.
const ASK: Duration = Duration::from_millis(500);

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
    let keys = deploy.keys(replicas);
    let fleet = deploy.fleet(&keys);
    // A process costs nothing to look at; a container is asked through its engine.
    let look = if keys.iter().any(|key| fleet.host(key).is_some()) { ASK } else { LOOK };
    loop {
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        let open = fleet.connections(&keys).await;
        let Some(open) = open else {
            if Instant::now() < quiet {
                tokio::time::sleep(look).await;
                continue;
            }
            bench.say("Its connections cannot be counted; whatever they carry has the stop's time to end.");
            return Ok(passed(["connections not counted".to_owned()]));
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
        tokio::time::sleep(look).await;
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
