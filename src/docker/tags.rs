//! Images of an engine: found, named once, and never renamed.

use std::collections::BTreeMap;

use bollard::models::ImageInspect;
use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};

use super::connect::Engine;
use super::trouble::{Result, cause, status};
use crate::domain::plan::Cause;

/// An image as its engine knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…` over its configuration, which names its layers by content.
    pub id: String,
    /// Its names with tags.
    pub tags: Vec<String>,
    /// Its names with digests, as registries know it.
    pub digests: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many layers it has.
    pub layers: u64,
    /// Its size in bytes, all layers together.
    pub bytes: u64,
}

impl From<ImageInspect> for Image {
    fn from(found: ImageInspect) -> Self {
        let config = found.config.unwrap_or_default();
        Self {
            id: found.id.unwrap_or_default(),
            tags: found.repo_tags.unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
            labels: config.labels.unwrap_or_default().into_iter().collect(),
            layers: found.root_fs.and_then(|layers| layers.layers).map_or(0, |layers| layers.len() as u64),
            bytes: u64::try_from(found.size.unwrap_or_default()).unwrap_or_default(),
        }
    }
}

/// An image by id or name; `None` where the engine has none.
///
/// # Errors
/// When the engine does not answer.
pub async fn find(engine: &Engine, reference: &str) -> Result<Option<Image>> {
    match engine.client().inspect_image(reference).await {
        Ok(found) => Ok(Some(found.into())),
        Err(error) if status(&error) == Some(404) => Ok(None),
        Err(error) => Err(cause(engine.name(), &format!("{reference} could not be looked for"), &error)),
    }
}

/// Gives an image a name, where nothing else has it.
///
/// # Errors
/// That something else has it: a name is never moved.
pub async fn tag(engine: &Engine, id: &str, reference: &str) -> Result<()> {
    if stands(engine, id, reference).await? {
        return Ok(());
    }
    let (repository, tag) = split(reference);
    let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
    engine
        .client()
        .tag_image(id, Some(options))
        .await
        .map_err(|error| cause(engine.name(), &format!("{id} could not be named {reference}"), &error))
}

/// Whether the name is the image's already; `false` where nothing has it.
///
/// # Errors
/// That something else has it.
pub async fn stands(engine: &Engine, id: &str, reference: &str) -> Result<bool> {
    match find(engine, reference).await? {
        None => Ok(false),
        Some(found) if found.id == id => Ok(true),
        Some(found) => Err(Box::new(moved(engine.name(), reference, id, &found.id))),
    }
}

/// Takes one name off an image; the image goes with its last one.
///
/// # Errors
/// When the engine does not do it. That there is no such name is none.
pub async fn remove(engine: &Engine, reference: &str) -> Result<()> {
    let options = RemoveImageOptionsBuilder::default().build();
    match engine.client().remove_image(reference, Some(options), None).await {
        Err(error) if status(&error) != Some(404) => {
            Err(cause(engine.name(), &format!("{reference} could not be removed"), &error))
        }
        _ => Ok(()),
    }
}

/// A name's repository and its tag, `latest` where it has none.
#[must_use]
pub fn split(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        // What follows a registry's port has a slash.
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

/// A name that means another image than the one that was built and tested.
#[must_use]
pub fn moved(place: &str, reference: &str, expected: &str, measured: &str) -> Cause {
    Cause {
        summary: format!("moved tag: {reference} on {place} is another image than the one that was tested"),
        expected: expected.to_owned(),
        measured: measured.to_owned(),
        cure: format!(
            "Nothing was started and nothing was overwritten. Find out who named another image {reference}; take the \
             name away (`docker rmi {reference}` on {place}), then retry the step."
        ),
        ..Cause::default()
    }
}

/// Whether an engine's words are those of a full disk.
#[must_use]
pub fn disk_full(words: &str) -> bool {
    let words = words.to_lowercase();
    words.contains("no space left on device") || words.contains("disk quota exceeded")
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_registrys_port_is_no_tag() {
        assert_eq!(split("harbor:1.2"), ("harbor", "1.2"));
        assert_eq!(split("127.0.0.1:5000/harbor"), ("127.0.0.1:5000/harbor", "latest"));
        assert_eq!(split("127.0.0.1:5000/harbor:abc"), ("127.0.0.1:5000/harbor", "abc"));
    }
}
