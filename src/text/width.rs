//! Text measured as a terminal shows it: by grapheme and column.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// What a shortened text ends in. One column.
const ELLIPSIS: &str = "…";

/// How many columns a text takes. Colour sequences are not text: see [`plain`].
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text, shortened to at most `columns` with `…` at its end when something is left out. Never splits a
/// grapheme, so it can be one column narrower than asked for.
#[must_use]
pub fn truncate(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut short = String::new();
    for grapheme in text.graphemes(true) {
        let length = short.len();
        short.push_str(grapheme);
        // Measured whole: the width of a text is not always the sum of its graphemes'.
        if width(&short) > room {
            short.truncate(length);
            break;
        }
    }
    short.push_str(ELLIPSIS);
    short
}

/// The text in exactly `columns`: shortened, or with spaces after it.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let mut padded = truncate(text, columns);
    let missing = columns.saturating_sub(width(&padded));
    padded.extend(std::iter::repeat_n(' ', missing));
    padded
}

/// A sanitised text without its colour sequences (`ESC [ … m`).
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after
            .trim_start_matches(|character: char| matches!(character, '0'..='9' | ';' | ':'))
            .strip_prefix('m')
            .unwrap_or(after);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn truncate_keeps_graphemes_whole() {
        let cases = [
            ("release", 7, "release"),
            ("release", 6, "relea…"),
            ("release", 1, "…"),
            ("release", 0, ""),
            ("", 0, ""),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}tage", 3, "e\u{301}t…"),
            ("👩\u{200d}👩\u{200d}👧ab", 3, "👩\u{200d}👩\u{200d}👧…"),
            ("👩\u{200d}👩\u{200d}👧ab", 2, "…"),
        ];
        for (text, columns, expected) in cases {
            assert_eq!(truncate(text, columns), expected, "{text:?} in {columns}");
        }
    }

    #[test]
    fn pad_fills_by_column() {
        assert_eq!(pad("界", 4), "界  ");
        assert_eq!(pad("release", 4), "rel…");
        assert_eq!(pad("日本語", 4), "日… ", "a wide grapheme does not fit the last column");
    }

    #[test]
    fn plain_takes_colours_off() {
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m and \u{1b}[mplain"), "red and plain");
        assert_eq!(plain("no colour"), "no colour");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn padded_text_is_as_wide_as_asked(text in "[a-z界é👩\u{301}\u{200d}\u{fe0f} ]{0,20}", columns in 0_usize..30) {
            prop_assert!(width(&truncate(&text, columns)) <= columns);
            prop_assert_eq!(width(&pad(&text, columns)), columns);
        }
    }
}
