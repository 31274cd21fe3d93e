//! A run outlives its engine, its terminal and its worker. The real binary; what ran is counted from outside, what
//! was written is read from the journal itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails says so by panicking, and what was measured is printed"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

const STEPS: [&str; 4] = ["one", "left", "right", "last"];

/// A line in a file outside at its beginning, one at its end, and a second in between.
const CONFIGURATION: &str = r#"
[project]
name = "quay"
kind = "plain"

[[stage]]
name = "one"
run = "echo one >> @/count; sleep 1; echo one >> @/ended"

[[stage]]
name = "left"
run = "echo left >> @/count; sleep 1; echo left >> @/ended"
needs = ["one"]

[[stage]]
name = "right"
run = "echo right >> @/count; sleep 1.3; echo right >> @/ended"
needs = ["one"]

[[stage]]
name = "last"
run = "echo last >> @/count; sleep 1; echo last >> @/ended"
needs = ["left", "right"]
"#;

/// A repository with a state directory of its own; its engine ends with it.
struct Project {
    directory: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        Self::with(CONFIGURATION)
    }

    fn with(configuration: &str) -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        let repository = project.repository();
        std::fs::create_dir(&repository).unwrap();
        let configuration = configuration.replace('@', project.path().to_str().unwrap());
        std::fs::write(repository.join("towpath.toml"), configuration).unwrap();
        project.git(&["init", "--quiet", "-b", "main"]);
        project.commit("Quay");
        project
    }

    fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.repository()).args(["-c", "user.name=a", "-c", "user.email=a@localhost"]);
        assert!(git.args(arguments).status().unwrap().success());
    }

    fn commit(&self, subject: &str) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    /// The project's one directory under the state directory.
    fn state(&self) -> PathBuf {
        let mut entries = std::fs::read_dir(self.path().join("state")).unwrap();
        entries.next().unwrap().unwrap().path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.current_dir(self.repository()).args(arguments).stdin(Stdio::null());
        command.env("TOWPATH_STATE_DIR", self.path().join("state"));
        command.env("TOWPATH_CACHE_DIR", self.path().join("cache"));
        command.env_remove("TOWPATH_ATTEMPT");
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// A run that nobody watches: its viewer is killed as soon as it is asked for.
    fn run_unwatched(&self) {
        let mut viewer = self.command(&["run"]).stdout(Stdio::null()).spawn().unwrap();
        self.wait_for("a run is queued", || !self.events("run_queued").is_empty());
        viewer.kill().unwrap();
        viewer.wait().unwrap();
    }

    /// The process that holds the engine's lock, by what it wrote there.
    fn engine(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.state().join("engine.lock")).ok()?;
        let pid: i32 = text.strip_prefix("process ")?.split(',').next()?.parse().ok()?;
        Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
    }

    fn kill_engine(&self) {
        let engine = self.engine().expect("an engine");
        kill(Pid::from_raw(engine), Signal::SIGKILL).unwrap();
        self.wait_for("the engine is gone", || !is_alive(engine));
    }

    /// The journal's events of a kind, read beside the engine.
    fn events(&self, kind: &str) -> Vec<Value> {
        if !std::fs::read_dir(self.path().join("state")).is_ok_and(|mut state| state.next().is_some()) {
            return Vec::new();
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(journal) = Connection::open_with_flags(self.state().join("journal.db"), flags) else {
            return Vec::new();
        };
        let Ok(mut rows) = journal
            .prepare("SELECT event FROM journal WHERE json_extract(event, '$.type') = ?1 ORDER BY seq")
        else {
            return Vec::new();
        };
        let found = rows.query_map([kind], |row| row.get::<_, String>(0)).unwrap();
        found.filter_map(|text| serde_json::from_str(&text.ok()?).ok()).collect()
    }

    /// How often an event of a step was written.
    fn count(&self, kind: &str, step: &str) -> usize {
        self.events(kind).iter().filter(|event| event["key"]["step"] == step).count()
    }

    fn lines(&self, file: &str, step: &str) -> usize {
        let text = std::fs::read_to_string(self.path().join(file)).unwrap_or_default();
        text.lines().filter(|line| *line == step).count()
    }

    fn attempt(&self, step: &str, file: &str) -> PathBuf {
        self.state().join("runs/1").join(step).join("1").join(file)
    }

    /// Waits, looking as often as can be: the moments that are waited for are short.
    fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let began = Instant::now();
        while !holds() {
            assert!(began.elapsed() < Duration::from_secs(60), "for a minute it was not so that {what}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Comes back, watches the run to its end, and counts.
    fn comes_to_its_end(&self, moment: &str) {
        let (code, out, err) = self.run(&["run", "--plain"]);
        // A run that had ended while nobody looked is walked anew, and nothing else may be.
        assert_eq!(code, 0, "{moment}: {out}{err}");
        self.is_whole(moment);
    }

    fn is_whole(&self, moment: &str) {
        let runs = self.events("run_queued").len();
        let attempts: Vec<u64> = STEPS
            .iter()
            .map(|step| -> u64 {
                let started = self.events("step_started");
                let of = started.iter().filter(|event| event["key"]["step"] == *step);
                of.filter_map(|event| event["key"]["attempt"].as_u64()).max().unwrap_or(0)
            })
            .collect();
        let counts: Vec<usize> = STEPS.iter().map(|step| self.lines("count", step)).collect();
        let engines = self.events("engine_started").len();
        eprintln!("| {moment} | {engines} | {attempts:?} | {counts:?} |");
        assert_eq!(runs, 1, "{moment}");
        assert_eq!(counts, [1, 1, 1, 1], "{moment}: begun");
        assert!(STEPS.iter().all(|step| self.lines("ended", step) == 1), "{moment}: ended");
        assert_eq!(attempts, [1, 1, 1, 1], "{moment}");
        let (code, out, _) = self.run(&["history", "--plain"]);
        assert!(code == 0 && out.contains("passed") && out.lines().count() == 2, "{moment}: {out}");
        let (code, out, err) = self.run(&["verify"]);
        assert!(code == 0 && out.starts_with("the chain holds"), "{moment}: {out}{err}");
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.run(&["engine", "stop", "--force"]);
    }
}

fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap_or(0)..].starts_with(") Z"))
}

/// One moment: `arrives` holds when it is there.
fn killed_at(moment: &str, arrives: impl Fn(&Project) -> bool) {
    let project = Project::new();
    project.run_unwatched();
    project.wait_for(moment, || arrives(&project));
    project.kill_engine();
    project.comes_to_its_end(moment);
}

#[test]
fn killed_while_the_commit_is_read() {
    killed_at("the run has just begun", |project| !project.events("run_started").is_empty());
}

#[test]
fn killed_between_the_row_and_the_worker() {
    killed_at("a step's row is there", |project| project.count("step_started", "one") == 1);
}

#[test]
fn killed_when_the_attempt_is_prepared_and_not_begun() {
    killed_at("an attempt is prepared", |project| project.attempt("one", "spec.json").exists());
}

#[test]
fn killed_when_the_worker_has_just_claimed_the_attempt() {
    killed_at("an attempt is claimed", |project| project.attempt("one", "started.json").exists());
}

#[test]
fn killed_during_a_step() {
    killed_at("a step runs", |project| project.lines("count", "one") == 1);
}

#[test]
fn killed_right_after_a_step_s_end() {
    killed_at("a result is written", |project| project.attempt("one", "result.json").exists());
}

#[test]
fn killed_when_the_end_is_in_the_journal() {
    killed_at("an end is in the journal", |project| project.count("step_finished", "one") == 1);
}

#[test]
fn killed_while_two_steps_run_and_again_while_one_does() {
    let project = Project::new();
    project.run_unwatched();
    project.wait_for("two run", || project.lines("count", "left") + project.lines("count", "right") == 2);
    project.kill_engine();
    // Nobody is there while both end: the next engine finds two results.
    project.wait_for("both ended", || project.lines("ended", "left") + project.lines("ended", "right") == 2);
    project.comes_to_its_end("while two steps run, back after both ended");
}

#[test]
fn killed_during_the_last_step() {
    killed_at("the last step runs", |project| project.lines("count", "last") == 1);
}

#[test]
fn killed_twice_in_a_row() {
    let project = Project::new();
    project.run_unwatched();
    project.wait_for("a step runs", || project.lines("count", "one") == 1);
    project.kill_engine();
    let mut next = project.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    project.wait_for("the next engine has begun", || project.events("engine_started").len() == 2);
    next.kill().unwrap();
    next.wait().unwrap();
    project.kill_engine();
    project.comes_to_its_end("twice in a row, the second right after its start");
}

#[test]
fn killed_ten_times_in_one_run() {
    let project = Project::new();
    project.run_unwatched();
    for _ in 0..10 {
        project.kill_engine();
        // The next command brings it back; this one starts no run.
        let (code, out, err) = project.run(&["history", "--plain"]);
        assert!(code == 0 && out.lines().count() == 2, "{out}{err}");
        std::thread::sleep(Duration::from_millis(150));
    }
    project.wait_for("the run has ended", || !project.events("run_finished").is_empty());
    project.is_whole("ten times in one run");
    for kill in project.events("run_finished") {
        assert_eq!(kill["end"]["kind"], "passed", "{kill}");
    }
}

#[test]
fn one_altered_byte_is_named_by_its_row() {
    let project = Project::with(&CONFIGURATION.replace("sleep 1", "sleep 0"));
    assert_eq!(project.run(&["run"]).0, 0);
    assert_eq!(project.run(&["engine", "stop"]).0, 0);
    let journal = std::fs::read(project.state().join("journal.db")).unwrap();
    let copy = project.path().join("copy.db");
    std::fs::write(&copy, &journal).unwrap();
    let verify = || project.run(&["verify", copy.to_str().unwrap()]);
    assert_eq!(verify().0, 0);
    // A page may hold a row's bytes from before it was moved: one altered at a time, until it is the row's own.
    let text = b"\"type\":\"run_planned\"";
    let places = (0..journal.len()).filter(|place| journal[*place..].starts_with(text));
    let broken = places.map(|place| {
        let mut altered = journal.clone();
        altered[place + text.len() - 2] = b'D';
        std::fs::write(&copy, &altered).unwrap();
        verify()
    });
    let (code, out, err) = broken.into_iter().find(|(code, ..)| *code != 0).expect("one that is noticed");
    assert_eq!(code, 7, "{out}{err}");
    let connection = Connection::open(project.state().join("journal.db")).unwrap();
    let sql = "SELECT seq FROM journal WHERE json_extract(event, '$.type') = 'run_planned'";
    let row: i64 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert!(err.contains(&format!("broken at row {row}: it is not what was written")), "{err}");
}

#[test]
fn a_worker_that_died_while_no_engine_lived_is_lost_and_done_again() {
    let project = Project::new();
    project.run_unwatched();
    project.wait_for("a step runs", || project.lines("count", "one") == 1);
    project.kill_engine();
    let started = std::fs::read(project.attempt("one", "started.json")).unwrap();
    let started: Value = serde_json::from_slice(&started).unwrap();
    let worker = i32::try_from(started["worker"]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    project.wait_for("the worker is gone", || !is_alive(worker));
    let (code, out, err) = project.run(&["run", "--plain"]);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!((project.lines("count", "one"), project.lines("ended", "one")), (2, 1), "no orphan goes on");
    assert!(out.contains("attempt 2") && out.contains("the attempt was lost"), "{out}");
    let (_, out, _) = project.run(&["status"]);
    assert!(out.contains("attempt 2, before: the attempt was lost"), "{out}");
    assert_eq!(project.run(&["verify"]).0, 0);
}

#[test]
fn a_closed_terminal_is_nothing_to_the_run() {
    let project = Project::new();
    let size = portable_pty::PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = portable_pty::native_pty_system().openpty(size).unwrap();
    let mut command = portable_pty::CommandBuilder::new(env!("CARGO_BIN_EXE_towpath"));
    command.cwd(project.repository());
    command.env("TOWPATH_STATE_DIR", project.path().join("state"));
    command.env("TOWPATH_CACHE_DIR", project.path().join("cache"));
    command.env("TERM", "xterm-256color");
    let mut console = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if tell.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    project.wait_for("the console drew something", || told.try_recv().is_ok());
    project.run_unwatched();
    project.wait_for("a step runs", || project.lines("count", "one") == 1);
    let engine = project.engine();
    // The terminal goes away: every end of the pty is closed, and the kernel sends HUP.
    drop((told, pair.master));
    kill(Pid::from_raw(i32::try_from(console.process_id().unwrap()).unwrap()), Signal::SIGHUP).unwrap();
    console.wait().unwrap();
    assert_eq!(project.engine(), engine, "the engine goes on");
    project.comes_to_its_end("terminal closed");
}

#[test]
fn a_deadline_holds_across_engines_and_everything_below_the_step_goes() {
    // What the step leaves in a session of its own is the step's all the same.
    let project = Project::with(
        r#"
[project]
name = "quay"
kind = "plain"
[[stage]]
name = "slow"
run = "echo $$ >> @/pids; setsid sh -c 'echo $$ >> @/pids; exec sleep 300' & sleep 300"
timeout = "6s"
"#,
    );
    project.run_unwatched();
    let pids = || {
        let text = std::fs::read_to_string(project.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse::<i32>().ok()).collect::<Vec<_>>()
    };
    project.wait_for("both run", || pids().len() == 2);
    // Each of these engines lives less long than the timeout.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        project.kill_engine();
        assert_eq!(project.run(&["history"]).0, 0);
    }
    project.wait_for("the run has ended", || !project.events("run_finished").is_empty());
    let finished = project.events("step_finished");
    let began = project.events("step_timed_out");
    assert_eq!(began.len(), 1);
    assert!(finished[0]["verdict"].to_string().contains("did not end within 6.0s"), "{finished:?}");
    assert!(pids().into_iter().all(|pid| !is_alive(pid)), "something of the step still runs");
}

#[test]
fn a_run_cancelled_now_takes_its_whole_tree_along() {
    let project = Project::with(
        r#"
[project]
name = "quay"
kind = "plain"
[[stage]]
name = "tree"
run = "echo $$ >> @/pids; setsid sh -c 'echo $$ >> @/pids; trap \"\" TERM; sleep 300 & echo $! >> @/pids; wait' & sleep 300"
"#,
    );
    project.run_unwatched();
    let pids = || {
        let text = std::fs::read_to_string(project.path().join("pids")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse::<i32>().ok()).collect::<Vec<_>>()
    };
    project.wait_for("all three run", || pids().len() == 3);
    assert_eq!(project.run(&["cancel", "1", "--now"]).0, 0);
    project.wait_for("the run has ended", || !project.events("run_finished").is_empty());
    assert_eq!(project.events("run_finished")[0]["end"]["kind"], "cancelled");
    assert!(pids().into_iter().all(|pid| !is_alive(pid)), "something of the step still runs");
}

#[test]
fn many_commands_at_once_on_a_cold_project_start_one_engine() {
    let project = Project::with(&CONFIGURATION.replace("sleep 1", "sleep 0"));
    let verbs = [&["run"][..], &["run"], &["history"], &["status"], &["verify"]];
    let commands: Vec<Child> = (0..24)
        .map(|number| {
            let mut command = project.command(verbs[number % verbs.len()]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for command in commands {
        let output = command.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{err}");
    }
    assert_eq!(project.events("engine_started").len(), 1);
}

#[test]
fn places_that_cannot_be_used_are_said_in_a_sentence() {
    let project = Project::with(&CONFIGURATION.replace("sleep 1", "sleep 0"));
    let say = |command: &mut Command| {
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let deep = project.path().join("s".repeat(120));
    let (code, err) = say(project.command(&["history"]).env("TOWPATH_STATE_DIR", &deep));
    assert!(
        code == Some(2) && err.contains("set TOWPATH_STATE_DIR to a directory with a shorter path"),
        "{err}"
    );
    // A state directory that is meant from here, not from where the engine stands.
    let (code, err) = say(project.command(&["history"]).env("TOWPATH_STATE_DIR", "../state"));
    assert_eq!(code, Some(0), "{err}");
    assert!(project.state().join("journal.db").exists());

    assert_eq!(project.run(&["engine", "stop"]).0, 0);
    let journal = project.state().join("journal.db");
    let garbage = b"nothing that anybody would call a journal of towpath".repeat(40);
    std::fs::write(&journal, &garbage).unwrap();
    let (code, _, err) = project.run(&["run"]);
    assert!(code == 5 && err.contains("cannot be trusted"), "{code} {err}");
    assert_eq!(std::fs::read(&journal).unwrap(), garbage, "nothing is overwritten");

    let empty = project.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(Command::new("git").args(["init", "--quiet"]).arg(&empty).status().unwrap().success());
    std::fs::write(empty.join("towpath.toml"), "[project]\nname = \"e\"\n").unwrap();
    let (code, _, err) = project.run(&["run", "--repository", empty.to_str().unwrap()]);
    assert!(code == 2 && err.contains("no commit yet"), "{err}");
    project.run(&["engine", "stop", "--force", "--repository", empty.to_str().unwrap()]);
}

#[test]
fn a_followed_branch_starts_a_run_and_says_when_it_is_gone() {
    let configuration = CONFIGURATION.replace("sleep 1", "sleep 0");
    let followed = format!("{configuration}\n[pipeline]\nbranch = \"main\"\npoll = \"200ms\"\n");
    let project = Project::with(&followed);
    assert_eq!(project.run(&["history"]).0, 0);
    project.wait_for("the branch was seen", || project.events("branch_seen").len() == 1);
    // What is committed while no engine lives is walked as well.
    project.kill_engine();
    project.commit("While nobody looked");
    assert_eq!(project.run(&["history"]).0, 0);
    project.wait_for("its run has ended", || project.events("run_finished").len() == 1);
    project.commit("Another");
    project.wait_for("the next run has ended", || project.events("run_finished").len() == 2);

    project.git(&["branch", "--quiet", "-m", "trunk"]);
    project.wait_for("it is missed", || project.events("branch_not_seen").len() == 1);
    let (code, out, _) = project.run(&["status", "--plain"]);
    assert!(code == 0 && out.contains("“main” is not in the repository"), "{out}");
    project.git(&["branch", "--quiet", "-m", "main"]);
    project.wait_for("it is back", || !project.run(&["status"]).1.contains("is not in the repository"));
    assert_eq!(project.events("run_queued").len(), 2);
}
