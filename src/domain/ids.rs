//! The names of things. A number is an identity only inside one project's journal.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub u64);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Number).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.strip_prefix($prefix).unwrap_or(text).parse().map(Self)
            }
        }
    };
}

/// Reads a number also where it is a map's key: JSON writes keys as text, and a tagged message buffers them so.
struct Number;

impl serde::de::Visitor<'_> for Number {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub String);

        impl $name {
            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

number!(
    /// A run: one commit walked through its plans. Shown as `58`.
    RunId,
    ""
);
number!(
    /// A release: an artifact whose pipeline has passed. Shown as `v57`; never reused.
    ReleaseNumber,
    "v"
);
number!(
    /// A deployment: a release made live in one environment with one configuration. Shown as `#112`.
    DeploymentId,
    "#"
);
number!(
    /// A place in the journal, from 1.
    Seq,
    ""
);
number!(
    /// The epoch of an environment's lease: it only grows, and is in every name derived under the lease.
    Epoch,
    ""
);

text!(
    /// A commit's full object name: 40 (or 64) hexadecimal digits.
    CommitId
);
text!(
    /// A step's name, unique in its plan: `install`, `ruff`, `candidate`.
    StepId
);
text!(
    /// An environment's name as configured: `staging`.
    EnvironmentName
);
text!(
    /// What an artifact is, by its bytes: `sha256:…` over its manifest (process) or the image id (Docker).
    ArtifactId
);
text!(
    /// The digest of a plan: what an operator has looked at and confirms. Hexadecimal SHA-256.
    PlanDigest
);

impl CommitId {
    /// The seven digits that people read.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl ArtifactId {
    /// `sha256:` and twelve digits.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..19).unwrap_or(&self.0)
    }
}

impl PlanDigest {
    /// The six digits that people read.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..6).unwrap_or(&self.0)
    }
}

/// Whose step it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A step of a run's pipeline.
    Run(RunId),
    /// A step of a deployment.
    Deployment(DeploymentId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run {run}"),
            Self::Deployment(deployment) => write!(f, "deployment {deployment}"),
        }
    }
}

/// One attempt at one step: the unit that is started once, ends once, and has one log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptKey {
    /// Whose step.
    pub owner: Owner,
    /// Which step.
    pub step: StepId,
    /// Which attempt at it, from 1.
    pub attempt: u32,
}

impl fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} attempt {}", self.owner, self.step, self.attempt)
    }
}

/// One replica of one role of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaKey {
    /// Where.
    pub environment: EnvironmentName,
    /// Whose.
    pub deployment: DeploymentId,
    /// Which role.
    pub role: String,
    /// Which of the role's replicas, from 1.
    pub index: u32,
}

impl fmt::Display for ReplicaKey {
    /// `web-1 of #112`; inside of one environment that is enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{} of {}", self.role, self.index, self.deployment))
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Actor {
    /// The engine by itself (an outcome came in, a deadline passed, a branch moved).
    Engine,
    /// A person, by the login name that owns the connecting process, and the terminal they sat at.
    Operator {
        /// Login name.
        name: String,
        /// Where from: a terminal (`pts/3`), or `-` without one.
        terminal: String,
    },
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.pad("towpath"),
            Self::Operator { name, .. } => f.pad(name),
        }
    }
}
