//! A project with a state directory of its own, and everything that runs for it: all of it ends with the test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::project;

const LONG: Duration = Duration::from_secs(120);

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) line: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.out.contains(part) || self.err.contains(part), "it does not say {part:?}\n{self}");
        self
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "$ towpath {}\n{}{}[exit code {}]", self.line, self.out, self.err, self.code)
    }
}

/// Everything below a temporary directory.
pub(crate) struct World {
    directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().unwrap()
    }

    /// Where replicas leave a line at each start.
    pub(crate) fn starts(&self) -> PathBuf {
        let path = self.path().join("starts");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The processes of this world: whatever was started with one of its paths.
    fn processes(&self) -> Vec<i32> {
        let path = self.path();
        let root = path.as_os_str().as_encoded_bytes();
        let own = i32::try_from(std::process::id()).unwrap();
        let names = |file: PathBuf| {
            let read = std::fs::read(file).unwrap_or_default();
            read.windows(root.len()).any(|part| part == root)
        };
        // nginx's workers write their title over both; their logs stay open.
        let opened = |directory: PathBuf| {
            let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
            files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.starts_with(&path))
        };
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let of = Path::new("/proc").join(pid.to_string());
            let is_ours = || names(of.join("cmdline")) || names(of.join("environ")) || opened(of.join("fd"));
            *pid != own && is_alive(*pid) && is_ours()
        })
        .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Until none is left: a keeper that is killed a moment too late has started its replica anew.
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() || began.elapsed() > LONG {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A clone of the project, with its own engine.
pub(crate) struct Clone<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: &'static str,
    environments: Mutex<BTreeMap<String, String>>,
}

impl<'a> Clone<'a> {
    /// A repository with one commit; nothing was released yet.
    pub(crate) fn new(world: &'a World, name: &'static str) -> Self {
        let clone = Self { world, name, environments: Mutex::default() };
        std::fs::create_dir(clone.repository()).unwrap();
        project::write(&clone.repository());
        clone.write(&BTreeMap::new());
        clone.git(&["init", "--quiet", "-b", "main"]);
        clone.commit("A tea shop");
        clone
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.world.path().join(self.name)
    }

    fn state_root(&self) -> PathBuf {
        self.world.path().join(format!("{}-state", self.name))
    }

    fn state(&self) -> Option<PathBuf> {
        Some(std::fs::read_dir(self.state_root()).ok()?.next()?.ok()?.path())
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        git.arg("-C").arg(self.repository()).args(["-c", "user.name=a", "-c", "user.email=a@localhost"]);
        assert!(git.args(arguments).status().unwrap().success());
    }

    pub(crate) fn commit(&self, subject: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", subject]);
    }

    fn write(&self, environments: &BTreeMap<String, String>) {
        let texts: Vec<&str> = environments.values().map(String::as_str).collect();
        let text = format!("{}{}", project::roles(&self.world.path()).trim_start(), texts.concat());
        let next = self.repository().join(".towpath.toml.next");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(next, self.repository().join("towpath.toml")).unwrap();
    }

    /// Configures an environment anew: the lines of its table, then those of `env`.
    pub(crate) fn environment(&self, name: &str, lines: &str, env: &[(&str, &str)]) {
        let root = self.world.path();
        let mut text = format!("\n[environment.{name}]\n{lines}\n[environment.{name}.env]\n");
        let database = root.join(format!("{name}.sqlite3"));
        let starts = self.world.starts();
        let mut all = BTreeMap::from([
            ("DATABASE", database.to_str().unwrap().to_owned()),
            ("STARTS", starts.to_str().unwrap().to_owned()),
        ]);
        all.extend(env.iter().map(|(name, value)| (*name, (*value).to_owned())));
        for (variable, value) in all {
            text.push_str(&format!("{variable} = \"{value}\"\n"));
        }
        let mut environments = self.environments.lock().unwrap();
        environments.insert(name.to_owned(), text);
        self.write(&environments);
    }

    pub(crate) fn environ(&self) -> [(&'static str, PathBuf); 2] {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("deploy-cache");
        [("TOWPATH_STATE_DIR", self.state_root()), ("TOWPATH_CACHE_DIR", cache)]
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
        command.current_dir(self.repository()).args(arguments).stdin(Stdio::null());
        command.envs(self.environ()).env_remove("TOWPATH_ATTEMPT").env_remove("NOT_THERE");
        command
    }

    pub(crate) fn towpath(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said {
            line: arguments.join(" "),
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The six digits that name what a promotion would do now.
    pub(crate) fn digits(&self, environment: &str) -> String {
        let said = self.towpath(&["plan", environment, "--release", "1", "--json"]);
        let json: Value = serde_json::from_str(said.out.lines().last().unwrap()).unwrap();
        let digest = json["preview"]["plan"]["digest"].as_str().expect("a digest");
        digest[..6].to_owned()
    }

    /// The process that holds the engine's lock, by what it wrote there.
    pub(crate) fn engine(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.state()?.join("engine.lock")).ok()?;
        let pid: i32 = text.strip_prefix("process ")?.split(',').next()?.parse().ok()?;
        is_alive(pid).then_some(pid)
    }

    pub(crate) fn kill_engine(&self) {
        let engine = self.engine().expect("an engine");
        kill(Pid::from_raw(engine), Signal::SIGKILL).unwrap();
        wait_for("the engine is gone", || !is_alive(engine));
    }

    /// The journal's events, read beside the engine.
    pub(crate) fn journal(&self) -> Vec<Value> {
        let Some(state) = self.state() else { return Vec::new() };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(journal) = Connection::open_with_flags(state.join("journal.db"), flags) else {
            return Vec::new();
        };
        let Ok(mut rows) = journal.prepare("SELECT event FROM journal ORDER BY seq") else {
            return Vec::new();
        };
        let found = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
        found.filter_map(|text| serde_json::from_str(&text.ok()?).ok()).collect()
    }

    /// The deployments of an environment, oldest first.
    pub(crate) fn deployments(&self, environment: &str) -> Vec<u64> {
        let of = |event: &Value| event["type"] == "deployment_created" && event["environment"] == environment;
        let journal = self.journal();
        journal.iter().filter(|event| of(event)).filter_map(|event| event["deployment"].as_u64()).collect()
    }

    /// The newest deployment of an environment.
    pub(crate) fn newest(&self, environment: &str) -> u64 {
        *self.deployments(environment).last().expect("a deployment")
    }

    /// The events of a kind about a deployment.
    pub(crate) fn events(&self, kind: &str, deployment: u64) -> Vec<Value> {
        let mut journal = self.journal();
        journal.retain(|event| {
            event["type"] == kind
                && (event["deployment"] == deployment || event["key"]["owner"]["deployment"] == deployment)
        });
        journal
    }

    /// How a deployment has ended.
    pub(crate) fn ending(&self, deployment: u64) -> String {
        let finished = self.events("deployment_finished", deployment);
        finished.last().map_or_else(String::new, |event| event["ending"].to_string())
    }

    /// Whether a step of a deployment has begun.
    pub(crate) fn has_begun(&self, deployment: u64, step: &str) -> bool {
        self.events("step_started", deployment).iter().any(|event| event["key"]["step"] == step)
    }

    pub(crate) fn replica(&self, environment: &str, deployment: u64, role: &str, index: u32) -> PathBuf {
        let state = self.state().expect("a state directory");
        state
            .join("environments")
            .join(environment)
            .join("replicas")
            .join(format!("d{deployment}-{role}-{index}"))
    }

    /// How often a replica's own command line was begun, counted by itself.
    pub(crate) fn started(&self, environment: &str, deployment: u64, index: u32) -> usize {
        let name = format!("shop-{environment}-web-d{deployment}-{index}");
        let text = std::fs::read_to_string(self.world.starts().join(name)).unwrap_or_default();
        text.lines().count()
    }

    /// Never two of the only one: beginnings and ends take turns.
    pub(crate) fn beat_was_never_two(&self, environment: &str) {
        let text = std::fs::read_to_string(self.world.starts().join(format!("beat-{environment}"))).unwrap();
        let mut runs: Option<&str> = None;
        for line in text.lines() {
            let (word, pid) = line.split_once(' ').unwrap();
            match word {
                "begin" => assert_eq!(runs.replace(pid), None, "two at once:\n{text}"),
                _ => assert_eq!(runs.take(), Some(pid), "{text}"),
            }
        }
        assert!(runs.is_some(), "the last one does not run:\n{text}");
    }
}

/// The processes that carry a replica's mark.
pub(crate) fn members(replica: &Path) -> Vec<i32> {
    let mark = [b"TOWPATH_REPLICA_DIR=", replica.as_os_str().as_encoded_bytes()].concat();
    let carries = |pid: i32| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| entry == mark)
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_alive(*pid) && carries(*pid)).collect()
}

pub(crate) fn is_alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap_or(0)..].starts_with(") Z"))
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < LONG, "for two minutes it was not so that {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
