//! The user's own git, tamed: on a bare mirror of ours, with hooks, filters, pagers, prompts and aliases off.
//!
//! Everything here blocks: callers on an async runtime use `spawn_blocking`.

mod command;
mod discover;
mod error;
mod export;
mod facts;
mod look;
mod mirror;
mod tree;

pub use discover::{discover, main_worktree};
pub use error::GitError;
pub use export::Exported;
pub use mirror::{Mirror, Updated};
pub use tree::{Entry, Kind, Tree};

#[cfg(test)]
mod tests;
