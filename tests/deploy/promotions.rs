//! From staging to production: gates, words that have to be typed, two strategies, going back, and once more.

use crate::site::Site;
use crate::words;
use crate::world::{Clone, members, wait_for};

const SECRET: &str = "staging-key-0123456789";

pub(crate) fn story(shop: &Clone) {
    let staging = Site::new(shop.world, "staging", |site| site).unwrap();
    let production = Site::new(shop.world, "production", |site| site).unwrap();
    let secret = shop.world.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let secret = secret.display();
    let staging_lines = format!(
        "replicas = {{ web = 2, beat = 1 }}\nstrategy = \"rolling\"\nbake = \"1s\"\nhealth = \"/health\"\nsmoke = ['test \
         -n \"$URL\"']\nsecrets = {{ SECRET_KEY = {{ command = \"cat {secret}\" }} }}\n{}",
        staging.lines()
    );
    let production_lines = format!(
        "after = \"staging\"\nprotected = true\nreplicas = {{ web = 2, beat = 1 }}\nstrategy = \"blue-green\"\nbake = \
         \"1s\"\nhealth = \"/health\"\n{}",
        production.lines()
    );
    shop.environment("staging", &staging_lines, &[]);
    shop.environment("production", &production_lines, &[]);
    refused(shop);

    words("promote to staging", shop.towpath(&["promote", "staging", "--release", "1", "--plain"])).ends(0);
    let first = shop.newest("staging");
    assert!(shop.ending(first).contains("\"live\""), "{}", shop.ending(first));
    assert!(staging.ask().contains(&format!("X-Towpath-Deployment: d{first}")), "{}", staging.ask());
    shop.beat_was_never_two("staging");

    words_are_wanted(shop);
    let digits = shop.digits("production");
    words("plan", shop.towpath(&["plan", "production", "--release", "1", "--plain"])).ends(0).says(&digits);
    shop.environment("production", &production_lines, &[("WORD", "first")]);
    let stale = shop.towpath(&[
        "promote",
        "production",
        "--release",
        "1",
        "--plan",
        &digits,
        "--confirm",
        "production",
        "--reason",
        "tea",
    ]);
    words("a plan that is another by now", stale).ends(3).says("is not what would be done any more");
    assert!(shop.deployments("production").is_empty());
    let digits = shop.digits("production");
    let said = shop.towpath(&[
        "promote",
        "production",
        "--release",
        "1",
        "--plan",
        &digits,
        "--confirm",
        "production",
        "--reason",
        "tea",
        "--plain",
    ]);
    words("promote to production", said).ends(0);
    let before = shop.newest("production");
    assert!(production.ask().contains("\"WORD\": \"first\""), "{}", production.ask());

    redeployed(shop, &production, &production_lines, before);
    went_back(shop, &production);
    staged_once_more(shop, &staging, &staging_lines);
    let journal = format!("{:?}", shop.journal());
    assert!(!journal.contains(SECRET), "a secret is in the journal");
}

fn refused(shop: &Clone) {
    let said = shop.towpath(&["promote", "nowhere", "--release", "1"]);
    words("unknown environment", said).ends(2).says("production").says("staging");
    let said = shop.towpath(&["plan", "production", "--release", "1"]);
    words("production before staging, planned", said).ends(3).says("staging");
    let said = shop.towpath(&[
        "promote",
        "production",
        "--release",
        "1",
        "--confirm",
        "production",
        "--reason",
        "tea",
    ]);
    words("production before staging", said).ends(3).says("Deploy it to staging first");
    assert!(shop.deployments("production").is_empty());
}

fn words_are_wanted(shop: &Clone) {
    let promote = |word: &[&str]| {
        let said = shop.towpath(&[&["promote", "production", "--release", "1"], word].concat());
        words(&format!("a word is missing: {}", word.join(" ")), said).ends(3)
    };
    promote(&["--reason", "tea"]).says("--confirm production");
    promote(&["--confirm", "staging", "--reason", "tea"]).says("\"staging\" was typed");
    promote(&["--confirm", "production"]).says("--reason TEXT");
    assert!(shop.deployments("production").is_empty(), "refused is not written down");
}

/// The same release with other variables: another deployment, and what it was told is what it answers.
fn redeployed(shop: &Clone, production: &Site, lines: &str, before: u64) {
    shop.environment("production", lines, &[("WORD", "second")]);
    let said =
        shop.towpath(&["redeploy", "production", "--confirm", "production", "--reason", "words", "--plain"]);
    words("redeploy", said).ends(0);
    let after = shop.newest("production");
    assert_ne!(after, before);
    let answer = production.ask();
    assert!(answer.contains("\"WORD\": \"second\"") && answer.contains(&format!("d{after}")), "{answer}");
    for index in [1, 2] {
        wait_for("the old set is gone", || {
            members(&shop.replica("production", before, "web", index)).is_empty()
        });
        assert_eq!(shop.started("production", before, index), 1);
        assert_eq!(shop.started("production", after, index), 1);
    }
    shop.beat_was_never_two("production");
}

/// To another release, and back from it.
fn went_back(shop: &Clone, production: &Site) {
    let mut newer =
        vec!["promote", "production", "--release", "2", "--confirm", "production", "--reason", "more"];
    newer.push("--plain");
    words("a release that was never on staging", shop.towpath(&newer)).ends(3);
    shop.towpath(&["promote", "staging", "--release", "2", "--plain"]).ends(0);
    shop.towpath(&newer).ends(0);
    assert!(production.ask().contains("\"TOWPATH_RELEASE\": \"v2\""), "{}", production.ask());
    let said =
        shop.towpath(&["rollback", "production", "--confirm", "production", "--reason", "no", "--plain"]);
    words("rollback", said).ends(0);
    let back = shop.newest("production");
    assert!(shop.ending(back).contains("\"live\""), "{}", shop.ending(back));
    let answer = production.ask();
    assert!(
        answer.contains("\"TOWPATH_RELEASE\": \"v1\"")
            && answer.contains(&format!("X-Towpath-Deployment: d{back}")),
        "{answer}"
    );
    shop.beat_was_never_two("production");
}

/// Replica by replica, with visitors all the while.
fn staged_once_more(shop: &Clone, staging: &Site, lines: &str) {
    let first = shop.newest("staging");
    shop.environment("staging", lines, &[("WORD", "more")]);
    staging.visited(|| shop.towpath(&["redeploy", "staging", "--plain"])).ends(0);
    let log = std::fs::read_to_string(staging.directory.join("traffic.log")).unwrap();
    let bad: Vec<&str> = log.lines().filter(|line| !line.contains("\"status\":\"200\"")).collect();
    assert!(bad.is_empty(), "visitors saw {bad:?}");
    let second = shop.newest("staging");
    for index in [1, 2] {
        assert!(members(&shop.replica("staging", first, "web", index)).is_empty());
        assert_eq!(shop.started("staging", first, index), 1);
        assert_eq!(shop.started("staging", second, index), 1);
    }
    shop.beat_was_never_two("staging");
}
