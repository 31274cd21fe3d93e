//! A lease in a file: it lies beside what two clones of a project on this machine would share (nginx's include, where
//! there is one).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::{Asker, Denied, TTL};
use crate::domain::ids::{DeploymentId, Epoch};
use crate::domain::time::Timestamp;
use crate::runtime::log::now;

/// The version of the file.
const VERSION: u32 = 1;

/// Who holds a lease, or held it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The version of the file.
    pub v: u32,
    /// It only grows.
    pub epoch: Epoch,
    /// The state directory of the engine that holds it: two clones of a project are two.
    pub engine: PathBuf,
    /// The repository that is deployed from.
    pub repository: PathBuf,
    /// The user that the engine runs as.
    pub user: String,
    /// For which deployment.
    pub deployment: DeploymentId,
    /// Since when.
    pub since: Timestamp,
    /// Last heartbeat.
    pub heartbeat: Timestamp,
    /// It was given back.
    pub released: bool,
}

/// Takes the lease, or says in a sentence's part who has it.
///
/// # Errors
/// When the file cannot be read or written.
pub fn acquire(path: &Path, asker: &Asker, deployment: DeploymentId) -> Result<Result<Epoch, String>> {
    let mut file = open(path)?;
    let before = read(&mut file);
    let at = now();
    let is_ours = |holder: &Holder| holder.engine == asker.engine && !holder.released;
    if let Some(holder) = &before
        && !holder.released
        && !is_ours(holder)
        && at.since(holder.heartbeat) < TTL
    {
        return Ok(Err(format!(
            "{} holds it for deployment {} of {}, since {}; its last heartbeat was {} ago",
            holder.user,
            holder.deployment,
            holder.repository.display(),
            clock(holder.since),
            at.since(holder.heartbeat),
        )));
    }
    let epoch = match &before {
        Some(holder) if is_ours(holder) && holder.deployment == deployment => holder.epoch,
        Some(holder) => Epoch(holder.epoch.0 + 1),
        None => Epoch(1),
    };
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten();
    let holder = Holder {
        v: VERSION,
        epoch,
        engine: asker.engine.clone(),
        repository: asker.repository.clone(),
        user: user.map_or_else(|| "somebody".to_owned(), |user| user.name),
        deployment,
        since: at,
        heartbeat: at,
        released: false,
    };
    write(&mut file, &holder, path)?;
    Ok(Ok(epoch))
}

fn clock(at: Timestamp) -> String {
    let zoned = jiff::Timestamp::from_millisecond(at.0).map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|_| "an unknown time".to_owned(), |at| at.strftime("%H:%M:%S").to_string())
}

/// Renews the lease. A rollback takes over the lease, and so the epoch, of the deployment that it takes back.
///
/// # Errors
/// When its file cannot be written. Whether it is somebody else's by now is told inside.
pub fn renew(
    path: &Path,
    asker: &Asker,
    deployment: DeploymentId,
    epoch: Epoch,
) -> Result<Result<(), Denied>> {
    let mut file = open(path)?;
    let Some(mut holder) = read(&mut file) else {
        return Ok(Err(Denied::Held(format!("{} is gone", path.display()))));
    };
    if holder.engine != asker.engine || holder.epoch != epoch || holder.released {
        return Ok(Err(Denied::Held(format!(
            "{} took it for deployment {} of {}",
            holder.user,
            holder.deployment,
            holder.repository.display()
        ))));
    }
    holder.deployment = deployment;
    holder.heartbeat = now();
    write(&mut file, &holder, path)?;
    Ok(Ok(()))
}

/// Ends a lease on an operator's word, if it is still the one that was seen. Says who had it; `None` when nobody did.
///
/// # Errors
/// When its file cannot be read or written.
pub fn break_off(path: &Path, seen: Epoch) -> Result<Result<Option<String>, String>> {
    let mut file = open(path)?;
    let Some(holder) = read(&mut file).filter(|holder| !holder.released) else { return Ok(Ok(None)) };
    let who = format!(
        "{} held it for deployment {} of {}",
        holder.user,
        holder.deployment,
        holder.repository.display()
    );
    if holder.epoch != seen {
        return Ok(Err(format!("it is another lease by now: {who}")));
    }
    write(&mut file, &Holder { released: true, ..holder }, path)?;
    Ok(Ok(Some(who)))
}

/// Gives the lease back. Harmless when it is not ours (any more).
///
/// # Errors
/// When its file cannot be written.
pub fn release(path: &Path, asker: &Asker, deployment: DeploymentId) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut file = open(path)?;
    match read(&mut file) {
        Some(holder) if holder.engine == asker.engine && holder.deployment == deployment => {
            write(&mut file, &Holder { released: true, ..holder }, path)
        }
        _ => Ok(()),
    }
}

/// What a step asks before it changes anything: whether its deployment still has the lease, with time left on it.
///
/// # Errors
/// When it has not.
pub fn check(path: &Path, epoch: Epoch) -> Result<()> {
    let mut file = open(path)?;
    let Some(holder) = read(&mut file) else { anyhow::bail!("the lease {} is gone", path.display()) };
    anyhow::ensure!(
        holder.epoch == epoch && !holder.released,
        "the environment's lease is held by {} for deployment {} of {}",
        holder.user,
        holder.deployment,
        holder.repository.display()
    );
    let age = now().since(holder.heartbeat);
    anyhow::ensure!(
        age.0 < TTL.0 / 2,
        "the environment's lease had its last heartbeat {age} ago: its engine does not renew it"
    );
    Ok(())
}

/// Who holds it, for a screen; `None` when nobody does.
#[must_use]
pub fn holder(path: &Path) -> Option<Holder> {
    read(&mut File::open(path).ok()?).filter(|holder| !holder.released)
}

/// The file, locked for as long as it is open: what is read is still true when it is written.
fn open(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)
            .with_context(|| format!("the lease's directory {} could not be made", parent.display()))?;
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("the lease {} could not be opened", path.display()))?;
    file.lock().with_context(|| format!("the lease {} could not be locked", path.display()))?;
    Ok(file)
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok().filter(|holder: &Holder| holder.v == VERSION)
}

fn write(file: &mut File, holder: &Holder, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string(holder)?;
    text.push('\n');
    let wrote = file
        .seek(SeekFrom::Start(0))
        .and_then(|_| file.write_all(text.as_bytes()))
        .and_then(|()| file.set_len(text.len() as u64))
        .and_then(|()| file.sync_data());
    wrote.with_context(|| format!("the lease {} could not be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(name: &str) -> Asker {
        Asker { engine: PathBuf::from(name), repository: PathBuf::from("/repo") }
    }

    #[test]
    fn one_at_a_time_and_the_epoch_only_grows() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let (one, other) = (asker("a"), asker("b"));
        assert_eq!(acquire(&path, &one, DeploymentId(1)).unwrap(), Ok(Epoch(1)));
        // The same deployment after its engine was started again.
        assert_eq!(acquire(&path, &one, DeploymentId(1)).unwrap(), Ok(Epoch(1)));
        let denied = acquire(&path, &other, DeploymentId(7)).unwrap().unwrap_err();
        assert!(denied.contains("deployment #1 of /repo"), "{denied}");
        check(&path, Epoch(1)).unwrap();
        assert!(check(&path, Epoch(2)).is_err());
        release(&path, &one, DeploymentId(1)).unwrap();
        assert!(check(&path, Epoch(1)).is_err());
        assert_eq!(acquire(&path, &other, DeploymentId(7)).unwrap(), Ok(Epoch(2)));
        assert!(renew(&path, &one, DeploymentId(1), Epoch(1)).unwrap().is_err());
        // A rollback goes on with the lease of what it takes back.
        renew(&path, &other, DeploymentId(8), Epoch(2)).unwrap().unwrap();
        assert_eq!(holder(&path).unwrap().deployment, DeploymentId(8));
    }

    #[test]
    fn only_the_lease_that_was_seen_is_broken_and_its_holder_finds_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let (one, other) = (asker("a"), asker("b"));
        assert_eq!(break_off(&path, Epoch(1)).unwrap(), Ok(None));
        acquire(&path, &one, DeploymentId(1)).unwrap().unwrap();
        let seen = holder(&path).unwrap();
        let why = break_off(&path, Epoch(7)).unwrap().unwrap_err();
        assert!(why.contains("another lease by now"), "{why}");
        check(&path, Epoch(1)).unwrap();
        assert!(break_off(&path, seen.epoch).unwrap().unwrap().is_some());
        assert!(check(&path, Epoch(1)).is_err());
        assert!(renew(&path, &one, DeploymentId(1), Epoch(1)).unwrap().is_err());
        assert!(holder(&path).is_none());
        assert_eq!(acquire(&path, &other, DeploymentId(7)).unwrap(), Ok(Epoch(2)));
    }

    #[test]
    fn one_without_a_heartbeat_is_taken_over_and_a_broken_file_stops_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        acquire(&path, &asker("a"), DeploymentId(1)).unwrap().unwrap();
        let old = Holder { heartbeat: Timestamp(0), ..holder(&path).unwrap() };
        std::fs::write(&path, serde_json::to_string(&old).unwrap()).unwrap();
        assert!(check(&path, Epoch(1)).is_err());
        assert_eq!(acquire(&path, &asker("b"), DeploymentId(2)).unwrap(), Ok(Epoch(2)));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(acquire(&path, &asker("b"), DeploymentId(3)).unwrap(), Ok(Epoch(1)));
    }
}
