//! Bad days on engines of the test's own: each deployment ends as it should, in words that help; what was live stays
//! live, and nothing is left. One pipeline run makes the release; each story has environments of its own.
//!
//! Told elsewhere: a disk that is full and a registry that is sick (`tests/docker_images`), a lease's holder that was
//! paused (`lease`), steps in an image without a shell (`tests/stages`).

mod cut;
mod loud;
mod names;
mod prune;
mod replicas;
mod restart;
mod second;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use bollard::models::ContainerInspectResponse;
use towpath::docker::labels;

use super::engines::{self, Dockerd};
use super::three::remove_all;
use super::words;
use super::world::{Clone, Said, World, wait_for};

/// A release, and engines to deploy it to.
pub(super) struct Days<'a> {
    shop: Clone<'a>,
    one: Dockerd,
    two: Dockerd,
    usual: String,
    /// Which hosts each environment has been on.
    hosts: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// A host, as `towpath.toml` has it.
pub(super) fn host(name: &str, engine: &Dockerd) -> String {
    format!("{{ url = \"{}\", name = \"{name}\", address = \"{}\" }}", engine.url(), engine.address())
}

/// An environment's lines: one replica a host, nobody before it.
pub(super) fn lines(hosts: &[String]) -> String {
    format!(
        "replicas = {{ web = {}, beat = 0 }}\nstrategy = \"blue-green\"\nbake = \"0s\"\nhealth = {{ path = \"/health\", start = \
         \"60s\", interval = \"500ms\" }}\nhosts = [{}]",
        hosts.len(),
        hosts.join(", ")
    )
}

impl Days<'_> {
    fn configure(&self, environment: &str, lines: &str, env: &[(&str, &str)]) {
        self.shop.environment(environment, lines, env);
        let mut hosts = self.hosts.lock().unwrap();
        let urls = lines.split('"').filter(|part| part.starts_with("unix://") && !part.contains("cut"));
        hosts.entry(environment.to_owned()).or_default().extend(urls.map(str::to_owned));
    }

    /// Configures an environment and makes the release live in it; the number of the deployment.
    #[track_caller]
    fn live(&self, environment: &str, lines: &str, env: &[(&str, &str)]) -> u64 {
        self.configure(environment, lines, env);
        self.shop.towpath(&["promote", environment, "--release", "1", "--plain"]).ends(0);
        self.shop.newest(environment)
    }

    #[track_caller]
    fn redeploy(&self, title: &str, environment: &str) -> Said {
        words(title, self.shop.towpath(&["redeploy", environment, "--plain"]))
    }

    /// The newest deployment that did not end live.
    fn failed(&self, environment: &str) -> u64 {
        let not_live = |number: &u64| !self.shop.ending(*number).contains("\"live\"");
        self.shop.deployments(environment).into_iter().rfind(not_live).expect("one that failed")
    }

    /// The deployment whose replicas run in an environment: the newest that ended live and was no rollback, which has
    /// none of its own.
    fn lives(&self, environment: &str) -> u64 {
        let deployments = self.shop.deployments(environment);
        let ran = |number: &u64| {
            self.shop.ending(*number).contains("\"live\"") && self.shop.has_begun(*number, "start web")
        };
        deployments.into_iter().rfind(ran).expect("one that is live")
    }

    /// Nothing of ours is anywhere but what should be: no lease, nothing that was run once, and of replicas only the
    /// live deployment's run.
    fn tidy(&self) {
        let hosts = self.hosts.lock().unwrap().clone();
        for (environment, urls) in hosts {
            let live = self.lives(&environment);
            for url in urls {
                lease_is_given_back(&url, &environment);
                for (name, label, state) in listed(&url, &environment) {
                    let of = |label_: &str| label.get(label_).map(String::as_str);
                    let what = format!("{name} of {environment} on {url} is {state}");
                    assert_eq!(of(labels::KIND), Some("replica"), "{what}");
                    let is_live = of(labels::DEPLOYMENT) == Some(&live.to_string());
                    assert!(is_live || state != "running", "{what}, and d{live} is live");
                }
            }
        }
    }
}

/// A lease is given back a moment after its deployment's end was told.
#[track_caller]
fn lease_is_given_back(url: &str, environment: &str) {
    let is_lease =
        |label: &BTreeMap<String, String>| label.get(labels::KIND).is_some_and(|kind| kind == "lease");
    wait_for(&format!("the lease of {environment} on {url} is given back"), || {
        !listed(url, environment).iter().any(|(_, label, _)| is_lease(label))
    });
}

/// The containers of an environment on an engine: names, labels, states.
fn listed(url: &str, environment: &str) -> Vec<(String, BTreeMap<String, String>, String)> {
    let wanted = vec![format!("{}=shop", labels::PROJECT), format!("{}={environment}", labels::ENVIRONMENT)];
    let listed = engines::wait(async {
        let options = bollard::query_parameters::ListContainersOptions {
            all: true,
            filters: Some([("label".to_owned(), wanted)].into_iter().collect()),
            ..Default::default()
        };
        engines::client(url).list_containers(Some(options)).await.unwrap()
    });
    let told = listed.into_iter().map(|one| {
        let name = one.names.unwrap_or_default().concat().trim_start_matches('/').to_owned();
        let labels = one.labels.unwrap_or_default().into_iter().collect();
        (name, labels, one.state.map(|state| state.to_string()).unwrap_or_default())
    });
    told.collect()
}

/// A container as its engine has it; `None` when there is none.
fn container(url: &str, name: &str) -> Option<ContainerInspectResponse> {
    engines::wait(async { engines::client(url).inspect_container(name, None).await.ok() })
}

/// Which container it is, and since when it runs: both change when somebody touches it.
#[track_caller]
fn runs(url: &str, name: &str) -> (String, String) {
    let there = container(url, name).unwrap_or_else(|| panic!("there is no {name}"));
    let state = there.state.unwrap();
    assert_eq!(state.running, Some(true), "{name} does not run: {state:?}");
    (there.id.unwrap(), state.started_at.unwrap())
}

/// The name of an environment's first asked replica.
fn web(environment: &str, deployment: u64) -> String {
    format!("shop-{environment}-web-d{deployment}-1")
}

/// Everything that this test has on the machine's engine goes with it.
struct Gone(String);

impl Drop for Gone {
    fn drop(&mut self) {
        let url = self.0.clone();
        engines::wait(async { remove_all(&engines::client(&url), "towpath.project=shop").await });
    }
}

/// Tells stories side by side; says all that went wrong, not only the first.
fn tell(stories: &[(&str, &(dyn Fn() + Sync))]) {
    let wrong: Vec<&str> = std::thread::scope(|scope| {
        let told: Vec<_> = stories
            .iter()
            .map(|(name, story)| {
                let story = std::panic::AssertUnwindSafe(story);
                let thread = std::thread::Builder::new().name((*name).to_owned());
                let told = move || std::panic::catch_unwind(story).is_ok();
                (*name, thread.spawn_scoped(scope, told).unwrap())
            })
            .collect();
        told.into_iter().filter_map(|(name, thread)| (!thread.join().unwrap()).then_some(name)).collect()
    });
    assert!(wrong.is_empty(), "these went wrong, as said above: {}", wrong.join(", "));
}

#[test]
fn bad_days_end_well_or_are_taken_back() {
    let Some(usual) = engines::docker() else { return };
    if engines::python_image(&usual).is_none() {
        return;
    }
    let world = World::new();
    let (Some(one), Some(two)) = (Dockerd::start(), Dockerd::start()) else { return };
    let _gone = Gone(usual.clone());
    let shop = Clone::new(&world, "shop");
    let mut days = Days { shop, one, two, usual, hosts: Mutex::default() };
    days.shop.towpath(&["run", "--plain"]).ends(0);
    // First: no other environment's container may use the image that is missing there.
    prune::story(&days);
    tell(&[
        ("replicas", &|| replicas::story(&days)),
        ("names", &|| names::story(&days)),
        ("cut", &|| cut::story(&days)),
        ("second", &|| second::story(&days)),
    ]);
    loud::story(&days);
    restart::story(&mut days);
    days.tidy();
    days.shop.towpath(&["verify"]).ends(0).says("the chain holds");
}
