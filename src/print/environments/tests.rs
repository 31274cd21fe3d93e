use super::*;
use crate::domain::ids::{ReleaseNumber, ReplicaKey};
use crate::domain::plan::Verdict;
use crate::domain::time::Millis;
use crate::print::fixtures::Story;

fn replica(deployment: DeploymentId, role: &str, index: u32, state: ReplicaState) -> ReplicaSample {
    ReplicaSample {
        key: ReplicaKey { environment: "staging".into(), deployment, role: role.to_owned(), index },
        release: ReleaseNumber(1),
        state,
        since: Timestamp(0),
        restarts: u32::from(state == ReplicaState::Backoff) * 3,
        last_exit: (state == ReplicaState::Backoff).then(|| "exit code 1".to_owned()),
        pid: Some(7),
        port: Some(8001),
        weight: None,
        memory: Some(64_000_000),
        memory_limit: None,
        cpu_permille: None,
        host: None,
        health: None,
        oom: false,
    }
}

fn answer(at: i64, healthy: bool) -> Sample {
    Sample::Http {
        environment: "staging".into(),
        at: Timestamp(at),
        answer: HttpSample {
            asked: "http://localhost:8000/health".to_owned(),
            status: healthy.then_some(200),
            latency: Millis(38),
            healthy,
            why: if healthy { "200 OK" } else { "connection refused" }.to_owned(),
            deployment: None,
        },
    }
}

/// v1 is live on staging and measured; v2 is held there by a step that could not be checked.
fn story() -> (Story, Measured) {
    let mut story = Story::new();
    let first = story.goes_live("staging", 1);
    let second = story.promotes("staging", 2);
    story.walks(second, Some("migrate"));
    story.ends(second, Verdict::Inconclusive { reason: "the lock was not had".to_owned() }, &[]);
    let mut measured = Measured::default();
    assert!(!measured.is_complete(&story.state));
    measured.take(Sample::Replicas {
        environment: "staging".into(),
        at: Timestamp(9),
        replicas: vec![
            replica(first, "web", 1, ReplicaState::Up),
            replica(first, "web", 2, ReplicaState::Up),
            replica(first, "worker", 1, ReplicaState::Backoff),
        ],
    });
    assert!(!measured.is_complete(&story.state));
    measured.take(answer(story.now().0 - 1_000, true));
    assert!(measured.is_complete(&story.state), "production runs nothing and is not waited for");
    (story, measured)
}

#[test]
fn an_environment_is_a_block() {
    let (story, measured) = story();
    let blocks = |style: &Style| blocks(style, &story.state, &measured, story.now(), "").join("\n");
    insta::assert_snapshot!("blocks", blocks(&Style::bare()));
    let ascii = blocks(&Style { ascii: true, ..Style::bare() });
    assert!(ascii.is_ascii(), "{ascii}");
}

#[test]
fn an_environment_is_a_line() {
    let (story, _) = story();
    insta::assert_snapshot!("brief", brief(&Style::bare(), &story.state, story.now()).join("\n"));
}

#[test]
fn an_older_sample_does_not_replace_a_newer_one() {
    let mut measured = Measured::default();
    measured.take(answer(20, true));
    measured.take(answer(10, false));
    assert!(measured.answers[&"staging".into()].1.healthy);
    measured.take(answer(30, false));
    assert!(!measured.answers[&"staging".into()].1.healthy);
}

#[test]
fn a_program_is_told_the_same() {
    let (story, measured) = story();
    let objects = objects(&story.state, &measured);
    let [production, staging] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(production["live"], Value::Null);
    assert_eq!(production["protected"], Value::Bool(true));
    assert_eq!(staging["live"]["release"], json!(1));
    assert_eq!(staging["under_way"]["phase"]["kind"], json!("held"));
    assert_eq!(staging["replicas"]["replicas"].as_array().unwrap().len(), 3);
    assert_eq!(staging["http"]["answer"]["healthy"], json!(true));
    assert_eq!(staging["traffic"], json!([{ "deployment": 1, "weight": 100 }]));
}
