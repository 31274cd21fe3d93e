//! Command lines of the pipeline: in a checkout of the commit, or in the candidate.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::command::{CommandLine, Ended};
use super::python::overlay;
use super::workbench::{Done, Workbench};
use crate::domain::finding::Finding;
use crate::domain::plan::{Exec, Output, Verdict};
use crate::domain::project::{Judge, Place, ProjectKind};
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
    let mut stand = match exec.place {
        Place::Source => source(bench, exec)?,
        Place::Candidate => candidate(bench, exec).await?,
    };
    bench.keep(&stand.cwd, &stand.env);
    bench.serve(&exec.setting.services).await?;
    // Again, with the services' addresses: of no use once they are gone, but they say what was set.
    bench.keep(&stand.cwd, &stand.env);
    bench.say(&format!("$ {}", exec.run));
    let ended = bench.run(CommandLine::shell(&exec.run).cwd(&stand.cwd).envs(stand.env)).await?;
    bench.say(&format!("{} after {}", ended.exit, ended.took));
    let judged = judged(exec.judge, &ended);
    stand.notices.extend(judged.findings);
    Ok(Done {
        verdict: judged.verdict,
        output: Output { facts: judged.facts, findings: stand.notices, ..Output::default() },
    })
}

/// A checkout of the commit, with the development environment first on `PATH` where one was installed.
fn source(bench: &mut Workbench, exec: &Exec) -> Result<Stand> {
    let notices = checkout(bench)?;
    let cwd = inside(&bench.work(), &exec.setting.root);
    let mut env = BTreeMap::new();
    if let Some(venv) = bench.spec().inputs.values().find_map(|output| output.values.get(VENV)).cloned() {
        env.insert("PATH".into(), first_on_path(&Path::new(&venv).join("bin"), bench));
        env.insert("VIRTUAL_ENV".into(), venv);
    }
    Ok(Stand { cwd, env, notices })
}

/// A copy of the candidate's tree with its own packages, the development ones in an overlay.
async fn candidate(bench: &mut Workbench, exec: &Exec) -> Result<Stand> {
    let overlay = overlay::prepare(bench).await.context("the candidate could not be set up")?;
    let mut env = overlay.env;
    env.insert("PATH".into(), first_on_path(&overlay.path_prefix, bench));
    if let (ProjectKind::Django, Some(settings)) = (exec.setting.kind, &exec.setting.settings) {
        env.insert("DJANGO_SETTINGS_MODULE".into(), settings.clone());
    }
    // What the stage itself says holds; its PATH is in ours already.
    env.extend(exec.setting.env.clone().into_iter().filter(|(name, _)| name != "PATH"));
    Ok(Stand { cwd: overlay.cwd, env, notices: Vec::new() })
}

/// Puts the commit's files into the working directory.
fn checkout(bench: &Workbench) -> Result<Vec<Finding>> {
    let spec = bench.spec();
    let whole = || -> Result<Vec<Finding>> {
        // The whole repository, whatever the project's directory: a command may look beside it.
        let mirror = Mirror::open(&spec.mirror, &spec.mirror)?;
        Ok(mirror.export(&spec.commit.id, ".", &bench.work())?.notices)
    };
    whole().with_context(|| format!("commit {} could not be put into a directory", spec.commit.id.short()))
}

/// Reads how a command ended.
fn judged(judge: Judge, ended: &Ended) -> Judged {
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
