//! What people see: every screen and dialog, at several sizes, in several looks.

#![allow(clippy::expect_used, clippy::panic, reason = "a scene that cannot be built is a failed test")]

#[path = "screens/fixture.rs"]
#[allow(dead_code, reason = "the keys file uses the rest")]
mod fixture;

use crossterm::event::KeyCode;
use fixture::{
    NOW, THEME, commits, console, empty, failed, held, kept, press, released, running, screen, send,
    with_log, write,
};
use towpath::domain::query::{Answer, Query};
use towpath::domain::state::State;
use towpath::domain::time::Timestamp;
use towpath::tui::model::{Asked, Model, Msg};
use towpath::tui::theme::{Colours, Theme};
use towpath::wire::protocol::Reply;

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 10)];

fn know_commits(model: &mut Model) {
    let answer = Box::new(Answer::Commits { commits: commits() });
    let request = Box::new(Asked::Query(Query::Commits { limit: 200 }));
    send(model, Msg::Answered { request, reply: Reply::Answer { answer } });
}

/// A scene by its name, at a size, in a look.
fn scene(name: &str, theme: Theme, size: (u16, u16)) -> Model {
    let at = |state: State| console(state, theme, size);
    match name {
        "empty" => {
            let mut model = at(empty());
            know_commits(&mut model);
            press(&mut model, KeyCode::Down);
            model
        }
        "running" => {
            let mut model = at(running());
            with_log(&mut model);
            model
        }
        "running-log" => {
            let mut model = scene("running", theme, size);
            press(&mut model, KeyCode::Enter);
            press(&mut model, KeyCode::Up);
            press(&mut model, KeyCode::Char('t'));
            press(&mut model, KeyCode::Char('w'));
            model
        }
        "waiting" => {
            let mut model = scene("running", theme, size);
            press(&mut model, KeyCode::Char('G'));
            press(&mut model, KeyCode::Enter);
            model
        }
        "search" => {
            let mut model = scene("running", theme, size);
            write(&mut model, "/item_2");
            let key = model.log.key.clone().expect("a log");
            let lines: Vec<u64> = [5].into_iter().chain(23..33).collect();
            let hits = Msg::LogHits { key, query: "item_2".to_owned(), count: lines.len() as u64, lines };
            send(&mut model, hits);
            model
        }
        "failed" => at(failed()),
        "failed-card" => {
            let mut model = at(failed());
            press(&mut model, KeyCode::Enter);
            model
        }
        "kept-card" => {
            let mut model = at(kept());
            press(&mut model, KeyCode::Enter);
            model
        }
        "held" => at(held()),
        "acknowledge" => {
            let mut model = at(held());
            press(&mut model, KeyCode::Char('a'));
            write(&mut model, "The feed is down; audited by hand");
            model
        }
        "released" => {
            let mut model = at(released());
            with_log(&mut model);
            model
        }
        "picker" => {
            let mut model = at(running());
            press(&mut model, KeyCode::Char('n'));
            know_commits(&mut model);
            model
        }
        "help" => {
            let mut model = at(running());
            press(&mut model, KeyCode::Char('?'));
            model
        }
        "palette" => {
            let mut model = at(running());
            write(&mut model, ":ca");
            model
        }
        "cancel" => {
            let mut model = at(running());
            press(&mut model, KeyCode::Char('x'));
            model
        }
        "runs" => {
            let mut model = at(running());
            press(&mut model, KeyCode::Char('u'));
            model
        }
        "findings" => {
            let mut model = at(running());
            press(&mut model, KeyCode::Char('o'));
            model
        }
        "disconnected" => {
            let mut model = scene("running", theme, size);
            send(&mut model, Msg::Tick(Timestamp(NOW.0 + 9_000)));
            let why = "The engine closed the connection.".to_owned();
            send(&mut model, Msg::Disconnected { why, again: Timestamp(NOW.0 + 12_500) });
            model
        }
        other => panic!("no scene is called {other}"),
    }
}

const SCENES: [&str; 18] = [
    "empty",
    "running",
    "running-log",
    "waiting",
    "search",
    "failed",
    "failed-card",
    "kept-card",
    "held",
    "acknowledge",
    "released",
    "picker",
    "help",
    "palette",
    "cancel",
    "runs",
    "findings",
    "disconnected",
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
fn too_small_a_terminal_is_told_so() {
    for size in [(39, 10), (60, 9), (12, 3)] {
        let model = scene("running", THEME, size);
        insta::assert_snapshot!(format!("too-small-{}x{}", size.0, size.1), screen(&model));
    }
}

const LOOKS: [(&str, Theme); 3] = [
    ("ascii", Theme { ascii: true, colours: Colours::Many }),
    ("no-colour", Theme { ascii: false, colours: Colours::None }),
    ("sixteen", Theme { ascii: false, colours: Colours::Sixteen }),
];

#[test]
fn other_looks_show_the_same() {
    for (look, theme) in LOOKS {
        for name in ["running", "failed", "held", "cancel"] {
            let model = scene(name, theme, (120, 24));
            insta::assert_snapshot!(format!("{look}-{name}"), screen(&model));
        }
    }
}

#[test]
fn ascii_is_ascii() {
    let theme = Theme { ascii: true, colours: Colours::None };
    for name in SCENES.into_iter().filter(|name| !matches!(*name, "empty" | "picker")) {
        for size in SIZES {
            let text = screen(&scene(name, theme, size));
            let strange: Vec<char> = text.chars().filter(|sign| !sign.is_ascii()).collect();
            assert!(strange.is_empty(), "{name} at {size:?} has {strange:?} in\n{text}");
        }
    }
}

/// The word of a state has to be there, for whoever sees neither colours nor glyphs.
#[test]
fn states_are_told_apart_without_colour_and_glyphs() {
    let theme = Theme { ascii: false, colours: Colours::None };
    let stripped = |name: &str, size| -> String {
        screen(&scene(name, theme, size)).chars().filter(char::is_ascii).collect()
    };
    let row = |text: &str, step: &str| -> String {
        text.lines().find(|line| line.contains(&format!(" {step} "))).unwrap_or_default().to_owned()
    };
    for size in [(120, 40), (80, 24)] {
        let running = stripped("running", size);
        let failed = stripped("failed", size);
        let held = stripped("held", size);
        let released = stripped("released", size);
        for (text, step, word) in [
            (&running, "ruff", "ok"),
            (&running, "drift", "running"),
            (&running, "empty-database", "waits for drift"),
            (&failed, "pytest", "failed"),
            (&failed, "empty-database", "cancelled"),
            (&held, "pip-audit", "inconclusive"),
            (&released, "mypy", "skipped"),
        ] {
            let line = row(text, step);
            assert!(line.contains(word), "{step} at {size:?} does not say {word}: {line:?}");
        }
        for (text, word) in
            [(&running, "running"), (&failed, "failed"), (&held, "held"), (&released, "passed")]
        {
            assert!(text.contains(&format!("run 58 {word}")), "{word} is not said at {size:?}");
        }
    }
}

#[test]
fn no_size_breaks_the_drawing() {
    for name in SCENES {
        for columns in (1..=300).step_by(37).chain([39, 40, 59, 60, 99, 100, 101]) {
            for rows in [1, 2, 3, 5, 9, 10, 11, 15, 16, 23, 24, 57, 100] {
                let mut model = scene(name, THEME, (120, 40));
                send(&mut model, Msg::Resize(columns, rows));
                let _ = screen(&model);
            }
        }
    }
}

/// The terminal may shrink between the message and the frame.
#[test]
fn a_frame_smaller_than_the_model_knows_is_survived() {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    for name in SCENES {
        let model = scene(name, THEME, (120, 40));
        for (columns, rows) in [(1, 1), (30, 7), (80, 24), (119, 39), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a test terminal");
            terminal.draw(|frame| towpath::tui::view(&model, frame)).expect("a frame");
        }
    }
}
