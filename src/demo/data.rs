//! The shop's data: filled by the shop's own command, counted by PostgreSQL's own client.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use super::services::{DATABASE, DATABASE_USER};
use super::stack::Stack;
use super::{Place, on_docker};
use crate::cli::failure::{Failure, Sort, sentence};
use crate::domain::ids::EnvironmentName;
use crate::domain::release::Release;
use crate::domain::state::State;
use crate::print::style::visible_lines;
use crate::runtime::environment;
use crate::secret;

/// Fills an environment's shop with the data of its scale, by the release's own command, from the release's own
/// directory or in a container of its image: `manage.py seed` leaves a shop that has goods alone. What it says.
///
/// # Errors
/// When the environment is not configured, a secret has no value, or the command fails.
pub async fn seed(
    place: &Place,
    state: &State,
    release: &Release,
    name: &EnvironmentName,
) -> Result<String, Failure> {
    let settings = state.environment(name)?;
    let own = |_: &str| None;
    let secrets = secret::resolve(&settings.secrets, &place.shop(), &own).await.map_err(|trouble| {
        Failure::new(Sort::Unclear, sentence(&trouble.to_string()), trouble.cure.clone())
    })?;
    if let Some(on) = place.docker() {
        let engine = on_docker::engine().await?;
        let argv = ["python", "manage.py", "seed", "--no-color", "--scale", name.as_str()];
        let argv = argv.map(ToOwned::to_owned).to_vec();
        let module = release.serving.settings.clone();
        let mut env: BTreeMap<String, String> =
            module.map(|module| ("DJANGO_SETTINGS_MODULE".to_owned(), module)).into_iter().collect();
        env.extend(settings.env.clone());
        env.extend(secrets.iter().map(|(name, secret)| (name.clone(), secret.expose().to_owned())));
        let volumes = release.serving.roles.values().next().map(|role| role.volumes.clone());
        let image = release.artifact.id.0.as_str();
        let ended = on_docker::once(&engine, on, name, (image, argv), env, volumes.unwrap_or_default());
        return ended
            .await?
            .map_err(|how| Failure::new(Sort::Unclear, format!("manage.py seed failed ({how})."), ""));
    }
    let artifact = Path::new(&release.artifact.location);
    let output = Command::new(artifact.join("venv/bin/python"))
        .args(["manage.py", "seed", "--no-color", "--scale", name.as_str()])
        .current_dir(artifact.join("app"))
        .env_clear()
        .envs(environment::of_release(&environment::allowed(std::env::vars())))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(release.serving.settings.as_ref().map(|settings| ("DJANGO_SETTINGS_MODULE", settings)))
        .envs(&settings.env)
        .envs(secrets.iter().map(|(name, secret)| (name, secret.expose())))
        .stdin(Stdio::null())
        .output()
        .await;
    said("manage.py seed", output)
}

/// The migrations that a database says were applied, each with how often it says so.
///
/// # Errors
/// When the database cannot be asked.
pub async fn migrations(
    place: &Place,
    stack: &Stack,
    environment: &str,
) -> Result<BTreeMap<String, u64>, Failure> {
    let password = super::project::password(place, environment, "postgres")?;
    let output = Command::new(stack.postgres.join("psql"))
        .args(["-X", "-A", "-t", "-F", " ", "-h", "127.0.0.1", "-U", DATABASE_USER, "-d", DATABASE])
        .args(["-p", &place.ports(environment)?.postgres.to_string()])
        .args(["-c", "SELECT app || '.' || name, count(*) FROM django_migrations GROUP BY 1 ORDER BY 1"])
        .env_clear()
        .env("PGPASSWORD", password)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .await;
    let lines = said("psql", output)?;
    Ok(lines
        .lines()
        .filter_map(|line| {
            let (name, count) = line.rsplit_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect())
}

fn said(what: &str, output: std::io::Result<std::process::Output>) -> Result<String, Failure> {
    let output = output
        .map_err(|error| Failure::new(Sort::Unclear, format!("{what} cannot be started: {error}."), ""))?;
    if output.status.success() {
        return Ok(visible_lines(String::from_utf8_lossy(&output.stdout).trim()));
    }
    let last = String::from_utf8_lossy(&output.stderr);
    let last = visible_lines(last.trim().lines().last().unwrap_or_default());
    Err(Failure::new(Sort::Unclear, format!("{what} failed ({}): {last}", output.status), ""))
}
