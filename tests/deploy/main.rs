//! Deployments as an operator has them: the real program, a real small Django project under gunicorn, a real nginx.
//! Two pipeline runs make two releases; the stories share them, each in environments of its own, side by side.
//!
//! `TOWPATH_TEST_WORDS` names a file that what the program said is written to, for people to read.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails says so by panicking"
)]

mod canary;
mod failing;
mod lease;
#[path = "../support/nginx.rs"]
mod program;
mod project;
mod promotions;
mod router;
mod site;
mod survival;
mod world;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Clone, Said, World};

type Story<'a> = (&'a str, &'a (dyn Fn() + Sync));

/// Tells stories side by side; says all that went wrong, not only the first.
fn tell(stories: &[Story]) {
    let wrong: Vec<&str> = std::thread::scope(|scope| {
        let told: Vec<_> = stories
            .iter()
            .map(|(name, story)| {
                let story = AssertUnwindSafe(story);
                let thread = std::thread::Builder::new().name((*name).to_owned());
                (*name, thread.spawn_scoped(scope, move || catch_unwind(story).is_ok()).unwrap())
            })
            .collect();
        told.into_iter().filter_map(|(name, thread)| (!thread.join().unwrap()).then_some(name)).collect()
    });
    assert!(wrong.is_empty(), "these went wrong, as said above: {}", wrong.join(", "));
}

/// Keeps what was said for people to read.
fn words(title: &str, said: Said) -> Said {
    if let Some(path) = std::env::var_os("TOWPATH_TEST_WORDS") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(format!("## {title}\n\n```\n{said}\n```\n\n").as_bytes()).unwrap();
    }
    said
}

#[test]
fn deployments_end_as_they_should() {
    if program::program().is_none() {
        return;
    }
    let world = World::new();
    let shop = Clone::new(&world, "shop");
    shop.towpath(&["run", "--plain"]).ends(0);
    std::fs::write(shop.repository().join("tea/more.py"), "KINDS = 2\n").unwrap();
    shop.commit("More tea");
    shop.towpath(&["run", "--plain"]).ends(0);
    tell(&[
        ("promotions", &|| promotions::story(&shop)),
        ("canary", &|| canary::story(&shop)),
        ("failing", &|| failing::story(&shop)),
        ("router", &|| router::story(&shop)),
    ]);
    failing::configured(&shop);
    // These kill the engine, or are about another one.
    tell(&[("survival", &|| survival::story(&shop)), ("lease", &|| lease::story(&shop))]);
    shop.towpath(&["verify"]).ends(0).says("the chain holds");
}
