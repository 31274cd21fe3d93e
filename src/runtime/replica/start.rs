//! One start of a replica, and waiting for its end.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tokio::process::{Child, Command};

use super::files::Files;
use super::members::{NAME_VARIABLE, VARIABLE};
use super::shell;
use super::spec::Spec;
use crate::domain::time::Timestamp;
use crate::runtime::command::Exit;
use crate::runtime::process::Identity;
use crate::runtime::{log, reap};
use crate::secret::Secret;
use crate::text::sanitise::Sanitiser;

/// How often it is looked whether a process that is not our child still lives.
const LOOK: Duration = Duration::from_millis(500);

/// A replica's main process.
#[derive(Debug)]
pub(super) struct Running {
    /// Our child; `None` for one that another keeper has started.
    child: Option<Child>,
    /// `None` when it was gone before anybody could look.
    pub(super) process: Option<Identity>,
    /// When it was started.
    pub(super) since: Timestamp,
}

impl Running {
    /// One that another keeper has started.
    pub(super) const fn adopted(process: Identity, since: Timestamp) -> Self {
        Self { child: None, process: Some(process), since }
    }

    /// Waits for its end: how it ended, in words.
    pub(super) async fn end(&mut self) -> String {
        let Some(child) = &mut self.child else {
            while self.process.as_ref().is_some_and(Identity::lives) {
                tokio::time::sleep(LOOK).await;
            }
            return self.unknown();
        };
        match child.wait().await {
            Ok(status) => self.ended(status),
            Err(_) => self.unknown(),
        }
    }

    /// How it ended, in words, where it is known to have.
    pub(super) fn ended_already(&mut self) -> String {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) => self.ended(status),
            _ => self.unknown(),
        }
    }

    fn ended(&self, status: ExitStatus) -> String {
        format!("{} after {}", Exit::from(status), log::now().since(self.since))
    }

    fn unknown(&self) -> String {
        let lived = log::now().since(self.since);
        format!("an unknown exit after {lived} (another keeper had started it)")
    }
}

/// Starts the replica's process: in a group of its own, with nothing of our environment.
///
/// `lock` is inherited by it and by all that it starts: as long as one of them lives, and nobody closes it, the lock
/// is held, even when its keeper was killed.
pub(super) fn spawn(
    files: &Files,
    spec: &Spec,
    secrets: &BTreeMap<String, Secret>,
    lock: Option<&File>,
) -> Result<Running, String> {
    if !spec.cwd.is_dir() {
        return Err(format!("it is to run in {}, and there is no such directory", spec.cwd.display()));
    }
    let spool = files.spool().map_err(|error| format!("its output has no place: {error}"))?;
    let same = spool.try_clone().map_err(|error| format!("its output has no place: {error}"))?;
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(shell::without_shell(&spec.command).unwrap_or_else(|| spec.command.clone()))
        .current_dir(&spec.cwd)
        .env_clear()
        .envs(&spec.env)
        .envs(secrets.iter().map(|(name, value)| (name, value.expose())))
        // A replica whose environment was taken from a step's is not that step's: it would be ended with it.
        .env_remove(reap::VARIABLE)
        .env(NAME_VARIABLE, &spec.name)
        .env(VARIABLE, &files.0)
        .stdin(Stdio::null())
        .stdout(spool)
        .stderr(same)
        .process_group(0)
        .kill_on_drop(false);
    if let Some(port) = spec.port {
        command.env("PORT", port.to_string());
    }
    if let Some((user, group)) = spec.user {
        // Group first, and no further groups: the standard library sees to both.
        command.uid(user).gid(group);
    }
    let since = log::now();
    let spawned = inherited(lock, || command.spawn());
    let child = spawned.map_err(|error| match spec.user {
        Some((user, group)) => format!(
            "it could not be started as user {user} and group {group} in {}: {error}",
            spec.cwd.display()
        ),
        None => format!("it could not be started in {}: {error}", spec.cwd.display()),
    })?;
    let process = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Identity::of);
    Ok(Running { child: Some(child), process, since })
}

/// Does something while children inherit the file. The keeper starts one process at a time: nothing else gets it.
fn inherited<T>(file: Option<&File>, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(file) = file else { return start() };
    fcntl(file, FcntlArg::F_SETFD(FdFlag::empty()))?;
    let started = start();
    fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    started
}

/// Opens the file that is locked while the only replica of a role lives; makes its directory.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(path)
}

/// Writes who holds the lock into it, for those who wait.
pub(super) fn sign(mut lock: &File, name: &str) {
    let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(name.as_bytes()));
}

/// Who holds the lock, as a clause.
pub(super) fn holder(mut lock: &File) -> String {
    let mut name = Vec::new();
    let read = lock.rewind().and_then(|()| lock.take(200).read_to_end(&mut name));
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(&name);
    lines.extend(sanitiser.finish());
    match lines.into_iter().next().filter(|name| read.is_ok() && !name.is_empty()) {
        Some(name) => format!("{name} to end: only one may run"),
        None => "another replica of this role to end: only one may run".to_owned(),
    }
}

/// The values of these variables in the environment that a process was started with. Fewer where the process has
/// overwritten it, or it may not be read.
pub(super) fn values_of(
    process: &Identity,
    names: &BTreeMap<String, impl Sized>,
) -> BTreeMap<String, String> {
    let environ = std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
    environ
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
        .filter(|(name, _)| names.contains_key(*name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
