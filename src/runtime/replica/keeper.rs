//! The keeper process: looks after one replica, and outlives whoever started it.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::ending;
use super::files::{Files, Recorded, write, write_holder};
use super::members::Members;
use super::spec::{Spec, VERSION};
use super::spool::Tail;
use super::start::{self, Running};
use super::status::Written;
use crate::domain::health::ReplicaState as State;
use crate::domain::time::{Millis, Timestamp};
use crate::runtime::log;
use crate::runtime::process::{Identity, Process};
use crate::secret;

/// How long another holder of the lock is waited for: one that only looks holds it for an instant.
const CLAIM_PATIENCE: Duration = Duration::from_secs(2);
/// How often the replica's output is looked for while there is some.
const BUSY: Duration = Duration::from_millis(100);
/// And while there is none.
const QUIET: Duration = Duration::from_millis(500);
/// After how many looks in vain it is quiet.
const LOOKS: u32 = 20;
/// How often the file `stop` is looked for, and what a full disk kept from being written is tried again.
const LOOK: Duration = Duration::from_secs(1);
/// How often a lock that another replica holds is tried.
const LOCK_LOOK: Duration = Duration::from_millis(250);
/// How often orphans that have ended are cleared away.
const SWEEP: Duration = Duration::from_secs(10);
/// The longest pause before a start; the first is a second, each further one twice the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A replica that lived this long was well: the next pause is the shortest again.
const WELL: Millis = Millis::seconds(60);
/// How often the secrets of an adopted replica are asked for again; until they are known its log waits.
const LEARN: Duration = Duration::from_secs(30);

/// Looks after the replica in `dir` until it is to be stopped, unless another keeper does. With `detach` it only
/// starts the keeper as another process, so that that one is an orphan.
#[must_use]
pub fn main(dir: &Path, detach: bool) -> ExitCode {
    match if detach { begin(dir) } else { run(dir) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the replica's keeper.log.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn begin(dir: &Path) -> Result<()> {
    use std::os::unix::process::CommandExt as _;
    // This very program, even if its file was replaced meanwhile.
    let mut keeper = Command::new("/proc/self/exe");
    keeper.arg0("towpath").arg("replica-keeper").arg(dir);
    keeper.spawn().context("the keeper could not be started")?;
    Ok(())
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
        .context("the keeper's runtime could not be made")?;
    let kept = runtime.block_on(async {
        // Before the claim: a signal that comes in between is not lost.
        let (ask, wanted) = watch::channel(false);
        listen(ask.clone())?;
        let Some(alive) = claim(&files).await? else { return Ok(()) };
        let kept = match Keeper::new(files, ask, wanted) {
            Ok(mut keeper) => keeper.keep().await,
            Err(error) => Err(error),
        };
        drop(alive);
        kept
    });
    runtime.shutdown_background();
    kept
}

/// Signals ask from now on. TERM and INT mean stop; HUP means nothing to us.
fn listen(ask: watch::Sender<bool>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("TERM cannot be listened for")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("INT cannot be listened for")?;
    let mut hangup = signal(SignalKind::hangup()).context("HUP cannot be listened for")?;
    tokio::spawn(async move {
        // For ever: a second signal must not kill us before the replica has ended.
        loop {
            tokio::select! {
                _ = terminate.recv() => drop(ask.send(true)),
                _ = interrupt.recv() => drop(ask.send(true)),
                _ = hangup.recv() => {}
            }
        }
    });
    Ok(())
}

/// Takes the replica: `None` when another keeper has it. What is returned must live as long as the keeper.
async fn claim(files: &Files) -> Result<Option<File>> {
    let alive = files.alive()?;
    let until = Instant::now() + CLAIM_PATIENCE;
    loop {
        match alive.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => {
                return Err(error).context("the replica's lock cannot be taken");
            }
        }
    }
    let pid = i32::try_from(std::process::id()).context("our own process id is out of range")?;
    write_holder(&alive, &Identity::of(pid).context("/proc does not show this process")?);
    Ok(Some(alive))
}

/// The replica is to be stopped.
struct StopWanted;

/// Why a start did not come to a process.
enum NotStarted {
    StopWanted,
    Failed { why: String, cure: String },
}

impl From<StopWanted> for NotStarted {
    fn from(_: StopWanted) -> Self {
        Self::StopWanted
    }
}

struct Keeper {
    files: Files,
    spec: Spec,
    ask: watch::Sender<bool>,
    wanted: watch::Receiver<bool>,
    tail: Tail,
    status: Written,
    recorded: Option<Recorded>,
    /// What a full disk has kept from being written.
    unwritten: Unwritten,
    /// The lock of a role of which there may be one, once we hold it.
    lock: Option<File>,
    /// Starts in a row that came to nothing lasting.
    failures: u32,
    /// Looks at the spool in vain, in a row.
    quiet: u32,
    looked: Instant,
    swept: Instant,
}

#[derive(Default)]
struct Unwritten {
    status: bool,
    process: bool,
}

impl Keeper {
    fn new(files: Files, ask: watch::Sender<bool>, wanted: watch::Receiver<bool>) -> Result<Self> {
        let spec = files.spec()?;
        let mut tail = Tail::open(&files)?;
        if spec.secrets.is_empty() {
            tail.know([])?;
        }
        let before = Written::read(&files);
        let recorded = files.recorded();
        let restarts = recorded.as_ref().map_or(0, |recorded| recorded.starts.saturating_sub(1));
        let status = Written {
            restarts,
            last_exit: before.and_then(|before| before.last_exit),
            ..Written::new(State::Starting, log::now())
        };
        let now = Instant::now();
        Ok(Self {
            files,
            spec,
            ask,
            wanted,
            tail,
            status,
            recorded,
            unwritten: Unwritten::default(),
            lock: None,
            failures: 0,
            quiet: 0,
            looked: now,
            swept: now,
        })
    }

    /// Until it is to be stopped, and is.
    async fn keep(&mut self) -> Result<()> {
        let mut running = self.adopt();
        loop {
            if self.is_stop_wanted() {
                break;
            }
            if running.is_none() {
                match self.start().await {
                    Ok(started) => running = Some(started),
                    Err(NotStarted::StopWanted) => break,
                    Err(NotStarted::Failed { why, cure }) => {
                        self.status.last_exit = Some(format!("could not be started: {why}"));
                        self.tail.say(format!("The replica could not be started: {why}. {cure}").trim_end());
                    }
                }
            }
            if let Some(process) = &mut running {
                match self.end_of(process).await {
                    Ok(exit) => self.ended(process, exit).await,
                    Err(StopWanted) => break,
                }
                running = None;
            }
            if self.back_off().await.is_err() {
                break;
            }
        }
        self.end(running).await;
        Ok(())
    }

    /// The process that a keeper before us has started, if it lives.
    fn adopt(&mut self) -> Option<Running> {
        let recorded = self.recorded.clone()?;
        let process = recorded.process.filter(Identity::lives)?;
        let values = start::values_of(&process, &self.spec.secrets);
        if values.len() == self.spec.secrets.len() && self.tail.know(values.into_values()).is_err() {
            self.tail.say("The log of the replica cannot be written; trying again.");
        }
        self.status.since = recorded.since;
        self.set(State::Up);
        self.status.pid = Some(process.pid);
        self.write_status();
        self.tail.say(&format!("A new keeper goes on with process {}.", process.pid));
        Some(Running::adopted(process, recorded.since))
    }

    /// One start.
    async fn start(&mut self) -> Result<Running, NotStarted> {
        // What a keeper that was killed has left, or the last process: never two at once.
        self.kill_leftovers().await;
        self.take_lock().await?;
        self.set(State::Starting);
        let values = self.secrets().await?;
        self.tail
            .know(values.values().map(|value| value.expose().to_owned()))
            .map_err(|error| NotStarted::Failed { why: format!("{error:#}"), cure: String::new() })?;
        // Nothing lives that could write between these two.
        self.tail.drain();
        self.tail.cut();
        if self.is_stop_wanted() {
            return Err(NotStarted::StopWanted);
        }
        let running = start::spawn(&self.files, &self.spec, &values, self.lock.as_ref())
            .map_err(|why| NotStarted::Failed { why, cure: String::new() })?;
        drop(values);
        let starts = self.recorded.as_ref().map_or(0, |recorded| recorded.starts) + 1;
        self.recorded = Some(Recorded {
            v: VERSION,
            process: running.process.clone(),
            session: nix::unistd::getsid(None).map_or(0, Pid::as_raw),
            since: running.since,
            starts,
        });
        self.write_process();
        self.status.restarts = starts - 1;
        self.status.pid = running.process.as_ref().map(|process| process.pid);
        self.set(State::Up);
        let port = self.spec.port.map(|port| format!(", port {port}")).unwrap_or_default();
        let pid = self.status.pid.map(|pid| format!(" as process {pid}")).unwrap_or_default();
        self.tail.say(&format!("The replica was started{pid}{port}."));
        Ok(running)
    }

    /// Takes the lock of a role of which there may be one; held until the keeper ends, restarts included.
    async fn take_lock(&mut self) -> Result<(), NotStarted> {
        let Some(path) = self.spec.lock.clone().filter(|_| self.lock.is_none()) else { return Ok(()) };
        let failed = |error: std::io::Error| NotStarted::Failed {
            why: format!("its lock {} cannot be taken: {error}", path.display()),
            cure: String::new(),
        };
        let lock = start::open_lock(&path).map_err(failed)?;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let waits_for = start::holder(&lock);
            if self.status.waits_for.as_ref() != Some(&waits_for) {
                self.tail.say(&format!("Waiting for {waits_for}."));
                self.status.waits_for = Some(waits_for);
                self.set(State::Waiting);
            }
            self.attend(tokio::time::sleep(LOCK_LOOK)).await?;
        }
        start::sign(&lock, &self.spec.name);
        self.status.waits_for = None;
        self.lock = Some(lock);
        Ok(())
    }

    /// Asks for the secrets.
    async fn secrets(&mut self) -> Result<std::collections::BTreeMap<String, secret::Secret>, NotStarted> {
        let (sources, home) = (self.spec.secrets.clone(), self.spec.home.clone());
        let env = |name: &str| std::env::var(name).ok();
        let asked = self.attend(secret::resolve(&sources, &home, &env)).await?;
        asked.map_err(|trouble| NotStarted::Failed { why: trouble.to_string(), cure: trouble.cure })
    }

    /// Waits for the end of the process.
    async fn end_of(&mut self, process: &mut Running) -> Result<String, StopWanted> {
        while !self.tail.is_ready() {
            match self.secrets().await {
                Ok(values) => {
                    let _ = self.tail.know(values.values().map(|value| value.expose().to_owned()));
                }
                Err(NotStarted::StopWanted) => return Err(StopWanted),
                Err(NotStarted::Failed { why, .. }) => self.tail.say(&format!(
                    "The replica's log waits until it is known which values must not be in it: {why}."
                )),
            }
            if let Ok(exit) = self.attend(tokio::time::timeout(LEARN, process.end())).await? {
                return Ok(exit);
            }
        }
        self.attend(process.end()).await
    }

    /// The process has ended, and nobody wanted it.
    async fn ended(&mut self, process: &Running, exit: String) {
        self.tail.drain();
        self.kill_leftovers().await;
        self.tail.drain();
        if log::now().since(process.since) >= WELL {
            self.failures = 0;
        }
        self.tail.say(&format!("The replica has ended by itself: {exit}."));
        self.status.last_exit = Some(exit);
        self.status.pid = None;
    }

    /// Waits before the next start.
    async fn back_off(&mut self) -> Result<(), StopWanted> {
        let pause = LONGEST_PAUSE.min(Duration::from_secs(1 << self.failures.min(6)));
        self.failures = self.failures.saturating_add(1);
        let at = Timestamp(log::now().0 + i64::try_from(pause.as_millis()).unwrap_or(0));
        self.status.next_start = Some(at);
        self.set(State::Backoff);
        self.tail.say(&format!("Starting it again in {} s.", pause.as_secs()));
        let waited = self.attend(tokio::time::sleep(pause)).await;
        self.status.next_start = None;
        waited
    }

    async fn kill_leftovers(&mut self) {
        let members = self.members();
        if members.living().is_empty() {
            return;
        }
        let (killed, left) = ending::kill(&members, &[]).await;
        self.tail.say(&format!("{killed} processes that the replica has left running were killed."));
        if !left.is_empty() {
            self.tail.say(&format!("These do not end, and hang in the kernel: {left:?}."));
        }
    }

    /// Ends the replica.
    async fn end(&mut self, running: Option<Running>) {
        self.set(State::Stopping);
        self.tail.say("Stopping the replica.");
        let (members, spec) = (self.members(), self.spec.clone());
        let stopped = {
            let work = ending::end(&members, &spec);
            tokio::pin!(work);
            loop {
                let pause = self.pause();
                tokio::select! {
                    stopped = &mut work => break stopped,
                    () = tokio::time::sleep(pause) => self.turn(),
                }
            }
        };
        self.tail.drain();
        if let Some(mut running) = running {
            self.status.last_exit = Some(running.ended_already());
        }
        let how = if stopped.killed { "killed, for it did not end in time" } else { "stopped" };
        self.tail.say(&format!("The replica was {how} ({}).", stopped.took));
        if stopped.leftovers > 0 {
            self.tail.say(&format!("{} other processes of it were killed.", stopped.leftovers));
        }
        if stopped.left.is_empty() {
            self.tail.cut();
            self.files.forget_process();
            self.unwritten.process = false;
        }
        self.status.stopped = Some(stopped);
        self.status.pid = None;
        self.status.waits_for = None;
        self.set(State::Stopped);
    }

    /// Does something, and what a keeper does all the time beside it, until the replica is to be stopped.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StopWanted> {
        tokio::pin!(work);
        loop {
            let pause = self.pause();
            tokio::select! {
                biased;
                () = wish(&mut self.wanted) => return Err(StopWanted),
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(pause) => self.turn(),
            }
        }
    }

    const fn pause(&self) -> Duration {
        if self.quiet < LOOKS { BUSY } else { QUIET }
    }

    /// What a keeper does all the time.
    fn turn(&mut self) {
        self.quiet = if self.tail.pump() { 0 } else { self.quiet.saturating_add(1) };
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = Instant::now();
        if self.files.is_stop_wanted() {
            let _ = self.ask.send(true);
        }
        if self.unwritten.status {
            self.write_status();
        }
        if self.unwritten.process {
            self.write_process();
        }
        // Only then: a secret's command is waited for by whoever runs it.
        if self.status.state == State::Up && self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            sweep(self.status.pid);
        }
    }

    fn is_stop_wanted(&self) -> bool {
        *self.wanted.borrow() || self.files.is_stop_wanted()
    }

    fn members(&self) -> Members {
        Members::new(&self.files.0, Some(&self.spec), self.recorded.as_ref(), true)
    }

    fn set(&mut self, state: State) {
        if self.status.state != state {
            self.status.state = state;
            self.status.since = log::now();
        }
        self.write_status();
    }

    fn write_status(&mut self) {
        self.unwritten.status = self.status.write(&self.files).is_err();
    }

    /// Without it the next keeper ends the process instead of adopting it: it finds it by its mark.
    fn write_process(&mut self) {
        let Some(recorded) = &self.recorded else { return };
        self.unwritten.process = write(&self.files.process_path(), recorded).is_err();
    }
}

async fn wish(wanted: &mut watch::Receiver<bool>) {
    // It cannot fail: the keeper holds a sender itself.
    let _ = wanted.wait_for(|wanted| *wanted).await;
}

/// Clears away orphans that came back to us and have ended; never the main process, whose end is waited for.
fn sweep(main: Option<i32>) {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    // Some kernels do not list children: then every process is looked at.
    let children = match std::fs::read_to_string(format!("/proc/{me}/task/{me}/children")) {
        Ok(list) => list.split_whitespace().filter_map(|pid| Process::read(pid.parse().ok()?)).collect(),
        Err(_) => Process::all(),
    };
    for process in children {
        if process.parent == me && !process.lives() && Some(process.pid) != main {
            let _ = waitpid(Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}
