//! Steps in containers.
//!
//! | file | is |
//! |---|---|
//! | [`build`] | the candidate, as an image |
//! | [`fetch`] | the image at every host, and the one that was tested |
//! | [`ground`] | an engine that a step works on, under a mark of the attempt's |
//! | [`stand`] | where a step's command stands: image, directory, environment, network |
//! | [`exec`], [`inspect`], [`migrate_empty`] | the pipeline's steps |
//! | [`ask`] | what a Django project in an image says of itself |
//! | [`layer`] | development packages on top of the candidate |
//! | [`services`] | what runs beside a step |
//! | [`once`](mod@once) | one command in a container, its output in the step's log |
//! | [`kept`] | what a failed step leaves for a look |
//! | [`left`] | the removal of what an attempt has on engines |

pub mod ask;
pub mod build;
pub mod exec;
pub mod fetch;
pub mod ground;
pub mod inspect;
pub mod kept;
pub mod layer;
pub mod left;
pub mod migrate_empty;
pub mod once;
pub mod services;
pub mod stand;

pub use ground::Ground;
pub use once::once;
pub use stand::candidate;
