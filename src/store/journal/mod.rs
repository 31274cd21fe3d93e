//! The journal: what did happen, in one SQLite file that only grows.
//!
//! Rows cannot be changed or deleted (triggers raise), each carries the hash of the row before, and a head row
//! names the last one, so that a removed end is noticed too. Somebody who can write the file *and* means harm
//! can compute all of it again: the chain finds accidents and edits, not a forger.

mod chain;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

pub use chain::{Chain, verify_file};

use super::StoreError;
use crate::domain::event::{Envelope, Event, PAYLOAD_VERSION};
use crate::domain::ids::{Actor, RunId, Seq};
use crate::domain::time::Timestamp;

/// `application_id` of the file: "TOWP". It lets `file(1)` and this program tell whose it is.
const APPLICATION_ID: i32 = 0x544f_5750;
/// `user_version` of the file: the layout of its tables.
const LAYOUT_VERSION: i64 = 1;
/// How long a call waits for another process (a backup, a reader that checkpoints).
const PATIENCE: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    version INTEGER NOT NULL,
    event TEXT NOT NULL,
    run INTEGER,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX journal_run ON journal (run, seq) WHERE run IS NOT NULL;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
-- `REPLACE` deletes without asking the trigger above.
CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal
    WHEN NEW.seq <= (SELECT coalesce(max(seq), 0) FROM journal)
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER head_no_delete BEFORE DELETE ON head
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
";

/// The journal, open for writing. One process has it; readers of the same process share it.
#[derive(Debug)]
pub struct Journal {
    connection: Connection,
    path: PathBuf,
}

impl Journal {
    /// Opens the journal, or makes an empty one (0600) where there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the file is not a journal of ours, [`StoreError::UnknownLayout`] when a
    /// newer program made it, [`StoreError::Busy`], [`StoreError::DiskFull`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its companions (-wal, -shm) the mode of the file.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::io(path, "opened", source))?;
        let failed = |source| StoreError::sqlite(path, source);
        let mut connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::Corrupt {
                path: path.to_owned(),
                what: format!("its file system allows only the journal mode “{mode}”, and “wal” is needed"),
            });
        }
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;").map_err(failed)?;
        prepare(&mut connection, path)?;
        Ok(Self { connection, path: path.to_owned() })
    }

    /// The last row's place; 0 in an empty journal.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last(&self) -> Result<Seq, StoreError> {
        let (seq, _) = head(&self.connection).map_err(|source| StoreError::sqlite(&self.path, source))?;
        Ok(Seq(seq))
    }

    /// Writes events, all or none, and gives them with their places. They are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::Busy`]; nothing was written then.
    pub fn append(
        &mut self,
        at: Timestamp,
        actor: &Actor,
        events: &[Event],
    ) -> Result<Vec<Envelope>, StoreError> {
        let path = self.path.clone();
        let failed = |source| StoreError::sqlite(&path, source);
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let actor_json = to_json(actor, &path)?;
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let (mut seq, mut previous) = head(&transaction).map_err(failed)?;
        let mut envelopes = Vec::with_capacity(events.len());
        {
            let mut insert = transaction
                .prepare_cached(
                    "INSERT INTO journal (seq, at, actor, version, event, run, previous, hash)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )
                .map_err(failed)?;
            for event in events {
                seq += 1;
                let event_json = to_json(event, &path)?;
                let version = i64::from(PAYLOAD_VERSION);
                let hash = chain::hash(seq, at.0, &actor_json, version, &event_json, &previous);
                let run = event.run().map(|run| stored(run.0));
                insert
                    .execute(params![stored(seq), at.0, actor_json, version, event_json, run, previous, hash])
                    .map_err(failed)?;
                previous = hash.to_vec();
                envelopes.push(Envelope { seq: Seq(seq), at, actor: actor.clone(), event: event.clone() });
            }
        }
        transaction
            .execute("UPDATE head SET seq = ?1, hash = ?2 WHERE one = 1", params![stored(seq), previous])
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(envelopes)
    }

    /// At most `limit` rows after a place, oldest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownVersion`], [`StoreError::Corrupt`].
    pub fn read(&self, after: Seq, limit: u32) -> Result<Vec<Envelope>, StoreError> {
        let mut rows = Vec::new();
        self.query(
            "SELECT seq, at, actor, version, event FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2",
            params![stored(after.0), limit],
            |envelope| rows.push(envelope),
        )?;
        Ok(rows)
    }

    /// At most `limit` rows of one run after a place, oldest first.
    ///
    /// # Errors
    /// [`StoreError::UnknownVersion`], [`StoreError::Corrupt`].
    pub fn read_run(&self, run: RunId, after: Seq, limit: u32) -> Result<Vec<Envelope>, StoreError> {
        let mut rows = Vec::new();
        self.query(
            "SELECT seq, at, actor, version, event FROM journal
             WHERE run = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
            params![stored(run.0), stored(after.0), limit],
            |envelope| rows.push(envelope),
        )?;
        Ok(rows)
    }

    /// Every row, oldest first, one at a time: to fold the state at start.
    ///
    /// # Errors
    /// [`StoreError::UnknownVersion`], [`StoreError::Corrupt`]; the rows before it were given.
    pub fn for_each(&self, each: impl FnMut(Envelope)) -> Result<(), StoreError> {
        self.query("SELECT seq, at, actor, version, event FROM journal ORDER BY seq", [], each)
    }

    /// Whether every row is as it was written, and none is missing.
    ///
    /// # Errors
    /// When the file cannot be read at all; what is wrong with a row is in the answer.
    pub fn verify(&self) -> Result<Chain, StoreError> {
        chain::verify(&self.connection, &self.path)
    }

    fn query(
        &self,
        sql: &str,
        parameters: impl rusqlite::Params,
        mut each: impl FnMut(Envelope),
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::sqlite(&self.path, source);
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query(parameters).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each(self.envelope(row)?);
        }
        Ok(())
    }

    fn envelope(&self, row: &rusqlite::Row<'_>) -> Result<Envelope, StoreError> {
        let corrupt = |what: String| StoreError::Corrupt { path: self.path.clone(), what };
        let seq: i64 = row.get(0).map_err(|source| corrupt(format!("a row has no place ({source})")))?;
        let seq = u64::try_from(seq).map_err(|_| corrupt(format!("row {seq} cannot be")))?;
        let broken = |source: rusqlite::Error| corrupt(format!("row {seq} cannot be read ({source})"));
        let version: i64 = row.get(3).map_err(broken)?;
        if version != i64::from(PAYLOAD_VERSION) {
            return Err(StoreError::UnknownVersion { seq: Seq(seq), version });
        }
        let at: i64 = row.get(1).map_err(broken)?;
        let text = |column: usize| row.get_ref(column).and_then(|value| Ok(value.as_str()?)).map_err(broken);
        let unreadable = |source: serde_json::Error| {
            if source.is_data() {
                StoreError::UnknownEvent { seq: Seq(seq), what: source.to_string() }
            } else {
                corrupt(format!("the payload of row {seq} cannot be read ({source})"))
            }
        };
        Ok(Envelope {
            seq: Seq(seq),
            at: Timestamp(at),
            actor: serde_json::from_str(text(2)?).map_err(unreadable)?,
            event: serde_json::from_str(text(4)?).map_err(unreadable)?,
        })
    }
}

/// Makes the tables of a new file; refuses a file that is not ours.
fn prepare(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::sqlite(path, source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let tables: i64 =
        transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        transaction.execute_batch(TABLES).map_err(failed)?;
        transaction
            .execute("INSERT INTO head (one, seq, hash) VALUES (1, 0, ?1)", params![chain::BEFORE_THE_FIRST])
            .map_err(failed)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        transaction.pragma_update(None, "user_version", LAYOUT_VERSION).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        return Ok(());
    }
    check_identity(&transaction, path)
}

/// Whether the file says that it is a journal of this layout.
fn check_identity(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
            .map_err(|source| StoreError::sqlite(path, source))
    };
    if pragma("application_id")? != i64::from(APPLICATION_ID) {
        return Err(StoreError::Corrupt {
            path: path.to_owned(),
            what: "it is a database, but not a journal of towpath".to_owned(),
        });
    }
    match pragma("user_version")? {
        LAYOUT_VERSION => Ok(()),
        version => Err(StoreError::UnknownLayout { path: path.to_owned(), version }),
    }
}

/// The last row's place and hash.
fn head(connection: &Connection) -> rusqlite::Result<(u64, Vec<u8>)> {
    let found = connection
        .query_row("SELECT seq, hash FROM head WHERE one = 1", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?))
        })
        .optional()?;
    let (seq, hash) = found.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
    Ok((u64::try_from(seq).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, seq))?, hash))
}

/// SQLite's integers are signed; no journal grows to where that matters.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn to_json<T: serde::Serialize>(value: &T, path: &Path) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Io {
        path: path.to_owned(),
        doing: "written",
        source: std::io::Error::other(source),
    })
}

#[cfg(test)]
mod tests;
