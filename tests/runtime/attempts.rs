//! An attempt is carried out once, whoever dies.

use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::domain::effect::Found;
use towpath::domain::plan::{Cause, Verdict};
use towpath::domain::time::Millis;
use towpath::runtime::attempt::{attend, observe, prepare, stop};

use crate::stage::{Stage, block_on, program, runs, wait_until};

/// Says that it runs, and waits to be let go.
const COUNTED: &str = r#"
echo once >> "$TOWPATH_TEST/count"
while [ ! -e "$TOWPATH_TEST/gate" ]; do sleep 0.02; done
"#;

fn kill_worker(stage: &Stage) {
    kill(Pid::from_raw(stage.worker()), Signal::SIGKILL).unwrap();
}

/// What is found once the worker's death has been noticed.
fn found_after_death(stage: &Stage) -> Found {
    let mut found = Found::Open;
    wait_until("the worker's lock to be free", || {
        found = observe(&stage.dir).unwrap();
        found != Found::Open
    });
    found
}

#[test]
fn of_many_workers_on_one_attempt_one_runs_it() {
    let stage = Stage::new(COUNTED).prepared();
    let workers: Vec<_> = (0..8)
        .map(|_| {
            Command::new(program())
                .arg("step-worker")
                .arg(&stage.dir)
                .env_clear()
                .envs(&stage.spec.env)
                .stdin(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    stage.wait_for("count");
    assert_eq!(observe(&stage.dir).unwrap(), Found::Open);
    std::fs::write(stage.file("gate"), "").unwrap();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    assert_eq!(stage.text("count"), "once\n");
    assert!(matches!(observe(&stage.dir).unwrap(), Found::Finished { verdict: Verdict::Passed, .. }));
    // And not once more, asked afterwards.
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    assert_eq!(stage.text("count"), "once\n");
}

#[test]
fn engines_that_attend_together_get_one_result() {
    let stage = Stage::new(COUNTED).prepared();
    std::fs::write(stage.file("gate"), "").unwrap();
    let (first, second, third) = block_on(async {
        tokio::join!(
            attend(&stage.dir, program(), &crate::stage::NONE),
            attend(&stage.dir, program(), &crate::stage::NONE),
            attend(&stage.dir, program(), &crate::stage::NONE)
        )
    });
    let first = first.unwrap();
    assert_eq!(first.verdict, Verdict::Passed);
    assert_eq!((second.unwrap(), third.unwrap()), (first.clone(), first));
    assert_eq!(stage.text("count"), "once\n");
}

#[test]
fn an_engine_that_dies_disturbs_nothing_and_the_next_one_waits_for_the_same_work() {
    let stage = Stage::new(COUNTED).prepared();
    // The runtime goes with its engine, in the middle of the wait.
    let engine = tokio::runtime::Runtime::new().unwrap();
    let (dir, at) = (stage.dir.clone(), program());
    engine.spawn(async move { attend(&dir, at, &crate::stage::NONE).await });
    stage.wait_for("count");
    drop(engine);
    let worker = stage.worker();
    assert_eq!(observe(&stage.dir).unwrap(), Found::Open);

    // An engine that waits, and dies as well, must not be waited for by its own end.
    let second = tokio::runtime::Runtime::new().unwrap();
    let dir = stage.dir.clone();
    let waiting = second.spawn(async move { attend(&dir, at, &crate::stage::NONE).await });
    second.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    assert!(!waiting.is_finished());
    drop(second);

    assert!(runs(worker));
    std::fs::write(stage.file("gate"), "").unwrap();
    let report = stage.carried_out();
    assert_eq!(report.verdict, Verdict::Passed);
    assert_eq!(stage.worker(), worker);
    assert_eq!(stage.text("count"), "once\n");
}

#[test]
fn a_killed_worker_is_lost_and_leaves_nobody_behind() {
    let stage = Stage::new(
        r#"
echo once >> "$TOWPATH_TEST/count"
setsid sh -c 'echo $$ > "$TOWPATH_TEST/daemon"; exec sleep 1000' > /dev/null 2>&1 &
(sh -c 'echo $$ > "$TOWPATH_TEST/child"; env -i sleep 1000; true' &)
echo $$ > "$TOWPATH_TEST/shell"
sleep 1000
"#,
    )
    .prepared();
    let engine = tokio::runtime::Runtime::new().unwrap();
    let (dir, at) = (stage.dir.clone(), program());
    let attended = engine.spawn(async move { attend(&dir, at, &crate::stage::NONE).await });
    let left: Vec<i32> =
        ["daemon", "child", "shell"].iter().map(|name| stage.wait_for(name).parse().unwrap()).collect();
    assert!(left.iter().all(|pid| runs(*pid)));

    kill_worker(&stage);
    assert_eq!(found_after_death(&stage), Found::Lost);
    assert!(left.iter().all(|pid| !runs(*pid)));

    let report = engine.block_on(attended).unwrap().unwrap();
    let Verdict::Failed(cause) = report.verdict else { panic!("{:?}", report.verdict) };
    assert!(cause.summary.contains("died"), "{cause:?}");
    assert!(cause.last_lines.iter().any(|line| line.contains("sleep 1000")), "{cause:?}");
    // It is spent: no attendance and no preparation brings it back.
    prepare(&stage.dir, &stage.spec).unwrap();
    assert!(matches!(stage.carried_out().verdict, Verdict::Failed(_)));
    assert_eq!(stage.text("count"), "once\n");
}

#[test]
fn a_stopped_step_ends_its_whole_tree_and_is_cancelled() {
    let stage = Stage::new(
        r#"
setsid sh -c 'echo $$ > "$TOWPATH_TEST/daemon"; exec sleep 1000' &
trap 'echo goodbye; exit 0' TERM
echo $$ > "$TOWPATH_TEST/shell"
while :; do sleep 0.02; done
"#,
    )
    .prepared();
    let report = block_on(async {
        let attended = attend(&stage.dir, program(), &crate::stage::NONE);
        let stopped = async {
            let (shell, daemon) = (stage.file("shell"), stage.file("daemon"));
            while !shell.exists() || !daemon.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop(&stage.dir).await
        };
        let (report, stopped) = tokio::join!(attended, stopped);
        stopped.unwrap();
        report.unwrap()
    });
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(stage.said("goodbye"));
    assert!(!runs(stage.text("daemon").trim().parse().unwrap()));
    assert!(!runs(stage.text("shell").trim().parse().unwrap()));
    assert_eq!(
        observe(&stage.dir).unwrap(),
        Found::Finished { verdict: Verdict::Cancelled, output: Box::new(report.output) }
    );
    // Once more is no harm.
    block_on(stop(&stage.dir)).unwrap();
}

#[test]
fn a_command_that_does_not_listen_is_killed_after_its_grace() {
    let stage = Stage::new(r#"trap '' TERM; echo $$ > "$TOWPATH_TEST/shell"; while :; do sleep 0.1; done"#)
        .prepared();
    let report = block_on(async {
        let stopped = async {
            while !stage.file("shell").exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            stop(&stage.dir).await
        };
        let (report, stopped) = tokio::join!(attend(&stage.dir, program(), &crate::stage::NONE), stopped);
        stopped.unwrap();
        report.unwrap()
    });
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(!runs(stage.text("shell").trim().parse().unwrap()));
}

#[test]
fn a_worker_that_cannot_answer_is_killed_with_its_commands() {
    let stage = Stage::new(r#"echo $$ > "$TOWPATH_TEST/shell"; sleep 1000"#).prepared();
    let report = block_on(async {
        let stopped = async {
            while !stage.text("shell").ends_with('\n') {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            kill(Pid::from_raw(stage.worker()), Signal::SIGSTOP).unwrap();
            stop(&stage.dir).await
        };
        let (report, stopped) = tokio::join!(attend(&stage.dir, program(), &crate::stage::NONE), stopped);
        stopped.unwrap();
        report.unwrap()
    });
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert!(!runs(stage.text("shell").trim().parse().unwrap()));
    assert!(matches!(observe(&stage.dir).unwrap(), Found::Finished { verdict: Verdict::Cancelled, .. }));
}

#[test]
fn what_is_stopped_before_it_starts_never_runs() {
    let stage = Stage::new(COUNTED).prepared();
    block_on(stop(&stage.dir)).unwrap();
    assert_eq!(observe(&stage.dir).unwrap(), Found::Open);
    assert_eq!(stage.carried_out().verdict, Verdict::Cancelled);
    assert_eq!(stage.text("count"), "");
}

#[test]
fn without_an_engine_the_worker_itself_ends_a_step_that_takes_too_long() {
    let mut stage = Stage::new(r#"echo on my way; sleep 1000"#);
    stage.spec.step.timeout = Millis(200);
    stage.spec.env.insert(towpath::runtime::worker::BACKSTOP_VARIABLE.into(), "1".into());
    let stage = stage.prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    assert_eq!(cause.summary, "it took longer than 200ms and was stopped");
    assert!(cause.last_lines.iter().any(|line| line == "on my way"), "{cause:?}");
}

#[test]
fn what_an_engine_stops_for_its_time_limit_leaves_its_last_lines_and_its_directory() {
    let mut stage = Stage::new(r#"echo on my way; touch left; touch "$TOWPATH_TEST/there"; sleep 1000"#);
    stage.spec.step.timeout = Millis(200);
    let stage = stage.prepared();
    let report = block_on(async {
        let stopped = async {
            while !stage.file("there").exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            stop(&stage.dir).await
        };
        let (report, stopped) = tokio::join!(attend(&stage.dir, program(), &crate::stage::NONE), stopped);
        stopped.unwrap();
        report.unwrap()
    });
    // The engine turns this into a failure: it knows that the limit has passed.
    assert_eq!(report.verdict, Verdict::Cancelled);
    assert_eq!(report.output.tail.last().map(String::as_str), Some("on my way"));
    let kept = report.output.kept.unwrap();
    assert!(std::path::Path::new(&kept.directory).join("left").is_file());
}

#[test]
fn a_hang_up_is_nothing_to_a_worker() {
    let stage = Stage::new(COUNTED).prepared();
    let engine = tokio::runtime::Runtime::new().unwrap();
    let (dir, at) = (stage.dir.clone(), program());
    let attended = engine.spawn(async move { attend(&dir, at, &crate::stage::NONE).await });
    stage.wait_for("count");
    kill(Pid::from_raw(stage.worker()), Signal::SIGHUP).unwrap();
    std::fs::write(stage.file("gate"), "").unwrap();
    assert_eq!(engine.block_on(attended).unwrap().unwrap().verdict, Verdict::Passed);
    // It leads a session of its own: the terminal of whoever started the engine is none of its business.
}

#[test]
fn a_specification_that_cannot_be_read_is_said_once() {
    let stage = Stage::new("true").prepared();
    let path = stage.dir.join("spec.json");
    let json = std::fs::read_to_string(&path).unwrap().replacen("\"v\":1", "\"v\":99", 1);
    std::fs::write(&path, json).unwrap();
    let error = block_on(attend(&stage.dir, program(), &crate::stage::NONE)).unwrap_err();
    assert!(format!("{error:#}").contains("has version 99"), "{error:#}");
}

#[test]
fn a_program_that_is_no_worker_is_not_tried_for_ever() {
    let stage = Stage::new("true").prepared();
    let error =
        block_on(attend(&stage.dir, std::path::Path::new("/bin/false"), &crate::stage::NONE)).unwrap_err();
    assert!(format!("{error:#}").contains("before it had begun"), "{error:#}");
    let error = block_on(attend(&stage.dir, std::path::Path::new("/no/such/program"), &crate::stage::NONE))
        .unwrap_err();
    assert!(format!("{error:#}").contains("/no/such/program"), "{error:#}");
}

#[test]
fn the_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let stage = Stage::new("true").prepared();
    let mode = std::fs::metadata(&stage.dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_deployments_step_that_does_not_know_its_deployment_is_refused_in_words() {
    use towpath::domain::ids::ReleaseNumber;
    use towpath::domain::plan::{Target, Work};
    use towpath::domain::release::Artifact;
    let mut stage = Stage::new("true");
    let artifact: Artifact = serde_json::from_value(serde_json::json!({
        "id": "sha256:00", "location": "/nowhere", "inputs": "", "files": 0, "bytes": 0
    }))
    .unwrap();
    stage.spec.step.work =
        Work::Fetch(Target { environment: "staging".into(), release: ReleaseNumber(1), artifact });
    let stage = stage.prepared();
    let Verdict::Failed(Cause { summary, .. }) = stage.carried_out().verdict else {
        panic!("it should have failed")
    };
    assert_eq!(summary, "the step does not know which deployment it belongs to");
}
