//! An environment's lease: one deployment at a time, whoever starts it, from whichever machine. It lies where all that
//! could deploy there see it: on the Docker engines themselves, or in a file of this machine ([`mod@file`]). It carries
//! a heartbeat, and runs out: no lock is held by nobody.
//!
//! Neither nginx nor Docker can check a token. Before each mutation a step re-reads the lease ([`Lease::check`]); what
//! is left is the moment between that look and the mutation, while the lease has at least half of its time left.

pub mod file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::docker::lease::Refusal;
use crate::docker::{self, Engine};
use crate::domain::health::LeaseHolder;
use crate::domain::ids::{DeploymentId, EnvironmentName, Epoch};
use crate::domain::project::{Environment, Host, Router};
use crate::domain::time::Timestamp;

pub use crate::docker::lease::{HEARTBEAT, TTL};

/// Where an environment's lease lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lease {
    /// In a file of this machine.
    File(PathBuf),
    /// On every one of these engines.
    Engines {
        /// The project's name.
        project: String,
        /// The environment.
        environment: EnvironmentName,
        /// The engines.
        hosts: Vec<Host>,
        /// What a host's paths are relative to.
        home: PathBuf,
    },
}

/// Who asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Its engine's state directory: two clones of a project are two.
    pub engine: PathBuf,
    /// The repository.
    pub repository: PathBuf,
}

/// Why a lease is not had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It is somebody else's, or gone: a clause that says who has it.
    #[error("{0}")]
    Held(String),
    /// It is ours, and was not renewed for long; it may be soon.
    #[error("{0}")]
    Stale(String),
    /// It could not be asked for. It may still be ours; asking again is right.
    #[error("{0}")]
    Unasked(String),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Held(who) => Self::Held(who),
            Refusal::Stale(said) => Self::Stale(said),
            Refusal::Unasked(cause) => Self::Unasked(cause.summary),
        }
    }
}

impl From<Box<crate::domain::plan::Cause>> for Denied {
    fn from(cause: Box<crate::domain::plan::Cause>) -> Self {
        Self::Unasked(cause.summary)
    }
}

fn unasked(error: &anyhow::Error) -> Denied {
    Denied::Unasked(format!("{error:#}"))
}

impl Asker {
    fn on_engines(&self) -> docker::lease::Asker {
        docker::lease::Asker::here(&self.engine, &self.repository)
    }
}

impl Lease {
    /// Where the lease of an environment lies. `directory` is the environment's own, `home` the operator's working
    /// tree.
    #[must_use]
    pub fn of(
        settings: &Environment,
        project: &str,
        environment: &EnvironmentName,
        (directory, home): (&Path, &Path),
    ) -> Self {
        if !settings.hosts.is_empty() {
            return Self::Engines {
                project: project.to_owned(),
                environment: environment.clone(),
                hosts: settings.hosts.clone(),
                home: home.to_owned(),
            };
        }
        // Beside what two clones of a project would share.
        Self::File(match &settings.router {
            Router::Nginx(nginx) => home.join(format!("{}.lease", nginx.include)),
            Router::None => directory.join("lease"),
        })
    }

    /// Takes the lease.
    ///
    /// # Errors
    /// Who has it, or why it could not be asked for.
    pub async fn acquire(&self, asker: &Asker, deployment: DeploymentId) -> Result<Epoch, Denied> {
        match self {
            Self::File(path) => {
                let (path, asker) = (path.clone(), asker.clone());
                let had = blocking(move || file::acquire(&path, &asker, deployment)).await?;
                had.map_err(Denied::Held)
            }
            Self::Engines { project, environment, hosts, home } => {
                let engines = reach(hosts, home).await?;
                let lease = docker::lease::Lease::new(&engines, project, environment);
                Ok(lease.acquire(&asker.on_engines(), deployment).await?)
            }
        }
    }

    /// Renews the lease. A rollback takes over the lease, and so the epoch, of the deployment that it takes back.
    ///
    /// # Errors
    /// Who has it by now, or why it could not be renewed.
    pub async fn renew(&self, asker: &Asker, deployment: DeploymentId, epoch: Epoch) -> Result<(), Denied> {
        match self {
            Self::File(path) => {
                let (path, asker) = (path.clone(), asker.clone());
                blocking(move || file::renew(&path, &asker, deployment, epoch)).await?
            }
            Self::Engines { project, environment, hosts, home } => {
                let engines = reach(hosts, home).await?;
                let lease = docker::lease::Lease::new(&engines, project, environment);
                Ok(lease.renew(&asker.on_engines(), deployment, epoch).await?)
            }
        }
    }

    /// Gives the lease back. Harmless when it is not ours (any more).
    ///
    /// # Errors
    /// When it could not be given back everywhere: then it runs out.
    pub async fn release(&self, asker: &Asker, deployment: DeploymentId, epoch: Epoch) -> Result<(), Denied> {
        match self {
            Self::File(path) => {
                let (path, asker) = (path.clone(), asker.clone());
                blocking(move || file::release(&path, &asker, deployment)).await
            }
            Self::Engines { project, environment, hosts, home } => {
                let mut missing = None;
                let mut engines = Vec::new();
                for host in hosts {
                    match Engine::connect(host, home).await {
                        Ok(engine) => engines.push(engine),
                        Err(cause) => missing = Some(cause),
                    }
                }
                let lease = docker::lease::Lease::new(&engines, project, environment);
                lease.release(&asker.on_engines(), epoch).await?;
                missing.map_or(Ok(()), |cause| Err(cause.into()))
            }
        }
    }

    /// What a step asks before it changes anything: whether its deployment still has the lease, with time left on it.
    ///
    /// # Errors
    /// When it has not, or that cannot be found out.
    pub async fn check(&self, epoch: Epoch) -> Result<(), Denied> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || file::check(&path, epoch)).await
            }
            Self::Engines { project, environment, hosts, home } => {
                let engines = reach(hosts, home).await?;
                Ok(docker::lease::Lease::new(&engines, project, environment).check(epoch).await?)
            }
        }
    }

    /// Who holds it, for a screen; `None` when nobody does.
    ///
    /// # Errors
    /// When nobody can be asked.
    pub async fn holder(&self, asker: &Asker) -> Result<Option<(Epoch, LeaseHolder)>, Denied> {
        match self {
            Self::File(path) => Ok(file::holder(path).map(|holder| {
                let ours = holder.engine == asker.engine;
                let shown = LeaseHolder {
                    who: holder.user,
                    what: format!("deployment {} of {}", holder.deployment, holder.repository.display()),
                    since: holder.since,
                    heartbeat: holder.heartbeat,
                    ours,
                };
                (holder.epoch, shown)
            })),
            Self::Engines { project, environment, hosts, home } => {
                let engines = reach(hosts, home).await?;
                let lease = docker::lease::Lease::new(&engines, project, environment);
                Ok(lease.holder(&asker.on_engines()).await?)
            }
        }
    }

    /// Takes the lease from the one who was seen to hold it: at its next look it finds that it has it no more.
    ///
    /// # Errors
    /// When somebody else holds it by now, or nobody does, or it cannot be ended.
    pub async fn break_seen(&self, asker: &Asker, who: &str, since: Timestamp) -> Result<(), Denied> {
        let Some((epoch, holder)) = self.holder(asker).await? else {
            return Err(Denied::Held("nobody holds it any more".to_owned()));
        };
        if holder.who != who || holder.since != since {
            return Err(Denied::Held(format!("{} holds it by now, for {}", holder.who, holder.what)));
        }
        self.break_off(epoch).await.map(|_| ())
    }

    /// Ends a lease, if it is still the one that was seen. Says who had it; `None` when nobody did.
    async fn break_off(&self, seen: Epoch) -> Result<Option<String>, Denied> {
        match self {
            Self::File(path) => {
                let path = path.clone();
                blocking(move || file::break_off(&path, seen)).await?.map_err(Denied::Held)
            }
            Self::Engines { project, environment, hosts, home } => {
                let engines = reach(hosts, home).await?;
                Ok(docker::lease::Lease::new(&engines, project, environment).break_off(seen).await?)
            }
        }
    }
}

async fn reach(hosts: &[Host], home: &Path) -> Result<Vec<Engine>, Denied> {
    let engines = hosts.iter().map(|host| Engine::connect(host, home));
    Ok(futures_util::future::try_join_all(engines).await?)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Denied> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| unasked(&error)),
        Err(error) => Err(Denied::Unasked(error.to_string())),
    }
}
