//! Python and Django work of a pipeline: finding an interpreter, installing what is locked, building the
//! candidate, running tests in it, looking at its migrations.
//!
//! | file | subject |
//! |---|---|
//! | [`interpreter`] | which Python, and whether it really runs |
//! | [`requirements`], [`pipfile`], [`pyproject`] | lock files as lines that pip and uv read |
//! | [`installer`] | uv or pip, and the tools that Towpath keeps for itself |
//! | [`locked`] | what a commit locks, and how an environment is filled from it |
//! | [`environment`] | a virtual environment: made in its final place, marked complete last |
//! | [`install`] | the development environment, cached by lock and interpreter |
//! | [`candidate`], [`manifest`] | the artifact of the process runtime and its identity |
//! | [`django`] | what a Django project says of itself |
//! | [`overlay`] | tests run in the candidate, development packages beside it |
//! | [`inspect`], [`migrate_empty`] | migrations: what there is, and that they apply |
//! | [`failure`] | the line of pip's or uv's output that says what went wrong |

pub mod candidate;
pub mod django;
pub mod environment;
pub mod exclusive;
pub mod failure;
pub mod halt;
pub mod inspect;
pub mod install;
pub mod installer;
pub mod interpreter;
pub mod locked;
pub mod manifest;
pub mod migrate_empty;
pub mod overlay;
pub mod pipfile;
pub mod pyproject;
pub mod requirements;
pub mod source;

#[cfg(test)]
mod tests;
