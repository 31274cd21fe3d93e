//! What a project's configuration means, after defaults and presets.

use std::collections::{BTreeMap, BTreeSet};

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
    /// What stages may have beside them, by name.
    #[serde(default)]
    pub services: BTreeMap<String, ContainerService>,
    /// What a release runs, by name; it travels with the commit.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// Where releases go, by name.
    pub environments: BTreeMap<EnvironmentName, Environment>,
}

/// One sort of process of a release: `web`, `worker`, `beat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The command line, for `sh -c`; `$PORT` is the port that a replica is given.
    pub command: String,
    /// How long a replica that is told to stop may take before it is killed.
    pub stop_timeout: Millis,
    /// How many there may be at once, those of another deployment included; `None` bounds nothing. Only 1 is
    /// supported as a bound.
    pub max: Option<u32>,
    /// The port that it listens at inside of its container, given to it as `$PORT`. A process is given a free one.
    #[serde(default = "container_port")]
    pub port: u16,
    /// What is mounted into its containers: `NAME:/path` (a volume of the host's engine) or `/directory:/path`, either
    /// with `:ro`.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// The port of a role whose configuration names none: the one that Django's and gunicorn's examples use.
pub const CONTAINER_PORT: u16 = 8000;

fn container_port() -> u16 {
    CONTAINER_PORT
}

/// How long a replica may take to stop where its role does not say: as long as gunicorn gives its own requests.
pub const STOP_TIMEOUT: Millis = Millis::seconds(30);

/// The names of the engine's environment variables that secrets are taken from.
///
/// They are given to what asks for the secrets, and to nothing else: no step of a pipeline sees them.
#[must_use]
pub fn secret_variables(project: &Project) -> BTreeSet<String> {
    let secrets = project.environments.values().flat_map(|environment| environment.secrets.values());
    secrets.filter_map(SecretSource::variable).map(ToOwned::to_owned).collect()
}

impl Role {
    /// A role of which any number may run, as long as they like, with nothing mounted.
    #[must_use]
    pub fn new(command: &str) -> Self {
        Self {
            command: command.to_owned(),
            stop_timeout: STOP_TIMEOUT,
            max: None,
            port: CONTAINER_PORT,
            volumes: Vec::new(),
        }
    }

    /// Whether there may never be two, not even during a deployment.
    #[must_use]
    pub const fn is_exclusive(&self) -> bool {
        matches!(self.max, Some(1))
    }
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

/// What an artifact is and what runs it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeKind {
    /// A directory with its own virtual environment, run as processes of the engine's machine.
    #[default]
    Process,
    /// An image, run as containers of one or many Docker engines.
    Docker,
}

/// How an image is built, named and moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSettings {
    /// Its name without a tag, e.g. `registry.example.com/harbor`; the commit's SHA is its tag.
    pub name: String,
    /// The Dockerfile, relative to the project's directory.
    pub dockerfile: String,
    /// The stage of the Dockerfile to build; `None` is its last.
    pub target: Option<String>,
    /// Build arguments; never secrets.
    pub args: BTreeMap<String, String>,
    /// Where the build's secrets come from (`RUN --mount=type=secret,id=NAME`), by id: files or commands. BuildKit alone
    /// has them.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Whether it travels through the registry that its name begins with; otherwise it is streamed from the engine
    /// that built it to each host.
    pub push: bool,
}

/// How the artifact is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactSettings {
    /// The image; `None` on the process runtime.
    #[serde(default)]
    pub image: Option<ImageSettings>,
    /// Whether `collectstatic` runs in the build (Django, where `STATIC_ROOT` is set).
    pub collectstatic: bool,
    /// Environment of the build, throw-away values only.
    pub env: BTreeMap<String, String>,
}

impl ArtifactSettings {
    /// What runs it.
    #[must_use]
    pub const fn runtime(&self) -> RuntimeKind {
        match self.image {
            Some(_) => RuntimeKind::Docker,
            None => RuntimeKind::Process,
        }
    }
}

impl Default for ArtifactSettings {
    fn default() -> Self {
        Self { image: None, collectstatic: true, env: BTreeMap::new() }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a checkout of the commit, with the installed development environment first on `PATH` where there is one.
    Source,
    /// In a copy of the candidate's tree, with the candidate's own packages, development ones in an overlay. Of an
    /// image: in a container of it, development packages in a layer on top that is never pushed.
    Candidate,
    /// In a container of this image, with the commit's files in its working directory.
    Image(String),
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A throw-away PostgreSQL server, empty, on a socket and a port of its own.
    Postgres,
    /// A throw-away container on the step's own network, where its name is its host name.
    Container(ContainerService),
}

impl Service {
    /// Whether it is a PostgreSQL server that the step works with.
    #[must_use]
    pub const fn is_database(&self) -> bool {
        match self {
            Self::Postgres => true,
            Self::Container(service) => matches!(service.ready, Ready::Postgres(_)),
        }
    }
}

/// A container beside a step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerService {
    /// Its name, which is its host name for the step.
    pub name: String,
    /// Its image.
    pub image: String,
    /// Its command line; `None` is the image's own.
    pub command: Option<String>,
    /// Its environment variables; never secrets of anybody's.
    pub env: BTreeMap<String, String>,
    /// How it is found to be ready.
    pub ready: Ready,
}

/// How a service is found to be ready. Asked from inside of its own network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ready {
    /// The image's own `HEALTHCHECK` where it has one; otherwise that it runs.
    Image,
    /// A connection to this port is taken.
    Tcp(u16),
    /// PostgreSQL at this address answers a startup message and takes the user in:
    /// `postgres://USER:PASSWORD@NAME:PORT/DATABASE`.
    Postgres(String),
    /// This command line, run inside of it, ends with 0.
    Command(String),
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
    /// How long the new set is watched with all of the traffic before the old one is let go.
    pub bake: Millis,
    /// How long a canary is watched at each of its weights; `None` is as long as [`bake`](Self::bake).
    #[serde(default)]
    pub canary_bake: Option<Millis>,
    /// Where its visitors ask, e.g. `https://example.com`; a switch is confirmed there.
    #[serde(default)]
    pub url: Option<String>,
    /// How a replica, and the whole, are asked whether they are well.
    #[serde(default)]
    pub health: HealthCheck,
    /// What may go wrong in a bake.
    #[serde(default)]
    pub tolerance: Tolerance,
    /// Command lines that must succeed once all of the traffic is at the new set; `$URL` is the environment's.
    #[serde(default)]
    pub smoke: Vec<String>,
    /// The project's own command lines around a deployment.
    #[serde(default)]
    pub hooks: Hooks,
    /// Environment variables of every process of the environment; never secrets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where its secrets come from, by the variable that takes them. Asked at each use, kept nowhere.
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    /// How long a migration may wait for a lock before it gives up.
    #[serde(default = "lock_timeout")]
    pub lock_timeout: Millis,
    /// Who spreads the traffic.
    #[serde(default)]
    pub router: Router,
    /// The Docker engines it runs on, replicas spread over them in turn; empty on the process runtime.
    #[serde(default)]
    pub hosts: Vec<Host>,
    /// The Docker network that its containers join, where it must be one that is there already; otherwise one is made
    /// on each host.
    #[serde(default)]
    pub network: Option<String>,
}

impl Environment {
    /// How long a canary is watched at each of its weights.
    #[must_use]
    pub fn canary_window(&self) -> Millis {
        self.canary_bake.unwrap_or(self.bake)
    }
}

/// Long enough for a short transaction to end, short enough that nobody queues behind a waiting `ALTER TABLE`.
pub const LOCK_TIMEOUT: Millis = Millis::seconds(5);

fn lock_timeout() -> Millis {
    LOCK_TIMEOUT
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            after: None,
            protected: false,
            strategy: Strategy::Rolling,
            replicas: BTreeMap::new(),
            bake: Millis::minutes(1),
            canary_bake: None,
            url: None,
            health: HealthCheck::default(),
            tolerance: Tolerance::default(),
            smoke: Vec::new(),
            hooks: Hooks::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            lock_timeout: LOCK_TIMEOUT,
            router: Router::None,
            hosts: Vec::new(),
            network: None,
        }
    }
}

/// One Docker engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Host {
    /// How people call it; unique in its environment.
    pub name: String,
    /// Where it answers: `unix:///…`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT]`, `context:NAME`, or `default`, which
    /// is what `DOCKER_HOST` or the current context says, otherwise the local socket.
    pub url: String,
    /// The IP address of it at which the router reaches its containers; they publish their ports there and nowhere
    /// else. `None`: 127.0.0.1 of an engine on this machine, the url's own address otherwise.
    pub address: Option<core::net::IpAddr>,
    /// The directory with `ca.pem`, `cert.pem` and `key.pem` for `tcp://`; `None` is without TLS.
    pub tls: Option<String>,
}

impl Host {
    /// The engine that this machine uses when nothing is said.
    #[must_use]
    pub fn usual() -> Self {
        Self { name: "local".to_owned(), url: "default".to_owned(), address: None, tls: None }
    }
}

impl Environment {
    /// Which of the hosts a replica is on: replica 1 on the first, and so in turn. The numbers alone decide, so that
    /// nothing has to be remembered. `None` on the process runtime.
    #[must_use]
    pub fn host_of(&self, index: u32) -> Option<&Host> {
        let count = self.hosts.len();
        let at = usize::try_from(index.saturating_sub(1)).unwrap_or(0).checked_rem(count)?;
        self.hosts.get(at)
    }
}

/// How a replica is asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The path, e.g. `/health`.
    pub path: String,
    /// The status that is wanted; `None` takes anything below 500: a page that asks for a login is well.
    pub status: Option<u16>,
    /// Slower than this is not well.
    pub within: Millis,
    /// How often it is asked.
    pub interval: Millis,
    /// How long a started replica may take until it is well.
    pub start: Millis,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            status: None,
            within: Millis::seconds(5),
            interval: Millis::seconds(2),
            start: Millis::minutes(1),
        }
    }
}

/// What may go wrong in a bake before the new set is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tolerance {
    /// How much larger the new set's share of failed requests may be than the old set's, in tenths of a per cent
    /// of all its requests.
    pub failed_permille: u32,
    /// With fewer requests to the new set than this the share says nothing.
    pub min_requests: u32,
}

impl Default for Tolerance {
    /// One per cent more failures; twenty requests, of which one failure is five per cent.
    fn default() -> Self {
        Self { failed_permille: 10, min_requests: 20 }
    }
}

/// The project's own command lines around a deployment, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Before anything is touched.
    pub before: Vec<String>,
    /// After the migrations.
    pub after_migrate: Vec<String>,
    /// After the deployment was verified.
    pub after: Vec<String>,
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of the environment that the engine was started in.
    Env(String),
    /// A file; a relative path is read from the operator's working tree.
    File(String),
    /// The standard output of a command line, run in the operator's working tree.
    Command(String),
}

impl SecretSource {
    /// The variable of the engine's environment that it is taken from, where it is.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        match self {
            Self::Env(name) => Some(name),
            Self::File(_) | Self::Command(_) => None,
        }
    }

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

/// Who spreads an environment's traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// Nobody that Towpath knows: replicas are asked one by one.
    #[default]
    None,
    /// nginx, by a file that its configuration includes.
    Nginx(Nginx),
}

/// An nginx before the replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nginx {
    /// The file that Towpath writes; nginx includes it in `http {}`.
    pub include: String,
    /// The container that it runs in, on this machine's usual engine: both command lines are run inside of it, and the
    /// paths are mounted there. `None`: it runs on this machine.
    #[serde(default)]
    pub container: Option<String>,
    /// The command line that tests nginx's configuration.
    pub test: String,
    /// The command line that makes nginx read it again.
    pub reload: String,
    /// The access log in Towpath's format; without it no traffic is measured.
    pub access_log: Option<String>,
    /// The directory that nginx serves under `STATIC_URL`; Towpath keeps the files of every running set in it.
    pub static_files: Option<String>,
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
