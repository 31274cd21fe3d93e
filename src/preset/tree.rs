//! The files of a project, wherever they lie: on disk, in git, in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of a project. Every path is relative to the project's root, with `/` between its parts.
pub trait Tree {
    /// Every file's path, sorted.
    fn paths(&self) -> Vec<String>;
    /// A file's bytes; `None` where there is no such file or it cannot be read.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
}

/// The largest file that detection reads, in bytes: locks of large projects have a few megabytes.
pub const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The most files that are listed; a project with more has something in it that is not its own.
pub const COUNT_LIMIT: usize = 100_000;

/// How many directories deep is looked.
const DEPTH_LIMIT: usize = 24;

/// Directories that are never a project's own.
const FOREIGN: [&str; 15] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "venv",
    "env",
    "node_modules",
    "__pycache__",
    ".tox",
    ".nox",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".eggs",
    "site-packages",
];

/// Whether a path lies in a directory that is not the project's own.
#[must_use]
pub fn is_foreign(path: &str) -> bool {
    let directories = path.rsplit_once('/').map_or("", |(directories, _)| directories);
    directories.split('/').any(|part| FOREIGN.contains(&part))
}

/// A text file of a tree; bytes that are not UTF-8 are replaced, a byte order mark is dropped.
#[must_use]
pub fn text(tree: &dyn Tree, path: &str) -> Option<String> {
    let bytes = tree.read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    Some(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl<'a> FromIterator<(&'a str, &'a str)> for Memory {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(files: I) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).collect())
    }
}

impl Tree for Memory {
    fn paths(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }
}

/// A directory on disk.
///
/// A symbolic link to a file inside the directory is that file; links to directories, and whatever leads out of
/// the directory, are not followed. Virtual environments, caches and `.git` are skipped.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Looks at a directory.
    ///
    /// # Errors
    /// When it does not exist or cannot be reached.
    pub fn new(root: &Path) -> std::io::Result<Self> {
        Ok(Self { root: root.canonicalize()? })
    }

    /// The real path of a file, where it is a regular file inside the root.
    fn inside(&self, path: &str) -> Option<PathBuf> {
        let plain = Path::new(path).components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return None;
        }
        let real = self.root.join(path).canonicalize().ok()?;
        let file = real.metadata().ok()?;
        (real.starts_with(&self.root) && file.is_file()).then_some(real)
    }

    fn walk(&self, directory: &Path, depth: usize, found: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            if found.len() >= COUNT_LIMIT {
                return;
            }
            let (Ok(kind), Ok(name)) = (entry.file_type(), entry.file_name().into_string()) else { continue };
            let path = entry.path();
            if kind.is_dir() {
                let environment = path.join("pyvenv.cfg").exists();
                if depth < DEPTH_LIMIT && !FOREIGN.contains(&name.as_str()) && !environment {
                    self.walk(&path, depth + 1, found);
                }
                continue;
            }
            let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) else { continue };
            if kind.is_file() || (kind.is_symlink() && self.inside(relative).is_some()) {
                found.push(relative.to_owned());
            }
        }
    }
}

impl Tree for Directory {
    fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&self.root, 0, &mut found);
        found.sort();
        found
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let real = self.inside(path)?;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(real).ok()?;
        if file.metadata().ok()?.len() > FILE_LIMIT {
            return None;
        }
        std::io::Read::read_to_end(&mut std::io::Read::take(file, FILE_LIMIT), &mut bytes).ok()?;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_shows_its_own_files_and_nothing_outside() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        let here = tempfile::tempdir().unwrap();
        let root = here.path();
        for directory in ["shop", ".git", "venv/lib", "my-env", "node_modules/x"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["manage.py", "shop/a.py", ".git/config", "venv/lib/b.py", "node_modules/x/c.py"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::write(root.join("my-env/pyvenv.cfg"), "").unwrap();
        fs::write(root.join("my-env/d.py"), "").unwrap();
        symlink(outside.path().join("secret"), root.join("leak")).unwrap();
        symlink(outside.path(), root.join("leaks")).unwrap();
        symlink(root.join("shop/a.py"), root.join("alias.py")).unwrap();
        symlink(root, root.join("loop")).unwrap();
        symlink("nowhere", root.join("dangling")).unwrap();
        let tree = Directory::new(root).unwrap();
        assert_eq!(tree.paths(), ["alias.py", "manage.py", "shop/a.py"]);
        assert_eq!(tree.read("alias.py").unwrap(), b"shop/a.py");
        for outside in ["leak", "leaks/secret", "../x", "/etc/passwd", "shop/../../x", "dangling", "shop"] {
            assert_eq!(tree.read(outside), None, "{outside}");
        }
    }
}
