//! Docker engines: reached, asked, and told, through their API alone. What a step or a watch wants of an engine is
//! said here in its own words; which step wants it when is `runtime`'s.
//!
//! | file | is |
//! |---|---|
//! | [`connect`] | an engine, however it is reached |
//! | [`tags`] | an engine's images: found, named once |
//! | [`build`] | an image from a commit's files |
//! | [`transfer`] | an image on its way to a host |
//! | [`credentials`] | the user's own, for registries |
//! | `place`, `context`, `ssh` | where a url, a variable or a context leads; one connection of ssh |
//! | [`lease`] | an environment's lease, on the engines themselves |
//! | [`labels`] | what everything of ours is called, and how it is known to be ours |
//! | [`network`] | an environment's network |
//! | [`replica`] | replicas as containers |
//! | [`run`], [`files`], [`image`] | one command in a container; files into it and out of it; its image |
//! | [`service`], [`exec`](mod@exec) | a container beside a step, and what it is asked |
//! | [`mark`] | what an attempt has on an engine, and its removal |
//! | [`found`] | what carries certain labels, and its removal |
//! | [`terminal`] | a shell in a copy of a step's container |
//! | [`patience`] | an engine that was there a moment ago is waited for |
//! | [`trouble`] | what an engine answered, as a cause with a cure |
//! | [`watch`] | an environment's containers on one engine, as they are now, without asking again and again |
//! | [`seen`] | what such a watch knows |
//! | [`logs`] | what a container says: the tail, then what comes |

pub mod build;
pub mod connect;
mod context;
pub mod credentials;
pub mod exec;
pub mod files;
pub mod found;
pub mod image;
pub mod labels;
pub mod lease;
pub mod logs;
pub mod mark;
pub mod network;
pub mod patience;
mod pause;
mod place;
pub mod replica;
pub mod run;
pub mod seen;
pub mod service;
mod ssh;
mod stats;
pub mod tags;
pub mod terminal;
pub mod transfer;
pub mod trouble;
pub mod watch;

pub use connect::Engine;
pub use place::Surroundings;
pub use trouble::Result;
