//! What is kept: the journal, log segments, the ballast, and where each of them lies.

pub mod ballast;
pub mod durable;
mod error;
pub mod journal;
pub mod layout;
pub mod retention;
pub mod segment;

pub use error::StoreError;
