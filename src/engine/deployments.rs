//! What the loop knows of deployments beyond their state: leases, what secrets are taken from, what is meant to live.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::core::Engine;
use super::log;
use crate::docker::watch::Whose;
use crate::domain::event::Event;
use crate::domain::ids::{DeploymentId, EnvironmentName, Epoch, ReleaseNumber, ReplicaKey};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, Host};
use crate::domain::state::State;
use crate::runtime::environment;
use crate::runtime::lease::{self, Asker, Lease};
use crate::store::layout::Layout;

/// How often it is tried to give a lease back; after that it runs out.
const GIVEN_BACK: u32 = 3;

/// A replica that is meant to live, as the tasks that watch over environments see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) key: ReplicaKey,
    pub(super) release: ReleaseNumber,
    /// Per cent of the traffic that it has by the record; `None` where it is not routed.
    pub(super) weight: Option<u8>,
    /// The Docker engine that it is on; `None` on the process runtime.
    pub(super) host: Option<Host>,
    /// The id of the image that was deployed; `None` on the process runtime.
    pub(super) image: Option<String>,
}

/// An environment as the tasks that watch over it see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What is meant to live there.
    pub(super) replicas: Vec<Meant>,
    /// Every Docker engine that it has, or that something of it lives on.
    pub(super) hosts: Vec<Host>,
    /// The deployment that is under way.
    pub(super) under_way: Option<DeploymentId>,
    /// The newest deployment, by whose settings it goes.
    pub(super) newest: Option<DeploymentId>,
    /// The project's name.
    pub(super) project: String,
}

/// What is meant to live, by environment: written by the loop, read by its watches.
#[derive(Debug, Clone, Default)]
pub(super) struct MeantToLive(Arc<Mutex<BTreeMap<EnvironmentName, Wanted>>>);

impl MeantToLive {
    /// What is wanted there.
    pub(super) fn of(&self, environment: &EnvironmentName) -> Wanted {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(environment).cloned().unwrap_or_default()
    }

    /// Takes over what the state says.
    pub(super) fn update(&self, state: &State) {
        let mut all = BTreeMap::new();
        for deployment in state.deployments.values() {
            let name = &deployment.environment;
            if !all.contains_key(name) {
                all.insert(name.clone(), wanted(state, name));
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

fn wanted(state: &State, name: &EnvironmentName) -> Wanted {
    let replicas = meant(state, name);
    let mut hosts: Vec<Host> = Vec::new();
    let today = state.project.as_ref().and_then(|project| project.environments.get(name));
    let newest = state.deployments.iter().rev().find(|(_, one)| &one.environment == name);
    let configured =
        newest.filter(|(_, one)| one.is_open()).map(|(_, one)| &one.settings).into_iter().chain(today);
    let known = configured.flat_map(|settings| &settings.hosts);
    for host in known.chain(replicas.iter().filter_map(|one| one.host.as_ref())) {
        if !hosts.contains(host) {
            hosts.push(host.clone());
        }
    }
    Wanted {
        replicas,
        hosts,
        under_way: state.under_way(name).map(|(number, _)| number),
        newest: newest.map(|(number, _)| *number),
        project: project_name(state),
    }
}

fn meant(state: &State, name: &EnvironmentName) -> Vec<Meant> {
    let traffic = state.traffic(name);
    let weight = |key: &ReplicaKey| {
        let share = traffic.iter().find(|share| {
            let replicas = &share.replicas;
            replicas.of == Some(key.deployment)
                && (replicas.first..replicas.first + replicas.count).contains(&key.index)
        });
        share.map_or(0, |share| u32::from(share.weight) / share.replicas.count.max(1))
    };
    let running = state.running(name).into_iter();
    running
        .filter_map(|key| {
            let deployment = state.deployments.get(&key.deployment)?;
            let release = deployment.release;
            let weight = (key.role == ROUTED_ROLE).then(|| u8::try_from(weight(&key)).unwrap_or(100));
            let host = deployment.settings.host_of(key.index).cloned();
            let artifact = state.releases.get(&release).map(|release| release.artifact.id.0.clone());
            let image = artifact.filter(|_| host.is_some());
            Some(Meant { key, release, weight, host, image })
        })
        .collect()
}

/// An environment as its newest deployment goes by it, or, before the first, as it is configured.
pub(super) fn newest_settings(state: &State, environment: &EnvironmentName) -> Environment {
    let newest = state.deployments.values().rev().find(|one| &one.environment == environment);
    let today = || state.project.as_ref().and_then(|project| project.environments.get(environment));
    newest.map(|one| &one.settings).or_else(today).cloned().unwrap_or_default()
}

/// Where the lease of an environment lies, by its newest deployment.
pub(super) fn newest_lease(state: &State, layout: &Layout, environment: &EnvironmentName) -> Lease {
    lease_of(state, layout, &newest_settings(state, environment), environment)
}

/// Where the lease of an environment lies that is set up so.
pub(super) fn lease_of(
    state: &State,
    layout: &Layout,
    settings: &Environment,
    environment: &EnvironmentName,
) -> Lease {
    let home = layout.repository.join(&layout.root);
    Lease::of(settings, &project_name(state), environment, (&layout.environment(environment), &home))
}

/// The project's name; empty before its configuration was read.
pub(super) fn project_name(state: &State) -> String {
    state.project.as_ref().map_or_else(String::new, |project| project.name.clone())
}

impl Engine {
    /// The variables of this process's own environment that secrets are taken from.
    pub(super) fn secret_variables(&self) -> BTreeMap<String, String> {
        environment::with_secrets(&self.state.secret_variables(), std::env::vars())
    }

    /// The environment as a deployment goes by it.
    pub(super) fn settings_of(&self, deployment: DeploymentId) -> Environment {
        self.state.deployments.get(&deployment).map(|one| one.settings.clone()).unwrap_or_default()
    }

    /// The project's directory in the operator's working tree.
    pub(super) fn home(&self) -> PathBuf {
        self.layout.repository.join(&self.layout.root)
    }

    /// Whose containers are looked for on a host.
    pub(super) fn whose(&self, environment: &EnvironmentName, host: &Host) -> Whose {
        Whose {
            host: host.clone(),
            home: self.home(),
            project: project_name(&self.state),
            environment: environment.clone(),
        }
    }

    /// Where the lease of a deployment's environment lies.
    pub(super) fn lease(&self, environment: &EnvironmentName, deployment: DeploymentId) -> Lease {
        lease_of(&self.state, &self.layout, &self.settings_of(deployment), environment)
    }

    /// Where the lease of an environment lies, by its newest deployment.
    pub(super) fn newest_lease(&self, environment: &EnvironmentName) -> Lease {
        newest_lease(&self.state, &self.layout, environment)
    }

    /// Who asks for a lease.
    pub(super) fn asker(&self) -> Asker {
        Asker { engine: self.layout.state.clone(), repository: self.layout.repository.clone() }
    }

    /// The leases of deployments that these events are the end of. To be asked before they are applied.
    pub(super) fn ending_leases(&self, events: &[Event]) -> Vec<(Lease, DeploymentId, Epoch)> {
        let ended = events.iter().filter_map(|event| match event {
            Event::DeploymentFinished { deployment, .. } => Some(deployment),
            _ => None,
        });
        ended
            .filter_map(|deployment| {
                let ended = self.state.deployments.get(deployment)?;
                Some((self.lease(&ended.environment, *deployment), *deployment, ended.lease?))
            })
            .collect()
    }

    /// A deployment that is over gives its lease back.
    pub(super) fn give_back(&self, leases: Vec<(Lease, DeploymentId, Epoch)>) {
        for (lease, deployment, epoch) in leases {
            let asker = self.asker();
            tokio::spawn(async move {
                for tried in 1..=GIVEN_BACK {
                    match lease.release(&asker, deployment, epoch).await {
                        Ok(()) => return,
                        Err(denied) => log(&format!(
                            "the lease of {deployment} could not be given back (try {tried}): {denied}"
                        )),
                    }
                    tokio::time::sleep(lease::HEARTBEAT.into()).await;
                }
            });
        }
    }

    /// An engine that died between a deployment's end and the lease's leaves the lease behind: it is given back.
    pub(super) fn give_back_left_behind(&self) {
        let environments: BTreeSet<&EnvironmentName> =
            self.state.deployments.values().map(|deployment| &deployment.environment).collect();
        for environment in environments {
            let open =
                self.state.deployments.values().any(|one| &one.environment == environment && one.is_open());
            let newest = self.state.deployments.iter().rev().find(|(_, one)| &one.environment == environment);
            let Some((deployment, _)) = newest.filter(|_| !open) else { continue };
            let (lease, asker, deployment) =
                (self.lease(environment, *deployment), self.asker(), *deployment);
            tokio::spawn(async move {
                if let Ok(Some((epoch, holder))) = lease.holder(&asker).await
                    && holder.ours
                    && let Err(denied) = lease.release(&asker, deployment, epoch).await
                {
                    log(&format!("a lease that was left behind could not be given back: {denied}"));
                }
            });
        }
    }
}
