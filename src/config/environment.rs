//! `[environment.NAME]`: where releases go, and how.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::nearest::nearest;
use super::parts::{self, HealthTable, HooksTable, StrategyTable, ToleranceTable};
use super::read::{self, Reader};
use super::{Written, hosts, schema, value};
use crate::domain::project::{Host, Nginx, SecretSource};
use crate::domain::time::Millis;

/// The most replicas of one role: more do not fit on one machine.
const REPLICA_LIMIT: u32 = 64;

/// The variable in which Towpath gives each replica its port.
const PORT: &str = "PORT";

/// One `[environment.NAME]` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentTable {
    /// Its name.
    pub name: Written<String>,
    /// `after`
    pub after: Option<Written<String>>,
    /// `protected`
    pub protected: Option<Written<bool>>,
    /// `hosts`
    pub hosts: Option<Vec<Written<Host>>>,
    /// `network`
    pub network: Option<Written<String>>,
    /// `replicas`; each with the place of the role's name.
    pub replicas: Option<BTreeMap<String, Written<u32>>>,
    /// `url`
    pub url: Option<Written<String>>,
    /// `strategy`
    pub strategy: Option<Written<StrategyTable>>,
    /// `bake`
    pub bake: Option<Written<Millis>>,
    /// `smoke`
    pub smoke: Option<Vec<Written<String>>>,
    /// `hooks`
    pub hooks: HooksTable,
    /// `lock_timeout` of `migrations`.
    pub lock_timeout: Option<Written<Millis>>,
    /// `health`
    pub health: HealthTable,
    /// `tolerance`
    pub tolerance: ToleranceTable,
    /// `env`
    pub env: Option<BTreeMap<String, Written<String>>>,
    /// `secrets`; each with the place of the variable's name.
    pub secrets: BTreeMap<String, Written<SecretSource>>,
    /// `nginx` of `router`.
    pub nginx: Option<Written<Nginx>>,
}

/// Reads every environment, and how they hang together.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<EnvironmentTable> {
    // An environment whose own name is wrong is still there for those that come after it.
    let written = match root.get(schema::ENVIRONMENT.name).map(toml::Spanned::get_ref) {
        Some(DeValue::Table(table)) => table.keys().map(|key| key.get_ref().to_string()).collect(),
        _ => BTreeSet::new(),
    };
    let named = reader.named(root, schema::ENVIRONMENT);
    let environments: Vec<_> = named.into_iter().map(|(name, table)| one(reader, name, table)).collect();
    predecessors(reader, &environments, &written);
    shared_files(reader, &environments);
    environments
}

fn one(reader: &mut Reader<'_>, name: Written<String>, table: &DeTable<'_>) -> EnvironmentTable {
    let in_env = format!(
        "Write where it comes from under [environment.{}.secrets] instead; if it was ever committed, replace it.",
        name.value
    );
    let env = table.get("env").and_then(|node| reader.variables(node, "env", &in_env));
    let secrets = parts::secrets(reader, table, &format!("environment.{}", name.value));
    let both = secrets.iter().filter_map(|(key, secret)| Some((key, secret, env.as_ref()?.get(key)?)));
    for (key, secret, variable) in both {
        let message = format!("{key} is among the secrets and, on line {}, in env.", variable.place.line);
        reader.mistake(secret.place, message, "Keep one of them.");
    }
    let ports = env.iter().flatten().filter(|(key, _)| *key == PORT).map(|(_, written)| written.place);
    let ports: Vec<_> = ports.chain(secrets.get(PORT).map(|secret| secret.place)).collect();
    for place in ports {
        reader.mistake(
            place,
            "PORT cannot be set.",
            "Leave it out: each replica is given its port; in a container it is the port of its [role.NAME].",
        );
    }
    let nginx = parts::nginx(reader, table);
    if let (Some(nginx), false) = (&nginx, table.contains_key("url")) {
        let message = format!("the environment \"{}\" has a router and no url.", name.value);
        let cure = "Add url = \"https://…\": where visitors ask, so that a switch can be confirmed.";
        reader.mistake(nginx.place, message, cure);
    }
    let hosts = hosts::read(reader, table);
    if nginx.is_some() {
        hosts::reached_by_router(reader, hosts.as_deref().unwrap_or_default());
    }
    EnvironmentTable {
        hosts,
        network: hosts::network(reader, table),
        after: table.get("after").and_then(|node| read::name(reader, node, "after")),
        protected: table.get("protected").and_then(|node| reader.flag(node, "protected")),
        replicas: replicas(reader, table),
        url: url(reader, table),
        strategy: parts::strategy(reader, table),
        bake: table.get("bake").and_then(|node| reader.duration_or_zero(node, "bake")),
        smoke: parts::commands(reader, table, "smoke"),
        hooks: parts::hooks(reader, table),
        lock_timeout: parts::lock_timeout(reader, table),
        health: parts::health(reader, table),
        tolerance: parts::tolerance(reader, table),
        env,
        secrets,
        nginx,
        name,
    }
}

fn replicas(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<BTreeMap<String, Written<u32>>> {
    let node = table.get("replicas")?;
    let DeValue::Table(table) = node.get_ref() else {
        reader.wrong_type(node, "replicas", "a table: replicas = { web = 2, worker = 1 }");
        return None;
    };
    let mut replicas = BTreeMap::new();
    for (key, node) in table {
        let role = key.get_ref().as_ref();
        let place = reader.place(key);
        if let Some(count) = reader.count(node, &read::shown(role), 0, REPLICA_LIMIT) {
            replicas.insert(role.to_owned(), Written { value: count.value, place });
        }
    }
    Some(replicas)
}

fn url(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Written<String>> {
    let wanted = "the address that visitors ask, such as \"https://staging.example.com\"";
    let url = reader.text(table.get("url")?, "url", wanted)?;
    match value::url_trouble(&url.value) {
        None => Some(url),
        Some(what) => {
            // Not repeated: it may carry a password.
            reader.mistake(url.place, format!("url {what}."), format!("Write {wanted}."));
            None
        }
    }
}

/// Whether each predecessor is there, and none waits for itself in the end.
fn predecessors(reader: &mut Reader<'_>, environments: &[EnvironmentTable], written: &BTreeSet<String>) {
    let after: BTreeMap<&str, &Written<String>> = environments
        .iter()
        .filter_map(|environment| Some((environment.name.value.as_str(), environment.after.as_ref()?)))
        .collect();
    for (name, before) in &after {
        if !written.contains(&before.value) {
            let cure = match nearest(&before.value, written.iter().map(String::as_str)) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => format!("Add [environment.{}], or leave after out.", before.value),
            };
            let message = format!("there is no environment \"{}\".", before.value);
            reader.mistake(before.place, message, cure);
            continue;
        }
        // Each circle is said once, at the one of it whose name comes first.
        let mut chain = vec![*name];
        let mut at = before.value.as_str();
        while at != *name && !chain.contains(&at) {
            chain.push(at);
            let Some(next) = after.get(at) else { break };
            at = &next.value;
        }
        if at == *name && chain.iter().all(|other| name <= other) {
            chain.push(name);
            let message = format!("the environments wait for each other: {}.", chain.join(" after "));
            reader.mistake(before.place, message, "One of them takes any release: leave its after out.");
        }
    }
}

/// What Towpath writes for one environment, no other may write.
fn shared_files(reader: &mut Reader<'_>, environments: &[EnvironmentTable]) {
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for environment in environments {
        let Some(nginx) = &environment.nginx else { continue };
        let name = environment.name.value.as_str();
        let files = [
            ("include", Some(&nginx.value.include)),
            ("access_log", nginx.value.access_log.as_ref()),
            ("static_files", nginx.value.static_files.as_ref()),
        ];
        for (key, path) in files {
            let Some(path) = path else { continue };
            match seen.get(&(key, path.as_str())) {
                Some(first) => {
                    let message = format!("{key} is that of the environment \"{first}\" too.");
                    reader.mistake(nginx.place, message, "Give each environment its own.");
                }
                None => _ = seen.insert((key, path), name),
            }
        }
    }
}
