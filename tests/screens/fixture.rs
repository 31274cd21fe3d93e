//! States as the engine would send them, built directly.
#![allow(clippy::expect_used, reason = "a scene that cannot be built is a failed test")]

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use towpath::domain::command::CommitFacts;
use towpath::domain::finding::{Finding, Severity};
use towpath::domain::ids::{Actor, AttemptKey, CommitId, Owner, ReleaseNumber, RunId, Seq, StepId};
use towpath::domain::plan::{
    Build, Cause, Exec, Kept, KeptContainer, Output, Plan, PlanParts, Setting, Step, Work,
};
use towpath::domain::project::{
    ArtifactSettings, Host, Judge, Pipeline, Place, Project, ProjectKind, Service,
};
use towpath::domain::query::CommitRow;
use towpath::domain::release::{Artifact, Release};
use towpath::domain::state::{Run, RunEnd, RunPhase, State, StepPhase, StepState};
use towpath::domain::time::{Millis, Timestamp};
use towpath::tui::log::LogLine;
use towpath::tui::model::{Link, Model, Msg, Request};
use towpath::tui::theme::{Colours, Theme};
use towpath::tui::{update, view};
use towpath::wire::protocol::{FromEngine, Viewer};

/// 2026-11-22 14:02:31 UTC.
pub(crate) const NOW: Timestamp = Timestamp(1_795_356_151_000);

pub(crate) fn ago(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - i64::try_from(seconds).expect("a small number") * 1000)
}

pub(crate) fn commit(hex: &str, subject: &str, tags: &[&str], branches: &[&str]) -> CommitFacts {
    CommitFacts {
        id: CommitId(format!("{hex:0<40}")),
        subject: subject.to_owned(),
        author: "Marta Nowak".to_owned(),
        authored: ago(7_300),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        branches: branches.iter().map(|branch| (*branch).to_owned()).collect(),
    }
}

fn setting(services: Vec<Service>) -> Setting {
    Setting {
        project: "harbor".to_owned(),
        kind: ProjectKind::Django,
        commit: CommitId("a1b9c3f".to_owned()),
        root: ".".to_owned(),
        python: Some("3.12".to_owned()),
        settings: None,
        env: BTreeMap::new(),
        services,
    }
}

fn exec(run: &str, place: Place) -> Work {
    let services = if place == Place::Candidate { vec![Service::Postgres] } else { Vec::new() };
    Work::Exec(Exec { setting: setting(services), run: run.to_owned(), place, judge: Judge::ExitCode })
}

fn step(id: &str, group: &str, needs: &[&str], work: Work) -> Step {
    Step {
        id: id.into(),
        group: group.to_owned(),
        needs: needs.iter().map(|need| StepId::from(*need)).collect(),
        work,
        timeout: Millis::minutes(15),
        retries: 0,
        skip: None,
    }
}

fn plan() -> Plan {
    let source = || Place::Source;
    let candidate = || Place::Candidate;
    let steps = vec![
        step("install", "install", &[], Work::Install(setting(Vec::new()))),
        step("ruff", "lint", &["install"], exec("ruff check .", source())),
        step("black", "lint", &["install"], exec("black --check .", source())),
        step("mypy", "lint", &["install"], exec("mypy .", source())),
        step("bandit", "security", &["install"], exec("bandit -r .", source())),
        step("pip-audit", "security", &["install"], exec("pip-audit", source())),
        step(
            "candidate",
            "candidate",
            &["ruff", "black", "mypy", "bandit", "pip-audit"],
            Work::Build(Build {
                setting: setting(Vec::new()),
                artifact: ArtifactSettings::default(),
                roles: BTreeMap::new(),
            }),
        ),
        step("pytest", "test", &["candidate"], exec("pytest --cov --cov-fail-under=85", candidate())),
        step("check-deploy", "test", &["candidate"], exec("python manage.py check --deploy", candidate())),
        step("drift", "migrations", &["candidate"], Work::Inspect(setting(Vec::new()))),
        step(
            "empty-database",
            "migrations",
            &["drift"],
            Work::MigrateEmpty(Exec {
                setting: setting(vec![Service::Postgres]),
                run: String::new(),
                place: candidate(),
                judge: Judge::ExitCode,
            }),
        ),
    ];
    Plan::new(PlanParts::default(), steps)
}

fn passed(from: u64, to: u64, facts: &[&str]) -> StepState {
    StepState {
        phase: StepPhase::Passed,
        attempt: 1,
        started: Some(ago(from)),
        ended: Some(ago(to)),
        output: Output { facts: facts.iter().map(|fact| (*fact).to_owned()).collect(), ..Output::default() },
        ..StepState::default()
    }
}

fn open(from: u64) -> StepState {
    StepState { phase: StepPhase::Running, attempt: 1, started: Some(ago(from)), ..StepState::default() }
}

pub(crate) fn run(hex: &str, subject: &str, phase: RunPhase) -> Run {
    Run {
        commit: commit(hex, subject, &[], &["main"]),
        until: None,
        followed: true,
        by: Actor::Engine,
        queued: ago(200),
        started: Some(ago(192)),
        ended: None,
        phase,
        plan: None,
        steps: BTreeMap::new(),
        findings: Vec::new(),
        cause: None,
        failed: None,
    }
}

pub(crate) fn project() -> Project {
    Project {
        name: "harbor".to_owned(),
        kind: ProjectKind::Django,
        root: ".".to_owned(),
        python: Some("3.12".to_owned()),
        settings: None,
        pipeline: Pipeline { branch: Some("main".to_owned()), ..Pipeline::default() },
        artifact: ArtifactSettings::default(),
        stages: Vec::new(),
        services: BTreeMap::new(),
        roles: BTreeMap::new(),
        environments: BTreeMap::new(),
    }
}

/// A project with no run.
pub(crate) fn empty() -> State {
    let mut state = State { seq: Seq(2), project: Some(project()), ..State::default() };
    state.branches.insert("main".to_owned(), CommitId("a1b9c3f0".to_owned()));
    state
}

/// Steps up to the candidate have passed.
fn begun() -> (State, Run) {
    let mut state = empty();
    state.seq = Seq(90);
    let mut run = run("a1b9c3f", "Gift cards at checkout", RunPhase::Running);
    let plan = plan();
    for step in &plan.steps {
        run.steps.insert(step.id.clone(), StepState::default());
        let usual = match step.id.as_str() {
            "pytest" => 164,
            "empty-database" => 30,
            "candidate" => 14,
            _ => 5,
        };
        state.durations.insert(step.id.clone(), [Millis::seconds(usual)].into());
    }
    run.plan = Some(plan);
    for (id, from, to, facts) in [
        ("install", 192, 180, &["locked", "cache hit"] as &[&str]),
        ("ruff", 180, 178, &["142 files"]),
        ("black", 180, 176, &[]),
        ("mypy", 178, 154, &["no issues in 142 files"]),
        ("bandit", 176, 170, &["no issues"]),
        ("pip-audit", 170, 160, &["61 packages"]),
        ("candidate", 154, 140, &["sha256:9f2c41ab77e0", "18.2 MB"]),
    ] {
        run.steps.insert(id.into(), passed(from, to, facts));
    }
    run.findings.push(Finding {
        id: "PY-FLOATING:requests".to_owned(),
        severity: Severity::Note,
        title: "requests has no fixed version.".to_owned(),
        cure: "Pin it in requirements.txt, or use a lock file.".to_owned(),
    });
    (state, run)
}

fn earlier(state: &mut State) {
    let mut old = run(
        "77e01d2",
        "Update Django to 5.2.8",
        RunPhase::Ended(RunEnd::Passed { release: Some(ReleaseNumber(56)) }),
    );
    old.started = Some(ago(9_000));
    old.ended = Some(ago(8_800));
    state.runs.insert(RunId(56), old);
    let mut failed = run("5d0e7aa", "Fix tax of returned orders", RunPhase::Ended(RunEnd::Failed));
    failed.started = Some(ago(5_000));
    failed.ended = Some(ago(4_950));
    failed.failed = Some(("ruff".into(), "ruff: 3 violations".to_owned()));
    state.runs.insert(RunId(57), failed);
    state.releases.insert(ReleaseNumber(56), release(56, 56, "77e01d2"));
}

pub(crate) fn release(number: u64, run: u64, hex: &str) -> Release {
    Release {
        number: ReleaseNumber(number),
        commit: CommitId(format!("{hex:0<40}")),
        subject: "Gift cards at checkout".to_owned(),
        version: Some("1.9.0".to_owned()),
        artifact: Artifact {
            runtime: towpath::domain::project::RuntimeKind::Process,
            id: "sha256:9f2c41ab77e05d0e7aa91c2b0077e01d2a1b9c3f".into(),
            location: "/artifacts/9f2c".to_owned(),
            inputs: "x".to_owned(),
            bytes: 18_200_000,
            files: 2_100,
        },
        run: RunId(run),
        created: ago(20),
        migrations: Vec::new(),
        findings: Vec::new(),
        serving: towpath::domain::release::Serving::default(),
    }
}

/// Tests and migrations run; one more run waits.
pub(crate) fn running() -> State {
    let (mut state, mut run) = begun();
    earlier(&mut state);
    run.steps.insert("pytest".into(), open(140));
    run.steps.insert("check-deploy".into(), passed(140, 136, &["no issues"]));
    run.steps.insert("drift".into(), open(24));
    state.runs.insert(RunId(58), run);
    let mut queued = self::run("91c2b00", "Typo in the shipping mail", RunPhase::Queued);
    queued.started = None;
    state.runs.insert(RunId(59), queued);
    state
}

/// The tests failed in a container, which is kept.
pub(crate) fn kept() -> State {
    let mut state = failed();
    let run = state.runs.get_mut(&RunId(58)).expect("the failed run");
    let step = run.steps.get_mut(&StepId::from("pytest")).expect("the failed step");
    step.output.kept = Some(Kept {
        directory: "/app".to_owned(),
        container: Some(KeptContainer {
            host: Host::usual(),
            image: "sha256:5b1f".to_owned(),
            id: "0c9d".to_owned(),
            network: "harbor-pytest-net".to_owned(),
            until: Timestamp(ago(78).0 + 30 * 60 * 1000),
        }),
        ..Kept::default()
    });
    state
}

/// The tests failed.
pub(crate) fn failed() -> State {
    let (mut state, mut run) = begun();
    earlier(&mut state);
    run.steps.insert("check-deploy".into(), passed(140, 136, &["no issues"]));
    run.steps.insert("drift".into(), passed(136, 131, &["2 new"]));
    run.steps
        .insert("empty-database".into(), StepState { phase: StepPhase::Cancelled, ..passed(131, 100, &[]) });
    let last_lines = [
        "    def test_gift_card_covers_shipping(checkout):",
        "        checkout.pay_with(GiftCard(balance=Money(50)))",
        ">       assert checkout.due == Money(0)",
        "E       AssertionError: assert Money(4.90) == Money(0)",
        "",
        "shop/tests/test_giftcards.py:88: AssertionError",
        "FAILED shop/tests/test_giftcards.py::test_gift_card_covers_shipping",
        "2 failed, 40 passed in 61.22s",
    ];
    let cause = Cause {
        summary: "pytest: 2 failed, 40 passed".to_owned(),
        expected: "exit code 0".to_owned(),
        measured: "exit code 1 after 1m02s".to_owned(),
        exit_code: Some(1),
        last_lines: last_lines.iter().map(|line| (*line).to_owned()).collect(),
        cure: "Run pytest shop/tests/test_giftcards.py in the kept directory.".to_owned(),
    };
    run.failed = Some(("pytest".into(), cause.summary.clone()));
    let kept = Kept { directory: "/state/runs/58/pytest/1/work".to_owned(), ..Kept::default() };
    run.steps.insert(
        "pytest".into(),
        StepState {
            phase: StepPhase::Failed { cause },
            attempt: 1,
            started: Some(ago(140)),
            ended: Some(ago(78)),
            output: Output { kept: Some(kept), ..Output::default() },
            ..StepState::default()
        },
    );
    run.phase = RunPhase::Ended(RunEnd::Failed);
    run.ended = Some(ago(78));
    state.runs.insert(RunId(58), run);
    state
}

/// Everything passed but the audit, which could not be done.
pub(crate) fn held() -> State {
    let (mut state, mut run) = begun();
    run.steps.insert("pytest".into(), passed(140, 40, &["42 passed", "coverage 91 %"]));
    run.steps.insert("check-deploy".into(), passed(140, 136, &["no issues"]));
    run.steps.insert("drift".into(), passed(136, 131, &["2 new"]));
    run.steps.insert("empty-database".into(), passed(131, 100, &["44 applied"]));
    let reason = "pip-audit: 61 packages could not be audited (no advisory data was reached).".to_owned();
    run.steps.insert(
        "pip-audit".into(),
        StepState { phase: StepPhase::Inconclusive { reason }, ..passed(170, 160, &[]) },
    );
    run.phase = RunPhase::Held;
    state.runs.insert(RunId(58), run);
    state
}

/// Everything passed: a release.
pub(crate) fn released() -> State {
    let mut state = held();
    let run = state.runs.get_mut(&RunId(58)).expect("the run is there");
    run.steps.insert("pip-audit".into(), passed(170, 160, &["61 packages"]));
    run.steps.get_mut(&StepId::from("mypy")).expect("it is there").phase =
        StepPhase::Skipped { why: "mypy is not configured".to_owned() };
    run.phase = RunPhase::Ended(RunEnd::Passed { release: Some(ReleaseNumber(57)) });
    run.ended = Some(ago(40));
    state.releases.insert(ReleaseNumber(57), release(57, 58, "a1b9c3f"));
    state
}

pub(crate) fn commits() -> Vec<CommitRow> {
    let row = |hex, subject, tags: &[&str], branches: &[&str], run| CommitRow {
        commit: commit(hex, subject, tags, branches),
        run,
        release: None,
    };
    let mut rows = vec![
        row("a1b9c3f", "Gift cards at checkout", &[], &["main"], Some((RunId(58), RunPhase::Running))),
        row(
            "5d0e7aa",
            "Fix tax of returned orders",
            &[],
            &["fix/tax"],
            Some((RunId(57), RunPhase::Ended(RunEnd::Failed))),
        ),
        row(
            "77e01d2",
            "Update Django to 5.2.8",
            &["v1.8.2"],
            &[],
            Some((RunId(56), RunPhase::Ended(RunEnd::Passed { release: None }))),
        ),
        row("0c41e9b", "配送メールの文面を直す", &[], &[], None),
        row(
            "e5510aa",
            "Move the harbour map to its own application, with its tiles and its tests",
            &[],
            &["maps"],
            None,
        ),
    ];
    rows[2].release = Some(ReleaseNumber(56));
    rows
}

pub(crate) const THEME: Theme = Theme { ascii: false, colours: Colours::Many };

pub(crate) fn viewers() -> Vec<Viewer> {
    let viewer = |id, name: &str, you| Viewer {
        id,
        name: name.to_owned(),
        role: "console".to_owned(),
        terminal: "pts/3".to_owned(),
        you,
    };
    vec![viewer(2, "sven", false), viewer(3, "marta", true)]
}

/// A console that has heard this state.
pub(crate) fn console(state: State, theme: Theme, size: (u16, u16)) -> Model {
    let mut model = Model::new("harbor", theme, size, NOW, TimeZone::UTC);
    send(&mut model, Msg::Pushed(Box::new(FromEngine::Snapshot { state: Box::new(state) })));
    send(&mut model, Msg::Pushed(Box::new(FromEngine::Present { viewers: viewers() })));
    assert_eq!(model.link, Link::Up);
    model
}

pub(crate) fn send(model: &mut Model, msg: Msg) -> Vec<Request> {
    update(model, msg)
}

pub(crate) fn press(model: &mut Model, code: KeyCode) -> Vec<Request> {
    send(model, Msg::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub(crate) fn write(model: &mut Model, text: &str) -> Vec<Request> {
    text.chars().flat_map(|sign| press(model, KeyCode::Char(sign))).collect()
}

/// The log of pytest, with colours, a long line and wide signs.
pub(crate) fn with_log(model: &mut Model) {
    let key = model.log.key.clone().unwrap_or(AttemptKey {
        owner: Owner::Run(RunId(58)),
        step: "pytest".into(),
        attempt: 1,
    });
    let mut lines = vec![
        "\x1b[1m=================== test session starts ===================\x1b[0m".to_owned(),
        "platform linux -- Python 3.12.7, pytest-8.3.3, pluggy-1.5.0 -- /candidate/bin/python3".to_owned(),
        "collected 42 items".to_owned(),
        "shop/tests/test_mail.py::test_subject[配送のお知らせ] \x1b[32mPASSED\x1b[0m".to_owned(),
    ];
    for n in 1..=30 {
        lines.push(format!("shop/tests/test_cart.py::test_item_{n} \x1b[32mPASSED\x1b[0m\t[{:>3}%]", n * 2));
    }
    lines.push("shop/tests/test_giftcards.py::test_covers_shipping \x1b[31mFAILED\x1b[0m".to_owned());
    let total = lines.len() as u64;
    let lines = lines.into_iter().map(|text| LogLine { at: ago(30), text }).collect();
    send(model, Msg::LogLines { key, first: 0, lines, total });
}

/// What is on the screen, line by line, without blanks at the ends.
pub(crate) fn screen(model: &Model) -> String {
    let (columns, rows) = model.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a test terminal");
    terminal.draw(|frame| view(model, frame)).expect("a frame");
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..rows {
        let mut line = String::new();
        let mut skip = 0;
        for x in 0..columns {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let symbol = buffer[(x, y)].symbol();
            skip = towpath::text::width::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
