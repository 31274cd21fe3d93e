//! The whole migration plan of an image on an empty database, and the application started on what it made.

use std::collections::BTreeMap;

use anyhow::Context as _;

use crate::docker::files::Put;
use crate::domain::plan::{Exec, Output, Setting};
use crate::domain::project::{Ready, Service};
use crate::domain::release::Artifact;
use crate::runtime::python::django::{self, Settings};
use crate::runtime::python::halt::{Halt, done};
use crate::runtime::python::migrate_empty::{self, BOOT, Boot};
use crate::runtime::python::overlay::{self, SETTINGS_MODULE};
use crate::runtime::workbench::{Done, Workbench};

use super::stand::{OURS, Stand};

/// Applies every migration to an empty database and starts the application on it.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, exec: &Exec, artifact: &Artifact) -> anyhow::Result<Done> {
    let mut output = Output::default();
    let work = migrate(bench, &exec.setting, artifact, &mut output).await;
    done(work, output)
}

async fn migrate(
    bench: &mut Workbench,
    setting: &Setting,
    artifact: &Artifact,
    output: &mut Output,
) -> Result<(), Halt> {
    let mut stand = Stand::in_candidate(bench, artifact).await?;
    output.facts.append(&mut stand.beside.facts);
    output.findings.append(&mut stand.findings);
    stand.use_settings_of(setting);
    let settings = stand.settings(bench).await?;
    let engine = empty_database(bench, &mut stand, setting, &settings)?;
    let ended = stand.managed(bench, &["migrate", "--noinput", "--no-color"], true).await?;
    if !ended.success() {
        return Err(migrate_empty::not_applied(&ended, &engine).into());
    }
    output.facts.push(migrate_empty::applied(&ended, &engine));
    let ended = stand.managed(bench, &["migrate", "--check", "--no-color"], false).await?;
    if !ended.success() {
        return Err(migrate_empty::still_unapplied(&ended).into());
    }
    let boot: Boot = match stand.ask(bench, BOOT).await? {
        Ok(boot) => boot,
        Err(ended) => return Err(django::not_loaded(&ended).into()),
    };
    migrate_empty::booted(&boot, output)
}

/// Sees to it that what is migrated is empty; returns the engine's name.
fn empty_database(
    bench: &mut Workbench,
    stand: &mut Stand,
    setting: &Setting,
    settings: &Settings,
) -> Result<String, Halt> {
    let Some(database) = settings.databases.get("default") else {
        return Err(Halt::Inconclusive("the settings have no default database to migrate".to_owned()));
    };
    let engine = database.word().to_owned();
    let names: Vec<&str> = setting.services.iter().filter_map(name).collect();
    match engine.as_str() {
        "PostgreSQL" if names.contains(&database.host.as_str()) => {}
        "PostgreSQL" => {
            let server = setting.services.iter().find_map(server);
            let Some(entry) = server else {
                return Err(Halt::Inconclusive(format!(
                    "the settings' database is at {:?}, which is no service of this step: give the stage a service \
                     with ready = {{ postgres = \"postgres://…\" }}, and its address in the stage's env",
                    database.host
                )));
            };
            extend(bench, stand, settings, &BTreeMap::from([("default".to_owned(), entry)]))?;
        }
        "SQLite" => {
            // In the step's own volume: the image's file may not be empty, and would not outlive a container.
            let entry = BTreeMap::from([("NAME", format!("{OURS}/empty.sqlite3"))]);
            extend(bench, stand, settings, &BTreeMap::from([("default".to_owned(), entry)]))?;
        }
        other => {
            return Err(Halt::Inconclusive(format!(
                "the project uses {other}; only PostgreSQL and SQLite can be had empty here"
            )));
        }
    }
    Ok(engine)
}

fn name(service: &Service) -> Option<&str> {
    match service {
        Service::Container(service) => Some(&service.name),
        Service::Postgres => None,
    }
}

/// A PostgreSQL service's address, as an entry of `DATABASES`.
fn server(service: &Service) -> Option<BTreeMap<&'static str, String>> {
    let Service::Container(service) = service else { return None };
    let Ready::Postgres(url) = &service.ready else { return None };
    let (_, rest) = url.split_once("://")?;
    let (authority, name) = rest.split_once('/').unwrap_or((rest, "postgres"));
    let (user, host) = authority.rsplit_once('@').unwrap_or(("postgres", authority));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (host, port) = host.rsplit_once(':').unwrap_or((host, "5432"));
    let name = name.split('?').next().unwrap_or(name);
    let entry = [("HOST", host), ("PORT", port), ("USER", user), ("PASSWORD", password), ("NAME", name)];
    Some(entry.into_iter().map(|(key, value)| (key, value.to_owned())).collect())
}

/// Has Django use the project's settings with other entries of `DATABASES`.
fn extend(
    bench: &mut Workbench,
    stand: &mut Stand,
    settings: &Settings,
    databases: &BTreeMap<String, BTreeMap<&str, String>>,
) -> Result<(), Halt> {
    let Some(module) = settings.module.as_deref().filter(|_| settings.plain) else {
        return Err(Halt::Inconclusive(
            "the settings are made by a library, so their database could not be pointed at an empty one: have them \
             read DATABASE_URL, and set it in the stage's env"
                .to_owned(),
        ));
    };
    let text =
        overlay::settings_text(module, &serde_json::to_string(databases).context("databases as JSON")?);
    bench.say(&format!("{module} is extended for this step: its database is a throw-away one."));
    stand.put(Put::File {
        path: format!("{OURS}/{SETTINGS_MODULE}.py"),
        bytes: text.into_bytes(),
        mode: 0o644,
    });
    let path = stand.variable("PYTHONPATH").map_or(OURS.to_owned(), |path| format!("{OURS}:{path}"));
    stand.env.insert("PYTHONPATH".to_owned(), path);
    stand.env.insert("DJANGO_SETTINGS_MODULE".to_owned(), SETTINGS_MODULE.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::ContainerService;

    #[test]
    fn a_services_address_is_read_from_its_probe() {
        let service = |url: &str| {
            Service::Container(ContainerService {
                name: "db".into(),
                image: "postgres:16".into(),
                command: None,
                env: BTreeMap::new(),
                ready: Ready::Postgres(url.into()),
            })
        };
        let entry = server(&service("postgres://a:b@db:6000/x?sslmode=disable")).unwrap();
        let said: Vec<String> = entry.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(said, ["HOST=db", "NAME=x", "PASSWORD=b", "PORT=6000", "USER=a"]);
        let entry = server(&service("postgres://db")).unwrap();
        assert_eq!((entry["NAME"].as_str(), entry["PORT"].as_str()), ("postgres", "5432"));
    }
}
