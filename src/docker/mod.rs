//! Docker engines: reached, asked, and told, through their API alone. What a step or a watch wants of an engine is
//! said here in its own words; which step wants it when is `runtime`'s.
//!
//! | file | is |
//! |---|---|
//! | [`connect`] | an engine, however it is reached |
//! | `place`, `context`, `ssh` | where a url, a variable or a context leads; one connection of ssh |
//! | [`lease`] | an environment's lease, on the engines themselves |
//! | [`labels`] | what everything of ours is called, and how it is known to be ours |
//! | [`trouble`] | what an engine answered, as a cause with a cure |

pub mod connect;
mod context;
pub mod labels;
pub mod lease;
mod place;
mod ssh;
pub mod trouble;

pub use connect::Engine;
pub use place::Surroundings;
pub use trouble::Result;
