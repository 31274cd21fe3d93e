//! The engine's side of the socket.
//!
//! A connection is two tasks: one reads requests, one writes. Neither can hold the engine up: requests go in
//! over a bounded channel, pushes come out over a sink that the engine only ever tries.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};
use tokio_util::task::TaskTracker;

use super::peer::Peer;
use super::protocol::{FromEngine, FromViewer, PROTOCOL_VERSION, Reply, Viewer};
use super::{Greeting, SINK_DEPTH, ToEngine};
use crate::domain::command::{Refusal, RefusalKind};
use crate::domain::ids::Actor;

/// What one viewer may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a new connection may say nothing.
    pub hello: Duration,
    /// How long a viewer may accept not one byte of what is written to it.
    pub stall: Duration,
    /// The longest line a viewer may send, in bytes. (Commands are small; snapshots go the other way.)
    pub request: usize,
    /// Connections at once.
    pub connections: usize,
    /// Requests of one connection that wait for their answer at once; more are read when one is answered.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(5),
            stall: Duration::from_secs(20),
            request: 1024 * 1024,
            connections: 64,
            in_flight: 32,
        }
    }
}

/// How many bytes are written before the stall clock starts again.
const CHUNK: usize = 64 * 1024;

/// How long a viewer that is said good-bye to gets to read it.
const FAREWELL: Duration = Duration::from_millis(500);

/// Binds the engine's socket, mode 0600. A file left by a dead engine is replaced, so the caller must hold the
/// engine's lock.
///
/// # Errors
/// When the directory does not exist or may not be written, or the path is longer than a socket's may be.
pub fn bind(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    // Between bind and this, the directory (0700) and the peer's user id keep others out.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// How long the end of the engine waits for viewers to read what was still said to them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves viewers until the engine's receiver is dropped; returns when what was still to be said has been
/// written, or after a second. Await it before the process exits, or last replies are lost.
pub async fn serve(listener: UnixListener, engine: mpsc::Sender<ToEngine>, limits: Limits) {
    let room = Arc::new(Semaphore::new(limits.connections));
    let limits = Arc::new(limits);
    let next = AtomicU64::new(1);
    let connections = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: what is open goes on, and a short rest keeps one core free.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = engine.closed() => break,
        };
        let id = next.fetch_add(1, Ordering::Relaxed);
        let permit = Arc::clone(&room).try_acquire_owned().ok();
        let (engine, limits) = (engine.clone(), Arc::clone(&limits));
        connections.spawn(async move { Connection { id, engine, limits }.talk(stream, permit).await });
    }
    drop(listener);
    connections.close();
    let _ = timeout(LAST_WORDS, connections.wait()).await;
}

/// One viewer's connection.
struct Connection {
    id: u64,
    engine: mpsc::Sender<ToEngine>,
    limits: Arc<Limits>,
}

type Lines = FramedRead<OwnedReadHalf, LinesCodec>;

/// What a viewer said of itself, once it may go on.
struct Guest {
    viewer: Viewer,
    actor: Actor,
    /// Why it may not command.
    refusal: Option<Refusal>,
    /// It speaks another protocol: all it may ask is that an idle engine ends.
    stranger: bool,
}

impl Connection {
    async fn talk(self, stream: UnixStream, permit: Option<OwnedSemaphorePermit>) {
        let peer = Peer::of(&stream);
        let (read, mut write) = stream.into_split();
        let mut lines = FramedRead::new(read, LinesCodec::new_with_max_length(self.limits.request));
        let greeted = match (peer, permit) {
            (Err(_), _) => return,
            (Ok(peer), _) if peer.uid != nix::unistd::geteuid().as_raw() => {
                Err("This engine belongs to another user; it talks to that user's processes alone."
                    .to_owned())
            }
            (Ok(_), None) => Err(format!(
                "This engine already has {} viewers, which is as many as it takes.",
                self.limits.connections
            )),
            (Ok(peer), Some(permit)) => {
                self.greet(&mut lines, &mut write, &peer).await.map(|guest| (guest, permit))
            }
        };
        let (guest, _permit) = match greeted {
            Ok(greeted) => greeted,
            Err(reason) => {
                if !reason.is_empty() {
                    let _ = timeout(FAREWELL, send(&mut write, &FromEngine::Bye { reason }, FAREWELL)).await;
                }
                return;
            }
        };
        let (outgoing, queue) = mpsc::channel(self.limits.in_flight * 2);
        let (attachments, attached) = mpsc::channel(1);
        let writer = Writer { id: self.id, engine: self.engine.clone(), stall: self.limits.stall };
        let mut writer = tokio::spawn(writer.write(write, queue, attached));
        // A handle that has said how its task ended must not be asked again.
        let mut written = false;
        let farewell = tokio::select! {
            reason = self.read(lines, &guest, &outgoing, &attachments) => reason,
            // The viewer cannot be written to any more, or was said good-bye to: nothing it asks matters.
            _ = &mut writer => {
                written = true;
                None
            }
        };
        if let Some(reason) = farewell {
            let _ = timeout(FAREWELL, outgoing.send(Outgoing::Bye(reason))).await;
        }
        drop((outgoing, attachments));
        let _ = self.engine.send(ToEngine::Detach { id: self.id }).await;
        if !written && timeout(self.limits.stall, &mut writer).await.is_err() {
            writer.abort();
        }
    }

    /// Reads `Hello` and answers it. `Err` is what to say good-bye with; empty says nothing.
    async fn greet<W: AsyncWrite + Unpin>(
        &self,
        lines: &mut Lines,
        write: &mut W,
        peer: &Peer,
    ) -> Result<Guest, String> {
        let line = match timeout(self.limits.hello, lines.next()).await {
            Err(_) => return Err("Nothing was said in time; say hello first.".to_owned()),
            Ok(None | Some(Err(LinesCodecError::Io(_)))) => return Err(String::new()),
            Ok(Some(Err(LinesCodecError::MaxLineLengthExceeded))) => return Err(self.too_long()),
            Ok(Some(Ok(line))) => line,
        };
        // Only the number is read first: what else another version's hello holds is not known.
        let theirs = serde_json::from_str::<serde_json::Value>(&line)
            .ok()
            .filter(|hello| hello.get("type").and_then(|it| it.as_str()) == Some("hello"))
            .and_then(|hello| hello.get("protocol")?.as_u64())
            .ok_or("The first line was not a hello of this protocol.")?;
        let stranger = theirs != u64::from(PROTOCOL_VERSION);
        let (role, terminal, read_only) = match serde_json::from_str::<FromViewer>(&line) {
            Ok(FromViewer::Hello { role, terminal, read_only, .. }) => (role, terminal, read_only),
            _ if stranger => ("another version".to_owned(), "-".to_owned(), true),
            _ => return Err("The first line was not a hello of this protocol.".to_owned()),
        };
        let greeting = self.ask(|reply| ToEngine::Greet { reply }).await;
        let Some(Greeting { since, busy }) = greeting else {
            return Err("The engine is ending.".to_owned());
        };
        let welcome = FromEngine::Welcome {
            protocol: PROTOCOL_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since,
            busy,
        };
        send(write, &welcome, self.limits.stall).await.map_err(|_| String::new())?;
        let peer_for_walk = peer.clone();
        let barred = tokio::task::spawn_blocking(move || peer_for_walk.may_not_command(Path::new("/proc")))
            .await
            .unwrap_or_else(|_| Some("It could not be found out who asks.".to_owned()));
        let refusal = match barred {
            Some(message) => Some(Refusal {
                kind: RefusalKind::ReadOnly,
                message,
                hint: "Ask from a terminal of your own.".to_owned(),
            }),
            // Ending an idle engine of another version is all that a stranger can ask: that is no command.
            None if read_only && !stranger => Some(Refusal {
                kind: RefusalKind::ReadOnly,
                message: "This viewer only looks; it asked to be refused every command.".to_owned(),
                hint: "Open one without read-only to command.".to_owned(),
            }),
            None => None,
        };
        let (role, terminal) = (tame(&role), tame(&terminal));
        Ok(Guest {
            actor: Actor::Operator { name: peer.name.clone(), terminal: terminal.clone() },
            viewer: Viewer { id: self.id, name: peer.name.clone(), role, terminal, you: false },
            refusal,
            stranger,
        })
    }

    /// Reads requests until the viewer leaves. Returns what to say good-bye with, if anything.
    async fn read(
        &self,
        mut lines: Lines,
        guest: &Guest,
        outgoing: &mpsc::Sender<Outgoing>,
        attachments: &mpsc::Sender<mpsc::Receiver<FromEngine>>,
    ) -> Option<String> {
        let room = Arc::new(Semaphore::new(self.limits.in_flight));
        loop {
            let next = tokio::select! {
                next = lines.next() => next,
                () = self.engine.closed() => {
                    // Answers that were given are written before the good-bye.
                    let all = u32::try_from(self.limits.in_flight).unwrap_or(u32::MAX);
                    let _ = timeout(FAREWELL, room.acquire_many(all)).await;
                    return Some("The engine ended.".to_owned());
                }
            };
            let line = match next {
                None | Some(Err(LinesCodecError::Io(_))) => return None,
                Some(Err(LinesCodecError::MaxLineLengthExceeded)) => return Some(self.too_long()),
                Some(Ok(line)) => line,
            };
            let message = match serde_json::from_str::<FromViewer>(&line) {
                Ok(message) => message,
                Err(error) => return Some(format!("A line could not be understood: {error}.")),
            };
            if guest.stranger && !matches!(message, FromViewer::Shutdown { force: false, .. }) {
                return Some(format!(
                    "This engine speaks protocol {PROTOCOL_VERSION} (towpath {}), this viewer another one.",
                    env!("CARGO_PKG_VERSION")
                ));
            }
            let (id, answer) = match message {
                FromViewer::Hello { .. } => return Some("Hello was said twice.".to_owned()),
                FromViewer::Attach => {
                    let (sink, pushes) = mpsc::channel(SINK_DEPTH);
                    let viewer = guest.viewer.clone();
                    let attach = |reply| ToEngine::Attach { viewer, sink, reply };
                    if attachments.send(pushes).await.is_err() || self.ask(attach).await.is_none() {
                        return Some("The engine is ending.".to_owned());
                    }
                    continue;
                }
                FromViewer::Command { id, .. } | FromViewer::Shutdown { id, .. }
                    if guest.refusal.is_some() =>
                {
                    let refusal = guest.refusal.clone();
                    (id, Answer::Now(refusal.map(|refusal| Reply::Refused { refusal })))
                }
                FromViewer::Command { id, command } => {
                    let (actor, viewer) = (guest.actor.clone(), self.id);
                    (id, self.pass(|reply| ToEngine::Command { command, actor, viewer, reply }).await)
                }
                FromViewer::Query { id, query } => {
                    (id, self.pass(|reply| ToEngine::Query { query, reply }).await)
                }
                FromViewer::Shutdown { id, force } => {
                    (id, self.pass(|reply| ToEngine::Shutdown { force, reply }).await)
                }
            };
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return None };
            let outgoing = outgoing.clone();
            tokio::spawn(async move {
                let reply = answer.wait().await;
                let _ = outgoing.send(Outgoing::Reply { id, reply }).await;
                drop(permit);
            });
        }
    }

    /// Hands a request to the engine, in the order it was read; the answer is waited for elsewhere.
    async fn pass(&self, request: impl FnOnce(oneshot::Sender<Reply>) -> ToEngine) -> Answer {
        let (reply, answer) = oneshot::channel();
        match self.engine.send(request(reply)).await {
            Ok(()) => Answer::Later(answer),
            Err(_) => Answer::Now(None),
        }
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> ToEngine) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.engine.send(request(reply)).await.ok()?;
        answer.await.ok()
    }

    fn too_long(&self) -> String {
        format!("A line was longer than the {} bytes that a viewer may send.", self.limits.request)
    }
}

/// An answer that is known, or on its way. `None` is an engine that is gone.
enum Answer {
    Now(Option<Reply>),
    Later(oneshot::Receiver<Reply>),
}

impl Answer {
    async fn wait(self) -> Reply {
        let reply = match self {
            Self::Now(reply) => reply,
            Self::Later(answer) => answer.await.ok(),
        };
        reply.unwrap_or_else(|| Reply::Failed { message: "The engine ended before it answered.".to_owned() })
    }
}

enum Outgoing {
    Reply { id: u64, reply: Reply },
    Bye(String),
}

/// The writing half of a connection.
struct Writer {
    id: u64,
    engine: mpsc::Sender<ToEngine>,
    stall: Duration,
}

impl Writer {
    async fn write<W: AsyncWrite + Unpin>(
        self,
        mut write: W,
        mut queue: mpsc::Receiver<Outgoing>,
        mut attachments: mpsc::Receiver<mpsc::Receiver<FromEngine>>,
    ) {
        let mut pushes: Option<mpsc::Receiver<FromEngine>> = None;
        loop {
            let message = tokio::select! {
                biased;
                Some(attached) = attachments.recv() => {
                    pushes = Some(attached);
                    continue;
                }
                outgoing = queue.recv() => match outgoing {
                    Some(Outgoing::Reply { id, reply }) => FromEngine::Reply { id, reply },
                    Some(Outgoing::Bye(reason)) => FromEngine::Bye { reason },
                    None => return,
                },
                push = next_push(&mut pushes) => match push {
                    Some(push) => self.for_this_viewer(push),
                    // The engine let go of the sink: it was full, or the engine ends.
                    None => FromEngine::Bye { reason: self.why_let_go() },
                },
            };
            if let (FromEngine::Bye { .. }, Some(pushes)) = (&message, &mut pushes) {
                // What happened before the good-bye is said before it.
                while let Ok(push) = pushes.try_recv() {
                    if send(&mut write, &self.for_this_viewer(push), self.stall).await.is_err() {
                        return;
                    }
                }
            }
            let last = matches!(message, FromEngine::Bye { .. });
            if send(&mut write, &message, self.stall).await.is_err() || last {
                let _ = write.shutdown().await;
                return;
            }
        }
    }

    fn for_this_viewer(&self, mut push: FromEngine) -> FromEngine {
        if let FromEngine::Present { viewers } = &mut push {
            for viewer in viewers {
                viewer.you = viewer.id == self.id;
            }
        }
        push
    }

    fn why_let_go(&self) -> String {
        if self.engine.is_closed() {
            "The engine ended.".to_owned()
        } else {
            "This viewer fell behind and was let go; attach again to see what is.".to_owned()
        }
    }
}

/// The next push of an attachment; never, without one.
async fn next_push(pushes: &mut Option<mpsc::Receiver<FromEngine>>) -> Option<FromEngine> {
    match pushes {
        Some(pushes) => pushes.recv().await,
        None => std::future::pending().await,
    }
}

/// Writes one message as one line. Fails when the other end takes nothing for `stall`.
async fn send<W: AsyncWrite + Unpin>(
    write: &mut W,
    message: &FromEngine,
    stall: Duration,
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    for chunk in line.chunks(CHUNK) {
        timeout(stall, write.write_all(chunk)).await??;
    }
    Ok(())
}

/// What a viewer says of itself is shown on other people's terminals: short, and nothing but visible characters.
fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
