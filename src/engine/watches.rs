//! Lasting outside work as tasks. Each is stopped by aborting it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::core::Engine;
use super::log;
use crate::domain::decide::Input;
use crate::domain::effect::Outcome;
use crate::domain::watch::Watch;
use crate::git::Mirror;

/// Starts the task of a watch.
pub(super) fn begin(engine: &Engine, watch: &Watch) -> AbortHandle {
    let inputs = engine.inputs.clone();
    match watch.clone() {
        Watch::Deadline { key, after } => tokio::spawn(async move {
            tokio::time::sleep(after.into()).await;
            let _ = inputs.send(Input::Deadline { key }).await;
        }),
        Watch::FollowBranch { branch, every } => {
            let (layout, gate) = (Arc::clone(&engine.layout), Arc::clone(&engine.mirror));
            tokio::spawn(async move {
                let mut last = None;
                let mut trouble = None;
                loop {
                    let guard = gate.lock().await;
                    let (layout, branch_name, before) = (Arc::clone(&layout), branch.clone(), last.clone());
                    let seen = tokio::task::spawn_blocking(move || {
                        let mirror = Mirror::open(&layout.repository, &layout.mirror())?;
                        // A look at the name alone is cheap; the commit is fetched when it is another one.
                        let tip = mirror.peek(&branch_name)?;
                        if tip == before {
                            return Ok(None);
                        }
                        mirror.update()?;
                        mirror.tip(&branch_name)
                    })
                    .await;
                    drop(guard);
                    match seen {
                        Ok(Ok(Some(commit))) => {
                            last = Some(commit.id.clone());
                            trouble = None;
                            let seen = Outcome::BranchSeen { branch: branch.clone(), commit };
                            let _ = inputs.send(Input::Outcome(seen)).await;
                        }
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => {
                            let words = format!("{branch} could not be looked at: {error:#}");
                            if trouble.as_ref() != Some(&words) {
                                log(&words);
                                trouble = Some(words);
                            }
                        }
                        Err(_) => {}
                    }
                    tokio::time::sleep(Duration::from(every)).await;
                }
            })
        }
        // No runtime deploys yet, so no lease is ever held; the next issue's runtimes keep them alive here.
        Watch::HoldLease { .. } => tokio::spawn(std::future::pending()),
    }
    .abort_handle()
}
