//! `hosts` and `network` of an environment: the Docker engines that it runs on.

use std::net::IpAddr;

use toml::de::{DeTable, DeValue};

use super::read::{Node, Reader, shown};
use super::{Written, reference, schema};
use crate::domain::project::Host;

/// More engines than this are no environment that one console watches over.
const HOST_LIMIT: usize = 32;

/// How the url of an engine is written.
const URL: &str =
    "\"ssh://[USER@]HOST[:PORT]\", \"tcp://HOST:PORT\", \"unix:///…\", \"context:NAME\" or \"default\"";

/// Where an engine is, as far as its url tells.
enum Reach<'a> {
    /// On this machine.
    Local,
    /// What a context says.
    Context(&'a str),
    /// On a machine of this name or address.
    Machine(&'a str),
}

pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Vec<Written<Host>>> {
    let node = table.get(schema::HOST.name)?;
    let DeValue::Array(items) = node.get_ref() else {
        reader.wrong_type(node, "hosts", "a list: hosts = [\"ssh://deploy@app1.example.com\"]");
        return None;
    };
    if items.is_empty() {
        let place = reader.place(node);
        reader.mistake(
            place,
            "hosts names no engine.",
            format!("Write {URL}, or leave hosts out: this machine's own."),
        );
        return None;
    }
    if let Some(extra) = items.get(HOST_LIMIT) {
        let place = reader.place(extra);
        reader.mistake(
            place,
            format!("there are more than {HOST_LIMIT} hosts."),
            "Make several environments of them.",
        );
        return None;
    }
    let mut hosts: Vec<Written<Host>> = Vec::new();
    for item in items.iter() {
        let Some(host) = one(reader, item) else { continue };
        let twin = hosts.iter().find(|other| other.value.url.eq_ignore_ascii_case(&host.value.url));
        let namesake = hosts.iter().find(|other| other.value.name == host.value.name);
        if let Some(twin) = twin {
            let message = format!("this engine is there already, as \"{}\".", twin.value.name);
            reader.mistake(host.place, message, "Keep one of them.");
        } else if namesake.is_some() {
            let message = format!("there are two hosts called \"{}\".", host.value.name);
            reader.mistake(host.place, message, "Give one of them a name: { url = \"…\", name = \"…\" }.");
        }
        hosts.push(host);
    }
    Some(hosts)
}

fn one(reader: &mut Reader<'_>, node: Node<'_, '_>) -> Option<Written<Host>> {
    let place = reader.place(node);
    let DeValue::Table(table) = node.get_ref() else {
        let url = url(reader, node)?;
        let name = usual_name(&url);
        return Some(Written { value: Host { name, url, address: None, tls: None }, place });
    };
    reader.known_keys(table, schema::HOST);
    let url = match table.get("url") {
        Some(node) => url(reader, node),
        None => {
            reader.mistake(place, "a host has no url.", format!("Add url = {URL}."));
            None
        }
    };
    let name = table.get("name").map(|node| {
        let wanted =
            "letters, digits, \".\", \"_\" and \"-\", a letter or digit first, at most 63 characters";
        reader.checked(node, "name", wanted, |text| valid_name(text).then(|| text.to_owned()))
    });
    let address = table.get("address").map(|node| address(reader, node));
    let tls = table.get("tls").map(|node| {
        let wanted = "the directory with ca.pem, cert.pem and key.pem";
        let sound = |text: &str| !text.trim().is_empty() && !text.contains(char::is_control);
        reader.checked(node, "tls", wanted, |text| sound(text).then(|| text.to_owned()))
    });
    let url = url?;
    if let (Some(Some(tls)), false) = (&tls, url.starts_with("tcp://")) {
        let cure = "Leave tls out: only tcp:// has it; SSH and contexts bring their own keys.";
        reader.mistake(tls.place, "tls is for tcp:// alone.", cure);
    }
    // What is written and wrong was said; the host is then not used.
    let name = match name {
        Some(name) => name?.value,
        None => usual_name(&url),
    };
    let address = match address {
        Some(address) => Some(address?),
        None => None,
    };
    let tls = match tls {
        Some(tls) => Some(tls?.value),
        None => None,
    };
    Some(Written { value: Host { name, url, address, tls }, place })
}

fn address(reader: &mut Reader<'_>, node: Node<'_, '_>) -> Option<IpAddr> {
    let wanted = "the IP address at which the router reaches the host's containers, such as \"10.0.0.5\"";
    let Written { value, place } =
        reader.checked(node, "address", wanted, |text| text.parse::<IpAddr>().ok())?;
    if value.is_unspecified() || value.is_multicast() {
        // Not even for a moment: Docker's published ports go past most firewalls.
        let message = format!("address = \"{value}\" would publish every container's port to everybody.");
        reader.mistake(place, message, format!("Write {wanted}."));
        return None;
    }
    Some(value)
}

fn url(reader: &mut Reader<'_>, node: Node<'_, '_>) -> Option<String> {
    let Written { value, place } = reader.text(node, "a host", URL)?;
    match trouble(&value) {
        None => Some(value),
        Some(what) => {
            // Not repeated: it may carry a password.
            reader.mistake(place, format!("the url of a host {what}."), format!("Write {URL}."));
            None
        }
    }
}

/// What is wrong with the url of an engine; nothing where it can be used.
fn trouble(url: &str) -> Option<&'static str> {
    if url == "default" {
        return None;
    }
    if let Some(name) = url.strip_prefix("context:") {
        return (!reference::valid_object(name)).then_some("names no context");
    }
    if let Some(path) = url.strip_prefix("unix://") {
        let sound = path.starts_with('/') && path.len() > 1 && !path.contains(char::is_control);
        return (!sound).then_some("has no absolute path of a socket");
    }
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "tcp" && scheme != "ssh" {
        return Some("begins with nothing that is known");
    }
    let (user, machine) = match rest.rsplit_once('@') {
        Some((user, machine)) => (Some(user), machine),
        None => (None, rest),
    };
    if let Some(user) = user {
        if user.contains(':') {
            return Some("has a password in it");
        }
        let sound = user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && user.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if scheme == "tcp" || !sound {
            return Some("has a user that cannot be one");
        }
    }
    if machine.contains('/') {
        return Some("has a path behind the host");
    }
    let (host, port) = split_port(machine);
    match port {
        Some(port) if port.parse::<u16>().is_ok_and(|port| port > 0) => {}
        Some(_) => return Some("has a port that cannot be one"),
        None if scheme == "tcp" => return Some("has no port; Docker's own is 2376 with TLS"),
        None => {}
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let sound = match host.starts_with('[') {
        true => bare.parse::<std::net::Ipv6Addr>().is_ok(),
        false => reference::valid_host(host),
    };
    (!sound).then_some("has no host that could be one")
}

/// A machine and its port; an IPv6 address keeps its brackets.
fn split_port(machine: &str) -> (&str, Option<&str>) {
    match machine.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (machine, None),
    }
}

fn reach(url: &str) -> Reach<'_> {
    if let Some(name) = url.strip_prefix("context:") {
        return Reach::Context(name);
    }
    let rest = url.strip_prefix("tcp://").or_else(|| url.strip_prefix("ssh://"));
    let Some(rest) = rest else { return Reach::Local };
    let machine = rest.rsplit_once('@').map_or(rest, |(_, machine)| machine);
    let (host, _) = split_port(machine);
    Reach::Machine(host.trim_start_matches('[').trim_end_matches(']'))
}

/// How people call an engine that they gave no name.
fn usual_name(url: &str) -> String {
    match reach(url) {
        Reach::Local => Host::usual().name,
        Reach::Context(name) => name.chars().take(63).collect(),
        Reach::Machine(host) => {
            let name: String = host.replace(':', "-").chars().take(63).collect();
            name.trim_matches('-').to_owned()
        }
    }
}

fn valid_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Says which hosts a router before them could not reach: nginx is told addresses, and a name may mean another machine
/// there.
pub(super) fn reached_by_router(reader: &mut Reader<'_>, hosts: &[Written<Host>]) {
    for Written { value: host, place } in hosts {
        let known = match reach(&host.url) {
            Reach::Local => true,
            Reach::Context(_) => false,
            Reach::Machine(name) => name.parse::<IpAddr>().is_ok(),
        };
        if host.address.is_none() && !known {
            let cure = format!(
                "Add it: {{ url = \"{}\", address = \"10.0.0.5\" }}: the IP address at which nginx reaches its \
                 containers; their ports are published there and nowhere else.",
                shown(&host.url)
            );
            reader.mistake(
                *place,
                format!("the host \"{}\" has no address for the router.", host.name),
                cure,
            );
        }
    }
}

pub(super) fn network(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Written<String>> {
    let node = table.get("network")?;
    let wanted = "the name of a network that is on each host; without it one is made";
    let network = reader
        .checked(node, "network", wanted, |text| reference::valid_object(text).then(|| text.to_owned()))?;
    if matches!(network.value.as_str(), "host" | "none") {
        // Neither publishes a port: nothing could be routed.
        let message = format!("the network \"{}\" has no addresses of its own.", network.value);
        reader.mistake(network.place, message, format!("Write {wanted}."));
        return None;
    }
    Some(network)
}
