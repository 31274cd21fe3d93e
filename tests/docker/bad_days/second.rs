//! Another console deploys there at the same time: it holds the lease on the engines, and this one is told of it.

use std::path::Path;

use towpath::docker::Engine;
use towpath::docker::lease::{Asker, Lease};
use towpath::domain::ids::{DeploymentId, EnvironmentName};
use towpath::domain::project::Host;

use super::{Days, engines, host, lines, runs, web};
use crate::world::wait_for;

pub(super) fn story(days: &Days) {
    let url = days.two.url();
    let lines = lines(&[host("two", &days.two)]);
    let live = days.live("shared", &lines, &[]);
    let before = runs(&url, &web("shared", live));
    let other = Asker::here(Path::new("/another/state"), Path::new("/home/anna/shop"));
    let environment = EnvironmentName("shared".to_owned());
    let at = Host { name: "two".to_owned(), url: url.clone(), address: None, tls: None };
    // The first one's is given back a moment after its end was told.
    let mut epoch = None;
    wait_for("the lease is given back", || {
        epoch = engines::wait(async {
            let engines = [Engine::connect(&at, Path::new("/")).await.unwrap()];
            Lease::new(&engines, "shop", &environment).acquire(&other, DeploymentId(41)).await.ok()
        });
        epoch.is_some()
    });
    let epoch = epoch.unwrap();
    days.configure("shared", &lines, &[("WORD", "second")]);
    let said = days
        .redeploy("another console deploys there", "shared")
        .says("for deployment #41 of /home/anna/shop")
        .says("its last heartbeat was");
    assert!(matches!(said.code, 3 | 4), "{said}");
    let refused = days.shop.newest("shared");
    assert!(days.shop.events("step_started", refused).is_empty(), "it began\n{said}");
    assert_eq!(runs(&url, &web("shared", live)), before, "what was live was touched");
    engines::wait(async {
        let engines = [Engine::connect(&at, Path::new("/")).await.unwrap()];
        let lease = Lease::new(&engines, "shop", &environment);
        lease.check(epoch).await.unwrap();
        lease.release(&other, epoch).await.unwrap();
    });
    days.redeploy("and once more, when the other is done", "shared").ends(0);
}
