//! The judges against what the tools really print. Each fixture was captured from the tool itself.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::domain::finding::Severity;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name, ".txt"))
    };
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn judged(kind: Judge, code: i32, text: &str) -> Judged {
    judge(kind, Exit::code(code), &lines(text))
}

/// `P` passed, `F` failed, `I` inconclusive.
fn letter(verdict: &Verdict) -> char {
    match verdict {
        Verdict::Passed => 'P',
        Verdict::Failed(_) => 'F',
        Verdict::Inconclusive { .. } => 'I',
        Verdict::Cancelled => 'C',
    }
}

/// What each tool said, how it ended, and which verdict that is.
const ENDINGS: &[(&str, Judge, i32, char, &str)] = &[
    ("pytest passes", Judge::Pytest, 0, 'P', fixture!("pytest-pass")),
    ("pytest passes with coverage", Judge::Pytest, 0, 'P', fixture!("pytest-cov-pass")),
    ("pytest fails", Judge::Pytest, 1, 'F', fixture!("pytest-bad")),
    ("pytest fails, and coverage", Judge::Pytest, 1, 'F', fixture!("pytest-bad-cov")),
    ("pytest passes, coverage does not", Judge::Pytest, 1, 'F', fixture!("pytest-cov-below")),
    ("coverage report is below", Judge::Pytest, 2, 'F', fixture!("coverage-below")),
    ("pytest's Django does not start", Judge::Pytest, 1, 'F', fixture!("pytest-import")),
    ("pytest deselects everything", Judge::Pytest, 5, 'I', fixture!("pytest-none")),
    ("pytest gets a file that is not there", Judge::Pytest, 4, 'F', fixture!("pytest-nofile")),
    ("pytest is called wrongly", Judge::Pytest, 4, 'F', fixture!("pytest-usage")),
    ("pytest cannot read its settings", Judge::Pytest, 4, 'F', fixture!("pytest-config")),
    ("pytest cannot collect", Judge::Pytest, 2, 'F', fixture!("pytest-collect")),
    ("pytest has one of each", Judge::Pytest, 1, 'F', fixture!("pytest-mixed")),
    ("pytest meets a migration that raises", Judge::Pytest, 1, 'F', fixture!("pytest-migration")),
    ("pytest shows a chain of exceptions", Judge::Pytest, 1, 'F', fixture!("pytest-chain")),
    (
        "manage.py test meets a migration that raises",
        Judge::Pytest,
        1,
        'F',
        fixture!("manage-test-migration"),
    ),
    ("manage.py test has one that fails", Judge::Pytest, 1, 'F', fixture!("manage-test-one")),
    ("manage.py test passes", Judge::Pytest, 0, 'P', fixture!("manage-test-pass")),
    ("manage.py test fails", Judge::Pytest, 1, 'F', fixture!("manage-test-bad")),
    ("manage.py test does not start", Judge::Pytest, 1, 'F', fixture!("manage-test-import")),
    ("manage.py test has no test", Judge::Pytest, 0, 'I', fixture!("manage-test-none")),
    ("no drift", Judge::Drift, 0, 'P', fixture!("drift-none")),
    ("drift", Judge::Drift, 1, 'F', fixture!("drift-found")),
    ("drift without a default", Judge::Drift, 3, 'F', fixture!("drift-no-default")),
    ("drift meets a missing module", Judge::Drift, 1, 'F', fixture!("drift-crash")),
    ("drift meets a wrong field", Judge::Drift, 1, 'F', fixture!("drift-crash2")),
    ("drift meets a conflict", Judge::Drift, 1, 'F', fixture!("drift-conflict")),
    ("check is well", Judge::ExitCode, 0, 'P', fixture!("check-ok")),
    ("check --deploy warns", Judge::ExitCode, 0, 'P', fixture!("check-deploy")),
    ("check --deploy --fail-level warns", Judge::ExitCode, 1, 'F', fixture!("check-deploy-fail")),
    ("check crashes", Judge::ExitCode, 1, 'F', fixture!("check-crash")),
    ("ruff is well", Judge::Ruff, 0, 'P', fixture!("ruff-clean")),
    ("ruff finds", Judge::Ruff, 1, 'F', fixture!("ruff-bad")),
    ("ruff finds, concise", Judge::Ruff, 1, 'F', fixture!("ruff-bad-concise")),
    ("ruff meets bad syntax", Judge::Ruff, 1, 'F', fixture!("ruff-syntax")),
    ("ruff cannot read its settings", Judge::Ruff, 2, 'I', fixture!("ruff-config")),
    ("ruff format is well", Judge::Ruff, 0, 'P', fixture!("ruff-format-clean")),
    ("ruff format finds", Judge::Ruff, 1, 'F', fixture!("ruff-format-bad")),
    ("flake8 finds", Judge::ExitCode, 1, 'F', fixture!("flake8-bad")),
    ("black is well", Judge::Black, 0, 'P', fixture!("black-clean")),
    ("black finds", Judge::Black, 1, 'F', fixture!("black-bad")),
    ("black meets bad syntax", Judge::Black, 123, 'F', fixture!("black-syntax")),
    ("black crashes on its settings", Judge::Black, 1, 'I', fixture!("black-config")),
    ("isort finds", Judge::ExitCode, 1, 'F', fixture!("isort-bad")),
    ("isort goes on without its settings", Judge::ExitCode, 0, 'I', fixture!("isort-config")),
    ("mypy is well", Judge::Mypy, 0, 'P', fixture!("mypy-ok")),
    ("mypy finds", Judge::Mypy, 1, 'F', fixture!("mypy-bad")),
    ("mypy meets bad syntax", Judge::Mypy, 2, 'F', fixture!("mypy-syntax")),
    ("mypy misses its plugin", Judge::Mypy, 2, 'I', fixture!("mypy-plugin")),
    ("mypy goes on without its settings", Judge::Mypy, 0, 'I', fixture!("mypy-config")),
    ("bandit is well", Judge::Bandit, 0, 'P', fixture!("bandit-clean")),
    ("bandit finds", Judge::Bandit, 1, 'F', fixture!("bandit-bad")),
    ("bandit finds and skips", Judge::Bandit, 1, 'F', fixture!("bandit-syntax")),
    ("bandit skips and ends with 0", Judge::Bandit, 0, 'I', fixture!("bandit-skip")),
    ("bandit is called wrongly", Judge::Bandit, 2, 'I', fixture!("bandit-usage")),
    ("pip-audit audits nothing and ends with 0", Judge::PipAudit, 0, 'I', fixture!("pip-audit-unaudited")),
    ("the same as JSON", Judge::PipAudit, 0, 'I', fixture!("pip-audit-unaudited-json")),
    ("the same in a command of one's own", Judge::ExitCode, 0, 'I', fixture!("pip-audit-unaudited")),
    ("pip-audit finds", Judge::PipAudit, 1, 'F', fixture!("pip-audit-vuln")),
    ("pip-audit reaches no service", Judge::PipAudit, 1, 'I', fixture!("pip-audit-down")),
    ("pip-audit says nothing", Judge::PipAudit, 0, 'I', ""),
    ("pip-audit is well", Judge::PipAudit, 0, 'P', "No known vulnerabilities found\n"),
    ("secrets: the hook is well", Judge::DetectSecrets, 0, 'P', ""),
    ("secrets: the hook finds", Judge::DetectSecrets, 123, 'F', fixture!("secrets-found")),
    ("secrets: the hook finds, JSON", Judge::DetectSecrets, 1, 'F', fixture!("secrets-found-json")),
    ("secrets: the scan finds, with 0", Judge::DetectSecrets, 0, 'F', fixture!("secrets-scan-found")),
    ("secrets: the scan is well", Judge::DetectSecrets, 0, 'P', fixture!("secrets-scan-clean")),
    ("secrets: only lines moved", Judge::DetectSecrets, 123, 'P', fixture!("secrets-moved")),
    ("secrets: a broken baseline", Judge::DetectSecrets, 123, 'I', fixture!("secrets-bad-baseline")),
    ("secrets: no repository, with 0", Judge::DetectSecrets, 0, 'I', fixture!("secrets-no-repository")),
    ("a linter that is not there", Judge::Ruff, 127, 'I', fixture!("notfound")),
    ("a command that is not there", Judge::ExitCode, 127, 'F', fixture!("notfound")),
    ("a shell whose command was killed", Judge::Pytest, 137, 'F', "collecting ...\nKilled\n"),
    ("a silent failure", Judge::ExitCode, 3, 'F', ""),
];

#[test]
fn every_ending_has_its_verdict() {
    for (name, kind, code, expected, text) in ENDINGS {
        let judged = judged(*kind, *code, text);
        assert_eq!(letter(&judged.verdict), *expected, "{name}: {judged:#?}");
    }
}

#[test]
fn every_ending_has_its_words() {
    let mut said = String::new();
    for (name, kind, code, _, text) in ENDINGS {
        let judged = judged(*kind, *code, text);
        let _ = writeln!(said, "# {name} ({kind:?}, {code})");
        match &judged.verdict {
            Verdict::Failed(cause) => {
                let _ = writeln!(said, "FAILED {}", cause.summary);
                let _ = writeln!(said, "  expected {}; measured {}", cause.expected, cause.measured);
                for line in &cause.last_lines {
                    let _ = writeln!(said, "  | {line}");
                }
                if !cause.cure.is_empty() {
                    let _ = writeln!(said, "  do: {}", cause.cure);
                }
            }
            Verdict::Inconclusive { reason } => {
                let _ = writeln!(said, "INCONCLUSIVE {reason}");
            }
            verdict => {
                let _ = writeln!(said, "{verdict:?}");
            }
        }
        if !judged.facts.is_empty() {
            let _ = writeln!(said, "  facts: {}", judged.facts.join(" · "));
        }
        for finding in &judged.findings {
            let _ = writeln!(said, "  {} {}: {}", finding.severity.word(), finding.id, finding.title);
        }
    }
    insta::assert_snapshot!(said);
}

#[test]
fn what_check_deploy_warns_of_is_findings() {
    let judged = judged(Judge::ExitCode, 0, fixture!("check-deploy"));
    assert_eq!(judged.findings.len(), 7);
    let debug = judged.findings.iter().find(|finding| finding.id == "DJANGO-CHECK:security.W018").unwrap();
    assert_eq!(debug.severity, Severity::Warning);
    assert_eq!(debug.title, "You should not have DEBUG set to True in deployment.");
}

#[test]
fn an_editable_project_is_not_unaudited() {
    let text = "No known vulnerabilities found\nName   Skip Reason\n------ ---------------\n\
                harbor distribution marked as editable\n";
    assert_eq!(judged(Judge::PipAudit, 0, text).verdict, Verdict::Passed);
}

#[test]
fn a_report_of_secrets_that_lost_its_beginning_still_fails() {
    let text = fixture!("secrets-found-json");
    let cut: Vec<&str> = text.lines().skip(20).collect();
    let judged = judged(Judge::DetectSecrets, 1, &cut.join("\n"));
    assert_eq!(letter(&judged.verdict), 'F', "{judged:?}");
}

#[test]
fn a_signal_is_a_failure_whatever_the_judge() {
    for kind in [Judge::ExitCode, Judge::PipAudit, Judge::Bandit, Judge::Pytest, Judge::Drift] {
        let judged =
            judge(kind, Exit { code: None, signal: Some(9) }, &lines("No known vulnerabilities found"));
        let Verdict::Failed(cause) = judged.verdict else { panic!("{kind:?}") };
        assert!(cause.summary.contains("SIGKILL") && cause.cure.contains("memory"), "{cause:?}");
    }
}

#[test]
fn the_judge_of_a_command_is_its_tool() {
    let cases = [
        ("pytest --cov", Judge::Pytest),
        ("DEBUG=1 uv run pytest e2e", Judge::Pytest),
        ("python -m pytest", Judge::Pytest),
        ("coverage run -m pytest", Judge::Pytest),
        ("python manage.py test shop", Judge::Pytest),
        ("./manage.py makemigrations --check", Judge::Drift),
        ("python manage.py check --deploy", Judge::ExitCode),
        ("ruff check src", Judge::Ruff),
        ("python3.12 -m mypy .", Judge::Mypy),
        ("black --check .", Judge::Black),
        ("bandit -r .", Judge::Bandit),
        ("detect-secrets scan", Judge::DetectSecrets),
        ("cd app && pip-audit -r requirements.txt", Judge::PipAudit),
        ("pip-audit || true", Judge::PipAudit),
        ("ruff check . && black --check .", Judge::ExitCode),
        ("make test", Judge::ExitCode),
        ("npm run test", Judge::ExitCode),
        ("echo pytest", Judge::ExitCode),
        ("", Judge::ExitCode),
    ];
    for (run, expected) in cases {
        assert_eq!(of_command(run), expected, "{run}");
    }
}

fn any_judge() -> impl Strategy<Value = Judge> {
    prop::sample::select(vec![
        Judge::ExitCode,
        Judge::PipAudit,
        Judge::DetectSecrets,
        Judge::Bandit,
        Judge::Mypy,
        Judge::Ruff,
        Judge::Black,
        Judge::Pytest,
        Judge::Drift,
    ])
}

proptest! {
    /// Output is what strangers print: nothing in it panics, and what is shown of it stays bounded.
    #[test]
    fn no_output_panics(kind in any_judge(), code in any::<Option<i32>>(), text in "(?s).{0,400}") {
        let judged = judge(kind, Exit { code, signal: None }, &lines(&text));
        if let Verdict::Failed(cause) = judged.verdict {
            prop_assert!(cause.last_lines.len() <= SHOWN);
        }
    }

    /// An exit code other than 0 is never a pass, whatever is printed: but for the hook that moved lines.
    #[test]
    fn only_zero_passes(
        kind in any_judge(),
        code in 1..200_i32,
        picked in prop::collection::vec(prop::sample::select(all_lines()), 0..40),
    ) {
        let moved = picked.iter().any(|line| line.starts_with("The baseline file was updated"));
        let judged = judge(kind, Exit::code(code), &picked);
        if judged.verdict == Verdict::Passed {
            prop_assert!(kind == Judge::DetectSecrets && moved, "{kind:?} {code}");
        }
    }

    /// pip-audit never passes while a package is listed as not audited.
    #[test]
    fn what_was_not_audited_never_passes(at in 0..20_usize, picked in prop::collection::vec(prop::sample::select(all_lines()), 0..20)) {
        let mut text = picked;
        let at = at.min(text.len());
        text.insert(at, "django   Dependency not found on PyPI and could not be audited: django (4.2)".into());
        prop_assert_ne!(judge(Judge::PipAudit, Exit::code(0), &text).verdict, Verdict::Passed);
    }
}

/// Every line that any tool has printed: mixed anew they make outputs that no tool would.
fn all_lines() -> Vec<String> {
    let mut all: Vec<String> = ENDINGS.iter().flat_map(|(_, _, _, _, text)| lines(text)).collect();
    all.retain(|line| line.len() < 300);
    all.sort();
    all.dedup();
    all
}
