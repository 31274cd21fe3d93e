//! The text of the included file. Pure: the same route gives the same text.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::label;
use crate::router::{Member, Route};

/// nginx keeps the names of variables in buckets of 64 bytes, which leaves 46 for a name.
const LONGEST_NAME: usize = 46;
/// What the variable with the deployment that was asked first ends in.
const FIRST: &str = "_1st";

/// After a switch, an idle connection of a client lives on for so long, and a request on it still goes to the old set
/// (measured: answered by it, with `Connection: close`). Who stops the old set sooner breaks that request with a 502.
pub const IDLE_SURVIVES: Duration = Duration::from_secs(10);

/// What may stand in the file depends on the nginx that reads it, and on what the user's own file already says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Who sees to it that idle connections of clients survive a reload.
    pub client: ClientKeepalive,
    /// Whether connections to replicas are expressly not kept. Since 1.29.7 nginx keeps 32 by default; a
    /// replica that closes one just when it is used again makes a POST fail with 502. Before, none is kept
    /// unless told, and the line that says so (`keepalive 0`) is an error.
    pub close_to_replicas: bool,
}

impl Options {
    /// What is right for a new nginx, and tried first.
    pub const NEW: Self = Self { client: ClientKeepalive::Ours, close_to_replicas: true };

    /// Every combination, the best first.
    pub fn all() -> impl Iterator<Item = Self> {
        let clients = [ClientKeepalive::Ours, ClientKeepalive::Theirs, ClientKeepalive::Unknown];
        [true, false].into_iter().flat_map(move |close_to_replicas| {
            clients.into_iter().map(move |client| Self { client, close_to_replicas })
        })
    }
}

/// Who sets `keepalive_min_timeout`. Without it a reload closes idle connections under their clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKeepalive {
    /// The included file.
    Ours,
    /// Another file of the same nginx, which has it in `http {}` already: twice is an error.
    Theirs,
    /// Nobody: this nginx is older than 1.27.4.
    Unknown,
}

/// What is called how in nginx's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The upstream, the log format and (with `$`) the variable that holds the answering deployment.
    pub route: String,
    /// Without its `$`, the variable that holds the deployment that was asked first: another one where a
    /// request was passed on.
    pub first: String,
}

impl Names {
    /// `towpath_<project>_<environment>`, only letters, digits and `_`; shortened by a digest where it would be
    /// too long for nginx.
    #[must_use]
    pub fn of(project: &str, environment: &str) -> Self {
        let safe = |name: &str| -> String {
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
        };
        let mut route = format!("towpath_{}_{}", safe(project), safe(environment));
        if route.len() + FIRST.len() > LONGEST_NAME {
            let digest = Sha256::digest(format!("{project}/{environment}"));
            route.truncate(LONGEST_NAME - FIRST.len() - 9);
            route.push('_');
            for byte in digest.iter().take(4) {
                let _ = write!(route, "{byte:02x}");
            }
        }
        Self { first: format!("{route}{FIRST}"), route }
    }
}

/// The whole text of the included file.
#[must_use]
pub fn include_text(route: &Route, options: Options) -> String {
    let names = Names::of(&route.project, &route.environment);
    let mut text = String::new();
    header(&mut text, route);
    upstream(&mut text, route, &names, options);
    maps(&mut text, route, &names);
    log_format(&mut text, &names);
    match options.client {
        ClientKeepalive::Ours => text.push_str(
            "\n# A reload leaves idle connections open for so long: closed at once, some break a request that is on its way.\nkeepalive_min_timeout 10s;\n",
        ),
        ClientKeepalive::Theirs => {
            text.push_str("\n# keepalive_min_timeout is set in another file of this nginx.\n");
        }
        ClientKeepalive::Unknown => {
            text.push_str("\n# keepalive_min_timeout is not known to this nginx (1.27.4 and later have it).\n");
        }
    }
    text
}

fn header(text: &mut String, route: &Route) {
    let plain = |name: &str| -> String { name.chars().filter(|c| !c.is_control()).collect() };
    let _ = writeln!(
        text,
        "# Written by Towpath for {}, environment {}. Do not edit: the next switch replaces it.",
        plain(&route.project),
        plain(&route.environment)
    );
    for share in &route.shares {
        for (at, member) in share.members.iter().enumerate() {
            let new = at == 0 || share.members.get(at - 1).is_none_or(|m| m.deployment != member.deployment);
            if new {
                let (deployment, release) = (label(member.deployment), member.release);
                let _ = writeln!(text, "# {deployment} ({release}): {} % of the traffic.", share.weight);
            }
        }
    }
}

fn upstream(text: &mut String, route: &Route, names: &Names, options: Options) {
    let _ = writeln!(text, "\nupstream {} {{", names.route);
    let weighted = weights(route);
    if weighted.is_empty() {
        // An upstream without servers is an error; one whose only server is down answers 502.
        text.push_str("    server 127.0.0.1:9 down;  # no replica takes traffic\n");
    }
    for (member, weight) in &weighted {
        // max_fails=0: nginx takes nobody out by itself. A canary that fails would else hand its part to the old
        // set for 10 s and look healthy, and replicas that are back would get nothing.
        let _ = writeln!(
            text,
            "    server {} weight={weight} max_fails=0;  # {}",
            address(member),
            label(member.deployment)
        );
    }
    if options.close_to_replicas {
        text.push_str("    keepalive 0;\n");
    }
    text.push_str("}\n");
}

/// The deployment by address. After a retry `$upstream_addr` is a list; the last of it has answered.
fn maps(text: &mut String, route: &Route, names: &Names) {
    for (name, before, after) in [(&names.route, "(?:^| )", "$"), (&names.first, "^", "(?:[, ]|$)")] {
        let _ = writeln!(text, "\nmap $upstream_addr ${name} {{\n    default \"\";");
        for member in route.shares.iter().flat_map(|share| &share.members) {
            let address = address(member).replace('.', r"\.").replace('[', r"\[").replace(']', r"\]");
            let _ = writeln!(text, "    \"~{before}{address}{after}\" \"{}\";", label(member.deployment));
        }
        text.push_str("}\n");
    }
}

/// One JSON object a line; every value is nginx's own, nothing of the client's is in it.
fn log_format(text: &mut String, names: &Names) {
    let _ = writeln!(
        text,
        "\nlog_format {route} escape=json\n    '{{\"time\":\"$msec\",\"status\":\"$status\",\"seconds\":\"$request_time\",\"bytes\":\"$bytes_sent\",'\n    '\"deployment\":\"${route}\",\"first\":\"${first}\",\"upstream_status\":\"$upstream_status\"}}';",
        route = names.route,
        first = names.first,
    );
}

fn address(member: &Member) -> String {
    match member.host {
        IpAddr::V4(host) => format!("{host}:{}", member.port),
        IpAddr::V6(host) => format!("[{host}]:{}", member.port),
    }
}

/// Whole numbers that give each share exactly its part, as small as can be: a share's weight, multiplied by the
/// least common multiple of all sizes, divided by its own size.
fn weights(route: &Route) -> Vec<(&Member, u64)> {
    let size = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let shares: Vec<_> =
        route.shares.iter().filter(|share| share.weight > 0 && !share.members.is_empty()).collect();
    let multiple = shares.iter().map(|share| size(share.members.len())).fold(1, lcm);
    let each: Vec<u64> = shares
        .iter()
        .map(|share| u64::from(share.weight).saturating_mul(multiple / size(share.members.len())))
        .collect();
    let divisor = each.iter().copied().fold(0, gcd).max(1);
    shares
        .iter()
        .zip(each)
        .flat_map(|(share, weight)| share.members.iter().map(move |member| (member, weight / divisor)))
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn lcm(a: u64, b: u64) -> u64 {
    (a / gcd(a, b)).saturating_mul(b)
}

#[cfg(test)]
mod tests;
