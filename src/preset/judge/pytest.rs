//! Test runners: pytest and Django's own, with or without coverage.

use super::words::{self, cause};
use super::{Exit, Judged, SHOWN};

/// What a run of tests counted, in the runner's own order: `2 failed`, `40 passed`.
#[derive(Debug, Default)]
struct Counts {
    runner: &'static str,
    parts: Vec<(usize, String)>,
}

impl Counts {
    fn of(&self, what: &str) -> usize {
        self.parts.iter().filter(|(_, word)| word == what).map(|(number, _)| number).sum()
    }

    fn text(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(|(number, word)| format!("{number} {word}")).collect();
        parts.join(", ")
    }
}

/// Coverage as it was measured and as it was wanted, in per cent.
#[derive(Debug, Default)]
struct Coverage {
    total: Option<String>,
    unmet: Option<String>,
}

pub(super) fn judge(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let counts = pytest_counts(lines).or_else(|| unittest_counts(lines));
    let coverage = coverage(lines);
    let mut facts: Vec<String> = Vec::new();
    if let Some(counts) = &counts {
        facts.extend(
            counts
                .parts
                .iter()
                .filter(|(_, word)| !word.starts_with("warning"))
                .map(|(n, word)| format!("{n} {word}")),
        );
    }
    facts.extend(coverage.total.as_ref().map(|total| format!("coverage {total} %")));
    if code == 0 {
        return nothing_ran(counts.as_ref(), lines)
            .unwrap_or_else(|| Judged::passed(Vec::new()))
            .with_facts(facts);
    }
    let runner = counts.as_ref().map_or("pytest", |counts| counts.runner);
    let bad = counts.as_ref().is_some_and(|counts| {
        ["failed", "error", "errors", "unexpected successes"].iter().any(|word| counts.of(word) > 0)
    });
    if code == 5 && !bad && coverage.unmet.is_none() {
        let deselected = counts.as_ref().map_or(0, |counts| counts.of("deselected"));
        let why = match deselected {
            0 => "pytest found no test: by default it looks into test_*.py and *_test.py only".to_owned(),
            n => format!("pytest ran no test: all {n} were deselected"),
        };
        return Judged::inconclusive(why).with_facts(facts);
    }
    let judged = match (counts, &coverage.unmet) {
        (Some(counts), unmet) if bad => {
            let more =
                unmet.as_ref().map(|unmet| format!("; {}", below(&coverage, unmet))).unwrap_or_default();
            let summary = format!("{runner}: {}{more}", counts.text());
            let collecting = lines.iter().any(|line| line.contains("during collection"));
            let cure = match () {
                () if collecting => "A test file cannot be imported: start with its last error.",
                () if migrating(lines) => MIGRATION,
                () => "",
            };
            Judged::failed(cause(summary, "every test passes", exit, failures(lines), cure))
        }
        (Some(_) | None, Some(unmet)) => {
            let mut cause = cause(
                format!("{runner}: the tests passed, {}", below(&coverage, unmet)),
                &format!("coverage of at least {unmet} %"),
                exit,
                uncovered(lines),
                "Test what the report lists as missing, or lower the threshold where it is configured.",
            );
            if let Some(total) = &coverage.total {
                cause.measured = format!("coverage of {total} %");
            }
            Judged::failed(cause)
        }
        (counts, None) => could_not_run(exit, code, counts.as_ref(), lines),
    };
    judged.with_facts(facts)
}

/// What to do where the database of the tests is not made.
const MIGRATION: &str =
    "A migration fails on the tests' empty database: start with it; the step migrate-empty names it.";

/// Whether it was a migration that raised: then its frames are below the executor's.
fn migrating(lines: &[&str]) -> bool {
    lines.iter().any(|line| line.contains("django/db/migrations/executor.py"))
}

/// `coverage 75 % is below 90 %`
fn below(coverage: &Coverage, wanted: &str) -> String {
    match &coverage.total {
        Some(total) => format!("coverage {total} % is below {wanted} %"),
        None => format!("coverage is below {wanted} %"),
    }
}

/// An end with 0 that proves nothing.
fn nothing_ran(counts: Option<&Counts>, lines: &[&str]) -> Option<Judged> {
    if lines.iter().any(|line| line.trim() == "NO TESTS RAN") {
        return Some(Judged::inconclusive("there was no test to run"));
    }
    let counts = counts?;
    let ran: usize = ["passed", "xfailed", "xpassed", "failed"].iter().map(|word| counts.of(word)).sum();
    if ran > 0 {
        return None;
    }
    Some(Judged::inconclusive(match counts.of("skipped") {
        0 => "there was no test to run".to_owned(),
        skipped => format!("every test was skipped ({skipped})"),
    }))
}

/// Neither a failed test nor a threshold: the runner itself did not come to its end.
fn could_not_run(exit: Exit, code: i32, counts: Option<&Counts>, lines: &[&str]) -> Judged {
    let runner = counts.map_or("the tests", |counts| counts.runner);
    if let Some(crash) = words::traceback(lines) {
        if migrating(lines) {
            let summary = format!("{runner} could not set up their database: {}", crash.said());
            let summary = summary.replacen("pytest could not set up their", "pytest could not set up its", 1);
            return Judged::failed(cause(summary, "the tests run", exit, crash.lines, MIGRATION));
        }
        let summary = format!("{runner} could not run: {}", crash.said());
        let cure = "The project does not start with the settings that the tests use.";
        return Judged::failed(cause(summary, "the tests run", exit, crash.lines, cure));
    }
    let error = lines.iter().rev().map(|line| line.trim()).find(|line| {
        (line.starts_with("ERROR: ") && !line.starts_with("ERROR: usage")) || line.contains(": error: ")
    });
    let (what, cure) = match (code, error) {
        (_, Some(error)) => (error.trim_start_matches("ERROR: ").to_owned(), ""),
        (2, None) => ("it was interrupted".to_owned(), ""),
        (3, None) => ("an internal error of pytest".to_owned(), ""),
        (4, None) => ("pytest was called wrongly".to_owned(), "Look at run and at addopts."),
        _ => (format!("exit code {code}"), ""),
    };
    Judged::failed(cause(
        format!("{runner} could not run: {what}"),
        "the tests run",
        exit,
        words::last(lines),
        cure,
    ))
}

/// pytest's last line: `=== 2 failed, 40 passed in 3.02s ===`.
fn pytest_counts(lines: &[&str]) -> Option<Counts> {
    lines.iter().rev().find_map(|line| {
        let line = line.trim().trim_matches('=').trim();
        let (counted, time) = line.rsplit_once(" in ")?;
        let time = time.split_whitespace().next()?;
        time.strip_suffix('s')?.parse::<f64>().ok()?;
        if counted == "no tests ran" {
            return Some(Counts { runner: "pytest", parts: Vec::new() });
        }
        let parts: Option<Vec<(usize, String)>> = counted
            .split(", ")
            .map(|part| {
                let (number, word) = part.split_once(' ')?;
                let known = [
                    "passed",
                    "failed",
                    "error",
                    "skipped",
                    "xfailed",
                    "xpassed",
                    "deselected",
                    "warning",
                    "rerun",
                    "subtests",
                ];
                known.iter().any(|known| word.starts_with(known)).then_some(())?;
                Some((number.parse().ok()?, word.to_owned()))
            })
            .collect();
        Some(Counts { runner: "pytest", parts: parts? })
    })
}

/// unittest's last lines: `Ran 4 tests in 0.005s`, `FAILED (failures=1, errors=2)`.
fn unittest_counts(lines: &[&str]) -> Option<Counts> {
    let at = lines.iter().rposition(|line| line.starts_with("Ran ") && line.contains(" test"))?;
    let ran = words::leading_number(lines.get(at)?.strip_prefix("Ran ")?)?;
    let ended = lines.iter().skip(at + 1).find(|line| line.starts_with("OK") || line.starts_with("FAILED"));
    let inside =
        ended.and_then(|line| line.split_once('(')).map_or("", |(_, rest)| rest.trim_end_matches(')'));
    let mut parts: Vec<(usize, String)> = Vec::new();
    let mut other = 0;
    for part in inside.split(", ") {
        let Some((word, number)) = part.split_once('=') else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        let word = match word {
            "failures" => "failed",
            "expected failures" => "xfailed",
            "errors" if number == 1 => "error",
            word => word,
        };
        other += number;
        parts.push((number, word.to_owned()));
    }
    // An error in a class's set-up counts without a test that ran.
    let passed = ran.saturating_sub(other);
    if passed > 0 {
        parts.push((passed, "passed".to_owned()));
    }
    Some(Counts { runner: "tests", parts })
}

fn coverage(lines: &[&str]) -> Coverage {
    let mut found = Coverage::default();
    for line in lines {
        let line = line.trim();
        if line.starts_with("TOTAL ") {
            let total = line.split_whitespace().rev().find_map(|word| word.strip_suffix('%'));
            found.total = total.map(str::to_owned).or(found.total);
        }
        if let Some((_, total)) = line.split_once("Total coverage: ") {
            found.total = Some(total.trim_end_matches(['%', '.']).to_owned());
        }
        let unmet = line.split_once("Required test coverage of ").and_then(|(_, rest)| rest.split_once('%'));
        if let Some((wanted, _)) = unmet.filter(|(_, rest)| rest.starts_with(" not reached")) {
            found.unmet = Some(wanted.to_owned());
        }
        let below = line.split_once("Coverage failure: total of ").map(|(_, rest)| rest);
        if let Some((total, wanted)) = below.and_then(|rest| rest.split_once(" is less than fail-under=")) {
            found.total.get_or_insert_with(|| total.to_owned());
            found.unmet = Some(wanted.trim().to_owned());
        }
    }
    found
}

/// The lines that name what failed, with the reason where the runner gives one.
fn failures(lines: &[&str]) -> Vec<String> {
    let summary = lines.iter().rposition(|line| line.contains("short test summary info"));
    if let Some(at) = summary {
        let named = lines
            .iter()
            .skip(at + 1)
            .filter(|line| line.starts_with("FAILED ") || line.starts_with("ERROR "));
        let named: Vec<&str> = named.copied().take(SHOWN / 2).collect();
        // What was raised below is raised again above it with the same words, and carets only underline.
        let mut said: Vec<&str> = Vec::new();
        for line in lines.iter().copied().filter(|line| is_said(line) || is_raised_at(line)) {
            let word = line.trim_start_matches('E').trim_start();
            let again = said.iter().any(|one| one.trim_start_matches('E').trim_start() == word);
            if !again && word.chars().any(char::is_alphanumeric) {
                said.push(line);
            }
        }
        said.truncate(SHOWN - named.len());
        return words::chosen(said.into_iter().chain(named.iter().copied()), lines);
    }
    // unittest: the heading of each failure, the innermost line of the project, and the exception that ends its block.
    let mut shown: Vec<&str> = Vec::new();
    let mut heading: Option<&str> = None;
    let mut block: Vec<&str> = Vec::new();
    for line in lines.iter().copied().chain(["===="]) {
        let begins = line.starts_with("FAIL: ") || line.starts_with("ERROR: ");
        if begins || line.starts_with("====") || line.starts_with("Ran ") {
            if let Some(heading) = heading.take() {
                shown.push(heading);
                shown.extend(raised(&block));
            }
            block.clear();
            heading = begins.then_some(line);
            if line.starts_with("Ran ") {
                break;
            }
        } else {
            block.push(line);
        }
    }
    words::chosen(shown, lines)
}

/// pytest marks what was said of a failure with an E.
fn is_said(line: &str) -> bool {
    line.starts_with("E  ")
}

/// `shop/tests.py:15: AssertionError`, in the project's own files.
fn is_raised_at(line: &str) -> bool {
    let Some((place, what)) = line.split_once(": ") else { return false };
    let own = !place.contains("site-packages") && !place.starts_with('/');
    own && place.rsplit_once(".py:").is_some_and(|(file, number)| {
        !file.contains(' ') && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    }) && what.chars().all(|letter| letter.is_alphanumeric() || letter == '.')
}

/// Of one failure of unittest: where in the project, and the exception. Of a chain of them the last stands for all.
fn raised<'a>(block: &[&'a str]) -> Vec<&'a str> {
    let starts = |line: &&str| line.starts_with("Traceback");
    let first = block.iter().rposition(starts).map_or(0, |at| at + 1);
    let last = block.get(first..).unwrap_or_default();
    let own = words::own_frame(last).map(|at| (last, at));
    // A chain ends in the database's driver: the project's own line may be in an earlier link.
    let own = own.or_else(|| words::own_frame(block).map(|at| (block, at)));
    let mut shown: Vec<&str> = own
        .map_or_else(Vec::new, |(lines, at)| lines.iter().skip(at).take(2).map(|line| line.trim()).collect());
    let exception =
        last.iter().find(|line| !line.is_empty() && !line.starts_with([' ', '-', '=']) && !starts(line));
    shown.extend(exception);
    shown
}

/// The report's lines of files that are not covered wholly.
fn uncovered(lines: &[&str]) -> Vec<String> {
    let missing = lines.iter().copied().filter(|line| {
        let mut columns = line.split_whitespace().rev();
        let cover = columns.find(|word| word.ends_with('%'));
        line.contains(".py") && cover.is_some_and(|cover| cover != "100%") && !line.contains("Total coverage")
    });
    words::chosen(missing, lines)
}
