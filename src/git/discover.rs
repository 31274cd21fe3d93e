//! Which repository a directory belongs to.

use std::path::{Path, PathBuf};

use super::command::{Place, QUESTION, ask};
use super::error::GitError;

/// The root of the working tree that a directory is in, as a real path. In a linked worktree
/// (`git worktree add`) it is that worktree's root: its files are the operator's there; see [`main_worktree`].
///
/// # Errors
/// [`GitError::NoRepository`], [`GitError::Bare`], or what git says (a repository of another user, for one).
pub fn discover(from: &Path) -> Result<PathBuf, GitError> {
    let from = from.canonicalize().map_err(GitError::io(from, "found"))?;
    let place = Place::Directory(from.clone());
    let inside = ask(&place, QUESTION, ["rev-parse", "--is-bare-repository", "--is-inside-git-dir"])?;
    if !inside.ok {
        if inside.said.contains("not a git repository") {
            return Err(GitError::NoRepository { path: from });
        }
        inside.success()?;
        return Err(GitError::NoRepository { path: from });
    }
    let answer = inside.word()?;
    let mut words = answer.split_whitespace().map(|word| word == "true");
    if words.next() == Some(true) {
        return Err(GitError::Bare { path: from });
    }
    if words.next() == Some(true) {
        // Inside `.git` itself: the working tree is not known from there.
        return Err(GitError::NoRepository { path: from });
    }
    path(&ask(&place, QUESTION, ["rev-parse", "--show-toplevel"])?.success()?)
}

/// The root of the repository's main working tree, as a real path: the same for all of its linked worktrees.
/// The root itself where the repository has no linked worktrees, or no main one (a bare repository with
/// worktrees).
///
/// # Errors
/// What git says.
pub fn main_worktree(root: &Path) -> Result<PathBuf, GitError> {
    let place = Place::Directory(root.to_owned());
    let common = ask(&place, QUESTION, ["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
    let common = path(&common.success()?)?;
    match common.parent() {
        Some(parent) if common.file_name().is_some_and(|name| name == ".git") => Ok(parent.to_owned()),
        _ => Ok(root.to_owned()),
    }
}

/// A path that git printed, as a real path.
fn path(bytes: &[u8]) -> Result<PathBuf, GitError> {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
    path.canonicalize().map_err(GitError::io(path, "found"))
}
