//! Secrets taken out of lines before they reach a disk or a screen.

use std::borrow::Cow;
use std::ops::Range;

use super::patterns;
use super::sanitise::LINE_GOES_ON;
use super::secrets::Secret;
use super::width::plain;

/// What stands where a secret stood.
pub const MASK: &str = "•••";
/// What stands where a whole line was secret.
pub const MASKED_LINE: &str = "[redacted]";

/// Lines of a private key that are masked at most: the largest RSA key in use has about 200.
const LONGEST_KEY: u32 = 400;
/// Lines after `BEGIN … PRIVATE KEY` that may not look like a key's body (headers, a blank, a short last one).
const STRANGE_KEY_LINES: u32 = 4;

/// Masks secrets in the lines of one stream: known values in several encodings, and what looks like a secret.
#[derive(Debug, Default)]
pub struct Redactor {
    secrets: Vec<Secret>,
    /// Inside a private key: lines that may still be masked, and how many of them may look strange.
    key: Option<(u32, u32)>,
    /// The secret and the number of its line that would follow.
    expected: Option<(usize, usize)>,
    /// Rests of values that the line before was cut off in.
    rests: Vec<String>,
}

impl Redactor {
    /// A redactor for one stream that knows these values. Values of less than four characters are not looked
    /// for. A redactor without values masks what looks like a secret.
    pub fn new(values: impl IntoIterator<Item = String>) -> Self {
        Self {
            secrets: values.into_iter().filter_map(|value| Secret::new(&value)).collect(),
            ..Self::default()
        }
    }

    /// The line without its secrets. Lines come in order: a value or a key may span several.
    ///
    /// A line with colours loses them when something in it is masked, because a sequence may stand inside the
    /// secret.
    pub fn redact<'a>(&mut self, line: &'a str) -> Cow<'a, str> {
        if line.contains('\u{1b}') {
            let text = plain(line);
            return match self.redact_plain(&text) {
                Some(masked) => Cow::Owned(masked),
                None => Cow::Borrowed(line),
            };
        }
        self.redact_plain(line).map_or(Cow::Borrowed(line), Cow::Owned)
    }

    /// `None` when there is nothing to mask.
    fn redact_plain(&mut self, line: &str) -> Option<String> {
        if self.is_line_of_value(line) {
            self.rests.clear();
            return Some(MASKED_LINE.to_owned());
        }
        let mut found: Vec<Range<usize>> = Vec::new();
        if self.key.is_some() {
            let Some(rest) = self.inside_key(line) else { return Some(MASKED_LINE.to_owned()) };
            if rest > 0 {
                found.push(0..rest);
            }
        }
        for rest in std::mem::take(&mut self.rests) {
            if line.starts_with(&rest) {
                found.push(0..rest.len());
            }
        }
        for secret in &self.secrets {
            secret.find(line, &mut found);
        }
        found.extend(
            patterns::address_passwords(line)
                .into_iter()
                .map(|(_, range)| range)
                .filter(|range| !patterns::is_reference(&line[range.clone()])),
        );
        found.extend(patterns::tokens(line).into_iter().map(|(range, _)| range));
        found.extend(patterns::web_tokens(line));
        found.extend(patterns::named_values(line));
        self.begin_key(line, &mut found);
        self.remember_cut(line, &mut found);
        if found.is_empty() { None } else { Some(mask(line, found)) }
    }

    /// Whether this is, by itself, one of the lines of a value that has several.
    fn is_line_of_value(&mut self, line: &str) -> bool {
        let expected = self.expected.take();
        for (at, secret) in self.secrets.iter().enumerate() {
            let next = expected.and_then(|(secret, number)| (secret == at).then_some(number));
            if let Some(number) = secret.line_number(line, next) {
                self.expected = Some((at, number + 1));
                // A longer line that only ends in the value's line is masked where the value stands.
                return next == Some(number);
            }
        }
        false
    }

    /// How many bytes of a line inside a key belong to it: `Some(0)` when the key had ended before the line,
    /// `None` when the whole line does.
    fn inside_key(&mut self, line: &str) -> Option<usize> {
        let (lines, strange) = self.key?;
        if let Some(end) = end_of_key(line) {
            self.key = None;
            return Some(end);
        }
        let word = line.split_whitespace().next_back().unwrap_or_default();
        let word = word.trim_matches(|c: char| matches!(c, '"' | '\'' | ',' | '\\' | '+'));
        let is_body = word.len() >= 32
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
        self.key = match (is_body, lines.checked_sub(1), strange.checked_sub(1)) {
            (true, Some(lines), _) => Some((lines, strange)),
            (false, Some(lines), Some(strange)) => Some((lines, strange)),
            _ => None,
        };
        if self.key.is_some() { None } else { Some(0) }
    }

    fn begin_key(&mut self, line: &str, found: &mut Vec<Range<usize>>) {
        let mut from = 0;
        while let Some(at) = line[from..].find("-----BEGIN ").map(|at| from + at) {
            let label = &line[at + 11..];
            let Some(length) = label.find("-----") else { return };
            from = at + 11 + length + 5;
            if !label[..length].contains("PRIVATE KEY") {
                continue;
            }
            if let Some(end) = end_of_key(&line[from..]) {
                found.push(at..from + end);
                from += end;
            } else {
                found.push(at..line.len());
                self.key = Some((LONGEST_KEY, STRANGE_KEY_LINES));
                return;
            }
        }
    }

    /// A line that was cut because of its length may end in the middle of a value.
    fn remember_cut(&mut self, line: &str, found: &mut Vec<Range<usize>>) {
        let Some(text) = line.strip_suffix(LINE_GOES_ON) else { return };
        for secret in &self.secrets {
            if let Some((length, rest)) = secret.cut_off(text) {
                found.push(text.len() - length..text.len());
                self.rests.push(rest.to_owned());
            }
        }
    }
}

/// Where the end mark of a private key ends in this text.
fn end_of_key(text: &str) -> Option<usize> {
    let at = text.find("-----END ")?;
    let length = text[at + 9..].find("-----")?;
    Some(at + 9 + length + 5)
}

fn mask(line: &str, mut found: Vec<Range<usize>>) -> String {
    found.sort_by_key(|range| (range.start, range.end));
    let mut masked = String::with_capacity(line.len());
    let mut done = 0;
    let mut open = false;
    for range in found {
        if range.start > done || !open {
            masked.push_str(line.get(done..range.start).unwrap_or_default());
            masked.push_str(MASK);
            open = true;
        }
        done = done.max(range.end);
    }
    masked.push_str(line.get(done..).unwrap_or_default());
    masked
}

/// Why a value that somebody wrote into a configuration looks like a secret, as a clause ("it is a GitHub
/// token"); `None` when it looks ordinary. Values that say of themselves that they are throw-away
/// (`test`, `insecure`, `dummy`) are ordinary.
#[must_use]
pub fn looks_secret(key: &str, value: &str) -> Option<&'static str> {
    const THROW_AWAY: &[&str] = &[
        "insecure",
        "dummy",
        "example",
        "test",
        "fake",
        "throwaway",
        "throw-away",
        "throw_away",
        "not-secret",
        "not-a-secret",
        "not_a_secret",
        "changeme",
        "change-me",
        "placeholder",
        "unused",
        "postgres",
        "guest",
        "password",
        "build-only",
    ];
    let value = value.trim();
    if patterns::is_reference(value) {
        return None;
    }
    if value.contains("-----BEGIN ") && value.contains("PRIVATE KEY") {
        return Some("it is a private key");
    }
    if let Some((_, what)) = patterns::tokens(value).first() {
        return Some(what);
    }
    if !patterns::web_tokens(value).is_empty() {
        return Some("it is a signed token (JWT)");
    }
    let throw_away = |text: &str| {
        let lower = text.to_ascii_lowercase();
        THROW_AWAY.iter().any(|word| lower.contains(word))
    };
    let addresses = patterns::address_passwords(value);
    if addresses.iter().any(|(user, range)| {
        let password = &value[range.clone()];
        password != *user && !patterns::is_reference(password) && !throw_away(password)
    }) {
        return Some("it is an address with a password in it");
    }
    if throw_away(value) {
        return None;
    }
    let ordinary =
        matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "none" | "null" | "yes" | "no")
            || patterns::is_number(value) && value.len() < SHORTEST_NUMBER
            || value.starts_with('/')
            || value.contains("://");
    if patterns::is_secret_name(key) && !ordinary {
        return Some("its name says that it is a secret");
    }
    if is_random(value) {
        return Some("it is long and random, as generated keys are");
    }
    None
}

/// Shorter numbers are ages and counts even where a name ends in `token`.
const SHORTEST_NUMBER: usize = 6;

/// Whether a value has the length, the mix and the entropy of a generated key. Hashes (hexadecimal) have not.
fn is_random(value: &str) -> bool {
    const SHORTEST_KEY: usize = 40;
    // Bits a character: base64 of 32 random bytes has 4.8 on average; English words and paths stay below 4.2.
    const LEAST_ENTROPY: f64 = 4.3;
    let has = |test: fn(&u8) -> bool| value.bytes().any(|byte| test(&byte));
    if value.len() < SHORTEST_KEY
        || !value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'.' | b':' | b',' | b';' | b'\\'))
        || value.starts_with("sha")
        || !(has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase))
        || !(has(u8::is_ascii_uppercase) || has(u8::is_ascii_punctuation))
    {
        return false;
    }
    let mut counts = [0_u32; 128];
    for byte in value.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let length = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum();
    entropy >= LEAST_ENTROPY
}

#[cfg(test)]
mod tests;
