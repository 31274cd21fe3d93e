//! Ports that are free on a host, as far as its engine knows. Fixed ones, not those that the engine would pick: those
//! change when a container is started again, and the router would not know.

use std::collections::{BTreeSet, HashMap};

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptions;

use crate::docker::Engine;
use crate::docker::labels;
use crate::docker::trouble::{Result, cause};

/// Where ports are looked for: below what Linux gives to outgoing connections (32768 and up), above what servers are
/// usually given.
const FROM: u16 = 20_000;
const UNTIL: u16 = 30_000;

/// The ports that nobody on the engine has published, the lowest first. What else listens on the host is found out at
/// the start.
pub(super) async fn free(engine: &Engine) -> Result<impl Iterator<Item = u16> + use<>> {
    let options = ListContainersOptions { all: true, ..ListContainersOptions::default() };
    let all = engine.client().list_containers(Some(options)).await;
    let all = all.map_err(|error| cause(engine.name(), "the containers could not be listed", &error))?;
    let taken: BTreeSet<u16> = all.iter().flat_map(published).collect();
    Ok((FROM..UNTIL).filter(move |port| !taken.contains(port)))
}

/// What a container has published, or would if it ran: a stopped one of ours keeps its port for its next start.
fn published(container: &ContainerSummary) -> Vec<u16> {
    let ports = container.ports.iter().flatten().filter_map(|port| port.public_port);
    let label = |labels: &HashMap<String, String>| labels.get(labels::PORT)?.parse().ok();
    ports.chain(container.labels.as_ref().and_then(label)).collect()
}
