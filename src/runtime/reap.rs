//! The end of whatever an attempt left running: a worker that was killed cannot clean up after itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::process::{Process, below};
use super::services;

/// Every command of an attempt carries this variable; its value is the attempt's directory.
pub const VARIABLE: &str = "TOWPATH_ATTEMPT";

/// How long the dead are waited for: a process in an uninterruptible call takes its time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Kills everything that an attempt left behind, daemons included, and removes its throw-away services. Harmless
/// when nothing is left. Blocks for up to five seconds.
///
/// # Errors
/// When something that must go cannot be removed; the rest is gone all the same.
pub fn reap(dir: &Path) -> anyhow::Result<()> {
    let dir = std::fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    kill_all(&dir);
    let removed = services::remove_left_behind(&dir);
    // A service's start may have been under way.
    kill_all(&dir);
    removed
}

fn kill_all(dir: &Path) {
    let until = Instant::now() + PATIENCE;
    // Again and again: what forks while we look is found the next time.
    loop {
        let left = of_attempt(dir);
        if left.is_empty() || Instant::now() > until {
            return;
        }
        for process in left {
            process.signal(Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every living process of our user that carries the attempt's mark, or stands below one that does; never this
/// process.
#[must_use]
pub fn of_attempt(dir: &Path) -> Vec<Process> {
    let entry = [VARIABLE.as_bytes(), b"=", dir.as_os_str().as_encoded_bytes()].concat();
    pick(|process| process.carries(&entry))
}

/// Every living process of our user below this one.
#[must_use]
pub fn of_this_process() -> Vec<Process> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    pick(|process| process.parent == me)
}

fn pick(root: impl Fn(&Process) -> bool) -> Vec<Process> {
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    let user = nix::unistd::geteuid().as_raw();
    let mut all = Process::all();
    all.retain(|process| process.pid != me && process.pid > 1);
    let roots: BTreeSet<i32> =
        all.iter().filter(|process| root(process)).map(|process| process.pid).collect();
    let under = below(&all, &roots);
    all.retain(|process| {
        process.lives()
            && process.user() == Some(user)
            && (roots.contains(&process.pid) || under.contains(&process.pid))
    });
    all
}
