//! Processes as `/proc` shows them. A process id comes back; a process id with its start time and the boot it was
//! seen in does not.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Which process: stays true when the id is given to another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: i32,
    /// Clock ticks between boot and its start: field 22 of `/proc/PID/stat`.
    pub started: u64,
    /// The kernel's id of this boot.
    pub boot: String,
}

impl Identity {
    /// The process with this id, if there is one that lives.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let process = Process::read(pid).filter(Process::lives)?;
        Some(Self { pid, started: process.started, boot: boot_id() })
    }

    /// Whether that very process still lives (a zombie is dead).
    #[must_use]
    pub fn lives(&self) -> bool {
        self.boot == boot_id()
            && Process::read(self.pid)
                .is_some_and(|process| process.started == self.started && process.lives())
    }

    /// Sends a signal to that very process. A process that is gone is no error.
    ///
    /// # Errors
    /// When the signal may not be sent.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        if !self.lives() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Its parent's id.
    pub parent: i32,
    /// `R`, `S`, `Z` …
    pub state: char,
    /// Clock ticks between boot and its start.
    pub started: u64,
}

impl Process {
    /// Reads one process.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: i32, stat: &str) -> Option<Self> {
        // The name stands in brackets and may itself hold brackets and spaces.
        let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // Field 22 of the whole line; the two above were 3 and 4.
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self { pid, parent, state, started })
    }

    /// Every process there is.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Self::read)
            .collect()
    }

    /// Whether it is more than an entry in the table.
    #[must_use]
    pub const fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    /// The user that it runs as; `None` when it is gone.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        std::fs::metadata(format!("/proc/{}", self.pid)).ok().map(|metadata| metadata.uid())
    }

    /// Whether it was started with exactly this entry (`NAME=value`) in its environment. What may not be read does
    /// not count.
    #[must_use]
    pub fn carries(&self, entry: &[u8]) -> bool {
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|one| one == entry))
    }

    /// Whether a part of its command line is in one of its arguments.
    #[must_use]
    pub fn was_started_with(&self, part: &str) -> bool {
        std::fs::read(format!("/proc/{}/cmdline", self.pid))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(part))
    }

    /// Sends it a signal, unless its id has been given to another since. Gone or forbidden is no error: whoever
    /// asks looks again.
    pub fn signal(&self, signal: Signal) {
        if Self::read(self.pid).is_some_and(|now| now.started == self.started) {
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// Everything that stands, directly or not, below `roots` in `all`; the roots themselves only when they stand
/// below one another.
#[must_use]
pub fn below(all: &[Process], roots: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut found: BTreeSet<i32> = BTreeSet::new();
    loop {
        let before = found.len();
        for process in all {
            if roots.contains(&process.parent) || found.contains(&process.parent) {
                found.insert(process.pid);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_read_past() {
        let stat = "7 (a) b) (c) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 998877 1 2";
        assert_eq!(
            Process::parse(7, stat),
            Some(Process { pid: 7, parent: 3, state: 'S', started: 998_877 })
        );
        assert_eq!(Process::parse(7, "7 (cut"), None);
    }

    #[test]
    fn a_process_is_itself_and_its_id_alone_is_not() {
        let me = i32::try_from(std::process::id()).unwrap();
        let identity = Identity::of(me).unwrap();
        assert!(identity.lives());
        assert!(!Identity { started: identity.started + 1, ..identity.clone() }.lives());
        assert!(!Identity { boot: "another".into(), ..identity }.lives());
    }

    #[test]
    fn a_zombie_is_dead() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let identity = Identity::of(i32::try_from(child.id()).unwrap()).unwrap();
        child.kill().unwrap();
        while Process::read(identity.pid).is_some_and(|process| process.state != 'Z') {
            std::thread::yield_now();
        }
        assert!(!identity.lives());
        child.wait().unwrap();
    }

    #[test]
    fn what_stands_below_is_found_at_any_depth() {
        let one = |pid, parent| Process { pid, parent, state: 'S', started: 0 };
        let all = [one(5, 4), one(4, 2), one(2, 1), one(3, 1), one(9, 3)];
        assert_eq!(below(&all, &[2].into()), [4, 5].into());
        assert_eq!(below(&all, &[7].into()), [].into());
    }
}
