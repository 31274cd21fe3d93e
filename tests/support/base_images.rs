//! Base images without a registry: a small Debian with Python or with PostgreSQL, made once by `mmdebstrap`, and an
//! empty one. What was made lies as an archive in a directory beside the target directory's others, and is loaded into
//! every engine that wants it, so that an image has one id wherever it is.
//!
//! They stay on the engine afterwards, like what lies in the target directory: a tag says which recipe made it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptionsBuilder, ImportImageOptionsBuilder};
use futures_util::StreamExt as _;
use hyper::body::Bytes;
use sha2::{Digest as _, Sha256};

use super::{client, on_path, skip, wait};

/// The suite of Debian that they are made of.
const SUITE: &str = "bookworm";
/// Where Debian's images have their certificates.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// What PostgreSQL's image runs: as the well-known image does, it makes a database at first, of `POSTGRES_USER`,
/// `POSTGRES_PASSWORD` and `POSTGRES_DB`, and then is the server.
const POSTGRES: &str = r#"#!/bin/sh
set -eu
data=/var/lib/postgresql/data
bin=$(ls -d /usr/lib/postgresql/*/bin)
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
as() { setpriv --reuid=postgres --regid=postgres --init-groups "$@"; }
mkdir -p /var/run/postgresql && chown postgres: /var/run/postgresql
if [ ! -s "$data/PG_VERSION" ]; then
  install -d -o postgres -g postgres -m 700 "$data"
  (umask 077; printf '%s' "${POSTGRES_PASSWORD:?}" >/tmp/password; chown postgres: /tmp/password)
  as "$bin/initdb" -D "$data" -U "$user" -A scram-sha-256 --pwfile=/tmp/password -E UTF8 >/dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
  [ "$database" = postgres ] || echo "CREATE DATABASE \"$database\"" | as "$bin/postgres" --single -D "$data" postgres >/dev/null
fi
exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" -c listen_addresses='*' -c fsync=off
"#;

/// How an image is made.
struct Recipe {
    name: &'static str,
    packages: &'static str,
    /// A file to put into it: what, where.
    file: Option<(&'static str, &'static str)>,
    /// Instructions of a Dockerfile.
    changes: Vec<String>,
}

/// Python 3 with pip and venv; pip takes from where this machine's takes. Its name on the engine at `url`;
/// `None` after saying loudly that the test is skipped.
pub(crate) fn python_image(url: &str) -> Option<String> {
    let mut changes: Vec<String> = ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"]
        .iter()
        .map(|variable| format!("ENV {variable}={BUNDLE}"))
        .collect();
    changes.push(
        "ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore".into(),
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
    made(url, &Recipe { name: "towpath-test-python", packages, file: None, changes })
}

/// PostgreSQL, started by `POSTGRES_PASSWORD` alone, as [`POSTGRES`] says. Otherwise like [`python_image`].
pub(crate) fn postgres_image(url: &str) -> Option<String> {
    let changes = vec!["ENTRYPOINT [\"/usr/local/bin/start\"]".into(), "EXPOSE 5432".into()];
    let file = Some((POSTGRES, "/usr/local/bin/start"));
    made(url, &Recipe { name: "towpath-test-postgres", packages: "postgresql", file, changes })
}

/// An image with nothing in it: no shell either.
pub(crate) fn empty_image(url: &str) -> String {
    let name = "towpath-test-empty:1";
    wait(async {
        let client = client(url);
        if client.inspect_image(name).await.is_err() {
            // An archive ends with two empty blocks; this one begins with them.
            import(&client, name, &[], vec![Ok(Bytes::from_static(&[0; 1024]))]).await;
        }
    });
    name.to_owned()
}

/// What this machine's pip takes for a setting.
fn pip_says(variable: &str, setting: &str) -> Option<String> {
    let asked = || {
        let pip = ["-m", "pip", "config", "get", setting];
        let said =
            Command::new("python3").args(pip).stderr(Stdio::null()).stdin(Stdio::null()).output().ok()?;
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

fn made(url: &str, recipe: &Recipe) -> Option<String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut hash = Sha256::new();
    hash.update(SUITE);
    hash.update(recipe.packages);
    hash.update(recipe.file.map_or("", |(text, _)| text));
    hash.update(recipe.changes.join("\n"));
    hash.update(certificates().and_then(|path| fs::read(path).ok()).unwrap_or_default());
    let tag: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("{}:{tag}", recipe.name);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("base-images");
    fs::create_dir_all(&directory).unwrap();
    // Other test programs may be making it.
    let lock = File::create(directory.join(format!("{}.lock", recipe.name))).unwrap();
    lock.lock().unwrap();
    let archive = directory.join(format!("{}-{tag}.tar", recipe.name));
    let is_there = |url: &str| wait(async { client(url).inspect_image(&name).await.is_ok() });
    if is_there(url) {
        return Some(name);
    }
    if !archive.exists() {
        // Where the machine's engine has it, it is the same image.
        let from = super::usual().filter(|usual| is_there(usual)).unwrap_or_else(|| url.to_owned());
        if !is_there(&from) && !make(&from, recipe, &name, &directory) {
            return None;
        }
        wait(save(&client(&from), &name, &archive));
    }
    if !is_there(url) {
        wait(load(&client(url), &archive));
    }
    assert!(is_there(url), "{} does not hold {name}", archive.display());
    Some(name)
}

/// Makes the image on this engine; says so loudly when `mmdebstrap` is missing.
fn make(url: &str, recipe: &Recipe, name: &str, directory: &Path) -> bool {
    if !on_path("mmdebstrap") {
        skip("no base images: `mmdebstrap` is not installed");
        return false;
    }
    let tree = directory.join(format!("{}.tree.tar", recipe.name));
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", &format!("--include={}", recipe.packages)]);
    // Documentation and translations are a third of it.
    command.args(["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]);
    command.args(["--dpkgopt=path-exclude=/usr/share/locale/*"]);
    let text = directory.join(format!("{}.file", recipe.name));
    if let Some((what, place)) = recipe.file {
        fs::write(&text, what).unwrap();
        command.arg(format!("--customize-hook=upload '{}' {place}", text.display()));
        command.arg(format!("--customize-hook=chmod 755 \"$1{place}\""));
    }
    if let Some(bundle) = certificates().filter(|_| recipe.packages.contains("ca-certificates")) {
        command.arg(format!("--customize-hook=upload '{}' {BUNDLE}", bundle.display()));
    }
    let ran = command.arg(SUITE).arg(&tree).stdin(Stdio::null()).output().unwrap();
    assert!(ran.status.success(), "mmdebstrap: {}", String::from_utf8_lossy(&ran.stderr));
    let changes: Vec<&str> = recipe.changes.iter().map(String::as_str).collect();
    wait(import(&client(url), name, &changes, pieces(&tree)));
    let _ = fs::remove_file(&tree);
    let _ = fs::remove_file(&text);
    true
}

/// A file in pieces: an image is too much for the memory of a small machine.
fn pieces(path: &Path) -> impl Iterator<Item = std::io::Result<Bytes>> + Send + use<> {
    let mut file = File::open(path).unwrap();
    std::iter::from_fn(move || {
        let mut piece = vec![0; 1 << 20];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some(Ok(piece.into()))
            }
            Err(error) => Some(Err(error)),
        }
    })
}

async fn import<I>(client: &Docker, name: &str, changes: &[&str], archive: I)
where
    I: IntoIterator<Item = std::io::Result<Bytes>, IntoIter: Send + 'static>,
{
    let (repository, tag) = name.split_once(':').unwrap();
    let changes = changes.iter().map(|&change| change.to_owned()).collect();
    let options =
        CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).changes(changes).build();
    let body = bollard::body_try_stream(futures_util::stream::iter(archive));
    let mut answers = std::pin::pin!(client.create_image(Some(options), Some(body), None));
    while let Some(answer) = answers.next().await {
        answer.unwrap_or_else(|error| panic!("{name} could not be imported: {error}"));
    }
}

async fn save(client: &Docker, name: &str, path: &Path) {
    let beside = path.with_extension("part");
    let mut file = File::create(&beside).unwrap();
    let mut pieces = std::pin::pin!(client.export_image(name));
    while let Some(piece) = pieces.next().await {
        file.write_all(&piece.unwrap()).unwrap();
    }
    fs::rename(beside, path).unwrap();
}

async fn load(client: &Docker, path: &Path) {
    let body = bollard::body_try_stream(futures_util::stream::iter(pieces(path)));
    let options = ImportImageOptionsBuilder::new().quiet(true).build();
    let mut answers = std::pin::pin!(client.import_image(options, body, None));
    while let Some(answer) = answers.next().await {
        answer.unwrap_or_else(|error| panic!("{} could not be loaded: {error}", path.display()));
    }
}
