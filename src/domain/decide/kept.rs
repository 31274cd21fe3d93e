//! What failed attempts keep on engines, and when it goes.

use super::fixtures::World;
use crate::domain::command::Command;
use crate::domain::effect::Outcome;
use crate::domain::ids::{AttemptKey, Owner, RunId, StepId};
use crate::domain::plan::{Cause, Kept, KeptContainer, Output, Verdict};
use crate::domain::project::Host;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::watch::Watch;

const UNTIL: Timestamp = Timestamp(1_800_000);

fn failed() -> (World, RunId, AttemptKey) {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    let container = KeptContainer {
        host: Host::usual(),
        image: "sha256:1".to_owned(),
        id: "1".to_owned(),
        network: String::new(),
        until: UNTIL,
    };
    let kept = Kept { directory: "/app".to_owned(), container: Some(container), ..Kept::default() };
    let output = Output { kept: Some(kept), ..Output::default() };
    world.ends_with(owner, "install", Verdict::Failed(Cause::default()), output);
    let key = AttemptKey { owner, step: "install".into(), attempt: 1 };
    (world, run, key)
}

fn removals(world: &World) -> Vec<(AttemptKey, Timestamp)> {
    let of = |watch| if let Watch::RemoveKept { key, until } = watch { Some((key, until)) } else { None };
    world.state.watches().into_iter().filter_map(of).collect()
}

#[test]
fn what_is_kept_is_watched_until_it_is_removed_once() {
    let (mut world, run, key) = failed();
    assert_eq!(removals(&world), [(key.clone(), UNTIL)]);
    let gone = world.outcome(Outcome::KeptRemoved { key: key.clone() });
    assert_eq!(gone.len(), 1);
    assert_eq!(removals(&world), []);
    assert_eq!(world.state.runs[&run].steps[&StepId::from("install")].output.kept, None);
    assert_eq!(world.outcome(Outcome::KeptRemoved { key }), []);
}

#[test]
fn a_retry_makes_it_due_at_once_and_the_new_attempt_is_not_touched() {
    let (mut world, run, key) = failed();
    world.command(Command::RetryStep { run, step: "install".into() }).unwrap();
    let now = Timestamp(world.now);
    assert_eq!(removals(&world), [(key.clone(), now)]);
    world.outcome(Outcome::KeptRemoved { key });
    assert_eq!(removals(&world), []);
    assert_eq!(world.state.runs[&run].steps[&StepId::from("install")].attempt, 2);
}

#[test]
fn an_engine_waits_for_a_removal_but_not_for_ever() {
    let (world, _, key) = failed();
    drop(world);
    let watch = Watch::RemoveKept { key, until: UNTIL };
    let after = |minutes| Timestamp(UNTIL.0 + i64::try_from(Millis::minutes(minutes).0).unwrap());
    assert!(watch.keeps_engine(Timestamp(0)));
    assert!(watch.keeps_engine(after(9)));
    assert!(!watch.keeps_engine(after(10)));
}
