//! A connection to the project's engine, which is started when none runs.

use std::time::Duration;

use tokio::sync::mpsc;

use super::failure::{Failure, Sort};
use super::output::note;
use crate::domain::command::Command;
use crate::domain::event::Envelope;
use crate::domain::query::{Answer, Query};
use crate::domain::state::State;
use crate::domain::time::Timestamp;
use crate::engine::launch;
use crate::store::layout::Layout;
use crate::wire::client::{Client, ConnectError, Hello, retire};
use crate::wire::protocol::{FromEngine, Reply};

/// How often connecting is tried before giving up: an engine that idles out, or is replaced, may leave between
/// the launch and the connection.
const TRIES: u32 = 5;

/// How long an engine that dies while it is talked to is left alone before the next try.
const SHORTLY: Duration = Duration::from_millis(100);

/// How long an engine that said good-bye may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// What this process says of itself when it connects.
#[must_use]
pub fn hello(role: &str, read_only: bool) -> Hello {
    let terminal = std::fs::read_link("/proc/self/fd/0")
        .ok()
        .and_then(|path| Some(path.to_str()?.strip_prefix("/dev/")?.to_owned()))
        .filter(|name| name.starts_with("pts/") || name.starts_with("tty"))
        .unwrap_or_else(|| "-".to_owned());
    Hello { role: role.to_owned(), terminal, read_only }
}

/// Connects to the project's engine; launches one when none runs, replaces an idle one of another version.
///
/// # Errors
/// When an engine neither runs nor starts, or one of another version is busy.
pub async fn connect(layout: &Layout, role: &str) -> Result<Client, Failure> {
    let socket = layout.socket();
    let mut last = None;
    for _ in 0..TRIES {
        match Client::connect(&socket, hello(role, false)).await {
            Ok(client) if client.welcome().version == env!("CARGO_PKG_VERSION") => return Ok(client),
            Ok(client) if client.welcome().busy => {
                note(&format!(
                    "the engine that runs is towpath {}, this is {}; it is at work and is replaced when it is \
                     idle.",
                    client.welcome().version,
                    env!("CARGO_PKG_VERSION")
                ));
                return Ok(client);
            }
            Ok(client) => {
                // The wish is enough: it may also have become busy, and is then used as it is.
                if let Ok(Reply::Refused { .. }) = client.shutdown(false).await {
                    return Ok(client);
                }
                drop(client);
                wait_until_gone(layout).await;
            }
            Err(ConnectError::NoEngine(_)) => {
                let launched = launch(layout).await;
                if let Err(failure) = launched {
                    last = Some(failure);
                    break;
                }
            }
            Err(error @ ConnectError::Protocol { busy: true, .. }) => return Err(error.into()),
            Err(ConnectError::Protocol { .. }) => {
                if let Ok(Some(Reply::Refused { refusal })) = retire(&socket, hello(role, false)).await {
                    return Err(Failure::new(Sort::Unreachable, refusal.message, refusal.hint));
                }
                wait_until_gone(layout).await;
            }
            Err(error) if error.is_of_a_dying_engine() => {
                last = Some(error.into());
                tokio::time::sleep(SHORTLY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.unwrap_or_else(|| {
        Failure::new(
            Sort::Unreachable,
            "An engine was started again and again, and was gone each time before it could be asked.",
            log_tail(layout),
        )
    }))
}

/// Connects to an engine only if one runs; `None` when none does.
///
/// # Errors
/// When one runs that does not want to talk to us.
pub async fn connect_running(layout: &Layout, role: &str) -> Result<Option<Client>, Failure> {
    let mut tries = 1;
    loop {
        match Client::connect(&layout.socket(), hello(role, false)).await {
            Ok(client) => return Ok(Some(client)),
            Err(ConnectError::NoEngine(_)) => return Ok(None),
            Err(error) if tries < TRIES && error.is_of_a_dying_engine() => {
                tries += 1;
                tokio::time::sleep(SHORTLY).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until an engine that said good-bye is gone, its journal closed and its lock free, but not for ever. Another
/// engine that has come in the meantime answers, and is no reason to wait.
pub async fn wait_until_gone(layout: &Layout) -> bool {
    let gone = async {
        while tokio::net::UnixStream::connect(layout.socket()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let Ok(lock) = std::fs::File::open(layout.engine_lock()) else { return };
        // Shared, and let go at once: an engine that begins just now tries again.
        while matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
            && tokio::net::UnixStream::connect(layout.socket()).await.is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(GONE_WITHIN, gone).await.is_ok()
}

/// Attaches and takes the snapshot.
///
/// # Errors
/// When the connection ends first.
pub async fn attach(client: &Client) -> Result<(State, mpsc::Receiver<FromEngine>), Failure> {
    let mut stream = client.attach().await?;
    loop {
        match stream.recv().await {
            Some(FromEngine::Snapshot { state }) => return Ok((*state, stream)),
            Some(FromEngine::Bye { reason }) => return Err(Failure::new(Sort::Unreachable, reason, "")),
            Some(_) => {}
            None => {
                let reason = client.ended().unwrap_or_default();
                return Err(Failure::new(Sort::Unreachable, format!("The engine left: {reason}"), ""));
            }
        }
    }
}

/// Asks a question.
///
/// # Errors
/// When there is no answer; the engine's own sentence says why.
pub async fn ask(client: &Client, query: Query) -> Result<Answer, Failure> {
    match client.ask(query).await? {
        Reply::Answer { answer } => Ok(*answer),
        Reply::Failed { message } => Err(Failure::new(Sort::Unclear, message, "")),
        Reply::Refused { refusal } => Err(refusal.into()),
        Reply::Done { .. } => Err(Failure::unexpected("a question")),
    }
}

/// Asks for something to be done; the rows that it wrote.
///
/// # Errors
/// When it is refused, or the engine could not do it.
pub async fn request(client: &Client, command: Command) -> Result<Vec<Envelope>, Failure> {
    match client.request(command).await? {
        Reply::Done { rows } => Ok(rows),
        Reply::Refused { refusal } => Err(refusal.into()),
        Reply::Failed { message } => Err(Failure::new(Sort::Unclear, message, "")),
        Reply::Answer { .. } => Err(Failure::unexpected("a command")),
    }
}

/// Now, for durations that are still growing.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Starts the engine and waits for its socket.
async fn launch(layout: &Layout) -> Result<(), Failure> {
    launch::ensure(layout).await.map_err(|error| {
        Failure::new(Sort::Unreachable, format!("No engine can be started: {error:#}"), log_tail(layout))
    })
}

/// The last lines of what the engine had to say, for when it can't be asked.
#[must_use]
pub fn log_tail(layout: &Layout) -> String {
    const LINES: usize = 12;
    let path = layout.engine_log();
    let text = std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    match text {
        Ok(text) if !text.trim().is_empty() => {
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES)..];
            format!("The last lines of {}:\n  {}", path.display(), last.join("\n  "))
        }
        _ => format!("{} says nothing.", path.display()),
    }
}
