//! The steps of a deployment: what makes a release live on this machine, replica by replica.
//!
//! | file | is |
//! |---|---|
//! | [`place`] | where a release's commands run, and with what |
//! | `fetch` | the artifact is what it was, and starts with this environment's settings |
//! | `migrate`, `hook` | command lines of the release |
//! | `start`, `healthy`, `drain`, `stop` | replicas |
//! | `container` | a replica as a container |
//! | `shift` | who gets the traffic |
//! | `bake` | the new set is watched and judged |
//! | `verify`, [`observe`] | what is really there |

mod bake;
mod container;
mod drain;
mod fetch;
mod healthy;
mod hook;
mod migrate;
pub mod observe;
pub mod place;
mod shift;
mod start;
mod stop;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::attempt::Spec;
use super::fleet::{Fleet, Member};
use super::lease::{Denied, Lease};
use super::workbench::{Done, Workbench};
use crate::docker::patience::PATIENCE;
use crate::domain::ids::{DeploymentId, EnvironmentName, Epoch, ReplicaKey};
use crate::domain::plan::{Cause, Output, Replicas, Work};
use crate::domain::project::Environment;
use crate::domain::release::Serving;
use crate::domain::running::keys;
use crate::router::Trouble;

pub use bake::read_progress;

/// What a deployment's step needs to know beyond its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deploy {
    /// The project's name.
    pub project: String,
    /// The environment.
    pub environment: EnvironmentName,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The environment as it was configured when the deployment was confirmed.
    pub settings: Environment,
    /// How the release is run.
    pub serving: Serving,
    /// It was live here before: nobody waits for what was found out then.
    #[serde(default)]
    pub goes_back: bool,
    /// The release's version, where a tag gives one.
    pub version: Option<String>,
    /// The environment's directory.
    pub directory: PathBuf,
    /// The project's directory inside the repository, `.` for its root.
    #[serde(default = "at_root")]
    pub root: String,
    /// The operator's working tree: where secrets' commands and the router's run.
    pub home: PathBuf,
    /// Where the lease lies.
    pub lease: Lease,
    /// The lease's epoch.
    pub epoch: Epoch,
    /// All that is meant to live in the environment, and which release each is of.
    pub running: Vec<Member>,
    /// Where the releases' collected static files lie that run beside: by deployment.
    pub static_files: Vec<(DeploymentId, PathBuf)>,
}

fn at_root() -> String {
    ".".to_owned()
}

impl Deploy {
    /// All replicas that a step may ask about: those that run, and its own deployment's.
    #[must_use]
    pub fn fleet(&self, own: &[ReplicaKey]) -> Fleet {
        let running = self.running.iter().map(|member| (member.key.clone(), member.host.clone()));
        let known = |key: &&ReplicaKey| self.running.iter().all(|member| &member.key != *key);
        let own = own.iter().filter(known).filter(|key| key.deployment == self.deployment);
        let own = own.map(|key| (key.clone(), self.settings.host_of(key.index).cloned()));
        Fleet::new(&self.project, &self.environment, &self.directory, &self.home, running.chain(own))
    }

    /// The replicas that a step is about.
    pub fn keys(&self, replicas: &Replicas) -> Vec<ReplicaKey> {
        keys(replicas, self.deployment).collect()
    }
}

/// Carries a deployment's step out.
///
/// # Errors
/// When something of Towpath's own broke; what a person has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, work: &Work) -> Result<Done> {
    let deploy = context(bench.spec())?;
    if work.mutates_environment()
        && let Err(error) = has_lease(bench, &deploy).await
    {
        return Ok(Done::failed(lost_lease(&error), Output::default()));
    }
    match work {
        Work::Fetch(target) => fetch::run(bench, &deploy, target).await,
        Work::Migrate(target) => migrate::run(bench, &deploy, target).await,
        Work::Hook(hook) => hook::run(bench, &deploy, hook).await,
        Work::Start(replicas) => start::run(bench, &deploy, replicas).await,
        Work::AwaitHealthy(replicas) => healthy::run(bench, &deploy, replicas).await,
        Work::Shift { weight, of, shares, .. } => shift::run(bench, &deploy, *weight, *of, shares).await,
        Work::Bake { window, weight, against, .. } => {
            bake::run(bench, &deploy, *window, *weight, against).await
        }
        Work::Drain(replicas) => drain::run(bench, &deploy, replicas).await,
        Work::Stop(replicas) => stop::run(bench, &deploy, replicas).await,
        Work::Verify(target) => verify::run(bench, &deploy, target).await,
        Work::Install(_) | Work::Exec(_) | Work::Build(_) | Work::Inspect(_) | Work::MigrateEmpty(_) => {
            anyhow::bail!("{} is no step of a deployment", bench.spec().step.id)
        }
    }
}

/// Whether the deployment has its lease. Engines that were there a moment ago are waited for, and so is the heartbeat
/// that they missed meanwhile: whoever looks for a lease elsewhere finds it run out no sooner.
async fn has_lease(bench: &mut Workbench, deploy: &Deploy) -> std::result::Result<(), Denied> {
    let until = Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        match deploy.lease.check(deploy.epoch).await {
            Err(Denied::Unasked(why) | Denied::Stale(why))
                if Instant::now() < until && !bench.cancelled() =>
            {
                if !std::mem::replace(&mut told, true) {
                    bench.say(&format!("The lease cannot be looked at: {why}. Waiting for it."));
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            said => return said,
        }
    }
}

fn context(spec: &Spec) -> Result<Deploy> {
    spec.deploy.clone().map(|deploy| *deploy).context("the step does not know which deployment it belongs to")
}

fn lost_lease(error: &Denied) -> Cause {
    Cause {
        summary: "the environment's lease is not held any more".to_owned(),
        expected: "this deployment's lease, with time left on it".to_owned(),
        measured: error.to_string(),
        cure: "See who deploys to this environment; nothing was changed by this step. Then go on, or take it back."
            .to_owned(),
        ..Cause::default()
    }
}

impl From<Trouble> for Cause {
    fn from(trouble: Trouble) -> Self {
        let Trouble { summary, expected, measured, last_lines, cure } = trouble;
        Self { summary, expected, measured, exit_code: None, last_lines, cure }
    }
}

/// A step that passed, with facts for its row.
fn passed(facts: impl IntoIterator<Item = String>) -> Done {
    Done::passed(Output { facts: facts.into_iter().collect(), ..Output::default() })
}

/// A step that failed.
fn failed(cause: impl Into<Cause>) -> Done {
    Done::failed(cause.into(), Output::default())
}

/// The line that says most of a program's last ones: the last that is not indented, for what explains it further is
/// (as libpq's "Is the server running …?" is).
fn telling(tail: &[String]) -> &str {
    let said = || tail.iter().rev().filter(|line| !line.trim().is_empty());
    said()
        .find(|line| !line.starts_with([' ', '\t']))
        .or_else(|| said().next())
        .map_or("", |line| line.trim())
}

/// `1 replica`, `3 replicas`.
fn count(replicas: usize) -> String {
    format!("{replicas} replica{}", if replicas == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::telling;

    #[test]
    fn the_last_line_that_is_not_indented_says_most() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            telling(&lines("Traceback\n  File\nError: refused\n\tIs it running?\n\n")),
            "Error: refused"
        );
        assert_eq!(telling(&lines("  only this\n")), "only this");
        assert_eq!(telling(&[]), "");
    }
}
