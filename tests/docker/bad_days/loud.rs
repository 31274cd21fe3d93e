//! A container that says 10 MB a second while its successor is deployed.

use super::{Days, host, lines, runs, web};

/// What an engine may ever have taken of the memory, kilobytes.
const MEMORY: u64 = 400_000;

pub(super) fn story(days: &Days) {
    let lines = lines(&[host("two", &days.two)]);
    let live = days.live("loud", &lines, &[("MODE", "loud")]);
    let said = || -> u64 {
        let text = std::fs::read_to_string(days.shop.world.starts().join("loud")).unwrap_or_default();
        text.parse().unwrap_or(0)
    };
    let (before, began) = (said(), std::time::Instant::now());
    days.configure("loud", &lines, &[("WORD", "quiet")]);
    days.redeploy("one says 10 MB a second meanwhile", "loud").ends(0);
    let (bytes, took) = (said() - before, began.elapsed());
    let status = std::fs::read_to_string(format!("/proc/{}/status", days.shop.engine().unwrap())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    eprintln!(
        "{} MB said in {took:?}; the engine's memory was at most {} MB",
        bytes / 1_000_000,
        peak / 1000
    );
    assert!(bytes > 10_000_000, "it was not loud: {bytes} bytes in {took:?}");
    assert!(peak < MEMORY, "the engine has taken {peak} kB");
    let now = days.shop.newest("loud");
    runs(&days.two.url(), &web("loud", now));
    assert!(now > live);
    days.shop.towpath(&["logs", "loud", "-n", "5", "--plain"]).ends(0);
}
