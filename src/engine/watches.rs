//! Lasting outside work as tasks. Each is stopped by aborting it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use super::core::Engine;
use super::now;
use crate::domain::command::CommitFacts;
use crate::domain::decide::Input;
use crate::domain::effect::Outcome;
use crate::domain::time::Millis;
use crate::domain::watch::Watch;
use crate::git::{GitError, Mirror};

/// What a look at the followed branch found.
enum Look {
    /// It is where it was.
    Same,
    /// It is at another commit than the last time.
    At(Box<CommitFacts>),
    /// There is no branch of that name.
    Missing,
}

impl From<Option<CommitFacts>> for Look {
    fn from(tip: Option<CommitFacts>) -> Self {
        tip.map_or(Self::Missing, |commit| Self::At(Box::new(commit)))
    }
}

fn not_seen(branch: &str, why: String) -> Input {
    Input::Outcome(Outcome::BranchNotSeen { branch: branch.to_owned(), why })
}

/// Starts the task of a watch.
pub(super) fn begin(engine: &Engine, watch: &Watch) -> AbortHandle {
    let inputs = engine.inputs.clone();
    match watch.clone() {
        Watch::Deadline { key, since, after } => tokio::spawn(async move {
            // By the wall clock once, here; a clock that is set back later does not matter.
            let gone = now().since(since);
            tokio::time::sleep(Millis(after.0.saturating_sub(gone.0)).into()).await;
            let _ = inputs.send(Input::Deadline { key }).await;
        }),
        Watch::FollowBranch { branch, every } => {
            let (layout, gate) = (Arc::clone(&engine.layout), Arc::clone(&engine.mirror));
            tokio::spawn(async move {
                let mut last = None;
                loop {
                    let guard = gate.lock().await;
                    let (layout, branch_name, before) = (Arc::clone(&layout), branch.clone(), last.clone());
                    let seen = tokio::task::spawn_blocking(move || {
                        let mirror = Mirror::open(&layout.repository, &layout.mirror())?;
                        // A look at the name alone is cheap; the commit is fetched when it is another one.
                        let tip = mirror.peek(&branch_name)?;
                        if tip.is_some() && tip == before {
                            return Ok(Look::Same);
                        }
                        if tip.is_some() {
                            mirror.update()?;
                        }
                        Ok::<_, GitError>(mirror.tip(&branch_name)?.filter(|_| tip.is_some()).into())
                    })
                    .await;
                    drop(guard);
                    match seen {
                        Ok(Ok(Look::Same)) => {}
                        Ok(Ok(Look::At(commit))) => {
                            last = Some(commit.id.clone());
                            let seen = Outcome::BranchSeen { branch: branch.clone(), commit: *commit };
                            let _ = inputs.send(Input::Outcome(seen)).await;
                        }
                        Ok(Ok(Look::Missing)) => {
                            last = None;
                            let why = format!(
                                "The followed branch “{branch}” is not in the repository: nothing starts by \
                                 itself. Mend [pipeline] branch in towpath.toml, or create the branch."
                            );
                            let _ = inputs.send(not_seen(&branch, why)).await;
                        }
                        Ok(Err(error)) => {
                            last = None;
                            let why =
                                format!("The followed branch “{branch}” could not be looked at: {error}.");
                            let _ = inputs.send(not_seen(&branch, why)).await;
                        }
                        Err(_) => {}
                    }
                    tokio::time::sleep(Duration::from(every)).await;
                }
            })
        }
        // No runtime deploys yet, so no lease is ever held; the next issue's runtimes keep them alive here.
        Watch::HoldLease { .. }
        | Watch::KeepReplica { .. }
        | Watch::Probe { .. }
        | Watch::FollowBake { .. } => tokio::spawn(std::future::pending()),
    }
    .abort_handle()
}
