//! Through a registry, by digest: a tag can be moved there between a push and a pull, a digest cannot.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ProgressDetail;
use bollard::query_parameters::{CreateImageOptionsBuilder, PushImageOptionsBuilder};
use futures_util::StreamExt as _;

use super::{Progress, Wanted};
use crate::docker::connect::Engine;
use crate::docker::credentials::registry;
use crate::docker::tags::{self, disk_full, moved, split};
use crate::docker::trouble::{Result, status};
use crate::domain::plan::Cause;

/// How often something that a registry may get over is tried in all.
const TRIES: u32 = 3;
/// How long the first wait before another try is; each further one is twice as long.
const WAIT: Duration = Duration::from_secs(1);

/// Pushes an image from an engine that has it, unless the registry has it, and returns its digest there.
///
/// # Errors
/// That the registry's tag is another image's: it is never overwritten. Why the registry did not take it.
pub async fn push(
    from: &Engine,
    wanted: &Wanted,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> Result<String> {
    let (name, tag) = split(&wanted.location);
    if let Some(there) = digest(from, &wanted.location, credentials).await? {
        let known = format!("{name}@{there}");
        let ours = tags::find(from, &wanted.id).await?.is_some_and(|image| image.digests.contains(&known));
        if !ours {
            same(from, wanted, &known, credentials, progress).await?;
        }
        return Ok(there);
    }
    // `push` goes by name: the name must be the image's, now.
    if !tags::stands(from, &wanted.id, &wanted.location).await? {
        tags::tag(from, &wanted.id, &wanted.location).await?;
    }
    let mut tries = 1;
    loop {
        match push_once(from, name, tag, credentials, progress).await {
            Ok(digest) => return Ok(digest),
            Err(error) if tries < TRIES && passes(&error) => pause(&mut tries).await,
            Err(error) => return Err(Box::new(trouble(from, &wanted.location, "pushed to", &error))),
        }
    }
}

/// The tag is taken: it must be by this very image. To know, it is pulled by its digest; where it is the same, every
/// layer is here already.
async fn same(
    from: &Engine,
    wanted: &Wanted,
    known: &str,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> Result<()> {
    pull_named(from, known, credentials, progress).await?;
    let there = tags::find(from, known).await?.map(|image| image.id).unwrap_or_default();
    if there == wanted.id {
        return Ok(());
    }
    tags::remove(from, known).await?;
    let mut cause = moved(&registry(known), &wanted.location, &wanted.id, &there);
    cause.cure = format!(
        "The registry's tag was left as it is. Find out who pushed another image as {}, and remove the tag there; then \
         retry the step.",
        wanted.location
    );
    Err(Box::new(cause))
}

/// The digest that a registry has under a tag, asked through an engine; `None` where it has none.
///
/// # Errors
/// Why the registry did not say.
pub async fn digest(
    through: &Engine,
    reference: &str,
    credentials: Option<&DockerCredentials>,
) -> Result<Option<String>> {
    let mut tries = 1;
    loop {
        match through.client().inspect_registry_image(reference, credentials.cloned()).await {
            Ok(found) => return Ok(found.descriptor.digest),
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) if tries < TRIES && passes(&error) => pause(&mut tries).await,
            Err(error) => return Err(Box::new(trouble(through, reference, "looked for in", &error))),
        }
    }
}

/// Pulls an image by its digest to a host that may have it.
///
/// # Errors
/// Why it did not come, or that what came is another image: then it has no name there.
pub async fn pull(
    to: &Engine,
    wanted: &Wanted,
    digest: &str,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> Result<()> {
    if wanted.is_at(to).await? {
        return Ok(());
    }
    let known = format!("{}@{digest}", split(&wanted.location).0);
    pull_named(to, &known, credentials, progress).await?;
    let there = tags::find(to, &known).await?.map(|image| image.id).unwrap_or_default();
    if there != wanted.id {
        tags::remove(to, &known).await?;
    }
    wanted.arrived(to, &format!("{there}, pulled as {known}")).await
}

async fn pull_named(
    to: &Engine,
    known: &str,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut tries = 1;
    loop {
        match pull_once(to, known, credentials, progress).await {
            Ok(()) => return Ok(()),
            Err(error) if tries < TRIES && passes(&error) => pause(&mut tries).await,
            Err(error) => return Err(Box::new(trouble(to, known, "pulled from", &error))),
        }
    }
}

async fn pull_once(
    to: &Engine,
    known: &str,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> std::result::Result<(), Error> {
    let options = CreateImageOptionsBuilder::default().from_image(known).build();
    let mut stream = Box::pin(to.client().create_image(Some(options), None, credentials.cloned()));
    let mut layers = Layers::default();
    while let Some(told) = stream.next().await {
        let told = told?;
        // A layer is told of twice, as it is fetched and as it is unpacked: what travels is the first.
        if told.status.as_deref() == Some("Downloading") {
            layers.take(told.id, told.progress_detail, progress);
        }
    }
    Ok(())
}

async fn push_once(
    from: &Engine,
    name: &str,
    tag: &str,
    credentials: Option<&DockerCredentials>,
    progress: Progress<'_>,
) -> std::result::Result<String, Error> {
    let options = PushImageOptionsBuilder::default().tag(tag).build();
    let mut stream = Box::pin(from.client().push_image(name, Some(options), credentials.cloned()));
    let mut layers = Layers::default();
    let mut found = None;
    while let Some(told) = stream.next().await {
        let told = told?;
        found = told.status.as_deref().and_then(pushed_as).or(found);
        layers.take(told.status.filter(|status| status.contains(':')), told.progress_detail, progress);
    }
    found.ok_or_else(|| Error::DockerStreamError { error: "the push ended without a digest".to_owned() })
}

/// The digest in `TAG: digest: sha256:… size: 1234`.
fn pushed_as(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    rest.split_whitespace().next().filter(|digest| digest.starts_with("sha256:")).map(str::to_owned)
}

/// What each layer says of itself, added up.
#[derive(Default)]
struct Layers(BTreeMap<String, (u64, u64)>);

impl Layers {
    fn take(&mut self, layer: Option<String>, detail: Option<ProgressDetail>, progress: Progress<'_>) {
        let (Some(layer), Some(detail)) = (layer, detail) else { return };
        let bytes = |number: Option<i64>| u64::try_from(number.unwrap_or_default()).unwrap_or_default();
        self.0.insert(layer, (bytes(detail.current), bytes(detail.total)));
        let sum = |of: fn(&(u64, u64)) -> u64| self.0.values().map(of).sum();
        progress(sum(|layer| layer.0), sum(|layer| layer.1));
    }
}

async fn pause(tries: &mut u32) {
    tokio::time::sleep(WAIT * (1 << (*tries - 1).min(8))).await;
    *tries += 1;
}

fn words(error: &Error) -> String {
    match error {
        Error::DockerStreamError { error } => error.trim().to_owned(),
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        error => error.to_string(),
    }
}

/// What a registry says of a tag or a repository that it does not have. An engine hands it on in its own words.
fn is_missing(error: &Error) -> bool {
    let said = words(error).to_lowercase();
    // A registry that hides what it has says that it is denied: then only a push tells.
    status(error) == Some(404)
        || ["manifest unknown", "name unknown", "not found"].iter().any(|word| said.contains(word))
}

/// Whether another try may end otherwise.
fn passes(error: &Error) -> bool {
    let said = words(error).to_lowercase();
    let signs = [
        "500 internal server error",
        "502 bad gateway",
        "503 service unavailable",
        "504 gateway timeout",
        "429 too many requests",
        "toomanyrequests",
        "i/o timeout",
        "tls handshake timeout",
        "connection reset",
        "unexpected eof",
        "connection refused",
    ];
    signs.iter().any(|sign| said.contains(sign))
}

/// What a registry did not do, with what to do about it.
fn trouble(engine: &Engine, reference: &str, what: &str, error: &Error) -> Cause {
    let host = registry(split(reference).0);
    let said = words(error);
    let low = said.to_lowercase();
    let any = |signs: &[&str]| signs.iter().any(|sign| low.contains(sign));
    let cure = if disk_full(&low) {
        format!("Make room on the disk of {}, then retry the step.", engine.name())
    } else if any(&["unauthorized", "authentication required", "denied", "no basic auth", "401", "403"]) {
        format!(
            "Log in with `docker login {host}` as the user who runs Towpath, with an account that may push and pull \
             there; then retry the step."
        )
    } else if any(&["server gave http response to https client"]) {
        format!(
            "The registry speaks plain HTTP: give it TLS, or name it in `insecure-registries` of {}.",
            engine.name()
        )
    } else if any(&["x509", "certificate", "tls"]) {
        format!(
            "{} does not trust the registry's certificate: put its authority into /etc/docker/certs.d/{host}/ca.crt \
             there.",
            engine.name()
        )
    } else if any(&["connection refused", "no such host", "i/o timeout", "no route to host", "unreachable"]) {
        format!("See that {host} runs and that {} reaches it, then retry the step.", engine.name())
    } else if passes(error) {
        format!("{host} has trouble of its own: see its log, then retry the step.")
    } else {
        format!("See what {host} says in its log, then retry the step.")
    };
    let tried = if passes(error) { format!(", {TRIES} times") } else { String::new() };
    Cause {
        summary: format!("{reference} could not be {what} {host} by {}: {said}", engine.name()),
        expected: format!("an answer of the registry {host}"),
        measured: format!("{said}{tried}"),
        cure,
        ..Cause::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &str) -> Error {
        Error::DockerStreamError { error: words.to_owned() }
    }

    #[test]
    fn a_push_says_its_digest() {
        let line = "0123abc: digest: sha256:77af size: 1234";
        assert_eq!(pushed_as(line).as_deref(), Some("sha256:77af"));
        assert_eq!(pushed_as("Pushed"), None);
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        assert!(passes(&said("received unexpected HTTP status: 500 Internal Server Error")));
        assert!(!passes(&said("unauthorized: authentication required")));
        assert!(is_missing(&said("manifest unknown: manifest unknown")));
        assert!(!is_missing(&said("received unexpected HTTP status: 500 Internal Server Error")));
    }

    #[test]
    fn layers_are_added_up() {
        let mut layers = Layers::default();
        let mut seen = Vec::new();
        let mut tell = |went, all| seen.push((went, all));
        let detail = |current, total| Some(ProgressDetail { current: Some(current), total: Some(total) });
        layers.take(Some("a".into()), detail(1, 10), &mut tell);
        layers.take(Some("b".into()), detail(5, 20), &mut tell);
        layers.take(Some("a".into()), detail(10, 10), &mut tell);
        layers.take(None, detail(1, 1), &mut tell);
        assert_eq!(seen, [(1, 10), (6, 30), (15, 30)]);
    }
}
