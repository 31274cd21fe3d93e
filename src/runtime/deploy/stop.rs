//! Replicas are stopped: told to, given their time, and then killed, children included.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use super::{Deploy, count, failed, passed};
use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, Replicas};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::Router;
use crate::domain::time::Millis;
use crate::router::static_files;
use crate::runtime::workbench::{Done, Workbench};

pub(super) async fn run(bench: &mut Workbench, deploy: &Deploy, replicas: &Replicas) -> Result<Done> {
    let mut tasks = tokio::task::JoinSet::new();
    let keys = deploy.keys(replicas);
    let fleet = Arc::new(deploy.fleet(&keys));
    for key in keys {
        bench.say(&format!("Stopping {key}."));
        let fleet = Arc::clone(&fleet);
        tasks.spawn(async move {
            let stopped = fleet.stop(&key).await;
            (key, stopped)
        });
    }
    let (mut stopped, mut slowest, mut findings) = (0, Millis(0), Vec::new());
    let mut trouble = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        let (key, ended) = ended?;
        match ended {
            // One that was never started, or has ended already, has nothing to stop.
            Ok(None) => {}
            Ok(Some(ended)) => {
                stopped += 1;
                slowest = slowest.max(ended.took);
                if ended.killed {
                    let words = format!("{key} did not end in its time and was killed after {}", ended.took);
                    bench.say(&format!("{words}."));
                    findings.push(Finding {
                        id: format!("REPLICA-KILLED:{}-{}", key.role, key.index),
                        severity: Severity::Warning,
                        title: format!("{words}."),
                        cure: format!(
                            "Give it longer: [role.{}] stop_timeout, or find out what it was doing.",
                            key.role
                        ),
                    });
                }
            }
            Err(error) => trouble.push(format!("{key}: {error:#}")),
        }
    }
    if let Some(first) = trouble.first() {
        return Ok(failed(Cause {
            summary: format!("{} could not be stopped: {first}", count(trouble.len())),
            expected: "no process left".to_owned(),
            measured: trouble.join("; "),
            cure: "Look at the process by hand; then go on.".to_owned(),
            ..Cause::default()
        }));
    }
    if let Err(error) = forget_static(deploy, replicas) {
        bench.say(&format!("Its static files stay: {}.", error.summary));
    }
    let mut done = passed([format!("{} stopped", count(stopped)), format!("within {slowest}")]);
    done.output.findings = findings;
    Ok(done)
}

/// What only this set's pages named goes with its last routed replica.
#[expect(clippy::result_large_err, reason = "once a step")]
fn forget_static(deploy: &Deploy, replicas: &Replicas) -> Result<(), Cause> {
    let Router::Nginx(nginx) = &deploy.settings.router else { return Ok(()) };
    let Some(directory) = &nginx.static_files else { return Ok(()) };
    let of = replicas.of.unwrap_or(deploy.deployment);
    let going = deploy.keys(replicas);
    let stays = |key: &&crate::domain::ids::ReplicaKey| {
        key.deployment == of && key.role == ROUTED_ROLE && !going.contains(*key)
    };
    if replicas.role != ROUTED_ROLE || deploy.running.iter().any(|member| stays(&&member.key)) {
        return Ok(());
    }
    let still: Vec<_> =
        deploy.static_files.iter().filter(|(deployment, _)| *deployment != of).cloned().collect();
    let directory: &Path = &deploy.home.join(directory);
    static_files::forget(directory, of, &still).map(|_| ()).map_err(Cause::from)
}
