//! A viewer starts an engine that outlives it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::prepare::CONFIG;
use crate::config;
use crate::runtime::{OWN_PROGRAM, environment};
use crate::store::layout::{CACHE_VARIABLE, Layout, STATE_VARIABLE};

/// How long a new engine may take until its socket answers: it folds the journal first.
const PATIENCE: Duration = Duration::from_secs(30);

/// The engine's log is begun anew beyond this size, bytes.
const LOG_LIMIT: u64 = 1024 * 1024;

/// Sees that an engine answers on the project's socket, starting one when none does.
///
/// # Errors
/// When it cannot be started, or ends before it answers: its log says why.
pub async fn ensure(layout: &Layout) -> anyhow::Result<()> {
    if UnixStream::connect(layout.socket()).is_ok() {
        return Ok(());
    }
    let began = Instant::now();
    let mut engine = start(layout)?;
    loop {
        if UnixStream::connect(layout.socket()).is_ok() {
            // Reaped by a thread of its own: an engine that ends while this viewer lives must not stay a zombie.
            std::thread::spawn(move || engine.wait());
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            anyhow::bail!("the engine did not answer within {} seconds", PATIENCE.as_secs());
        }
        match engine.try_wait()? {
            None => {}
            // Two viewers may start two engines at once: the one that finds another ends well. If that other one
            // has gone in the meantime, it is our turn again.
            Some(ended) if ended.success() => engine = start(layout)?,
            Some(_) => anyhow::bail!("the engine did not start"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The variables of our own environment that the configuration takes secrets from: the engine passes them on to
/// deployments, and has no other way to them. A configuration with mistakes names none here; it is refused elsewhere,
/// with its places.
fn secrets(layout: &Layout) -> BTreeMap<String, String> {
    let text = std::fs::read(layout.repository.join(&layout.root).join(CONFIG)).unwrap_or_default();
    let file = config::parse(&text, CONFIG).unwrap_or_default();
    let sources = file.environments.iter().flat_map(|environment| environment.secrets.values());
    let names = sources.filter_map(|source| source.value.variable()).map(ToOwned::to_owned).collect();
    environment::with_secrets(&names, std::env::vars())
}

fn start(layout: &Layout) -> anyhow::Result<std::process::Child> {
    let mut private = std::fs::DirBuilder::new();
    private
        .recursive(true)
        .mode(0o700)
        .create(&layout.state)
        .with_context(|| format!("making the state directory {}", layout.state.display()))?;
    let path = layout.engine_log();
    let too_long = std::fs::metadata(&path).is_ok_and(|about| about.len() > LOG_LIMIT);
    let log = OpenOptions::new()
        .create(true)
        .append(!too_long)
        .write(true)
        .truncate(too_long)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("opening {}", path.display()))?;
    Command::new(OWN_PROGRAM)
        .arg0("towpath")
        .args(["engine", "serve", "--repository"])
        .arg(layout.repository.join(&layout.root))
        .env_clear()
        .envs(environment::allowed(std::env::vars()))
        .envs(secrets(layout))
        // A relative path means something else where the engine stands.
        .envs(layout.state.parent().map(|parent| (STATE_VARIABLE, parent)))
        .env(CACHE_VARIABLE, &layout.cache)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the engine")
}
