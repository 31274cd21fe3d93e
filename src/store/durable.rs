//! Small files that are either whole or not there, whatever happens while they are written.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::StoreError;

/// Writes a file (0600): beside its place first, synced, then renamed, and the directory synced. A reader sees
/// the old content or the new. The directory must exist.
///
/// # Errors
/// [`StoreError::DiskFull`], or what the system says; the old content is still there then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let beside = beside(path);
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if let Err(source) = written {
        // Whatever was written helps nobody, and takes room.
        let _ = std::fs::remove_file(&beside);
        return Err(StoreError::io(path, "written", source));
    }
    sync_directory(path)
}

/// The name that is written first. The process is in it: two that write the same file do not mix.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Makes a file's entry in its directory durable.
fn sync_directory(path: &Path) -> Result<(), StoreError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| StoreError::io(path, "written", source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spec.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(write(&directory.path().join("missing/spec.json"), b"x").is_err());
    }

    #[test]
    fn a_full_disk_is_told_apart_and_leaves_nothing() {
        // `/dev/full` says "no space left" to every write: a real one, without filling anything.
        let error = OpenOptions::new().write(true).open("/dev/full").unwrap().write_all(b"x").unwrap_err();
        assert!(StoreError::io(Path::new("x"), "written", error).is_disk_full());
    }
}
