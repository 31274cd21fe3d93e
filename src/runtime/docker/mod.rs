//! Steps on Docker's engines.
//!
//! | file | is |
//! |---|---|
//! | [`build`] | the candidate, as an image |
//! | [`fetch`] | the image at every host, and the one that was tested |

pub mod build;
pub mod fetch;
