//! The sparse index beside a segment, and counting what it does not cover.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// Lines between two entries.
const LINES: u64 = 512;
/// Bytes between two entries: what is read at most to find a line.
const BYTES: u64 = 64 * 1024;
const ENTRY: usize = 16;

/// Where a line begins in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The line's number.
    pub(super) number: u64,
    /// Its first byte.
    pub(super) offset: u64,
}

impl Entry {
    pub(super) fn to_bytes(self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        let (number, offset) = bytes.split_at_mut(8);
        number.copy_from_slice(&self.number.to_le_bytes());
        offset.copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }

    /// Whether a line here is far enough from this entry to get one of its own.
    pub(super) const fn is_far_from(self, last: Self) -> bool {
        self.number - last.number >= LINES || self.offset - last.offset >= BYTES
    }
}

pub(super) fn index_path(directory: &Path, segment: u32) -> PathBuf {
    directory.join(format!("{segment:06}.idx"))
}

/// The entries of a segment whose file has `length` bytes. Entries that cannot be true (a torn write, a segment
/// that was replaced) end the list. Empty when there is no index.
pub(super) fn load(directory: &Path, segment: u32, length: u64) -> std::io::Result<Vec<Entry>> {
    let bytes = match std::fs::read(index_path(directory, segment)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes?,
    };
    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or(u64::MAX);
    let mut entries: Vec<Entry> = Vec::with_capacity(bytes.len() / ENTRY);
    for bytes in bytes.chunks_exact(ENTRY) {
        let (line, offset) = bytes.split_at(8);
        let entry = Entry { number: number(line), offset: number(offset) };
        let fits = match entries.last() {
            None => entry.offset == 0,
            Some(last) => entry.offset < length && entry.offset > last.offset && entry.number > last.number,
        };
        if !fits {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Counts the whole lines of a segment from an entry on: gives the place after the last of them, and adds the
/// entries that are missing.
pub(super) fn count(file: &File, from: Entry, entries: &mut Vec<Entry>) -> std::io::Result<Entry> {
    let mut reader = BufReader::with_capacity(256 * 1024, file);
    reader.seek(SeekFrom::Start(from.offset))?;
    let mut at = from;
    let mut offset = from.offset;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(at);
        }
        for (place, _) in chunk.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
            at = Entry { number: at.number + 1, offset: offset + place as u64 + 1 };
            if entries.last().is_none_or(|last| at.offset > last.offset && at.is_far_from(*last)) {
                entries.push(at);
            }
        }
        let length = chunk.len();
        offset += length as u64;
        reader.consume(length);
    }
}
