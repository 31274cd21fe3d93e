//! `towpath.toml`: what is written, with the place of every word, and every mistake with its cure.
//!
//! [`parse`] turns bytes into a [`File`] that holds only what is written; nothing is filled in here. What a
//! project means after defaults and presets is worked out by `preset::resolve`, which needs the places kept in
//! [`Written`] to say where a mistake is that only shows once the presets are known.

mod artifact;
pub mod compose;
mod environment;
mod hosts;
mod mistake;
mod nearest;
mod parts;
mod read;
pub mod reference;
mod role;
pub mod schema;
mod secret;
mod service;
mod stage;
mod value;

pub use artifact::ArtifactTable;
pub use environment::EnvironmentTable;
pub use mistake::{Mistake, Mistakes, Place};
pub use nearest::nearest;
pub use parts::{HealthTable, HooksTable, StrategyTable, ToleranceTable};
pub use role::RoleTable;
pub use service::ServiceTable;
pub use stage::StageTable;
pub use value::valid_name;

use crate::domain::project::ProjectKind;
use crate::domain::time::Millis;

/// The name of the configuration file at the project's root.
pub const FILE_NAME: &str = "towpath.toml";

/// The largest file that is read, in bytes. A real one has a few hundred lines; a larger one is a mix-up or an attack.
pub const SIZE_LIMIT: usize = 1024 * 1024;

/// How long a stage of one's own may take where it does not say: fifteen minutes, as `config.example.toml` documents.
pub const STAGE_TIMEOUT: Millis = Millis::minutes(15);

/// A value with the place where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written<T> {
    /// What is written.
    pub value: T,
    /// Where its value begins.
    pub place: Place,
}

/// What is written in one configuration file; nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// How the file is called in messages. Empty where there is no file.
    pub name: String,
    /// `[project]`.
    pub project: ProjectTable,
    /// `[pipeline]`.
    pub pipeline: PipelineTable,
    /// `[artifact]`.
    pub artifact: ArtifactTable,
    /// `[[stage]]`, in order.
    pub stages: Vec<StageTable>,
    /// `[service.NAME]`, in the order of the file.
    pub services: Vec<ServiceTable>,
    /// `[role.NAME]`, in the order of the file.
    pub roles: Vec<RoleTable>,
    /// `[environment.NAME]`, in the order of the file.
    pub environments: Vec<EnvironmentTable>,
}

/// `[project]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectTable {
    /// `name`
    pub name: Option<Written<String>>,
    /// `kind`
    pub kind: Option<Written<ProjectKind>>,
    /// `python`
    pub python: Option<Written<String>>,
    /// `settings`
    pub settings: Option<Written<String>>,
}

/// `[pipeline]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineTable {
    /// `branch`
    pub branch: Option<Written<String>>,
    /// `poll`
    pub poll: Option<Written<Millis>>,
    /// `runs`
    pub runs: Option<Written<u32>>,
    /// `jobs`
    pub jobs: Option<Written<u32>>,
}

/// Reads a configuration file.
///
/// `name` is how the file is called in messages (`towpath.toml`, or its path in a monorepo).
///
/// # Errors
/// Every mistake that can be told without knowing the project, in the order of the file: all of them where the
/// TOML itself can be parsed, otherwise the parser's own.
pub fn parse(bytes: &[u8], name: &str) -> Result<File, Mistakes> {
    let text = mistake::text_of(bytes, name)?;
    let table = match toml::de::DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => return Err(mistake::of_syntax(text, name, &error)),
    };
    let mut reader = read::Reader::new(text, name);
    let file = read::file(&mut reader, table.get_ref());
    reader.finish(file)
}

#[cfg(test)]
mod tests;
