//! The real thing: Django projects as a user makes them, real locks, real installers, real interpreters.

mod locks;
mod pipeline;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::domain::ids::{CommitId, StepId};
use crate::domain::plan::{Build, Cause, Exec, Output, Setting, Verdict};
use crate::domain::project::{ArtifactSettings, Judge, Place, ProjectKind};

use crate::domain::command::CommitFacts;
use crate::domain::ids::{AttemptKey, Owner, RunId};
use crate::domain::plan::{Step, Work};
use crate::domain::time::Millis;
use crate::runtime::attempt::{Spec, VERSION};
use crate::runtime::environment::allowed;
use crate::runtime::workbench::Workbench;

/// Tools that take long to install are shared by the tests and kept between runs, below `target/`.
fn kept() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python-tests");
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Whether pip reaches an index; a test that needs one says loudly that it did not run.
fn index_is_there(test: &str) -> bool {
    static THERE: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    let there = *THERE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let status = Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
            .arg(dir.path())
            .arg("sqlparse==0.5.1")
            .status();
        status.is_ok_and(|status| status.success())
    });
    if !there {
        eprintln!("NOT TESTED: {test} needs a package index, and pip reaches none from here.");
    }
    there
}

fn sh(directory: &Path, line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).current_dir(directory).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// A virtual environment with some packages, made once; returns its `bin`.
fn tool(name: &str, packages: &str) -> PathBuf {
    let venv = kept().join(name);
    let lock = std::fs::File::create(venv.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if !venv.join("done").exists() {
        sh(
            &kept(),
            &format!(
                "rm -rf {name} && python3 -m venv {name} && {name}/bin/pip install -q {packages} && touch {name}/done"
            ),
        );
    }
    venv.join("bin")
}

/// A user's repository, and Towpath's directories beside it.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    /// `django-admin startproject shop`, with an app that has a model and its migration.
    fn django(version: &str) -> Self {
        let bin = tool(&format!("django-{version}"), &format!("django=={version}.*"));
        let dir = tempfile::tempdir().unwrap();
        let world = Self { dir };
        std::fs::create_dir_all(world.repository()).unwrap();
        std::fs::create_dir_all(world.cache()).unwrap();
        std::fs::create_dir_all(kept().join("tools")).unwrap();
        std::os::unix::fs::symlink(kept().join("tools"), world.cache().join("tools")).unwrap();
        let (repository, bin) = (world.repository(), bin.display());
        sh(&repository, &format!("git init -q -b main . && {bin}/django-admin startproject shop ."));
        sh(&repository, &format!("{bin}/python manage.py startapp books"));
        world.write(
            "books/models.py",
            "from django.db import models\n\n\nclass Book(models.Model):\n    title = models.CharField(max_length=80)\n",
        );
        let settings =
            world.read("shop/settings.py").replace("INSTALLED_APPS = [", "INSTALLED_APPS = [\n    'books',");
        world.write("shop/settings.py", &format!("{settings}\nSTATIC_ROOT = BASE_DIR / 'staticfiles'\n"));
        sh(
            &repository,
            &format!(
                "{bin}/python manage.py makemigrations -v0 books && rm -rf */__pycache__ */*/__pycache__"
            ),
        );
        world
    }

    fn repository(&self) -> PathBuf {
        self.dir.path().join("repository")
    }
    fn cache(&self) -> PathBuf {
        self.dir.path().join("cache")
    }
    fn write(&self, path: &str, text: &str) {
        let path = self.repository().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.repository().join(path)).unwrap()
    }

    fn commit(&self) -> CommitId {
        let id = "git add -A && git -c user.name=a -c user.email=a@b.example commit -q --allow-empty -m x && git rev-parse HEAD";
        CommitId(sh(&self.repository(), id).trim().to_owned())
    }

    /// A bench for one attempt at a step of that name.
    fn bench(&self, step: &str, work: Work, inputs: &[(&str, &Output)]) -> Workbench {
        let dir = self.dir.path().join("attempts").join(step);
        let _ = std::fs::remove_dir_all(&dir);
        let spec = Spec {
            v: VERSION,
            key: AttemptKey { owner: Owner::Run(RunId(1)), step: step.into(), attempt: 1 },
            step: Step {
                id: step.into(),
                group: step.into(),
                needs: Vec::new(),
                work,
                timeout: Millis::minutes(10),
                retries: 0,
                skip: None,
            },
            commit: commit_facts(),
            inputs: inputs.iter().map(|(step, output)| (StepId::from(*step), (*output).clone())).collect(),
            mirror: self.repository().join(".git"),
            home: self.repository(),
            artifacts: self.dir.path().join("artifacts"),
            cache: self.cache(),
            redact: Vec::new(),
            deploy: None,
            env: allowed(std::env::vars()),
        };
        // Nothing stops these steps.
        let (sender, stopped) = tokio::sync::watch::channel(false);
        std::mem::forget(sender);
        Workbench::new(&dir, spec, stopped).unwrap()
    }

    fn setting(&self, commit: &CommitId) -> Setting {
        Setting {
            project: "shop".into(),
            kind: ProjectKind::Django,
            commit: commit.clone(),
            root: ".".into(),
            python: None,
            settings: None,
            env: BTreeMap::new(),
            services: Vec::new(),
        }
    }

    async fn install(&self, setting: &Setting) -> Result<Output, Cause> {
        let mut bench = self.bench("install", Work::Install(setting.clone()), &[]);
        let done = super::install::run(&mut bench, setting).await.unwrap();
        ended(&bench, done.verdict, done.output)
    }

    async fn build(&self, setting: &Setting, installed: &Output) -> Result<Output, Cause> {
        let build =
            Build { setting: setting.clone(), artifact: ArtifactSettings::default(), roles: BTreeMap::new() };
        let mut bench = self.bench("candidate", Work::Build(build.clone()), &[("install", installed)]);
        let done = super::candidate::run(&mut bench, &build).await.unwrap();
        ended(&bench, done.verdict, done.output)
    }

    async fn inspect(&self, setting: &Setting, installed: &Output, built: &Output) -> Result<Output, Cause> {
        let mut bench = self.bench(
            "inspect",
            Work::Inspect(setting.clone()),
            &[("install", installed), ("candidate", built)],
        );
        let done = super::inspect::run(&mut bench, setting).await.unwrap();
        ended(&bench, done.verdict, done.output)
    }

    async fn migrate(&self, setting: &Setting, installed: &Output, built: &Output) -> Result<Output, Cause> {
        let exec = exec(setting, "");
        let mut bench = self.bench(
            "migrate",
            Work::MigrateEmpty(exec.clone()),
            &[("install", installed), ("candidate", built)],
        );
        let done = super::migrate_empty::run(&mut bench, &exec).await.unwrap();
        bench.services.stop(false).await.unwrap();
        ended(&bench, done.verdict, done.output)
    }
}

fn exec(setting: &Setting, run: &str) -> Exec {
    Exec { setting: setting.clone(), run: run.to_owned(), place: Place::Candidate, judge: Judge::ExitCode }
}

fn commit_facts() -> CommitFacts {
    CommitFacts {
        id: CommitId(String::new()),
        subject: String::new(),
        author: String::new(),
        authored: crate::domain::time::Timestamp(0),
        tags: Vec::new(),
        branches: Vec::new(),
    }
}

#[allow(clippy::result_large_err, reason = "a test's own road")]
fn ended(bench: &Workbench, verdict: Verdict, output: Output) -> Result<Output, Cause> {
    match verdict {
        Verdict::Passed => Ok(output),
        Verdict::Failed(cause) => Err(cause),
        other => panic!("{other:?}; see {}", bench.dir().display()),
    }
}

fn ids(output: &Output) -> Vec<&str> {
    output.findings.iter().map(|finding| finding.id.as_str()).collect()
}
