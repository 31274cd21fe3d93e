//! A command in a container that runs already: asked, and its answer read as a whole. For probes, not for work.

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::StreamExt as _;

use super::Engine;
use super::trouble::{Result, cause};

/// How much of an answer is kept, bytes.
const LIMIT: usize = 64 << 10;

/// How it ended: its exit code and the first 64 KiB of what it said, both streams together. A program that is not in
/// the image ends with 126 or 127, as in a shell.
///
/// # Errors
/// When the container does not run, or the engine is lost.
pub async fn exec(engine: &Engine, container: &str, argv: &[&str]) -> Result<(i64, String)> {
    let what = "a command could not be run in a container";
    let failed = |error: &bollard::errors::Error| cause(engine.name(), what, error);
    let options = CreateExecOptions {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(argv.to_vec()),
        ..CreateExecOptions::default()
    };
    let made = engine.client().create_exec(container, options).await.map_err(|error| failed(&error))?;
    let started = engine.client().start_exec(&made.id, None).await.map_err(|error| failed(&error))?;
    let mut said = Vec::new();
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(Ok(piece)) = output.next().await {
            keep(&mut said, &piece);
        }
    }
    let ended = engine.client().inspect_exec(&made.id).await.map_err(|error| failed(&error))?;
    Ok((ended.exit_code.unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

fn keep(said: &mut Vec<u8>, piece: &LogOutput) {
    let bytes = piece.as_ref();
    said.extend_from_slice(
        bytes.get(..LIMIT.saturating_sub(said.len()).min(bytes.len())).unwrap_or_default(),
    );
}

/// The last lines that a container's log has, both streams together, as they came. Empty where there is none: whoever
/// asks has a worse thing to say.
pub async fn last_words(engine: &Engine, container: &str, lines: u32) -> Vec<u8> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail(&lines.to_string()).build();
    let mut log = Box::pin(engine.client().logs(container, Some(options)));
    let mut said = Vec::new();
    while let Some(Ok(piece)) = log.next().await {
        keep(&mut said, &piece);
    }
    said
}
