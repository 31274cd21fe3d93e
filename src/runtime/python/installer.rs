//! uv where it is on the PATH, else pip; and the tools that Towpath installs for itself, once, in environments
//! of their own beside the cache.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::environment;
use super::exclusive;
use super::failure;
use super::halt::Halt;
use super::interpreter::Interpreter;
use crate::runtime::command::CommandLine;
use crate::runtime::workbench::Workbench;

/// What installs packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installer {
    /// uv, by path.
    Uv(PathBuf),
    /// pip, run by the Python of an environment of its own, working on another (`--python`).
    Pip(PathBuf),
}

impl Installer {
    /// The one for requirements files.
    ///
    /// # Errors
    /// When pip's own environment can't be made.
    pub async fn choose(bench: &mut Workbench, interpreter: &Interpreter) -> Result<Self, Halt> {
        match on_path(bench, "uv") {
            Some(uv) => Ok(Self::Uv(uv)),
            None => Ok(Self::Pip(pip(bench, interpreter).await?)),
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Uv(_) => "uv",
            Self::Pip(_) => "pip",
        }
    }

    /// Installs requirements files into an environment.
    ///
    /// # Errors
    /// A cause with the installer's decisive line.
    pub async fn install(&self, bench: &mut Workbench, venv: &Path, wanted: Wanted<'_>) -> Result<(), Halt> {
        let python = environment::python(venv).display().to_string();
        let mut line = match self {
            Self::Uv(uv) => uv_line(bench, uv).args(["pip", "install", "--python"]).arg(python),
            Self::Pip(pip) => CommandLine::new(pip.display().to_string())
                .args(["-I", "-m", "pip", "--python"])
                .arg(python)
                .args([
                    "install",
                    "--no-input",
                    "--progress-bar",
                    "off",
                    "--no-compile",
                    "--no-warn-script-location",
                ])
                .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
                .env("PIP_REQUIRE_VIRTUALENV", "0")
                .env("PIP_USER", "0"),
        };
        if wanted.hashes {
            line = line.arg("--require-hashes");
        }
        if let Some(constraints) = wanted.constraints {
            line = line.arg("-c").arg(constraints.display().to_string());
        }
        for file in wanted.files {
            line = line.arg("-r").arg(file.display().to_string());
        }
        let ended = bench.run(line.cwd(wanted.cwd)).await?;
        if ended.success() { Ok(()) } else { Err(failure::cause(self.name(), &ended).into()) }
    }
}

/// What to install.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Requirements files.
    pub files: &'a [PathBuf],
    /// Whether each package must have a hash.
    pub hashes: bool,
    /// A file of versions to keep to.
    pub constraints: Option<&'a Path>,
    /// What relative paths in the files are relative to.
    pub cwd: &'a Path,
}

/// uv with what holds for every use: it downloads no interpreter and shares no file with its cache.
#[must_use]
pub fn uv_line(bench: &Workbench, uv: &Path) -> CommandLine {
    let mut line = CommandLine::new(uv.display().to_string())
        .env("UV_PYTHON_DOWNLOADS", "never")
        // A hard link would let whoever writes into one environment write into all.
        .env("UV_LINK_MODE", "copy")
        .env("UV_NO_PROGRESS", "1");
    let env = &bench.spec().env;
    if !["UV_DEFAULT_INDEX", "UV_INDEX_URL"].iter().any(|name| env.contains_key(*name))
        && let Some(index) = env.get("PIP_INDEX_URL")
    {
        line = line.env("UV_DEFAULT_INDEX", index.clone());
    }
    line
}

/// A program on the step's PATH that isn't a shim of pyenv (which may exist without there being one).
#[must_use]
pub fn on_path(bench: &Workbench, name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    std::env::split_paths(bench.spec().env.get("PATH")?)
        .filter(|directory| !directory.ends_with("shims"))
        .map(|directory| directory.join(name))
        .find(|path| {
            path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// uv: the one on the PATH, or one of our own.
///
/// # Errors
/// When it can't be installed.
pub async fn uv(bench: &mut Workbench, interpreter: &Interpreter) -> Result<PathBuf, Halt> {
    match on_path(bench, "uv") {
        Some(uv) => Ok(uv),
        None => Ok(tool(bench, interpreter, "uv", &["uv>=0.5"]).await?.join("bin/uv")),
    }
}

/// A tool's environment, made once for an interpreter; returns the environment's directory.
///
/// # Errors
/// A cause when it can't be installed.
pub async fn tool(
    bench: &mut Workbench,
    interpreter: &Interpreter,
    name: &str,
    packages: &[&str],
) -> Result<PathBuf, Halt> {
    let venv = tool_directory(bench, interpreter, name)?;
    let marker = venv.join("towpath-complete");
    if marker.exists() && environment::python(&venv).exists() {
        return Ok(venv);
    }
    let pip = pip(bench, interpreter).await?;
    let mut waits = false;
    let _held = exclusive::take(&venv.with_extension("lock"), || waits = true).await?;
    if marker.exists() && environment::python(&venv).exists() {
        return Ok(venv);
    }
    bench.say(&format!("Installing {name} for Towpath's own use into {}.", venv.display()));
    environment::remove(&venv)?;
    environment::create(bench, interpreter, &venv).await?;
    let line = CommandLine::new(pip.display().to_string())
        .args(["-I", "-m", "pip", "--python"])
        .arg(environment::python(&venv).display().to_string())
        .args(["install", "--no-input", "--progress-bar", "off", "--disable-pip-version-check"])
        .args(packages.iter().copied())
        .env("PIP_USER", "0")
        .cwd("/");
    let ended = bench.run(line).await?;
    if !ended.success() {
        let mut cause = failure::cause("pip", &ended);
        cause.summary = format!("{name} could not be installed: {}", cause.summary);
        cause.expected =
            format!("{name}, which the project's lock file needs, on the PATH or from the index");
        cause.cure = format!("{} Or install {name} yourself where the engine's PATH finds it.", cause.cure);
        return Err(cause.into());
    }
    environment::write_marker(&marker, "")?;
    Ok(venv)
}

/// Where a tool's environment is for an interpreter: its real path, for its scripts name the interpreter by the
/// path that it is made under, and a link to the cache may be gone one day.
fn tool_directory(bench: &Workbench, interpreter: &Interpreter, name: &str) -> anyhow::Result<PathBuf> {
    let tools = bench.spec().cache.join("tools");
    std::fs::create_dir_all(&tools).with_context(|| format!("making {}", tools.display()))?;
    let tools = std::fs::canonicalize(&tools).with_context(|| format!("finding {}", tools.display()))?;
    let key = interpreter.identity();
    Ok(tools.join(format!("{name}-{}", key.get(..12).unwrap_or(&key))))
}

/// The Python that runs our pip: one environment an interpreter, with the pip that the interpreter brings.
async fn pip(bench: &mut Workbench, interpreter: &Interpreter) -> Result<PathBuf, Halt> {
    let venv = tool_directory(bench, interpreter, "pip")?;
    let python = environment::python(&venv);
    let marker = venv.join("towpath-complete");
    if marker.exists() && python.exists() {
        return Ok(python);
    }
    let _held = exclusive::take(&venv.with_extension("lock"), || {}).await?;
    if marker.exists() && python.exists() {
        return Ok(python);
    }
    environment::remove(&venv)?;
    let line = CommandLine::new(interpreter.executable.display().to_string())
        .args(["-I", "-m", "venv", "--symlinks"])
        .arg(venv.display().to_string())
        .cwd("/");
    let ended = bench.run(line).await?;
    if !ended.success() {
        return Err(ended
            .cause(format!("{} could not make an environment with pip", interpreter.fact()))
            .into());
    }
    // `--python` came with pip 22.3; Python 3.10 and older bring older ones.
    let too_old = environment::freeze(&venv)?.get("pip").is_none_or(|version| {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < (22, 3)
    });
    if too_old {
        let line = CommandLine::new(python.display().to_string())
            .args([
                "-I",
                "-m",
                "pip",
                "install",
                "--no-input",
                "--progress-bar",
                "off",
                "--upgrade",
                "pip>=22.3",
            ])
            .env("PIP_USER", "0")
            .cwd("/");
        let ended = bench.run(line).await?;
        if !ended.success() {
            return Err(failure::cause("pip", &ended).into());
        }
    }
    environment::write_marker(&marker, "")?;
    Ok(python)
}
