//! How an environment is, asked again and again: its replicas' states and its health check, through the router where
//! there is one.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::containers::{self, Engines, Held};
use super::deployments::{Meant, MeantToLive};
use super::{log, now};
use crate::domain::health::{HttpSample, LeaseHolder, ReplicaSample, Sample};
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, HealthCheck};
use crate::probe::http::{Ask, Prober};
use crate::router::nginx::labelled;
use crate::runtime::deploy::observe;
use crate::runtime::lease::{self, Asker, Lease};
use crate::runtime::process::{Process, below};
use crate::runtime::replica;
use crate::store::layout::replica_directory;

/// How often replicas are looked at; their states are asked of the kernel, which is cheap.
const REPLICAS: Duration = Duration::from_secs(2);
/// What changes on a Docker engine is told of this long after it did.
const SOON: Duration = Duration::from_millis(100);

/// How long the lease's engines may take to answer.
const LEASE: Duration = Duration::from_secs(3);

/// What one watch asks.
pub(super) struct Probe {
    pub(super) environment: EnvironmentName,
    pub(super) directory: PathBuf,
    pub(super) health: HealthCheck,
    pub(super) url: Option<String>,
    pub(super) meant: MeantToLive,
    pub(super) engines: Engines,
    pub(super) home: PathBuf,
    pub(super) asker: Asker,
    pub(super) lease: Lease,
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
        let mut engines = Held::default();
        let mut lease = LeaseLook::default();
        loop {
            let wanted = self.meant.of(&self.environment);
            engines.hold(&self.engines, &self.environment, &self.home, &wanted);
            let processes = if wanted.replicas.iter().any(|one| one.host.is_none()) {
                Process::all()
            } else {
                Vec::new()
            };
            let look = |meant: &Meant| match &meant.host {
                Some(host) => containers::sample(meant, engines.seen(host).as_deref(), &wanted, now()),
                None => self.look(meant.clone(), &processes),
            };
            let replicas: Vec<ReplicaSample> = wanted.replicas.iter().map(look).collect();
            let environment = || self.environment.clone();
            // Told again though nothing has changed: a viewer that hears nothing must take it for unknown. Replicas
            // last: who has those has all.
            if !wanted.hosts.is_empty() {
                let hosts = engines.hosts(&wanted, now());
                let _ =
                    self.measured.send(Sample::Hosts { environment: environment(), at: now(), hosts }).await;
            }
            let holder = lease.holder(self, engines.lease_events()).await;
            let _ = self.measured.send(Sample::Lease { environment: environment(), at: now(), holder }).await;
            let _ = self
                .measured
                .send(Sample::Replicas { environment: environment(), at: now(), replicas })
                .await;
            tokio::select! {
                () = tokio::time::sleep(REPLICAS) => {}
                // Many things that happen at once are told of at once.
                () = engines.changed() => tokio::time::sleep(SOON).await,
            }
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
            last_exit: status.last_exit,
            pid: status.pid,
            port: status.address.map(|at| at.port()),
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
        let wanted = self.meant.of(&self.environment);
        let routed = wanted.replicas.iter().filter(|one| one.key.role == ROUTED_ROLE);
        let routed = routed.max_by_key(|one| one.weight)?;
        let ask = match &routed.host {
            None => {
                let at = replica::status(&replica_directory(&self.directory, &routed.key)).address?;
                let settings =
                    Environment { health: self.health.clone(), url: None, ..Environment::default() };
                observe::ask(&settings, at)
            }
            Some(host) => {
                let (address, port) = self.engines.place(&self.environment, host, &routed.key)?;
                let timeout = Duration::from(self.health.within).max(Duration::from_secs(1));
                let ask = Ask::direct(address, port, &self.health.path, None, timeout);
                Ask { expect_status: self.health.status, within: Some(self.health.within), ..ask }
            }
        };
        Some((ask, Some(routed.key.deployment)))
    }
}

/// Who was seen to hold the lease, and when that was looked at.
#[derive(Default)]
struct LeaseLook {
    holder: Option<LeaseHolder>,
    looked: Option<(Instant, u64)>,
}

impl LeaseLook {
    /// Who may change the environment. A file is read each time; engines are asked when they told that something has
    /// happened to a lease's container, and for its heartbeat while somebody holds it.
    async fn holder(&mut self, probe: &Probe, events: u64) -> Option<LeaseHolder> {
        let is_known = match (&probe.lease, self.looked) {
            (Lease::File(_), _) | (_, None) => false,
            (Lease::Engines { .. }, Some((at, seen))) => {
                seen == events && (self.holder.is_none() || at.elapsed() < Duration::from(lease::HEARTBEAT))
            }
        };
        if !is_known {
            self.looked = Some((Instant::now(), events));
            // An engine that does not answer holds nothing up: its host is told of as unreachable.
            let asked = tokio::time::timeout(LEASE, probe.lease.holder(&probe.asker)).await;
            self.holder = asked.ok().and_then(Result::ok).flatten().map(|(_, holder)| holder);
        }
        self.holder.clone()
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
