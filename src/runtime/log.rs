//! A step's log: sanitised and redacted before it is written, in the order in which it came.

use std::path::Path;

use anyhow::Context as _;

use crate::domain::time::Timestamp;
use crate::store::segment::{Limits, Reader, Source, Writer};
use crate::text::redact::Redactor;
use crate::text::width;

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// Writes a step's log. A log that cannot be written (a full disk) does not stop the step.
pub struct Log {
    writer: Writer,
    // One a stream: a redactor may remember the line before.
    stdout: Redactor,
    stderr: Redactor,
    own: Redactor,
    hidden: Vec<String>,
    lost: Option<String>,
}

impl Log {
    /// Begins a log in a directory.
    ///
    /// # Errors
    /// When the directory or the first segment cannot be made.
    pub fn create(dir: &Path, redact: &[String]) -> anyhow::Result<Self> {
        let redactor = || Redactor::new(redact.iter().cloned());
        Ok(Self {
            writer: Writer::create(dir, Limits::default())
                .with_context(|| format!("no log can be written in {}", dir.display()))?,
            stdout: redactor(),
            stderr: redactor(),
            own: redactor(),
            hidden: redact.to_vec(),
            lost: None,
        })
    }

    /// Keeps these values out of it from here on, too.
    pub fn hide(&mut self, values: impl Iterator<Item = String>) {
        self.hidden.extend(values);
        for redactor in [&mut self.stdout, &mut self.stderr, &mut self.own] {
            *redactor = Redactor::new(self.hidden.iter().cloned());
        }
    }

    /// Writes one sanitised line and gives it back as it was written, without its colours.
    pub fn line(&mut self, source: Source, text: &str) -> String {
        let redactor = match source {
            Source::Output => &mut self.stdout,
            Source::Error => &mut self.stderr,
            Source::Towpath => &mut self.own,
        };
        let text = redactor.redact(text);
        // What a full disk keeps out is counted by the writer, which says so in the log once there is room.
        let _ = self.writer.line(now(), source, &text);
        width::plain(&text)
    }

    /// Lets viewers see what was written so far.
    pub fn flush(&mut self) {
        self.lost = self.writer.flush().err().map(|error| error.to_string());
    }

    /// Why the last lines are not on disk, if they are not.
    #[must_use]
    pub fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }
}

/// The last lines of a log, oldest first, without colours. Empty when there is none: whoever asks has a worse
/// thing to say.
#[must_use]
pub fn last_lines(dir: &Path, count: u64) -> Vec<String> {
    let lines = Reader::open(dir).and_then(|mut log| log.tail(count)).unwrap_or_default();
    lines.iter().map(|line| width::plain(&line.text)).collect()
}
