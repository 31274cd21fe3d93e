//! Secrets: where their values come from, and values that never print.
//!
//! A source is asked at each use, in the process that needs the value. A value is in memory only for as long as it
//! is used; what goes wrong is said with the secret's name and the source's kind, never with a value.

mod command;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use crate::domain::project::SecretSource;
pub use value::Secret;

/// The longest value, in bytes: Linux hands a process no longer entry of its environment (`MAX_ARG_STRLEN`, 128
/// KiB, for name, `=`, value and a closing NUL); a kibibyte is left for the name.
pub const LONGEST: usize = (128 << 10) - (1 << 10);

/// Why a secret has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The secret's name.
    pub name: String,
    /// The source's kind: `env`, `file`, `command`.
    pub kind: &'static str,
    /// What happened, one line, without the name.
    pub summary: String,
    /// What was measured (an exit code, the system's word), one line; may be empty.
    pub measured: String,
    /// What to do about it.
    pub cure: String,
}

/// `secret DATABASE_URL (file): the file /x does not exist`
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret {} ({}): {}", self.name, self.kind, self.summary)?;
        if !self.measured.is_empty() {
            write!(f, " ({})", self.measured)?;
        }
        Ok(())
    }
}

impl std::error::Error for Trouble {}

/// A trouble before it is known whose it is.
struct Why {
    summary: String,
    measured: String,
    cure: String,
}

impl Why {
    fn new(summary: impl Into<String>, measured: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { summary: summary.into(), measured: measured.into(), cure: cure.into() }
    }
}

/// Asks every source. `home` is where commands run and below which relative files lie; `env` is this process's own
/// environment.
///
/// # Errors
/// The first source (by name) that gives no value, gives an empty one, or one that no environment variable can hold.
pub async fn resolve(
    sources: &BTreeMap<String, SecretSource>,
    home: &Path,
    env: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<BTreeMap<String, Secret>, Trouble> {
    let mut values = BTreeMap::new();
    for (name, source) in sources {
        let value = match source {
            SecretSource::Env(variable) => from_env(variable, env),
            SecretSource::File(path) => from_file(&home.join(path)),
            SecretSource::Command(line) => command::ask(line, home).await,
        };
        let value = value.and_then(checked).map_err(|why| Trouble {
            name: name.clone(),
            kind: source.kind(),
            summary: why.summary,
            measured: why.measured,
            cure: why.cure,
        })?;
        values.insert(name.clone(), value);
    }
    Ok(values)
}

fn from_env(variable: &str, env: &(dyn Fn(&str) -> Option<String> + Sync)) -> Result<Vec<u8>, Why> {
    env(variable).map(String::into_bytes).ok_or_else(|| {
        Why::new(
            format!("the engine was started without the environment variable {variable}"),
            "it is not set",
            format!(
                "Stop the engine with `towpath engine stop` and start it from a shell that has {variable}, or \
                 give the secret a `file` or a `command` source."
            ),
        )
    })
}

fn from_file(path: &Path) -> Result<Vec<u8>, Why> {
    std::fs::read(path).map_err(|error| {
        let path = path.display();
        match error.kind() {
            ErrorKind::NotFound => Why::new(
                format!("the file {path} does not exist"),
                "",
                "Write the value into that file (readable by you alone), or name another one.",
            ),
            _ => Why::new(
                format!("the file {path} cannot be read"),
                error.to_string(),
                "Make it a file that the user who runs the engine can read.",
            ),
        }
    })
}

/// The value as it is used: one line end less, and fit for an environment variable.
fn checked(mut bytes: Vec<u8>) -> Result<Secret, Why> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.is_empty() {
        return Err(Why::new("its value is empty", "", "Put a value there, or take the secret out."));
    }
    let length = bytes.len();
    if length > LONGEST {
        return Err(Why::new(
            "its value is longer than an environment variable can be",
            format!("{length} bytes, at most {LONGEST}"),
            "Give the application the path of a file instead.",
        ));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(Secret::new(text)),
        _ => Err(Why::new(
            "its value is not text",
            "it is not UTF-8, or has a NUL in it",
            "Encode it (base64, for example), or give the application the path of a file instead.",
        )),
    }
}

#[cfg(test)]
mod tests;
