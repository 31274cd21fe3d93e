//! (e) The engine is killed (`kill -9`) inside Migrate, inside Start and inside Shift of one deployment, and started
//! again each time. What was done twice is counted from outside: in the shop's own start log, and in the database.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::check;
use super::walk::{SHORTLY, Walk, seen};
use crate::cli::failure::{Failure, Sort};
use crate::demo::data;
use crate::domain::ids::{DeploymentId, EnvironmentName};

/// Where it is killed.
const INSIDE: [&str; 3] = ["migrate", "start web", "shift 100"];

pub(super) async fn station(walk: &mut Walk<'_>) -> Result<Value, Failure> {
    let (release, acknowledged) = walk.pipeline("v1.3.0").await?;
    walk.deploy("staging", release).await?;
    let load = walk.visitors(4, 5, "all")?;
    seen(&load, "answers before", SHORTLY, |counted| counted.all().requests() >= 50).await?;
    let deployment = walk.promote("production", release).await?;
    let mut killed = Vec::new();
    for step in INSIDE {
        killed.push(kill_inside(walk, deployment, step).await?);
    }
    walk.lives(deployment).await?;
    let counted = load.end().await;
    let all = counted.all();
    check(
        all.failed() == 0,
        "0 failed requests meanwhile",
        format!("{} of {}: {:?}", all.failed(), all.requests(), counted.troubles),
    )?;
    let attempts: u32 = {
        let steps = walk.state.deployments.get(&deployment).map(|one| &one.steps);
        steps.into_iter().flatten().map(|(_, step)| step.attempt).max().unwrap_or(0)
    };
    let starts = starts(walk, "1.3.0").await?;
    let migrations = migrations(walk, release).await?;
    walk.teller.say(&format!(
        "  {deployment} is live; processes started: {starts:?}; {migrations} migrations applied, each once; {} requests, 0 failed",
        all.requests()
    ))?;
    Ok(json!({
        "release": release, "acknowledged": acknowledged, "killed": killed, "starts": starts, "migrations": migrations,
        "most_attempts_of_a_step": attempts, "requests": all.requests(), "failed": all.failed(),
    }))
}

/// Kills the engine once the step's worker has begun, and before it has ended; then has another one started.
async fn kill_inside(walk: &mut Walk<'_>, deployment: DeploymentId, step: &str) -> Result<Value, Failure> {
    let key = walk.begun(deployment, step).await?;
    let dir = walk.attempt(&key);
    let (started, result) = (dir.join("started.json"), dir.join("result.json"));
    let until = Instant::now() + SHORTLY;
    while !started.exists() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let engine = walk.client.welcome().pid;
    let pid = i32::try_from(engine).map(Pid::from_raw).map_err(|_| Failure::unexpected("its process id"))?;
    kill(pid, Signal::SIGKILL).map_err(|error| {
        Failure::new(Sort::StepFailed, format!("Engine {engine} cannot be killed: {error}."), "")
    })?;
    // The worker's result would be there if the step had ended before.
    let is_inside = started.exists() && !result.exists();
    check(is_inside, &format!("the kill comes inside {step}"), "the step had ended, or had not begun")?;
    let began = Instant::now();
    while crate::runtime::process::Identity::of(pid.as_raw()).is_some_and(|engine| engine.lives()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    walk.reconnect().await?;
    let next = walk.client.welcome().pid;
    check(next != engine, "another engine", format!("engine {next}"))?;
    walk.teller.took(&format!("  kill -9 of engine {engine} inside {step}; engine {next} goes on"), began)?;
    Ok(
        json!({ "inside": step, "engine": engine, "next": next, "answers_after_ms": crate::demo::millis(began).0 }),
    )
}

/// How often each role of a version was started in production, by the shop's own log; it has to be as often as the
/// environment wants replicas of it.
async fn starts(walk: &Walk<'_>, version: &str) -> Result<BTreeMap<String, u32>, Failure> {
    let settings = walk.state.environment(&EnvironmentName::from("production"))?;
    let wanted: BTreeMap<String, u32> = settings.replicas.clone();
    let path = walk.place.start_log("production");
    let until = Instant::now() + SHORTLY;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut starts: BTreeMap<String, u32> = BTreeMap::new();
        let mut processes = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.split(' ');
            let (Some(role), Some(of), Some(process)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if of == version {
                *starts.entry(role.to_owned()).or_insert(0) += 1;
                processes.insert(process.to_owned());
            }
        }
        // A Celery worker says that it has started when it is connected: a moment after it lives.
        if starts.values().sum::<u32>() >= wanted.values().sum() || Instant::now() > until {
            check(
                starts == wanted,
                &format!("each replica of {version} was started once: {wanted:?}"),
                format!("{starts:?}"),
            )?;
            return Ok(starts);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many migrations production's database says were applied: those that the release carries, each once.
async fn migrations(walk: &Walk<'_>, release: crate::domain::ids::ReleaseNumber) -> Result<usize, Failure> {
    let applied = data::migrations(&walk.place, &walk.stack, "production").await?;
    let twice: Vec<&String> =
        applied.iter().filter(|(_, count)| **count != 1).map(|(name, _)| name).collect();
    check(twice.is_empty(), "no migration is in django_migrations twice", format!("{twice:?}"))?;
    let carried: BTreeSet<&String> =
        walk.state.release(release)?.migrations.iter().map(|one| &one.name).collect();
    let applied: BTreeSet<&String> = applied.keys().collect();
    let missing: Vec<&&String> = carried.difference(&applied).collect();
    check(missing.is_empty(), "every migration of the release is applied", format!("missing: {missing:?}"))?;
    Ok(applied.len())
}
