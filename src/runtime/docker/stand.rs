//! Where a step's command stands: an image, its working directory, its environment, its network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::docker::files::Put;
use crate::docker::image::{self, About};
use crate::docker::labels::Kind;
use crate::docker::mark;
use crate::docker::run::{Command, Joins, OneOff};
use crate::domain::finding::Finding;
use crate::domain::plan::Setting;
use crate::domain::project::{Host, ProjectKind, RuntimeKind};
use crate::domain::release::Artifact;
use crate::runtime::environment;
use crate::runtime::python::halt::Halt;
use crate::runtime::python::{django, source};
use crate::runtime::workbench::{self, Workbench};

use super::ground::Ground;
use super::layer::{self, PREFIX};
use super::services::{self, Beside};

/// A directory inside of every container of a step, a volume of the step's own: scripts of ours, their answers, and
/// what one command leaves for the next.
pub const OURS: &str = "/towpath";
/// Where the commit's files are in a container of an image that is not the project's own.
pub const WORKSPACE: &str = "/workspace";
/// Where caches are mounted.
const CACHE: &str = "/towpath-cache";

/// The candidate that the steps before this one built, where it is an image.
#[must_use]
pub fn candidate(bench: &Workbench) -> Option<Artifact> {
    let mut built = bench.spec().inputs.values().filter_map(|output| output.artifact.as_ref());
    built.find(|artifact| artifact.runtime == RuntimeKind::Docker).cloned()
}

/// Where a step's command stands.
#[derive(Debug)]
pub struct Stand {
    /// The engine.
    pub ground: Ground,
    /// What its containers are made from.
    pub image: String,
    /// Where its command runs.
    pub workdir: String,
    /// The environment on top of the image's.
    pub env: BTreeMap<String, String>,
    /// The project's files as the commit has them, on this machine.
    pub source: PathBuf,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// What is beside it.
    pub beside: Beside,
    /// What the image that it stands on says of itself.
    about: About,
    volumes: Vec<String>,
    files: Vec<Put>,
}

impl Stand {
    /// In the candidate, with development packages in a layer on top, and the step's services ready beside it.
    ///
    /// # Errors
    /// A cause when something of it is not to be had.
    pub async fn in_candidate(bench: &mut Workbench, artifact: &Artifact) -> Result<Self, Halt> {
        let setting = setting(bench)?;
        let ground = Ground::reach(bench, &Host::usual(), &setting.project).await?;
        let about = had(bench, &ground, &artifact.id.0).await?;
        let (source, mut findings) = exported(bench, &setting, &setting.root).await?;
        let layer = layer::on_top(bench, &ground, artifact, &about, &source).await?;
        findings.extend(layer.findings);
        let mut env = base(bench, &setting);
        if layer.image.is_some() {
            let path = about.env.get("PATH").map_or(DEFAULT_PATH, String::as_str);
            // Behind the image's own: its version of a program is always the one that runs.
            env.insert("PATH".to_owned(), format!("{path}:{PREFIX}/bin:{PREFIX}/local/bin"));
        }
        if setting.kind == ProjectKind::Django {
            for name in django::SECRET_KEYS {
                if !about.env.contains_key(name) {
                    env.entry(name.to_owned()).or_insert_with(django::throw_away_secret);
                }
            }
        }
        let image = layer.image.unwrap_or_else(|| about.id.clone());
        let beside = services::start(bench, &ground, &setting.services, &image).await?;
        Self {
            workdir: about.workdir.clone(),
            image,
            env,
            source,
            findings,
            beside,
            volumes: Vec::new(),
            files: Vec::new(),
            ground,
            about,
        }
        .with_ours()
        .await
    }

    /// In an image of others, with the commit's files in its working directory, and the step's services ready beside.
    ///
    /// # Errors
    /// A cause when something of it is not to be had.
    pub async fn in_image(bench: &mut Workbench, name: &str) -> Result<Self, Halt> {
        let setting = setting(bench)?;
        let ground = Ground::reach(bench, &Host::usual(), &setting.project).await?;
        let about = had(bench, &ground, name).await?;
        // The whole repository, whatever the project's directory: a command may look beside it.
        let (source, findings) = exported(bench, &setting, ".").await?;
        let (volume, mut env) = cache(&ground).await?;
        env.extend(base(bench, &setting));
        let beside = services::start(bench, &ground, &setting.services, &about.id).await?;
        let files = vec![
            Put::Tree { from: source.clone(), to: WORKSPACE.to_owned() },
            Put::Directory { path: CACHE.to_owned(), mode: 0o1777 },
        ];
        Self {
            workdir: inside(&setting.root),
            image: about.id.clone(),
            env,
            source,
            findings,
            beside,
            volumes: vec![volume],
            files,
            ground,
            about,
        }
        .with_ours()
        .await
    }

    async fn with_ours(mut self) -> Result<Self, Halt> {
        let name = self.ground.name("files");
        let labels = self.ground.labels(Kind::Step);
        mark::volume(self.ground.engine(), &name, &labels).await.map_err(Halt::Failed)?;
        self.volumes.push(format!("{name}:{OURS}"));
        self.files.push(Put::Directory { path: OURS.to_owned(), mode: 0o777 });
        Ok(self)
    }

    /// A container of it for one command.
    #[must_use]
    pub fn one(&self, command: Command) -> OneOff {
        let mut one = OneOff::new(&self.image, command);
        one.env.clone_from(&self.env);
        one.workdir = Some(self.workdir.clone());
        // Said anew: a layer on top was made as root.
        one.user = Some(self.about.user.clone());
        one.volumes.clone_from(&self.volumes);
        one.files.clone_from(&self.files);
        one.network = self.beside.network.clone().map(|network| Joins { network, aliases: Vec::new() });
        one
    }

    /// Puts one more file into every container from here on.
    pub fn put(&mut self, file: Put) {
        self.files.push(file);
    }

    /// Has Django use the project's settings module, unless the stage says another.
    pub fn use_settings_of(&mut self, setting: &Setting) {
        if let Some(module) = &setting.settings {
            self.env.entry("DJANGO_SETTINGS_MODULE".to_owned()).or_insert_with(|| module.clone());
        }
    }

    /// A variable's value: the step's, or the image's own.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.get(name).or_else(|| self.about.env.get(name)).map(String::as_str)
    }
}

/// What a container has on its `PATH` where its image says none: as engines have it.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn setting(bench: &Workbench) -> anyhow::Result<Setting> {
    workbench::setting(&bench.spec().step.work).cloned().context("a deployment's step has no stand")
}

/// The environment of every command of a step in a container: what only changes looks, and the stage's own. Nothing of
/// this machine's goes in: paths, homes and proxies are another machine's there.
fn base(bench: &Workbench, setting: &Setting) -> BTreeMap<String, String> {
    let mut env = environment::neutral();
    env.extend(setting.env.clone());
    env.insert("TOWPATH_COMMIT".to_owned(), bench.spec().commit.id.0.clone());
    env
}

async fn had(bench: &mut Workbench, ground: &Ground, image: &str) -> Result<About, Halt> {
    image::have(ground.engine(), image, &mut |line| bench.say(&line)).await.map_err(Halt::Failed)
}

async fn exported(
    bench: &mut Workbench,
    setting: &Setting,
    root: &str,
) -> Result<(PathBuf, Vec<Finding>), Halt> {
    let directory = source::fresh_directory(bench, "source")?;
    let findings = source::export(bench, &setting.commit, root, &directory).await?;
    Ok((directory, findings))
}

/// The volume in which installers keep what they downloaded, and the variables that say so.
///
/// # Errors
/// When it cannot be made.
pub(super) async fn cache(ground: &Ground) -> Result<(String, BTreeMap<String, String>), Halt> {
    use crate::docker::labels;
    let name = format!("towpath-{}-cache", ground.project());
    let labels = BTreeMap::from([
        (labels::KIND.to_owned(), Kind::Cache.word().to_owned()),
        (labels::PROJECT.to_owned(), ground.project().to_owned()),
    ]);
    mark::volume(ground.engine(), &name, &labels).await.map_err(Halt::Failed)?;
    let env = BTreeMap::from([
        ("PIP_CACHE_DIR".to_owned(), format!("{CACHE}/pip")),
        ("UV_CACHE_DIR".to_owned(), format!("{CACHE}/uv")),
    ]);
    Ok((format!("{name}:{CACHE}"), env))
}

/// The project's directory inside the workspace.
fn inside(root: &str) -> String {
    match root.trim_matches('/') {
        "" | "." => WORKSPACE.to_owned(),
        root => Path::new(WORKSPACE).join(root).display().to_string(),
    }
}
