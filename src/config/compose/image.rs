//! A service with somebody else's image becomes a throw-away one beside stages.

use super::service::variable;
use super::yaml::Node;
use super::{Beside, Found, command, environment, is_secret, name_of, port};
use crate::config::read::shown;
use crate::config::{reference, secret};

/// The ports at which well-known images answer, as their own documentation says.
const PORTS: [(&str, u16); 10] = [
    ("redis", 6379),
    ("valkey", 6379),
    ("rabbitmq", 5672),
    ("mysql", 3306),
    ("mariadb", 3306),
    ("memcached", 11211),
    ("elasticsearch", 9200),
    ("opensearch", 9200),
    ("mongo", 27017),
    ("minio", 9000),
];

pub(super) fn beside(found: &mut Found, service: &str, line: u32, node: &Node) {
    let about = shown(service);
    let Some(name) = name_of(service) else {
        return found.leave(line, format!("{about}: cannot be the name of a service"));
    };
    let image = node.get("image").and_then(Node::text).unwrap_or_default();
    if !reference::valid_reference(image) {
        return found.leave(line, format!("{about}: image \"{}\" cannot be used as it is", shown(image)));
    }
    let base = image.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    let postgres = base.starts_with("postg") || base.starts_with("timescale");
    let mut service = Beside { image: image.to_owned(), ..Beside::default() };
    for (key, line, node) in node.map() {
        match key.as_str() {
            "image" | "ports" | "expose" | "volumes" | "restart" | "healthcheck" => {}
            "command" => service.command = command(node).filter(|text| secret::in_command(text).is_none()),
            "environment" => {
                for (variable_name, line, value) in environment(node) {
                    match value.filter(|value| !is_secret(&variable_name, value) && !value.contains('\0')) {
                        Some(value) => {
                            variable(found, line, &about, &variable_name, &value);
                            service.env.insert(variable_name, value);
                        }
                        None => found.leave(
                            line,
                            format!(
                                "{about}: the value of {variable_name} is not taken over: it may be a secret"
                            ),
                        ),
                    }
                }
            }
            "env_file" => found.leave(*line, format!("{about}: env_file is not read: it may hold secrets")),
            _ => found.leave(*line, format!("{about}: {} has no counterpart", shown(key))),
        }
    }
    if postgres {
        service.env.insert("POSTGRES_HOST_AUTH_METHOD".to_owned(), "trust".to_owned());
        let word = |key: &str| {
            let plain = |text: &&String| {
                !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            };
            service.env.get(key).filter(plain)
        };
        let user = word("POSTGRES_USER").map_or("postgres", String::as_str);
        let database = word("POSTGRES_DB").map_or(user, String::as_str);
        service.ready = Some(format!("{{ postgres = \"postgres://{user}@{name}:5432/{database}\" }}"));
    } else {
        if matches!(base, "mysql" | "mariadb") {
            service.env.insert("MYSQL_ALLOW_EMPTY_PASSWORD".to_owned(), "yes".to_owned());
        }
        let known = PORTS.iter().find(|(word, _)| base.starts_with(word)).map(|(_, port)| *port);
        let shown_port = || ["ports", "expose"].iter().find_map(|key| node.get(key).and_then(port));
        service.ready = known.or_else(shown_port).map(|port| format!("{{ tcp = {port} }}"));
    }
    found.services.insert(name, service);
}
