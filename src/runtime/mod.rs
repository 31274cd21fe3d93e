//! Where steps run. Every attempt at a step is one detached *worker process*: a killed engine loses nothing, for
//! the worker goes on, writes its log and its result, and the next engine finds it again.
//!
//! | file | is |
//! |---|---|
//! | [`attempt`] | the attempt directory: what is asked, what became of it |
//! | [`attend`] | what an engine does with it: start it at most once, wait, stop |
//! | [`worker`] | the process itself |
//! | [`workbench`], [`command`] | what a step's code works with |
//! | [`bundle`] | what is known of an attempt, to pass on |
//! | [`docker`] | the same, in containers |
//! | [`exec`] | command lines of the pipeline |
//! | [`deploy`] | the steps of a deployment |
//! | [`fleet`] | replicas, wherever they run: processes or containers |
//! | `connections` | who is still connected |
//! | [`lease`] | one deployment an environment at a time |
//! | [`postgres`] | a throw-away PostgreSQL server beside a step |
//! | [`container_log`] | what a replica in a container says, in its log like any other's |
//! | [`replica`] | long-lived processes of a deployment, each looked after by a keeper |
//! | [`reap`], [`process`] | who is left, and its end |
//! | `place` | paths in a cause, as a person knows them |
//! | [`container_log`] | what a replica in a container says, in its log like any other's |
//! | [`replica`] | long-lived processes of a deployment, each looked after by a keeper |
//! | [`environment`] | what of a shell's environment may reach a step |

pub mod attempt;
pub mod attend;
pub mod bundle;
pub mod command;
mod connections;
pub mod container_log;
pub mod deploy;
pub mod docker;
pub mod environment;
pub mod exec;
pub mod fleet;
pub mod lease;
pub mod log;
mod place;
pub mod postgres;
pub mod process;
pub mod python;
pub mod reap;
pub mod replica;
pub mod services;
pub mod workbench;
pub mod worker;

/// The file that this process runs, even when another version has taken its name since: an engine goes on through an
/// upgrade, and its workers speak its own version.
pub const OWN_PROGRAM: &str = "/proc/self/exe";
