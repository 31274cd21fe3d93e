//! Which keys exist. The example file, the unknown-key messages and the reader all go by these lists.

/// One table of the configuration and its keys.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name as written between brackets.
    pub name: &'static str,
    /// Whether it is written `[[name]]`, once for each.
    pub repeated: bool,
    /// Its keys.
    pub keys: &'static [&'static str],
}

impl Table {
    /// The line that begins it: `[project]`, `[[stage]]`.
    #[must_use]
    pub fn heading(&self) -> String {
        if self.repeated { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }
}

/// `[project]`
pub const PROJECT: Table =
    Table { name: "project", repeated: false, keys: &["name", "kind", "python", "settings"] };
/// `[pipeline]`
pub const PIPELINE: Table =
    Table { name: "pipeline", repeated: false, keys: &["branch", "poll", "runs", "jobs"] };
/// `[artifact]`
pub const ARTIFACT: Table = Table { name: "artifact", repeated: false, keys: &["collectstatic", "env"] };
/// `[[stage]]`
pub const STAGE: Table = Table {
    name: "stage",
    repeated: true,
    keys: &[
        "name", "needs", "run", "in", "services", "env", "timeout", "retries", "when", "group", "enabled",
    ],
};

/// Every table, in the order of the example file.
pub const TABLES: [Table; 4] = [PROJECT, PIPELINE, ARTIFACT, STAGE];
