//! The Environments screen: what is live where, how it is, and what happens to it.

#![allow(clippy::expect_used, clippy::panic, reason = "a scene that cannot be built is a failed test")]

#[path = "screens/fixture.rs"]
#[allow(dead_code, reason = "the other files use the rest")]
mod fixture;
#[path = "screens/places.rs"]
mod places;

use crossterm::event::KeyCode;
use fixture::{NOW, THEME, ago, console, empty, press, screen, send, write};
use places::{Journal, STEADY, answers, bake, crashed_loop, on_hosts, replicas, well};
use towpath::domain::command::Command;
use towpath::domain::event::Event;
use towpath::domain::health::Sample;
use towpath::domain::ids::DeploymentId;
use towpath::domain::ids::ReplicaKey;
use towpath::domain::plan::Cause;
use towpath::domain::query::{Answer, LogSource, Query};
use towpath::domain::state::{Ending, Live};
use towpath::domain::time::Timestamp;
use towpath::tui::logs::{Cursor, StreamLine, StreamRead, Way};
use towpath::tui::model::{Asked, Request};
use towpath::tui::model::{Model, Msg, Screen};
use towpath::tui::places::Health;
use towpath::tui::theme::{Colours, Theme};
use towpath::wire::protocol::Reply;

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 10)];

fn cause() -> Cause {
    let last_lines = [
        "[2026-11-22 14:02:20 +0000] [ERROR] Exception in worker process",
        "  File \"/release/harbor/wsgi.py\", line 4, in <module>",
        "ModuleNotFoundError: No module named 'giftcards'",
        "[2026-11-22 14:02:20 +0000] [ERROR] Worker failed to boot.",
    ];
    Cause {
        summary: "web-1 of #13 exited with code 3, three times".to_owned(),
        expected: "an answer below 500 on /health within 1m00s".to_owned(),
        measured: "connection refused".to_owned(),
        exit_code: Some(3),
        last_lines: last_lines.iter().map(|line| (*line).to_owned()).collect(),
        cure: "Add giftcards to INSTALLED_APPS and to the lock.".to_owned(),
    }
}

/// Two replicas of the new set, one of the old one, and a step.
fn sources() -> Vec<LogSource> {
    let replica = |deployment: u64, index: u32| {
        let deployment = DeploymentId(deployment);
        let key = ReplicaKey { environment: "production".into(), deployment, role: "web".to_owned(), index };
        LogSource {
            label: format!("web-{index} {deployment}"),
            deployment,
            replica: Some(key),
            directory: format!("/state/d{}-web-{index}", deployment.0),
        }
    };
    let step = LogSource {
        label: "fetch #13".to_owned(),
        deployment: DeploymentId(13),
        replica: None,
        directory: "/state/fetch".to_owned(),
    };
    vec![replica(13, 1), replica(13, 2), replica(11, 1), step]
}

/// As many lines each.
fn ends(count: u64) -> Cursor {
    sources().into_iter().map(|source| (source.directory, count)).collect()
}

fn stream_lines() -> Vec<StreamLine> {
    let paths = ["/shop/", "/shop/cart/", "/shop/giftcards/", "/static/map.js", "/health"];
    let mut lines: Vec<StreamLine> = (0..46_u64)
        .map(|n| {
            let sources = sources();
            let source = &sources[usize::try_from(n * 7 % 11 % 3).expect("small")];
            let path = paths[usize::try_from(n % 5).expect("small")];
            let text = match n {
                31 => "\x1b[33mWARNING\x1b[0m giftcards: balance of card 4471 was read from the old table".to_owned(),
                38 => "[2026-11-22 14:02:10 +0000] [9] [ERROR] Error handling request /shop/giftcards/4471/redeem/ \
                       (no such column: shop_giftcard.currency)"
                    .to_owned(),
                39 => "Traceback (most recent call last):".to_owned(),
                n => format!("10.0.3.{} \"GET {path} HTTP/1.1\" 200 {}", n % 9 + 2, 2_000 + n * 37),
            };
            let when = if n < 30 { 300 - n * 4 } else { 110 - (n - 30) * 6 };
            StreamLine { at: ago(when), source: source.directory.clone(), number: 800 + n, text }
        })
        .collect();
    lines.sort_by_key(|line| line.at);
    lines
}

fn read_in(model: &mut Model, read: StreamRead) {
    send(model, Msg::StreamRead { environment: "production".into(), read: Box::new(read) });
}

/// A scene by its name, at a size, in a look.
fn scene(name: &str, theme: Theme, size: (u16, u16)) -> Model {
    let at = |journal: &Journal| {
        let mut model = console(journal.state.clone(), theme, size);
        press(&mut model, KeyCode::Char('2'));
        model
    };
    match name {
        "places-none" => {
            let mut model = console(empty(), theme, size);
            press(&mut model, KeyCode::Char('2'));
            model
        }
        "places-empty" => at(&Journal::new()),
        "places-live" => {
            let mut model = at(&Journal::lived());
            well(&mut model);
            model
        }
        "places-canary" => {
            let mut model = at(&Journal::canary());
            well(&mut model);
            bake(&mut model, 3, "");
            model
        }
        "places-canary-page" => {
            let mut model = scene("places-canary", theme, size);
            press(&mut model, KeyCode::Enter);
            model
        }
        "places-replicas" => {
            let mut model = scene("places-crash-loop", theme, size);
            press(&mut model, KeyCode::Enter);
            press(&mut model, KeyCode::Char('v'));
            model
        }
        "places-crash-loop" => {
            let mut model = at(&Journal::canary());
            well(&mut model);
            replicas(&mut model, "production", 1, crashed_loop);
            answers(&mut model, "production", 0, &[41, 5_000, 40, 900, 5_000]);
            bake(&mut model, 19, "3 of the new set’s health checks were not answered.");
            model
        }
        "places-held" => {
            let mut journal = Journal::canary();
            let reason = "The new set had 11 requests in 5m00s, too few to judge it by".to_owned();
            let deployment = journal.newest();
            journal.write(ago(8), "towpath", Event::DeploymentHeld { deployment, reason });
            let mut model = at(&journal);
            well(&mut model);
            press(&mut model, KeyCode::Enter);
            model
        }
        "places-failed" => {
            let mut journal = Journal::lived();
            let deployment =
                journal.begin("production", 57, "marta", 90, "Gift cards launch, ticket SHOP-311");
            journal.walk(deployment, 90, Some("await web"));
            journal.fail("await web", cause());
            let why = "await web failed: web-1 of #13 exited with code 3".to_owned();
            journal.end(deployment, 5, Ending::RolledBack { why: why.clone() }, Some(&why));
            let mut model = at(&journal);
            press(&mut model, KeyCode::Right);
            press(&mut model, KeyCode::Enter);
            well(&mut model);
            model
        }
        "places-hosts" => {
            let mut model = at(&Journal::lived());
            on_hosts(&mut model);
            press(&mut model, KeyCode::Right);
            model
        }
        "places-hosts-replicas" => {
            let mut model = scene("places-hosts", theme, size);
            press(&mut model, KeyCode::Enter);
            press(&mut model, KeyCode::Char('v'));
            model
        }
        "places-lease" => {
            let mut model = scene("places-hosts", theme, size);
            write(&mut model, "B");
            write(&mut model, "jonas is on holiday");
            press(&mut model, KeyCode::Tab);
            write(&mut model, "product");
            model
        }
        "places-stale" => {
            let mut model = at(&Journal::lived());
            answers(&mut model, "staging", 1, &STEADY);
            replicas(&mut model, "staging", 1, |_| ());
            answers(&mut model, "production", 95, &STEADY);
            replicas(&mut model, "production", 95, |_| ());
            press(&mut model, KeyCode::Right);
            model
        }
        "places-drift" => {
            let mut journal = Journal::lived();
            let live = Some(Live { deployment: DeploymentId(9), healthy: true });
            let seen = Event::EnvironmentObserved { environment: "production".into(), live };
            journal.write(ago(30), "towpath", seen);
            let mut model = at(&journal);
            well(&mut model);
            press(&mut model, KeyCode::Right);
            model
        }
        "places-disconnected" => {
            let mut model = scene("places-canary", theme, size);
            send(&mut model, Msg::Tick(Timestamp(NOW.0 + 9_000)));
            let why = "The engine closed the connection.".to_owned();
            send(&mut model, Msg::Disconnected { why, again: Timestamp(NOW.0 + 12_500) });
            model
        }
        "places-strip" => {
            let mut journal = Journal::canary();
            journal.state.runs = fixture::running().runs;
            let mut model = console(journal.state, theme, size);
            well(&mut model);
            model
        }
        "logs" => {
            let mut model = scene("places-canary", theme, size);
            press(&mut model, KeyCode::Char('4'));
            let sources = Answer::Sources { sources: sources() };
            let request = Box::new(Asked::Query(Query::Sources { environment: "production".into() }));
            send(&mut model, Msg::Answered { request, reply: Reply::Answer { answer: Box::new(sources) } });
            let read = StreamRead {
                way: Way::End,
                from: Cursor::new(),
                lines: stream_lines(),
                complete: false,
                ends: ends(900),
            };
            read_in(&mut model, read);
            model
        }
        "logs-search" => {
            let mut model = scene("logs", theme, size);
            write(&mut model, "/giftcard");
            model
        }
        "logs-sources" => {
            let mut model = scene("logs", theme, size);
            write(&mut model, "s");
            press(&mut model, KeyCode::Down);
            press(&mut model, KeyCode::Char(' '));
            model
        }
        "logs-scrolled" => {
            let mut model = scene("logs", theme, size);
            write(&mut model, "kkk");
            let ends = ends(912);
            send(&mut model, Msg::StreamEnds { environment: "production".into(), ends });
            model
        }
        other => panic!("no scene is called {other}"),
    }
}

const SCENES: [&str; 20] = [
    "places-lease",
    "places-hosts",
    "places-hosts-replicas",
    "logs",
    "logs-search",
    "logs-sources",
    "logs-scrolled",
    "places-none",
    "places-empty",
    "places-live",
    "places-canary",
    "places-canary-page",
    "places-replicas",
    "places-crash-loop",
    "places-held",
    "places-failed",
    "places-stale",
    "places-drift",
    "places-disconnected",
    "places-strip",
];

#[test]
fn every_scene_looks_as_it_did() {
    for name in SCENES {
        for (columns, rows) in SIZES {
            let model = scene(name, THEME, (columns, rows));
            insta::assert_snapshot!(format!("{name}-{columns}x{rows}"), screen(&model));
        }
    }
}

#[test]
fn ascii_is_ascii_and_says_the_same() {
    let theme = Theme { ascii: true, colours: Colours::None };
    for name in SCENES {
        for size in SIZES {
            let text = screen(&scene(name, theme, size));
            let strange: Vec<char> = text.chars().filter(|sign| !sign.is_ascii()).collect();
            assert!(strange.is_empty(), "{name} at {size:?} has {strange:?} in\n{text}");
        }
    }
    insta::assert_snapshot!("places-ascii", screen(&scene("places-crash-loop", theme, (120, 40))));
}

#[test]
fn no_size_breaks_the_drawing() {
    for name in SCENES {
        let mut model = scene(name, THEME, (120, 40));
        for columns in (1..=300).step_by(43).chain([39, 40, 59, 60, 99, 100, 101]) {
            for rows in [1, 3, 9, 10, 11, 15, 16, 23, 24, 33, 57, 100] {
                send(&mut model, Msg::Resize(columns, rows));
                let _ = screen(&model);
            }
        }
    }
}

#[test]
fn what_was_measured_too_long_ago_is_unknown_and_never_well() {
    let mut model = scene("places-live", THEME, (120, 40));
    let production = "production".into();
    assert_eq!(model.health(&production), Health::Healthy);
    // Three intervals of two seconds after the last answer, which is a second old.
    send(&mut model, Msg::Tick(Timestamp(NOW.0 + 5_000)));
    assert_eq!(model.health(&production), Health::Healthy);
    send(&mut model, Msg::Tick(Timestamp(NOW.0 + 5_001)));
    assert!(matches!(model.health(&production), Health::Unknown(_)));
    let text = screen(&model);
    assert!(text.contains("? unknown") && !text.contains("● healthy"), "{text}");
    assert!(text.contains("?/4 replicas up"), "{text}");
}

#[test]
fn a_host_that_is_not_reached_makes_nothing_well_though_the_router_answers() {
    let model = scene("places-hosts", THEME, (120, 40));
    assert_eq!(model.health(&"production".into()), Health::Unknown("gamma is unreachable".to_owned()));
    let text = screen(&model);
    for wanted in ["gamma unreachable since", "connection refused", "(1 unknown)", "d8-2 runs and is"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
}

#[test]
fn a_lease_is_broken_by_a_reason_and_the_typed_name() {
    let mut model = scene("places-lease", THEME, (120, 40));
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "half a name confirms nothing");
    let requests = write(&mut model, "ion");
    assert!(requests.is_empty());
    let requests = press(&mut model, KeyCode::Enter);
    let Some(Request::Send(Command::BreakLease { who, since, confirm, reason, .. })) = requests.first()
    else {
        panic!("{requests:?}")
    };
    assert_eq!((who.as_str(), *since, confirm.as_str()), ("jonas@build-2", ago(340), "production"));
    assert_eq!(reason, "jonas is on holiday");
}

#[test]
fn without_an_engine_nothing_is_well() {
    let text = screen(&scene("places-disconnected", THEME, (120, 40)));
    assert!(text.contains("unknown (no engine)") && !text.contains("● healthy"), "{text}");
}

#[test]
fn keys_turn_between_screens_and_select_environments() {
    let mut model = scene("places-live", THEME, (80, 24));
    assert_eq!(model.environment().map(|(name, _)| name.as_str()), Some("staging"));
    press(&mut model, KeyCode::Right);
    assert_eq!(model.environment().map(|(name, _)| name.as_str()), Some("production"));
    press(&mut model, KeyCode::Enter);
    assert!(model.places.open);
    press(&mut model, KeyCode::Esc);
    assert!(!model.places.open);
    press(&mut model, KeyCode::Char('1'));
    assert_eq!(model.screen, Screen::Pipeline);
    press(&mut model, KeyCode::Tab);
    assert_eq!(model.screen, Screen::Environments);
    assert_eq!(model.environment().map(|(name, _)| name.as_str()), Some("production"), "it stays selected");
}

#[test]
fn the_log_of_a_deployments_step_is_read_and_an_earlier_deployment_can_be_looked_at() {
    let mut model = scene("places-canary", THEME, (120, 40));
    press(&mut model, KeyCode::Enter);
    let attempt = model.attempt().expect("the bake is open").0;
    assert_eq!(attempt.step.as_str(), "bake 10");
    press(&mut model, KeyCode::Char('G'));
    press(&mut model, KeyCode::Enter);
    let shown = model.deployment().map(|(number, _)| number);
    assert_eq!(shown, Some(DeploymentId(9)), "the oldest of production");
}

#[test]
fn the_logs_screen_asks_where_logs_are_and_reads_their_end_first() {
    let mut model = console(Journal::canary().state, THEME, (120, 40));
    press(&mut model, KeyCode::Char('2'));
    let asked = press(&mut model, KeyCode::Char('4'));
    let sources_of = Query::Sources { environment: "production".into() };
    assert!(asked.contains(&Request::Ask(sources_of.clone())), "{asked:?}");
    let request = Box::new(Asked::Query(sources_of.clone()));
    let reply = Reply::Answer { answer: Box::new(Answer::Sources { sources: sources() }) };
    let asked = send(&mut model, Msg::Answered { request, reply });
    assert!(matches!(asked.first(), Some(Request::Merge { directories, .. }) if directories.len() == 4));
    assert!(matches!(asked.get(1), Some(Request::ReadStream { way: Way::End, .. })), "{asked:?}");
    // Another replica, or another attempt, may have another log.
    let mut journal = Journal { state: model.state.clone() };
    let key = towpath::domain::ids::AttemptKey {
        owner: towpath::domain::ids::Owner::Deployment(DeploymentId(13)),
        step: "shift 50".into(),
        attempt: 1,
    };
    let envelope = towpath::domain::event::Envelope {
        seq: towpath::domain::ids::Seq(journal.state.seq.0 + 1),
        at: NOW,
        actor: towpath::domain::ids::Actor::Engine,
        event: Event::StepStarted { key },
    };
    journal.state.apply(&envelope);
    let pushed = towpath::wire::protocol::FromEngine::Happened { envelope };
    let asked = send(&mut model, Msg::Pushed(Box::new(pushed)));
    assert!(asked.contains(&Request::Ask(sources_of)), "{asked:?}");
    // Whoever leaves the screen reads nothing more.
    let asked = press(&mut model, KeyCode::Char('1'));
    assert!(asked.contains(&Request::Merge { environment: None, directories: Vec::new() }), "{asked:?}");
}

#[test]
fn scrolling_up_reads_what_is_older_and_following_goes_on_at_the_end() {
    let mut model = scene("logs", THEME, (120, 40));
    assert!(model.stream.follow);
    let asked = press(&mut model, KeyCode::Char('g'));
    let older = asked.iter().any(|one| matches!(one, Request::ReadStream { way: Way::Older, .. }));
    assert!(!model.stream.follow && (older || model.stream.asked == Some(Way::Older)), "{asked:?}");
    send(&mut model, Msg::StreamEnds { environment: "production".into(), ends: ends(905) });
    assert!(model.stream.waiting() >= 20, "five more of each of four");
    let asked = press(&mut model, KeyCode::Char('G'));
    assert!(model.stream.follow, "{asked:?}");
    assert!(asked.iter().any(|one| matches!(one, Request::ReadStream { way: Way::End, .. })), "{asked:?}");
}

#[test]
fn a_hidden_source_is_not_read() {
    let mut model = scene("logs", THEME, (120, 40));
    write(&mut model, "s");
    let asked = press(&mut model, KeyCode::Char(' '));
    // The first line is the role `web`: all three of its replicas.
    assert!(
        asked
            .iter()
            .any(|one| matches!(one, Request::Merge { directories, .. } if directories == &["/state/fetch"])),
        "{asked:?}"
    );
}

#[test]
fn samples_are_kept_across_screens_and_lost_with_the_engine() {
    let mut model = scene("places-live", THEME, (120, 40));
    press(&mut model, KeyCode::Char('1'));
    let staging = "staging".into();
    assert_eq!(model.health(&staging), Health::Healthy);
    let replicas = Sample::Replicas { environment: "staging".into(), at: NOW, replicas: Vec::new() };
    places::sampled(&mut model, replicas);
    assert!(!model.drift(&staging).is_empty(), "the record says that two should live");
}
