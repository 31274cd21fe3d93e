//! Requirements files as pip reads them: which ones are pinned, which have hashes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// How deep `-r` may lead; a circle ends here too.
const DEPTH: usize = 16;

/// One requirement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Its normalised name; the address where a line has no name.
    pub name: String,
    /// Whether it names one version (`==` without `*`, `===`), one commit or one archive.
    pub pinned: bool,
    /// Whether it has a hash.
    pub hashed: bool,
}

/// What requirements files hold, the ones they include among it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// In the order of the files.
    pub lines: Vec<Requirement>,
    /// Every file that was read, the included ones too.
    pub files: Vec<PathBuf>,
}

impl Requirements {
    /// Reads files with what they include (`-r`; a constraint file is part of the lock too).
    ///
    /// # Errors
    /// When one of them can't be read.
    pub fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<Self> {
        let mut all = Self::default();
        let mut pins = BTreeSet::new();
        for file in files {
            all.add(file, false, 0, &mut pins)?;
        }
        // A constraint file pins what the requirement leaves open.
        for line in &mut all.lines {
            line.pinned |= pins.contains(&line.name);
        }
        Ok(all)
    }

    /// Reads single lines, without what they include.
    pub fn of_lines<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Self {
        let lines = lines.into_iter().filter_map(|line| {
            let line = line.as_ref().trim();
            (!line.starts_with('#')).then(|| parse(line)).flatten()
        });
        Self { lines: lines.collect(), files: Vec::new() }
    }

    fn add(
        &mut self,
        file: &Path,
        constraint: bool,
        depth: usize,
        pins: &mut BTreeSet<String>,
    ) -> anyhow::Result<()> {
        if depth > DEPTH || self.files.iter().any(|known| known == file) {
            return Ok(());
        }
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("could not read the requirements file {}", file.display()))?;
        self.files.push(file.to_owned());
        let directory = file.parent().unwrap_or(Path::new("."));
        for line in logical_lines(&text) {
            if let Some((included, of_constraints)) = include(&line) {
                self.add(&directory.join(included), constraint || of_constraints, depth + 1, pins)?;
            } else if let Some(requirement) = parse(&line) {
                if !constraint {
                    self.lines.push(requirement);
                } else if requirement.pinned {
                    pins.insert(requirement.name);
                }
            }
        }
        Ok(())
    }

    /// Names of the ones that name no version, sorted, each once.
    #[must_use]
    pub fn floating(&self) -> Vec<String> {
        let names: BTreeSet<&String> =
            self.lines.iter().filter(|line| !line.pinned).map(|line| &line.name).collect();
        names.into_iter().cloned().collect()
    }

    /// Whether pip will want a hash for each (one is enough for it to want all).
    #[must_use]
    pub fn hashed(&self) -> bool {
        self.lines.iter().any(|line| line.hashed)
    }
}

/// A name as indexes compare them: lower case, runs of `-`, `_`, `.` as one `-`.
#[must_use]
pub fn normalised(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for letter in name.trim().chars() {
        match letter {
            '-' | '_' | '.' if text.ends_with('-') => {}
            '-' | '_' | '.' => text.push('-'),
            letter => text.push(letter.to_ascii_lowercase()),
        }
    }
    text
}

/// Lines with continuations joined and comments taken off.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = if line.trim_start().starts_with('#') {
            ""
        } else {
            line.find(" #").map_or(line, |at| line.get(..at).unwrap_or(line))
        };
        match line.trim_end().strip_suffix('\\') {
            Some(begun) => {
                open.push_str(begun);
                open.push(' ');
            }
            None => {
                open.push_str(line);
                let whole = std::mem::take(&mut open);
                if !whole.trim().is_empty() {
                    lines.push(whole.trim().to_owned());
                }
            }
        }
    }
    if !open.trim().is_empty() {
        lines.push(open.trim().to_owned());
    }
    lines
}

/// The file that a line includes, and whether it holds constraints.
fn include(line: &str) -> Option<(&str, bool)> {
    let options = [("--requirement", false), ("-r", false), ("--constraint", true), ("-c", true)];
    options.into_iter().find_map(|(option, constraints)| {
        let rest = line.strip_prefix(option)?;
        let path = if option.starts_with("--") {
            rest.strip_prefix('=').or_else(|| rest.strip_prefix(' '))?
        } else {
            rest
        };
        Some((path.trim(), constraints))
    })
}

/// One requirement; `None` for an option (`--index-url …`).
fn parse(line: &str) -> Option<Requirement> {
    let hashed = line.contains("--hash");
    let line = line.split(" --").next().unwrap_or(line).trim();
    let (line, editable) = match line.strip_prefix("-e ").or_else(|| line.strip_prefix("--editable")) {
        Some(rest) => (rest.trim_start_matches('=').trim(), true),
        None => (line, false),
    };
    if line.is_empty() || (line.starts_with('-') && !editable) {
        return None;
    }
    let line = line.split(';').next().unwrap_or(line).trim();
    if let Some((name, address)) = line.split_once('@').filter(|(name, _)| is_name(name)) {
        let name = name.split('[').next().unwrap_or(name);
        return Some(Requirement {
            name: normalised(name),
            pinned: hashed || address_is_fixed(address),
            hashed,
        });
    }
    if line.contains("://") || line.starts_with(['.', '/']) || line.contains('/') {
        let name = line.split("egg=").nth(1).map_or(line, |name| name.split('&').next().unwrap_or(name));
        // A path inside the repository is as fixed as the commit is.
        let fixed = !line.contains("://") || address_is_fixed(line);
        return Some(Requirement { name: name.to_owned(), pinned: hashed || fixed, hashed });
    }
    let end = line.find(|letter: char| "=<>!~([ ".contains(letter)).unwrap_or(line.len());
    let name = line.get(..end).unwrap_or(line);
    let versions = line.get(end..).unwrap_or_default();
    let versions = versions.split(']').next_back().unwrap_or(versions);
    let pinned = versions
        .split([',', '(', ')'])
        .any(|version| version.trim().strip_prefix("==").is_some_and(|version| !version.contains('*')));
    Some(Requirement { name: normalised(name), pinned, hashed })
}

fn is_name(text: &str) -> bool {
    let name = text.split('[').next().unwrap_or(text).trim();
    !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
}

/// A git address with a whole commit in it, or an archive (whose name carries its version).
fn address_is_fixed(address: &str) -> bool {
    let address = address.split('#').next().unwrap_or(address).trim();
    match address.rsplit_once('@') {
        Some((_, revision)) if address.contains("git+") => {
            revision.len() >= 40 && revision.chars().all(|letter| letter.is_ascii_hexdigit())
        }
        _ => !address.contains('+'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_read_as_pip_reads_it() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        let git = format!("-e git+https://git.example/thing@{sha}#egg=thing");
        type Read<'a> = Option<(&'a str, bool, bool)>;
        let cases: [(&str, Read<'_>); 18] = [
            ("Django==5.2.1", Some(("django", true, false))),
            ("django", Some(("django", false, false))),
            ("django>=5,<6", Some(("django", false, false))),
            ("django~=5.2", Some(("django", false, false))),
            ("django==5.*", Some(("django", false, false))),
            ("psycopg[binary,pool]==3.2.1 ; python_version >= '3.8'", Some(("psycopg", true, false))),
            ("psycopg[binary]", Some(("psycopg", false, false))),
            ("zope.interface===1.0", Some(("zope-interface", true, false))),
            ("a == 1.0", Some(("a", true, false))),
            ("a==1 --hash=sha256:00", Some(("a", true, true))),
            ("--index-url https://index.example/simple", None),
            ("-i https://index.example/simple", None),
            ("thing @ git+https://git.example/thing@main", Some(("thing", false, false))),
            (git.as_str(), Some(("thing", true, false))),
            ("git+https://git.example/thing@v1#egg=thing", Some(("thing", false, false))),
            ("thing @ https://files.example/thing-1.0.whl", Some(("thing", true, false))),
            ("./vendored/thing", Some(("./vendored/thing", true, false))),
            ("--no-binary :all:", None),
        ];
        for (line, wanted) in cases {
            let wanted =
                wanted.map(|(name, pinned, hashed)| Requirement { name: name.into(), pinned, hashed });
            assert_eq!(parse(line), wanted, "{line}");
        }
    }

    #[test]
    fn files_include_files_and_constraints_pin() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "base.txt",
            "# a comment\nDjango==5.2 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\nredis\n",
        );
        write("pins.txt", "celery==5.4\n");
        write("dev.txt", "-r base.txt\n-c pins.txt\ncelery # queue\npytest>=8\n-r dev.txt\n");
        let found = Requirements::read([dir.path().join("dev.txt").as_path()]).unwrap();
        let names: Vec<&str> = found.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["django", "redis", "celery", "pytest"]);
        assert_eq!(found.floating(), ["pytest", "redis"]);
        assert!(found.hashed());
        assert_eq!(found.files.len(), 3);
    }

    #[test]
    fn an_included_file_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "-r gone.txt\n").unwrap();
        let error = Requirements::read([dir.path().join("a.txt").as_path()]).unwrap_err();
        assert!(error.to_string().contains("gone.txt"), "{error}");
    }
}
