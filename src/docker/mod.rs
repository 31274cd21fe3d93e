//! Docker engines: reached, asked, and told, through their API alone. What a step or a watch wants of an engine is
//! said here in its own words; which step wants it when is `runtime`'s.
//!
//! | file | is |
//! |---|---|
//! | [`connect`] | an engine, however it is reached |
//! | `place`, `context`, `ssh` | where a url, a variable or a context leads; one connection of ssh |
//! | [`labels`] | what everything of ours is called, and how it is known to be ours |
//! | [`trouble`] | what an engine answered, as a cause with a cure |
//! | [`watch`] | an environment's containers on one engine, as they are now, without asking again and again |
//! | [`seen`] | what such a watch knows |
//! | [`logs`] | what a container says: the tail, then what comes |

pub mod connect;
mod context;
pub mod labels;
pub mod logs;
mod pause;
mod place;
pub mod seen;
mod ssh;
mod stats;
pub mod trouble;
pub mod watch;

pub use connect::Engine;
pub use place::Surroundings;
pub use trouble::Result;
