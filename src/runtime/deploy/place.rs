//! Where a release's commands run, and with what: its own directory and packages, the environment's variables, and
//! its secrets, which are asked for at each use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Deploy, container};
use crate::domain::plan::{Cause, Target};
use crate::domain::project::{ProjectKind, RuntimeKind};
use crate::git::Mirror;
use crate::runtime::command::Ended;
use crate::runtime::environment;
use crate::runtime::python::django::Place;
use crate::runtime::python::halt::Halt;
use crate::runtime::workbench::Workbench;
use crate::secret;

/// The directory with the application's files.
#[must_use]
pub fn app(target: &Target) -> PathBuf {
    Path::new(&target.artifact.location).join("app")
}

/// The environment of every process of a release, but for its secrets.
#[must_use]
pub fn env(bench: &Workbench, deploy: &Deploy, target: &Target) -> BTreeMap<String, String> {
    let base = &bench.spec().env;
    let mut env = environment::of_release(base);
    let venv = Path::new(&target.artifact.location).join("venv");
    let path = base.get("PATH").map_or("/usr/bin:/bin", String::as_str);
    env.insert("PATH".into(), format!("{}:{path}", venv.join("bin").display()));
    env.insert("VIRTUAL_ENV".into(), venv.display().to_string());
    env.insert("PYTHONUNBUFFERED".into(), "1".into());
    env.insert("PYTHONDONTWRITEBYTECODE".into(), "1".into());
    env.extend(told(bench, deploy, target));
    env
}

/// What every process of a release is told, wherever it runs: which settings, which release, where, and what the
/// environment's configuration says.
#[must_use]
pub fn told(bench: &Workbench, deploy: &Deploy, target: &Target) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if let Some(settings) = &deploy.serving.settings {
        env.insert("DJANGO_SETTINGS_MODULE".into(), settings.clone());
    }
    env.insert("TOWPATH".into(), "1".into());
    env.insert("TOWPATH_ENVIRONMENT".into(), deploy.environment.0.clone());
    env.insert("TOWPATH_DEPLOYMENT".into(), deploy.deployment.0.to_string());
    env.insert("TOWPATH_RELEASE".into(), target.release.to_string());
    env.insert("TOWPATH_COMMIT".into(), bench.spec().commit.id.0.clone());
    if let Some(version) = &deploy.version {
        env.insert("TOWPATH_VERSION".into(), version.clone());
    }
    if let Some(url) = &deploy.settings.url {
        env.insert("URL".into(), url.clone());
    }
    env.extend(deploy.settings.env.clone());
    env
}

/// Where the project's own command lines run, and with what: in the release's directory with its packages, or, of an
/// image, in a checkout of its commit on this machine, with this machine's programs.
///
/// # Errors
/// When the commit's files cannot be had.
pub async fn of_hook(
    bench: &Workbench,
    deploy: &Deploy,
    target: &Target,
) -> anyhow::Result<(PathBuf, BTreeMap<String, String>)> {
    if target.artifact.runtime == RuntimeKind::Process {
        return Ok((app(target), env(bench, deploy, target)));
    }
    let (mirror, commit, work) = (bench.spec().mirror.clone(), bench.spec().commit.id.clone(), bench.work());
    let (root, at) = (deploy.root.clone(), work.clone());
    tokio::task::spawn_blocking(move || Mirror::open(&mirror, &mirror)?.export(&commit, &root, &at))
        .await?
        .context("the commit's files could not be put into a directory")?;
    let mut env = environment::of_release(&bench.spec().env);
    env.extend(told(bench, deploy, target));
    Ok((work, env))
}

/// The environment's secrets, asked for now; from here on the step's log hides them.
///
/// # Errors
/// Which one has no value, and why.
pub async fn secrets(bench: &mut Workbench, deploy: &Deploy) -> Result<BTreeMap<String, String>, Cause> {
    let own = |name: &str| std::env::var(name).ok();
    let resolved =
        secret::resolve(&deploy.settings.secrets, &deploy.home, &own).await.map_err(|trouble| Cause {
            summary: trouble.to_string(),
            expected: format!("a value for {}, from its {} source", trouble.name, trouble.kind),
            measured: trouble.measured.clone(),
            exit_code: None,
            last_lines: Vec::new(),
            cure: trouble.cure.clone(),
        })?;
    let values: BTreeMap<String, String> =
        resolved.into_iter().map(|(name, secret)| (name, secret.expose().to_owned())).collect();
    bench.hide(values.values().cloned());
    Ok(values)
}

/// Where `manage.py` runs; `None` where the release is no Django project.
#[must_use]
pub fn django(deploy: &Deploy, target: &Target, env: BTreeMap<String, String>) -> Option<Place> {
    (deploy.serving.kind != Some(ProjectKind::Plain)).then(|| Place {
        python: Path::new(&target.artifact.location).join("venv/bin/python"),
        cwd: app(target),
        env,
    })
}

/// Runs `manage.py` of a release with these arguments, with what its replicas have: as a process of this machine, or
/// once in a container of its image on the environment's first host. `None` where the release is no Django project.
///
/// # Errors
/// [`Halt::Failed`] when a secret cannot be had or nothing can be started. A command that fails is no error.
pub async fn manage(
    bench: &mut Workbench,
    deploy: &Deploy,
    target: &Target,
    args: &[&str],
    more: &[(&str, &str)],
) -> Result<Option<Ended>, Halt> {
    if deploy.serving.kind == Some(ProjectKind::Plain) {
        return Ok(None);
    }
    let secrets = secrets(bench, deploy).await?;
    bench.say(&format!("$ manage.py {}", args.join(" ")));
    if target.artifact.runtime == RuntimeKind::Docker {
        return container::manage(bench, deploy, target, args, (secrets, more)).await.map(Some);
    }
    let env = env(bench, deploy, target);
    let Some(django) = django(deploy, target, env) else { return Ok(None) };
    let mut line = django.manage(args).envs(secrets);
    for (name, value) in more {
        line = line.env(*name, *value);
    }
    Ok(Some(bench.run(line).await?))
}
