//! Networks: an environment's own on each host.

use std::collections::HashMap;

use bollard::models::NetworkCreateRequest;

use super::patience::asked;
use super::trouble::{Result, cause, status};
use super::{Engine, labels};
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::Cause;

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
