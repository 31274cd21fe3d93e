//! What a container says, with the engine's own timestamps: the last lines, then what comes. One stream a container.

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use super::connect::Engine;
use crate::domain::time::Timestamp;

/// A piece of a container's output: a line with its end, or a part of a long one without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When the engine took it; `None` where it does not say.
    pub at: Option<Timestamp>,
    /// It came by standard error.
    pub is_error: bool,
    /// As it came, not sanitised.
    pub bytes: Vec<u8>,
}

/// From where on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct From {
    /// Nothing before this; it is rounded down to a second.
    pub since: Option<Timestamp>,
    /// And of that the last so many lines at most.
    pub lines: u32,
}

/// Follows what a container says until it ends. Nothing is read ahead: whoever is slow to take pieces makes the engine
/// wait with sending, and the container notices nothing of it.
pub fn follow(
    engine: &Engine,
    id: &str,
    from: From,
) -> impl Stream<Item = Result<Piece, Error>> + Send + use<> {
    // The API takes seconds of 32 bits.
    let since = from.since.and_then(|at| i32::try_from(at.0.div_euclid(1000)).ok()).unwrap_or(0);
    let options = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .timestamps(true)
        .since(since)
        .tail(&from.lines.to_string())
        .build();
    engine.client().logs(id, Some(options)).map(|said| said.map(piece))
}

fn piece(said: LogOutput) -> Piece {
    let is_error = matches!(said, LogOutput::StdErr { .. });
    let bytes = said.into_bytes();
    match stamped(&bytes) {
        Some((at, rest)) => Piece { at: Some(at), is_error, bytes: rest.to_vec() },
        None => Piece { at: None, is_error, bytes: bytes.to_vec() },
    }
}

/// The timestamp that the engine put before, and the rest.
fn stamped(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    // `2026-11-22T10:00:00.123456789Z `: with an offset a few more.
    let space = bytes.iter().take(40).position(|byte| *byte == b' ')?;
    let (stamp, rest) = bytes.split_at(space);
    let at: jiff::Timestamp = std::str::from_utf8(stamp).ok()?.parse().ok()?;
    Some((Timestamp(at.as_millisecond()), rest.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_timestamp_is_taken_off_and_nothing_else() {
        let (at, rest) = stamped(b"2026-11-22T10:00:00.123456789Z hello world\n").unwrap();
        assert_eq!((at, rest), (Timestamp(1_795_341_600_123), &b"hello world\n"[..]));
        assert_eq!(stamped(b"hello world\n"), None);
        assert_eq!(stamped(b"2026-11-22T10:00:00Z \n").unwrap().1, b"\n");
    }
}
