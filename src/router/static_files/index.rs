//! Who brought which file: a small JSON file in the directory itself, so that nothing else is ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::domain::ids::DeploymentId;
use crate::store::durable;

/// The index's own name. With a dot in front: servers commonly hide it.
pub(super) const NAME: &str = ".towpath-static.json";

/// Everything that was brought and not taken away yet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Index {
    /// By name, relative to the directory.
    pub(super) files: BTreeMap<PathBuf, Brought>,
    /// Directories that were not there before.
    pub(super) directories: BTreeSet<PathBuf>,
}

/// One name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Brought {
    /// By whom, the newest last.
    pub(super) by: Vec<DeploymentId>,
    /// Whether a file that nobody of these brought was there before.
    pub(super) was_there: bool,
    /// What was put there: inode, size, modification in nanoseconds. `None` while it is being put there.
    pub(super) lies: Option<(u64, u64, i128)>,
}

impl Brought {
    /// What lies at a path.
    pub(super) fn lying(at: &Path) -> io::Result<Option<(u64, u64, i128)>> {
        match fs::symlink_metadata(at) {
            Ok(file) => {
                let modified = i128::from(file.mtime()) * 1_000_000_000 + i128::from(file.mtime_nsec());
                Ok(Some((file.ino(), file.len(), modified)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether what lies there is what was put there.
    pub(super) fn is_ours(&self, at: &Path) -> bool {
        match (self.lies, Self::lying(at)) {
            (Some(put), Ok(Some(lies))) => put == lies,
            // Cut off while it was put there, or gone.
            (None, Ok(_)) | (_, Ok(None)) => true,
            (_, Err(_)) => false,
        }
    }
}

impl Index {
    pub(super) fn read(directory: &Path) -> io::Result<Self> {
        match fs::read(directory.join(NAME)) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        if self.files.is_empty() && self.directories.is_empty() && !directory.join(NAME).exists() {
            return Ok(());
        }
        let bytes = serde_json::to_vec(self)?;
        durable::write(&directory.join(NAME), &bytes).map_err(|error| match error {
            crate::store::StoreError::Io { source, .. } => source,
            crate::store::StoreError::DiskFull { .. } => io::Error::from(ErrorKind::StorageFull),
            other => io::Error::other(other.to_string()),
        })
    }

    /// Notes that a deployment brings a name; it is the newest then.
    pub(super) fn bring(&mut self, name: &Path, deployment: DeploymentId, was_there: bool) {
        let brought =
            self.files.entry(name.to_owned()).or_insert_with(|| Brought { was_there, ..Brought::default() });
        brought.by.retain(|by| *by != deployment);
        brought.by.push(deployment);
    }

    /// The names that a deployment has brought.
    pub(super) fn of(&self, deployment: DeploymentId) -> Vec<PathBuf> {
        let of = self.files.iter().filter(|(_, brought)| brought.by.contains(&deployment));
        of.map(|(name, _)| name.clone()).collect()
    }
}
