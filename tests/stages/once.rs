//! One command in a container.

use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::docker::Engine;
use towpath::docker::run::{self, Command, OneOff, Said};
use towpath::domain::effect::Found;
use towpath::domain::plan::Verdict;
use towpath::domain::project::Place;
use towpath::runtime::attempt;

use crate::case::{Case, cause, host, wait_until};
use crate::engines;

const FILES: &[(&str, &str)] = &[("README", "the commit's\n"), ("inner/name", "inner\n")];

#[test]
fn an_image_gets_the_commits_files_and_what_it_says_is_logged() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let line = "pwd; cat README inner/name; echo to-stderr >&2; touch written; echo $GREETING; env | grep -c ^HOME=/root";
    let Some(case) = Case::new(FILES, line, Place::Image(image)) else { return };
    let case = case.setting(|setting| drop(setting.env.insert("GREETING".into(), "ahoy".into())));
    let report = case.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{}", case.log());
    let log = case.log();
    for wanted in ["/workspace", "the commit's", "inner", "to-stderr", "ahoy"] {
        assert!(log.contains(wanted), "{wanted}: {log}");
    }
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn a_failure_has_its_exit_code_and_its_last_lines() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let Some(case) = Case::new(FILES, "echo almost; exit 3", Place::Image(image)) else { return };
    let cause = cause(&case, case.carried_out());
    assert_eq!(cause.exit_code, Some(3));
    assert!(cause.last_lines.iter().any(|line| line == "almost"), "{cause:?}");
}

#[test]
fn an_image_without_a_shell_says_so() {
    let Some(url) = engines::docker() else { return };
    let image = engines::empty_image(&url);
    let Some(case) = Case::new(FILES, "true", Place::Image(image)) else { return };
    let cause = cause(&case, case.carried_out());
    assert!(cause.summary.contains("has no shell"), "{cause:?}");
    assert!(!cause.cure.is_empty());
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn an_image_that_is_nowhere_says_what_to_do() {
    let Some(case) = Case::new(FILES, "true", Place::Image("towpath-test-nowhere:1".into())) else { return };
    let cause = cause(&case, case.carried_out());
    assert!(cause.summary.contains("towpath-test-nowhere:1"), "{cause:?}");
    assert!(cause.summary.contains("could not be pulled"), "{cause:?}");
    assert!(cause.cure.contains("docker load"), "{cause:?}");
}

#[test]
fn a_killed_workers_container_goes_with_it() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let line = "echo it-is-up; while :; do sleep 1; done";
    let Some(case) = Case::new(FILES, line, Place::Image(image)) else { return };
    attempt::prepare(&case.dir, &case.spec).unwrap();
    let (dir, program) = (case.dir.clone(), crate::case::program());
    let engine = tokio::runtime::Runtime::new().unwrap();
    engine.spawn(async move { attempt::attend(&dir, program, &std::collections::BTreeMap::new()).await });
    wait_until("the container's first line", || {
        case.dir.join("log").is_dir() && case.log().lines().any(|line| line == "it-is-up")
    });
    drop(engine);
    assert!(!case.left().is_empty());
    let json = std::fs::read(case.dir.join("started.json")).unwrap();
    let started: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let worker = i32::try_from(started["worker"]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    wait_until("the death to be noticed", || attempt::observe(&case.dir).unwrap() == Found::Lost);
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn a_stop_stops_the_container() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let line = "trap 'echo told; exit 0' TERM; echo it-is-up; while :; do sleep 0.1; done";
    let Some(case) = Case::new(FILES, line, Place::Image(image)) else { return };
    attempt::prepare(&case.dir, &case.spec).unwrap();
    let engine = tokio::runtime::Runtime::new().unwrap();
    let (dir, program) = (case.dir.clone(), crate::case::program());
    let attended =
        engine.spawn(async move { attempt::attend(&dir, program, &std::collections::BTreeMap::new()).await });
    wait_until("the container's first line", || {
        case.dir.join("log").is_dir() && case.log().lines().any(|line| line == "it-is-up")
    });
    engine.block_on(attempt::stop(&case.dir)).unwrap();
    let report = engine.block_on(attended).unwrap().unwrap();
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(case.log().contains("told"), "{}", case.log());
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn one_that_runs_out_of_memory_is_said_to() {
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    engines::wait(async {
        let engine = Engine::connect(&host(&url), Path::new("/")).await.unwrap();
        let line = "python3 -c 'x = [bytes(1 << 20) + bytes([n % 7]) for n in range(1 << 20)]'";
        let mut one = OneOff::new(&image, Command::Shell(line.into()));
        one.memory = Some(32 << 20);
        let over = run::run(&engine, &one, std::future::pending(), &mut |_| {}).await.unwrap();
        assert!(over.out_of_memory, "{over:?}");
        assert_eq!(over.code, 137, "{over:?}");
    });
}

#[test]
fn much_output_is_heard_to_the_last_byte_and_held_nowhere() {
    const BYTES: u64 = 200 << 20;
    let Some(url) = engines::docker() else { return };
    let Some(image) = engines::python_image(&url) else { return };
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
    };
    engines::wait(async {
        let engine = Engine::connect(&host(&url), Path::new("/")).await.unwrap();
        let line = format!("yes 0123456789abcdef | head -c {BYTES}");
        let one = OneOff::new(&image, Command::Shell(line));
        let heard = Arc::new(Mutex::new((0_u64, 0_u64)));
        let counts = heard.clone();
        let before = resident();
        let over = run::run(&engine, &one, std::future::pending(), &mut |said| {
            if let Said::Output(bytes) = said {
                let mut counts = counts.lock().unwrap();
                counts.0 += bytes.len() as u64;
                counts.1 = counts.1.max(resident());
            }
        })
        .await
        .unwrap();
        let (bytes, most) = *heard.lock().unwrap();
        assert_eq!((over.code, bytes), (0, BYTES));
        // Other tests of this program run meanwhile; a tenth of what was said is far above what they need.
        assert!(most.saturating_sub(before) < BYTES / 4, "{} MiB", most.saturating_sub(before) >> 20);
    });
}
