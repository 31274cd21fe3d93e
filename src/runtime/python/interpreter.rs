//! Which Python: a candidate counts only when it really runs and says its version itself (a pyenv shim exists
//! for every version that was ever installed, and fails for most).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::domain::plan::{Cause, hash_of};

/// How long an interpreter may take to say who it is. A cold start from a slow disk takes about 2 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an interpreter says of itself, and nothing else: `-I` keeps user and project out of it.
const ASK: &str = "\
import json, os, platform, sys, sysconfig
try:
    import venv, ensurepip
    makes = True
except ImportError:
    makes = False
base = getattr(sys, '_base_executable', None) or sys.executable
print(json.dumps({'version': platform.python_version(), 'implementation': sys.implementation.name,
    'executable': os.path.realpath(base), 'platform': sysconfig.get_platform(),
    'tag': sys.implementation.cache_tag or '', 'makes_venvs': makes}))";

/// An interpreter that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// All of its version, e.g. `3.12.1`.
    pub version: String,
    /// `cpython`, `pypy`.
    pub implementation: String,
    /// Its real path; never a shim, never a virtual environment's link.
    pub executable: PathBuf,
    /// What its wheels are built for, e.g. `linux-x86_64`.
    pub platform: String,
    /// The tag of its bytecode, e.g. `cpython-312`.
    pub tag: String,
    /// Whether it brings `venv` and `ensurepip` (Debian ships them apart).
    pub makes_venvs: bool,
}

impl Interpreter {
    /// What is part of an artifact's identity: version, implementation, platform and real path.
    #[must_use]
    pub fn identity(&self) -> String {
        hash_of(&(&self.version, &self.implementation, &self.platform, &self.executable))
    }

    /// The fact on screen: `Python 3.12.1`, with the implementation where it isn't the usual one.
    #[must_use]
    pub fn fact(&self) -> String {
        match self.implementation.as_str() {
            "cpython" => format!("Python {}", self.version),
            other => format!("Python {} ({other})", self.version),
        }
    }

    /// Major and minor version, e.g. `(3, 12)`.
    #[must_use]
    pub fn minor(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

/// Finds the wanted interpreter: `3.12`, `3.12.1`, or none for the first `python3` that runs.
///
/// # Errors
/// The cause on screen: which versions are there instead, and what to do.
pub async fn find(wanted: Option<&str>, env: &BTreeMap<String, String>) -> Result<Interpreter, Cause> {
    let wanted = wanted.map(|wanted| wanted.trim().trim_start_matches("python").trim_start_matches('-'));
    let mut seen: Vec<Interpreter> = Vec::new();
    let mut broken: Vec<PathBuf> = Vec::new();
    for path in candidates(wanted, env).await {
        match ask(&path, env).await {
            Some(found) if answers(&found.version, wanted) && found.makes_venvs => return Ok(found),
            Some(found) => seen.push(found),
            None => broken.push(path),
        }
    }
    Err(missing(wanted, &seen, &broken))
}

/// Runs it and has it say who it is; `None` when it doesn't run or isn't a Python 3.
async fn ask(path: &Path, env: &BTreeMap<String, String>) -> Option<Interpreter> {
    let mut command = Command::new(path);
    command.args(["-I", "-c", ASK]).env_clear().envs(env).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    if !output.status.success() {
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}

/// Whether a virtual environment's interpreter still runs and stands on this one.
pub async fn runs_as(path: &Path, interpreter: &Interpreter, env: &BTreeMap<String, String>) -> bool {
    ask(path, env).await.is_some_and(|found| &found == interpreter)
}

/// Whether `3.12.1` is what `3.12` asks for.
fn answers(version: &str, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return version.starts_with("3.") };
    version
        .strip_prefix(wanted)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '+', 'a', 'b', 'r']))
}

/// Where one could be, the likeliest first; without doubles.
async fn candidates(wanted: Option<&str>, env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut add = |path: PathBuf| {
        if is_executable(&path) && !found.contains(&path) {
            found.push(path);
        }
    };
    let minor = wanted.map(|wanted| wanted.split('.').take(2).collect::<Vec<_>>().join("."));
    let mut names: Vec<String> = minor.iter().map(|minor| format!("python{minor}")).collect();
    names.push("python3".to_owned());
    let on_path: Vec<PathBuf> =
        env.get("PATH").map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    for name in &names {
        for directory in &on_path {
            add(directory.join(name));
        }
    }
    for version in pyenv_versions(env) {
        add(version.join("bin/python3"));
    }
    for name in &names {
        add(Path::new("/usr/bin").join(name));
        add(Path::new("/usr/local/bin").join(name));
    }
    if let Some(path) = uv_find(wanted, env, &on_path).await {
        add(path);
    }
    // Last, so that a cause can name what else is there: every other minor version on the PATH.
    if minor.is_some() {
        for directory in on_path.iter().map(PathBuf::as_path).chain([Path::new("/usr/bin")]) {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let minor = name.to_str().and_then(|name| name.strip_prefix("python3."));
                if minor.is_some_and(|minor| minor.parse::<u32>().is_ok()) {
                    add(entry.path());
                }
            }
        }
    }
    found
}

fn is_executable(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// pyenv's versions, newest first.
fn pyenv_versions(env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let root = env
        .get("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| env.get("HOME").map(|home| Path::new(home).join(".pyenv")));
    let Some(root) = root else { return Vec::new() };
    let mut versions: Vec<PathBuf> = std::fs::read_dir(root.join("versions"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    versions.sort_by_key(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        std::cmp::Reverse(name.split('.').map(|part| part.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>())
    });
    versions
}

/// What uv knows, where uv is; it is not let download one.
async fn uv_find(
    wanted: Option<&str>,
    env: &BTreeMap<String, String>,
    on_path: &[PathBuf],
) -> Option<PathBuf> {
    let uv = on_path.iter().map(|directory| directory.join("uv")).find(|path| is_executable(path))?;
    let mut command = Command::new(uv);
    command.args(["python", "find", "--no-python-downloads", "--no-project"]);
    command.args(wanted).env_clear().envs(env).current_dir("/");
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

fn missing(wanted: Option<&str>, seen: &[Interpreter], broken: &[PathBuf]) -> Cause {
    let name = wanted.unwrap_or("3");
    let mut there: Vec<(Vec<u32>, String)> = seen
        .iter()
        .map(|found| {
            let key = found.version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
            (key, format!("{} ({})", found.version, found.executable.display()))
        })
        .collect();
    there.sort();
    there.dedup();
    let mut versions: Vec<&str> =
        there.iter().map(|(_, text)| text.split(' ').next().unwrap_or(text)).collect();
    versions.dedup();
    let versions = versions.join(", ");
    let places: Vec<String> = there.iter().map(|(_, text)| text.clone()).collect();
    let bare = seen.iter().find(|found| answers(&found.version, wanted) && !found.makes_venvs);
    let mut measured = match (there.is_empty(), bare) {
        (_, Some(bare)) => format!(
            "Python {} at {} has no venv and ensurepip modules",
            bare.version,
            bare.executable.display()
        ),
        (true, None) => "no Python runs here".to_owned(),
        (false, None) => format!("these run here: {versions}"),
    };
    if !broken.is_empty() && bare.is_none() {
        let names: Vec<String> = broken.iter().take(3).map(|path| path.display().to_string()).collect();
        measured.push_str(&format!("; found but not running: {}", names.join(", ")));
    }
    let cure = match bare {
        Some(bare) => {
            let (major, minor) = bare.minor();
            format!("Install them: the package is named python{major}.{minor}-venv on Debian and Ubuntu.")
        }
        None => format!(
            "Install Python {name} (for example with pyenv, uv or the system's packages), or set `python` under \
             [project] in towpath.toml to a version that is there."
        ),
    };
    Cause {
        summary: format!("Python {name} is not on this machine"),
        expected: format!("an interpreter that runs and says it is Python {name}"),
        measured,
        last_lines: if bare.is_none() { places } else { Vec::new() },
        cure,
        ..Cause::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<String, String> {
        std::env::vars().filter(|(name, _)| matches!(name.as_str(), "PATH" | "HOME" | "PYENV_ROOT")).collect()
    }

    fn script(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_version_answers_only_what_it_is() {
        let cases = [
            ("3.12.1", Some("3.12"), true),
            ("3.12.1", Some("3.12.1"), true),
            ("3.12.1", Some("3.1"), false),
            ("3.1.2", Some("3.12"), false),
            ("3.13.0rc1", Some("3.13.0"), true),
            ("3.12.1", None, true),
            ("2.7.18", None, false),
        ];
        for (version, wanted, is) in cases {
            assert_eq!(answers(version, wanted), is, "{version} for {wanted:?}");
        }
    }

    #[tokio::test]
    async fn the_interpreter_found_is_the_real_one() {
        let found = find(None, &env()).await.expect("this machine has a Python 3");
        assert!(found.version.starts_with("3."));
        assert_eq!(found.executable, found.executable.canonicalize().unwrap());
        let again = find(Some(&found.version), &env()).await.unwrap();
        assert_eq!(again.version, found.version);
    }

    #[tokio::test]
    async fn a_shim_that_fails_does_not_count_and_is_named() {
        let real = find(None, &env()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        script(
            dir.path(),
            "python3.99",
            "#!/bin/sh\necho 'pyenv: python3.99: command not found' >&2\nexit 127\n",
        );
        script(dir.path(), "python3", &format!("#!/bin/sh\nexec {} \"$@\"\n", real.executable.display()));
        let env = BTreeMap::from([("PATH".to_owned(), dir.path().display().to_string())]);
        let cause = find(Some("3.99"), &env).await.unwrap_err();
        assert_eq!(cause.summary, "Python 3.99 is not on this machine");
        assert!(cause.measured.contains(&real.version), "{}", cause.measured);
        assert!(cause.measured.contains("found but not running"), "{}", cause.measured);
        assert_eq!(find(None, &env).await.unwrap().executable, real.executable);
    }

    #[tokio::test]
    async fn a_virtual_environments_link_leads_to_its_base() {
        let real = find(None, &env()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let venv = dir.path().join("venv");
        let made = std::process::Command::new(&real.executable)
            .args(["-m", "venv", "--without-pip"])
            .arg(&venv)
            .status()
            .unwrap();
        assert!(made.success());
        let env = BTreeMap::from([("PATH".to_owned(), venv.join("bin").display().to_string())]);
        assert_eq!(find(None, &env).await.unwrap().executable, real.executable);
    }
}
