//! The development environment: everything that the commit locks, development's dependencies included, in a
//! cached environment keyed by lock, interpreter, platform and installer.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::domain::plan::{Output, Setting, hash_of};

use super::environment::{self, Freeze};
use super::exclusive;
use super::halt::{Halt, done};
use super::installer;
use super::interpreter::{self, Interpreter};
use super::locked::{Lock, Locked, Scope};
use super::source;
use crate::runtime::workbench::{Done, Workbench};

/// Changes when environments are made in another way, so that older ones are left alone.
const FORMAT: u32 = 1;

/// What is known of a complete environment; written last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Complete {
    interpreter: Interpreter,
    freeze: Freeze,
    /// Number and size of its files.
    extent: (u64, u64),
}

/// The names of the output's values.
pub mod values {
    /// The environment's directory.
    pub const VENV: &str = "venv";
    /// The environment's interpreter.
    pub const PYTHON: &str = "python";
    /// The interpreter that it was made with, as JSON.
    pub const INTERPRETER: &str = "interpreter";
    /// A file with `name==version` a line.
    pub const FREEZE: &str = "freeze";
    /// What the versions came from: the lock's hash, or the freeze's where nothing is locked.
    pub const LOCK_HASH: &str = "lock_hash";
}

/// Installs the development environment, or finds it in the cache.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, setting: &Setting) -> anyhow::Result<Done> {
    let mut output = Output::default();
    let work = install(bench, setting, &mut output).await;
    done(work, output)
}

async fn install(bench: &mut Workbench, setting: &Setting, output: &mut Output) -> Result<(), Halt> {
    let interpreter = interpreter::find(setting.python.as_deref(), &bench.spec().env).await?;
    output.facts.push(interpreter.fact());
    bench.say(&format!("{} at {}", interpreter.fact(), interpreter.executable.display()));

    let directory = source::fresh_directory(bench, "source")?;
    output.findings.extend(source::export(bench, &setting.commit, &setting.root, &directory).await?);
    let locked = source::locked(&directory)?;
    output.findings.extend(locked.findings());
    output.facts.extend(locked_fact(&locked));
    locked.check_fresh(bench, &interpreter, &mut output.findings).await?;

    let installer = installer_name(bench, &locked);
    let key = hash_of(&(FORMAT, &locked.hash, interpreter.identity(), &interpreter.platform, installer));
    let home = bench.spec().cache.join("environments").join(key.get(..32).unwrap_or(&key));
    let mut waited = false;
    let _held = exclusive::take(&home.with_extension("lock"), || waited = true).await?;
    if waited {
        bench.say("Another run was installing the same environment; it was waited for.");
    }
    let complete = match usable(bench, &home, &interpreter).await? {
        Some(complete) => {
            output.facts.push("cache hit".to_owned());
            bench.say(&format!("Using the environment in {}.", home.display()));
            complete
        }
        None => build(bench, &locked, &interpreter, &home, output).await?,
    };
    output.facts.push(match complete.freeze.len() {
        1 => "1 package".to_owned(),
        count => format!("{count} packages"),
    });

    let freeze = home.join("freeze.txt");
    let venv = home.join("venv");
    let lock_hash =
        if locked.is_locked() { locked.hash.clone() } else { hash_of(&(&locked.hash, &complete.freeze)) };
    let interpreter = serde_json::to_string(&complete.interpreter).context("the interpreter as JSON")?;
    for (name, value) in [
        (values::VENV, venv.display().to_string()),
        (values::PYTHON, environment::python(&venv).display().to_string()),
        (values::INTERPRETER, interpreter),
        (values::FREEZE, freeze.display().to_string()),
        (values::LOCK_HASH, lock_hash),
    ] {
        output.values.insert(name.to_owned(), value);
    }
    Ok(())
}

async fn build(
    bench: &mut Workbench,
    locked: &Locked,
    interpreter: &Interpreter,
    home: &Path,
    output: &mut Output,
) -> Result<Complete, Halt> {
    environment::remove(home)?;
    let venv = home.join("venv");
    environment::create(bench, interpreter, &venv).await?;
    let filled = locked.fill(bench, interpreter, &venv, Scope::Everything, None, &mut output.findings).await;
    if filled.is_err() {
        // Without its marker it would be built again anyway; this gives the disk back.
        environment::remove(home)?;
    }
    filled?;
    let freeze = environment::freeze(&venv)?;
    let text = environment::freeze_text(&freeze);
    std::fs::write(home.join("freeze.txt"), text)
        .context("could not write the list of installed packages")?;
    let complete = Complete { interpreter: interpreter.clone(), freeze, extent: environment::extent(&venv)? };
    let text = serde_json::to_string_pretty(&complete).context("the environment's marker as JSON")?;
    environment::write_marker(&marker(home), &text)?;
    Ok(complete)
}

fn marker(home: &Path) -> PathBuf {
    home.join("complete.json")
}

/// The environment, if it is whole: marked complete, its interpreter runs, and it holds what it held.
async fn usable(
    bench: &mut Workbench,
    home: &Path,
    interpreter: &Interpreter,
) -> anyhow::Result<Option<Complete>> {
    let Ok(text) = std::fs::read_to_string(marker(home)) else {
        if home.exists() {
            bench.say("An environment that was not finished is built again.");
        }
        return Ok(None);
    };
    let why = match serde_json::from_str::<Complete>(&text) {
        Err(_) => "its marker can't be read",
        Ok(complete) if &complete.interpreter != interpreter => "it was made with another interpreter",
        Ok(complete) => {
            let venv = home.join("venv");
            if !interpreter::runs_as(&environment::python(&venv), interpreter, &bench.spec().env).await {
                "its interpreter doesn't run any more"
            } else if environment::freeze(&venv).ok().as_ref() != Some(&complete.freeze) {
                "its packages are not those that were installed"
            } else if environment::extent(&venv).ok() != Some(complete.extent) {
                "its files are not those that were installed"
            } else if !home.join("freeze.txt").is_file() {
                "its list of packages is gone"
            } else {
                return Ok(Some(complete));
            }
        }
    };
    bench.say(&format!("The cached environment is built again: {why}."));
    Ok(None)
}

fn installer_name(bench: &Workbench, locked: &Locked) -> &'static str {
    match locked.lock {
        Lock::Uv => "uv",
        _ if installer::on_path(bench, "uv").is_some() => "uv",
        _ => "pip",
    }
}

fn locked_fact(locked: &Locked) -> Option<String> {
    match (&locked.lock, locked.floating.len()) {
        (Lock::Nothing, _) => Some("no dependencies".to_owned()),
        (_, 0) if locked.is_locked() => Some("locked".to_owned()),
        (_, 0) => Some("not locked".to_owned()),
        (_, floating) => Some(format!("floating {floating}")),
    }
}
