//! What can go wrong with what is kept.

use std::path::{Path, PathBuf};

use crate::domain::event::PAYLOAD_VERSION;
use crate::domain::ids::Seq;

/// Why something could not be kept, or be read again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room left. Release the ballast so that open work can end; start nothing new.
    #[error("the disk that holds {} is full: free some space there, then go on", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// A row was written by another version of the program. Nothing is guessed.
    #[error(
        "journal row {seq} has payload version {version}; this program reads version {PAYLOAD_VERSION}: use the version of towpath that wrote it, or a newer one"
    )]
    UnknownVersion {
        /// The row.
        seq: Seq,
        /// Its version.
        version: i64,
    },
    /// A row is whole, but says something that this program does not know: an older or a newer one wrote it.
    #[error(
        "row {seq} of the journal was written by another version of towpath ({what}): use that version; \
         `towpath verify` says whether the row is as it was written"
    )]
    UnknownEvent {
        /// The row.
        seq: Seq,
        /// What is not known.
        what: String,
    },
    /// The file as a whole has a layout that this program does not know.
    #[error("{} has layout version {version}, which this program does not know: use the version of towpath that wrote it, or a newer one", path.display())]
    UnknownLayout {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        version: i64,
    },
    /// What is there is not what was written.
    #[error("{} cannot be trusted: {what}; keep a copy of it, and restore it from a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, a clause.
        what: String,
    },
    /// Another process holds the file.
    #[error("{} is in use by another process; try again when it has ended", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Anything else that the system says.
    #[error("{} could not be {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, a participle: `read`, `written`.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl StoreError {
    /// From an error of the system while doing something to a path. A full disk or quota is told apart.
    pub(super) fn io(path: &Path, doing: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            Self::DiskFull { path: path.to_owned() }
        } else {
            Self::Io { path: path.to_owned(), doing, source }
        }
    }

    /// From an error of SQLite.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Corrupt { path, what: source.to_string() }
            }
            _ => Self::Io { path, doing: "read or written", source: std::io::Error::other(source) },
        }
    }

    /// Whether it is [`StoreError::DiskFull`].
    #[must_use]
    pub const fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}
