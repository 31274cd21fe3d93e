//! A canary that nobody visits says nothing, and is held for a person: who lets it go on, takes it back, or leaves it.

use crate::site::Site;
use crate::words;
use crate::world::{Clone, members};

pub(crate) fn story(shop: &Clone) {
    let site = Site::new(shop.world, "quiet", |site| site).unwrap();
    let lines = format!(
        "replicas = {{ web = 1 }}\nstrategy = {{ canary = [10, 50], bake = \"1s\" }}\nbake = \"0s\"\nhealth = \
         \"/health\"\ntolerance = {{ failed = \"1%\", min_requests = 5 }}\n{}",
        site.lines()
    );
    shop.environment("quiet", &lines, &[]);
    // Nothing is there to compare with: all of the traffic goes to the first.
    let said = shop.towpath(&["promote", "quiet", "--release", "1", "--plain"]);
    words("the first of a canary", said).ends(0);
    let first = shop.newest("quiet");

    shop.environment("quiet", &lines, &[("WORD", "second")]);
    let said = shop.towpath(&["redeploy", "quiet", "--plain"]);
    words("a canary without visitors", said).ends(6).says("too little traffic").says("towpath go quiet");
    let second = shop.newest("quiet");
    let said = shop.towpath(&["promote", "quiet", "--release", "1", "--plain"]);
    words("the same once more, while it is held", said).ends(6);
    assert_eq!(shop.newest("quiet"), second, "asking again starts nothing");
    let said = shop.towpath(&["go", "quiet", "--reason", "it is night", "--plain"]);
    words("go, and the next one is held", said).ends(6).says("too little traffic");
    let said = shop.towpath(&["back", "quiet", "--confirm", "quiet", "--reason", "not today", "--plain"]);
    words("back", said).ends(0).says("was taken back");
    assert!(shop.ending(second).contains("rolled_back"), "{}", shop.ending(second));
    assert!(site.ask().contains(&format!("X-Towpath-Deployment: d{first}")), "{}", site.ask());
    assert_eq!(shop.started("quiet", first, 1), 1, "going back to what still runs starts nothing");
    assert!(members(&shop.replica("quiet", second, "web", 1)).is_empty());

    shop.environment("quiet", &lines, &[("WORD", "third")]);
    shop.towpath(&["redeploy", "quiet", "--plain"]).ends(6);
    let third = shop.newest("quiet");
    let said = shop.towpath(&["leave", "quiet", "--confirm", "loud", "--reason", "so be it"]);
    words("leave, another name", said).ends(3);
    assert_eq!(shop.ending(third), "");
    let said = shop.towpath(&["leave", "quiet", "--confirm", "quiet", "--reason", "so be it"]);
    words("leave", said).ends(0);
    let ending = shop.ending(third);
    assert!(ending.contains("broken") || ending.contains("unverified"), "{ending}");
    words("environments, after one was left", shop.towpath(&["environments", "--plain"])).ends(0);
    let said = shop.towpath(&["hold", "quiet"]);
    words("hold, where nothing is under way", said).ends(3).says("No deployment is under way on quiet");
}
