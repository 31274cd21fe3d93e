//! Reading the logs of several sources as one, by time. All blocking reads happen in blocking tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::logs::{Cursor, STREAM_PAGE, StreamLine, StreamRead, Way, merge};
use super::model::Msg;
use crate::domain::ids::EnvironmentName;
use crate::store::segment::{Line, Reader};

/// How often the sources are looked at for more.
const EVERY: Duration = Duration::from_millis(250);

/// The sources that are read.
pub(crate) struct Merging {
    orders: mpsc::UnboundedSender<(Way, Cursor)>,
    task: JoinHandle<()>,
}

impl Merging {
    /// Starts to read these directories: nothing but how much there is, until a part is asked for.
    pub(crate) fn start(
        environment: EnvironmentName,
        directories: Vec<String>,
        messages: mpsc::Sender<Msg>,
    ) -> Self {
        let (orders, incoming) = mpsc::unbounded_channel();
        let task = tokio::spawn(follow(environment, directories, messages, incoming));
        Self { orders, task }
    }

    /// Reads a part.
    pub(crate) fn read(&self, way: Way, from: Cursor) {
        let _ = self.orders.send((way, from));
    }
}

impl Drop for Merging {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    environment: EnvironmentName,
    directories: Vec<String>,
    messages: mpsc::Sender<Msg>,
    mut orders: mpsc::UnboundedReceiver<(Way, Cursor)>,
) {
    let mut readers = Readers { directories, open: BTreeMap::new() };
    let mut known = Cursor::new();
    loop {
        let order = tokio::select! {
            order = orders.recv() => match order {
                Some(order) => Some(order),
                None => return,
            },
            () = tokio::time::sleep(EVERY) => None,
        };
        let task = spawn_blocking(move || {
            let done = match order {
                Some((way, from)) => readers.read(way, from).map(Some),
                None => readers.look().map(|()| None),
            };
            (done, readers)
        });
        let Ok((done, back)) = task.await else { return };
        readers = back;
        let ends = readers.ends();
        let msg = match done {
            Ok(Some(read)) => {
                Some(Msg::StreamRead { environment: environment.clone(), read: Box::new(read) })
            }
            Ok(None) if ends != known => {
                Some(Msg::StreamEnds { environment: environment.clone(), ends: ends.clone() })
            }
            Ok(None) => None,
            Err(why) => Some(Msg::StreamTrouble { environment: environment.clone(), why }),
        };
        known = ends;
        if let Some(msg) = msg
            && messages.send(msg).await.is_err()
        {
            return;
        }
    }
}

/// The readers of the sources, by their directories.
struct Readers {
    directories: Vec<String>,
    open: BTreeMap<String, Reader>,
}

impl Readers {
    /// Looks for what was written since.
    fn look(&mut self) -> Result<(), String> {
        for directory in &self.directories {
            match self.open.get_mut(directory) {
                Some(reader) => reader.refresh().map_err(|error| error.to_string())?,
                None => {
                    let reader = Reader::open(Path::new(directory)).map_err(|error| error.to_string())?;
                    self.open.insert(directory.clone(), reader);
                }
            }
        }
        Ok(())
    }

    fn ends(&self) -> Cursor {
        self.open.iter().map(|(directory, reader)| (directory.clone(), reader.end())).collect()
    }

    /// The lines next to a place: of every source as many as are wanted of all together, so that none is missed.
    fn read(&mut self, way: Way, from: Cursor) -> Result<StreamRead, String> {
        self.look()?;
        let ends = self.ends();
        let mut complete = true;
        let mut sources = Vec::new();
        for (directory, reader) in &self.open {
            let end = reader.end();
            let place = if way == Way::End { end } else { from.get(directory).copied().unwrap_or(0) };
            let count = STREAM_PAGE as u64;
            let found =
                if way == Way::Newer { reader.from(place, count) } else { reader.before(place, count) };
            let found = found.map_err(|error| error.to_string())?;
            complete &= found.len() < STREAM_PAGE;
            sources.push(found.into_iter().map(|line| told(directory, line)).collect());
        }
        let mut lines = merge(sources);
        if lines.len() > STREAM_PAGE {
            complete = false;
            match way {
                Way::Newer => lines.truncate(STREAM_PAGE),
                Way::Older | Way::End => drop(lines.drain(..lines.len() - STREAM_PAGE)),
            }
        }
        Ok(StreamRead { way, from, lines, complete, ends })
    }
}

fn told(directory: &str, line: Line) -> StreamLine {
    StreamLine { at: line.at, source: directory.to_owned(), number: line.number, text: line.text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "a log that cannot be written is a failed test")]

    use super::*;
    use crate::domain::time::Timestamp;
    use crate::store::segment::{Limits, Source, Writer};

    fn write(directory: &Path, times: impl Iterator<Item = i64>) {
        let mut writer = Writer::create(directory, Limits::default()).expect("a log");
        for at in times {
            writer.line(Timestamp(at), Source::Output, &format!("at {at}")).expect("a line");
        }
        writer.flush().expect("on disk");
    }

    #[test]
    fn pages_upwards_give_every_line_once_and_in_order() {
        let place = tempfile::tempdir().expect("a directory");
        let (even, odd) = (place.path().join("even"), place.path().join("odd"));
        write(&even, (0..2_600).map(|n| n * 2));
        write(&odd, (0..900).map(|n| n * 2 + 1));
        let directories = [&even, &odd].map(|path| path.to_string_lossy().into_owned()).to_vec();
        let mut readers = Readers { directories, open: BTreeMap::new() };
        let mut read = readers.read(Way::End, Cursor::new()).expect("the end");
        assert_eq!(read.lines.last().map(|line| line.at), Some(Timestamp(5_198)));
        let mut all = read.lines.clone();
        let mut top = read.ends.clone();
        while !read.complete {
            for line in read.lines.iter().rev() {
                top.insert(line.source.clone(), line.number);
            }
            read = readers.read(Way::Older, top.clone()).expect("older ones");
            all.splice(0..0, read.lines.clone());
        }
        assert_eq!(all.len(), 3_500);
        assert!(all.windows(2).all(|two| two[0].at <= two[1].at), "sorted by time");
    }

    #[test]
    fn a_source_that_is_not_there_yet_has_no_lines() {
        let place = tempfile::tempdir().expect("a directory");
        let directories = vec![place.path().join("later").to_string_lossy().into_owned()];
        let mut readers = Readers { directories, open: BTreeMap::new() };
        let read = readers.read(Way::End, Cursor::new()).expect("nothing");
        assert!(read.lines.is_empty() && read.complete);
    }
}
