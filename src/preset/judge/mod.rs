//! How the end of a tool is read: its exit code and the last lines of its output, into a verdict in real words.
//!
//! Pure. What a tool prints was learnt from the tools themselves; their captured words are in `fixtures/`.

mod django;
mod lint;
mod pytest;
mod security;
mod words;

pub use words::Traceback;

use crate::domain::finding::Finding;
use crate::domain::plan::{Cause, Verdict};
use crate::domain::project::Judge;

/// How many lines of a tool's output are worth giving to [`judge`]: summaries are at the end.
pub const LINES: usize = 2000;

/// How many of them a cause shows.
pub const SHOWN: usize = 12;

/// How a process ended: by a code of its own or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// An end by an exit code.
    #[must_use]
    pub const fn code(code: i32) -> Self {
        Self { code: Some(code), signal: None }
    }

    /// As it is written under "measured".
    fn measured(self) -> String {
        match (self.code, self.signal) {
            (_, Some(signal)) => format!("ended by {}", words::signal(signal)),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => "no exit code".to_owned(),
        }
    }
}

/// What the end of a tool means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Whether the step passed.
    pub verdict: Verdict,
    /// Short facts for the step's row: `42 passed`, `coverage 91 %`.
    pub facts: Vec<String>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

impl Judged {
    fn passed(facts: Vec<String>) -> Self {
        Self { verdict: Verdict::Passed, facts, findings: Vec::new() }
    }

    fn inconclusive(reason: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Inconclusive { reason: reason.into() },
            facts: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn failed(cause: Cause) -> Self {
        Self { verdict: Verdict::Failed(cause), facts: Vec::new(), findings: Vec::new() }
    }

    fn with_facts(mut self, facts: Vec<String>) -> Self {
        self.facts = facts;
        self
    }
}

/// How a Python program crashed, read from its output; `None` where there is no traceback in it.
#[must_use]
pub fn crash(lines: &[String]) -> Option<Traceback> {
    words::traceback(&lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>())
}

/// Judges how a command ended.
///
/// `lines` is the output as plain text, both streams in the order they were written, at most the last [`LINES`].
#[must_use]
pub fn judge(judge: Judge, exit: Exit, lines: &[String]) -> Judged {
    let bounded = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or(lines);
    let lines: Vec<&str> = bounded.iter().map(|line| line.trim_end()).collect();
    let code = match (exit.code, exit.signal) {
        (Some(code), None) => code,
        _ => return killed(exit, &lines),
    };
    // A shell says 128 and the signal's number when what it ran was killed.
    if (129..=159).contains(&code) {
        return killed(Exit { code: Some(code), signal: Some(code - 128) }, &lines);
    }
    if code == 126 || code == 127 {
        return not_run(judge, exit, &lines);
    }
    match judge {
        Judge::ExitCode => django::exit_code(exit, code, &lines),
        Judge::PipAudit => security::pip_audit(exit, code, &lines),
        Judge::DetectSecrets => security::detect_secrets(exit, code, &lines),
        Judge::Bandit => security::bandit(exit, code, &lines),
        Judge::Mypy => lint::mypy(exit, code, &lines),
        Judge::Ruff => lint::ruff(exit, code, &lines),
        Judge::Black => lint::black(exit, code, &lines),
        Judge::Pytest => pytest::judge(exit, code, &lines),
        Judge::Drift => django::drift(exit, code, &lines),
    }
}

/// Ended by a signal: a failure whatever the tool, with what usually sends that signal.
fn killed(exit: Exit, lines: &[&str]) -> Judged {
    let cure = match exit.signal {
        Some(9) => "Killed from outside: most often the machine ran out of memory. Look at the kernel's log.",
        Some(11 | 7 | 4 | 6 | 8) => "A crash inside a program or a C extension: run the command by hand.",
        Some(15 | 2 | 1) => "Somebody or something asked it to stop.",
        _ => "",
    };
    Judged::failed(Cause {
        summary: match exit.signal {
            Some(signal) => format!("the command was ended by {}", words::signal(signal)),
            None => "the command ended without an exit code".to_owned(),
        },
        expected: "exit code 0".into(),
        measured: exit.measured(),
        exit_code: exit.code,
        last_lines: words::last(lines),
        cure: cure.into(),
    })
}

/// 126 and 127: there is no such command, or it may not be run.
fn not_run(judge: Judge, exit: Exit, lines: &[&str]) -> Judged {
    let told = lines.iter().rev().find(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("not found") || line.contains("no such file") || line.contains("permission denied")
    });
    let told = told.map_or("the command was not found", |line| line.trim());
    let check = !matches!(judge, Judge::ExitCode | Judge::Pytest | Judge::Drift);
    if check {
        // A check that is not there has checked nothing.
        return Judged::inconclusive(format!("the check could not be started: {told}"));
    }
    Judged::failed(Cause {
        summary: format!("the command could not be started: {told}"),
        expected: "a command that is installed".into(),
        measured: exit.measured(),
        exit_code: exit.code,
        last_lines: words::last(lines),
        cure: "Add what brings the command to the project's dependencies, or correct the stage's run.".into(),
    })
}

/// How the end of a command line of the project's own is read: by its tool where it is one plain command.
#[must_use]
pub fn of_command(run: &str) -> Judge {
    // pip-audit passes without having audited anything: wherever it stands, its words are read.
    let mut tokens = run.split(|c: char| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')'));
    if tokens.any(|token| program(token) == "pip-audit") || run.contains("-m pip_audit") {
        return Judge::PipAudit;
    }
    if run.contains(['|', ';', '\n']) || run.contains("&&") {
        return Judge::ExitCode;
    }
    let words: Vec<&str> = run.split_whitespace().skip_while(|word| is_assignment(word)).collect();
    let mut words = words.as_slice();
    // What only starts another program: `uv run pytest`, `python -m pytest`, `coverage run -m pytest`.
    loop {
        words = match words {
            ["uv" | "poetry" | "pipenv" | "pdm" | "hatch" | "coverage", "run", rest @ ..]
            | ["env", rest @ ..] => rest,
            [python, "-m", rest @ ..] if program(python).starts_with("python") => rest,
            ["-m", rest @ ..] => rest,
            _ => break,
        };
    }
    let Some((first, rest)) = words.split_first() else { return Judge::ExitCode };
    let has = |word: &str| rest.contains(&word);
    match program(first) {
        "pytest" | "py.test" => Judge::Pytest,
        "ruff" => Judge::Ruff,
        "mypy" => Judge::Mypy,
        "black" => Judge::Black,
        "bandit" => Judge::Bandit,
        "detect-secrets" | "detect-secrets-hook" | "detect_secrets" => Judge::DetectSecrets,
        _ if !words.iter().take(2).any(|word| program(word) == "manage.py") => Judge::ExitCode,
        _ if has("makemigrations") && has("--check") => Judge::Drift,
        _ if has("test") => Judge::Pytest,
        _ => Judge::ExitCode,
    }
}

/// The name of a program without its directory.
fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// `NAME=value` before a command.
fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests;
