//! Steps in containers.
//!
//! | file | is |
//! |---|---|
//! | [`ground`] | an engine that a step works on, under a mark of the attempt's |
//! | [`once`](mod@once) | one command in a container, its output in the step's log |
//! | [`left`] | the removal of what an attempt has on engines |

pub mod ground;
pub mod left;
pub mod once;

pub use ground::Ground;
pub use once::once;
