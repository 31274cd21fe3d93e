//! The contexts that the `docker` command keeps, read where it keeps them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::place::{Place, Surroundings, local, parse, wrong};
use super::trouble::Result;
use crate::domain::project::Host;

#[derive(Deserialize)]
struct Settings {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    unverified: bool,
}

/// The context that the user has chosen; `None` when there is none, or its file cannot be read.
pub(super) fn current(around: &Surroundings) -> Option<String> {
    let text = std::fs::read_to_string(around.docker().join("config.json")).ok()?;
    serde_json::from_str::<Settings>(&text).ok()?.current.filter(|name| !name.is_empty())
}

/// Where a context's engine is.
///
/// # Errors
/// When there is no such context, or it names no engine that can be asked.
pub(super) fn place(host: &Host, name: &str, around: &Surroundings) -> Result<Place> {
    if name == "default" {
        // As the command has it: the context `default` is what there is without contexts.
        return around.get("DOCKER_HOST").map_or_else(|| Ok(local(around)), |url| parse(host, url, None));
    }
    let contexts = around.docker().join("contexts");
    // The command calls a context's directory by the hash of its name.
    let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = contexts.join("meta").join(&hash).join("meta.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        let known = names(&contexts);
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let said = format!("there is no Docker context `{name}` in {}", contexts.display());
        return Err(wrong(
            host,
            &said,
            &format!("known are: {known}; `docker context create {name}` makes one"),
        ));
    };
    let again = format!("make it again: `docker context rm {name}`, `docker context create {name}`");
    let meta: Meta = serde_json::from_str(&text)
        .map_err(|error| wrong(host, &format!("{} cannot be read: {error}", path.display()), &again))?;
    let endpoint = meta.endpoints.docker.unwrap_or(Endpoint { host: String::new(), unverified: false });
    if endpoint.unverified {
        let said = format!("the context `{name}` skips the check of the engine's certificate");
        return Err(wrong(
            host,
            &said,
            &format!("`docker context update {name}` with a `ca` that signed it"),
        ));
    }
    if endpoint.host.is_empty() {
        return Ok(local(around));
    }
    let tls: PathBuf = contexts.join("tls").join(&hash).join("docker");
    parse(host, &endpoint.host, tls.is_dir().then_some(tls))
}

/// The contexts that there are.
fn names(contexts: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(contexts.join("meta")).into_iter().flatten().flatten();
    let metas = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("meta.json")).ok());
    let mut names: Vec<String> =
        metas.filter_map(|text| Some(serde_json::from_str::<Meta>(&text).ok()?.name)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::place::find;
    use super::*;

    fn make(docker: &Path, name: &str, endpoint: &str, tls: bool) {
        let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        let meta = docker.join("contexts/meta").join(&hash);
        std::fs::create_dir_all(&meta).unwrap();
        let text = format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{endpoint}}}}}"#);
        std::fs::write(meta.join("meta.json"), text).unwrap();
        if tls {
            std::fs::create_dir_all(docker.join("contexts/tls").join(&hash).join("docker")).unwrap();
        }
    }

    #[test]
    fn contexts_are_found_chosen_and_refused() {
        let directory = tempfile::tempdir().unwrap();
        let docker = directory.path();
        make(docker, "app1", r#"{"Host":"ssh://deploy@app1","SkipTLSVerify":false}"#, false);
        make(docker, "app2", r#"{"Host":"tcp://app2:2376"}"#, true);
        make(docker, "blind", r#"{"Host":"tcp://app3:2376","SkipTLSVerify":true}"#, false);
        let variables = BTreeMap::from([("DOCKER_CONFIG".to_owned(), docker.display().to_string())]);
        let mut around = Surroundings { variables };
        let find = |url: &str, around: &Surroundings| {
            find(&Host { url: url.to_owned(), ..Host::usual() }, Path::new("/"), around)
        };
        assert!(matches!(find("context:app1", &around).unwrap(), Place::Ssh { host, .. } if host == "app1"));
        let Place::Tcp { authority, tls } = find("context:app2", &around).unwrap() else { panic!() };
        assert_eq!(authority, "app2:2376");
        assert!(tls.unwrap().is_dir());
        assert!(find("context:blind", &around).unwrap_err().summary.contains("skips the check"));
        let unknown = find("context:nobody", &around).unwrap_err();
        assert!(unknown.cure.contains("app1, app2, blind"), "{unknown:?}");
        assert!(matches!(find("default", &around).unwrap(), Place::Socket(_)));
        std::fs::write(docker.join("config.json"), r#"{"auths":{},"currentContext":"app2"}"#).unwrap();
        assert!(matches!(find("default", &around).unwrap(), Place::Tcp { .. }));
        around.variables.insert("DOCKER_CONTEXT".to_owned(), "app1".to_owned());
        assert!(matches!(find("default", &around).unwrap(), Place::Ssh { .. }));
    }
}
