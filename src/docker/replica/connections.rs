//! Which connections a container's network has, read inside of it: its host may be another machine.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt as _;

use super::start::find;
use crate::docker::{Engine, labels};
use crate::domain::ids::ReplicaKey;

/// How many bytes of the tables are read at most: some ten thousand connections.
const LONGEST: usize = 2 << 20;

/// The lines of `/proc/net/tcp` and `tcp6` inside of a replica's container, and the ports that it listens at by its
/// configuration. `None` where they cannot be read, as in an image without `cat`; nothing of one that does not run.
pub async fn tables(engine: &Engine, project: &str, key: &ReplicaKey) -> Option<(String, Vec<u16>)> {
    let name = labels::replica(project, key);
    let Some(there) = find(engine, &name).await.ok()? else { return Some(Default::default()) };
    if there.state.as_ref().and_then(|state| state.running) != Some(true) {
        return Some(Default::default());
    }
    let exposed = there.config.and_then(|config| config.exposed_ports).unwrap_or_default();
    let ports = exposed.iter().filter_map(|port| port.split('/').next()?.parse().ok()).collect();
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        // One of the two may be missing; then the other is enough, and its exit code is not asked.
        cmd: Some(["cat", "/proc/net/tcp", "/proc/net/tcp6"].map(ToOwned::to_owned).to_vec()),
        ..ExecConfig::default()
    };
    let exec = engine.client().create_exec(&name, config).await.ok()?;
    let started = engine.client().start_exec(&exec.id, None::<StartExecOptions>).await.ok()?;
    let StartExecResults::Attached { mut output, .. } = started else { return None };
    let mut text = Vec::new();
    while let Some(Ok(part)) = output.next().await {
        if let LogOutput::StdOut { message } = part {
            text.extend_from_slice(&message);
        }
        if text.len() > LONGEST {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    // The tables have a heading: without it nothing was read.
    text.contains("local_address").then_some((text, ports))
}
