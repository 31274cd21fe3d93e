//! Reading a log while it is written.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::index::{self, Entry};
use super::{Line, log_path, segments};
use crate::store::StoreError;

/// Lines given by one call that follows the log.
const MOST_LINES: u64 = 10_000;
/// Bytes of text given by one call: bounds the memory however long the lines are.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// The longest line read, in bytes. Writers write shorter ones; a damaged file may not.
const LONGEST: u64 = 256 * 1024;

/// A place between two lines: the number of the next line to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

/// Reads one log. Opening reads the indexes and the end of each segment, not the text.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    segments: Vec<Segment>,
    followed: Position,
}

#[derive(Debug)]
struct Segment {
    segment: u32,
    file: File,
    /// The file's identity: a segment that was replaced by a note of what was left out is another one.
    inode: u64,
    /// Bytes seen; what is new is counted when there are more.
    length: u64,
    entries: Vec<Entry>,
    /// The place after the last whole line.
    end: Entry,
}

impl Segment {
    fn first(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.number)
    }
}

impl Reader {
    /// Opens a log. The directory may not exist yet: the log is empty then, and [`Reader::poll`] finds it when
    /// it is made.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let mut reader =
            Self { directory: directory.to_owned(), segments: Vec::new(), followed: Position::default() };
        reader.refresh()?;
        Ok(reader)
    }

    /// Looks for what was written since. Only that is read.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&mut self) -> Result<(), StoreError> {
        self.look().map_err(|source| StoreError::io(&self.directory, "read", source))
    }

    /// The number after the last line, as of the last look.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(0, |segment| segment.end.number)
    }

    /// How many lines there are, as of the last look; those that were left out are not counted.
    #[must_use]
    pub fn len_hint(&self) -> u64 {
        self.segments.iter().map(|segment| segment.end.number - segment.first()).sum()
    }

    /// The last `count` lines. What comes after them is what [`Reader::poll`] gives next.
    ///
    /// # Errors
    /// What the system says.
    pub fn tail(&mut self, count: u64) -> Result<Vec<Line>, StoreError> {
        self.refresh()?;
        let end = self.end();
        let lines = self.before(end, count)?;
        self.followed = Position(end);
        Ok(lines)
    }

    /// The lines that were written since the last call (or since [`Reader::tail`], or all of them), at most
    /// 10,000: call again while it gives some.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll(&mut self) -> Result<Vec<Line>, StoreError> {
        self.after(self.followed)
    }

    /// At most 10,000 lines from a position on. [`Reader::poll`] goes on after them.
    ///
    /// # Errors
    /// What the system says.
    pub fn after(&mut self, position: Position) -> Result<Vec<Line>, StoreError> {
        self.refresh()?;
        let lines = self.from(position.0, MOST_LINES)?;
        self.followed = lines.last().map_or(position, |line| Position(line.number + 1));
        Ok(lines)
    }

    /// The line of that number; `None` where there is none (yet, or any more).
    ///
    /// # Errors
    /// What the system says.
    pub fn line_at(&self, number: u64) -> Result<Option<Line>, StoreError> {
        Ok(self.from(number, 1)?.into_iter().find(|line| line.number == number))
    }

    /// The lines with these numbers, as of the last look. Fewer where some were left out, or when they are more
    /// than 16 MiB.
    ///
    /// # Errors
    /// What the system says.
    pub fn lines(&self, range: Range<u64>) -> Result<Vec<Line>, StoreError> {
        let mut lines = self.from(range.start, range.end.saturating_sub(range.start))?;
        lines.retain(|line| line.number < range.end);
        Ok(lines)
    }

    /// At most `count` lines from a number on, over gaps.
    ///
    /// # Errors
    /// What the system says.
    pub fn from(&self, number: u64, count: u64) -> Result<Vec<Line>, StoreError> {
        let mut lines = Vec::new();
        let mut bytes = 0;
        for segment in self.segments.iter().filter(|segment| segment.end.number > number) {
            let left = count.saturating_sub(lines.len() as u64);
            if left == 0 || bytes >= MOST_BYTES {
                break;
            }
            read(segment, number.max(segment.first()), left, &mut bytes, &mut lines).map_err(|source| {
                StoreError::io(&log_path(&self.directory, segment.segment), "read", source)
            })?;
        }
        Ok(lines)
    }

    /// At most `count` lines before a number, oldest first, over gaps.
    ///
    /// # Errors
    /// What the system says.
    pub fn before(&self, number: u64, count: u64) -> Result<Vec<Line>, StoreError> {
        let mut left = count;
        let mut start = number;
        for segment in self.segments.iter().rev().filter(|segment| segment.first() < number) {
            let end = segment.end.number.min(number);
            let here = end.saturating_sub(segment.first()).min(left);
            if here > 0 {
                start = end - here;
            }
            left -= here;
            if left == 0 {
                break;
            }
        }
        let mut lines = self.from(start, count)?;
        lines.retain(|line| line.number < number);
        Ok(lines)
    }

    fn look(&mut self) -> std::io::Result<()> {
        let mut known = std::mem::take(&mut self.segments).into_iter().peekable();
        let mut end = 0;
        for number in segments(&self.directory)? {
            while known.next_if(|segment| segment.segment < number).is_some() {}
            let old = known.next_if(|segment| segment.segment == number);
            let found = match old {
                Some(old) => renew(&self.directory, old, end)?,
                None => open(&self.directory, number, end)?,
            };
            // A segment can be removed between the listing and this.
            if let Some(segment) = found {
                end = segment.end.number;
                self.segments.push(segment);
            }
        }
        Ok(())
    }
}

/// Opens a segment; `None` when it is gone. `number` is its first line's, should its index be missing.
fn open(directory: &Path, segment: u32, number: u64) -> std::io::Result<Option<Segment>> {
    use std::os::unix::fs::MetadataExt as _;
    let file = match File::open(log_path(directory, segment)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let metadata = file.metadata()?;
    let length = metadata.len();
    let mut entries = index::load(directory, segment, length)?;
    if entries.is_empty() {
        entries.push(Entry { number, offset: 0 });
    }
    let from = entries.last().copied().unwrap_or(Entry { number, offset: 0 });
    let end = index::count(&file, from, &mut entries)?;
    Ok(Some(Segment { segment, file, inode: metadata.ino(), length, entries, end }))
}

/// A known segment with what was added to it; opened anew when it is another file now.
fn renew(directory: &Path, mut old: Segment, number: u64) -> std::io::Result<Option<Segment>> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = match std::fs::metadata(log_path(directory, old.segment)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        metadata => metadata?,
    };
    if metadata.ino() != old.inode || metadata.len() < old.length {
        return open(directory, old.segment, number);
    }
    if metadata.len() > old.length {
        old.end = index::count(&old.file, old.end, &mut old.entries)?;
        old.length = metadata.len();
    }
    Ok(Some(old))
}

/// Reads lines of one segment, whole ones only.
fn read(
    segment: &Segment,
    number: u64,
    count: u64,
    bytes: &mut usize,
    lines: &mut Vec<Line>,
) -> std::io::Result<()> {
    let entry = segment.entries.partition_point(|entry| entry.number <= number);
    let Some(entry) = entry.checked_sub(1).and_then(|entry| segment.entries.get(entry)) else {
        return Ok(());
    };
    let mut reader = BufReader::with_capacity(64 * 1024, &segment.file);
    reader.seek(SeekFrom::Start(entry.offset))?;
    let end = segment.end.number.min(number.saturating_add(count));
    let mut text = Vec::new();
    for at in entry.number..end {
        text.clear();
        (&mut reader).take(LONGEST).read_until(b'\n', &mut text)?;
        if text.last() == Some(&b'\n') {
            text.pop();
        } else {
            skip_line(&mut reader)?;
        }
        if at >= number {
            lines.push(Line::parse(at, &text));
            *bytes += text.len();
            if *bytes >= MOST_BYTES {
                break;
            }
        }
    }
    Ok(())
}

/// Passes over the rest of a line that is longer than any that is written.
fn skip_line(reader: &mut BufReader<&File>) -> std::io::Result<()> {
    loop {
        let chunk = reader.fill_buf()?;
        let found = chunk.iter().position(|byte| *byte == b'\n');
        let length = found.map_or(chunk.len(), |place| place + 1);
        reader.consume(length);
        if found.is_some() || length == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
impl Reader {
    /// How many index entries are held in memory.
    pub(super) fn segments_entries(&self) -> usize {
        self.segments.iter().map(|segment| segment.entries.len()).sum()
    }
}
