//! Answers. What the state knows is answered at once; what git or the whole journal must be asked for is
//! answered by a task.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::deployments::newest_lease;
use crate::domain::command::CommitFacts;
use crate::domain::ids::{AttemptKey, CommitId, EnvironmentName, Owner, ReleaseNumber, RunId, StepId};
use crate::domain::query::{Answer, CommitRow, LogSource, PromotionPreview, Query, RunSummary};
use crate::domain::state::{Run, RunEnd, RunPhase, State};
use crate::git::Mirror;
use crate::runtime::lease::{Asker, Lease};
use crate::store::journal::{self, Journal};
use crate::store::layout::Layout;
use crate::wire::protocol::Reply;

/// The most journal rows that one answer carries.
const MOST_ROWS: u32 = 5000;

/// The most commits that a preview of a promotion carries.
const COMMITS: usize = 100;

/// A question that takes a while.
pub(super) enum Later {
    /// Recent commits.
    Commits(u32),
    /// A revision.
    Resolve(String),
    /// The chain.
    VerifyChain,
    /// Who holds a lease, which engines may have to be asked for.
    Lease(Box<(Lease, Asker)>),
    /// A promotion, whose commits are git's to say: those of `to` that `from` has not.
    Promotion { preview: Box<PromotionPreview>, from: Option<CommitId>, to: CommitId },
}

/// A question with all that its answer needs.
pub(super) struct Asked {
    later: Later,
    layout: Arc<Layout>,
    mirror: Arc<Mutex<()>>,
    runs: BTreeMap<CommitId, (RunId, RunPhase)>,
    releases: BTreeMap<CommitId, ReleaseNumber>,
}

fn answered(answer: Answer) -> Reply {
    Reply::Answer { answer: Box::new(answer) }
}

fn failed(message: impl Into<String>) -> Reply {
    Reply::Failed { message: message.into() }
}

/// Answers what can be answered at once, or says what is to be asked.
pub(super) fn at_once(
    state: &State,
    layout: &Layout,
    journal: &Journal,
    query: Query,
) -> Result<Reply, Later> {
    Ok(match query {
        Query::Commits { limit } => return Err(Later::Commits(limit)),
        Query::Resolve { revision } => return Err(Later::Resolve(revision)),
        Query::VerifyChain => return Err(Later::VerifyChain),
        Query::Log { key } => {
            answered(Answer::Log { directory: layout.log(&key).to_string_lossy().into_owned() })
        }
        Query::Kept { run, step } => kept(state, run, &step),
        Query::History { limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let runs = state.runs.iter().rev().take(limit);
            answered(Answer::History {
                runs: runs.map(|(number, run)| summary(state, *number, run)).collect(),
            })
        }
        Query::Journal { run, after, limit } => {
            let limit = limit.min(MOST_ROWS);
            let rows = match run {
                Some(run) => journal.read_run(run, after, limit),
                None => journal.read(after, limit),
            };
            match rows {
                Ok(rows) => answered(Answer::Journal { rows }),
                Err(error) => failed(format!("The journal could not be read: {error}.")),
            }
        }
        Query::PreviewPromotion { environment, release } => {
            match state.preview_promotion(&environment, release) {
                Ok(preview) => {
                    let commit = |release| state.release(release).ok().map(|release| release.commit.clone());
                    let from = preview.from.and_then(|(_, release)| commit(release));
                    let to = commit(release).unwrap_or_else(|| CommitId(String::new()));
                    return Err(Later::Promotion { preview: Box::new(preview), from, to });
                }
                Err(refusal) => Reply::Refused { refusal },
            }
        }
        Query::PreviewRollback { environment, to } => match state.preview_rollback(&environment, to) {
            Ok(preview) => answered(Answer::Rollback { preview: Box::new(preview) }),
            Err(refusal) => Reply::Refused { refusal },
        },
        Query::Lease { environment } => {
            let asker = Asker { engine: layout.state.clone(), repository: layout.repository.clone() };
            return Err(Later::Lease(Box::new((newest_lease(state, layout, &environment), asker))));
        }
        Query::Sources { environment } => {
            answered(Answer::Sources { sources: sources(state, layout, &environment) })
        }
    })
}

/// How many deployments back an environment's logs are offered.
const DEPLOYMENTS_WITH_LOGS: usize = 3;

/// Where the logs of an environment are: of all that runs there, and of what its newest deployments did.
fn sources(state: &State, layout: &Layout, environment: &EnvironmentName) -> Vec<LogSource> {
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let running = state.running(environment);
    let newest = state.deployments.iter().rev().filter(|(_, one)| &one.environment == environment);
    let mut sources = Vec::new();
    for (place, (number, deployment)) in newest.enumerate() {
        let recent = place < DEPLOYMENTS_WITH_LOGS;
        let mut replicas = state.set_of(*number);
        replicas.retain(|key| key.deployment == *number && (recent || running.contains(key)));
        sources.extend(replicas.into_iter().map(|key| LogSource {
            label: format!("{}-{} {number}", key.role, key.index),
            deployment: *number,
            directory: text(layout.replica(&key).join("log")),
            replica: Some(key),
        }));
        let steps = deployment.plan.steps.iter().filter_map(|step| {
            let attempt = deployment.steps.get(&step.id)?.attempt;
            let key = AttemptKey { owner: Owner::Deployment(*number), step: step.id.clone(), attempt };
            (recent && attempt > 0).then_some(key)
        });
        sources.extend(steps.map(|key| LogSource {
            label: format!("{} {number}", key.step),
            deployment: *number,
            replica: None,
            directory: text(layout.log(&key)),
        }));
    }
    sources
}

fn kept(state: &State, run: RunId, step: &StepId) -> Reply {
    let kept = state.steps(Owner::Run(run)).into_iter().find(|(known, _)| &known.id == step);
    match kept.and_then(|(_, state)| state.output.kept.clone()) {
        Some(kept) if kept.container.is_some() => answered(Answer::Kept { kept }),
        Some(kept) if std::path::Path::new(&kept.directory).is_dir() => answered(Answer::Kept { kept }),
        Some(_) => {
            failed(format!("The directory of {step} in run {run} was let go: only newer runs keep theirs."))
        }
        None => failed(format!(
            "Run {run} keeps nothing of {step}: only a step that failed keeps its directory, or for a while its \
             container."
        )),
    }
}

fn summary(state: &State, number: RunId, run: &Run) -> RunSummary {
    let end = match run.phase {
        RunPhase::Ended(end) => Some(end),
        _ => None,
    };
    let release = match end {
        Some(RunEnd::Passed { release }) => release,
        _ => state.releases.values().find(|release| release.run == number).map(|release| release.number),
    };
    let began = run.started.unwrap_or(run.queued);
    let unplannable = run.cause.as_ref().map(|cause| (StepId("plan".to_owned()), cause.summary.clone()));
    RunSummary {
        run: number,
        commit: run.commit.clone(),
        by: run.by.clone(),
        queued: run.queued,
        took: run.ended.map(|ended| ended.since(began)),
        end,
        release,
        failed: run.failed.clone().or(unplannable),
    }
}

impl Later {
    /// Takes from the state what the answer needs.
    pub(super) fn asked(self, state: &State, layout: &Arc<Layout>, mirror: &Arc<Mutex<()>>) -> Asked {
        let run = |(number, run): (&RunId, &Run)| (run.commit.id.clone(), (*number, run.phase));
        let release = |release: &crate::domain::release::Release| (release.commit.clone(), release.number);
        Asked {
            later: self,
            layout: Arc::clone(layout),
            mirror: Arc::clone(mirror),
            // Ascending, so that the newest of a commit stays.
            runs: state.runs.iter().map(run).collect(),
            releases: state.releases.values().map(release).collect(),
        }
    }
}

impl Asked {
    /// Asks and answers.
    pub(super) async fn answer(self) -> Reply {
        if let Later::Lease(asked) = &self.later {
            let (lease, asker) = asked.as_ref();
            return match lease.holder(asker).await {
                Ok(holder) => answered(Answer::Lease { holder: holder.map(|(_, holder)| holder) }),
                Err(denied) => failed(format!("Who holds it could not be found out: {denied}.")),
            };
        }
        let guard = Arc::clone(&self.mirror).lock_owned().await;
        let answer = tokio::task::spawn_blocking(move || {
            let reply = self.find_out();
            drop(guard);
            reply
        });
        answer.await.unwrap_or_else(|error| failed(format!("The question could not be answered: {error}.")))
    }

    fn find_out(self) -> Reply {
        match &self.later {
            Later::Commits(limit) => match self.commits(*limit) {
                Ok(commits) => answered(Answer::Commits { commits }),
                Err(error) => failed(format!("{error}")),
            },
            Later::Resolve(revision) => {
                let resolved = Mirror::open(&self.layout.repository, &self.layout.mirror())
                    .and_then(|mirror| mirror.update().map(|_| mirror))
                    .and_then(|mirror| mirror.resolve(revision));
                match resolved {
                    Ok(commit) => answered(Answer::Resolved { commit }),
                    Err(error) => failed(format!("{error}")),
                }
            }
            Later::Promotion { preview, from, to } => {
                let mut preview = preview.clone();
                match self.brought(from.as_ref(), to) {
                    Ok(commits) if commits.len() >= COMMITS => {
                        preview.commits_note = format!("the newest {COMMITS} of them");
                        preview.commits = commits;
                    }
                    Ok(commits) => preview.commits = commits,
                    Err(error) => preview.commits_note = format!("they could not be read: {error}"),
                }
                answered(Answer::Promotion { preview })
            }
            // Answered above: engines are asked without blocking.
            Later::Lease(_) => failed("A lease is asked for elsewhere."),
            Later::VerifyChain => match journal::verify_file(&self.layout.journal()) {
                Ok(chain) => answered(Answer::Chain { rows: chain.rows, broken: chain.broken }),
                Err(error) => failed(format!("The journal could not be read: {error}.")),
            },
        }
    }

    fn brought(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<Vec<CommitFacts>, crate::git::GitError> {
        let mirror = Mirror::open(&self.layout.repository, &self.layout.mirror())?;
        mirror.between(from, to, u32::try_from(COMMITS).unwrap_or(u32::MAX))
    }

    fn commits(&self, limit: u32) -> Result<Vec<CommitRow>, crate::git::GitError> {
        let mirror = Mirror::open(&self.layout.repository, &self.layout.mirror())?;
        mirror.update()?;
        let commits = mirror.log(limit)?;
        let row = |commit: CommitFacts| CommitRow {
            run: self.runs.get(&commit.id).copied(),
            release: self.releases.get(&commit.id).copied(),
            commit,
        };
        Ok(commits.into_iter().map(row).collect())
    }
}
