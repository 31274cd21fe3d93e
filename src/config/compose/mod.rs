//! A Compose file as a configuration: what can become roles and services, and the name of everything that can't.

mod image;
mod service;
mod write;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use super::mistake::{Mistake, Mistakes, Place};
use yaml::{Node, Value};

/// The names that Compose looks for, in its own order.
pub const FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// The files that Compose would merge into it.
pub const OVERRIDES: [&str; 4] = [
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
];

/// What a Compose file became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The configuration, as `towpath.toml` would have it.
    pub toml: String,
    /// What could not become anything, or not all of it: the line, from 1, and why.
    pub left: Vec<(u32, String)>,
}

/// What was gathered, on its way to the configuration.
#[derive(Debug, Default)]
struct Found {
    name: Option<String>,
    image: Option<String>,
    dockerfile: Option<String>,
    target: Option<String>,
    args: BTreeMap<String, String>,
    roles: BTreeMap<String, Role>,
    services: BTreeMap<String, Beside>,
    env: BTreeMap<String, String>,
    secrets: BTreeSet<String>,
    health: Option<String>,
    left: Vec<(u32, String)>,
}

#[derive(Debug, Default)]
struct Role {
    command: String,
    port: Option<u16>,
    volumes: Vec<String>,
    stop_timeout: Option<String>,
    replicas: Option<u32>,
    exclusive: bool,
}

#[derive(Debug, Default)]
struct Beside {
    image: String,
    command: Option<String>,
    env: BTreeMap<String, String>,
    ready: Option<String>,
}

impl Found {
    fn leave(&mut self, line: u32, why: impl Into<String>) {
        self.left.push((line, why.into()));
    }
}

/// Reads a Compose file. No value that looks like a secret is taken over: only its name.
///
/// # Errors
/// When it is no YAML, or no Compose file.
pub fn read(text: &str, file: &str) -> Result<Reading, Mistakes> {
    let wrong = |line: u32, message: String| {
        let cure = "Check that it is a Compose file that Compose itself reads.";
        Mistakes::new(file, vec![Mistake::new(Place { line, column: 1 }, format!("{message}."), cure)])
    };
    let root = yaml::parse(text).map_err(|(line, message)| {
        wrong(line, format!("this cannot be read: {}", super::read::shown(&message)))
    })?;
    let Some(services) = root.get("services").filter(|node| matches!(node.value, Value::Map(_))) else {
        return Err(wrong(root.line, "there are no services".to_owned()));
    };
    let mut found = Found::default();
    for (key, line, node) in root.map() {
        match key.as_str() {
            "services" | "version" | "volumes" => {}
            "name" => {
                let name = node.text().filter(|name| super::valid_name(name));
                found.name = name.map(str::to_owned);
            }
            _ if key.starts_with("x-") => {}
            _ => found.leave(*line, format!("{} has no counterpart", super::read::shown(key))),
        }
    }
    // What is built here has its image; others may run the same by its name.
    let built: BTreeSet<&str> = services
        .map()
        .iter()
        .filter(|(_, _, node)| node.get("build").is_some())
        .filter_map(|(_, _, node)| node.get("image").and_then(Node::text))
        .collect();
    let own = |node: &Node| {
        node.get("build").is_some()
            || node.get("image").and_then(Node::text).is_some_and(|image| built.contains(image))
    };
    let has_web = services.map().iter().any(|(name, _, _)| name == super::role::ROUTED);
    let mut listening = services
        .map()
        .iter()
        .filter(|(_, _, node)| own(node) && node.get("ports").is_some())
        .map(|(name, _, _)| name);
    let routed = match (has_web, listening.next(), listening.next()) {
        (false, Some(only), None) => Some(only.clone()),
        _ => None,
    };
    for (name, line, node) in services.map() {
        if own(node) {
            service::role(&mut found, name, *line, node, routed.as_ref() == Some(name));
        } else {
            image::beside(&mut found, name, *line, node);
        }
    }
    found.left.sort();
    found.left.dedup();
    Ok(Reading { toml: write::toml(&found), left: found.left })
}

/// A name that the configuration takes: `my_app` becomes `my-app`. `None` where nothing is left.
fn name_of(text: &str) -> Option<String> {
    let name: String =
        text.to_ascii_lowercase().chars().map(|c| if matches!(c, '_' | '.') { '-' } else { c }).collect();
    super::valid_name(&name).then_some(name)
}

/// The command line of `command`: a text, or words of which each is one word for a shell too.
fn command(node: &Node) -> Option<String> {
    if let Some(text) = node.text() {
        return Some(text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty());
    }
    let words: Vec<String> = node.list().iter().filter_map(Node::text).map(quoted).collect();
    (!words.is_empty() && words.len() == node.list().len()).then(|| words.join(" "))
}

fn quoted(word: &str) -> String {
    // Variables are left to the shell: $PORT is a replica's own.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%${}".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// `environment`, as a table or as a list of `NAME=value`; a name without a value is one of the shell's own.
fn environment(node: &Node) -> Vec<(String, u32, Option<String>)> {
    let of_map =
        node.map().iter().map(|(name, line, node)| (name.clone(), *line, node.text().map(str::to_owned)));
    let of_list = node.list().iter().filter_map(|item| {
        let text = item.text()?;
        Some(match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), item.line, Some(value.to_owned())),
            None => (text.to_owned(), item.line, None),
        })
    });
    of_map.chain(of_list).filter(|(name, _, _)| super::value::valid_variable(name)).collect()
}

/// Whether a value must not be copied: it looks like a secret, or its name says that it is one.
fn is_secret(name: &str, value: &str) -> bool {
    const TELLING: [&str; 7] = ["SECRET", "PASSWORD", "PASSWD", "TOKEN", "KEY", "CREDENTIAL", "DSN"];
    let upper = name.to_ascii_uppercase();
    let telling = upper.split('_').any(|word| TELLING.iter().any(|tell| word.ends_with(tell)));
    // Any login in an address counts here: whether its password is a real one nobody knows.
    let login = value.split_once("://").and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'));
    telling
        || login.is_some_and(|(login, _)| login.contains(':'))
        || super::secret::in_command(value).is_some()
        || super::secret::looks_secret(name, value).is_some()
}

/// The port inside of the container: the last number of `"127.0.0.1:80:8000/tcp"`, or a table's `target`.
fn port(node: &Node) -> Option<u16> {
    let first = node.list().first()?;
    let text = first.text().or_else(|| first.get("target").and_then(Node::text))?;
    let text = text.split('/').next()?;
    text.rsplit(':').next()?.parse().ok().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests;
