//! Lock files and `pyproject.toml`.

use std::collections::{BTreeMap, BTreeSet};

use super::requirements::name_and_pin;
use super::{Gathered, at, normalise, read_toml};
use crate::preset::tree::{self, Tree};

/// Names with the names that each brings along.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// What a project asks for in its `pyproject.toml`.
#[derive(Debug, Default)]
struct Asked {
    production: Vec<(String, bool)>,
    development: Vec<(String, bool)>,
}

/// `uv.lock`, with `pyproject.toml` for what was asked for.
pub(super) fn uv(tree: &dyn Tree, pyproject: &toml::Table, gathered: &mut Gathered) {
    let Some(lock) = read_toml(tree, "uv.lock", &mut gathered.mistakes) else { return };
    let mut graph = Graph::new();
    let mut production = BTreeSet::new();
    let mut development = BTreeSet::new();
    for package in packages(&lock) {
        let Some(name) = name_of(package) else { continue };
        let root = package.get("source").is_some_and(|source| {
            [source.get("virtual"), source.get("editable")]
                .into_iter()
                .flatten()
                .any(|path| path.as_str() == Some("."))
        });
        let brings = names(package.get("dependencies"));
        if root {
            production.extend(brings);
            for table in ["dev-dependencies", "optional-dependencies"] {
                let groups = package.get(table).and_then(toml::Value::as_table);
                development.extend(groups.into_iter().flatten().flat_map(|(_, list)| names(Some(list))));
            }
        } else {
            graph.insert(name, brings);
        }
    }
    let asked = asked(pyproject);
    if production.is_empty() && development.is_empty() {
        production.extend(asked.production.into_iter().map(|(name, _)| name));
        development.extend(asked.development.into_iter().map(|(name, _)| name));
    }
    spread(&graph, &production, &development, "uv.lock", gathered);
}

/// `poetry.lock`, with `pyproject.toml` for what was asked for.
pub(super) fn poetry(tree: &dyn Tree, pyproject: &toml::Table, gathered: &mut Gathered) {
    let Some(lock) = read_toml(tree, "poetry.lock", &mut gathered.mistakes) else { return };
    let mut graph = Graph::new();
    for package in packages(&lock) {
        let Some(name) = name_of(package) else { continue };
        let brings = package.get("dependencies").and_then(toml::Value::as_table);
        graph.insert(name, brings.into_iter().flatten().map(|(name, _)| normalise(name)).collect());
    }
    let asked = asked(pyproject);
    let production = asked.production.into_iter().map(|(name, _)| name).collect();
    let development = asked.development.into_iter().map(|(name, _)| name).collect();
    spread(&graph, &production, &development, "pyproject.toml", gathered);
    // Poetry 2 says itself in which groups a package is, Poetry before 1.3 in which category.
    for package in packages(&lock) {
        let Some(name) = name_of(package) else { continue };
        let groups = package.get("groups").and_then(toml::Value::as_array);
        let main = groups.map(|groups| groups.iter().any(|group| group.as_str() == Some("main")));
        let category = package.get("category").and_then(toml::Value::as_str).map(|word| word == "main");
        let known = gathered.production.contains(&name) || gathered.development.contains(&name);
        match main.or(category) {
            Some(main) => gathered.install(&name, !main),
            None if !known => gathered.install(&name, true),
            None => {}
        }
    }
}

/// `Pipfile.lock`, with `Pipfile` for what was asked for.
pub(super) fn pipenv(tree: &dyn Tree, gathered: &mut Gathered) {
    let Some(text) = tree::text(tree, "Pipfile.lock") else { return };
    let lock: serde_json::Value = match serde_json::from_str(&text) {
        Ok(lock) => lock,
        Err(error) => {
            gathered.mistakes.push(format!("Pipfile.lock is not JSON: {error}."));
            return;
        }
    };
    let pipfile = read_toml(tree, "Pipfile", &mut gathered.mistakes);
    for (section, table, development) in [("default", "packages", false), ("develop", "dev-packages", true)] {
        let asked: Option<BTreeSet<String>> = pipfile.as_ref().map(|pipfile| {
            let table = pipfile.get(table).and_then(toml::Value::as_table);
            table.into_iter().flatten().map(|(name, _)| normalise(name)).collect()
        });
        let locked = lock.get(section).and_then(serde_json::Value::as_object);
        for name in locked.into_iter().flatten().map(|(name, _)| normalise(name)) {
            if asked.as_ref().is_none_or(|asked| asked.contains(&name)) {
                gathered.ask(&name, development, "Pipfile");
            } else {
                gathered.install(&name, development);
            }
        }
    }
}

/// `pyproject.toml` alone; whether it names any dependency or project at all.
pub(super) fn pyproject(pyproject: &toml::Table, gathered: &mut Gathered) -> bool {
    let asked = asked(pyproject);
    for (list, development) in [(asked.production, false), (asked.development, true)] {
        for (name, pinned) in list {
            gathered.ask(&name, development, "pyproject.toml");
            if !pinned {
                gathered.floating.insert(name);
            }
        }
    }
    pyproject.contains_key("project")
        || pyproject.contains_key("dependency-groups")
        || at(pyproject, &["tool", "poetry", "dependencies"]).is_some()
}

/// What `pyproject.toml` asks for: PEP 621, PEP 735, Poetry's and uv's tables.
fn asked(pyproject: &toml::Table) -> Asked {
    let mut asked = Asked::default();
    let strings = |value: Option<&toml::Value>| -> Vec<(String, bool)> {
        let list = value.and_then(toml::Value::as_array);
        list.into_iter().flatten().filter_map(toml::Value::as_str).filter_map(name_and_pin).collect()
    };
    asked.production.extend(strings(at(pyproject, &["project", "dependencies"])));
    for path in [&["project", "optional-dependencies"][..], &["dependency-groups"][..]] {
        let groups = at(pyproject, path).and_then(toml::Value::as_table);
        for (_, list) in groups.into_iter().flatten() {
            asked.development.extend(strings(Some(list)));
        }
    }
    asked.development.extend(strings(at(pyproject, &["tool", "uv", "dev-dependencies"])));
    let poetry = |value: Option<&toml::Value>| -> Vec<(String, bool)> {
        let table = value.and_then(toml::Value::as_table);
        let named = table.into_iter().flatten().filter(|(name, _)| name.as_str() != "python");
        named.map(|(name, wanted)| (normalise(name), poetry_pin(wanted))).collect()
    };
    asked.production.extend(poetry(at(pyproject, &["tool", "poetry", "dependencies"])));
    asked.development.extend(poetry(at(pyproject, &["tool", "poetry", "dev-dependencies"])));
    let groups = at(pyproject, &["tool", "poetry", "group"]).and_then(toml::Value::as_table);
    for (_, group) in groups.into_iter().flatten() {
        asked.development.extend(poetry(group.get("dependencies")));
    }
    asked
}

/// Whether Poetry's word for a version is one version.
fn poetry_pin(wanted: &toml::Value) -> bool {
    let version =
        wanted.as_str().or_else(|| wanted.get("version").and_then(toml::Value::as_str)).unwrap_or("*");
    let version = version.trim().trim_start_matches("==").trim();
    version.starts_with(|c: char| c.is_ascii_digit()) && !version.contains(['*', ',', '<', '>'])
}

fn packages(lock: &toml::Table) -> impl Iterator<Item = &toml::Value> {
    lock.get("package").and_then(toml::Value::as_array).into_iter().flatten()
}

fn name_of(package: &toml::Value) -> Option<String> {
    package.get("name").and_then(toml::Value::as_str).map(normalise)
}

/// The names in a list of `{ name = "…" }`.
fn names(list: Option<&toml::Value>) -> BTreeSet<String> {
    list.and_then(toml::Value::as_array).into_iter().flatten().filter_map(name_of).collect()
}

/// Installs what was asked for and all that it brings along.
fn spread(
    graph: &Graph,
    production: &BTreeSet<String>,
    development: &BTreeSet<String>,
    from: &str,
    gathered: &mut Gathered,
) {
    for (asked, is_development) in [(production, false), (development, true)] {
        let mut open: Vec<&String> = asked.iter().collect();
        let mut seen: BTreeSet<&String> = asked.iter().collect();
        for name in asked {
            gathered.ask(name, is_development, from);
        }
        while let Some(name) = open.pop() {
            for brought in graph.get(name).into_iter().flatten() {
                if seen.insert(brought) {
                    open.push(brought);
                    gathered.install(brought, is_development);
                }
            }
        }
    }
}
