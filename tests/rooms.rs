//! The map of the house in `lib.rs` is kept true: which room may use which is read from the source itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which rooms each room may use, as `lib.rs` draws it. `store::layout` and `store::segment` are doors of their own.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("domain", vec![]),
        ("text", vec![]),
        ("config", vec!["domain", "text"]),
        ("preset", vec!["domain", "config", "text"]),
        ("git", vec!["domain", "text"]),
        ("store", vec!["domain", "text"]),
        ("secret", vec!["domain", "text"]),
        ("probe", vec!["domain", "text"]),
        ("router", vec!["domain", "text", "store::durable", "store::StoreError", "probe", "docker"]),
        ("docker", vec!["domain", "text"]),
        ("runtime", vec!["domain", "preset", "text", "secret", "git", "store", "probe", "router", "docker"]),
        ("wire", vec!["domain", "store::layout"]),
        (
            "engine",
            vec![
                "domain", "config", "preset", "text", "secret", "git", "store", "runtime", "probe", "router",
                "docker", "wire",
            ],
        ),
        ("tui", vec!["domain", "text", "wire", "store::segment"]),
        (
            "demo",
            vec![
                "domain", "text", "config", "preset", "git", "secret", "store", "runtime", "probe", "router",
                "docker", "wire", "engine", "print", "cli",
            ],
        ),
        ("print", vec!["domain", "text", "wire", "store::segment"]),
    ])
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Every `crate::room` and `crate::room::inner` that a source names outside of comments.
fn named_rooms(source: &str) -> BTreeSet<String> {
    let code =
        source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let path: String =
            rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        let mut parts = path.split("::");
        if let Some(room) = parts.next() {
            let inner = parts.next().unwrap_or_default();
            rooms.insert(format!("{room}::{inner}"));
        }
    }
    rooms
}

#[test]
fn every_room_uses_only_what_the_map_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut trespasses = Vec::new();
    for (room, may_use) in allowed() {
        for path in sources(&root.join(room)) {
            let source = std::fs::read_to_string(&path).unwrap();
            for named in named_rooms(&source) {
                let (other, _) = named.split_once("::").unwrap();
                let is_room = root.join(other).is_dir();
                if is_room && other != room && !may_use.contains(&other) && !may_use.contains(&named.as_str())
                {
                    trespasses.push(format!("{} uses {named}", path.strip_prefix(&root).unwrap().display()));
                }
            }
        }
    }
    assert!(trespasses.is_empty(), "{}", trespasses.join("\n"));
}

#[test]
fn the_domain_reads_no_clock_and_touches_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/domain");
    let forbidden =
        ["std::fs", "std::net", "std::process", "std::env", "SystemTime", "Instant", "tokio", "rusqlite"];
    for path in sources(&root) {
        let source = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for word in forbidden {
            assert!(!code.iter().any(|line| line.contains(word)), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_map_in_the_crate_doc_names_every_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = std::fs::read_to_string(root.join("lib.rs")).unwrap();
    for room in allowed().keys().chain(["cli"].iter()) {
        assert!(map.contains(&format!("[`{room}`]")), "{room} is not on the map");
    }
}
