//! What an engine does with an attempt: see that it is carried out (once), wait for its end, stop it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::attempt::{Files, Report};
use super::log;
use super::reap::reap;
use super::worker::GRACE;
use crate::domain::plan::{Cause, Output, Verdict};

/// How often a worker that dies before it has begun is launched again. Something is wrong with the machine then,
/// and it should be said rather than tried for ever.
const LAUNCHES: u32 = 3;
/// How much longer than a command's grace a worker that is being stopped may take.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// How many lines of a dead worker's log are shown.
const LAST_LINES: u64 = 30;

/// Sees that the attempt is carried out and waits for its end, whoever started it: a result that is there is
/// returned, a worker that lives is waited for, and only an attempt that never started is launched. May be called
/// any number of times, from any number of engines; dropping the future disturbs nothing.
///
/// `program` is this program: it is run as `program step-worker DIR`. `secrets` are variables of its environment that
/// must not be written down with the specification.
///
/// # Errors
/// When the attempt cannot be read or its worker cannot be launched. A worker that dies is no error but a failed
/// verdict that says so.
pub async fn attend(dir: &Path, program: &Path, secrets: &BTreeMap<String, String>) -> Result<Report> {
    let files = Files::of(dir);
    for _ in 0..=LAUNCHES {
        if let Some(report) = files.report()? {
            return Ok(report);
        }
        end_of_worker(&files).await?;
        if let Some(report) = files.report()? {
            return Ok(report);
        }
        if files.is_started() {
            return died(&files).await;
        }
        launch(&files, program, secrets).await?;
    }
    match files.report()? {
        Some(report) => Ok(report),
        None if files.is_started() => {
            end_of_worker(&files).await?;
            match files.report()? {
                Some(report) => Ok(report),
                None => died(&files).await,
            }
        }
        None => bail!(
            "the worker ended {LAUNCHES} times before it had begun; {} says: {}",
            files.worker_log().display(),
            std::fs::read_to_string(files.worker_log()).unwrap_or_default().trim()
        ),
    }
}

/// Stops an attempt: its commands get TERM, then ten seconds, then KILL; the worker writes that it was cancelled.
/// Returns when the worker is gone; one that does not go is killed. Harmless when it has ended already; one that
/// has not started yet ends as cancelled as soon as it is started.
///
/// # Errors
/// When the wish cannot be written down, or a worker may not be signalled.
pub async fn stop(dir: &Path) -> Result<()> {
    let files = Files::of(dir);
    if files.report()?.is_some() {
        return Ok(());
    }
    // First the wish, then the look whether it has started; the worker does it the other way round. So one of the
    // two always sees the other.
    std::fs::write(files.stop_path(), b"")
        .with_context(|| format!("{} could not be written", files.stop_path().display()))?;
    if !files.is_started() {
        return Ok(());
    }
    let started = files.started()?;
    if let Some(started) = &started {
        started.worker.signal(Signal::SIGTERM).context("the worker could not be told to stop")?;
    }
    if tokio::time::timeout(GRACE + STOP_MARGIN, end_of_worker(&files)).await.is_ok_and(|ended| ended.is_ok())
    {
        return Ok(());
    }
    if let Some(started) = &started {
        started.worker.signal(Signal::SIGKILL).context("the worker could not be killed")?;
    }
    end_of_worker(&files).await?;
    tokio::task::spawn_blocking(move || reap(&files.0)).await?
}

/// Waits until no worker holds the attempt. The kernel says when: nothing is polled, and no process id can be
/// mistaken for another.
async fn end_of_worker(files: &Files) -> Result<()> {
    let alive = files.alive()?;
    if alive.try_lock_shared().is_ok() {
        return Ok(());
    }
    let (tell, told) = oneshot::channel();
    // A thread of its own, not one of tokio's: a runtime that ends waits for those, and this may take hours.
    std::thread::Builder::new()
        .name("towpath-wait".into())
        .spawn(move || {
            // Shared, so that several who wait do not wait for each other; let go at once.
            let _ = tell.send(alive.lock_shared());
        })
        .context("no thread could be started to wait for the worker")?;
    told.await
        .context("the thread that waited for the worker died")?
        .context("the worker's lock cannot be waited for")
}

/// Launches a worker and waits for its end. It goes on when we do not.
async fn launch(files: &Files, program: &Path, secrets: &BTreeMap<String, String>) -> Result<()> {
    let spec = files.spec()?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(files.worker_log())
        .with_context(|| format!("{} could not be opened", files.worker_log().display()))?;
    // Not in a process group of its own: the leader of a group cannot begin a session, and that is what the worker
    // does first.
    let mut worker = tokio::process::Command::new(program)
        .arg0("towpath")
        .arg("step-worker")
        .arg(&files.0)
        .current_dir(&files.0)
        .env_clear()
        .envs(&spec.env)
        .envs(secrets)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .with_context(|| format!("the worker could not be started from {}", program.display()))?;
    worker.wait().await.context("the worker could not be waited for")?;
    Ok(())
}

/// The verdict on a worker that is gone without a word.
async fn died(files: &Files) -> Result<Report> {
    let dir = files.0.clone();
    tokio::task::spawn_blocking(move || reap(&dir)).await??;
    let verdict = if files.is_stop_wanted() {
        Verdict::Cancelled
    } else {
        let mut last_lines = log::last_lines(&files.log(), LAST_LINES);
        let own = std::fs::read_to_string(files.worker_log()).unwrap_or_default();
        let own: Vec<&str> = own.lines().collect();
        last_lines.extend(own.iter().skip(own.len().saturating_sub(10)).map(|line| (*line).to_owned()));
        Verdict::Failed(Cause {
            summary: "the step's worker process died without a result".into(),
            expected: "a result".into(),
            measured: "no result, and no process".into(),
            exit_code: None,
            last_lines,
            cure: "It was killed from outside (by hand, by a reboot, for want of memory). Look at the kernel's log, then retry the step."
                .into(),
        })
    };
    Ok(Report { verdict, output: Output::default(), ended: log::now() })
}
