//! What may go. The journal is never pruned; logs, kept directories and artifacts are.
//!
//! [`plan`] decides, from the state and from what lies there; [`sweep`] deletes exactly that. Run it in a moment
//! when no run begins: an artifact that is about to be found again must not go under its finder's feet.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::StoreError;
use super::layout::Layout;
use crate::domain::ids::{DeploymentId, Owner, ReleaseNumber, ReplicaKey, RunId};
use crate::domain::release::Artifact;
use crate::domain::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, Run, RunPhase, State};

/// Runs whose logs and results are kept.
pub const RUNS_WITH_LOGS: usize = 200;
/// Runs whose working directories are kept, for a look at what failed.
pub const RUNS_WITH_DIRECTORIES: usize = 5;
/// Releases whose artifacts are kept whether they are deployed or not.
pub const RELEASES_WITH_ARTIFACTS: usize = 20;
/// Releases that were live in an environment and can be gone back to, whose artifacts are kept.
pub const TARGETS_WITH_ARTIFACTS: usize = 5;
/// Deployments whose steps' and replicas' logs are kept, of all environments together.
pub const DEPLOYMENTS_WITH_LOGS: usize = 100;
/// The directory of an attempt that stays longer than the others.
const LOG: &str = "log";
/// What a directory that is being deleted is called first.
const DOOMED: &str = ".doomed-";

/// What lies on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// Run directories.
    pub runs: BTreeSet<RunId>,
    /// Names in the artifacts' directory.
    pub artifacts: BTreeSet<String>,
    /// Deployments' directories.
    pub deployments: BTreeSet<DeploymentId>,
}

/// What may go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Runs of which nothing is kept.
    pub runs: BTreeSet<RunId>,
    /// Runs of which only logs and results are kept.
    pub directories: BTreeSet<RunId>,
    /// Names in the artifacts' directory.
    pub artifacts: BTreeSet<String>,
    /// Deployments of which nothing is kept: what their steps left, and every replica that they started.
    pub deployments: BTreeMap<DeploymentId, BTreeSet<ReplicaKey>>,
}

/// Decides what may go. What is under way, live, a way back or a rollback target never does.
#[must_use]
pub fn plan(state: &State, present: &Present) -> Sweep {
    // What is still on an engine is found by what lies in the attempt's directory.
    let keeps = |run: &RunId| state.kept.iter().any(|kept| kept.key.owner == Owner::Run(*run));
    let is_open = |run: &RunId| {
        keeps(run) || state.runs.get(run).is_some_and(|run| !matches!(run.phase, RunPhase::Ended(_)))
    };
    let newest = |count: usize| state.runs.keys().rev().take(count).copied().collect::<BTreeSet<RunId>>();
    let with_logs = newest(RUNS_WITH_LOGS);
    let with_directories = newest(RUNS_WITH_DIRECTORIES);
    // A directory of a run that the state does not know is not ours to judge.
    let known = present.runs.iter().filter(|run| state.runs.contains_key(run) && !is_open(run));
    let (gone, kept): (BTreeSet<RunId>, BTreeSet<RunId>) = known.partition(|run| !with_logs.contains(run));
    let directories = kept.into_iter().filter(|run| !with_directories.contains(run)).collect();
    Sweep {
        runs: gone,
        directories,
        artifacts: artifacts(state, present, &with_directories),
        deployments: deployments(state, present),
    }
}

/// Old deployments that are over, and of which nothing runs.
fn deployments(state: &State, present: &Present) -> BTreeMap<DeploymentId, BTreeSet<ReplicaKey>> {
    let newest: BTreeSet<DeploymentId> =
        state.deployments.keys().rev().take(DEPLOYMENTS_WITH_LOGS).copied().collect();
    let mut old = BTreeMap::new();
    for number in present.deployments.difference(&newest) {
        let Some(deployment) = state.deployments.get(number) else { continue };
        let mut running = state.running(&deployment.environment).into_iter();
        if deployment.is_open() || running.any(|key| key.deployment == *number) {
            continue;
        }
        let own = state.set_of(*number).into_iter().filter(|key| key.deployment == *number);
        old.insert(*number, own.collect());
    }
    old
}

fn artifacts(state: &State, present: &Present, with_directories: &BTreeSet<RunId>) -> BTreeSet<String> {
    // What a run builds, or finds again, is not in the state before its step has ended.
    let is_building = |run: &Run| {
        matches!(run.phase, RunPhase::Preparing | RunPhase::Running | RunPhase::Cancelling { .. })
    };
    if state.runs.values().any(is_building) {
        return BTreeSet::new();
    }
    let mut needed: Vec<&Artifact> = Vec::new();
    for release in releases(state) {
        needed.extend(state.releases.get(&release).map(|release| &release.artifact));
    }
    for (id, run) in &state.runs {
        if with_directories.contains(id) || !matches!(run.phase, RunPhase::Ended(_)) {
            needed.extend(run.steps.values().filter_map(|step| step.output.artifact.as_ref()));
        }
    }
    let is_needed = |name: &String| {
        needed.iter().any(|artifact| {
            artifact.inputs == *name
                || Path::new(&artifact.location).components().any(|part| part.as_os_str() == name.as_str())
        })
    };
    present.artifacts.iter().filter(|name| name.starts_with(DOOMED) || !is_needed(name)).cloned().collect()
}

/// The releases whose artifacts are kept.
fn releases(state: &State) -> BTreeSet<ReleaseNumber> {
    let mut kept: BTreeSet<ReleaseNumber> =
        state.releases.keys().rev().take(RELEASES_WITH_ARTIFACTS).copied().collect();
    let mut keep = |deployment: &Deployment| {
        kept.insert(deployment.release);
        if let Some(target) = deployment.way_back.target.and_then(|target| state.deployments.get(&target)) {
            kept.insert(target.release);
        }
    };
    for deployment in state.deployments.values() {
        if !matches!(deployment.phase, DeploymentPhase::Ended(_)) {
            keep(deployment);
        }
    }
    // What runs needs its files, whatever was decided about it.
    for deployment in state.deployments.values() {
        for key in state.running(&deployment.environment) {
            state.deployments.get(&key.deployment).into_iter().for_each(&mut keep);
        }
    }
    for observation in state.observed.values() {
        if let Some(live) = observation.live.as_ref().and_then(|live| state.deployments.get(&live.deployment))
        {
            keep(live);
        }
    }
    let taken_back: BTreeSet<_> = state
        .deployments
        .values()
        .filter_map(|deployment| match deployment.kind {
            DeploymentKind::Rollback { of, .. } => Some(of),
            _ => None,
        })
        .collect();
    let environments: BTreeSet<_> =
        state.deployments.values().map(|deployment| &deployment.environment).collect();
    for environment in environments {
        let mut targets = BTreeSet::new();
        for (id, deployment) in state.deployments.iter().rev() {
            if targets.len() >= TARGETS_WITH_ARTIFACTS {
                break;
            }
            let was_live = matches!(
                deployment.phase,
                DeploymentPhase::Ended(Ending::Live | Ending::LiveUnverified { .. })
            );
            if deployment.environment == *environment && was_live {
                // Those that were taken back are kept on the way, but are not counted as targets.
                keep(deployment);
                if !taken_back.contains(id) {
                    targets.insert(deployment.release);
                }
            }
        }
    }
    kept
}

/// What lies on the disk of a project.
///
/// # Errors
/// What the system says.
pub fn present(layout: &Layout) -> Result<Present, StoreError> {
    let runs = names(&layout.state.join("runs"))?;
    let deployments = names(&layout.state.join("deployments"))?;
    Ok(Present {
        deployments: deployments.iter().filter_map(|name| name.parse().ok()).collect(),
        runs: runs.iter().filter_map(|name| name.parse().ok()).collect(),
        artifacts: names(&layout.artifacts())?,
    })
}

/// Deletes what [`plan`] decided. What cannot be deleted is left for the next sweep, and the others go on; the
/// first of the errors is given.
///
/// # Errors
/// What the system says.
pub fn sweep(layout: &Layout, sweep: &Sweep) -> Result<(), StoreError> {
    let mut first = Ok(());
    let mut note = |result: Result<(), StoreError>| {
        if first.is_ok() {
            first = result;
        }
    };
    for name in &sweep.artifacts {
        let path = layout.artifacts().join(name);
        // Renamed first: whoever looks for an artifact finds it whole or not at all.
        let doomed = layout.artifacts().join(format!("{DOOMED}{name}"));
        if name.starts_with(DOOMED) {
            note(delete(&path));
        } else {
            note(std::fs::rename(&path, &doomed).map_err(|source| StoreError::io(&path, "removed", source)));
            note(delete(&doomed));
        }
    }
    for run in &sweep.runs {
        note(delete(&layout.run(*run)));
    }
    for (deployment, replicas) in &sweep.deployments {
        for replica in replicas {
            note(delete(&layout.replica(replica)));
        }
        note(delete(&layout.deployment(*deployment)));
    }
    for run in &sweep.directories {
        note(delete_directories(&layout.run(*run)));
    }
    first
}

/// Deletes what the attempts of a run keep beside their log, result and specification.
fn delete_directories(run: &Path) -> Result<(), StoreError> {
    for step in names(run)? {
        let step = run.join(step);
        for attempt in names(&step)? {
            let attempt = step.join(attempt);
            for name in names(&attempt)?.into_iter().filter(|name| name != LOG) {
                let path = attempt.join(name);
                if path.symlink_metadata().is_ok_and(|found| found.is_dir()) {
                    delete(&path)?;
                }
            }
        }
    }
    Ok(())
}

/// Deletes a directory with all that is in it; read-only directories in it too. Links are not followed.
fn delete(path: &Path) -> Result<(), StoreError> {
    let deleted = match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            make_writable(path);
            std::fs::remove_dir_all(path)
        }
        deleted => deleted,
    };
    match deleted {
        Err(source) if source.kind() == ErrorKind::NotADirectory => {
            std::fs::remove_file(path).map_err(|source| StoreError::io(path, "removed", source))
        }
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::io(path, "removed", source)),
        _ => Ok(()),
    }
}

/// Artifacts are read-only; a directory has to be writable for what is in it to go.
fn make_writable(directory: &Path) {
    if !directory.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return;
    }
    // What fails here shows when it is deleted.
    let _ = std::fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        make_writable(&entry.path());
    }
}

/// The names in a directory; none where it is missing or not a directory.
fn names(directory: &Path) -> Result<BTreeSet<String>, StoreError> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(BTreeSet::new());
        }
        entries => entries.map_err(|source| StoreError::io(directory, "read", source))?,
    };
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

#[cfg(test)]
mod tests;
