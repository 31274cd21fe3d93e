//! The engine's process: lock, journal, socket, one loop, the end.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::core::{Engine, INPUTS};
use super::fresh::FRESH;
use super::{VERSION, log};
use crate::domain::decide::Input;
use crate::domain::effect::Outcome;
use crate::domain::state::State;
use crate::store::ballast;
use crate::store::journal::Journal;
use crate::store::layout::Layout;
use crate::wire::server::{self, Limits};

/// An engine that nobody needs ends after this long: long enough for a script's next command to find it.
pub const IDLE: Duration = Duration::from_secs(60);

/// How often the loop looks whether it is needed, and tries again what a full disk kept from being written.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// How many requests of viewers may wait for the loop.
const REQUESTS: usize = 64;

/// How many measurements may wait for the loop; more are lost.
const SAMPLES: usize = 64;

/// Runs the engine of a project until nobody needs it, it is asked to stop, or it is signalled.
///
/// # Errors
/// When another engine holds the lock, or the state directory or the journal cannot be used.
pub async fn serve(layout: Layout, idle: Option<Duration>) -> anyhow::Result<()> {
    make_directories(&layout)?;
    let Some(_lock) = lock(&layout).await? else {
        let holder = std::fs::read_to_string(layout.engine_lock()).unwrap_or_default();
        let holder = holder.trim();
        // A viewer that started us finds that one: of many that are started at once, one stays.
        anyhow::ensure!(idle.is_some(), "an engine runs for this project already ({holder})");
        return Ok(());
    };
    let journal = Journal::open(&layout.journal())
        .with_context(|| format!("opening the journal {}", layout.journal().display()))?;
    let mut state = State::default();
    journal.for_each(|envelope| state.apply(&envelope)).context("reading the journal")?;
    if let Err(error) = ballast::ensure(&layout.ballast(), ballast::SIZE) {
        log(&format!("no ballast could be put aside: {error}"));
    }
    let listener = server::bind(&layout.socket())
        .with_context(|| format!("binding the socket {}", layout.socket().display()))?;

    let layout = Arc::new(layout);
    let (requests, mut asked) = mpsc::channel(REQUESTS);
    let (inputs, mut outcomes) = mpsc::channel(INPUTS);
    let viewers = tokio::spawn(server::serve(listener, requests, Limits::default()));
    let (measured, mut samples) = mpsc::channel(SAMPLES);
    let (fresh, mut read) = mpsc::channel(FRESH);
    let mut engine = Engine::new(Arc::clone(&layout), journal, state, inputs, measured, fresh);
    engine.outcome(Input::Outcome(Outcome::EngineStarted { version: VERSION.to_owned() }));
    engine.read_project();
    engine.give_back_left_behind();
    engine.reconcile();
    log(&format!("engine {VERSION} serves {}", layout.repository.display()));

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A terminal that goes away is nothing to an engine.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut housekeeping = tokio::time::interval(HOUSEKEEPING);
    while engine.over().is_none() {
        tokio::select! {
            Some(message) = asked.recv() => engine.message(message),
            Some(fresh) = read.recv() => engine.fresh(fresh),
            Some(input) = outcomes.recv() => engine.outcome(input),
            Some(sample) = samples.recv() => engine.sample(&sample),
            _ = terminate.recv() => engine.end("The engine was told to end (TERM)."),
            _ = interrupt.recv() => engine.end("The engine was told to end (INT)."),
            _ = hangup.recv() => {}
            _ = housekeeping.tick() => {
                engine.look_for_room();
                if let Some(idle) = idle {
                    engine.rest(idle);
                }
            }
        }
    }
    log(engine.over().unwrap_or_default());
    engine.farewell();
    // Gone before the lock is: who finds no socket starts an engine, and waits for the lock.
    let _ = std::fs::remove_file(layout.socket());
    drop(engine);
    drop(asked);
    let _ = viewers.await;
    Ok(())
}

fn make_directories(layout: &Layout) -> anyhow::Result<()> {
    let mut private = std::fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(&layout.state)
        .with_context(|| format!("making the state directory {}", layout.state.display()))?;
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&layout.state)?);
    anyhow::ensure!(
        owner == nix::unistd::geteuid().as_raw(),
        "the state directory {} belongs to another user",
        layout.state.display()
    );
    std::fs::create_dir_all(&layout.cache)
        .with_context(|| format!("making the cache directory {}", layout.cache.display()))
}

/// How long an engine that is ending may hold the lock; and one that begins may take until its socket answers.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// One engine a project: the lock is the kernel's and goes with the process, however it ends. `None` when another
/// engine has it and answers. One that has it and does not answer yet, or no more, is waited for.
async fn lock(layout: &Layout) -> anyhow::Result<Option<File>> {
    let path = layout.engine_lock();
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        if UnixStream::connect(layout.socket()).is_ok() {
            return Ok(None);
        }
        if Instant::now() > until {
            let holder = std::fs::read_to_string(&path).unwrap_or_default();
            anyhow::bail!("an engine that does not answer holds {} ({})", path.display(), holder.trim());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // On a full disk there may be no room for who we are; that we have the lock is what counts.
    let written =
        file.set_len(0).and_then(|()| writeln!(file, "process {}, version {VERSION}", std::process::id()));
    if let Err(error) = written {
        log(&format!("{} could not be written: {error}", path.display()));
    }
    Ok(Some(file))
}
