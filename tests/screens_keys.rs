//! What keys, pastes, the mouse and answers lead to: `update` alone, no terminal.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what is missing is a failed test"
)]

#[path = "screens/fixture.rs"]
#[allow(dead_code, reason = "the scenes' own file uses the rest")]
mod fixture;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use fixture::{
    THEME, commits, console, empty, failed, held, press, released, running, screen, send, with_log, write,
};
use towpath::domain::command::{Command, Refusal, RefusalKind};
use towpath::domain::event::{Envelope, Event};
use towpath::domain::ids::{Actor, RunId, Seq};
use towpath::domain::query::{Answer, Query};
use towpath::domain::state::{RunEnd, State};
use towpath::tui::model::{Asked, Dialog, Focus, Model, Msg, Request};
use towpath::wire::protocol::{FromEngine, Reply};

const WIDE: (u16, u16) = (120, 40);
const NARROW: (u16, u16) = (80, 24);

fn at(state: State) -> Model {
    console(state, THEME, WIDE)
}

fn control(model: &mut Model, sign: char) -> Vec<Request> {
    send(model, Msg::Key(KeyEvent::new(KeyCode::Char(sign), KeyModifiers::CONTROL)))
}

#[test]
fn keys_that_can_act_ask_for_what_they_say() {
    let cases: [(State, &str, Request); 6] = [
        (failed(), "r", Request::Send(Command::RetryStep { run: RunId(58), step: "pytest".into() })),
        (running(), "q", Request::Quit),
        (running(), "n", Request::Ask(Query::Commits { limit: 200 })),
        (running(), "?q", Request::Redraw),
        (empty(), "q", Request::Quit),
        (held(), "q", Request::Quit),
    ];
    for (state, keys, wanted) in cases {
        let mut model = at(state);
        let asked = write(&mut model, keys);
        if keys == "?q" {
            assert!(asked.is_empty() && model.dialog.is_none(), "q closes the help and nothing else");
        } else {
            assert!(asked.contains(&wanted), "{keys} asks for {asked:?}");
        }
    }
}

#[test]
fn keys_that_cannot_act_say_why_and_ask_for_nothing() {
    for (state, key, why) in [
        (running(), 'r', "it runs"),
        (running(), 's', "it did not fail"),
        (running(), 'a', "not inconclusive"),
        (failed(), 'x', "it has ended"),
        (held(), 's', "nothing was kept"),
        (released(), 'r', "it passed"),
    ] {
        let mut model = at(state);
        let asked = press(&mut model, KeyCode::Char(key));
        assert!(asked.is_empty(), "{key} asks for {asked:?}");
        let said = model.news.clone().map(|news| news.text).unwrap_or_default();
        assert!(said.contains(why), "{key} says {said:?}");
    }
}

#[test]
fn cancel_is_between_steps_unless_the_other_is_chosen() {
    for (keys, now) in [(&[KeyCode::Enter][..], false), (&[KeyCode::Down, KeyCode::Enter], true)] {
        let mut model = at(running());
        press(&mut model, KeyCode::Char('x'));
        let asked: Vec<_> = keys.iter().flat_map(|key| press(&mut model, *key)).collect();
        assert_eq!(asked, [Request::Send(Command::CancelRun { run: RunId(58), now })]);
    }
    let mut model = at(running());
    press(&mut model, KeyCode::Char('x'));
    assert!(press(&mut model, KeyCode::Esc).is_empty());
    assert!(model.dialog.is_none());
}

#[test]
fn an_acknowledgement_needs_a_reason() {
    let mut model = at(held());
    press(&mut model, KeyCode::Char('a'));
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "it is dead while there is no reason");
    write(&mut model, "   ");
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "blanks are no reason");
    assert!(matches!(model.dialog, Some(Dialog::Acknowledge { .. })));
    send(&mut model, Msg::Paste("checked\nby hand".to_owned()));
    let asked = press(&mut model, KeyCode::Enter);
    let wanted = Command::Acknowledge {
        run: RunId(58),
        step: "pip-audit".into(),
        reason: "checked by hand".to_owned(),
    };
    assert_eq!(asked, [Request::Send(wanted)]);
}

#[test]
fn a_paste_is_never_keys() {
    for state in [running(), failed(), held(), empty()] {
        let mut model = at(state);
        let asked = send(&mut model, Msg::Paste("q\nx\n\nrsn".to_owned()));
        assert!(asked.is_empty() && model.dialog.is_none(), "a paste asked for {asked:?}");
    }
    let mut model = at(running());
    press(&mut model, KeyCode::Char('x'));
    assert!(send(&mut model, Msg::Paste("\n\n".to_owned())).is_empty());
}

#[test]
fn the_picker_filters_and_starts() {
    let mut model = at(running());
    press(&mut model, KeyCode::Char('n'));
    let request = Box::new(Asked::Query(Query::Commits { limit: 200 }));
    let answer = Box::new(Answer::Commits { commits: commits() });
    send(&mut model, Msg::Answered { request, reply: Reply::Answer { answer } });
    write(&mut model, "v1.8");
    let asked = press(&mut model, KeyCode::Enter);
    let wanted = commits().remove(2).commit;
    assert_eq!(asked, [Request::Send(Command::StartRun { commit: wanted, until: None })]);
}

#[test]
fn a_commit_that_is_not_listed_is_asked_for() {
    let mut model = at(running());
    write(&mut model, "nrelease/1.2");
    let asked = press(&mut model, KeyCode::Enter);
    assert_eq!(asked, [Request::Ask(Query::Resolve { revision: "release/1.2".to_owned() })]);
    let commit = commits().remove(3).commit;
    let request = Box::new(Asked::Query(Query::Resolve { revision: "release/1.2".to_owned() }));
    let reply = Reply::Answer { answer: Box::new(Answer::Resolved { commit: commit.clone() }) };
    let asked = send(&mut model, Msg::Answered { request, reply });
    assert_eq!(asked, [Request::Send(Command::StartRun { commit, until: None })]);
}

#[test]
fn a_refusal_is_shown_with_its_hint_until_the_next_key() {
    let mut model = at(running());
    let refusal = Refusal {
        kind: RefusalKind::ReadOnly,
        message: "This viewer may not command.".to_owned(),
        hint: "Open a console of your own.".to_owned(),
    };
    let command = Command::CancelRun { run: RunId(58), now: false };
    let request = Box::new(Asked::Command(command));
    send(&mut model, Msg::Answered { request, reply: Reply::Refused { refusal } });
    assert!(screen(&model).contains("This viewer may not command. Open a console of your own."));
    press(&mut model, KeyCode::Down);
    assert!(!screen(&model).contains("may not command"));
}

#[test]
fn the_log_goes_with_the_step() {
    let mut model = at(running());
    assert_eq!(model.log.key.as_ref().map(|key| key.step.as_str()), Some("pytest"));
    let asked = press(&mut model, KeyCode::Up);
    assert!(
        matches!(&asked[..], [Request::FollowLog { key: Some(key), open: false }] if key.step.as_str() == "candidate")
    );
    press(&mut model, KeyCode::Char('G'));
    assert_eq!(model.log.key, None, "a step that waits has no log");
}

#[test]
fn narrow_pages_open_and_return() {
    let mut model = console(failed(), THEME, NARROW);
    press(&mut model, KeyCode::Enter);
    assert_eq!(model.focus, Focus::Detail, "first the cause");
    press(&mut model, KeyCode::Enter);
    assert_eq!(model.focus, Focus::Log, "then the log");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.focus, Focus::Detail);
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.focus, Focus::Steps);
}

#[test]
fn searching_is_as_you_type_and_ends_with_esc() {
    let mut model = at(running());
    with_log(&mut model);
    let asked = write(&mut model, "/ite");
    let queries: Vec<_> = asked
        .iter()
        .filter_map(|request| match request {
            Request::SearchLog { query } => Some(query.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(queries, ["i", "it", "ite"]);
    press(&mut model, KeyCode::Esc);
    assert!(model.log.hits.is_none() && model.log.typing.is_none());
}

#[test]
fn clicks_select_steps_and_press_footer_keys() {
    let mut model = at(running());
    let text = screen(&model);
    let find = |word: &str| -> (u16, u16) {
        let (row, line) =
            text.lines().enumerate().find(|(_, line)| line.contains(word)).expect("it is drawn");
        let before = line.split(word).next().expect("what is before it");
        let column = towpath::text::width::width(before);
        (u16::try_from(column).expect("a column"), u16::try_from(row).expect("a row"))
    };
    let click = |model: &mut Model, (column, row): (u16, u16)| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        send(model, Msg::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }))
    };
    click(&mut model, find("black"));
    assert_eq!(model.step().map(|(step, _)| step.id.as_str()), Some("black"));
    click(&mut model, find("x cancel"));
    assert!(matches!(model.dialog, Some(Dialog::Cancel { run: RunId(58), now: false })));
    model.dialog = None;
    click(&mut model, find("57 ✖"));
    assert_eq!(model.run_id(), Some(RunId(57)));
}

#[test]
fn events_are_folded_once_and_an_end_rings_when_nobody_looks() {
    let mut model = at(running());
    send(&mut model, Msg::Focus(false));
    let envelope = Envelope {
        seq: Seq(91),
        at: fixture::NOW,
        actor: Actor::Engine,
        event: Event::RunFinished { run: RunId(58), end: RunEnd::Cancelled },
    };
    let push = |model: &mut Model| {
        send(model, Msg::Pushed(Box::new(FromEngine::Happened { envelope: envelope.clone() })))
    };
    assert!(push(&mut model).contains(&Request::Bell));
    assert_eq!(model.state.seq, Seq(91));
    assert!(push(&mut model).is_empty(), "the same row again changes nothing");
}

#[test]
fn control_c_leaves_a_dialog_first() {
    let mut model = at(running());
    press(&mut model, KeyCode::Char('?'));
    assert!(control(&mut model, 'c').is_empty());
    assert_eq!(control(&mut model, 'c'), [Request::Quit]);
    assert_eq!(control(&mut model, 'z'), [Request::Suspend]);
}

#[test]
fn the_shell_gets_the_terminal_and_keys_are_not_ours_meanwhile() {
    let mut model = at(failed());
    let asked = press(&mut model, KeyCode::Char('s'));
    assert!(matches!(&asked[..], [Request::OpenShell { title, .. }] if title == "run 58 pytest"));
    assert!(press(&mut model, KeyCode::Char('q')).is_empty());
    assert_eq!(send(&mut model, Msg::ShellEnded { trouble: None }), [Request::Redraw]);
    assert_eq!(press(&mut model, KeyCode::Char('q')), [Request::Quit]);
}

#[test]
fn the_chosen_commit_stays_chosen_when_the_list_is_read_again() {
    let answered = |model: &mut Model, rows: Vec<towpath::domain::query::CommitRow>| {
        let request = Box::new(Asked::Query(Query::Commits { limit: 200 }));
        let answer = Box::new(Answer::Commits { commits: rows });
        send(model, Msg::Answered { request, reply: Reply::Answer { answer } });
    };
    let mut model = at(running());
    answered(&mut model, commits()[1..].to_vec());
    press(&mut model, KeyCode::Char('n'));
    answered(&mut model, commits());
    assert_eq!(model.commits.at, 0, "a list that was just opened begins with the newest");
    press(&mut model, KeyCode::Down);
    answered(&mut model, commits()[1..].to_vec());
    let asked = press(&mut model, KeyCode::Enter);
    let wanted = commits().remove(1).commit;
    assert_eq!(asked, [Request::Send(Command::StartRun { commit: wanted, until: None })]);
}

#[test]
fn folded_lines_hide_no_beginning_and_no_hit() {
    let mut model = at(running());
    let key = model.log.key.clone().expect("a log");
    let long = "word ".repeat(40);
    let lines: Vec<_> = (0..200)
        .map(|number| towpath::tui::log::LogLine { at: fixture::NOW, text: format!("N{number}: {long}") })
        .collect();
    send(&mut model, Msg::LogLines { key: key.clone(), first: 0, lines, total: 200 });
    press(&mut model, KeyCode::Enter);
    write(&mut model, "wg");
    assert!(screen(&model).contains("N0: word"), "g shows the first line");
    let (mut before, mut seen) = (screen(&model), 0);
    for _ in 0..10 {
        press(&mut model, KeyCode::Down);
        let after = screen(&model);
        seen += usize::from(after != before);
        before = after;
    }
    assert_eq!(seen, 10, "each step down from there moves something");
    write(&mut model, "G/N100:");
    let hits = Msg::LogHits { key, query: "N100:".to_owned(), count: 1, lines: vec![100] };
    send(&mut model, hits);
    assert!(screen(&model).contains("N100: word"), "a hit is in sight");
}

#[test]
fn a_zoomed_log_has_the_whole_width_until_esc() {
    let mut model = at(running());
    with_log(&mut model);
    assert!(screen(&model).contains("bandit"));
    press(&mut model, KeyCode::Char('z'));
    assert!(model.focus == Focus::Log && !screen(&model).contains("bandit"));
    press(&mut model, KeyCode::Esc);
    assert!(model.focus == Focus::Steps && screen(&model).contains("bandit"));
}

#[test]
fn the_page_of_a_failure_shows_the_log_once_it_is_tried_again() {
    let mut model = console(failed(), THEME, NARROW);
    press(&mut model, KeyCode::Enter);
    assert!(screen(&model).contains("expected"));
    send(&mut model, Msg::Pushed(Box::new(FromEngine::Snapshot { state: Box::new(running()) })));
    assert!(!screen(&model).contains("at most"), "no card stands in the way of what is written now");
}

#[test]
fn an_answer_that_comes_after_the_end_does_not_hide_it() {
    let command = Command::Acknowledge { run: RunId(58), step: "pip-audit".into(), reason: "seen".into() };
    for (state, hidden) in [(released(), false), (held(), true)] {
        let mut model = at(state);
        let request = Box::new(Asked::Command(command.clone()));
        send(&mut model, Msg::Answered { request, reply: Reply::Done { rows: Vec::new() } });
        assert_eq!(model.news.is_some(), hidden);
    }
}
