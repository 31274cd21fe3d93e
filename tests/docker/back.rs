//! Going back while the old set is still warm: one switch of traffic, over three engines.

use std::time::Duration;

use towpath::demo::load::{Load, Visitors};

use super::three::Three;
use super::world::{World, wait_for};

/// How often; the acceptance asks for 20.
fn times() -> usize {
    std::env::var("TOWPATH_TEST_BACKS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn a_warm_rollback_is_one_switch_of_traffic() {
    let world = World::new();
    let Some(three) = Three::released(&world) else { return };
    let shop = &three.shop;
    let live = shop.newest("production");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let load = {
        let _inside = runtime.enter();
        let paths = vec!["/health".to_owned()];
        let visitors =
            Visitors { port: three.site.port, connections: 16, paths, think: Duration::from_millis(10) };
        Load::begin(visitors, "before").unwrap()
    };
    let mut took = Vec::new();
    let mut old = live;
    for round in 0..times() {
        // A bake that nobody waits for the end of: the old set stays warm.
        three.production_with("\"blue-green\"", &format!("round {round}"), "10m");
        shop.towpath(&["redeploy", "production", "--detach"]).ends(0);
        wait_for("another one has begun", || shop.newest("production") > old);
        let number = shop.newest("production");
        wait_for("it has all of the traffic", || shop.has_begun(number, "bake"));
        let phase = format!("back {round}");
        load.mark(&phase);
        shop.towpath(&["back", "production", "--confirm", "production", "--reason", "a test", "--plain"])
            .ends(0);
        let phase = load.counted().phase(&phase);
        // The set that answers is the one that was live before, by its own number.
        let first =
            phase.first.iter().filter(|(label, _)| **label != format!("d{number}")).map(|(_, at)| *at).min();
        took.push(first.expect("an answer of the old set"));
        old = shop.newest("production");
    }
    let counted = runtime.block_on(load.end());
    took.sort_unstable();
    eprintln!(
        "{} warm rollbacks over three engines: median {:?}, worst {:?}; {} requests, {} failed",
        took.len(),
        took[took.len() / 2],
        took[took.len() - 1],
        counted.all().requests(),
        counted.all().failed() + counted.all().broken
    );
    assert_eq!((counted.all().failed(), counted.all().broken), (0, 0), "{counted:?}");
}
