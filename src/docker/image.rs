//! Images as steps need them: there, or brought here; and what they say of themselves.

use std::collections::BTreeMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;

use super::Engine;
use super::trouble::{Result, cause, status};
use crate::domain::plan::Cause;

/// What an image says of itself, as far as a container made from it needs to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its id.
    pub id: String,
    /// Its `WORKDIR`; `/` where it has none.
    pub workdir: String,
    /// Its `USER`; empty is root.
    pub user: String,
    /// Its `ENV`.
    pub env: BTreeMap<String, String>,
    /// Whether it has a `HEALTHCHECK`.
    pub health: bool,
}

impl About {
    fn of(found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        let env = config.env.unwrap_or_default();
        let test = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
        Self {
            id: found.id.unwrap_or_default(),
            workdir: config.working_dir.filter(|dir| !dir.is_empty()).unwrap_or_else(|| "/".to_owned()),
            user: config.user.unwrap_or_default(),
            env: env
                .iter()
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            health: test.first().is_some_and(|first| first != "NONE"),
        }
    }
}

/// What an image on the engine says of itself; `None` where it is not there.
///
/// # Errors
/// When the engine does not say.
pub async fn look(engine: &Engine, image: &str) -> Result<Option<About>> {
    match engine.client().inspect_image(image).await {
        Ok(found) => Ok(Some(About::of(found))),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(cause(engine.name(), &format!("the image {image} could not be looked at"), &error)),
    }
}

/// An image on the engine, pulled where it is not there yet; `progress` is told a line a step of the pull.
///
/// # Errors
/// When it is neither there nor to be had.
pub async fn have(engine: &Engine, image: &str, progress: &mut (dyn FnMut(String) + Send)) -> Result<About> {
    if let Some(about) = look(engine, image).await? {
        return Ok(about);
    }
    if is_id(image) {
        return Err(Box::new(Cause {
            summary: format!("the image {image} is not on {}", engine.name()),
            expected: "the image that an earlier step left there".to_owned(),
            measured: "no such image; an id cannot be pulled".to_owned(),
            cure: "Start a new run: it builds the candidate again where it is missing.".to_owned(),
            ..Cause::default()
        }));
    }
    progress(format!("Pulling {image}: it is not on {} yet.", engine.name()));
    let (from, tag) = named(image);
    let options = CreateImageOptionsBuilder::default().from_image(from).tag(tag).build();
    let mut told = Box::pin(engine.client().create_image(Some(options), None, None));
    let mut last = String::new();
    while let Some(step) = told.next().await {
        let failed = match step {
            Ok(info) => {
                let part = info.id.map(|id| format!("{id}: ")).unwrap_or_default();
                if let Some(status) = info.status {
                    // A layer's bytes are told many times a second; its steps are enough for a log.
                    let line = format!("{part}{status}");
                    if line != last && !["Downloading", "Extracting"].contains(&status.as_str()) {
                        progress(line.clone());
                        last = line;
                    }
                }
                info.error_detail.and_then(|detail| detail.message)
            }
            Err(error) => Some(cause(engine.name(), "", &error).measured),
        };
        if let Some(said) = failed {
            return Err(not_to_be_had(engine, image, &said));
        }
    }
    match look(engine, image).await? {
        Some(about) => Ok(about),
        None => Err(not_to_be_had(engine, image, "the pull ended without it")),
    }
}

fn not_to_be_had(engine: &Engine, image: &str, said: &str) -> Box<Cause> {
    Box::new(Cause {
        summary: format!("the image {image} is not on {} and could not be pulled: {said}", engine.name()),
        expected: "an image that is there, or can be pulled".to_owned(),
        measured: said.to_owned(),
        cure: "Check its name and tag, log in to its registry on that host, or load it there by hand (docker load)."
            .to_owned(),
        ..Cause::default()
    })
}

/// Whether this names an image by what it is, not by what it is called.
fn is_id(image: &str) -> bool {
    image.starts_with("sha256:")
}

/// An image's name without its tag, and its tag (or digest). Without one a pull would bring every tag there is.
fn named(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        // `host:5000/name` has a port, not a tag.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_tag() {
        let cases = [
            ("postgres:16", ("postgres", "16")),
            ("postgres", ("postgres", "latest")),
            ("r.example:5000/a", ("r.example:5000/a", "latest")),
            ("r.example:5000/a:1", ("r.example:5000/a", "1")),
            ("a@sha256:00", ("a", "sha256:00")),
        ];
        for (image, wanted) in cases {
            assert_eq!(named(image), wanted);
        }
    }
}
