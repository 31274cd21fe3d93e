//! The worker process: carries one attempt out, once, and outlives whoever started it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::attempt::{Files, Report, Spec, Started, VERSION};
use super::place::Places;
use super::process::{Identity, Process, below};
use super::services::{self, Running};
use super::workbench::{CannotCheck, Done, Workbench};
use super::{deploy, docker, exec, log, python, reap};
use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, Output, Verdict, Work};
use crate::domain::time::Millis;

/// How long a command that is told to stop may take to do so.
pub const GRACE: Duration = Duration::from_secs(10);
/// How much longer than its timeout a step may take where no engine lives to end it.
pub const BACKSTOP: Duration = Duration::from_secs(60);
/// Another backstop, in seconds; for tests.
pub const BACKSTOP_VARIABLE: &str = "TOWPATH_BACKSTOP_SECONDS";
/// How much earlier than ours the engine's clock of a step may have begun.
const HEAD_START: Duration = Duration::from_secs(1);
/// How many of the last lines are shown of what took too long.
const TAIL_LINES: u64 = 12;
/// How long a step's code may take to end once its commands have.
const UNWIND: Duration = Duration::from_secs(2);
/// How long another holder of the lock is waited for: one that only looks, or another worker that is about to say
/// that it has begun.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);
/// How often orphans that have ended are cleared away.
const SWEEP: Duration = Duration::from_secs(10);
/// How often a result that cannot be written (a full disk) is tried again, a second apart.
const RESULT_TRIES: u32 = 120;

/// Carries out the attempt in `dir`, unless another worker does or did.
///
/// The exit code says nothing about the step: `result.json` does.
#[must_use]
pub fn main(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the attempt's worker.log.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(dir: &Path) -> Result<()> {
    // A session of its own: neither a terminal's hang-up nor its Ctrl-C comes here. It can only fail where we lead a
    // group already (started by hand in a shell), and then the signals' handlers below do what is needed.
    let _ = nix::unistd::setsid();
    // What daemonises below us comes back to us, instead of to init where nobody would find it.
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let files = Files::of(dir);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the worker's runtime could not be made")?;
    let report = runtime.block_on(async {
        // Before the claim: a signal that comes in between is not lost.
        let mut stop = Stop::listen()?;
        let Some(lock) = claim(&files)? else { return Ok(()) };
        // Who asks first writes the wish, then looks whether we have begun; we do it the other way round. So one of
        // the two always sees the other.
        if files.is_stop_wanted() {
            stop.ask();
        }
        let report = match files.spec() {
            Ok(spec) => perform(&files.0, spec, &mut stop, backstop()).await,
            Err(error) => report(failed(&error)),
        };
        write_report(&files, report).await?;
        drop(lock);
        Ok(())
    });
    // A thread of a step's own may still be blocked: it ends with the process.
    runtime.shutdown_background();
    report
}

fn backstop() -> Duration {
    let given = std::env::var(BACKSTOP_VARIABLE).ok().and_then(|text| text.parse().ok());
    given.map_or(BACKSTOP, Duration::from_secs)
}

/// Takes the attempt: `None` when another worker has it or had it. What is returned must live as long as the worker.
fn claim(files: &Files) -> Result<Option<File>> {
    let alive = files.alive()?;
    let until = Instant::now() + CLAIM_PATIENCE;
    loop {
        if files.is_started() {
            return Ok(None);
        }
        match alive.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(TryLockError::WouldBlock) => bail!("another process holds the attempt and does not begin"),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the attempt's lock cannot be taken");
            }
        }
    }
    let path = files.started_path();
    let mut started = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} could not be made", path.display())),
    };
    let pid = i32::try_from(std::process::id()).context("our own process id is out of range")?;
    let worker = Identity::of(pid).context("/proc does not show this process")?;
    let json = serde_json::to_vec(&Started { v: VERSION, worker, at: log::now() })?;
    // From here on the attempt is spent, even if we fail: better lost (and seen to be) than done twice.
    started.write_all(&json).with_context(|| format!("{} could not be written", path.display()))?;
    started.sync_all()?;
    File::open(&files.0)?.sync_all()?;
    Ok(Some(alive))
}

/// The wish that the step stops.
struct Stop {
    ask: watch::Sender<bool>,
    wanted: watch::Receiver<bool>,
}

impl Stop {
    /// Signals ask from now on. TERM and INT mean stop; HUP means nothing to us.
    fn listen() -> Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("TERM cannot be listened for")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("INT cannot be listened for")?;
        let mut hangup = signal(SignalKind::hangup()).context("HUP cannot be listened for")?;
        let stop = Self::quiet();
        let ask = stop.ask.clone();
        tokio::spawn(async move {
            // For ever: a second signal must not kill us before the result is written.
            loop {
                tokio::select! {
                    _ = terminate.recv() => drop(ask.send(true)),
                    _ = interrupt.recv() => drop(ask.send(true)),
                    _ = hangup.recv() => {}
                }
            }
        });
        Ok(stop)
    }

    /// Nothing asks but [`Self::ask`].
    fn quiet() -> Self {
        let (ask, wanted) = watch::channel(false);
        Self { ask, wanted }
    }

    fn ask(&self) {
        let _ = self.ask.send(true);
    }

    async fn wanted(&mut self) {
        // It cannot fail: we hold a sender ourselves.
        let _ = self.wanted.wait_for(|wanted| *wanted).await;
    }
}

/// Why a step is ended before it ends by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Early {
    Cancelled,
    TimedOut,
}

async fn perform(dir: &Path, spec: Spec, stop: &mut Stop, backstop: Duration) -> Report {
    let began = Instant::now();
    let timeout = spec.step.timeout;
    let work = spec.step.work.clone();
    // The step's code hears of a timeout the same way as of a stop.
    let (tell, told) = watch::channel(false);
    let mut bench = match Workbench::new(dir, spec, told) {
        Ok(bench) => bench,
        Err(error) => return report(failed(&error)),
    };
    let sweeper = tokio::spawn(sweep());
    let running = bench.services.running();
    let (done, early) = {
        let step = dispatch(&mut bench, &work);
        tokio::pin!(step);
        let early = tokio::select! {
            // A stop that was wanted from the start comes before anything is run.
            biased;
            () = stop.wanted() => Err(Early::Cancelled),
            done = &mut step => Ok(done),
            () = tokio::time::sleep(Duration::from(timeout) + backstop) => Err(Early::TimedOut),
        };
        match early {
            Ok(done) => (Some(done), None),
            Err(early) => {
                let _ = tell.send(true);
                // Together: what its commands say while they end is still logged.
                let (done, ()) = tokio::join!(
                    tokio::time::timeout(GRACE + UNWIND, &mut step),
                    end_commands(dir, &running, GRACE)
                );
                (done.ok(), Some(early))
            }
        }
    };
    let done = match (early, done) {
        (Some(Early::Cancelled), done) => {
            let tail = log::last_lines(&dir.join("log"), TAIL_LINES);
            bench.say("The step was stopped.");
            let mut output = done.and_then(Result::ok).map(|done| done.output).unwrap_or_default();
            if began.elapsed() + HEAD_START >= Duration::from(timeout) {
                // The engine stops what passed its time limit, and says so itself: it needs what to show.
                output.tail = tail;
                output.kept = bench.kept().cloned();
            }
            Done { verdict: Verdict::Cancelled, output }
        }
        (Some(Early::TimedOut), done) => {
            bench.say("The step took too long and was stopped.");
            let output = done.and_then(Result::ok).map(|done| done.output).unwrap_or_default();
            Done::failed(timed_out(dir, timeout, began), output)
        }
        (None, Some(Ok(done))) => done,
        (None, Some(Err(error))) => {
            bench.say(&format!("{error:#}"));
            failed(&error)
        }
        (None, None) => failed(&anyhow::anyhow!("the step ended without a word")),
    };
    let done = tidy(dir, &mut bench, done, early.is_none()).await;
    sweeper.abort();
    report(done)
}

async fn dispatch(bench: &mut Workbench, work: &Work) -> Result<Done> {
    match work {
        Work::Exec(step) => exec::run(bench, step).await,
        Work::Install(setting) => python::install::run(bench, setting).await,
        Work::Build(build) if build.artifact.image.is_some() => docker::build::run(bench, build).await,
        Work::Build(build) => python::candidate::run(bench, build).await,
        Work::Inspect(setting) => python::inspect::run(bench, setting).await,
        Work::MigrateEmpty(step) => python::migrate_empty::run(bench, step).await,
        Work::Fetch(_)
        | Work::Migrate(_)
        | Work::Start(_)
        | Work::AwaitHealthy(_)
        | Work::Shift { .. }
        | Work::Bake { .. }
        | Work::Hook(_)
        | Work::Drain(_)
        | Work::Stop(_)
        | Work::Verify(_) => deploy::run(bench, work).await,
    }
}

/// Ends what still runs, removes what is not kept, and adds what the step's own code does not know.
/// A container is kept only where the step ended by itself: who stops one waits for its end, and wants nothing of it.
async fn tidy(dir: &Path, bench: &mut Workbench, mut done: Done, by_itself: bool) -> Done {
    done.output.facts.extend(bench.services.facts().iter().cloned());
    let running = bench.services.running();
    let left = left_running(dir, &running);
    if !left.is_empty() {
        bench.say(&format!("Ending {} processes that the step has left running.", left.len()));
        end_commands(dir, &running, UNWIND).await;
    }
    let kept = match &done.verdict {
        Verdict::Failed(_) | Verdict::Inconclusive { .. } if by_itself => docker::kept::keep(bench).await,
        _ => None,
    };
    if let Err(error) = bench.services.stop(kept.is_some()).await {
        bench.say(&format!("{error:#}"));
    }
    if kept.is_none()
        && let Err(error) = services::remove_left_behind(dir)
    {
        bench.say(&format!("{error:#}"));
    }
    if let Verdict::Failed(cause) = &mut done.verdict {
        Places::of(bench).rewrite(&bench.spec().step.id.0, cause);
    }
    match &done.verdict {
        Verdict::Failed(_) | Verdict::Inconclusive { .. } => {
            if done.output.kept.is_none() {
                done.output.kept = kept.or_else(|| bench.kept().cloned());
            }
        }
        Verdict::Cancelled if done.output.kept.is_some() => {}
        Verdict::Passed | Verdict::Cancelled => {
            // A directory without write permission is no reason to fail what has passed.
            if let Err(error) = std::fs::remove_dir_all(bench.work()) {
                bench.say(&format!("The working directory could not be removed: {error}."));
            }
        }
    }
    if let Some(lost) = bench.lost() {
        done.output.findings.push(Finding {
            id: "LOG-INCOMPLETE".into(),
            severity: Severity::Warning,
            title: format!("A part of this step's log could not be written: {lost}."),
            cure: "Make room on the disk that holds Towpath's state.".into(),
        });
    }
    done
}

/// What of the attempt runs, but for its services.
fn left_running(dir: &Path, services: &Running) -> Vec<Process> {
    let mut left = reap::of_this_process();
    for process in reap::of_attempt(dir) {
        if !left.contains(&process) {
            left.push(process);
        }
    }
    let stays = services.processes();
    let under = below(&left, &stays);
    left.retain(|process| !stays.contains(&process.pid) && !under.contains(&process.pid));
    left
}

/// TERM to every process of the attempt, `grace`, then KILL.
async fn end_commands(dir: &Path, services: &Running, grace: Duration) {
    let until = tokio::time::Instant::now() + grace;
    let mut asked: Vec<Process> = Vec::new();
    loop {
        let left = left_running(dir, services);
        if left.is_empty() {
            return;
        }
        if tokio::time::Instant::now() >= until {
            break;
        }
        for process in left {
            if !asked.iter().any(|one| (one.pid, one.started) == (process.pid, process.started)) {
                process.signal(Signal::SIGTERM);
                asked.push(process);
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What forks while it is being killed is found the next time.
    for _ in 0..50 {
        let left = left_running(dir, services);
        if left.is_empty() {
            return;
        }
        for process in left {
            process.signal(Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Clears away orphans that came back to us and have ended. Children of our own are waited for by whoever started
/// them, at once; so a zombie that is still there a sweep later is nobody's.
async fn sweep() {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let mut seen: Vec<(i32, u64)> = Vec::new();
    loop {
        tokio::time::sleep(SWEEP).await;
        let zombies: Vec<(i32, u64)> = Process::all()
            .into_iter()
            .filter(|process| process.parent == me && !process.lives())
            .map(|process| (process.pid, process.started))
            .collect();
        for (pid, _) in zombies.iter().filter(|zombie| seen.contains(zombie)) {
            let _ = waitpid(Pid::from_raw(*pid), Some(WaitPidFlag::WNOHANG));
        }
        seen = zombies;
    }
}

fn timed_out(dir: &Path, timeout: Millis, began: Instant) -> Cause {
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    Cause {
        summary: format!("it took longer than {timeout} and was stopped"),
        expected: format!("an end within {timeout}"),
        measured: format!("no end after {took}"),
        exit_code: None,
        last_lines: log::last_lines(&dir.join("log"), TAIL_LINES),
        cure: "Give the step a longer `timeout` in towpath.toml if it needs one.".into(),
    }
}

/// The end of a step whose code returned an error.
fn failed(error: &anyhow::Error) -> Done {
    if let Some(CannotCheck(reason)) = error.downcast_ref() {
        return Done { verdict: Verdict::Inconclusive { reason: reason.clone() }, output: Output::default() };
    }
    let summary = format!("{error:#}");
    Done::failed(
        Cause { summary, expected: "the step can be carried out".into(), ..Cause::default() },
        Output::default(),
    )
}

fn report(done: Done) -> Report {
    Report { verdict: done.verdict, output: done.output, ended: log::now() }
}

/// Writes the result. On a full disk it is tried again and again: the engine gives its ballast up for this.
async fn write_report(files: &Files, report: Report) -> Result<()> {
    let mut tries = 0;
    loop {
        match files.write_report(report.clone()) {
            Ok(()) => return Ok(()),
            Err(error) if tries == RESULT_TRIES => return Err(error),
            Err(_) => tries += 1,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
