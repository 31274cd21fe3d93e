//! Without a registry: what one engine saves is what the other loads, with no file between and no more in memory than
//! what is on the way.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bollard::errors::Error;
use bollard::query_parameters::ImportImageOptionsBuilder;
use futures_util::StreamExt as _;

use super::{Progress, Wanted};
use crate::docker::connect::Engine;
use crate::docker::tags::{self, disk_full};
use crate::docker::trouble::{Result, cause};
use crate::domain::plan::Cause;

/// How often progress is told.
const TELL: Duration = Duration::from_millis(500);

/// Brings an image from an engine that has it to one that may have it.
///
/// # Errors
/// Which side failed and why; that the host's name for it is another image's. The host then has no half of it: an engine
/// takes an image in whole or not at all.
pub async fn bring(from: &Engine, to: &Engine, wanted: &Wanted, progress: Progress<'_>) -> Result<()> {
    if wanted.is_at(to).await? {
        return Ok(());
    }
    let source = tags::find(from, &wanted.id).await?.ok_or_else(|| Box::new(gone(from, wanted)))?;
    let went = Arc::new(AtomicU64::new(0));
    let broke: Arc<Mutex<Option<Error>>> = Arc::default();
    // By id: a save by name carries the name, which a load would take from whatever has it there.
    let saved = from.client().export_image(&wanted.id).map({
        let (went, broke) = (Arc::clone(&went), Arc::clone(&broke));
        move |piece| match piece {
            Ok(piece) => {
                went.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            }
            Err(error) => {
                let words = std::io::Error::other(error.to_string());
                if let Ok(mut broke) = broke.lock() {
                    *broke = Some(error);
                }
                Err(words)
            }
        }
    });
    let options = ImportImageOptionsBuilder::default().quiet(true).build();
    let mut loading = Box::pin(to.client().import_image_stream(options, saved, None));
    let mut said = String::new();
    let mut tick = tokio::time::interval(TELL);
    loop {
        tokio::select! {
            told = loading.next() => match told {
                None => break,
                Some(Ok(told)) => said = told.stream.unwrap_or(said),
                Some(Err(error)) => {
                    let of_source = broke.lock().ok().and_then(|mut broke| broke.take());
                    return Err(match of_source {
                        Some(error) => cause(from.name(), &format!("{} could not be saved", wanted.location), &error),
                        None => Box::new(refused(to, wanted, &error, went.load(Ordering::Relaxed))),
                    });
                }
            },
            _ = tick.tick() => progress(went.load(Ordering::Relaxed), source.bytes),
        }
    }
    progress(went.load(Ordering::Relaxed), source.bytes);
    wanted.arrived(to, said.trim()).await
}

/// The host did not take it.
fn refused(to: &Engine, wanted: &Wanted, error: &Error, went: u64) -> Cause {
    let words = match error {
        Error::DockerStreamError { error } => error.trim().to_owned(),
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        error => error.to_string(),
    };
    let cure = if disk_full(&words) {
        format!(
            "Make room on the disk of {} (`docker system df` there says what takes it), then retry the step. Nothing \
             of the image was left there.",
            to.name()
        )
    } else {
        format!("See that the engine of {} runs and answers, then retry the step: it begins anew.", to.name())
    };
    Cause {
        summary: format!("{} could not be loaded on {}: {words}", wanted.location, to.name()),
        expected: format!("the image {} on {}", wanted.id, to.name()),
        measured: format!("{words}, after {} MB", went / 1_000_000),
        cure,
        ..Cause::default()
    }
}

fn gone(from: &Engine, wanted: &Wanted) -> Cause {
    Cause {
        summary: format!("{} is not on {} any more", wanted.location, from.name()),
        expected: wanted.id.clone(),
        measured: "no such image".to_owned(),
        cure: "Somebody removed it. Run the commit again: that makes a new release with an image of its own."
            .to_owned(),
        ..Cause::default()
    }
}
