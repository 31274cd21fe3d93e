//! What the loop knows of deployments beyond their state: leases, what secrets are taken from, what is meant to live.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::core::Engine;
use super::log;
use crate::domain::event::Event;
use crate::domain::ids::{DeploymentId, EnvironmentName, ReleaseNumber, ReplicaKey};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::Environment;
use crate::domain::state::State;
use crate::runtime::environment;
use crate::runtime::lease::{self, Asker};

/// A replica that is meant to live, as the tasks that watch over environments see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) key: ReplicaKey,
    pub(super) release: ReleaseNumber,
    /// Per cent of the traffic that it has by the record; `None` where it is not routed.
    pub(super) weight: Option<u8>,
}

/// What is meant to live, by environment: written by the loop, read by its watches.
#[derive(Debug, Clone, Default)]
pub(super) struct MeantToLive(Arc<Mutex<BTreeMap<EnvironmentName, Vec<Meant>>>>);

impl MeantToLive {
    /// What is meant to live there.
    pub(super) fn of(&self, environment: &EnvironmentName) -> Vec<Meant> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(environment).cloned().unwrap_or_default()
    }

    /// Takes over what the state says.
    pub(super) fn update(&self, state: &State) {
        let mut all = BTreeMap::new();
        for deployment in state.deployments.values() {
            let name = &deployment.environment;
            if !all.contains_key(name) {
                all.insert(name.clone(), meant(state, name));
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
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
            let release = state.deployments.get(&key.deployment)?.release;
            let weight = (key.role == ROUTED_ROLE).then(|| u8::try_from(weight(&key)).unwrap_or(100));
            Some(Meant { key, release, weight })
        })
        .collect()
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

    /// Where the lease of a deployment's environment lies.
    pub(super) fn lease_path(&self, environment: &EnvironmentName, deployment: DeploymentId) -> PathBuf {
        let home = self.layout.repository.join(&self.layout.root);
        home.join(lease::path(&self.settings_of(deployment), &self.layout.environment(environment)))
    }

    /// Who asks for a lease.
    pub(super) fn asker(&self) -> Asker {
        Asker { engine: self.layout.state.clone(), repository: self.layout.repository.clone() }
    }

    /// A deployment that is over gives its lease back.
    pub(super) fn give_back_leases(&self, events: &[Event]) {
        for event in events {
            let Event::DeploymentFinished { deployment, .. } = event else { continue };
            let Some(ended) = self.state.deployments.get(deployment) else { continue };
            let path = self.lease_path(&ended.environment, *deployment);
            let (asker, deployment) = (self.asker(), *deployment);
            tokio::task::spawn_blocking(move || {
                if let Err(error) = lease::release(&path, &asker, deployment) {
                    log(&format!("the lease of {deployment} could not be given back: {error:#}"));
                }
            });
        }
    }
}
