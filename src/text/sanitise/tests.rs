use proptest::prelude::*;

use super::*;

fn all(bytes: &[u8]) -> Vec<String> {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(bytes);
    lines.extend(sanitiser.finish());
    lines
}

fn one(bytes: &[u8]) -> String {
    all(bytes).join("⏎")
}

#[test]
fn hostile_sequences_leave_nothing_behind() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("title", b"a\x1b]0;pwned\x07b", "ab"),
        ("title, string terminator", b"a\x1b]2;pwned\x1b\\b", "ab"),
        ("title, 8-bit in UTF-8", "a\u{9d}0;pwned\u{9c}b".as_bytes(), "ab"),
        ("tmux title", b"a\x1bkpwned\x1b\\b", "ab"),
        ("clipboard", b"a\x1b]52;c;cm0gLXJmIC8=\x07b", "ab"),
        ("hyperlink", b"\x1b]8;;http://evil/\x07click\x1b]8;;\x07", "click"),
        ("answerback: cursor position", b"a\x1b[6nb", "ab"),
        ("answerback: DECRQSS", b"a\x1bP$q\"p\x1b\\b", "ab"),
        ("device attributes", b"a\x1b[cb\x1b[>c\x1b[0c", "ab"),
        ("clear screen, home", b"a\x1b[2J\x1b[Hb", "ab"),
        ("alternate screen", b"a\x1b[?1049hb", "ab"),
        ("mouse reports", b"a\x1b[?1000h\x1b[?1006hb", "ab"),
        ("reset", b"a\x1bcb", "ab"),
        ("charset", b"a\x1b(0lqqk\x0e\x0f", "alqqk"),
        ("application program command", b"a\x1b_Gf=100;AAAA\x1b\\b", "ab"),
        ("privacy message", b"a\x1b^x\x1b\\b", "ab"),
        ("start of string", b"a\x1bXx\x1b\\b", "ab"),
        ("8-bit CSI in UTF-8", "a\u{9b}2Jb".as_bytes(), "ab"),
        ("8-bit CSI as a bare byte", b"a\x9b2Jb", "a\u{fffd}2Jb"),
        ("key modifiers look like colour", b"a\x1b[>4;2mb", "ab"),
        ("colour with an intermediate", b"a\x1b[1 mb", "ab"),
        ("a string left for another sequence", b"a\x1b]0;x\x1b[31mb", "a\x1b[31mb"),
        ("escape inside a CSI", b"a\x1b[31\x1b[32mb", "a\x1b[32mb"),
        ("cancel", b"a\x1b]0;x\x18b", "ab"),
        ("null, bell, backspace, delete", b"a\0\x07\x08\x7fb", "ab"),
        ("right-to-left override", "user\u{202e}txt.exe".as_bytes(), "usertxt.exe"),
        ("isolates and marks", "\u{2066}a\u{2069}\u{200e}b\u{200f}\u{61c}".as_bytes(), "ab"),
        ("zero-width spaces", "pay\u{200b}pal\u{feff}\u{2060}\u{ad}".as_bytes(), "paypal"),
        ("joiner between letters", "pay\u{200d}pal".as_bytes(), "paypal"),
        ("tag characters", "a\u{e0041}\u{e0042}".as_bytes(), "a"),
        ("line separators", "a\u{2028}b\u{2029}c".as_bytes(), "a b c"),
        ("colours stay", b"\x1b[1;38;5;9mred\x1b[0m \x1b[m", "\x1b[1;38;5;9mred\x1b[0m \x1b[m"),
        ("colours by 8-bit CSI are made 7-bit", "\u{9b}31mred".as_bytes(), "\x1b[31mred"),
        ("a family stays one", "👩\u{200d}👩\u{200d}👧".as_bytes(), "👩\u{200d}👩\u{200d}👧"),
        ("a heart on fire", "❤\u{fe0f}\u{200d}🔥".as_bytes(), "❤\u{fe0f}\u{200d}🔥"),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(one(bytes), *expected, "{what}");
    }
}

#[test]
fn lines_tabs_and_progress() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("empty", b"", ""),
        ("no line end", b"a", "a"),
        ("empty lines are lines", b"a\n\nb\n", "a⏎⏎b"),
        ("Windows", b"a\r\nb\r\r\n", "a⏎b"),
        ("progress", b" 10%\r 50%\r100%\ndone", "100%⏎done"),
        ("progress that never ends its line", b" 10%\r 50%\r", " 50%"),
        ("progress with erase and colour", b"10%\r\x1b[K\x1b[32m20%", "\x1b[32m20%"),
        ("colour reset after a return replaces nothing", b"done\r\x1b[0m\n", "done\x1b[0m"),
        ("progress by column", b"10%\x1b[2K\x1b[1G20%\n", "20%"),
        ("tabs", b"a\tb\n1234567\tc\n12345678\td", "a       b⏎1234567 c⏎12345678        d"),
        ("tab after wide", "界\tb".as_bytes(), "界      b"),
        ("tab after a return", b"abc\r\tx", "        x"),
    ];
    for (what, bytes, expected) in cases {
        assert_eq!(one(bytes), *expected, "{what}");
    }
}

#[test]
fn an_unterminated_sequence_swallows_one_line_at_most() {
    assert_eq!(all(b"\x1b]0;never ended\nnext\n"), ["", "next"]);
    let mut bytes = b"\x1b]0;".to_vec();
    bytes.extend(std::iter::repeat_n(b'x', LONGEST_STRING_SEQUENCE + 100));
    assert!(one(&bytes).len() >= 96, "the rest is text again");
    let csi: Vec<u8> = b"\x1b[".iter().copied().chain(std::iter::repeat_n(b'1', 4000)).collect();
    assert!(one(&csi).len() > 3800);
}

#[test]
fn long_lines_are_split_and_say_so() {
    let lines = all(&vec![b'x'; 3 * LONGEST_LINE + 1]);
    assert_eq!(lines.len(), 4);
    for line in &lines[..3] {
        assert_eq!(line.len(), LONGEST_LINE + LINE_GOES_ON.len());
        assert!(line.ends_with(LINE_GOES_ON));
    }
    assert_eq!(lines[3], "x");
}

#[test]
fn nothing_grows_without_bound() {
    let mut sanitiser = Sanitiser::new();
    assert!(sanitiser.push(b"a\r").is_empty());
    for _ in 0..100_000 {
        assert!(sanitiser.push(b"\x1b[31m").is_empty());
    }
    assert!(sanitiser.held.len() <= LONGEST_HELD);
    let smeared: String = std::iter::once('a').chain(std::iter::repeat_n('\u{301}', 1000)).collect();
    assert_eq!(one(smeared.as_bytes()).chars().count(), 1 + usize::from(MOST_MARKS));
}

/// Whether every control character in it is the escape of a colour sequence.
fn is_harmless(line: &str) -> bool {
    let mut rest = line;
    while let Some(at) = rest.find(|c: char| c.is_control() || is_hidden(c) && c != '\u{200d}') {
        let Some(after) = rest[at..].strip_prefix("\u{1b}[") else { return false };
        let Some(end) = after.find(|c: char| !matches!(c, '0'..='9' | ';' | ':')) else { return false };
        if !after[end..].starts_with('m') || end > LONGEST_SGR {
            return false;
        }
        rest = &after[end + 1..];
    }
    true
}

/// Bytes that are likely to form sequences.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..4),
        2 => Just(vec![0x1b]),
        2 => Just(b"\x1b[".to_vec()),
        1 => Just(b"\x1b]".to_vec()),
        1 => Just(b"\x1bP".to_vec()),
        1 => Just(b"\x1b\\".to_vec()),
        2 => Just(b"31;1m".to_vec()),
        2 => Just(b"\r".to_vec()),
        2 => Just(b"\n".to_vec()),
        1 => Just(b"\t".to_vec()),
        1 => Just("\u{9b}".as_bytes().to_vec()),
        1 => Just("\u{200d}".as_bytes().to_vec()),
        1 => Just("👩界é\u{202e}".as_bytes().to_vec()),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => Just(vec![b'x'; 5000]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_in_nothing_harmful_goes_out(bytes in hostile()) {
        for line in all(&bytes) {
            prop_assert!(is_harmless(&line), "{:?}", line);
            prop_assert!(line.len() <= LONGEST_LINE + LONGEST_HELD + LINE_GOES_ON.len());
        }
    }

    #[test]
    fn chunks_do_not_matter(bytes in hostile(), cuts in proptest::collection::vec(1_usize..7, 1..60)) {
        let mut sanitiser = Sanitiser::new();
        let mut lines = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*cut).min(rest.len()));
            lines.extend(sanitiser.push(chunk));
            rest = after;
        }
        lines.extend(sanitiser.finish());
        prop_assert_eq!(lines, all(&bytes));
    }
}
