//! Development packages in a layer on top of the candidate: made once for a candidate and a lock, committed as a local
//! image, never pushed. Where the Dockerfile installs them itself there is no layer.
//!
//! They go into a directory of their own, behind the image's own packages on every path: a production package is always
//! the candidate's. That is measured: every version must be the same with the layer as without it.
//!
//! What pip needs of this machine is what it needs of it for processes: the allowed variables and pip's own
//! configuration, given as files in a volume that is thrown away (a commit keeps a container's variables, and an index's
//! address may carry a password). A file with certificates that one of them names is copied in and named there; the
//! system's own store is not: an image has its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder,
};
use serde::{Deserialize, Serialize};

use crate::docker::files::{self, LONG, Put};
use crate::docker::image::{self, About};
use crate::docker::labels::{self, Kind};
use crate::docker::run::{self, Command};
use crate::docker::{mark, trouble};
use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, hash_of};
use crate::domain::release::Artifact;
use crate::runtime::environment;
use crate::runtime::python::halt::Halt;
use crate::runtime::python::locked::{Lock, Locked};
use crate::runtime::python::{exclusive, failure, pipfile, pyproject, source};
use crate::runtime::workbench::Workbench;

use super::ground::Ground;
use super::once::carry;
use super::stand::{OURS, cache};

/// Where the development packages are in a layer.
pub const PREFIX: &str = "/towpath-dev";
/// The layer's key, as a label.
const KEY: &str = "towpath.layer";
/// Changes when layers are made in another way.
const FORMAT: u32 = 1;
/// Installs the packages; runs inside, with the image's own Python.
const SCRIPT: &str = include_str!("../../../assets/layer.py");
/// How many layers of a project are kept: those of the commits that are worked on.
const KEPT: usize = 4;
/// The longest answer of the script that is read, bytes.
const ANSWER: usize = 8 << 20;
/// What the script and its shell end with, so that a cause can say what is missing.
const NO_PYTHON: i32 = 71;
const NO_PIP: i32 = 72;

/// What is on top of a candidate.
#[derive(Debug, Default)]
pub struct OnTop {
    /// The image to run, where it is another than the candidate.
    pub image: Option<String>,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// What was found out for a candidate and a lock; beside the caches.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    image: Option<String>,
    findings: Vec<Finding>,
}

/// What the script is told.
#[derive(Debug, Default, Serialize)]
struct Asked {
    kind: &'static str,
    source: String,
    files: Vec<String>,
    text: String,
    complete: bool,
    conflicts: bool,
    env: BTreeMap<String, String>,
    pip_config: Vec<String>,
}

/// What the script answers.
#[derive(Debug, Deserialize)]
struct Answer {
    needed: bool,
    before: BTreeMap<String, String>,
    after: BTreeMap<String, String>,
    disagree: Vec<(String, String, String)>,
}

/// The layer for a candidate: found, or made.
///
/// # Errors
/// A cause when it cannot be made, or would change what the candidate has.
pub async fn on_top(
    bench: &mut Workbench,
    ground: &Ground,
    artifact: &Artifact,
    about: &About,
    source: &Path,
) -> Result<OnTop, Halt> {
    let locked = source::locked(source)?;
    if locked.lock == Lock::Nothing {
        return Ok(OnTop::default());
    }
    let key = hash_of(&(FORMAT, &artifact.id, &locked.hash));
    let file = bench.spec().cache.join("layers").join(format!("{key}.json"));
    let mut waited = false;
    let _held = exclusive::take(&file.with_extension("lock"), || waited = true).await?;
    if waited {
        bench.say("Another step was making the layer with the development packages; it was waited for.");
    }
    if let Some(known) = known(ground, &file).await? {
        if let Some(image) = &known.image {
            bench.say(&format!("Development packages: the layer {} is there already.", short(image)));
        }
        return Ok(OnTop { image: known.image, findings: known.findings });
    }
    let made = make(bench, ground, artifact, about, &locked, &key).await?;
    let json = serde_json::to_vec(&Known { image: made.image.clone(), findings: made.findings.clone() })
        .context("a layer as JSON")?;
    std::fs::write(&file, json).with_context(|| format!("{} could not be written", file.display()))?;
    if made.image.is_some() {
        remove_old(ground, &key).await;
    }
    Ok(made)
}

async fn known(ground: &Ground, file: &Path) -> Result<Option<Known>, Halt> {
    let Ok(json) = std::fs::read(file) else { return Ok(None) };
    let Ok(known) = serde_json::from_slice::<Known>(&json) else { return Ok(None) };
    if let Some(image) = &known.image
        && image::look(ground.engine(), image).await.map_err(Halt::Failed)?.is_none()
    {
        return Ok(None);
    }
    Ok(Some(known))
}

async fn make(
    bench: &mut Workbench,
    ground: &Ground,
    artifact: &Artifact,
    about: &About,
    locked: &Locked,
    key: &str,
) -> Result<OnTop, Halt> {
    bench.say("Looking which development packages the image lacks.");
    let (asked, certificates) = asked(bench, locked)?;
    let json = serde_json::to_vec(&asked).context("a question as JSON")?;
    let volume = ground.name("layer");
    mark::volume(ground.engine(), &volume, &ground.labels(Kind::Step)).await.map_err(Halt::Failed)?;
    let (cached, cache_env) = cache(ground).await?;
    let line = format!(
        "PY=$(command -v python || command -v python3) || exit {NO_PYTHON}; exec \"$PY\" {OURS}/layer.py"
    );
    let mut one = run::OneOff::new(&about.id, Command::Shell(line));
    one.env = environment::neutral();
    one.env.extend(cache_env);
    // Its packages lie where only root writes; the image's own user is said anew by whoever uses the layer.
    one.user = Some("0".to_owned());
    one.workdir = Some("/".to_owned());
    one.volumes = vec![format!("{volume}:{OURS}"), cached];
    one.files = vec![
        Put::Directory { path: OURS.to_owned(), mode: 0o755 },
        Put::Tree { from: locked.source.clone(), to: format!("{OURS}/source") },
        Put::File { path: format!("{OURS}/layer.py"), bytes: SCRIPT.as_bytes().to_vec(), mode: 0o644 },
        Put::File { path: format!("{OURS}/layer.json"), bytes: json, mode: 0o600 },
    ];
    one.files.extend(certificates.map(|bytes| Put::File { path: ca(), bytes, mode: 0o644 }));
    one.keep = true;
    one.labels = BTreeMap::from([
        (labels::KIND.to_owned(), Kind::Layer.word().to_owned()),
        (labels::ARTIFACT.to_owned(), artifact.id.0.clone()),
        (KEY.to_owned(), key.to_owned()),
    ]);
    let carried = carry(bench, ground, one, false).await?;
    if let Some(cause) = carried.out_of_memory() {
        return Err(cause.into());
    }
    let ended = carried.ended;
    let container = carried.over.container;
    let cause = match ended.exit.code {
        Some(0) => None,
        Some(NO_PYTHON) => Some(missing(
            "Python",
            artifact,
            "Install Python in the image, or run the stage in another one (in = \"image:NAME\").",
        )),
        Some(NO_PIP) => Some(missing(
            "pip, nor a venv module that brings it",
            artifact,
            "Install pip in the image, or install the development packages in the Dockerfile's stage that is tested.",
        )),
        _ => Some(failure::cause("pip", &ended)),
    };
    if let Some(cause) = cause {
        run::remove(ground.engine(), &container).await.map_err(Halt::Failed)?;
        return Err(cause.into());
    }
    let text = files::get(ground.engine(), &container, &format!("{OURS}/layer-answer.json"), ANSWER).await;
    let text = text.map_err(Halt::Failed)?.context("the layer's script left no answer")?;
    let answer: Answer = serde_json::from_slice(&text).context("the layer's answer cannot be read")?;
    let findings = disagreements(&answer);
    let image = if let Some(cause) = changed(&answer) {
        run::remove(ground.engine(), &container).await.map_err(Halt::Failed)?;
        return Err(cause.into());
    } else if answer.needed {
        Some(commit(ground, artifact, &container, &bench.spec().commit.id.0).await?)
    } else {
        bench.say("The image has every package that development asks for: no layer is needed.");
        None
    };
    run::remove(ground.engine(), &container).await.map_err(Halt::Failed)?;
    if let Some(image) = &image {
        bench.say(&format!("Development packages are in {}; it is never pushed.", short(image)));
    }
    Ok(OnTop { image, findings })
}

/// What the script is told, and the certificates that go with it.
fn asked(bench: &mut Workbench, locked: &Locked) -> Result<(Asked, Option<Vec<u8>>), Halt> {
    let source = format!("{OURS}/source");
    let mut asked = Asked { source, ..Asked::default() };
    match &locked.lock {
        Lock::Uv => {
            asked.kind = "uv";
            asked.conflicts = locked.uv_has_conflicts();
        }
        Lock::Poetry => asked.kind = "poetry",
        Lock::Pipfile => {
            let lock = std::fs::read_to_string(locked.source.join("Pipfile.lock"))
                .context("could not read Pipfile.lock")?;
            asked.kind = "text";
            asked.text = pipfile::requirements(&lock, true)?.text;
            asked.complete = true;
        }
        Lock::Pyproject => {
            let text = std::fs::read_to_string(locked.source.join("pyproject.toml"))
                .context("could not read pyproject.toml")?;
            let declared = pyproject::read(&text)?;
            asked.kind = "text";
            asked.text = [declared.production, declared.development].concat().join("\n");
        }
        Lock::Requirements { production, development } => {
            asked.kind = "files";
            asked.files =
                production.iter().chain(development).map(|file| file.display().to_string()).collect();
        }
        Lock::Nothing => {}
    }
    let env = &bench.spec().env;
    let configs = pip_configs(env);
    asked.pip_config = configs.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    asked.env = env
        .iter()
        .filter(|(name, _)| travels(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // An address in a configuration may carry a password.
    let lines = asked.pip_config.iter().flat_map(|text| text.lines());
    let quoted = lines.enumerate().map(|(at, line)| (at.to_string(), line.to_owned())).collect();
    let hidden = environment::passwords(&quoted);
    let certificates = certificates(env, &asked.pip_config);
    bench.hide(hidden.into_iter());
    let bytes = match certificates {
        Some(path) => {
            let bytes = std::fs::read(&path)
                .with_context(|| format!("the certificates in {} cannot be read", path.display()))?;
            for name in ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
                asked.env.insert(name.to_owned(), ca());
            }
            bench.say(&format!("The certificates in {} go with pip into the container.", path.display()));
            Some(bytes)
        }
        None => None,
    };
    Ok((asked, bytes))
}

/// Where certificates of this machine are inside.
fn ca() -> String {
    format!("{OURS}/certificates.pem")
}

/// Whether a variable means the same inside: none that names a file or a directory of this machine.
fn travels(name: &str) -> bool {
    let of_installers = ["PIP_", "UV_"].iter().any(|prefix| name.starts_with(prefix));
    let proxy = name.to_ascii_lowercase().ends_with("_proxy");
    let local = ["_DIR", "_FILE", "_CERT", "_PYTHON", "_PATH", "FIND_LINKS", "_CACHE"];
    proxy || (of_installers && !local.iter().any(|part| name.ends_with(part)))
}

/// pip's configuration files, the weakest first, as pip reads them.
fn pip_configs(env: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let home = env.get("HOME").map(PathBuf::from);
    let of_user =
        env.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(".config")));
    let mut found = vec![PathBuf::from("/etc/pip.conf")];
    found.extend(home.map(|home| home.join(".pip/pip.conf")));
    found.extend(of_user.map(|config| config.join("pip/pip.conf")));
    found.extend(env.get("PIP_CONFIG_FILE").map(PathBuf::from));
    found
}

/// The file with certificates that pip is told of: by a variable first, else by its configuration.
fn certificates(env: &BTreeMap<String, String>, configs: &[String]) -> Option<PathBuf> {
    let named = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
        .iter()
        .find_map(|name| env.get(*name).filter(|value| !value.is_empty()))
        .map(PathBuf::from);
    named.or_else(|| {
        configs.iter().rev().flat_map(|text| text.lines()).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "cert").then(|| PathBuf::from(value.trim()))
        })
    })
}

/// The cause when a package of the candidate would be another one with the layer.
fn changed(answer: &Answer) -> Option<Cause> {
    let mut changed =
        answer.before.iter().filter(|(name, version)| answer.after.get(*name) != Some(*version));
    let (name, version) = changed.next()?;
    let now = answer.after.get(name).map_or("gone", String::as_str);
    Some(Cause {
        summary: format!("the development packages would change {name} of the candidate"),
        expected: format!("{name} {version}, as in the candidate"),
        measured: format!("{name} {now} with the development packages"),
        cure: "Lock development's dependencies together with production's, so that both agree.".to_owned(),
        ..Cause::default()
    })
}

fn disagreements(answer: &Answer) -> Vec<Finding> {
    let found = answer.disagree.iter();
    found
        .map(|(name, candidate, wanted)| Finding {
            id: format!("PY-DISAGREE:{name}"),
            severity: Severity::Warning,
            title: format!(
                "{name} is {candidate} in the image and {wanted} in the lock: the image's is tested."
            ),
            cure: "Have the Dockerfile install exactly what the lock says.".to_owned(),
        })
        .collect()
}

fn missing(what: &str, artifact: &Artifact, cure: &str) -> Cause {
    Cause {
        summary: format!("the image {} has no {what}", artifact.location),
        expected: "an image in which development packages can be installed".to_owned(),
        measured: format!("no {what}"),
        cure: cure.to_owned(),
        ..Cause::default()
    }
}

/// `NAME-test:SHA`, on this engine alone.
async fn commit(ground: &Ground, artifact: &Artifact, container: &str, sha: &str) -> Result<String, Halt> {
    let name = match artifact.location.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => artifact.location.as_str(),
    };
    let options = CommitContainerOptionsBuilder::default()
        .container(container)
        .repo(&format!("{name}-test"))
        .tag(sha)
        .pause(false)
        .build();
    let client = ground.engine().client().clone().with_timeout(LONG);
    let made = client.commit_container(options, ContainerConfig::default()).await.map_err(|error| {
        Halt::Failed(trouble::cause(
            ground.engine().name(),
            "the layer with development packages could not be kept",
            &error,
        ))
    })?;
    Ok(made.id)
}

/// Removes the project's older layers. One that is in use stays until the next time.
async fn remove_old(ground: &Ground, key: &str) {
    let filter = std::collections::HashMap::from([(
        "label",
        vec![
            format!("{}={}", labels::KIND, Kind::Layer.word()),
            format!("{}={}", labels::PROJECT, ground.project()),
        ],
    )]);
    let options = ListImagesOptionsBuilder::default().filters(&filter).build();
    let Ok(mut found) = ground.engine().client().list_images(Some(options)).await else { return };
    found.retain(|image| image.labels.get(KEY).is_some_and(|other| other != key));
    found.sort_by_key(|image| std::cmp::Reverse(image.created));
    for image in found.iter().skip(KEPT - 1) {
        // By its names: an image with several is not removed by its id without force.
        let names = if image.repo_tags.is_empty() { vec![image.id.clone()] } else { image.repo_tags.clone() };
        for name in names {
            let options = RemoveImageOptionsBuilder::default().build();
            let _ = ground.engine().client().remove_image(&name, Some(options), None).await;
        }
    }
}

/// An image's id as people compare it.
fn short(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_means_the_same_inside_travels() {
        let cases = [
            ("PIP_INDEX_URL", true),
            ("PIP_TRUSTED_HOST", true),
            ("UV_DEFAULT_INDEX", true),
            ("HTTPS_PROXY", true),
            ("no_proxy", true),
            ("PIP_CERT", false),
            ("PIP_CONFIG_FILE", false),
            ("PIP_CACHE_DIR", false),
            ("PIP_FIND_LINKS", false),
            ("UV_PYTHON", false),
            ("PATH", false),
            ("DOCKER_HOST", false),
        ];
        for (name, wanted) in cases {
            assert_eq!(travels(name), wanted, "{name}");
        }
    }

    #[test]
    fn certificates_are_named_by_a_variable_or_by_the_configuration() {
        let config = vec!["[global]\nindex-url = https://a.example/simple\ncert = /a/ca.pem\n".to_owned()];
        assert_eq!(certificates(&BTreeMap::new(), &config), Some("/a/ca.pem".into()));
        let env = BTreeMap::from([("SSL_CERT_FILE".to_owned(), "/b.pem".to_owned())]);
        assert_eq!(certificates(&env, &config), Some("/b.pem".into()));
        assert_eq!(certificates(&BTreeMap::new(), &[]), None);
    }

    #[test]
    fn a_production_package_that_changes_is_named() {
        let freeze = |list: &[(&str, &str)]| {
            list.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
        };
        let mut answer = Answer {
            needed: true,
            before: freeze(&[("a", "1"), ("b", "1")]),
            after: freeze(&[("a", "1"), ("b", "1"), ("c", "3")]),
            disagree: Vec::new(),
        };
        assert_eq!(changed(&answer), None);
        answer.after = freeze(&[("a", "1"), ("b", "2")]);
        assert!(changed(&answer).unwrap().measured.contains("b 2"));
    }
}
