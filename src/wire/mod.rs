//! Versioned JSON lines over a Unix socket: what a viewer and an engine say to each other.

pub mod protocol;
