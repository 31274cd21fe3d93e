//! The preset room.
