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
pub struct Traceback {
    /// The exception's last line: `ModuleNotFoundError: No module named 'x'`.
    pub exception: String,
    /// Where in the project's own code it was raised: the file, and the line's number.
    pub place: Option<(String, String)>,
    /// That place, its line of code, and the exception.
    pub lines: Vec<String>,
}

impl Traceback {
    /// The exception and where in the project it was raised, in one line.
    #[must_use]
    pub fn said(&self) -> String {
        match &self.place {
            Some((file, line)) => format!("{} ({file}, line {line})", self.exception),
            None => self.exception.clone(),
        }
    }
}

/// The last traceback of an output.
pub(super) fn traceback(lines: &[&str]) -> Option<Traceback> {
    let start = lines.iter().rposition(|line| line.trim() == "Traceback (most recent call last):")?;
    let block = lines.get(start + 1..)?;
    // Frames are indented; the exception begins where the indentation ends.
    let end = block.iter().position(|line| !line.is_empty() && !line.starts_with(' '))?;
    let exception = (*block.get(end)?).to_owned();
    let frames = block.get(..end)?;
    let own = own_frame(frames);
    // An exception's message may have several lines.
    let message = block.iter().skip(end + 1).take_while(|line| !line.is_empty());
    // The other stream's last words may follow: `migrate` says what it was doing there.
    let message = message.filter(|line| says_something(line) && !line.starts_with("  Applying ")).take(4);
    let message: Vec<String> = message.map(|line| (*line).to_owned()).collect();
    // A line of a package's is better than none, but not than what the database says.
    let at = own.or_else(|| frames.iter().rposition(is_frame).filter(|_| message.is_empty()));
    let mut shown: Vec<String> = Vec::new();
    if let Some(at) = at {
        shown.extend(frames.iter().skip(at).take(2).map(|line| line.trim().to_owned()));
    }
    shown.push(exception.clone());
    shown.extend(message);
    let place = own.and_then(|at| place(frames.get(at)?));
    Some(Traceback { exception, place, lines: shown })
}

fn is_frame(line: &&str) -> bool {
    line.trim_start().starts_with("File \"")
}

/// The innermost frame that is neither Python's, nor a package's, nor `manage.py`, which is everybody's.
pub(super) fn own_frame(lines: &[&str]) -> Option<usize> {
    const OTHERS: [&str; 5] = ["site-packages", "/lib/python", "<frozen", "dist-packages", "manage.py\""];
    lines.iter().rposition(|line| is_frame(line) && !OTHERS.iter().any(|word| line.contains(word)))
}

/// `File "shop/models.py", line 4, in <module>`
fn place(frame: &str) -> Option<(String, String)> {
    let (file, rest) = frame.trim().strip_prefix("File \"")?.split_once("\", line ")?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((file.to_owned(), number))
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
