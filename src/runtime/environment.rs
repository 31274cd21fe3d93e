//! What of a shell's environment may reach the engine, its workers and their steps: an allow-list. A step must not
//! depend on which shell happened to start the engine, and must not see what that shell was trusted with.

use std::collections::{BTreeMap, BTreeSet};

/// Names that may pass.
const NAMES: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "PYENV_ROOT",
];

/// Beginnings of names that may pass.
const PREFIXES: &[&str] =
    &["LC_", "XDG_", "SSL_CERT_", "PIP_", "UV_", "POETRY_", "DOCKER_", "GIT_SSL_", "TOWPATH_"];

/// Names that never pass, whatever the lists above say: they bend which code a step runs.
const NEVER: &[&str] = &[
    "VIRTUAL_ENV",
    "DJANGO_SETTINGS_MODULE",
    "PYTHONPATH",
    "PYTHONHOME",
    // An engine that itself runs inside an attempt must not mark its own children as that attempt's.
    super::reap::VARIABLE,
    // uv and pip would leave the environment that was made for the step.
    "UV_PROJECT_ENVIRONMENT",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
];

/// Parts of names that mean that the value is a secret.
const SECRET: &[&str] = &["SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "API_KEY"];

/// The part of an environment that the engine, its workers and their commands may see.
pub fn allowed(from: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    from.filter(|(name, _)| passes(name)).collect()
}

/// The part of an environment that a release's processes get from the machine: who and where they are, and how they
/// reach others; nothing of the tools that build.
#[must_use]
pub fn of_release(from: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    const TOOLS: &[&str] = &["PIP_", "UV_", "POETRY_", "DOCKER_", "GIT_SSL_", "TOWPATH_", "XDG_"];
    let tool = |name: &str| TOOLS.iter().any(|prefix| name.starts_with(prefix)) || name == "SSH_AUTH_SOCK";
    from.iter().filter(|(name, _)| !tool(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// [`allowed`] without these names: what steps of a pipeline may see where secrets are taken from those variables.
pub fn allowed_without(
    names: &BTreeSet<String>,
    from: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    allowed(from.filter(|(name, _)| !names.contains(name)))
}

/// Exactly these variables, whatever their names sound like: an operator named them as the source of a secret.
pub fn with_secrets(
    names: &BTreeSet<String>,
    from: impl Iterator<Item = (String, String)>,
) -> BTreeMap<String, String> {
    from.filter(|(name, _)| names.contains(name)).collect()
}

fn passes(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    (NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
        && !NEVER.contains(&name)
        && !SECRET.iter().any(|part| upper.contains(part))
        // `POETRY_HTTP_BASIC_NAME_USERNAME` is the half of a pair whose other half does not pass.
        && !name.starts_with("POETRY_HTTP_BASIC_")
        && !name.starts_with("POETRY_PYPI_")
}

/// The variables that every command gets: they only change how things look and where bytecode goes.
#[must_use]
pub fn neutral() -> BTreeMap<String, String> {
    [
        ("CI", "true"),
        // Colours are wanted (the log keeps them), questions are not.
        ("FORCE_COLOR", "1"),
        ("PY_COLORS", "1"),
        ("TERM", "xterm-256color"),
        ("COLUMNS", "120"),
        ("PYTHONUNBUFFERED", "1"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONIOENCODING", "utf-8"),
        ("PIP_NO_INPUT", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("TOWPATH", "1"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

/// Passwords inside addresses (`https://name:password@host`), for the redactor: an index's address may carry one.
#[must_use]
pub fn passwords(env: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for value in env.values() {
        for word in value.split_whitespace() {
            let Some((_, rest)) = word.split_once("://") else { continue };
            let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
            let Some((user, _)) = authority.rsplit_once('@') else { continue };
            let password = user.split_once(':').map_or(user, |(_, password)| password);
            if !password.is_empty() {
                found.push(password.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_on_the_list_passes() {
        let cases = [
            ("PATH", true),
            ("HOME", true),
            ("LC_ALL", true),
            ("LANG", true),
            ("TZ", true),
            ("TMPDIR", true),
            ("XDG_RUNTIME_DIR", true),
            ("SSH_AUTH_SOCK", true),
            ("SSL_CERT_FILE", true),
            ("SSL_CERT_DIR", true),
            ("REQUESTS_CA_BUNDLE", true),
            ("CURL_CA_BUNDLE", true),
            ("https_proxy", true),
            ("HTTPS_PROXY", true),
            ("no_proxy", true),
            ("PIP_INDEX_URL", true),
            ("PIP_FIND_LINKS", true),
            ("UV_INDEX_URL", true),
            ("UV_CACHE_DIR", true),
            ("POETRY_CACHE_DIR", true),
            ("PYENV_ROOT", true),
            ("DOCKER_HOST", true),
            ("GIT_SSL_CAINFO", true),
            ("TOWPATH_STATE_DIR", true),
            ("VIRTUAL_ENV", false),
            ("DJANGO_SETTINGS_MODULE", false),
            ("PYTHONPATH", false),
            ("PYTHONHOME", false),
            ("SECRET_KEY", false),
            ("UV_PUBLISH_TOKEN", false),
            ("DOCKER_PASSWORD", false),
            ("POETRY_PYPI_TOKEN_PYPI", false),
            ("POETRY_HTTP_BASIC_PRIVATE_PASSWORD", false),
            ("POETRY_HTTP_BASIC_PRIVATE_USERNAME", false),
            ("TOWPATH_ATTEMPT", false),
            ("TOWPATH_SECRET_THING", false),
            ("pip_token", false),
            ("AWS_ACCESS_KEY_ID", false),
            ("DATABASE_URL", false),
            ("LD_PRELOAD", false),
            ("GIT_DIR", false),
            ("GIT_SSH_COMMAND", false),
            ("PATHOLOGY", false),
            ("path", false),
        ];
        let given = cases.iter().map(|(name, _)| ((*name).to_owned(), "x".to_owned()));
        let passed = allowed(given);
        for (name, wanted) in cases {
            assert_eq!(passed.contains_key(name), wanted, "{name}");
        }
    }

    #[test]
    fn secrets_pass_by_name_alone_and_never_to_steps() {
        let shell = ["PATH", "UV_INDEX_URL", "HARBOR_SECRET_KEY", "OTHER_SECRET_KEY", "LD_PRELOAD"];
        let shell = || shell.into_iter().map(|name| (name.to_owned(), format!("value of {name}")));
        let names = BTreeSet::from(["HARBOR_SECRET_KEY", "UV_INDEX_URL", "NOT_SET"].map(str::to_owned));
        let secrets = with_secrets(&names, shell());
        assert_eq!(secrets.keys().collect::<Vec<_>>(), ["HARBOR_SECRET_KEY", "UV_INDEX_URL"]);
        assert_eq!(secrets["HARBOR_SECRET_KEY"], "value of HARBOR_SECRET_KEY");
        let steps = allowed_without(&names, shell());
        assert_eq!(steps.keys().collect::<Vec<_>>(), ["PATH"]);
    }

    #[test]
    fn colours_are_kept() {
        let neutral = neutral();
        assert!(!neutral.contains_key("NO_COLOR"));
        assert_eq!(neutral["FORCE_COLOR"], "1");
    }

    #[test]
    fn passwords_in_addresses_are_found() {
        let env = [
            ("PIP_INDEX_URL", "https://reader:hunter2@packages.example/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://token-only@a.example/ https://b.example/with@at"),
            ("HTTPS_PROXY", "http://proxy.example:3128"),
            ("SSH_AUTH_SOCK", "/tmp/agent@host"),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        assert_eq!(passwords(&env), ["hunter2", "token-only"]);
    }
}
