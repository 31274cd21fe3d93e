//! Where an engine is: what a host's url, the environment's variables and the user's own Docker settings say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::context;
use super::trouble::Result;
use crate::domain::plan::Cause;
use crate::domain::project::Host;

/// What decides beside the configuration, as the `docker` command has it decide.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `DOCKER_HOST`, `DOCKER_TLS_VERIFY`, `DOCKER_CERT_PATH`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`, `XDG_RUNTIME_DIR`,
    /// `HOME`; `TOWPATH_SSH_CONFIG` names a configuration of ssh to use in place of the user's own.
    pub variables: BTreeMap<String, String>,
}

impl Surroundings {
    /// This process's.
    #[must_use]
    pub fn here() -> Self {
        const NAMES: [&str; 8] = [
            "DOCKER_HOST",
            "DOCKER_TLS_VERIFY",
            "DOCKER_CERT_PATH",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "XDG_RUNTIME_DIR",
            "HOME",
            "TOWPATH_SSH_CONFIG",
        ];
        let found = NAMES.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?)));
        Self { variables: found.collect() }
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where the user's Docker settings are.
    pub(super) fn docker(&self) -> PathBuf {
        match self.get("DOCKER_CONFIG") {
            Some(directory) => directory.into(),
            None => Path::new(self.get("HOME").unwrap_or("/")).join(".docker"),
        }
    }
}

/// How an engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket of this machine.
    Socket(PathBuf),
    /// A port, with the directory of the certificates, or without TLS.
    Tcp { authority: String, tls: Option<PathBuf> },
    /// Through ssh: `[USER@]HOST[:PORT]`, and the socket there where the url names one.
    Ssh { user: Option<String>, host: String, port: Option<u16>, socket: Option<String> },
}

/// A cause of a host whose url leads nowhere.
pub(super) fn wrong(host: &Host, said: &str, cure: &str) -> Box<Cause> {
    Box::new(Cause {
        summary: format!("{}: {said}", host.name),
        expected: "the url of a Docker engine".to_owned(),
        measured: format!("`{}`", host.url),
        cure: cure.to_owned(),
        ..Cause::default()
    })
}

/// Where the host's engine is.
///
/// # Errors
/// When its url, its context or a variable names no place.
pub(super) fn find(host: &Host, home: &Path, around: &Surroundings) -> Result<Place> {
    let tls = host.tls.as_ref().map(|directory| home.join(directory));
    if let Some(name) = host.url.strip_prefix("context:") {
        return context::place(host, name, around);
    }
    if host.url != "default" {
        return parse(host, &host.url, tls);
    }
    if let Some(url) = around.get("DOCKER_HOST") {
        let verify = around.get("DOCKER_TLS_VERIFY").is_some();
        let named = around.get("DOCKER_CERT_PATH").map_or_else(|| around.docker(), PathBuf::from);
        return parse(host, url, tls.or_else(|| verify.then_some(named)));
    }
    match around.get("DOCKER_CONTEXT").map(str::to_owned).or_else(|| context::current(around)) {
        Some(name) if name != "default" => context::place(host, &name, around),
        _ => Ok(local(around)),
    }
}

/// The socket of this machine: the system's, or the user's own where only that is there.
pub(super) fn local(around: &Surroundings) -> Place {
    let system = PathBuf::from("/var/run/docker.sock");
    let own = around.get("XDG_RUNTIME_DIR").map(|directory| Path::new(directory).join("docker.sock"));
    match own.filter(|own| own.exists() && !system.exists()) {
        Some(own) => Place::Socket(own),
        None => Place::Socket(system),
    }
}

/// What a url says.
pub(super) fn parse(host: &Host, url: &str, tls: Option<PathBuf>) -> Result<Place> {
    let cure =
        "write `unix:///…`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT]`, `context:NAME` or `default`";
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong(host, &format!("`{url}` has no scheme"), cure));
    };
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Place::Socket(rest.into())),
        "unix" => Err(wrong(host, "the socket's path must begin with `/`", cure)),
        "tcp" | "http" | "https" => {
            let authority = rest.trim_end_matches('/');
            let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
            if authority.contains(['/', '@']) || authority.is_empty() {
                return Err(wrong(host, &format!("`{url}` is not HOST:PORT"), cure));
            }
            // As the docker command does it: 2376 with TLS, 2375 without.
            let usual = if tls.is_some() { 2376 } else { 2375 };
            let authority =
                if port.is_some() { authority.to_owned() } else { format!("{authority}:{usual}") };
            Ok(Place::Tcp { authority, tls })
        }
        "ssh" => {
            let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
            let (user, place) = place.rsplit_once('@').map_or((None, place), |(user, at)| (Some(user), at));
            let (name, port) = match place.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                    let number = port.parse();
                    (name, Some(number.map_err(|_| wrong(host, &format!("`{port}` is not a port"), cure))?))
                }
                _ => (place, None),
            };
            let name = name.trim_start_matches('[').trim_end_matches(']');
            // What begins with `-` would be an option of ssh.
            let is_word = |text: &str| {
                !text.is_empty()
                    && !text.starts_with('-')
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-:%+".contains(c))
            };
            let path_is_plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
            if !is_word(name) || user.is_some_and(|user| !is_word(user)) || !path_is_plain {
                return Err(wrong(
                    host,
                    "neither a user with a password nor such a name can be asked by ssh",
                    cure,
                ));
            }
            Ok(Place::Ssh {
                user: user.map(str::to_owned),
                host: name.to_owned(),
                port,
                socket: (!path.is_empty()).then(|| format!("/{path}")),
            })
        }
        _ => Err(wrong(host, &format!("`{scheme}://` is not supported"), cure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(url: &str) -> Host {
        Host { url: url.to_owned(), ..Host::usual() }
    }

    fn found(url: &str, around: &[(&str, &str)]) -> Result<Place> {
        let variables =
            around.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        find(&host(url), Path::new("/project"), &Surroundings { variables })
    }

    #[test]
    fn urls_are_read_as_the_docker_command_reads_them() {
        let tcp = |authority: &str, tls: Option<&str>| Place::Tcp {
            authority: authority.to_owned(),
            tls: tls.map(PathBuf::from),
        };
        let ssh = |user: Option<&str>, name: &str, port, socket: Option<&str>| Place::Ssh {
            user: user.map(str::to_owned),
            host: name.to_owned(),
            port,
            socket: socket.map(str::to_owned),
        };
        assert_eq!(found("unix:///run/a.sock", &[]).unwrap(), Place::Socket("/run/a.sock".into()));
        assert_eq!(found("tcp://app1:2375", &[]).unwrap(), tcp("app1:2375", None));
        assert_eq!(found("tcp://app1", &[]).unwrap(), tcp("app1:2375", None));
        assert_eq!(
            found("ssh://deploy@app1:2222", &[]).unwrap(),
            ssh(Some("deploy"), "app1", Some(2222), None)
        );
        assert_eq!(
            found("ssh://app1/run/d.sock", &[]).unwrap(),
            ssh(None, "app1", None, Some("/run/d.sock"))
        );
        assert_eq!(found("ssh://[::1]:22", &[]).unwrap(), ssh(None, "::1", Some(22), None));
        let named = [("DOCKER_HOST", "tcp://a:1"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/c")];
        assert_eq!(found("default", &named).unwrap(), tcp("a:1", Some("/c")));
        let both = [("DOCKER_HOST", "unix:///x"), ("DOCKER_CONTEXT", "other")];
        assert_eq!(found("default", &both).unwrap(), Place::Socket("/x".into()));
        let with = Host { tls: Some("certificates".to_owned()), ..host("tcp://app1") };
        let with = find(&with, Path::new("/project"), &Surroundings::default()).unwrap();
        assert_eq!(with, tcp("app1:2376", Some("/project/certificates")));
    }

    #[test]
    fn what_is_no_place_is_refused_and_no_option_reaches_ssh() {
        for url in [
            "app1",
            "npipe:////./pipe/x",
            "unix://docker.sock",
            "ssh://-oProxyCommand=x",
            "ssh://a;b",
            "ssh://",
        ] {
            let cause = found(url, &[]).unwrap_err();
            assert!(cause.cure.contains("ssh://"), "{url}: {cause:?}");
        }
    }
}
