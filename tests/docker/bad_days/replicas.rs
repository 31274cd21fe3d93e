//! A container that ends after three seconds; one that never answers; a port that something else has.

use std::net::TcpListener;

use super::{Days, container, host, lines, runs, web};

pub(super) fn story(days: &Days) {
    let url = days.one.url();
    let lines = lines(&[host("one", &days.one)]);
    let live = days.live("bare", &lines, &[]);
    let before = runs(&url, &web("bare", live));

    days.configure("bare", &lines, &[("MODE", "exits")]);
    days.redeploy("a container that exits after three seconds", "bare")
        .ends(4)
        .says("no more tea")
        .says("exit code 7")
        .says("on one");
    let failed = days.failed("bare");
    assert_eq!(days.shop.started("bare", failed, 1), 1, "it was started again");
    let ended = container(&url, &web("bare", failed)).expect("it is kept for a look").state.unwrap();
    assert_eq!((ended.running, ended.exit_code), (Some(false), Some(7)));
    assert_eq!(runs(&url, &web("bare", live)), before, "what was live was touched");

    days.configure("bare", &lines.replace("60s", "4s"), &[("MODE", "silent")]);
    days.redeploy("a container that never answers", "bare")
        .ends(4)
        .says("was not well within 4.0s")
        .says("not listening")
        .says("on one");
    let failed = days.failed("bare");
    let ended = container(&url, &web("bare", failed)).expect("it is kept for a look").state.unwrap();
    assert_eq!(ended.running, Some(false));
    assert_eq!(runs(&url, &web("bare", live)), before, "what was live was touched");

    // Something that is no container has the next ports.
    let address = days.one.address();
    let taken: Vec<_> = (20_000..20_012).filter_map(|port| TcpListener::bind((address, port)).ok()).collect();
    assert!(taken.len() >= 5);
    days.configure("bare", &lines, &[("WORD", "port")]);
    days.redeploy("the next ports are taken", "bare").ends(0);
    let now = days.shop.newest("bare");
    assert_eq!(days.shop.started("bare", now, 1), 1);
    let labels = container(&url, &web("bare", now)).unwrap().config.unwrap().labels.unwrap();
    let port: u16 = labels["towpath.port"].parse().unwrap();
    assert!(taken.iter().all(|listener| listener.local_addr().unwrap().port() != port));
}
