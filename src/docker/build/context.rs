//! A build's context: a directory as a stream of tar, without what `.dockerignore` leaves out. It is never whole in
//! memory and never lies on disk a second time.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use tokio::sync::mpsc;

use super::ignore::Ignore;

/// Bytes of one piece. Large enough that a piece costs little, small enough that those on the way do not matter.
const PIECE: usize = 64 * 1024;
/// Pieces that may wait for the engine.
const WAITING: usize = 8;

/// Streams a directory. `written` is every entry's time (seconds since 1970): what is copied into a layer carries it,
/// and a commit's files were not written when they were exported. What ends the stream early is its last item.
pub fn stream(
    directory: PathBuf,
    dockerfile: String,
    written: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (send, receive) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let pipe = BufWriter::with_capacity(PIECE, Pipe(send.clone()));
        if let Err(error) = write(&directory, &dockerfile, written, pipe) {
            // Nobody listens any more where the build has ended.
            let _ = send.blocking_send(Err(error));
        }
    });
    stream::unfold(receive, async |mut receive| receive.recv().await.map(|piece| (piece, receive)))
}

struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        self.0.blocking_send(Ok(piece)).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(directory: &Path, dockerfile: &str, written: u64, to: impl Write) -> io::Result<()> {
    let ignore = Ignore::of(directory, dockerfile)?;
    let mut archive = Archive { tar: tar::Builder::new(to), ignore, dockerfile, written };
    archive.below(directory, "", &mut Vec::new())?;
    archive.tar.into_inner()?.flush()
}

struct Archive<'a, W: Write> {
    tar: tar::Builder<W>,
    ignore: Ignore,
    dockerfile: &'a str,
    written: u64,
}

impl<W: Write> Archive<'_, W> {
    /// Writes what is below a directory. `owed` are the directories above that are left out themselves: they are
    /// written once something below them is not.
    fn below(&mut self, directory: &Path, path: &str, owed: &mut Vec<String>) -> io::Result<()> {
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(directory)?.collect::<io::Result<_>>()?;
        // One order everywhere: the same commit is the same stream.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let inner = match (path, name.to_str()) {
                ("", Some(name)) => name.to_owned(),
                (path, Some(name)) => format!("{path}/{name}"),
                (_, None) => return Err(not_text(&entry.path())),
            };
            let leaves_out = self.ignore.leaves_out(&inner) && !self.is_always_sent(&inner);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                owed.push(inner.clone());
                if !leaves_out {
                    self.owed(owed)?;
                }
                self.below(&entry.path(), &inner, owed)?;
                owed.retain(|one| *one != inner);
            } else if !leaves_out {
                self.owed(owed)?;
                self.entry(&entry, &inner)?;
            }
        }
        Ok(())
    }

    /// Neither can be left out: the engine reads them. The classic builder then takes away again what is left out;
    /// BuildKit, to which one stream is all it has, leaves both where a `COPY .` finds them.
    fn is_always_sent(&self, path: &str) -> bool {
        path == self.dockerfile || path == ".dockerignore"
    }

    fn owed(&mut self, owed: &mut Vec<String>) -> io::Result<()> {
        for directory in owed.drain(..) {
            let mut header = self.header(tar::EntryType::Directory, 0o755, 0);
            self.tar.append_data(&mut header, format!("{directory}/"), io::empty())?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, inner: &str) -> io::Result<()> {
        let about = entry.metadata()?;
        if about.is_symlink() {
            let mut header = self.header(tar::EntryType::Symlink, 0o777, 0);
            return self.tar.append_link(&mut header, inner, fs::read_link(entry.path())?);
        }
        let mode = if about.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
        let mut header = self.header(tar::EntryType::Regular, mode, about.len());
        self.tar.append_data(&mut header, inner, fs::File::open(entry.path())?)
    }

    fn header(&self, kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.written);
        header.set_size(size);
        header
    }
}

fn not_text(path: &Path) -> io::Error {
    let words = format!("the name {} is not UTF-8, and cannot be sent to a Docker engine", path.display());
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    use futures_util::StreamExt as _;

    use super::*;

    async fn sent(directory: &Path, dockerfile: &str) -> BTreeMap<String, String> {
        let pieces: Vec<io::Result<Bytes>> =
            stream(directory.to_owned(), dockerfile.to_owned(), 1_700_000_000).collect().await;
        let bytes: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut found = BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mtime().unwrap(), 1_700_000_000);
            let mut text = format!("{:o} ", entry.header().mode().unwrap());
            if let Some(link) = entry.link_name().unwrap() {
                text.push_str(&link.to_string_lossy());
            }
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            entry.read_to_string(&mut text).unwrap();
            assert!(found.insert(path, text).is_none(), "an entry twice");
        }
        found
    }

    #[tokio::test]
    async fn what_is_left_out_is_not_sent_and_the_dockerfile_always_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for directory in ["docs/deep", "empty", "app"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("Dockerfile"), "FROM scratch").unwrap();
        fs::write(at(".dockerignore"), "*\n!app\n!docs/deep/keep\napp/*.log\n").unwrap();
        fs::write(at("docs/a"), "a").unwrap();
        fs::write(at("docs/deep/keep"), "k").unwrap();
        fs::write(at("app/run.sh"), "#!/bin/sh").unwrap();
        fs::set_permissions(at("app/run.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(at("app/a.log"), "l").unwrap();
        symlink("run.sh", at("app/link")).unwrap();
        let found = sent(dir.path(), "Dockerfile").await;
        let expected = [
            (".dockerignore", "644 *\n!app\n!docs/deep/keep\napp/*.log\n"),
            ("Dockerfile", "644 FROM scratch"),
            ("app/", "755 "),
            ("app/link", "777 run.sh"),
            ("app/run.sh", "755 #!/bin/sh"),
            ("docs/", "755 "),
            ("docs/deep/", "755 "),
            ("docs/deep/keep", "644 k"),
        ];
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn long_names_and_large_files_arrive_whole() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(150), "n".repeat(150));
        fs::create_dir(dir.path().join("d".repeat(150))).unwrap();
        fs::write(dir.path().join(&long), "x".repeat(3_000_000)).unwrap();
        let found = sent(dir.path(), "Dockerfile").await;
        assert_eq!(found[&long].len(), 4 + 3_000_000);
    }
}
