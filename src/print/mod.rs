//! What people and programs read without a screen: folds of the stream into lines.
//!
//! | file | is |
//! |---|---|
//! | [`plain`] | one line a happening, for people |
//! | [`json`] | one object a line, versioned, for programs |
//! | [`table`] | lists of runs, and where a run's steps are |
//! | [`style`] | glyphs, colours, clock: what a terminal can show |

pub mod json;
pub mod plain;
pub mod style;
pub mod table;
