//! Replicas and their keepers: real processes, the real binary. What ran is counted from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::domain::health::ReplicaState as State;
use towpath::domain::project::SecretSource;
use towpath::domain::time::Millis;
use towpath::runtime::replica::{self, Spec, Status, StopSignal, Stopped};

const MARK: &str = "TOWPATH_REPLICA_DIR=";

/// A directory with replicas; whatever of them lives is killed at its end.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.path().join("replicas").join(name)
    }

    fn spec(&self, name: &str, command: &str) -> Spec {
        let path = std::env::var("PATH").unwrap();
        Spec {
            v: 1,
            name: name.to_owned(),
            command: command.replace('@', self.path().to_str().unwrap()),
            cwd: self.path(),
            env: BTreeMap::from([("PATH".to_owned(), path)]),
            secrets: BTreeMap::new(),
            home: self.path(),
            port: None,
            stop_timeout: Millis::seconds(20),
            stop_signal: StopSignal::Term,
            lock: None,
            user: None,
        }
    }

    fn replica(&self, name: &str, command: &str) -> Replica {
        self.replica_of(&self.spec(name, command))
    }

    fn replica_of(&self, spec: &Spec) -> Replica {
        let replica = Replica { dir: self.dir(&spec.name) };
        replica::prepare(&replica.dir, spec).unwrap();
        replica
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.read(name).lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.path().join("replicas")).into_iter().flatten().flatten() {
            let replica = Replica { dir: entry.path() };
            if let Some(keeper) = replica.keeper() {
                let _ = kill(Pid::from_raw(keeper), Signal::SIGKILL);
            }
            for pid in replica.processes() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

struct Replica {
    dir: PathBuf,
}

impl Replica {
    fn launch(&self) {
        self.launch_with(&[]);
    }

    fn launch_with(&self, env: &[(&str, &str)]) {
        let mut all = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap())]);
        all.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let program = Path::new(env!("CARGO_BIN_EXE_towpath"));
        wait(replica::launch(&self.dir, program, &all)).unwrap();
    }

    fn stop(&self) -> Stopped {
        wait(replica::stop(&self.dir)).unwrap()
    }

    fn status(&self) -> Status {
        replica::status(&self.dir)
    }

    /// Waits until the replica is up, with a keeper: its main process.
    fn up(&self) -> i32 {
        self.until("it is up", |status| status.state == State::Up && status.keeper && status.pid.is_some());
        self.status().pid.unwrap()
    }

    fn until(&self, what: &str, is_so: impl Fn(&Status) -> bool) {
        let log = || replica::last_lines(&self.dir, 20).join("\n");
        wait_until(|| format!("{what}; it is {:?}\n{}", self.status(), log()), || is_so(&self.status()));
    }

    fn until_log(&self, part: &str) {
        self.until(&format!("the log says {part:?}"), |_| self.log().iter().any(|line| line.contains(part)));
    }

    fn log(&self) -> Vec<String> {
        replica::last_lines(&self.dir, 100_000)
    }

    fn keeper(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.dir.join("alive")).ok()?;
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        json["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| lives(*pid))
    }

    fn kill_keeper(&self) {
        // It holds its lock an instant before it has written who it is.
        wait_until(|| "a keeper says who it is".into(), || self.keeper().is_some());
        let keeper = self.keeper().unwrap();
        kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
        self.until("the keeper is gone", |status| !status.keeper);
    }

    /// Everything that carries the replica's mark.
    fn processes(&self) -> Vec<i32> {
        let entry = format!("{MARK}{}", self.dir.display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &i32| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                lives(*pid) && environ.split(|byte| *byte == 0).any(|one| one == entry.as_bytes())
            })
            .collect()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn wait_until(what: impl Fn() -> String, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "waited in vain until {}", what());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

fn is_kept(pid: i32, replica: &Replica) -> bool {
    lives(pid) && replica.status().pid == Some(pid)
}

#[test]
fn it_runs_with_its_port_and_its_secrets_and_nobody_else_reads_those() {
    let place = Place::new();
    std::fs::write(place.path().join("key"), "file-value-4711\n").unwrap();
    std::fs::write(place.path().join("other"), "command-value-4711\n").unwrap();
    let mut spec = place
        .spec("web", "env > @/env; echo \"given $A and $B\"; echo \"$C\" >&2; while :; do sleep 0.1; done");
    spec.env.insert("SEEN".into(), "plain".into());
    spec.env.insert("TOWPATH_ATTEMPT".into(), "/somewhere".into());
    spec.port = Some(replica::free_port(&BTreeSet::new()).unwrap());
    spec.secrets = BTreeMap::from([
        ("A".to_owned(), SecretSource::Env("FROM_SHELL".into())),
        ("B".to_owned(), SecretSource::File("key".into())),
        ("C".to_owned(), SecretSource::Command("cat other".into())),
    ]);
    let web = place.replica_of(&spec);
    assert_eq!(web.status().state, State::Gone);
    web.launch_with(&[("FROM_SHELL", "shell-value-4711"), ("OTHER", "x"), ("TOWPATH_ATTEMPT", "/elsewhere")]);
    let pid = web.up();
    web.until_log("given ••• and •••");
    assert_eq!(web.log().iter().filter(|line| line.contains("4711")).count(), 0, "{:?}", web.log());
    assert_eq!(web.status().port(), spec.port);

    let given: BTreeMap<String, String> = place
        .lines("env")
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(given["A"], "shell-value-4711");
    assert_eq!(given["B"], "file-value-4711");
    assert_eq!(given["C"], "command-value-4711");
    assert_eq!(given["SEEN"], "plain");
    assert_eq!(given["PORT"], spec.port.unwrap().to_string());
    assert_eq!(given["TOWPATH_REPLICA"], "web");
    for absent in ["OTHER", "FROM_SHELL", "TOWPATH_ATTEMPT"] {
        assert!(!given.contains_key(absent), "{absent}");
    }
    // The keeper is in a session of its own, nobody's child, and no step's.
    let keeper = web.keeper().unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{keeper}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[3], keeper.to_string(), "session");
    assert_ne!(fields[1], std::process::id().to_string(), "parent");
    let environ = std::fs::read_to_string(format!("/proc/{keeper}/environ")).unwrap();
    assert!(!environ.contains("TOWPATH_ATTEMPT"));
    // Values are in no argument, and in no file but the private spool.
    for process in [pid, keeper] {
        assert!(!std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap().contains("-value-"));
    }
    for file in ["spec.json", "status.json", "process.json", "keeper.log", "log/000001.log"] {
        assert!(!std::fs::read_to_string(web.dir.join(file)).unwrap().contains("-value-"), "{file}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&web.dir), 0o700);
    assert_eq!(mode(&web.dir.join("spool")), 0o600);

    // Launched again: the same keeper, the same process.
    web.launch();
    assert_eq!(web.keeper(), Some(keeper));
    assert!(!web.stop().killed);
    assert_eq!((web.status().state, web.status().pid), (State::Stopped, None));
    assert!(web.processes().is_empty() && !lives(pid) && !lives(keeper));
    // To launch what is to be stopped starts nothing.
    web.launch();
    assert!(!web.status().keeper && web.processes().is_empty());
    replica::prepare(&web.dir, &spec).unwrap();
    assert!(replica::is_stopping(&web.dir));
    replica::start_again(&web.dir).unwrap();
    web.launch_with(&[("FROM_SHELL", "shell-value-4711")]);
    web.up();
    assert_eq!(web.status().restarts, 0);
    web.stop();
}

#[test]
fn what_is_prepared_is_never_changed() {
    let place = Place::new();
    let spec = place.spec("web", "sleep 600");
    let web = place.replica_of(&spec);
    replica::prepare(&web.dir, &spec).unwrap();
    let other = Spec { command: "sleep 601".into(), ..spec };
    let error = replica::prepare(&web.dir, &other).unwrap_err();
    assert!(error.to_string().contains("never changed"), "{error}");
    let missing = wait(replica::launch(&place.dir("none"), Path::new("/none"), &BTreeMap::new()));
    assert!(missing.unwrap_err().to_string().contains("never prepared"));
    let program = Path::new("/nonexistent/towpath");
    let error = wait(replica::launch(&web.dir, program, &BTreeMap::new())).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/towpath"), "{error}");
}

#[test]
fn a_replica_that_ends_is_started_again_after_a_pause() {
    let place = Place::new();
    let web = place.replica("web", "echo start >> @/count; echo out of order; sh -c 'exit 3'; exit 3");
    web.launch();
    web.until("it backs off", |status| status.state == State::Backoff);
    let status = web.status();
    assert!(status.last_exit.unwrap().starts_with("exit code 3 after "));
    assert!(status.next_start.unwrap() > status.since);
    assert_eq!(status.pid, None);
    web.until("it was started three times", |status| status.restarts >= 2);
    web.until_log("out of order");
    web.until_log("ended by itself: exit code 3");
    let stopped = web.stop();
    assert_eq!((stopped.killed, stopped.leftovers), (false, 0));
    assert_eq!(place.lines("count").len(), usize::try_from(web.status().restarts).unwrap() + 1);
}

#[test]
fn a_replica_that_is_killed_is_started_once_more_and_what_it_left_is_killed() {
    let place = Place::new();
    let web = place.replica("web", "sleep 611 & echo $! >> @/left; while :; do sleep 0.1; done");
    web.launch();
    let first = web.up();
    wait_until(|| "a child".into(), || place.lines("left").len() == 1);
    let left: i32 = place.lines("left")[0].parse().unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    web.until("it was started again", |status| status.state == State::Up && status.restarts == 1);
    let second = web.up();
    assert_ne!(first, second);
    assert!(!lives(left) && lives(second));
    assert!(web.status().last_exit.unwrap().starts_with("signal SIGKILL after "));
    web.until_log("processes that the replica has left running were killed");
    web.stop();
    assert!(web.processes().is_empty());
}

#[test]
fn stop_asks_the_main_process_alone_and_then_kills_everything() {
    let place = Place::new();
    // The main process and its child ignore TERM; a daemon has left group, session and parent.
    let command = "trap '' TERM; (trap 'echo child was asked >> @/asked' TERM; while :; do sleep 0.1; done) & \
                   setsid sh -c 'sleep 612 & echo $! > @/daemon' & while :; do sleep 0.1; done";
    let mut spec = place.spec("web", "sh @/main.sh");
    std::fs::write(place.path().join("main.sh"), command.replace('@', place.path().to_str().unwrap()))
        .unwrap();
    spec.stop_timeout = Millis(300);
    let web = place.replica_of(&spec);
    web.launch();
    let main = web.up();
    wait_until(|| "a daemon".into(), || place.read("daemon").trim().parse::<i32>().is_ok());
    let daemon: i32 = place.read("daemon").trim().parse().unwrap();
    assert!(lives(daemon));
    let stopped = web.stop();
    assert!(stopped.killed && stopped.leftovers >= 2, "{stopped:?}");
    assert!(stopped.left.is_empty());
    assert!(!lives(main) && !lives(daemon) && web.processes().is_empty());
    assert_eq!(place.read("asked"), "");
    assert_eq!(web.status().state, State::Stopped);
    assert!(replica::is_stopping(&web.dir));
}

#[test]
fn under_a_shell_the_program_hears_of_the_end_as_well() {
    let place = Place::new();
    let main = "import signal, time, sys\n\
                def end(*_):\n    open('ended', 'w').write('well')\n    sys.exit(0)\n\
                signal.signal(signal.SIGINT, end)\nopen('ready', 'w').write('x')\n\
                while True:\n    time.sleep(0.1)\n";
    std::fs::write(place.path().join("main.py"), main).unwrap();
    for (name, command) in [("plain", "python3 main.py"), ("shell", "cd @ && python3 main.py; true")] {
        let mut spec = place.spec(name, command);
        spec.stop_signal = StopSignal::Int;
        let web = place.replica_of(&spec);
        let _ = (
            std::fs::remove_file(place.path().join("ready")),
            std::fs::remove_file(place.path().join("ended")),
        );
        web.launch();
        wait_until(|| format!("{name} is ready"), || place.read("ready") == "x");
        let stopped = web.stop();
        assert_eq!((stopped.killed, place.read("ended").as_str()), (false, "well"), "{name}: {stopped:?}");
    }
}

#[test]
fn a_killed_keeper_leaves_the_replica_alone_and_the_next_one_adopts_it() {
    let place = Place::new();
    let mut spec = place.spec("web", "n=0; while :; do n=$((n+1)); echo \"line $n $A\"; sleep 0.01; done");
    spec.secrets.insert("A".into(), SecretSource::Env("FROM_SHELL".into()));
    let web = place.replica_of(&spec);
    let env = [("FROM_SHELL", "shell-value-4711")];
    web.launch_with(&env);
    let pid = web.up();
    for round in 1..=3 {
        web.until_log(&format!("line {} ", round * 100));
        web.kill_keeper();
        assert!(is_kept(pid, &web), "{:?}", web.status());
        assert_eq!(web.status().state, State::Up);
        // Meanwhile it talks on. The new keeper has no such variable: the old process's own is what counts.
        web.launch_with(if round == 2 { &[] } else { &env });
        assert_eq!(web.up(), pid);
    }
    web.until_log("line 500 ");
    assert_eq!(web.status().restarts, 0);
    let stopped = web.stop();
    assert!(!stopped.killed && !lives(pid));
    let log = web.log();
    let lines: Vec<&String> = log.iter().filter(|line| line.starts_with("line ")).collect();
    let wanted: Vec<String> = (1..=lines.len()).map(|number| format!("line {number} •••")).collect();
    assert_eq!(lines, wanted.iter().collect::<Vec<_>>());
    assert!(lines.len() >= 500);
}

#[test]
fn what_dies_without_a_keeper_is_gone_and_the_next_keeper_starts_it_once() {
    let place = Place::new();
    let web = place.replica("web", "echo start >> @/count; sleep 613 & while :; do sleep 0.1; done");
    web.launch();
    let pid = web.up();
    web.kill_keeper();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    web.until("it is gone", |status| status.state == State::Gone && status.pid.is_none());
    web.launch();
    web.until("another process is up", |status| status.state == State::Up && status.restarts == 1);
    // The first one's child is not left beside the second.
    wait_until(|| "two starts".into(), || place.lines("count").len() == 2);
    let sleeps = |web: &Replica| {
        let is_sleep = |pid: &&i32| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("613"))
                && std::fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name.trim() == "sleep")
        };
        web.processes().iter().filter(is_sleep).count()
    };
    wait_until(|| "one child".into(), || sleeps(&web) == 1);
    // And without a keeper, stop does it all by itself.
    web.kill_keeper();
    let stopped = web.stop();
    assert!(!stopped.killed, "{stopped:?}");
    assert!(web.processes().is_empty());
    assert_eq!(web.status().state, State::Stopped);
    assert_eq!(web.stop().leftovers, 0);
}

#[test]
fn of_a_role_that_may_have_one_only_one_lives() {
    let place = Place::new();
    let command = "import os, signal, sys, time\n\
        name = os.environ['TOWPATH_REPLICA']\n\
        def say(word):\n    fd = os.open('times', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n    os.write(fd, f'{word} {name}\\n'.encode())\n    os.close(fd)\n\
        def end(*_):\n    time.sleep(0.3)\n    say('end')\n    sys.exit(0)\n\
        signal.signal(signal.SIGTERM, end)\nsay('begin')\n\
        while True:\n    time.sleep(0.05)\n";
    std::fs::write(place.path().join("beat.py"), command).unwrap();
    let replica = |name: &str| {
        let mut spec = place.spec(name, "python3 beat.py");
        spec.lock = Some(place.path().join("locks/beat"));
        place.replica_of(&spec)
    };
    let (old, new) = (replica("d111-beat-1"), replica("d112-beat-1"));
    old.launch();
    let pid = old.up();
    wait_until(|| "the old one has begun".into(), || place.lines("times") == ["begin d111-beat-1"]);
    new.launch();
    new.until("the new one waits", |status| status.state == State::Waiting);
    assert!(new.status().waits_for.unwrap().starts_with("d111-beat-1 to end"));
    // The old one's keeper dies: the old one holds the lock itself.
    old.kill_keeper();
    new.until_log("Waiting for d111-beat-1");
    assert!(lives(pid) && new.processes().is_empty());
    assert_eq!(place.lines("times"), ["begin d111-beat-1"]);
    // An adopting keeper holds no lock of its own, and needs none.
    old.launch();
    assert_eq!(old.up(), pid);
    old.kill_keeper();
    old.stop();
    new.up();
    wait_until(|| "the new one has begun".into(), || place.lines("times").len() == 3);
    assert_eq!(place.lines("times"), ["begin d111-beat-1", "end d111-beat-1", "begin d112-beat-1"]);
    // And one that waits can be stopped.
    replica::start_again(&old.dir).unwrap();
    old.launch();
    old.until("the old one waits", |status| status.state == State::Waiting);
    old.stop();
    new.stop();
    assert_eq!(place.lines("times").len(), 4);
}

#[test]
fn what_cannot_be_started_says_why_and_is_tried_again() {
    let place = Place::new();
    let mut command = place.spec("command", "sleep 600");
    command.secrets.insert(
        "KEY".into(),
        SecretSource::Command(
            "cat value 2>&1 >/dev/null; test -f value || { echo locked >&2; exit 5; }; cat value".into(),
        ),
    );
    let mut env = place.spec("env", "sleep 600");
    env.secrets.insert("KEY".into(), SecretSource::Env("NOWHERE".into()));
    let mut cwd = place.spec("cwd", "sleep 600");
    cwd.cwd = place.path().join("missing");
    let program = place.spec("program", "/nonexistent/gunicorn shop.wsgi");
    let cases = [
        (&command, "could not be started: secret KEY (command): its command failed (exit code 5: locked)"),
        (&env, "could not be started: secret KEY (env): the engine was started without"),
        (&cwd, "and there is no such directory"),
        (&program, "exit code 127 after"),
    ];
    for (spec, why) in cases {
        let replica = place.replica_of(spec);
        replica.launch();
        replica.until(why, |status| {
            status.state == State::Backoff
                && status.last_exit.as_deref().is_some_and(|exit| exit.contains(why))
        });
    }
    Replica { dir: place.dir("env") }.until_log("towpath engine stop");
    // As soon as the source answers and the directory is there, they run.
    std::fs::write(place.path().join("value"), "found").unwrap();
    std::fs::create_dir(place.path().join("missing")).unwrap();
    for name in ["command", "cwd"] {
        Replica { dir: place.dir(name) }.up();
    }
    for (spec, _) in cases {
        let replica = Replica { dir: place.dir(&spec.name) };
        replica.stop();
        assert!(replica.processes().is_empty() && replica.status().state == State::Stopped);
    }
}

#[test]
fn a_keeper_that_gets_term_ends_its_replica_and_a_later_one_starts_it_again() {
    let place = Place::new();
    let web = place.replica("web", "while :; do sleep 0.1; done");
    web.launch();
    let pid = web.up();
    let keeper = web.keeper().unwrap();
    kill(Pid::from_raw(keeper), Signal::SIGHUP).unwrap();
    kill(Pid::from_raw(keeper), Signal::SIGTERM).unwrap();
    web.until("it is stopped", |status| status.state == State::Stopped && !status.keeper);
    assert!(!lives(pid) && !replica::is_stopping(&web.dir));
    // As after the machine has gone down in order.
    web.launch();
    assert_ne!(web.up(), pid);
    // A wish that nobody tells of is seen as well.
    std::fs::write(web.dir.join("stop"), b"").unwrap();
    web.until("it is stopped", |status| status.state == State::Stopped && !status.keeper);
    assert!(web.processes().is_empty());
}
