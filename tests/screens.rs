//! What people see: every screen and dialog, at several sizes, in several looks.

#[path = "screens/fixture.rs"]
mod fixture;

use crossterm::event::KeyCode;
use fixture::{commits, console, empty, failed, held, press, released, running, screen, send, with_log, write, NOW, THEME};
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

const SCENES: [&str; 17] = [
    "empty", "running", "running-log", "waiting", "search", "failed", "failed-card", "held", "acknowledge", "released", "picker",
    "help", "palette", "cancel", "runs", "findings", "disconnected",
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
