//! What `towpath check` says of roles and environments. No secret is asked for: it is said where each comes from.

use std::collections::BTreeMap;

use crate::domain::ids::EnvironmentName;
use crate::domain::project::{Environment, Project, Role, Router, SecretSource, Strategy};
use crate::print::style::{Style, visible};
use crate::text::width;

/// The lines of a project's roles and environments; none where it has neither.
pub(super) fn text(style: &Style, project: &Project) -> Vec<String> {
    let mut lines = Vec::new();
    if !project.roles.is_empty() {
        lines.push(String::new());
        lines.push(style.strong("roles"));
        let widest = project.roles.keys().map(|name| width::width(name)).max().unwrap_or(0);
        lines.extend(
            project.roles.iter().map(|(name, role)| {
                format!("  {}  {}", width::pad(name, widest), style.words(&one_role(role)))
            }),
        );
    }
    for (name, environment) in &project.environments {
        lines.push(String::new());
        lines.extend(one_environment(style, name, environment));
    }
    lines
}

fn one_role(role: &Role) -> String {
    let never_two = if role.is_exclusive() { " · never two" } else { "" };
    format!("{} · stops within {}{never_two}", visible(&role.command), role.stop_timeout)
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
    let mut facts = vec![
        ("promotion", about.join(" · ")),
        ("strategy", strategy(environment)),
        ("replicas", counts(&environment.replicas)),
        ("health", health(environment)),
    ];
    let url = environment.url.as_deref().map(|url| ("url", visible(url).into_owned()));
    facts.extend(url);
    facts.push(("router", router(&environment.router)));
    let commands: usize = [&environment.smoke, &environment.hooks.before, &environment.hooks.after_migrate]
        .into_iter()
        .chain([&environment.hooks.after])
        .map(Vec::len)
        .sum();
    if commands > 0 {
        let hooks = commands - environment.smoke.len();
        facts.push(("commands", format!("{} smoke, {hooks} in hooks", environment.smoke.len())));
    }
    if !environment.env.is_empty() {
        facts.push(("env", environment.env.keys().cloned().collect::<Vec<_>>().join(", ")));
    }
    facts.extend(environment.secrets.iter().map(|(name, source)| ("secret", secret(name, source))));
    let widest = facts.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    let mut lines = vec![style.strong(&format!("environment {name}"))];
    lines.extend(
        facts.iter().map(|(word, fact)| format!("  {}  {}", width::pad(word, widest), style.words(fact))),
    );
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
