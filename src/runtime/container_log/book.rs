//! A container's output, piece by piece, into its replica's log.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::docker::logs::Piece;
use crate::domain::time::Timestamp;
use crate::runtime::log::now;
use crate::store::segment::{Limits, Line, Reader, Source, Writer};
use crate::text::redact::Redactor;
use crate::text::sanitise::Sanitiser;

/// How much one container may write a second, bytes, so that one that never stops talking takes neither the processor
/// nor the disk from the others. What is beyond is counted and said.
pub(super) const A_SECOND: u64 = 2 << 20;
/// How much of that may have been saved up: the first look at a container, or what came while nobody read.
pub(super) const SAVED: u64 = 32 << 20;
/// Lines at the end of the log that are looked through for where to go on.
const END: u64 = 20_000;

/// One of a container's two streams.
struct Side {
    source: Source,
    sanitiser: Sanitiser,
    redactor: Redactor,
    /// What comes may be in the log already.
    is_again: bool,
    /// The last line in the log is of this moment, to the millisecond.
    last: Timestamp,
    /// So many lines of that moment are in it, and are left out when they come again.
    again: u64,
    /// A line has begun that has not ended.
    is_inside: bool,
    /// The line that has begun is left out for want of budget.
    is_dropping: bool,
}

impl Side {
    fn of(source: Source, end: &[Line]) -> Self {
        // A stream that is not among the last lines has said nothing since the oldest of them.
        let oldest = end.first().map_or(Timestamp(i64::MIN), |line| line.at);
        let own = || end.iter().filter(|line| line.source == source);
        let last = own().map(|line| line.at).max().unwrap_or(oldest);
        Self {
            source,
            sanitiser: Sanitiser::new(),
            redactor: Redactor::default(),
            is_again: true,
            last,
            again: own().filter(|line| line.at == last).count() as u64,
            is_inside: false,
            is_dropping: false,
        }
    }

    /// Whether a line of this moment is in the log already. The lines of one stream come in one order, each time.
    fn is_written(&mut self, at: Timestamp) -> bool {
        if !self.is_again {
            return false;
        }
        if at == self.last && self.again > 0 {
            self.again -= 1;
            return true;
        }
        self.is_again = at < self.last;
        self.is_again
    }
}

/// Lines that were not taken.
#[derive(Default)]
struct Missing {
    lines: u64,
    bytes: u64,
}

/// Writes a container's log: sanitised, redacted, at the engine's own times.
pub struct Book {
    writer: Writer,
    output: Side,
    error: Side,
    own: Redactor,
    is_flushed: bool,
    last: Option<Timestamp>,
    /// The moment of the piece before, for one that has none.
    at: Timestamp,
    budget: u64,
    filled: Instant,
    missing: Missing,
}

impl Book {
    /// Opens a log and finds where it ends.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn open(directory: &Path) -> Result<Self> {
        let writer = Writer::create(directory, Limits::default())
            .with_context(|| format!("no log can be written in {}", directory.display()))?;
        let mut end = Reader::open(directory)?.tail(END)?;
        // Our own lines are of another clock.
        end.retain(|line| line.source != Source::Towpath);
        Ok(Self {
            writer,
            output: Side::of(Source::Output, &end),
            error: Side::of(Source::Error, &end),
            own: Redactor::default(),
            is_flushed: true,
            last: end.iter().map(|line| line.at).max(),
            at: now(),
            budget: SAVED,
            filled: Instant::now(),
            missing: Missing::default(),
        })
    }

    /// These values are kept out from here on. To be called before the first piece.
    pub fn know(&mut self, values: impl IntoIterator<Item = String>) {
        let values: Vec<String> = values.into_iter().collect();
        for redactor in [&mut self.output.redactor, &mut self.error.redactor, &mut self.own] {
            *redactor = Redactor::new(values.iter().cloned());
        }
    }

    /// The moment of the newest line that the container itself said; `None` of an empty log.
    #[must_use]
    pub const fn last(&self) -> Option<Timestamp> {
        self.last
    }

    /// Takes what the container said.
    pub fn take(&mut self, piece: &Piece) {
        self.take_at(piece, Instant::now());
    }

    fn take_at(&mut self, piece: &Piece, now: Instant) {
        let at = piece.at.unwrap_or(self.at);
        self.at = at;
        let length = piece.bytes.len() as u64;
        let has_budget = self.has_budget(length, now);
        let side = if piece.is_error { &mut self.error } else { &mut self.output };
        let ends = piece.bytes.ends_with(b"\n");
        if !side.is_inside {
            // Whole lines are left out, never the middle of one.
            side.is_dropping = !has_budget;
        }
        side.is_inside = !ends;
        if side.is_dropping {
            self.missing.bytes += length;
            self.missing.lines += u64::from(ends);
            return;
        }
        self.budget = self.budget.saturating_sub(length);
        if self.missing.lines > 0 && has_budget {
            self.tell_missing();
        }
        let side = if piece.is_error { &mut self.error } else { &mut self.output };
        let lines = side.sanitiser.push(&piece.bytes);
        for line in lines {
            write(side, &mut self.writer, at, &line);
        }
        self.is_flushed = false;
    }

    /// Refills the budget; once it is used up lines are taken again when a quarter of a second's is there, so that what
    /// is missing is missing in few places.
    fn has_budget(&mut self, length: u64, now: Instant) -> bool {
        let millis = u64::try_from(now.saturating_duration_since(self.filled).as_millis());
        let millis = millis.unwrap_or(u64::MAX);
        if millis > 0 {
            self.budget = self.budget.saturating_add(millis.saturating_mul(A_SECOND) / 1000).min(SAVED);
            self.filled = now;
        }
        let wanted = if self.missing.lines > 0 { A_SECOND / 4 } else { 1 };
        self.budget >= wanted.max(length)
    }

    fn tell_missing(&mut self) {
        let Missing { lines, bytes } = std::mem::take(&mut self.missing);
        self.say(&format!(
            "({lines} lines, {} KiB, were left out here: the container writes more than {} MiB a second)",
            bytes.div_ceil(1024),
            A_SECOND >> 20
        ));
    }

    /// Writes a line of our own.
    pub fn say(&mut self, text: &str) {
        // What a full disk keeps out is counted by the writer, which says so once there is room.
        let _ = self.writer.line(now(), Source::Towpath, &self.own.redact(text));
        self.is_flushed = false;
    }

    /// Whether readers see all that was written.
    #[must_use]
    pub const fn is_flushed(&self) -> bool {
        self.is_flushed && self.missing.lines == 0
    }

    /// Lets readers see it, and says what was left out if it is quiet now.
    pub fn flush(&mut self) {
        if self.missing.lines > 0 && self.has_budget(0, Instant::now()) {
            self.tell_missing();
        }
        let _ = self.writer.flush();
        self.is_flushed = true;
    }

    /// The stream has ended: what is half a line is one.
    pub fn end(&mut self) {
        if self.missing.lines > 0 {
            self.tell_missing();
        }
        for side in [&mut self.output, &mut self.error] {
            if let Some(line) = side.sanitiser.finish() {
                write(side, &mut self.writer, self.at, &line);
            }
        }
        self.flush();
    }
}

fn write(side: &mut Side, writer: &mut Writer, at: Timestamp, line: &str) {
    // Seen by the redactor also when it is not written again: a key may go over several lines.
    let line = side.redactor.redact(line);
    if !side.is_written(at) {
        let _ = writer.line(at, side.source, &line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(at: i64, text: &str) -> Piece {
        Piece { at: Some(Timestamp(at)), is_error: false, bytes: text.as_bytes().to_vec() }
    }

    fn error(at: i64, text: &str) -> Piece {
        Piece { is_error: true, ..piece(at, text) }
    }

    fn texts(dir: &Path) -> Vec<String> {
        let lines = Reader::open(dir).unwrap().tail(1_000_000).unwrap();
        lines.into_iter().filter(|line| line.source != Source::Towpath).map(|line| line.text).collect()
    }

    #[test]
    fn wherever_a_reader_is_cut_off_the_next_loses_nothing_and_repeats_nothing() {
        // Several lines in one millisecond, two streams out of order, a line in two pieces.
        let all = [
            piece(10, "a\n"),
            error(12, "x\n"),
            piece(11, "b\n"),
            piece(11, "b\n"),
            piece(11, "c\n"),
            error(12, "y\n"),
            piece(12, "long "),
            piece(12, "line\n"),
            piece(13, "\n"),
            error(13, "z\n"),
            piece(13, "d\n"),
        ];
        let wanted = ["a", "x", "b", "b", "c", "y", "long line", "", "z", "d"];
        for cut in 0..=all.len() {
            let dir = tempfile::tempdir().unwrap();
            let mut book = Book::open(dir.path()).unwrap();
            for piece in all.iter().take(cut) {
                book.take(piece);
            }
            book.flush();
            // Killed: what is half a line is not written.
            drop(book);
            let mut book = Book::open(dir.path()).unwrap();
            for piece in &all {
                book.take(piece);
            }
            book.end();
            assert_eq!(texts(dir.path()), wanted, "cut after {cut}");
        }
    }

    #[test]
    fn values_and_sequences_are_kept_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path()).unwrap();
        book.know(["correct-horse-battery".to_owned()]);
        book.take(&piece(1, "it is correct-horse-bat"));
        book.take(&piece(1, "tery\u{1b}]0;title\u{7}!\n"));
        book.end();
        assert_eq!(texts(dir.path()), ["it is •••!"]);
    }

    #[test]
    fn what_is_beyond_the_budget_is_left_out_line_by_line_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path()).unwrap();
        let line = format!("{}\n", "x".repeat(1023));
        book.budget = 1 << 20;
        // Two thousand kibibytes at once, and some more when a second has passed.
        let began = book.filled;
        for at in 0..2_000 {
            book.take_at(&piece(at, &line), began);
        }
        for at in 2_000..2_010 {
            book.take_at(&piece(at, &line), began + std::time::Duration::from_secs(1));
        }
        book.end();
        let lines = Reader::open(dir.path()).unwrap().tail(10_000).unwrap();
        let own: Vec<_> = lines.iter().filter(|line| line.source == Source::Towpath).collect();
        assert_eq!(own.len(), 1, "{own:?}");
        assert!(own[0].text.starts_with("(976 lines, 976 KiB, were left out here"), "{}", own[0].text);
        assert_eq!(lines.len() - 1, 1024 + 10);
        assert_eq!(lines[1024].number, own[0].number);
    }
}
