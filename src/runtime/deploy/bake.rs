//! The new set is watched and judged: by its health checks, and by the share of its requests that failed, against
//! the old set's over the same minutes. Too little traffic says nothing, and is said to say nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use super::{Deploy, failed, healthy, passed};
use crate::domain::health::{BakeReport, Traffic};
use crate::domain::ids::{DeploymentId, ReplicaKey};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Router, Tolerance};
use crate::domain::time::{Millis, Timestamp};
use crate::probe::http::Prober;
use crate::router::nginx::{self, Tail};
use crate::runtime::fleet::Fleet;
use crate::runtime::log::now;
use crate::runtime::workbench::{Done, Stopped, Workbench};

/// How often the numbers are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many health checks in a row may go wrong: one slow answer is no reason to take a release back.
const IN_A_ROW: u32 = 3;
/// Where the numbers so far lie, in the attempt's directory.
const PROGRESS: &str = "progress.json";

/// What a bake has counted so far; `None` before it has begun.
#[must_use]
pub fn read_progress(attempt: &Path) -> Option<BakeReport> {
    serde_json::from_slice(&std::fs::read(attempt.join(PROGRESS)).ok()?).ok()
}

/// What is watched.
struct Watched<'a> {
    deploy: &'a Deploy,
    weight: u8,
    window: Millis,
    against: &'a [DeploymentId],
    tail: Option<Tail>,
    replicas: Vec<ReplicaKey>,
    fleet: Fleet,
    in_a_row: BTreeMap<ReplicaKey, u32>,
    report: BakeReport,
}

pub(super) async fn run(
    bench: &mut Workbench,
    deploy: &Deploy,
    window: Millis,
    weight: u8,
    against: &[DeploymentId],
) -> Result<Done> {
    let log = access_log(deploy);
    let tail = log.as_ref().map(|path| Tail::at_end(path.as_path()));
    let tail = tail.transpose().with_context(|| {
        format!("the access log {} cannot be read", log.as_deref().unwrap_or(Path::new("-")).display())
    })?;
    let own = |key: &&ReplicaKey| key.deployment == deploy.deployment;
    let mut watched = Watched {
        deploy,
        weight,
        window,
        against,
        tail,
        replicas: deploy.running.iter().map(|member| &member.key).filter(own).cloned().collect(),
        fleet: deploy.fleet(&[]),
        in_a_row: BTreeMap::new(),
        report: BakeReport {
            until: Timestamp(now().0 + i64::try_from(window.0).unwrap_or(i64::MAX)),
            weight,
            new: None,
            old: None,
            checks: 0,
            failed_checks: 0,
            trouble: String::new(),
        },
    };
    bench.say(&format!("Watching {} with {weight} % of the traffic for {window}.", deploy.deployment));
    let prober = Prober::new().map_err(anyhow::Error::msg)?;
    let until = Instant::now() + Duration::from(window);
    let mut next_check = Instant::now();
    loop {
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        if Instant::now() >= next_check {
            next_check = Instant::now() + Duration::from(deploy.settings.health.interval);
            if let Some(cause) = watched.check(bench, &prober).await {
                return Ok(watched.done(bench, Verdict::Failed(cause)));
            }
        }
        watched.count()?;
        watched.write(bench.dir());
        if let Some(mut cause) = watched.sick() {
            cause.last_lines = watched.last_lines(bench).await;
            return Ok(watched.done(bench, Verdict::Failed(cause)));
        }
        if Instant::now() >= until {
            let verdict = watched.verdict();
            return Ok(watched.done(bench, verdict));
        }
        tokio::time::sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

fn access_log(deploy: &Deploy) -> Option<PathBuf> {
    match &deploy.settings.router {
        Router::Nginx(nginx) => nginx.access_log.as_ref().map(|path| deploy.home.join(path)),
        Router::None => None,
    }
}

impl Watched<'_> {
    /// Asks every replica of the new set how it is. Says why the bake is over, if it is.
    async fn check(&mut self, bench: &mut Workbench, prober: &Prober) -> Option<Cause> {
        for key in &self.replicas {
            let status = self.fleet.status(key).await;
            if let Some(cause) = healthy::ended(bench, self.deploy, &self.fleet, key, &status).await {
                self.report.failed_checks += 1;
                self.report.trouble.clone_from(&cause.summary);
                return Some(cause);
            }
            let Some(at) = status.address.filter(|_| key.role == ROUTED_ROLE) else { continue };
            let answer = prober.ask(&healthy::ask(&self.deploy.settings, at)).await;
            self.report.checks += 1;
            let in_a_row = self.in_a_row.entry(key.clone()).or_insert(0);
            if answer.healthy {
                *in_a_row = 0;
                continue;
            }
            *in_a_row += 1;
            self.report.failed_checks += 1;
            self.report.trouble = format!("{key}: {}", answer.why);
            if *in_a_row >= IN_A_ROW {
                return Some(Cause {
                    summary: format!("{key} is not well: {}", answer.why),
                    expected: format!("good answers of {}", self.deploy.settings.health.path),
                    measured: format!(
                        "{} bad ones in a row, the last: {} {}",
                        IN_A_ROW, answer.why, answer.body_start
                    ),
                    last_lines: healthy::last_lines(bench, self.deploy, &self.fleet, key).await,
                    ..Cause::default()
                });
            }
        }
        None
    }

    /// Counts what was asked since the last look.
    fn count(&mut self) -> Result<()> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        let counted = tail.poll().context("the access log cannot be read")?;
        let of = |deployment: &DeploymentId| counted.get(deployment).copied().unwrap_or_default();
        self.report.new = Some(told(of(&self.deploy.deployment)));
        let busiest = self.against.iter().map(of).max_by_key(|traffic| traffic.requests);
        self.report.old = busiest.map(|busiest| {
            let sum = |part: fn(&nginx::Traffic) -> u64| self.against.iter().map(|one| part(&of(one))).sum();
            // Latencies can't be added up: those of the set with the most requests stand for all.
            Traffic { requests: sum(|one| one.requests), failed: sum(|one| one.failed), ..told(busiest) }
        });
        Ok(())
    }

    /// The last lines of the first of the new set that gets requests.
    async fn last_lines(&self, bench: &mut Workbench) -> Vec<String> {
        match self.replicas.iter().find(|key| key.role == ROUTED_ROLE) {
            Some(key) => healthy::last_lines(bench, self.deploy, &self.fleet, key).await,
            None => Vec::new(),
        }
    }

    /// The share of failed requests is beyond what is tolerated.
    fn sick(&mut self) -> Option<Cause> {
        let Tolerance { failed_permille, min_requests } = self.deploy.settings.tolerance;
        let new = self.report.new.clone()?;
        if new.requests < u64::from(min_requests) || new.requests == 0 {
            return None;
        }
        let old = self.report.old.clone().unwrap_or_default();
        let allowed = permille(&old) + u64::from(failed_permille);
        if permille(&new) <= allowed {
            return None;
        }
        let share = |traffic: &Traffic| format!("{}.{} %", permille(traffic) / 10, permille(traffic) % 10);
        let summary = format!(
            "{} of {} requests to the new release failed ({})",
            new.failed,
            new.requests,
            share(&new)
        );
        self.report.trouble.clone_from(&summary);
        Some(Cause {
            summary,
            expected: format!(
                "at most {}.{} % more failures than the old release's {}",
                failed_permille / 10,
                failed_permille % 10,
                share(&old)
            ),
            measured: format!(
                "new: {} of {} failed, old: {} of {} over the same time",
                new.failed, new.requests, old.failed, old.requests
            ),
            exit_code: None,
            last_lines: Vec::new(),
            cure: "The release's own log says what failed; fix it in a new commit.".to_owned(),
        })
    }

    /// The window has closed and nothing was wrong: whether that says something.
    fn verdict(&self) -> Verdict {
        if self.weight == 100 {
            return Verdict::Passed;
        }
        let least = u64::from(self.deploy.settings.tolerance.min_requests);
        let reason = match &self.report.new {
            None => format!(
                "no traffic is measured here: [environment.{}] router has no access_log",
                self.deploy.environment
            ),
            Some(new) if new.requests < least => format!(
                "too little traffic to judge by: {} requests to the new release in {} (at least {least} are wanted)",
                new.requests, self.window
            ),
            Some(_) => return Verdict::Passed,
        };
        Verdict::Inconclusive { reason }
    }

    fn write(&self, dir: &Path) {
        let (beside, path) = (dir.join("progress.new"), dir.join(PROGRESS));
        // Only a screen misses it.
        if let Ok(json) = serde_json::to_vec(&self.report) {
            let _ = std::fs::write(&beside, json).and_then(|()| std::fs::rename(&beside, &path));
        }
    }

    fn done(&self, bench: &mut Workbench, verdict: Verdict) -> Done {
        self.write(bench.dir());
        let mut facts = Vec::new();
        let Traffic { requests, failed: lost, median, p95 } = self.report.new.clone().unwrap_or_default();
        if requests > 0 {
            facts.push(format!("{requests} requests, {lost} failed"));
            if let Some(old) = self.report.old.as_ref().filter(|old| old.requests > 0) {
                facts.push(format!("old: {} requests, {} failed", old.requests, old.failed));
            }
            if let (Some(median), Some(p95)) = (median, p95) {
                facts.push(format!("median {median}, p95 {p95}"));
            }
        } else if self.report.new.is_some() {
            facts.push("no traffic: judged by its health alone".to_owned());
        }
        facts.push(format!("{} health checks, {} failed", self.report.checks, self.report.failed_checks));
        bench.say(&facts.join(" · "));
        match verdict {
            Verdict::Passed => passed(facts),
            Verdict::Failed(cause) => {
                let mut done = failed(cause);
                done.output.facts = facts;
                done
            }
            verdict => Done { verdict, output: Output { facts, ..Output::default() } },
        }
    }
}

fn told(traffic: nginx::Traffic) -> Traffic {
    let nginx::Traffic { requests, failed, median, p95 } = traffic;
    Traffic { requests, failed, median, p95 }
}

/// Failed requests in tenths of a per cent.
fn permille(traffic: &Traffic) -> u64 {
    (traffic.failed * 1000).checked_div(traffic.requests).unwrap_or(0)
}
