//! Where a verb's words go: lines on standard output, as text or as JSON.

use std::io::{IsTerminal as _, Write as _};

use jiff::tz::TimeZone;
use serde::Serialize;

use super::failure::Failure;
use crate::print::json;
use crate::print::style::Style;

/// Standard output with what was asked of it.
#[derive(Debug)]
pub struct Output {
    /// How lines look.
    pub style: Style,
    /// JSON lines instead of text.
    pub json: bool,
    /// A line at the bottom may be drawn over: a terminal, and neither `--plain` nor `--json`.
    pub live: bool,
    /// A line that is to be drawn over stands at the bottom now.
    drawn: bool,
}

impl Output {
    /// What the command line and the terminal ask for together.
    #[must_use]
    pub fn new(plain: bool, json: bool, ascii: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let colour = terminal && !json && !set("NO_COLOR") && !dumb;
        // The kernel's console has few of our glyphs.
        let ascii = ascii || std::env::var_os("TERM").is_some_and(|term| terminal && term == "linux");
        Self {
            style: Style { colour, ascii, zone: TimeZone::system() },
            json,
            live: terminal && !plain && !json && !dumb,
            drawn: false,
        }
    }

    /// Writes one line of text.
    ///
    /// # Errors
    /// When nobody reads any more, or the disk behind it is full.
    pub fn line(&mut self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let clear = if std::mem::take(&mut self.drawn) { "\r\x1b[2K" } else { "" };
        writeln!(out, "{clear}{text}")?;
        Ok(out.flush()?)
    }

    /// Writes lines of text.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn lines<I: IntoIterator<Item = String>>(&mut self, lines: I) -> Result<(), Failure> {
        lines.into_iter().try_for_each(|line| self.line(&line))
    }

    /// Writes one JSON line.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn json<T: Serialize>(&mut self, kind: &str, body: &T) -> Result<(), Failure> {
        self.line(&json::line(kind, body))
    }

    /// Draws the bottom line over: what is under way. Nothing happens where that can't be.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn draw(&mut self, text: &str) -> Result<(), Failure> {
        if !self.live {
            return Ok(());
        }
        let width = crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns));
        let mut shown = String::new();
        for sign in self.style.words(text).chars() {
            shown.push(sign);
            if unicode_width::UnicodeWidthStr::width(shown.as_str()) >= width {
                shown.pop();
                break;
            }
        }
        let mut out = std::io::stdout().lock();
        write!(out, "\r\x1b[2K{}", self.style.dim(&shown))?;
        self.drawn = true;
        Ok(out.flush()?)
    }

    /// Takes the bottom line away.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn settle(&mut self) -> Result<(), Failure> {
        if std::mem::take(&mut self.drawn) {
            let mut out = std::io::stdout().lock();
            write!(out, "\r\x1b[2K")?;
            out.flush()?;
        }
        Ok(())
    }
}

/// Tells a person on standard error; a program that asked for JSON on standard output too.
pub fn tell(failure: &Failure, json: bool) {
    let Failure::Said { sort, message, hint } = failure else { return };
    if json {
        let line = json::error(sort.word(), message, hint, sort.code());
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    let message = crate::print::style::visible_lines(message);
    let mut error = std::io::stderr().lock();
    let _ = writeln!(error, "towpath: {message}");
    if !hint.is_empty() {
        let _ = writeln!(error, "{}", crate::print::style::visible_lines(hint));
    }
}

/// Says something beside the result, on standard error.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "towpath: {}", crate::print::style::visible_lines(text));
}
