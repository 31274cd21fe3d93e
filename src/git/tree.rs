//! The files of one commit.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::time::Duration;

use super::command::{Place, QUESTION, Running, ask, git};
use super::error::GitError;
use crate::domain::ids::CommitId;

/// How many links are followed from one to the next.
const MOST_LINKS: u32 = 8;
/// The largest file that is read into memory, in bytes. Files that are asked for are configuration and source.
const LARGEST_READ: u64 = 64 * 1024 * 1024;

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A symbolic link; its content is where it leads.
    Link,
    /// A commit of another repository; its files are not here.
    Submodule,
}

/// One entry of a tree. Directories have none: they are in the paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its object's name.
    pub object: String,
}

/// The files of one commit, by path. Their content is read when it is asked for.
#[derive(Debug, Clone)]
pub struct Tree {
    place: Place,
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    pub(super) fn read_from(place: &Place, commit: &CommitId) -> Result<Self, GitError> {
        let answer = ask(
            place,
            QUESTION,
            ["ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit.as_str()],
        )?;
        if !answer.ok && answer.said.contains("Not a valid object name") {
            return Err(GitError::UnknownRevision { revision: commit.to_string(), nearest: None });
        }
        let answer = answer.success()?;
        let mut entries = BTreeMap::new();
        for record in answer.split(|byte| *byte == 0) {
            let Some(tab) = record.iter().position(|byte| *byte == b'\t') else { continue };
            let (head, path) = record.split_at(tab);
            let head = String::from_utf8_lossy(head);
            let mut words = head.split_whitespace();
            let kind = match words.next() {
                Some("100755") => Kind::Executable,
                Some("120000") => Kind::Link,
                Some("160000") => Kind::Submodule,
                // 100644, and what old versions of git wrote for it.
                _ => Kind::File,
            };
            let object = words.nth(1).unwrap_or_default().to_owned();
            let path = PathBuf::from(OsStr::from_bytes(path.get(1..).unwrap_or_default()));
            entries.insert(path, Entry { kind, object });
        }
        Ok(Self { place: place.clone(), entries })
    }

    /// The paths of files and links, sorted, from the repository's root. Those that are not UTF-8 are left out;
    /// [`Tree::entries`] has them.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.kind != Kind::Submodule)
            .filter_map(|(path, _)| path.to_str())
    }

    /// Every entry, sorted by path.
    pub fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// What is at a path; `None` where there is nothing, or a directory.
    pub fn kind(&self, path: impl AsRef<Path>) -> Option<Kind> {
        self.entries.get(path.as_ref()).map(|entry| entry.kind)
    }

    /// The content of a file, links inside the commit followed. `None` where there is no file: nothing, a
    /// directory, a submodule, a link that leads out of the commit or nowhere.
    ///
    /// # Errors
    /// What git says; a file of more than 64 MiB.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, GitError> {
        let mut path = path.as_ref().to_owned();
        for _ in 0..MOST_LINKS {
            let Some(entry) = self.entries.get(&path) else { return Ok(None) };
            match entry.kind {
                Kind::Submodule => return Ok(None),
                Kind::File | Kind::Executable => return self.blob(entry).map(Some),
                Kind::Link => {
                    let target = self.blob(entry)?;
                    match inside(&path, Path::new(OsStr::from_bytes(&target))) {
                        Some(target) => path = target,
                        None => return Ok(None),
                    }
                }
            }
        }
        Ok(None)
    }

    fn blob(&self, entry: &Entry) -> Result<Vec<u8>, GitError> {
        let mut blobs = Blobs::start(&self.place, std::iter::once(entry.object.as_str()), QUESTION)?;
        let mut bytes = Vec::new();
        let size = blobs.next(&entry.object)?;
        if size > LARGEST_READ {
            return Err(GitError::Failed {
                what: "cat-file".to_owned(),
                said: format!("a file of {size} bytes is too large to be read"),
            });
        }
        blobs.copy(size, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        blobs.finish()?;
        Ok(bytes)
    }
}

/// Where a link leads inside the tree; `None` when it leads out of it.
pub(super) fn inside(link: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = link.parent().map(Path::to_owned).unwrap_or_default();
    for component in target.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// The contents of many objects, in order, from one `git cat-file`.
pub(super) struct Blobs {
    running: Running,
    output: BufReader<ChildStdout>,
}

impl Blobs {
    pub(super) fn start<'a>(
        place: &Place,
        objects: impl Iterator<Item = &'a str>,
        timeout: Duration,
    ) -> Result<Self, GitError> {
        let mut command = git(place, ["cat-file", "--batch", "--buffer"]);
        command.stdin(Stdio::piped());
        let mut running = Running::start(command, timeout)?;
        let names: String = objects.flat_map(|object| [object, "\n"]).collect();
        running.feed(names.into_bytes());
        let output = running.take_output().ok_or_else(|| broken("it has no output".to_owned()))?;
        Ok(Self { running, output: BufReader::with_capacity(128 * 1024, output) })
    }

    /// The size of the next object, which must be this one. Its content has to be taken with [`Blobs::copy`].
    pub(super) fn next(&mut self, object: &str) -> Result<u64, GitError> {
        let mut head = String::new();
        let read = (&mut self.output).take(256).read_line(&mut head);
        read.map_err(|error| self.broken(error.to_string()))?;
        let mut words = head.split_whitespace();
        match (words.next(), words.next(), words.next().map(str::parse)) {
            (Some(name), Some("blob"), Some(Ok(size))) if name == object => Ok(size),
            _ => Err(self.broken(format!("object {object} cannot be read ({})", head.trim()))),
        }
    }

    /// Gives the content of the object that was announced, in pieces.
    pub(super) fn copy(
        &mut self,
        size: u64,
        mut each: impl FnMut(&[u8]) -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        let mut left = size;
        while left > 0 {
            let chunk = self.output.fill_buf().map_err(|error| broken(error.to_string()))?;
            if chunk.is_empty() {
                return Err(self.broken("an object ended early".to_owned()));
            }
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            each(chunk.get(..length).unwrap_or_default())?;
            self.output.consume(length);
            left -= length as u64;
        }
        // The line end after every object.
        let mut end = [0];
        self.output.read_exact(&mut end).map_err(|error| self.broken(error.to_string()))
    }

    /// Why the output is not what it should be.
    fn broken(&self, said: String) -> GitError {
        self.running.over_time().unwrap_or_else(|| broken(said))
    }

    pub(super) fn finish(self) -> Result<(), GitError> {
        drop(self.output);
        match self.running.finish()? {
            (true, _, _) => Ok(()),
            (false, said, what) => Err(GitError::Failed { what, said }),
        }
    }
}

fn broken(said: String) -> GitError {
    GitError::Failed { what: "cat-file".to_owned(), said }
}
