//! What can be shown: glyphs, colours, and the viewer's own clock.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use crate::domain::finding::Severity;
use crate::domain::state::{RunEnd, RunPhase, StepPhase, StepState};
use crate::domain::time::Timestamp;

/// How lines look.
#[derive(Debug, Clone)]
pub struct Style {
    /// ANSI colours: only on a terminal, without `NO_COLOR`.
    pub colour: bool,
    /// ASCII signs only.
    pub ascii: bool,
    /// The zone that times are shown in.
    pub zone: TimeZone,
}

/// What a line says at a glance. A glyph and a word always go with the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It has not begun.
    Waiting,
    /// It runs.
    Running,
    /// It is being found out what became of it.
    Looking,
    /// It went well.
    Good,
    /// It went wrong.
    Bad,
    /// A person's word is wanted, or was given.
    Warn,
    /// It was stopped.
    Stopped,
    /// It is not needed.
    Skipped,
    /// Worth knowing.
    Note,
}

impl Mark {
    /// Of a step, with its word.
    #[must_use]
    pub const fn of_step(state: &StepState) -> (Self, &'static str) {
        match &state.phase {
            StepPhase::Waiting => (Self::Waiting, "waiting"),
            StepPhase::Running => (Self::Running, "running"),
            StepPhase::Observing => (Self::Looking, "being looked at"),
            StepPhase::Passed => (Self::Good, "passed"),
            StepPhase::Failed { .. } => (Self::Bad, "failed"),
            StepPhase::Inconclusive { .. } if state.acknowledged.is_some() => (Self::Warn, "acknowledged"),
            StepPhase::Inconclusive { .. } => (Self::Warn, "inconclusive"),
            StepPhase::Cancelled => (Self::Stopped, "cancelled"),
            StepPhase::Skipped { .. } => (Self::Skipped, "skipped"),
        }
    }

    /// Of a run, with its word.
    #[must_use]
    pub const fn of_run(phase: RunPhase) -> (Self, &'static str) {
        match phase {
            RunPhase::Queued => (Self::Waiting, "queued"),
            RunPhase::Preparing => (Self::Running, "being prepared"),
            RunPhase::Running => (Self::Running, "running"),
            RunPhase::Held => (Self::Warn, "held"),
            RunPhase::Cancelling { now: false } => (Self::Running, "stopping after the running steps"),
            RunPhase::Cancelling { now: true } => (Self::Running, "stopping"),
            RunPhase::Ended(RunEnd::Passed { .. }) => (Self::Good, "passed"),
            RunPhase::Ended(RunEnd::Failed) => (Self::Bad, "failed"),
            RunPhase::Ended(RunEnd::Cancelled) => (Self::Stopped, "cancelled"),
            RunPhase::Ended(RunEnd::Superseded { .. }) => (Self::Skipped, "superseded"),
        }
    }

    /// Of a finding.
    #[must_use]
    pub const fn of_severity(severity: Severity) -> Self {
        match severity {
            Severity::Note => Self::Note,
            Severity::Warning => Self::Warn,
            Severity::Error => Self::Bad,
        }
    }
}

impl Style {
    /// Without colours, in UTC: what tests and files get.
    #[must_use]
    pub fn bare() -> Self {
        Self { colour: false, ascii: false, zone: TimeZone::UTC }
    }

    /// A mark's glyph, coloured where colours are.
    #[must_use]
    pub fn glyph(&self, mark: Mark) -> String {
        let (typeset, ascii, colour) = match mark {
            Mark::Waiting => ("○", ".", "2"),
            Mark::Running => ("▶", ">", "36"),
            Mark::Looking => ("◌", "?", "36"),
            Mark::Good => ("✔", "+", "32"),
            Mark::Bad => ("✖", "X", "31"),
            Mark::Warn => ("▲", "!", "33"),
            Mark::Stopped => ("◼", "x", "2"),
            Mark::Skipped => ("–", "-", "2"),
            Mark::Note => ("●", "*", "2"),
        };
        self.paint(if self.ascii { ascii } else { typeset }, colour)
    }

    /// Text that stands back.
    #[must_use]
    pub fn dim(&self, text: &str) -> String {
        self.paint(text, "2")
    }

    /// Text that stands out.
    #[must_use]
    pub fn strong(&self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn paint(&self, text: &str, colour: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// `14:02:31` on the viewer's clock.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        self.strftime(at, "%H:%M:%S")
    }

    /// `2026-11-22 14:02` on the viewer's calendar.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        self.strftime(at, "%Y-%m-%d %H:%M")
    }

    fn strftime(&self, at: Timestamp, format: &str) -> String {
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(moment) => moment.to_zoned(self.zone.clone()).strftime(format).to_string(),
            Err(_) => "?".to_owned(),
        }
    }

    /// Our own words, which are typeset, as this style can show them.
    #[must_use]
    pub fn words<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !self.ascii || text.is_ascii() {
            return text.into();
        }
        let mut plain = String::with_capacity(text.len());
        for sign in text.chars() {
            match sign {
                '·' => plain.push('|'),
                '…' => plain.push_str("..."),
                '“' | '”' => plain.push('"'),
                '‘' | '’' => plain.push('\''),
                '×' => plain.push('x'),
                '→' => plain.push_str("->"),
                '–' | '—' => plain.push('-'),
                other => plain.push(other),
            }
        }
        plain.into()
    }
}

/// Text from outside with everything left out that a terminal would obey instead of show.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    let obeyed = |sign: char| sign.is_control() && sign != '\t' || is_bidirectional(sign);
    if !text.contains(obeyed) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    let mut signs = text.chars().peekable();
    while let Some(sign) = signs.next() {
        // A whole `ESC [ … letter` goes, or its tail would be left as noise. (Colours are kept in logs.)
        if sign == '\x1b' && signs.peek() == Some(&'[') {
            signs.next();
            for part in signs.by_ref() {
                if ('\x40'..='\x7e').contains(&part) {
                    break;
                }
            }
        } else if !obeyed(sign) {
            shown.push(sign);
        }
    }
    shown.into()
}

/// Like [`visible`], but lines stay lines.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Signs that turn the order of what follows: a name could pose as another.
const fn is_bidirectional(sign: char) -> bool {
    matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let cases = [
            ("plain · “typeset”", "plain · “typeset”"),
            ("\x1b[31mred\x1b[0m", "red"),
            ("a\u{9b}31mb", "a31mb"),
            ("\x1b]0;title\x07x", "]0;titlex"),
            ("one\ntwo\r", "onetwo"),
            ("user\u{202e}txt", "usertxt"),
            ("\x1b[", ""),
        ];
        for (text, shown) in cases {
            assert_eq!(visible(text), shown);
        }
    }
}
