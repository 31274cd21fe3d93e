//! Towpath: a release console for the terminal. This page is the map of the house.
//!
//! *What is done is a plan of steps; what is kept watch over is a watch; what is shown is a fold of what
//! happened.* The engine is the only writer: it decides, writes the decision to the journal, then acts.
//!
//! | room | is | may use |
//! |---|---|---|
//! | [`domain`] | what may happen: pure | nothing of ours |
//! | [`text`] | what comes from outside: sanitise, redact, measure | |
//! | [`config`] | `towpath.toml`, with mistakes by file, line and column | `domain` |
//! | [`preset`] | what a Django project is; how its tools' endings are read | `domain`, `config`, `text` |
//! | [`git`] | the user's own git, tamed | `domain` |
//! | [`secret`] | sources of secrets, and values that never print | `domain`, `text` |
//! | [`store`] | journal, log segments, ballast, where each lies | `domain`, `text` |
//! | [`probe`] | one question to something that runs | `domain`, `text` |
//! | [`router`] | who gets the traffic: nginx | `domain`, `text`, `store::durable`, `probe`, `docker` |
//! | [`docker`] | Docker engines: reached, asked, told | `domain`, `text` |
//! | [`runtime`] | where steps and replicas run: a worker an attempt, a keeper a replica | `domain`, `preset`, `text`, `secret`, `git`, `store`, `probe`, `router`, `docker` |
//! | [`wire`] | JSON lines between viewer and engine | `domain`, `store::layout` |
//! | [`engine`] | one loop: decide, write, act | all above |
//! | [`tui`], [`print`](mod@print) | what people and programs read | `domain`, `text`, `wire`, `store::segment` |
//! | [`demo`] | a shop with a history and all that it needs; the tour | all, `cli`'s connection and output too |
//! | [`cli`] | one file a subcommand | all |

pub mod cli;
pub mod config;
pub mod demo;
pub mod docker;
pub mod domain;
pub mod engine;
pub mod git;
pub mod preset;
pub mod print;
pub mod probe;
pub mod router;
pub mod runtime;
pub mod secret;
pub mod store;
pub mod text;
pub mod tui;
pub mod wire;
