//! Virtual environments. They can't be moved, so each is made in its final place, and what says that it is
//! whole is written and synced last.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::halt::Halt;
use super::interpreter::Interpreter;
use super::requirements::normalised;
use crate::runtime::command::CommandLine;
use crate::runtime::workbench::Workbench;

/// Names of packages with their versions.
pub type Freeze = BTreeMap<String, String>;

/// Makes an empty environment, without pip in it: what a project needs, it names.
///
/// # Errors
/// A cause when the interpreter can't make one.
pub async fn create(bench: &mut Workbench, interpreter: &Interpreter, at: &Path) -> Result<(), Halt> {
    if let Some(parent) = at.parent() {
        fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    }
    let line = CommandLine::new(interpreter.executable.display().to_string())
        .args(["-I", "-m", "venv", "--without-pip", "--symlinks"])
        .arg(at.display().to_string())
        .cwd("/");
    let ended = bench.run(line).await?;
    if ended.success() {
        return Ok(());
    }
    let mut cause = ended.cause(format!("{} could not make a virtual environment", interpreter.fact()));
    cause.cure = "Check that the interpreter is whole and that this disk has room, then retry.".to_owned();
    Err(cause.into())
}

/// Lays an empty environment out by hand: what `python -m venv --without-pip` makes, without starting Python (which
/// takes longer than many a check). Only for an environment that nobody but one step uses.
///
/// # Errors
/// A cause when the interpreter can't make one, or an error when a file can't be written.
pub async fn lay_out(bench: &mut Workbench, interpreter: &Interpreter, at: &Path) -> Result<(), Halt> {
    let executable = &interpreter.executable;
    let (Some(home), "cpython") = (executable.parent(), interpreter.implementation.as_str()) else {
        // Others look for their packages elsewhere: they know best where.
        return create(bench, interpreter, at).await;
    };
    let (major, minor) = interpreter.minor();
    let bin = at.join("bin");
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(at.join(format!("lib/python{major}.{minor}/site-packages")))?;
        std::os::unix::fs::symlink(executable, bin.join("python"))?;
        for name in ["python3".to_owned(), format!("python{major}.{minor}")] {
            std::os::unix::fs::symlink("python", bin.join(name))?;
        }
        fs::write(
            at.join("pyvenv.cfg"),
            format!(
                "home = {}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {}\n",
                home.display(),
                interpreter.version,
                executable.display()
            ),
        )
    };
    write().with_context(|| format!("could not lay out an environment in {}", at.display()))?;
    Ok(())
}

/// The environment's interpreter.
#[must_use]
pub fn python(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

/// Where its packages are.
///
/// # Errors
/// When there is no such directory: the environment isn't one.
pub fn site_packages(venv: &Path) -> anyhow::Result<PathBuf> {
    let lib = venv.join("lib");
    for entry in
        fs::read_dir(&lib).with_context(|| format!("{} is no virtual environment", venv.display()))?
    {
        let path = entry?.path().join("site-packages");
        if path.is_dir() {
            return Ok(path);
        }
    }
    anyhow::bail!("{} is no virtual environment: it has no site-packages", venv.display())
}

/// What is installed in it, from the packages' own metadata: nothing of the environment is run.
///
/// # Errors
/// When it can't be read.
pub fn freeze(venv: &Path) -> anyhow::Result<Freeze> {
    let mut found = Freeze::new();
    let site = site_packages(venv)?;
    for entry in fs::read_dir(&site).with_context(|| format!("could not read {}", site.display()))? {
        let path = entry?.path();
        let file = match path.extension().and_then(std::ffi::OsStr::to_str) {
            Some("dist-info") => path.join("METADATA"),
            Some("egg-info") if path.is_dir() => path.join("PKG-INFO"),
            Some("egg-info") => path,
            _ => continue,
        };
        let Ok(bytes) = fs::read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        // Headers end at the first empty line; a description may hold anything.
        let header = |name: &str| {
            text.lines()
                .take_while(|line| !line.is_empty())
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        if let (Some(name), Some(version)) = (header("Name"), header("Version")) {
            found.insert(normalised(&name), version);
        }
    }
    Ok(found)
}

/// As it is written: `name==version` a line.
#[must_use]
pub fn freeze_text(freeze: &Freeze) -> String {
    freeze.iter().map(|(name, version)| format!("{name}=={version}\n")).collect()
}

/// Number and size (bytes) of an environment's files, bytecode left out: it comes and goes with use.
///
/// # Errors
/// When something in it can't be read.
pub fn extent(venv: &Path) -> anyhow::Result<(u64, u64)> {
    let mut sum = (0, 0);
    for entry in fs::read_dir(venv).with_context(|| format!("could not read {}", venv.display()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && entry.file_name() != "__pycache__" {
            let (files, bytes) = extent(&entry.path())?;
            sum = (sum.0 + files, sum.1 + bytes);
        } else if kind.is_file() && entry.path().extension().is_none_or(|end| end != "pyc") {
            sum = (sum.0 + 1, sum.1 + entry.metadata()?.len());
        }
    }
    Ok(sum)
}

/// Writes a file whose being there means that all before it was done: file and directory are synced.
///
/// What it speaks for is not synced file by file (thousands of them take minutes): a power failure can leave files
/// behind it empty. So whoever trusts a marker measures what it speaks for: an artifact by its manifest, an
/// environment by its [`extent`].
///
/// # Errors
/// When it can't be written.
pub fn write_marker(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let beside = path.with_extension("writing");
        let mut file = fs::File::create(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

/// Removes a directory of ours, read-only files in it or not; that it isn't there is well.
///
/// # Errors
/// When something in it can't be removed.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
