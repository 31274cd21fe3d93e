//! Messages that go by the operator's configuration wait until it was read: who edits `towpath.toml` and then asks
//! what a promotion would do, or does it, means the file as it is now.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::{log, prepare};
use crate::domain::command::Command;
use crate::domain::effect::Outcome;
use crate::domain::query::Query;
use crate::store::layout::Layout;
use crate::wire::ToEngine;

/// How many read configurations may wait for the loop.
pub(super) const FRESH: usize = 64;

/// What a console says that it is. It is shown what is known at once, and told when the configuration was read: a
/// large tree takes a while to look through.
pub(super) const CONSOLE: &str = "console";

/// A configuration that was read, `None` where there is a mistake in it, and who waited for that.
pub(super) struct Fresh {
    pub(super) loaded: Option<Outcome>,
    pub(super) message: ToEngine,
}

/// Whether a message goes by the configuration.
pub(super) fn is_wanted(message: &ToEngine) -> bool {
    match message {
        ToEngine::Attach { viewer, .. } => viewer.role != CONSOLE,
        ToEngine::Command { command, .. } => matches!(command, Command::Promote(_) | Command::Rollback(_)),
        ToEngine::Query { query, .. } => {
            matches!(query, Query::PreviewPromotion { .. } | Query::PreviewRollback { .. })
        }
        _ => false,
    }
}

/// Reads the working tree's configuration. A mistake in it is logged and the last good one stays; `towpath check`
/// shows it with its place.
pub(super) async fn read(layout: Arc<Layout>) -> Option<Outcome> {
    match tokio::task::spawn_blocking(move || prepare::working_tree(&layout)).await {
        Ok(Ok((project, config))) => Some(Outcome::ProjectLoaded { project: Box::new(project), config }),
        Ok(Err(error)) => {
            log(&format!("the working tree's configuration is not used: {error:#}"));
            None
        }
        Err(error) => {
            log(&format!("the working tree could not be read: {error}"));
            None
        }
    }
}

/// Reads the configuration, then hands it and the message to the loop. One at a time: of two readings the later one
/// comes later.
pub(super) fn wait(
    layout: Arc<Layout>,
    turn: Arc<Mutex<()>>,
    back: mpsc::Sender<Fresh>,
    message: ToEngine,
) {
    tokio::spawn(async move {
        let _turn = turn.lock().await;
        let loaded = read(layout).await;
        let _ = back.send(Fresh { loaded, message }).await;
    });
}
