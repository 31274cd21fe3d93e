//! What a deployment's steps and the engine do with replicas.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;

use super::ending::{self, Stopped};
use super::files::{Files, append, read, write};
use super::members::{self, Members};
use super::spec::Spec;
use super::status::Written;
use crate::domain::health::ReplicaState;
use crate::runtime::{log, reap};
use crate::store::durable;

/// How long a keeper may take until it holds its lock.
const LAUNCH: Duration = Duration::from_secs(20);
/// How much longer than its replica's patience a keeper that stops it may take: what is killed may hang for ten
/// seconds.
const MARGIN: Duration = Duration::from_secs(15);
/// How often it is looked whether another process has come so far.
const LOOK: Duration = Duration::from_millis(20);
/// How much of `keeper.log` is kept from one launch to the next, in bytes.
const LONGEST_KEEPER_LOG: u64 = 1 << 20;

/// Writes down, durably, what is asked. To prepare the same again changes nothing, a wish to stop included: see
/// [`start_again`].
///
/// # Errors
/// When another replica was prepared in that directory, or it cannot be written.
pub fn prepare(dir: &Path, spec: &Spec) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("{} could not be made", dir.display()))?;
    let files = Files::of(dir);
    if let Some(prepared) = read::<Spec>(&files.spec_path())? {
        if prepared == *spec {
            return Ok(());
        }
        bail!(
            "{} holds the replica {} already, and it is not the one that is wanted ({}): a replica is never changed, \
             another deployment gets directories of its own",
            dir.display(),
            prepared.name,
            spec.name
        );
    }
    write(&files.spec_path(), spec)?;
    // The directory's own entry, and its parents', must be there after a power cut too.
    for directory in files.0.ancestors().skip(1).take(4) {
        if let Ok(directory) = File::open(directory) {
            let _ = directory.sync_all();
        }
    }
    Ok(())
}

/// Takes the wish to stop back, durably: [`launch`] starts it again (a warm set that traffic goes back to).
///
/// # Errors
/// When the wish cannot be removed.
pub fn start_again(dir: &Path) -> Result<()> {
    let path = Files::of(dir).stop_path();
    match fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} could not be removed", path.display())),
        Ok(()) => Ok(File::open(path.parent().unwrap_or(dir))?.sync_all()?),
    }
}

/// Whether somebody wants it stopped.
#[must_use]
pub fn is_stopping(dir: &Path) -> bool {
    Files::of(dir).is_stop_wanted()
}

/// The last lines of its log, oldest first, without colours. Empty when there is none.
#[must_use]
pub fn last_lines(dir: &Path, count: usize) -> Vec<String> {
    log::last_lines(&Files::of(dir).log(), u64::try_from(count).unwrap_or(u64::MAX))
}

/// Starts a keeper, unless one lives or the replica is to be stopped, and returns when it has taken its place. The
/// keeper is nobody's child: it outlives whoever launched it, a step's worker included.
///
/// `program` is this program; `env` is the environment of the keeper itself, where `env` secrets are looked for.
///
/// # Errors
/// When no keeper could be started, or it ended before it took its place, with its own words.
pub async fn launch(dir: &Path, program: &Path, env: &BTreeMap<String, String>) -> Result<()> {
    let files = Files::of(dir);
    files.spec()?;
    if files.is_kept() || files.is_stop_wanted() {
        return Ok(());
    }
    let path = files.keeper_log();
    if fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LONGEST_KEEPER_LOG) {
        let _ = fs::remove_file(&path);
    }
    let log = append(&path).with_context(|| format!("{} could not be opened", path.display()))?;
    let said_before = log.metadata()?.len();
    let mut env = env.clone();
    for mark in [reap::VARIABLE, members::VARIABLE, members::NAME_VARIABLE] {
        env.remove(mark);
    }
    let mut first = tokio::process::Command::new(program);
    first
        .arg0("towpath")
        .args(["replica-keeper", "--detach"])
        .arg(&files.0)
        .current_dir(&files.0)
        .env_clear()
        .envs(&env)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false);
    // The keeper is started by a process that ends at once. A step's worker takes orphans in and ends them with the
    // step: it must not take this one.
    let status = {
        let _open = Unadopting::begin();
        let mut first = first
            .spawn()
            .with_context(|| format!("the keeper could not be started from {}", program.display()))?;
        first.wait().await.context("the keeper's start could not be waited for")?
    };
    let until = Instant::now() + LAUNCH;
    let said = || -> String {
        let text = fs::read(&path).unwrap_or_default();
        let new = text.get(usize::try_from(said_before).unwrap_or(0)..).unwrap_or_default();
        String::from_utf8_lossy(new).trim().to_owned()
    };
    if !status.success() {
        bail!("the keeper of {} did not start ({status}); it says: {}", files.0.display(), said());
    }
    // A keeper that has been told to stop meanwhile is gone again: that is no failure.
    while !files.is_kept() && !files.is_stop_wanted() {
        let said = said();
        if !said.is_empty() {
            bail!("the keeper of {} ended before it had begun; it says: {said}", files.0.display());
        }
        if Instant::now() > until {
            bail!(
                "the keeper of {} has not taken its place within {} seconds, and does not say why",
                files.0.display(),
                LAUNCH.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// While one of these lives, orphans of ours go to init: how many live, and whether they came to us before.
static UNADOPTING: Mutex<(u32, bool)> = Mutex::new((0, false));

/// See [`UNADOPTING`]. Several replicas may be launched at once.
struct Unadopting;

impl Unadopting {
    fn begin() -> Self {
        let mut open = UNADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
        if open.0 == 0 {
            open.1 = prctl::get_child_subreaper().unwrap_or(false);
            if open.1 {
                let _ = prctl::set_child_subreaper(false);
            }
        }
        open.0 += 1;
        Self
    }
}

impl Drop for Unadopting {
    fn drop(&mut self) {
        let mut open = UNADOPTING.lock().unwrap_or_else(PoisonError::into_inner);
        open.0 -= 1;
        if open.0 == 0 && open.1 {
            let _ = prctl::set_child_subreaper(true);
        }
    }
}

/// Stops the replica for good: its main process is told to, gets its `stop_timeout`, then everything of it is
/// killed. Returns when all is gone. Where no keeper lives, this process does it itself. Harmless when it is stopped
/// already.
///
/// # Errors
/// When the wish cannot be written down, or its files cannot be read.
pub async fn stop(dir: &Path) -> Result<Stopped> {
    let began = Instant::now();
    let files = Files::of(dir);
    let spec = files.spec()?;
    durable::write(&files.stop_path(), b"")
        .with_context(|| format!("{} could not be written", files.stop_path().display()))?;
    let patience = Duration::from(spec.stop_timeout) + MARGIN;
    // The lock, not the process, says when the keeper is gone; then it is ours, and no other can begin.
    let alive = files.alive()?;
    let mut asked = None;
    let mut was_kept = false;
    loop {
        match alive.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the keeper's lock cannot be asked");
            }
            Err(TryLockError::WouldBlock) => {}
        }
        was_kept = true;
        let keeper = files.keeper().filter(crate::runtime::process::Identity::lives);
        if let Some(keeper) = &keeper {
            if began.elapsed() > patience {
                keeper.signal(Signal::SIGKILL).context("the keeper could not be killed")?;
            } else if asked != Some(keeper.pid) {
                keeper.signal(Signal::SIGTERM).context("the keeper could not be told to stop")?;
                asked = Some(keeper.pid);
            }
        }
        if began.elapsed() > patience + MARGIN {
            bail!("the keeper of {} holds its lock and cannot be ended", files.0.display());
        }
        tokio::time::sleep(LOOK).await;
    }
    let took = || ending::millis(began.elapsed());
    let written = Written::read(&files);
    let by_keeper = written.clone().and_then(|written| written.stopped).filter(|_| was_kept);
    let members = Members::new(&files.0, Some(&spec), files.recorded().as_ref(), false);
    if members.living().is_empty() {
        let stopped = Stopped { took: took(), ..by_keeper.unwrap_or_default() };
        if written.as_ref().is_none_or(|written| written.state != ReplicaState::Stopped) {
            say_stopped(&files, written, &stopped);
        }
        return Ok(stopped);
    }
    let mut stopped = ending::end(&members, &spec).await;
    stopped.took = took();
    if stopped.left.is_empty() {
        files.forget_process();
    }
    say_stopped(&files, written, &stopped);
    Ok(stopped)
}

/// Writes that it is stopped; a full disk is no reason to say that it is not.
fn say_stopped(files: &Files, written: Option<Written>, stopped: &Stopped) {
    let now = log::now();
    let before = written.unwrap_or_else(|| Written::new(ReplicaState::Stopped, now));
    let after = Written {
        state: ReplicaState::Stopped,
        since: now,
        pid: None,
        waits_for: None,
        next_start: None,
        stopped: Some(stopped.clone()),
        ..before
    };
    let _ = after.write(files);
}
