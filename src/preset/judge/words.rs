//! Pieces of sentences that several judges need.

use super::SHOWN;
use crate::domain::plan::Cause;

/// The last lines that say something, oldest first.
pub(super) fn last(lines: &[&str]) -> Vec<String> {
    let mut kept: Vec<String> = lines
        .iter()
        .rev()
        .filter(|line| says_something(line))
        .take(SHOWN)
        .map(|line| (*line).to_owned())
        .collect();
    kept.reverse();
    kept
}

/// Lines of dashes, underscores and carets only underline.
fn says_something(line: &str) -> bool {
    line.chars().any(char::is_alphanumeric)
}

/// The first of chosen lines, as many as a cause shows; the last lines where none is chosen.
pub(super) fn chosen<'a>(chosen: impl IntoIterator<Item = &'a str>, lines: &[&str]) -> Vec<String> {
    let picked: Vec<String> = chosen.into_iter().take(SHOWN).map(str::to_owned).collect();
    if picked.is_empty() { last(lines) } else { picked }
}

/// `1 file`, `2 files`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// The first few names, and how many more there are.
pub(super) fn some(names: &[String], most: usize) -> String {
    let shown = names.iter().take(most).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A whole number at the beginning of a text.
pub(super) fn leading_number(text: &str) -> Option<usize> {
    let digits: String = text.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The number between two pieces of text: `Found 8 errors.`
pub(super) fn number_after(lines: &[&str], before: &str) -> Option<usize> {
    lines.iter().rev().find_map(|line| leading_number(line.trim_start().strip_prefix(before)?))
}

/// A signal's number with its name.
pub(super) fn signal(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        _ => return format!("signal {number}"),
    };
    format!("signal {number} ({name})")
}

/// How a Python program crashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traceback {
    /// The exception's last line: `ModuleNotFoundError: No module named 'x'`.
    pub(super) exception: String,
    /// Where in the project's own code it was raised, its line of code, and the exception.
    pub(super) lines: Vec<String>,
}

/// The last traceback of an output.
pub(super) fn traceback(lines: &[&str]) -> Option<Traceback> {
    let start = lines.iter().rposition(|line| line.trim() == "Traceback (most recent call last):")?;
    let block = lines.get(start + 1..)?;
    // Frames are indented; the exception begins where the indentation ends.
    let end = block.iter().position(|line| !line.is_empty() && !line.starts_with(' '))?;
    let exception = (*block.get(end)?).to_owned();
    let frames = block.get(..end)?;
    let is_frame = |line: &&str| line.trim_start().starts_with("File \"");
    let own = |line: &&str| {
        is_frame(line)
            && !["site-packages", "/lib/python", "<frozen", "dist-packages"]
                .iter()
                .any(|word| line.contains(word))
    };
    let at = frames.iter().rposition(own).or_else(|| frames.iter().rposition(is_frame));
    let mut shown: Vec<String> = Vec::new();
    if let Some(at) = at {
        shown.extend(frames.iter().skip(at).take(2).map(|line| line.trim().to_owned()));
    }
    // A SyntaxError's own place stands below the frames, and an exception's message may have several lines.
    shown.push(exception.clone());
    shown.extend(
        block.iter().skip(end + 1).take_while(|line| !line.is_empty()).take(4).map(|line| (*line).to_owned()),
    );
    Some(Traceback { exception, lines: shown })
}

/// A cause with an exit code.
pub(super) fn cause(
    summary: String,
    expected: &str,
    exit: super::Exit,
    last_lines: Vec<String>,
    cure: impl Into<String>,
) -> Cause {
    Cause {
        summary,
        expected: expected.to_owned(),
        measured: exit.measured(),
        exit_code: exit.code,
        last_lines,
        cure: cure.into(),
    }
}
