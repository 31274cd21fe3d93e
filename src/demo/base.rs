//! Base images: the one that the shop is built on, and PostgreSQL for its tests. Taken as they are where the engine has
//! them, else pulled; where there is no registry either, made: a small Debian by `mmdebstrap`, imported.
//!
//! One that was made is named after its recipe. It stays on the engine when the demo goes, like one that was pulled.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt as _;
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::Teller;
use super::on_docker::failure;
use crate::cli::failure::{Failure, Sort, sentence};
use crate::docker::{Engine, image};

/// Images with a Python that the shop's packages are locked for, the first that is there; the first is pulled.
const PYTHON: [&str; 4] = ["python:3.12-slim", "python:3.13-slim", "python:3.11-slim", "python:3.10-slim"];
/// Images with PostgreSQL, likewise.
const POSTGRES: [&str; 5] =
    ["postgres:17-alpine", "postgres:17", "postgres:16-alpine", "postgres:16", "postgres:15"];
/// Their names when they are made here, without the recipe's tag.
const MADE_PYTHON: &str = "towpath-base-python";
const MADE_POSTGRES: &str = "towpath-base-postgres";

/// The suite of Debian that they are made of.
const SUITE: &str = "bookworm";
/// Where Debian's images have their certificates.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What PostgreSQL's image runs: as the well-known image does, it makes a database at first, of `POSTGRES_USER`,
/// `POSTGRES_PASSWORD` (or `POSTGRES_HOST_AUTH_METHOD=trust`) and `POSTGRES_DB`, and then is the server.
const START_POSTGRES: &str = r#"#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(ls -d /usr/lib/postgresql/*/bin)
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
mkdir -p /var/run/postgresql && chown postgres: /var/run/postgresql
if [ ! -s "$data/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$data"
  if [ "$method" = trust ]; then
    as "$bin/initdb" -D "$data" -U "$user" -A trust -E UTF8 >/dev/null
  else
    (umask 077; printf '%s' "${POSTGRES_PASSWORD:?}" >/tmp/password; chown postgres: /tmp/password)
    as "$bin/initdb" -D "$data" -U "$user" -A "$method" --pwfile=/tmp/password -E UTF8 >/dev/null
    rm /tmp/password
  fi
  echo "host all all all $method" >>"$data/pg_hba.conf"
  [ "$database" = postgres ] || echo "CREATE DATABASE \"$database\"" | as "$bin/postgres" --single -D "$data" postgres >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" -c listen_addresses='*' -c fsync=off
"#;

/// The images that a demo uses, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// What the shop is built on.
    pub python: String,
    /// The database beside its tests.
    pub postgres: String,
}

impl Images {
    /// The first that are there, or can be had.
    ///
    /// # Errors
    /// When one of them is neither there, nor can be pulled or made.
    pub async fn choose(engine: &Engine, teller: &mut Teller<'_>) -> Result<Self, Failure> {
        Ok(Self {
            python: one(engine, &PYTHON, &Recipe::python(), teller).await?,
            postgres: one(engine, &POSTGRES, &Recipe::postgres(), teller).await?,
        })
    }

    /// Sees that they are still there; what is missing is had again.
    ///
    /// # Errors
    /// When one of them is gone and not to be had again.
    pub async fn see(&self, engine: &Engine, teller: &mut Teller<'_>) -> Result<(), Failure> {
        for (name, recipe) in [(&self.python, Recipe::python()), (&self.postgres, Recipe::postgres())] {
            if *name == recipe.image() {
                one(engine, &[], &recipe, teller).await?;
            } else {
                image::have(engine, name, &mut |_| ()).await.map_err(|cause| failure(&cause))?;
            }
        }
        Ok(())
    }
}

/// One of the known images that is there, else one that was made, else the first of them pulled, else made.
async fn one(
    engine: &Engine,
    known: &[&str],
    recipe: &Recipe,
    teller: &mut Teller<'_>,
) -> Result<String, Failure> {
    let made = recipe.image();
    for name in known.iter().copied().chain([made.as_str()]) {
        if image::look(engine, name).await.map_err(|cause| failure(&cause))?.is_some() {
            return Ok(name.to_owned());
        }
    }
    let mut why = String::new();
    if let Some(&first) = known.first() {
        teller.say(&format!("{first} is not on {}: it is pulled", engine.name()))?;
        match image::have(engine, first, &mut |_| ()).await {
            Ok(_) => return Ok(first.to_owned()),
            Err(cause) => why = cause.summary,
        }
    }
    teller.say(&format!("{made} is made of Debian by mmdebstrap, once; it takes a minute or two"))?;
    let directory = own_directory()?;
    let done = recipe.make(engine.client(), &directory).await;
    let _ = std::fs::remove_dir_all(&directory);
    done.map_err(|trouble| {
        let hint = format!(
            "The demo needs an image with {}. Let the engine pull one, load one ({}), or install mmdebstrap, from which one \
             is made here. Then run the same command again.",
            recipe.what,
            known.join(", ")
        );
        let pulled = if why.is_empty() { why } else { format!("{} ", sentence(&why)) };
        Failure::new(Sort::Unreachable, format!("{pulled}{}", sentence(&trouble)), hint)
    })?;
    Ok(made)
}

/// A new directory that is ours alone, for what is imported.
fn own_directory() -> Result<PathBuf, Failure> {
    let template = std::env::temp_dir().join("towpath-base-XXXXXX");
    nix::unistd::mkdtemp(&template).map_err(|error| super::repository::cannot(&template, &error.into()))
}

/// How an image is made of Debian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    name: &'static str,
    what: &'static str,
    packages: &'static str,
    /// A file to put into it: what, where.
    file: Option<(&'static str, &'static str)>,
    /// Instructions of a Dockerfile.
    changes: Vec<String>,
}

impl Recipe {
    /// Python 3 with pip and venv; pip takes from where this machine's takes, and believes the same certificates.
    #[must_use]
    pub fn python() -> Self {
        let mut changes: Vec<String> = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
            .iter()
            .map(|variable| format!("ENV {variable}={BUNDLE}"))
            .collect();
        changes.push(
            "ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore"
                .into(),
        );
        for (variable, setting) in [
            ("PIP_INDEX_URL", "global.index-url"),
            ("PIP_EXTRA_INDEX_URL", "global.extra-index-url"),
            ("PIP_TRUSTED_HOST", "global.trusted-host"),
            ("PIP_DEFAULT_TIMEOUT", "global.timeout"),
        ] {
            if let Some(value) = pip_says(variable, setting) {
                changes.push(format!("ENV {variable}=\"{value}\""));
            }
        }
        let packages = "python3,python3-pip,python3-venv,ca-certificates";
        Self { name: MADE_PYTHON, what: "Python 3.10 to 3.13", packages, file: None, changes }
    }

    /// PostgreSQL, which starts and is configured like the well-known image.
    #[must_use]
    pub fn postgres() -> Self {
        Self {
            name: MADE_POSTGRES,
            what: "PostgreSQL",
            packages: "postgresql",
            file: Some((START_POSTGRES, "/usr/local/bin/start")),
            changes: vec!["ENTRYPOINT [\"/usr/local/bin/start\"]".into(), "EXPOSE 5432".into()],
        }
    }

    /// The name of what it makes: the tag is a hash of all that goes in.
    #[must_use]
    pub fn image(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(SUITE);
        hash.update(self.packages);
        hash.update(self.file.map_or("", |(text, _)| text));
        hash.update(self.changes.join("\n"));
        hash.update(certificates().and_then(|path| std::fs::read(path).ok()).unwrap_or_default());
        let tag: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{tag}", self.name)
    }

    /// Makes it on an engine, with a directory for files of the meantime.
    ///
    /// # Errors
    /// What failed, as a clause: `mmdebstrap` is not there or cannot, or the engine does not take what it made.
    pub async fn make(&self, client: &Docker, directory: &Path) -> Result<(), String> {
        let tree = directory.join(format!("{}.tree.tar", self.name));
        let text = directory.join(format!("{}.file", self.name));
        let made = self.bootstrap(&tree, &text).await;
        let done = match made {
            Ok(()) => import(client, &self.image(), &self.changes, &tree).await,
            Err(error) => Err(error),
        };
        for path in [&tree, &text] {
            let _ = std::fs::remove_file(path);
        }
        done
    }

    async fn bootstrap(&self, tree: &Path, text: &Path) -> Result<(), String> {
        let mut command = Command::new("mmdebstrap");
        command.args(["--variant=minbase", &format!("--include={}", self.packages)]);
        // Documentation and translations are a third of it.
        command.args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]);
        command.args(["--dpkgopt=path-exclude=/usr/share/locale/*"]);
        if let Some((what, place)) = self.file {
            std::fs::write(text, what)
                .map_err(|error| format!("{} cannot be written: {error}", text.display()))?;
            command.arg(format!("--customize-hook=upload '{}' {place}", text.display()));
            command.arg(format!("--customize-hook=chmod 755 \"$1{place}\""));
        }
        if let Some(bundle) = certificates().filter(|_| self.packages.contains("ca-certificates")) {
            command.arg(format!("--customize-hook=upload '{}' {BUNDLE}", bundle.display()));
        }
        let ran = command.arg(SUITE).arg(tree).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let ran = ran.map_err(|error| format!("mmdebstrap cannot be started: {error}"))?;
        if ran.status.success() {
            return Ok(());
        }
        let said = crate::print::style::visible_lines(String::from_utf8_lossy(&ran.stderr).trim());
        let last = said.lines().rev().find(|line| line.starts_with("E:")).or_else(|| said.lines().last());
        Err(format!("mmdebstrap failed ({}): {}", ran.status, last.unwrap_or_default()))
    }
}

/// What this machine's pip takes for a setting.
fn pip_says(variable: &str, setting: &str) -> Option<String> {
    let asked = || {
        let pip = ["-m", "pip", "config", "get", setting];
        let mut python = std::process::Command::new("python3");
        let said = python.args(pip).stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let value = std::env::var(variable).ok().or_else(asked)?;
    (!value.is_empty() && !value.contains(['"', '\n'])).then_some(value)
}

/// This machine's certificates: it may stand behind an authority of its own.
fn certificates() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from(BUNDLE)]).find(|path| path.is_file())
}

/// A file in pieces: an image is too much for the memory of a small machine.
///
/// # Errors
/// When it cannot be opened.
pub fn pieces(path: &Path) -> std::io::Result<impl Iterator<Item = std::io::Result<Bytes>> + Send + use<>> {
    let mut file = File::open(path)?;
    Ok(std::iter::from_fn(move || {
        let mut piece = vec![0; 1 << 20];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some(Ok(piece.into()))
            }
            Err(error) => Some(Err(error)),
        }
    }))
}

/// Makes an image of an archive of a file system.
///
/// # Errors
/// What the engine says, as a clause.
pub async fn import(client: &Docker, name: &str, changes: &[String], archive: &Path) -> Result<(), String> {
    let failed = |said: String| format!("{name} could not be imported: {said}");
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(changes.to_vec())
        .build();
    let archive = pieces(archive).map_err(|error| failed(error.to_string()))?;
    let body = bollard::body_try_stream(futures_util::stream::iter(archive));
    let mut answers = std::pin::pin!(client.create_image(Some(options), Some(body), None));
    while let Some(answer) = answers.next().await {
        let said = match answer {
            Ok(said) => said.error_detail.and_then(|detail| detail.message),
            Err(error) => Some(error.to_string()),
        };
        if let Some(said) = said {
            return Err(failed(said));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_named_after_all_that_goes_in() {
        let (python, postgres) = (Recipe::python(), Recipe::postgres());
        assert!(postgres.image().starts_with("towpath-base-postgres:"), "{}", postgres.image());
        assert_eq!(python.image(), Recipe::python().image());
        let mut other = postgres.clone();
        other.changes.push("ENV A=b".to_owned());
        assert_ne!(other.image(), postgres.image());
    }
}
