//! The whole migration plan on an empty database, and the application started on what it made.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, Exec, Output};
use crate::preset::judge;

use super::django::{self, Settings};
use super::halt::{Halt, done};
use super::overlay::{self, Overlay};
use crate::runtime::command::Ended;
use crate::runtime::docker;
use crate::runtime::workbench::{Done, Workbench};

/// Starts the application; see [`Boot`].
pub(in crate::runtime) const BOOT: &str = include_str!("../../../assets/boot.py");

/// How the application started.
#[derive(Debug, Deserialize)]
pub(in crate::runtime) struct Boot {
    started: Vec<String>,
    failed: Option<String>,
    what: Option<String>,
    status: Option<u16>,
    raised: Option<String>,
}

/// Applies every migration to an empty database and starts the application on it.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, exec: &Exec) -> anyhow::Result<Done> {
    if let Some(artifact) = docker::candidate(bench) {
        return docker::migrate_empty::run(bench, exec, &artifact).await;
    }
    let mut output = Output::default();
    let work = migrate(bench, exec, &mut output).await;
    done(work, output)
}

async fn migrate(bench: &mut Workbench, exec: &Exec, output: &mut Output) -> Result<(), Halt> {
    let setting = &exec.setting;
    bench.serve(&setting.services).await?;
    let mut overlay = overlay::prepare(bench).await?;
    if let Some(module) = &setting.settings
        && !overlay.env.contains_key("DJANGO_SETTINGS_MODULE")
    {
        overlay.use_settings(module);
    }
    let settings = overlay.repoint(bench).await?;
    let engine = empty_database(bench, &mut overlay, &settings)?;
    output.findings.append(&mut overlay.findings);

    let place = overlay.place();
    let ended = bench.run(place.manage(&["migrate", "--noinput", "--no-color"]).capture()).await?;
    if !ended.success() {
        return Err(not_applied(&ended, &engine).into());
    }
    output.facts.push(applied(&ended, &engine));

    let ended = bench.run(place.manage(&["migrate", "--check", "--no-color"])).await?;
    if !ended.success() {
        return Err(still_unapplied(&ended).into());
    }
    let boot: Boot = match place.ask(bench, BOOT).await? {
        Ok(boot) => boot,
        Err(ended) => return Err(django::not_loaded(&ended).into()),
    };
    booted(&boot, output)?;
    overlay.verify().await?;
    Ok(())
}

/// Sees to it that what is migrated is empty; returns the engine's name.
fn empty_database(bench: &mut Workbench, overlay: &mut Overlay, settings: &Settings) -> Result<String, Halt> {
    let Some(database) = settings.databases.get("default") else {
        return Err(Halt::Inconclusive("the settings have no default database to migrate".to_owned()));
    };
    let engine = database.word().to_owned();
    match engine.as_str() {
        "PostgreSQL" if bench.services.env().contains_key("PGHOST") => {}
        "PostgreSQL" => {
            return Err(Halt::Inconclusive(
                "the project uses PostgreSQL and there is no throw-away server beside this step".to_owned(),
            ));
        }
        "SQLite" => {
            // A file of our own: the project's may be committed, and `:memory:` would not outlive a command.
            let file = bench.work().join("empty.sqlite3");
            if file.exists() {
                std::fs::remove_file(&file).context("could not remove an old database file")?;
            }
            let entry = BTreeMap::from([("NAME", file.display().to_string())]);
            overlay.extend_settings(bench, settings, &BTreeMap::from([("default".to_owned(), entry)]))?;
        }
        other => {
            return Err(Halt::Inconclusive(format!(
                "the project uses {other}; only PostgreSQL and SQLite can be had empty here"
            )));
        }
    }
    Ok(engine)
}

/// How many migrations were applied, for the step's row.
pub(in crate::runtime) fn applied(ended: &Ended, engine: &str) -> String {
    let applied = ended.tail.iter().filter(|line| line.trim_end().ends_with("... OK")).count();
    format!("{applied} migrations applied to an empty {engine}")
}

/// The cause where `migrate --check` is not content after `migrate`.
pub(in crate::runtime) fn still_unapplied(ended: &Ended) -> Cause {
    let mut cause = ended.cause("migrate --check still finds unapplied migrations after migrate");
    cause.cure = "Look for a database router that keeps a migration from being applied.".to_owned();
    cause
}

/// Why `migrate` failed.
pub(in crate::runtime) fn not_applied(ended: &Ended, engine: &str) -> Cause {
    let stdout = ended.stdout.as_deref().unwrap_or_default();
    let migration = applying(stdout);
    let what = django::exception(&ended.tail).unwrap_or("it said nothing that a person could use");
    let mut cause = match &migration {
        Some(name) => ended.cause(format!("migration {name} failed: {what}")),
        None => ended.cause(format!("migrate failed before any migration: {what}")),
    };
    if let Some(crash) = judge::crash(&ended.tail) {
        cause.last_lines = crash.lines;
    }
    cause.expected = format!("every migration applied to an empty {engine}");
    let words = database_words(&ended.tail);
    if !words.is_empty() {
        cause.measured = format!("{}; the database says: {}", cause.measured, words.join(" "));
    }
    cause.cure = match migration {
        Some(name) => format!(
            "Mend {name} so that it runs on an empty database. If it was applied anywhere already, add a new migration \
             instead of changing this one."
        ),
        None => django::cure(what),
    };
    cause
}

/// The migration that was being applied: the last `Applying x...` that no `OK` follows.
fn applying(stdout: &str) -> Option<String> {
    let (_, last) = stdout.rsplit_once("Applying ")?;
    let (name, rest) = last.split_once("...")?;
    (!rest.trim_start().starts_with("OK")).then(|| name.trim().to_owned())
}

/// PostgreSQL's own lines under an exception (`LINE 1: …`, `DETAIL: …`, `HINT: …`).
fn database_words(lines: &[String]) -> Vec<&str> {
    let Some(at) = django::exception(lines).and_then(|what| lines.iter().rposition(|line| line == what))
    else {
        return Vec::new();
    };
    let words = lines.iter().skip(at + 1).map(|line| line.trim());
    words
        .filter(|line| ["LINE ", "DETAIL:", "HINT:", "CONTEXT:"].iter().any(|start| line.starts_with(start)))
        .collect()
}

/// What the application's start means for the step.
///
/// # Errors
/// A cause when it does not start.
pub(in crate::runtime) fn booted(boot: &Boot, output: &mut Output) -> Result<(), Halt> {
    if let Some(failed) = &boot.failed {
        let what = boot.what.as_deref().unwrap_or("the application");
        return Err(Cause {
            summary: format!("the application does not start: {what}: {failed}"),
            expected: "an application that starts on the migrated database".to_owned(),
            measured: failed.clone(),
            cure: django::cure(failed),
            ..Cause::default()
        }
        .into());
    }
    let started = if boot.started.is_empty() { "urls" } else { "application" };
    match boot.status {
        Some(status) => output.facts.push(format!("{started} starts, GET / answers {status}")),
        None => output.facts.push(format!("{started} starts")),
    }
    if let (Some(status), Some(raised)) = (boot.status.filter(|status| *status >= 500), &boot.raised) {
        output.findings.push(Finding {
            id: "BOOT-ROOT-ERROR".to_owned(),
            severity: Severity::Note,
            title: format!("On an empty database, GET / answers {status}: {raised}."),
            cure: "If the start page should work without data, give it a test.".to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migration_that_raised_is_the_one_without_its_ok() {
        let cases = [
            ("  Applying a.0001_x... OK\n  Applying b.0002_y...", Some("b.0002_y")),
            ("  Applying a.0001_x... OK\n", None),
            ("Operations to perform:\n", None),
        ];
        for (stdout, wanted) in cases {
            assert_eq!(applying(stdout).as_deref(), wanted);
        }
    }

    /// Output of Django 5.2 as it came, paths made neutral.
    #[test]
    fn a_crash_is_said_in_a_few_lines_with_its_place() {
        let mut said = String::new();
        for part in include_str!("crashed.txt").split("### ").filter(|part| !part.trim().is_empty()) {
            let tail: Vec<String> = part.lines().skip(1).map(str::to_owned).collect();
            let ended = Ended {
                exit: crate::runtime::command::Exit { code: Some(1), signal: None },
                took: crate::domain::time::Millis(5),
                stdout: Some(tail.join("\n")),
                tail,
            };
            let name = part.lines().next().unwrap();
            let cause =
                if name == "syntax" { django::not_loaded(&ended) } else { not_applied(&ended, "PostgreSQL") };
            said.push_str(&format!("{name}: {}\n  {}\n", cause.summary, cause.measured));
            said.push_str(&format!("  | {}\n  do: {}\n", cause.last_lines.join("\n  | "), cause.cure));
        }
        insta::assert_snapshot!(said);
    }

    #[test]
    fn the_databases_own_words_are_those_under_the_exception() {
        let lines: Vec<String> = "psycopg.errors.UndefinedTable: relation \"x\" does not exist\nLINE 1: early\n\n\
             django.db.utils.ProgrammingError: relation \"x\" does not exist\nLINE 1: select * from x\n                      ^\n"
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(database_words(&lines), ["LINE 1: select * from x"]);
    }
}
