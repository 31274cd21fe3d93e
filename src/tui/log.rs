//! The log that is looked at: a bounded window of lines over a file of any length.

use std::collections::VecDeque;

use super::field::Field;
use crate::domain::ids::AttemptKey;
use crate::domain::time::Timestamp;
use crate::text::width::plain;

/// How many lines the window holds at the most; 4,000 lines of ordinary output are under 1 MB.
pub const WINDOW: usize = 4_000;

/// How many hits of a search are remembered by line; more are only counted.
pub const HITS_KEPT: usize = 100_000;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When it was written.
    pub at: Timestamp,
    /// The text, with its colours as ANSI sequences and nothing else that moves a terminal.
    pub text: String,
}

/// What is searched for, and where it was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hits {
    /// The text; any case unless it has an upper-case letter.
    pub query: String,
    /// The lines that hold it, ascending; at most [`HITS_KEPT`].
    pub lines: Vec<u64>,
    /// How many lines hold it.
    pub count: u64,
    /// Whether the whole log was read for it.
    pub complete: bool,
    /// Which of `lines` the cursor is on.
    pub here: Option<usize>,
}

/// The log that is looked at.
#[derive(Debug, Clone, Default)]
pub struct LogView {
    /// Whose log; `None` when the selected step has none.
    pub key: Option<AttemptKey>,
    /// Whether lines may still come.
    pub open: bool,
    /// The number of the window's first line, from 0.
    pub first: u64,
    /// The window.
    pub lines: VecDeque<LogLine>,
    /// How many lines the log has.
    pub total: u64,
    /// Whether anything has been read yet.
    pub read: bool,
    /// Why it cannot be read.
    pub trouble: Option<String>,
    /// Whether the last line is kept in sight.
    pub follow: bool,
    /// The line at the bottom of the pane, when not following.
    pub bottom: u64,
    /// Whether long lines are folded.
    pub wrap: bool,
    /// Whether each line's time is drawn.
    pub times: bool,
    /// What is searched for.
    pub hits: Option<Hits>,
    /// The search field, while it is being typed in.
    pub typing: Option<Field>,
    /// The line from which on the file was asked to be read last.
    pub asked: Option<u64>,
}

impl LogView {
    /// Turns to another log. How it is looked at (folding, times) stays.
    pub fn turn_to(&mut self, key: Option<AttemptKey>, open: bool) {
        *self = Self { key, open, follow: true, wrap: self.wrap, times: self.times, ..Self::default() };
    }

    /// One past the window's last line.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    /// The line at the bottom of the pane.
    #[must_use]
    pub fn bottom(&self) -> u64 {
        let last = self.total.saturating_sub(1);
        if self.follow { last } else { self.bottom.min(last) }
    }

    /// How many lines lie below the pane.
    #[must_use]
    pub fn below(&self) -> u64 {
        self.total.saturating_sub(1).saturating_sub(self.bottom())
    }

    /// A line of the window.
    #[must_use]
    pub fn line(&self, number: u64) -> Option<&LogLine> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// Takes lines that were read: those that follow the window are added, others replace it.
    pub fn take(&mut self, first: u64, lines: Vec<LogLine>, total: u64) {
        self.read = true;
        self.trouble = None;
        if !lines.is_empty() && first == self.end() && !self.lines.is_empty() {
            // Whoever reads further up keeps the window; what is below is read again on the way down.
            if self.follow || self.lines.len() + lines.len() <= WINDOW {
                self.search_new(first, &lines);
                self.lines.extend(lines);
                while self.lines.len() > WINDOW {
                    self.lines.pop_front();
                    self.first += 1;
                }
            } else {
                self.search_new(first, &lines);
            }
        } else if !lines.is_empty() || self.lines.is_empty() {
            self.first = first;
            self.lines = lines.into();
            self.lines.truncate(WINDOW);
        }
        self.total = total.max(self.end());
    }

    fn search_new(&mut self, first: u64, lines: &[LogLine]) {
        let Some(hits) = self.hits.as_mut().filter(|hits| hits.complete) else { return };
        for (number, line) in (first..).zip(lines) {
            if holds(&line.text, &hits.query) {
                hits.count += 1;
                if hits.lines.len() < HITS_KEPT {
                    hits.lines.push(number);
                }
            }
        }
    }

    /// Moves by lines; down to the end starts following. `page` is the height of the pane.
    pub fn scroll(&mut self, by: i64, page: u64) {
        let last = self.total.saturating_sub(1);
        let target = self.bottom().saturating_add_signed(by).clamp(self.lowest(page), last);
        self.follow = target >= last && (by > 0 || self.follow);
        self.bottom = target;
    }

    /// The first line that may stand at the bottom. Folded lines are higher than one row: then it is the first of
    /// all, and what is drawn says how far that is too far ([`Self::not_above`]).
    fn lowest(&self, page: u64) -> u64 {
        if self.wrap { 0 } else { page.saturating_sub(1).min(self.total.saturating_sub(1)) }
    }

    /// Keeps the pane full: `line` is the first that fills it down from the log's first line.
    pub fn not_above(&mut self, line: u64) {
        if !self.follow {
            self.bottom = self.bottom.max(line.min(self.total.saturating_sub(1)));
        }
    }

    /// Goes to a line, so that it stands in the middle; at the bottom where lines are folded, which is always seen.
    pub fn show(&mut self, line: u64, page: u64) {
        let last = self.total.saturating_sub(1);
        let below = if self.wrap { 0 } else { page / 2 };
        self.bottom = (line + below).clamp(self.lowest(page), last);
        self.follow = false;
    }

    /// From which line on the file has to be read, when the pane shows lines that the window lacks.
    #[must_use]
    pub fn missing(&self, page: u64) -> Option<u64> {
        if self.total == 0 || !self.read {
            return None;
        }
        let bottom = self.bottom();
        let top = bottom.saturating_sub(page.saturating_sub(1));
        let half = (WINDOW / 2) as u64;
        (top < self.first || bottom >= self.end()).then(|| (top + page / 2).saturating_sub(half))
    }

    /// Goes to the next hit (`1`) or the one before (`-1`), around the ends.
    pub fn to_hit(&mut self, step: i64, page: u64) {
        let bottom = self.bottom();
        let top = bottom.saturating_sub(page.saturating_sub(1));
        let Some(hits) = self.hits.as_mut().filter(|hits| !hits.lines.is_empty()) else { return };
        let count = hits.lines.len();
        let next = match (hits.here, step >= 0) {
            (Some(here), true) => (here + 1) % count,
            (Some(here), false) => (here + count - 1) % count,
            (None, true) => hits.lines.partition_point(|line| *line < top) % count,
            (None, false) => (hits.lines.partition_point(|line| *line <= bottom) + count - 1) % count,
        };
        hits.here = Some(next);
        let line = hits.lines.get(next).copied().unwrap_or(0);
        // A hit in sight does not move the page; of folded lines nobody counts here how many are.
        if line < top || line > bottom || self.wrap {
            self.show(line, page);
        } else {
            self.bottom = bottom;
            self.follow = false;
        }
    }
}

/// Whether a line holds what is searched for: any case, unless the query has an upper-case letter.
#[must_use]
pub fn holds(line: &str, query: &str) -> bool {
    !query.is_empty() && !find(&plain(line), query).is_empty()
}

/// Where in plain text a query is found, as byte ranges.
#[must_use]
pub fn find(plain: &str, query: &str) -> Vec<std::ops::Range<usize>> {
    if query.is_empty() {
        return Vec::new();
    }
    if query.chars().any(char::is_uppercase) {
        return plain.match_indices(query).map(|(at, found)| at..at + found.len()).collect();
    }
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(rest) = plain.get(from..) {
        let Some(first) = rest.chars().next() else { break };
        match starts(rest, query) {
            Some(length) => {
                found.push(from..from + length);
                from += length;
            }
            None => from += first.len_utf8(),
        }
    }
    found
}

/// The length of the prefix of `text` that is `query` in any case.
fn starts(text: &str, query: &str) -> Option<usize> {
    let mut wanted = query.chars();
    let mut length = 0;
    let mut next = wanted.next();
    for sign in text.chars() {
        next?;
        for lower in sign.to_lowercase() {
            if Some(lower) != next {
                return None;
            }
            next = wanted.next();
        }
        length += sign.len_utf8();
        if next.is_none() {
            return Some(length);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(range: std::ops::Range<u64>) -> Vec<LogLine> {
        range.map(|n| LogLine { at: Timestamp(0), text: format!("line {n}") }).collect()
    }

    #[test]
    fn the_window_stays_bounded_and_follows() {
        let mut log = LogView { follow: true, ..LogView::default() };
        log.take(0, lines(0..10), 10);
        for chunk in 0..1000 {
            log.take(10 + chunk * 10, lines(10 + chunk * 10..20 + chunk * 10), 20 + chunk * 10);
        }
        assert_eq!(log.total, 10_010);
        assert_eq!(log.lines.len(), WINDOW);
        assert_eq!(log.bottom(), 10_009);
        assert_eq!(log.line(10_009).map(|line| line.text.as_str()), Some("line 10009"));
    }

    #[test]
    fn scrolling_up_stops_following_and_counts_what_is_below() {
        let mut log = LogView { follow: true, ..LogView::default() };
        log.take(0, lines(0..100), 100);
        log.scroll(-5, 20);
        assert!(!log.follow);
        assert_eq!(log.below(), 5);
        log.take(100, lines(100..103), 103);
        assert_eq!(log.below(), 8);
        log.scroll(-1000, 20);
        assert_eq!(log.bottom(), 19);
        log.scroll(1000, 20);
        assert!(log.follow);
    }

    #[test]
    fn what_the_window_lacks_is_asked_for() {
        let mut log = LogView { follow: true, ..LogView::default() };
        log.take(999_000, lines(999_000..1_000_000), 1_000_000);
        assert_eq!(log.missing(20), None);
        log.scroll(-500_000, 20);
        let from = log.missing(20).expect("the middle is not in the window");
        log.take(from, lines(from..from + WINDOW as u64), 1_000_000);
        assert_eq!(log.missing(20), None);
        assert_eq!(log.total, 1_000_000);
    }

    #[test]
    fn hits_are_found_in_any_case_and_beside_colours() {
        assert!(holds("\x1b[31mERROR\x1b[0m in shop", "error in"));
        assert!(!holds("error", "Error"));
        assert!(holds("Straße GRÖSSE", "größe") || holds("GRÖẞE", "größe"));
        assert_eq!(find("aXbx", "x"), vec![1..2, 3..4]);
        assert!(find("abc", "").is_empty());
    }

    #[test]
    fn hits_go_around() {
        let mut log = LogView { follow: true, ..LogView::default() };
        log.take(0, lines(0..100), 100);
        log.hits =
            Some(Hits { query: "x".into(), lines: vec![3, 50, 90], count: 3, complete: true, here: None });
        log.to_hit(1, 20);
        assert_eq!(log.hits.as_ref().and_then(|hits| hits.here), Some(2));
        log.to_hit(1, 20);
        assert_eq!(log.hits.as_ref().and_then(|hits| hits.here), Some(0));
        assert!(log.bottom() >= 3 && log.bottom() < 23);
        log.to_hit(-1, 20);
        assert_eq!(log.hits.as_ref().and_then(|hits| hits.here), Some(2));
    }
}
