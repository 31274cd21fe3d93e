//! The real binary with its real engine and real steps, on a project whose steps are shell commands.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A repository with a state directory of its own; its engine ends with it.
struct Project {
    directory: tempfile::TempDir,
}

/// Steps that wait for a file, so that a test decides when they end.
const CONFIGURATION: &str = r#"
[project]
name = "quay"
kind = "plain"

[[stage]]
name = "gate"
run = "echo waiting; for i in $(seq 600); do test -e \"$GATE\" && exit 0; sleep 0.05; done; exit 9"
[stage.env]
GATE = "@/gate"

[[stage]]
name = "counted"
run = "printf 'one\\n\\033[31mtwo\\033[0m\\n'; echo ran >> \"$COUNT\"; test ! -e \"$BROKEN\""
[stage.env]
COUNT = "@/count"
BROKEN = "@/broken"

[[stage]]
name = "last"
run = "true"
needs = ["gate", "counted"]
"#;

impl Project {
    fn new() -> Self {
        let project = Self { directory: tempfile::tempdir().unwrap() };
        let repository = project.repository();
        std::fs::create_dir(&repository).unwrap();
        let configuration = CONFIGURATION.replace('@', project.path().to_str().unwrap());
        std::fs::write(repository.join("towpath.toml"), configuration).unwrap();
        for arguments in
            [&["init", "--quiet", "-b", "main"][..], &["add", "."], &["commit", "--quiet", "-m", "Quay"]]
        {
            let mut git = Command::new("git");
            git.arg("-C").arg(&repository).args(["-c", "user.name=a", "-c", "user.email=a@localhost"]);
            assert!(git.args(arguments).status().unwrap().success());
        }
        project
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.path().join(name), "").unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_towpath")), arguments)
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.repository()).args(arguments).stdin(Stdio::null());
        command.env("TOWPATH_STATE_DIR", self.path().join("state"));
        command.env("TOWPATH_CACHE_DIR", self.path().join("cache"));
        command.env_remove("TOWPATH_ATTEMPT");
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn engine(&self) -> Value {
        serde_json::from_str(&self.run(&["engine", "status", "--json"]).1).unwrap()
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "--json"]).1).unwrap()
    }

    /// Waits until a step of the only open run is in a phase.
    fn wait_for(&self, step: &str, phase: &str) {
        wait_until(&format!("{step} is {phase}"), || {
            self.status()["runs"][0]["steps"][step]["phase"]["kind"] == phase
        });
    }

    /// How often the counted step ran, as seen from outside.
    fn count(&self) -> usize {
        std::fs::read_to_string(self.path().join("count")).unwrap_or_default().lines().count()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.touch("gate");
        self.run(&["engine", "stop", "--force"]);
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "for a minute it was not so that {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

/// The first line of a child's output, byte by byte: the rest is left for [`ending`].
fn first_line(child: &mut Child) -> String {
    let output = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

fn ending(child: Child) -> (i32, String, String) {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_run_is_left_with_a_word_and_come_back_to() {
    for name in ["INT", "HUP", "TERM"] {
        let project = Project::new();
        let viewer = project.start(&["run"]);
        project.wait_for("gate", "running");
        signal(viewer.id(), name);
        let (code, _, err) = ending(viewer);
        assert_eq!(code, 130, "{err}");
        assert!(err.contains("run 1 goes on") && err.contains("towpath run --commit"), "{err}");
        project.wait_for("gate", "running");

        let mut second = project.start(&["run"]);
        let mut third = project.start(&["run", "--json"]);
        // Once they have said so they watch: the run may end now.
        assert!(first_line(&mut second).contains("run 1 walks this commit already"));
        assert!(first_line(&mut third).contains("\"watching\""));
        project.touch("gate");
        let (code, out, err) = ending(second);
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("run 1 passed") && !out.contains("run 2"), "{out}");
        let (code, out, _) = ending(third);
        let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
        assert_eq!(code, 0);
        assert_eq!((&last["kind"], &last["run"], &last["exit"]), (&"result".into(), &1.into(), &0.into()));
        assert_eq!(project.count(), 1);
    }
}

#[test]
fn an_engine_that_is_killed_is_replaced_under_the_viewer_and_nothing_runs_twice() {
    let project = Project::new();
    let viewer = project.start(&["run"]);
    project.wait_for("gate", "running");
    project.wait_for("counted", "passed");
    let pid = u32::try_from(project.engine()["pid"].as_u64().unwrap()).unwrap();
    signal(pid, "KILL");
    wait_until("another engine runs", || {
        project.engine()["pid"].as_u64().is_some_and(|now| now != u64::from(pid))
    });
    project.touch("gate");
    let (code, out, err) = ending(viewer);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("the engine was started anew"), "{out}");
    assert_eq!(out.matches("counted passed").count(), 1, "{out}");
    assert_eq!(project.count(), 1);
    let (code, out, _) = project.run(&["verify"]);
    assert!(code == 0 && out.starts_with("the chain holds"), "{out}");
}

#[test]
fn an_engine_goes_on_when_its_file_is_replaced() {
    let project = Project::new();
    project.touch("gate");
    project.touch("broken");
    let program = project.path().join("towpath");
    std::fs::copy(env!("CARGO_BIN_EXE_towpath"), &program).unwrap();
    let before = project.command_of(&program, &["run"]).output().unwrap();
    assert_eq!(before.status.code(), Some(1), "{before:?}");
    let engine = project.engine()["pid"].clone();

    // As an installer does it: the old file is gone, a new one has its name.
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, "another version").unwrap();
    std::fs::remove_file(project.path().join("broken")).unwrap();
    assert_eq!(project.run(&["retry", "1", "counted"]).0, 0);
    wait_until("the run has passed", || project.run(&["history"]).1.contains("passed"));
    assert!(engine.is_number() && project.engine()["pid"] == engine, "the same engine did it");
}

#[test]
fn a_failed_step_is_told_logged_and_retried() {
    let project = Project::new();
    project.touch("gate");
    project.touch("broken");
    let (code, out, _) = project.run(&["run"]);
    assert_eq!(code, 1);
    assert!(out.contains("counted failed") && out.contains("run 1 failed"), "{out}");
    assert!(!out.contains('\x1b'), "no colours where there is no terminal: {out:?}");

    let (code, out, _) = project.run(&["logs"]);
    let lines: Vec<&str> =
        out.lines().filter_map(|line| line.split_once(' ').map(|(_, text)| text)).collect();
    assert!(code == 0 && lines.contains(&"one") && lines.contains(&"two"), "{out:?}");
    let (code, _, err) = project.run(&["logs", "1", "counted", "--attempt", "7"]);
    assert!(code == 2 && err.contains("was tried 1 times"), "{err}");

    let (code, _, err) = project.run(&["ack", "1", "counted", "--reason", "because"]);
    assert!(code == 3 && err.contains("a failure cannot be acknowledged"), "{err}");

    std::fs::remove_file(project.path().join("broken")).unwrap();
    let (code, out, _) = project.run(&["retry", "1", "counted"]);
    assert!(code == 0 && out.contains("towpath logs 1 counted --follow"), "{out}");
    assert_eq!(project.run(&["logs", "1", "counted", "--follow"]).0, 0);
    wait_until("the run has passed", || project.run(&["history"]).1.contains("passed"));
    assert_eq!(project.count(), 2);
    let (_, out, _) = project.run(&["history", "--json"]);
    let row: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!((&row["kind"], &row["run"]), (&"run".into(), &1.into()));
}

#[test]
fn a_log_is_followed_until_its_attempt_has_ended() {
    let project = Project::new();
    let viewer = project.start(&["run", "--plain"]);
    project.wait_for("gate", "running");
    let follower = project.start(&["logs", "1", "gate", "--follow", "--json"]);
    project.touch("gate");
    let (code, out, err) = ending(follower);
    assert_eq!(code, 0, "{err}");
    let texts: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(texts.iter().any(|line| line["kind"] == "log" && line["text"] == "waiting"), "{out}");
    assert_eq!(ending(viewer).0, 0);
}

#[test]
fn a_cancelled_run_and_a_mistake_in_the_commit_have_their_codes() {
    let project = Project::new();
    let viewer = project.start(&["run"]);
    project.wait_for("gate", "running");
    let (code, _, err) = project.run(&["engine", "stop"]);
    assert!(code == 3 && err.contains("under way"), "{err}");
    assert_eq!(project.run(&["cancel", "1", "--now"]).0, 0);
    let (code, out, _) = ending(viewer);
    assert!(code == 1 && out.contains("run 1 was cancelled"), "{out}");
    assert_eq!(project.run(&["cancel", "1"]).0, 3);
    assert_eq!(project.run(&["cancel", "9"]).0, 2);
    let (code, _, err) = project.run(&["run", "--commit", "no-such-branch"]);
    assert!(code == 2 && err.contains("no-such-branch"), "{err}");
    let (code, out, _) = project.run(&["run", "--until", "lasst"]);
    assert!(code == 2 && out.contains("lasst"), "{out}");
    let (code, out, _) = project.run(&["engine", "stop"]);
    assert!(code == 0 && out.contains("has ended"), "{out}");
    assert_eq!(project.engine()["running"], false);
}

#[test]
fn a_reader_that_leaves_does_not_stop_the_run() {
    let project = Project::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = project.command(&["run"]).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(130), ""));
    project.wait_for("gate", "running");
}

#[test]
fn an_environment_that_is_not_there_is_the_askers_mistake_whatever_is_asked() {
    let project = Project::new();
    let cases: [&[&str]; 9] = [
        &["plan", "production"],
        &["plan", "production", "--release", "3"],
        &["promote", "production", "--release", "3"],
        &["rollback", "production"],
        &["redeploy", "production"],
        &["hold", "production"],
        &["go", "production", "--reason", "x"],
        &["leave", "production", "--confirm", "production", "--reason", "x"],
        &["logs", "production"],
    ];
    for arguments in cases {
        let (code, out, err) = project.run(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains("There is no environment \"production\"."), "{arguments:?}: {err}");
        assert!(err.contains("towpath.toml names no environment."), "{arguments:?}: {err}");
    }
    assert_eq!(project.run(&["envs"]), (0, "towpath.toml names no environment\n".to_owned(), String::new()));
    assert_eq!(project.run(&["environments", "--json"]), (0, String::new(), String::new()));
    let (code, out, _) = project.run(&["plan", "production", "--json"]);
    let error: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &error["kind"], &error["exit"]), (2, &"error".into(), &2.into()));
}
