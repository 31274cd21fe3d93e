//! The files of a replica.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::spec::{Spec, VERSION};
use crate::domain::time::Timestamp;
use crate::runtime::process::Identity;
use crate::store::durable;

/// Which process the replica is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) v: u32,
    /// Its main process: also the leader of its process group.
    pub(super) process: Option<Identity>,
    /// The session that its group is in: the keeper's that started it.
    pub(super) session: i32,
    /// When that process was started.
    pub(super) since: Timestamp,
    /// How often the replica was started in all.
    pub(super) starts: u32,
}

/// The directory.
#[derive(Debug, Clone)]
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    /// For a directory that may or may not be there; its real path where it is, for that is what processes carry.
    pub(super) fn of(dir: &Path) -> Self {
        Self(fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned()))
    }
    pub(super) fn spec_path(&self) -> PathBuf {
        self.0.join("spec.json")
    }
    pub(super) fn process_path(&self) -> PathBuf {
        self.0.join("process.json")
    }
    pub(super) fn status_path(&self) -> PathBuf {
        self.0.join("status.json")
    }
    pub(super) fn stop_path(&self) -> PathBuf {
        self.0.join("stop")
    }
    pub(super) fn spool_path(&self) -> PathBuf {
        self.0.join("spool")
    }
    pub(super) fn position_path(&self) -> PathBuf {
        self.0.join("spool.at")
    }
    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
    pub(super) fn keeper_log(&self) -> PathBuf {
        self.0.join("keeper.log")
    }

    /// What is asked.
    pub(super) fn spec(&self) -> Result<Spec> {
        let path = self.spec_path();
        let spec: Spec = read(&path)?
            .with_context(|| format!("{} is missing: the replica was never prepared", path.display()))?;
        if spec.v != VERSION {
            bail!("{} has version {}; this program reads version {VERSION}", path.display(), spec.v);
        }
        Ok(spec)
    }

    /// Which process it is. A file that cannot be read is no reason to start a second one: whoever asks looks for
    /// processes with the replica's mark as well.
    pub(super) fn recorded(&self) -> Option<Recorded> {
        read(&self.process_path()).ok().flatten()
    }

    /// Nothing of it runs any more; a start after this is the first again.
    pub(super) fn forget_process(&self) {
        let _ = fs::remove_file(self.process_path());
    }

    /// Whether somebody wants it stopped.
    pub(super) fn is_stop_wanted(&self) -> bool {
        self.stop_path().exists()
    }

    /// Its output, open for appending.
    pub(super) fn spool(&self) -> io::Result<File> {
        append(&self.spool_path())
    }

    /// The file whose lock means that a keeper lives.
    pub(super) fn alive(&self) -> Result<File> {
        let path = self.0.join("alive");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true).mode(0o600);
        options.open(&path).with_context(|| format!("{} could not be opened", path.display()))
    }

    /// Whether a keeper lives.
    pub(super) fn is_kept(&self) -> bool {
        // Never made where there is none: whoever only looks leaves nothing behind.
        let Ok(alive) = File::open(self.0.join("alive")) else { return false };
        matches!(alive.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Who the keeper is, as far as it could be written.
    pub(super) fn keeper(&self) -> Option<Identity> {
        let mut text = String::new();
        self.alive().ok()?.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }
}

/// Writes who holds `alive` into it. A full disk is no reason not to keep: a keeper that cannot be told by a signal
/// sees the file `stop` a second later.
pub(super) fn write_holder(mut alive: &File, holder: &Identity) {
    let json = serde_json::to_vec(holder).unwrap_or_default();
    let _ = alive.set_len(0).and_then(|()| alive.rewind()).and_then(|()| alive.write_all(&json));
}

/// A file of ours that is appended to.
pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// Reads a JSON file; `None` when there is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .with_context(|| format!("{} cannot be read", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Replaces a JSON file: a reader sees the old content or the new. Not synced, for what is written ten times a
/// second and says nothing after a power cut.
pub(super) fn replace<T: Serialize>(path: &Path, content: &T) -> io::Result<()> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let written = serde_json::to_vec(content).map_err(io::Error::from).and_then(|json| {
        let mut file =
            OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(&json)?;
        fs::rename(&beside, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// Writes a JSON file durably.
pub(super) fn write<T: Serialize>(path: &Path, content: &T) -> Result<()> {
    durable::write(path, &serde_json::to_vec(content)?)
        .with_context(|| format!("{} could not be written", path.display()))
}
