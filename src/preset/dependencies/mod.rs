//! How a project names what it depends on.

mod lock;
mod requirements;

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{self, Tree};

/// Which files say what is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manager {
    /// `uv.lock`.
    Uv,
    /// `poetry.lock`.
    Poetry,
    /// `Pipfile.lock`.
    Pipenv,
    /// Requirements files.
    Requirements {
        /// The files that production installs, in order.
        production: Vec<String>,
        /// The files that development installs besides.
        development: Vec<String>,
        /// Whether every requirement of the production files carries a hash.
        hashed: bool,
    },
    /// `pyproject.toml` alone: nothing is locked.
    Pyproject,
    /// Nothing was found.
    None,
}

impl Manager {
    /// What it is called on screen.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Uv => "uv.lock".into(),
            Self::Poetry => "poetry.lock".into(),
            Self::Pipenv => "Pipfile.lock".into(),
            Self::Requirements { production, development, hashed } => {
                let hashed = if *hashed { " (hashed)" } else { "" };
                let files: Vec<&str> = production.iter().chain(development).map(String::as_str).collect();
                format!("{}{hashed}", files.join(", "))
            }
            Self::Pyproject => "pyproject.toml, nothing locked".into(),
            Self::None => "none".into(),
        }
    }
}

/// What a project depends on, as its files say. Names are normalised ([`normalise`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependencies {
    /// Which files are to be installed.
    pub manager: Manager,
    /// Everything that production installs, as far as the files name it.
    pub production: BTreeSet<String>,
    /// What development installs besides.
    pub development: BTreeSet<String>,
    /// What the project itself asks for, each with the file that does; not what only came along with something
    /// else (isort comes with pylint, and is no sign that the project sorts its imports).
    pub direct: BTreeMap<String, String>,
    /// Requirements without an exact version, by name, where nothing locks them; sorted.
    pub floating: Vec<String>,
    /// The wanted interpreter, e.g. `3.12`.
    pub python: Option<String>,
    /// Where `python` was found, in words.
    pub python_from: String,
    /// What could not be read, in sentences.
    pub mistakes: Vec<String>,
}

impl Dependencies {
    /// Whether a package is installed for production or for development.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.production.contains(name) || self.development.contains(name)
    }
}

/// A package's name as PEP 503 compares it: lower case, runs of `-`, `_`, `.` as one `-`.
#[must_use]
pub fn normalise(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.trim().chars() {
        if matches!(c, '-' | '_' | '.') {
            if !normal.ends_with('-') {
                normal.push('-');
            }
        } else {
            normal.extend(c.to_lowercase());
        }
    }
    normal
}

/// What is gathered while files are read.
#[derive(Debug, Default)]
struct Gathered {
    production: BTreeSet<String>,
    development: BTreeSet<String>,
    direct: BTreeMap<String, String>,
    floating: BTreeSet<String>,
    mistakes: Vec<String>,
}

impl Gathered {
    fn ask(&mut self, name: &str, development: bool, from: &str) {
        self.direct.entry(name.to_owned()).or_insert_with(|| from.to_owned());
        self.install(name, development);
    }

    fn install(&mut self, name: &str, development: bool) {
        let set = if development { &mut self.development } else { &mut self.production };
        set.insert(name.to_owned());
    }
}

/// Reads what a project depends on. Never fails: what cannot be read is in `mistakes`.
#[must_use]
pub fn detect(tree: &dyn Tree) -> Dependencies {
    let mut gathered = Gathered::default();
    let pyproject = read_toml(tree, "pyproject.toml", &mut gathered.mistakes).unwrap_or_default();
    let paths: BTreeSet<String> = tree.paths().into_iter().collect();
    let manager = if paths.contains("uv.lock") {
        lock::uv(tree, &pyproject, &mut gathered);
        Manager::Uv
    } else if paths.contains("poetry.lock") {
        lock::poetry(tree, &pyproject, &mut gathered);
        Manager::Poetry
    } else if paths.contains("Pipfile.lock") {
        lock::pipenv(tree, &mut gathered);
        Manager::Pipenv
    } else if let Some(files) = requirements::files(&paths) {
        let hashed = requirements::read(tree, &files, &mut gathered);
        // Tools may be named in pyproject's groups although the requirements files are what is installed; then
        // they are not installed, and naming them would be wrong. So nothing of pyproject is added here.
        Manager::Requirements { production: files.production, development: files.development, hashed }
    } else if lock::pyproject(&pyproject, &mut gathered) {
        Manager::Pyproject
    } else {
        Manager::None
    };
    let (python, python_from) = match python(tree, &pyproject, &mut gathered.mistakes) {
        Some((version, from)) => (Some(version), from.to_owned()),
        None => (None, String::new()),
    };
    let Gathered { production, mut development, direct, floating, mistakes } = gathered;
    development.retain(|name| !production.contains(name));
    Dependencies {
        manager,
        production,
        development,
        direct,
        floating: floating.into_iter().collect(),
        python,
        python_from,
        mistakes,
    }
}

/// A TOML file of a tree as a table.
pub(super) fn read_toml(tree: &dyn Tree, path: &str, mistakes: &mut Vec<String>) -> Option<toml::Table> {
    let text = tree::text(tree, path)?;
    match text.parse::<toml::Table>() {
        Ok(table) => Some(table),
        Err(error) => {
            let what = error.message().replace('\n', ", ");
            mistakes.push(format!("{path} is not TOML: {}.", what.trim_end_matches('.')));
            None
        }
    }
}

/// Walks down a table by keys.
pub(super) fn at<'t>(table: &'t toml::Table, path: &[&str]) -> Option<&'t toml::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(*key))
}

/// The wanted interpreter and where it is said: the most exact word first.
fn python(
    tree: &dyn Tree,
    pyproject: &toml::Table,
    mistakes: &mut Vec<String>,
) -> Option<(String, &'static str)> {
    if let Some(text) = tree::text(tree, ".python-version") {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let version = line.map(|line| line.trim_start_matches("cpython-").trim_start_matches("cpython@"));
        if let Some(version) = version.and_then(version_of) {
            return Some((version, ".python-version"));
        }
        mistakes.push(".python-version names no Python 3 version.".into());
    }
    let written = [
        (&["project", "requires-python"][..], "requires-python in pyproject.toml"),
        (
            &["tool", "poetry", "dependencies", "python"][..],
            "tool.poetry.dependencies.python in pyproject.toml",
        ),
    ];
    for (path, from) in written {
        let bounds = at(pyproject, path).and_then(toml::Value::as_str);
        if let Some(version) = bounds.and_then(lower_bound) {
            return Some((version, from));
        }
    }
    let pipfile = read_toml(tree, "Pipfile", mistakes)?;
    let requires = pipfile.get("requires")?;
    let version = ["python_full_version", "python_version"]
        .iter()
        .find_map(|key| requires.get(*key).and_then(toml::Value::as_str).and_then(version_of))?;
    Some((version, "Pipfile"))
}

/// `3.12` or `3.12.4` at the beginning of a text.
fn version_of(text: &str) -> Option<String> {
    let version: String = text.trim().chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let version = version.trim_end_matches('.');
    let parts: Vec<&str> = version.split('.').collect();
    let sound = (2..=3).contains(&parts.len()) && parts.iter().all(|part| (1..=3).contains(&part.len()));
    (sound && parts.first() == Some(&"3")).then(|| version.to_owned())
}

/// The lowest version that a specifier allows: `>=3.11,<4`, `^3.12`, `~3.12`, `==3.12.*`, `3.12.*`.
fn lower_bound(specifier: &str) -> Option<String> {
    specifier.split([',', '|']).map(str::trim).find_map(|part| {
        let bound = ["===", "==", ">=", "~=", "^", "~"].iter().find_map(|sign| part.strip_prefix(sign));
        let bare = part.starts_with(|c: char| c.is_ascii_digit());
        version_of(bound.or(bare.then_some(part))?)
    })
}

#[cfg(test)]
mod tests;
