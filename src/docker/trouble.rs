//! What an engine answered, or why it did not, as a cause with a cure.

use std::io::ErrorKind;

use bollard::errors::Error;

use crate::domain::plan::Cause;
use crate::text::sanitise::Sanitiser;
use crate::text::width::plain;

/// What an engine did, or why it did not.
pub type Result<T> = std::result::Result<T, Box<Cause>>;

/// Lines of an engine's answer that are kept; some answers repeat a whole build.
const LINES: usize = 20;

/// A cause for a step: what was tried at which host, and what the engine said. `what` is a clause such as
/// `the container web-1 could not be started`.
#[must_use]
pub fn cause(host: &str, what: &str, error: &Error) -> Box<Cause> {
    let lines = lines(&said(error));
    let first = lines.first().cloned().unwrap_or_else(|| "it gave no reason".to_owned());
    Box::new(Cause {
        summary: format!("{what} on {host}: {first}"),
        measured: status(error).map_or_else(|| first.clone(), |status| format!("{first} (status {status})")),
        cure: cure(error).to_owned(),
        last_lines: if lines.len() > 1 { lines } else { Vec::new() },
        ..Cause::default()
    })
}

/// The status that the engine answered with; `None` when it did not answer.
#[must_use]
pub const fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the engine itself refused. Otherwise it could not be asked, or its answer was lost: what was asked may have
/// been done.
#[must_use]
pub const fn refused(error: &Error) -> bool {
    match status(error) {
        Some(status) => status < 500,
        None => false,
    }
}

/// What comes from outside, as lines that a screen may show; at most [`LINES`].
pub(super) fn lines(text: &str) -> Vec<String> {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(text.as_bytes());
    lines.extend(sanitiser.finish());
    let lines = lines.iter().map(|line| plain(line).trim().to_owned()).filter(|line| !line.is_empty());
    lines.take(LINES).collect()
}

/// What was said, in the words of whoever said it first: the client wraps it in sentences about itself.
fn said(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } | Error::DockerContainerWaitError { error, .. } => error.clone(),
        Error::RequestTimeoutError => "it did not answer in time".to_owned(),
        Error::SocketNotFoundError(path) => format!("there is no socket {path}"),
        error => {
            let mut innermost: &dyn std::error::Error = error;
            while let Some(inner) = innermost.source() {
                innermost = inner;
            }
            innermost.to_string()
        }
    }
}

/// The kind of the first error of the operating system in it.
fn kind(error: &Error) -> Option<ErrorKind> {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    let mut found = None;
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            found = Some(io.kind());
            // The connector wraps one in another, of kind `Other`.
            if io.kind() != ErrorKind::Other {
                break;
            }
        }
        next = error.source();
    }
    found
}

fn cure(error: &Error) -> &'static str {
    if matches!(error, Error::SocketNotFoundError(_)) {
        return NO_SOCKET;
    }
    match kind(error) {
        Some(ErrorKind::NotFound) => return NO_SOCKET,
        Some(ErrorKind::PermissionDenied) => {
            return "let this user use Docker: `sudo usermod -aG docker USER`, then log in again; or run Docker rootless";
        }
        Some(ErrorKind::ConnectionRefused) => {
            return "nothing listens there: start the engine (`systemctl start docker`), or correct the host's url";
        }
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
            return "look whether this machine reaches that one at all (VPN, routes, firewall)";
        }
        _ => {}
    }
    let said = said(error);
    let has = |part: &str| said.contains(part);
    if has("UnknownIssuer") || has("BadSignature") {
        "`ca.pem` must be the authority that signed the engine's certificate: copy it from the engine's `--tlscacert`"
    } else if has("NotValidForName") {
        "ask the engine by a name or an address that its certificate has, or make it a certificate with this one"
    } else if has("Expired") || has("NotValidYet") {
        "the engine's certificate has run out, or a clock is wrong: make it a new one"
    } else if has("fatal alert") {
        "the engine refuses our certificate: `cert.pem` must be signed by the authority of its `--tlscacert`, for clients"
    } else if has("HTTP request to an HTTPS server") {
        "the engine wants TLS: name the directory with `ca.pem`, `cert.pem` and `key.pem` as the host's `tls`"
    } else if has("InvalidContentType") || has("corrupt message") {
        "the engine does not speak TLS at this port: correct the port, or start it with `--tlsverify`"
    } else if has("failed to lookup address") {
        "no such name: correct the host's url, or the name service of this machine"
    } else if has("no space left on device") {
        "make room on that machine (`docker system df` says what takes it), then try again"
    } else if matches!(error, Error::RequestTimeoutError) {
        "look at that machine: it is overloaded, unreachable behind a firewall, or its engine hangs (`systemctl status docker`)"
    } else {
        ""
    }
}

const NO_SOCKET: &str =
    "start Docker there (`systemctl start docker`), or say in the host's url where its socket is";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_without_what_would_write_to_the_screen() {
        let message = "first\u{1b}[31m red\u{1b}[0m\u{7}\nsecond \u{1b}]0;title\u{7}".to_owned();
        let error = Error::DockerResponseServerError { status_code: 500, message };
        let cause = cause("app1", "the image could not be loaded", &error);
        assert_eq!(cause.summary, "the image could not be loaded on app1: first red");
        assert_eq!(cause.measured, "first red (status 500)");
        assert_eq!(cause.last_lines, ["first red", "second"]);
        assert!(!refused(&error));
    }

    #[test]
    fn a_full_disk_and_a_missing_socket_have_cures() {
        let full = "write /blob: no space left on device".to_owned();
        let full = Error::DockerResponseServerError { status_code: 500, message: full };
        assert!(cause("a", "b", &full).cure.starts_with("make room"));
        let missing = Error::SocketNotFoundError("/nowhere/docker.sock".to_owned());
        assert_eq!(cause("a", "b", &missing).summary, "b on a: there is no socket /nowhere/docker.sock");
        assert!(cause("a", "b", &missing).cure.contains("systemctl start docker"));
    }
}
