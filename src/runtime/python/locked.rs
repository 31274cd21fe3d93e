//! What a commit locks, and how an environment is filled from it: the one road for the development
//! environment and for the candidate's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, hex};

use super::failure;
use super::halt::Halt;
use super::installer::{self, Installer, Wanted};
use super::interpreter::Interpreter;
use super::pipfile;
use super::pyproject;
use super::requirements::Requirements;
use crate::runtime::command::{CommandLine, Ended};
use crate::runtime::workbench::Workbench;

/// What holds the versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// `uv.lock`.
    Uv,
    /// `poetry.lock`.
    Poetry,
    /// `Pipfile.lock`.
    Pipfile,
    /// Requirements files, relative to the project's directory.
    Requirements {
        /// What production needs.
        production: Vec<PathBuf>,
        /// What only development needs.
        development: Vec<PathBuf>,
    },
    /// `pyproject.toml` alone: nothing is locked.
    Pyproject,
    /// Nothing is asked for.
    Nothing,
}

/// Which packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only what production needs.
    Production,
    /// Development's too.
    Everything,
}

/// What a commit locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// What holds the versions.
    pub lock: Lock,
    /// The commit's export.
    pub source: PathBuf,
    /// SHA-256 of the bytes of all files that say what is installed.
    pub hash: String,
    /// Names of packages that no file gives a version.
    pub floating: Vec<String>,
}

/// Exports of Poetry's and uv's own environment that would lead them into another one.
const ONE_ENVIRONMENT: [(&str, &str); 3] = [
    ("POETRY_VIRTUALENVS_CREATE", "false"),
    ("POETRY_NO_INTERACTION", "1"),
    ("POETRY_KEYRING_ENABLED", "false"),
];

impl Locked {
    /// Reads what an exported commit locks.
    ///
    /// # Errors
    /// A cause when its files can't be read as what they are.
    pub fn read(source: &Path, lock: Lock) -> Result<Self, Halt> {
        let mut floating = Vec::new();
        let files = match &lock {
            Lock::Uv => vec![source.join("uv.lock"), source.join("pyproject.toml")],
            Lock::Poetry => vec![source.join("poetry.lock"), source.join("pyproject.toml")],
            Lock::Pipfile => vec![source.join("Pipfile.lock")],
            Lock::Requirements { production, development } => {
                let files: Vec<PathBuf> =
                    production.iter().chain(development).map(|file| source.join(file)).collect();
                let found = Requirements::read(files.iter().map(PathBuf::as_path))
                    .map_err(|error| unreadable(&error))?;
                floating = found.floating();
                found.files
            }
            Lock::Pyproject => {
                let declared = declared(source)?;
                floating = Requirements::of_lines(declared.production.iter().chain(&declared.development))
                    .floating();
                vec![source.join("pyproject.toml")]
            }
            Lock::Nothing => Vec::new(),
        };
        let mut hasher = Sha256::new();
        for file in &files {
            let bytes = fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
            let name = file.strip_prefix(source).unwrap_or(file).to_string_lossy().into_owned();
            hasher.update(format!("{name}\0{}\0", bytes.len()));
            hasher.update(bytes);
        }
        Ok(Self { lock, source: source.to_owned(), hash: hex(&hasher.finalize()), floating })
    }

    /// Whether the files fix every version.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.floating.is_empty() && !matches!(self.lock, Lock::Pyproject)
    }

    /// What was noticed about it.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        if self.floating.is_empty() {
            return Vec::new();
        }
        let shown: Vec<&str> = self.floating.iter().take(5).map(String::as_str).collect();
        let more = match self.floating.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        vec![Finding {
            id: "PY-FLOATING".to_owned(),
            severity: Severity::Warning,
            title: format!(
                "{}{more} have no fixed version: another day installs other code.",
                shown.join(", ")
            ),
            cure: "Lock them: uv lock, poetry lock, or pip-compile --generate-hashes; then commit the lock."
                .to_owned(),
        }]
    }

    /// Whether the lock is the lock of what the project asks for today.
    ///
    /// # Errors
    /// A cause when it is stale.
    pub async fn check_fresh(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Halt> {
        match self.lock {
            Lock::Uv => {
                let uv = installer::uv(bench, interpreter).await?;
                let line = installer::uv_line(bench, &uv)
                    .args(["lock", "--check", "--python"])
                    .arg(interpreter.executable.display().to_string())
                    .cwd(&self.source);
                let ended = bench.run(line).await?;
                if ended.success() {
                    return Ok(());
                }
                // A lock that still fits is checked without the index. So whatever is wrong is wrong with the lock
                // (the versions asked for today may not even be had together), but for these two.
                let reading = failure::read(&ended.tail);
                match reading.kind {
                    failure::Kind::Network => findings.push(unchecked("uv.lock", &reading.line)),
                    failure::Kind::Python => return Err(failure::cause("uv", &ended).into()),
                    _ => return Err(stale("uv.lock", "pyproject.toml", "uv lock", Some(&ended)).into()),
                }
            }
            Lock::Poetry => {
                let poetry = poetry(bench, interpreter).await?;
                let line = poetry_line(&poetry).args(["check", "--lock"]).cwd(&self.source);
                let ended = bench.run(line).await?;
                let says = |text: &str| ended.tail.iter().any(|line| line.contains(text));
                if says("changed significantly") || says("was not found") {
                    return Err(stale("poetry.lock", "pyproject.toml", "poetry lock", Some(&ended)).into());
                }
                // Anything else that `check` holds against pyproject.toml is a matter of taste or packaging.
                if !ended.success() {
                    bench.say("poetry check has complaints that don't concern the lock; going on.");
                }
                self.poetry_allows(bench, &poetry, interpreter).await?;
            }
            Lock::Pipfile => {
                let Ok(text) = fs::read_to_string(self.source.join("Pipfile")) else { return Ok(()) };
                let lock = fs::read_to_string(self.source.join("Pipfile.lock"))
                    .context("could not read Pipfile.lock")?;
                match pipfile::is_fresh(&text, &lock) {
                    Some(true) => {}
                    Some(false) => return Err(stale("Pipfile.lock", "Pipfile", "pipenv lock", None).into()),
                    None => findings.push(unchecked("Pipfile.lock", "its Pipfile can't be hashed here")),
                }
            }
            Lock::Requirements { .. } | Lock::Pyproject | Lock::Nothing => {}
        }
        Ok(())
    }

    /// An export for a Python that the lock excludes is *empty*: markers take every package out. So ask first.
    async fn poetry_allows(
        &self,
        bench: &mut Workbench,
        poetry: &Path,
        interpreter: &Interpreter,
    ) -> Result<(), Halt> {
        let lock =
            fs::read_to_string(self.source.join("poetry.lock")).context("could not read poetry.lock")?;
        let lock: toml::Table =
            lock.parse().context("poetry.lock is not TOML").map_err(|error| unreadable(&error))?;
        let allowed =
            lock.get("metadata").and_then(|meta| meta.get("python-versions")).and_then(toml::Value::as_str);
        let Some(allowed) = allowed else { return Ok(()) };
        let line = CommandLine::new(super::environment::python(poetry).display().to_string())
            .args(["-I", "-c", "import sys; from poetry.core.constraints.version import parse_constraint as p, Version as V; sys.exit(0 if p(sys.argv[1]).allows(V.parse(sys.argv[2])) else 3)"])
            .args([allowed, &interpreter.version])
            .cwd("/");
        let ended = bench.run(line).await?;
        if ended.exit.code == Some(3) {
            return Err(wrong_python("poetry.lock", allowed, interpreter).into());
        }
        Ok(())
    }

    /// Fills an environment.
    ///
    /// # Errors
    /// A cause when the packages can't be installed; the environment is then half filled.
    pub async fn fill(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        venv: &Path,
        scope: Scope,
        constraints: Option<&Path>,
        findings: &mut Vec<Finding>,
    ) -> Result<(), Halt> {
        match &self.lock {
            Lock::Nothing => Ok(()),
            Lock::Uv => self.uv_sync(bench, interpreter, venv, scope).await,
            Lock::Poetry => {
                let text = self.poetry_export(bench, interpreter, scope, findings).await?;
                self.install_text(bench, interpreter, venv, &text, None).await
            }
            Lock::Pipfile => {
                let lock = fs::read_to_string(self.source.join("Pipfile.lock"))
                    .context("could not read Pipfile.lock")?;
                let made = pipfile::requirements(&lock, scope == Scope::Everything)
                    .map_err(|error| unreadable(&error))?;
                findings.extend(unhashed("Pipfile.lock", &made.unhashed));
                self.install_text(bench, interpreter, venv, &made.text, None).await
            }
            Lock::Pyproject => {
                let declared = declared(&self.source)?;
                let mut lines = declared.production;
                if scope == Scope::Everything {
                    lines.extend(declared.development);
                }
                self.install_text(bench, interpreter, venv, &lines.join("\n"), constraints).await
            }
            Lock::Requirements { production, development } => {
                let development: &[PathBuf] = if scope == Scope::Everything { development } else { &[] };
                let files: Vec<PathBuf> =
                    production.iter().chain(development).map(|file| self.source.join(file)).collect();
                self.install_files(bench, interpreter, venv, &files, constraints).await
            }
        }
    }

    /// Files with hashes first: one hash makes pip want one for everything in the same call.
    async fn install_files(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        venv: &Path,
        files: &[PathBuf],
        constraints: Option<&Path>,
    ) -> Result<(), Halt> {
        let mut with = Vec::new();
        let mut without = Vec::new();
        for file in files {
            let found = Requirements::read([file.as_path()]).map_err(|error| unreadable(&error))?;
            if found.hashed() { with.push(file.clone()) } else { without.push(file.clone()) }
        }
        let installer = Installer::choose(bench, interpreter).await?;
        for (files, hashes) in [(with, true), (without, false)] {
            if !files.is_empty() {
                // A constraint without a hash is refused beside hashes, and hashes fix the version anyway.
                let constraints = constraints.filter(|_| !hashes);
                let wanted = Wanted { files: &files, hashes, constraints, cwd: &self.source };
                installer.install(bench, venv, wanted).await?;
            }
        }
        Ok(())
    }

    async fn install_text(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        venv: &Path,
        text: &str,
        constraints: Option<&Path>,
    ) -> Result<(), Halt> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let file = bench.work().join("towpath-requirements.txt");
        fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
        self.install_files(bench, interpreter, venv, &[file], constraints).await
    }

    async fn uv_sync(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        venv: &Path,
        scope: Scope,
    ) -> Result<(), Halt> {
        let uv = installer::uv(bench, interpreter).await?;
        let mut line = installer::uv_line(bench, &uv)
            .args(["sync", "--frozen", "--no-install-project", "--no-editable", "--python"])
            .arg(interpreter.executable.display().to_string())
            .env("UV_PROJECT_ENVIRONMENT", venv.display().to_string())
            .cwd(&self.source);
        line = match scope {
            Scope::Production => line.arg("--no-dev").arg("--no-default-groups"),
            // Extras and groups that exclude each other can't all be had: then uv's defaults.
            Scope::Everything if self.uv_has_conflicts() => line,
            Scope::Everything => line.args(["--all-groups", "--all-extras"]),
        };
        let ended = bench.run(line).await?;
        if ended.success() { Ok(()) } else { Err(failure::cause("uv", &ended).into()) }
    }

    pub(in crate::runtime) fn uv_has_conflicts(&self) -> bool {
        let text = fs::read_to_string(self.source.join("pyproject.toml")).unwrap_or_default();
        let table: toml::Table = text.parse().unwrap_or_default();
        table.get("tool").and_then(|tool| tool.get("uv")).and_then(|uv| uv.get("conflicts")).is_some()
    }

    async fn poetry_export(
        &self,
        bench: &mut Workbench,
        interpreter: &Interpreter,
        scope: Scope,
        findings: &mut Vec<Finding>,
    ) -> Result<String, Halt> {
        let poetry = poetry(bench, interpreter).await?;
        let out = bench.work().join("towpath-poetry.txt");
        let base = |line: CommandLine| {
            let line = line
                .args(["export", "--format", "requirements.txt", "--output"])
                .arg(out.display().to_string());
            match scope {
                Scope::Production => line.args(["--only", "main"]),
                Scope::Everything => line.args(["--all-groups", "--all-extras"]),
            }
            .cwd(&self.source)
        };
        let mut export = base(poetry_line(&poetry));
        loop {
            let ended = bench.run(export.clone()).await?;
            if !ended.success() {
                return Err(failure::cause("poetry export", &ended).into());
            }
            let text = fs::read_to_string(&out).context("Poetry exported nothing")?;
            // An editable path would point into this attempt's directory, which does not stay.
            let text: String =
                text.lines().map(|line| format!("{}\n", line.strip_prefix("-e ").unwrap_or(line))).collect();
            let lines = Requirements::of_lines(text.replace("\\\n", " ").lines()).lines;
            let bare: Vec<String> =
                lines.iter().filter(|line| !line.hashed).map(|line| line.name.clone()).collect();
            if bare.is_empty() || bare.len() == lines.len() {
                return Ok(text);
            }
            findings.extend(unhashed("poetry.lock", &bare));
            export = base(poetry_line(&poetry)).arg("--without-hashes");
        }
    }
}

async fn poetry(bench: &mut Workbench, interpreter: &Interpreter) -> Result<PathBuf, Halt> {
    installer::tool(bench, interpreter, "poetry", &["poetry>=1.8", "poetry-plugin-export>=1.9"]).await
}

fn poetry_line(poetry: &Path) -> CommandLine {
    let line = CommandLine::new(poetry.join("bin/poetry").display().to_string())
        .args(["--no-interaction", "--no-ansi"]);
    line.envs(ONE_ENVIRONMENT.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())))
}

fn declared(source: &Path) -> Result<pyproject::Declared, Halt> {
    let text = fs::read_to_string(source.join("pyproject.toml")).context("could not read pyproject.toml")?;
    let declared = pyproject::read(&text).map_err(|error| unreadable(&error))?;
    if declared.only_poetry {
        return Err(Cause {
            summary: "pyproject.toml is Poetry's and has no poetry.lock beside it".to_owned(),
            expected: "a poetry.lock in the commit".to_owned(),
            measured: "only [tool.poetry.dependencies]".to_owned(),
            cure: "Run `poetry lock` and commit poetry.lock.".to_owned(),
            ..Cause::default()
        }
        .into());
    }
    Ok(declared)
}

fn unreadable(error: &anyhow::Error) -> Halt {
    Cause {
        summary: error.to_string(),
        expected: "files that say what to install".to_owned(),
        measured: format!("{error:#}"),
        cure: "Correct the file and commit it.".to_owned(),
        ..Cause::default()
    }
    .into()
}

fn stale(lock: &str, of: &str, cure: &str, ended: Option<&Ended>) -> Cause {
    let summary = format!("{lock} is stale: {of} has changed since it was locked");
    let mut cause = ended.map_or_else(Cause::default, |ended| ended.cause(""));
    cause.last_lines = failure::telling(&cause.last_lines);
    cause.summary = summary;
    cause.expected = format!("a {lock} that was locked from this {of}");
    if ended.is_none() {
        cause.measured = "the hash in the lock is another".to_owned();
    }
    cause.cure = format!("Run `{cure}` and commit {lock}.");
    cause
}

fn wrong_python(lock: &str, allowed: &str, interpreter: &Interpreter) -> Cause {
    Cause {
        summary: format!("{lock} is for Python {allowed}, not for {}", interpreter.version),
        expected: format!("Python {allowed}"),
        measured: format!("{} at {}", interpreter.fact(), interpreter.executable.display()),
        cure: "Set `python` under [project] in towpath.toml to a version that the lock allows.".to_owned(),
        ..Cause::default()
    }
}

fn unchecked(lock: &str, why: &str) -> Finding {
    Finding {
        id: format!("PY-LOCK-UNCHECKED:{lock}"),
        severity: Severity::Note,
        title: format!("Whether {lock} is up to date could not be checked: {why}."),
        cure: String::new(),
    }
}

fn unhashed(lock: &str, names: &[String]) -> Option<Finding> {
    (!names.is_empty()).then(|| Finding {
        id: format!("PY-UNHASHED:{lock}"),
        severity: Severity::Note,
        title: format!("{lock} has no hash for {}: nothing was verified by hash.", names.join(", ")),
        cure: "Take these packages from an index, so that their hashes can be locked.".to_owned(),
    })
}
