//! An engine that was there a moment ago and does not answer is waited for: whoever updates Docker restarts it, and a
//! reply may be lost with its connection. Only for what may be asked for twice.

use std::time::Duration;

use bollard::errors::Error;
use tokio::time::Instant;

use super::pause::Pause;
use super::trouble::status;

/// For how long an engine is waited for that was there: a restart with a few containers takes a few seconds, one with
/// many half a minute.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the engine has answered, or for [`PATIENCE`].
///
/// # Errors
/// What the engine answered; or, in the end, why it did not.
pub(super) async fn asked<T, F>(ask: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    asked_for(PATIENCE, ask).await
}

async fn asked_for<T, F>(patience: Duration, mut ask: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let until = Instant::now() + patience;
    let mut pause = Pause::new(Duration::from_millis(200), Duration::from_secs(2));
    loop {
        match ask().await {
            Err(error) if is_silent(&error) && Instant::now() < until => {
                tokio::time::sleep(pause.next()).await;
            }
            said => return said,
        }
    }
}

/// Whether nothing is known: it did not answer, or what it answered is that it is on its way out.
fn is_silent(error: &Error) -> bool {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            *status_code >= 500 && is_ending(message)
        }
        Error::RequestTimeoutError => false,
        error => status(error).is_none(),
    }
}

/// What dockerd says while it, or its containerd, is being stopped.
fn is_ending(said: &str) -> bool {
    [
        "transport is closing",
        "context canceled",
        "containerd.sock",
        "shutting down",
        "error reading from server",
    ]
    .iter()
    .any(|part| said.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.to_owned() }
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_again_and_who_refuses_is_not() {
        let mut times = 0;
        let told = asked(|| {
            times += 1;
            let now = times;
            async move {
                match now {
                    1 => Err(Error::SocketNotFoundError("/gone".to_owned())),
                    2 => Err(said(500, "rpc error: transport is closing: unavailable")),
                    3 => Err(said(500, "port is already allocated")),
                    _ => Ok(()),
                }
            }
        });
        assert!(matches!(told.await, Err(error) if status(&error) == Some(500)));
        assert_eq!(times, 3);
        let gone = || async { Err::<(), _>(Error::SocketNotFoundError("/gone".to_owned())) };
        let silent = asked_for(Duration::ZERO, gone);
        assert!(matches!(silent.await, Err(Error::SocketNotFoundError(_))));
    }
}
