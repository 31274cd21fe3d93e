//! The forms in which one known secret value may be printed.

use std::ops::Range;

use super::sanitise::Sanitiser;

/// The shortest value that is looked for: a shorter one is found in ordinary words.
pub(super) const SHORTEST: usize = 4;
/// The shortest line of a value of several lines that is looked for by itself.
const SHORTEST_LINE: usize = 8;
/// The shortest piece of base64 that is looked for when a value stands inside a longer encoded text.
const SHORTEST_PIECE: usize = 6;

/// One secret value.
#[derive(Debug)]
pub(super) struct Secret {
    /// What is looked for inside a line, longest first.
    forms: Vec<String>,
    /// The value's lines, trimmed, when it has several.
    lines: Vec<String>,
}

impl Secret {
    /// `None` for a value that is too short to be looked for.
    pub(super) fn new(value: &str) -> Option<Self> {
        let trimmed = value.trim();
        if trimmed.chars().count() < SHORTEST {
            return None;
        }
        let mut forms = Vec::new();
        for value in [value, trimmed] {
            forms.extend(base64_forms(value));
            for encoded in percent_forms(value) {
                forms.push(encoded);
            }
            if let Ok(json) = serde_json::to_string(value) {
                forms.push(json.trim_matches('"').to_owned());
            }
        }
        forms.push(trimmed.replace('\n', "\\n"));
        // A line reaches the redactor sanitised, so a value is looked for as it looks then.
        let mut sanitiser = Sanitiser::new();
        let mut sanitised = sanitiser.push(trimmed.as_bytes());
        sanitised.extend(sanitiser.finish());
        let mut lines: Vec<String> = trimmed.lines().map(|line| line.trim().to_owned()).collect();
        if lines.len() == 1 {
            forms.push(trimmed.to_owned());
            forms.extend(sanitised);
            lines.clear();
        } else {
            let pieces = lines.iter().map(String::as_str).chain(sanitised.iter().map(|line| line.trim()));
            forms.extend(pieces.filter(|line| line.len() >= SHORTEST_LINE).map(str::to_owned));
        }
        forms.retain(|form| form.chars().count() >= SHORTEST);
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Some(Self { forms, lines })
    }

    /// Where the value stands in a line, in whatever form.
    pub(super) fn find(&self, line: &str, found: &mut Vec<Range<usize>>) {
        for form in &self.forms {
            found.extend(line.match_indices(form.as_str()).map(|(at, text)| at..at + text.len()));
        }
    }

    /// The number of the value's line that this line ends with, when the value has several.
    ///
    /// `expected` is the number that would follow the line before; it is recognised even when it is short.
    pub(super) fn line_number(&self, line: &str, expected: Option<usize>) -> Option<usize> {
        let line = line.trim();
        if let Some(next) = expected
            && self.lines.get(next).is_some_and(|text| text == line)
        {
            return Some(next);
        }
        self.lines.iter().position(|text| text.len() >= SHORTEST_LINE && line.ends_with(text.as_str()))
    }

    /// How many bytes of a form stand at the end of `text`, cut off there; with the form's rest.
    pub(super) fn cut_off<'a>(&'a self, text: &str) -> Option<(usize, &'a str)> {
        self.forms
            .iter()
            .filter_map(|form| {
                let at = form
                    .char_indices()
                    .map(|(at, _)| at)
                    .skip(1)
                    .filter(|at| text.ends_with(&form[..*at]))
                    .last()?;
                Some((at, &form[at..]))
            })
            .max_by_key(|(length, _)| *length)
    }
}

/// With `%XX`, upper and lower case, space as `%20` and as `+`.
fn percent_forms(value: &str) -> Vec<String> {
    let encode = |upper: bool, plus: bool| {
        value.bytes().fold(String::new(), |mut text, byte| {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                b' ' if plus => text.push('+'),
                _ if upper => text.push_str(&format!("%{byte:02X}")),
                _ => text.push_str(&format!("%{byte:02x}")),
            }
            text
        })
    };
    let upper = encode(true, false);
    // `quote()` of Python and others leave `/` as it is.
    let slash = upper.replace("%2F", "/");
    vec![slash, encode(true, true), encode(false, false), upper]
}

/// The value encoded by itself, and the part of the encoding that stays the same wherever the value stands in
/// an encoded text (`user:password` in an `Authorization` header).
fn base64_forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let whole = base64(bytes);
    let mut forms = vec![whole.trim_end_matches('=').to_owned()];
    for shift in 0..3_usize {
        let mut shifted = vec![0; shift];
        shifted.extend_from_slice(bytes);
        let encoded = base64(&shifted);
        // Only digits made of the value's bits alone: 6 bits a digit.
        let first = (shift * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        if let Some(piece) = encoded.get(first..last)
            && piece.len() >= SHORTEST_PIECE
        {
            forms.push(piece.to_owned());
        }
    }
    let safe: Vec<String> = forms.iter().map(|form| form.replace('+', "-").replace('/', "_")).collect();
    forms.extend(safe);
    forms
}

/// Standard base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| usize::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit > chunk.len() {
                text.push('=');
            } else {
                text.push(char::from(DIGITS[bits >> (18 - 6 * digit) & 63]));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_standards() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (text, encoded) in cases {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
