//! The console's engine is killed at many points of a canary: every deployment ends, one is live, nothing is left over.

use super::three::{Three, visited};
use super::world::{Clone, World, wait_for};

/// How many points of a canary the engine is killed at; the acceptance asks for 20.
fn points() -> usize {
    std::env::var("TOWPATH_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(2)
}

/// What the journal has of a deployment so far.
fn happened(shop: &Clone, deployment: u64) -> usize {
    let journal = shop.journal();
    let of = |event: &&serde_json::Value| {
        event["deployment"] == deployment || event["key"]["owner"]["deployment"] == deployment
    };
    journal.iter().filter(of).count()
}

/// A canary to a configuration of that word, killed after so many events of it; how many there were in the end.
fn canary(three: &Three, word: &str, kill_after: Option<usize>) -> usize {
    let shop = &three.shop;
    three.production("{ canary = [10, 50], bake = \"1s\" }", word);
    let before = shop.newest("production");
    shop.towpath(&["redeploy", "production", "--detach"]).ends(0);
    wait_for("the canary has begun", || shop.newest("production") != before);
    let number = shop.newest("production");
    if let Some(after) = kill_after {
        wait_for("it has come so far", || happened(shop, number) >= after || !shop.ending(number).is_empty());
        shop.kill_engine();
        // What asks the engine something brings the next one.
        shop.towpath(&["history"]).ends(0);
    }
    wait_for("it has ended", || !shop.ending(number).is_empty());
    let ending = shop.ending(number);
    assert!(ending.contains("\"live\""), "killed after {kill_after:?}: {ending}");
    assert!(three.site.ask().contains(&format!("X-Towpath-Deployment: d{number}")), "{}", three.site.ask());
    wait_for("no lease is left", || three.containers().iter().all(|(name, _)| !name.contains("lease")));
    let running: Vec<String> = three
        .containers()
        .into_iter()
        .filter(|(_, state)| state != "exited")
        .map(|(name, state)| format!("{name} {state}"))
        .collect();
    let expected = |name: &String| name.contains(&format!("-d{number}-")) && name.ends_with(" running");
    assert!(running.len() == 4 && running.iter().all(expected), "killed after {kill_after:?}: {running:?}");
    assert_eq!(three.networks(), 3, "one on each engine");
    happened(shop, number)
}

#[test]
fn a_killed_engine_leaves_one_live_deployment_and_nothing_else() {
    let world = World::new();
    let Some(three) = Three::released(&world) else { return };
    let (counted, _, _) = {
        let ((), counted, took) = visited(three.site.port, 1, || {
            let all = canary(&three, "whole", None);
            for point in 0..points() {
                let after = 1 + all * point / points();
                canary(&three, &format!("killed {point}"), Some(after));
                eprintln!("killed after {after} of {all} events: it ended live");
            }
        });
        (counted, took, ())
    };
    let all = counted.all();
    eprintln!("{} kills: {} requests, {} failed", points(), all.requests(), all.failed() + all.broken);
    assert_eq!((all.failed(), all.broken), (0, 0), "{counted:?}");
    three.shop.beat_was_never_two("production");
    three.shop.towpath(&["verify"]).ends(0);
}
