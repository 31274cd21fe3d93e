//! What runs beside a step and is thrown away after it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::docker::left::{self, OnEngine};
use super::postgres;
use super::workbench::Workbench;
use crate::domain::project::Service;
use crate::store::durable;

/// The version of `services.json`.
const VERSION: u32 = 1;

/// What would have to be removed if the worker died now: written before it exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    v: u32,
    /// Directories of PostgreSQL servers.
    postgres: Vec<PathBuf>,
    /// Docker engines on which there is something of the attempt.
    #[serde(default)]
    engines: Vec<OnEngine>,
}

/// The processes of a step's services: what stops the step's commands leaves these alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Running(Arc<Mutex<BTreeSet<i32>>>);

impl Running {
    /// Their ids.
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    fn set(&self, processes: BTreeSet<i32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = processes;
    }
}

/// The services of one step.
pub struct Services {
    record: PathBuf,
    /// What the record says.
    noted: Record,
    running: Running,
    postgres: Option<postgres::Server>,
    env: BTreeMap<String, String>,
    facts: Vec<String>,
}

impl Services {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            record: record(dir),
            noted: Record { v: VERSION, ..Record::default() },
            running: Running::default(),
            postgres: None,
            env: BTreeMap::new(),
            facts: Vec::new(),
        }
    }

    /// Where they answer, as commands are told.
    #[must_use]
    pub fn env(&self) -> &BTreeMap<String, String> {
        &self.env
    }

    /// What they are, e.g. `PostgreSQL 15.18`.
    #[must_use]
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// Writes down, before it is there, that something of the attempt will be on an engine.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub(super) fn note_engine(&mut self, engine: OnEngine) -> anyhow::Result<()> {
        self.noted.engines.push(engine);
        self.write()
    }

    /// What is known of engines so far.
    pub(super) fn engines(&self) -> &[OnEngine] {
        &self.noted.engines
    }

    fn write(&self) -> anyhow::Result<()> {
        let json = serde_json::to_vec(&self.noted)?;
        durable::write(&self.record, &json).context("services.json could not be written")
    }

    pub(super) fn running(&self) -> Running {
        self.running.clone()
    }

    /// Stops and removes them; what is on engines stays where `keep` says so, and stays written down.
    ///
    /// # Errors
    /// When one's files cannot be removed.
    pub async fn stop(&mut self, keep: bool) -> anyhow::Result<()> {
        if let Some(server) = self.postgres.take() {
            self.running.set(BTreeSet::new());
            server.stop().await?;
        }
        self.noted.postgres.clear();
        if keep {
            return self.write();
        }
        for engine in std::mem::take(&mut self.noted.engines) {
            left::remove_on(&engine).await?;
        }
        forget(&self.record)
    }
}

fn record(dir: &Path) -> PathBuf {
    dir.join("services.json")
}

/// Starts a service unless the step has it already.
pub(super) async fn start(bench: &mut Workbench, service: &Service) -> anyhow::Result<()> {
    match service {
        Service::Container(service) => {
            anyhow::bail!(
                "the service {} is a container, and this stage runs on the engine's own machine, which is not on the \
                 service's network: give the stage in = \"candidate\" or in = \"image:NAME\"",
                service.name
            )
        }
        Service::Postgres if bench.services.postgres.is_some() => Ok(()),
        Service::Postgres => {
            let directory = postgres::directory();
            bench.services.noted.postgres.push(directory.clone());
            bench.services.write()?;
            let server = postgres::start(bench, &directory).await?;
            let services = &mut bench.services;
            services.env.extend(server.env());
            services.facts.push(format!("PostgreSQL {}", server.version()));
            services.running.set([server.process()].into());
            services.postgres = Some(server);
            Ok(())
        }
    }
}

/// Stops and removes what a worker that died has left running.
pub(super) fn remove_left_behind(dir: &Path) -> anyhow::Result<()> {
    let path = record(dir);
    let Ok(bytes) = std::fs::read(&path) else { return Ok(()) };
    let record: Record =
        serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read", path.display()))?;
    for directory in &record.postgres {
        postgres::remove(directory)?;
    }
    for engine in &record.engines {
        left::remove(engine)?;
    }
    forget(&path)
}

/// Two who clean up at once are no harm to each other.
fn forget(record: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(record) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", record.display()))
        }
        _ => Ok(()),
    }
}
