//! Bytes from a program, made into lines that no terminal can be harmed or fooled by.
//!
//! The filter works on *decoded characters*: a C1 byte is also a UTF-8 continuation byte, so a filter on bytes
//! either breaks text or lets controls through. What is kept: text, and `ESC [ … m` (colours).

use unicode_width::UnicodeWidthChar as _;

/// The longest line in bytes, before [`LINE_GOES_ON`]. One 90,000-column line must not freeze a viewer.
pub const LONGEST_LINE: usize = 16 * 1024;
/// What a line ends in when its rest is on the next one.
pub const LINE_GOES_ON: &str = " ↩";
/// Characters that an unterminated OSC, DCS, APC, PM or SOS may swallow. Titles and links are far shorter.
pub const LONGEST_STRING_SEQUENCE: usize = 4096;
/// Characters that one CSI may have; real ones have less than 40.
const LONGEST_CSI: usize = 128;
/// Characters between `ESC [` and `m`. Two true colours with attributes need 40.
pub const LONGEST_SGR: usize = 64;
/// Bytes of colour sequences held back after a carriage return.
const LONGEST_HELD: usize = 512;
/// Zero-width marks on one character; more only smear over the lines above.
const MOST_MARKS: u8 = 8;
const TAB: usize = 8;

/// Turns a stream of bytes into harmless lines. How the stream is cut into chunks does not matter.
#[derive(Debug, Default)]
pub struct Sanitiser {
    /// The beginning of a character that is not whole yet; at most 3 bytes.
    undecoded: Vec<u8>,
    state: State,
    line: String,
    columns: usize,
    /// A carriage return came: what is printed next replaces the line. (`\r\n` replaces nothing.)
    carriage: bool,
    /// Colours set after the carriage return, before anything is printed.
    held: String,
    /// A zero-width joiner came after an emoji; it is kept when another emoji follows.
    joiner: bool,
    after_emoji: bool,
    marks: u8,
    lines: Vec<String>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    Escape,
    /// `ESC` with intermediates: charsets and the like.
    Intermediate(usize),
    Csi {
        parameters: String,
        /// Whether only digits, `;` and `:` were seen.
        plain: bool,
        length: usize,
    },
    /// OSC, DCS, APC, PM, SOS: everything up to the string terminator.
    StringSequence {
        length: usize,
        escape: bool,
    },
}

impl Sanitiser {
    /// A sanitiser at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and gives the lines that they end, without line ends.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let joined;
        let mut rest = if self.undecoded.is_empty() {
            bytes
        } else {
            let mut all = std::mem::take(&mut self.undecoded);
            all.extend_from_slice(bytes);
            joined = all;
            &joined
        };
        while !rest.is_empty() {
            let (valid, bad) = match std::str::from_utf8(rest) {
                Ok(text) => (text, None),
                Err(error) => {
                    let (valid, _) = rest.split_at(error.valid_up_to());
                    (std::str::from_utf8(valid).unwrap_or_default(), Some(error.error_len()))
                }
            };
            for character in valid.chars() {
                self.step(character);
            }
            let (_, after) = rest.split_at(valid.len());
            match bad {
                None => break,
                Some(None) => {
                    self.undecoded = after.to_vec();
                    break;
                }
                Some(Some(length)) => {
                    self.step(char::REPLACEMENT_CHARACTER);
                    (_, rest) = after.split_at(length);
                }
            }
        }
        std::mem::take(&mut self.lines)
    }

    /// The last line, when the stream did not end in a line end. The sanitiser is then as new.
    ///
    /// Call it when the stream has ended; [`Sanitiser::push`] has given everything before.
    pub fn finish(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.undecoded).is_empty() {
            self.step(char::REPLACEMENT_CHARACTER);
        }
        // The replacement character can have filled a line to its bound; its rest is then the last line.
        let mut ended = std::mem::take(&mut self.lines);
        let last = std::mem::take(self);
        if !last.line.is_empty() {
            ended.push(last.line + &last.held);
        }
        if ended.is_empty() { None } else { Some(ended.concat()) }
    }

    fn step(&mut self, character: char) {
        match std::mem::take(&mut self.state) {
            State::Text => self.text(character),
            State::Escape => self.escape(character),
            State::Intermediate(length) => match character {
                ' '..='/' if length < 16 => self.state = State::Intermediate(length + 1),
                '0'..='~' => {}
                _ => self.text(character),
            },
            State::Csi { parameters, plain, length } => self.csi(character, parameters, plain, length),
            State::StringSequence { length, escape } => match character {
                '\\' if escape => {}
                // The string was left for another sequence.
                _ if escape => self.escape(character),
                '\u{07}' | '\u{9c}' => {}
                // A line end, cancel or substitute ends it: an unterminated sequence costs one line at most.
                '\n' | '\u{18}' | '\u{1a}' => self.text(character),
                _ if length >= LONGEST_STRING_SEQUENCE => self.text(character),
                _ => {
                    self.state = State::StringSequence { length: length + 1, escape: character == '\u{1b}' };
                }
            },
        }
    }

    fn escape(&mut self, character: char) {
        match character {
            '[' => self.state = State::Csi { parameters: String::new(), plain: true, length: 0 },
            // `k` is the title sequence of screen and tmux.
            ']' | 'P' | 'X' | '^' | '_' | 'k' => {
                self.state = State::StringSequence { length: 0, escape: false };
            }
            ' '..='/' => self.state = State::Intermediate(1),
            '0'..='~' => {}
            _ => self.text(character),
        }
    }

    fn csi(&mut self, character: char, mut parameters: String, plain: bool, length: usize) {
        match character {
            _ if length >= LONGEST_CSI => self.text(character),
            '0'..='?' | ' '..='/' => {
                let plain =
                    plain && matches!(character, '0'..='9' | ';' | ':') && parameters.len() < LONGEST_SGR;
                if plain {
                    parameters.push(character);
                }
                self.state = State::Csi { parameters, plain, length: length + 1 };
            }
            'm' if plain => self.colour(&parameters),
            // "To column 1" is the other way to draw a progress bar.
            'G' if plain && matches!(parameters.as_str(), "" | "0" | "1") => self.carriage = true,
            '@'..='~' => {}
            _ => self.text(character),
        }
    }

    fn text(&mut self, character: char) {
        match character {
            '\n' => self.end_line(""),
            '\r' => {
                self.carriage = true;
                self.held.clear();
            }
            '\t' => {
                let columns = if self.carriage { 0 } else { self.columns };
                for _ in 0..TAB - columns % TAB {
                    self.print(' ', 1);
                }
            }
            '\u{1b}' => self.state = State::Escape,
            '\u{9b}' => self.state = State::Csi { parameters: String::new(), plain: true, length: 0 },
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => {
                self.state = State::StringSequence { length: 0, escape: false };
            }
            '\u{2028}' | '\u{2029}' => self.print(' ', 1),
            // Joins emoji only; elsewhere it makes two names look like one.
            '\u{200d}' => self.joiner = self.after_emoji,
            _ if character.is_control() || is_hidden(character) => {}
            _ => self.print(character, character.width().unwrap_or(0)),
        }
    }

    fn colour(&mut self, parameters: &str) {
        let sequence = format!("\u{1b}[{parameters}m");
        self.joiner = false;
        self.after_emoji = false;
        if self.carriage {
            if self.held.len() + sequence.len() <= LONGEST_HELD {
                self.held.push_str(&sequence);
            }
            return;
        }
        self.make_room(sequence.len());
        self.line.push_str(&sequence);
    }

    fn print(&mut self, character: char, columns: usize) {
        let joiner = std::mem::take(&mut self.joiner);
        let emoji = is_emoji(character);
        if self.carriage {
            self.carriage = false;
            self.line.clear();
            self.line.push_str(&self.held);
            self.held.clear();
            self.columns = 0;
        }
        self.marks = if columns == 0 { self.marks.saturating_add(1) } else { 0 };
        if self.marks > MOST_MARKS {
            return;
        }
        let joins = joiner && emoji;
        self.make_room(character.len_utf8() + if joins { '\u{200d}'.len_utf8() } else { 0 });
        if joins {
            self.line.push('\u{200d}');
        }
        self.line.push(character);
        self.columns += columns;
        self.after_emoji = emoji;
    }

    fn make_room(&mut self, bytes: usize) {
        if self.line.len() + bytes > LONGEST_LINE {
            self.end_line(LINE_GOES_ON);
        }
    }

    fn end_line(&mut self, mark: &str) {
        let mut line = std::mem::take(&mut self.line);
        line.push_str(&self.held);
        line.push_str(mark);
        self.lines.push(line);
        self.held.clear();
        self.carriage = false;
        self.columns = 0;
        self.joiner = false;
        self.after_emoji = false;
        self.marks = 0;
    }
}

/// Whether a character shows nothing and can change how its neighbours read: bidirectional controls,
/// zero-width spaces and joiners, fillers, tags, deprecated formatting.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0d}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a zero-width joiner may stand beside it: pictographs, their variation selector, skin tones.
const fn is_emoji(character: char) -> bool {
    matches!(
        character,
        '\u{fe0f}' | '\u{2190}'..='\u{21ff}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}'
    )
}

#[cfg(test)]
mod tests;
