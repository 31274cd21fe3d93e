//! From the environments as written to what they mean, with the roles known.

use std::collections::BTreeMap;

use crate::config::{self, EnvironmentTable, HealthTable, Mistake, nearest};
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::EnvironmentName;
use crate::domain::project::{
    Environment, HealthCheck, Hooks, Host, Role, Router, RuntimeKind, Strategy, Tolerance,
};

/// The status that a path which is named for it answers with.
const WELL: u16 = 200;

/// Works out every environment. `roles` are those of the same configuration; at a deployment the release's own count.
pub(super) fn settle(
    file: &config::File,
    roles: &BTreeMap<String, Role>,
    runtime: RuntimeKind,
    mistakes: &mut Vec<Mistake>,
    findings: &mut Vec<Finding>,
) -> BTreeMap<EnvironmentName, Environment> {
    let mut settled = BTreeMap::new();
    for table in &file.environments {
        let name = &table.name.value;
        if roles.is_empty() {
            mistakes.push(Mistake::new(
                table.name.place,
                format!("the environment \"{name}\" has nothing to run: there is no role."),
                "Write [role.web] with a command, such as \"gunicorn harbor.wsgi --bind 127.0.0.1:$PORT\".",
            ));
        }
        let mut environment = one(table, replicas(table, roles, mistakes));
        environment.hosts = hosts(table, runtime, mistakes);
        findings.extend(environment.hosts.iter().filter_map(|host| open_engine(name, host)));
        findings.extend(blind_canary(name, &environment));
        findings.extend(static_outside(name, &environment));
        settled.insert(EnvironmentName(name.clone()), environment);
    }
    settled
}

/// The engines: what is written, else this machine's own; none on the process runtime.
fn hosts(table: &EnvironmentTable, runtime: RuntimeKind, mistakes: &mut Vec<Mistake>) -> Vec<Host> {
    if runtime == RuntimeKind::Docker {
        let written = table.hosts.iter().flatten().map(|host| host.value.clone()).collect::<Vec<_>>();
        return if written.is_empty() { vec![Host::usual()] } else { written };
    }
    let host = table.hosts.iter().flatten().next().map(|host| ("hosts", host.place));
    let network = table.network.as_ref().map(|network| ("network", network.place));
    for (key, place) in [host, network].into_iter().flatten() {
        mistakes.push(Mistake::new(
            place,
            format!("{key} is for containers, and the runtime is process: that is on this machine only."),
            format!("Write runtime = \"docker\" under [artifact], or leave {key} out."),
        ));
    }
    Vec::new()
}

/// nginx has no way into an image: a directory that it serves stays empty.
fn static_outside(name: &str, environment: &Environment) -> Option<Finding> {
    let Router::Nginx(nginx) = &environment.router else { return None };
    (!environment.hosts.is_empty() && nginx.static_files.is_some()).then(|| Finding {
        id: format!("IMAGE-STATIC:{name}"),
        severity: Severity::Warning,
        title: format!("static_files of {name} stays empty: the static files of an image are inside of it."),
        cure: "Leave static_files out, and let the application serve them (WhiteNoise does) through nginx."
            .into(),
    })
}

/// Whoever reaches an engine over plain TCP is root on its machine.
fn open_engine(environment: &str, host: &Host) -> Option<Finding> {
    let machine = host.url.strip_prefix("tcp://").filter(|_| host.tls.is_none())?;
    let own = ["127.", "localhost:", "[::1]:"].iter().any(|loopback| machine.starts_with(loopback));
    (!own).then(|| Finding {
        id: format!("HOST-OPEN:{environment}:{}", host.name),
        severity: Severity::Warning,
        title: format!(
            "The engine of {} is asked without TLS: whoever reaches its port is root on that machine.",
            host.name
        ),
        cure: "Write tls = \"DIRECTORY\" with ca.pem, cert.pem and key.pem in it, or reach it by ssh://."
            .into(),
    })
}

/// How many of each role: what is written, and one of each that is not.
fn replicas(
    table: &EnvironmentTable,
    roles: &BTreeMap<String, Role>,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, u32> {
    let mut replicas: BTreeMap<String, u32> = roles.keys().map(|role| (role.clone(), 1)).collect();
    // Without any role that was said once for the environment.
    for (role, count) in table.replicas.iter().flatten().filter(|_| !roles.is_empty()) {
        let Some(known) = roles.get(role) else {
            let cure = match nearest(role, roles.keys().map(String::as_str)) {
                Some(near) => format!("Did you mean \"{near}\"?"),
                None => {
                    let all: Vec<&str> = roles.keys().map(String::as_str).collect();
                    format!("There is {}; every other role is a [role.NAME].", all.join(", "))
                }
            };
            let shown: String = role.chars().filter(|c| !c.is_control()).take(60).collect();
            mistakes.push(Mistake::new(count.place, format!("there is no role \"{shown}\"."), cure));
            continue;
        };
        if known.is_exclusive() && count.value > 1 {
            mistakes.push(Mistake::new(
                count.place,
                format!("{} replicas of {role}, of which there may be only one.", count.value),
                format!("Write {role} = 1, or leave max out of [role.{role}]."),
            ));
        }
        replicas.insert(role.clone(), count.value);
    }
    replicas
}

fn one(table: &EnvironmentTable, replicas: BTreeMap<String, u32>) -> Environment {
    let usual = Environment::default();
    let strategy = table.strategy.as_ref().map(|strategy| &strategy.value);
    let tolerance = Tolerance::default();
    let texts = |list: &Option<Vec<config::Written<String>>>| -> Vec<String> {
        list.iter().flatten().map(|written| written.value.clone()).collect()
    };
    Environment {
        after: table.after.as_ref().map(|after| EnvironmentName(after.value.clone())),
        protected: table.protected.as_ref().map_or(usual.protected, |protected| protected.value),
        strategy: strategy.map_or(usual.strategy, |strategy| strategy.strategy.clone()),
        replicas,
        bake: table.bake.as_ref().map_or(usual.bake, |bake| bake.value),
        canary_bake: strategy.and_then(|strategy| strategy.bake.as_ref()).map(|bake| bake.value),
        url: table.url.as_ref().map(|url| url.value.clone()),
        health: health(&table.health),
        tolerance: Tolerance {
            failed_permille: table
                .tolerance
                .failed_permille
                .as_ref()
                .map_or(tolerance.failed_permille, |failed| failed.value),
            min_requests: table
                .tolerance
                .min_requests
                .as_ref()
                .map_or(tolerance.min_requests, |least| least.value),
        },
        smoke: texts(&table.smoke),
        hooks: Hooks {
            before: texts(&table.hooks.before),
            after_migrate: texts(&table.hooks.after_migrate),
            after: texts(&table.hooks.after),
        },
        env: table.env.iter().flatten().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        secrets: table.secrets.iter().map(|(name, source)| (name.clone(), source.value.clone())).collect(),
        lock_timeout: table.lock_timeout.as_ref().map_or(usual.lock_timeout, |timeout| timeout.value),
        router: table.nginx.as_ref().map_or(usual.router, |nginx| Router::Nginx(nginx.value.clone())),
        hosts: Vec::new(),
        network: table.network.as_ref().map(|network| network.value.clone()),
    }
}

/// A path that is named is there to be asked, and answers 200; the front page may also ask for a login.
fn health(table: &HealthTable) -> HealthCheck {
    let usual = HealthCheck::default();
    HealthCheck {
        status: match (&table.status, &table.path) {
            (Some(status), _) => Some(status.value),
            (None, Some(_)) => Some(WELL),
            (None, None) => usual.status,
        },
        path: table.path.as_ref().map_or(usual.path, |path| path.value.clone()),
        within: table.within.as_ref().map_or(usual.within, |within| within.value),
        interval: table.interval.as_ref().map_or(usual.interval, |interval| interval.value),
        start: table.start.as_ref().map_or(usual.start, |start| start.value),
    }
}

/// A canary whose requests nobody counts proves nothing.
fn blind_canary(name: &str, environment: &Environment) -> Option<Finding> {
    let measured = matches!(&environment.router, Router::Nginx(nginx) if nginx.access_log.is_some());
    let canary = matches!(environment.strategy, Strategy::Canary(_));
    (canary && !measured).then(|| Finding {
        id: format!("CANARY-BLIND:{name}"),
        severity: Severity::Warning,
        title: format!(
            "No traffic of {name} is measured: every bake of its canary will be inconclusive and hold."
        ),
        cure: format!("Write access_log under router = {{ nginx = {{ … }} }} of [environment.{name}]."),
    })
}
