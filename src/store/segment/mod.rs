//! Logs on disk: a directory of segments, so that a million lines open at once and a following viewer reads
//! only what is new.
//!
//! `000001.log`, `000002.log`, … hold one line of text a line: `<unix milliseconds> <o|e|t> <text>`. Beside each
//! lies a sparse index (`000001.idx`): pairs of *line number* and *byte offset*, 16 bytes, little-endian. The
//! first pair says the number of the segment's first line; the others only save reading.
//!
//! When a log passes its bound, its middle goes: the first segment and the newest stay, and segment 2 becomes
//! one line that says how much was left out. Line numbers never change, so a gap shows in them.

mod index;
mod reader;
mod writer;

use std::path::{Path, PathBuf};

pub use reader::{Position, Reader};
pub use writer::Writer;

use crate::domain::time::Timestamp;

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
    /// Towpath itself.
    Towpath,
}

impl Source {
    const fn letter(self) -> u8 {
        match self {
            Self::Output => b'o',
            Self::Error => b'e',
            Self::Towpath => b't',
        }
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the log, from 0. Numbers of lines that were left out are missing.
    pub number: u64,
    /// When it was written.
    pub at: Timestamp,
    /// Who said it.
    pub source: Source,
    /// Its text: sanitised and redacted, colours kept.
    pub text: String,
}

impl Line {
    /// Reads a line as it stands in a segment. What cannot be read is shown as it is: a torn write must not
    /// hide what it left.
    fn parse(number: u64, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let parsed = text.split_once(' ').and_then(|(at, rest)| {
            let (letter, text) = rest.split_once(' ')?;
            let source = match letter {
                "o" => Source::Output,
                "e" => Source::Error,
                "t" => Source::Towpath,
                _ => return None,
            };
            Some((Timestamp(at.parse().ok()?), source, text))
        });
        match parsed {
            Some((at, source, text)) => Self { number, at, source, text: text.to_owned() },
            None => Self { number, at: Timestamp(0), source: Source::Towpath, text: text.into_owned() },
        }
    }
}

/// How large a log may grow, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One segment.
    pub segment: u64,
    /// All of them. The first and the newest segment stay even when they are larger.
    pub total: u64,
}

impl Default for Limits {
    /// 8 MiB a segment (what a crash may cost to read again), 256 MiB in all (five million short lines).
    fn default() -> Self {
        Self { segment: 8 * 1024 * 1024, total: 256 * 1024 * 1024 }
    }
}

fn log_path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(format!("{segment:06}.log"))
}

/// The numbers of the segments in a directory, ascending. Empty when there is no such directory.
fn segments(directory: &Path) -> std::io::Result<Vec<u32>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".log"))
            && let Ok(number) = number.parse()
        {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests;
