//! Reading logs: the end of one, what is added to it, any part of it, a search through it. All blocking reads
//! happen in blocking tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::log::{HITS_KEPT, LogLine, WINDOW, holds};
use super::model::Msg;
use crate::domain::ids::AttemptKey;
use crate::domain::query::{Answer, Query};
use crate::store::segment::{Line, Position, Reader};
use crate::wire::client::Client;
use crate::wire::protocol::Reply;

/// How often an open log is looked at: fast enough to seem at once, slow enough to cost nothing.
const EVERY: Duration = Duration::from_millis(100);

/// How long after its attempt's end a log is read once more: its writer may be a moment behind the journal.
const AFTER: Duration = Duration::from_millis(400);

/// The log that is read.
pub(crate) struct Following {
    key: AttemptKey,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
    search: Arc<AtomicBool>,
}

enum Order {
    Closed,
    Read { from: u64, count: usize },
    Search { query: String, needless: Arc<AtomicBool> },
}

impl Following {
    /// Starts to read a log: its end first.
    pub(crate) fn start(
        key: AttemptKey,
        open: bool,
        client: watch::Receiver<Option<Client>>,
        messages: mpsc::Sender<Msg>,
    ) -> Self {
        let (orders, incoming) = mpsc::unbounded_channel();
        let task = tokio::spawn(follow(key.clone(), open, client, messages, incoming));
        Self { key, orders, task, search: Arc::default() }
    }

    /// Whose log it is.
    pub(crate) const fn key(&self) -> &AttemptKey {
        &self.key
    }

    /// No more lines will come.
    pub(crate) fn closed(&self) {
        let _ = self.orders.send(Order::Closed);
    }

    /// Reads a part.
    pub(crate) fn read(&self, from: u64, count: usize) {
        let _ = self.orders.send(Order::Read { from, count });
    }

    /// Searches; the search before is given up.
    pub(crate) fn search(&mut self, query: String) {
        self.search.store(true, Ordering::Relaxed);
        self.search = Arc::default();
        if !query.is_empty() {
            let _ = self.orders.send(Order::Search { query, needless: Arc::clone(&self.search) });
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.search.store(true, Ordering::Relaxed);
        self.task.abort();
    }
}

async fn follow(
    key: AttemptKey,
    open: bool,
    client: watch::Receiver<Option<Client>>,
    messages: mpsc::Sender<Msg>,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    if let Err(why) = try_follow(&key, open, client, &messages, orders).await {
        let _ = messages.send(Msg::LogTrouble { key, why }).await;
    }
}

async fn try_follow(
    key: &AttemptKey,
    mut open: bool,
    client: watch::Receiver<Option<Client>>,
    messages: &mpsc::Sender<Msg>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> Result<(), String> {
    let directory = locate(key, client).await?;
    let opened = directory.clone();
    let reader = spawn_blocking(move || Reader::open(&opened)).await;
    let reader = reader.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let mut log = Log { reader: Some(reader), key: key.clone(), messages: messages.clone() };
    log.read(|reader| reader.tail((WINDOW / 2) as u64), true).await?;
    let mut last = false;
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => return Ok(()),
                Some(Order::Closed) => {
                    open = false;
                    last = true;
                    log.poll().await?;
                }
                Some(Order::Read { from, count }) => {
                    let range = from..from.saturating_add(count as u64);
                    let wanted = range.clone();
                    let found = log.with(move |reader| reader.lines(wanted)).await?;
                    log.send(whole(range, found.0), found.1).await;
                }
                Some(Order::Search { query, needless }) => {
                    let (key, directory, messages) = (key.clone(), directory.clone(), messages.clone());
                    // On its own reader: following goes on beside it.
                    spawn_blocking(move || search(key, &directory, query, &needless, &messages));
                }
            },
            () = tokio::time::sleep(EVERY), if open => log.poll().await?,
            () = tokio::time::sleep(AFTER), if last => {
                last = false;
                log.poll().await?;
            }
        }
    }
}

/// Where the log is. Without an engine, waits for one.
async fn locate(key: &AttemptKey, mut client: watch::Receiver<Option<Client>>) -> Result<PathBuf, String> {
    loop {
        let now = client.borrow_and_update().clone();
        if let Some(engine) = now
            && let Ok(reply) = engine.ask(Query::Log { key: key.clone() }).await
        {
            return match reply {
                Reply::Answer { answer } => match *answer {
                    Answer::Log { directory } => Ok(directory.into()),
                    _ => Err("The engine answered something else than where the log is.".to_owned()),
                },
                Reply::Failed { message } => Err(message),
                Reply::Refused { refusal } => Err(refusal.message),
                Reply::Done { .. } => {
                    Err("The engine answered something else than where the log is.".to_owned())
                }
            };
        }
        client.changed().await.map_err(|_| "There is no engine.".to_owned())?;
    }
}

/// A log with its reader, which goes into blocking tasks and comes back.
struct Log {
    reader: Option<Reader>,
    key: AttemptKey,
    messages: mpsc::Sender<Msg>,
}

impl Log {
    async fn with<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Reader) -> Result<T, E> + Send + 'static,
    ) -> Result<(T, u64), String> {
        let mut reader = self.reader.take().ok_or_else(|| "The log's reader is gone.".to_owned())?;
        let task = spawn_blocking(move || {
            let found = read(&mut reader);
            (found, reader)
        });
        let (found, reader) = task.await.map_err(|error| error.to_string())?;
        let end = reader.end();
        self.reader = Some(reader);
        found.map(|found| (found, end)).map_err(|error| error.to_string())
    }

    async fn read<E: std::fmt::Display + Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Reader) -> Result<Vec<Line>, E> + Send + 'static,
        even_nothing: bool,
    ) -> Result<usize, String> {
        let (lines, end) = self.with(read).await?;
        let count = lines.len();
        if count > 0 || even_nothing {
            let first = lines.first().map_or(end, |line| line.number);
            self.send(whole(first..first, lines), end).await;
        }
        Ok(count)
    }

    /// What was added.
    async fn poll(&mut self) -> Result<(), String> {
        while self.read(Reader::poll, false).await? > 0 {}
        Ok(())
    }

    async fn send(&self, (first, lines): (u64, Vec<LogLine>), total: u64) {
        let key = self.key.clone();
        let _ = self.messages.send(Msg::LogLines { key, first, lines, total }).await;
    }
}

/// Lines without gaps, from the start of what was asked for: a full log leaves out its middle, and that is said
/// in the place of each line.
fn whole(asked: std::ops::Range<u64>, lines: Vec<Line>) -> (u64, Vec<LogLine>) {
    let first = asked.start;
    let mut found: Vec<LogLine> = Vec::with_capacity(lines.len());
    let left_out = |at| LogLine { at, text: "(left out: the log was full)".to_owned() };
    let none = lines.is_empty();
    for line in lines {
        while first + (found.len() as u64) < line.number && found.len() < WINDOW {
            found.push(left_out(line.at));
        }
        if first + found.len() as u64 == line.number {
            found.push(LogLine { at: line.at, text: line.text });
        }
    }
    if none {
        found.extend(asked.map(|_| left_out(crate::domain::time::Timestamp(0))));
    }
    (first, found)
}

fn search(
    key: AttemptKey,
    directory: &std::path::Path,
    query: String,
    needless: &AtomicBool,
    messages: &mpsc::Sender<Msg>,
) {
    let Ok(mut reader) = Reader::open(directory) else { return };
    let (mut lines, mut count) = (Vec::new(), 0);
    let mut found = reader.after(Position(0));
    while let Ok(read) = found {
        if read.is_empty() || needless.load(Ordering::Relaxed) {
            break;
        }
        for line in &read {
            if holds(&line.text, &query) {
                count += 1;
                if lines.len() < HITS_KEPT {
                    lines.push(line.number);
                }
            }
        }
        found = reader.poll();
    }
    if !needless.load(Ordering::Relaxed) {
        let _ = messages.blocking_send(Msg::LogHits { key, query, lines, count });
    }
}
