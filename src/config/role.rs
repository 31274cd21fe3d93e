//! `[role.NAME]`: what a release runs.

use toml::de::DeTable;

use super::read::{Node, Reader, shown};
use super::{Written, reference, schema};
use crate::domain::time::Millis;

/// The role that gets an environment's traffic.
pub(super) const ROUTED: &str = "web";

/// One `[role.NAME]` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleTable {
    /// Its name.
    pub name: Written<String>,
    /// `command`
    pub command: Written<String>,
    /// `stop_timeout`
    pub stop_timeout: Option<Written<Millis>>,
    /// `max`
    pub max: Option<Written<u32>>,
    /// `port`
    pub port: Option<Written<u16>>,
    /// `volumes`
    pub volumes: Option<Vec<Written<String>>>,
}

/// Reads every role; one without a usable command is a mistake and left out.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<RoleTable> {
    let named = reader.named(root, schema::ROLE);
    named.into_iter().filter_map(|(name, table)| one(reader, name, table)).collect()
}

fn one(reader: &mut Reader<'_>, name: Written<String>, table: &DeTable<'_>) -> Option<RoleTable> {
    let command = match table.get("command") {
        Some(node) => reader.command(
            node,
            "command",
            "Let the program read it from a variable that [environment.NAME.secrets] brings; if it was ever \
             committed, replace it.",
        ),
        None => {
            let message = format!("the role \"{}\" has no command.", name.value);
            reader.mistake(name.place, message, "Add command = \"…\"; $PORT is the port of a replica.");
            None
        }
    };
    let stop_timeout = table.get("stop_timeout").and_then(|node| reader.duration(node, "stop_timeout"));
    let max = table.get("max").and_then(|node| {
        let place = reader.place(node);
        let max = reader.count(node, "max", 0, u32::MAX)?;
        if max.value != 1 {
            let message = format!("max = {} is not supported.", max.value);
            reader.mistake(place, message, "Write max = 1 for a role of which there may never be two, or leave it out.");
            return None;
        }
        if name.value == ROUTED {
            let cure = "Leave it out: a deployment starts the new web beside the old one, which keeps the traffic \
                        until then.";
            reader.mistake(place, format!("the role \"{ROUTED}\" cannot have max."), cure);
            return None;
        }
        Some(max)
    });
    let port = table.get("port").and_then(|node| reader.port(node, "port"));
    let volumes = table.get("volumes").and_then(|node| volumes(reader, node));
    Some(RoleTable { name, command: command?, stop_timeout, max, port, volumes })
}

/// More mounts than this in one container are mistyped.
const VOLUME_LIMIT: usize = 32;

fn volumes(reader: &mut Reader<'_>, node: Node<'_, '_>) -> Option<Vec<Written<String>>> {
    let wanted = "NAME:/path for a volume of the engine or /directory:/path for one of the host, with :ro at the end \
                  for what is only read";
    let rule = |text: &str| reference::mount(text).map(|_| text.to_owned());
    let volumes = reader.list(node, "volumes", wanted, rule)?;
    if let Some(extra) = volumes.get(VOLUME_LIMIT) {
        reader.mistake(
            extra.place,
            format!("there are more than {VOLUME_LIMIT} volumes."),
            "Mount a directory above them.",
        );
    }
    let mut seen: Vec<&str> = Vec::new();
    for volume in &volumes {
        let Some(at) = reference::mount(&volume.value) else { continue };
        if seen.contains(&at) {
            let message = format!("two volumes are mounted at {}.", shown(at));
            reader.mistake(volume.place, message, "Keep one of them.");
        }
        seen.push(at);
    }
    Some(volumes)
}
