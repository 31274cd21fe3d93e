//! (g) On Docker: the demo is taken away, and the engine is asked what it still has of the project.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::check;
use super::walk::Walk;
use crate::cli::failure::Failure;
use crate::demo::{ENVIRONMENTS, clean, on_docker};
use crate::docker::found;

/// How long a connection may take that is to be refused.
const REFUSED: Duration = Duration::from_secs(2);

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let place = walk.place.clone();
    let project = place.project().to_owned();
    let engine = on_docker::engine().await?;
    let left =
        async || found::of_project(&engine, &project).await.map_err(|cause| on_docker::failure(&cause));
    let before = left().await?;
    check(
        !before.containers.is_empty(),
        "containers of the project before",
        format!("none of {project} on {}", engine.name()),
    )?;
    walk.teller.say(&format!("  $ towpath demo --clean --dir {}", place.root().display()))?;
    clean::clean(&place, &mut walk.teller).await?;
    let after = left().await?;
    check(after.is_empty(), &format!("nothing with the label of {project} on {}", engine.name()), &after)?;
    for environment in ENVIRONMENTS {
        let ports = place.ports(environment)?;
        for port in [ports.nginx, ports.postgres, ports.valkey] {
            let at = SocketAddr::from(([127, 0, 0, 1], port));
            let listens = TcpStream::connect_timeout(&at, REFUSED).is_ok();
            check(!listens, &format!("nobody listens at {at}"), "somebody does")?;
        }
    }
    check(!place.root().exists(), "the demo's directory is gone", place.root().display())?;
    walk.teller.say(&format!("  before: {before}; after: {after}"))?;
    Ok(json!({
        "containers": before.containers.len(), "networks": before.networks.len(), "volumes": before.volumes.len(),
        "image_names": before.images.len(), "left": after.containers.len() + after.networks.len() + after.volumes.len() + after.images.len(),
    }))
}
