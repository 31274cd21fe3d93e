//! What migrations the candidate carries: asked of Django itself, in the overlay, without a database.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::domain::plan::{Cause, Output, Setting};
use crate::domain::release::MigrationRef;

use super::django;
use super::halt::{Halt, done};
use super::overlay;
use crate::runtime::docker;
use crate::runtime::workbench::{Done, Workbench};

/// Asks for migrations; see [`Answer`].
pub(in crate::runtime) const INTROSPECT: &str = include_str!("../../../assets/introspect.py");

/// What the script answers.
#[derive(Debug, Deserialize)]
pub(in crate::runtime) struct Answer {
    broken: Vec<Broken>,
    migrations: Vec<Found>,
    conflicts: BTreeMap<String, Vec<String>>,
    graph: Option<String>,
}

/// A migration's module that raises when it is imported.
#[derive(Debug, Deserialize)]
struct Broken {
    migration: String,
    error: String,
    line: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    hash: String,
    leaf: bool,
    own: bool,
}

/// Inspects the candidate's migrations.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, setting: &Setting) -> anyhow::Result<Done> {
    if let Some(artifact) = docker::candidate(bench) {
        return docker::inspect::run(bench, setting, &artifact).await;
    }
    let mut output = Output::default();
    let work = inspect(bench, setting, &mut output).await;
    done(work, output)
}

async fn inspect(bench: &mut Workbench, setting: &Setting, output: &mut Output) -> Result<(), Halt> {
    let mut overlay = overlay::prepare(bench).await?;
    if let Some(module) = &setting.settings
        && !overlay.env.contains_key("DJANGO_SETTINGS_MODULE")
    {
        overlay.use_settings(module);
    }
    let answer: Answer = match overlay.place().ask(bench, INTROSPECT).await? {
        Ok(answer) => answer,
        Err(ended) => return Err(django::not_loaded(&ended).into()),
    };
    if wrong(&answer).is_none() {
        overlay.verify().await?;
    }
    read(answer, output)
}

/// What an answer means for the step.
///
/// # Errors
/// A cause when the migrations are wrong as files.
pub(in crate::runtime) fn read(answer: Answer, output: &mut Output) -> Result<(), Halt> {
    if let Some(cause) = wrong(&answer) {
        return Err(cause.into());
    }
    let app = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
    let apps: BTreeSet<String> = answer.migrations.iter().map(|found| app(&found.name)).collect();
    let own = answer.migrations.iter().filter(|found| found.own).count();
    output.facts.push(counted(answer.migrations.len(), "migration"));
    output.facts.push(counted(apps.len(), "app"));
    output.facts.push(format!("{own} of the project's own"));
    output.migrations = answer
        .migrations
        .into_iter()
        .map(|Found { name, hash, leaf, .. }| MigrationRef { name, hash, leaf })
        .collect();
    output.migrations.sort();
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What is wrong with the migrations as files, if something is.
fn wrong(answer: &Answer) -> Option<Cause> {
    if let Some(first) = answer.broken.first() {
        let line = first.line.map_or(String::new(), |line| format!(", line {line}"));
        return Some(Cause {
            summary: format!("migration {} can't be imported: {}", first.migration, first.error),
            expected: "migrations that can be imported".to_owned(),
            measured: format!("{}{line}", counted(answer.broken.len(), "broken migration")),
            last_lines: answer
                .broken
                .iter()
                .map(|broken| format!("{}: {}", broken.migration, broken.error))
                .collect(),
            cure: "Mend the migration's file; `python manage.py showmigrations` shows the same error."
                .to_owned(),
            ..Cause::default()
        });
    }
    if let Some((app, leaves)) = answer.conflicts.iter().next() {
        return Some(Cause {
            summary: format!("{app} has {} last migrations: {}", leaves.len(), leaves.join(", ")),
            expected: "one last migration in each app".to_owned(),
            measured: format!("{} apps with several", answer.conflicts.len()),
            cure: "Run `python manage.py makemigrations --merge`, look at what it writes, and commit it."
                .to_owned(),
            ..Cause::default()
        });
    }
    answer.graph.as_ref().map(|error| Cause {
        summary: format!("the migrations don't fit together: {error}"),
        expected: "a graph of migrations without gaps or circles".to_owned(),
        measured: error.clone(),
        cure: "Commit the migration that is missing, or correct the `dependencies` that name it.".to_owned(),
        ..Cause::default()
    })
}
