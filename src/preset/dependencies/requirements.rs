//! Requirements files: which there are, what they name, whether it is pinned and hashed.

use std::collections::BTreeSet;

use super::{Gathered, normalise};
use crate::preset::tree::{self, Tree};

/// The requirements files of a project.
#[derive(Debug, Default, Clone)]
pub(super) struct Files {
    pub(super) production: Vec<String>,
    pub(super) development: Vec<String>,
}

/// Production's files, the likeliest first; the first that exists is taken.
const PRODUCTION: [&str; 9] = [
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements.txt",
    "requirements/requirements.txt",
    "requirements/base.txt",
    "requirements/main.txt",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements.in",
];

/// Development's files, the likeliest first. All that exist of the first kind that has one are taken.
const DEVELOPMENT: [&str; 18] = [
    "requirements-dev.txt",
    "requirements_dev.txt",
    "requirements.dev.txt",
    "dev-requirements.txt",
    "requirements-development.txt",
    "requirements/dev.txt",
    "requirements/development.txt",
    "requirements/local.txt",
    "requirements-local.txt",
    "requirements-test.txt",
    "requirements_test.txt",
    "test-requirements.txt",
    "requirements-tests.txt",
    "requirements/test.txt",
    "requirements/tests.txt",
    "requirements/testing.txt",
    "requirements/ci.txt",
    "requirements/lint.txt",
];

/// How deep one file may include another.
const DEPTH: usize = 8;

/// How many files are read in all: a loop of includes ends.
const COUNT: usize = 64;

/// Which files production and development install; `None` where there are none.
pub(super) fn files(paths: &BTreeSet<String>) -> Option<Files> {
    let there = |name: &&&str| paths.contains(**name);
    let production = PRODUCTION.iter().find(there).map(|name| (*name).to_owned());
    let development: Vec<String> = DEVELOPMENT.iter().filter(there).map(|name| (*name).to_owned()).collect();
    (production.is_some() || !development.is_empty())
        .then(|| Files { production: production.into_iter().collect(), development })
}

/// One requirement as a line names it.
#[derive(Debug)]
struct Requirement {
    name: String,
    pinned: bool,
    hashed: bool,
    /// `Some(false)` when pip-compile says that it only came along with another.
    direct: Option<bool>,
    file: String,
}

/// Reads the files; whether every requirement of production is hashed.
pub(super) fn read(tree: &dyn Tree, files: &Files, gathered: &mut Gathered) -> bool {
    let mut seen = BTreeSet::new();
    let mut hashed = true;
    let mut any = false;
    for (list, development) in [(&files.production, false), (&files.development, true)] {
        for file in list {
            let mut found = Vec::new();
            one(tree, file, DEPTH, &mut seen, &mut found, gathered);
            let asked = source_names(tree, file);
            for requirement in found {
                let came_along = match &asked {
                    Some(names) => !names.contains(&requirement.name),
                    None => requirement.direct == Some(false),
                };
                if came_along {
                    gathered.install(&requirement.name, development);
                } else {
                    gathered.ask(&requirement.name, development, &requirement.file);
                }
                if !requirement.pinned {
                    gathered.floating.insert(requirement.name.clone());
                }
                if !development {
                    any = true;
                    hashed &= requirement.hashed;
                }
            }
        }
    }
    any && hashed
}

/// The names in the `.in` file that a compiled `.txt` was made from.
fn source_names(tree: &dyn Tree, file: &str) -> Option<BTreeSet<String>> {
    let source = format!("{}.in", file.strip_suffix(".txt")?);
    let mut found = Vec::new();
    tree.read(&source)?;
    one(tree, &source, DEPTH, &mut BTreeSet::new(), &mut found, &mut Gathered::default());
    Some(found.into_iter().map(|requirement| requirement.name).collect())
}

/// Reads one file and what it includes.
fn one(
    tree: &dyn Tree,
    file: &str,
    depth: usize,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<Requirement>,
    gathered: &mut Gathered,
) {
    if seen.len() >= COUNT || !seen.insert(file.to_owned()) {
        return;
    }
    let Some(text) = tree::text(tree, file) else {
        gathered.mistakes.push(format!("{file} is included but is not there or cannot be read."));
        return;
    };
    for line in logical_lines(&text) {
        if let Some(via) = line.strip_prefix('#') {
            mark_via(via, found, file);
            continue;
        }
        let (line, comment) = match line.split_once(" #") {
            Some((line, comment)) => (line.trim(), Some(comment)),
            None => (line.as_str(), None),
        };
        if let Some(included) = option(line, &["-r", "--requirement"]) {
            include(tree, file, included, depth, seen, found, gathered);
        } else if option(line, &["-c", "--constraint"]).is_some() {
            // A constraint installs nothing; that it pins what is named elsewhere is read below.
            constrain(tree, file, option(line, &["-c", "--constraint"]).unwrap_or_default(), depth, found);
        } else if let Some(target) = option(line, &["-e", "--editable"]) {
            if let Some(name) = egg_name(target) {
                found.push(Requirement {
                    name,
                    pinned: false,
                    hashed: false,
                    direct: None,
                    file: file.into(),
                });
            }
        } else if line.starts_with('-') {
            // An option of pip (an index, a switch) names no package.
        } else if let Some(requirement) = requirement(line, file) {
            found.push(requirement);
            if let Some(comment) = comment {
                mark_via(comment, found, file);
            }
        }
    }
}

fn include(
    tree: &dyn Tree,
    from: &str,
    included: &str,
    depth: usize,
    seen: &mut BTreeSet<String>,
    found: &mut Vec<Requirement>,
    gathered: &mut Gathered,
) {
    if depth == 0 {
        gathered
            .mistakes
            .push(format!("{from} includes files more than {DEPTH} deep; the rest was not read."));
        return;
    }
    match beside(from, included) {
        Some(path) => one(tree, &path, depth - 1, seen, found, gathered),
        None => {
            gathered.mistakes.push(format!("{from} includes \"{included}\", which is outside the project."));
        }
    }
}

/// Applies a constraints file: what it pins floats no longer.
fn constrain(tree: &dyn Tree, from: &str, constraints: &str, depth: usize, found: &mut [Requirement]) {
    let Some(path) = beside(from, constraints).filter(|_| depth > 0) else { return };
    let mut pins = Vec::new();
    one(tree, &path, depth - 1, &mut BTreeSet::new(), &mut pins, &mut Gathered::default());
    for requirement in found.iter_mut() {
        if pins.iter().any(|pin| pin.pinned && pin.name == requirement.name) {
            requirement.pinned = true;
        }
    }
}

/// Lines with their continuations joined, without blank ones.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    // A constraint may stand above or below what it pins: those lines come last.
    let mut constraints = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(begun) = line.strip_suffix('\\') {
            open.push_str(begun);
            open.push(' ');
            continue;
        }
        open.push_str(line);
        let whole = std::mem::take(&mut open).trim().to_owned();
        if option(&whole, &["-c", "--constraint"]).is_some() {
            constraints.push(whole);
        } else if !whole.is_empty() {
            lines.push(whole);
        }
    }
    let open = open.trim();
    if !open.is_empty() {
        lines.push(open.to_owned());
    }
    lines.extend(constraints);
    lines
}

/// The value of an option line: `-r base.txt`, `--requirement=base.txt`, `-rbase.txt`.
fn option<'a>(line: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        let rest = line.strip_prefix(name)?;
        let long = name.starts_with("--");
        let value = match rest.chars().next()? {
            '=' => rest.get(1..)?,
            c if c.is_whitespace() => rest,
            _ if !long => rest,
            _ => return None,
        };
        Some(value.trim().trim_matches(['"', '\'']))
    })
}

/// pip-compile's `# via`: by whom the requirement above came.
fn mark_via(comment: &str, found: &mut [Requirement], file: &str) {
    let comment = comment.trim();
    let Some(last) = found.last_mut().filter(|last| last.file == file) else { return };
    let by = comment.strip_prefix("via").map(str::trim);
    let listed = last.direct.is_some() || by.is_some();
    if !listed {
        return;
    }
    let by = by.unwrap_or(comment);
    let direct =
        by.contains("-r ") || by.contains(".in") || by.contains("(pyproject") || by.contains("(setup");
    last.direct = Some(last.direct.unwrap_or(false) || direct);
}

/// A requirement of PEP 508, as far as its name, its pin and its hashes go.
fn requirement(line: &str, file: &str) -> Option<Requirement> {
    let hashed = line.contains("--hash=");
    let line = line.split(" --").next().unwrap_or(line);
    let line = line.split(';').next().unwrap_or(line).trim();
    if line.contains("://") && !line.contains(" @ ") {
        let name = egg_name(line)?;
        return Some(Requirement { name, pinned: false, hashed, direct: None, file: file.into() });
    }
    let (name, pinned) = name_and_pin(line)?;
    Some(Requirement { name, pinned, hashed, direct: None, file: file.into() })
}

/// The normalised name of a requirement and whether it is pinned to one version.
pub(super) fn name_and_pin(requirement: &str) -> Option<(String, bool)> {
    let requirement = requirement.split(';').next().unwrap_or(requirement).trim();
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let rest = rest.trim_start();
    // Extras: `psycopg[binary]==3.2.1`.
    let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |(_, rest)| rest) } else { rest };
    let rest = rest.trim().trim_matches(['(', ')']).trim();
    let pinned = match rest.strip_prefix("===").or_else(|| rest.strip_prefix("==")) {
        Some(version) => !version.contains('*') && !version.contains(',') && !version.trim().is_empty(),
        // A direct reference is exact when it carries a commit or a hash.
        None => rest.strip_prefix('@').is_some_and(names_exact_source),
    };
    Some((normalise(name), pinned))
}

/// Whether a URL names one state of the source: a hash, or a whole commit.
fn names_exact_source(url: &str) -> bool {
    let commit = url.rsplit_once('@').map_or("", |(_, after)| after);
    let commit = commit.split('#').next().unwrap_or(commit);
    url.contains("#sha256=") || (commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The name after `#egg=`.
fn egg_name(target: &str) -> Option<String> {
    let (_, egg) = target.split_once("#egg=")?;
    let end = egg.find(['&', '[', ' ']).unwrap_or(egg.len());
    Some(normalise(egg.get(..end)?)).filter(|name| !name.is_empty())
}

/// A path beside a file, inside the project; `None` when it leads out of it or is a URL.
fn beside(file: &str, path: &str) -> Option<String> {
    if path.contains("://") || path.starts_with('/') {
        return None;
    }
    let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}
