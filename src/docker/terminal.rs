//! A shell with a terminal of its own, in a container made from what a step's container left, beside what was beside
//! that one.

use std::collections::BTreeMap;
use std::pin::Pin;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};
use bollard::query_parameters::{AttachContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::trouble::{Result, cause, status};
use super::{Engine, labels, mark, run};
use crate::domain::plan::{Cause, Kept, KeptContainer};

/// The best shell that there is. (Nothing in an image says which it has.)
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";

/// A shell that runs.
pub struct Inside {
    /// Its container.
    id: String,
    /// What it says, as a terminal is to show it.
    pub output: Pin<Box<dyn Stream<Item = std::result::Result<LogOutput, Error>> + Send>>,
    /// What is typed.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Opens it, on a terminal of so many columns and rows. It carries the mark of the step's attempt: it goes with all
/// that is kept, if nobody removes it before.
///
/// # Errors
/// A cause when what was kept is gone, or has no shell, or the engine is lost.
pub async fn open(
    engine: &Engine,
    kept: &Kept,
    container: &KeptContainer,
    env: &BTreeMap<String, String>,
    size: (u16, u16),
) -> Result<Inside> {
    let client = engine.client();
    let ended = match client.inspect_container(&container.id, None).await {
        Ok(ended) => ended,
        Err(error) if status(&error) == Some(404) => return Err(Box::new(gone(engine))),
        Err(error) => return Err(cause(engine.name(), "the kept container could not be looked at", &error)),
    };
    let config = ended.config.unwrap_or_default();
    let ours = [labels::KIND, labels::PROJECT, labels::ATTEMPT, mark::MARK];
    let mut own = config.labels.unwrap_or_default();
    own.retain(|name, _| ours.contains(&name.as_str()));
    let mut variables = kept.env.clone();
    variables.extend(env.clone());
    let (mode, networking) = match container.network.as_str() {
        "" => (None, None),
        network => run::joined(Some(&run::Joins { network: network.to_owned(), aliases: Vec::new() })),
    };
    let body = ContainerCreateBody {
        image: Some(container.image.clone()),
        entrypoint: Some(vec!["sh".to_owned(), "-c".to_owned(), SHELL.to_owned()]),
        cmd: Some(Vec::new()),
        env: Some(run::variables(&variables)),
        working_dir: Some(kept.directory.clone()),
        user: config.user,
        labels: Some(own),
        tty: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(HostConfig {
            binds: ended.host_config.and_then(|host| host.binds),
            network_mode: mode,
            ..HostConfig::default()
        }),
        networking_config: networking,
        ..ContainerCreateBody::default()
    };
    let made = match client.create_container(None, body).await {
        Ok(made) => made.id,
        Err(error) if status(&error) == Some(404) => return Err(Box::new(gone(engine))),
        Err(error) => {
            return Err(cause(engine.name(), "a container for the shell could not be made", &error));
        }
    };
    match attach(engine, &made, size).await {
        Ok(inside) => Ok(inside),
        Err(failed) => {
            let _ = run::remove(engine, &made).await;
            let missing = ["executable file not found", "no such file or directory"];
            let no_shell = missing.iter().any(|words| failed.measured.contains(words));
            Err(if no_shell { Box::new(shell_less(failed.measured)) } else { failed })
        }
    }
}

async fn attach(engine: &Engine, id: &str, size: (u16, u16)) -> Result<Inside> {
    let failed = |error: &Error| cause(engine.name(), "the shell could not be started", error);
    let options =
        AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
    let attached =
        engine.client().attach_container(id, Some(options)).await.map_err(|error| failed(&error))?;
    engine.client().start_container(id, None).await.map_err(|error| failed(&error))?;
    let inside = Inside { id: id.to_owned(), output: attached.output, input: attached.input };
    inside.resize(engine, size).await;
    Ok(inside)
}

impl Inside {
    /// Tells it that the terminal has so many columns and rows. (One that is not told looks odd, no more.)
    pub async fn resize(&self, engine: &Engine, (columns, rows): (u16, u16)) {
        let options =
            ResizeContainerTTYOptionsBuilder::default().w(i32::from(columns)).h(i32::from(rows)).build();
        let _ = engine.client().resize_container_tty(&self.id, options).await;
    }

    /// Removes it; its exit code, `None` where it was removed before, or had not ended yet.
    ///
    /// # Errors
    /// When the engine keeps it.
    pub async fn close(self, engine: &Engine) -> Result<Option<i64>> {
        let found = engine.client().inspect_container(&self.id, None).await;
        let state = found.ok().and_then(|found| found.state).unwrap_or_default();
        let code = state.exit_code.filter(|_| state.running == Some(false));
        run::remove(engine, &self.id).await?;
        Ok(code)
    }

    /// Waits until it has ended: its output may end before.
    ///
    /// # Errors
    /// When the engine is lost.
    pub async fn ended(&self, engine: &Engine) -> Result<()> {
        run::wait(engine, &self.id).await
    }
}

fn gone(engine: &Engine) -> Cause {
    Cause {
        summary: "what the step has kept is not there any more".to_owned(),
        expected: format!("its container and an image of it on {}", engine.name()),
        measured: "neither, or only one of them: its time was up, or somebody removed it".to_owned(),
        cure: "Retry the step: a new failure is kept again.".to_owned(),
        ..Cause::default()
    }
}

fn shell_less(measured: String) -> Cause {
    Cause {
        summary: "the step's image has no shell (sh): nobody can look around in it".to_owned(),
        expected: "sh on the image's PATH".to_owned(),
        measured,
        cure: "Take the bundle: it has the log and what the engine says of the container. Or have the stage use an \
               image with a shell."
            .to_owned(),
        ..Cause::default()
    }
}
