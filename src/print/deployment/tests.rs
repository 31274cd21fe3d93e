use super::*;
use crate::domain::command::Command;
use crate::domain::health::BakeReport;
use crate::domain::plan::Verdict;
use crate::domain::time::Millis;
use crate::print::fixtures::Story;

/// What is told of a deployment from before it was asked for.
fn told(style: &Style, story: &Story, number: DeploymentId) -> String {
    let place = " --repository /srv/shop".to_owned();
    let mut printer = Printer::new(style.clone(), number, State::default(), place);
    let mut lines = Vec::new();
    for row in &story.journal {
        lines.extend(printer.feed(row));
        assert!(printer.feed(row).is_empty(), "a row that was told is not told again");
    }
    assert_eq!(printer.state(), &story.state);
    lines.join("\n")
}

/// v1 is live on staging; v2 goes there, its worker can't be checked, and it goes live.
fn promoted() -> (Story, DeploymentId) {
    let mut story = Story::new();
    story.goes_live("staging", 1);
    let number = story.promotes("staging", 2);
    story.walks(number, Some("migrate"));
    story.ends(number, Verdict::Inconclusive { reason: "the lock was not had".to_owned() }, &["2 tries"]);
    story.command(Command::Go { deployment: number, reason: "it is a small table".to_owned() });
    story.walks(number, Some("bake"));
    story.write(Event::EngineStarted { version: "0.1.0".to_owned() }, &crate::domain::ids::Actor::Engine);
    let attempt = story.state.deployments[&number].steps[&"bake".into()].attempt;
    let key = AttemptKey { owner: Owner::Deployment(number), step: "bake".into(), attempt };
    story.write(Event::StepStarted { key: key.clone() }, &crate::domain::ids::Actor::Engine);
    story.ends(number, Verdict::Passed, &["120 requests, 0 failed"]);
    story.walks(number, None);
    story.sees(number, Some(number), true);
    (story, number)
}

/// v2 fails on staging with v1 live there, and is taken back by itself.
fn taken_back() -> (Story, DeploymentId) {
    let mut story = Story::new();
    let first = story.goes_live("staging", 1);
    let number = story.promotes("staging", 2);
    story.walks(number, Some("await web"));
    story.ends(number, Story::failure(), &[]);
    story.sees(number, Some(first), true);
    let back = *story.state.deployments.keys().next_back().unwrap();
    assert_ne!(back, number, "it is taken back by itself");
    story.walks(back, None);
    story.sees(back, Some(first), true);
    (story, number)
}

/// v3, whose migrations differ, fails on staging: it is held, and left as it is.
fn held() -> (Story, DeploymentId) {
    let mut story = Story::new();
    let first = story.goes_live("staging", 1);
    let number = story.promotes("staging", 3);
    story.walks(number, Some("await web"));
    story.ends(number, Story::failure(), &[]);
    story.sees(number, Some(first), true);
    (story, number)
}

#[test]
fn a_promotion_is_told_a_line_a_happening() {
    let (story, number) = promoted();
    insta::assert_snapshot!("promoted", told(&Style::bare(), &story, number));
}

#[test]
fn an_automatic_rollback_is_told_with_what_it_takes_back() {
    let (story, number) = taken_back();
    let text = told(&Style::bare(), &story, number);
    assert!(!text.contains('\u{1b}'), "nothing that a terminal obeys: {text:?}");
    insta::assert_snapshot!("taken_back", text);
}

#[test]
fn a_held_deployment_says_the_commands_that_answer_it() {
    let (mut story, number) = held();
    let confirm = "staging".to_owned();
    let reason = "I look after it by hand".to_owned();
    story.command(Command::Leave { deployment: number, confirm, reason });
    insta::assert_snapshot!("held", told(&Style::bare(), &story, number));
}

#[test]
fn a_rollback_says_how_to_undo_it() {
    let mut story = Story::new();
    story.goes_live("staging", 1);
    let second = story.goes_live("staging", 2);
    let back = story.rolls_back("staging");
    story.walks(back, None);
    story.sees(back, Some(back), true);
    let text = told(&Style::bare(), &story, back);
    let undo = format!("to undo it: towpath rollback staging --to {} --repository /srv/shop", second.0);
    assert!(text.lines().last().unwrap().ends_with(&undo), "{text}");
}

#[test]
fn a_lease_that_is_not_had_is_said_with_its_ending() {
    let mut story = Story::new();
    let number = story.promotes("staging", 1);
    let denied = Event::LeaseDenied { deployment: number, reason: "sven's engine has it".to_owned() };
    story.write(denied, &crate::domain::ids::Actor::Engine);
    let text = told(&Style::bare(), &story, number);
    assert!(text.contains("✖ the lease of staging is not held by #1: sven's engine has it"), "{text}");
}

#[test]
fn in_ascii_the_same_facts_are_told() {
    let ascii = Style { ascii: true, ..Style::bare() };
    for (story, number) in [promoted(), taken_back(), held()] {
        let text = told(&ascii, &story, number);
        assert!(text.is_ascii(), "{text}");
        assert_eq!(text.lines().count(), told(&Style::bare(), &story, number).lines().count());
    }
}

#[test]
fn a_bake_is_told_with_its_numbers() {
    let mut report = BakeReport {
        until: Timestamp(300_000),
        weight: 10,
        new: Some(Traffic { requests: 120, failed: 1, median: None, p95: Some(Millis(38)) }),
        old: Some(Traffic { requests: 1080, ..Traffic::default() }),
        checks: 60,
        failed_checks: 0,
        trouble: String::new(),
    };
    assert_eq!(
        bake_text("bake 10", &report, Timestamp(108_000)),
        "bake 10 · 10 % of the traffic · 3m12s left · 60 of 60 checks well · new 120 requests, 1 failed, p95 \
         38ms · old 1080 requests, 0 failed"
    );
    report.new = None;
    report.old = None;
    report.failed_checks = 2;
    report.trouble = "web-1: connection \u{1b}[1mrefused".to_owned();
    assert_eq!(
        bake_text("bake", &report, Timestamp(400_000)),
        "bake · 10 % of the traffic · 0ms left · 60 of 62 checks well · web-1: connection refused"
    );
}
