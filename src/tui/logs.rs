//! The merged log of an environment: a bounded window over the logs of its replicas and its steps, by time.
//!
//! A place between two lines of the stream is a [`Cursor`]: for each source, the number of its next line. With it
//! any part can be read again, so that only what is near the screen is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::field::Field;
use super::log::holds;
use crate::domain::ids::EnvironmentName;
use crate::domain::query::LogSource;
use crate::domain::time::Timestamp;
use crate::text::width::plain;

/// How many lines the window holds at the most.
pub const STREAM_WINDOW: usize = 6_000;
/// How many lines are read at once, of all sources together.
pub const STREAM_PAGE: usize = 1_000;

/// A place in the stream: the number of the next line of each source, by the source's directory.
pub type Cursor = BTreeMap<String, u64>;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamLine {
    /// When it was written.
    pub at: Timestamp,
    /// The directory of its source.
    pub source: String,
    /// Its number there.
    pub number: u64,
    /// The text, with its colours and nothing else that moves a terminal.
    pub text: String,
}

/// How grave a line says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// `WARNING`.
    Warning,
    /// `ERROR`, `CRITICAL`, `FATAL`, a traceback.
    Error,
}

/// What a line says of itself; `None` where it says nothing grave.
#[must_use]
pub fn level(text: &str) -> Option<Level> {
    let text = plain(text);
    if text.starts_with("Traceback (most recent call last)") {
        return Some(Level::Error);
    }
    // A level stands near the beginning; further on the word is part of what is said.
    let head: String = text.chars().take(72).collect();
    let mut words = head.split(|sign: char| !sign.is_ascii_alphabetic());
    words.find_map(|word| match word {
        "ERROR" | "CRITICAL" | "FATAL" | "PANIC" => Some(Level::Error),
        "WARNING" | "WARN" => Some(Level::Warning),
        "INFO" | "DEBUG" | "NOTICE" => None,
        _ => None,
    })
}

/// Which way is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Before the cursor.
    Older,
    /// After it.
    Newer,
    /// The end, whatever the cursor says.
    End,
}

/// Lines that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRead {
    /// Which way.
    pub way: Way,
    /// The cursor that they were read from.
    pub from: Cursor,
    /// The lines, oldest first.
    pub lines: Vec<StreamLine>,
    /// Whether there are no more that way.
    pub complete: bool,
    /// How many lines each source has.
    pub ends: Cursor,
}

/// The merged log.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// Whose logs.
    pub environment: Option<EnvironmentName>,
    /// Where they come from; `None` until the engine has said it.
    pub sources: Option<Vec<LogSource>>,
    /// The directories of those that are not shown.
    pub hidden: BTreeSet<String>,
    /// The window, oldest first.
    pub lines: VecDeque<StreamLine>,
    /// The place before the window's first line.
    pub top: Cursor,
    /// The place after its last.
    pub bottom: Cursor,
    /// How many lines each source has.
    pub ends: Cursor,
    /// Whether there is nothing before the window.
    pub at_start: bool,
    /// Whether a read is on its way.
    pub asked: Option<Way>,
    /// How many lines of the window lie below the pane.
    pub below: usize,
    /// Whether the end is kept in sight.
    pub follow: bool,
    /// Whether long lines are folded.
    pub wrap: bool,
    /// Whether times are left out.
    pub no_times: bool,
    /// The line of the list of sources that is selected, while the list is open.
    pub choosing: Option<usize>,
    /// What is searched for in the window.
    pub query: String,
    /// The search field, while it is being typed in.
    pub typing: Option<Field>,
    /// Why it cannot be read.
    pub trouble: Option<String>,
    /// Whether anything was read yet.
    pub read: bool,
    /// What the sources depended on when they were asked for.
    pub known: Option<usize>,
}

impl Stream {
    /// Turns to an environment; how it is looked at stays.
    pub fn turn_to(&mut self, environment: Option<EnvironmentName>) {
        *self =
            Self { environment, follow: true, wrap: self.wrap, no_times: self.no_times, ..Self::default() };
    }

    /// The directories of the sources that are shown.
    #[must_use]
    pub fn shown(&self) -> Vec<String> {
        let all = self.sources.iter().flatten().map(|source| &source.directory);
        all.filter(|directory| !self.hidden.contains(*directory)).cloned().collect()
    }

    /// Lets go of what was read: it is read again from the end.
    pub fn forget(&mut self) {
        self.lines.clear();
        (self.top, self.bottom) = (Cursor::new(), Cursor::new());
        (self.at_start, self.read, self.asked, self.below, self.follow) = (false, false, None, 0, true);
    }

    /// Takes what was read in. What does not join the window any more is left.
    pub fn take(&mut self, read: StreamRead) {
        self.trouble = None;
        self.ends = read.ends;
        if self.asked == Some(read.way) {
            self.asked = None;
        }
        match read.way {
            Way::End => {
                self.top = read.lines.iter().rev().fold(self.ends.clone(), step_back);
                self.bottom = self.ends.clone();
                self.lines = read.lines.into();
                (self.at_start, self.read, self.below) = (read.complete, true, 0);
            }
            Way::Older if read.from == self.top => {
                self.top = read.lines.iter().rev().fold(std::mem::take(&mut self.top), step_back);
                for line in read.lines.into_iter().rev() {
                    self.lines.push_front(line);
                }
                self.at_start = read.complete;
                while self.lines.len() > STREAM_WINDOW && self.below > 0 {
                    if let Some(line) = self.lines.pop_back() {
                        self.bottom.insert(line.source, line.number);
                        self.below = self.below.saturating_sub(1);
                    }
                }
            }
            Way::Newer if read.from == self.bottom => {
                for line in read.lines {
                    self.bottom.insert(line.source.clone(), line.number + 1);
                    if !self.follow {
                        self.below += 1;
                    }
                    self.insert(line);
                }
                while self.lines.len() > STREAM_WINDOW {
                    if let Some(line) = self.lines.pop_front() {
                        self.top.insert(line.source, line.number + 1);
                        self.at_start = false;
                    }
                }
                self.below = self.below.min(self.lines.len().saturating_sub(1));
            }
            Way::Older | Way::Newer => {}
        }
    }

    /// Puts a line where its time belongs, but never before an earlier line of its own source: a source that is
    /// a moment late is read a moment late.
    fn insert(&mut self, line: StreamLine) {
        let mut place = self.lines.len();
        while let Some(before) = place.checked_sub(1).and_then(|index| self.lines.get(index)) {
            if before.at <= line.at || before.source == line.source {
                break;
            }
            place -= 1;
        }
        self.lines.insert(place, line);
    }

    /// How many lines there are below the pane, those that have not been read included.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.below as u64 + self.unread()
    }

    /// How many lines the shown sources have after the window.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let left = |(source, end): (&String, &u64)| {
            end.saturating_sub(self.bottom.get(source).copied().unwrap_or(0))
        };
        self.ends.iter().map(left).sum()
    }

    /// Moves by lines; down to the end starts following. `page` is the height of the pane.
    pub fn scroll(&mut self, by: i64, page: usize) {
        let most = self.lines.len().saturating_sub(page);
        let amount = usize::try_from(by.unsigned_abs()).unwrap_or(usize::MAX);
        if by < 0 {
            self.follow = false;
            self.below = self.below.saturating_add(amount).min(most);
        } else {
            self.below = self.below.saturating_sub(amount);
            self.follow = self.below == 0 && self.unread() == 0;
        }
    }

    /// What has to be read, when the pane comes near an end of the window.
    #[must_use]
    pub fn missing(&self, page: usize) -> Option<Way> {
        if self.sources.is_none() || self.asked.is_some() {
            return None;
        }
        if !self.read {
            return Some(Way::End);
        }
        let above = self.lines.len().saturating_sub(self.below + page);
        if above < page && !self.at_start {
            return Some(Way::Older);
        }
        (self.unread() > 0 && self.below < page).then_some(Way::Newer)
    }

    /// The lines of the window that hold what is searched for, by their place in it.
    #[must_use]
    pub fn hits(&self) -> Vec<usize> {
        if self.query.is_empty() {
            return Vec::new();
        }
        let lines = self.lines.iter().enumerate();
        lines.filter(|(_, line)| holds(&line.text, &self.query)).map(|(index, _)| index).collect()
    }

    /// Goes to the next hit (`1`) or the one before (`-1`) as seen from the bottom of the pane.
    pub fn to_hit(&mut self, by: i64) {
        let bottom = self.lines.len().saturating_sub(self.below + 1);
        let hits = self.hits();
        let next = match by >= 0 {
            true => hits.iter().find(|hit| **hit > bottom).or_else(|| hits.first()),
            false => hits.iter().rev().find(|hit| **hit < bottom).or_else(|| hits.last()),
        };
        if let Some(hit) = next {
            self.below = self.lines.len() - 1 - hit;
            self.follow = false;
        }
    }
}

fn step_back(mut cursor: Cursor, line: &StreamLine) -> Cursor {
    cursor.insert(line.source.clone(), line.number);
    cursor
}

/// Merges the lines of several sources by time, oldest first; each source's own order stays.
#[must_use]
pub fn merge(sources: Vec<Vec<StreamLine>>) -> Vec<StreamLine> {
    let mut heads: Vec<_> = sources.into_iter().map(|lines| lines.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let next = heads
            .iter_mut()
            .enumerate()
            .filter_map(|(index, lines)| lines.peek().map(|line| (line.at, index)))
            .min();
        let Some((_, index)) = next else { return merged };
        merged.extend(heads.get_mut(index).and_then(Iterator::next));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(source: &str, number: u64, at: i64) -> StreamLine {
        StreamLine { at: Timestamp(at), source: source.to_owned(), number, text: format!("{source}{number}") }
    }

    fn cursor(places: &[(&str, u64)]) -> Cursor {
        places.iter().map(|(source, number)| ((*source).to_owned(), *number)).collect()
    }

    fn texts(stream: &Stream) -> Vec<&str> {
        stream.lines.iter().map(|line| line.text.as_str()).collect()
    }

    fn source(directory: &str) -> LogSource {
        LogSource {
            label: directory.to_owned(),
            deployment: crate::domain::ids::DeploymentId(1),
            replica: None,
            directory: directory.to_owned(),
        }
    }

    /// Two sources of which the last two lines are in the window.
    fn stream() -> Stream {
        let mut stream =
            Stream { follow: true, sources: Some(vec![source("a"), source("b")]), ..Stream::default() };
        stream.take(StreamRead {
            way: Way::End,
            from: Cursor::new(),
            lines: vec![line("a", 9, 90), line("b", 4, 95)],
            complete: false,
            ends: cursor(&[("a", 10), ("b", 5)]),
        });
        stream
    }

    #[test]
    fn lines_are_merged_by_time_and_each_source_keeps_its_order() {
        // The clock of b went backwards: its lines stay in the order in which it wrote them.
        let merged = merge(vec![
            vec![line("a", 0, 10), line("a", 1, 30)],
            vec![line("b", 0, 20), line("b", 1, 5), line("b", 2, 40)],
        ]);
        let texts: Vec<&str> = merged.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["a0", "b0", "b1", "a1", "b2"]);
    }

    #[test]
    fn older_lines_join_in_front_and_the_place_before_them_is_known() {
        let mut stream = stream();
        assert_eq!(stream.top, cursor(&[("a", 9), ("b", 4)]));
        let read = StreamRead {
            way: Way::Older,
            from: stream.top.clone(),
            lines: vec![line("b", 3, 60), line("a", 8, 70)],
            complete: false,
            ends: stream.ends.clone(),
        };
        stream.take(read.clone());
        assert_eq!(texts(&stream), ["b3", "a8", "a9", "b4"]);
        assert_eq!(stream.top, cursor(&[("a", 8), ("b", 3)]));
        // The same once more does not join: the window begins elsewhere now.
        stream.take(read);
        assert_eq!(stream.lines.len(), 4);
    }

    #[test]
    fn a_line_that_comes_late_stands_where_its_time_belongs() {
        let mut stream = stream();
        stream.take(StreamRead {
            way: Way::Newer,
            from: stream.bottom.clone(),
            lines: vec![line("a", 10, 93), line("b", 5, 99)],
            complete: true,
            ends: cursor(&[("a", 11), ("b", 6)]),
        });
        assert_eq!(texts(&stream), ["a9", "a10", "b4", "b5"]);
        assert_eq!(stream.unread(), 0);
    }

    #[test]
    fn scrolling_up_stops_following_and_says_what_waits() {
        let mut stream = stream();
        stream.scroll(-1, 1);
        assert!(!stream.follow);
        assert_eq!(stream.waiting(), 1);
        stream.ends = cursor(&[("a", 12), ("b", 5)]);
        assert_eq!(stream.waiting(), 3);
        stream.scroll(1, 1);
        assert!(!stream.follow, "what was not read yet is still below");
    }

    #[test]
    fn the_window_is_bounded_and_what_left_it_can_be_read_again() {
        let mut stream = stream();
        let mut next = 10;
        for _ in 0..20 {
            let lines: Vec<StreamLine> = (next..next + 1_000).map(|n| line("a", n, 100 + n as i64)).collect();
            next += 1_000;
            let read = StreamRead {
                way: Way::Newer,
                from: stream.bottom.clone(),
                lines,
                complete: true,
                ends: cursor(&[("a", next), ("b", 5)]),
            };
            stream.take(read);
        }
        assert_eq!(stream.lines.len(), STREAM_WINDOW);
        assert_eq!(stream.lines.front().map(|line| line.number), stream.top.get("a").copied());
        assert_eq!(stream.top.get("b"), Some(&5), "b's line left the window too");
        assert!(!stream.at_start);
    }

    #[test]
    fn levels_are_found_where_they_stand() {
        assert_eq!(level("[2026-11-22 14:02:20 +0000] [7] [ERROR] Worker failed"), Some(Level::Error));
        assert_eq!(level("\u{1b}[33mWARNING\u{1b}[0m slow query"), Some(Level::Warning));
        assert_eq!(level("Traceback (most recent call last):"), Some(Level::Error));
        assert_eq!(level("GET /errors 200"), None);
        assert_eq!(level("{\"level\": \"error\"}"), None);
    }
}
