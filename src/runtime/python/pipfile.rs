//! `Pipfile.lock` as a requirements file, and whether it is still the lock of its `Pipfile`.

use anyhow::Context as _;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::domain::plan::hex;

/// A lock as requirement lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The file's text.
    pub text: String,
    /// Names of packages that the lock has no hash for (git, paths). Where there is one, no line has a hash:
    /// pip wants all or none.
    pub unhashed: Vec<String>,
}

/// Makes the requirements: production ones, or with the development ones.
///
/// # Errors
/// When the lock isn't what pipenv writes.
pub fn requirements(lock: &str, development: bool) -> anyhow::Result<Generated> {
    let lock: Value = serde_json::from_str(lock).context("Pipfile.lock is not JSON")?;
    let mut packages: Map<String, Value> = Map::new();
    for section in ["develop", "default"].iter().skip(usize::from(!development)) {
        if let Some(section) = lock.get(section).and_then(Value::as_object) {
            packages.extend(section.clone());
        }
    }
    let mut text = String::new();
    let sources =
        lock.pointer("/_meta/sources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    // The one named `pypi` is whatever index this machine's pip is configured for, a mirror included.
    for source in sources.iter().filter(|source| string(source, "name") != Some("pypi")) {
        if let Some(url) = string(source, "url") {
            text.push_str(&format!("--extra-index-url {url}\n"));
        }
    }
    let unhashed: Vec<String> =
        packages.iter().filter(|(_, entry)| hashes(entry).is_empty()).map(|(name, _)| name.clone()).collect();
    for (name, entry) in &packages {
        text.push_str(&line(name, entry)?);
        if unhashed.is_empty() {
            for hash in hashes(entry) {
                text.push_str(&format!(" --hash={hash}"));
            }
        }
        text.push('\n');
    }
    Ok(Generated { text, unhashed })
}

fn line(name: &str, entry: &Value) -> anyhow::Result<String> {
    let extras = entry.get("extras").and_then(Value::as_array).map_or(String::new(), |extras| {
        format!("[{}]", extras.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
    });
    let marker = string(entry, "markers").map_or(String::new(), |marker| format!(" ; {marker}"));
    if let Some(git) = string(entry, "git") {
        let revision = string(entry, "ref").map_or(String::new(), |revision| format!("@{revision}"));
        let folder =
            string(entry, "subdirectory").map_or(String::new(), |path| format!("#subdirectory={path}"));
        let git = git.strip_prefix("git+").unwrap_or(git);
        return Ok(format!("{name}{extras} @ git+{git}{revision}{folder}{marker}"));
    }
    if let Some(file) = string(entry, "file") {
        return Ok(format!("{name}{extras} @ {file}{marker}"));
    }
    if let Some(path) = string(entry, "path") {
        return Ok(format!("{path}{extras}{marker}"));
    }
    match string(entry, "version") {
        Some(version) if version != "*" => Ok(format!("{name}{extras}{version}{marker}")),
        _ => anyhow::bail!("Pipfile.lock names no version of {name}; run `pipenv lock` and commit it"),
    }
}

fn string<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn hashes(entry: &Value) -> Vec<&str> {
    entry
        .get("hashes")
        .and_then(Value::as_array)
        .map_or(Vec::new(), |hashes| hashes.iter().filter_map(Value::as_str).collect())
}

/// Whether the lock was made from this `Pipfile`, as pipenv itself decides it (SHA-256 of the Pipfile's JSON);
/// `None` when that can't be said.
#[must_use]
pub fn is_fresh(pipfile: &str, lock: &str) -> Option<bool> {
    let lock: Value = serde_json::from_str(lock).ok()?;
    let wanted = lock.pointer("/_meta/hash/sha256")?.as_str()?.to_owned();
    let table: toml::Table = pipfile.parse().ok()?;
    let get = |key: &str| table.get(key).and_then(|value| serde_json::to_value(value).ok());
    let empty = || Value::Object(Map::new());
    let mut data = Map::new();
    let meta = [("requires", get("requires").unwrap_or_else(empty)), ("sources", get("source")?)];
    data.insert("_meta".into(), meta.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    data.insert("default".into(), get("packages").unwrap_or_else(empty));
    data.insert("develop".into(), get("dev-packages").unwrap_or_else(empty));
    for key in table.keys() {
        let known = ["source", "requires", "packages", "dev-packages", "default", "develop"];
        if !known.contains(&key.as_str()) && !["pipenv", "scripts", "pipfile"].contains(&key.as_str()) {
            data.insert(key.clone(), get(key)?);
        }
    }
    let json = Value::Object(data).to_string();
    // Python's JSON is ASCII with escapes; a Pipfile beyond ASCII is not judged.
    json.is_ascii().then(|| hex(&Sha256::digest(json.as_bytes())) == wanted)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A Pipfile, and the lock that pipenv made of it (the index's name made neutral, the hash accordingly).
    pub(in super::super) const PIPFILE: &str = r#"[[source]]
url = "https://index.example/simple"
verify_ssl = true
name = "pypi"

[packages]
asgiref = "==3.8.1"

[dev-packages]
sqlparse = "==0.5.1"

[requires]
python_version = "3.11"
"#;
    pub(in super::super) const LOCK: &str = r#"{
    "_meta": {
        "hash": {
            "sha256": "99613abe8e70fa78aeaf3d35946ce333bb1109db43e9d2fb0e3be020690c759e"
        },
        "pipfile-spec": 6,
        "requires": {
            "python_version": "3.11"
        },
        "sources": [
            {
                "name": "pypi",
                "url": "https://index.example/simple",
                "verify_ssl": true
            }
        ]
    },
    "default": {
        "asgiref": {
            "hashes": [
                "sha256:3e1e3ecc849832fe52ccf2cb6686b7a55f82bb1d6aee72a58826471390335e47",
                "sha256:c343bd80a0bec947a9860adb4c432ffa7db769836c64238fc34bdc3fec84d590"
            ],
            "index": "pypi",
            "markers": "python_version >= '3.8'",
            "version": "==3.8.1"
        }
    },
    "develop": {
        "sqlparse": {
            "hashes": [
                "sha256:773dcbf9a5ab44a090f3441e2180efe2560220203dc2f8c0b0fa141e18b505e4",
                "sha256:bb6b4df465655ef332548e24f08e205afc81b9ab86cb1c45657a7ff173a3a00e"
            ],
            "index": "pypi",
            "markers": "python_version >= '3.8'",
            "version": "==0.5.1"
        }
    }
}
"#;

    #[test]
    fn a_lock_becomes_hashed_requirements() {
        let made = requirements(LOCK, false).unwrap();
        assert_eq!(made.unhashed, Vec::<String>::new());
        assert!(
            made.text.starts_with("asgiref==3.8.1 ; python_version >= '3.8' --hash=sha256:3e1e"),
            "{}",
            made.text
        );
        assert!(!made.text.contains("sqlparse"));
        assert!(requirements(LOCK, true).unwrap().text.contains("sqlparse==0.5.1 ;"));
    }

    #[test]
    fn one_package_without_a_hash_takes_all_hashes_away_and_is_named() {
        let git = r#"{"_meta": {"sources": [{"name": "ours", "url": "https://ours.example/simple"}]}, "default": {
            "thing": {"git": "https://git.example/thing", "ref": "0123", "extras": ["a"]},
            "local": {"path": "./vendored"},
            "b": {"version": "==1", "hashes": ["sha256:00"]}}}"#;
        let made = requirements(git, false).unwrap();
        assert_eq!(made.unhashed, ["local", "thing"]);
        let wanted = "--extra-index-url https://ours.example/simple\nb==1\n./vendored\nthing[a] @ git+https://git.example/thing@0123\n";
        assert_eq!(made.text, wanted);
    }

    #[test]
    fn the_lock_is_fresh_only_for_its_own_pipfile() {
        assert_eq!(is_fresh(PIPFILE, LOCK), Some(true));
        assert_eq!(is_fresh(&PIPFILE.replace("==3.8.1", "==3.8.0"), LOCK), Some(false));
        assert_eq!(is_fresh("nonsense =", LOCK), None);
    }
}
