//! Who answers BuildKit's questions during a build: for credentials, and for secrets.
//!
//! bollard's `build_image` streams context and output, but its session hands out no secrets; its `docker_build` has
//! such a session, but streams neither. So where secrets are wanted, `docker_build` is given a Dockerfile that is
//! refused at once, which opens the session; the build itself then goes on under that session's id. That the session
//! outlives the refused build is held by a test against a real engine. It ends with this process.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bollard::Docker;
use bollard::auth::DockerCredentials;
use bollard::grpc::BuildRef;
use bollard::grpc::build::{ImageBuildFrontendOptions, ImageBuildLoadInput, SecretSource};
use bollard::grpc::driver::Build as _;
use bollard::grpc::driver::moby::Moby;
use bytes::Bytes;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::docker::connect::Engine;
use crate::docker::trouble::Result;
use crate::domain::plan::Cause;

/// The header in which a client says under which id its session goes.
const SESSION: &str = "x-docker-expose-session-uuid";
/// An instruction that no Dockerfile has: the refusal that names it came from our session's files.
const REFUSED: &str = "TOWPATH_OPENS_A_SESSION";

pub(super) struct Session {
    id: String,
    client: Docker,
    /// The secrets' values, in memory; BuildKit asks for them while it builds.
    _values: Vec<OwnedFd>,
}

impl Session {
    /// Without secrets the session is the one that the build brings itself.
    pub(super) async fn open(
        engine: &Engine,
        secrets: &BTreeMap<String, String>,
        credentials: &HashMap<String, DockerCredentials>,
    ) -> Result<Self> {
        let other = BuildRef::random();
        if secrets.is_empty() {
            let id = other.as_ref().to_owned();
            return Ok(Self { id, client: engine.client().clone(), _values: Vec::new() });
        }
        let mut values = Vec::new();
        let mut options = ImageBuildFrontendOptions::builder();
        for (name, value) in secrets {
            let (path, held) = in_memory(value).map_err(|error| failed(engine, &error.to_string()))?;
            options = options.set_secret(name, &SecretSource::File(path));
            values.push(held);
        }
        let said: Arc<Mutex<Option<String>>> = Arc::default();
        let hears = Arc::clone(&said);
        let listening = engine.client().clone().with_request_modifier(move |request| {
            let id = request.headers().get(SESSION).and_then(|id| id.to_str().ok());
            if let (Some(id), Ok(mut said)) = (id, hears.lock()) {
                *said = Some(id.to_owned());
            }
            request
        });
        let files = refused_context().map_err(|error| failed(engine, &error.to_string()))?;
        let credentials = credentials.iter().map(|(host, one)| (host.as_str(), one.clone())).collect();
        let refusal = Moby::new(&listening)
            .docker_build(
                "towpath-session",
                options.build(),
                ImageBuildLoadInput::Upload(files),
                Some(credentials),
                None,
            )
            .await;
        let words = refusal
            .err()
            .map_or_else(|| "it built what it should refuse".to_owned(), |error| error.to_string());
        if !words.contains(REFUSED) {
            return Err(failed(engine, &words));
        }
        let id = said.lock().ok().and_then(|mut said| said.take());
        let id = id.ok_or_else(|| failed(engine, "no session was opened"))?;
        // The session that the build brings itself would take our session's place: it goes under another id.
        let client = engine.client().clone().with_request_modifier(move |mut request| {
            if request.headers().contains_key(SESSION)
                && let Ok(id) = other.as_ref().parse()
            {
                request.headers_mut().insert(SESSION, id);
            }
            request
        });
        Ok(Self { id, client, _values: values })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) const fn client(&self) -> &Docker {
        &self.client
    }
}

/// A file that is nowhere but in memory, for bollard takes secrets from files and from the environment alone.
fn in_memory(value: &str) -> std::io::Result<(PathBuf, OwnedFd)> {
    let held = memfd_create("secret", MFdFlags::MFD_CLOEXEC)?;
    let mut file = std::fs::File::from(held);
    file.write_all(value.as_bytes())?;
    let held = OwnedFd::from(file);
    Ok((PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd())), held))
}

fn refused_context() -> std::io::Result<Bytes> {
    let text = format!("{REFUSED} x\n");
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "Dockerfile", text.as_bytes())?;
    Ok(archive.into_inner()?.into())
}

fn failed(engine: &Engine, words: &str) -> Box<Cause> {
    let words = super::said::harmless(words);
    Box::new(Cause {
        summary: format!("BuildKit on {} could not be given the build's secrets: {words}", engine.name()),
        expected: "a session in which BuildKit asks for secrets".to_owned(),
        measured: words,
        cure: "See that the engine is Docker 18.09 or later and answers, then retry the step.".to_owned(),
        ..Cause::default()
    })
}
