//! From the replica's raw output to its log.
//!
//! The replica appends to the spool itself, so it neither blocks nor dies when no keeper reads. What is in the log
//! is given back to the disk. A keeper that is killed between writing lines and writing down that it has is no
//! trouble for the next: it compares what it reads again with the end of the log.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use nix::fcntl::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::files::{Files, append, read, replace};
use super::spec::VERSION;
use crate::runtime::log::Log;
use crate::store::segment::{Reader, Source};
use crate::text::redact::Redactor;
use crate::text::sanitise::Sanitiser;

/// How much is read at once.
const CHUNK: usize = 64 << 10;
/// How much is read in one go, so that a replica that never stops talking does not keep the keeper from its work.
const MOST_AT_ONCE: u64 = 4 << 20;
/// How much must be in the log before it is given back to the disk.
const PUNCH: u64 = 256 << 10;
/// Holes begin and end where the disk's blocks do.
const BLOCK: u64 = 4 << 10;
/// How large a spool without holes may grow before it is cut.
const CUT: u64 = 1 << 20;
/// The longest line that is read again from its beginning by the next keeper.
const LONGEST_KEPT: u64 = 1 << 20;
/// How much may wait in the spool while the log cannot be written (a full disk). Beyond that it goes on to the log,
/// which counts what it loses.
const MOST_WAITING: u64 = 64 << 20;
/// How many lines before a keeper's death may be in the log already.
const MOST_AGAIN: u64 = 200_000;

/// Where the log and the spool met.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Position {
    v: u32,
    /// Everything before this byte of the spool is in the log.
    at: u64,
    /// The number of the next line of the log then.
    line: u64,
}

/// The keeper's end of the spool.
pub(super) struct Tail {
    spool: File,
    position_path: PathBuf,
    directory: PathBuf,
    log: Log,
    /// The values that must not be in the log; `None` until they are known: nothing is read then.
    values: Option<BTreeSet<String>>,
    sanitiser: Sanitiser,
    /// Bytes before this one were given to the sanitiser.
    taken: u64,
    position: Position,
    /// The number of the log's next line.
    line: u64,
    /// Bytes before this one are a hole.
    punched: u64,
    can_punch: bool,
    /// Lines that the keeper before this one has written already.
    again: VecDeque<String>,
    /// They come from before this byte.
    again_until: u64,
    /// What finds them: the log's own redactor must not see lines twice.
    finder: Redactor,
}

impl Tail {
    /// Goes on where the last keeper stopped.
    pub(super) fn open(files: &Files) -> Result<Self> {
        let path = files.spool_path();
        append(&path).with_context(|| format!("{} could not be made", path.display()))?;
        let spool = File::options().read(true).write(true).open(&path)?;
        let log = Log::create(&files.log(), &[])?;
        let mut position: Position = read(&files.position_path()).ok().flatten().unwrap_or_default();
        let spool_length = spool.metadata()?.len();
        if position.at > spool_length {
            // It was cut, and the power failed before that was written down.
            position.at = 0;
        }
        let mut tail = Self {
            spool,
            position_path: files.position_path(),
            directory: files.log(),
            log,
            values: None,
            sanitiser: Sanitiser::new(),
            taken: position.at,
            position,
            line: 0,
            punched: position.at / BLOCK * BLOCK,
            can_punch: true,
            again: VecDeque::new(),
            again_until: spool_length,
            finder: Redactor::default(),
        };
        tail.log.flush();
        let reader = Reader::open(&tail.directory)?;
        tail.line = reader.end();
        let written = reader.lines(position.line..position.line.saturating_add(MOST_AGAIN))?;
        tail.again =
            written.into_iter().filter(|line| line.source == Source::Output).map(|line| line.text).collect();
        Ok(tail)
    }

    /// From now on these values are kept out of the log, those of before as well: what is still in the spool may
    /// hold them. The first call lets reading begin.
    pub(super) fn know(&mut self, values: impl IntoIterator<Item = String>) -> Result<()> {
        let mut all = self.values.clone().unwrap_or_default();
        all.extend(values);
        if self.values.as_ref() == Some(&all) {
            return Ok(());
        }
        self.log.flush();
        let values: Vec<String> = all.iter().cloned().collect();
        self.log = Log::create(&self.directory, &values)?;
        self.finder = Redactor::new(values);
        self.values = Some(all);
        Ok(())
    }

    /// Whether the values to keep out are known.
    pub(super) const fn is_ready(&self) -> bool {
        self.values.is_some()
    }

    /// Writes a line of the keeper's own.
    pub(super) fn say(&mut self, text: &str) {
        self.log.line(Source::Towpath, text);
        self.line += 1;
        self.log.flush();
    }

    /// Takes what is new, a few mebibytes at the most: whether there was anything.
    pub(super) fn pump(&mut self) -> bool {
        if self.values.is_none() {
            return false;
        }
        let Ok(length) = self.spool.metadata().map(|metadata| metadata.len()) else { return false };
        if length < self.taken {
            // Somebody else has emptied it.
            self.restart();
        }
        if self.log.lost().is_some() {
            self.log.flush();
            if self.log.lost().is_some() && length - self.taken < MOST_WAITING {
                return false;
            }
        }
        let until = length.min(self.taken + MOST_AT_ONCE);
        let mut buffer = vec![0; CHUNK.min(usize::try_from(until - self.taken).unwrap_or(CHUNK))];
        let began = self.taken;
        while self.taken < until {
            match self.spool.read_at(&mut buffer, self.taken) {
                Ok(0) => break,
                Ok(count) => self.take(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if self.taken == began {
            return false;
        }
        self.settle();
        true
    }

    /// Takes everything that is there, and ends the last line: nobody goes on with it.
    pub(super) fn drain(&mut self) {
        if self.values.is_none() {
            return;
        }
        while self.pump() {}
        if let Some(line) = self.sanitiser.finish() {
            self.write(&line);
        }
        self.position.at = self.taken;
        self.settle();
    }

    /// Empties the spool where everything of it is in the log. Only while no process of the replica lives: what one
    /// wrote between the look and the cut would be lost.
    pub(super) fn cut(&mut self) {
        let is_read = self.spool.metadata().is_ok_and(|metadata| metadata.len() == self.position.at);
        // The cut before the word about it: a position behind the end means that it was cut.
        if is_read && self.position.at > 0 && self.log.lost().is_none() && self.spool.set_len(0).is_ok() {
            self.restart();
            self.settle();
        }
    }

    fn restart(&mut self) {
        self.taken = 0;
        self.position.at = 0;
        self.punched = 0;
    }

    fn take(&mut self, bytes: &[u8]) {
        for line in self.sanitiser.push(bytes) {
            self.write(&line);
        }
        let before = self.taken;
        self.taken += bytes.len() as u64;
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            self.position.at = before + end as u64 + 1;
        } else if self.taken - self.position.at > LONGEST_KEPT {
            // One endless line: its pieces are in the log, and the next keeper goes on in the middle of it.
            self.position.at = self.taken;
        }
    }

    fn write(&mut self, line: &str) {
        if let Some(written) = self.again.pop_front() {
            if self.finder.redact(line) == written {
                return;
            }
            // Not the same: from here on it is new, or cannot be told from what is. Rather twice than never.
            self.again.clear();
        }
        self.log.line(Source::Output, line);
        self.line += 1;
    }

    /// Lets viewers see it, writes down how far it went, and gives the room back.
    fn settle(&mut self) {
        self.log.flush();
        if self.log.lost().is_some() {
            // Lines wait for room in memory: until they are written the spool must keep them.
            return;
        }
        if self.taken < self.again_until && !self.again.is_empty() {
            return;
        }
        self.again.clear();
        self.position = Position { v: VERSION, at: self.position.at, line: self.line };
        if replace(&self.position_path, &self.position).is_err() {
            // Then the next keeper reads from an older place on: nothing before that may be given back.
            return;
        }
        self.give_back();
    }

    fn give_back(&mut self) {
        let end = self.position.at / BLOCK * BLOCK;
        if self.can_punch && end.saturating_sub(self.punched) >= PUNCH {
            match punch(&self.spool, self.punched, end) {
                Ok(()) => self.punched = end,
                Err(_) => self.can_punch = false,
            }
        }
        if !self.can_punch && self.position.at >= CUT {
            // A file system without holes. A line that the replica writes between the look at the length and the
            // cut is lost: a window of microseconds after each mebibyte.
            self.cut();
        }
    }
}

fn punch(spool: &File, from: u64, to: u64) -> io::Result<()> {
    let offset = |at: u64| i64::try_from(at).map_err(io::Error::other);
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(spool, flags, offset(from)?, offset(to - from)?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn texts(files: &Files) -> Vec<String> {
        let lines = Reader::open(&files.log()).unwrap().tail(1_000_000).unwrap();
        lines.into_iter().filter(|line| line.source == Source::Output).map(|line| line.text).collect()
    }

    fn opened(files: &Files, secrets: &[&str]) -> Tail {
        let mut tail = Tail::open(files).unwrap();
        tail.know(secrets.iter().map(|&value| value.to_owned())).unwrap();
        tail
    }

    #[test]
    fn the_spool_gives_its_room_back_and_keeps_every_line() {
        for can_punch in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let files = Files::of(dir.path());
            let mut tail = opened(&files, &[]);
            tail.can_punch = can_punch;
            let mut spool = files.spool().unwrap();
            let mut wanted = Vec::new();
            for number in 0..60 {
                let line = format!("{number} {}", "x".repeat(8000));
                for _ in 0..10 {
                    writeln!(spool, "{line}").unwrap();
                    wanted.push(line.clone());
                }
                // A line that is not whole yet stays.
                write!(spool, "half ").unwrap();
                tail.pump();
                writeln!(spool, "done").unwrap();
                wanted.push("half done".into());
                tail.pump();
            }
            let metadata = files.spool().unwrap().metadata().unwrap();
            assert!(metadata.blocks() * 512 < 2 << 20, "{} blocks", metadata.blocks());
            tail.drain();
            assert_eq!(texts(&files), wanted);
            tail.cut();
            assert_eq!(files.spool().unwrap().metadata().unwrap().len(), 0);
            writeln!(spool, "after").unwrap();
            tail.pump();
            assert_eq!(texts(&files).last().unwrap(), "after");
        }
    }

    #[test]
    fn the_next_keeper_writes_nothing_twice_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        let mut spool = files.spool().unwrap();
        let mut tail = opened(&files, &["hunter22"]);
        writeln!(spool, "one").unwrap();
        tail.pump();
        let position = std::fs::read(files.position_path()).unwrap();
        tail.say("said by the keeper");
        writeln!(spool, "two hunter22\n\u{1b}[31mthree\u{1b}[0m").unwrap();
        write!(spool, "fo").unwrap();
        tail.pump();
        drop(tail);
        // Killed after the lines and before the word about them.
        std::fs::write(files.position_path(), position).unwrap();
        writeln!(spool, "ur\nfive").unwrap();
        let mut tail = opened(&files, &["hunter22"]);
        tail.pump();
        tail.drain();
        let texts: Vec<String> = texts(&files).iter().map(|text| crate::text::width::plain(text)).collect();
        assert_eq!(texts, ["one", "two •••", "three", "four", "five"]);
    }

    #[test]
    fn nothing_is_read_before_the_secrets_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::of(dir.path());
        writeln!(files.spool().unwrap(), "password-4711").unwrap();
        let mut tail = Tail::open(&files).unwrap();
        assert!(!tail.pump());
        tail.drain();
        tail.cut();
        assert_eq!(texts(&files), [""; 0]);
        tail.know(["password-4711".to_owned()]).unwrap();
        assert!(tail.pump());
        assert_eq!(texts(&files), ["•••"]);
    }
}
