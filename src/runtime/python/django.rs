//! What a Django project says of itself: our scripts run inside of it, through its own `manage.py`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::domain::plan::Cause;
use crate::preset::judge;

use super::halt::Halt;
use crate::runtime::command::{CommandLine, Ended};
use crate::runtime::workbench::Workbench;

/// Asks settings; see [`Settings`].
pub(in crate::runtime) const SETTINGS: &str = include_str!("../../../assets/settings.py");

/// Names under which projects read Django's secret key.
pub const SECRET_KEYS: [&str; 3] = ["SECRET_KEY", "DJANGO_SECRET_KEY", "DJANGO_SECRETKEY"];

/// How one of our scripts is run: `manage.py shell < file` breaks when standard input is slow, and Django itself,
/// settings and apps print to standard output what they like; so both script and answer are files.
pub(in crate::runtime) const FEED: &str =
    "import os; exec(open(os.environ['TOWPATH_SCRIPT']).read(), {'__name__': 'towpath'})";

/// What a project's settings say.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// The settings module's name.
    pub module: Option<String>,
    /// Whether the module holds the settings itself, so that another can import and extend it.
    pub plain: bool,
    /// `STATIC_ROOT`.
    pub static_root: Option<String>,
    /// Whether `django.contrib.staticfiles` is installed.
    pub staticfiles: bool,
    /// Databases by alias.
    pub databases: BTreeMap<String, Database>,
}

/// One entry of `DATABASES`, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Database {
    /// The backend, e.g. `django.db.backends.postgresql`.
    pub engine: String,
    /// Its name or file.
    pub name: String,
    /// Its host; empty for a local socket.
    pub host: String,
    /// Its port.
    pub port: String,
    /// Its user.
    pub user: String,
    /// Whether a service file says where it is.
    pub service: bool,
}

impl Database {
    /// The engine in a word that people know.
    #[must_use]
    pub fn word(&self) -> &str {
        match self.engine.as_str() {
            engine if engine.contains("postg") || engine.contains("psycopg") => "PostgreSQL",
            engine if engine.contains("sqlite") || engine.contains("spatialite") => "SQLite",
            engine if engine.contains("mysql") => "MySQL",
            engine if engine.contains("oracle") => "Oracle",
            "" | "django.db.backends.dummy" => "no database",
            engine => engine,
        }
    }
}

/// Where a project's commands run and with what.
#[derive(Debug, Clone)]
pub struct Place {
    /// The interpreter.
    pub python: PathBuf,
    /// The project's files.
    pub cwd: PathBuf,
    /// The environment on top of the step's.
    pub env: BTreeMap<String, String>,
}

impl Place {
    /// `manage.py ARGS`, or `python -m django ARGS` where there is no `manage.py`.
    #[must_use]
    pub fn manage(&self, args: &[&str]) -> CommandLine {
        let line = CommandLine::new(self.python.display().to_string());
        let line = match manage_py(&self.cwd) {
            Some(path) => line.arg(path.display().to_string()).cwd(path.parent().unwrap_or(&self.cwd)),
            None => {
                line.args(["-m", "django"]).cwd(&self.cwd).env("PYTHONPATH", self.cwd.display().to_string())
            }
        };
        line.args(args.iter().copied()).envs(self.env.clone())
    }

    /// Runs one of our scripts inside the project and reads its answer; where it gave none, how it ended.
    ///
    /// # Errors
    /// When it can't be started, or its files can't be written.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        bench: &mut Workbench,
        script: &str,
    ) -> anyhow::Result<Result<T, Ended>> {
        let (asked, answered) =
            (bench.work().join("towpath-ask.py"), bench.work().join("towpath-answer.json"));
        std::fs::write(&asked, script).with_context(|| format!("could not write {}", asked.display()))?;
        let _ = std::fs::remove_file(&answered);
        let line = self
            .manage(&["shell", "-c", FEED])
            .env("TOWPATH_SCRIPT", asked.display().to_string())
            .env("TOWPATH_ANSWER", answered.display().to_string());
        let ended = bench.run(line).await?;
        let answer = std::fs::read(&answered).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Ok(answer.ok_or(ended))
    }

    /// Asks the project's settings.
    ///
    /// # Errors
    /// A cause when they can't be loaded.
    pub async fn settings(&self, bench: &mut Workbench) -> Result<Settings, Halt> {
        match self.ask(bench, SETTINGS).await? {
            Ok(settings) => Ok(settings),
            Err(ended) => Err(not_loaded(&ended).into()),
        }
    }
}

/// The project's `manage.py`: in its directory, or in the one directory below that has one.
#[must_use]
pub fn manage_py(project: &Path) -> Option<PathBuf> {
    let own = project.join("manage.py");
    if own.is_file() {
        return Some(own);
    }
    let mut below: Vec<PathBuf> = std::fs::read_dir(project)
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("manage.py"))
        .filter(|path| path.is_file())
        .collect();
    below.sort();
    below.into_iter().next()
}

/// The last line of a traceback: `ModuleNotFoundError: No module named 'x'`.
#[must_use]
pub fn exception(lines: &[String]) -> Option<&str> {
    lines.iter().rev().map(String::as_str).find(|line| {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or(name);
        let named =
            ["Error", "Exception", "Warning", "Interrupt", "Exit", "Configured", "DoesNotExist", "NotFound"];
        line.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && name.chars().all(|letter| letter.is_alphanumeric() || "._".contains(letter))
            && last.starts_with(|letter: char| letter.is_ascii_uppercase())
            && named.iter().any(|end| last.ends_with(end))
    })
}

/// The cause where a project's settings or apps don't load.
#[must_use]
pub fn not_loaded(ended: &Ended) -> Cause {
    let what = exception(&ended.tail).unwrap_or("it said nothing that a person could use").to_owned();
    let mut cause = ended.cause(format!("Django does not start: {what}"));
    if let Some(crash) = judge::crash(&ended.tail) {
        cause.summary = format!("Django does not start: {}", crash.said());
        cause.last_lines = crash.lines;
    }
    cause.expected = "settings and apps that load".to_owned();
    cause.cure = cure(&what);
    if cause.cure.is_empty() {
        cause.cure = "Mend what raises: `python manage.py check` shows the same error by hand.".to_owned();
    }
    cause
}

/// What to do about an exception at the start of a Django project.
#[must_use]
pub fn cure(exception: &str) -> String {
    if let Some(module) = exception.strip_prefix("ModuleNotFoundError: No module named ") {
        let module = module.trim_matches(['\'', '"']);
        return format!(
            "Only production dependencies are in the artifact: if {module} is needed there, move its package from the \
             development dependencies to the production ones and lock again; if not, don't import it there."
        );
    }
    if exception.starts_with("KeyError")
        || (exception.contains("environment variable") && !exception.starts_with("ImportError"))
        || exception.contains("not found. Declare")
    {
        return "The settings want a variable that isn't set here: give it a throw-away value under [artifact] env (for \
                the build) or under the stage's env in towpath.toml, or a default in the settings."
            .to_owned();
    }
    String::new()
}

/// A value that is good for nothing but being there.
#[must_use]
pub fn throw_away_secret() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Each `RandomState` has keys of its own from the operating system's source of randomness.
    let mut text = String::from("throw-away-");
    for _ in 0..4 {
        let word = std::collections::hash_map::RandomState::new().build_hasher().finish();
        text.push_str(&format!("{word:016x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exception_is_the_last_line_of_the_traceback() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let cases = [
            ("Traceback (most recent call last):\n  File \"x\"\nKeyError: 'FOO'\n", Some("KeyError: 'FOO'")),
            (
                "django.core.exceptions.ImproperlyConfigured: Set the X environment variable\n",
                Some("django.core.exceptions.ImproperlyConfigured: Set the X environment variable"),
            ),
            (
                "ZeroDivisionError: division by zero\nSentry is attempting to send 2 events\n",
                Some("ZeroDivisionError: division by zero"),
            ),
            ("all well\n", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(exception(&lines(text)), wanted, "{text}");
        }
    }

    #[test]
    fn throw_away_secrets_differ() {
        let (one, other) = (throw_away_secret(), throw_away_secret());
        assert_ne!(one, other);
        assert!(one.len() > 50);
    }
}
