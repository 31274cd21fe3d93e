//! The end of a deployment, asked from outside: the wanted set answers, well; every replica runs; the database is
//! where the release wants it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;

use super::healthy;
use super::{Deploy, count, failed, passed, place, telling};
use crate::docker;
use crate::domain::health::ReplicaState;
use crate::domain::plan::{Cause, Output, Target};
use crate::probe::http::Prober;
use crate::router::nginx::labelled;
use crate::runtime::fleet::Fleet;
use crate::runtime::python::halt;
use crate::runtime::workbench::{Done, Workbench};

/// How often an answer that is not well is asked for again before it counts.
const TRIES: u32 = 3;
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, target: &Target) -> Result<Done> {
    let mut facts = Vec::new();
    if let Some(url) = &deploy.settings.url {
        match through(deploy, target, url).await? {
            Ok(fact) => facts.push(fact),
            Err(cause) => return Ok(failed(cause)),
        }
    }
    let of_release: Vec<_> =
        deploy.running.iter().filter(|member| member.release == target.release).collect();
    let fleet = deploy.fleet(&[]);
    for key in of_release.iter().map(|member| &member.key) {
        if let Some(host) = fleet.host(key)
            && let Err(cause) = fleet.engine_again(host).await
        {
            return Ok(failed(*cause));
        }
        let status = fleet.status(key).await;
        if status.state != ReplicaState::Up {
            let cause = healthy::ended(bench, deploy, &fleet, key, &status).await;
            let measured = status.waits_for.unwrap_or_default();
            let cause = cause.unwrap_or_else(|| Cause {
                summary: format!("{key} is {} {measured}", status.state.word()).trim_end().to_owned(),
                measured,
                ..Cause::default()
            });
            return Ok(failed(cause));
        }
    }
    facts.push(format!("{} up", count(of_release.len())));
    let args = ["migrate", "--check", "--noinput", "--no-color"];
    let ended = match place::manage(bench, deploy, target, &args, &[]).await {
        Ok(ended) => ended,
        Err(halt) => return halt::done(Err(halt), Output::default()),
    };
    if let Some(ended) = ended {
        if !ended.success() {
            let mut cause = ended.cause(format!(
                "the database is not where {} wants it: {}",
                target.release,
                telling(&ended.tail)
            ));
            cause.expected = "every migration of the release is applied".to_owned();
            return Ok(failed(cause));
        }
        facts.push("migrated".to_owned());
    }
    match prune(deploy, &fleet).await {
        Ok(0) => {}
        Ok(removed) => bench.say(&format!("Removed {removed} ended containers of earlier deployments.")),
        // It is live; what lies about is no reason to say otherwise.
        Err(cause) => bench.say(&format!("Ended containers of earlier deployments stay: {}.", cause.summary)),
    }
    Ok(passed(facts))
}

/// Ended containers stay for as many deployments, for their logs and for a look.
const ENDED_KEPT: usize = 3;

async fn prune(deploy: &Deploy, fleet: &Fleet) -> docker::Result<usize> {
    let mut wanted: BTreeSet<_> = deploy.running.iter().map(|member| member.key.deployment).collect();
    wanted.insert(deploy.deployment);
    fleet.prune(&deploy.settings.hosts, &wanted, ENDED_KEPT).await
}

/// Through the router: a good answer, of the wanted release.
async fn through(deploy: &Deploy, target: &Target, url: &str) -> Result<Result<String, Cause>> {
    let prober = Prober::new().map_err(anyhow::Error::msg)?;
    let health = &deploy.settings.health;
    let ask = healthy::ask_through(url, health, ANSWER);
    let mut cause = Cause::default();
    for _ in 0..TRIES {
        let answer = prober.ask(&ask).await;
        let by = answer.deployment.as_deref().and_then(labelled);
        let is_wanted = by.is_none_or(|by| {
            by == deploy.deployment
                || deploy
                    .running
                    .iter()
                    .any(|member| member.key.deployment == by && member.release == target.release)
        });
        if answer.healthy && is_wanted {
            return Ok(Ok(format!("{} {} in {}", health.path, answer.why, answer.latency)));
        }
        let who = by.map_or_else(String::new, |by| format!(" from deployment {by}"));
        cause = Cause {
            summary: format!("{} answers{who}: {}", ask.url, answer.why),
            expected: format!("a good answer of {}", target.release),
            measured: format!("{}{who}: {}", answer.why, answer.body_start),
            ..Cause::default()
        };
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(Err(cause))
}
