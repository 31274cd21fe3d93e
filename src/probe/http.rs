//! One HTTP request with a connection of its own: no redirect followed, nothing kept, nothing tried again.

use std::error::Error as _;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::header::{HOST, HeaderMap, LOCATION};
use reqwest::{Client, StatusCode, redirect, retry};

use crate::domain::time::Millis;
use crate::text::sanitise::Sanitiser;
use crate::text::width;

/// The header by which an answer says whose it is: `d112`.
pub const DEPLOYMENT: &str = "X-Towpath-Deployment";
/// Bytes of an answer's body that are read; the rest is left.
const MOST_BODY: usize = 64 * 1024;
/// Characters of a body that are kept for people.
const MOST_SHOWN: usize = 300;

/// What is asked, and what counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Where: `http://` or `https://`.
    pub url: String,
    /// The `Host` header, where the URL names an address and the application wants a name.
    pub host: Option<String>,
    /// `X-Forwarded-Proto`, where the application redirects what did not come by https.
    pub forwarded_proto: Option<String>,
    /// How long everything may take, connecting and the body included.
    pub timeout: Duration,
    /// The status that is healthy; `None`: anything below 500.
    pub expect_status: Option<u16>,
    /// How long a healthy answer may take; `None`: as long as the timeout.
    pub within: Option<Millis>,
}

impl Ask {
    /// A question to a URL, healthy below 500.
    #[must_use]
    pub fn new(url: impl Into<String>, timeout: Duration) -> Self {
        Self {
            url: url.into(),
            host: None,
            forwarded_proto: None,
            timeout,
            expect_status: None,
            within: None,
        }
    }

    /// A question to a replica itself, past whatever is in front of it. `path` begins with `/`; `host` is the
    /// name that the application answers to.
    #[must_use]
    pub fn direct(address: IpAddr, port: u16, path: &str, host: Option<String>, timeout: Duration) -> Self {
        let address = std::net::SocketAddr::new(address, port);
        let slash = if path.starts_with('/') { "" } else { "/" };
        Self { host, ..Self::new(format!("http://{address}{slash}{path}"), timeout) }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status; `None` when there was no answer.
    pub status: Option<u16>,
    /// From the first step of connecting to the end of the body (or of what is read of it).
    pub latency: Millis,
    /// What [`DEPLOYMENT`] says, sanitised.
    pub deployment: Option<String>,
    /// Whether it is what was expected, in the time that was expected.
    pub healthy: bool,
    /// Short words, sanitised: `503 Service Unavailable`, `connection refused`, `slower than 500ms: 812ms`.
    pub why: String,
    /// How the body begins: at most 300 characters on one line, sanitised.
    pub body_start: String,
}

/// Asks. Cheap to clone, dear to make (it reads the machine's certificates): make one and keep it.
#[derive(Debug, Clone)]
pub struct Prober {
    client: Client,
}

impl Prober {
    /// A prober with the machine's own trusted certificates. Proxies that the environment names are not used: a
    /// probe asks what it says it asks.
    ///
    /// # Errors
    /// When the machine's certificates cannot be read.
    pub fn new() -> Result<Self, String> {
        Client::builder()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .pool_max_idle_per_host(0)
            .http1_only()
            .no_proxy()
            .user_agent(concat!("towpath/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(|client| Self { client })
            .map_err(|error| format!("no HTTP client could be made: {}", deepest(&error)))
    }

    /// Asks once. Whatever happens is an answer.
    pub async fn ask(&self, ask: &Ask) -> Answer {
        let began = Instant::now();
        match self.receive(ask).await {
            Ok(received) => judge(ask, &received, since(began)),
            Err(error) => Answer {
                status: None,
                latency: since(began),
                deployment: None,
                healthy: false,
                why: words(&error, ask),
                body_start: String::new(),
            },
        }
    }

    async fn receive(&self, ask: &Ask) -> reqwest::Result<Received> {
        let mut request = self.client.get(&ask.url).timeout(ask.timeout);
        if let Some(host) = &ask.host {
            request = request.header(HOST, host);
        }
        if let Some(proto) = &ask.forwarded_proto {
            request = request.header("X-Forwarded-Proto", proto);
        }
        let mut response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            let room = MOST_BODY - body.len();
            body.extend(chunk.iter().take(room));
            if chunk.len() >= room {
                break;
            }
        }
        Ok(Received { status, headers, body })
    }
}

struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

fn judge(ask: &Ask, received: &Received, latency: Millis) -> Answer {
    let status = received.status.as_u16();
    let mut why = received.status.to_string();
    if let Some(to) = received.headers.get(LOCATION).filter(|_| received.status.is_redirection()) {
        why = format!("{why} to {}", line(to.as_bytes(), MOST_SHOWN));
    }
    let mut healthy = ask.expect_status.map_or(status < 500, |expected| status == expected);
    if let Some(expected) = ask.expect_status.filter(|expected| *expected != status) {
        why = format!("{why}, expected {expected}");
    }
    if let Some(within) = ask.within.filter(|within| healthy && latency > *within) {
        healthy = false;
        why = format!("slower than {within}: {latency}");
    }
    let deployment = received.headers.get(DEPLOYMENT).map(|value| line(value.as_bytes(), 64));
    Answer {
        status: Some(status),
        latency,
        deployment: deployment.filter(|deployment| !deployment.is_empty()),
        healthy,
        why,
        body_start: line(&received.body, MOST_SHOWN),
    }
}

/// Why there was no answer, in few words.
fn words(error: &reqwest::Error, ask: &Ask) -> String {
    if error.is_builder() {
        return format!("not a request that can be made: {}", deepest(error));
    }
    if error.is_timeout() {
        let limit = Millis(u64::try_from(ask.timeout.as_millis()).unwrap_or(u64::MAX));
        return format!("no answer within {limit}");
    }
    let mut source = error.source();
    let mut resolving = false;
    while let Some(inner) = source {
        resolving |= inner.to_string().contains("dns error");
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        match kind {
            Some(ErrorKind::ConnectionRefused) => return "connection refused".into(),
            Some(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof) => {
                return "connection closed without an answer".into();
            }
            Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
                return "host not reachable".into();
            }
            _ => {}
        }
        source = inner.source();
    }
    let deepest = deepest(error);
    if resolving {
        return format!("no such host: {deepest}");
    }
    if deepest.contains("before message completed") {
        return "connection closed without an answer".into();
    }
    if ask.url.starts_with("https:") && error.is_connect() {
        return format!("TLS: {deepest}");
    }
    deepest
}

/// What the innermost of an error's causes says, sanitised.
fn deepest(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        said = inner.to_string();
        source = inner.source();
    }
    line(said.as_bytes(), MOST_SHOWN)
}

/// Foreign bytes as one harmless line.
fn line(bytes: &[u8], most: usize) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(bytes);
    lines.extend(sanitiser.finish());
    let joined = lines.iter().map(|line| width::plain(line)).collect::<Vec<_>>().join(" ");
    let words = joined.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(most).collect()
}

fn since(began: Instant) -> Millis {
    Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
