//! The tables inside an environment: how traffic is moved, when it is well, who spreads it.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::read::{Node, Reader};
use super::{Written, schema, value};
use crate::domain::project::{Nginx, SecretSource, Strategy};
use crate::domain::time::Millis;

/// What to do about a secret in a command line around a deployment.
const IN_COMMAND: &str = "Let a script read it where it is kept; if it was ever committed, replace it.";

/// `strategy` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrategyTable {
    /// How traffic is moved.
    pub strategy: Strategy,
    /// `bake` of a canary.
    pub bake: Option<Written<Millis>>,
}

/// `hooks` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HooksTable {
    /// `before`
    pub before: Option<Vec<Written<String>>>,
    /// `after_migrate`
    pub after_migrate: Option<Vec<Written<String>>>,
    /// `after`
    pub after: Option<Vec<Written<String>>>,
}

/// `health` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthTable {
    /// `path`, or the text that `health` itself is.
    pub path: Option<Written<String>>,
    /// `status`
    pub status: Option<Written<u16>>,
    /// `within`
    pub within: Option<Written<Millis>>,
    /// `interval`
    pub interval: Option<Written<Millis>>,
    /// `start`
    pub start: Option<Written<Millis>>,
}

/// `tolerance` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ToleranceTable {
    /// `failed`, in tenths of a per cent.
    pub failed_permille: Option<Written<u32>>,
    /// `min_requests`
    pub min_requests: Option<Written<u32>>,
}

/// Command lines that look at the environment or work around a deployment.
pub(super) fn commands(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    key: &str,
) -> Option<Vec<Written<String>>> {
    table.get(key).and_then(|node| reader.commands(node, key, IN_COMMAND))
}

pub(super) fn strategy(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> Option<Written<StrategyTable>> {
    let node = outer.get(schema::STRATEGY.name)?;
    let wanted = "\"recreate\", \"rolling\", \"blue-green\" or { canary = [10, 50], bake = \"5m\" }";
    let DeValue::Table(table) = node.get_ref() else {
        let plain = reader.checked(node, "strategy", wanted, |text| match text {
            "recreate" => Some(Strategy::Recreate),
            "rolling" => Some(Strategy::Rolling),
            "blue-green" => Some(Strategy::BlueGreen),
            _ => None,
        })?;
        let value = StrategyTable { strategy: plain.value, bake: None };
        return Some(Written { value, place: plain.place });
    };
    reader.known_keys(table, schema::STRATEGY);
    let bake = table.get("bake").and_then(|node| reader.duration_or_zero(node, "bake"));
    let place = reader.place(node);
    let Some(canary) = table.get("canary") else {
        reader.mistake(
            place,
            "the strategy has no canary.",
            "Write { canary = [10, 50] }, or one of the words.",
        );
        return None;
    };
    let weights = weights(reader, canary)?;
    Some(Written { value: StrategyTable { strategy: Strategy::Canary(weights), bake }, place })
}

/// The shares of a canary, in per cent.
fn weights(reader: &mut Reader<'_>, node: Node<'_, '_>) -> Option<Vec<u8>> {
    let wanted = "the shares of traffic in per cent, ascending, from 1 to 99: canary = [10, 50]";
    let DeValue::Array(items) = node.get_ref() else {
        reader.wrong_type(node, "canary", wanted);
        return None;
    };
    let place = reader.place(node);
    let mut weights: Vec<u8> = Vec::new();
    for item in items.iter() {
        let weight = reader.count(item, "canary", 1, 99)?;
        let share = u8::try_from(weight.value).unwrap_or(u8::MAX);
        if weights.last().is_some_and(|last| *last >= share) {
            let message = format!("canary: {share} does not come after a smaller share.");
            reader.mistake(weight.place, message, format!("Write {wanted}."));
            return None;
        }
        weights.push(share);
    }
    if weights.is_empty() {
        reader.mistake(place, "canary names no share of traffic.", format!("Write {wanted}."));
        return None;
    }
    Some(weights)
}

pub(super) fn hooks(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> HooksTable {
    let example = "a table: hooks = { before = [\"…\"] }";
    let Some(table) = reader.inner(outer, schema::HOOKS, example) else { return HooksTable::default() };
    HooksTable {
        before: commands(reader, table, "before"),
        after_migrate: commands(reader, table, "after_migrate"),
        after: commands(reader, table, "after"),
    }
}

pub(super) fn lock_timeout(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> Option<Written<Millis>> {
    let table = reader.inner(outer, schema::MIGRATIONS, "a table: migrations = { lock_timeout = \"5s\" }")?;
    table.get("lock_timeout").and_then(|node| reader.duration(node, "lock_timeout"))
}

pub(super) fn health(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> HealthTable {
    let wanted = "a path that begins with /, such as \"/health\"";
    let Some(node) = outer.get(schema::HEALTH.name) else { return HealthTable::default() };
    let rule = |text: &str| value::valid_url_path(text).then(|| text.to_owned());
    if matches!(node.get_ref(), DeValue::String(_)) {
        return HealthTable { path: reader.checked(node, "health", wanted, rule), ..HealthTable::default() };
    }
    let example = "a path: health = \"/health\", or a table: health = { path = \"/health\", status = 200 }";
    let Some(table) = reader.inner(outer, schema::HEALTH, example) else { return HealthTable::default() };
    let mut duration = |key: &str| table.get(key).and_then(|node| reader.duration(node, key));
    let (within, interval, start) = (duration("within"), duration("interval"), duration("start"));
    let path = table.get("path").and_then(|node| reader.checked(node, "path", wanted, rule));
    let status = table.get("status").and_then(|node| reader.count(node, "status", 100, 599));
    let status = status
        .and_then(|Written { value, place }| u16::try_from(value).ok().map(|value| Written { value, place }));
    HealthTable { path, status, within, interval, start }
}

pub(super) fn tolerance(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> ToleranceTable {
    let example = "a table: tolerance = { failed = \"1%\", min_requests = 20 }";
    let Some(table) = reader.inner(outer, schema::TOLERANCE, example) else {
        return ToleranceTable::default();
    };
    let wanted = "per cent in quotes, to a tenth, such as \"1%\" or \"0.5%\"";
    ToleranceTable {
        failed_permille: table
            .get("failed")
            .and_then(|node| reader.checked(node, "failed", wanted, value::permille)),
        min_requests: table
            .get("min_requests")
            .and_then(|node| reader.count(node, "min_requests", 1, 1_000_000)),
    }
}

/// Where secrets come from, of an environment or a build: `owner` is its heading. A value is never repeated, and never
/// taken.
pub(super) fn secrets(
    reader: &mut Reader<'_>,
    outer: &DeTable<'_>,
    owner: &str,
) -> BTreeMap<String, Written<SecretSource>> {
    let example = "a table: secrets = { SECRET_KEY = { env = \"NAME\" } }";
    let mut secrets = BTreeMap::new();
    let Some(node) = outer.get("secrets") else { return secrets };
    let DeValue::Table(table) = node.get_ref() else {
        reader.wrong_type(node, "secrets", example);
        return secrets;
    };
    for (key, node) in table {
        let name = key.get_ref().as_ref();
        let place = reader.place(key);
        if !reader.variable_name(place, name) {
            continue;
        }
        let source = source(reader, name, node, owner);
        secrets.extend(source.map(|value| (name.to_owned(), Written { value, place })));
    }
    secrets
}

fn source(reader: &mut Reader<'_>, name: &str, node: Node<'_, '_>, owner: &str) -> Option<SecretSource> {
    let place = reader.place(node);
    let cure = format!(
        "Write where it comes from under [{owner}.secrets]: {name} = {{ env = \"NAME\" }}, \
         {{ file = \"/run/…\" }} or {{ command = \"…\" }}."
    );
    let DeValue::Table(table) = node.get_ref() else {
        let message = format!("{name} is a value; this file is committed.");
        reader.mistake(place, message, format!("{cure} If it was a real one, replace it."));
        return None;
    };
    reader.known_keys(table, schema::SECRET);
    let kinds: Vec<&str> =
        schema::SECRET.keys.iter().copied().filter(|key| table.contains_key(*key)).collect();
    let &[kind] = kinds.as_slice() else {
        // An unknown key was said already.
        if !kinds.is_empty() || table.is_empty() {
            let message = if kinds.is_empty() {
                format!("{name} has no source.")
            } else {
                format!("{name} has {} sources: {}.", kinds.len(), kinds.join(", "))
            };
            reader.mistake(place, message, cure);
        }
        return None;
    };
    let node = table.get(kind)?;
    match kind {
        "env" => {
            let wanted = "the name of a variable of the engine's environment, such as \"HARBOR_SECRET_KEY\"";
            // What cannot be a name may be the secret itself: it is not repeated.
            let text = reader.text(node, "env", wanted)?;
            if !value::valid_variable(&text.value) {
                let message = "env has something that cannot be the name of a variable.";
                reader.mistake(text.place, message, format!("Write {wanted}."));
                return None;
            }
            Some(SecretSource::Env(text.value))
        }
        "file" => {
            let file = reader.text(node, "file", "a path in quotes")?;
            if file.value.trim().is_empty() || file.value.contains(char::is_control) {
                reader.mistake(
                    file.place,
                    "file names no file.",
                    "Write the path of a file: file = \"/run/…\".",
                );
                return None;
            }
            Some(SecretSource::File(file.value))
        }
        _ => reader.command(node, kind, IN_COMMAND).map(|command| SecretSource::Command(command.value)),
    }
}

pub(super) fn nginx(reader: &mut Reader<'_>, outer: &DeTable<'_>) -> Option<Written<Nginx>> {
    let example = "a table: router = { nginx = { include = \"/etc/nginx/…\" } }";
    let router = reader.inner(outer, schema::ROUTER, example)?;
    let example = "a table: nginx = { include = \"/etc/nginx/…\" }";
    let node = router.get(schema::NGINX.name);
    let Some(node) = node else {
        let node = outer.get(schema::ROUTER.name)?;
        let place = reader.place(node);
        reader.mistake(place, "the router is not named.", format!("Write {example}, or leave router out."));
        return None;
    };
    let table = reader.inner(router, schema::NGINX, example)?;
    let place = reader.place(node);
    let wanted = "an absolute path without spaces, quotes, $ ; { }";
    let mut path = |key: &str| {
        table.get(key).map(|node| {
            reader.checked(node, key, wanted, |text| value::valid_nginx_path(text).then(|| text.to_owned()))
        })
    };
    let (include, access_log, static_files) = (path("include"), path("access_log"), path("static_files"));
    let mut command = |key: &str, usual: &str| match table.get(key) {
        Some(node) => reader.command(node, key, IN_COMMAND).map(|command| command.value),
        None => Some(usual.to_owned()),
    };
    let (test, reload) = (command("test", "nginx -t"), command("reload", "nginx -s reload"));
    if include.is_none() {
        let cure =
            "Add include = \"/etc/nginx/…\": the file that is written, which nginx includes in http { }.";
        reader.mistake(place, "nginx has no include.", cure);
    }
    // What is written and wrong was said; the table is then not used at all.
    let sound = |path: Option<Option<Written<String>>>| path.map_or(Some(None), |path| path.map(Some));
    let text = |path: Option<Written<String>>| path.map(|path| path.value);
    let container = table.get("container").map(|node| {
        let wanted = "the name of a container on this machine's engine";
        let valid = |text: &str| super::artifact::valid_target(text).then(|| text.to_owned());
        reader.checked(node, "container", wanted, valid)
    });
    let value = Nginx {
        include: include??.value,
        container: text(sound(container)?),
        test: test?,
        reload: reload?,
        access_log: text(sound(access_log)?),
        static_files: text(sound(static_files)?),
    };
    Some(Written { value, place })
}
