//! What a replica in a container says, written where every replica's log is: viewers read that, so one stream a
//! container is enough however many look.
//!
//! The engine keeps what a container says. So nothing is lost while nobody reads: whoever reads next looks at the end
//! of the log, asks for what came since, and leaves out what is written already.

mod book;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

pub use book::Book;

use crate::docker::logs::{self, From};
use crate::docker::seen::{Container, Seen};
use crate::docker::{Engine, watch::Watch};
use crate::domain::ids::ReplicaKey;
use crate::domain::project::SecretSource;
use crate::domain::time::Timestamp;
use crate::secret;

/// The first look at a container takes this many of its last lines, never all.
pub const FIRST_LINES: u32 = 2_000;
/// At most this many lines are made up for after nobody has read for a while.
pub const LATER_LINES: u32 = 50_000;
/// Lines are shown this long after the last one came.
const FLUSH: Duration = Duration::from_millis(100);
/// The pause before a stream is opened again that ended though its container lives; it grows.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_LONGEST: Duration = Duration::from_secs(30);
/// How often the secrets are asked for while one of them has no value; the log waits.
const LEARN: Duration = Duration::from_secs(30);

/// Whose log, and where to.
#[derive(Debug)]
pub struct Follow {
    /// Who knows the container.
    pub watch: Arc<Watch>,
    /// The replica.
    pub key: ReplicaKey,
    /// The log's directory.
    pub directory: PathBuf,
    /// What must not be in it.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Where secrets' commands run.
    pub home: PathBuf,
    /// The variables that secrets are taken from.
    pub env: BTreeMap<String, String>,
}

/// A container in one of its lives.
type Life = (String, Option<Timestamp>);

impl Follow {
    /// Writes the log until it is aborted.
    pub async fn run(self) {
        let mut changes = self.watch.changes();
        let mut read: Option<Life> = None;
        let mut pause = AGAIN;
        loop {
            let Some((engine, life, container)) =
                to_read(&changes.borrow_and_update(), &self.key, read.as_ref())
            else {
                if changes.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if self.read(&engine, &life.0, &container).await {
                pause = AGAIN;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(AGAIN_LONGEST);
            // A life that is over has said all; one that is not is read on.
            let seen = self.watch.seen();
            let lives = seen.find(&self.key).is_some_and(|(id, now)| {
                id == life.0 && now.started == life.1 && (now.pid.is_some() || !seen.is_reached())
            });
            read = (!lives).then_some(life);
        }
    }

    /// Reads until the stream ends: whether anything came.
    async fn read(&self, engine: &Engine, id: &str, container: &Container) -> bool {
        let mut book = match Book::open(&self.directory) {
            Ok(book) => book,
            // Disk full, or taken away: the caller pauses and tries again.
            Err(_) => return false,
        };
        let env = |name: &str| self.env.get(name).cloned();
        loop {
            match secret::resolve(&self.secrets, &self.home, &env).await {
                Ok(values) => {
                    book.know(values.values().map(|value| value.expose().to_owned()));
                    break;
                }
                Err(why) => {
                    book.say(&format!(
                        "The replica's log waits until it is known which values must not be in it: {why}."
                    ));
                    book.flush();
                    tokio::time::sleep(LEARN).await;
                }
            }
        }
        let last = book.last();
        let from = match last {
            // A few seconds before: the two streams of a container are not quite in order.
            Some(at) => From { since: Some(Timestamp(at.0 - 5_000)), lines: LATER_LINES },
            None => From { since: None, lines: FIRST_LINES },
        };
        if last.is_none() {
            let (name, host) = (&container.name, engine.name());
            book.say(&format!(
                "From here on: container {name} on {host}, its last {FIRST_LINES} lines first."
            ));
        }
        let mut stream = Box::pin(logs::follow(engine, id, from));
        let mut any = false;
        loop {
            let next = if book.is_flushed() {
                stream.next().await
            } else {
                match timeout(FLUSH, stream.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        book.flush();
                        continue;
                    }
                }
            };
            let Some(Ok(piece)) = next else { break };
            if let (false, Some(last), Some(first)) = (any, last, piece.at)
                && first > last
                && container.created <= last
            {
                book.say(
                    "Lines are missing here: nobody read for a while, and the engine has rotated them or more than \
                     50,000 were written.",
                );
            }
            any = true;
            book.take(&piece);
        }
        book.end();
        any
    }
}

/// The container to read, if it can be read and was not yet.
fn to_read(seen: &Seen, key: &ReplicaKey, read: Option<&Life>) -> Option<(Engine, Life, Container)> {
    let engine = seen.engine.clone()?;
    let (id, container) = seen.find(key)?;
    let life = (id.to_owned(), container.started);
    (container.started.is_some() && read != Some(&life)).then(|| (engine, life, container.clone()))
}
