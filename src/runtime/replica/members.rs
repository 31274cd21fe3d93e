//! Which processes are a replica's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, geteuid, getpgid, getsid};

use super::files::Recorded;
use super::spec::Spec;
use crate::runtime::process::{Identity, Process, below};

/// Every process of a replica carries this variable; its value is the replica's directory.
pub(super) const VARIABLE: &str = "TOWPATH_REPLICA_DIR";
/// The replica's name, for whoever looks at a process.
pub(super) const NAME_VARIABLE: &str = "TOWPATH_REPLICA";

/// How a replica's processes are told from others: by the mark in their environment, as members of the main
/// process's group (a program that changes its title, as gunicorn's workers can, overwrites its environment), and by
/// standing below one of these, or below the keeper, to which what daemonises comes back.
#[derive(Debug, Clone)]
pub(super) struct Members {
    dir: PathBuf,
    main: Option<(Identity, i32)>,
    users: BTreeSet<u32>,
    /// Whether what stands below this process counts: in a keeper.
    below_me: bool,
}

impl Members {
    /// Of the replica in `dir` (its real path), whose main process is or was `recorded`.
    pub(super) fn new(dir: &Path, spec: Option<&Spec>, recorded: Option<&Recorded>, below_me: bool) -> Self {
        let mut users = BTreeSet::from([geteuid().as_raw()]);
        users.extend(spec.and_then(|spec| spec.user).map(|(user, _)| user));
        let main = recorded.and_then(|recorded| Some((recorded.process.clone()?, recorded.session)));
        Self { dir: dir.to_owned(), main, users, below_me }
    }

    /// The main process.
    pub(super) fn main(&self) -> Option<&Identity> {
        self.main.as_ref().map(|(identity, _)| identity)
    }

    /// Those that live; never this process.
    pub(super) fn living(&self) -> Vec<Process> {
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        let entry = [VARIABLE.as_bytes(), b"=", self.dir.as_os_str().as_encoded_bytes()].concat();
        // A main process of before the last boot has no group now.
        let main =
            self.main.as_ref().filter(|(main, _)| Identity::of(me).is_some_and(|me| me.boot == main.boot));
        let mut all = Process::all();
        all.retain(|process| process.pid != me && process.pid > 1);
        let roots: BTreeSet<i32> = all
            .iter()
            .filter(|process| self.users.contains(&process.user().unwrap_or(u32::MAX)))
            .filter(|process| {
                (self.below_me && process.parent == me)
                    || main.is_some_and(|(main, session)| is_in_group(process, main, *session))
                    || process.carries(&entry)
            })
            .map(|process| process.pid)
            .collect();
        let under = below(&all, &roots);
        all.retain(|process| {
            process.lives()
                && (roots.contains(&process.pid) || under.contains(&process.pid))
                && process.user().is_some_and(|user| self.users.contains(&user))
        });
        all
    }
}

/// Whether a process is the main one, or in the group that it leads or led. The number of a group is not given to
/// another one while it has a member; that of an empty one may be, but not in the session of a keeper that is gone.
fn is_in_group(process: &Process, main: &Identity, session: i32) -> bool {
    if process.pid == main.pid {
        return process.started == main.started;
    }
    let pid = Pid::from_raw(process.pid);
    process.started >= main.started
        && getpgid(Some(pid)).is_ok_and(|group| group.as_raw() == main.pid)
        && getsid(Some(pid)).is_ok_and(|its| its.as_raw() == session)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    use super::*;
    use crate::domain::time::Timestamp;

    fn pids(members: &Members) -> Vec<i32> {
        members.living().into_iter().map(|process| process.pid).collect()
    }

    #[test]
    fn members_are_found_by_mark_and_by_group_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let start = |marked: bool| {
            let mut command = Command::new("sleep");
            command.arg("600").process_group(0);
            if marked {
                command.env(VARIABLE, dir.path());
            }
            command.spawn().unwrap()
        };
        let mut children = [start(true), start(false), start(false)];
        let [marked, leader, other] = [0, 1, 2].map(|at: usize| i32::try_from(children[at].id()).unwrap());
        let none = Members::new(dir.path(), None, None, false);
        // Between its fork and its exec a process has our environment.
        while pids(&none) != [marked] {
            std::thread::yield_now();
        }
        let session = getsid(None).unwrap().as_raw();
        let process = Identity::of(leader);
        let recorded = Recorded { v: 1, process, session, since: Timestamp(0), starts: 1 };
        let both = pids(&Members::new(dir.path(), None, Some(&recorded), false));
        assert!(both.contains(&marked) && both.contains(&leader) && !both.contains(&other));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(pids(&Members::new(dir.path(), None, Some(&recorded), false)), [0; 0]);
    }
}
