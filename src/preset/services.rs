//! What runs beside a stage: a server of this machine, or throw-away containers.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::Draft;
use crate::config::{self, Mistake, Written, nearest};
use crate::domain::finding::{Finding, Severity};
use crate::domain::project::{ContainerService, Place, Ready, RuntimeKind, Service, StageWork};

/// The service that needs no table.
const POSTGRES: &str = "postgres";

/// Where a stage in a container finds it. The server trusts everybody on the network that it has alone with the stage.
const POSTGRES_URL: &str = "postgres://postgres@postgres:5432/postgres";

/// The variable that leads Django's settings to a database.
const DATABASE_URL: &str = "DATABASE_URL";

/// A PostgreSQL for tests: the major version that was current in 2025.
fn usual_postgres() -> ContainerService {
    ContainerService {
        name: POSTGRES.to_owned(),
        image: "postgres:17".to_owned(),
        command: None,
        env: BTreeMap::from([("POSTGRES_HOST_AUTH_METHOD".to_owned(), "trust".to_owned())]),
        ready: Ready::Postgres(POSTGRES_URL.to_owned()),
    }
}

/// The services as they are written.
fn written(file: &config::File) -> BTreeMap<String, ContainerService> {
    let services = file.services.iter().map(|table| {
        let service = ContainerService {
            name: table.name.value.clone(),
            image: table.image.value.clone(),
            command: table.command.as_ref().map(|command| command.value.clone()),
            env: table
                .env
                .iter()
                .flatten()
                .map(|(name, value)| (name.clone(), value.value.clone()))
                .collect(),
            ready: table.ready.as_ref().map_or(Ready::Image, |ready| ready.value.clone()),
        };
        (table.name.value.clone(), service)
    });
    services.collect()
}

/// Gives each stage what its names mean. Returns the services that there are, the usual PostgreSQL among them where a
/// stage has it.
pub(super) fn settle(
    drafts: &mut [Draft],
    file: &config::File,
    runtime: RuntimeKind,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, ContainerService> {
    if runtime == RuntimeKind::Process {
        for table in &file.services {
            mistakes.push(Mistake::new(
                table.name.place,
                format!("the service \"{}\" is a container, and the runtime is process.", table.name.value),
                "Write runtime = \"docker\" under [artifact], or leave the table out.",
            ));
        }
    }
    let mut known = written(file);
    for draft in drafts.iter_mut().filter(|draft| draft.gone.is_none()) {
        let beside = match &draft.services {
            Some(names) => {
                let found = names.iter().filter_map(|name| meant(name, draft, &known, runtime, mistakes));
                found.collect::<BTreeSet<Service>>()
            }
            // The preset's own word is a PostgreSQL, of whichever sort fits.
            None if in_container(draft, runtime) => {
                draft.stage.services.iter().map(|_| container(POSTGRES, &known)).collect()
            }
            None => continue,
        };
        draft.stage.services = beside.into_iter().collect();
    }
    for draft in drafts.iter_mut() {
        for service in &draft.stage.services {
            let Service::Container(service) = service else { continue };
            known.entry(service.name.clone()).or_insert_with(|| service.clone());
            if let Ready::Postgres(url) = &service.ready {
                draft.stage.env.entry(DATABASE_URL.to_owned()).or_insert_with(|| url.clone());
            }
        }
    }
    known
}

fn container(name: &str, known: &BTreeMap<String, ContainerService>) -> Service {
    Service::Container(known.get(name).cloned().unwrap_or_else(usual_postgres))
}

/// Whether the stage itself runs in a container, where others are found by their names.
fn in_container(draft: &Draft, runtime: RuntimeKind) -> bool {
    runtime == RuntimeKind::Docker
        && match &draft.stage.work {
            StageWork::Exec { place, .. } => *place != Place::Source,
            StageWork::Migrations | StageWork::MigrateEmpty => true,
            StageWork::Install | StageWork::Candidate => false,
        }
}

fn meant(
    name: &Written<String>,
    draft: &Draft,
    known: &BTreeMap<String, ContainerService>,
    runtime: RuntimeKind,
    mistakes: &mut Vec<Mistake>,
) -> Option<Service> {
    let word = name.value.as_str();
    let usual = word == POSTGRES;
    let mut mistake = |message: String, cure: String| mistakes.push(Mistake::new(name.place, message, cure));
    if in_container(draft, runtime) {
        if usual || known.contains_key(word) {
            return Some(container(word, known));
        }
        let all = known.keys().map(String::as_str).chain([POSTGRES]);
        let cure = match nearest(word, all) {
            Some(near) => format!("Did you mean \"{near}\"?"),
            None => format!("Add [service.{word}] with image = \"…\"."),
        };
        mistake(format!("there is no service \"{word}\"."), cure);
        return None;
    }
    if usual && (runtime == RuntimeKind::Process || !known.contains_key(word)) {
        return Some(Service::Postgres);
    }
    if runtime == RuntimeKind::Process {
        mistake(
            format!("the service \"{word}\" would be a container, and the runtime is process."),
            "Write runtime = \"docker\" under [artifact]; without containers there is \"postgres\"."
                .to_owned(),
        );
    } else {
        mistake(
            format!(
                "the stage \"{}\" runs on the host, where no container is found by its name.",
                draft.stage.name
            ),
            format!("Write in = \"candidate\" or in = \"image:NAME\", or leave \"{word}\" out."),
        );
    }
    None
}

/// Services that no stage has beside it.
pub(super) fn unused(drafts: &[Draft], file: &config::File) -> Vec<Finding> {
    let used: BTreeSet<&str> = drafts
        .iter()
        .flat_map(|draft| &draft.stage.services)
        .filter_map(|service| match service {
            Service::Container(service) => Some(service.name.as_str()),
            Service::Postgres => None,
        })
        .collect();
    let names = file.services.iter().map(|table| table.name.value.as_str());
    let idle = names.filter(|name| !used.contains(name)).map(|name| Finding {
        id: format!("SERVICE-UNUSED:{name}"),
        severity: Severity::Note,
        title: format!("No stage has the service {name} beside it: it is never started."),
        cure: format!(
            "Write services = [\"{name}\"] in the [[stage]] that needs it, or remove [service.{name}]."
        ),
    });
    idle.collect()
}
