//! Django's own commands, and every command that is judged by its exit code alone.

use super::lint::is_place;
use super::words::{self, cause, count, some};
use super::{Exit, Judged};
use crate::domain::finding::{Finding, Severity};

/// Sentences of checks that end with 0 without having checked.
const UNCHECKED: [&str; 2] = ["could not be audited", "Failed to pull configuration information"];

pub(super) fn exit_code(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let issues = check_issues(lines);
    let findings: Vec<Finding> = issues.iter().map(Issue::finding).collect();
    if code == 0 {
        if let Some(line) = lines.iter().find(|line| UNCHECKED.iter().any(|word| line.contains(word))) {
            return Judged::inconclusive(format!("the check could not do its work: {}", line.trim()));
        }
        let facts = match issues.len() {
            0 => Vec::new(),
            number => vec![count(number, "warning")],
        };
        return Judged { findings, ..Judged::passed(facts) };
    }
    let failed = |summary: String, expected: &str, shown: Vec<String>, cure: &str| {
        Judged::failed(cause(summary, expected, exit, shown, cure))
    };
    if !issues.is_empty() {
        let ids: Vec<String> = issues.iter().map(|issue| issue.id.clone()).collect();
        let summary = format!("check: {}: {}", count(issues.len(), "issue"), some(&ids, 5));
        let shown = words::chosen(issues.iter().map(|issue| issue.line.as_str()), lines);
        let judged = failed(summary, "no issue", shown, "");
        return Judged { findings, ..judged };
    }
    let violations: Vec<&str> = lines.iter().copied().filter(|line| is_place(line)).collect();
    if !violations.is_empty() {
        let summary = count(violations.len(), "violation");
        return failed(summary, "no violation", words::chosen(violations, lines), "");
    }
    let unsorted: Vec<&str> =
        lines.iter().copied().filter(|line| line.contains("Imports are incorrectly sorted")).collect();
    if !unsorted.is_empty() {
        let summary = format!("isort: the imports of {} are not sorted", count(unsorted.len(), "file"));
        return failed(summary, "sorted imports", words::chosen(unsorted, lines), "Run isort . and commit.");
    }
    if let Some(crash) = words::traceback(lines) {
        return failed(crash.said(), "exit code 0", crash.lines, "");
    }
    if let Some(error) = command_error(lines) {
        return failed(error, "exit code 0", words::last(lines), "");
    }
    failed(format!("the command ended with exit code {code}"), "exit code 0", words::last(lines), "")
}

/// One issue of Django's system checks.
#[derive(Debug)]
struct Issue {
    id: String,
    severity: Severity,
    line: String,
}

impl Issue {
    fn finding(&self) -> Finding {
        let text = self.line.split_once(") ").map_or(self.line.as_str(), |(_, text)| text);
        let sentence = text.find(". ").map_or(text, |at| text.get(..=at).unwrap_or(text)).trim();
        let (object, _) = self.line.split_once(": (").unwrap_or(("?", ""));
        let place = if object == "?" { String::new() } else { format!("{object}: ") };
        let rest = text.get(sentence.len()..).unwrap_or_default().trim();
        let id = if object == "?" { self.id.clone() } else { format!("{}:{object}", self.id) };
        Finding {
            id: format!("DJANGO-CHECK:{id}"),
            severity: self.severity,
            title: format!("{place}{}.", sentence.trim_end_matches('.')),
            cure: rest.to_owned(),
        }
    }
}

/// The issues of `check`: `?: (security.W004) You have not set …` below `WARNINGS:`.
fn check_issues(lines: &[&str]) -> Vec<Issue> {
    let Some(start) = lines.iter().rposition(|line| line.contains("System check identified some issues"))
    else {
        return Vec::new();
    };
    let mut issues = Vec::new();
    let mut severity = Severity::Note;
    for line in lines.iter().skip(start + 1) {
        match *line {
            "CRITICALS:" | "ERRORS:" => severity = Severity::Error,
            "WARNINGS:" => severity = Severity::Warning,
            "INFOS:" | "DEBUGS:" => severity = Severity::Note,
            line if line.starts_with("System check identified") => break,
            line => {
                let Some((_, rest)) = line.split_once(": (") else { continue };
                let Some((id, _)) = rest.split_once(')') else { continue };
                if id.contains('.') && !id.contains(' ') {
                    issues.push(Issue { id: id.to_owned(), severity, line: line.to_owned() });
                }
            }
        }
    }
    issues
}

/// Django's way to say that a command cannot do what was asked.
fn command_error(lines: &[&str]) -> Option<String> {
    lines.iter().rev().find(|line| line.starts_with("CommandError: ")).map(|line| (*line).to_owned())
}

pub(super) fn drift(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let cure = "Run python manage.py makemigrations and commit what it writes.";
    let changed = changes(lines);
    if !changed.is_empty() {
        let apps: Vec<String> = changed.iter().map(|(app, _)| app.clone()).collect();
        let operations: Vec<String> = changed
            .iter()
            .flat_map(|(app, list)| list.iter().map(move |change| format!("{app}: {change}")))
            .collect();
        let summary = format!(
            "drift: models changed without a migration in {}: {}",
            some(&apps, 5),
            some(&bare(&changed), 4)
        );
        let shown = words::chosen(operations.iter().map(String::as_str), lines);
        return Judged::failed(cause(summary, "no model changed without a migration", exit, shown, cure));
    }
    let undefaulted: Vec<&str> =
        lines.iter().copied().filter(|line| line.contains(" not migrated: ")).collect();
    if let Some(first) = undefaulted.first() {
        let summary = format!("drift: {}", first.split(" not migrated: ").next().unwrap_or(first).trim());
        let summary = format!("{summary} has no migration, and needs a default");
        let shown = words::chosen(undefaulted.iter().copied(), lines);
        let cure = "Run python manage.py makemigrations by hand: it asks which default existing rows get.";
        return Judged::failed(cause(summary, "no model changed without a migration", exit, shown, cure));
    }
    if code == 0 {
        if lines.iter().any(|line| line.starts_with("No changes detected")) {
            return Judged::passed(vec!["no drift".to_owned()]);
        }
        return Judged::inconclusive("makemigrations ended well but did not say that nothing changed");
    }
    if let Some(line) = lines.iter().find(|line| line.contains("Conflicting migrations detected")) {
        let leaves = line.rsplit_once('(').map_or("", |(_, leaves)| leaves.trim_end_matches(['.', ')']));
        let summary = format!("two migrations follow the same one: {leaves}");
        let cure = "Run python manage.py makemigrations --merge and commit what it writes.";
        return Judged::failed(cause(summary, "one last migration an app", exit, words::last(lines), cure));
    }
    let (what, shown) = match words::traceback(lines) {
        Some(crash) => (crash.said(), crash.lines),
        None => {
            let issues = check_issues(lines);
            let what = issues.first().map(|issue| issue.line.clone()).or_else(|| command_error(lines));
            (what.unwrap_or_else(|| format!("exit code {code}")), words::last(lines))
        }
    };
    let cure = "This is no drift: Django itself does not start.";
    Judged::failed(cause(format!("makemigrations crashed: {what}"), "Django starts", exit, shown, cure))
}

/// The changes without their apps.
fn bare(changed: &[(String, Vec<String>)]) -> Vec<String> {
    changed.iter().flat_map(|(_, changes)| changes.iter().cloned()).collect()
}

/// Each app with what changed in it: `Migrations for 'shop':`, a path, then `+ Add field note to order`.
fn changes(lines: &[&str]) -> Vec<(String, Vec<String>)> {
    let mut changed: Vec<(String, Vec<String>)> = Vec::new();
    let mut open = false;
    for line in lines {
        let app = line.strip_prefix("Migrations for '").and_then(|rest| rest.strip_suffix("':"));
        if let Some(app) = app {
            changed.push((app.to_owned(), Vec::new()));
            open = true;
        } else if !line.starts_with(' ') {
            open = false;
        } else if let Some((_, list)) = changed.last_mut().filter(|_| open) {
            // Django before 5.1 marks every operation with `-`.
            let operation = line.trim().strip_prefix(['+', '~', '-']).map(str::trim);
            list.extend(operation.filter(|text| !text.is_empty()).map(str::to_owned));
        }
    }
    changed
}
