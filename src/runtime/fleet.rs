//! The replicas of an environment, wherever they run: processes of this machine, each with its keeper, or containers
//! of one or many Docker engines. A step asks here and does not care which.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::replica::{self, Status};
use crate::docker::replica::{connections, end, look};
use crate::docker::{self, Engine};
use crate::domain::health::ReplicaState;
use crate::domain::ids::{DeploymentId, EnvironmentName, ReleaseNumber, ReplicaKey};
use crate::domain::plan::Cause;
use crate::domain::project::Host;
use crate::domain::time::{Millis, Timestamp};
use crate::store::layout::replica_directory;
use crate::text::sanitise::Sanitiser;

/// A replica's own address on this machine.
pub const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A replica that is meant to live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which.
    pub key: ReplicaKey,
    /// Of which release.
    pub release: ReleaseNumber,
    /// The host that it is on; `None` is a process of this machine.
    pub host: Option<Host>,
}

/// How a replica was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// It did not end in its time and was killed.
    pub killed: bool,
    /// How long it took.
    pub took: Millis,
}

/// Replicas of one environment, and the engines that they are on.
#[derive(Debug)]
pub struct Fleet {
    project: String,
    environment: EnvironmentName,
    directory: PathBuf,
    home: PathBuf,
    hosts: BTreeMap<ReplicaKey, Host>,
    /// Those that were reached; one that was not is tried again when it is asked for.
    engines: Mutex<BTreeMap<Host, Engine>>,
}

/// Where one replica is.
enum Site {
    Process(PathBuf),
    Container(Box<Engine>),
}

impl Fleet {
    /// The replicas of an environment. `directory` is the environment's, `home` what a host's paths are relative to.
    pub fn new(
        project: &str,
        environment: &EnvironmentName,
        directory: &Path,
        home: &Path,
        members: impl IntoIterator<Item = (ReplicaKey, Option<Host>)>,
    ) -> Self {
        Self {
            project: project.to_owned(),
            environment: environment.clone(),
            directory: directory.to_owned(),
            home: home.to_owned(),
            hosts: members.into_iter().filter_map(|(key, host)| Some((key, host?))).collect(),
            engines: Mutex::default(),
        }
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// A replica's directory on this machine: that of its process, of its log in any case.
    #[must_use]
    pub fn directory(&self, key: &ReplicaKey) -> PathBuf {
        replica_directory(&self.directory, key)
    }

    /// The host that a replica is on; `None` is a process of this machine.
    #[must_use]
    pub fn host(&self, key: &ReplicaKey) -> Option<&Host> {
        self.hosts.get(key)
    }

    /// The engine of a host.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn engine(&self, host: &Host) -> docker::Result<Engine> {
        if let Some(engine) = self.engines.lock().await.get(host) {
            return Ok(engine.clone());
        }
        let engine = Engine::connect(host, &self.home).await?;
        self.engines.lock().await.insert(host.clone(), engine.clone());
        Ok(engine)
    }

    /// The engine of a host that was there a moment ago: it is waited for.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn engine_again(&self, host: &Host) -> docker::Result<Engine> {
        if let Some(engine) = self.engines.lock().await.get(host) {
            return Ok(engine.clone());
        }
        let engine = Engine::connect_again(host, &self.home).await?;
        self.engines.lock().await.insert(host.clone(), engine.clone());
        Ok(engine)
    }

    async fn site(&self, key: &ReplicaKey) -> docker::Result<Site> {
        match self.hosts.get(key) {
            None => Ok(Site::Process(self.directory(key))),
            Some(host) => self.engine(host).await.map(Box::new).map(Site::Container),
        }
    }

    /// What a replica is doing. Never fails: what cannot be asked is [`ReplicaState::Unknown`].
    pub async fn status(&self, key: &ReplicaKey) -> Status {
        match self.site(key).await {
            Ok(Site::Process(dir)) => replica::status(&dir),
            Ok(Site::Container(engine)) => match look::look(&engine, &self.project, key).await {
                Ok(Some(seen)) => of_container(seen),
                Ok(None) => Status::of(ReplicaState::Gone),
                Err(cause) => unknown(&cause),
            },
            Err(cause) => unknown(&cause),
        }
    }

    /// A replica's last lines, oldest first. Those of a process are what its log has; those of a container are
    /// sanitised here, and their secrets are the caller's to hide.
    pub async fn last_lines(&self, key: &ReplicaKey, count: usize) -> Vec<String> {
        match self.site(key).await {
            Ok(Site::Process(dir)) => replica::last_lines(&dir, count),
            Ok(Site::Container(engine)) => {
                let raw = look::last_lines(&engine, &self.project, key, count).await;
                let mut sanitiser = Sanitiser::new();
                let lines = sanitiser.push(&raw);
                let mut lines: Vec<String> = lines.into_iter().chain(sanitiser.finish()).collect();
                lines.drain(..lines.len().saturating_sub(count));
                lines
            }
            Err(_) => Vec::new(),
        }
    }

    /// Stops a replica; `None` where nothing of it ran.
    ///
    /// # Errors
    /// When it cannot be stopped, or its host cannot be asked.
    pub async fn stop(&self, key: &ReplicaKey) -> Result<Option<Stopped>> {
        if let Some(host) = self.hosts.get(key) {
            self.engine_again(host).await.map_err(|cause| anyhow::anyhow!("{}", cause.summary))?;
        }
        match self.site(key).await.map_err(|cause| anyhow::anyhow!("{}", cause.summary))? {
            Site::Process(dir) if !dir.join("spec.json").exists() => Ok(None),
            Site::Process(dir) => {
                let stopped = replica::stop(&dir).await?;
                Ok(Some(Stopped { killed: stopped.killed, took: stopped.took }))
            }
            Site::Container(engine) => {
                let stopped = end::stop(&engine, &self.project, key).await;
                let stopped = stopped.map_err(|cause| anyhow::anyhow!("{}", cause.summary))?;
                Ok(stopped.map(|end::Stopped { killed, took }| Stopped { killed, took }))
            }
        }
    }

    /// How many connections to replicas are open; `None` where that cannot be counted, as in an image without `cat`.
    pub async fn connections(&self, keys: &[ReplicaKey]) -> Option<usize> {
        let mut open = 0;
        let mut ports = BTreeSet::new();
        for key in keys {
            match self.site(key).await.ok()? {
                Site::Process(dir) => ports.extend(replica::status(&dir).address.map(|at| at.port())),
                Site::Container(engine) => {
                    let (table, inside) = connections::tables(&engine, &self.project, key).await?;
                    open += super::connections::count(&table, &inside.into_iter().collect());
                }
            }
        }
        if !ports.is_empty() {
            open += super::connections::here(&ports);
        }
        Some(open)
    }

    /// Removes ended containers of this environment on these hosts: all but those of the deployments that are meant
    /// and of the newest others. Gives back how many.
    ///
    /// # Errors
    /// When a host cannot be asked.
    pub async fn prune(
        &self,
        hosts: &[Host],
        wanted: &BTreeSet<DeploymentId>,
        keep: usize,
    ) -> docker::Result<usize> {
        let mut removed = 0;
        for host in hosts {
            let engine = self.engine(host).await?;
            removed += end::prune(&engine, &self.project, &self.environment, wanted, keep).await?;
        }
        Ok(removed)
    }
}

fn unknown(cause: &Cause) -> Status {
    Status { waits_for: Some(cause.summary.clone()), ..Status::of(ReplicaState::Unknown) }
}

fn of_container(seen: look::Seen) -> Status {
    let health = seen.health.as_ref();
    Status {
        state: seen.state,
        since: seen.since,
        restarts: seen.restarts,
        last_exit: seen.ended,
        exit_code: seen.exit_code,
        pid: seen.pid,
        // Its engine keeps it.
        keeper: true,
        address: seen.address,
        health: health.map(|health| health.word.to_owned()),
        health_said: health.map(|health| health.said.clone()),
        waits_for: None,
        next_start: None,
    }
}

impl Status {
    /// Of a replica of which nothing more is known.
    #[must_use]
    pub const fn of(state: ReplicaState) -> Self {
        Self {
            state,
            since: Timestamp(0),
            restarts: 0,
            last_exit: None,
            exit_code: None,
            pid: None,
            keeper: false,
            address: None,
            health: None,
            health_said: None,
            waits_for: None,
            next_start: None,
        }
    }

    /// The port that it was given.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.address.map(|address: SocketAddr| address.port())
    }
}
