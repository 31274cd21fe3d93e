//! Linters: Ruff, Black, mypy.

use super::words::{self, cause, count};
use super::{Exit, Judged};

pub(super) fn ruff(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    if code == 0 {
        if lines.iter().any(|line| line.contains("No Python files found")) {
            return Judged::inconclusive("ruff found no Python file to look at");
        }
        let formatted = lines.iter().find(|line| line.ends_with("already formatted"));
        return Judged::passed(formatted.map(|line| (*line).to_owned()).into_iter().collect());
    }
    let arrow = |line: &&&str| line.trim_start().starts_with("--> ");
    if code == 1 {
        let unformatted = lines.iter().rev().find(|line| line.contains("would be reformatted"));
        let unformatted = unformatted.and_then(|line| words::leading_number(line));
        if let Some(files) = unformatted {
            let summary = format!("ruff format: {} would be reformatted", count(files, "file"));
            let named = lines
                .iter()
                .filter(|line| line.starts_with("Would reformat: "))
                .chain(lines.iter().filter(arrow));
            let named = words::chosen(named.copied(), lines);
            return Judged::failed(cause(
                summary,
                "every file formatted",
                exit,
                named,
                "Run ruff format and commit.",
            ));
        }
        if let Some(found) = words::number_after(lines, "Found ") {
            let summary = format!("ruff: {}", count(found, "violation"));
            let fixable = lines.iter().rev().find(|line| line.contains(" fixable with "));
            let fixable = fixable.and_then(|line| words::leading_number(line.trim_start_matches("[*]")));
            let cure = match fixable {
                Some(number) => format!("ruff check --fix repairs {number} of them by itself."),
                None => String::new(),
            };
            return Judged::failed(cause(summary, "no violation", exit, places(lines), cure));
        }
    }
    Judged::inconclusive(format!("ruff could not run: {}", told(lines)))
}

/// Each violation with its place: a line each in the concise form, two in the full one.
fn places(lines: &[&str]) -> Vec<String> {
    let concise: Vec<&str> = lines.iter().copied().filter(|line| is_place(line)).collect();
    if !concise.is_empty() {
        return words::chosen(concise, lines);
    }
    let full = lines.windows(2).filter_map(|pair| match pair {
        [rule, place] => Some((rule, place.trim_start().strip_prefix("--> ")?)),
        _ => None,
    });
    let full: Vec<String> = full.map(|(rule, place)| format!("{place}: {rule}")).collect();
    words::chosen(full.iter().map(String::as_str), lines)
}

/// `shop/views.py:1:30: F401 …`
pub(super) fn is_place(line: &str) -> bool {
    let mut parts = line.splitn(4, ':');
    let (path, row, column) = (parts.next(), parts.next(), parts.next());
    let numbers = [row, column].iter().all(|part| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let code = parts.next().and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    let rule =
        code.starts_with(|c: char| c.is_ascii_uppercase()) && code.ends_with(|c: char| c.is_ascii_digit());
    path.is_some_and(|path| !path.is_empty() && !path.contains(' '))
        && numbers
        && (rule || code == "invalid-syntax")
}

pub(super) fn black(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let told = |what: &str| Judged::inconclusive(format!("black could not run: {what}"));
    let ended = lines.iter().rev().find(|line| line.contains("would be ") || line.contains("would fail"));
    let named = lines
        .iter()
        .copied()
        .filter(|line| line.starts_with("would reformat") || line.starts_with("error: cannot "));
    match code {
        0 if lines.iter().any(|line| line.contains("No Python files are present")) => {
            Judged::inconclusive("black found no Python file to look at")
        }
        0 => Judged::passed(Vec::new()),
        1 => match ended.and_then(|line| words::leading_number(line)) {
            Some(files) => {
                let summary = format!("black: {} would be reformatted", count(files, "file"));
                Judged::failed(cause(
                    summary,
                    "every file formatted",
                    exit,
                    words::chosen(named, lines),
                    "Run black . and commit.",
                ))
            }
            None => told(&self::told(lines)),
        },
        123 => {
            let broken = lines.iter().filter(|line| line.starts_with("error: cannot ")).count();
            // A file that Black cannot parse is no Python; anything else is Black's own trouble.
            if broken == 0 {
                return told(&self::told(lines));
            }
            let mut shown: Vec<&str> =
                lines.iter().copied().filter(|line| line.starts_with("error: cannot ")).collect();
            shown.extend(lines.iter().copied().filter(|line| line.starts_with("would reformat")));
            let summary = format!("black: {} cannot be parsed", count(broken, "file"));
            Judged::failed(cause(
                summary,
                "every file formatted",
                exit,
                words::chosen(shown, lines),
                "Correct the syntax.",
            ))
        }
        _ => told(&self::told(lines)),
    }
}

pub(super) fn mypy(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let unread = lines.iter().find(|line| {
        let settings = ["pyproject.toml: ", "mypy.ini: ", "setup.cfg: ", ".mypy.ini: "];
        settings.iter().any(|file| line.starts_with(file))
    });
    let ended = lines.iter().rev().find(|line| line.starts_with("Found ") && line.contains(" error"));
    let errors: Vec<&str> = lines.iter().copied().filter(|line| line.contains(": error: ")).collect();
    // mypy goes on without settings that it cannot read, and then checks something else than was asked for.
    if let (0, Some(line)) = (code, unread) {
        return Judged::inconclusive(format!("mypy could not read its settings: {line}"));
    }
    let in_sources = errors.iter().any(|line| line.contains(".py:") || line.contains(".pyi:"));
    match (code, ended) {
        (0, _) => {
            let ended = lines.iter().rev().find_map(|line| line.strip_prefix("Success: no issues found in "));
            Judged::passed(ended.map(str::to_owned).into_iter().collect())
        }
        (1, Some(ended)) => {
            let counted = ended.trim_start_matches("Found ").split(" (").next().unwrap_or_default();
            let expected = "no type error";
            Judged::failed(cause(
                format!("mypy: {counted}"),
                expected,
                exit,
                words::chosen(errors, lines),
                "",
            ))
        }
        (2, Some(ended)) if in_sources => {
            let counted = ended.trim_start_matches("Found ").split(" (").next().unwrap_or_default();
            let summary = format!("mypy: {counted}; nothing further was checked");
            Judged::failed(cause(
                summary,
                "no type error",
                exit,
                words::chosen(errors, lines),
                "Correct these first.",
            ))
        }
        _ => {
            let what = errors.last().map_or_else(|| told(lines), |line| (*line).to_owned());
            Judged::inconclusive(format!("mypy could not run: {what}"))
        }
    }
}

/// The line that says best why a tool could not run.
pub(super) fn told(lines: &[&str]) -> String {
    if let Some(crash) = words::traceback(lines) {
        return crash.exception;
    }
    let causes: Vec<&str> = lines.iter().filter_map(|line| line.trim().strip_prefix("Cause: ")).collect();
    let error = lines.iter().rev().map(|line| line.trim()).find(|line| line.to_lowercase().contains("error"));
    match (causes.is_empty(), error) {
        // Ruff's causes go from the general to the exact; the last line of all names the key.
        (false, _) => {
            let last = lines
                .iter()
                .rev()
                .map(|line| line.trim())
                .find(|line| line.chars().any(char::is_alphanumeric));
            let mut words: Vec<&str> = causes;
            words.extend(last.filter(|last| !last.starts_with("Cause: ")));
            words.join(": ")
        }
        (true, Some(error)) => error.to_owned(),
        (true, None) => words::last(lines).pop().unwrap_or_else(|| "it said nothing".to_owned()),
    }
}
