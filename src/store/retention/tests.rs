use super::*;
use crate::domain::command::CommitFacts;
use crate::domain::ids::{Actor, ArtifactId, AttemptKey, CommitId, EnvironmentName, StepId};
use crate::domain::plan::{Output, Plan, PlanParts, Replicas, Step, Target, Work};
use crate::domain::release::Release;
use crate::domain::state::{KeptOnEngine, Live, Observation, RollbackVerdict, RunEnd, StepState, WayBack};
use crate::domain::time::Timestamp;

fn artifact(name: &str) -> Artifact {
    Artifact {
        runtime: crate::domain::project::RuntimeKind::Process,
        id: ArtifactId::from(name),
        location: format!("/state/artifacts/{name}"),
        inputs: name.to_owned(),
        bytes: 1,
        files: 1,
    }
}

fn run(phase: RunPhase, builds: Option<&str>) -> Run {
    let output = Output { artifact: builds.map(artifact), ..Output::default() };
    Run {
        commit: CommitFacts {
            id: CommitId::from("c"),
            subject: String::new(),
            author: String::new(),
            authored: Timestamp(0),
            tags: Vec::new(),
            branches: Vec::new(),
        },
        until: None,
        followed: false,
        by: Actor::Engine,
        queued: Timestamp(0),
        started: None,
        ended: None,
        phase,
        plan: None,
        steps: [(StepId::from("candidate"), StepState { output, ..StepState::default() })].into(),
        findings: Vec::new(),
        cause: None,
        failed: None,
    }
}

fn release(number: u64) -> (ReleaseNumber, Release) {
    let release = Release {
        number: ReleaseNumber(number),
        commit: CommitId::from("c"),
        subject: String::new(),
        version: None,
        artifact: artifact(&format!("r{number}")),
        run: RunId(number),
        created: Timestamp(0),
        migrations: Vec::new(),
        serving: crate::domain::release::Serving::default(),
        findings: Vec::new(),
    };
    (ReleaseNumber(number), release)
}

fn deployment(release: u64, kind: DeploymentKind, phase: DeploymentPhase, target: Option<u64>) -> Deployment {
    Deployment {
        environment: EnvironmentName::from("production"),
        release: ReleaseNumber(release),
        kind,
        plan: Plan::new(PlanParts::default(), Vec::new()),
        settings: crate::domain::project::Environment::default(),
        reason: String::new(),
        by: Actor::Engine,
        created: Timestamp(0),
        ended: None,
        way_back: WayBack { target: target.map(DeploymentId), verdict: RollbackVerdict::Safe },
        lease: None,
        phase,
        steps: [].into(),
    }
}

const ENDED: RunPhase = RunPhase::Ended(RunEnd::Failed);

fn numbers(runs: &BTreeSet<RunId>) -> Vec<u64> {
    runs.iter().map(|run| run.0).collect()
}

#[test]
fn runs_lose_their_directories_and_then_their_logs() {
    let mut state = State::default();
    for number in 1..=210 {
        state.runs.insert(RunId(number), run(ENDED, None));
    }
    state.runs.insert(RunId(3), run(RunPhase::Held, None));
    state.runs.insert(RunId(150), run(RunPhase::Queued, None));
    let present = Present { runs: (1..=211).map(RunId).collect(), ..Present::default() };
    let sweep = plan(&state, &present);
    assert_eq!(numbers(&sweep.runs), [1, 2, 4, 5, 6, 7, 8, 9, 10], "the held one stays");
    let expected: Vec<u64> = (11..=205).filter(|number| *number != 150).collect();
    assert_eq!(numbers(&sweep.directories), expected, "211 is not known");
    assert_eq!(plan(&State::default(), &present), Sweep::default());
}

#[test]
fn artifacts_that_something_needs_stay() {
    let live = || DeploymentPhase::Ended(Ending::Live);
    let promotion = DeploymentKind::Promotion;
    // Each case: what is added to 40 releases and 10 ended runs, and which names stay beside r21…r40 and the
    // newest five runs' candidates.
    type Case = (&'static str, fn(&mut State), &'static [&'static str]);
    let cases: &[Case] = &[
        ("nothing else", |_| {}, &[]),
        ("a held run", |state| drop(state.runs.insert(RunId(1), run(RunPhase::Held, Some("c1")))), &["c1"]),
        (
            "what is observed to be live, and its way back",
            |state| {
                let broken = || DeploymentPhase::Ended(Ending::Broken { why: String::new() });
                state
                    .deployments
                    .insert(DeploymentId(1), deployment(1, DeploymentKind::Promotion, broken(), None));
                state
                    .deployments
                    .insert(DeploymentId(2), deployment(2, DeploymentKind::Promotion, broken(), Some(1)));
                state.observed.insert(
                    EnvironmentName::from("production"),
                    Observation {
                        at: Timestamp(0),
                        live: Some(Live { deployment: DeploymentId(2), healthy: true }),
                    },
                );
            },
            &["r1", "r2"],
        ),
        (
            "a deployment under way",
            |state| {
                state.deployments.insert(
                    DeploymentId(1),
                    deployment(4, DeploymentKind::Promotion, DeploymentPhase::Running, None),
                );
            },
            &["r4"],
        ),
    ];
    for (what, add, stay) in cases {
        let (sweep, _) = sweep_of(add);
        let expected: BTreeSet<String> =
            all().into_iter().filter(|name| !kept_anyway(name) && !stay.contains(&name.as_str())).collect();
        assert_eq!(sweep, expected, "{what}");
    }
    // Rollback targets: the newest five releases that were live and not taken back.
    let (sweep, _) = sweep_of(|state| {
        for number in 1..=8 {
            state.deployments.insert(DeploymentId(number), deployment(number, promotion, live(), None));
        }
        let back = DeploymentKind::Rollback { of: DeploymentId(8), automatic: true };
        state.deployments.insert(DeploymentId(9), deployment(7, back, live(), None));
    });
    assert!(sweep.contains("r1") && sweep.contains("r2"));
    for kept in ["r3", "r4", "r5", "r6", "r7", "r8"] {
        assert!(!sweep.contains(kept), "{kept}");
    }
}

#[test]
fn no_artifact_goes_while_one_may_be_building() {
    for phase in [RunPhase::Preparing, RunPhase::Running, RunPhase::Cancelling { now: false }] {
        let (sweep, _) = sweep_of(|state| drop(state.runs.insert(RunId(10), run(phase, None))));
        assert!(sweep.is_empty(), "{phase:?}");
    }
}

fn all() -> BTreeSet<String> {
    let releases = (1..=40).map(|number| format!("r{number}"));
    releases.chain((1..=10).map(|number| format!("c{number}"))).chain(["stray".to_owned()]).collect()
}

fn kept_anyway(name: &str) -> bool {
    let number = |prefix| name.strip_prefix(prefix).and_then(|number: &str| number.parse::<u32>().ok());
    number('r').is_some_and(|number| number > 20) || number('c').is_some_and(|number| number > 5)
}

fn sweep_of(add: impl FnOnce(&mut State)) -> (BTreeSet<String>, State) {
    let mut state = State { releases: (1..=40).map(release).collect(), ..State::default() };
    for number in 1..=10 {
        state.runs.insert(RunId(number), run(ENDED, Some(&format!("c{number}"))));
    }
    add(&mut state);
    (plan(&state, &Present { artifacts: all(), ..Present::default() }).artifacts, state)
}

#[test]
fn what_was_decided_is_deleted_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let layout = Layout {
        repository: root.to_owned(),
        root: ".".to_owned(),
        state: root.join("state"),
        cache: root.join("cache"),
    };
    let write = |path: &str| {
        let path = root.join("state").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    };
    for path in [
        "runs/1/test/1/log/000001.log",
        "runs/2/test/1/log/000001.log",
        "runs/2/test/1/result.json",
        "runs/2/test/1/work/manage.py",
        "runs/3/test/1/work/manage.py",
        "artifacts/old/bin/python",
        "artifacts/.doomed-older/x",
        "artifacts/new/bin/python",
    ] {
        write(path);
    }
    let outside = root.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "x").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("state/artifacts/old/link")).unwrap();
    std::fs::set_permissions(root.join("state/artifacts/old/bin"), Permissions::from_mode(0o555)).unwrap();
    let found = present(&layout).unwrap();
    assert_eq!(numbers(&found.runs), [1, 2, 3]);
    assert_eq!(
        found.artifacts.iter().map(String::as_str).collect::<Vec<_>>(),
        [".doomed-older", "new", "old"]
    );
    let decided = Sweep {
        runs: [RunId(1)].into(),
        directories: [RunId(2)].into(),
        artifacts: [".doomed-older".to_owned(), "old".to_owned()].into(),
        deployments: BTreeMap::new(),
    };
    sweep(&layout, &decided).unwrap();
    let state = root.join("state");
    for gone in
        ["runs/1", "runs/2/test/1/work", "artifacts/old", "artifacts/.doomed-old", "artifacts/.doomed-older"]
    {
        assert!(!state.join(gone).exists(), "{gone}");
    }
    for stays in [
        "runs/2/test/1/log/000001.log",
        "runs/2/test/1/result.json",
        "runs/3/test/1/work/manage.py",
        "artifacts/new/bin/python",
    ] {
        assert!(state.join(stays).exists(), "{stays}");
    }
    assert!(outside.join("precious").exists(), "links are not followed");
}

#[test]
fn old_deployments_go_with_their_replicas_unless_something_of_them_runs() {
    let mut state = State::default();
    let (number, release) = release(1);
    state.releases.insert(number, release.clone());
    let started = |of: u64, begun: bool| {
        let mut started =
            deployment(1, DeploymentKind::Promotion, DeploymentPhase::Ended(Ending::Live), None);
        let environment = started.environment.clone();
        let target = Target { environment, release: number, artifact: release.artifact.clone() };
        let work = Work::Start(Replicas { target, role: format!("web{of}"), first: 1, count: 1, of: None });
        let step = Step {
            id: "start".into(),
            group: String::new(),
            needs: Vec::new(),
            work,
            timeout: crate::domain::time::Millis(1),
            retries: 0,
            skip: None,
        };
        started.plan = Plan::new(PlanParts::default(), vec![step]);
        let state = StepState { attempt: u32::from(begun), ..StepState::default() };
        started.steps = [("start".into(), state)].into();
        started
    };
    let all = u64::try_from(DEPLOYMENTS_WITH_LOGS).unwrap() + 2;
    for of in 1..=all {
        // The second one's replica was started and never stopped.
        state.deployments.insert(DeploymentId(of), started(of, of == 2));
    }
    let present = Present { deployments: (1..=all + 1).map(DeploymentId).collect(), ..Present::default() };
    let going = plan(&state, &present).deployments;
    assert_eq!(going.keys().map(|id| id.0).collect::<Vec<_>>(), [1]);
    assert_eq!(going[&DeploymentId(1)].iter().map(ToString::to_string).collect::<Vec<_>>(), ["web1-1 of #1"]);
}

#[test]
fn a_run_that_keeps_something_on_an_engine_keeps_its_directory() {
    let mut state = State::default();
    let count = u64::try_from(RUNS_WITH_LOGS).unwrap() + 1;
    for number in 1..=count {
        state.runs.insert(RunId(number), run(RunPhase::Ended(RunEnd::Failed), None));
    }
    let present = Present { runs: [RunId(1)].into(), ..Present::default() };
    assert_eq!(plan(&state, &present).runs, [RunId(1)].into());
    let key = AttemptKey { owner: Owner::Run(RunId(1)), step: StepId::from("test"), attempt: 1 };
    state.kept.push(KeptOnEngine { key, until: Timestamp(0) });
    assert_eq!(plan(&state, &present), Sweep::default());
}
