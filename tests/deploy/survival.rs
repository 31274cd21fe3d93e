//! A deployment outlives its engine and its terminal.

use std::io::Read as _;

use crate::site::Site;
use crate::words;
use crate::world::{Clone, wait_for};

pub(crate) fn story(shop: &Clone) {
    let site = Site::new(shop.world, "busy", |site| site).unwrap();
    let lines = format!(
        "replicas = {{ web = 1 }}\nstrategy = {{ canary = [50], bake = \"4s\" }}\nbake = \"0s\"\nhealth = \
         \"/health\"\ntolerance = {{ failed = \"1%\", min_requests = 5 }}\n{}",
        site.lines()
    );
    shop.environment("busy", &lines, &[]);
    shop.towpath(&["promote", "busy", "--release", "1", "--plain"]).ends(0);
    let first = shop.newest("busy");

    shop.environment("busy", &lines, &[("WORD", "second")]);
    site.visited(|| killed(shop));
    let second = shop.newest("busy");
    assert_ne!(first, second);
    assert_eq!((shop.started("busy", first, 1), shop.started("busy", second, 1)), (1, 1));

    shop.environment("busy", &lines, &[("WORD", "third")]);
    site.visited(|| hung_up(shop, second));
    let third = shop.newest("busy");
    assert_eq!((shop.started("busy", second, 1), shop.started("busy", third, 1)), (1, 1));
    assert!(site.ask().contains("\"WORD\": \"third\""), "{}", site.ask());
}

/// The engine is killed while a canary is watched; the next command brings it back, and the deployment goes on.
fn killed(shop: &Clone) {
    shop.towpath(&["redeploy", "busy", "--detach"]).ends(0);
    let number = shop.newest("busy");
    wait_for("the canary is watched", || shop.has_begun(number, "bake 50"));
    shop.kill_engine();
    let said = shop.towpath(&["promote", "busy", "--release", "1", "--plain"]);
    words("the engine was killed while a canary was watched", said).ends(0);
    assert_eq!(shop.newest("busy"), number, "the same deployment goes on");
    assert!(shop.ending(number).contains("\"live\""), "{}", shop.ending(number));
}

/// The terminal goes away while a canary is watched.
fn hung_up(shop: &Clone, before: u64) {
    let size = portable_pty::PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = portable_pty::native_pty_system().openpty(size).unwrap();
    let mut command = portable_pty::CommandBuilder::new(env!("CARGO_BIN_EXE_towpath"));
    command.cwd(shop.repository());
    command.args(["redeploy", "busy"]);
    for (name, value) in shop.environ() {
        command.env(name, value);
    }
    command.env("TERM", "xterm-256color");
    let mut viewer = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    // Ends with the terminal: what is drawn there has to be read, or the viewer waits.
    let reads = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(1..) = reader.read(&mut buffer) {}
    });
    wait_for("it is under way", || shop.newest("busy") != before);
    let number = shop.newest("busy");
    wait_for("the canary is watched", || shop.has_begun(number, "bake 50"));
    let engine = shop.engine();
    drop(pair.master);
    let viewer_pid = viewer.process_id().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(viewer_pid).unwrap());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP);
    viewer.wait().unwrap();
    reads.join().unwrap();
    wait_for("it has ended", || !shop.ending(number).is_empty());
    assert!(shop.ending(number).contains("\"live\""), "{}", shop.ending(number));
    assert_eq!(shop.engine(), engine, "the engine goes on");
}
