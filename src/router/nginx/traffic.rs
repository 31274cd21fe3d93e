//! What nginx's access log says of each deployment: how much it got, how much failed, how long it took.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use serde::Deserialize;

use super::labelled;
use crate::domain::ids::DeploymentId;
use crate::domain::time::Millis;

/// A line that is longer is none of nginx's in this format.
const LONGEST_LINE: usize = 4096;
const CHUNK: usize = 64 * 1024;
/// Deployments that are told apart; a log with more is not ours.
const MOST_DEPLOYMENTS: usize = 64;
/// The longest latency that is told apart: an hour.
const LONGEST: u64 = 3_600_000;

/// What one deployment got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that it was given; one that nginx passed on to another replica counts at both.
    pub requests: u64,
    /// Those of them that it failed: answered with 5xx, or not at all, also where nginx then asked another replica
    /// and the client saw nothing of it. A client that went away (499) is no failure.
    pub failed: u64,
    /// The middle latency that clients saw, to 1 in 100; `None` when nothing was measured.
    pub median: Option<Millis>,
    /// The latency that 95 of 100 clients saw or better. A client that went away has waited at least so long.
    pub p95: Option<Millis>,
}

/// The end of an access log, followed. Its file may be rotated (renamed) or truncated, and may not be there yet.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// After a rotation: nginx's workers write there until each has opened the new file.
    rotated: Option<Open>,
    counted: BTreeMap<DeploymentId, Counted>,
    skipped: u64,
}

impl Tail {
    /// Begins at the end of what is written now.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn at_end(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = match Open::at(&path)? {
            Some(mut open) => {
                open.offset = open.file.seek(SeekFrom::End(0))?;
                Some(open)
            }
            None => None,
        };
        Ok(Self { path, open, rotated: None, counted: BTreeMap::new(), skipped: 0 })
    }

    /// Reads what was written since, and gives what each deployment got since the beginning. Requests that no
    /// deployment answered (static files, others' logs) are not in it. Reads blocking, in bounded memory.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn poll(&mut self) -> io::Result<BTreeMap<DeploymentId, Traffic>> {
        let now = match fs::metadata(&self.path) {
            Ok(metadata) => Some((metadata.dev(), metadata.ino())),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if let Some(now) = now
            && self.open.as_ref().is_none_or(|open| open.identity != now)
        {
            if let Some(mut older) = self.rotated.take() {
                older.read(&mut self.counted, &mut self.skipped)?;
            }
            self.rotated = self.open.take();
            self.open = Open::at(&self.path)?;
        }
        for open in [&mut self.rotated, &mut self.open].into_iter().flatten() {
            open.read(&mut self.counted, &mut self.skipped)?;
        }
        Ok(self.counted.iter().map(|(deployment, counted)| (*deployment, counted.traffic())).collect())
    }

    /// Lines that were not in Towpath's format, and counted for nobody.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[derive(Debug)]
struct Open {
    file: File,
    identity: (u64, u64),
    offset: u64,
    /// The beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    /// Whether the line was too long, and is thrown away up to its end.
    overlong: bool,
}

impl Open {
    fn at(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => {
                let metadata = file.metadata()?;
                let identity = (metadata.dev(), metadata.ino());
                Ok(Some(Self { file, identity, offset: 0, partial: Vec::new(), overlong: false }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self, counted: &mut BTreeMap<DeploymentId, Counted>, skipped: &mut u64) -> io::Result<()> {
        if self.file.metadata()?.len() < self.offset {
            self.offset = self.file.seek(SeekFrom::Start(0))?;
            self.partial.clear();
            self.overlong = false;
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            self.offset += u64::try_from(read).unwrap_or(0);
            for piece in chunk.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                self.piece(piece, counted, skipped);
            }
        }
    }

    fn piece(&mut self, piece: &[u8], counted: &mut BTreeMap<DeploymentId, Counted>, skipped: &mut u64) {
        if self.partial.len() + piece.len() > LONGEST_LINE {
            self.overlong = true;
            self.partial.clear();
        }
        if !self.overlong {
            self.partial.extend_from_slice(piece);
        }
        if piece.ends_with(b"\n") {
            if std::mem::take(&mut self.overlong) || count(&self.partial, counted).is_none() {
                *skipped += 1;
            }
            self.partial.clear();
        }
    }
}

/// One line, as `log_format` writes it.
#[derive(Deserialize)]
struct Line<'a> {
    status: &'a str,
    seconds: &'a str,
    deployment: &'a str,
    first: &'a str,
    upstream_status: &'a str,
}

/// Counts a line; `None` when it is not in Towpath's format.
fn count(line: &[u8], counted: &mut BTreeMap<DeploymentId, Counted>) -> Option<()> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let status: u16 = line.status.parse().ok()?;
    let seconds: f64 = line.seconds.parse().ok()?;
    let latency = millis(seconds)?;
    if line.deployment.is_empty() {
        return Some(());
    }
    let last = labelled(line.deployment)?;
    // Two replicas asked: `502, 200`. The first has failed, whatever the client saw.
    if line.upstream_status.contains([',', ':'])
        && let Some(first) = labelled(line.first)
    {
        let first = of(first, counted)?;
        first.requests += 1;
        first.failed += 1;
    }
    let last = of(last, counted)?;
    last.requests += 1;
    last.failed += u64::from(status >= 500);
    last.latencies.saturating_record(latency);
    Some(())
}

fn of(deployment: DeploymentId, counted: &mut BTreeMap<DeploymentId, Counted>) -> Option<&mut Counted> {
    if counted.len() >= MOST_DEPLOYMENTS && !counted.contains_key(&deployment) {
        return None;
    }
    Some(match counted.entry(deployment) {
        Entry::Occupied(occupied) => occupied.into_mut(),
        Entry::Vacant(vacant) => vacant.insert(Counted::new()?),
    })
}

fn millis(seconds: f64) -> Option<u64> {
    let duration = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    u64::try_from(duration.as_millis()).ok()
}

#[derive(Debug)]
struct Counted {
    requests: u64,
    failed: u64,
    /// Milliseconds.
    latencies: Histogram<u64>,
}

impl Counted {
    fn new() -> Option<Self> {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 2).ok()?;
        Some(Self { requests: 0, failed: 0, latencies })
    }

    fn traffic(&self) -> Traffic {
        let at = |quantile| {
            (!self.latencies.is_empty()).then(|| Millis(self.latencies.value_at_quantile(quantile)))
        };
        Traffic { requests: self.requests, failed: self.failed, median: at(0.5), p95: at(0.95) }
    }
}

#[cfg(test)]
mod tests;
