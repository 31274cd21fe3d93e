//! The removal of what an attempt has on engines: at its end, or after its worker was killed.

use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::docker::{Engine, mark};
use crate::domain::project::Host;

/// That something of an attempt is on an engine. Written down before it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnEngine {
    /// Which engine.
    pub host: Host,
    /// The attempt, as it is labelled there.
    pub attempt: String,
    /// The mark that it carries there.
    pub mark: String,
}

/// Removes it, from within a worker's or an engine's own runtime.
///
/// # Errors
/// When the engine cannot be reached, or keeps something.
pub async fn remove_on(of: &OnEngine) -> anyhow::Result<()> {
    let failed = |cause: Box<crate::domain::plan::Cause>| {
        anyhow::anyhow!("what the step has on {} could not be removed: {}", of.host.name, cause.summary)
    };
    let engine = Engine::connect(&of.host, Path::new("/")).await.map_err(failed)?;
    mark::remove_all(&engine, &of.attempt, &of.mark).await.map_err(failed)
}

/// The same where nothing may be waited for but by blocking: on a thread with a runtime of its own.
///
/// # Errors
/// Like [`remove_on`].
pub fn remove(of: &OnEngine) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let removing = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("a runtime could not be made")?;
            runtime.block_on(remove_on(of))
        });
        removing.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the removal on {} broke off", of.host.name)))
    })
}
