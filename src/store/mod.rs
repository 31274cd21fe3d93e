//! What is kept: the journal, log segments, the ballast, and where each of them lies.

pub mod layout;
