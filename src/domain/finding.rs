//! What was noticed and is worth a person's attention.

use serde::{Deserialize, Serialize};

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Likely to hurt one day.
    Warning,
    /// Holds a promotion until it is acknowledged.
    Error,
}

impl Severity {
    /// The word on screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing noticed, said once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Stable identity of the rule and the place, e.g. `PY-FLOATING:requests`. Bound into plan digests.
    pub id: String,
    /// How much it weighs.
    pub severity: Severity,
    /// One sentence, with its period.
    pub title: String,
    /// What to do about it, in the project's own terms; empty when nothing can be done.
    pub cure: String,
}
