//! What people and programs read without a screen: folds of the stream into lines.
//!
//! | file | is |
//! |---|---|
//! | [`plain`] | a run: one line a happening, for people |
//! | [`deployment`] | a deployment: the same |
//! | [`preview`] | what a promotion or a rollback would do |
//! | [`environments`] | what is live where, and how it is |
//! | [`json`] | one object a line, versioned, for programs |
//! | [`table`] | lists of runs and deployments, and where a run's steps are |
//! | [`style`] | glyphs, colours, clock: what a terminal can show |

pub mod deployment;
pub mod environments;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod json;
mod line;
pub mod plain;
pub mod preview;
pub mod style;
pub mod table;
