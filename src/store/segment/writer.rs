//! Writing a log.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::index::{self, Entry, index_path};
use super::{Limits, Source, log_path, segments};
use crate::domain::time::{Millis, Timestamp};
use crate::store::{StoreError, durable};

/// Bytes that are held back at most before they are written through.
const HELD_BYTES: usize = 32 * 1024;
/// How long a line is held back at most, as far as lines keep coming; for the last one the caller flushes.
const HELD_TIME: Millis = Millis(100);
/// Bytes that wait for room on a full disk; what comes then is dropped and counted.
const MOST_WAITING: usize = 1024 * 1024;

/// Appends to one log. One writer a log; readers need no lock.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    limits: Limits,
    segment: u32,
    log: File,
    index: File,
    /// Where the next line goes: its number, and its offset in the segment.
    next: Entry,
    /// The last entry of the index.
    indexed: Entry,
    /// Lines not written yet.
    held: Vec<u8>,
    /// Index entries whose lines are not written yet.
    held_entries: Vec<u8>,
    flushed: Timestamp,
    /// Lines dropped because the disk is full.
    dropped: u64,
}

impl Writer {
    /// Opens a log for writing, at its end when it exists. Makes the directory (0700) and its parents.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or what the system says.
    pub fn create(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| StoreError::io(directory, "made", source))?;
        Self::open(directory, limits).map_err(|source| StoreError::io(directory, "opened", source))
    }

    fn open(directory: &Path, limits: Limits) -> std::io::Result<Self> {
        let segment = segments(directory)?.last().copied().unwrap_or(1);
        let log = append(&log_path(directory, segment))?;
        let length = log.metadata()?.len();
        let mut entries = index::load(directory, segment, length)?;
        if entries.is_empty() {
            // A crash before the first entry was written: the number follows from the segment before.
            entries.push(Entry { number: end_of(directory, segment - 1)?, offset: 0 });
        }
        let from = entries.last().copied().unwrap_or(Entry { number: 0, offset: 0 });
        let mut next = index::count(&File::open(log_path(directory, segment))?, from, &mut entries)?;
        let mut held = Vec::new();
        if next.offset < length {
            // A torn last line is ended where it was torn.
            held.push(b'\n');
            next = Entry { number: next.number + 1, offset: length + 1 };
        }
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        let mut index = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(index_path(directory, segment))?;
        index.write_all(&bytes)?;
        let indexed = entries.last().copied().unwrap_or(next);
        Ok(Self {
            directory: directory.to_owned(),
            limits,
            segment,
            log,
            index,
            next,
            indexed,
            held,
            held_entries: Vec::new(),
            flushed: Timestamp(0),
            dropped: 0,
        })
    }

    /// Adds a line. Its text must be sanitised and redacted already. It is held back for up to 32 KiB or about
    /// 100 ms of further lines: call [`Writer::flush`] when none may come.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`]: lines wait for room, up to 1 MiB; what comes after is dropped, counted, and
    /// said in the log as soon as there is room. The caller may go on.
    pub fn line(&mut self, at: Timestamp, source: Source, text: &str) -> Result<(), StoreError> {
        if self.held.len() >= MOST_WAITING {
            self.dropped += 1;
            return self.flush();
        }
        if self.dropped > 0 {
            let dropped = std::mem::take(&mut self.dropped);
            self.add(at, Source::Towpath, &format!("({dropped} lines are missing here: the disk was full)"))?;
        }
        self.add(at, source, text)?;
        if self.held.len() >= HELD_BYTES || at.0.abs_diff(self.flushed.0) >= HELD_TIME.0 {
            self.flushed = at;
            return self.flush();
        }
        Ok(())
    }

    /// Writes through what is held back, so that readers see it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`]: nothing is lost, the next call goes on.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let path = log_path(&self.directory, self.segment);
        let failed = |source| StoreError::io(&path, "written", source);
        drain(&mut self.log, &mut self.held).map_err(failed)?;
        drain(&mut self.index, &mut self.held_entries).map_err(failed)
    }

    /// Flushes, and makes everything durable: at the end of an attempt.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or what the system says.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.log
            .sync_data()
            .and_then(|()| self.index.sync_data())
            .map_err(|source| StoreError::io(&self.directory, "written", source))
    }

    fn add(&mut self, at: Timestamp, source: Source, text: &str) -> Result<(), StoreError> {
        if self.next.offset >= self.limits.segment {
            self.roll(at)?;
        }
        if self.next.is_far_from(self.indexed) {
            self.held_entries.extend(self.next.to_bytes());
            self.indexed = self.next;
        }
        let before = self.held.len();
        self.held.extend_from_slice(at.0.to_string().as_bytes());
        self.held.extend_from_slice(&[b' ', source.letter(), b' ']);
        // A line end inside would make two lines of one, and the second could say anything.
        self.held.extend(text.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        self.held.push(b'\n');
        let length = self.held.len() - before;
        self.next = Entry { number: self.next.number + 1, offset: self.next.offset + length as u64 };
        Ok(())
    }

    /// Begins the next segment, and leaves out the middle of the log when it is too large.
    fn roll(&mut self, at: Timestamp) -> Result<(), StoreError> {
        self.flush()?;
        let segment = self.segment + 1;
        let rolled = (|| {
            let first = Entry { number: self.next.number, offset: 0 };
            let mut index = append(&index_path(&self.directory, segment))?;
            index.write_all(&first.to_bytes())?;
            // The index is there before the segment: a reader never has to guess the first number.
            let log = append(&log_path(&self.directory, segment))?;
            Ok((log, index, first))
        })();
        let (log, index, first) = rolled
            .map_err(|source| StoreError::io(&log_path(&self.directory, segment), "written", source))?;
        (self.log, self.index, self.next, self.indexed) = (log, index, first, first);
        self.segment = segment;
        self.leave_out(at)
    }

    fn leave_out(&self, at: Timestamp) -> Result<(), StoreError> {
        let failed = |source| StoreError::io(&self.directory, "read", source);
        let all = segments(&self.directory).map_err(failed)?;
        let mut sizes = Vec::with_capacity(all.len());
        for segment in &all {
            let size = std::fs::metadata(log_path(&self.directory, *segment)).map_err(failed)?.len();
            sizes.push((*segment, size));
        }
        // A full segment is still to come.
        let mut total: u64 = self.limits.segment + sizes.iter().map(|(_, size)| size).sum::<u64>();
        let mut gone = Vec::new();
        for (segment, size) in sizes {
            if total <= self.limits.total {
                break;
            }
            // The second segment is where the gap is told of; it is small when it is told already.
            if segment > 1 && segment < self.segment {
                total -= size;
                gone.push(segment);
            }
        }
        let Some(last) = gone.last().copied().filter(|last| *last > 2 || gone == [2]) else { return Ok(()) };
        let after = index::load(&self.directory, last + 1, u64::MAX).map_err(failed)?;
        let begin = index::load(&self.directory, 2, u64::MAX).map_err(failed)?;
        let (Some(begin), Some(after)) = (begin.first(), after.first()) else { return Ok(()) };
        let mebibytes = (u64::from(last) - 1).saturating_mul(self.limits.segment).div_ceil(1024 * 1024);
        let line = format!(
            "{} t ({} lines, about {mebibytes} MiB, were left out here: the log is larger than its bound of {} MiB)\n",
            at.0,
            after.number - begin.number,
            self.limits.total.div_ceil(1024 * 1024),
        );
        // The index first: of its entries only the first stays true.
        durable::write(&index_path(&self.directory, 2), &begin.to_bytes())?;
        durable::write(&log_path(&self.directory, 2), line.as_bytes())?;
        for segment in gone.into_iter().filter(|segment| *segment != 2) {
            remove(&log_path(&self.directory, segment))?;
            remove(&index_path(&self.directory, segment))?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Best effort: whoever needs to know calls `flush` before.
        let _ = self.flush();
    }
}

/// Writes what it can; what the disk did not take stays.
fn drain(file: &mut File, held: &mut Vec<u8>) -> std::io::Result<()> {
    while !held.is_empty() {
        match file.write(held) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(length) => drop(held.drain(..length)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The number after the last whole line of a segment and those before it; 0 where there is none.
fn end_of(directory: &Path, segment: u32) -> std::io::Result<u64> {
    if segment == 0 {
        return Ok(0);
    }
    let file = match File::open(log_path(directory, segment)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        file => file?,
    };
    let mut entries = index::load(directory, segment, file.metadata()?.len())?;
    let from = match entries.last() {
        Some(last) => *last,
        None => Entry { number: end_of(directory, segment - 1)?, offset: 0 },
    };
    Ok(index::count(&file, from, &mut entries)?.number)
}

fn append(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::io(path, "removed", source)),
        _ => Ok(()),
    }
}
