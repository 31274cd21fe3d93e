//! `[service.NAME]`: a throw-away container beside a stage.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::read::Reader;
use super::{Written, reference, schema};
use crate::domain::project::Ready;

/// One `[service.NAME]` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceTable {
    /// Its name.
    pub name: Written<String>,
    /// `image`
    pub image: Written<String>,
    /// `command`
    pub command: Option<Written<String>>,
    /// `env`
    pub env: Option<BTreeMap<String, Written<String>>>,
    /// `ready`
    pub ready: Option<Written<Ready>>,
}

/// What to do about a real secret: nothing that is thrown away needs one.
const THROW_AWAY: &str = "A service is thrown away after its stage: let it have a password such as \"postgres\", or none; \
                          if this one was ever real, replace it.";

/// Reads every service; one without a usable image is a mistake and left out.
pub(super) fn read(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Vec<ServiceTable> {
    let named = reader.named(root, schema::SERVICE);
    named.into_iter().filter_map(|(name, table)| one(reader, name, table)).collect()
}

fn one(reader: &mut Reader<'_>, name: Written<String>, table: &DeTable<'_>) -> Option<ServiceTable> {
    let image = match table.get("image") {
        Some(node) => {
            let wanted = "an image such as \"redis:7\"";
            let rule = |text: &str| reference::valid_reference(text).then(|| text.to_owned());
            reader.checked(node, "image", wanted, rule)
        }
        None => {
            let message = format!("the service \"{}\" has no image.", name.value);
            reader.mistake(name.place, message, "Add image = \"…\", such as \"redis:7\".");
            None
        }
    };
    let command = table.get("command").and_then(|node| reader.command(node, "command", THROW_AWAY));
    let env = table.get("env").and_then(|node| reader.variables(node, "env", THROW_AWAY));
    let ready = ready(reader, &name.value, table);
    Some(ServiceTable { name, image: image?, command, env, ready })
}

fn ready(reader: &mut Reader<'_>, name: &str, outer: &DeTable<'_>) -> Option<Written<Ready>> {
    let example = "a table: ready = { tcp = 6379 }";
    let table = reader.inner(outer, schema::READY, example)?;
    let place = reader.place(outer.get(schema::READY.name)?);
    let written: Vec<&str> =
        schema::READY.keys.iter().copied().filter(|key| table.contains_key(*key)).collect();
    let &[key] = written.as_slice() else {
        if written.is_empty() && !table.is_empty() {
            // An unknown key was said already.
            return None;
        }
        let cure = "Write one of { tcp = 6379 }, { postgres = \"postgres://…\" }, { command = \"…\" }; without ready it is \
                    the image's own HEALTHCHECK.";
        reader.mistake(place, format!("ready has {} probes.", written.len()), cure);
        return None;
    };
    let node = table.get(key)?;
    let value = match key {
        "tcp" => Ready::Tcp(reader.port(node, "tcp")?.value),
        "command" => Ready::Command(reader.command(node, "command", THROW_AWAY)?.value),
        _ => Ready::Postgres(postgres(reader, name, node)?),
    };
    Some(Written { value, place })
}

/// The address of a throw-away server. Its password protects nothing, and so it may stand here.
fn postgres(reader: &mut Reader<'_>, name: &str, node: super::read::Node<'_, '_>) -> Option<String> {
    let wanted = format!("\"postgres://USER:PASSWORD@{name}:5432/DATABASE\"");
    if !matches!(node.get_ref(), DeValue::String(_)) {
        reader.wrong_type(node, "postgres", &wanted);
        return None;
    }
    let Written { value, place } = reader.text(node, "postgres", &wanted)?;
    let url = reqwest::Url::parse(&value).ok();
    let url = url.filter(|url| matches!(url.scheme(), "postgres" | "postgresql"));
    let Some(host) = url.as_ref().and_then(reqwest::Url::host_str) else {
        reader.mistake(place, "postgres is no address of a PostgreSQL server.", format!("Write {wanted}."));
        return None;
    };
    if host != name {
        // Otherwise it could be a real server, and its password a real one.
        let message = format!("postgres asks a machine called \"{}\".", super::read::shown(host));
        reader.mistake(
            place,
            message,
            format!("Write {wanted}: beside a stage a service is called by its name."),
        );
        return None;
    }
    Some(value)
}
