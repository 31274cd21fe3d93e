//! Messages that go by the operator's configuration wait until it was read: who edits `towpath.toml` and then asks
//! what a promotion would do, or does it, means the file as it is now.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};

use super::{log, prepare};
use crate::domain::command::{Command, Refusal, RefusalKind};
use crate::domain::effect::Outcome;
use crate::domain::query::Query;
use crate::store::layout::Layout;
use crate::wire::ToEngine;
use crate::wire::protocol::Reply;

/// How many read configurations may wait for the loop.
pub(super) const FRESH: usize = 64;

/// What a console says that it is. It is shown what is known at once, and told when the configuration was read: a
/// large tree takes a while to look through.
pub(super) const CONSOLE: &str = "console";

/// A configuration that was read, or the mistakes in it, and who waited for that.
pub(super) struct Fresh {
    pub(super) loaded: Result<Outcome, String>,
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

/// A promotion never goes by an older configuration than the file's: with a mistake in that it is refused. (A rollback
/// does: it is for bad minutes, and goes by the last good one.)
pub(super) fn refuses(message: ToEngine, mistakes: &str) -> Option<ToEngine> {
    let reply = match message {
        ToEngine::Command { command: Command::Promote(_), reply, .. }
        | ToEngine::Query { query: Query::PreviewPromotion { .. }, reply } => reply,
        other => return Some(other),
    };
    let refusal = Refusal::new(
        RefusalKind::Unknown,
        mistakes,
        "Mend towpath.toml (`towpath check` reads it too), then ask again. Nothing was done.",
    );
    let _ = reply.send(Reply::Refused { refusal });
    None
}

/// Reads the working tree's configuration. A mistake in it is logged and the last good one stays; `towpath check`
/// shows it with its place.
///
/// # Errors
/// The mistakes, for people.
pub(super) async fn read(layout: Arc<Layout>) -> Result<Outcome, String> {
    let read = tokio::task::spawn_blocking(move || prepare::working_tree(&layout)).await;
    let why = match read {
        Ok(Ok((project, config))) => {
            return Ok(Outcome::ProjectLoaded { project: Box::new(project), config });
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    };
    log(&format!("the working tree's configuration is not used: {why}"));
    Err(why)
}

/// Reads the configuration, then hands it and the message to the loop. One at a time: of two readings the later one
/// comes later.
pub(super) fn wait(layout: Arc<Layout>, turn: Arc<Mutex<()>>, back: mpsc::Sender<Fresh>, message: ToEngine) {
    tokio::spawn(async move {
        let _turn = turn.lock().await;
        let loaded = read(layout).await;
        let _ = back.send(Fresh { loaded, message }).await;
    });
}
