//! Security checks: what they could not check is never a pass.

use std::collections::BTreeSet;

use super::lint::told;
use super::words::{self, cause, count, some};
use super::{Exit, Judged};

/// How many names a sentence lists.
const NAMED: usize = 5;

pub(super) fn bandit(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let skipped_at = lines.iter().rposition(|line| line.starts_with("Files skipped ("));
    let skipped: Vec<String> = skipped_at
        .map(|at| {
            lines
                .iter()
                .skip(at + 1)
                .take_while(|line| line.starts_with(['\t', ' ']))
                .map(|line| line.trim().to_owned())
        })
        .into_iter()
        .flatten()
        .collect();
    let issues: Vec<&str> =
        lines.iter().filter_map(|line| line.trim_start().strip_prefix(">> Issue: ")).collect();
    match code {
        0 if !skipped.is_empty() => {
            let files = count(skipped.len(), "file");
            Judged::inconclusive(format!("bandit could not read {files}: {}", some(&skipped, NAMED)))
        }
        0 => Judged::passed(Vec::new()),
        1 if !issues.is_empty() => {
            let levels = severities(lines);
            let number = levels.iter().map(|(_, number)| number).sum::<usize>().max(issues.len());
            let levels: Vec<String> =
                levels.iter().map(|(level, number)| format!("{number} {level}")).collect();
            let levels = if levels.is_empty() { String::new() } else { format!(" ({})", levels.join(", ")) };
            let summary = format!("bandit: {}{levels}", count(number, "issue"));
            let mut shown: Vec<String> = Vec::new();
            let mut issue = "";
            for line in lines.iter().map(|line| line.trim()) {
                if let Some(text) = line.strip_prefix(">> Issue: ") {
                    issue = text;
                } else if let Some(place) = line.strip_prefix("Location: ") {
                    shown.push(format!("{place}: {issue}"));
                }
            }
            let shown = words::chosen(shown.iter().map(String::as_str), lines);
            let cure = "Repair them, or mark a false alarm with # nosec and its rule.";
            let judged = Judged::failed(cause(summary, "no issue", exit, shown, cure));
            match skipped.len() {
                0 => judged,
                number => judged.with_facts(vec![format!("{} not read", count(number, "file"))]),
            }
        }
        _ => Judged::inconclusive(format!("bandit could not run: {}", told(lines))),
    }
}

/// Bandit's own count by severity, the gravest first, without those that are zero.
fn severities(lines: &[&str]) -> Vec<(&'static str, usize)> {
    let Some(at) = lines.iter().rposition(|line| line.trim() == "Total issues (by severity):") else {
        return Vec::new();
    };
    let block = lines.get(at + 1..).unwrap_or_default();
    let block = block.get(..4).unwrap_or(block);
    [("high", "High: "), ("medium", "Medium: "), ("low", "Low: "), ("undefined", "Undefined: ")]
        .into_iter()
        .filter_map(|(word, before)| Some((word, words::number_after(block, before)?)))
        .filter(|(_, number)| *number > 0)
        .collect()
}

pub(super) fn pip_audit(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let report = audit_json(lines).unwrap_or_else(|| audit_tables(lines));
    // The project itself, installed from its directory, is on no index and has no advisories.
    let unchecked: Vec<String> = report
        .skipped
        .iter()
        .filter(|(_, reason)| !reason.starts_with("distribution marked as editable"))
        .map(|(name, _)| name.clone())
        .collect();
    let announced =
        lines.iter().find(|line| line.starts_with("Found ") && line.contains(" known vulnerabilit"));
    if !report.vulnerable.is_empty() || announced.is_some() {
        let packages: BTreeSet<&String> = report.vulnerable.iter().map(|(name, _)| name).collect();
        let names: Vec<String> = packages.iter().map(|name| (*name).clone()).collect();
        let what = match announced.and_then(|line| words::leading_number(line.trim_start_matches("Found "))) {
            Some(1) => "1 known vulnerability".to_owned(),
            Some(number) => format!("{number} known vulnerabilities"),
            None => format!("known vulnerabilities in {}", count(names.len(), "package")),
        };
        let whose = if names.is_empty() { String::new() } else { format!(": {}", some(&names, NAMED)) };
        let shown = words::chosen(report.vulnerable.iter().map(|(_, line)| line.as_str()), lines);
        let summary = format!("pip-audit: {what}{whose}");
        let cure =
            "Update these packages to a fixed version, or name the advisory in --ignore-vuln with a reason.";
        let judged = Judged::failed(cause(summary, "no known vulnerability", exit, shown, cure));
        return match unchecked.len() {
            0 => judged,
            number => judged.with_facts(vec![format!("{} not audited", count(number, "package"))]),
        };
    }
    let clean = lines.iter().any(|line| line.trim() == "No known vulnerabilities found");
    match (code, clean || report.complete) {
        (0, true) if unchecked.is_empty() => Judged::passed(Vec::new()),
        (0, true) => Judged::inconclusive(format!(
            "pip-audit could not audit {}: {}",
            count(unchecked.len(), "package"),
            some(&unchecked, NAMED)
        )),
        (0, false) => Judged::inconclusive("pip-audit ended well but did not say that it audited anything"),
        _ => {
            let told = told(lines);
            let away = ["ConnectionError", "Timeout", "SSLError", "ServiceError", "Max retries"];
            let away = away.iter().any(|word| told.contains(word));
            let what = if away { "its advisory service could not be reached" } else { "it could not run" };
            Judged::inconclusive(format!("pip-audit audited nothing, {what}: {}", bounded(&told)))
        }
    }
}

/// A sentence's part, bounded: an exception's text can be a page.
fn bounded(text: &str) -> String {
    let mut short: String = text.chars().take(160).collect();
    if text.chars().nth(160).is_some() {
        short.push('…');
    }
    short
}

/// What pip-audit reported, in either of its forms.
#[derive(Debug, Default)]
struct Audit {
    /// Each vulnerability: the package, and the line to show.
    vulnerable: Vec<(String, String)>,
    /// Each package that was not audited, and why.
    skipped: Vec<(String, String)>,
    /// Whether it is a whole report, and no vulnerability in it means that there is none.
    complete: bool,
}

fn audit_json(lines: &[&str]) -> Option<Audit> {
    let line = lines.iter().rev().find(|line| line.starts_with("{\"dependencies\""))?;
    let report: serde_json::Value = serde_json::from_str(line).ok()?;
    let mut audit = Audit { complete: true, ..Audit::default() };
    let text = |value: &serde_json::Value, key: &str| {
        value.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    for package in report.get("dependencies")?.as_array()? {
        let name = text(package, "name");
        if let Some(reason) = package.get("skip_reason").and_then(serde_json::Value::as_str) {
            audit.skipped.push((name.clone(), reason.to_owned()));
        }
        for advisory in package.get("vulns").and_then(serde_json::Value::as_array).into_iter().flatten() {
            let line = format!("{name} {} {}", text(package, "version"), text(advisory, "id"));
            audit.vulnerable.push((name.clone(), line));
        }
    }
    Some(audit)
}

fn audit_tables(lines: &[&str]) -> Audit {
    let mut audit = Audit::default();
    let mut in_skipped = None;
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["Name", "Version", "ID", ..] => in_skipped = Some(false),
            ["Name", "Skip", "Reason"] => in_skipped = Some(true),
            [] => in_skipped = None,
            [first, ..] if first.starts_with("---") => {}
            [name, reason @ ..] if in_skipped == Some(true) => {
                audit.skipped.push(((*name).to_owned(), reason.join(" ")));
            }
            [name, _, _, ..] if in_skipped == Some(false) => {
                audit.vulnerable.push(((*name).to_owned(), words.join(" ")));
            }
            _ => {}
        }
        // Both tables may be cut off above: this sentence stands in each line of the second.
        let unaudited = line.contains("could not be audited: ") && in_skipped.is_none();
        if let (true, Some(name)) = (unaudited, words.first()) {
            audit.skipped.push(((*name).to_owned(), "could not be audited".to_owned()));
        }
    }
    audit
}

pub(super) fn detect_secrets(exit: Exit, code: i32, lines: &[&str]) -> Judged {
    let (found, read) = secrets(lines);
    if !found.is_empty() {
        let files: BTreeSet<&str> =
            found.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
        let number = count(found.len(), "possible secret");
        let summary = format!("detect-secrets: {number} in {}", count(files.len(), "file"));
        let cure = "If it is one, replace it where it is used, for it stays in the history; if not, mark the line \
                    with \"pragma: allowlist secret\" or audit it into .secrets.baseline.";
        let shown = words::chosen(found.iter().map(String::as_str), lines);
        return Judged::failed(cause(summary, "no secret that is not in the baseline", exit, shown, cure));
    }
    let trouble = lines.iter().map(|line| line.trim()).find(|line| {
        ["fatal: ", "error: ", "usage: git", "xargs: "].iter().any(|word| line.starts_with(word))
            || line.contains("is unstaged")
    });
    if let Some(trouble) = trouble.filter(|trouble| code != 0 || trouble.starts_with("fatal: ")) {
        return Judged::inconclusive(format!("detect-secrets could not run: {trouble}"));
    }
    // The hook ends with 3, through xargs with 123, when it only moved line numbers in the baseline.
    if lines.iter().any(|line| line.starts_with("The baseline file was updated")) {
        return Judged::passed(vec!["baseline's line numbers are old".to_owned()]);
    }
    match (code, read || lines.iter().all(|line| line.trim().is_empty())) {
        (0, true) => Judged::passed(Vec::new()),
        (0, false) => Judged::inconclusive("detect-secrets ended well but its report cannot be read"),
        _ => Judged::inconclusive(format!("detect-secrets could not run: {}", told(lines))),
    }
}

/// Each possible secret as `path:line: kind`, and whether a whole report was read.
fn secrets(lines: &[&str]) -> (Vec<String>, bool) {
    let mut found = Vec::new();
    let mut kind = "";
    for line in lines.iter().map(|line| line.trim()) {
        if let Some(text) = line.strip_prefix("Secret Type: ") {
            kind = text;
        } else if let Some(place) = line.strip_prefix("Location: ") {
            found.push(format!("{}: {kind}", place.trim()));
        }
    }
    let start = lines.iter().position(|line| *line == "{");
    let end = lines.iter().rposition(|line| *line == "}");
    let json = start.zip(end).and_then(|(start, end)| lines.get(start..=end)).map(|lines| lines.join("\n"));
    let report = json.and_then(|json| serde_json::from_str::<serde_json::Value>(&json).ok());
    if let Some(results) = report.as_ref().and_then(|report| report.get("results")?.as_object()) {
        for (path, secrets) in results {
            for secret in secrets.as_array().into_iter().flatten() {
                let line = secret.get("line_number").and_then(serde_json::Value::as_u64).unwrap_or(0);
                let kind = secret.get("type").and_then(serde_json::Value::as_str).unwrap_or("secret");
                found.push(format!("{path}:{line}: {kind}"));
            }
        }
        return (found, true);
    }
    // A report too long to be here from its beginning: each secret still has a line for its file and its number.
    let value = |line: &str, key: &str| {
        let rest = line.trim().strip_prefix(key)?;
        Some(rest.trim_matches([' ', ':', '"', ',']).to_owned())
    };
    let mut path = String::new();
    for line in lines {
        if let Some(name) = value(line, "\"filename\"") {
            path = name;
        } else if let Some(number) = value(line, "\"line_number\"") {
            found.push(format!("{path}:{number}: secret"));
        }
    }
    (found, false)
}
