//! Promoting, going back, and the words to a deployment under way: what is seen, and what is sent when.

#![allow(clippy::expect_used, clippy::panic, reason = "what is missing is a failed test")]

#[path = "screens/fixture.rs"]
#[allow(dead_code, reason = "the other files use the rest")]
mod fixture;

#[path = "screens/deploying.rs"]
mod deploying;

use crossterm::event::KeyCode;
use deploying::{answer, deployed, known, name, project, ready, under_way};
use fixture::{THEME, console, press, screen, send, write};
use towpath::domain::command::{Command, Promote, Refusal, RefusalKind, Rollback};
use towpath::domain::event::{Envelope, Event};
use towpath::domain::ids::{Actor, DeploymentId, ReleaseNumber, Seq};
use towpath::domain::state::{DeploymentKind, DeploymentPhase, State};
use towpath::tui::model::{Asked, Dialog, Model, Msg, Request};
use towpath::tui::theme::{Colours, Theme};
use towpath::wire::protocol::{FromEngine, Reply};

const SIZES: [(u16, u16); 3] = [(120, 40), (80, 24), (40, 10)];
const WIDE: (u16, u16) = (120, 40);

/// A console in which a key opened a dialog and its preview has come.
fn opened(state: State, key: char, theme: Theme, size: (u16, u16)) -> Model {
    let mut model = console(state, theme, size);
    let asked = press(&mut model, KeyCode::Char(key));
    assert!(model.dialog.is_some(), "{key} opens nothing: {:?}", model.news);
    answer(&mut model, &asked);
    model
}

fn at(state: State, key: char) -> Model {
    opened(state, key, THEME, WIDE)
}

fn happened(model: &mut Model, event: Event) -> Vec<Request> {
    let seq = Seq(model.state.seq.0 + 1);
    let envelope = Envelope { seq, at: fixture::NOW, actor: Actor::Engine, event };
    send(model, Msg::Pushed(Box::new(FromEngine::Happened { envelope })))
}

fn said(model: &Model) -> String {
    let word = match &model.dialog {
        Some(Dialog::Promote(dialog)) => &dialog.word,
        Some(Dialog::Rollback(dialog)) => &dialog.word,
        Some(Dialog::Word(dialog)) => &dialog.word,
        other => panic!("another dialog: {other:?}"),
    };
    word.said.clone().unwrap_or_default()
}

/// v57 has to go to staging first: nothing is live on production but v55.
fn unproven() -> State {
    let mut state = project(true);
    deployed(&mut state, 11, "staging", 56);
    deployed(&mut state, 12, "production", 55);
    deployed(&mut state, 13, "staging", 57);
    let taken = state.deployments.get(&DeploymentId(13)).expect("it is there").clone();
    deployed(&mut state, 14, "staging", 56);
    let back = state.deployments.get_mut(&DeploymentId(14)).expect("it is there");
    back.kind = DeploymentKind::Rollback { of: DeploymentId(13), automatic: false };
    assert_eq!(taken.release, ReleaseNumber(57));
    state
}

/// The configuration changed while the dialog was open: another plan, another digest.
fn reconfigure(model: &mut Model) -> Vec<Request> {
    let mut project = model.state.project.clone().expect("a project");
    project.environments.get_mut(&name("production")).expect("it is there").bake =
        towpath::domain::time::Millis::minutes(20);
    happened(model, Event::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() })
}

fn scene(scene: &str, theme: Theme, size: (u16, u16)) -> Model {
    let open = |state, key| opened(state, key, theme, size);
    match scene {
        "promote" => {
            let mut model = open(known(true), 'p');
            write(&mut model, "Gift cards launch, ticket SHOP-311");
            press(&mut model, KeyCode::Down);
            write(&mut model, "prod");
            model
        }
        "promote-ready" => {
            let mut model = scene_of("promote", theme, size);
            write(&mut model, "uction");
            model
        }
        "promote-failing" => {
            let mut model = open(unproven(), 'p');
            let asked = press(&mut model, KeyCode::Tab);
            answer(&mut model, &asked);
            press(&mut model, KeyCode::Enter);
            model
        }
        "promote-stale" => {
            let mut model = scene_of("promote-ready", theme, size);
            let asked = reconfigure(&mut model);
            answer(&mut model, &asked);
            model
        }
        "promote-first" => open(project(false), 'p'),
        "promote-picker" => {
            let mut model = open(ready(true), 'p');
            press(&mut model, KeyCode::Down);
            model
        }
        "rollback-warm" => open(warm(), 'R'),
        "rollback-cold" => {
            let mut state = known(false);
            deployed(&mut state, 16, "production", 57);
            open(state, 'R')
        }
        "rollback-unknown" => {
            let mut state = ready(true);
            deployed(&mut state, 16, "production", 57);
            let mut model = open(state, 'R');
            press(&mut model, KeyCode::Enter);
            write(&mut model, "prod");
            model
        }
        "rollback-picker" => {
            let mut state = ready(true);
            deployed(&mut state, 16, "production", 57);
            let mut model = open(state, 'R');
            press(&mut model, KeyCode::Down);
            model
        }
        "rollback-under-way" => open(under_way(None), 'R'),
        "go" => {
            let mut model = open(under_way(Some(HELD)), 'c');
            write(&mut model, "The three were a probe");
            model
        }
        "leave" => open(under_way(Some(HELD)), 'L'),
        other => panic!("no scene is called {other}"),
    }
}

fn scene_of(name: &str, theme: Theme, size: (u16, u16)) -> Model {
    scene(name, theme, size)
}

const HELD: &str = "bake 10: 3 of 40 requests failed. Going back is not known to be safe: v57 and v56 carry \
                    different migrations.";

/// v57 has all of production's traffic, v56 still runs beside it.
fn warm() -> State {
    use towpath::domain::plan::Work;
    use towpath::domain::state::{Ending, StepState};
    let mut state = known(false);
    deployed(&mut state, 16, "production", 57);
    let deployment = state.deployments.get_mut(&DeploymentId(16)).expect("it is there");
    // The last bake could not be judged: the old set was never let go.
    deployment.phase = DeploymentPhase::Ended(Ending::LiveUnverified { why: "It was left.".to_owned() });
    for step in &deployment.plan.steps {
        if matches!(step.work, Work::Drain(_) | Work::Stop(_)) {
            deployment.steps.insert(step.id.clone(), StepState::default());
        }
    }
    state
}

const SCENES: [&str; 13] = [
    "promote",
    "promote-ready",
    "promote-failing",
    "promote-stale",
    "promote-first",
    "promote-picker",
    "rollback-warm",
    "rollback-cold",
    "rollback-unknown",
    "rollback-picker",
    "rollback-under-way",
    "go",
    "leave",
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
fn ascii_is_ascii_and_production_is_unmistakable_in_it() {
    let theme = Theme { ascii: true, colours: Colours::None };
    for name in SCENES {
        for size in SIZES {
            let text = screen(&scene(name, theme, size));
            let strange: Vec<char> = text.chars().filter(|sign| !sign.is_ascii()).collect();
            assert!(strange.is_empty(), "{name} at {size:?} has {strange:?} in\n{text}");
        }
    }
    insta::assert_snapshot!("ascii-promote", screen(&scene("promote", theme, (120, 40))));
}

#[test]
fn no_size_breaks_the_drawing() {
    for name in SCENES {
        for columns in [1, 20, 39, 40, 57, 60, 99, 121, 300] {
            for rows in [1, 5, 10, 11, 15, 16, 24, 100] {
                let mut model = scene(name, THEME, WIDE);
                send(&mut model, Msg::Resize(columns, rows));
                let _ = screen(&model);
            }
        }
    }
}

#[test]
fn a_promotion_is_sent_when_everything_is_said_and_not_before() {
    let mut model = at(known(true), 'p');
    let shown = model.state.preview_promotion(&name("production"), ReleaseNumber(57)).expect("a preview");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs a reason and “production” typed.");
    write(&mut model, "  Launch  ");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs “production” typed.");
    // The field that misses something has the keys now.
    write(&mut model, "Production");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs “production”, letter by letter.");
    for _ in 0.."Production".len() {
        press(&mut model, KeyCode::Backspace);
    }
    write(&mut model, "production");
    let wanted = Command::Promote(Promote {
        environment: name("production"),
        release: ReleaseNumber(57),
        plan: shown.plan.digest.clone(),
        seen: Some(shown.plan.parts),
        confirm: "production".to_owned(),
        reason: "Launch".to_owned(),
    });
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "once");
}

#[test]
fn what_is_pasted_never_confirms() {
    let mut model = at(known(true), 'p');
    assert!(send(&mut model, Msg::Paste("production\n".to_owned())).is_empty(), "a reason, no word");
    press(&mut model, KeyCode::Down);
    assert!(send(&mut model, Msg::Paste("production\n".to_owned())).is_empty());
    assert_eq!(said(&model), "A paste does not confirm: type “production” by hand.");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    let Some(Dialog::Promote(dialog)) = &model.dialog else { panic!("it is open") };
    assert_eq!((dialog.word.why.text(), dialog.word.name.text()), ("production", ""));
}

#[test]
fn a_gate_that_fails_keeps_everything() {
    let mut model = at(unproven(), 'p');
    let asked = press(&mut model, KeyCode::Tab);
    answer(&mut model, &asked);
    write(&mut model, "why");
    press(&mut model, KeyCode::Down);
    write(&mut model, "production");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs every gate to hold: 1 does not.");
    assert!(screen(&model).contains("Deploy it to staging first."));
}

#[test]
fn an_unprotected_environment_needs_neither_name_nor_reason() {
    let mut model = at(project(false), 'p');
    let plan = model.state.preview_promotion(&name("staging"), ReleaseNumber(57)).expect("a preview").plan;
    let wanted = Command::Promote(Promote {
        environment: name("staging"),
        release: ReleaseNumber(57),
        plan: plan.digest.clone(),
        seen: Some(plan.parts),
        confirm: String::new(),
        reason: String::new(),
    });
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);
}

#[test]
fn what_moved_is_looked_at_again_and_only_that_is_confirmed() {
    let mut model = scene("promote-ready", THEME, WIDE);
    let asked = reconfigure(&mut model);
    assert!(matches!(&asked[..], [Request::Ask(_)]), "{asked:?}");
    // Between the question and its answer nothing is confirmed, neither the old plan nor the new one.
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    answer(&mut model, &asked);
    let Some(Dialog::Promote(dialog)) = &model.dialog else { panic!("it is open") };
    assert_eq!(dialog.word.name.text(), "", "the name is typed for what is shown");
    assert_eq!(dialog.word.why.text(), "Gift cards launch, ticket SHOP-311");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    write(&mut model, "production");
    let digest =
        model.state.preview_promotion(&name("production"), ReleaseNumber(57)).expect("a preview").plan.digest;
    let asked = press(&mut model, KeyCode::Enter);
    assert!(
        matches!(&asked[..], [Request::Send(Command::Promote(promote))] if promote.plan == digest),
        "{asked:?}"
    );
}

#[test]
fn what_is_sent_is_what_was_shown_though_the_state_is_another_by_now() {
    let mut model = scene("promote-ready", THEME, WIDE);
    let Some(Dialog::Promote(dialog)) = &model.dialog else { panic!("it is open") };
    let command = dialog.clone();
    // As if the engine were ahead of what was pushed: the console can't know, and its own state is not asked.
    let project = model.state.project.as_mut().expect("a project");
    project.environments.get_mut(&name("production")).expect("it is there").replicas.clear();
    let would = model.state.preview_promotion(&name("production"), ReleaseNumber(57)).expect("a preview");
    let asked = press(&mut model, KeyCode::Enter);
    let [Request::Send(Command::Promote(sent))] = &asked[..] else { panic!("{asked:?}") };
    assert_ne!(sent.plan, would.plan.digest);
    assert_eq!(sent.seen.as_ref().map(|parts| &parts.config), Some(&dialog_parts(&command)));
}

fn dialog_parts(dialog: &towpath::tui::promote::PromoteDialog) -> String {
    let place = known(true).preview_promotion(&dialog.environment, dialog.release).expect("a preview");
    place.plan.parts.config
}

#[test]
fn a_refusal_stays_in_the_dialog_with_the_reason_and_without_the_name() {
    let mut model = scene("promote-ready", THEME, WIDE);
    let asked = press(&mut model, KeyCode::Enter);
    let [Request::Send(command)] = &asked[..] else { panic!("{asked:?}") };
    let refusal = Refusal {
        kind: RefusalKind::Stale,
        message: "The plan 7f31ac is not what would be done any more. Changed: what is live.".to_owned(),
        hint: "Look at the plan again, then confirm it.".to_owned(),
    };
    let request = Box::new(Asked::Command(command.clone()));
    let asked = send(&mut model, Msg::Answered { request, reply: Reply::Refused { refusal } });
    assert!(matches!(&asked[..], [Request::Ask(_)]), "it looks again: {asked:?}");
    answer(&mut model, &asked);
    assert!(said(&model).contains("Changed: what is live"));
    let Some(Dialog::Promote(dialog)) = &model.dialog else { panic!("it stays") };
    assert_eq!((dialog.word.why.text(), dialog.word.name.text()), ("Gift cards launch, ticket SHOP-311", ""));
}

#[test]
fn a_safe_rollback_is_two_keys() {
    let mut model = at(warm(), 'R');
    let wanted = Command::Rollback(Rollback {
        environment: name("production"),
        from: DeploymentId(16),
        to: Some(DeploymentId(14)),
        confirm: String::new(),
        reason: String::new(),
    });
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);
}

#[test]
fn a_rollback_that_is_not_known_to_be_safe_is_typed() {
    let mut state = ready(true);
    deployed(&mut state, 16, "production", 57);
    let mut model = at(state, 'R');
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs “production” typed.");
    send(&mut model, Msg::Paste("production".to_owned()));
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    write(&mut model, "staging");
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "another environment's name");
    for _ in 0.."staging".len() {
        press(&mut model, KeyCode::Backspace);
    }
    write(&mut model, "production");
    let asked = press(&mut model, KeyCode::Enter);
    assert!(
        matches!(&asked[..], [Request::Send(Command::Rollback(back))]
            if back.confirm == "production" && back.from == DeploymentId(16) && back.to == Some(DeploymentId(14))),
        "{asked:?}"
    );
}

#[test]
fn another_target_is_looked_at_before_it_is_gone_back_to() {
    let mut state = known(false);
    deployed(&mut state, 16, "production", 57);
    let mut model = at(state, 'R');
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    let asked = press(&mut model, KeyCode::Enter);
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "its preview has not come yet");
    answer(&mut model, &asked);
    let asked = press(&mut model, KeyCode::Enter);
    assert!(
        matches!(&asked[..], [Request::Send(Command::Rollback(back))] if back.to == Some(DeploymentId(12))),
        "{asked:?}"
    );
}

#[test]
fn what_moved_behind_the_list_of_targets_is_looked_at_again_too() {
    let mut state = known(false);
    deployed(&mut state, 16, "production", 57);
    let mut model = at(state, 'R');
    press(&mut model, KeyCode::Down);
    let asked = reconfigure(&mut model);
    assert!(matches!(&asked[..], [Request::Ask(_)]), "{asked:?}");
    press(&mut model, KeyCode::Esc);
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "what was shown may be old");
    answer(&mut model, &asked);
    assert!(matches!(&press(&mut model, KeyCode::Enter)[..], [Request::Send(Command::Rollback(_))]));
}

#[test]
fn with_everything_taken_back_once_a_person_chooses() {
    let mut state = known(false);
    deployed(&mut state, 16, "production", 57);
    deployed(&mut state, 17, "production", 56);
    let back = state.deployments.get_mut(&DeploymentId(17)).expect("it is there");
    back.kind = DeploymentKind::Rollback { of: DeploymentId(16), automatic: false };
    // v55 is gone, so v57, which was taken back, is all there is: nobody goes there by two keys.
    state.deployments.remove(&DeploymentId(12));
    let mut model = console(state, THEME, WIDE);
    assert!(press(&mut model, KeyCode::Char('R')).is_empty(), "nothing is asked before it is chosen");
    assert!(screen(&model).contains("was taken back"));
    let asked = press(&mut model, KeyCode::Enter);
    answer(&mut model, &asked);
    let asked = press(&mut model, KeyCode::Enter);
    assert!(
        matches!(&asked[..], [Request::Send(Command::Rollback(back))] if back.to == Some(DeploymentId(16))),
        "{asked:?}"
    );
}

#[test]
fn what_is_under_way_is_taken_back() {
    let mut model = at(under_way(None), 'R');
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    write(&mut model, "production");
    let wanted = Command::Back {
        deployment: DeploymentId(16),
        confirm: "production".to_owned(),
        reason: String::new(),
    };
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);
}

#[test]
fn going_on_needs_a_reason_and_leaving_needs_the_name_too() {
    let mut model = at(under_way(Some(HELD)), 'c');
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    write(&mut model, "A probe");
    let wanted = Command::Go { deployment: DeploymentId(16), reason: "A probe".to_owned() };
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);

    let mut model = at(under_way(Some(HELD)), 'L');
    write(&mut model, "Broken host");
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    write(&mut model, "production");
    let wanted = Command::Leave {
        deployment: DeploymentId(16),
        confirm: "production".to_owned(),
        reason: "Broken host".to_owned(),
    };
    assert_eq!(press(&mut model, KeyCode::Enter), [Request::Send(wanted)]);
}

#[test]
fn everything_can_be_read_with_little_room() {
    let mut model = opened(known(true), 'p', THEME, (40, 10));
    let mut seen = screen(&model);
    for _ in 0..8 {
        press(&mut model, KeyCode::PageDown);
        seen.push_str(&screen(&model));
    }
    for words in ["rollback after this", "Gift cards at", "shop.0013_index_created", "stop v56", "about 16m"]
    {
        assert!(seen.contains(words), "{words} is nowhere in\n{seen}");
    }
    press(&mut model, KeyCode::PageUp);
    assert!(!screen(&model).contains("about 16m"), "one page up moves at once");
}

#[test]
fn the_selected_environment_is_meant_before_any_other() {
    let mut model = console(ready(true), THEME, WIDE);
    model.chosen_environment = Some(name("production"));
    press(&mut model, KeyCode::Char('p'));
    let Some(Dialog::Promote(dialog)) = &model.dialog else { panic!("it is open") };
    assert_eq!((&dialog.environment, dialog.release), (&name("production"), ReleaseNumber(57)), "staging’s");
    let mut model = console(ready(true), THEME, WIDE);
    model.chosen_environment = Some(name("staging"));
    press(&mut model, KeyCode::Char('R'));
    let Some(Dialog::Rollback(dialog)) = &model.dialog else { panic!("it is open") };
    assert_eq!(dialog.environment, name("staging"));
}

#[test]
fn holding_is_one_key_and_only_while_steps_run() {
    let mut model = console(under_way(None), THEME, WIDE);
    let wanted = Command::Hold { deployment: DeploymentId(16) };
    assert_eq!(press(&mut model, KeyCode::Char('H')), [Request::Send(wanted)]);
}

#[test]
fn keys_that_cannot_act_say_why() {
    for (state, key, why) in [
        (fixture::released(), 'p', "no environment"),
        (fixture::released(), 'R', "no environment"),
        (fixture::failed(), 'H', "nothing is under way"),
        (project(false), 'R', "nothing is live"),
        (under_way(None), 'c', "it is not held"),
        (under_way(None), 'L', "it is not held"),
        (under_way(Some(HELD)), 'H', "it is held"),
    ] {
        let mut model = console(state, THEME, WIDE);
        let asked = press(&mut model, KeyCode::Char(key));
        assert!(asked.is_empty() && model.dialog.is_none(), "{key} asks for {asked:?}");
        let said = model.news.clone().map(|news| news.text).unwrap_or_default();
        assert!(said.contains(why), "{key} says {said:?}");
    }
}

#[test]
fn a_run_without_a_release_promotes_nothing() {
    let mut state = ready(false);
    let run = state.runs.values_mut().next_back().expect("a run");
    run.phase = towpath::domain::state::RunPhase::Ended(towpath::domain::state::RunEnd::Failed);
    state.releases.remove(&ReleaseNumber(57));
    let mut model = console(state, THEME, WIDE);
    press(&mut model, KeyCode::Char('p'));
    let said = model.news.clone().map(|news| news.text).unwrap_or_default();
    assert!(said.contains("this run made no release"), "{said}");
}

#[test]
fn what_was_done_says_how_to_undo_it() {
    let mut model = at(warm(), 'R');
    let asked = press(&mut model, KeyCode::Enter);
    let [Request::Send(command)] = &asked[..] else { panic!("{asked:?}") };
    let mut after = model.state.clone();
    deployed(&mut after, 17, "production", 56);
    let made = after.deployments.remove(&DeploymentId(17)).expect("it is there");
    let row = Envelope {
        seq: Seq(200),
        at: fixture::NOW,
        actor: Actor::Engine,
        event: Event::DeploymentCreated {
            deployment: DeploymentId(17),
            environment: made.environment,
            kind: DeploymentKind::Rollback { of: DeploymentId(16), automatic: false },
            plan: made.plan,
            release: made.release,
            reason: String::new(),
            lease: None,
            settings: Box::new(made.settings),
        },
    };
    let request = Box::new(Asked::Command(command.clone()));
    send(&mut model, Msg::Answered { request, reply: Reply::Done { rows: vec![row] } });
    assert!(model.dialog.is_none());
    let news = model.news.clone().map(|news| news.text).unwrap_or_default();
    assert_eq!(news, "PRODUCTION goes back to v56: deployment #17. To undo it: promote v57 again (p).");
}

#[test]
fn nothing_is_sent_while_the_engine_is_away_and_it_is_asked_again_afterwards() {
    let mut model = at(warm(), 'R');
    let again = towpath::domain::time::Timestamp(fixture::NOW.0 + 1);
    send(&mut model, Msg::Disconnected { why: "gone".to_owned(), again });
    assert!(press(&mut model, KeyCode::Enter).is_empty());
    assert_eq!(said(&model), "⏎ needs the engine.");
    let state = Box::new(model.state.clone());
    let asked = send(&mut model, Msg::Pushed(Box::new(FromEngine::Snapshot { state })));
    assert!(asked.iter().any(|request| matches!(request, Request::Ask(_))), "{asked:?}");
    assert!(press(&mut model, KeyCode::Enter).is_empty(), "the answer is not here yet");
    answer(&mut model, &asked);
    assert!(matches!(&press(&mut model, KeyCode::Enter)[..], [Request::Send(Command::Rollback(_))]));
}
