//! A viewer's side of the socket: many requests and one stream of pushes over one connection.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::protocol::{FromEngine, FromViewer, LONGEST_LINE, PROTOCOL_VERSION, Reply};
use crate::domain::command::Command;
use crate::domain::query::Query;
use crate::domain::time::Timestamp;

/// How many pushes wait for a viewer that is busy with something else. When they are full the stream ends (a
/// reply must never wait behind pushes that nobody reads); `attach` again gives a fresh snapshot.
const PUSHES: usize = 4096;

/// How long an engine may take to say welcome: its loop may be in a slow write to a busy disk.
const WELCOME: Duration = Duration::from_secs(15);

/// What a viewer says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What sort of viewer: `console`, `run`, `status`.
    pub role: String,
    /// Where its user sits: `pts/3`, or `-`.
    pub terminal: String,
    /// Whether it wants to be refused every command.
    pub read_only: bool,
}

/// What the engine said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Its program's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub since: Timestamp,
    /// Whether work was under way when it was greeted.
    pub busy: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens.
    #[error("No engine listens at {0}.")]
    NoEngine(String),
    /// The engine speaks another protocol.
    #[error(
        "The engine that runs is another version (towpath {version}, protocol {theirs}; this one speaks \
         {ours})."
    )]
    Protocol {
        /// The engine's protocol.
        theirs: u32,
        /// This program's.
        ours: u32,
        /// The engine's program version.
        version: String,
        /// Whether work is under way in it.
        busy: bool,
    },
    /// The engine does not want to talk to us.
    #[error("{0}")]
    Refused(String),
    /// The connection broke, or the other end is no engine.
    #[error("The engine at {path} did not answer as one: {error}.")]
    Io {
        /// The socket.
        path: String,
        /// What happened.
        error: std::io::Error,
    },
}

impl ConnectError {
    /// Whether the engine went away while it was talked to (it was killed, or had just ended): asking again finds
    /// another one, or none.
    #[must_use]
    pub fn is_of_a_dying_engine(&self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        matches!(self, Self::Io { error, .. } if matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof))
    }
}

/// The connection ended before the answer came.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The connection to the engine ended: {reason}")]
pub struct Gone {
    /// One sentence.
    pub reason: String,
}

/// A connection to an engine. Cheap to clone; it closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    welcome: Arc<Welcome>,
    outgoing: mpsc::Sender<FromViewer>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Requests that wait for their reply.
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    /// Where pushes go, and whether the snapshot has come. (What comes before it belongs to an older attachment.)
    pushes: Option<(mpsc::Sender<FromEngine>, bool)>,
    /// Why the connection ended, once it has.
    ended: Option<String>,
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Nothing can panic while it is held; a poisoned map is still a map.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Lines = FramedRead<OwnedReadHalf, LinesCodec>;

impl Client {
    /// Connects, says hello and waits for the welcome.
    ///
    /// # Errors
    /// See [`ConnectError`]; `NoEngine` and an idle `Protocol` can be cured by launching one.
    pub async fn connect(socket: &Path, hello: Hello) -> Result<Self, ConnectError> {
        let (welcome, protocol, lines, write) = greet(socket, hello).await?;
        if protocol != PROTOCOL_VERSION {
            return Err(ConnectError::Protocol {
                theirs: protocol,
                ours: PROTOCOL_VERSION,
                version: welcome.version,
                busy: welcome.busy,
            });
        }
        let shared = Arc::new(Shared::default());
        let (outgoing, queue) = mpsc::channel(64);
        tokio::spawn(write_all(write, queue));
        tokio::spawn(read_all(lines, Arc::clone(&shared)));
        Ok(Self { welcome: Arc::new(welcome), outgoing, shared })
    }

    /// What the engine said of itself.
    #[must_use]
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Why the connection ended, one sentence; `None` while it stands.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.shared.inside().ended.clone()
    }

    /// Asks for something to be done.
    ///
    /// # Errors
    /// When the connection ends first. (The command may have been carried out all the same.)
    pub async fn request(&self, command: Command) -> Result<Reply, Gone> {
        self.exchange(|id| FromViewer::Command { id, command }).await
    }

    /// Asks a question; the reply is `Answer` or `Failed`.
    ///
    /// # Errors
    /// When the connection ends first.
    pub async fn ask(&self, query: Query) -> Result<Reply, Gone> {
        self.exchange(|id| FromViewer::Query { id, query }).await
    }

    /// Asks the engine to end; `Refused` while work is under way and it is not forced.
    ///
    /// # Errors
    /// When the connection ends first: a forced engine may be gone before it answers.
    pub async fn shutdown(&self, force: bool) -> Result<Reply, Gone> {
        self.exchange(|id| FromViewer::Shutdown { id, force }).await
    }

    /// The stream of pushes: a `Snapshot` first, then what happens, in order. It ends when the engine is gone,
    /// when the last `Client` is dropped, or when nobody read it for so long that the viewer fell behind
    /// ([`Client::ended`] tells which). A second call replaces the first stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn attach(&self) -> Result<mpsc::Receiver<FromEngine>, Gone> {
        let (sender, receiver) = mpsc::channel(PUSHES);
        {
            let mut inside = self.shared.inside();
            if let Some(reason) = &inside.ended {
                return Err(Gone { reason: reason.clone() });
            }
            inside.pushes = Some((sender, false));
        }
        self.outgoing.send(FromViewer::Attach).await.map_err(|_| self.gone())?;
        Ok(receiver)
    }

    async fn exchange(&self, message: impl FnOnce(u64) -> FromViewer) -> Result<Reply, Gone> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut inside = self.shared.inside();
            if let Some(reason) = &inside.ended {
                return Err(Gone { reason: reason.clone() });
            }
            inside.waiting.insert(id, sender);
        }
        self.outgoing.send(message(id)).await.map_err(|_| self.gone())?;
        receiver.await.map_err(|_| self.gone())
    }

    fn gone(&self) -> Gone {
        Gone { reason: self.ended().unwrap_or_else(|| "it was closed.".to_owned()) }
    }
}

/// Asks an engine of another protocol to end if it is idle, and waits until it has closed the connection.
/// `Hello`, `Welcome` and `Shutdown` keep their shape across versions for this.
///
/// # Errors
/// When nobody listens any more (which is what was wanted), or the engine is no engine.
pub async fn retire(socket: &Path, hello: Hello) -> Result<Option<Reply>, ConnectError> {
    let (_, _, mut lines, mut write) = greet(socket, hello).await?;
    let sent = say(&mut write, &FromViewer::Shutdown { id: 0, force: false }).await;
    sent.map_err(|error| io_error(socket, error))?;
    let mut answer = None;
    let ended = async {
        while let Some(Ok(line)) = lines.next().await {
            if let Ok(FromEngine::Reply { reply, .. }) = serde_json::from_str(&line) {
                let refused = !matches!(reply, Reply::Done { .. });
                answer = Some(reply);
                if refused {
                    break;
                }
            }
        }
    };
    let _ = tokio::time::timeout(WELCOME, ended).await;
    Ok(answer)
}

async fn greet(socket: &Path, hello: Hello) -> Result<(Welcome, u32, Lines, OwnedWriteHalf), ConnectError> {
    let stream = UnixStream::connect(socket).await.map_err(|error| match error.kind() {
        // A file without a listener is what a killed engine leaves.
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            ConnectError::NoEngine(socket.display().to_string())
        }
        _ => io_error(socket, error),
    })?;
    let (read, mut write) = stream.into_split();
    let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(LONGEST_LINE));
    let hello = FromViewer::Hello {
        protocol: PROTOCOL_VERSION,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        role: hello.role,
        terminal: hello.terminal,
        read_only: hello.read_only,
    };
    // An engine that turns us away may have closed before this is written; what it said is still to be read.
    let said = say(&mut write, &hello).await;
    let line = match tokio::time::timeout(WELCOME, lines.next()).await {
        Err(_) => return Err(io_error(socket, std::io::ErrorKind::TimedOut.into())),
        Ok(None) => {
            let error = said.err().unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
            return Err(io_error(socket, error));
        }
        // As it is: its kind tells an engine that dies from one that is none.
        Ok(Some(Err(LinesCodecError::Io(error)))) => return Err(io_error(socket, error)),
        Ok(Some(Err(error))) => return Err(io_error(socket, std::io::Error::other(error))),
        Ok(Some(Ok(line))) => line,
    };
    match serde_json::from_str(&line) {
        Ok(FromEngine::Welcome { protocol, version, pid, since, busy }) => {
            Ok((Welcome { version, pid, since, busy }, protocol, lines, write))
        }
        Ok(FromEngine::Bye { reason }) => Err(ConnectError::Refused(reason)),
        Ok(_) => Err(io_error(socket, std::io::Error::other("its first line was not a welcome"))),
        Err(error) => Err(io_error(socket, error.into())),
    }
}

fn io_error(socket: &Path, error: std::io::Error) -> ConnectError {
    ConnectError::Io { path: socket.display().to_string(), error }
}

async fn say(write: &mut OwnedWriteHalf, message: &FromViewer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    write.write_all(&line).await
}

/// Writes until the last `Client` is dropped; closing our half tells the engine that we have left.
async fn write_all(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<FromViewer>) {
    while let Some(message) = queue.recv().await {
        if say(&mut write, &message).await.is_err() {
            return;
        }
    }
    let _ = write.shutdown().await;
}

/// Reads until the engine closes.
async fn read_all(mut lines: Lines, shared: Arc<Shared>) {
    let mut reason = "the engine closed it.".to_owned();
    loop {
        let message = match lines.next().await {
            None => break,
            Some(Err(error)) => {
                reason = format!("it could not be read ({error}).");
                break;
            }
            Some(Ok(line)) => match serde_json::from_str::<FromEngine>(&line) {
                Ok(message) => message,
                Err(error) => {
                    reason = format!("the engine said something this version does not know ({error}).");
                    break;
                }
            },
        };
        match message {
            FromEngine::Reply { id, reply } => {
                if let Some(waiting) = shared.inside().waiting.remove(&id) {
                    let _ = waiting.send(reply);
                }
            }
            FromEngine::Bye { reason: said } => {
                reason.clone_from(&said);
                push(&shared, FromEngine::Bye { reason: said });
                break;
            }
            other => push(&shared, other),
        }
    }
    let mut inside = shared.inside();
    inside.ended = Some(reason);
    inside.waiting.clear();
    inside.pushes = None;
}

/// Hands a push to the attached stream; a stream that is full or dropped is let go.
fn push(shared: &Shared, message: FromEngine) {
    let mut inside = shared.inside();
    let Some((stream, begun)) = &mut inside.pushes else { return };
    if matches!(message, FromEngine::Snapshot { .. }) {
        *begun = true;
    } else if !*begun && !matches!(message, FromEngine::Bye { .. }) {
        return;
    }
    if stream.try_send(message).is_err() {
        inside.pushes = None;
    }
}
