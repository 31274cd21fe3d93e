//! The runtime room.

pub mod python;
