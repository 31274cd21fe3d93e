//! What `towpath check` says of the image, its services, roles and environments. No secret is asked for: it is said where each comes from.

use std::collections::BTreeMap;

use crate::domain::ids::EnvironmentName;
use crate::domain::project::{
    Environment, Host, ImageSettings, Project, Ready, Role, Router, RuntimeKind, SecretSource, Strategy,
};
use crate::print::style::{Style, visible};
use crate::text::width;

/// The lines of a project's image, services, roles and environments; none of what it has not.
pub(super) fn text(style: &Style, project: &Project) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(image) = &project.artifact.image {
        lines.push(String::new());
        lines.push(style.strong("image"));
        lines.extend(facts(style, &about_image(image)));
    }
    if !project.services.is_empty() {
        lines.push(String::new());
        lines.push(style.strong("services, thrown away after their stage"));
        let about = project.services.values().map(|service| {
            (service.name.as_str(), format!("{} · ready {}", visible(&service.image), ready(&service.ready)))
        });
        lines.extend(facts(style, &about.collect::<Vec<_>>()));
    }
    if !project.roles.is_empty() {
        lines.push(String::new());
        lines.push(style.strong("roles"));
        let widest = project.roles.keys().map(|name| width::width(name)).max().unwrap_or(0);
        lines.extend(project.roles.iter().map(|(name, role)| {
            let about = one_role(role, project.artifact.runtime());
            format!("  {}  {}", width::pad(name, widest), style.words(&about))
        }));
    }
    for (name, environment) in &project.environments {
        lines.push(String::new());
        lines.extend(one_environment(style, name, environment));
    }
    lines
}

fn one_role(role: &Role, runtime: RuntimeKind) -> String {
    let never_two = if role.is_exclusive() { " · never two" } else { "" };
    let port = match runtime {
        RuntimeKind::Docker => format!(" · port {}", role.port),
        RuntimeKind::Process => String::new(),
    };
    let volumes: String =
        role.volumes.iter().map(|volume| format!(" · mounts {}", visible(volume))).collect();
    format!("{} · stops within {}{never_two}{port}{volumes}", visible(&role.command), role.stop_timeout)
}

fn about_image(image: &ImageSettings) -> Vec<(&'static str, String)> {
    let target = image.target.as_ref().map(|target| format!(", stage {}", visible(target)));
    let mut about = vec![
        ("name", visible(&image.name).into_owned()),
        ("built from", format!("{}{}", visible(&image.dockerfile), target.unwrap_or_default())),
    ];
    if !image.args.is_empty() {
        about.push(("args", image.args.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    about.extend(image.secrets.iter().map(|(name, source)| ("secret", secret(name, source))));
    let moves =
        if image.push { "pushed to its registry, pulled by each host" } else { "streamed to each host" };
    about.push(("moved", moves.to_owned()));
    about
}

fn ready(ready: &Ready) -> String {
    match ready {
        Ready::Image => "as its image says, else once it runs".to_owned(),
        Ready::Tcp(port) => format!("once port {port} takes a connection"),
        // Its address may have a password in it, though one that protects nothing.
        Ready::Postgres(_) => "once PostgreSQL lets its user in".to_owned(),
        Ready::Command(command) => format!("once \"{}\" ends well", visible(command)),
    }
}

fn host(host: &Host) -> String {
    let address = host.address.map(|address| format!(" · routed to at {address}")).unwrap_or_default();
    let tls = host.tls.as_ref().map(|tls| format!(" · TLS from {}", visible(tls))).unwrap_or_default();
    format!("{} by {}{address}{tls}", host.name, visible(&host.url))
}

/// Lines of two columns.
fn facts(style: &Style, about: &[(&str, String)]) -> Vec<String> {
    let widest = about.iter().map(|(word, _)| width::width(word)).max().unwrap_or(0);
    about
        .iter()
        .map(|(word, fact)| format!("  {}  {}", width::pad(word, widest), style.words(fact)))
        .collect()
}

fn one_environment(style: &Style, name: &EnvironmentName, environment: &Environment) -> Vec<String> {
    let mut about = Vec::new();
    about.push(match &environment.after {
        Some(after) => format!("takes what was live in {after}"),
        None => "takes any release".to_owned(),
    });
    if environment.protected {
        about.push("protected: its name is typed to promote".to_owned());
    }
    let mut about = vec![("promotion", about.join(" · "))];
    about.extend(environment.hosts.iter().map(|one| ("host", host(one))));
    about.extend(environment.network.iter().map(|network| ("network", visible(network).into_owned())));
    about.extend([
        ("strategy", strategy(environment)),
        ("replicas", counts(&environment.replicas)),
        ("health", health(environment)),
    ]);
    let url = environment.url.as_deref().map(|url| ("url", visible(url).into_owned()));
    about.extend(url);
    about.push(("router", router(&environment.router)));
    let commands: usize = [&environment.smoke, &environment.hooks.before, &environment.hooks.after_migrate]
        .into_iter()
        .chain([&environment.hooks.after])
        .map(Vec::len)
        .sum();
    if commands > 0 {
        let hooks = commands - environment.smoke.len();
        about.push(("commands", format!("{} smoke, {hooks} in hooks", environment.smoke.len())));
    }
    if !environment.env.is_empty() {
        about.push(("env", environment.env.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    about.extend(environment.secrets.iter().map(|(name, source)| ("secret", secret(name, source))));
    let mut lines = vec![style.strong(&format!("environment {name}"))];
    lines.extend(facts(style, &about));
    lines
}

fn strategy(environment: &Environment) -> String {
    let bake = match environment.bake.0 {
        0 => "no bake".to_owned(),
        _ => format!("bakes {}", environment.bake),
    };
    match &environment.strategy {
        Strategy::Recreate => format!("recreate, with downtime · {bake}"),
        Strategy::Rolling => format!("rolling · {bake}"),
        Strategy::BlueGreen => format!("blue-green · {bake}"),
        Strategy::Canary(weights) => {
            let weights: Vec<String> = weights.iter().map(|weight| format!("{weight}%")).collect();
            format!("canary {}, each {} · then {bake}", weights.join(", "), environment.canary_window())
        }
    }
}

fn counts(replicas: &BTreeMap<String, u32>) -> String {
    replicas.iter().map(|(role, count)| format!("{count} {role}")).collect::<Vec<_>>().join(", ")
}

fn health(environment: &Environment) -> String {
    let check = &environment.health;
    let wanted = check.status.map_or_else(|| "below 500".to_owned(), |status| status.to_string());
    format!("{} answers {wanted} within {}", visible(&check.path), check.within)
}

fn router(router: &Router) -> String {
    match router {
        Router::None => "none".to_owned(),
        Router::Nginx(nginx) => {
            let measured = match &nginx.access_log {
                Some(log) => format!("traffic measured in {}", visible(log)),
                None => "traffic not measured".to_owned(),
            };
            format!("nginx by {} · {measured}", visible(&nginx.include))
        }
    }
}

/// Where a secret comes from. A command line is not repeated: what it asks is nobody's business in a build's log.
fn secret(name: &str, source: &SecretSource) -> String {
    let from = match source {
        SecretSource::Env(variable) => format!("the variable {}", visible(variable)),
        SecretSource::File(path) => format!("the file {}", visible(path)),
        SecretSource::Command(_) => "the output of a command".to_owned(),
    };
    format!("{name} from {from}")
}
