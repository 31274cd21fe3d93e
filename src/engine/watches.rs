//! Lasting outside work as tasks. Each is stopped by aborting it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::core::Engine;
use super::{log, now, probe};
use crate::domain::command::CommitFacts;
use crate::domain::decide::Input;
use crate::domain::effect::Outcome;
use crate::domain::health::Sample;
use crate::domain::time::Millis;
use crate::domain::watch::Watch;
use crate::git::{GitError, Mirror};
use crate::runtime::container_log::Follow;
use crate::runtime::deploy::read_progress;
use crate::runtime::lease::Denied;
use crate::runtime::{OWN_PROGRAM, attempt, environment, lease, replica};

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

/// How often the numbers of a bake are passed on.
const BAKE: Duration = Duration::from_millis(500);
/// How soon a lease is renewed again when it could not be.
const AGAIN: Duration = Duration::from_secs(2);
/// How often it is looked whether a replica has a keeper.
const KEEP: Duration = Duration::from_secs(1);
/// The longest pause after a keeper that could not be started.
const KEEP_LONGEST: Duration = Duration::from_secs(60);

/// The first pause after a removal that did not do: an engine that is being restarted is there again soon.
const REMOVE_AGAIN: Duration = Duration::from_secs(2);
/// The longest.
const REMOVE_LONGEST: Duration = Duration::from_secs(60);

/// Gives a replica a keeper whenever it has none: one that was killed, or that went with a reboot.
async fn keep(replica: String, dir: PathBuf, env: BTreeMap<String, String>) {
    let mut pause = KEEP;
    loop {
        tokio::time::sleep(pause).await;
        pause = KEEP;
        // The step that starts it writes this down first, and may be about to launch it itself: one of the two
        // keepers then finds the other and ends.
        if !dir.join("spec.json").exists() || replica::is_stopping(&dir) || replica::status(&dir).keeper {
            continue;
        }
        match replica::launch(&dir, Path::new(OWN_PROGRAM), &env).await {
            Ok(()) => log(&format!("{replica} had no keeper and was given one")),
            Err(error) => {
                log(&format!("{replica} has no keeper, and could not be given one: {error:#}"));
                pause = KEEP_LONGEST;
            }
        }
    }
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
        Watch::HoldLease { environment, deployment, epoch } => {
            let (held, asker) = (engine.lease(&environment, deployment), engine.asker());
            tokio::spawn(async move {
                let mut renewed = Instant::now();
                loop {
                    let trouble = match held.renew(&asker, deployment, epoch).await {
                        Ok(()) => {
                            renewed = Instant::now();
                            None
                        }
                        Err(Denied::Held(who)) => Some(who),
                        // An engine that does not answer may answer again; until the lease has run out it is ours.
                        Err(Denied::Unasked(why) | Denied::Stale(why)) => {
                            log(&format!("the lease of {deployment} could not be renewed: {why}"));
                            (renewed.elapsed() > Duration::from(lease::TTL)).then_some(why)
                        }
                    };
                    if let Some(why) = trouble {
                        let lease = Outcome::Lease { deployment, lease: Err(why) };
                        let _ = inputs.send(Input::Outcome(lease)).await;
                        return;
                    }
                    let late = renewed.elapsed() > Duration::from(lease::HEARTBEAT);
                    let pause = if late { AGAIN } else { lease::HEARTBEAT.into() };
                    tokio::time::sleep(pause).await;
                }
            })
        }
        Watch::KeepReplica { replica } => {
            let dir = engine.layout.replica(&replica);
            let settings = engine.settings_of(replica.deployment);
            let mut env = environment::allowed(std::env::vars());
            if !settings.secrets.is_empty() {
                env.extend(engine.secret_variables());
            }
            match settings.host_of(replica.index) {
                None => tokio::spawn(keep(replica.to_string(), dir, env)),
                // Its engine starts it again; what is left to do is its log.
                Some(host) => {
                    let home = engine.home();
                    let follow = Follow {
                        watch: engine.engines.watch(engine.whose(&replica.environment, host)),
                        key: replica,
                        directory: dir.join("log"),
                        secrets: settings.secrets,
                        home,
                        env,
                    };
                    tokio::spawn(follow.run())
                }
            }
        }
        Watch::Probe { environment, health, url } => {
            let probe = probe::Probe {
                directory: engine.layout.environment(&environment),
                environment: environment.clone(),
                health,
                url,
                meant: engine.meant.clone(),
                engines: engine.engines.clone(),
                home: engine.home(),
                asker: engine.asker(),
                lease: engine.newest_lease(&environment),
                measured: engine.measured.clone(),
            };
            tokio::spawn(probe.run())
        }
        Watch::RemoveKept { key, until } => {
            let dir = engine.layout.attempt(&key);
            tokio::spawn(async move {
                tokio::time::sleep(Millis(until.since(now()).0).into()).await;
                let mut pause = REMOVE_AGAIN;
                loop {
                    let dir = dir.clone();
                    let removed = tokio::task::spawn_blocking(move || attempt::let_go(&dir)).await;
                    match removed {
                        Ok(Ok(())) => break,
                        Ok(Err(error)) => log(&format!("what {key} has kept is still there: {error:#}")),
                        Err(error) => log(&format!("what {key} has kept is still there: {error}")),
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(REMOVE_LONGEST);
                }
                let _ = inputs.send(Input::Outcome(Outcome::KeptRemoved { key })).await;
            })
        }
        Watch::FollowBake { key } => {
            let (dir, measured) = (engine.layout.attempt(&key), engine.measured.clone());
            tokio::spawn(async move {
                let mut last = None;
                loop {
                    let report = read_progress(&dir);
                    if let Some(report) = report.filter(|report| last.as_ref() != Some(report)) {
                        last = Some(report.clone());
                        let sample = Sample::Bake { key: key.clone(), at: now(), report };
                        let _ = measured.send(sample).await;
                    }
                    tokio::time::sleep(BAKE).await;
                }
            })
        }
    }
    .abort_handle()
}
