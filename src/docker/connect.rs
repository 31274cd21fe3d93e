//! An engine, however it is reached: a local socket, TCP with TLS, SSH, a context, or what the environment says.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};

use super::patience::PATIENCE;
use super::place::{Place, Surroundings, find, wrong};
use super::ssh::{self, Destination, Master};
use super::trouble::{Result, cause};
use crate::domain::plan::Cause;
use crate::domain::project::Host;
use crate::domain::time::Timestamp;

/// How long one answer of an engine may take, seconds; what streams or waits is not bound by it.
const ANSWER: u64 = 120;
/// How long an engine may take to be reached and to say its version: a few round trips anywhere on earth.
const REACH: Duration = Duration::from_secs(5);
/// The same through ssh, which may go over another machine first.
const REACH_BY_SSH: Duration = Duration::from_secs(15);
/// The oldest version of the API that has all that we ask for (Docker 19.03).
const OLDEST: (usize, usize) = (1, 40);

const WHAT: &str = "the Docker engine could not be reached";

/// An engine that answered.
#[derive(Debug, Clone)]
pub struct Engine {
    host: Host,
    client: Docker,
    version: String,
    address: IpAddr,
    warnings: Vec<String>,
    /// The connection that the client's socket leads through; it ends with the last clone.
    _ssh: Option<Arc<Master>>,
}

impl Engine {
    /// Reaches an engine and agrees on a version of its API. `home` is what a relative path in the configuration is
    /// relative to. Never takes longer than a few seconds.
    ///
    /// # Errors
    /// Why it cannot be reached, and what to do.
    pub async fn connect(host: &Host, home: &Path) -> Result<Self> {
        Self::connect_in(host, home, &Surroundings::here()).await
    }

    /// [`connect`](Self::connect) to an engine that was there a moment ago: it is waited for.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), after [`PATIENCE`].
    pub async fn connect_again(host: &Host, home: &Path) -> Result<Self> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Self::connect(host, home).await {
                Err(_) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                said => return said,
            }
        }
    }

    /// [`connect`](Self::connect), with these variables in place of the process's own.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_in(host: &Host, home: &Path, around: &Surroundings) -> Result<Self> {
        let place = find(host, home, around)?;
        let reach = if matches!(place, Place::Ssh { .. }) { REACH_BY_SSH } else { REACH };
        tokio::time::timeout(reach, Self::reach(host, &place, around)).await.unwrap_or_else(|_| {
            Err(Box::new(Cause {
                summary: format!("{WHAT} on {}: it did not answer in {} s", host.name, reach.as_secs()),
                expected: format!("an answer within {} s", reach.as_secs()),
                measured: "none".to_owned(),
                cure: "look at that machine: it is overloaded, unreachable behind a firewall, or its engine hangs \
                       (`systemctl status docker`)"
                    .to_owned(),
                ..Cause::default()
            }))
        })
    }

    async fn reach(host: &Host, place: &Place, around: &Surroundings) -> Result<Self> {
        let told = |error| cause(&host.name, WHAT, &error);
        let mut warnings = Vec::new();
        let mut master = None;
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (client, address) = match place {
            Place::Socket(path) => (socket(path).map_err(told)?, host.address.unwrap_or(local)),
            Place::Tcp { authority, tls } => {
                let address = resolve(host, authority).await?;
                let client = if let Some(directory) = tls {
                    secured(host, authority, directory)?
                } else {
                    warnings.push(format!(
                        "{} is asked at {authority} without TLS: whoever reaches that port is root there",
                        host.name
                    ));
                    Docker::connect_with_http(authority, ANSWER, API_DEFAULT_VERSION).map_err(told)?
                };
                (client, address)
            }
            Place::Ssh { user, host: name, port, socket: named } => {
                let (user, socket_there) = (user.as_deref(), named.as_deref());
                let to = Destination { user, host: name, port: *port, socket: socket_there };
                let address = match host.address {
                    Some(address) => address,
                    None => {
                        resolve(host, &format!("{}:0", bracketed(&ssh::address(&to, around).await))).await?
                    }
                };
                let opened = ssh::open(host, &to, around).await?;
                let client = socket(&opened.socket()).map_err(told)?;
                master = Some(Arc::new(opened));
                (client, address)
            }
        };
        let explain = |error| {
            let mut cause = told(error);
            if master.is_some() && cause.cure.is_empty() {
                "sshd there must allow sockets to be forwarded: `AllowStreamLocalForwarding yes` in sshd_config"
                    .clone_into(&mut cause.cure);
            }
            cause
        };
        let client = client.negotiate_version().await.map_err(explain)?;
        let about = client.version().await.map_err(explain)?;
        let version = about.version.unwrap_or_default();
        fits(host, &version, client.client_version(), about.min_api_version.as_deref())?;
        Ok(Self { host: host.clone(), client, version, address, warnings, _ssh: master })
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

    /// What an operator should know of how it is reached, a clause each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The engine's own clock: consoles whose clocks differ agree on it.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn now(&self) -> Result<Timestamp> {
        let what = "the engine's clock could not be read";
        let client = self.client.clone().with_timeout(REACH);
        let about = client.info().await.map_err(|error| cause(self.name(), what, &error))?;
        let said = about.system_time.unwrap_or_default();
        let at = said.parse::<jiff::Timestamp>().map_err(|_| {
            let summary = format!("{what} on {}", self.name());
            let (expected, measured) = ("a time".to_owned(), format!("`{said}`"));
            Box::new(Cause { summary, expected, measured, ..Cause::default() })
        })?;
        Ok(Timestamp(at.as_millisecond()))
    }
}

fn socket(path: &Path) -> std::result::Result<Docker, bollard::errors::Error> {
    // A missing one is told with what the operating system says of it, like one that may not be opened.
    let text = path.to_string_lossy();
    Docker::connect_with_unix(&text, ANSWER, API_DEFAULT_VERSION)
}

/// A client with certificates. The library reads them late and is silent of one that is missing.
fn secured(host: &Host, authority: &str, directory: &Path) -> Result<Docker> {
    let file = |name: &str| directory.join(name);
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        if let Err(error) = std::fs::File::open(file(name)) {
            let said = format!("{} cannot be read: {error}", file(name).display());
            return Err(wrong(
                host,
                &said,
                "`tls` names the directory with `ca.pem`, `cert.pem` and `key.pem`",
            ));
        }
    }
    Docker::connect_with_ssl(
        authority,
        &file("key.pem"),
        &file("cert.pem"),
        &file("ca.pem"),
        ANSWER,
        API_DEFAULT_VERSION,
    )
    .map_err(|error| {
        let mut cause = cause(&host.name, WHAT, &error);
        cause.measured = error.to_string();
        cause
    })
}

/// An address of IPv6 as it stands before a port.
fn bracketed(name: &str) -> String {
    if name.contains(':') { format!("[{name}]") } else { name.to_owned() }
}

/// The host's address: as configured, otherwise that of `authority` (`HOST:PORT`), IPv4 before IPv6.
async fn resolve(host: &Host, authority: &str) -> Result<IpAddr> {
    if let Some(address) = host.address {
        return Ok(address);
    }
    let cure = "correct the host's url; or give its `address`, where the router reaches its containers";
    let found = tokio::net::lookup_host(authority)
        .await
        .map_err(|error| wrong(host, &format!("`{authority}` has no address: {error}"), cure))?;
    let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    let first = found.iter().find(|address| address.is_ipv4()).or_else(|| found.first());
    first.copied().ok_or_else(|| wrong(host, &format!("`{authority}` has no address"), cure))
}

/// Whether we speak a version of the API that the engine speaks too.
fn fits(host: &Host, version: &str, agreed: ClientVersion, least: Option<&str>) -> Result<()> {
    let agreed = (agreed.major_version, agreed.minor_version);
    let least = least.and_then(|text| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let wrong = |said: String, expected: String, cure: &str| {
        Err(Box::new(Cause {
            summary: format!("the Docker engine {version} on {} is {said}", host.name),
            expected,
            measured: format!("API {}.{}", agreed.0, agreed.1),
            cure: cure.to_owned(),
            ..Cause::default()
        }))
    };
    if agreed < OLDEST {
        let expected = format!("API {}.{} or later (Docker 19.03)", OLDEST.0, OLDEST.1);
        return wrong("too old".to_owned(), expected, "update Docker on that machine");
    }
    match least {
        Some(least) if agreed < least => {
            let expected = format!("an engine that takes API {}.{}", agreed.0, agreed.1);
            let said = format!("too new: it wants API {}.{} or later", least.0, least.1);
            wrong(said, expected, "update towpath")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_too_old_or_too_new_says_so() {
        let agreed = |minor| ClientVersion { major_version: 1, minor_version: minor };
        let fits = |minor, least| fits(&Host::usual(), "x", agreed(minor), least);
        assert!(fits(41, Some("1.12")).is_ok());
        assert!(fits(53, Some("1.44")).is_ok());
        assert!(fits(41, None).is_ok());
        assert!(fits(39, Some("1.12")).unwrap_err().summary.contains("too old"));
        assert!(fits(53, Some("1.60")).unwrap_err().summary.contains("too new: it wants API 1.60"));
    }
}
