//! One question to something that runs, and what it answered. One small file a kind.

pub mod http;
