//! A replica is stopped, and removed when nobody wants it any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bollard::query_parameters::{RemoveContainerOptionsBuilder, StopContainerOptionsBuilder};

use super::look;
use super::start::{found, label};
use crate::docker::patience::asked;
use crate::docker::trouble::{Result, cause, status};
use crate::docker::{Engine, labels};
use crate::domain::ids::{DeploymentId, EnvironmentName, ReplicaKey};
use crate::domain::time::Millis;

/// What Docker gives a container whose own word is not known, seconds.
const USUAL: i64 = 10;
/// How much longer the answer may take where it had to be killed.
const KILLED: Duration = Duration::from_secs(60);

/// How a replica was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// It did not end in its time and was killed.
    pub killed: bool,
    /// How long it took.
    pub took: Millis,
}

/// Stops a replica and leaves its container; `None` when there is none, or it has ended already.
///
/// # Errors
/// When the engine cannot be asked, or cannot end it.
pub async fn stop(engine: &Engine, project: &str, key: &ReplicaKey) -> Result<Option<Stopped>> {
    let name = labels::replica(project, key);
    let Some(there) =
        found(engine, &name).await?.filter(|there| label(there, labels::PROJECT) == Some(project))
    else {
        return Ok(None);
    };
    let running = there
        .state
        .as_ref()
        .is_some_and(|state| state.running.unwrap_or(false) || state.restarting.unwrap_or(false));
    let began = Instant::now();
    let config = there.config.as_ref();
    let seconds =
        config.and_then(|config| config.stop_timeout).unwrap_or(USUAL).clamp(0, i64::from(i32::MAX));
    let patience = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let options =
        StopContainerOptionsBuilder::default().t(i32::try_from(seconds).unwrap_or(i32::MAX)).build();
    // The answer comes when it has ended, which is later than any other answer may come.
    let client = engine.client().clone().with_timeout(patience + KILLED);
    // Also one that has ended: the engine must not start it again after a reboot.
    match asked(|| client.stop_container(&name, Some(options.clone()))).await {
        Err(error) if !matches!(status(&error), Some(304 | 404)) => {
            return Err(cause(engine.name(), &format!("{name} could not be stopped"), &error));
        }
        _ => {}
    }
    if !running {
        return Ok(None);
    }
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    Ok(Some(Stopped { killed: began.elapsed() >= patience && !patience.is_zero(), took }))
}

/// Removes ended replicas of an environment: those of other deployments than `wanted` and the newest `keep` that have
/// ended ones. Gives back how many. What runs is never touched.
///
/// # Errors
/// When the engine cannot be asked.
pub async fn prune(
    engine: &Engine,
    project: &str,
    environment: &EnvironmentName,
    wanted: &BTreeSet<DeploymentId>,
    keep: usize,
) -> Result<usize> {
    let ours = labels::of_environment(labels::Kind::Replica, project, environment);
    let mut ended: BTreeMap<DeploymentId, Vec<String>> = BTreeMap::new();
    for container in look::all(engine, &ours).await? {
        let labels: BTreeMap<String, String> = container.labels.unwrap_or_default().into_iter().collect();
        let state = container.state.map(|state| state.to_string()).unwrap_or_default();
        if let (Some(key), Some(id), true) =
            (labels::key(&labels), container.id, matches!(state.as_str(), "exited" | "dead" | "created"))
        {
            ended.entry(key.deployment).or_default().push(id);
        }
    }
    let mut removed = 0;
    let others: Vec<_> = ended.into_iter().filter(|(deployment, _)| !wanted.contains(deployment)).collect();
    let going = others.len().saturating_sub(keep);
    for id in others.into_iter().take(going).flat_map(|(_, ids)| ids) {
        let options = RemoveContainerOptionsBuilder::default().v(true).build();
        // One that was started again in between is refused, which is right.
        removed += usize::from(engine.client().remove_container(&id, Some(options)).await.is_ok());
    }
    Ok(removed)
}
