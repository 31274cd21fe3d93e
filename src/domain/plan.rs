//! Plans: a DAG of steps with a digest. The operator confirms a plan; the engine executes exactly that plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::finding::Finding;
use super::ids::{CommitId, DeploymentId, EnvironmentName, PlanDigest, ReleaseNumber, StepId};
use super::project::{ArtifactSettings, Host, Judge, Place, ProjectKind, Role, Service};
use super::release::Artifact;
use super::time::{Millis, Timestamp};

/// What a run or a deployment will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What was looked at when it was made, part by part.
    pub parts: PlanParts,
    /// SHA-256 over the parts.
    pub digest: PlanDigest,
    /// The steps, in the order they are drawn; every `needs` names an earlier one.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Makes a plan and computes its digest; the steps' part is filled in here.
    #[must_use]
    pub fn new(mut parts: PlanParts, steps: Vec<Step>) -> Self {
        parts.steps = hash_of(&steps);
        let digest = PlanDigest(hash_of(&parts));
        Self { parts, digest, steps }
    }

    /// The step of that name.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| &step.id == id)
    }

    /// Every step that stands, directly or not, on `id`.
    #[must_use]
    pub fn dependents(&self, id: &StepId) -> BTreeSet<&StepId> {
        let mut found: BTreeSet<&StepId> = BTreeSet::new();
        for step in &self.steps {
            if step.needs.iter().any(|need| need == id || found.contains(need)) {
                found.insert(&step.id);
            }
        }
        found
    }
}

/// Everything a plan's digest stands for. Nothing in it moves by itself (no age, no latency, no count).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanParts {
    /// The commit (a run) or the release's artifact id (a deployment).
    pub artifact: String,
    /// Hash of the configuration it was made from.
    pub config: String,
    /// Hash of the ordered steps.
    pub steps: String,
    /// Hash of the migrations' names with their content hashes.
    pub migrations: String,
    /// The deployment that is live where it goes.
    pub live: Option<DeploymentId>,
    /// Hash of finding ids with their acknowledgements.
    pub findings: String,
}

impl PlanParts {
    /// In which parts two plans differ, in words; empty when they are the same.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = [
            (self.artifact == other.artifact, "the artifact"),
            (self.config == other.config, "the configuration"),
            (self.steps == other.steps, "the steps"),
            (self.migrations == other.migrations, "the migrations"),
            (self.live == other.live, "what is live"),
            (self.findings == other.findings, "the findings or their acknowledgements"),
        ];
        parts.into_iter().filter(|(same, _)| !same).map(|(_, word)| word).collect()
    }
}

/// SHA-256 of a value's JSON, hexadecimal. Maps are sorted, so equal values hash equally.
#[must_use]
pub fn hash_of<T: Serialize>(value: &T) -> String {
    // Domain values have string keys and no floats: their JSON cannot fail.
    let json = serde_json::to_vec(value).unwrap_or_default();
    hex(&Sha256::digest(json))
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, unique in the plan.
    pub id: StepId,
    /// The heading it stands under on screen.
    pub group: String,
    /// What must have ended well before it starts.
    pub needs: Vec<StepId>,
    /// What it does.
    pub work: Work,
    /// How long one attempt may take; no step is without.
    pub timeout: Millis,
    /// How often it is tried again by itself.
    pub retries: u32,
    /// `Some(why)` when this commit skips it.
    pub skip: Option<String>,
}

/// One piece of outside work. Fully said: nothing is looked up when it runs but what needed steps put out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "with")]
pub enum Work {
    /// Install the locked dependencies into a cached environment.
    Install(Setting),
    /// Run a command line and judge how it ended.
    Exec(Exec),
    /// Build the candidate artifact.
    Build(Build),
    /// Introspect the candidate's migrations.
    Inspect(Setting),
    /// Apply every migration to an empty database and start the application on it.
    MigrateEmpty(Exec),
    /// Bring the artifact to the environment's hosts and verify its id there.
    Fetch(Target),
    /// Apply the release's migrations, once.
    Migrate(Target),
    /// Start replicas.
    Start(Replicas),
    /// Wait until replicas answer well.
    AwaitHealthy(Replicas),
    /// Give the new set this share of the traffic.
    Shift {
        /// Where.
        target: Target,
        /// Per cent of the traffic that goes to the set.
        weight: u8,
        /// The deployment whose set it is; `None` is the deployment that the plan belongs to.
        of: Option<DeploymentId>,
        /// Who has which share of the traffic afterwards; together 100.
        #[serde(default)]
        shares: Vec<Share>,
    },
    /// Watch the new set and judge it.
    Bake {
        /// Where.
        target: Target,
        /// For how long.
        window: Millis,
        /// Per cent of the traffic that the new set has meanwhile.
        #[serde(default)]
        weight: u8,
        /// The deployments whose sets it is compared with.
        #[serde(default)]
        against: Vec<DeploymentId>,
    },
    /// Run one of the project's own command lines.
    Hook(Hook),
    /// Let requests in flight end.
    Drain(Replicas),
    /// Stop replicas.
    Stop(Replicas),
    /// Ask what is really live and whether it is the wanted one.
    Verify(Target),
}

impl Work {
    /// Whether the outside world is changed by it in a way that a failure must look at.
    #[must_use]
    pub const fn mutates_environment(&self) -> bool {
        matches!(
            self,
            Self::Migrate(_)
                | Self::Start(_)
                | Self::Shift { .. }
                | Self::Drain(_)
                | Self::Stop(_)
                | Self::Hook(_)
        )
    }
}

/// What every piece of pipeline work needs to know of its project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The project's name.
    pub project: String,
    /// Which presets apply.
    pub kind: ProjectKind,
    /// The commit.
    pub commit: CommitId,
    /// The project's directory inside the repository, `.` for its root.
    pub root: String,
    /// The wanted interpreter, e.g. `3.12`.
    pub python: Option<String>,
    /// Django's settings module; `None` takes what `manage.py` sets.
    pub settings: Option<String>,
    /// Environment variables of the step.
    pub env: BTreeMap<String, String>,
    /// What runs beside it.
    pub services: Vec<Service>,
}

/// A command line to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// Its project.
    pub setting: Setting,
    /// The command line, for `sh -c`. Empty where the work has its own.
    pub run: String,
    /// Where it runs.
    pub place: Place,
    /// How its end is read.
    pub judge: Judge,
}

/// A candidate to build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its project.
    pub setting: Setting,
    /// How.
    pub artifact: ArtifactSettings,
    /// What a release of it runs; it is part of the release.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// A release going to an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: ReleaseNumber,
    /// Its artifact.
    pub artifact: Artifact,
}

/// Replicas of one role, of the new set or of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// Of which release, where.
    pub target: Target,
    /// Which role.
    pub role: String,
    /// Which of the role's replicas: first.
    pub first: u32,
    /// How many from the first on.
    pub count: u32,
    /// The deployment whose replicas they are; `None` is the deployment that the plan belongs to.
    pub of: Option<DeploymentId>,
}

/// Some of the routed replicas, and what they get of the traffic together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Who.
    pub replicas: Replicas,
    /// Per cent of all traffic, for these together.
    pub weight: u8,
}

/// One of the project's own command lines around a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Of which release, where.
    pub target: Target,
    /// When.
    pub moment: Moment,
    /// The command line, for `sh -c`, in the release's directory.
    pub run: String,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything is touched.
    Before,
    /// After the migrations.
    AfterMigrate,
    /// Once all of the traffic is at the new set.
    Smoke,
    /// After the deployment was verified.
    After,
}

/// How one attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Verdict {
    /// It did what it should.
    Passed,
    /// It did not, and here is why.
    Failed(Cause),
    /// It could not do its work: neither a pass nor a failure. A person says what it is worth.
    Inconclusive {
        /// What could not be checked, and why.
        reason: String,
    },
    /// It was stopped by a cancel.
    Cancelled,
}

/// Why a step failed: enough to act on without opening the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What happened, one line: `pytest: 2 failed, 40 passed`.
    pub summary: String,
    /// What was expected, e.g. `exit code 0`.
    pub expected: String,
    /// What was measured, e.g. `exit code 1 after 12.3s`.
    pub measured: String,
    /// The command's exit code, where it had one.
    pub exit_code: Option<i32>,
    /// The last lines of its output, oldest first, sanitised and redacted.
    pub last_lines: Vec<String>,
    /// What to do about it; empty when nothing general can be said.
    pub cure: String,
}

/// What an attempt leaves behind for later steps and for the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Short facts for the step's row, e.g. `locked`, `cache hit`, `42 passed`, `coverage 91 %`.
    pub facts: Vec<String>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// Values that later steps need, by name (`venv`, `python`, `freeze`).
    pub values: BTreeMap<String, String>,
    /// The artifact that it built.
    pub artifact: Option<Artifact>,
    /// The migrations that it found.
    pub migrations: Vec<super::release::MigrationRef>,
    /// The directory kept for a look, when it failed.
    pub kept: Option<Kept>,
    /// The last lines of its output, oldest first, when it did not pass.
    #[serde(default)]
    pub tail: Vec<String>,
}

/// A failed step's working directory or container, kept so that a person can look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The directory; inside of the container where there is one.
    pub directory: String,
    /// The environment its command had.
    pub env: BTreeMap<String, String>,
    /// The container that it ran in, with what was beside it.
    #[serde(default)]
    pub container: Option<KeptContainer>,
}

/// A failed step's containers, kept for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptContainer {
    /// The engine that they are on.
    pub host: Host,
    /// An image of the step's container as it ended, to look around in: its id.
    pub image: String,
    /// The container's own id.
    pub id: String,
    /// Their network; its services still run. Empty where nothing was beside it: the engine's own.
    pub network: String,
    /// When they are removed.
    pub until: Timestamp,
}
