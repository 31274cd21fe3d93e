//! Who gets the traffic: what a router is to do, and what can be in its way.

use std::net::IpAddr;

use crate::domain::ids::{DeploymentId, ReleaseNumber};

pub mod nginx;
pub mod static_files;

/// One replica that takes traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Whose replica it is.
    pub deployment: DeploymentId,
    /// What runs in it.
    pub release: ReleaseNumber,
    /// Where it listens: an address, for a router tells replicas apart by address and port.
    pub host: IpAddr,
    /// Where it listens: the port.
    pub port: u16,
}

/// Replicas that share a part of the traffic evenly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who.
    pub members: Vec<Member>,
    /// Per cent of all traffic, for all of them together. With 0 they get none, but are still told apart.
    pub weight: u8,
}

/// Where the traffic of one environment goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The project.
    pub project: String,
    /// The environment.
    pub environment: String,
    /// Who gets how much. Shares that have no replica leave theirs to the others.
    pub shares: Vec<Share>,
}

impl Route {
    /// The members that get traffic, each with the per cent of its share.
    pub fn routed(&self) -> impl Iterator<Item = (&Member, u8)> {
        let routed = self.shares.iter().filter(|share| share.weight > 0);
        routed.flat_map(|share| share.members.iter().map(|member| (member, share.weight)))
    }
}

/// What went wrong, in the words of the one who must put it right.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
#[error("{summary}")]
pub struct Trouble {
    /// What happened, one line.
    pub summary: String,
    /// What was expected.
    pub expected: String,
    /// What was measured.
    pub measured: String,
    /// The last lines of a command's output, oldest first, sanitised.
    pub last_lines: Vec<String>,
    /// What to do about it; empty when nothing general can be said.
    pub cure: String,
}
