//! An image from a commit's files: by BuildKit where the engine has it, otherwise by the classic builder.
//!
//! | file | is |
//! |---|---|
//! | [`ignore`] | `.dockerignore` |
//! | [`context`] | the files, as a stream |
//! | `kit`, `session` | BuildKit: its steps, and who hands it secrets |
//! | `classic` | the builder of old |
//! | [`said`] | lines on their way to a log, and what failed in which instruction |

mod classic;
pub mod context;
pub mod ignore;
mod kit;
pub mod said;
mod session;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};

use super::connect::Engine;
use super::credentials::Keyring;
use super::trouble::{Result, cause};
use crate::domain::plan::Cause;

/// The oldest version of the API whose engines have BuildKit (Docker 18.09), as its minor number.
const FIRST_WITH_KIT: usize = 39;

/// Who builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit, in the engine.
    Kit,
    /// The builder that every engine has; it has no secrets.
    Classic,
}

/// What is to be built. It holds secrets' values, so it does not print.
pub struct Order {
    /// The directory with the files.
    pub context: PathBuf,
    /// The Dockerfile, relative to it.
    pub dockerfile: String,
    /// The stage to build; `None` is the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Values of secrets, by id.
    pub secrets: BTreeMap<String, String>,
    /// The time that every file gets, seconds since 1970.
    pub written: u64,
}

/// Which builder an engine has.
///
/// # Errors
/// When it does not answer.
pub async fn builder(engine: &Engine) -> Result<Builder> {
    let about = engine
        .client()
        .version()
        .await
        .map_err(|error| cause(engine.name(), "the engine could not be asked for its version", &error))?;
    let parts = about.components.unwrap_or_default();
    // Podman speaks Docker's API, and builds in its own way.
    let is_docker = !parts.iter().any(|part| part.name.to_lowercase().contains("podman"));
    let is_linux = about.os.as_deref().unwrap_or("linux") == "linux";
    let is_new = engine.client().client_version().minor_version >= FIRST_WITH_KIT;
    Ok(if is_docker && is_linux && is_new { Builder::Kit } else { Builder::Classic })
}

/// Builds an image that carries no name yet, and returns its id. `say` gets each line of the build's output as it
/// comes, sanitised. Dropping the future ends the build: the engine gives up what nobody waits for.
///
/// # Errors
/// Which instruction failed, with its last lines; that secrets are asked for where there are none.
pub async fn build(
    engine: &Engine,
    builder: Builder,
    order: &Order,
    keyring: &Keyring,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<String> {
    if !order.context.join(&order.dockerfile).is_file() {
        return Err(Box::new(no_dockerfile(order)));
    }
    if builder == Builder::Classic && !order.secrets.is_empty() {
        return Err(Box::new(no_secrets(engine, order)));
    }
    match builder {
        Builder::Kit => kit::build(engine, order, keyring, say).await,
        Builder::Classic => classic::build(engine, order, keyring, say).await,
    }
}

/// What both builders are told.
fn options(order: &Order) -> BuildImageOptionsBuilder {
    let map =
        |from: &BTreeMap<String, String>| -> HashMap<String, String> { from.clone().into_iter().collect() };
    let options = BuildImageOptionsBuilder::default()
        .dockerfile(&order.dockerfile)
        .buildargs(&map(&order.args))
        .labels(&map(&order.labels))
        .rm(true)
        .forcerm(true);
    match &order.target {
        Some(target) => options.target(target),
        None => options,
    }
}

/// Sends the context and gives back what the engine says meanwhile.
fn send<'a>(
    client: &'a bollard::Docker,
    options: BuildImageOptions,
    order: &Order,
    credentials: HashMap<String, bollard::auth::DockerCredentials>,
) -> impl futures_util::Stream<Item = std::result::Result<bollard::models::BuildInfo, bollard::errors::Error>> + 'a
{
    let files = context::stream(order.context.clone(), order.dockerfile.clone(), order.written);
    client.build_image(options, Some(credentials), Some(bollard::body_try_stream(files)))
}

fn no_dockerfile(order: &Order) -> Cause {
    Cause {
        summary: format!("the commit has no {}", order.dockerfile),
        expected: format!("the file {} in the project's directory", order.dockerfile),
        measured: "no such file".to_owned(),
        cure: "Commit it, or name another one with `dockerfile` in [artifact].".to_owned(),
        ..Cause::default()
    }
}

fn no_secrets(engine: &Engine, order: &Order) -> Cause {
    let names: Vec<&str> = order.secrets.keys().map(String::as_str).collect();
    Cause {
        summary: format!("{} has the classic builder alone, which has no build secrets", engine.name()),
        expected: format!("BuildKit, for the secrets {}", names.join(", ")),
        measured: format!("engine {}, without BuildKit", engine.version()),
        cure: "Build on a Linux engine of Docker 18.09 or later, or take the secrets out of the build. They are not \
               passed as build arguments: those stay readable in the image's history."
            .to_owned(),
        ..Cause::default()
    }
}
