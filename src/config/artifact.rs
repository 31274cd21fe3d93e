//! `[artifact]`: what one commit becomes, and how.

use std::collections::BTreeMap;

use toml::de::DeTable;

use super::mistake::Place;
use super::read::Reader;
use super::{Written, parts, reference};
use crate::domain::project::{RuntimeKind, SecretSource};

/// `[artifact]` as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArtifactTable {
    /// `runtime`
    pub runtime: Option<Written<RuntimeKind>>,
    /// `image`
    pub image: Option<Written<String>>,
    /// `dockerfile`
    pub dockerfile: Option<Written<String>>,
    /// `target`
    pub target: Option<Written<String>>,
    /// `args`
    pub args: Option<BTreeMap<String, Written<String>>>,
    /// `secrets`; each with the place of its name.
    pub secrets: BTreeMap<String, Written<SecretSource>>,
    /// `push`
    pub push: Option<Written<bool>>,
    /// `collectstatic`
    pub collectstatic: Option<Written<bool>>,
    /// `env`
    pub env: Option<BTreeMap<String, Written<String>>>,
    /// The keys that only an image has, as far as they are written, each with its place.
    pub of_image: Vec<(&'static str, Place)>,
}

/// The keys that only an image has.
const OF_IMAGE: [&str; 6] = ["image", "dockerfile", "target", "args", "secrets", "push"];

pub(super) fn read(reader: &mut Reader<'_>, table: &DeTable<'_>) -> ArtifactTable {
    let runtime = table.get("runtime").and_then(|node| {
        reader.checked(node, "runtime", "\"docker\" or \"process\"", |text| match text {
            "docker" => Some(RuntimeKind::Docker),
            "process" => Some(RuntimeKind::Process),
            _ => None,
        })
    });
    let image = table.get("image").and_then(|node| {
        let wanted = "the name of an image without a tag, such as \"registry.example.com/harbor\"; its tags are the \
                      commits";
        reader.checked(node, "image", wanted, |text| reference::valid_image(text).then(|| text.to_owned()))
    });
    let dockerfile = table.get("dockerfile").and_then(|node| {
        let wanted = "a path inside the project's directory, such as \"deploy/Dockerfile\"";
        reader.checked(node, "dockerfile", wanted, |text| valid_inside(text).then(|| text.to_owned()))
    });
    let target = table.get("target").and_then(|node| {
        let wanted = "the name of a stage of the Dockerfile: FROM … AS NAME";
        reader.checked(node, "target", wanted, |text| valid_target(text).then(|| text.to_owned()))
    });
    let in_args = "Anybody who has the image reads its build arguments: write where it comes from under \
                   [artifact.secrets], and RUN --mount=type=secret,id=NAME in the Dockerfile; if it was ever committed, \
                   replace it.";
    let secrets = parts::secrets(reader, table, "artifact");
    // A commit could name any variable that an environment's secrets come from: a pipeline sees none of them.
    for (name, secret) in secrets.iter().filter(|(_, secret)| secret.value.variable().is_some()) {
        reader.mistake(
            secret.place,
            format!("the build's secret {name} cannot come from a variable of the engine's environment."),
            "Write { file = \"…\" } or { command = \"…\" }.",
        );
    }
    let of_image = OF_IMAGE.into_iter().filter_map(|word| {
        let (key, _) = table.get_key_value(word)?;
        Some((word, reader.place(key)))
    });
    let of_image = of_image.collect();
    ArtifactTable {
        runtime,
        image,
        dockerfile,
        target,
        args: table.get("args").and_then(|node| reader.variables(node, "args", in_args)),
        secrets,
        push: table.get("push").and_then(|node| reader.flag(node, "push")),
        collectstatic: table.get("collectstatic").and_then(|node| reader.flag(node, "collectstatic")),
        env: table.get("env").and_then(|node| reader.env(node)),
        of_image,
    }
}

/// Whether a path stays inside of the directory that it is relative to.
pub(super) fn valid_inside(text: &str) -> bool {
    text.len() <= 1000
        && !text.contains(|c: char| c.is_control() || c == '\\')
        && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

pub(super) fn valid_target(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}
