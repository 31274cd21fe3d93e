//! What a project's configuration means, after defaults and presets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ids::{EnvironmentName, StepId};
use super::time::Millis;

/// Which presets a project gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectKind {
    /// A Django project: the preset detects its checks, its build and its tests.
    Django,
    /// Anything else: only the stages that the configuration names.
    Plain,
}

/// A project as one commit describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Short name; part of every derived name. Lower-case letters, digits and `-`.
    pub name: String,
    /// Which presets apply.
    pub kind: ProjectKind,
    /// The directory of the project inside the repository, `.` for its root (a monorepo's subfolder otherwise).
    pub root: String,
    /// The interpreter that is part of the artifact's identity, e.g. `3.12`; `None` takes `python3` and says so.
    pub python: Option<String>,
    /// Django's settings module for production-like commands; `None` takes what `manage.py` sets.
    pub settings: Option<String>,
    /// How runs are started and bounded.
    pub pipeline: Pipeline,
    /// How the artifact is built.
    pub artifact: ArtifactSettings,
    /// What the pipeline does, in the order of the configuration; presets first.
    pub stages: Vec<Stage>,
    /// Where releases go, by name.
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// How runs are started and bounded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// The followed branch; `None` follows none.
    pub branch: Option<String>,
    /// How often the followed branch is looked at.
    pub poll: Millis,
    /// Runs at once; the rest queue. At least 1.
    pub runs: u32,
    /// Steps at once in a run. At least 1.
    pub jobs: u32,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self { branch: None, poll: Millis::seconds(5), runs: 1, jobs: 2 }
    }
}

/// How the artifact is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactSettings {
    /// Whether `collectstatic` runs in the build (Django, where `STATIC_ROOT` is set).
    pub collectstatic: bool,
    /// Environment of the build, throw-away values only.
    pub env: BTreeMap<String, String>,
}

impl Default for ArtifactSettings {
    fn default() -> Self {
        Self { collectstatic: true, env: BTreeMap::new() }
    }
}

/// One step of the pipeline as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, unique in the project.
    pub name: StepId,
    /// The heading it stands under: `lint`, `security`, `test`. Its own name when it stands alone.
    pub group: String,
    /// What must have ended well (or be skipped, or inconclusive) before it starts.
    pub needs: Vec<StepId>,
    /// What it does.
    pub work: StageWork,
    /// What runs beside it and is thrown away afterwards.
    pub services: Vec<Service>,
    /// Environment variables of the step; never secrets.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Millis,
    /// How often it is tried again by itself after a failure.
    pub retries: u32,
    /// For which commits it runs.
    pub when: When,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StageWork {
    /// Install the locked dependencies, development ones included, into a cached environment.
    Install,
    /// Run a command line through `sh -c` and judge how it ended.
    Exec {
        /// The command line.
        run: String,
        /// Where it runs.
        place: Place,
        /// How its end is read.
        judge: Judge,
    },
    /// Build the candidate artifact.
    Candidate,
    /// Introspect the candidate's migrations: leaves, hashes, drift told apart from a crash.
    Migrations,
    /// Apply the whole migration plan to an empty database and start the application on it.
    MigrateEmpty,
}

/// Where a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a checkout of the commit, with the installed development environment first on `PATH` where there is one.
    Source,
    /// In a copy of the candidate's tree, with the candidate's own packages, development ones in an overlay.
    Candidate,
}

/// How the end of a command is read. Most tools say it with their exit code; some need their output read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// 0 is a pass, anything else a failure.
    ExitCode,
    /// pip-audit: 0 with packages that could not be audited is inconclusive.
    PipAudit,
    /// detect-secrets: always exits 0; what it found is in its JSON.
    DetectSecrets,
    /// Bandit: 1 is issues found, 2 that it could not run.
    Bandit,
    /// mypy: 1 is type errors, 2 that it could not run.
    Mypy,
    /// Ruff: 1 is violations, 2 that it could not run.
    Ruff,
    /// Black: 1 is files it would change, 123 that it could not run.
    Black,
    /// pytest: 5 is that no test was collected.
    Pytest,
    /// `makemigrations --check`: drift told apart from a crash.
    Drift,
}

/// What runs beside a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A throw-away PostgreSQL server, empty, on a socket and a port of its own.
    Postgres,
}

/// For which commits a stage runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum When {
    /// Every commit.
    Always,
    /// Only a commit that carries a tag.
    Tag,
    /// Only a commit on this branch.
    Branch(String),
}

/// Where releases go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The environment whose proof it takes; `None` takes any release.
    pub after: Option<EnvironmentName>,
    /// Whether its name must be typed for a promotion.
    pub protected: bool,
    /// How traffic is moved.
    pub strategy: Strategy,
    /// Replicas wanted, by role. The routed role is `web`.
    pub replicas: BTreeMap<String, u32>,
    /// How long the new set is watched before the old one is let go.
    pub bake: Millis,
}

/// Where a secret's value comes from. It is asked for at each use and never kept: not in the journal, not on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// The environment variable of this name, in the process that needs the value.
    Env(String),
    /// The content of this file without its last line end; a relative path is below the operator's working tree.
    File(String),
    /// What this command line prints through `sh -c` in the operator's working tree, without its last line end.
    Command(String),
}

impl SecretSource {
    /// Which sort it is, as the configuration names it: `env`, `file`, `command`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Command(_) => "command",
        }
    }
}

/// How a deployment moves traffic from the old set to the new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "weights")]
pub enum Strategy {
    /// Stop the old set, start the new one: there is downtime.
    Recreate,
    /// Replica by replica.
    Rolling,
    /// A second set, then all traffic at once.
    BlueGreen,
    /// A second set, traffic by these weights (per cent, ascending), then all.
    Canary(Vec<u8>),
}
