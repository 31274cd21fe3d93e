//! Docker engines: reached, asked, and told, through their API alone. What a step or a watch wants of an engine is
//! said here in its own words; which step wants it when is `runtime`'s.
//!
//! | file | is |
//! |---|---|
//! | [`connect`] | an engine, however it is reached |
//! | [`image`] | an engine's images: found, named once |
//! | [`build`] | an image from a commit's files |
//! | [`transfer`] | an image on its way to a host |
//! | [`credentials`] | the user's own, for registries |
//! | [`labels`] | what everything of ours is called, and how it is known to be ours |
//! | [`trouble`] | what an engine answered, as a cause with a cure |

pub mod build;
pub mod connect;
pub mod credentials;
pub mod image;
pub mod labels;
pub mod transfer;
pub mod trouble;

pub use connect::Engine;
pub use trouble::Result;
