//! The files of a commit, written out byte for byte.
//!
//! `git archive` would apply the commit's own attributes (`export-ignore`, `export-subst`, line ends, filters):
//! what it writes is not exactly the commit. So the objects are read and written here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::command::{Place, TRANSFER, harmless};
use super::error::GitError;
use super::tree::{Blobs, Entry, Kind, Tree, inside};
use crate::domain::command::CommitFacts;
use crate::domain::finding::{Finding, Severity};

/// How the content of a file that lies in Git LFS begins (its specification, version 1).
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";
/// The size below which an LFS pointer must be, by its specification.
const LFS_POINTER_BYTES: u64 = 1024;
/// Paths that a finding names; the others are counted.
const NAMED: usize = 3;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Files and links.
    pub files: u64,
    /// What may surprise, each once with a cure.
    pub notices: Vec<Finding>,
}

/// What was met on the way, by path.
#[derive(Default)]
struct Noticed {
    submodules: Vec<String>,
    pointers: Vec<String>,
    links: Vec<String>,
    ignored: Vec<String>,
    substituted: Vec<String>,
}

pub(super) fn export(
    place: &Place,
    tree: &Tree,
    commit: &CommitFacts,
    root: &str,
    destination: &Path,
) -> Result<Exported, GitError> {
    let root = normal(root);
    let wanted: Vec<(&Path, &Path, &Entry)> = tree
        .entries()
        .filter_map(|(path, entry)| path.strip_prefix(&root).ok().map(|inner| (path, inner, entry)))
        .filter(|(_, inner, _)| !inner.as_os_str().is_empty())
        .collect();
    if wanted.is_empty() && !root.is_empty() {
        return Err(GitError::NoDirectory { commit: commit.id.short().to_owned(), root });
    }
    if let Some((path, _, _)) = wanted.iter().find(|(_, inner, _)| !is_harmless(inner)) {
        return Err(GitError::HostilePath { path: printable(path) });
    }
    directory(destination, destination)?;
    let mut entries = std::fs::read_dir(destination).map_err(GitError::io(destination, "read"))?;
    if entries.next().is_some() {
        let full = std::io::Error::new(std::io::ErrorKind::DirectoryNotEmpty, "it is not empty");
        return Err(GitError::io(destination, "written")(full));
    }
    // The author date on every file: what is derived from it (bytecode) is the same in every build.
    let written =
        SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(commit.authored.0).unwrap_or(0));
    let mut noticed = Noticed::default();
    let mut links: BTreeMap<&Path, Vec<u8>> = BTreeMap::new();
    let objects = wanted.iter().filter(|(_, _, entry)| entry.kind != Kind::Submodule);
    let mut blobs = Blobs::start(place, objects.map(|(_, _, entry)| entry.object.as_str()), TRANSFER)?;
    for (path, inner, entry) in &wanted {
        let target = destination.join(inner);
        match entry.kind {
            Kind::Submodule => {
                directory(&target, destination)?;
                noticed.submodules.push(printable(path));
            }
            Kind::Link => {
                let mut bytes = Vec::new();
                take(&mut blobs, &entry.object, |chunk| {
                    bytes.extend_from_slice(chunk);
                    Ok(())
                })?;
                links.insert(inner, bytes);
            }
            Kind::File | Kind::Executable => {
                if let Some(parent) = target.parent() {
                    directory(parent, destination)?;
                }
                let mode = if entry.kind == Kind::Executable { 0o755 } else { 0o644 };
                let pointer = file(&mut blobs, &entry.object, &target, mode, written)?;
                if pointer {
                    noticed.pointers.push(printable(path));
                }
            }
        }
    }
    blobs.finish()?;
    // Links last: nothing was written through one.
    for (inner, bytes) in &links {
        let target = destination.join(inner);
        if let Some(parent) = target.parent() {
            directory(parent, destination)?;
        }
        let leads_to = Path::new(OsStr::from_bytes(bytes));
        symlink(leads_to, &target).map_err(GitError::io(&target, "made"))?;
        if inside(inner, leads_to).is_none() {
            noticed.links.push(printable(inner));
        }
    }
    attributes(tree, &root, &mut noticed)?;
    let files = wanted.iter().filter(|(_, _, entry)| entry.kind != Kind::Submodule).count() as u64;
    Ok(Exported { files, notices: noticed.findings() })
}

/// A directory inside a repository as git names it: without `./`, `.` and a slash at the end.
pub(super) fn normal(root: &str) -> String {
    let parts: Vec<&str> = root.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Whether a path stays inside of where it is written, and does not make a repository there.
fn is_harmless(path: &Path) -> bool {
    path.components()
        .all(|component| matches!(component, Component::Normal(name) if !name.eq_ignore_ascii_case(".git")))
}

/// Makes a directory (0755) and those above it up to the destination.
fn directory(path: &Path, destination: &Path) -> Result<(), GitError> {
    if path.is_dir() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
    made.map_err(GitError::io(path, "made"))?;
    // The caller's umask must not decide what the artifact's directories are like.
    let mut made = path;
    while made.starts_with(destination) {
        std::fs::set_permissions(made, Permissions::from_mode(0o755)).map_err(GitError::io(made, "made"))?;
        let Some(parent) = made.parent() else { break };
        made = parent;
    }
    Ok(())
}

/// Writes one file; says whether it is an LFS pointer.
fn file(
    blobs: &mut Blobs,
    object: &str,
    target: &Path,
    mode: u32,
    written: SystemTime,
) -> Result<bool, GitError> {
    let failed = || GitError::io(target, "written");
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(target).map_err(failed())?;
    let mut begin: Vec<u8> = Vec::new();
    let size = take(blobs, object, |chunk| {
        let missing = LFS_POINTER.len().saturating_sub(begin.len()).min(chunk.len());
        begin.extend_from_slice(chunk.get(..missing).unwrap_or_default());
        file.write_all(chunk).map_err(failed())
    })?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed())?;
    file.set_modified(written).map_err(failed())?;
    Ok(size < LFS_POINTER_BYTES && begin == LFS_POINTER)
}

fn take(
    blobs: &mut Blobs,
    object: &str,
    each: impl FnMut(&[u8]) -> Result<(), GitError>,
) -> Result<u64, GitError> {
    let size = blobs.next(object)?;
    blobs.copy(size, each)?;
    Ok(size)
}

/// Looks for attributes that `git archive` would follow and this does not.
fn attributes(tree: &Tree, root: &str, noticed: &mut Noticed) -> Result<(), GitError> {
    let files: Vec<PathBuf> = tree
        .entries()
        .map(|(path, _)| path)
        .filter(|path| path.file_name().is_some_and(|name| name == ".gitattributes"))
        // Those of the directories above hold for the directory too.
        .filter(|path| {
            path.starts_with(root) || path.parent().is_some_and(|above| Path::new(root).starts_with(above))
        })
        .map(Path::to_owned)
        .collect();
    for path in files {
        let Some(bytes) = tree.read(&path)? else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_whitespace();
            let Some(pattern) = words.next() else { continue };
            for word in words {
                match word {
                    "export-ignore" => noticed.ignored.push(harmless(pattern.as_bytes())),
                    "export-subst" => noticed.substituted.push(harmless(pattern.as_bytes())),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

fn printable(path: &Path) -> String {
    harmless(path.as_os_str().as_bytes())
}

impl Noticed {
    fn findings(self) -> Vec<Finding> {
        let rules = [
            (
                "GIT-SUBMODULE",
                Severity::Warning,
                self.submodules,
                "Submodules are empty directories in the release",
                "Commit what is needed from them, or install it as a dependency.",
            ),
            (
                "GIT-LFS",
                Severity::Warning,
                self.pointers,
                "Files are Git LFS pointers, not their content",
                "Commit the files themselves (`git lfs migrate export`), or fetch them in a step of your own.",
            ),
            (
                "GIT-LINK-OUTSIDE",
                Severity::Warning,
                self.links,
                "Links lead out of the release",
                "Let them lead to files of the same commit: elsewhere they may lead nowhere.",
            ),
            (
                "GIT-EXPORT-IGNORE",
                Severity::Note,
                self.ignored,
                "Files marked `export-ignore` are in the release all the same",
                "Nothing to do: a release is exactly its commit. Remove files from the commit to keep them out.",
            ),
            (
                "GIT-EXPORT-SUBST",
                Severity::Note,
                self.substituted,
                "Placeholders marked `export-subst` stay as they are in the release",
                "Read the commit or version from the release's environment instead.",
            ),
        ];
        rules
            .into_iter()
            .filter(|(_, _, paths, _, _)| !paths.is_empty())
            .map(|(id, severity, paths, title, cure)| Finding {
                id: id.to_owned(),
                severity,
                title: format!("{title}: {}.", named(paths)),
                cure: cure.to_owned(),
            })
            .collect()
    }
}

/// The first few, and how many more.
fn named(mut paths: Vec<String>) -> String {
    paths.sort();
    paths.dedup();
    let more = paths.len().saturating_sub(NAMED);
    paths.truncate(NAMED);
    let text = paths.join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}
