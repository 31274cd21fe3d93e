//! What a project is: its tools, its dependencies, its Django; which stages follow; how its tools' endings are read.
//!
//! Everything is told from files alone ([`tree::Tree`]): nothing of the project is run to find out what it is.

pub mod dependencies;
pub mod django;
mod environments;
mod graph;
mod image;
pub mod judge;
mod overrides;
pub mod resolve;
mod roles;
mod services;
mod settings_file;
mod steps;
mod tools;
pub mod tree;

pub use resolve::{Resolved, resolve};
pub use tree::Tree;
