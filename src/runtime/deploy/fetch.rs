//! Before anything is touched: the artifact is byte for byte what was tested, and the release starts with this
//! environment's settings and secrets.

use anyhow::Result;

use super::{Deploy, failed, passed, place};
use crate::domain::plan::{Cause, Output, Target};
use crate::domain::project::RuntimeKind;
use crate::runtime::docker;
use crate::runtime::python::{candidate, halt};
use crate::runtime::workbench::{Done, Workbench};

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, target: &Target) -> Result<Done> {
    if let Some(cause) = missing_roles(deploy, target) {
        return Ok(failed(cause));
    }
    let mut facts = match there(bench, deploy, target).await {
        Ok(facts) => facts,
        Err(cause) => return Ok(failed(cause)),
    };
    let secrets = match place::secrets(bench, deploy).await {
        Ok(secrets) => secrets,
        Err(cause) => return Ok(failed(cause)),
    };
    match secrets.len() {
        0 => {}
        1 => facts.push("1 secret answers".to_owned()),
        count => facts.push(format!("{count} secrets answer")),
    }
    starts(bench, deploy, target, facts).await
}

/// The release starts with this environment's settings; on the way back it did before.
async fn starts(
    bench: &mut Workbench,
    deploy: &Deploy,
    target: &Target,
    mut facts: Vec<String>,
) -> Result<Done> {
    if deploy.goes_back {
        return Ok(passed(facts));
    }
    let ended = match place::manage(bench, deploy, target, &["check"], &[]).await {
        Ok(ended) => ended,
        Err(halt) => return halt::done(Err(halt), Output { facts, ..Output::default() }),
    };
    if let Some(ended) = ended {
        if !ended.success() {
            let mut cause = ended.cause(format!(
                "{} does not start with the settings of {}",
                target.release, deploy.environment
            ));
            if let Some(line) = ended.tail.iter().rev().find(|line| !line.trim().is_empty()) {
                cause.summary = format!("{}: {}", cause.summary, line.trim());
            }
            cause.expected = "manage.py check finds nothing wrong".to_owned();
            cause.cure = format!(
                "See what the settings read: [environment.{0}.env] and [environment.{0}.secrets] give it.",
                deploy.environment
            );
            return Ok(failed(cause));
        }
        facts.push("settings load".to_owned());
    }
    Ok(passed(facts))
}

/// The artifact is where it is to run, and is what was tested; facts that say so.
async fn there(
    bench: &mut Workbench,
    deploy: &Deploy,
    target: &Target,
) -> std::result::Result<Vec<String>, Cause> {
    if target.artifact.runtime == RuntimeKind::Docker {
        return docker::fetch::run(bench, deploy, target).await.map_err(|cause| *cause);
    }
    bench.say(&format!("Measuring {}.", target.artifact.location));
    // Going back is for bad minutes: files that were not touched since the build are not read again.
    let stamps = deploy.serving.stamps.clone().filter(|_| deploy.goes_back);
    let measured = candidate::verify_touched(target.artifact.location.clone().into(), stamps).await;
    match measured {
        Ok(id) if id == target.artifact.id => {}
        Ok(id) => return Err(another(target, &format!("{id} lies there"))),
        Err(altered) => return Err(another(target, &altered.to_string())),
    }
    Ok(vec![target.artifact.id.short().to_owned(), format!("{} files verified", target.artifact.files)])
}

/// The environment wants replicas of a role that the release does not have.
fn missing_roles(deploy: &Deploy, target: &Target) -> Option<Cause> {
    let roles = &deploy.serving.roles;
    let wanted =
        deploy.settings.replicas.iter().filter(|(role, count)| **count > 0 && !roles.contains_key(*role));
    let missing: Vec<&str> = wanted.map(|(role, _)| role.as_str()).collect();
    if missing.is_empty() {
        return None;
    }
    let there: Vec<&str> = roles.keys().map(String::as_str).collect();
    Some(Cause {
        summary: format!("{} has no role {}", target.release, missing.join(", ")),
        expected: format!("a [role.NAME] in the release's own towpath.toml for each of {}", missing.join(", ")),
        measured: if there.is_empty() { "no role at all".to_owned() } else { there.join(", ") },
        cure: "Roles travel with the commit: write [role.NAME] with its command, commit, and run the pipeline; or take \
               the role out of the environment's `replicas`."
            .to_owned(),
        ..Cause::default()
    })
}

fn another(target: &Target, measured: &str) -> Cause {
    Cause {
        summary: format!("the artifact of {} is not what was tested", target.release),
        expected: target.artifact.id.to_string(),
        measured: measured.to_owned(),
        cure: "It was changed or removed after it was built. Find out who writes there; run the commit again, which \
               builds it again."
            .to_owned(),
        ..Cause::default()
    }
}
