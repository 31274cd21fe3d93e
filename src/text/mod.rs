//! What comes from outside: made harmless (`sanitise`), kept quiet about secrets (`redact`), measured (`width`).

mod patterns;
pub mod redact;
pub mod sanitise;
mod secrets;
pub mod width;
