//! What the artifact is: a directory that runs as processes, or an image that runs in containers.

use crate::config::{self, Mistake, Place, reference};
use crate::domain::finding::{Finding, Severity};
use crate::domain::project::{ImageSettings, ProjectKind, RuntimeKind};

use super::tree::Tree;

/// The Dockerfile where nothing else is written.
const DOCKERFILE: &str = "Dockerfile";

/// What runs the artifact: what is written, else Docker where an image is named.
pub(super) fn runtime(file: &config::File) -> RuntimeKind {
    let table = &file.artifact;
    match (&table.runtime, &table.image) {
        (Some(runtime), _) => runtime.value,
        (None, Some(_)) => RuntimeKind::Docker,
        (None, None) => RuntimeKind::Process,
    }
}

/// The image's settings; `None` on the process runtime. `project` is the project's name.
pub(super) fn settle(
    file: &config::File,
    project: &str,
    tree: &dyn Tree,
    mistakes: &mut Vec<Mistake>,
) -> Option<ImageSettings> {
    let table = &file.artifact;
    if runtime(file) == RuntimeKind::Process {
        for (key, place) in &table.of_image {
            let cure = match table.runtime {
                Some(_) => format!("Leave {key} out, or write runtime = \"docker\"."),
                None => format!("Write runtime = \"docker\" under [artifact], or leave {key} out."),
            };
            mistakes.push(Mistake::new(
                *place,
                format!("{key} is for images, and the runtime is process."),
                cure,
            ));
        }
        return None;
    }
    let name = table.image.as_ref().map_or_else(|| project.to_owned(), |image| image.value.clone());
    let dockerfile = table.dockerfile.as_ref().map_or(DOCKERFILE, |path| &path.value);
    if tree.read(dockerfile).is_none() {
        let places = [
            table.dockerfile.as_ref().map(|path| path.place),
            table.runtime.as_ref().map(|runtime| runtime.place),
            table.image.as_ref().map(|image| image.place),
        ];
        let place = places.into_iter().flatten().next().unwrap_or(Place::START);
        mistakes.push(Mistake::new(
            place,
            format!("there is no {dockerfile} that the image could be built from."),
            "Add it to the project and commit it, or write dockerfile = \"…\" under [artifact]; the README has one for \
             Django under \"On Docker\".",
        ));
    }
    let registry = reference::has_registry(&name);
    if let Some(push) = table.push.as_ref().filter(|push| push.value && !registry) {
        mistakes.push(Mistake::new(
            push.place,
            format!("push has nowhere to go: the image \"{name}\" names no registry."),
            "Write image = \"registry.example.com/…\", or leave push out: the image is then streamed to each host.",
        ));
    }
    let args = table.args.iter().flatten();
    Some(ImageSettings {
        push: table.push.as_ref().map_or(registry, |push| push.value),
        dockerfile: dockerfile.to_owned(),
        target: table.target.as_ref().map(|target| target.value.clone()),
        args: args.map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        secrets: table.secrets.iter().map(|(name, source)| (name.clone(), source.value.clone())).collect(),
        name,
    })
}

/// What is written and does nothing, because an image is built by its Dockerfile.
pub(super) fn findings(file: &config::File, kind: ProjectKind) -> Option<Finding> {
    let written = file.artifact.collectstatic.as_ref().is_some_and(|written| written.value);
    (written && kind == ProjectKind::Django).then(|| Finding {
        id: "IMAGE-COLLECTSTATIC".into(),
        severity: Severity::Warning,
        title: "collectstatic = true does nothing for an image: its Dockerfile says what is in it.".into(),
        cure: "Write RUN python manage.py collectstatic --noinput in the Dockerfile, and leave the key out."
            .into(),
    })
}

/// The words of `towpath check` about the image.
pub(super) fn words(image: &ImageSettings) -> String {
    let target = image.target.as_ref().map(|target| format!(", stage {target}")).unwrap_or_default();
    let moves = if image.push { "pushed to its registry" } else { "streamed to each host" };
    format!("candidate: the image {} from {}{target}, {moves}", image.name, image.dockerfile)
}
