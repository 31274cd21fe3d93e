//! Networks: an environment's own on each host.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use bollard::models::NetworkCreateRequest;

use super::patience::asked;
use super::trouble::{Result, cause, status};
use super::{Engine, labels};
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::Cause;

/// The network that every engine has from the beginning.
const DEFAULT: &str = "bridge";

/// The address that the engine's machine has on its default bridge: where containers reach what listens there.
///
/// # Errors
/// When the engine has no such bridge, or does not say.
pub async fn gateway(engine: &Engine) -> Result<IpAddr> {
    let found = engine.client().inspect_network(DEFAULT, None).await;
    let found = found.map_err(|error| {
        cause(engine.name(), "the engine's default bridge could not be looked at", &error)
    })?;
    let pools = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let said = pools.iter().find_map(|pool| pool.gateway.as_deref()?.parse().ok());
    // An engine that found its bridge there already may name the network alone; its machine is the first in it.
    let first = || pools.iter().find_map(|pool| first_of(pool.subnet.as_deref()?));
    said.or_else(first).ok_or_else(|| {
        Box::new(Cause {
            summary: format!("{} does not say its address on the default bridge", engine.name()),
            expected: "a network `bridge` with an address (docker network inspect bridge)".to_owned(),
            measured: "none".to_owned(),
            cure: "Start the engine with its default bridge (without `\"bridge\": \"none\"` in daemon.json)."
                .to_owned(),
            ..Cause::default()
        })
    })
}

/// The first address of a network such as `172.17.0.0/16`; only IPv4.
fn first_of(subnet: &str) -> Option<IpAddr> {
    let (network, _) = subnet.split_once('/')?;
    let network: Ipv4Addr = network.parse().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from_bits(network.to_bits().checked_add(1)?)))
}

/// The network of an environment on a host. `named` is the configuration's, which must be there; without it one of our
/// own is made where it is missing.
///
/// # Errors
/// When it is not there, or cannot be made.
pub async fn of_environment(
    engine: &Engine,
    project: &str,
    environment: &EnvironmentName,
    named: Option<&str>,
) -> Result<String> {
    let name = named.map_or_else(|| format!("towpath-{project}-{environment}"), ToOwned::to_owned);
    match asked(|| engine.client().inspect_network(&name, None)).await {
        Ok(_) => return Ok(name),
        Err(error) if status(&error) == Some(404) => {}
        Err(error) => {
            return Err(cause(engine.name(), &format!("the network {name} could not be looked at"), &error));
        }
    }
    if named.is_some() {
        return Err(Box::new(Cause {
            summary: format!("there is no network {name} on {}", engine.name()),
            expected: format!("the network that [environment.{environment}] network names"),
            measured: "no network of that name".to_owned(),
            cure: format!("Make it there (docker network create {name}), or leave network out."),
            ..Cause::default()
        }));
    }
    let ours = labels::of_environment(labels::Kind::Network, project, environment);
    let wanted = NetworkCreateRequest {
        name: name.clone(),
        driver: Some("bridge".to_owned()),
        labels: Some(ours.into_iter().collect::<HashMap<_, _>>()),
        ..NetworkCreateRequest::default()
    };
    match engine.client().create_network(wanted).await {
        Ok(_) => Ok(name),
        // Somebody was faster.
        Err(error) if status(&error) == Some(409) => Ok(name),
        Err(error) => Err(cause(engine.name(), &format!("the network {name} could not be made"), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_the_first_in_its_network() {
        assert_eq!(first_of("172.17.0.0/16"), Some(IpAddr::from([172, 17, 0, 1])));
        assert_eq!(first_of("fd00::/64"), None);
        assert_eq!(first_of("172.17.0.0"), None);
    }
}
