//! One release on three engines: built once, brought to each by its id, deployed by rolling, blue-green and canary under
//! load, and taken back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use towpath::demo::load::{Counted, Load, Visitors};

use super::engines::{self, Dockerd};
use super::project;
use super::site::Site;
use super::words;
use super::world::{Clone, World, wait_for};

/// How many connections the visitors keep.
const CONNECTIONS: usize = 16;

/// Three engines, a proxy before them, and a release.
pub(crate) struct Three<'a> {
    pub(crate) engines: [Dockerd; 3],
    pub(crate) site: Site,
    pub(crate) shop: Clone<'a>,
    usual: String,
    _alone: MutexGuard<'static, ()>,
}

impl<'a> Three<'a> {
    /// `None` where there is no Docker, or no nginx.
    pub(crate) fn new(world: &'a World) -> Option<Self> {
        // The machine's own engine, where names are the project's, is one for all; and so is the machine.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let usual = engines::docker()?;
        engines::python_image(&usual)?;
        let site = Site::new(world, "production", |site| site)?;
        let engines = [Dockerd::start()?, Dockerd::start()?, Dockerd::start()?];
        let shop = Clone::new(world, "shop");
        Some(Self { engines, site, shop, usual, _alone: alone })
    }

    /// The same with a release that is live on staging and on production.
    pub(crate) fn released(world: &'a World) -> Option<Self> {
        let three = Self::new(world)?;
        three.staging();
        three.shop.commit("Deploy it");
        three.shop.towpath(&["run", "--plain"]).ends(0);
        three.shop.towpath(&["promote", "staging", "--release", "1", "--plain"]).ends(0);
        three.production("\"blue-green\"", "first");
        three.shop.towpath(&["promote", "production", "--release", "1", "--plain"]).ends(0);
        Some(three)
    }

    /// The hosts, as `towpath.toml` has them.
    pub(crate) fn hosts(&self) -> String {
        let host = |(name, engine): (&str, &Dockerd)| {
            format!("{{ url = \"{}\", name = \"{name}\", address = \"{}\" }}", engine.url(), engine.address())
        };
        let hosts: Vec<String> = ["one", "two", "three"].into_iter().zip(&self.engines).map(host).collect();
        format!("hosts = [{}]", hosts.join(", "))
    }

    /// Configures production anew; `word` makes it another configuration.
    pub(crate) fn production(&self, strategy: &str, word: &str) {
        self.production_with(strategy, word, "2s");
    }

    /// The same, watched for as long in the end.
    pub(crate) fn production_with(&self, strategy: &str, word: &str, bake: &str) {
        let lines = format!(
            "after = \"staging\"\nreplicas = {{ web = 3, beat = 1 }}\nstrategy = {strategy}\nbake = \"{bake}\"\nhealth = {{ path = \
             \"/health\", interval = \"500ms\" }}\ntolerance = {{ failed = \"1%\", min_requests = 5 }}\n{}\n{}",
            self.hosts(),
            self.site.lines()
        );
        self.shop.environment("production", &lines, &[("WORD", word)]);
    }

    /// Staging: one replica on the machine's own engine, no proxy.
    pub(crate) fn staging(&self) {
        let lines =
            "replicas = { web = 1, beat = 0 }\nstrategy = \"rolling\"\nbake = \"0s\"\nhealth = \"/health\"";
        self.shop.environment("staging", lines, &[]);
    }

    /// Every container of ours on every engine, by its state.
    pub(crate) fn containers(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for engine in &self.engines {
            found.extend(containers(&engine.url()));
        }
        found
    }

    /// How many networks of ours there are on the engines together.
    pub(crate) fn networks(&self) -> usize {
        let label = [("label".to_owned(), vec!["towpath.project=shop".to_owned()])];
        let options =
            bollard::query_parameters::ListNetworksOptions { filters: Some(label.into_iter().collect()) };
        let count = |engine: &Dockerd| {
            let url = engine.url();
            let options = options.clone();
            engines::wait(async { engines::client(&url).list_networks(Some(options)).await.unwrap().len() })
        };
        self.engines.iter().map(count).sum()
    }

    /// The id of an image on every engine.
    pub(crate) fn ids(&self, image: &str) -> BTreeSet<String> {
        let urls = self.engines.iter().map(Dockerd::url).chain([self.usual.clone()]);
        let id = |url: String| {
            let found = async { engines::client(&url).inspect_image(image).await.unwrap().id.unwrap() };
            engines::wait(found)
        };
        urls.map(id).collect()
    }
}

/// Everything that this test has on the machine's engine goes with it.
impl Drop for Three<'_> {
    fn drop(&mut self) {
        let url = self.usual.clone();
        engines::wait(async {
            let client = engines::client(&url);
            remove_all(&client, "towpath.project=shop").await;
        });
    }
}

/// Removes what carries a label.
pub(crate) async fn remove_all(client: &bollard::Docker, label: &str) {
    use bollard::query_parameters as query;
    let filters = std::collections::HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    let options =
        query::ListContainersOptions { all: true, filters: Some(filters.clone()), ..Default::default() };
    for container in client.list_containers(Some(options)).await.unwrap_or_default() {
        let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let _ = client.remove_container(&container.id.unwrap_or_default(), Some(options)).await;
    }
    let options = query::ListNetworksOptions { filters: Some(filters.clone()) };
    for network in client.list_networks(Some(options)).await.unwrap_or_default() {
        let _ = client.remove_network(&network.id.unwrap_or_default()).await;
    }
    let options = query::ListImagesOptions { all: false, filters: Some(filters), ..Default::default() };
    for image in client.list_images(Some(options)).await.unwrap_or_default() {
        let options = query::RemoveImageOptionsBuilder::new().force(true).build();
        let _ = client.remove_image(&image.id, Some(options), None).await;
    }
}

/// The names and states of all containers of the project on an engine.
pub(crate) fn containers(url: &str) -> Vec<(String, String)> {
    let listed = engines::wait(async {
        let filters = [("label".to_owned(), vec!["towpath.project=shop".to_owned()])];
        let options = bollard::query_parameters::ListContainersOptions {
            all: true,
            filters: Some(filters.into_iter().collect()),
            ..Default::default()
        };
        engines::client(url).list_containers(Some(options)).await.unwrap()
    });
    let named = listed.into_iter().map(|one| {
        let name = one.names.unwrap_or_default().concat();
        (
            name.trim_start_matches('/').to_owned(),
            one.state.map(|state| state.to_string()).unwrap_or_default(),
        )
    });
    named.collect()
}

/// Lets visitors ask while something goes on, and until they have asked often enough.
pub(crate) fn visited<T>(port: u16, at_least: u64, meanwhile: impl FnOnce() -> T) -> (T, Counted, Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let visitors = Visitors {
        port,
        connections: CONNECTIONS,
        paths: vec!["/health".to_owned()],
        think: Duration::from_millis(10),
    };
    let load = {
        let _inside = runtime.enter();
        Load::begin(visitors, "all").unwrap()
    };
    let began = Instant::now();
    let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
    let took = began.elapsed();
    while said.is_ok() && load.counted().all().requests() < at_least {
        std::thread::sleep(Duration::from_millis(50));
    }
    let counted = runtime.block_on(load.end());
    (said.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), counted, took)
}

/// How many requests each strategy has to answer; the acceptance asks for 20,000.
fn wanted_requests() -> u64 {
    std::env::var("TOWPATH_TEST_REQUESTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
}

#[test]
fn one_artifact_goes_to_three_engines_by_every_strategy_and_nobody_notices() {
    let world = World::new();
    let Some(three) = Three::new(&world) else { return };
    let shop = &three.shop;
    three.staging();
    shop.commit("Deploy it");
    let said = shop.towpath(&["run", "--plain"]);
    words("the pipeline, with an image", said).ends(0).says("candidate");
    let said = shop.towpath(&["promote", "staging", "--release", "1", "--plain"]);
    words("staging", said).ends(0);
    three.production("\"blue-green\"", "first");
    let said = shop.towpath(&["promote", "production", "--release", "1", "--plain"]);
    words("production, three engines, the first time", said).ends(0).says("3 hosts");
    let commit = {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(shop.repository())
            .args(["rev-parse", "HEAD"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    let ids = three.ids(&format!("{}:{commit}", project::image()));
    assert_eq!(ids.len(), 1, "{ids:?}");

    let mut figures = BTreeMap::new();
    for (strategy, word) in [
        ("\"rolling\"", "second"),
        ("\"blue-green\"", "third"),
        ("{ canary = [10, 50], bake = \"2s\" }", "fourth"),
    ] {
        three.production(strategy, word);
        let (said, counted, took) = visited(three.site.port, wanted_requests(), || {
            shop.towpath(&["redeploy", "production", "--plain"])
        });
        words(&format!("{strategy} on three engines"), said).ends(0);
        let all = counted.all();
        assert_eq!((all.failed(), all.broken), (0, 0), "{strategy}: {counted:?}");
        assert!(three.site.ask().contains(&format!("\"WORD\": \"{word}\"")), "{}", three.site.ask());
        figures.insert(strategy, (all.requests(), took, counted.median, counted.p99));
        let newest = shop.newest("production");
        let running: Vec<String> = three
            .containers()
            .into_iter()
            .filter(|(name, state)| state == "running" && name.contains("-web-"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(running.len(), 3, "{running:?}");
        assert!(running.iter().all(|name| name.contains(&format!("-d{newest}-"))), "{running:?}");
    }
    eprintln!("three engines: {figures:?}");
    shop.beat_was_never_two("production");
    // Given back once the deployment is over, not before.
    wait_for("no lease is left", || three.containers().iter().all(|(name, _)| !name.contains("lease")));
}
