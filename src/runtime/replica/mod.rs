//! Long-lived processes of a deployment. Every replica is looked after by a small detached *keeper* process, this
//! program's own: it starts the replica, starts it again when it ends, writes its log, and stops it. An engine that
//! dies loses nothing; a keeper that dies leaves its replica running, and the next keeper adopts it.
//!
//! | in a replica's directory (0700) | is |
//! |---|---|
//! | `spec.json` | what is asked: written durably before anything is launched |
//! | `alive` | locked (`flock`) by the keeper for its whole life; holds who the keeper is |
//! | `process.json` | which process the replica is, and how often it was started: durable |
//! | `status.json` | what it is doing; see [`status()`] for the truth about it |
//! | `stop` | somebody wants it stopped: no keeper starts anything any more |
//! | `spool` | the replica's raw output (0600), which it writes itself: its life does not depend on a keeper's |
//! | `spool.at` | how much of that is in the log |
//! | `log/` | its log: sanitised, redacted |
//! | `keeper.log` | the keepers' own complaints |
//!
//! | file | is |
//! |---|---|
//! | [`spec`] | what is asked |
//! | `files` | the directory |
//! | [`mod@status`] | what it is doing |
//! | [`control`] | prepare, launch, stop: for those who want replicas |
//! | [`keeper`] | the process that looks after it |
//! | `start` | one start: secrets, environment, process |
//! | `shell` | whether a command line can do without its shell |
//! | `members`, `ending` | which processes are the replica's, and their end |
//! | `spool` | from the raw output to the log |
//! | [`port`] | ports that are free |

pub mod control;
mod ending;
mod files;
pub mod keeper;
mod members;
pub mod port;
mod shell;
pub mod spec;
mod spool;
mod start;
pub mod status;

pub use control::{is_stopping, last_lines, launch, prepare, start_again, stop};
pub use ending::Stopped;
pub use port::free_port;
pub(super) use shell::without_shell;
pub use spec::{Spec, StopSignal};
pub use status::{Status, status};
