//! One command in a container of its own, from its making to its removal.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, NetworkingConfig,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    StopContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::{FutureExt as _, StreamExt as _};

use super::Engine;
use super::files::{self, LONG, Put};
use super::image::{self, About};
use super::trouble::{Result, cause, status};
use crate::domain::plan::Cause;

/// How long a command that is told to stop may take before it is killed, seconds. Less than a worker gives its step
/// to end, so that the container is removed by then.
pub const STOP_SECONDS: i32 = 8;

/// How much of the beginning of standard error is kept, bytes: more than init has to say.
const FIRST_ERROR: usize = 512;

/// What a container runs. The image's entry point is never asked: it may do more than what is said here (start a
/// server, migrate a database).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A program with its arguments.
    Argv(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
}

impl Command {
    fn argv(&self) -> Vec<String> {
        match self {
            Self::Argv(argv) => argv.clone(),
            Self::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        }
    }
}

/// A network that a container joins, and what it is called there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joins {
    /// The network's name, or `container:ID` for that of another container.
    pub network: String,
    /// Host names by which others on it find the container.
    pub aliases: Vec<String>,
}

/// A container for one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// Its image: an id, or a name with a tag.
    pub image: String,
    /// What it runs.
    pub command: Command,
    /// Its environment, over the image's own.
    pub env: BTreeMap<String, String>,
    /// Its network; `None` is the engine's own bridge.
    pub network: Option<Joins>,
    /// Its working directory; `None` is the image's.
    pub workdir: Option<String>,
    /// Its user; `None` is the image's.
    pub user: Option<String>,
    /// What is mounted: `NAME:/path` or `/directory:/path`, either with `:ro`.
    pub volumes: Vec<String>,
    /// Its labels; never a secret.
    pub labels: BTreeMap<String, String>,
    /// Its name; `None` lets the engine choose.
    pub name: Option<String>,
    /// What is put into it before it starts; it belongs to its user.
    pub files: Vec<Put>,
    /// The memory that it may take, bytes; `None` bounds nothing.
    pub memory: Option<i64>,
    /// Whether it stays when it has ended; otherwise it is removed with its anonymous volumes.
    pub keep: bool,
}

impl OneOff {
    /// A command in an image, with nothing else said.
    #[must_use]
    pub fn new(image: impl Into<String>, command: Command) -> Self {
        Self {
            image: image.into(),
            command,
            env: BTreeMap::new(),
            network: None,
            workdir: None,
            user: None,
            volumes: Vec::new(),
            labels: BTreeMap::new(),
            name: None,
            files: Vec::new(),
            memory: None,
            keep: false,
        }
    }
}

/// What is told while it goes on, as it comes.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// A piece of its standard output.
    Output(&'a [u8]),
    /// A piece of its standard error.
    Error(&'a [u8]),
    /// A line of ours: an image is pulled, a connection was lost.
    Note(String),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// The container's id; it is gone unless it was to stay.
    pub container: String,
    /// Its exit code.
    pub code: i64,
    /// Whether the kernel killed one of its processes for want of memory.
    pub out_of_memory: bool,
    /// Whether it was stopped from outside.
    pub stopped: bool,
}

/// Runs it to its end. `stop` ends it early: a TERM, [`STOP_SECONDS`], a KILL. Its output is given to `on` while it
/// comes and held nowhere: while `on` works, the container waits.
///
/// # Errors
/// When it cannot be made or started, or the engine is lost. (A command that fails is no error.)
pub async fn run(
    engine: &Engine,
    one: &OneOff,
    stop: impl Future<Output = ()> + Send,
    on: &mut (dyn FnMut(Said<'_>) + Send),
) -> Result<Over> {
    let about = image::have(engine, &one.image, &mut |line| on(Said::Note(line))).await?;
    let stop = stop.fuse();
    tokio::pin!(stop);
    // An engine may lack the little program that reaps and passes signals on; then the command does without.
    let mut init = true;
    loop {
        let id = create(engine, one, &about, init).await?;
        let ended = go(engine, one, &about, &id, stop.as_mut(), on).await;
        match ended {
            Ok(over) => {
                if !one.keep {
                    remove(engine, &id).await?;
                }
                return Ok(over);
            }
            Err(failed) => {
                let _ = remove(engine, &id).await;
                if init && failed.measured.contains("docker-init") {
                    init = false;
                    continue;
                }
                return Err(failed);
            }
        }
    }
}

/// Makes the container, without starting it; its id. Its health check is switched off: nobody waits for it.
///
/// # Errors
/// When the engine refuses.
async fn create(engine: &Engine, one: &OneOff, about: &About, init: bool) -> Result<String> {
    let argv = one.command.argv();
    let (program, arguments) = argv
        .split_first()
        .map_or((String::new(), Vec::new()), |(program, rest)| (program.clone(), rest.to_vec()));
    let (mode, networking) = joined(one.network.as_ref());
    let body = ContainerCreateBody {
        image: Some(about.id.clone()),
        entrypoint: Some(vec![program]),
        cmd: Some(arguments),
        env: Some(variables(&one.env)),
        working_dir: one.workdir.clone(),
        user: one.user.clone(),
        labels: Some(one.labels.clone().into_iter().collect()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(HostConfig {
            binds: (!one.volumes.is_empty()).then(|| one.volumes.clone()),
            init: init.then_some(true),
            memory: one.memory,
            memory_swap: one.memory,
            network_mode: mode,
            // Its output goes through the attached connection; a second copy would fill the host's disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            ..HostConfig::default()
        }),
        networking_config: networking,
        ..ContainerCreateBody::default()
    };
    let options = one.name.as_ref().map(|name| CreateContainerOptionsBuilder::default().name(name).build());
    match engine.client().create_container(options, body).await {
        Ok(made) => Ok(made.id),
        Err(error) => Err(not_made(engine, one, &error)),
    }
}

/// A container's network as the engine wants to hear it.
pub(super) fn joined(network: Option<&Joins>) -> (Option<String>, Option<NetworkingConfig>) {
    let Some(joins) = network else { return (None, None) };
    if joins.network.starts_with("container:") {
        return (Some(joins.network.clone()), None);
    }
    let aliases = (!joins.aliases.is_empty()).then(|| joins.aliases.clone());
    let endpoint = EndpointSettings { aliases, ..EndpointSettings::default() };
    let all = HashMap::from([(joins.network.clone(), endpoint)]);
    (Some(joins.network.clone()), Some(NetworkingConfig { endpoints_config: Some(all) }))
}

/// An environment as the engine wants to hear it.
pub(super) fn variables(env: &BTreeMap<String, String>) -> Vec<String> {
    env.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

async fn go<S: Future<Output = ()> + Send>(
    engine: &Engine,
    one: &OneOff,
    about: &About,
    id: &str,
    mut stop: std::pin::Pin<&mut S>,
    on: &mut (dyn FnMut(Said<'_>) + Send),
) -> Result<Over> {
    let client = engine.client();
    if !one.files.is_empty() {
        let user = one.user.as_deref().unwrap_or(&about.user);
        let owner = files::owner(engine, id, user).await?;
        files::put(engine, id, one.files.clone(), owner).await?;
    }
    let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let what = "the container's output could not be had";
    let attached = client
        .attach_container(id, Some(options))
        .await
        .map_err(|error| cause(engine.name(), what, &error))?;
    // What is read must be written too, or the engine sees half a connection: kept until the end.
    let (mut output, _input) = (attached.output, attached.input);
    // The answer may be lost on its way: whether it runs is then asked.
    if let Err(error) = client.start_container(id, None).await
        && !(status(&error).is_none() && has_started(engine, id).await)
    {
        return Err(not_started(engine, one, &error));
    }
    let stopped = std::sync::atomic::AtomicBool::new(false);
    // Beside the reading: what it says while it ends is heard too.
    let halting = async {
        stop.as_mut().await;
        stopped.store(true, std::sync::atomic::Ordering::Relaxed);
        halt(engine, id).await
    };
    tokio::pin!(halting);
    let mut halted = false;
    let mut first_error = String::new();
    loop {
        tokio::select! {
            piece = output.next() => match piece {
                Some(Ok(LogOutput::StdErr { message })) => {
                    // init writes its last words in pieces.
                    if first_error.len() < FIRST_ERROR {
                        first_error.push_str(&String::from_utf8_lossy(&message));
                    }
                    on(Said::Error(&message));
                }
                Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => on(Said::Output(&message)),
                Some(Ok(LogOutput::StdIn { .. })) => {}
                Some(Err(error)) => {
                    on(Said::Note(format!("The container's output was lost: {error}.")));
                    break;
                }
                None => break,
            },
            done = &mut halting, if !halted => {
                halted = true;
                done?;
            }
        }
    }
    let ended = wait(engine, id);
    tokio::pin!(ended);
    loop {
        tokio::select! {
            done = &mut ended => {
                done?;
                break;
            }
            done = &mut halting, if !halted => {
                halted = true;
                done?;
            }
        }
    }
    let found = client.inspect_container(id, None).await;
    let state =
        found.map_err(|error| cause(engine.name(), "how the container ended could not be asked", &error))?;
    let state = state.state.unwrap_or_default();
    // Behind the engine's little init a missing program is no failed start any more, but init's own last words.
    if state.exit_code == Some(127) && first_error.contains("tini") && first_error.contains("No such file") {
        return Err(no_program(engine, one, first_error.trim()));
    }
    Ok(Over {
        container: id.to_owned(),
        code: state.exit_code.unwrap_or(-1),
        out_of_memory: state.oom_killed.unwrap_or(false),
        stopped: stopped.load(std::sync::atomic::Ordering::Relaxed),
    })
}

async fn has_started(engine: &Engine, id: &str) -> bool {
    let found = engine.client().inspect_container(id, None).await;
    let state = found.ok().and_then(|found| found.state).unwrap_or_default();
    state.running == Some(true) || state.started_at.is_some_and(|at| !at.starts_with("0001-"))
}

/// Waits until it has ended.
///
/// # Errors
/// When the engine is lost.
pub(super) async fn wait(engine: &Engine, id: &str) -> Result<()> {
    let mut waiting = Box::pin(engine.client().wait_container(id, None::<WaitContainerOptions>));
    match waiting.next().await {
        Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
        Some(Err(error)) => Err(cause(engine.name(), "the container's end could not be waited for", &error)),
        None => Ok(()),
    }
}

/// TERM, [`STOP_SECONDS`], KILL. One that has ended already is well.
///
/// # Errors
/// When the engine cannot be told.
pub async fn halt(engine: &Engine, id: &str) -> Result<()> {
    let options = StopContainerOptionsBuilder::default().t(STOP_SECONDS).build();
    match engine.client().stop_container(id, Some(options)).await {
        Err(error) if ![Some(304), Some(404)].contains(&status(&error)) => {
            Err(cause(engine.name(), "a container could not be stopped", &error))
        }
        _ => Ok(()),
    }
}

/// Removes a container with its anonymous volumes, running or not. One that is gone already is well.
///
/// # Errors
/// When the engine keeps it.
pub async fn remove(engine: &Engine, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let client = engine.client().clone().with_timeout(LONG);
    match client.remove_container(id, Some(options)).await {
        // 409: somebody else is removing it.
        Err(error) if ![Some(404), Some(409)].contains(&status(&error)) => {
            Err(cause(engine.name(), "a container could not be removed", &error))
        }
        _ => Ok(()),
    }
}

fn not_made(engine: &Engine, one: &OneOff, error: &Error) -> Box<Cause> {
    let mut failed = cause(engine.name(), &format!("a container of {} could not be made", one.image), error);
    failed.expected = "a container".to_owned();
    failed.cure = match (status(error), &one.name) {
        (Some(409), Some(name)) => format!(
            "Something else has the name {name}: look at it (docker inspect {name}), and remove it if nobody needs it."
        ),
        (Some(404), _) => "Look whether its network and its volumes are still there, then retry.".to_owned(),
        (Some(400), _) => "Correct what the engine complains about in towpath.toml.".to_owned(),
        _ => "Look whether the engine is well (docker info), then retry.".to_owned(),
    };
    failed
}

/// Why it did not start, in words. Engines pass on what their runtime says.
fn not_started(engine: &Engine, one: &OneOff, error: &Error) -> Box<Cause> {
    let mut failed =
        cause(engine.name(), &format!("a container of {} could not be started", one.image), error);
    let program = one.command.argv().first().map(|program| format!("\"{program}\"")).unwrap_or_default();
    let missing = failed.measured.contains("executable file not found")
        || failed.measured.contains("no such file or directory");
    if missing && failed.measured.contains(&program) {
        return no_program(engine, one, &failed.measured);
    }
    failed.expected = "a container that starts".to_owned();
    failed.cure =
        "Look whether the engine is well (docker info) and has memory and disk, then retry.".to_owned();
    failed
}

/// The cause where the image has not what it is to run.
fn no_program(engine: &Engine, one: &OneOff, said: &str) -> Box<Cause> {
    let mut failed = Cause { measured: format!("{} says: {said}", engine.name()), ..Cause::default() };
    match &one.command {
        Command::Shell(_) => {
            failed.summary = format!("the image {} has no shell: a command line cannot run in it", one.image);
            failed.expected = "an image with sh".to_owned();
            failed.cure =
                "Take an image with a shell for this step; of a Dockerfile in stages, build a stage that \
                           has one ([artifact] target)."
                    .to_owned();
        }
        Command::Argv(argv) => {
            let program = argv.first().map_or("", String::as_str);
            failed.summary = format!("the image {} has no program {program}", one.image);
            failed.expected = format!("{program} on the image's PATH");
            failed.cure = format!("Install {program} in the image, or name another program.");
        }
    }
    Box::new(failed)
}
