//! What was found, as the text of a configuration.

use std::collections::BTreeMap;

use super::Found;

pub(super) fn toml(found: &Found) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(&words);
        text.push('\n');
    };
    if let Some(name) = &found.name {
        line(format!("[project]\nname = {}\n", quoted(name)));
    }
    line("[artifact]\nruntime = \"docker\"".to_owned());
    for (key, value) in
        [("image", &found.image), ("dockerfile", &found.dockerfile), ("target", &found.target)]
    {
        if let Some(value) = value {
            line(format!("{key} = {}", quoted(value)));
        }
    }
    if !found.args.is_empty() {
        line(format!("args = {}", table(&found.args)));
    }
    for (name, role) in &found.roles {
        line(format!("\n[role.{name}]\ncommand = {}", quoted(&role.command)));
        if let Some(port) = role.port {
            line(format!("port = {port}"));
        }
        if !role.volumes.is_empty() {
            let volumes: Vec<String> = role.volumes.iter().map(|volume| quoted(volume)).collect();
            line(format!("volumes = [{}]", volumes.join(", ")));
        }
        if let Some(time) = &role.stop_timeout {
            line(format!("stop_timeout = {}", quoted(time)));
        }
        if role.exclusive {
            line("max = 1".to_owned());
        }
    }
    for (name, service) in &found.services {
        line(format!("\n[service.{name}]\nimage = {}", quoted(&service.image)));
        if let Some(command) = &service.command {
            line(format!("command = {}", quoted(command)));
        }
        if !service.env.is_empty() {
            line(format!("env = {}", table(&service.env)));
        }
        if let Some(ready) = &service.ready {
            line(format!("ready = {ready}"));
        }
    }
    if found.roles.is_empty() {
        return text;
    }
    line("\n[environment.staging]".to_owned());
    let counts = found.roles.iter().filter_map(|(name, role)| Some(format!("{name} = {}", role.replicas?)));
    let counts: Vec<String> = counts.collect();
    if !counts.is_empty() {
        line(format!("replicas = {{ {} }}", counts.join(", ")));
    }
    if let Some(path) = &found.health {
        line(format!("health = {}", quoted(path)));
    }
    // A name that is a secret anywhere is one everywhere.
    let env: Vec<_> = found.env.iter().filter(|(name, _)| !found.secrets.contains(*name)).collect();
    if !env.is_empty() {
        line("[environment.staging.env]".to_owned());
        env.iter().for_each(|(name, value)| line(format!("{name} = {}", quoted(value))));
    }
    if !found.secrets.is_empty() {
        line("[environment.staging.secrets]".to_owned());
        found.secrets.iter().for_each(|name| line(format!("{name} = {{ env = \"{name}\" }}")));
    }
    text
}

/// A text as one of TOML on one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn table(values: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> =
        values.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
    format!("{{ {} }}", entries.join(", "))
}
