//! The hash chain over the journal's rows.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest as _, Sha256};

use super::{StoreError, check_identity, head};
use crate::domain::event::{Event, PAYLOAD_VERSION};
use crate::domain::ids::Seq;

/// What stands for the hash of the row before the first.
pub(super) const BEFORE_THE_FIRST: [u8; 32] = [0; 32];

/// What a look at the whole journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Rows that are as they were written.
    pub rows: u64,
    /// The first row that is not, and what is wrong with it, one clause.
    pub broken: Option<(Seq, String)>,
}

/// The hash of a row. Every part has a fixed length or its length before it, so that no two rows have the same
/// encoding.
pub(super) fn hash(seq: u64, at: i64, actor: &str, version: i64, event: &str, previous: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(b"towpath journal row 1\0");
    digest.update(seq.to_be_bytes());
    digest.update(at.to_be_bytes());
    digest.update(version.to_be_bytes());
    for part in [actor.as_bytes(), event.as_bytes(), previous] {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Verifies a copy of a journal without changing a byte of it. Its `-wal` beside it is read too.
///
/// # Errors
/// When the file cannot be opened or is not a journal; what is wrong with a row is in the answer.
pub fn verify_file(path: &Path) -> Result<Chain, StoreError> {
    let failed = |source| StoreError::sqlite(path, source);
    let wal = {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        std::fs::metadata(name).is_ok_and(|wal| wal.len() > 0)
    };
    // A file without a log beside it cannot change under us, and SQLite then makes no file beside it.
    let immutable = if wal { "" } else { "&immutable=1" };
    let address = format!("file:{}?mode=ro{immutable}", escape(path));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(address, flags).map_err(failed)?;
    connection.busy_timeout(super::PATIENCE).map_err(failed)?;
    check_identity(&connection, path)?;
    verify(&connection, path)
}

/// A path as SQLite's addresses have it.
fn escape(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

pub(super) fn verify(connection: &Connection, path: &Path) -> Result<Chain, StoreError> {
    // One transaction: rows and head are of the same moment, whoever writes meanwhile.
    let transaction =
        connection.unchecked_transaction().map_err(|source| StoreError::sqlite(path, source))?;
    let mut rows = 0;
    let mut previous = BEFORE_THE_FIRST.to_vec();
    let broken = match walk(&transaction, &mut rows, &mut previous) {
        Ok(broken) => broken,
        Err(source) => match StoreError::sqlite(path, source) {
            StoreError::Corrupt { what, .. } => Some((Seq(rows + 1), format!("it cannot be read ({what})"))),
            other => return Err(other),
        },
    };
    Ok(Chain { rows, broken })
}

fn walk(
    connection: &Connection,
    rows: &mut u64,
    previous: &mut Vec<u8>,
) -> rusqlite::Result<Option<(Seq, String)>> {
    let mut statement = connection
        .prepare("SELECT seq, at, actor, version, event, run, previous, hash FROM journal ORDER BY seq")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let expected = *rows + 1;
        let broken = |what: &str| Ok(Some((Seq(expected), what.to_owned())));
        let columns = (0..8).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>();
        let Ok(columns) = columns else { return broken("its text is not text") };
        let [
            Value::Integer(seq),
            Value::Integer(at),
            Value::Text(actor),
            Value::Integer(version),
            Value::Text(event),
            run,
            Value::Blob(before),
            Value::Blob(own),
        ] = columns.as_slice()
        else {
            return broken("its columns have other types");
        };
        if u64::try_from(*seq) != Ok(expected) {
            return broken("it is missing");
        }
        if before != previous {
            return broken("it does not follow the row before it");
        }
        if hash(expected, *at, actor, *version, event, before).as_slice() != own.as_slice() {
            return broken("it is not what was written");
        }
        // The run is not hashed: it follows from the event.
        if *version == i64::from(PAYLOAD_VERSION) {
            match serde_json::from_str::<Event>(event) {
                Ok(event) => {
                    let wanted = event.run().and_then(|run| i64::try_from(run.0).ok());
                    if *run != wanted.map_or(Value::Null, Value::Integer) {
                        return broken("it is filed under another run");
                    }
                }
                // Another version's event: the hash says that it is as it was written.
                Err(error) if error.is_data() => {}
                Err(_) => return broken("its event cannot be read"),
            }
        }
        previous.clone_from(own);
        *rows = expected;
    }
    let Ok((last, end)) = head(connection) else {
        return Ok(Some((Seq(*rows + 1), "the note of the last row is missing".to_owned())));
    };
    if last > *rows {
        return Ok(Some((Seq(*rows + 1), format!("it is missing: the journal ended at row {last}"))));
    }
    if last < *rows || end != *previous {
        return Ok(Some((Seq(*rows), "it is not the row that was last".to_owned())));
    }
    Ok(None)
}
