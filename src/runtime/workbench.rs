//! What a step's code works with: its specification, its directories, its log, its commands and its services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use super::attempt::Spec;
use super::command::{self, CommandLine};
use super::docker::kept::Ended;
use super::environment;
use super::log::Log;
use super::reap;
use super::services::Services;
use crate::domain::plan::{Cause, Kept, Output, Setting, Verdict, Work};
use crate::domain::project::Service;
use crate::store::segment::Source;
use crate::text::redact::Redactor;
use crate::text::sanitise::Sanitiser;

/// What a step's code ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// How it ended.
    pub verdict: Verdict,
    /// What it leaves behind.
    pub output: Output,
}

impl Done {
    /// It did what it should.
    #[must_use]
    pub fn passed(output: Output) -> Self {
        Self { verdict: Verdict::Passed, output }
    }

    /// It did not.
    #[must_use]
    pub fn failed(cause: Cause, output: Output) -> Self {
        Self { verdict: Verdict::Failed(cause), output }
    }
}

/// The step could not do its work, and that says nothing about the commit. Returned as an error from anywhere in a
/// step's code, it makes the step inconclusive instead of failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotCheck(pub String);

/// The step was stopped, so nothing more is started. The worker knows the reason and writes the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the step was stopped")]
pub struct Stopped;

/// What a step's code works with.
pub struct Workbench {
    spec: Spec,
    dir: PathBuf,
    log: Log,
    stopped: watch::Receiver<bool>,
    /// What runs beside the step.
    pub services: Services,
    kept: Option<Kept>,
    ended: Option<Ended>,
}

impl Workbench {
    /// Sets up an attempt's working directory and log.
    ///
    /// # Errors
    /// When either cannot be made.
    pub fn new(dir: &Path, spec: Spec, stopped: watch::Receiver<bool>) -> anyhow::Result<Self> {
        let mut hidden = spec.redact.clone();
        hidden.extend(environment::passwords(&spec.env));
        let log = Log::create(&dir.join("log"), &hidden)?;
        std::fs::create_dir_all(dir.join("work"))?;
        Ok(Self {
            spec,
            dir: dir.to_owned(),
            log,
            stopped,
            services: Services::new(dir),
            kept: None,
            ended: None,
        })
    }

    /// What is asked.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The attempt's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The attempt's working directory: empty at first, kept when the step fails.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Keeps these values out of the log from here on.
    pub fn hide(&mut self, values: impl Iterator<Item = String>) {
        self.log.hide(values);
    }

    /// Writes a line of our own into the log.
    pub fn say(&mut self, text: &str) {
        // Our own words may quote a file's name or an error of a tool.
        let mut sanitiser = Sanitiser::new();
        let lines = sanitiser.push(text.as_bytes());
        for line in lines.into_iter().chain(sanitiser.finish()) {
            self.log.line(Source::Towpath, &line);
        }
        self.log.flush();
    }

    /// A piece of text from outside as it may be shown: one line, sanitised, redacted.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        let mut sanitiser = Sanitiser::new();
        let mut lines = sanitiser.push(text.as_bytes());
        lines.extend(sanitiser.finish());
        let hidden = self.spec.redact.iter().cloned().chain(environment::passwords(&self.spec.env));
        crate::text::width::plain(&Redactor::new(hidden).redact(&lines.join(" ")))
    }

    /// Writes a line of what a step's work puts out, where it is no command of ours that does.
    pub fn output(&mut self, line: &str) {
        let mut sanitiser = Sanitiser::new();
        let lines = sanitiser.push(line.as_bytes());
        for line in lines.into_iter().chain(sanitiser.finish()) {
            self.log.line(Source::Output, &line);
        }
        self.log.flush();
    }

    /// Turns true when the step is being stopped: for work that waits.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Whether the step is being stopped: long work of its own should end soon.
    #[must_use]
    pub fn cancelled(&self) -> bool {
        *self.stopped.borrow()
    }

    /// The step's log, for what speaks through something else than a command's pipes.
    pub(super) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Runs a command to its end, its output going into the log. Descendants that outlive it are ended with the
    /// step, not with the command.
    ///
    /// # Errors
    /// [`Stopped`] when the step is being stopped; otherwise when the command cannot be started, or captured
    /// output is too much to hold. A command that fails is no error: look at [`exit`](command::Ended::exit).
    pub async fn run(&mut self, line: CommandLine) -> anyhow::Result<command::Ended> {
        if self.cancelled() {
            return Err(Stopped.into());
        }
        let env = self.environment(&line.env);
        let cwd = if line.cwd.as_os_str().is_empty() { self.work() } else { line.cwd.clone() };
        let ended = command::run(&mut self.log, &line, &cwd, &env).await?;
        if self.cancelled() {
            return Err(Stopped.into());
        }
        Ok(ended)
    }

    /// Starts what is to run beside the step and is not running yet; its addresses are in the environment of every
    /// command from here on.
    ///
    /// # Errors
    /// [`CannotCheck`] when a service cannot be had.
    pub async fn serve(&mut self, wanted: &[Service]) -> anyhow::Result<()> {
        for service in wanted {
            if self.cancelled() {
                return Err(Stopped.into());
            }
            super::services::start(self, service).await?;
        }
        Ok(())
    }

    /// The environment that [`run`](Self::run) gives a command: the allowed base, what only changes looks, the
    /// services' addresses, the stage's variables, `more`, and what marks it as this attempt's.
    #[must_use]
    pub fn environment(&self, more: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut env = self.spec.env.clone();
        env.extend(environment::neutral());
        env.extend(self.services.env().clone());
        if let Some(setting) = setting(&self.spec.step.work) {
            env.extend(setting.env.clone());
        }
        env.extend(more.clone());
        env.insert("TOWPATH_COMMIT".into(), self.spec.commit.id.0.clone());
        env.insert(reap::VARIABLE.into(), self.dir.to_string_lossy().into_owned());
        env
    }

    /// Says where a person should look when the step fails: the directory, and what a command there gets added to
    /// its environment. The last call holds.
    pub fn keep(&mut self, directory: &Path, more: &BTreeMap<String, String>) {
        let mut env = self.environment(more);
        // A shell that a person opens there is not the attempt's and must not die with it.
        env.remove(reap::VARIABLE);
        let env = self.without_secrets(env);
        self.kept = Some(Kept { directory: directory.to_string_lossy().into_owned(), env, container: None });
    }

    /// An environment without the values that look like secrets: what is kept goes into the journal.
    #[must_use]
    pub fn without_secrets(&self, mut env: BTreeMap<String, String>) -> BTreeMap<String, String> {
        let passwords = environment::passwords(&env);
        let mut redactor = Redactor::new(self.spec.redact.iter().cloned().chain(passwords));
        env.retain(|_, value| redactor.redact(value) == value.as_str());
        env
    }

    /// Notes the container of the last command, which has ended and is there until the attempt's end.
    pub fn ended_in(&mut self, ended: Ended) {
        self.ended = Some(ended);
    }

    /// The container of the last command, from here on whoever takes it answers for it.
    pub fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// What [`keep`](Self::keep) was told last.
    #[must_use]
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// Why the last lines are not in the log, if they are not.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.log.lost()
    }
}

/// What a piece of pipeline work knows of its project; `None` for a deployment's.
#[must_use]
pub fn setting(work: &Work) -> Option<&Setting> {
    match work {
        Work::Install(setting) | Work::Inspect(setting) => Some(setting),
        Work::Exec(exec) | Work::MigrateEmpty(exec) => Some(&exec.setting),
        Work::Build(build) => Some(&build.setting),
        _ => None,
    }
}
