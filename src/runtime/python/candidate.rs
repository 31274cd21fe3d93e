//! The artifact of the process runtime: exactly the commit, production's dependencies alone, static files
//! collected, bytecode compiled, in its final, content-addressed directory; a manifest is its identity.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::ArtifactId;
use crate::domain::plan::{Build, Cause, Output, Setting, hash_of};
use crate::domain::project::ProjectKind;
use crate::domain::release::{Artifact, STATIC_FILES};
use crate::preset::judge;

use super::django::{self, Place, Settings};
use super::environment;
use super::exclusive;
use super::halt::{Halt, done};
use super::install::values;
use super::interpreter::{self, Interpreter};
use super::locked::Scope;
use super::manifest::{self, Altered, Known, Manifest};
use super::source;
use crate::runtime::command::CommandLine;
use crate::runtime::workbench::{Done, Workbench};

/// Changes when artifacts are built in another way: then the same inputs are other inputs.
const FORMAT: u32 = 3;

/// Written and synced last; what is without it was never finished.
const MARKER: &str = "artifact.json";

/// The file that tells which files were touched since they were measured, and the name under which the build puts
/// its hash out.
pub use crate::domain::release::STAMPS;

/// What is known of a finished artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Built {
    format: u32,
    artifact: Artifact,
    commit: String,
    interpreter: Interpreter,
    /// Where the collected static files are, relative to the artifact's directory.
    static_files: Option<String>,
    facts: Vec<String>,
    findings: Vec<Finding>,
}

/// Builds the candidate, or finds it built.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, build: &Build) -> anyhow::Result<Done> {
    let mut output = Output::default();
    let work = candidate(bench, build, &mut output).await;
    done(work, output)
}

/// Measures an artifact again.
///
/// # Errors
/// Which file differs first, and how.
pub fn verify(directory: &Path) -> Result<ArtifactId, Altered> {
    Ok(measured(directory, None)?.id())
}

/// Measures an artifact again, as its manifest says that it is. `stamps` is the hash of what tells whether a file was
/// touched: with it only touched files are read.
fn measured(directory: &Path, stamps: Option<&str>) -> Result<Manifest, Altered> {
    let altered = |path: &str, why: String| Altered { path: path.to_owned(), why };
    let read = |name: &str| {
        fs::read_to_string(directory.join(name))
            .map_err(|error| altered(name, format!("can't be read: {error}")))
    };
    let built: Built = serde_json::from_str(&read(MARKER)?)
        .map_err(|error| altered(MARKER, format!("can't be read: {error}")))?;
    let text = read("manifest")?;
    if manifest::identity(&text) != built.artifact.id {
        return Err(altered("manifest", "was changed".to_owned()));
    }
    // Stamps that are not those that the build put out say nothing, whoever has written them.
    let known = stamps
        .and_then(|hash| read(STAMPS).ok().filter(|stamps| hash_of(stamps) == hash))
        .map_or_else(Known::default, |stamps| Known::of(&text, &stamps));
    let now = Manifest::measure_knowing(directory, &known)
        .map_err(|error| altered(".", format!("can't be read: {error:#}")))?;
    now.differs_from(&text).map_or(Ok(now), Err)
}

/// [`measured`] off the async threads.
async fn measured_soon(directory: PathBuf, stamps: Option<String>) -> Result<Manifest, Altered> {
    let died = |error| Altered { path: ".".to_owned(), why: format!("can't be read: {error}") };
    let thread = tokio::task::spawn_blocking(move || measured(&directory, stamps.as_deref()));
    thread.await.unwrap_or_else(|error| Err(died(error)))
}

/// Measures an artifact after a step has worked with it: reads the files that were touched since the build, which are
/// none as a rule. `stamps` is what the build put out under [`STAMPS`]; without it every file is read.
///
/// # Errors
/// Which file differs first, and how.
pub async fn verify_touched(directory: PathBuf, stamps: Option<String>) -> Result<ArtifactId, Altered> {
    Ok(measured_soon(directory, stamps).await?.id())
}

/// Writes what tells whether a file was touched beside the manifest; returns its hash.
fn write_stamps(directory: &Path, measured: &Manifest) -> anyhow::Result<String> {
    let stamps = measured.stamps();
    let path = directory.join(STAMPS);
    // Another run may be reading it.
    if fs::read_to_string(&path).ok().as_ref() != Some(&stamps) {
        environment::write_marker(&path, &stamps)?;
    }
    Ok(hash_of(&stamps))
}

async fn candidate(bench: &mut Workbench, build: &Build, output: &mut Output) -> Result<(), Halt> {
    let setting = &build.setting;
    let installed = installed(bench)?;
    let interpreter = interpreter::find(setting.python.as_deref(), &bench.spec().env).await?;
    let tree = source::tree_hash(bench, &setting.commit).await?;
    let lock = installed.get(values::LOCK_HASH).cloned().unwrap_or_default();
    let inputs = inputs_hash(build, &tree, &lock, &interpreter);
    let directory = bench.spec().artifacts.join(&inputs);
    let mut waited = false;
    let _held = exclusive::take(&directory.with_extension("lock"), || waited = true).await?;
    if waited {
        bench.say("Another run was building the same artifact; it was waited for.");
    }

    if let Some((built, measured)) = reusable(bench, &directory, output).await? {
        output.facts.push("cache hit".to_owned());
        output.values.insert(STAMPS.to_owned(), write_stamps(&directory, &measured)?);
        return finish(built, output);
    }
    environment::remove(&directory)?;
    let mut facts = Vec::new();
    let mut findings = Vec::new();
    let static_files =
        make(bench, build, &interpreter, &installed, &directory, &mut facts, &mut findings).await?;
    bench.say("Measuring the artifact.");
    let measured = {
        let directory = directory.clone();
        tokio::task::spawn_blocking(move || -> anyhow::Result<Manifest> {
            manifest::seal(&directory)?;
            Manifest::measure(&directory)
        })
        .await
        .context("the measuring thread died")??
    };
    let artifact = Artifact {
        runtime: crate::domain::project::RuntimeKind::Process,
        id: measured.id(),
        location: directory.display().to_string(),
        inputs,
        bytes: measured.bytes(),
        files: measured.files(),
    };
    fs::write(directory.join("manifest"), measured.text())
        .context("could not write the artifact's manifest")?;
    output.values.insert(STAMPS.to_owned(), write_stamps(&directory, &measured)?);
    let commit = setting.commit.0.clone();
    let built = Built { format: FORMAT, artifact, commit, interpreter, static_files, facts, findings };
    let text = serde_json::to_string_pretty(&built).context("the artifact's marker as JSON")?;
    environment::write_marker(&directory.join(MARKER), &text)?;
    bench.say(&format!("Built {}.", built.artifact.id));
    finish(built, output)
}

fn finish(built: Built, output: &mut Output) -> Result<(), Halt> {
    let Built { artifact, static_files, facts, findings, .. } = built;
    output.facts.extend(facts);
    output.facts.push(format!("{} files", artifact.files));
    output.facts.push(format!("{} MB", artifact.bytes / 1_000_000));
    output.findings.extend(findings);
    output.values.insert("candidate".to_owned(), artifact.location.clone());
    output.values.extend(static_files.map(|path| (STATIC_FILES.to_owned(), path)));
    output.artifact = Some(artifact);
    Ok(())
}

/// What the install step put out; the build has it among its inputs.
fn installed(bench: &Workbench) -> anyhow::Result<BTreeMap<String, String>> {
    bench
        .spec()
        .inputs
        .values()
        .find(|output| output.values.contains_key(values::LOCK_HASH))
        .map(|output| output.values.clone())
        .context("no step before this one installed the dependencies; the candidate needs an install step")
}

fn inputs_hash(build: &Build, tree: &str, lock: &str, interpreter: &Interpreter) -> String {
    let Setting { root, settings, kind, env, .. } = &build.setting;
    hash_of(&(FORMAT, tree, root, lock, interpreter.identity(), settings, kind, &build.artifact, env))
}

/// An artifact that is there, finished and unaltered. An altered one is moved aside and said: a release may
/// still point to it, so it is neither mended nor thrown away.
async fn reusable(
    bench: &mut Workbench,
    directory: &Path,
    output: &mut Output,
) -> anyhow::Result<Option<(Built, Manifest)>> {
    let Ok(text) = fs::read_to_string(directory.join(MARKER)) else {
        if directory.exists() {
            bench.say("An artifact that was not finished is built again.");
        }
        return Ok(None);
    };
    match measured_soon(directory.to_owned(), None).await {
        Ok(measured) => {
            let built: Built = serde_json::from_str(&text).context("the artifact's marker can't be read")?;
            Ok(Some((built, measured)))
        }
        Err(altered) => {
            let aside = (1_u32..)
                .map(|number| directory.with_extension(format!("altered-{number}")))
                .find(|path| !path.exists())
                .context("no name is left to move an altered artifact to")?;
            fs::rename(directory, &aside)
                .with_context(|| format!("could not move an altered artifact to {}", aside.display()))?;
            let name = directory.file_name().unwrap_or_default().to_string_lossy();
            let title =
                format!("The artifact that was built before was altered ({altered}) and is built again.");
            bench.say(&title);
            output.findings.push(Finding {
                id: format!("ARTIFACT-ALTERED:{}", name.get(..12).unwrap_or(&name)),
                severity: Severity::Warning,
                title,
                cure: format!("Find out who writes there; the altered one is in {}.", aside.display()),
            });
            Ok(None)
        }
    }
}

/// Fills the artifact's directory; returns where in it the static files are, where there are any.
async fn make(
    bench: &mut Workbench,
    build: &Build,
    interpreter: &Interpreter,
    installed: &BTreeMap<String, String>,
    directory: &Path,
    facts: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) -> Result<Option<String>, Halt> {
    let setting = &build.setting;
    let (app, venv) = (directory.join("app"), directory.join("venv"));
    fs::create_dir_all(&app).with_context(|| format!("could not make {}", app.display()))?;
    findings.extend(source::export(bench, &setting.commit, &setting.root, &app).await?);

    // The lock is read from a second export: installing may leave files beside it, and `app/` is the commit.
    let beside = source::fresh_directory(bench, "source")?;
    source::export(bench, &setting.commit, &setting.root, &beside).await?;
    let locked = source::locked(&beside)?;
    environment::create(bench, interpreter, &venv).await?;
    // Where nothing is locked, what was installed for the checks is what is built: the same versions.
    let freeze = installed.get(values::FREEZE).map(PathBuf::from).filter(|_| !locked.is_locked());
    locked.fill(bench, interpreter, &venv, Scope::Production, freeze.as_deref(), findings).await?;
    let freeze = environment::freeze(&venv)?;
    let count = freeze.len();
    if setting.kind == ProjectKind::Django && !freeze.contains_key("django") && !app.join("django").is_dir() {
        return Err(without_django(&freeze).into());
    }
    facts.push(format!("{count} production package{}", if count == 1 { "" } else { "s" }));
    if app.join("src").is_dir()
        && !app.join("src/manage.py").is_file()
        && app.join("pyproject.toml").is_file()
    {
        // A project laid out under `src/` expects to be installed. Relative to site-packages: the artifact is
        // brought to other places, and the path goes with it.
        let site = environment::site_packages(&venv)?;
        fs::write(site.join("towpath_app.pth"), "../../../../app/src\n")
            .context("could not write towpath_app.pth")?;
    }

    let mut static_files = None;
    if setting.kind == ProjectKind::Django {
        let place =
            Place { python: environment::python(&venv), cwd: app.clone(), env: build_env(bench, build) };
        if build.artifact.collectstatic {
            let root = collect_static(bench, &place, &app, facts, findings).await?;
            static_files = root.map(|root| relative(&root, directory)).transpose()?;
        } else {
            facts.push("collectstatic is off".to_owned());
        }
    }
    compile(bench, &venv, &app, findings).await?;
    Ok(static_files)
}

/// A path inside the artifact, as it is said outside of this machine.
fn relative(path: &Path, directory: &Path) -> anyhow::Result<String> {
    let inner = path
        .strip_prefix(normal(directory))
        .with_context(|| format!("{} is not in {}", path.display(), directory.display()))?;
    let text = inner.to_str().with_context(|| format!("{} is not UTF-8", inner.display()))?;
    Ok(text.to_owned())
}

/// Every step in such a candidate would fail, each with other words.
fn without_django(production: &environment::Freeze) -> Cause {
    let names: Vec<&str> = production.keys().take(8).map(String::as_str).collect();
    Cause {
        summary: "Django is not among the production dependencies".to_owned(),
        expected: "an artifact in which Django is installed".to_owned(),
        measured: match production.len() {
            0 => "no package at all".to_owned(),
            count => format!("{count} packages: {}{}", names.join(", "), if count > 8 { ", …" } else { "" }),
        },
        cure: "Name Django where production's dependencies are named (requirements.txt, [project] dependencies), not \
               only among the development ones; lock and commit."
            .to_owned(),
        ..Cause::default()
    }
}

/// The environment of the build: throw-away secrets, then what the configuration says.
fn build_env(bench: &Workbench, build: &Build) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> =
        django::SECRET_KEYS.into_iter().map(|name| (name.to_owned(), django::throw_away_secret())).collect();
    // Settings that parse an address at import get one that touches nothing.
    env.insert("DATABASE_URL".to_owned(), "sqlite:///:memory:".to_owned());
    if let Some(settings) = &build.setting.settings {
        env.insert("DJANGO_SETTINGS_MODULE".to_owned(), settings.clone());
    }
    env.extend(build.setting.env.clone());
    env.extend(build.artifact.env.clone());
    env.insert("HOME".to_owned(), bench.work().display().to_string());
    env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    env
}

/// Collects the static files; returns where, where that is inside the project.
async fn collect_static(
    bench: &mut Workbench,
    place: &Place,
    app: &Path,
    facts: &mut Vec<String>,
    findings: &mut Vec<Finding>,
) -> Result<Option<PathBuf>, Halt> {
    let before = files(app)?;
    let settings = place.settings(bench).await?;
    let Some(root) = static_root(&settings) else {
        facts.push("no STATIC_ROOT".to_owned());
        strays(bench, app, &before, None, findings)?;
        return Ok(None);
    };
    let cwd =
        django::manage_py(app).and_then(|path| path.parent().map(Path::to_owned)).unwrap_or(app.to_owned());
    let root = normal(&cwd.join(&root));
    if !root.starts_with(normal(app)) || root == normal(app) {
        findings.push(Finding {
            id: "STATIC-OUTSIDE".to_owned(),
            severity: Severity::Warning,
            title: format!(
                "STATIC_ROOT is {}, outside of the project: the artifact has no static files.",
                root.display()
            ),
            cure: "Set STATIC_ROOT to a directory under BASE_DIR, e.g. BASE_DIR / \"staticfiles\"."
                .to_owned(),
        });
        facts.push("static files outside".to_owned());
        strays(bench, app, &before, None, findings)?;
        return Ok(None);
    }
    let ended = bench.run(place.manage(&["collectstatic", "--noinput", "--verbosity", "1"])).await?;
    if !ended.success() {
        let what =
            django::exception(&ended.tail).or(ended.tail.last().map(String::as_str)).unwrap_or("").to_owned();
        let mut cause: Cause = ended.cause(format!("collectstatic: {what}"));
        if let Some(crash) = judge::crash(&ended.tail) {
            cause.last_lines = crash.lines;
        }
        cause.cure = django::cure(&what);
        return Err(cause.into());
    }
    let collected = files(&root)?.len();
    facts.push(format!("collectstatic {collected} files"));
    strays(bench, app, &before, Some(&root), findings)?;
    // Nothing collected leaves no directory behind.
    Ok(root.is_dir().then_some(root))
}

fn static_root(settings: &Settings) -> Option<PathBuf> {
    settings.static_root.as_ref().filter(|_| settings.staticfiles).map(PathBuf::from)
}

/// What the build's commands left beside the static files (logs, a database file) does not ship.
fn strays(
    bench: &mut Workbench,
    app: &Path,
    before: &BTreeSet<PathBuf>,
    root: Option<&Path>,
    findings: &mut Vec<Finding>,
) -> Result<(), Halt> {
    let app = normal(app);
    let stray: Vec<PathBuf> = files(&app)?
        .into_iter()
        .filter(|path| !before.contains(path) && root.is_none_or(|root| !path.starts_with(root)))
        .collect();
    for path in &stray {
        fs::remove_file(path).with_context(|| format!("could not remove {}", path.display()))?;
        bench.say(&format!("Removed {}, which the build left behind.", path.display()));
    }
    if let Some(first) = stray.first() {
        let first = first.strip_prefix(&app).unwrap_or(first).display();
        findings.push(Finding {
            id: format!("BUILD-STRAY:{first}"),
            severity: Severity::Note,
            title: format!(
                "Loading the settings writes {first} into the project's directory; it does not ship."
            ),
            cure: "Write logs and data to a directory that an environment variable names.".to_owned(),
        });
    }
    Ok(())
}

/// Bytecode that does not depend on times, so that the same inputs give the same bytes.
async fn compile(
    bench: &mut Workbench,
    venv: &Path,
    app: &Path,
    findings: &mut Vec<Finding>,
) -> Result<(), Halt> {
    let python = environment::python(venv).display().to_string();
    let site = environment::site_packages(venv)?;
    for (directory, ours) in [(site.as_path(), false), (app, true)] {
        // In `app/`, paths in bytecode are relative: the place of the artifact says nothing.
        let line = CommandLine::new(python.clone())
            .args(["-I", "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"])
            .arg(directory.display().to_string())
            .cwd("/");
        let ended = bench.run(line).await?;
        if ended.success() || !ours {
            // Packages ship files for other versions of Python, templates among them: those never compile.
            continue;
        }
        let prefix = app.display().to_string();
        let broken: BTreeSet<String> = ended
            .tail
            .iter()
            .filter_map(|line| line.split("File \"").nth(1)?.split('"').next())
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|path| path.trim_start_matches('/').to_owned())
            .collect();
        findings.extend(broken.into_iter().take(10).map(|path| Finding {
            id: format!("PY-SYNTAX:{path}"),
            severity: Severity::Warning,
            title: format!("{path} does not compile with this Python."),
            cure: "Mend it, or keep it out of the artifact with export-ignore in .gitattributes.".to_owned(),
        }));
    }
    Ok(())
}

fn files(directory: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![normal(directory)];
    while let Some(directory) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("could not read {}", directory.display()))?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() { open.push(entry.path()) } else { _ = found.insert(entry.path()) }
        }
    }
    Ok(found)
}

/// The path without `.` and `..`, its existing part without links.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => _ = plain.pop(),
            std::path::Component::CurDir => {}
            part => plain.push(part),
        }
    }
    let existing = plain.ancestors().find(|path| path.exists()).map(Path::to_owned);
    match existing.and_then(|existing| Some((existing.canonicalize().ok()?, existing))) {
        Some((real, existing)) => real.join(plain.strip_prefix(&existing).unwrap_or(Path::new(""))),
        None => plain,
    }
}
