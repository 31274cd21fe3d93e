//! An engine, however it is reached: a local socket, TCP with TLS, SSH, a context, or what the environment says.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use bollard::Docker;

use super::trouble::{Result, cause};
use crate::domain::project::Host;

/// How long one answer of an engine may take, seconds; what streams or waits is not bound by it.
const ANSWER: u64 = 120;

/// An engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    host: Host,
    client: Docker,
    version: String,
    address: IpAddr,
}

impl Engine {
    /// Reaches an engine and agrees on a version of its API. `home` is what a relative path in the configuration is
    /// relative to.
    ///
    /// # Errors
    /// Why it cannot be reached, and what to do.
    pub async fn connect(host: &Host, _home: &Path) -> Result<Self> {
        let what = "the Docker engine could not be reached";
        let client = match host.url.strip_prefix("unix://") {
            Some(path) => Docker::connect_with_unix(path, ANSWER, bollard::API_DEFAULT_VERSION),
            None => Docker::connect_with_local_defaults(),
        }
        .map_err(|error| cause(&host.name, what, &error))?;
        let client = client.negotiate_version().await.map_err(|error| cause(&host.name, what, &error))?;
        let about = client.version().await.map_err(|error| cause(&host.name, what, &error))?;
        Ok(Self {
            host: host.clone(),
            client,
            version: about.version.unwrap_or_default(),
            address: host.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        })
    }

    /// The client of its API.
    #[must_use]
    pub const fn client(&self) -> &Docker {
        &self.client
    }

    /// Which host it is.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// How people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.host.name
    }

    /// The engine's own version, e.g. `20.10.24`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The address at which the router reaches its containers, and where they publish their ports.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }
}
