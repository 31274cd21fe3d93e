//! `[role.NAME]`: what a release runs.

use toml::de::DeTable;

use super::read::Reader;
use super::{Written, schema};
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
    Some(RoleTable { name, command: command?, stop_timeout, max })
}
