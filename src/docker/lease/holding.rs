//! The container that is a lease on one engine: looked at, created, written into, removed.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    InspectContainerOptions, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::super::connect::Engine;
use super::super::labels::{self, Kind};
use super::super::trouble::{self, cause, status};
use super::{Asker, Refusal, Result};
use crate::domain::ids::{DeploymentId, EnvironmentName, Epoch};
use crate::domain::time::Timestamp;

/// The empty image that it is a container of: an engine without images could not create one.
const IMAGE: (&str, &str) = ("towpath-lease", "1");
/// The file with the heartbeat.
const FILE: &str = "towpath-lease.json";
/// The label with what was known at its creation.
const RECORD: &str = "towpath.lease";
/// The version of the record.
const VERSION: u32 = 1;
/// How long one answer may take: a heartbeat that waits longer is none.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a container that is just being removed is looked at again, and after which pause: 2 s in all.
const PATIENCE: u32 = 40;
/// See [`PATIENCE`].
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// A record has less bytes than this; what has more is not ours.
const LIMIT: usize = 64 * 1024;

/// Who holds it, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) v: u32,
    pub(super) epoch: Epoch,
    pub(super) engine: String,
    pub(super) repository: PathBuf,
    pub(super) who: String,
    pub(super) deployment: DeploymentId,
    pub(super) since: Timestamp,
    pub(super) heartbeat: Timestamp,
}

impl Record {
    pub(super) fn new(asker: &Asker, deployment: DeploymentId, epoch: Epoch, now: Timestamp) -> Self {
        let Asker { engine, repository, who } = asker.clone();
        Self { v: VERSION, epoch, engine, repository, who, deployment, since: now, heartbeat: now }
    }

    /// Who, and what for, of a sentence.
    pub(super) fn holder(&self) -> String {
        let said =
            format!("{}, for deployment {} of {}", self.who, self.deployment, self.repository.display());
        // Another machine wrote it.
        trouble::lines(&said).join(" ")
    }
}

/// A lease's container as it is.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) id: String,
    pub(super) record: Record,
}

/// An environment's lease on one engine.
#[derive(Debug)]
pub(super) struct Holding<'a> {
    pub(super) engine: &'a Engine,
    pub(super) project: &'a str,
    pub(super) environment: &'a EnvironmentName,
}

impl Holding<'_> {
    fn name(&self) -> String {
        format!("towpath-lease-{}-{}", self.project, self.environment)
    }

    fn client(&self) -> Docker {
        self.engine.client().clone().with_timeout(ANSWER)
    }

    fn unasked(&self, what: &str, error: &Error) -> Refusal {
        Refusal::Unasked(cause(
            self.engine.name(),
            &format!("the environment's lease could not be {what}"),
            error,
        ))
    }

    /// Who has it; `None` when nobody.
    pub(super) async fn look(&self) -> Result<Option<Made>> {
        let mut left = PATIENCE;
        loop {
            match self.look_once().await {
                Ok(seen) => return seen,
                // So says the engine, in many words, of a container that is just being removed.
                Err(error) if status(&error) == Some(500) && left > 0 => left -= 1,
                Err(error) => return Err(self.unasked("read", &error)),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One look; the outer error is one of the engine's.
    async fn look_once(&self) -> std::result::Result<Result<Option<Made>>, Error> {
        let name = self.name();
        let seen = match self.client().inspect_container(&name, None::<InspectContainerOptions>).await {
            Ok(seen) => seen,
            Err(error) if status(&error) == Some(404) => return Ok(Ok(None)),
            Err(error) => return Err(error),
        };
        let id = seen.id.unwrap_or_default();
        let found = seen.config.and_then(|config| config.labels).unwrap_or_default();
        let ours = labels::of_environment(Kind::Lease, self.project, self.environment);
        let first = found.get(RECORD).and_then(|text| parse(text.as_bytes()));
        let (true, Some(first)) = (ours.iter().all(|(name, value)| found.get(name) == Some(value)), first)
        else {
            return Ok(Err(Refusal::Held(format!(
                "a container that is not towpath's has the lease's name {name} on {}; it is left as it is: look at it, \
                 and remove or rename it",
                self.engine.name()
            ))));
        };
        // A holder that was killed between the two has the first record alone.
        let record = match self.read(&id).await {
            Ok(text) => parse(&text).filter(|record| record.epoch == first.epoch).unwrap_or(first),
            Err(error) if status(&error) == Some(404) => first,
            Err(error) => return Err(error),
        };
        Ok(Ok(Some(Made { id, record })))
    }

    async fn read(&self, id: &str) -> std::result::Result<Vec<u8>, Error> {
        let options = DownloadFromContainerOptionsBuilder::new().path(&format!("/{FILE}")).build();
        let client = self.client();
        let mut pieces = std::pin::pin!(client.download_from_container(id, Some(options)));
        let mut archive = Vec::new();
        while let Some(piece) = pieces.next().await {
            archive.extend_from_slice(&piece?);
            if archive.len() > LIMIT {
                break;
            }
        }
        let mut text = Vec::new();
        if let Some(Ok(entry)) = tar::Archive::new(archive.as_slice()).entries()?.next() {
            entry.take(LIMIT as u64).read_to_end(&mut text)?;
        }
        Ok(text)
    }

    /// Writes the heartbeat; `false` when the container is gone.
    pub(super) async fn write(&self, id: &str, record: &Record) -> Result<bool> {
        let text = serde_json::to_vec(record).map_err(|error| self.unasked("written", &error.into()))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        let mut archive = tar::Builder::new(Vec::new());
        let made =
            archive.append_data(&mut header, FILE, text.as_slice()).and_then(|()| archive.into_inner());
        let made = made.map_err(|error| self.unasked("written", &error.into()))?;
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        match self
            .client()
            .upload_to_container(id, Some(options), bollard::body_full(Bytes::from(made)))
            .await
        {
            Ok(()) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            // It may be just being removed; or the engine's disk is full.
            Err(error) => match self.look().await? {
                Some(made) if made.id == id => Err(self.unasked("renewed", &error)),
                _ => Ok(false),
            },
        }
    }

    /// Takes the name; `None` when somebody has it.
    pub(super) async fn create(&self, record: &Record) -> Result<Option<String>> {
        let text = serde_json::to_string(record).map_err(|error| self.unasked("taken", &error.into()))?;
        let mut found: HashMap<String, String> =
            labels::of_environment(Kind::Lease, self.project, self.environment).into_iter().collect();
        found.insert(labels::EPOCH.to_owned(), record.epoch.0.to_string());
        found.insert(labels::DEPLOYMENT.to_owned(), record.deployment.0.to_string());
        found.insert(RECORD.to_owned(), text);
        let body = ContainerCreateBody {
            image: Some(format!("{}:{}", IMAGE.0, IMAGE.1)),
            // It has no such program, and is never started.
            cmd: Some(vec!["never-started".to_owned()]),
            labels: Some(found),
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(&self.name()).build();
        for has_image in [false, true] {
            let error = match self.client().create_container(Some(options.clone()), body.clone()).await {
                Ok(created) => return Ok(Some(created.id)),
                Err(error) => error,
            };
            match status(&error) {
                Some(409) => return Ok(None),
                Some(404) if !has_image => self.import().await?,
                _ => return Err(self.unasked("taken", &error)),
            }
        }
        Ok(None)
    }

    /// Imports the empty image. Two at once, or one that is there already, are no harm: a container keeps its own.
    async fn import(&self) -> Result<()> {
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(IMAGE.0).tag(IMAGE.1).build();
        // An archive ends with two empty blocks; this one begins with them.
        let body = bollard::body_full(Bytes::from_static(&[0; 1024]));
        let client = self.client();
        let mut answers = std::pin::pin!(client.create_image(Some(options), Some(body), None));
        while let Some(answer) = answers.next().await {
            answer.map_err(|error| self.unasked("taken: its image could not be imported", &error))?;
        }
        Ok(())
    }

    /// Removes the container of this id, whoever has the name now.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        match self.client().remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            // It is gone, or is being removed by somebody else.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(self.unasked("given back", &error)),
        }
    }
}

fn parse(text: &[u8]) -> Option<Record> {
    serde_json::from_slice(text).ok().filter(|record: &Record| record.v == VERSION)
}
