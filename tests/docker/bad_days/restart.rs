//! The engine is restarted while a deployment is under way.

use super::{Days, container, host, lines, runs, web, words};
use crate::world::{Said, wait_for};

pub(super) fn story(days: &mut Days) {
    let lines = lines(&[host("one", &days.one)]);
    let live = days.live("again", &lines, &[]);

    // While the new one is waited for, which never answers: it is ended by the restart, and what is live comes back.
    days.configure("again", &lines, &[("MODE", "silent")]);
    let said = meanwhile(days, "await web", &web("again", live));
    let said = words("the engine was restarted while a replica was waited for", said);
    assert_eq!(said.code, 4, "{said}\n{}", days.one.log());
    let said = said.says("on one").says("did not answer");
    let failed = days.failed("again");
    assert!(
        !container(&days.one.url(), &web("again", failed)).unwrap().state.unwrap().running.unwrap(),
        "{said}"
    );
    assert!(is_back(&days.one.url(), &web("again", live)), "{said}");

    // Before anything is touched, and while replicas are started: it waits and goes on, or is taken back.
    for (step, word) in [("fetch", "second"), ("start web", "third")] {
        let live = days.lives("again");
        days.configure("again", &lines, &[("WORD", word)]);
        let said = meanwhile(days, step, &web("again", live));
        let said = words(&format!("the engine was restarted during {step}"), said);
        assert!(matches!(said.code, 0 | 4), "{said}");
        let live = days.lives("again");
        wait_for("what is meant to live is back", || is_back(&days.one.url(), &web("again", live)));
    }
    days.redeploy("after the restarts", "again").ends(0);
    runs(&days.one.url(), &web("again", days.shop.newest("again")));
}

fn is_back(url: &str, name: &str) -> bool {
    let state = container(url, name).and_then(|there| there.state);
    state.is_some_and(|state| state.running == Some(true))
}

/// Deploys, and restarts the engine once a step has begun and something is there to be seen.
fn meanwhile(days: &mut Days, step: &str, live: &str) -> Said {
    let before = days.shop.newest("again");
    let shop = &days.shop;
    std::thread::scope(|scope| {
        let deploys = scope.spawn(|| shop.towpath(&["redeploy", "again", "--plain"]));
        let mut number = 0;
        wait_for("a deployment has begun", || {
            number = shop.newest("again");
            number > before
        });
        wait_for(&format!("{step} has begun"), || shop.has_begun(number, step) || deploys.is_finished());
        let was = runs(&days.one.url(), live);
        days.one.restart();
        wait_for("what was live is back", || {
            let there = container(&days.one.url(), live).unwrap();
            let state = there.state.unwrap();
            assert_eq!(there.id.as_deref(), Some(was.0.as_str()));
            state.running == Some(true) || deploys.is_finished()
        });
        deploys.join().unwrap()
    })
}
