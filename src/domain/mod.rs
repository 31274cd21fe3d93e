//! What a release is and what may happen to it: pure.
//!
//! No IO, no clock, no tokio, nothing of the other rooms. Everything here is data or a function from data to
//! data, so that a decision can be tested in a table and a journal can be folded anywhere.

pub mod command;
pub mod decide;
mod due;
pub mod effect;
pub mod event;
pub mod finding;
mod fold;
pub mod gate;
pub mod health;
pub mod ids;
pub mod plan;
pub mod planner;
pub mod project;
pub mod query;
pub mod release;
pub mod state;
pub mod time;
pub mod watch;
