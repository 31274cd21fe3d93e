//! A replica is made and started, at most once: doing it twice is doing it once, and a reply that was lost is looked
//! for.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig, HostConfigLogConfig,
    NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};

use super::{Wanted, port};
use crate::docker::patience::asked;
use crate::docker::trouble::{Result, cause, status};
use crate::docker::{Engine, labels};
use crate::domain::ids::ReplicaKey;
use crate::domain::plan::Cause;

/// How many ports are tried: what else listens on a host is found out only by trying.
const PORTS: usize = 32;
/// How large a container's log may grow on its host, and how many of them are kept: without a bound Docker's own
/// default fills the disk.
const LOG_SIZE: &str = "50m";
const LOG_FILES: &str = "3";
/// The driver of an engine that was not told otherwise.
const DEFAULT_LOG: &str = "json-file";

/// Makes sure that the replica is there and was started. Gives the host's port back, where one is published.
///
/// # Errors
/// When it cannot be, and why: the image is not there, every port is taken, its name is a stranger's.
pub async fn start(engine: &Engine, wanted: &Wanted) -> Result<Option<u16>> {
    let name = labels::replica(&wanted.project, &wanted.key);
    if let Some(there) = found(engine, &name).await? {
        ours(engine, &name, &there, wanted)?;
        let port = label(&there, labels::PORT).and_then(|port| port.parse().ok());
        if wanted.port.is_none() || port.is_some() {
            match run(engine, &name).await? {
                Ran::Yes => return Ok(port),
                Ran::PortTaken(said) if was_started(&there) => {
                    return Err(taken(engine, &name, &said));
                }
                // Made by an attempt that died before it found a port.
                Ran::PortTaken(_) => {}
            }
        }
        remove(engine, &name).await?;
    }
    let mut said = String::new();
    let mut ports = match wanted.port {
        Some(_) => port::free(engine).await?.take(PORTS).map(Some).collect(),
        None => vec![None],
    }
    .into_iter();
    loop {
        let Some(port) = ports.next() else { return Err(taken(engine, &name, &said)) };
        create(engine, wanted, &name, port).await?;
        match run(engine, &name).await? {
            Ran::Yes => return Ok(port),
            Ran::PortTaken(why) => said = why,
        }
        remove(engine, &name).await?;
    }
}

/// From here on the engine starts it again whenever it ends, after a reboot too. Not before it was well: until then an
/// end is to be seen, with its exit code.
///
/// # Errors
/// When the engine refuses.
pub async fn keep(engine: &Engine, project: &str, key: &ReplicaKey) -> Result<()> {
    let name = labels::replica(project, key);
    let update = bollard::models::ContainerUpdateBody {
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
            maximum_retry_count: None,
        }),
        ..Default::default()
    };
    let done = asked(|| engine.client().update_container(&name, update.clone())).await;
    done.map_err(|error| {
        cause(engine.name(), &format!("{name} could not be given its restart policy"), &error)
    })
}

enum Ran {
    Yes,
    PortTaken(String),
}

/// Starts what is there. A reply that does not come is asked for again: starting what runs changes nothing.
async fn run(engine: &Engine, name: &str) -> Result<Ran> {
    match asked(|| engine.client().start_container(name, None)).await {
        // 304: it runs already.
        Ok(()) | Err(Error::DockerResponseServerError { status_code: 304, .. }) => Ok(Ran::Yes),
        Err(Error::DockerResponseServerError { message, .. }) if is_port_taken(&message) => {
            Ok(Ran::PortTaken(message.trim().to_owned()))
        }
        Err(error) => Err(not_started(engine, name, &error)),
    }
}

fn is_port_taken(said: &str) -> bool {
    said.contains("port is already allocated")
        || said.contains("address already in use")
        || said.contains("ports are not available")
}

fn not_started(engine: &Engine, name: &str, error: &Error) -> Box<Cause> {
    let mut cause = cause(engine.name(), &format!("{name} could not be started"), error);
    "a container that starts".clone_into(&mut cause.expected);
    if cause.measured.contains("executable file not found")
        || cause.measured.contains("no such file or directory")
    {
        "The image has no such program. A role's command that needs a shell needs one in the image; a plain command \
         (words, $PORT) is run without."
            .clone_into(&mut cause.cure);
    } else if cause.measured.contains("cannot assign requested address") {
        "That address is none of the host's: write the one at which the router reaches it, hosts = [{ url = …, \
         address = \"…\" }]."
            .clone_into(&mut cause.cure);
    }
    cause
}

fn taken(engine: &Engine, name: &str, said: &str) -> Box<Cause> {
    Box::new(Cause {
        summary: format!("{name} found no free port on {}: {said}", engine.name()),
        expected: format!("a free port at {}", engine.address()),
        measured: said.to_owned(),
        cure: "See what listens there (ss -ltnp); end it, or go on when it is gone.".to_owned(),
        ..Cause::default()
    })
}

/// The container of that name; `None` when there is none.
pub(super) async fn find(engine: &Engine, name: &str) -> Result<Option<ContainerInspectResponse>> {
    looked_at(engine, name, engine.client().inspect_container(name, None).await)
}

/// The same, of an engine that is waited for.
pub(super) async fn found(engine: &Engine, name: &str) -> Result<Option<ContainerInspectResponse>> {
    looked_at(engine, name, asked(|| engine.client().inspect_container(name, None)).await)
}

fn looked_at(
    engine: &Engine,
    name: &str,
    said: std::result::Result<ContainerInspectResponse, Error>,
) -> Result<Option<ContainerInspectResponse>> {
    match said {
        Ok(there) => Ok(Some(there)),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(cause(engine.name(), &format!("{name} could not be looked at"), &error)),
    }
}

/// A label of a container.
pub(super) fn label<'a>(container: &'a ContainerInspectResponse, name: &str) -> Option<&'a str> {
    container.config.as_ref()?.labels.as_ref()?.get(name).map(String::as_str)
}

fn was_started(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    let since = state.and_then(|state| state.started_at.as_deref()).unwrap_or_default();
    // Docker's way to say never.
    !since.is_empty() && !since.starts_with("0001-")
}

/// A stranger's container under our name is left as it is, and so is one of ours that is another artifact.
fn ours(engine: &Engine, name: &str, there: &ContainerInspectResponse, wanted: &Wanted) -> Result<()> {
    let labels = there.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let known = labels::key(&labels.into_iter().collect()).is_some_and(|key| key == wanted.key)
        && label(there, labels::PROJECT) == Some(&wanted.project);
    let trouble = if !known {
        format!("a container of that name is there and is not ours: {}", there.id.as_deref().unwrap_or("?"))
    } else if there.image.as_deref() != Some(wanted.image.as_str()) {
        format!("it is there with another image: {}", there.image.as_deref().unwrap_or("?"))
    } else {
        return Ok(());
    };
    Err(Box::new(Cause {
        summary: format!("{name} cannot be made on {}: {trouble}", engine.name()),
        expected: "no container of that name, or the one that this deployment made".to_owned(),
        measured: trouble,
        cure: "It was left as it is. Find out whose it is; rename or remove it, then go on.".to_owned(),
        ..Cause::default()
    }))
}

async fn create(engine: &Engine, wanted: &Wanted, name: &str, port: Option<u16>) -> Result<()> {
    let what = format!("{name} could not be made");
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let about =
        asked(|| engine.client().info()).await.map_err(|error| cause(engine.name(), &what, &error))?;
    let bounded = about.logging_driver.as_deref() == Some(DEFAULT_LOG);
    let body = body(engine, wanted, port, bounded);
    match asked(|| engine.client().create_container(Some(options.clone()), body.clone())).await {
        Ok(_) => Ok(()),
        // The reply to an earlier request may have been lost, or somebody was faster.
        Err(error) if status(&error) == Some(409) => match found(engine, name).await? {
            Some(there) => ours(engine, name, &there, wanted),
            None => Err(cause(engine.name(), &what, &error)),
        },
        Err(error) => {
            let mut cause = cause(engine.name(), &what, &error);
            if status(&error) == Some(404) {
                cause.expected = format!("the image {} and the network {}", wanted.image, wanted.network);
                "The image or the network was removed from the host after it was brought there. Promote again: the \
                 first step brings it back."
                    .clone_into(&mut cause.cure);
            }
            Err(cause)
        }
    }
}

/// Docker's own default, with a bound; an engine that was given another driver keeps it.
fn bounded_log() -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: Some(DEFAULT_LOG.to_owned()),
        config: Some(HashMap::from([
            ("max-size".to_owned(), LOG_SIZE.to_owned()),
            ("max-file".to_owned(), LOG_FILES.to_owned()),
        ])),
    }
}

fn body(engine: &Engine, wanted: &Wanted, port: Option<u16>, bounded: bool) -> ContainerCreateBody {
    let mut labels: HashMap<String, String> =
        labels::of_replica(&wanted.project, &wanted.key).into_iter().collect();
    labels.extend(wanted.labels.clone());
    let inside = wanted.port.map(|port| format!("{port}/tcp"));
    let mut bindings = HashMap::new();
    if let (Some(inside), Some(port)) = (&inside, port) {
        labels.insert(labels::PORT.to_owned(), port.to_string());
        let binding =
            PortBinding { host_ip: Some(engine.address().to_string()), host_port: Some(port.to_string()) };
        bindings.insert(inside.clone(), Some(vec![binding]));
    }
    let endpoint =
        EndpointSettings { aliases: Some(vec![wanted.key.role.clone()]), ..EndpointSettings::default() };
    ContainerCreateBody {
        image: Some(wanted.image.clone()),
        cmd: Some(wanted.command.clone()),
        env: Some(wanted.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(labels),
        exposed_ports: inside.map(|inside| vec![inside]),
        stop_timeout: Some(seconds(wanted)),
        host_config: Some(HostConfig {
            binds: Some(wanted.volumes.clone()),
            port_bindings: Some(bindings),
            network_mode: Some(wanted.network.clone()),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            // Reaps what its processes leave behind, and passes signals on.
            init: Some(true),
            log_config: bounded.then(bounded_log),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(wanted.network.clone(), endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn seconds(wanted: &Wanted) -> i64 {
    i64::try_from(wanted.stop_timeout.0.div_ceil(1000)).unwrap_or(i64::MAX)
}

async fn remove(engine: &Engine, name: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    match asked(|| engine.client().remove_container(name, Some(options.clone()))).await {
        Err(error) if status(&error) != Some(404) => {
            Err(cause(engine.name(), &format!("{name} could not be removed"), &error))
        }
        _ => Ok(()),
    }
}
