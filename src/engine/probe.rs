//! How an environment is, asked again and again: its replicas' states and its health check, through the router where
//! there is one.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use super::deployments::{Meant, MeantToLive};
use super::{log, now};
use crate::domain::health::{HttpSample, ReplicaSample, Sample};
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, HealthCheck};
use crate::probe::http::{Ask, Prober};
use crate::router::nginx::labelled;
use crate::runtime::deploy::observe;
use crate::runtime::process::{Process, below};
use crate::runtime::replica;
use crate::store::layout::replica_directory;

/// How often replicas are looked at; their states are asked of the kernel, which is cheap.
const REPLICAS: Duration = Duration::from_secs(2);

/// What one watch asks.
pub(super) struct Probe {
    pub(super) environment: EnvironmentName,
    pub(super) directory: PathBuf,
    pub(super) health: HealthCheck,
    pub(super) url: Option<String>,
    pub(super) meant: MeantToLive,
    pub(super) measured: mpsc::Sender<Sample>,
}

impl Probe {
    /// Asks until it is aborted.
    pub(super) async fn run(self) {
        let prober = match Prober::new() {
            Ok(prober) => prober,
            Err(error) => return log(&format!("{} is not probed: {error}", self.environment)),
        };
        tokio::join!(self.replicas(), self.health(&prober));
    }

    async fn replicas(&self) {
        loop {
            let all = Process::all();
            let meant = self.meant.of(&self.environment).into_iter();
            let replicas: Vec<ReplicaSample> = meant.map(|meant| self.look(meant, &all)).collect();
            let sample = Sample::Replicas { environment: self.environment.clone(), at: now(), replicas };
            // Told again though nothing has changed: a viewer that hears nothing must take it for unknown.
            let _ = self.measured.send(sample).await;
            tokio::time::sleep(REPLICAS).await;
        }
    }

    fn look(&self, meant: Meant, all: &[Process]) -> ReplicaSample {
        let status = replica::status(&replica_directory(&self.directory, &meant.key));
        ReplicaSample {
            key: meant.key,
            release: meant.release,
            state: status.state,
            since: status.since,
            restarts: status.restarts,
            port: status.port(),
            last_exit: status.last_exit,
            pid: status.pid,
            weight: meant.weight,
            memory: status.pid.map(|pid| resident(pid, all)),
            memory_limit: None,
            cpu_permille: None,
            host: None,
            health: None,
            oom: false,
        }
    }

    async fn health(&self, prober: &Prober) {
        loop {
            if let Some((ask, deployment)) = self.ask() {
                let asked = ask.url.clone();
                let answer = prober.ask(&ask).await;
                let by = answer.deployment.as_deref().and_then(labelled);
                let answer = HttpSample {
                    asked,
                    status: answer.status,
                    latency: answer.latency,
                    healthy: answer.healthy,
                    why: answer.why,
                    deployment: by.or(deployment),
                };
                let sample = Sample::Http { environment: self.environment.clone(), at: now(), answer };
                let _ = self.measured.send(sample).await;
            }
            tokio::time::sleep(self.health.interval.into()).await;
        }
    }

    /// What to ask: the environment's address, or, without one, a routed replica; `None` while there is none.
    fn ask(&self) -> Option<(Ask, Option<DeploymentId>)> {
        if let Some(url) = &self.url {
            let timeout = Duration::from(self.health.within).max(Duration::from_secs(1));
            return Some((observe::ask_through(url, &self.health, timeout), None));
        }
        let meant = self.meant.of(&self.environment);
        let routed = meant.iter().filter(|one| one.key.role == ROUTED_ROLE).max_by_key(|one| one.weight)?;
        let at = replica::status(&replica_directory(&self.directory, &routed.key)).address?;
        let settings = Environment { health: self.health.clone(), url: None, ..Environment::default() };
        Some((observe::ask(&settings, at), Some(routed.key.deployment)))
    }
}

/// The resident memory of a process and all below it, bytes: gunicorn's workers are what counts.
fn resident(pid: i32, all: &[Process]) -> u64 {
    let mut counted = below(all, &[pid].into());
    counted.insert(pid);
    let pages = counted.iter().filter_map(|pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()
    });
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    pages.sum::<u64>() * u64::try_from(size).unwrap_or(4096)
}
