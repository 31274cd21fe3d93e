//! The console. `update` takes messages in and says what it wants done; `view` draws; `app` is the only place
//! with IO.
//!
//! Everything that is shown is a fold of what the engine pushed; every key is an action of one registry.

pub mod action;
pub mod app;
mod arrange;
mod available;
pub mod confirm;
mod connection;
mod deploying;
mod dialog;
pub mod field;
mod follow;
mod fuzzy;
mod input;
mod layout;
pub mod lease;
pub mod log;
pub mod logs;
pub mod look;
mod measure;
mod merging;
pub mod message;
pub mod model;
mod mouse;
mod offered;
pub mod places;
mod program;
pub mod promote;
mod registry;
pub mod rollback;
pub mod samples;
pub mod schedule;
pub(crate) mod shell;
mod streaming;
pub mod target;
mod terminal;
pub mod theme;
mod told;
mod update;
mod view;
pub mod word;

pub use update::update;
pub use view::view;
