//! `config.example.toml` documents every key, is valid with and without its commented keys, and agrees with the
//! defaults that the code really has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::collections::BTreeSet;

use towpath::config::schema::{self, Shape};
use towpath::config::{self, File};
use towpath::domain::ids::EnvironmentName;
use towpath::domain::project::{Host, Project, ProjectKind, Router, Stage, Strategy, secret_variables};
use towpath::domain::time::Millis;
use towpath::preset::{self, tree::Memory};

const EXAMPLE: &str = include_str!("../config.example.toml");

/// What has no default: the example without the keys that repeat one.
const BARE: &str = r#"
[[stage]]
name = "end-to-end"
run = "./end-to-end.sh"
[role.web]
command = "gunicorn harbor.wsgi --bind 127.0.0.1:$PORT"
[role.beat]
command = "celery -A harbor beat"
[environment.staging]
[environment.production]
"#;

/// The example with its commented keys switched on.
fn all_keys() -> String {
    let lines = EXAMPLE.lines().map(|line| {
        let key = line.strip_prefix('#').filter(|rest| {
            let word: String = rest.chars().take_while(|c| c.is_ascii_alphabetic() || *c == '_').collect();
            rest.starts_with('[') || (!word.is_empty() && rest[word.len()..].starts_with(" = "))
        });
        key.unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn parsed(text: &str) -> File {
    config::parse(text.as_bytes(), "config.example.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn project(file: &File) -> Project {
    let tree = Memory::from_iter([
        ("manage.py", "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'harbor.settings')"),
        ("harbor/settings.py", "STATIC_ROOT = 'static'\n"),
        ("requirements.txt", "django==5.2\n"),
        (".python-version", "3.12\n"),
        ("Dockerfile", "FROM python:3.12\n"),
    ]);
    preset::resolve(file, "Harbor", ".", &tree).unwrap_or_else(|mistakes| panic!("{mistakes}")).project
}

fn stage<'a>(project: &'a Project, name: &str) -> &'a Stage {
    project.stages.iter().find(|stage| stage.name.as_str() == name).unwrap()
}

#[test]
fn it_is_valid_as_it_is_and_with_every_key() {
    parsed(EXAMPLE);
    parsed(&all_keys());
}

/// The keys of these tables, each once.
fn keys<'a>(tables: impl Iterator<Item = &'a toml::Value>) -> BTreeSet<&'a str> {
    tables.filter_map(toml::Value::as_table).flat_map(toml::Table::keys).map(String::as_str).collect()
}

#[test]
fn every_key_of_the_schema_is_in_it_and_no_other() {
    let table: toml::Table = all_keys().parse().unwrap();
    for schema in schema::TABLES {
        let found = match (&table[schema.name], schema.shape) {
            (toml::Value::Array(stages), Shape::Repeated) => keys(stages.iter()),
            (toml::Value::Table(named), Shape::Named) => keys(named.values()),
            (single @ toml::Value::Table(_), Shape::Single) => keys(std::iter::once(single)),
            other => panic!("[{}] is {other:?}", schema.name),
        };
        assert_eq!(found, schema.keys.iter().copied().collect(), "[{}]", schema.name);
    }
    assert_eq!(table.len(), schema::TABLES.len());
    let environments: Vec<&toml::Value> = table["environment"].as_table().unwrap().values().collect();
    let inner = |name| environments.iter().copied().filter_map(move |environment| environment.get(name));
    for schema in schema::INNER {
        let found = match schema.name {
            "hosts" => keys(inner("hosts").filter_map(toml::Value::as_array).flatten()),
            "nginx" => keys(inner("router").filter_map(|router| router.get("nginx"))),
            name => keys(inner(name)),
        };
        assert_eq!(found, schema.keys.iter().copied().collect(), "{}", schema.heading());
    }
    let sources = inner("secrets").filter_map(toml::Value::as_table).flat_map(toml::Table::values);
    assert_eq!(keys(sources), schema::SECRET.keys.iter().copied().collect());
    let probes = table["service"].as_table().unwrap().values().filter_map(|service| service.get("ready"));
    assert_eq!(keys(probes), schema::READY.keys.iter().copied().collect());
}

/// Written defaults change nothing: the example means the same as a file with only the stage's name and command.
#[test]
fn what_it_calls_a_default_is_one() {
    let example = parsed(EXAMPLE);
    assert_eq!(project(&example), project(&parsed(BARE)));
    // Each of them is really written: otherwise equality would say nothing.
    let pipeline = &example.pipeline;
    assert!(pipeline.poll.is_some() && pipeline.runs.is_some() && pipeline.jobs.is_some());
    assert!(example.artifact.collectstatic.is_some() && example.artifact.env.is_some());
    let written = &example.stages[0];
    assert!(written.place.is_some() && written.services.is_some() && written.env.is_some());
    assert!(written.timeout.is_some() && written.retries.is_some());
    assert!(written.when.is_some() && written.enabled.is_some());
    let web = example.roles.iter().find(|role| role.name.value == "web").unwrap();
    assert!(web.stop_timeout.is_some());
    let named =
        |name: &str| example.environments.iter().find(|environment| environment.name.value == name).unwrap();
    let (staging, production) = (named("staging"), named("production"));
    assert!(staging.protected.is_some() && staging.replicas.is_some() && staging.strategy.is_some());
    assert!(staging.bake.is_some() && staging.smoke.is_some() && staging.env.is_some());
    assert!(staging.lock_timeout.is_some() && staging.hooks.before.is_some());
    assert!(staging.hooks.after_migrate.is_some() && staging.hooks.after.is_some());
    assert!(staging.tolerance.failed_permille.is_some() && staging.tolerance.min_requests.is_some());
    let health = &production.health;
    assert!(health.within.is_some() && health.interval.is_some() && health.start.is_some());
}

#[test]
fn the_defaults_that_depend_on_the_project_are_what_it_says() {
    let project = project(&parsed(BARE));
    assert_eq!(project.name, "harbor");
    assert_eq!(project.kind, ProjectKind::Django);
    assert_eq!(project.python.as_deref(), Some("3.12"));
    assert_eq!((project.settings.as_ref(), project.pipeline.branch.as_ref()), (None, None));
    let stage = stage(&project, "end-to-end");
    assert_eq!(stage.group, "end-to-end");
    assert_eq!(stage.needs, vec!["install".into()]);
}

#[test]
fn every_key_switched_on_takes_effect() {
    let project = project(&parsed(&all_keys()));
    assert_eq!(project.settings.as_deref(), Some("harbor.settings.production"));
    assert_eq!(project.pipeline.branch.as_deref(), Some("main"));
    assert_eq!(stage(&project, "end-to-end").needs, vec!["install".into()]);
    assert_eq!(project.roles["beat"].max, Some(1));
    let [staging, production] =
        ["staging", "production"].map(|name| &project.environments[&EnvironmentName::from(name)]);
    assert_eq!(production.after, Some("staging".into()));
    assert_eq!(production.strategy, Strategy::Canary(vec![10, 50]));
    assert_eq!(production.canary_window(), Millis::minutes(5));
    assert_eq!((production.health.path.as_str(), production.health.status), ("/health", Some(200)));
    assert_eq!((staging.health.path.as_str(), staging.health.status), ("/health", Some(200)));
    assert_eq!(staging.url.as_deref(), Some("https://staging.example.com"));
    assert_eq!(staging.secrets.len(), 3);
    let Router::Nginx(nginx) = &staging.router else { panic!("{:?}", staging.router) };
    assert!(nginx.access_log.is_some() && nginx.static_files.is_some());
    let variables = secret_variables(&project);
    assert_eq!(variables.into_iter().collect::<Vec<_>>(), ["HARBOR_SECRET_KEY"]);
    let image = project.artifact.image.as_ref().unwrap();
    assert_eq!((image.name.as_str(), image.push), ("registry.example.com/harbor", true));
    // What is shown is what is taken without it.
    assert_eq!((image.dockerfile.as_str(), project.roles["web"].port), ("Dockerfile", 8000));
    assert_eq!(project.roles["web"].volumes.len(), 2);
    assert_eq!(project.services.len(), 3);
    let [first, second] = staging.hosts.as_slice() else { panic!("{:?}", staging.hosts) };
    assert_eq!((first.name.as_str(), first.address), ("app1", Some([10, 0, 0, 5].into())));
    assert_eq!((second.name.as_str(), second.tls.as_deref()), ("10.0.0.6", Some("certs/app2")));
    assert_eq!(production.hosts, [Host::usual()]);
    assert_eq!(staging.network.as_deref(), Some("harbor"));
    // What is shown as the command is what is taken without it.
    assert_eq!((nginx.test.as_str(), nginx.reload.as_str()), ("nginx -t", "nginx -s reload"));
}
