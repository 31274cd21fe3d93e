//! An artifact's manifest: every file and link with mode, size and content hash, sorted. Its SHA-256 is the
//! artifact's identity; directories and times are not part of it.
//!
//! One line an entry: `f MODE SIZE SHA256 PATH` or `l - - - PATH -> TARGET`, paths escaped as in Rust strings.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::domain::ids::ArtifactId;
use crate::domain::plan::hex;

/// How many threads hash. The machine is shared with the steps that run beside.
const THREADS: usize = 2;

/// What of an artifact's directory is measured; the manifest itself and the marker lie beside.
pub const MEASURED: [&str; 2] = ["app", "venv"];

/// A directory tree, measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its lines, sorted by path.
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    line: String,
    bytes: u64,
    /// See [`Manifest::stamps`].
    stamp: String,
}

/// What is known of files from an earlier measuring: what has the same stamp as then has the same content.
///
/// No program can set the time of a file's last change (`ctime`) to what it was: whoever writes into a file, or puts
/// another in its place, is seen.
#[derive(Debug, Clone, Default)]
pub struct Known {
    hashes: HashMap<String, (String, String)>,
}

impl Known {
    /// From the texts of a manifest and of its stamps. Both must be trusted: their hashes known from elsewhere.
    #[must_use]
    pub fn of(manifest: &str, stamps: &str) -> Self {
        let mut hashes = HashMap::new();
        // Line for line the same entries.
        for (line, stamp) in manifest.lines().zip(stamps.lines()) {
            let mut words = line.splitn(5, ' ');
            let (Some("f"), Some(hash), Some(path)) = (words.next(), words.nth(2), words.next()) else {
                continue;
            };
            hashes.insert(path.to_owned(), (stamp.to_owned(), hash.to_owned()));
        }
        Self { hashes }
    }

    fn hash(&self, path: &str, stamp: &str) -> Option<&str> {
        self.hashes.get(path).filter(|(known, _)| known == stamp).map(|(_, hash)| hash.as_str())
    }
}

/// An artifact that isn't what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} {why}")]
pub struct Altered {
    /// Which file, relative to the artifact's directory.
    pub path: String,
    /// In which way: `was changed`, `is missing`, `was added`, `can't be read: …`.
    pub why: String,
}

impl Manifest {
    /// Measures `app/` and `venv/` of an artifact's directory.
    ///
    /// # Errors
    /// When something in it can't be read, or is neither file, directory nor link.
    pub fn measure(root: &Path) -> anyhow::Result<Self> {
        Self::measure_knowing(root, &Known::default())
    }

    /// [`measure`](Self::measure), reading only those files that were touched since.
    ///
    /// # Errors
    /// When something in it can't be read, or is neither file, directory nor link.
    pub fn measure_knowing(root: &Path, known: &Known) -> anyhow::Result<Self> {
        let mut paths = Vec::new();
        for part in MEASURED {
            if fs::symlink_metadata(root.join(part)).is_ok() {
                walk(&root.join(part), &mut paths)?;
            }
        }
        paths.sort();
        let share = paths.len().div_ceil(THREADS).max(1);
        let mut entries = Vec::with_capacity(paths.len());
        // Interleaved, not in halves: big files cluster (a venv's shared libraries).
        let parts: Vec<anyhow::Result<Vec<Entry>>> = std::thread::scope(|scope| {
            let paths = &paths;
            let threads: Vec<_> = (0..THREADS.min(share))
                .map(|first| {
                    scope.spawn(move || {
                        paths
                            .iter()
                            .skip(first)
                            .step_by(THREADS.min(share))
                            .map(|path| entry(root, path, known))
                            .collect()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a hashing thread died"))))
                .collect()
        });
        for part in parts {
            entries.extend(part?);
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Self { entries })
    }

    /// Its text, as it is written beside the artifact.
    #[must_use]
    pub fn text(&self) -> String {
        self.entries.iter().fold(String::new(), |mut text, entry| {
            text.push_str(&entry.line);
            text.push('\n');
            text
        })
    }

    /// What tells without reading a file whether it was touched, a line an entry, in the manifest's order: inode,
    /// size, times of the last write and of the last change. True of one place alone, so no part of the identity.
    #[must_use]
    pub fn stamps(&self) -> String {
        self.entries.iter().fold(String::new(), |mut text, entry| {
            text.push_str(&entry.stamp);
            text.push('\n');
            text
        })
    }

    /// The artifact's identity.
    #[must_use]
    pub fn id(&self) -> ArtifactId {
        identity(&self.text())
    }

    /// Number of files and links.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Size of all files, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// The first difference to a written manifest; `None` when they are the same.
    #[must_use]
    pub fn differs_from(&self, written: &str) -> Option<Altered> {
        let path_of = |line: &str| {
            let path = line.splitn(5, ' ').nth(4).unwrap_or(line);
            path.split(" -> ").next().unwrap_or(path).to_owned()
        };
        let mut before = written.lines().map(|line| (path_of(line), line)).peekable();
        for now in &self.entries {
            match before.peek() {
                Some((path, line)) if path == &now.path => {
                    if *line != now.line {
                        return Some(Altered { path: now.path.clone(), why: "was changed".to_owned() });
                    }
                    before.next();
                }
                Some((path, _)) if path < &now.path => {
                    return Some(Altered { path: path.clone(), why: "is missing".to_owned() });
                }
                _ => return Some(Altered { path: now.path.clone(), why: "was added".to_owned() }),
            }
        }
        before.next().map(|(path, _)| Altered { path, why: "is missing".to_owned() })
    }
}

/// The identity that a manifest's text gives.
#[must_use]
pub fn identity(text: &str) -> ArtifactId {
    ArtifactId(format!("sha256:{}", hex(&Sha256::digest(text.as_bytes()))))
}

/// Makes modes the same on every machine and takes the right to write away: files 0444, programs 0555,
/// directories 0755. (For root that is a word, not a wall: hence the manifest.)
///
/// # Errors
/// When a mode can't be set.
pub fn seal(root: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(root).with_context(|| format!("could not read {}", root.display()))? {
        let path = entry?.path();
        let meta = fs::symlink_metadata(&path)?;
        if meta.is_symlink() {
            continue;
        }
        let mode = match (meta.is_dir(), meta.permissions().mode() & 0o111) {
            (true, _) => 0o755,
            (false, 0) => 0o444,
            (false, _) => 0o555,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("could not set the mode of {}", path.display()))?;
        if meta.is_dir() {
            seal(&path)?;
        }
    }
    Ok(())
}

fn walk(directory: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("could not read {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

fn entry(root: &Path, path: &Path, known: &Known) -> anyhow::Result<Entry> {
    let within = path.strip_prefix(root).unwrap_or(path);
    let name = escaped(within);
    let meta = fs::symlink_metadata(path).with_context(|| format!("could not read {}", path.display()))?;
    if meta.is_symlink() {
        let target = fs::read_link(path).with_context(|| format!("could not read {}", path.display()))?;
        let line = format!("l - - - {name} -> {}", escaped(&target));
        return Ok(Entry { path: name, line, bytes: 0, stamp: "-".to_owned() });
    }
    anyhow::ensure!(meta.is_file(), "{} is neither a file, a directory nor a link", path.display());
    let mode = meta.permissions().mode() & 0o7777;
    // Taken before the content is read: what is written in between is read, or has another stamp the next time.
    let stamp = format!(
        "{} {} {}.{:09} {}.{:09}",
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec()
    );
    let hash = match known.hash(&name, &stamp) {
        Some(hash) => hash.to_owned(),
        None => content_hash(path)?,
    };
    let line = format!("f {mode:04o} {} {hash} {name}", meta.len());
    Ok(Entry { path: name, line, bytes: meta.len(), stamp })
}

/// SHA-256 of a file, hexadecimal.
///
/// # Errors
/// When it can't be read.
pub fn content_hash(path: &Path) -> anyhow::Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("could not read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("could not read {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// A path in which no byte can break a line or be read as another path's: printable ASCII and UTF-8 letters
/// as they are, all else escaped. `>` is escaped so that ` -> ` separates.
fn escaped(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text
            .chars()
            .flat_map(|letter| {
                match letter {
                    '\\' | '>' => format!("\\{letter}"),
                    letter if letter.is_control() => letter.escape_default().to_string(),
                    letter => letter.to_string(),
                }
                .chars()
                .collect::<Vec<_>>()
            })
            .collect(),
        None => format!("\\b{}", hex(path.as_os_str().as_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("app/deep")).unwrap();
        fs::create_dir_all(dir.path().join("venv/bin")).unwrap();
        fs::write(dir.path().join("app/manage.py"), "print(1)\n").unwrap();
        fs::write(dir.path().join("app/deep/größe > b\nc.txt"), "x").unwrap();
        fs::write(dir.path().join("venv/bin/tool"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(dir.path().join("venv/bin/tool"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("/usr/bin/python3", dir.path().join("venv/bin/python")).unwrap();
        seal(dir.path()).unwrap();
        dir
    }

    #[test]
    fn the_same_tree_has_the_same_manifest_wherever_it_is() {
        let (one, other) = (tree(), tree());
        let manifest = Manifest::measure(one.path()).unwrap();
        assert_eq!(manifest.text(), Manifest::measure(other.path()).unwrap().text());
        assert_eq!(manifest.files(), 4);
        insta::assert_snapshot!(manifest.text());
    }

    #[test]
    fn every_alteration_is_noticed_and_named() {
        type Alter = fn(&Path);
        let cases: [(&str, &str, Alter); 6] = [
            ("app/manage.py", "was changed", |dir| {
                fs::remove_file(dir.join("app/manage.py")).unwrap();
                fs::write(dir.join("app/manage.py"), "print(2)\n").unwrap();
            }),
            ("venv/bin/tool", "was changed", |dir| {
                fs::set_permissions(dir.join("venv/bin/tool"), fs::Permissions::from_mode(0o777)).unwrap();
            }),
            ("venv/bin/python", "was changed", |dir| {
                fs::remove_file(dir.join("venv/bin/python")).unwrap();
                std::os::unix::fs::symlink("/bin/sh", dir.join("venv/bin/python")).unwrap();
            }),
            ("app/deep/new", "was added", |dir| fs::write(dir.join("app/deep/new"), "").unwrap()),
            ("app/manage.py", "is missing", |dir| fs::remove_file(dir.join("app/manage.py")).unwrap()),
            ("venv/bin/tool", "is missing", |dir| fs::remove_file(dir.join("venv/bin/tool")).unwrap()),
        ];
        for (path, why, alter) in cases {
            let dir = tree();
            let written = Manifest::measure(dir.path()).unwrap();
            let known = Known::of(&written.text(), &written.stamps());
            assert_eq!(Manifest::measure_knowing(dir.path(), &known).unwrap(), written);
            assert_eq!(written.differs_from(&written.text()), None);
            alter(dir.path());
            for known in [Known::default(), known] {
                let now = Manifest::measure_knowing(dir.path(), &known).unwrap();
                let altered = now.differs_from(&written.text());
                assert_eq!(altered, Some(Altered { path: path.to_owned(), why: why.to_owned() }));
            }
        }
    }

    #[test]
    fn who_writes_and_sets_the_times_back_is_seen() {
        let dir = tree();
        let file = dir.path().join("app/manage.py");
        let written = Manifest::measure(dir.path()).unwrap();
        let known = Known::of(&written.text(), &written.stamps());
        let before = fs::metadata(&file).unwrap();
        // The kernel's clock for times of files ticks in steps of some milliseconds.
        while fs::metadata(&file).unwrap().ctime_nsec() == before.ctime_nsec() {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(&file, "print(2)\n").unwrap();
            fs::File::options()
                .write(true)
                .open(&file)
                .unwrap()
                .set_modified(before.modified().unwrap())
                .unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        }
        let after = fs::metadata(&file).unwrap();
        assert_eq!(
            (before.len(), before.mtime_nsec(), before.ino()),
            (after.len(), after.mtime_nsec(), after.ino())
        );
        let altered =
            Manifest::measure_knowing(dir.path(), &known).unwrap().differs_from(&written.text()).unwrap();
        assert_eq!(altered.to_string(), "app/manage.py was changed");
    }

    #[test]
    fn a_file_that_was_not_touched_is_not_read() {
        let dir = tree();
        let written = Manifest::measure(dir.path()).unwrap();
        // A lie in what is known shows: it would be corrected if the file were read.
        let lie =
            written.text().replacen(&content_hash(&dir.path().join("app/manage.py")).unwrap(), "lie", 1);
        let now = Manifest::measure_knowing(dir.path(), &Known::of(&lie, &written.stamps())).unwrap();
        assert_eq!(now.text(), lie);
    }

    proptest::proptest! {
        #[test]
        fn different_names_never_read_the_same(one in "[a-z>\\\\\n -]{1,8}", other in "[a-z>\\\\\n -]{1,8}") {
            let same = escaped(Path::new(&one)) == escaped(Path::new(&other));
            proptest::prop_assert_eq!(same, one == other);
            proptest::prop_assert!(!escaped(Path::new(&one)).contains('\n'));
            proptest::prop_assert!(!escaped(Path::new(&one)).contains(" -> "));
        }
    }
}
