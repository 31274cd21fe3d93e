//! Two clones, one environment: who comes second is told who is there, and touches nothing.

use crate::site::Site;
use crate::words;
use crate::world::{Clone, wait_for};

pub(crate) fn story(shop: &Clone) {
    let site = Site::new(shop.world, "shared", |site| site).unwrap();
    let lines = format!(
        "replicas = {{ web = 1 }}\nstrategy = {{ canary = [50], bake = \"1s\" }}\nbake = \"0s\"\nhealth = \"/health\"\n{}",
        site.lines()
    );
    shop.environment("shared", &lines, &[]);
    shop.towpath(&["promote", "shared", "--release", "1", "--plain"]).ends(0);
    let second = Clone::new(shop.world, "second");
    second.environment("shared", &lines, &[]);
    second.towpath(&["run", "--plain"]).ends(0);

    // Nobody visits: it is held at its canary, and has the lease.
    shop.environment("shared", &lines, &[("WORD", "more")]);
    shop.towpath(&["redeploy", "shared", "--plain"]).ends(6);
    let included = std::fs::read(site.include()).unwrap();
    let said = second.towpath(&["promote", "shared", "--release", "1", "--plain"]);
    let said = words("another clone deploys there", said);
    let name = shop.repository().display().to_string();
    let said = said.says("holds it for deployment").says(&name).says("since").says("its last heartbeat was");
    let number = second.newest("shared");
    assert!(second.events("step_started", number).is_empty(), "it began\n{said}");
    assert_eq!(std::fs::read(site.include()).unwrap(), included, "nothing is touched");
    assert!(matches!(said.code, 3 | 4 | 6), "{said}");
    shop.towpath(&["back", "shared", "--confirm", "shared", "--reason", "make room", "--plain"]).ends(0);
    wait_for("the lease is given back", || {
        let lease =
            std::fs::read_to_string(format!("{}.lease", site.include().display())).unwrap_or_default();
        lease.contains("\"released\":true") || lease.contains("\"released\": true")
    });
}
