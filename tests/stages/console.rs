//! A project with its real engine, whose one stage runs in a container with a service beside it and fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::case::{Cleaner, wait_until};
use crate::engines;

/// What the stage writes before it fails: a file in its container, and one on this machine for whoever waits.
const CONFIGURATION: &str = r#"
[project]
name = "@name"
kind = "plain"

[artifact]
runtime = "docker"

[service.beside]
image = "@image"
command = "exec python3 -m http.server 8123"
ready = { tcp = 8123 }

[[stage]]
name = "check"
run = "echo left-behind > written; printf '%s' \"$GREETING\"; exit 3"
in = "image:@image"
services = ["beside"]
needs = []
[stage.env]
GREETING = "ahoy"
STORE = "postgres://app:throwaway@beside:5432/shop"
"#;

/// The project; its engine ends with it, and what it has on the Docker engine goes.
pub(crate) struct Console {
    directory: tempfile::TempDir,
    seconds: u64,
    pub(crate) cleaner: Cleaner,
}

impl Console {
    /// With what fails kept for so many seconds. `None` where there is no Docker.
    pub(crate) fn new(seconds: u64) -> Option<Self> {
        let url = engines::docker()?;
        let image = engines::python_image(&url)?;
        let cleaner = Cleaner::new(&url);
        let console = Self { directory: tempfile::tempdir().unwrap(), seconds, cleaner };
        let repository = console.repository();
        std::fs::create_dir(&repository).unwrap();
        let text = CONFIGURATION.replace("@name", &console.cleaner.project).replace("@image", &image);
        std::fs::write(repository.join("towpath.toml"), text).unwrap();
        std::fs::write(repository.join("Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
        for arguments in
            [&["init", "--quiet", "-b", "main"][..], &["add", "."], &["commit", "--quiet", "-m", "Quay"]]
        {
            let mut git = Command::new("git");
            git.arg("-C").arg(&repository).args(["-c", "user.name=a", "-c", "user.email=a@localhost"]);
            assert!(git.args(arguments).status().unwrap().success());
        }
        Some(console)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path().join("repository")
    }

    /// The variables by which the program finds this project's engine.
    pub(crate) fn env(&self) -> [(&'static str, String); 3] {
        [
            ("TOWPATH_STATE_DIR", self.path().join("state").display().to_string()),
            ("TOWPATH_CACHE_DIR", self.path().join("cache").display().to_string()),
            ("TOWPATH_KEEP_SECONDS", self.seconds.to_string()),
        ]
    }

    /// Runs the program to its end: its exit code and what it said.
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(crate::case::program());
        command.current_dir(self.repository()).args(arguments).stdin(Stdio::null());
        command.envs(self.env()).env_remove("TOWPATH_ATTEMPT");
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        (status.code().unwrap_or(-1), text)
    }

    /// What is kept, as the engine's state has it: how many attempts' things.
    pub(crate) fn kept(&self) -> Vec<String> {
        self.cleaner.left()
    }

    /// Kills the engine without a word.
    pub(crate) fn kill_engine(&self) {
        let said = self.run(&["engine", "status", "--json"]).1;
        let status: serde_json::Value = serde_json::from_str(&said).unwrap();
        let pid = i32::try_from(status["pid"].as_i64().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        wait_until("the engine to be dead", || {
            self.run(&["engine", "status", "--json"]).1.contains("\"running\":false")
        });
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.run(&["engine", "stop", "--force"]);
    }
}
