//! Files into a container and out of it, as archives: the engine may be another machine, so nothing is mounted from
//! this one.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder};
use futures_util::{StreamExt as _, stream};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use super::Engine;
use super::trouble::{Result, cause, status};
use crate::domain::plan::Cause;

/// How long an upload may take, and what else an engine does not answer before it is done: a commit of a container,
/// its stop. A step's own time limit ends it earlier.
pub const LONG: Duration = Duration::from_secs(3600);
/// Size of a piece of an archive on its way, bytes.
const PIECE: usize = 256 << 10;
/// How many pieces wait at once: what the engine does not take yet is not read yet.
const PIECES: usize = 8;

/// Whose files are, inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u64,
    /// The group's number.
    pub gid: u64,
}

/// Something to put into a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// A directory, made where it is not there.
    Directory {
        /// Where: an absolute path inside.
        path: String,
        /// Its permissions, e.g. `0o755`.
        mode: u32,
    },
    /// A file with these bytes.
    File {
        /// Where: an absolute path inside.
        path: String,
        /// What is in it.
        bytes: Vec<u8>,
        /// Its permissions.
        mode: u32,
    },
    /// A directory of this machine with all that is in it, links as links.
    Tree {
        /// Which directory.
        from: PathBuf,
        /// Where it becomes which: an absolute path inside.
        to: String,
    },
}

/// Puts files into a container, running or not. All of them belong to `owner`.
///
/// # Errors
/// When one of them cannot be read here, or the engine does not take them.
pub async fn put(engine: &Engine, container: &str, files: Vec<Put>, owner: Owner) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (pieces, taken) = mpsc::channel::<Bytes>(PIECES);
    let writing = tokio::task::spawn_blocking(move || write(&files, owner, pieces));
    let body = stream::unfold(taken, |mut taken| async move {
        let piece = taken.recv().await?;
        Some((piece, taken))
    });
    let options = UploadToContainerOptionsBuilder::default().path("/").build();
    let client = engine.client().clone().with_timeout(LONG);
    let sent = client.upload_to_container(container, Some(options), bollard::body_stream(body)).await;
    let written = writing.await;
    if let Ok(Err(error)) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(Box::new(Cause {
            summary: format!("files could not be read for a container: {error}"),
            expected: "files that can be read".to_owned(),
            measured: error.to_string(),
            cure: "Retry the step; if it happens again, look at this machine's disk.".to_owned(),
            ..Cause::default()
        }));
    }
    sent.map_err(|error| cause(engine.name(), "files could not be put into a container", &error))
}

/// Writes the archive, piece by piece as the engine takes it.
fn write(files: &[Put], owner: Owner, pieces: mpsc::Sender<Bytes>) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(PIECE, Pieces { pieces }));
    archive.follow_symlinks(false);
    for file in files {
        match file {
            Put::Directory { path, mode } => {
                entry(&mut archive, path, tar::EntryType::Directory, *mode, owner, &[])?;
            }
            Put::File { path, bytes, mode } => {
                entry(&mut archive, path, tar::EntryType::Regular, *mode, owner, bytes)?;
            }
            Put::Tree { from, to } => tree(&mut archive, from, to, owner)?,
        }
    }
    std::io::Write::flush(&mut archive.into_inner()?)
}

fn entry<T: std::io::Write>(
    archive: &mut tar::Builder<T>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    owner: Owner,
    bytes: &[u8],
) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.uid);
    header.set_gid(owner.gid);
    header.set_size(bytes.len() as u64);
    archive.append_data(&mut header, path.trim_start_matches('/'), bytes)
}

/// A directory and all below it.
fn tree<T: std::io::Write>(
    archive: &mut tar::Builder<T>,
    from: &Path,
    to: &str,
    owner: Owner,
) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(from)?.permissions().mode() & 0o7777;
    entry(archive, to, tar::EntryType::Directory, mode | 0o700, owner, &[])?;
    for found in std::fs::read_dir(from)? {
        let found = found?;
        let name = found.file_name();
        // A name that is no text: the engine takes bytes, our paths do not. Better said than left out.
        let Some(name) = name.to_str() else {
            return Err(std::io::Error::other(format!(
                "{} has a name that is not UTF-8",
                found.path().display()
            )));
        };
        let inside = format!("{}/{name}", to.trim_end_matches('/'));
        let meta = found.path().symlink_metadata()?;
        let mut header = tar::Header::new_gnu();
        header.set_uid(owner.uid);
        header.set_gid(owner.gid);
        header.set_mode(meta.permissions().mode() & 0o7777);
        let kind = meta.file_type();
        if kind.is_dir() {
            tree(archive, &found.path(), &inside, owner)?;
        } else if kind.is_symlink() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let target = std::fs::read_link(found.path())?;
            archive.append_link(&mut header, inside.trim_start_matches('/'), target)?;
        } else if kind.is_file() {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_size(meta.len());
            let file = std::fs::File::open(found.path())?;
            archive.append_data(&mut header, inside.trim_start_matches('/'), file.take(meta.len()))?;
        }
    }
    Ok(())
}

/// The writing end of an archive on its way.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
}

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.pieces.blocking_send(Bytes::copy_from_slice(bytes)).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One file out of a container, running or not; `None` where it is not there. Of what is larger than `limit` bytes
/// nothing is given back but the error.
///
/// # Errors
/// When the engine does not give it, or it is no plain file, or too large.
pub async fn get(engine: &Engine, container: &str, path: &str, limit: usize) -> Result<Option<Vec<u8>>> {
    let what = format!("{path} could not be read from a container");
    let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
    let mut pieces = Box::pin(engine.client().download_from_container(container, Some(options)));
    let mut archive: Vec<u8> = Vec::new();
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) => archive.extend_from_slice(&piece),
            Err(error) if status(&error) == Some(404) => return Ok(None),
            Err(error) => return Err(cause(engine.name(), &what, &error)),
        }
        // The archive's own headers are small.
        if archive.len() > limit.saturating_add(PIECE) {
            return Err(Box::new(Cause {
                summary: format!("{what}: it is larger than {limit} bytes"),
                expected: format!("at most {limit} bytes"),
                measured: "more".to_owned(),
                ..Cause::default()
            }));
        }
    }
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        for entry in tar::Archive::new(archive.as_slice()).entries()? {
            let mut entry = entry?;
            if entry.header().entry_type().is_file() {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    };
    read().map_err(|error| {
        Box::new(Cause {
            summary: format!("{what}: {error}"),
            measured: error.to_string(),
            ..Cause::default()
        })
    })
}

/// Whom files must belong to so that a container's user may write them. `user` is as images and containers name it:
/// `app`, `1000`, `1000:1000`, or empty for root.
///
/// # Errors
/// When the container's own list of users cannot be read, or does not name it.
pub async fn owner(engine: &Engine, container: &str, user: &str) -> Result<Owner> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    if name.is_empty() {
        return Ok(Owner::default());
    }
    let gid = group.and_then(|group| group.parse().ok());
    if let (Ok(uid), Some(gid)) = (name.parse::<u64>(), gid) {
        return Ok(Owner { uid, gid });
    }
    let users = get(engine, container, "/etc/passwd", 4 << 20).await?.unwrap_or_default();
    let users = String::from_utf8_lossy(&users).into_owned();
    match (in_passwd(&users, name), name.parse::<u64>()) {
        (Some(found), _) => Ok(Owner { uid: found.uid, gid: gid.unwrap_or(found.gid) }),
        (None, Ok(uid)) => Ok(Owner { uid, gid: gid.unwrap_or(0) }),
        (None, Err(_)) => Err(Box::new(Cause {
            summary: format!("the image's user {name} is not in its /etc/passwd"),
            expected: format!("a line for {name}"),
            measured: "no such line".to_owned(),
            cure: "Add the user in the Dockerfile (RUN useradd …) before USER names it.".to_owned(),
            ..Cause::default()
        })),
    }
}

/// A user of an `/etc/passwd`, by name or by number.
fn in_passwd(text: &str, user: &str) -> Option<Owner> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        (name == user || uid == user).then_some(())?;
        Some(Owner { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let text = "root:x:0:0:root:/root:/bin/bash\napp:x:1000:1001::/home/app:/bin/sh\n";
        assert_eq!(in_passwd(text, "app"), Some(Owner { uid: 1000, gid: 1001 }));
        assert_eq!(in_passwd(text, "1000"), Some(Owner { uid: 1000, gid: 1001 }));
        assert_eq!(in_passwd(text, "other"), None);
    }

    #[tokio::test]
    async fn an_archive_holds_files_links_and_directories_for_their_owner() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/one.txt"), "one").unwrap();
        std::os::unix::fs::symlink("one.txt", dir.path().join("sub/link")).unwrap();
        let files = vec![
            Put::Tree { from: dir.path().to_owned(), to: "/work".to_owned() },
            Put::File { path: "/towpath/ask.py".to_owned(), bytes: b"print()".to_vec(), mode: 0o644 },
        ];
        let (pieces, mut taken) = mpsc::channel(PIECES);
        let writing = tokio::task::spawn_blocking(move || write(&files, Owner { uid: 7, gid: 8 }, pieces));
        let mut bytes = Vec::new();
        while let Some(piece) = taken.recv().await {
            bytes.extend_from_slice(&piece);
        }
        writing.await.unwrap().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let kind = header.entry_type().as_byte() as char;
                let path = entry.path().unwrap().display().to_string();
                format!("{kind} {path} {}:{}", header.uid().unwrap(), header.gid().unwrap())
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "0 towpath/ask.py 7:8",
                "0 work/sub/one.txt 7:8",
                "2 work/sub/link 7:8",
                "5 work 7:8",
                "5 work/sub 7:8"
            ]
        );
    }
}
