//! A repository, an attempt, and patience.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use towpath::domain::command::CommitFacts;
use towpath::domain::ids::{AttemptKey, CommitId, Owner, RunId, StepId};
use towpath::domain::plan::{Exec, Setting, Step, Work};
use towpath::domain::project::{Judge, Place, ProjectKind, Service};
use towpath::domain::time::{Millis, Timestamp};
use towpath::runtime::attempt::{self, Report, Spec};
use towpath::runtime::environment;
use towpath::store::segment::Reader;

/// This program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_towpath"))
}

/// One attempt at one step of a small project.
pub(crate) struct Stage {
    _temporary: tempfile::TempDir,
    /// Beside everything; commands find it in `$TOWPATH_TEST`.
    pub(crate) base: PathBuf,
    /// The attempt's directory.
    pub(crate) dir: PathBuf,
    /// What is asked.
    pub(crate) spec: Spec,
}

impl Stage {
    /// An attempt that runs this command line.
    pub(crate) fn new(run: &str) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(temporary.path()).unwrap();
        let commit = repository(&base);
        let setting = Setting {
            project: "demo".into(),
            kind: ProjectKind::Plain,
            commit: commit.clone(),
            root: ".".into(),
            python: None,
            settings: None,
            env: [("TOWPATH_TEST".to_owned(), base.display().to_string())].into(),
            services: Vec::new(),
        };
        let step = Step {
            id: "check".into(),
            group: "check".into(),
            needs: Vec::new(),
            work: Work::Exec(Exec { setting, run: run.into(), place: Place::Source, judge: Judge::ExitCode }),
            timeout: Millis::minutes(5),
            retries: 0,
            skip: None,
        };
        let spec = Spec {
            v: attempt::VERSION,
            key: AttemptKey { owner: Owner::Run(RunId(1)), step: StepId::from("check"), attempt: 1 },
            step,
            commit: CommitFacts {
                id: commit,
                subject: "First".into(),
                author: "A".into(),
                authored: Timestamp(0),
                tags: Vec::new(),
                branches: Vec::new(),
            },
            inputs: BTreeMap::new(),
            mirror: base.join("repository/.git"),
            home: base.join("repository"),
            artifacts: base.join("artifacts"),
            cache: base.join("cache"),
            redact: Vec::new(),
            deploy: None,
            env: environment::allowed(std::env::vars()),
        };
        Self { _temporary: temporary, dir: base.join("runs/1/check/1"), base, spec }
    }

    /// With another setting.
    pub(crate) fn setting(mut self, change: impl FnOnce(&mut Setting)) -> Self {
        if let Work::Exec(exec) = &mut self.spec.step.work {
            change(&mut exec.setting);
        }
        self
    }

    /// With PostgreSQL beside it.
    pub(crate) fn with_postgres(self) -> Self {
        self.setting(|setting| setting.services.push(Service::Postgres))
    }

    /// Written down.
    pub(crate) fn prepared(self) -> Self {
        attempt::prepare(&self.dir, &self.spec).unwrap();
        self
    }

    /// Carried out to its end.
    pub(crate) fn carried_out(&self) -> Report {
        block_on(attempt::attend(&self.dir, program(), &NONE)).unwrap()
    }

    /// A file beside everything.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Its text; empty where there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Waits until a command has written a line into it.
    pub(crate) fn wait_for(&self, name: &str) -> String {
        wait_until(name, || self.text(name).ends_with('\n'));
        self.text(name).trim().to_owned()
    }

    /// The worker's process id.
    pub(crate) fn worker(&self) -> i32 {
        let json = std::fs::read(self.dir.join("started.json")).unwrap();
        let started: serde_json::Value = serde_json::from_slice(&json).unwrap();
        i32::try_from(started["worker"]["pid"].as_i64().unwrap()).unwrap()
    }

    /// The whole log, as it lies on disk.
    pub(crate) fn log(&self) -> Vec<String> {
        let reader = Reader::open(&self.dir.join("log")).unwrap();
        reader.lines(0..reader.end()).unwrap().into_iter().map(|line| line.text).collect()
    }

    /// Whether a line of the log is this.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.log().iter().any(|line| line.contains(text))
    }
}

/// Runs a future as an engine would: on a runtime of several threads.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(future)
}

/// Waits for a condition; a minute is for a machine that is busy, not for the condition.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs (a zombie does not).
pub(crate) fn runs(pid: i32) -> bool {
    towpath::runtime::process::Identity::of(pid).is_some()
}

/// No secrets.
pub(crate) static NONE: BTreeMap<String, String> = BTreeMap::new();

fn repository(base: &Path) -> CommitId {
    let repository = base.join("repository");
    std::fs::create_dir_all(repository.join("service")).unwrap();
    std::fs::write(repository.join("README"), "the commit's\n").unwrap();
    std::fs::write(repository.join("service/name"), "inner\n").unwrap();
    let commit = commit_all(&repository, "First");
    std::fs::write(repository.join("README"), "the working tree's\n").unwrap();
    commit
}

/// Commits everything that lies in a repository, made where it is missing.
pub(crate) fn commit_all(repository: &Path, subject: &str) -> CommitId {
    let git = |arguments: &[&str]| {
        let ended = Command::new("git")
            .current_dir(repository)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", subject]);
    CommitId(git(&["rev-parse", "HEAD"]))
}
