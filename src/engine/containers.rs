//! Replicas in containers, and the Docker engines that they are on: what the watches know, as samples. Nothing here
//! asks an engine anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::select_all;
use tokio::sync::watch;

use super::deployments::{Meant, Wanted};
use crate::docker::labels::Kind;
use crate::docker::seen::{Container, Reached, Seen};
use crate::docker::watch::{Watch, Whose};
use crate::domain::health::{HostSample, ReplicaSample, ReplicaState};
use crate::domain::ids::{EnvironmentName, ReplicaKey};
use crate::domain::project::Host;
use crate::domain::time::Timestamp;

/// How many clauses a host's drift has at most; the rest is counted.
const MOST_CLAUSES: usize = 20;

type Known = BTreeMap<(EnvironmentName, Host), Weak<Watch>>;

/// The engines that are watched: one watch an environment and host, shared by all who want it, and ended when nobody
/// does.
#[derive(Debug, Clone, Default)]
pub(super) struct Engines(Arc<Mutex<Known>>);

impl Engines {
    /// The watch, begun if need be.
    pub(super) fn watch(&self, whose: Whose) -> Arc<Watch> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, watch| watch.strong_count() > 0);
        let key = (whose.environment.clone(), whose.host.clone());
        if let Some(watch) = known.get(&key).and_then(Weak::upgrade) {
            return watch;
        }
        let watch = Arc::new(Watch::begin(whose));
        known.insert(key, Arc::downgrade(&watch));
        watch
    }

    /// What is known of an environment's containers on a host; `None` where nobody watches.
    pub(super) fn seen(&self, environment: &EnvironmentName, host: &Host) -> Option<Arc<Seen>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = known.get(&(environment.clone(), host.clone()))?.upgrade()?;
        Some(watch.seen())
    }

    /// Where a replica that is up can be asked.
    pub(super) fn place(
        &self,
        environment: &EnvironmentName,
        host: &Host,
        key: &ReplicaKey,
    ) -> Option<(IpAddr, u16)> {
        let seen = self.seen(environment, host)?;
        let (_, container) = seen.find(key)?;
        Some((seen.engine.as_ref()?.address(), container.port?))
    }
}

/// The watches of one environment.
#[derive(Default)]
pub(super) struct Held(BTreeMap<Host, (Arc<Watch>, watch::Receiver<Arc<Seen>>)>);

impl Held {
    /// Watches every host that is wanted, and no other.
    pub(super) fn hold(
        &mut self,
        engines: &Engines,
        environment: &EnvironmentName,
        home: &Path,
        wanted: &Wanted,
    ) {
        self.0.retain(|host, _| wanted.hosts.contains(host));
        for host in &wanted.hosts {
            self.0.entry(host.clone()).or_insert_with(|| {
                let watch = engines.watch(Whose {
                    host: host.clone(),
                    home: home.to_owned(),
                    project: wanted.project.clone(),
                    environment: environment.clone(),
                });
                let changes = watch.changes();
                (watch, changes)
            });
        }
    }

    /// What is known of a host.
    pub(super) fn seen(&self, host: &Host) -> Option<Arc<Seen>> {
        self.0.get(host).map(|(watch, _)| watch.seen())
    }

    /// How often something was heard of a lease's container, on all of them.
    pub(super) fn lease_events(&self) -> u64 {
        self.0.values().map(|(watch, _)| watch.seen().lease_events).sum()
    }

    /// Returns when something has changed on one of them.
    pub(super) async fn changed(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let changes = self.0.values_mut().map(|(_, changes)| {
            Box::pin(async {
                // A watch outlives its receiver here: it is held beside it.
                let _ = changes.changed().await;
            })
        });
        select_all(changes).await;
    }

    /// Every host, in the order in which they are configured.
    pub(super) fn hosts(&self, wanted: &Wanted, now: Timestamp) -> Vec<HostSample> {
        let usual =
            usual_settings(self.0.values().map(|(watch, _)| watch.seen()).collect::<Vec<_>>().as_slice());
        let sample = |host: &Host| {
            let seen = self.seen(host).unwrap_or_else(|| Arc::new(Seen::unheard(now)));
            host_sample(host, &seen, wanted, &usual)
        };
        wanted.hosts.iter().map(sample).collect()
    }
}

/// A replica in a container, as it is known.
pub(super) fn sample(meant: &Meant, seen: Option<&Seen>, wanted: &Wanted, now: Timestamp) -> ReplicaSample {
    let found = seen.and_then(|seen| seen.find(&meant.key)).map(|(_, container)| container);
    let state = match seen.map_or(ReplicaState::Unknown, |seen| seen.state(&meant.key)) {
        // The step that makes it is on its way.
        ReplicaState::Gone if found.is_none() && wanted.under_way == Some(meant.key.deployment) => {
            ReplicaState::Starting
        }
        state => state,
    };
    let known = found.filter(|_| state != ReplicaState::Unknown);
    let since = match (state, known) {
        (ReplicaState::Unknown, _) | (_, None) => seen.map_or(now, |seen| seen.since),
        (_, Some(container)) => container.since,
    };
    ReplicaSample {
        key: meant.key.clone(),
        release: meant.release,
        state,
        since,
        restarts: found.map_or(0, |one| one.restarts),
        last_exit: found.and_then(Container::last_exit),
        pid: known.and_then(|one| one.pid),
        port: found.and_then(|one| one.port),
        weight: meant.weight,
        memory: known.and_then(|one| one.memory),
        memory_limit: found.and_then(|one| one.memory_limit),
        cpu_permille: known.and_then(|one| one.cpu_permille),
        host: meant.host.as_ref().map(|host| host.name.clone()),
        health: known.and_then(|one| one.health.clone()),
        oom: known.is_some_and(|one| one.oom),
    }
}

/// Which settings most containers of a deployment's role were made with.
type Usual = BTreeMap<(crate::domain::ids::DeploymentId, String), String>;

fn usual_settings(seen: &[Arc<Seen>]) -> Usual {
    let mut counts: BTreeMap<_, BTreeMap<&String, usize>> = BTreeMap::new();
    for container in seen.iter().flat_map(|seen| seen.containers.values()) {
        if let (Some(key), Some(settings)) = (&container.key, &container.settings) {
            *counts.entry((key.deployment, key.role.clone())).or_default().entry(settings).or_insert(0) += 1;
        }
    }
    let most = counts.into_iter().filter_map(|(set, counts)| {
        let (settings, _) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        Some((set, settings.clone()))
    });
    most.collect()
}

fn host_sample(host: &Host, seen: &Seen, wanted: &Wanted, usual: &Usual) -> HostSample {
    let reached = match &seen.reached {
        Reached::Yes(version) => Ok(version.clone()),
        Reached::No(why) => Err(why.clone()),
        Reached::NotYet => Err("it has not answered yet".to_owned()),
    };
    let mut strays = if reached.is_ok() { drift(host, seen, wanted, usual) } else { Vec::new() };
    if strays.len() > MOST_CLAUSES {
        let more = strays.len() - MOST_CLAUSES;
        strays.truncate(MOST_CLAUSES);
        strays.push(format!("and {more} more"));
    }
    HostSample { name: host.name.clone(), reached, since: seen.since, strays }
}

/// What differs from what was deployed. While a deployment is under way things are not yet, or no longer, as they
/// should be; then only what nobody can want is said.
fn drift(host: &Host, seen: &Seen, wanted: &Wanted, usual: &Usual) -> Vec<String> {
    let is_calm = wanted.under_way.is_none();
    let mut said = Vec::new();
    for (id, container) in &seen.containers {
        let name = &container.name;
        let Some(key) = &container.key else {
            if is_calm && container.is(Kind::Once) && runs(container) {
                said.push(format!("{name} still runs: a command of a deployment that is over"));
            }
            continue;
        };
        let Some(meant) = wanted.replicas.iter().find(|meant| &meant.key == key) else {
            // A stopped one is kept to go back to.
            if is_calm && runs(container) {
                said.push(format!("{name} runs and is not meant to: {}", what(key)));
            }
            continue;
        };
        if let Some(other) = meant.host.as_ref().filter(|other| *other != host) {
            if runs(container) {
                said.push(format!("{name} runs here and belongs on {}", other.name));
            }
            continue;
        }
        if seen.find(key).is_some_and(|(best, _)| best != id) && runs(container) {
            said.push(format!("{name} runs a second time as {}", what(key)));
            continue;
        }
        if let Some(image) = meant.image.as_deref().filter(|image| !is_same_image(&container.image, image)) {
            said.push(format!(
                "{name} runs image {}, deployed was {}",
                short(&container.image),
                short(image)
            ));
        }
        let set = (key.deployment, key.role.clone());
        if let (Some(settings), Some(usual)) = (&container.settings, usual.get(&set))
            && settings != usual
        {
            said.push(format!(
                "{name} was made with other settings than the rest of {} {}",
                key.role, key.deployment
            ));
        }
        if is_calm && container.paused {
            said.push(format!("{name} was paused by somebody: `docker unpause` lets it go on"));
        } else if is_calm && container.state == ReplicaState::Stopped {
            let exit = container.last_exit().map(|exit| format!(" ({exit})")).unwrap_or_default();
            said.push(format!("{name} is stopped and should run{exit}: a redeploy starts it again"));
        }
    }
    for meant in wanted.replicas.iter().filter(|meant| meant.host.as_ref() == Some(host)) {
        if is_calm && seen.find(&meant.key).is_none() {
            said.push(format!(
                "{} is gone: its container was removed; a redeploy makes it anew",
                what(&meant.key)
            ));
        }
    }
    said
}

fn what(key: &ReplicaKey) -> String {
    format!("{}-{} of {}", key.role, key.index, key.deployment)
}

const fn runs(container: &Container) -> bool {
    container.pid.is_some() || matches!(container.state, ReplicaState::Backoff)
}

fn is_same_image(one: &str, other: &str) -> bool {
    one.trim_start_matches("sha256:") == other.trim_start_matches("sha256:")
}

/// The digits of an image's id that people compare.
fn short(image: &str) -> &str {
    image.trim_start_matches("sha256:").get(..12).unwrap_or(image)
}
