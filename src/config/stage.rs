//! `[[stage]]`: steps of the project's own, and what it changes about the preset ones.

use std::collections::BTreeMap;

use toml::de::{DeArray, DeTable, DeValue};

use super::mistake::Place;
use super::read::{self, Reader};
use super::{Written, reference, schema, value};
use crate::domain::project::{Place as RunPlace, When};
use crate::domain::time::Millis;

/// One `[[stage]]` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageTable {
    /// `name`
    pub name: Written<String>,
    /// `needs`
    pub needs: Option<Vec<Written<String>>>,
    /// `run`
    pub run: Option<Written<String>>,
    /// `in`
    pub place: Option<Written<RunPlace>>,
    /// `services`, by name; which there are shows once the runtime is known.
    pub services: Option<Vec<Written<String>>>,
    /// `env`
    pub env: Option<BTreeMap<String, Written<String>>>,
    /// `timeout`
    pub timeout: Option<Written<Millis>>,
    /// `retries`
    pub retries: Option<Written<u32>>,
    /// `when`
    pub when: Option<Written<When>>,
    /// `group`
    pub group: Option<Written<String>>,
    /// `enabled`
    pub enabled: Option<Written<bool>>,
}

/// More stages than this are not a pipeline that anybody could read.
const STAGE_LIMIT: usize = 200;

/// Reads every stage; one without a usable name is a mistake and left out.
pub(super) fn read(reader: &mut Reader<'_>, stages: &DeArray<'_>) -> Vec<StageTable> {
    let mut read: Vec<StageTable> = Vec::new();
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    for node in stages.iter() {
        let place = reader.place(node);
        if read.len() == STAGE_LIMIT {
            let message = format!("there are more than {STAGE_LIMIT} stages.");
            reader.mistake(place, message, "Put commands that belong together into one stage.");
            break;
        }
        let DeValue::Table(table) = node.get_ref() else {
            reader.mistake(place, "a stage is not a table.", "Write [[stage]] and its keys below.");
            continue;
        };
        let Some(stage) = one(reader, table, place) else { continue };
        match seen.get(&stage.name.value) {
            Some(first) => reader.mistake(
                stage.name.place,
                format!(
                    "there are two stages called \"{}\"; the first is on line {}.",
                    stage.name.value, first.line
                ),
                "Rename one of them.",
            ),
            None => {
                seen.insert(stage.name.value.clone(), stage.name.place);
            }
        }
        read.push(stage);
    }
    read
}

fn one(reader: &mut Reader<'_>, table: &DeTable<'_>, place: Place) -> Option<StageTable> {
    reader.known_keys(table, schema::STAGE);
    // Every key is looked at before a missing name ends it, so that all mistakes are said at once.
    let name = match table.get("name") {
        Some(node) => read::name(reader, node, "name"),
        None => {
            reader.mistake(place, "a stage has no name.", "Add name = \"…\".");
            None
        }
    };
    let needs = table.get("needs").and_then(|node| {
        let wanted = "the names of stages in quotes";
        reader.list(node, "needs", wanted, |text| value::valid_name(text).then(|| text.to_owned()))
    });
    let run = table.get("run").and_then(|node| {
        reader.command(
            node,
            "run",
            "Checks and builds need no real secret: let the command do without it; if it was ever committed, \
             replace it.",
        )
    });
    let place = table.get("in").and_then(|node| {
        let wanted = "\"source\" (or \"host\", the same), \"candidate\" or \"image:NAME\"";
        reader.checked(node, "in", wanted, |text| match text {
            "source" | "host" => Some(RunPlace::Source),
            "candidate" => Some(RunPlace::Candidate),
            _ => {
                let image = text.strip_prefix("image:")?;
                reference::valid_reference(image).then(|| RunPlace::Image(image.to_owned()))
            }
        })
    });
    let services = table.get("services").and_then(|node| {
        let wanted = "\"postgres\" or the NAME of a [service.NAME]";
        reader.list(node, "services", wanted, |text| value::valid_name(text).then(|| text.to_owned()))
    });
    let env = table.get("env").and_then(|node| reader.env(node));
    let timeout = table.get("timeout").and_then(|node| reader.duration(node, "timeout"));
    let retries = table.get("retries").and_then(|node| reader.count(node, "retries", 0, 10));
    let when = table
        .get("when")
        .and_then(|node| reader.checked(node, "when", "\"always\", \"tag\" or \"branch:NAME\"", value::when));
    let group = table.get("group").and_then(|node| read::name(reader, node, "group"));
    let enabled = table.get("enabled").and_then(|node| reader.flag(node, "enabled"));
    let name = name?;
    if let Some(need) = needs.iter().flatten().find(|need| need.value == name.value) {
        let message = format!("the stage \"{}\" needs itself.", name.value);
        reader.mistake(need.place, message, "Remove it from needs.");
    }
    Some(StageTable { name, needs, run, place, services, env, timeout, retries, when, group, enabled })
}
