//! `towpath bundle`: what is known of a step's last attempt, redacted, in one archive.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::failure::{Failure, Sort};
use super::{Invocation, session};
use crate::domain::ids::{AttemptKey, Owner, RunId, StepId};
use crate::runtime::bundle;

pub(super) async fn bundle(
    invocation: &mut Invocation,
    run: RunId,
    step: StepId,
    output: Option<PathBuf>,
) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "bundle").await?;
    let (state, stream) = session::attach(&client).await?;
    drop((stream, client));
    let steps = state.steps(Owner::Run(run));
    let Some((_, at)) = steps.into_iter().find(|(known, _)| known.id == step) else {
        let hint = "`towpath history` lists the runs; only newer ones have their steps at hand.";
        return Err(Failure::usage(format!("Run {run} has no step {step} at hand."), hint));
    };
    if at.attempt == 0 {
        return Err(Failure::usage(format!("{step} has not run in run {run}."), ""));
    }
    let key = AttemptKey { owner: Owner::Run(run), step: step.clone(), attempt: at.attempt };
    let to = output.unwrap_or_else(|| free(run, &step, at.attempt));
    let kept = at.output.kept.as_ref().and_then(|kept| kept.container.as_ref());
    let versions = [("towpath", env!("CARGO_PKG_VERSION").to_owned()), ("", git())];
    bundle::write(&layout.attempt(&key), kept, &versions, &to).await.map_err(|error| {
        let hint = "Nothing is overwritten: name another file with --output FILE.";
        Failure::new(Sort::Refused, format!("There is no bundle: {error:#}."), hint)
    })?;
    let path = std::path::absolute(&to).unwrap_or(to);
    if invocation.output.json {
        invocation.output.json("bundle", &json!({ "run": run, "step": step, "file": path }))?;
    } else {
        invocation.output.line(&format!("bundle of run {run} {step}: {}", path.display()))?;
    }
    Ok(0)
}

/// A name in this directory that nothing has yet.
fn free(run: RunId, step: &StepId, attempt: u32) -> PathBuf {
    let name = format!("towpath-{run}-{step}-{attempt}");
    let named = |more: u32| match more {
        0 => format!("{name}.tar"),
        more => format!("{name}-{more}.tar"),
    };
    let free = (0..1000).map(named).find(|name| !Path::new(name).exists());
    free.map_or_else(|| PathBuf::from(named(0)), PathBuf::from)
}

/// As git says it itself: `git version 2.39.5`.
fn git() -> String {
    let said = Command::new("git").arg("--version").output();
    said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
        .unwrap_or_else(|_| "git is not there".to_owned())
}
