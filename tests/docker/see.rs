//! What is seen of containers: their states, their numbers, their logs.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    StartContainerOptions, StopContainerOptionsBuilder,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use towpath::docker::labels;
use towpath::docker::seen::{Reached, Seen};
use towpath::docker::watch::{Watch, Whose};
use towpath::domain::health::ReplicaState;
use towpath::domain::ids::{DeploymentId, EnvironmentName, ReplicaKey};
use towpath::domain::project::{Host, SecretSource};
use towpath::runtime::container_log::Follow;
use towpath::store::segment::{Reader, Source};
use towpath::text::width;

use super::engines::{self, Dockerd};

/// How long a condition is waited for before a test gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// A project of the test's own on an engine. Its containers go with it.
struct Project {
    url: String,
    name: String,
    client: Docker,
    image: String,
}

impl Project {
    fn on(url: &str) -> Option<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let image = engines::python_image(url)?;
        let name = format!("towpath-see-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Some(Self { url: url.to_owned(), name, client: engines::client(url), image })
    }

    fn key(index: u32) -> ReplicaKey {
        let environment = EnvironmentName("production".to_owned());
        ReplicaKey { environment, deployment: DeploymentId(1), role: "web".to_owned(), index }
    }

    fn whose(&self, url: &str) -> Whose {
        Whose {
            host: Host { url: url.to_owned(), ..Host::usual() },
            home: PathBuf::from("/"),
            project: self.name.clone(),
            environment: EnvironmentName("production".to_owned()),
        }
    }

    fn watch(&self) -> Arc<Watch> {
        Arc::new(Watch::begin(self.whose(&self.url)))
    }

    /// A replica that runs this Python; `also` changes what is asked of the engine.
    async fn replica(&self, index: u32, python: &str, also: impl FnOnce(&mut ContainerCreateBody)) -> String {
        let key = Self::key(index);
        let mut body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(["python3", "-u", "-c", python].map(ToOwned::to_owned).to_vec()),
            labels: Some(labels::of_replica(&self.name, &key).into_iter().collect()),
            // No network: none of this is about one.
            host_config: Some(HostConfig { network_mode: Some("none".to_owned()), ..HostConfig::default() }),
            ..ContainerCreateBody::default()
        };
        also(&mut body);
        let name = labels::replica(&self.name, &key);
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let made = self.client.create_container(Some(options), body).await.unwrap();
        self.client.start_container(&name, None::<StartContainerOptions>).await.unwrap();
        made.id
    }

    async fn remove(&self, id: &str) {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let _ = self.client.remove_container(id, Some(options)).await;
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let (url, label) = (self.url.clone(), format!("{}={}", labels::PROJECT, self.name));
        engines::wait(async move {
            let client = engines::client(&url);
            let filters = HashMap::from([("label".to_owned(), vec![label])]);
            let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
            for one in client.list_containers(Some(options)).await.unwrap_or_default() {
                let options = RemoveContainerOptionsBuilder::new().force(true).build();
                let _ = client.remove_container(&one.id.unwrap_or_default(), Some(options)).await;
            }
        });
    }
}

/// Waits until what is seen is as wanted.
async fn until(watch: &Watch, what: &str, wanted: impl Fn(&Seen) -> bool) -> Arc<Seen> {
    let mut changes = watch.changes();
    let seen = tokio::time::timeout(PATIENCE, changes.wait_for(|seen| wanted(seen))).await;
    match seen {
        Ok(Ok(seen)) => Arc::clone(&seen),
        _ => panic!("never seen: {what}: {:#?}", watch.seen()),
    }
}

fn is(seen: &Seen, index: u32, state: ReplicaState) -> bool {
    seen.state(&Project::key(index)) == state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_seen_through_all_that_happens_to_it() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    let watch = project.watch();
    let key = Project::key(1);
    until(&watch, "an engine without containers", |seen| {
        seen.is_reached() && is(seen, 1, ReplicaState::Gone)
    })
    .await;

    // Its health turns when a file is there.
    let id = project
        .replica(1, "import time\nwhile True: time.sleep(1)", |body| {
            let test = ["CMD", "python3", "-c", "import os,sys; sys.exit(os.path.exists('/sick'))"];
            body.healthcheck = Some(HealthConfig {
                test: Some(test.map(ToOwned::to_owned).to_vec()),
                interval: Some(500_000_000),
                retries: Some(1),
                ..HealthConfig::default()
            });
        })
        .await;
    let health =
        |seen: &Seen, word: &str| seen.find(&key).is_some_and(|(_, one)| one.health.as_deref() == Some(word));
    let seen =
        until(&watch, "up and healthy", |seen| is(seen, 1, ReplicaState::Up) && health(seen, "healthy"))
            .await;
    assert_eq!(seen.find(&key).unwrap().0, id);
    until(&watch, "numbers", |seen| {
        seen.find(&key).is_some_and(|(_, one)| {
            one.memory.is_some_and(|bytes| bytes > 1 << 20) && one.cpu_permille.is_some()
        })
    })
    .await;
    let exec = bollard::models::ExecConfig {
        cmd: Some(["touch", "/sick"].map(ToOwned::to_owned).to_vec()),
        ..Default::default()
    };
    let exec = project.client.create_exec(&id, exec).await.unwrap();
    project.client.start_exec(&exec.id, None::<bollard::exec::StartExecOptions>).await.unwrap();
    until(&watch, "unhealthy", |seen| health(seen, "unhealthy")).await;

    project.client.pause_container(&id).await.unwrap();
    let seen = until(&watch, "paused", |seen| is(seen, 1, ReplicaState::Stopped)).await;
    assert_eq!(seen.find(&key).unwrap().1.last_exit().unwrap(), "paused by somebody");
    project.client.unpause_container(&id).await.unwrap();
    until(&watch, "up again", |seen| is(seen, 1, ReplicaState::Up)).await;

    // By hand: no restart policy, so it stays.
    let options = StopContainerOptionsBuilder::new().t(0).build();
    project.client.stop_container(&id, Some(options)).await.unwrap();
    let seen = until(&watch, "stopped", |seen| is(seen, 1, ReplicaState::Stopped)).await;
    let (_, one) = seen.find(&key).unwrap();
    assert_eq!(one.last_exit().unwrap(), "exit code 137: killed (signal 9)");
    assert_eq!((one.memory, one.health.as_deref()), (None, None));
    project.client.start_container(&id, None::<StartContainerOptions>).await.unwrap();
    until(&watch, "started by hand", |seen| is(seen, 1, ReplicaState::Up)).await;
    project.remove(&id).await;
    until(&watch, "removed by hand", |seen| is(seen, 1, ReplicaState::Gone)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_exit_codes_and_ends_for_want_of_memory_are_seen() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    let watch = project.watch();
    let policy = |body: &mut ContainerCreateBody| {
        let always = RestartPolicy { name: Some(RestartPolicyNameEnum::ALWAYS), maximum_retry_count: None };
        let config = body.host_config.get_or_insert_default();
        config.restart_policy = Some(always);
    };
    project.replica(1, "import sys; sys.exit(3)", policy).await;
    let crashing = until(&watch, "two restarts", |seen| {
        seen.find(&Project::key(1)).is_some_and(|(_, one)| one.restarts >= 2 && one.exit == Some(3))
    })
    .await;
    assert_eq!(crashing.find(&Project::key(1)).unwrap().1.last_exit().unwrap(), "exit code 3");
    until(&watch, "the pause between restarts", |seen| is(seen, 1, ReplicaState::Backoff)).await;

    let greedy = "hoard = []\nwhile True: hoard.append(b'x' * (1 << 20))";
    project
        .replica(2, greedy, |body| {
            let config = body.host_config.get_or_insert_default();
            (config.memory, config.memory_swap) = (Some(32 << 20), Some(32 << 20));
        })
        .await;
    let seen = until(&watch, "an end for want of memory", |seen| {
        seen.find(&Project::key(2)).is_some_and(|(_, one)| one.oom && one.state == ReplicaState::Stopped)
    })
    .await;
    let (_, one) = seen.find(&Project::key(2)).unwrap();
    assert_eq!(one.memory_limit, Some(32 << 20));
    assert!(one.last_exit().unwrap().ends_with("ended for want of memory"), "{:?}", one.last_exit());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_goes_is_unknown_and_its_containers_are_found_again() {
    if engines::docker().is_none() {
        return;
    }
    let Some(mut dockerd) = Dockerd::start() else { return };
    let Some(project) = Project::on(&dockerd.url()) else { return };
    let stays = project.replica(1, "import time\ntime.sleep(3600)", |_| {}).await;
    let goes = project.replica(2, "import time\ntime.sleep(3600)", |_| {}).await;
    let watch = project.watch();
    until(&watch, "both up", |seen| is(seen, 1, ReplicaState::Up) && is(seen, 2, ReplicaState::Up)).await;
    dockerd.stop();
    let lost = until(&watch, "the engine is lost", |seen| matches!(seen.reached, Reached::No(_))).await;
    assert!(is(&lost, 1, ReplicaState::Unknown) && is(&lost, 2, ReplicaState::Unknown));
    let Reached::No(why) = &lost.reached else { panic!() };
    assert!(!why.is_empty() && !why.contains('\n'), "{why}");
    dockerd.again();
    // While nobody looked: one was started, the other removed.
    project.client.start_container(&stays, None::<StartContainerOptions>).await.unwrap();
    project.remove(&goes).await;
    let back =
        until(&watch, "found again", |seen| is(seen, 1, ReplicaState::Up) && is(seen, 2, ReplicaState::Gone))
            .await;
    assert!(back.is_reached() && back.since > lost.since);
    drop(project);
}

/// Between a client and an engine: counts the requests.
struct Counting {
    url: String,
    requests: Arc<AtomicUsize>,
    logs: Arc<AtomicUsize>,
    _directory: tempfile::TempDir,
}

fn counting(url: &str) -> Counting {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let (requests, logs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let real = url.strip_prefix("unix://").unwrap().to_owned();
    let (count, count_logs) = (Arc::clone(&requests), Arc::clone(&logs));
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (real, count, count_logs) = (real.clone(), Arc::clone(&count), Arc::clone(&count_logs));
            tokio::spawn(async move {
                let far = tokio::net::UnixStream::connect(real).await.unwrap();
                let ((mut near_in, mut near_out), (mut far_in, mut far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
                let mut buffer = vec![0; 64 << 10];
                // A request without a body is sent in one piece.
                while let Ok(length @ 1..) = near_in.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    count.fetch_add(text.matches(" HTTP/1.1\r\n").count(), Ordering::SeqCst);
                    count_logs.fetch_add(text.matches("/logs?").count(), Ordering::SeqCst);
                    if far_out.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    Counting { url: format!("unix://{}", path.display()), requests, logs, _directory: directory }
}

fn follow(
    watch: &Arc<Watch>,
    index: u32,
    directory: &Path,
    secret: Option<&str>,
) -> tokio::task::JoinHandle<()> {
    let secrets = secret.map(|_| ("PASSWORD".to_owned(), SecretSource::Env("SOURCE".to_owned())));
    let follow = Follow {
        watch: Arc::clone(watch),
        key: Project::key(index),
        directory: directory.to_owned(),
        secrets: secrets.into_iter().collect(),
        home: PathBuf::from("/"),
        env: secret
            .map(|value| ("SOURCE".to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    };
    tokio::spawn(follow.run())
}

fn said(directory: &Path) -> Vec<String> {
    let reader = Reader::open(directory).unwrap();
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let lines = reader.from(from, 10_000).unwrap();
        let Some(last) = lines.last() else { return all };
        from = last.number + 1;
        all.extend(
            lines
                .into_iter()
                .filter(|line| line.source != Source::Towpath)
                .map(|line| width::plain(&line.text)),
        );
    }
}

async fn until_said(directory: &Path, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    let began = Instant::now();
    loop {
        let lines = said(directory);
        if wanted(&lines) {
            return lines;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "never said: {what}; the last of {}: {:?}",
            lines.len(),
            lines.last()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_idle_containers_cost_no_request_and_many_readers_one_stream() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    for index in 1..=10 {
        project.replica(index, "import time\nprint('begun')\ntime.sleep(3600)", |_| {}).await;
    }
    let counting = counting(&url);
    let watch = Arc::new(Watch::begin(project.whose(&counting.url)));
    let directory = tempfile::tempdir().unwrap();
    let follower = follow(&watch, 1, directory.path(), None);
    let readers = [Reader::open(directory.path()).unwrap(), Reader::open(directory.path()).unwrap()];
    let all = |seen: &Seen| seen.containers.values().filter(|one| one.cpu_permille.is_some()).count() == 10;
    until(&watch, "the numbers of all ten", all).await;
    until_said(directory.path(), "its line", |lines| lines == ["begun"]).await;
    let before = counting.requests.load(Ordering::SeqCst);
    // Five more rounds of numbers: time in which a poll would have shown.
    let began = Instant::now();
    let mut changes = watch.changes();
    for _ in 0..5 {
        changes.changed().await.unwrap();
    }
    let after = counting.requests.load(Ordering::SeqCst);
    eprintln!(
        "{before} requests to begin, {} in {:?} idle with 10 containers",
        after - before,
        began.elapsed()
    );
    assert_eq!(after, before);
    for mut reader in readers {
        assert!(reader.poll().unwrap().iter().any(|line| line.text == "begun"));
    }
    assert_eq!(counting.logs.load(Ordering::SeqCst), 1);
    follower.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_begins_with_its_end_and_goes_on_without_loss_or_repetition() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    // 5,000 lines at once, then one every 2 ms by both streams in turn, with the secret in between.
    let python = "import sys, time\n\
        for n in range(5000): print('old', n)\n\
        for n in range(3000):\n\
        \x20print('line', n, 'hunter22-secret' if n % 100 == 0 else '', file=[sys.stdout, sys.stderr][n % 2])\n\
        \x20if n % 10 == 0: time.sleep(0.02)\n\
        print('over')\n";
    let watch = project.watch();
    project.replica(1, python, |_| {}).await;
    let mut follower = follow(&watch, 1, &log, Some("hunter22-secret"));
    // Cut off again and again, wherever it is.
    for wanted in [200, 700, 1100, 1900] {
        let has = |lines: &[String]| lines.iter().filter(|line| line.starts_with("line ")).count() >= wanted;
        until_said(&log, &format!("{wanted} lines"), has).await;
        follower.abort();
        let _ = follower.await;
        follower = follow(&watch, 1, &log, Some("hunter22-secret"));
    }
    let lines = until_said(&log, "the end", |lines| lines.iter().any(|line| line == "over")).await;
    follower.abort();
    assert!(!lines.iter().any(|line| line.contains("hunter22")));
    assert!(lines.iter().any(|line| line.trim_end() == "line 100 •••"));
    for parity in [0, 1] {
        let numbers = lines
            .iter()
            .filter_map(|line| line.strip_prefix("line ")?.split(' ').next()?.parse::<u32>().ok());
        let numbers: Vec<u32> = numbers.filter(|n| n % 2 == parity).collect();
        let wanted: Vec<u32> = (0..3000).filter(|n| n % 2 == parity).collect();
        assert_eq!(numbers, wanted, "each line once, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_waits_until_its_secrets_are_known() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    let directory = tempfile::tempdir().unwrap();
    let watch = project.watch();
    project.replica(1, "print('password-4711')", |_| {}).await;
    let follow = Follow {
        watch: Arc::clone(&watch),
        key: Project::key(1),
        directory: directory.path().to_owned(),
        secrets: BTreeMap::from([("A".to_owned(), SecretSource::Env("NOT_SET".to_owned()))]),
        home: PathBuf::from("/"),
        env: BTreeMap::new(),
    };
    let follower = tokio::spawn(follow.run());
    let began = Instant::now();
    loop {
        let lines = Reader::open(directory.path()).unwrap().tail(10).unwrap();
        if lines
            .iter()
            .any(|line| line.source == Source::Towpath && line.text.contains("waits until it is known"))
        {
            break;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(said(directory.path()), [""; 0]);
    follower.abort();
}

/// Numbers for the record: `cargo test --test docker -- --ignored --nocapture a_million`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute and asserts nothing about time"]
async fn a_million_lines_of_backlog_are_measured() {
    let Some(url) = engines::docker() else { return };
    let Some(project) = Project::on(&url) else { return };
    let directory = tempfile::tempdir().unwrap();
    let watch = project.watch();
    let python = "import time\n\
        for n in range(1000000): print('line', n, 'x' * 60)\n\
        print('newest', flush=True)\ntime.sleep(3600)";
    let id = project.replica(1, python, |body| body.cmd.as_mut().unwrap()[1] = "-B".to_owned()).await;
    let _ = id;
    tokio::time::sleep(Duration::from_secs(45)).await;
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let before = resident();
    let began = Instant::now();
    let follower = follow(&watch, 1, directory.path(), None);
    until_said(directory.path(), "the newest line", |lines| {
        lines.last().is_some_and(|line| line == "newest")
    })
    .await;
    eprintln!(
        "newest line after {:?}; memory {} KiB before, {} KiB after",
        began.elapsed(),
        before,
        resident()
    );
    follower.abort();
}
