//! One deployment at a time, whichever machine starts it: the lease on real engines.

use std::path::Path;

use bollard::Docker;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, InspectContainerOptions,
    RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::StreamExt as _;
use towpath::docker::Engine;
use towpath::docker::lease::{Asker, Lease, Refusal};
use towpath::domain::ids::{DeploymentId, EnvironmentName, Epoch};
use towpath::domain::project::Host;

use super::engines::{self, Dockerd, wait};

const ENVIRONMENT: &str = "production";

/// A project of one test; what is left of its lease goes when it is dropped.
struct Project {
    name: String,
    environment: EnvironmentName,
    urls: Vec<String>,
}

impl Project {
    fn new(test: &str, urls: &[String]) -> Self {
        let name = format!("test{}{test}", std::process::id());
        Self { name, environment: EnvironmentName(ENVIRONMENT.to_owned()), urls: urls.to_vec() }
    }

    fn container(&self) -> String {
        format!("towpath-lease-{}-{ENVIRONMENT}", self.name)
    }

    fn lease<'a>(&'a self, engines: &'a [Engine]) -> Lease<'a> {
        Lease::new(engines, &self.name, &self.environment)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for url in &self.urls {
            let options = RemoveContainerOptionsBuilder::new().force(true).build();
            wait(async {
                drop(engines::client(url).remove_container(&self.container(), Some(options)).await);
            });
        }
    }
}

fn asker(name: &str) -> Asker {
    Asker::here(Path::new(name), Path::new("/repository"))
}

async fn connect(urls: &[String]) -> Vec<Engine> {
    let mut engines = Vec::new();
    for url in urls {
        let host =
            Host { name: format!("app{}", engines.len() + 1), url: url.clone(), address: None, tls: None };
        engines.push(Engine::connect(&host, Path::new("/")).await.unwrap());
    }
    engines
}

async fn is_there(client: &Docker, name: &str) -> bool {
    client.inspect_container(name, None::<InspectContainerOptions>).await.is_ok()
}

/// Makes the heartbeat as old as it would be had its holder been paused for long.
async fn forget(client: &Docker, container: &str) {
    let options = DownloadFromContainerOptionsBuilder::new().path("/towpath-lease.json").build();
    let pieces: Vec<_> = client.download_from_container(container, Some(options)).collect().await;
    let archive: Vec<u8> = pieces.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
    let mut archive = tar::Archive::new(archive.as_slice());
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    let mut record: serde_json::Value = serde_json::from_reader(entry).unwrap();
    assert!(record["heartbeat"].as_i64().unwrap() > 0);
    record["heartbeat"] = 1.into();
    let text = record.to_string();
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    let mut made = tar::Builder::new(Vec::new());
    made.append_data(&mut header, "towpath-lease.json", text.as_bytes()).unwrap();
    let body = bollard::body_full(made.into_inner().unwrap().into());
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    client.upload_to_container(container, Some(options), body).await.unwrap();
}

fn held<T: std::fmt::Debug>(result: Result<T, Refusal>) -> String {
    match result {
        Err(Refusal::Held(said) | Refusal::Stale(said)) => said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_that_ask_at_once_exactly_one_has_it() {
    let Some(url) = engines::docker() else { return };
    let project = Project::new("race", &[url]);
    wait(async {
        let engines = connect(&project.urls).await;
        let lease = project.lease(&engines);
        let (one, other) = (asker("one"), asker("other"));
        let mut before = Epoch(0);
        for round in 1..=25 {
            let (first, second) = tokio::join!(
                lease.acquire(&one, DeploymentId(round)),
                lease.acquire(&other, DeploymentId(round + 100))
            );
            let (winner, deployment, epoch, loser) = match (first, second) {
                (Ok(epoch), denied) => (&one, round, epoch, denied),
                (denied, Ok(epoch)) => (&other, round + 100, epoch, denied),
                both => panic!("nobody has it: {both:?}"),
            };
            let said = held(loser);
            assert!(said.contains("for deployment #"), "{said}");
            assert!(epoch > before, "the epoch only grows: {epoch:?} after {before:?}");
            before = epoch;
            lease.check(epoch).await.unwrap();
            if round % 2 == 0 {
                lease.renew(winner, DeploymentId(deployment), epoch).await.unwrap();
                // The next round's two find one that has run out, and both try to take it over.
                forget(engines[0].client(), &project.container()).await;
            } else {
                lease.release(winner, epoch).await.unwrap();
                assert!(!is_there(engines[0].client(), &project.container()).await);
            }
        }
    });
}

#[test]
fn a_holder_that_was_paused_finds_itself_refused_and_does_no_harm() {
    let Some(url) = engines::docker() else { return };
    let project = Project::new("paused", &[url]);
    wait(async {
        let engines = connect(&project.urls).await;
        let lease = project.lease(&engines);
        let (one, other) = (asker("one"), asker("other"));
        let epoch = lease.acquire(&one, DeploymentId(1)).await.unwrap();
        // The same deployment after its console was started again; and its rollback, which another then is told of.
        assert_eq!(lease.acquire(&one, DeploymentId(1)).await, Ok(epoch));
        lease.renew(&one, DeploymentId(2), epoch).await.unwrap();
        let said = held(lease.acquire(&other, DeploymentId(7)).await);
        assert!(said.contains("deployment #2 of /repository") && said.contains("since"), "{said}");
        let (shown, holder) = lease.holder(&other).await.unwrap().unwrap();
        assert!(shown == epoch && !holder.ours && holder.what.contains("#2"), "{holder:?}");

        forget(engines[0].client(), &project.container()).await;
        assert!(held(lease.check(epoch).await).contains("nobody renews it"));
        let next = lease.acquire(&other, DeploymentId(7)).await.unwrap();
        assert!(next > epoch);
        assert!(held(lease.check(epoch).await).contains("deployment #7"));
        assert!(held(lease.renew(&one, DeploymentId(2), epoch).await).contains("took it"));
        lease.release(&one, epoch).await.unwrap();
        lease.check(next).await.unwrap();

        // An operator breaks what was shown, not what is there by now.
        assert!(held(lease.break_off(epoch).await).contains("changed hands"));
        assert!(lease.break_off(next).await.unwrap().unwrap().contains("deployment #7"));
        assert!(held(lease.check(next).await).contains("gone"));
        assert!(held(lease.renew(&other, DeploymentId(7), next).await).contains("gone"));
        assert_eq!(lease.holder(&one).await, Ok(None));
    });
}

#[test]
fn a_strangers_container_under_its_name_is_left_alone() {
    let Some(url) = engines::docker() else { return };
    let project = Project::new("stranger", std::slice::from_ref(&url));
    let image = engines::empty_image(&url);
    wait(async {
        let engines = connect(&project.urls).await;
        let client = engines[0].client();
        let options = CreateContainerOptionsBuilder::new().name(&project.container()).build();
        let body = ContainerCreateBody {
            image: Some(image),
            cmd: Some(vec!["x".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let id = client.create_container(Some(options), body).await.unwrap().id;
        let lease = project.lease(&engines);
        let said = held(lease.acquire(&asker("one"), DeploymentId(1)).await);
        assert!(said.contains("not towpath's") && said.contains("left as it is"), "{said}");
        lease.release(&asker("one"), Epoch(1)).await.unwrap();
        assert!(held(lease.break_off(Epoch(1)).await).contains("not towpath's"));
        assert!(is_there(client, &id).await);
    });
}

#[test]
fn over_two_engines_it_is_all_or_nothing() {
    let (Some(one), Some(mut two)) = (Dockerd::start(), Dockerd::start()) else { return };
    let mut urls = vec![one.url(), two.url()];
    urls.sort();
    let project = Project::new("both", &urls);
    wait(async {
        let mut engines = connect(&urls).await;
        let last = connect(&urls[1..]).await;
        let (first, second) = (asker("first"), asker("second"));
        let there = project.lease(&last).acquire(&second, DeploymentId(9)).await.unwrap();
        // Named the other way round: they are asked in the same order nevertheless.
        engines.reverse();
        let lease = project.lease(&engines);
        assert!(held(lease.acquire(&first, DeploymentId(1)).await).contains("deployment #9"));
        assert!(!is_there(engines[1].client(), &project.container()).await, "what it took is given back");
        project.lease(&last).release(&second, there).await.unwrap();

        let epoch = lease.acquire(&first, DeploymentId(1)).await.unwrap();
        assert!(epoch > there);
        lease.renew(&first, DeploymentId(1), epoch).await.unwrap();
        // An engine that cannot be asked is not one whose lease was lost.
        two.stop();
        for refused in [lease.check(epoch).await, lease.renew(&first, DeploymentId(1), epoch).await] {
            assert!(matches!(refused, Err(Refusal::Unasked(_))), "{refused:?}");
        }
        assert!(matches!(lease.acquire(&second, DeploymentId(2)).await, Err(Refusal::Unasked(_))));
        two.again();
        // It outlives its engine's restart.
        lease.check(epoch).await.unwrap();
        lease.release(&first, epoch).await.unwrap();
        for engine in &engines {
            assert!(!is_there(engine.client(), &project.container()).await);
        }
    });
}
