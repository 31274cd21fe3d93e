//! Docker engines: reached, asked, and told, through their API alone. What a step or a watch wants of an engine is
//! said here in its own words; which step wants it when is `runtime`'s.
//!
//! | file | is |
//! |---|---|
//! | [`connect`] | an engine, however it is reached |
//! | `place`, `context`, `ssh` | where a url, a variable or a context leads; one connection of ssh |
//! | [`labels`] | what everything of ours is called, and how it is known to be ours |
//! | [`run`], [`files`], [`image`] | one command in a container; files into it and out of it; its image |
//! | [`service`], [`exec`](mod@exec) | a container beside a step, and what it is asked |
//! | [`mark`] | what an attempt has on an engine, and its removal |
//! | [`trouble`] | what an engine answered, as a cause with a cure |

pub mod connect;
mod context;
pub mod exec;
pub mod files;
pub mod image;
pub mod labels;
pub mod mark;
mod place;
pub mod run;
pub mod service;
mod ssh;
pub mod trouble;

pub use connect::Engine;
pub use place::Surroundings;
pub use trouble::Result;
