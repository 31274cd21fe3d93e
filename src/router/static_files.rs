//! One directory that holds the static files of every release that runs: a page of the old set asks for the old
//! names while the new one takes over. Hashed names never clash; of equal names the newest content is there.

mod index;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use self::index::{Brought, Index};
use super::Trouble;
use crate::domain::ids::DeploymentId;

/// What a merge or a removal has done, in files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// Files that were not there.
    pub added: u64,
    /// Files whose content is another now.
    pub replaced: u64,
    /// Files that were as they should be.
    pub same: u64,
    /// Files taken away.
    pub removed: u64,
    /// What was left out, and why: at most 20, sanitised enough to show by `{:?}`.
    pub left_out: Vec<String>,
}

impl Filled {
    fn leave_out(&mut self, path: &Path, why: &str) {
        if self.left_out.len() < 20 {
            self.left_out.push(format!("{path:?}: {why}"));
        }
    }
}

/// Puts a deployment's static files into the directory. Each file appears at once and whole: as a hard link where
/// that can be and the file is readable for all, else as a copy. Links that lead out of `from` are left out, and
/// nothing is written through a link in `directory`. A file that somebody else has put there under the same name
/// is replaced, and never removed later. Safe to repeat.
///
/// # Errors
/// When the directory or the files cannot be read or written.
pub fn merge(directory: &Path, deployment: DeploymentId, from: &Path) -> Result<Filled, Trouble> {
    let trouble = |error: io::Error| trouble(directory, &error);
    let from = fs::canonicalize(from).map_err(|error| super::static_files::trouble(from, &error))?;
    fs::create_dir_all(directory).map_err(trouble)?;
    let mut index = Index::read(directory).map_err(trouble)?;
    let mut filled = Filled::default();
    let mut found = Vec::new();
    walk(&from, Path::new(""), &mut found, &mut filled)
        .map_err(|error| super::static_files::trouble(&from, &error))?;
    // Known before it is there: what is cut off half-way is still found and removed one day.
    for name in &found {
        let was_there = fs::symlink_metadata(directory.join(name)).is_ok();
        index.bring(name, deployment, was_there);
        for parent in name.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            if !directory.join(parent).exists() {
                index.directories.insert(parent.to_owned());
            }
        }
    }
    index.write(directory).map_err(trouble)?;
    for name in found {
        put(directory, &name, &from.join(&name), &mut index, &mut filled).map_err(trouble)?;
    }
    index.write(directory).map_err(trouble)?;
    Ok(filled)
}

/// Takes away what only this deployment has brought. Where a deployment that remains has a file of the same name,
/// its content comes back: `still` says whose files lie where. Files that were there before, were changed since, or
/// were brought by somebody else stay. Safe to repeat.
///
/// # Errors
/// When the directory cannot be read or written.
pub fn forget(
    directory: &Path,
    deployment: DeploymentId,
    still: &[(DeploymentId, PathBuf)],
) -> Result<Filled, Trouble> {
    let trouble = |error: io::Error| trouble(directory, &error);
    let mut index = Index::read(directory).map_err(trouble)?;
    let mut filled = Filled::default();
    let names: Vec<PathBuf> = index.of(deployment);
    for name in names {
        let Some(brought) = index.files.get_mut(&name) else { continue };
        let was_newest = brought.by.last() == Some(&deployment);
        let rest: Vec<DeploymentId> = brought.by.iter().copied().filter(|by| *by != deployment).collect();
        // The newest of those that remain and have it.
        let heir = rest.iter().rev().find_map(|by| {
            let (_, from) = still.iter().find(|(id, _)| id == by)?;
            let from = fs::canonicalize(from).ok()?;
            inside(&from, &from.join(&name)).then(|| from.join(&name))
        });
        let (ours, was_there) = (brought.is_ours(&directory.join(&name)), brought.was_there);
        if was_newest && ours && reachable(directory, &name) {
            match heir {
                Some(from) => put(directory, &name, &from, &mut index, &mut filled).map_err(trouble)?,
                None if rest.is_empty() && !was_there => {
                    remove(&directory.join(&name)).map_err(trouble)?;
                    filled.removed += 1;
                }
                // Somebody's file was there before, or one that remains had it and its tree is gone.
                None => filled.same += 1,
            }
        }
        if let Some(brought) = index.files.get_mut(&name) {
            brought.by = rest;
        }
    }
    index.files.retain(|_, brought| !brought.by.is_empty());
    prune(directory, &mut index);
    index.write(directory).map_err(trouble)?;
    Ok(filled)
}

/// Removes the directories that only held what was brought, the inner ones first.
fn prune(directory: &Path, index: &mut Index) {
    let mut gone = BTreeSet::new();
    for inner in index.directories.iter().rev() {
        // Fails where something is in it, which is right.
        if reachable(directory, inner) && fs::remove_dir(directory.join(inner)).is_ok() {
            gone.insert(inner.clone());
        }
    }
    index.directories.retain(|inner| !gone.contains(inner));
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Every file below, relative, in order. Links to files inside of the tree count as files.
fn walk(root: &Path, below: &Path, found: &mut Vec<PathBuf>, filled: &mut Filled) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if name.to_str().is_none() {
            filled.leave_out(&name, "its name is not UTF-8");
        } else if name == Path::new(index::NAME) {
            filled.leave_out(&name, "the name is Towpath's own");
        } else if kind.is_dir() {
            walk(root, &name, found, filled)?;
        } else if kind.is_file() || (kind.is_symlink() && inside(root, &root.join(&name))) {
            found.push(name);
        } else if kind.is_symlink() {
            filled.leave_out(&name, "a link to a directory, out of the tree, or to nothing");
        } else {
            filled.leave_out(&name, "not a file");
        }
    }
    Ok(())
}

/// Whether a path is a file of this tree after all links.
fn inside(root: &Path, path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|real| real.starts_with(root) && real.is_file())
}

/// Whether every directory on the way to the name is one, and none a link.
fn reachable(directory: &Path, name: &Path) -> bool {
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    let mut parents = name.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
    plain && parents.all(|parent| fs::symlink_metadata(directory.join(parent)).is_ok_and(|at| at.is_dir()))
}

/// Puts one file in its place, and notes what lies there now.
fn put(directory: &Path, name: &Path, from: &Path, index: &mut Index, filled: &mut Filled) -> io::Result<()> {
    let at = directory.join(name);
    make_parents(directory, name)?;
    if !reachable(directory, name) {
        filled.leave_out(name, "a link or a file is where its directory should be");
        index.files.remove(name);
        return Ok(());
    }
    let from = fs::canonicalize(from)?;
    let there = fs::symlink_metadata(&at).ok();
    match &there {
        Some(there) if there.is_dir() => {
            filled.leave_out(name, "a directory is where the file should be");
            index.files.remove(name);
            return Ok(());
        }
        Some(there) if there.is_file() && equal(&from, &at, there)? => filled.same += 1,
        _ => {
            place(&from, &at)?;
            if there.is_some() { filled.replaced += 1 } else { filled.added += 1 }
        }
    }
    if let Some(brought) = index.files.get_mut(name) {
        brought.lies = Brought::lying(&at)?;
    }
    Ok(())
}

fn make_parents(directory: &Path, name: &Path) -> io::Result<()> {
    let mut parents: Vec<&Path> =
        name.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()).collect();
    parents.reverse();
    for parent in parents {
        match fs::create_dir(directory.join(parent)) {
            // nginx is another user, and reads it.
            Ok(()) => fs::set_permissions(directory.join(parent), fs::Permissions::from_mode(0o755))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // A file or a link is in the way: said by the caller.
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(()),
            Err(error) => return Err(error),
        }
        if !reachable(directory, &parent.join("_")) {
            return Ok(());
        }
    }
    Ok(())
}

/// A link or a copy under another name first, then renamed.
fn place(from: &Path, at: &Path) -> io::Result<()> {
    let beside = at.with_file_name(format!(".towpath.{}.new", std::process::id()));
    remove(&beside)?;
    let mode = fs::metadata(from)?.mode();
    // A link has the mode of the original; where nginx could not read that, it gets a copy.
    let linked = mode & 0o004 != 0 && fs::hard_link(from, &beside).is_ok();
    let placed = (|| {
        if !linked {
            fs::copy(from, &beside)?;
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o644))?;
            File::open(&beside)?.sync_all()?;
        }
        fs::rename(&beside, at)
    })();
    // Renaming between two links to one file does nothing and leaves both.
    remove(&beside)?;
    placed
}

fn equal(from: &Path, at: &Path, there: &Metadata) -> io::Result<bool> {
    let source = fs::metadata(from)?;
    if (source.dev(), source.ino()) == (there.dev(), there.ino()) {
        return Ok(true);
    }
    if source.len() != there.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(File::open(from)?), BufReader::new(File::open(at)?));
    let (mut left, mut right) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let (read, too) = (fill(&mut one, &mut left)?, fill(&mut other, &mut right)?);
        if left.get(..read) != right.get(..too) {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match reader.read(room)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn trouble(path: &Path, error: &io::Error) -> Trouble {
    let cure = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("make {} readable and writable for whoever runs Towpath", path.display())
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("free some space on the disk that holds {}, then retry", path.display())
        }
        ErrorKind::NotFound => format!("see to it that {} exists", path.display()),
        ErrorKind::InvalidData => format!(
            "{} in {} was not written by this version of Towpath: move it away; what it lists is then never removed by itself",
            index::NAME,
            path.display()
        ),
        _ => String::new(),
    };
    Trouble {
        summary: format!("static files could not be kept in {}", path.display()),
        expected: "a directory that can be read and written".into(),
        measured: error.to_string(),
        cure,
        ..Trouble::default()
    }
}

#[cfg(test)]
mod tests;
