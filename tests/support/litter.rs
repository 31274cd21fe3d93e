//! What a dockerd of a test's own has on the machine, from its bridge to its last mount, and how all of it goes away.
//! Its name is in its directory, its bridge, its containers' control groups and its containerd's namespace.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::run;

/// Bridges are `10.201.N.1/24`, the networks that containers make `10.202.N.0/24` in parts of 16 addresses.
pub(super) const BRIDGES: u8 = 201;
/// See [`BRIDGES`].
pub(super) const NETWORKS: u8 = 202;

/// Takes a number that nobody on this machine uses, and makes its bridge.
pub(super) fn claim() -> (u8, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Other test programs look for a free number too.
    let lock = fs::File::create(std::env::temp_dir().join("towpath-test-dockerd.lock")).unwrap();
    lock.lock().unwrap();
    let taken = said("ip", &["-o", "-4", "addr"]) + &said("ip", &["-4", "route"]);
    let free = |number: &u8| {
        ![BRIDGES, NETWORKS].iter().any(|part| taken.contains(&format!(" 10.{part}.{number}.")))
            && !taken.contains(&format!("10.{BRIDGES}.{number}.0/24"))
    };
    let number = (0..=250).find(free).expect("a free network");
    // An interface's name has at most 15 characters.
    let name = format!("twp{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    run("ip", &["link", "add", &name, "type", "bridge"]);
    run("ip", &["addr", "add", &format!("10.{BRIDGES}.{number}.1/24"), "dev", &name]);
    run("ip", &["link", "set", &name, "up"]);
    let _ = fs::write("/proc/sys/net/ipv4/ip_forward", "1");
    for rule in rules(number) {
        run("iptables", &[&["-w", "-t", rule[0], "-I"], &rule[1..]].concat());
    }
    (number, name)
}

/// Its containers may reach others and be answered, whatever the machine does with what it forwards.
fn rules(number: u8) -> Vec<Vec<&'static str>> {
    let mut rules = Vec::new();
    for part in [BRIDGES, NETWORKS] {
        // The text lives as long as the test program, which makes few of them.
        let net: &'static str = Box::leak(format!("10.{part}.{number}.0/24").into_boxed_str());
        rules.push(vec!["nat", "POSTROUTING", "-s", net, "!", "-d", net, "-j", "MASQUERADE"]);
        rules.push(vec!["filter", "FORWARD", "-s", net, "-j", "ACCEPT"]);
        rules.push(vec!["filter", "FORWARD", "-d", net, "-j", "ACCEPT"]);
    }
    rules
}

/// Ends the containerd of a dockerd that was killed: it dies with it anyway, but a moment later.
pub(super) fn end_containerd(directory: &Path) {
    let mark = directory.join("exec/containerd/containerd.toml").display().to_string();
    let began = Instant::now();
    loop {
        let left: Vec<i32> =
            all().filter(|&pid| !is_zombie(pid) && read(pid, "cmdline").contains(&mark)).collect();
        if left.is_empty() || began.elapsed() > Duration::from_secs(20) {
            return;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes all of it away; dockerd has ended. Says what could not be, panics never: it runs while a test panics.
pub(super) fn clean(name: &str, number: u8, directory: &Path) {
    let began = Instant::now();
    loop {
        let left = processes(name);
        if left.is_empty() {
            break;
        }
        if began.elapsed() > Duration::from_secs(20) {
            eprintln!("processes of {name} do not end: {left:?}");
            break;
        }
        for pid in left {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for point in mounts(directory) {
        quietly("umount", &["-l", &point]);
    }
    for rule in rules(number) {
        quietly("iptables", &[&["-w", "-t", rule[0], "-D"], &rule[1..]].concat());
    }
    for line in said("ip", &["-o", "-4", "addr"]).lines() {
        let of_ours = line.contains(&format!(" 10.{NETWORKS}.{number}."));
        if let Some(interface) = line.split_whitespace().nth(1).filter(|_| of_ours) {
            quietly("ip", &["link", "del", interface]);
        }
    }
    quietly("ip", &["link", "del", name]);
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    for root in hierarchies.chain(["/sys/fs/cgroup".into()]) {
        remove_group(&root.join(name));
    }
    if let Err(error) = fs::remove_dir_all(directory)
        && directory.exists()
    {
        eprintln!("{} could not be removed: {error}", directory.display());
    }
}

/// A control group goes once nothing is in it, those below it first.
fn remove_group(group: &Path) {
    if !group.is_dir() {
        return;
    }
    for entry in fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = fs::remove_dir(group);
}

/// Every process whose command line or control group has the name; this one never.
fn processes(name: &str) -> Vec<i32> {
    let part = |text: &str| {
        text.split(|character: char| !character.is_ascii_alphanumeric()).any(|word| word == name)
    };
    // An ended process that nobody has asked for yet has no command line, but its group still.
    all()
        .filter(|&pid| !is_zombie(pid) && (part(&read(pid, "cmdline")) || part(&read(pid, "cgroup"))))
        .collect()
}

/// Every process but the first and this one.
fn all() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid > 1 && u32::try_from(pid) != Ok(std::process::id()))
}

fn is_zombie(pid: i32) -> bool {
    read(pid, "stat").contains(") Z ")
}

fn read(pid: i32, file: &str) -> String {
    String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default()).into_owned()
}

/// What is mounted below the directory, the innermost first.
fn mounts(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4));
    let mut found: Vec<String> =
        points.filter(|point| Path::new(point).starts_with(directory)).map(str::to_owned).collect();
    found.reverse();
    found
}

fn said(program: &str, arguments: &[&str]) -> String {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    ran.map(|ran| String::from_utf8_lossy(&ran.stdout).into_owned()).unwrap_or_default()
}

fn quietly(program: &str, arguments: &[&str]) {
    let _ = Command::new(program).args(arguments).stdin(Stdio::null()).output();
}
