//! An attempt's directory: what is asked, and what became of it.
//!
//! | file | is |
//! |---|---|
//! | `spec.json` | what is asked: written durably before anything is launched |
//! | `alive` | locked (`flock`) by the worker for its whole life; the kernel lets go when it dies, however it dies |
//! | `started.json` | made once, under that lock, before anything is run: the attempt is spent |
//! | `stop` | somebody wants it stopped |
//! | `result.json` | how it ended; appears whole or not at all |
//! | `services.json` | what to remove if the worker dies |
//! | `log/`, `worker.log` | the step's log; the worker's own complaints |
//! | `work/` | the working directory |

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::deploy::Deploy;
use super::process::Identity;
use super::reap::reap;
use crate::domain::command::CommitFacts;
use crate::domain::effect::Found;
use crate::domain::ids::{AttemptKey, StepId};
use crate::domain::plan::{Output, Step, Verdict};
use crate::domain::time::Timestamp;
use crate::store::durable;

pub use super::attend::{attend, stop};

/// The version of every file in an attempt's directory.
pub const VERSION: u32 = 1;

/// What is asked of a worker. Fully said: it looks nothing up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`VERSION`].
    pub v: u32,
    /// Which attempt.
    pub key: AttemptKey,
    /// The step.
    pub step: Step,
    /// The commit.
    pub commit: CommitFacts,
    /// What the steps before it left behind.
    pub inputs: BTreeMap<StepId, Output>,
    /// Our mirror of the repository.
    pub mirror: PathBuf,
    /// The project's directory in the operator's working tree: below it lie the files of secrets, and their commands
    /// run there. Empty in what an older version wrote.
    #[serde(default)]
    pub home: PathBuf,
    /// Where artifacts lie.
    pub artifacts: PathBuf,
    /// Where caches lie.
    pub cache: PathBuf,
    /// Values that must not be in a log.
    pub redact: Vec<String>,
    /// What a deployment's step needs to know beyond that; `None` of a run's.
    #[serde(default)]
    pub deploy: Option<Box<Deploy>>,
    /// The environment of the worker, and the base of its commands': see [`super::environment::allowed`].
    pub env: BTreeMap<String, String>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How.
    pub verdict: Verdict,
    /// What it left behind.
    pub output: Output,
    /// When.
    pub ended: Timestamp,
}

/// A report as it lies on disk.
#[derive(Serialize, Deserialize)]
struct Result1 {
    v: u32,
    report: Report,
}

/// Who carries an attempt out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) v: u32,
    pub(super) worker: Identity,
    pub(super) at: Timestamp,
}

/// The files of an attempt.
#[derive(Debug, Clone)]
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    /// For a directory that may or may not be there; its real path where it is, for that is what processes carry.
    pub(super) fn of(dir: &Path) -> Self {
        Self(fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()))
    }
    fn spec_path(&self) -> PathBuf {
        self.0.join("spec.json")
    }
    fn alive_path(&self) -> PathBuf {
        self.0.join("alive")
    }
    pub(super) fn started_path(&self) -> PathBuf {
        self.0.join("started.json")
    }
    pub(super) fn stop_path(&self) -> PathBuf {
        self.0.join("stop")
    }
    fn result_path(&self) -> PathBuf {
        self.0.join("result.json")
    }
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
    pub(super) fn worker_log(&self) -> PathBuf {
        self.0.join("worker.log")
    }

    /// What is asked.
    pub(super) fn spec(&self) -> Result<Spec> {
        let spec: Spec = read(&self.spec_path())?.with_context(|| {
            format!("{} is missing: the attempt was never prepared", self.spec_path().display())
        })?;
        if spec.v != VERSION {
            bail!(
                "{} has version {}; this program reads version {VERSION}",
                self.spec_path().display(),
                spec.v
            );
        }
        Ok(spec)
    }

    /// Who carries it out, or did.
    pub(super) fn started(&self) -> Result<Option<Started>> {
        read(&self.started_path())
    }

    /// Whether it is spent. (The file may be there without its text: power may fail at any time.)
    pub(super) fn is_started(&self) -> bool {
        self.started_path().exists()
    }

    /// Whether somebody wants it stopped.
    pub(super) fn is_stop_wanted(&self) -> bool {
        self.stop_path().exists()
    }

    /// How it ended, once it has.
    pub(super) fn report(&self) -> Result<Option<Report>> {
        match read::<Result1>(&self.result_path())? {
            Some(result) if result.v == VERSION => Ok(Some(result.report)),
            Some(result) => bail!(
                "{} has version {}; this program reads version {VERSION}",
                self.result_path().display(),
                result.v
            ),
            None => Ok(None),
        }
    }

    /// Writes how it ended: whole or not at all.
    pub(super) fn write_report(&self, report: Report) -> Result<()> {
        let json = serde_json::to_vec(&Result1 { v: VERSION, report })?;
        durable::write(&self.result_path(), &json)
            .with_context(|| format!("{} could not be written", self.result_path().display()))
    }

    /// The file whose lock means life.
    pub(super) fn alive(&self) -> Result<File> {
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.alive_path())
            .with_context(|| format!("{} could not be opened", self.alive_path().display()))
    }
}

/// Reads a JSON file; `None` when there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{} cannot be read", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Writes down, durably, what is asked. Preparing again is allowed until the attempt has started; after that it
/// changes nothing.
///
/// # Errors
/// When the directory or the file cannot be written.
pub fn prepare(dir: &Path, spec: &Spec) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("{} could not be made", dir.display()))?;
    let files = Files::of(dir);
    if files.is_started() {
        return Ok(());
    }
    durable::write(&files.spec_path(), &serde_json::to_vec(spec)?)
        .with_context(|| format!("{} could not be written", files.spec_path().display()))?;
    // The directory's own entry, and its parents', must be there after a power cut too: without them the journal
    // would know of an attempt that nobody can find.
    for directory in files.0.ancestors().skip(1).take(4) {
        if let Ok(directory) = File::open(directory) {
            let _ = directory.sync_all();
        }
    }
    Ok(())
}

/// What became of an attempt, without starting anything. What a dead worker has left running is ended first: when
/// this says [`Found::Lost`], nothing of the attempt runs any more. Blocks for some seconds in that case alone.
///
/// # Errors
/// When its files cannot be read, or what is left cannot be removed.
pub fn observe(dir: &Path) -> Result<Found> {
    let files = Files::of(dir);
    if let Some(report) = files.report()? {
        return Ok(finished(report));
    }
    if !files.is_started() {
        return Ok(Found::Open);
    }
    match files.alive()?.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(Found::Open),
        Err(TryLockError::Error(error)) => return Err(error).context("the worker's lock cannot be asked"),
        Ok(()) => {}
    }
    // It may have ended between the two looks.
    if let Some(report) = files.report()? {
        return Ok(finished(report));
    }
    reap(&files.0)?;
    if files.is_stop_wanted() {
        // That it died of the stop that somebody asked for is no reason to do it again.
        return Ok(Found::Finished { verdict: Verdict::Cancelled, output: Box::default() });
    }
    Ok(Found::Lost)
}

/// Removes what a failed attempt has kept on engines: containers, network, volumes, images. Harmless when nothing is
/// there. Blocks while engines are asked.
///
/// # Errors
/// When an engine cannot be reached, or keeps something: to be tried again.
pub fn let_go(dir: &Path) -> Result<()> {
    super::services::remove_left_behind(dir)
}

fn finished(report: Report) -> Found {
    Found::Finished { verdict: report.verdict, output: Box::new(report.output) }
}
