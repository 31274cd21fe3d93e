//! This program, asked for something of a step beside the console: the console itself touches no engine of Docker's.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::domain::ids::{RunId, StepId};
use crate::text::width::plain;

/// This program, also after a newer one was put in its place.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// What it begins its sentences with where something went wrong.
const NAME: &str = "towpath: ";

fn asked(verb: &str, project: &Path, (run, step): &(RunId, StepId)) -> Command {
    let mut program = Command::new(OWN_PROGRAM);
    program.arg0("towpath").args([verb, &run.to_string(), step.as_str(), "--repository"]).arg(project);
    program
}

/// A shell in a copy of the step's container; it gets the terminal.
pub(super) fn shell(project: &Path, of: &(RunId, StepId)) -> Command {
    let mut program = asked("shell", project, of);
    // What is wrong with it would be drawn over at once: it is said on screen.
    program.stderr(Stdio::piped());
    program
}

/// Why there was no shell, once the program has ended.
pub(super) async fn no_shell(mut ended: Child) -> Option<String> {
    let mut said = String::new();
    ended.stderr.take()?.read_to_string(&mut said).await.ok()?;
    let lines = said.lines().filter_map(|line| line.strip_prefix(NAME));
    lines.map(plain).find(|line| !line.starts_with("a copy of "))
}

/// Writes the step's bundle: where it lies, or why it does not.
pub(super) async fn bundle(project: &Path, of: &(RunId, StepId)) -> Result<String, String> {
    let first = |bytes: &[u8]| plain(String::from_utf8_lossy(bytes).lines().next().unwrap_or_default());
    match asked("bundle", project, of).stdin(Stdio::null()).output().await {
        Ok(ended) if ended.status.success() => Ok(first(&ended.stdout)),
        Ok(ended) => Err(first(&ended.stderr).trim_start_matches(NAME).to_owned()),
        Err(error) => Err(format!("There is no bundle: {error}.")),
    }
}
