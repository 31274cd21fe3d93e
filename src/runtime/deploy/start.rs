//! Replicas are started: each gets its directory, its port and its keeper. Doing it twice is doing it once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{Deploy, container, count, failed, passed, place};
use crate::domain::ids::ReplicaKey;
use crate::domain::plan::{Cause, Replicas};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Role, Router, RuntimeKind};
use crate::router::static_files;
use crate::runtime::OWN_PROGRAM;
use crate::runtime::fleet::Fleet;
use crate::runtime::replica::{self, Spec, StopSignal, spec};
use crate::runtime::workbench::{Done, Workbench};

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, replicas: &Replicas) -> Result<Done> {
    let Some(role) = deploy.serving.roles.get(&replicas.role) else {
        return Ok(failed(Cause {
            summary: format!("{} has no role {}", replicas.target.release, replicas.role),
            ..Cause::default()
        }));
    };
    let mut facts = Vec::new();
    if let Some(fact) = match merge_static(deploy, replicas) {
        Ok(fact) => fact,
        Err(cause) => return Ok(failed(cause)),
    } {
        facts.push(fact);
    }
    let keys = deploy.keys(replicas);
    let fleet = deploy.fleet(&keys);
    if replicas.target.artifact.runtime == RuntimeKind::Docker {
        return containers(bench, deploy, &fleet, (replicas, role), facts).await;
    }
    let env = place::env(bench, deploy, &replicas.target);
    let mut started = 0;
    for key in keys {
        if bench.cancelled() {
            break;
        }
        let dir = fleet.directory(&key);
        if !dir.join("spec.json").exists() {
            let spec = spec_of(deploy, replicas, role, &key, env.clone())?;
            bench.say(&format!(
                "Starting {key}{}.",
                spec.port.map_or_else(String::new, |port| format!(" on port {port}"))
            ));
            replica::prepare(&dir, &spec)?;
        }
        // The keeper asks for the secrets itself, from the environment that we have ourselves.
        let own: BTreeMap<String, String> = std::env::vars().collect();
        replica::launch(&dir, Path::new(OWN_PROGRAM), &own)
            .await
            .with_context(|| format!("{key} could not be given a keeper"))?;
        started += 1;
    }
    facts.insert(0, count(started));
    Ok(passed(facts))
}

/// The same as containers, one after the other: a host's ports are looked for one at a time.
async fn containers(
    bench: &mut Workbench,
    deploy: &Deploy,
    fleet: &Fleet,
    (replicas, role): (&Replicas, &Role),
    mut facts: Vec<String>,
) -> Result<Done> {
    let secrets = match place::secrets(bench, deploy).await {
        Ok(secrets) => secrets,
        Err(cause) => return Ok(failed(cause)),
    };
    let mut started = 0;
    for key in deploy.keys(replicas) {
        if bench.cancelled() {
            break;
        }
        let host = fleet.host(&key).map_or_else(|| "no host".to_owned(), |host| host.name.clone());
        bench.say(&format!("Starting {key} on {host}."));
        match container::start(bench, deploy, fleet, (replicas, role), &key, &secrets).await {
            Ok(Some(port)) => bench.say(&format!("{key} has port {port} of {host}.")),
            Ok(None) => {}
            Err(cause) => return Ok(failed(*cause)),
        }
        started += 1;
    }
    facts.insert(0, count(started));
    Ok(passed(facts))
}

fn spec_of(
    deploy: &Deploy,
    replicas: &Replicas,
    role: &Role,
    key: &ReplicaKey,
    env: BTreeMap<String, String>,
) -> Result<Spec> {
    let name =
        format!("{}-{}-{}-d{}-{}", deploy.project, deploy.environment, key.role, key.deployment.0, key.index);
    let lock = role.is_exclusive().then(|| deploy.directory.join("roles").join(format!("{}.lock", key.role)));
    if let Some(parent) = lock.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    }
    Ok(Spec {
        v: spec::VERSION,
        name,
        command: role.command.clone(),
        cwd: place::app(&replicas.target),
        env,
        secrets: deploy.settings.secrets.clone(),
        home: deploy.home.clone(),
        port: Some(replica::free_port(&taken(&deploy.directory))?),
        stop_timeout: role.stop_timeout,
        stop_signal: StopSignal::default(),
        lock,
        user: None,
    })
}

/// The ports that replicas of any environment of this project were given and may want again.
fn taken(environment: &Path) -> BTreeSet<u16> {
    let environments = environment.parent().map(std::fs::read_dir);
    let mut ports = BTreeSet::new();
    for environment in environments.into_iter().flatten().flatten().flatten() {
        let replicas = std::fs::read_dir(environment.path().join("replicas"));
        for replica in replicas.into_iter().flatten().flatten() {
            if !replica::is_stopping(&replica.path()) {
                ports.extend(replica::status(&replica.path()).port());
            }
        }
    }
    ports
}

/// The new release's static files join those of the sets that run, before anybody is sent to a page that names them.
#[expect(clippy::result_large_err, reason = "once a step, and the cause is what the screen shows")]
fn merge_static(deploy: &Deploy, replicas: &Replicas) -> Result<Option<String>, Cause> {
    let Router::Nginx(nginx) = &deploy.settings.router else { return Ok(None) };
    let (Some(directory), Some(own)) = (&nginx.static_files, &deploy.serving.static_files) else {
        return Ok(None);
    };
    if replicas.role != ROUTED_ROLE {
        return Ok(None);
    }
    let from = Path::new(&replicas.target.artifact.location).join(own);
    let filled =
        static_files::merge(&deploy.home.join(directory), deploy.deployment, &from).map_err(Cause::from)?;
    Ok(Some(format!("{} static files, {} new", filled.added + filled.replaced + filled.same, filled.added)))
}
