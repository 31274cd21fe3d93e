//! Command lines of the pipeline: in a checkout of the commit, or in the candidate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::command::{CommandLine, Ended};
use super::docker;
use super::python::{halt, overlay};
use super::workbench::{Done, Workbench};
use crate::domain::finding::Finding;
use crate::domain::plan::{Exec, Output, Verdict};
use crate::domain::project::{Judge, Place};
use crate::git::Mirror;
use crate::preset::judge::{self, Judged};

/// The name under which the install step leaves its environment's directory.
const VENV: &str = "venv";

/// Where a command line runs and with what.
struct Stand {
    cwd: PathBuf,
    env: BTreeMap<String, String>,
    notices: Vec<Finding>,
}

/// Runs a command line and judges how it ended.
///
/// # Errors
/// When it cannot be run at all.
pub async fn run(bench: &mut Workbench, exec: &Exec) -> Result<Done> {
    match &exec.place {
        Place::Source => {
            let mut stand = source(bench, exec).await?;
            bench.serve(&exec.setting.services).await?;
            let judged = carry_out(bench, exec, &stand).await?;
            stand.notices.extend(judged.findings);
            Ok(done(judged.verdict, judged.facts, stand.notices))
        }
        Place::Image(_) => docker::exec::run(bench, exec).await,
        Place::Candidate if docker::candidate(bench).is_some() => docker::exec::run(bench, exec).await,
        Place::Candidate => {
            // The overlay points the settings' databases at the services, so these come first.
            bench.serve(&exec.setting.services).await?;
            let mut overlay = overlay::prepare(bench).await.context("the candidate could not be set up")?;
            let mut findings = match overlay::databases(bench, &mut overlay).await {
                Ok(findings) => findings,
                Err(halt) => {
                    let output = Output { findings: overlay.findings, ..Output::default() };
                    return halt::done(Err(halt), output);
                }
            };
            findings.append(&mut overlay.findings);
            let stand = Stand { cwd: overlay.cwd.clone(), env: overlay.env.clone(), notices: Vec::new() };
            let judged = carry_out(bench, exec, &stand).await?;
            findings.extend(judged.findings);
            // Whatever the command says: what it was tested on must be what will ship.
            let verdict = match overlay.verify().await {
                Ok(()) => judged.verdict,
                Err(cause) => Verdict::Failed(cause),
            };
            Ok(done(verdict, judged.facts, findings))
        }
    }
}

/// Runs the command line where everything stands ready.
async fn carry_out(bench: &mut Workbench, exec: &Exec, stand: &Stand) -> Result<Judged> {
    bench.keep(&stand.cwd, &stand.env);
    bench.say(&format!("$ {}", exec.run));
    let line = CommandLine::shell(&exec.run).cwd(&stand.cwd).envs(stand.env.clone());
    let ended = bench.run(line).await?;
    bench.say(&format!("{} after {}", ended.exit, ended.took));
    Ok(judged(exec.judge, &ended))
}

fn done(verdict: Verdict, facts: Vec<String>, findings: Vec<Finding>) -> Done {
    Done { verdict, output: Output { facts, findings, ..Output::default() } }
}

/// A checkout of the commit, with the development environment first on `PATH` where one was installed.
async fn source(bench: &mut Workbench, exec: &Exec) -> Result<Stand> {
    let notices = checkout(bench).await?;
    let cwd = inside(&bench.work(), &exec.setting.root);
    let mut env = BTreeMap::new();
    if let Some(venv) = bench.spec().inputs.values().find_map(|output| output.values.get(VENV)).cloned() {
        env.insert("PATH".into(), first_on_path(&Path::new(&venv).join("bin"), bench));
        env.insert("VIRTUAL_ENV".into(), venv);
    }
    Ok(Stand { cwd, env, notices })
}

/// Puts the commit's files into the working directory.
async fn checkout(bench: &Workbench) -> Result<Vec<Finding>> {
    let (mirror, commit, work) = (bench.spec().mirror.clone(), bench.spec().commit.id.clone(), bench.work());
    let short = commit.short().to_owned();
    let exported = tokio::task::spawn_blocking(move || {
        // The whole repository, whatever the project's directory: a command may look beside it.
        Mirror::open(&mirror, &mirror)?.export(&commit, ".", &work)
    });
    let exported =
        exported.await?.with_context(|| format!("commit {short} could not be put into a directory"))?;
    Ok(exported.notices)
}

/// Reads how a command ended.
pub(super) fn judged(judge: Judge, ended: &Ended) -> Judged {
    let exit = judge::Exit { code: ended.exit.code, signal: ended.exit.signal };
    let mut judged = judge::judge(judge, exit, &ended.tail);
    if let Verdict::Failed(cause) = &mut judged.verdict {
        // What the judge cannot know: how long it took.
        let measured = ended.cause("");
        if cause.measured.is_empty() {
            cause.measured = measured.measured;
        } else {
            cause.measured = format!("{} after {}", cause.measured, ended.took);
        }
        if cause.last_lines.is_empty() {
            cause.last_lines = measured.last_lines;
        }
    }
    judged
}

/// The project's directory inside a tree.
fn inside(tree: &Path, root: &str) -> PathBuf {
    match root.trim_matches('/') {
        "" | "." => tree.to_owned(),
        root => tree.join(root),
    }
}

fn first_on_path(first: &Path, bench: &Workbench) -> String {
    match bench.environment(&BTreeMap::new()).get("PATH") {
        Some(path) if !path.is_empty() => format!("{}:{path}", first.display()),
        _ => first.display().to_string(),
    }
}
