//! What everything of ours on an engine is called, and how it is known to be ours. Only what carries our labels is
//! ours to touch; a name alone proves nothing.

use std::collections::BTreeMap;

use crate::domain::ids::{DeploymentId, EnvironmentName, ReplicaKey};

/// What a thing is: see [`Kind`].
pub const KIND: &str = "towpath.kind";
/// The project's name.
pub const PROJECT: &str = "towpath.project";
/// The environment's name.
pub const ENVIRONMENT: &str = "towpath.environment";
/// The deployment's number.
pub const DEPLOYMENT: &str = "towpath.deployment";
/// The release's number.
pub const RELEASE: &str = "towpath.release";
/// The role.
pub const ROLE: &str = "towpath.role";
/// Which of the role's replicas.
pub const INDEX: &str = "towpath.index";
/// The image's id, as it was tested.
pub const ARTIFACT: &str = "towpath.artifact";
/// The commit.
pub const COMMIT: &str = "towpath.commit";
/// The epoch of the lease under which it was made.
pub const EPOCH: &str = "towpath.epoch";
/// The port that was published for it, on the host.
pub const PORT: &str = "towpath.port";
/// Hash of the settings that it was made with, values of secrets left out.
pub const SETTINGS: &str = "towpath.settings";
/// The attempt's directory: whose a step's containers and networks are.
pub const ATTEMPT: &str = "towpath.attempt";

/// Hash of what an image was built from: the same inputs are not built again.
pub const INPUTS: &str = "towpath.inputs";

/// What a thing of ours is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A replica of a role.
    Replica,
    /// A command of a deployment that runs once.
    Once,
    /// A step of a pipeline.
    Step,
    /// A service beside a step.
    Service,
    /// An environment's lease.
    Lease,
    /// An environment's network.
    Network,
    /// A cache of steps.
    Cache,
    /// A commit's image.
    Image,
    /// An image with development packages on top of a candidate's.
    Layer,
}

impl Kind {
    /// The label's value.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Once => "once",
            Self::Step => "step",
            Self::Service => "service",
            Self::Lease => "lease",
            Self::Network => "network",
            Self::Cache => "cache",
            Self::Image => "image",
            Self::Layer => "layer",
        }
    }
}

/// A replica's name on its host: `harbor-production-web-d112-1`. A redeploy is never mistaken for what already runs.
#[must_use]
pub fn replica(project: &str, key: &ReplicaKey) -> String {
    format!("{project}-{}-{}-d{}-{}", key.environment, key.role, key.deployment.0, key.index)
}

/// Whose a replica is: the labels that find it again.
#[must_use]
pub fn of_replica(project: &str, key: &ReplicaKey) -> BTreeMap<String, String> {
    let mut labels = of_environment(Kind::Replica, project, &key.environment);
    labels.insert(DEPLOYMENT.to_owned(), key.deployment.0.to_string());
    labels.insert(ROLE.to_owned(), key.role.clone());
    labels.insert(INDEX.to_owned(), key.index.to_string());
    labels
}

/// The labels of anything that belongs to an environment.
#[must_use]
pub fn of_environment(kind: Kind, project: &str, environment: &EnvironmentName) -> BTreeMap<String, String> {
    BTreeMap::from([
        (KIND.to_owned(), kind.word().to_owned()),
        (PROJECT.to_owned(), project.to_owned()),
        (ENVIRONMENT.to_owned(), environment.0.clone()),
    ])
}

/// Which replica a container is, by its labels; `None` of any other.
#[must_use]
pub fn key(labels: &BTreeMap<String, String>) -> Option<ReplicaKey> {
    let of = |name: &str| labels.get(name);
    if of(KIND)? != Kind::Replica.word() {
        return None;
    }
    Some(ReplicaKey {
        environment: EnvironmentName(of(ENVIRONMENT)?.clone()),
        deployment: DeploymentId(of(DEPLOYMENT)?.parse().ok()?),
        role: of(ROLE)?.clone(),
        index: of(INDEX)?.parse().ok()?,
    })
}
