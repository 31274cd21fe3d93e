use std::collections::BTreeMap;

use super::*;
use crate::domain::command::CommitFacts;
use crate::domain::finding::Severity;
use crate::domain::ids::{Actor, ArtifactId, Owner, ReleaseNumber, Seq};
use crate::domain::plan::{Cause, Exec, Kept, Output, PlanParts, Setting, Step, Verdict, Work};
use crate::domain::project::{Judge, Place, ProjectKind};
use crate::domain::release::Artifact;

fn commit() -> CommitFacts {
    CommitFacts {
        id: "a1b9c3f0aa".into(),
        subject: "Gift \u{1b}]0;cards\u{7}".to_owned(),
        author: "Marta".to_owned(),
        authored: Timestamp(0),
        tags: Vec::new(),
        branches: Vec::new(),
    }
}

fn step(name: &str, skip: Option<&str>) -> Step {
    let setting = Setting {
        project: "harbor".to_owned(),
        kind: ProjectKind::Plain,
        commit: "a1b9c3f0aa".into(),
        root: ".".to_owned(),
        python: None,
        settings: None,
        env: BTreeMap::new(),
        services: Vec::new(),
    };
    Step {
        id: name.into(),
        group: name.to_owned(),
        needs: Vec::new(),
        work: Work::Exec(Exec {
            setting,
            run: "true".to_owned(),
            place: Place::Source,
            judge: Judge::ExitCode,
        }),
        timeout: Millis::minutes(15),
        retries: 0,
        skip: skip.map(str::to_owned),
    }
}

/// A story with one of everything, two seconds between rows.
fn story() -> Vec<Event> {
    let run = RunId(58);
    let key = |step: &str, attempt| AttemptKey { owner: Owner::Run(run), step: step.into(), attempt };
    let finding = Finding {
        id: "PY-FLOATING:requests".to_owned(),
        severity: Severity::Warning,
        title: "requests floats.".to_owned(),
        cure: "Lock it.".to_owned(),
    };
    let cause = Cause {
        summary: "pytest: 1 failed, 41 passed".to_owned(),
        expected: "exit code 0".to_owned(),
        measured: "exit code 1".to_owned(),
        exit_code: Some(1),
        last_lines: vec!["\u{1b}[31mE  assert 1 == 2\u{1b}[0m".to_owned(), "1 failed".to_owned()],
        cure: "Mend the test.".to_owned(),
    };
    let facts = |facts: &[&str]| Output {
        facts: facts.iter().map(|it| (*it).to_owned()).collect(),
        ..Output::default()
    };
    let kept = Kept { directory: "/state/kept".to_owned(), ..Kept::default() };
    let steps = vec![
        step("ruff", None),
        step("pytest", None),
        step("pip-audit", None),
        step("e2e", Some("only for a commit with a tag")),
    ];
    let artifact = Artifact {
        runtime: crate::domain::project::RuntimeKind::Process,
        id: ArtifactId("sha256:9f2c4e0011223344".to_owned()),
        location: "/a".to_owned(),
        inputs: String::new(),
        bytes: 31_049_000,
        files: 1204,
    };
    let release = Release {
        number: ReleaseNumber(57),
        commit: "a1b9c3f0aa".into(),
        subject: "Gift cards".to_owned(),
        version: Some("1.2.0".to_owned()),
        artifact,
        run,
        created: Timestamp(0),
        migrations: Vec::new(),
        serving: crate::domain::release::Serving::default(),
        findings: Vec::new(),
    };
    let inconclusive = Verdict::Inconclusive { reason: "3 packages could not be audited".to_owned() };
    vec![
        Event::RunQueued { run, commit: commit(), until: None, followed: false },
        Event::RunQueued { run: RunId(59), commit: commit(), until: None, followed: true },
        Event::RunStarted { run },
        Event::RunPlanned { run, plan: Plan::new(PlanParts::default(), steps), findings: vec![finding] },
        Event::StepStarted { key: key("ruff", 1) },
        Event::StepFinished {
            key: key("ruff", 1),
            verdict: Verdict::Passed,
            output: facts(&["0 violations"]),
        },
        Event::StepStarted { key: key("pytest", 1) },
        Event::EngineStarted { version: "0.1.0".to_owned() },
        Event::StepStarted { key: key("pytest", 1) },
        Event::StepTimedOut { key: key("pytest", 1) },
        Event::StepFinished {
            key: key("pytest", 1),
            verdict: Verdict::Failed(cause),
            output: Output { kept: Some(kept), ..Output::default() },
        },
        Event::RunFinished { run, end: RunEnd::Failed },
        Event::StepRetried { run, step: "pytest".into() },
        Event::StepStarted { key: key("pytest", 2) },
        Event::StepFinished {
            key: key("pytest", 2),
            verdict: Verdict::Passed,
            output: facts(&["42 passed", "coverage 91 %"]),
        },
        Event::StepStarted { key: key("pip-audit", 1) },
        Event::StepFinished { key: key("pip-audit", 1), verdict: inconclusive, output: Output::default() },
        Event::RunHeld { run, waits_for: vec!["pip-audit".into()] },
        Event::StepAcknowledged {
            owner: Owner::Run(run),
            step: "pip-audit".into(),
            reason: "the feed is down".to_owned(),
        },
        Event::ReleaseCreated { release },
        Event::RunFinished { run, end: RunEnd::Passed { release: Some(ReleaseNumber(57)) } },
    ]
}

fn told(style: Style) -> String {
    let mut printer = Printer::new(style, RunId(58), State::default(), " --repository /srv/shop".to_owned());
    let mut lines = Vec::new();
    for (index, event) in story().into_iter().enumerate() {
        let index = i64::try_from(index).unwrap();
        let seq = Seq(u64::try_from(index).unwrap() + 1);
        let actor = Actor::Operator { name: "marta".to_owned(), terminal: "pts/3".to_owned() };
        let envelope = Envelope { seq, at: Timestamp(index * 2_000), actor, event };
        lines.extend(printer.feed(&envelope));
        assert!(printer.feed(&envelope).is_empty(), "a row that was told is not told again");
    }
    lines.join("\n")
}

#[test]
fn a_run_is_told_a_line_a_happening() {
    insta::assert_snapshot!("story", told(Style::bare()));
}

#[test]
fn in_ascii_the_same_facts_are_told() {
    let text = told(Style { ascii: true, ..Style::bare() });
    assert!(text.is_ascii(), "{text}");
    assert_eq!(text.lines().count(), told(Style::bare()).lines().count());
}

#[test]
fn bytes_read_as_people_write_them() {
    for (count, text) in
        [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (31_049_000, "31.0 MB"), (u64::MAX, "18446744.0 TB")]
    {
        assert_eq!(bytes(count), text);
    }
}
