//! The only writer: it decides, writes the decision to the journal, then acts.
//!
//! | file | is |
//! |---|---|
//! | [`serve`] | the process: lock, journal, socket, one `select!` loop, the end |
//! | [`core`] | what the loop does with one message: decide, write ahead, fold, tell, reconcile |
//! | [`effects`] | one-shot outside work as tasks |
//! | `containers` | replicas in containers, and the Docker engines that they are on |
//! | `deployments` | what the loop knows of leases, secrets and what is meant to live |
//! | `probe` | how an environment is, asked again and again |
//! | `samples` | measurements: lossy, kept for a while, told to who can keep up |
//! | [`prepare`] | from a commit to a plan |
//! | [`watches`] | lasting outside work as tasks |
//! | [`queries`] | answers |
//! | [`launch`] | a detached engine is started from a viewer |

mod containers;
pub mod core;
mod deployments;
pub mod effects;
mod fresh;
pub mod launch;
pub mod prepare;
mod probe;
pub mod queries;
mod samples;
pub mod serve;
pub mod watches;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// This program's version; engine and viewer compare it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The moment, by the machine's clock.
#[must_use]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Says something in the engine's own log (its standard error), with the time.
#[expect(clippy::print_stderr, reason = "the engine's standard error is its log")]
pub(crate) fn log(message: &str) {
    let at = jiff::Timestamp::from_millisecond(now().0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    eprintln!("{at:.3} {message}");
}
