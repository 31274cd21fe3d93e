//! Who is at the other end of a socket.
//!
//! The kernel says which user and which process connected. A process that a stage started (a test, a linter's
//! plugin, a build script of a branch nobody has reviewed) runs as the same user, so the user alone does not
//! tell it from a person: its ancestry does. This holds back accidents and simple scripts; a process that
//! detaches itself *and* clears its environment looks like any other process of the user, and README says so.

use std::path::Path;

use tokio::net::UnixStream;

/// In the environment of every process that a stage started; its value names the attempt.
pub const ATTEMPT_VARIABLE: &str = "TOWPATH_ATTEMPT";

/// How far up the process tree is looked: a guard against a loop read while processes come and go.
const ANCESTORS: usize = 128;

/// The other end of a connection, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its user.
    pub uid: u32,
    /// Its process, where the kernel knows it.
    pub pid: Option<i32>,
    /// Its user's login name, or the number where the system has no name for it.
    pub name: String,
}

impl Peer {
    /// Asks the kernel.
    ///
    /// # Errors
    /// When the connection is gone already.
    pub fn of(stream: &UnixStream) -> std::io::Result<Self> {
        let credentials = stream.peer_cred()?;
        Ok(Self { uid: credentials.uid(), pid: credentials.pid(), name: login_name(credentials.uid()) })
    }

    /// Why this peer may not command, as a sentence; `None` when it may.
    #[must_use]
    pub fn may_not_command(&self, proc: &Path) -> Option<String> {
        let Some(pid) = self.pid else {
            return Some("The kernel does not say which process asks, so it may not command.".to_owned());
        };
        match origin(proc, pid) {
            Origin::Person => None,
            Origin::Stage(attempt) => Some(format!(
                "This process was started by a stage ({attempt}), and a stage may not command the engine that \
                 runs it."
            )),
            Origin::Unreadable => Some(format!(
                "The environment of process {pid} cannot be read, so it cannot be told from a stage's and may \
                 not command."
            )),
        }
    }
}

/// The login name of a user, or its number as text.
#[must_use]
pub fn login_name(uid: u32) -> String {
    match nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// Where a process comes from.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    /// No sign of a stage.
    Person,
    /// A stage's attempt.
    Stage(String),
    /// The process itself hides its environment.
    Unreadable,
}

fn origin(proc: &Path, pid: i32) -> Origin {
    let mut current = pid;
    for _ in 0..ANCESTORS {
        match std::fs::read(proc.join(current.to_string()).join("environ")) {
            Ok(environment) => {
                if let Some(attempt) = attempt_in(&environment) {
                    return Origin::Stage(attempt);
                }
            }
            // An ancestor may be somebody else's, or hide itself (sshd does); the one that asks may not.
            Err(_) if current == pid => return Origin::Unreadable,
            Err(_) => {}
        }
        match parent(proc, current) {
            Some(next) if next > 1 => current = next,
            _ => break,
        }
    }
    Origin::Person
}

/// The attempt that a `/proc/PID/environ` names.
fn attempt_in(environment: &[u8]) -> Option<String> {
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(ATTEMPT_VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        // It ends up in a sentence on somebody's terminal, and a stage can write there what it likes.
        let text: String =
            String::from_utf8_lossy(value).chars().filter(|c| !c.is_control()).take(120).collect();
        Some(text)
    })
}

/// The parent of a process: the second field after the name, which may itself hold blanks and parentheses.
fn parent(proc: &Path, pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: i32, parent: i32, environ: Option<&[u8]>) {
        let directory = proc.join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("stat"), format!("{pid} (a) b ()) S {parent} 1 1 0")).unwrap();
        if let Some(environ) = environ {
            std::fs::write(directory.join("environ"), environ).unwrap();
        }
    }

    #[test]
    fn a_stage_is_found_at_any_height_and_a_hidden_asker_is_not_trusted() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 10, 1, Some(b"HOME=/\0TOWPATH_ATTEMPT=run 3 pytest attempt 1\0"));
        process(proc.path(), 11, 10, Some(b""));
        process(proc.path(), 12, 11, Some(b"TOWPATH_ATTEMPTS=9\0"));
        process(proc.path(), 20, 1, None);
        process(proc.path(), 21, 20, Some(b"A=TOWPATH_ATTEMPT=no\0"));
        let stage = Origin::Stage("run 3 pytest attempt 1".to_owned());
        assert_eq!(origin(proc.path(), 10), stage);
        assert_eq!(origin(proc.path(), 12), stage);
        assert_eq!(origin(proc.path(), 20), Origin::Unreadable);
        assert_eq!(origin(proc.path(), 21), Origin::Person);
        assert_eq!(origin(proc.path(), 99), Origin::Unreadable);
    }

    #[test]
    fn what_a_stage_calls_itself_cannot_reach_a_terminal_raw() {
        assert_eq!(attempt_in(b"TOWPATH_ATTEMPT=\x1b[31mred\n"), Some("[31mred".to_owned()));
    }

    #[test]
    fn this_very_process_is_nobody_s_stage() {
        let pid = i32::try_from(std::process::id()).unwrap();
        if std::env::var_os(ATTEMPT_VARIABLE).is_none() {
            assert_eq!(origin(Path::new("/proc"), pid), Origin::Person);
        }
    }
}
