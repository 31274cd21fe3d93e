//! What an engine answered, as a cause with a cure.

use bollard::errors::Error;

use crate::domain::plan::Cause;

/// What an engine did, or why it did not.
pub type Result<T> = std::result::Result<T, Box<Cause>>;

/// A cause for a step: what was tried at which host, and what the engine said. `what` is a clause such as
/// `the container web-1 could not be started`.
#[must_use]
pub fn cause(host: &str, what: &str, error: &Error) -> Box<Cause> {
    let said = match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        error => error.to_string(),
    };
    Box::new(Cause { summary: format!("{what} on {host}: {said}"), measured: said, ..Cause::default() })
}

/// The status that the engine answered with; `None` when it did not answer.
#[must_use]
pub const fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}
