//! A service that is built here becomes a role.

use super::yaml::{Node, Value};
use super::{Found, Role, command, environment, is_secret, name_of, port};
use crate::config::read::shown;
use crate::config::{reference, role::ROUTED, secret, value};

pub(super) fn role(found: &mut Found, service: &str, line: u32, node: &Node, routed: bool) {
    let about = shown(service);
    let name = if routed { Some(ROUTED.to_owned()) } else { name_of(service) };
    let Some(name) = name else { return found.leave(line, format!("{about}: cannot be the name of a role")) };
    if routed {
        found.leave(line, format!("{about} became the role web: it is the only one with ports"));
    }
    let mut role = Role::default();
    for (key, line, node) in node.map() {
        let line = *line;
        match key.as_str() {
            "build" => build(found, node),
            "image" => image(found, line, node),
            "command" => role.command = command(node).unwrap_or_default(),
            "ports" | "expose" => match port(node) {
                Some(port) if role.port.is_none() || key == "ports" => role.port = Some(port),
                Some(_) => {}
                None => found.leave(line, format!("{about}: {key} names no port that could be read")),
            },
            "volumes" => volumes(found, &about, node, &mut role),
            "stop_grace_period" => {
                let sound = node.text().filter(|text| value::duration(text).is_some_and(|time| time.0 > 0));
                role.stop_timeout = sound.map(str::to_owned);
                if sound.is_none() {
                    found
                        .leave(line, format!("{about}: stop_grace_period is no duration that could be read"));
                }
            }
            "environment" => variables(found, &about, node),
            "healthcheck" if name == ROUTED => health(found, &about, line, node),
            "deploy" | "scale" => {
                let count = node.get("replicas").unwrap_or(node).text().and_then(|text| text.parse().ok());
                role.replicas = count.filter(|count| *count <= 64);
                for (key, line, _) in node.map().iter().filter(|(key, _, _)| key != "replicas") {
                    found.leave(*line, format!("{about}: deploy.{} has no counterpart", shown(key)));
                }
            }
            "depends_on" => {
                found.leave(line, format!("{about}: depends_on is not kept: roles start on their own"));
            }
            "restart" => {
                found.leave(line, format!("{about}: restart is not kept: what is deployed is kept alive"));
            }
            "env_file" => found.leave(line, format!("{about}: env_file is not read: it may hold secrets")),
            _ => found.leave(line, format!("{about}: {} has no counterpart", shown(key))),
        }
    }
    if role.command.is_empty() {
        return found.leave(
            line,
            format!("{about}: no command that could be read; write [role.{name}] with the image's own"),
        );
    }
    if secret::in_command(&role.command).is_some() {
        return found.leave(line, format!("{about}: its command has a secret in it and is not taken over"));
    }
    if role.command.contains("manage.py migrate") {
        return found.leave(line, format!("{about}: no role: a deployment migrates once, by itself"));
    }
    variable(found, line, &about, "command", &role.command);
    role.exclusive = name != ROUTED
        && role.command.contains("celery")
        && role.command.split(' ').any(|word| word == "beat");
    if role.exclusive {
        role.replicas = role.replicas.map(|count| count.min(1));
    }
    found.roles.insert(name, role);
}

/// Says that a variable of Compose is kept as it is.
pub(super) fn variable(found: &mut Found, line: u32, about: &str, key: &str, text: &str) {
    if text.contains("${") {
        found.leave(
            line,
            format!("{about}: {key} has a variable in it, kept as it is: nothing fills it in here"),
        );
    }
}

fn build(found: &mut Found, node: &Node) {
    let context = node.get("context").unwrap_or(node);
    if let Some(path) = context.text().filter(|path| !matches!(*path, "." | "./")) {
        found.leave(
            context.line,
            format!("the build's context is {}, and an image is built from the project", shown(path)),
        );
    }
    for (key, line, node) in node.map() {
        let text = node.text().filter(|text| !text.contains('$')).map(str::to_owned);
        match key.as_str() {
            "context" => {}
            "dockerfile" if text.as_deref().is_some_and(crate::config::artifact::valid_inside) => {
                found.dockerfile = text;
            }
            "target" if text.as_deref().is_some_and(crate::config::artifact::valid_target) => {
                found.target = text;
            }
            "args" => {
                for (name, line, value) in environment(node) {
                    match value {
                        Some(value) if !is_secret(&name, &value) && !value.contains('$') => {
                            found.args.insert(name, value);
                        }
                        _ => found.leave(
                            line,
                            format!("the build argument {name} has no value that may stand in a file"),
                        ),
                    }
                }
            }
            _ => found.leave(*line, format!("build.{} has no counterpart that could be read", shown(key))),
        }
    }
}

fn image(found: &mut Found, line: u32, node: &Node) {
    let text = node.text().unwrap_or_default();
    let name = match text.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => text,
    };
    if reference::valid_image(name) {
        found.image = Some(name.to_owned());
    } else {
        found.leave(line, format!("image: {} cannot be the name of an image here", shown(name)));
    }
}

fn volumes(found: &mut Found, about: &str, node: &Node, role: &mut Role) {
    for item in node.list() {
        let part = |key: &str| item.get(key).and_then(Node::text).unwrap_or_default();
        let text = match &item.value {
            Value::Text(text) => text.strip_suffix(":rw").unwrap_or(text).to_owned(),
            _ => {
                let only_read = if part("read_only") == "true" { ":ro" } else { "" };
                format!("{}:{}{only_read}", part("source"), part("target"))
            }
        };
        let at = reference::mount(&text).map(str::to_owned);
        let taken = role.volumes.iter().any(|volume| reference::mount(volume).map(str::to_owned) == at);
        if at.is_some() && !taken && role.volumes.len() < 32 {
            role.volumes.push(text);
        } else {
            let why = "is no volume of an engine and no absolute directory";
            found.leave(item.line, format!("{about}: the volume {} {why}", shown(&text)));
        }
    }
}

fn variables(found: &mut Found, about: &str, node: &Node) {
    for (name, line, value) in environment(node) {
        match value {
            _ if name == "PORT" => found.leave(line, format!("{about}: PORT is the role's port")),
            Some(value) if !is_secret(&name, &value) && !value.contains('\0') => {
                variable(found, line, about, &name, &value);
                found.env.insert(name, value);
            }
            _ => {
                found.leave(line, format!("{about}: {name} may be a secret: only its name is taken over"));
                found.secrets.insert(name);
            }
        }
    }
}

/// The path that `curl -f http://localhost:8000/health` asks.
fn health(found: &mut Found, about: &str, line: u32, node: &Node) {
    let test = node.get("test").and_then(command).unwrap_or_default();
    let path = test.split_once("://").and_then(|(_, rest)| {
        let (_, path) = rest.split_once('/')?;
        let path = path.split(|c: char| c.is_whitespace() || "'\"|&;)".contains(c)).next()?;
        Some(format!("/{path}")).filter(|path| value::valid_url_path(path))
    });
    if path.is_none() {
        found.leave(
            line,
            format!("{about}: healthcheck asks no address that could be read; write health = \"/…\""),
        );
    }
    found.health = path;
}
