//! A small Python project, an image of it, and one attempt at a step in it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::models::{ContainerConfig, ContainerCreateBody};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveImageOptionsBuilder, RemoveVolumeOptions,
};
use towpath::docker::files::{self, Owner, Put};
use towpath::docker::{Engine, labels};
use towpath::domain::command::CommitFacts;
use towpath::domain::ids::{ArtifactId, AttemptKey, CommitId, Owner as Of, RunId, StepId};
use towpath::domain::plan::{Cause, Exec, Output, Setting, Step, Verdict, Work};
use towpath::domain::project::{
    ContainerService, Host, Judge, Place, ProjectKind, Ready, RuntimeKind, Service,
};
use towpath::domain::release::Artifact;
use towpath::domain::time::{Millis, Timestamp};
use towpath::runtime::attempt::{self, Report, Spec};
use towpath::runtime::environment;
use towpath::store::segment::Reader;

use crate::engines;

/// This program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_towpath"))
}

static NONE: BTreeMap<String, String> = BTreeMap::new();

/// A project with an attempt; what it made on the engine goes away with it.
pub(crate) struct Case {
    _temporary: tempfile::TempDir,
    pub(crate) dir: PathBuf,
    pub(crate) spec: Spec,
    pub(crate) project: String,
    url: String,
    cleaner: Cleaner,
}

impl Case {
    /// What of it is on the engine.
    pub(crate) fn left(&self) -> Vec<String> {
        self.cleaner.left()
    }

    /// With these files in its commit, and a step that runs this line at this place. `None` where there is no Docker.
    pub(crate) fn new(tree: &[(&str, &str)], run: &str, place: Place) -> Option<Self> {
        let url = engines::docker()?;
        let cleaner = Cleaner::new(&url);
        let project = cleaner.project.clone();
        let temporary = tempfile::tempdir().unwrap();
        let base = std::fs::canonicalize(temporary.path()).unwrap();
        let repository = base.join("repository");
        for (path, text) in tree {
            let path = repository.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let commit = commit_all(&repository);
        let setting = Setting {
            project: project.clone(),
            kind: ProjectKind::Plain,
            commit: commit.clone(),
            root: ".".into(),
            python: None,
            settings: None,
            env: BTreeMap::new(),
            services: Vec::new(),
        };
        let exec = Exec { setting, run: run.into(), place, judge: Judge::ExitCode };
        let spec = Spec {
            v: attempt::VERSION,
            key: AttemptKey { owner: Of::Run(RunId(1)), step: StepId::from("check"), attempt: 1 },
            step: Step {
                id: "check".into(),
                group: "check".into(),
                needs: Vec::new(),
                work: Work::Exec(exec),
                timeout: Millis::minutes(5),
                retries: 0,
                skip: None,
            },
            commit: CommitFacts {
                id: commit,
                subject: "First".into(),
                author: "A".into(),
                authored: Timestamp(0),
                tags: Vec::new(),
                branches: Vec::new(),
            },
            inputs: BTreeMap::new(),
            home: PathBuf::new(),
            mirror: repository.join(".git"),
            artifacts: base.join("artifacts"),
            cache: base.join("cache"),
            redact: Vec::new(),
            deploy: None,
            env: environment::allowed(std::env::vars()),
        };
        Some(Self { dir: base.join("runs/1/check/1"), _temporary: temporary, spec, project, url, cleaner })
    }

    /// With a candidate: an image of Python with these files in `/app`, where this line was run, for this user.
    pub(crate) fn with_candidate(mut self, files: &[(&str, &str)], user: &str) -> Option<Self> {
        let base = engines::python_image(&self.url)?;
        let (project, url) = (self.project.clone(), self.url.clone());
        let mut put = vec![Put::Directory { path: "/app".into(), mode: 0o777 }];
        put.extend(files.iter().map(|(path, text)| Put::File {
            path: format!("/app/{path}"),
            bytes: text.as_bytes().to_vec(),
            mode: 0o644,
        }));
        let sha = self.spec.commit.id.0.clone();
        let user = user.to_owned();
        let id = engines::wait(async move {
            let engine = Engine::connect(&host(&url), Path::new("/")).await.unwrap();
            let client = engine.client();
            let body = ContainerCreateBody {
                image: Some(base),
                entrypoint: Some(vec!["sh".into(), "-c".into(), "echo the entry point ran; exit 9".into()]),
                labels: Some(HashMap::from([(labels::PROJECT.to_owned(), project.clone())])),
                ..ContainerCreateBody::default()
            };
            let made = client.create_container(None, body).await.unwrap().id;
            files::put(&engine, &made, put, Owner::default()).await.unwrap();
            let options = CommitContainerOptionsBuilder::default()
                .container(&made)
                .repo(&project)
                .tag(&sha)
                .changes(&format!("WORKDIR /app\nUSER {user}"))
                .build();
            let image = client.commit_container(options, ContainerConfig::default()).await.unwrap().id;
            remove_container(client, &made).await;
            image
        });
        let artifact = Artifact {
            runtime: RuntimeKind::Docker,
            id: ArtifactId(id),
            location: format!("{}:{}", self.project, self.spec.commit.id.0),
            inputs: String::new(),
            bytes: 0,
            files: 0,
        };
        self.spec.inputs.insert("candidate".into(), Output { artifact: Some(artifact), ..Output::default() });
        Some(self)
    }

    /// With another setting.
    pub(crate) fn setting(mut self, change: impl FnOnce(&mut Setting)) -> Self {
        if let Work::Exec(exec) = &mut self.spec.step.work {
            change(&mut exec.setting);
        }
        self
    }

    /// With a service beside it.
    pub(crate) fn with(
        self,
        image: String,
        command: Option<&str>,
        env: &[(&str, &str)],
        ready: Ready,
    ) -> Self {
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let command = command.map(str::to_owned);
        let service = ContainerService { name: "beside".into(), image, command, env, ready };
        self.setting(|setting| setting.services.push(Service::Container(service)))
    }

    /// Carried out to its end.
    pub(crate) fn carried_out(&self) -> Report {
        attempt::prepare(&self.dir, &self.spec).unwrap();
        engines::wait(attempt::attend(&self.dir, program(), &NONE)).unwrap()
    }

    /// The whole log.
    pub(crate) fn log(&self) -> String {
        let reader = Reader::open(&self.dir.join("log")).unwrap();
        let lines = reader.lines(0..reader.end()).unwrap().into_iter().map(|line| line.text);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What a project has on an engine goes with it.
pub(crate) struct Cleaner {
    pub(crate) project: String,
    url: String,
}

impl Cleaner {
    /// For a project of a name that nobody else has.
    pub(crate) fn new(url: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let project = format!("twst{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self { project, url: url.to_owned() }
    }

    /// What of the project is on the engine: containers, networks, volumes of steps, and images of their containers.
    pub(crate) fn left(&self) -> Vec<String> {
        let (url, project) = (self.url.clone(), self.project.clone());
        engines::wait(async move {
            let client = engines::client(&url);
            let mut left = containers(&client, &project).await;
            let filter = of(&project);
            let options = ListNetworksOptionsBuilder::default().filters(&filter).build();
            let found = client.list_networks(Some(options)).await.unwrap();
            left.extend(found.into_iter().map(|network| format!("network {}", network.name.unwrap())));
            let options = ListVolumesOptionsBuilder::default().filters(&filter).build();
            let found = client.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default();
            left.extend(
                found
                    .into_iter()
                    .filter(|volume| volume.labels.get(labels::KIND).map(String::as_str) != Some("cache"))
                    .map(|volume| format!("volume {}", volume.name)),
            );
            let step = format!("{}={}", labels::KIND, labels::Kind::Step.word());
            let filter = HashMap::from([("label".to_owned(), vec![of(&project)["label"][0].clone(), step])]);
            let options = ListImagesOptionsBuilder::default().filters(&filter).build();
            let found = client.list_images(Some(options)).await.unwrap();
            left.extend(found.into_iter().map(|image| format!("image {}", image.id)));
            left
        })
    }
}

impl Drop for Cleaner {
    fn drop(&mut self) {
        let (url, project) = (self.url.clone(), self.project.clone());
        engines::wait(async move {
            let client = engines::client(&url);
            for id in containers(&client, &project).await {
                remove_container(&client, &id).await;
            }
            let filter = of(&project);
            let options = ListNetworksOptionsBuilder::default().filters(&filter).build();
            for network in client.list_networks(Some(options)).await.unwrap_or_default() {
                let _ = client.remove_network(&network.id.unwrap_or_default()).await;
            }
            let options = ListVolumesOptionsBuilder::default().filters(&filter).build();
            let found = client.list_volumes(Some(options)).await.ok().and_then(|found| found.volumes);
            for volume in found.unwrap_or_default() {
                let _ = client.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await;
            }
            // Layers stand on the candidate: the newest first.
            let options = ListImagesOptionsBuilder::default().filters(&filter).build();
            let mut images = client.list_images(Some(options)).await.unwrap_or_default();
            images.sort_by_key(|image| std::cmp::Reverse(image.created));
            for image in images {
                let options = RemoveImageOptionsBuilder::default().force(true).build();
                let _ = client.remove_image(&image.id, Some(options), None).await;
            }
        });
    }
}

/// An engine at a url.
pub(crate) fn host(url: &str) -> Host {
    Host { url: url.to_owned(), ..Host::usual() }
}

fn of(project: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{}={project}", labels::PROJECT)])])
}

async fn containers(client: &Docker, project: &str) -> Vec<String> {
    let options = ListContainersOptionsBuilder::default().all(true).filters(&of(project)).build();
    let found = client.list_containers(Some(options)).await.unwrap_or_default();
    found.into_iter().filter_map(|container| container.id).collect()
}

async fn remove_container(client: &Docker, id: &str) {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let _ = client.remove_container(id, Some(options)).await;
}

/// The cause of a failure; panics with the whole log where it did not fail.
pub(crate) fn cause(case: &Case, report: Report) -> Cause {
    match report.verdict {
        Verdict::Failed(cause) => cause,
        other => panic!("{other:?}\n{}", case.log()),
    }
}

/// Waits for a condition; two minutes are for a machine that is busy, not for the condition.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < until, "waited two minutes for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn commit_all(repository: &Path) -> CommitId {
    let git = |arguments: &[&str]| {
        let ended = Command::new("git")
            .current_dir(repository)
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "First"]);
    CommitId(git(&["rev-parse", "HEAD"]))
}
