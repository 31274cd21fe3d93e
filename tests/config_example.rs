//! `config.example.toml` documents every key, is valid with and without its commented keys, and agrees with the
//! defaults that the code really has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use towpath::config::{self, File, schema};
use towpath::domain::project::{Project, ProjectKind, Stage};
use towpath::preset::{self, tree::Memory};

const EXAMPLE: &str = include_str!("../config.example.toml");

const BARE: &str = "[[stage]]\nname = \"end-to-end\"\nrun = \"./end-to-end.sh\"\n";

/// The example with its commented keys switched on.
fn all_keys() -> String {
    let lines = EXAMPLE.lines().map(|line| {
        let key = line.strip_prefix('#').filter(|rest| {
            let word: String = rest.chars().take_while(char::is_ascii_lowercase).collect();
            !word.is_empty() && rest[word.len()..].starts_with(" = ")
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

#[test]
fn every_key_of_the_schema_is_in_it_and_no_other() {
    let table: toml::Table = all_keys().parse().unwrap();
    for schema in schema::TABLES {
        let found = match (&table[schema.name], schema.repeated) {
            (toml::Value::Array(stages), true) => stages[0].as_table().unwrap(),
            (toml::Value::Table(table), false) => table,
            other => panic!("[{}] is {other:?}", schema.name),
        };
        let mut written: Vec<&str> = found.keys().map(String::as_str).collect();
        let mut known = schema.keys.to_vec();
        written.sort_unstable();
        known.sort_unstable();
        assert_eq!(written, known, "[{}]", schema.name);
    }
    assert_eq!(table.len(), schema::TABLES.len());
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
}
