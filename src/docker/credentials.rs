//! The user's own credentials for registries, from where `docker login` left them: `config.json`, or the programs that
//! it names. They are asked for at each use and never print.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::trouble::Result;
use crate::domain::plan::Cause;

/// The registry that a name without a host means, as `docker login` writes it.
const HUB: &str = "https://index.docker.io/v1/";
/// The same, as BuildKit asks for it.
const HUB_FOR_KIT: &str = "registry-1.docker.io";
/// The user name with which a helper says that its secret is an identity token.
const TOKEN: &str = "<token>";
/// How long a helper may take; it may ask a keychain, never a person.
const HELPER: Duration = Duration::from_secs(30);

/// Where credentials are found.
#[derive(Default)]
pub struct Keyring(Config);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase", default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

impl Keyring {
    /// The user's: of `DOCKER_CONFIG` or `~/.docker`. One that is missing is empty.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is no JSON.
    pub fn of_user() -> Result<Self> {
        let directory = std::env::var_os("DOCKER_CONFIG")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker")));
        let Some(path) = directory.map(|directory| directory.join("config.json")) else {
            return Ok(Self::default());
        };
        let wrong = |why: String| {
            Box::new(Cause {
                summary: format!("Docker's own configuration {} cannot be read", path.display()),
                expected: "the file that `docker login` writes".to_owned(),
                measured: why,
                cure: "Mend it, or move it away: registries are then asked without credentials.".to_owned(),
                ..Cause::default()
            })
        };
        match std::fs::read(&path) {
            // serde names a place in the file, and what was expected there; a text is never quoted.
            Ok(bytes) => serde_json::from_slice(&bytes).map(Self).map_err(|error| {
                wrong(format!("line {}, column {}: it is not as expected", error.line(), error.column()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// The credentials for the registry of an image's name; `None` where the user has none.
    ///
    /// # Errors
    /// When a helper that should know them fails.
    pub async fn of_image(&self, name: &str) -> Result<Option<DockerCredentials>> {
        self.of_registry(&registry(name)).await
    }

    /// As BuildKit asks for them: by the host that it reaches.
    ///
    /// # Errors
    /// As of [`of_image`](Self::of_image).
    pub async fn for_kit(&self) -> Result<HashMap<String, DockerCredentials>> {
        let mut all = self.all().await?;
        if let Some(hub) = all.remove(HUB) {
            all.insert(HUB_FOR_KIT.to_owned(), hub);
        }
        Ok(all)
    }

    /// As the classic builder gets them: all, by the names that `docker login` uses.
    ///
    /// # Errors
    /// As of [`of_image`](Self::of_image).
    pub async fn for_classic(&self) -> Result<HashMap<String, DockerCredentials>> {
        self.all().await
    }

    async fn all(&self) -> Result<HashMap<String, DockerCredentials>> {
        let names: BTreeSet<String> =
            self.0.auths.keys().chain(self.0.cred_helpers.keys()).map(|name| normal(name)).collect();
        let mut found = HashMap::new();
        for name in names {
            if let Some(one) = self.of_registry(&name).await? {
                found.insert(name, one);
            }
        }
        Ok(found)
    }

    async fn of_registry(&self, registry: &str) -> Result<Option<DockerCredentials>> {
        let of_this = |(name, _): &(&String, _)| normal(name) == registry;
        let helper = self.0.cred_helpers.iter().find(|(name, _)| normal(name) == registry);
        if let Some((_, helper)) = helper {
            return ask(helper, registry).await;
        }
        if !self.0.creds_store.is_empty() {
            return ask(&self.0.creds_store, registry).await;
        }
        let auth = self.0.auths.iter().find(|one| of_this(&(one.0, ()))).map(|(_, auth)| auth);
        Ok(auth.and_then(|auth| written(auth, registry)))
    }
}

/// The registry of an image's name, as `docker login` writes it: what stands before the first slash, where it can be a
/// host.
#[must_use]
pub fn registry(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => normal(host),
        _ => HUB.to_owned(),
    }
}

/// A registry as it may be written, in one way: without scheme and path, but for Docker's own.
fn normal(name: &str) -> String {
    let plain = name.trim_start_matches("https://").trim_start_matches("http://");
    let host = plain.split('/').next().unwrap_or_default();
    match host {
        "index.docker.io" | "docker.io" | "registry-1.docker.io" => HUB.to_owned(),
        host => host.to_owned(),
    }
}

/// What the file itself holds.
fn written(auth: &Auth, registry: &str) -> Option<DockerCredentials> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let mut found = DockerCredentials {
        username: given(&auth.username),
        password: given(&auth.password),
        identitytoken: given(&auth.identitytoken),
        registrytoken: given(&auth.registrytoken),
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    };
    if let Some(pair) = STANDARD.decode(auth.auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok())
        && let Some((user, password)) = pair.split_once(':')
    {
        found.username = given(user);
        found.password = given(password.trim_end_matches('\0'));
    }
    let any = found.username.is_some() || found.identitytoken.is_some() || found.registrytoken.is_some();
    any.then_some(found)
}

/// Asks `docker-credential-NAME`, as Docker's own client does.
async fn ask(helper: &str, registry: &str) -> Result<Option<DockerCredentials>> {
    let program = format!("docker-credential-{helper}");
    let wrong = |measured: String| {
        Box::new(Cause {
            summary: format!("{program} gave no credentials for {registry}"),
            expected: "the credentials that `docker login` left there".to_owned(),
            measured,
            cure: format!(
                "See that {program} is on the PATH and answers; or log in again with `docker login`."
            ),
            ..Cause::default()
        })
    };
    let spawned = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| wrong(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that reads nothing has its own answer.
        let _ = input.write_all(format!("{registry}\n").as_bytes()).await;
    }
    let ended = tokio::time::timeout(HELPER, child.wait_with_output()).await;
    let ended = ended.map_err(|_| wrong(format!("no end within {} seconds", HELPER.as_secs())))?;
    let ended = ended.map_err(|error| wrong(error.to_string()))?;
    if !ended.status.success() {
        // The protocol: this sentence on standard output is no failure.
        if String::from_utf8_lossy(&ended.stdout).contains("credentials not found") {
            return Ok(None);
        }
        return Err(wrong(ended.status.to_string()));
    }
    let answer: Answer =
        serde_json::from_slice(&ended.stdout).map_err(|_| wrong("its answer is no JSON".to_owned()))?;
    let serveraddress = Some(registry.to_owned());
    Ok(Some(if answer.username == TOKEN {
        DockerCredentials {
            identitytoken: Some(answer.secret),
            serveraddress,
            ..DockerCredentials::default()
        }
    } else {
        let (username, password) = (Some(answer.username), Some(answer.secret));
        DockerCredentials { username, password, serveraddress, ..DockerCredentials::default() }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring(json: &str) -> Keyring {
        Keyring(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_names_registry_is_found_as_docker_finds_it() {
        let cases = [
            ("harbor", HUB),
            ("me/harbor", HUB),
            ("docker.io/me/harbor", HUB),
            ("registry.example.com/harbor", "registry.example.com"),
            ("localhost/harbor", "localhost"),
            ("127.0.0.1:5000/harbor", "127.0.0.1:5000"),
        ];
        for (name, wanted) in cases {
            assert_eq!(registry(name), wanted, "{name}");
        }
    }

    #[tokio::test]
    async fn a_login_is_read_however_it_was_written() {
        let pair = STANDARD.encode("ann:pa:ss");
        let json = format!(
            r#"{{"auths": {{"https://registry.example.com/v2/": {{"auth": "{pair}"}}, "{HUB}": {{"identitytoken": "t"}},
                "empty.example.com": {{}}}}, "HttpHeaders": {{}}}}"#
        );
        let keyring = keyring(&json);
        let found = keyring.of_image("registry.example.com/harbor").await.unwrap().unwrap();
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("ann"), Some("pa:ss")));
        assert_eq!(keyring.of_image("other.example.com/harbor").await.unwrap(), None);
        let kit = keyring.for_kit().await.unwrap();
        let hosts: BTreeSet<&str> = kit.keys().map(String::as_str).collect();
        assert_eq!(hosts, BTreeSet::from(["registry-1.docker.io", "registry.example.com"]));
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_is_said_by_name() {
        let keyring = keyring(r#"{"credHelpers": {"registry.example.com": "towpath-has-none"}}"#);
        let why = keyring.of_image("registry.example.com/harbor").await.unwrap_err();
        assert!(why.cure.contains("docker-credential-towpath-has-none"), "{why:?}");
    }
}
