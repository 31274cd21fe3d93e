//! The print room.
