//! Artifacts and releases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::Finding;
use super::ids::{ArtifactId, CommitId, ReleaseNumber, RunId};
use super::project::{ImageSettings, ProjectKind, Role, RuntimeKind};
use super::time::Timestamp;

/// What a pipeline builds once per commit, tests, and promotes as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What runs it.
    #[serde(default)]
    pub runtime: RuntimeKind,
    /// Identity by content: of an image, its id, which every engine computes alike.
    pub id: ArtifactId,
    /// Where it is: a directory (process runtime) or an image's name with the commit's SHA as its tag (Docker).
    pub location: String,
    /// What it was built from: hash of the tree, the lock, the interpreter and the build's settings.
    pub inputs: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Number of files; of an image, of layers.
    pub files: u64,
}

impl Artifact {
    /// What it is made of, in words: `7 layers` of an image, `812 files` otherwise.
    #[must_use]
    pub fn parts(&self) -> String {
        let (one, many) = match self.runtime {
            RuntimeKind::Process => ("file", "files"),
            RuntimeKind::Docker => ("layer", "layers"),
        };
        format!("{} {}", self.files, if self.files == 1 { one } else { many })
    }
}

/// One migration that a release carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MigrationRef {
    /// `app.0012_name`.
    pub name: String,
    /// SHA-256 of the migration's file, hexadecimal.
    pub hash: String,
    /// Nothing depends on it: one of the graph's leaves.
    pub leaf: bool,
}

/// A tested artifact with a number. Never changed, never rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its number in this project.
    pub number: ReleaseNumber,
    /// The commit it was built from.
    pub commit: CommitId,
    /// The commit's subject line.
    pub subject: String,
    /// The version that a tag on the commit gives, e.g. `1.2.0`.
    pub version: Option<String>,
    /// The artifact that passed.
    pub artifact: Artifact,
    /// The run that tested it.
    pub run: RunId,
    /// When it was given its number.
    pub created: Timestamp,
    /// Every migration it carries, sorted by name.
    pub migrations: Vec<MigrationRef>,
    /// What its run noticed.
    pub findings: Vec<Finding>,
    /// How it is run.
    #[serde(default)]
    pub serving: Serving,
}

/// The name under which a build puts out where its static files lie, relative to the artifact's directory.
pub const STATIC_FILES: &str = "static_files";

/// How a release is run: what its commit's configuration and its build say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// Which presets apply; `None` of a release that was made before this was kept.
    pub kind: Option<ProjectKind>,
    /// Django's settings module; `None` takes what `manage.py` sets.
    pub settings: Option<String>,
    /// What runs, by name.
    pub roles: BTreeMap<String, Role>,
    /// How its image was built and is moved; `None` on the process runtime.
    #[serde(default)]
    pub image: Option<ImageSettings>,
    /// The collected static files, relative to the artifact's directory; `None` where there are none.
    pub static_files: Option<String>,
    /// Hash of what tells which of the artifact's files were touched since it was built: going back to it then reads
    /// these alone. `None` reads all.
    #[serde(default)]
    pub stamps: Option<String>,
}

/// The name under which a build puts out the hash of its files' stamps.
pub const STAMPS: &str = "stamps";

impl Release {
    /// The names of the migration graph's leaves, sorted: what a database must be at for this release.
    pub fn leaves(&self) -> impl Iterator<Item = &str> {
        self.migrations.iter().filter(|migration| migration.leaf).map(|migration| migration.name.as_str())
    }
}
