//! Space put aside while there is some, so that open work can end when there is none.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::StoreError;

/// How much is put aside, in bytes: the journal rows, results and last log lines of several open runs.
pub const SIZE: u64 = 16 * 1024 * 1024;

/// Makes sure that the ballast lies there, really allocated: zeros are written and synced, because a sparse
/// file or one of `set_len` takes no room.
///
/// # Errors
/// [`StoreError::DiskFull`] when there is no room for it; no part of it is left then.
pub fn ensure(path: &Path, bytes: u64) -> Result<(), StoreError> {
    if is_there(path, bytes) {
        return Ok(());
    }
    if let Err(source) = write(path, bytes) {
        let _ = std::fs::remove_file(path);
        return Err(StoreError::io(path, "written", source));
    }
    Ok(())
}

fn write(path: &Path, bytes: u64) -> std::io::Result<()> {
    static CHUNK: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK.len()).min(CHUNK.len());
        file.write_all(&CHUNK[..length])?;
        left -= length as u64;
    }
    file.sync_all()
}

/// Gives the space back. Nothing happens when it was given back already.
///
/// # Errors
/// What the system says.
pub fn release(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::io(path, "removed", source)),
        _ => Ok(()),
    }
}

/// Whether the whole ballast lies there. Its length says so, not its blocks: a file system that compresses
/// counts few blocks for zeros, and would be asked to write them for ever.
#[must_use]
pub fn is_there(path: &Path, bytes: u64) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.size() >= bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_really_allocated_and_given_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ballast");
        assert!(!is_there(&path, SIZE));
        ensure(&path, SIZE).unwrap();
        assert!(is_there(&path, SIZE));
        assert!(
            std::fs::metadata(&path).unwrap().blocks() * 512 >= SIZE,
            "blocks are taken, not only a length"
        );
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        ensure(&path, SIZE).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), before, "not written twice");
        release(&path).unwrap();
        release(&path).unwrap();
        assert!(!is_there(&path, SIZE));
    }

    #[test]
    fn a_short_one_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ballast");
        std::fs::write(&path, b"short").unwrap();
        ensure(&path, 100_000).unwrap();
        assert!(is_there(&path, 100_000));
    }
}
