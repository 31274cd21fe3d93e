//! How a viewer leaves, and what it says of that.

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Failure, Sort};

/// The ways to leave: Ctrl-C, a closed terminal, a polite kill.
pub(super) struct Departure {
    signals: [tokio::signal::unix::Signal; 3],
}

impl Departure {
    pub(super) fn watch() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Sort::Unclear, format!("Signals cannot be listened to: {error}."), "")
            })
        };
        let signals = [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::hangup())?,
            listen(SignalKind::terminate())?,
        ];
        Ok(Self { signals })
    }

    pub(super) async fn came(&mut self) {
        let [interrupt, hangup, terminate] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}

pub(super) fn before_start() -> Failure {
    Failure::new(Sort::Left, "You left before anything was started.", "")
}
