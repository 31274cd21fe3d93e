//! The end of a replica: asked first, then made.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::members::Members;
use super::shell;
use super::spec::Spec;
use crate::domain::time::Millis;
use crate::runtime::process::Process;

/// How often it is looked who is left.
const LOOK: Duration = Duration::from_millis(50);
/// How long what was killed may take to go: a process in an uninterruptible call takes its time.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a replica was stopped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Whether its main process did not end in time and was killed.
    pub killed: bool,
    /// How many other processes had outlived the main one, and were killed.
    pub leftovers: u32,
    /// How long it took.
    pub took: Millis,
    /// Process ids that did not go even when killed (they hang in the kernel); nearly always empty.
    pub left: Vec<i32>,
}

/// Asks the main process to end, waits for that as long as the replica may take, and kills what is left.
pub(super) async fn end(members: &Members, spec: &Spec) -> Stopped {
    let began = Instant::now();
    let asked = to_ask(members, spec);
    for process in &asked {
        process.signal(spec.stop_signal.signal());
    }
    let until = began + Duration::from(spec.stop_timeout);
    while asked.iter().any(still_lives) && Instant::now() < until {
        tokio::time::sleep(LOOK).await;
    }
    let killed = asked.iter().any(still_lives);
    let (others, left) = kill(members, &asked).await;
    Stopped { killed, leftovers: others, took: millis(began.elapsed()), left }
}

/// Kills everything that lives of the replica: how many processes that were, those `known` not counted, and the ids
/// of those that did not go.
pub(super) async fn kill(members: &Members, known: &[Process]) -> (u32, Vec<i32>) {
    let mut killed: Vec<Process> = Vec::new();
    let until = Instant::now() + PATIENCE;
    // Again and again: what forks while we look is found the next time.
    loop {
        let living = members.living();
        if living.is_empty() || Instant::now() > until {
            let left = living.iter().map(|process| process.pid).collect();
            let others = killed.iter().filter(|process| !known.iter().any(|one| is_same(one, process)));
            return (u32::try_from(others.count()).unwrap_or(u32::MAX), left);
        }
        for process in living {
            process.signal(Signal::SIGKILL);
            if !killed.iter().any(|one| is_same(one, &process)) {
                killed.push(process);
            }
        }
        tokio::time::sleep(LOOK / 2).await;
    }
}

/// The main process; where that is a shell, which passes no signal on, its children as well. Never more: gunicorn's
/// and Celery's own children must hear of the end from them, not from us.
fn to_ask(members: &Members, spec: &Spec) -> Vec<Process> {
    let Some(main) = members.main().filter(|main| main.lives()) else { return Vec::new() };
    let has_shell = shell::without_shell(&spec.command).is_none();
    let mut asked = members.living();
    asked.retain(|process| process.pid == main.pid || (has_shell && process.parent == main.pid));
    asked
}

fn still_lives(process: &Process) -> bool {
    Process::read(process.pid).is_some_and(|now| now.started == process.started && now.lives())
}

fn is_same(one: &Process, other: &Process) -> bool {
    (one.pid, one.started) == (other.pid, other.started)
}

pub(super) fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
