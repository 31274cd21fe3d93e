//! The steps themselves: a commit's image is built once, and fetched to every host.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;
use towpath::docker::{labels, tags};
use towpath::domain::command::CommitFacts;
use towpath::domain::ids::{
    AttemptKey, CommitId, DeploymentId, EnvironmentName, Epoch, Owner, ReleaseNumber, RunId, StepId,
};
use towpath::domain::plan::{Build, Cause, Output, Setting, Step, Target, Verdict, Work};
use towpath::domain::project::{
    ArtifactSettings, Environment, Host, ImageSettings, ProjectKind, RuntimeKind, SecretSource,
};
use towpath::domain::release::{Artifact, Serving};
use towpath::domain::time::{Millis, Timestamp};
use towpath::runtime::attempt::{Spec, VERSION};
use towpath::runtime::deploy::Deploy;
use towpath::runtime::docker as steps;
use towpath::runtime::environment;
use towpath::runtime::workbench::Workbench;

use crate::engines::{self, Dockerd};
use crate::support::{Name, engine, small};

/// A repository with one commit, whose project is in a folder of it.
struct World {
    dir: TempDir,
    commit: CommitFacts,
    settings: ImageSettings,
}

impl World {
    fn new(name: &Name) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join("repository").join(path);
        std::fs::create_dir_all(at("shop")).unwrap();
        std::fs::write(
            at("shop/Dockerfile"),
            format!("FROM scratch\nLABEL towpath-test={}\nCOPY . /app/\n", name.name),
        )
        .unwrap();
        std::fs::write(at("shop/app"), &name.name).unwrap();
        std::fs::write(at("beside"), "not in the context").unwrap();
        let git = "git init -q -b main . && git add -A && \
                   git -c user.name=a -c user.email=a@b.example commit -qm x && git rev-parse HEAD";
        let said = Command::new("sh").args(["-c", git]).current_dir(at("")).output().unwrap();
        let id = CommitId(String::from_utf8(said.stdout).unwrap().trim().to_owned());
        let commit = CommitFacts {
            id,
            subject: "x".into(),
            author: "a".into(),
            authored: Timestamp(1_700_000_000_000),
            tags: vec!["v1.2.0".into()],
            branches: Vec::new(),
        };
        let settings = ImageSettings {
            name: name.name.clone(),
            dockerfile: "Dockerfile".into(),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            push: false,
        };
        Self { dir, commit, settings }
    }

    fn bench(&self, work: Work) -> Workbench {
        let step = StepId::from("step");
        let spec = Spec {
            v: VERSION,
            key: AttemptKey { owner: Owner::Run(RunId(1)), step: step.clone(), attempt: 1 },
            step: Step {
                id: step,
                group: "step".into(),
                needs: Vec::new(),
                work,
                timeout: Millis::minutes(5),
                retries: 0,
                skip: None,
            },
            commit: self.commit.clone(),
            inputs: BTreeMap::new(),
            mirror: self.dir.path().join("repository/.git"),
            home: self.dir.path().join("repository"),
            artifacts: self.dir.path().join("artifacts"),
            cache: self.dir.path().join("cache"),
            redact: Vec::new(),
            deploy: None,
            env: environment::allowed(std::env::vars()),
        };
        let (sender, stopped) = tokio::sync::watch::channel(false);
        // Nothing stops these steps.
        std::mem::forget(sender);
        let attempt = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        Workbench::new(&attempt, spec, stopped).unwrap()
    }

    async fn build(&self) -> (Verdict, Output) {
        let setting = Setting {
            project: "shop".into(),
            kind: ProjectKind::Plain,
            commit: self.commit.id.clone(),
            root: "shop".into(),
            python: None,
            settings: None,
            env: BTreeMap::new(),
            services: Vec::new(),
        };
        let artifact = ArtifactSettings { image: Some(self.settings.clone()), ..ArtifactSettings::default() };
        let build = Build { setting, artifact, roles: BTreeMap::new() };
        let mut bench = self.bench(Work::Build(build.clone()));
        let done = steps::build::run(&mut bench, &build).await.unwrap();
        (done.verdict, done.output)
    }

    async fn fetch(&self, artifact: &Artifact, hosts: Vec<Host>) -> Result<Vec<String>, Box<Cause>> {
        let environment = EnvironmentName::from("staging");
        let deploy = Deploy {
            project: "shop".into(),
            environment: environment.clone(),
            deployment: DeploymentId(1),
            settings: Environment { hosts, ..Environment::default() },
            serving: Serving { image: Some(self.settings.clone()), ..Serving::default() },
            goes_back: false,
            version: None,
            directory: PathBuf::new(),
            home: self.dir.path().to_owned(),
            lease: towpath::runtime::lease::Lease::File(PathBuf::new()),
            root: ".".to_owned(),
            epoch: Epoch(1),
            running: Vec::new(),
            static_files: Vec::new(),
        };
        let target = Target { environment, release: ReleaseNumber(1), artifact: artifact.clone() };
        let mut bench = self.bench(Work::Fetch(target.clone()));
        steps::fetch::run(&mut bench, &deploy, &target).await
    }
}

fn host(name: &str, dockerd: &Dockerd) -> Host {
    Host { name: name.into(), url: dockerd.url(), ..Host::usual() }
}

fn failed(verdict: Verdict) -> Cause {
    match verdict {
        Verdict::Failed(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_commit_is_built_once_and_its_names_are_never_moved() {
    let Some(url) = engines::docker() else { return };
    let name = Name::new(&[&url]);
    let mut world = World::new(&name);
    let (verdict, output) = world.build().await;
    assert_eq!(verdict, Verdict::Passed);
    let artifact = output.artifact.unwrap();
    assert_eq!(artifact.runtime, RuntimeKind::Docker);
    assert_eq!(artifact.location, name.with(&world.commit.id.0));
    assert_eq!(artifact.files, 1);
    assert_eq!(output.values[steps::build::IMAGE], artifact.id.0);
    let engine = engine("local", &url).await;
    let found = tags::find(&engine, &artifact.location).await.unwrap().unwrap();
    assert_eq!(found.id, artifact.id.0);
    assert!(found.tags.contains(&name.with("1.2.0")), "{found:?}");
    assert_eq!(found.labels[labels::INPUTS], artifact.inputs);
    assert_eq!(found.labels["org.opencontainers.image.revision"], world.commit.id.0);
    assert_eq!(found.labels["org.opencontainers.image.created"], "2023-11-14T22:13:20Z");

    let (verdict, output) = world.build().await;
    assert_eq!(verdict, Verdict::Passed);
    assert_eq!(output.artifact.unwrap(), artifact);
    assert!(output.facts.contains(&"already built".to_owned()), "{:?}", output.facts);

    // Other inputs under the commit's name: the old one stays.
    world.settings.args.insert("A".into(), "1".into());
    let cause = failed(world.build().await.0);
    assert!(cause.summary.contains("is there already on local, and is another image"), "{cause:?}");
    assert_eq!(tags::find(&engine, &artifact.location).await.unwrap().unwrap().id, artifact.id.0);
    world.settings.args.clear();

    // The version is another image's.
    let other = small(&engine, &name, "other", 10).await;
    world.commit.tags = vec!["v2.0".into()];
    tags::tag(&engine, &other, &name.with("2.0")).await.unwrap();
    let cause = failed(world.build().await.0);
    assert!(
        cause.summary.contains("moved tag") && cause.cure.contains("A version is one image for ever"),
        "{cause:?}"
    );

    // A pipeline does not see the operator's environment.
    world.commit.tags.clear();
    world.settings.secrets.insert("token".into(), SecretSource::Env("HOME".into()));
    tags::remove(&engine, &artifact.location).await.unwrap();
    let cause = failed(world.build().await.0);
    assert!(cause.summary.contains("cannot come from the engine's environment"), "{cause:?}");
}

#[tokio::test]
async fn every_host_gets_the_image_from_wherever_it_still_is() {
    let Some(url) = engines::docker() else { return };
    let (Some(one), Some(mut two)) = (Dockerd::start(), Dockerd::start()) else { return };
    let name = Name::new(&[&url]);
    let world = World::new(&name);
    let artifact = world.build().await.1.artifact.unwrap();
    let facts = world.fetch(&artifact, vec![host("one", &one)]).await.unwrap();
    assert!(facts[0].starts_with("1 host has "), "{facts:?}");
    assert!(facts.contains(&"sent to one".to_owned()), "{facts:?}");
    // The engine that built it has lost it; a host has it.
    let local = engine("local", &url).await;
    for tag in [world.commit.id.0.as_str(), "1.2.0"] {
        tags::remove(&local, &name.with(tag)).await.unwrap();
    }
    assert!(tags::find(&local, &artifact.id.0).await.unwrap().is_none());
    let facts = world.fetch(&artifact, vec![host("one", &one), host("two", &two)]).await.unwrap();
    assert!(facts[0].starts_with("2 hosts have "), "{facts:?}");
    let there = engine("two", &two.url()).await;
    assert_eq!(tags::find(&there, &artifact.location).await.unwrap().unwrap().id, artifact.id.0);
    // Where all have it nothing is asked of anybody else.
    let facts = world.fetch(&artifact, vec![host("one", &one), host("two", &two)]).await.unwrap();
    assert_eq!(facts.len(), 1, "{facts:?}");

    // The name is moved on one host: nothing starts.
    let other = small(&there, &name, "tampered", 10).await;
    tags::remove(&there, &artifact.location).await.unwrap();
    tags::tag(&there, &other, &artifact.location).await.unwrap();
    let cause = world.fetch(&artifact, vec![host("one", &one), host("two", &two)]).await.unwrap_err();
    assert!(cause.summary.contains("moved tag") && cause.summary.contains("on two"), "{cause:?}");

    // Hosts that are down are each named.
    two.stop();
    let mut gone = host("three", &one);
    gone.url = format!("unix://{}/nobody", world.dir.path().display());
    let cause = world.fetch(&artifact, vec![host("one", &one), host("two", &two), gone]).await.unwrap_err();
    assert!(cause.summary.contains("2 of 3 hosts cannot be reached: two, three"), "{cause:?}");
}
