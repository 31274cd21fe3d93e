//! The candidate as an image: built once a commit, by one engine, under a name that is never moved.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use crate::docker::build::{Builder, Order, build, builder};
use crate::docker::credentials::Keyring;
use crate::docker::tags::{self, Image, moved};
use crate::docker::{Engine, labels};
use crate::domain::ids::ArtifactId;
use crate::domain::plan::{Build, Cause, Output, hash_of};
use crate::domain::project::{Host, ImageSettings, RuntimeKind, SecretSource};
use crate::domain::release::Artifact;
use crate::git::Mirror;
use crate::runtime::python::exclusive;
use crate::runtime::python::halt::{Halt, done};
use crate::runtime::python::source;
use crate::runtime::workbench::{Done, Stopped, Workbench};
use crate::secret;
use crate::text::redact::Redactor;

/// Changes when images are built in another way: then the same inputs are other inputs.
const FORMAT: u32 = 1;
/// The switch of Docker's own client: `0` builds with the classic builder.
const SWITCH: &str = "DOCKER_BUILDKIT";
/// The longest tag that Docker takes.
const LONGEST_TAG: usize = 128;

/// The name under which a build puts out the image's id, for steps that run in it.
pub const IMAGE: &str = "image";

/// Builds the candidate's image, or finds it built.
///
/// # Errors
/// When something of Towpath's own broke; what the project has to mend is a failed verdict.
pub async fn run(bench: &mut Workbench, build: &Build) -> anyhow::Result<Done> {
    let mut output = Output::default();
    let work = candidate(bench, build, &mut output).await;
    done(work, output)
}

async fn candidate(bench: &mut Workbench, build: &Build, output: &mut Output) -> Result<(), Halt> {
    let settings = build.artifact.image.as_ref().context("the build has no image's settings")?;
    let location = format!("{}:{}", settings.name, build.setting.commit);
    let inputs = inputs(&subtree(bench, build).await?, settings);
    // Two runs of one commit build it once.
    let lock = bench.spec().artifacts.join(format!("image-{}.lock", hash_of(&location)));
    let mut waited = false;
    let _held = exclusive::take(&lock, || waited = true).await?;
    if waited {
        bench.say("Another run was building the same image; it was waited for.");
    }
    let engine = Engine::connect(&Host::usual(), &bench.spec().home).await.map_err(Halt::Failed)?;
    let found = tags::find(&engine, &location).await.map_err(Halt::Failed)?;
    let image = match found {
        Some(found) if is_ours(&found, &inputs) => {
            bench.say(&format!("{location} is built already: {}.", found.id));
            output.facts.push("already built".to_owned());
            found
        }
        Some(found) => return Err(taken(&engine, &location, &found).into()),
        None => make(bench, build, settings, &engine, (&location, &inputs), output).await?,
    };
    if let Some(version) = bench.spec().commit.version() {
        name_version(bench, &engine, &settings.name, &version, &image, output).await?;
    }
    output.facts.push(format!("{} layers", image.layers));
    output.facts.push(format!("{} MB", image.bytes / 1_000_000));
    output.values.insert("candidate".to_owned(), location.clone());
    output.values.insert(IMAGE.to_owned(), image.id.clone());
    output.artifact = Some(Artifact {
        runtime: RuntimeKind::Docker,
        id: ArtifactId(image.id),
        location,
        inputs,
        bytes: image.bytes,
        files: image.layers,
    });
    Ok(())
}

/// Builds it, and names it where it has come out well.
async fn make(
    bench: &mut Workbench,
    build_: &Build,
    settings: &ImageSettings,
    engine: &Engine,
    (location, inputs): (&str, &str),
    output: &mut Output,
) -> Result<Image, Halt> {
    let secrets = secrets(bench, settings).await.map_err(|cause| Halt::Failed(Box::new(cause)))?;
    let context = source::fresh_directory(bench, "context")?;
    let setting = &build_.setting;
    output.findings.extend(source::export(bench, &setting.commit, &setting.root, &context).await?);
    let order = Order {
        context: context.clone(),
        dockerfile: settings.dockerfile.clone(),
        target: settings.target.clone(),
        args: settings.args.clone(),
        labels: image_labels(bench, build_, inputs),
        secrets,
        written: u64::try_from(bench.spec().commit.authored.0 / 1000).unwrap_or_default(),
    };
    let builder = match bench.spec().env.get(SWITCH).map(String::as_str) {
        Some("0") => Builder::Classic,
        _ => builder(engine).await.map_err(Halt::Failed)?,
    };
    let keyring = Keyring::of_user().map_err(Halt::Failed)?;
    let by = match builder {
        Builder::Kit => "BuildKit",
        Builder::Classic => "the classic builder",
    };
    bench.say(&format!("Building {location} with {by} on {} ({}).", engine.name(), engine.version()));
    output.facts.push(by.to_owned());
    let mut stop = bench.stopping();
    let mut say = |line: &str| bench.output(line);
    let built = tokio::select! {
        built = build(engine, builder, &order, &keyring, &mut say) => built,
        // The engine gives a build up that nobody waits for.
        () = async { if stop.wait_for(|stop| *stop).await.is_err() { std::future::pending().await } } => {
            return Err(Halt::Broken(Stopped.into()));
        }
    };
    let id = built.map_err(|cause| Halt::Failed(Box::new(redacted(*cause, &order.secrets))))?;
    // The files lie in the commit: nobody needs them a second time.
    let _ = std::fs::remove_dir_all(&context);
    let image = tags::find(engine, &id).await.map_err(Halt::Failed)?;
    let image = image.with_context(|| format!("{} has built {id}, and does not have it", engine.name()))?;
    if let Err(cause) = tags::tag(engine, &image.id, location).await {
        // Somebody took the name meanwhile: an image that nobody can reach is not left.
        let _ = tags::remove(engine, &image.id).await;
        return Err(Halt::Failed(cause));
    }
    bench.say(&format!("Built {location}: {}.", image.id));
    Ok(image)
}

/// The object name of the directory that is built.
async fn subtree(bench: &Workbench, build: &Build) -> anyhow::Result<String> {
    let (mirror, setting) = (bench.spec().mirror.clone(), build.setting.clone());
    let hash = tokio::task::spawn_blocking(move || {
        Mirror::open(&mirror, &mirror)?.subtree_hash(&setting.commit, &setting.root)
    });
    Ok(hash.await??)
}

/// What an image is built from. Where secrets come from, and whether it is pushed, makes no other image.
fn inputs(tree: &str, settings: &ImageSettings) -> String {
    let secrets: Vec<&String> = settings.secrets.keys().collect();
    hash_of(&(FORMAT, tree, &settings.dockerfile, &settings.target, &settings.args, secrets))
}

fn is_ours(image: &Image, inputs: &str) -> bool {
    let is = |label: &str, value: &str| image.labels.get(label).is_some_and(|found| found == value);
    is(labels::KIND, labels::Kind::Image.word()) && is(labels::INPUTS, inputs)
}

/// Everything in them is the commit's: two builds of it do not differ by them.
fn image_labels(bench: &Workbench, build: &Build, inputs: &str) -> BTreeMap<String, String> {
    let commit = &bench.spec().commit;
    let mut all = BTreeMap::from([
        (labels::KIND.to_owned(), labels::Kind::Image.word().to_owned()),
        (labels::PROJECT.to_owned(), build.setting.project.clone()),
        (labels::COMMIT.to_owned(), commit.id.0.clone()),
        (labels::INPUTS.to_owned(), inputs.to_owned()),
        ("org.opencontainers.image.revision".to_owned(), commit.id.0.clone()),
        ("org.opencontainers.image.title".to_owned(), build.setting.project.clone()),
    ]);
    if let Some(version) = commit.version() {
        all.insert("org.opencontainers.image.version".to_owned(), version);
    }
    if let Ok(authored) = jiff::Timestamp::from_millisecond(commit.authored.0) {
        all.insert("org.opencontainers.image.created".to_owned(), authored.to_string());
    }
    all
}

/// The version's tag, where it can be one and is free.
async fn name_version(
    bench: &mut Workbench,
    engine: &Engine,
    name: &str,
    version: &str,
    image: &Image,
    output: &mut Output,
) -> Result<(), Halt> {
    if !is_tag(version) {
        bench.say(&format!("The version {version} cannot be a tag of an image; {name} is not named by it."));
        return Ok(());
    }
    tags::tag(engine, &image.id, &format!("{name}:{version}")).await.map_err(|mut cause| {
        cause.cure = format!(
            "A version is one image for ever: give this commit another version's tag, or take the old name away \
             (`docker rmi {name}:{version}`) if it was made by mistake."
        );
        Halt::Failed(cause)
    })?;
    output.facts.push(format!("tagged {version}"));
    Ok(())
}

/// Docker's grammar of a tag.
fn is_tag(text: &str) -> bool {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.len() <= LONGEST_TAG
        && text.starts_with(word)
        && text.chars().all(|character| word(character) || character == '.' || character == '-')
}

/// The commit's tag is there, and what it names was not built from this.
fn taken(engine: &Engine, location: &str, found: &Image) -> Cause {
    let by = match found.labels.get(labels::INPUTS) {
        Some(inputs) => {
            format!("{}, built from other inputs ({})", found.id, inputs.get(..12).unwrap_or(inputs))
        }
        None => format!("{}, which Towpath has not built", found.id),
    };
    Cause {
        summary: format!("{location} is there already on {}, and is another image", engine.name()),
        measured: by,
        expected: "no image under the commit's tag, or the one that is built from this commit".to_owned(),
        ..moved(engine.name(), location, "", "")
    }
}

/// The values of the build's secrets. What the commit names is asked for as the user who runs the engine, like any
/// command line of a stage.
async fn secrets(bench: &mut Workbench, settings: &ImageSettings) -> Result<BTreeMap<String, String>, Cause> {
    let from_env = settings.secrets.iter().find(|(_, source)| matches!(source, SecretSource::Env(_)));
    if let Some((id, SecretSource::Env(variable))) = from_env {
        return Err(Cause {
            summary: format!("the build's secret {id} cannot come from the engine's environment"),
            expected: "a `file` or a `command` source".to_owned(),
            measured: format!("env = \"{variable}\""),
            cure: "A commit could name any variable that an environment's secrets come from, so a pipeline sees none of \
                   them. Give the build's secret a file that you alone can read, or a command."
                .to_owned(),
            ..Cause::default()
        });
    }
    let home = bench.spec().home.clone();
    if home == Path::new("") && !settings.secrets.is_empty() {
        return Err(Cause {
            summary: "the build's secrets cannot be asked for: the attempt was prepared by an older Towpath"
                .to_owned(),
            cure: "Retry the step.".to_owned(),
            ..Cause::default()
        });
    }
    let resolved = secret::resolve(&settings.secrets, &home, &|_| None).await.map_err(|trouble| Cause {
        summary: format!("the build's {trouble}"),
        expected: format!("a value for {}, from its {} source", trouble.name, trouble.kind),
        measured: trouble.measured.clone(),
        cure: trouble.cure.clone(),
        ..Cause::default()
    })?;
    let values: BTreeMap<String, String> =
        resolved.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect();
    bench.hide(values.values().cloned());
    Ok(values)
}

/// A cause quotes what was output: without secrets.
fn redacted(mut cause: Cause, secrets: &BTreeMap<String, String>) -> Cause {
    let mut redactor = Redactor::new(secrets.values().cloned());
    for text in [&mut cause.summary, &mut cause.measured].into_iter().chain(&mut cause.last_lines) {
        *text = redactor.redact(text).into_owned();
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ImageSettings {
        ImageSettings {
            name: "harbor".into(),
            dockerfile: "Dockerfile".into(),
            target: None,
            args: BTreeMap::new(),
            secrets: BTreeMap::new(),
            push: false,
        }
    }

    #[test]
    fn what_makes_another_image_makes_other_inputs() {
        let of = |change: fn(&mut ImageSettings)| {
            let mut settings = settings();
            change(&mut settings);
            inputs("tree", &settings)
        };
        let plain = of(|_| {});
        assert_eq!(of(|settings| settings.push = true), plain);
        assert_ne!(of(|settings| settings.target = Some("web".into())), plain);
        assert_ne!(of(|settings| _ = settings.args.insert("A".into(), "1".into())), plain);
        assert_ne!(inputs("another", &settings()), plain);
        let from = |source: SecretSource| {
            let mut settings = settings();
            settings.secrets.insert("token".into(), source);
            inputs("tree", &settings)
        };
        let file = from(SecretSource::File("a".into()));
        assert_ne!(file, plain);
        assert_eq!(file, from(SecretSource::Command("pass show a".into())));
    }

    #[test]
    fn a_version_that_docker_takes_no_tag_of_is_told() {
        assert!(is_tag("1.2.0") && is_tag("1.2.0-rc.1") && !is_tag("1.2.0+build") && !is_tag(".1"));
        assert!(!is_tag(&"1".repeat(129)));
    }

    #[test]
    fn an_image_is_ours_by_its_labels_alone() {
        let mut image = Image::default();
        assert!(!is_ours(&image, "abc"));
        image.labels.insert(labels::INPUTS.into(), "abc".into());
        assert!(!is_ours(&image, "abc"));
        image.labels.insert(labels::KIND.into(), "image".into());
        assert!(is_ours(&image, "abc") && !is_ours(&image, "abd"));
    }
}
