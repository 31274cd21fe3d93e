//! The commit as files: an export into a directory of the attempt, or of the artifact.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::domain::finding::Finding;
use crate::domain::ids::CommitId;

use super::halt::Halt;
use super::locked::{Lock, Locked};
use crate::git::Mirror;
use crate::preset::dependencies::{self, Manager};
use crate::preset::tree::Directory;
use crate::runtime::workbench::Workbench;

/// Exports exactly the commit.
///
/// # Errors
/// When git can't, or the destination can't be written.
pub async fn export(
    bench: &Workbench,
    commit: &CommitId,
    root: &str,
    destination: &Path,
) -> anyhow::Result<Vec<Finding>> {
    let (mirror, asked) = (bench.spec().mirror.clone(), commit.clone());
    let (root, destination) = (root.to_owned(), destination.to_owned());
    let exported = tokio::task::spawn_blocking(move || {
        Mirror::open(&mirror, &mirror)?.export(&asked, &root, &destination)
    });
    let exported =
        exported.await?.with_context(|| format!("commit {} could not be exported", commit.short()))?;
    Ok(exported.notices)
}

/// The hash of the commit's tree.
///
/// # Errors
/// When git can't say.
pub async fn tree_hash(bench: &Workbench, commit: &CommitId) -> anyhow::Result<String> {
    let (mirror, commit) = (bench.spec().mirror.clone(), commit.clone());
    let hash = tokio::task::spawn_blocking(move || Mirror::open(&mirror, &mirror)?.tree_hash(&commit));
    Ok(hash.await??)
}

/// What an exported commit locks.
///
/// # Errors
/// A cause when its files can't be read as what they are.
pub fn locked(source: &Path) -> Result<Locked, Halt> {
    let tree = Directory::new(source).with_context(|| format!("could not look into {}", source.display()))?;
    let paths = |files: Vec<String>| files.into_iter().map(PathBuf::from).collect();
    let lock = match dependencies::detect(&tree).manager {
        Manager::Uv => Lock::Uv,
        Manager::Poetry => Lock::Poetry,
        Manager::Pipenv => Lock::Pipfile,
        Manager::Requirements { production, development, .. } => {
            Lock::Requirements { production: paths(production), development: paths(development) }
        }
        Manager::Pyproject => Lock::Pyproject,
        Manager::None => Lock::Nothing,
    };
    Locked::read(source, lock)
}

/// A directory of the attempt that is empty.
///
/// # Errors
/// When it can't be made.
pub fn fresh_directory(bench: &Workbench, name: &str) -> anyhow::Result<PathBuf> {
    let directory = bench.work().join(name);
    super::environment::remove(&directory)?;
    std::fs::create_dir_all(&directory).with_context(|| format!("could not make {}", directory.display()))?;
    Ok(directory)
}
