//! A release's processes as containers: their command line, environment, network and labels.

use std::collections::BTreeMap;

use super::{Deploy, place};
use crate::docker::labels::Kind;
use crate::docker::replica::{Wanted, start};
use crate::docker::run::{Command, Joins, OneOff};
use crate::docker::{self, Engine, labels, network};
use crate::domain::ids::ReplicaKey;
use crate::domain::plan::{Replicas, Target, hash_of};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::Role;
use crate::runtime::command::Ended;
use crate::runtime::docker::{Ground, once};
use crate::runtime::fleet::Fleet;
use crate::runtime::python::halt::Halt;
use crate::runtime::replica::without_shell;
use crate::runtime::workbench::Workbench;

/// Starts one replica as a container on its host, secrets in its environment. Gives its port back.
///
/// # Errors
/// When it cannot be started, or its host cannot be reached.
pub(super) async fn start(
    bench: &Workbench,
    deploy: &Deploy,
    fleet: &Fleet,
    (replicas, role): (&Replicas, &Role),
    key: &ReplicaKey,
    secrets: &BTreeMap<String, String>,
) -> docker::Result<Option<u16>> {
    let Some(host) = fleet.host(key) else { return Ok(None) };
    let engine = fleet.engine_again(host).await?;
    let network = network(&engine, deploy).await?;
    let wanted = wanted(bench, deploy, (replicas, role), key, secrets, network);
    start::start(&engine, &wanted).await
}

/// Runs `manage.py` once in a container of the release's image, on the environment's first host and network.
///
/// # Errors
/// When there is no host, or the container cannot be started. A command that fails is no error.
pub(super) async fn manage(
    bench: &mut Workbench,
    deploy: &Deploy,
    target: &Target,
    args: &[&str],
    (secrets, more): (BTreeMap<String, String>, &[(&str, &str)]),
) -> Result<Ended, Halt> {
    let Some(host) = deploy.settings.hosts.first() else {
        return Err(anyhow::anyhow!("{} has no host", deploy.environment).into());
    };
    // It was there when the image was looked for.
    Engine::connect_again(host, &deploy.home).await.map_err(Halt::Failed)?;
    let ground = Ground::reach(bench, host, &deploy.project).await?;
    let network = network(ground.engine(), deploy).await.map_err(Halt::Failed)?;
    let argv = ["python", "manage.py"].iter().chain(args).map(|&word| word.to_owned()).collect();
    let mut one = OneOff::new(target.artifact.id.0.clone(), Command::Argv(argv));
    one.env = env(bench, deploy, target);
    one.env.extend(secrets);
    one.env.extend(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    one.network = Some(Joins { network, aliases: Vec::new() });
    one.volumes = web(deploy).map(|role| role.volumes.clone()).unwrap_or_default();
    one.labels = labels::of_environment(Kind::Once, &deploy.project, &deploy.environment);
    one.labels.insert(labels::DEPLOYMENT.to_owned(), deploy.deployment.0.to_string());
    once(bench, &ground, one).await
}

/// The role whose volumes a command of the release sees too: the one that is asked, else any.
fn web(deploy: &Deploy) -> Option<&Role> {
    let roles = &deploy.serving.roles;
    roles.get(ROUTED_ROLE).or_else(|| roles.values().next())
}

/// The network of an environment on a host: the configured one, or one that is made.
///
/// # Errors
/// When it is not there and cannot be made.
pub(super) async fn network(engine: &Engine, deploy: &Deploy) -> docker::Result<String> {
    network::of_environment(engine, &deploy.project, &deploy.environment, deploy.settings.network.as_deref())
        .await
}

fn wanted(
    bench: &Workbench,
    deploy: &Deploy,
    (replicas, role): (&Replicas, &Role),
    key: &ReplicaKey,
    secrets: &BTreeMap<String, String>,
    network: String,
) -> Wanted {
    let mut env = env(bench, deploy, &replicas.target);
    env.insert("PORT".into(), role.port.to_string());
    env.insert("TOWPATH_REPLICA".into(), labels::replica(&deploy.project, key));
    let settings = hash_of(&(role, &deploy.settings.env, deploy.settings.secrets.keys().collect::<Vec<_>>()));
    env.extend(secrets.clone());
    let labels = [
        (labels::RELEASE, replicas.target.release.0.to_string()),
        (labels::ARTIFACT, replicas.target.artifact.id.0.clone()),
        (labels::COMMIT, bench.spec().commit.id.0.clone()),
        (labels::EPOCH, deploy.epoch.0.to_string()),
        (labels::SETTINGS, settings),
    ];
    Wanted {
        project: deploy.project.clone(),
        key: key.clone(),
        image: replicas.target.artifact.id.0.clone(),
        command: command(&role.command, role.port),
        env,
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        port: (key.role == ROUTED_ROLE).then_some(role.port),
        network,
        volumes: role.volumes.clone(),
        stop_timeout: role.stop_timeout,
    }
}

/// The environment of every container of a release, but for its secrets: nothing of this machine's.
pub(super) fn env(bench: &Workbench, deploy: &Deploy, target: &Target) -> BTreeMap<String, String> {
    let mut env = BTreeMap::from([("PYTHONUNBUFFERED".to_owned(), "1".to_owned())]);
    env.extend(place::told(bench, deploy, target));
    env
}

/// A role's command line as a container runs it. Plain words are run as they are, for an image may have no shell;
/// anything else is the shell's, whose place the program takes where it can, so that signals reach it.
fn command(line: &str, port: u16) -> Vec<String> {
    // `exec` is the shell's own word, and without a shell what it asks for is so already.
    let line = line.trim_start().strip_prefix("exec ").unwrap_or(line);
    let Some(simple) = without_shell(line) else {
        return vec!["sh".to_owned(), "-c".to_owned(), line.to_owned()];
    };
    let filled = line.replace("${PORT}", &port.to_string()).replace("$PORT", &port.to_string());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=,@%+ ".contains(c);
    if filled.chars().all(is_plain) {
        return filled.split_whitespace().map(ToOwned::to_owned).collect();
    }
    vec!["sh".to_owned(), "-c".to_owned(), simple]
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn plain_words_need_no_shell() {
        assert_eq!(
            command("gunicorn shop.wsgi --bind 0.0.0.0:$PORT", 8000),
            ["gunicorn", "shop.wsgi", "--bind", "0.0.0.0:8000"]
        );
        assert_eq!(command("exec gunicorn shop.wsgi", 1), ["gunicorn", "shop.wsgi"]);
        assert_eq!(
            command("celery -A shop worker -Q 'a b'", 1),
            ["sh", "-c", "exec celery -A shop worker -Q 'a b'"]
        );
        assert_eq!(command("cd /app && ./run", 1), ["sh", "-c", "cd /app && ./run"]);
        assert_eq!(command("DEBUG=1 ./run", 1), ["sh", "-c", "DEBUG=1 ./run"]);
        assert_eq!(command("run $HOME", 1), ["sh", "-c", "exec run $HOME"]);
    }
}
