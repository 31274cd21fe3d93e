//! The runtime room on the real thing: real worker processes, real commands, a real PostgreSQL.

mod attempts;
mod commands;
mod postgres;
mod stage;
