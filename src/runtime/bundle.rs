//! What is known of a step's attempt, in one archive to pass on: its log, what was asked, how it ended, what the engine
//! says of its container. Values of variables are never in it, their names are.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use bollard::query_parameters::ListContainersOptionsBuilder;
use serde_json::{Value, json};

use super::environment;
use crate::docker::labels::{self, Kind};
use crate::docker::{Engine, exec, mark};
use crate::domain::plan::KeptContainer;
use crate::store::segment::Reader;
use crate::text::redact::Redactor;
use crate::text::sanitise::Sanitiser;
use crate::text::width::plain;

/// What stands for a value.
const HIDDEN: &str = "…";
/// How many of a service's last lines are in it.
const LINES: u32 = 200;

/// Writes it, for its owner alone, where nothing is yet. Where the container is gone, or its engine does not answer,
/// it says so in its place.
///
/// # Errors
/// When there is something at that path already, or it cannot be written, or there is no such attempt.
pub async fn write(
    attempt: &Path,
    kept: Option<&KeptContainer>,
    versions: &[(&str, String)],
    to: &Path,
) -> anyhow::Result<()> {
    let (spec, hidden) = spec(attempt)?;
    let mut redactor = Redactor::new(hidden);
    let mut parts = vec![("log.txt".to_owned(), log(attempt, &mut redactor)?)];
    parts.push(("step.json".to_owned(), pretty(spec, &mut redactor)));
    if let Ok(bytes) = std::fs::read(attempt.join("result.json")) {
        let result: Value = serde_json::from_slice(&bytes).context("result.json cannot be read")?;
        parts.push(("result.json".to_owned(), pretty(result, &mut redactor)));
    }
    let mut said: String = versions.iter().map(|(what, which)| format!("{what} {which}\n")).collect();
    if let Some(kept) = kept {
        match of_container(kept, &mut redactor).await {
            Ok((engine, found)) => {
                said.push_str(&format!("docker {engine}\nimage {}\n", kept.image));
                parts.extend(found);
            }
            Err(why) => parts.push(("inspect.txt".to_owned(), redactor.redact(&why).into_owned())),
        }
    }
    parts.push(("versions.txt".to_owned(), said));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let file = file.with_context(|| format!("{} could not be made", to.display()))?;
    let mut archive = tar::Builder::new(file);
    for (name, text) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(text.len())?);
        header.set_mode(0o600);
        archive.append_data(&mut header, format!("bundle/{name}"), text.as_bytes())?;
    }
    let mut file = archive.into_inner().with_context(|| format!("{} could not be written", to.display()))?;
    file.flush()?;
    file.sync_all().with_context(|| format!("{} could not be written", to.display()))
}

/// What was asked, without what only the worker needs; and the values that must not be seen anywhere.
fn spec(attempt: &Path) -> anyhow::Result<(Value, Vec<String>)> {
    let path = attempt.join("spec.json");
    let bytes = std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut spec: Value =
        serde_json::from_slice(&bytes).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut hidden = Vec::new();
    if let Some(fields) = spec.as_object_mut() {
        let listed = fields.remove("redact").unwrap_or_default();
        hidden.extend(listed.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
        // The machine's own environment, the outputs of other steps, where secrets come from: nobody's business.
        for name in ["env", "inputs", "deploy"] {
            fields.remove(name);
        }
    }
    environments(&spec, &mut |name, value| {
        let one = [(name.to_owned(), value.to_owned())].into();
        hidden.extend(environment::passwords(&one));
        if crate::text::redact::looks_secret(name, value).is_some() || sounds_secret(name) {
            hidden.push(value.to_owned());
        }
    });
    Ok((spec, hidden))
}

/// Whether a variable's name says that its value is nobody's business.
fn sounds_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    ["SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "API_KEY"]
        .iter()
        .any(|part| upper.contains(part))
}

/// Every variable of every `env` in it.
fn environments(value: &Value, on: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if let (true, Value::Object(env)) = (name == "env", field) {
                    env.iter().filter_map(|(name, value)| Some((name, value.as_str()?))).for_each(
                        |(name, value)| {
                            on(name, value);
                        },
                    );
                } else {
                    environments(field, on);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| environments(item, on)),
        _ => {}
    }
}

/// With no variable's value, and every text redacted.
fn masked(value: Value, redactor: &mut Redactor) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, field)| {
                    let field = match field {
                        Value::Object(env) if name == "env" => {
                            Value::Object(env.into_iter().map(|(name, _)| (name, HIDDEN.into())).collect())
                        }
                        // As an engine has them: `NAME=value`.
                        Value::Array(env) if name == "Env" => env
                            .iter()
                            .filter_map(Value::as_str)
                            .map(|entry| entry.split_once('=').map_or(entry, |(name, _)| name))
                            .map(|name| json!(format!("{name}={HIDDEN}")))
                            .collect(),
                        field => masked(field, redactor),
                    };
                    (name, field)
                })
                .collect(),
        ),
        Value::Array(items) => items.into_iter().map(|item| masked(item, redactor)).collect(),
        Value::String(text) => Value::String(redactor.redact(&text).into_owned()),
        other => other,
    }
}

fn pretty(value: Value, redactor: &mut Redactor) -> String {
    format!("{:#}\n", masked(value, redactor))
}

fn log(attempt: &Path, redactor: &mut Redactor) -> anyhow::Result<String> {
    let reader = Reader::open(&attempt.join("log")).context("the log cannot be read")?;
    let mut text = String::new();
    for line in reader.lines(0..reader.end()).context("the log cannot be read")? {
        text.push_str(&redactor.redact(&plain(&line.text)));
        text.push('\n');
    }
    Ok(text)
}

/// The engine's version; what it says of the container, and the last words of the services beside it.
async fn of_container(
    kept: &KeptContainer,
    redactor: &mut Redactor,
) -> Result<(String, Vec<(String, String)>), String> {
    let engine = Engine::connect(&kept.host, Path::new("/")).await.map_err(|cause| cause.summary.clone())?;
    let client = engine.client();
    let found = client.inspect_container(&kept.id, None).await.map_err(|error| error.to_string())?;
    let own = found.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let inspect = serde_json::to_value(found).map_err(|error| error.to_string())?;
    let mut parts = vec![("inspect.json".to_owned(), pretty(inspect, redactor))];
    let mut wanted = vec![format!("{}={}", labels::KIND, Kind::Service.word())];
    for name in [labels::ATTEMPT, mark::MARK] {
        wanted.push(format!("{name}={}", own.get(name).map_or("", String::as_str)));
    }
    let filter = std::collections::HashMap::from([("label", wanted)]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filter).build();
    for service in client.list_containers(Some(options)).await.map_err(|error| error.to_string())? {
        let (Some(id), Some(names)) = (service.id, service.names) else { continue };
        let name = names.first().map(|name| name.trim_start_matches('/').to_owned()).unwrap_or_default();
        let mut sanitiser = Sanitiser::new();
        let mut lines = sanitiser.push(&exec::last_words(&engine, &id, LINES).await);
        lines.extend(sanitiser.finish());
        let text: String = lines.iter().map(|line| format!("{}\n", redactor.redact(&plain(line)))).collect();
        parts.push((format!("services/{name}.txt"), text));
    }
    Ok((engine.version().to_owned(), parts))
}
