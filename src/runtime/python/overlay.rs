//! Tests run *in* the candidate: a copy of its files, its own production packages first, development packages
//! beside them. The overlay lies in the attempt's directory and never ships.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::domain::finding::{Finding, Severity};
use crate::domain::plan::{Cause, Exec, Work};
use crate::domain::project::ProjectKind;
use crate::domain::release::Artifact;

use super::candidate;
use super::django::{self, Database, Place, Settings};
use super::environment::{self, Freeze};
use super::halt::Halt;
use super::install::values;
use super::interpreter::Interpreter;
use super::source;
use crate::runtime::workbench::{self, Workbench};

/// The settings module that repoints databases; in the overlay, never in the artifact.
pub const SETTINGS_MODULE: &str = "towpath_overlay_settings";

/// The longest `#!` line that every Linux kernel reads, in bytes.
const SHEBANG_LIMIT: usize = 127;

/// Where a command runs so that it runs in the candidate.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// The overlay's interpreter.
    pub python: PathBuf,
    /// The overlay's programs, first on the PATH.
    pub path_prefix: PathBuf,
    /// A copy of the candidate's files.
    pub cwd: PathBuf,
    /// What is laid over the step's environment; the stage's own variables are in it.
    pub env: BTreeMap<String, String>,
    /// What was noticed.
    pub findings: Vec<Finding>,
    /// The artifact that is tested.
    pub artifact: Artifact,
    site: PathBuf,
    /// What the build put out to tell touched files by.
    stamps: Option<String>,
}

/// A throw-away PostgreSQL server, from the variables that libpq reads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Server {
    host: String,
    port: String,
    user: String,
    password: String,
    name: String,
}

/// Makes the overlay for the bench's step; its services are to run already (their addresses go into `env`).
///
/// # Errors
/// When a step before this one did not leave an artifact and an environment, or a file can't be written.
pub async fn prepare(bench: &mut Workbench) -> anyhow::Result<Overlay> {
    let setting =
        workbench::setting(&bench.spec().step.work).cloned().context("a deployment has no overlay")?;
    let services = bench.services.env().clone();
    let inputs = bench.spec().inputs.values();
    let artifact = inputs
        .clone()
        .find_map(|output| output.artifact.clone())
        .context("no step before this one built a candidate; name the candidate in the stage's `needs`")?;
    let stamps = inputs.clone().find_map(|output| output.values.get(candidate::STAMPS).cloned());
    let installed = inputs
        .clone()
        .find(|output| output.values.contains_key(values::VENV))
        .map(|output| output.values.clone())
        .context("no step before this one installed the dependencies")?;
    let value = |name: &str| {
        installed.get(name).with_context(|| format!("the install step did not say its `{name}`"))
    };
    let development = PathBuf::from(value(values::VENV)?);
    let interpreter: Interpreter = serde_json::from_str(value(values::INTERPRETER)?)
        .context("the install step's interpreter can't be read")?;
    let home = Path::new(&artifact.location);
    let candidate = home.join("venv");

    let cwd = source::fresh_directory(bench, "app")?;
    copy_tree(&home.join("app"), &cwd)?;
    let venv = bench.work().join("overlay");
    environment::remove(&venv)?;
    if let Err(halt) = environment::lay_out(bench, &interpreter, &venv).await {
        return Err(halt.into_error().context("the overlay could not be made"));
    }
    let site = environment::site_packages(&venv)?;
    let bin = venv.join("bin");
    let python = environment::python(&venv);
    write_path_file(&site, &cwd, &candidate, &development)?;
    for from in [&candidate, &development] {
        remake_scripts(from, &bin, &python)?;
    }

    let findings = disagreements(&environment::freeze(&candidate)?, &environment::freeze(&development)?);
    let mut env = BTreeMap::new();
    let path = bench.spec().env.get("PATH").cloned().unwrap_or_default();
    env.insert("PATH".to_owned(), format!("{}:{path}", bin.display()));
    env.insert("VIRTUAL_ENV".to_owned(), venv.display().to_string());
    // pytest writes rewritten bytecode beside every plugin, those of the candidate among them.
    env.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
    env.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
    env.extend(services);
    env.extend(setting.env.clone());
    if setting.kind == ProjectKind::Django {
        for name in django::SECRET_KEYS {
            if !bench.spec().env.contains_key(name) {
                env.entry(name.to_owned()).or_insert_with(django::throw_away_secret);
            }
        }
    }
    bench.keep(&cwd, &env);
    Ok(Overlay { python, path_prefix: bin, cwd, env, findings, artifact, site, stamps })
}

impl Overlay {
    /// Where Django's commands run.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { python: self.python.clone(), cwd: self.cwd.clone(), env: self.env.clone() }
    }

    /// Whether the artifact is still what it was: a test that writes into it has changed what would ship.
    ///
    /// # Errors
    /// The cause for the step, naming the file.
    pub async fn verify(&self) -> Result<(), Cause> {
        match candidate::verify_touched(PathBuf::from(&self.artifact.location), self.stamps.clone()).await {
            Ok(id) if id == self.artifact.id => Ok(()),
            Ok(id) => Err(Cause {
                summary: "the artifact is another one than when this step began".to_owned(),
                expected: self.artifact.id.to_string(),
                measured: id.to_string(),
                cure: "Start a new run; something outside of Towpath works on its artifacts.".to_owned(),
                ..Cause::default()
            }),
            Err(altered) => Err(Cause {
                summary: format!("this step wrote into the artifact: {altered}"),
                expected: "an artifact that tests only read".to_owned(),
                measured: altered.to_string(),
                cure: "Have the tests write to a temporary directory or below the working directory, not beside an \
                       installed package. The next run builds the artifact again."
                    .to_owned(),
                ..Cause::default()
            }),
        }
    }

    /// Has Django use this settings module from here on.
    pub fn use_settings(&mut self, module: &str) {
        self.env.insert("DJANGO_SETTINGS_MODULE".to_owned(), module.to_owned());
    }

    /// Asks the databases of the settings that are in use, and points those that are PostgreSQL at the throw-away
    /// server when there is one. Returns what the project itself says.
    ///
    /// # Errors
    /// A cause when the settings don't load.
    pub async fn repoint(&mut self, bench: &mut Workbench) -> Result<Settings, Halt> {
        let settings = self.place().settings(bench).await?;
        let Some(server) = Server::of(&self.env) else { return Ok(settings) };
        let elsewhere: BTreeMap<String, BTreeMap<&str, String>> = settings
            .databases
            .iter()
            .filter(|(_, database)| database.word() == "PostgreSQL")
            .map(|(alias, database)| (alias, database, server.name_for(alias)))
            .filter(|(_, database, name)| !server.is(database, name))
            .map(|(alias, _, name)| (alias.clone(), server.entry(&name)))
            .collect();
        if !elsewhere.is_empty() {
            self.extend_settings(bench, &settings, &elsewhere)?;
        }
        Ok(settings)
    }

    /// Writes the settings module that imports the project's and changes entries of `DATABASES`.
    ///
    /// # Errors
    /// When it can't be written, or the project's settings can't be extended that way.
    pub fn extend_settings(
        &mut self,
        bench: &mut Workbench,
        settings: &Settings,
        databases: &BTreeMap<String, BTreeMap<&str, String>>,
    ) -> Result<(), Halt> {
        let Some(module) = settings.module.as_deref().filter(|_| settings.plain) else {
            self.findings.push(Finding {
                id: "DB-NOT-REPOINTED".to_owned(),
                severity: Severity::Note,
                title: "The settings are made by a library, so their databases could not be pointed at the throw-away \
                        server."
                    .to_owned(),
                cure: "Have the settings read DATABASE_URL or PGHOST, PGPORT, PGUSER and PGDATABASE.".to_owned(),
            });
            return Ok(());
        };
        let json = serde_json::to_string(databases).context("databases as JSON")?;
        let text = settings_text(module, &json);
        let path = self.site.join(format!("{SETTINGS_MODULE}.py"));
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        let aliases: Vec<&str> = databases.keys().map(String::as_str).collect();
        bench.say(&format!(
            "{module} points database {} elsewhere; for this step it is pointed at a throw-away one.",
            aliases.join(", ")
        ));
        self.use_settings(SETTINGS_MODULE);
        Ok(())
    }
}

/// The text of a settings module that imports another one and changes entries of `DATABASES`; `json` holds them.
pub(in crate::runtime) fn settings_text(module: &str, json: &str) -> String {
    format!(
        "# Written by Towpath for one step; never part of the artifact.\n\
             import json as _json\n\
             from {module} import *  # noqa: F401,F403\n\
             from {module} import DATABASES as _databases\n\
             DATABASES = {{alias: dict(entry) for alias, entry in _databases.items()}}\n\
             for _alias, _entry in _json.loads({json:?}).items():\n\
             \x20   DATABASES[_alias].update(_entry)\n\
             \x20   _options = dict(DATABASES[_alias].get('OPTIONS') or {{}})\n\
             \x20   for _name in ('service', 'passfile', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey'):\n\
             \x20       _options.pop(_name, None)\n\
             \x20   DATABASES[_alias]['OPTIONS'] = _options\n"
    )
}

/// Makes an overlay ready for a command line: which settings it is to use, and databases pointed at the throw-away
/// server. Returns what was noticed about databases; the overlay's environment is then complete.
///
/// # Errors
/// A cause when the settings don't load.
pub async fn databases(bench: &mut Workbench, overlay: &mut Overlay) -> Result<Vec<Finding>, Halt> {
    let Work::Exec(Exec { setting, run, .. }) = bench.spec().step.work.clone() else { return Ok(Vec::new()) };
    let run = run.as_str();
    if setting.kind != ProjectKind::Django {
        return Ok(Vec::new());
    }
    let tests = is_test(run);
    if !overlay.env.contains_key("DJANGO_SETTINGS_MODULE") {
        let module = if tests { pytest_settings(&overlay.cwd, run) } else { setting.settings.clone() };
        if let Some(module) = module {
            overlay.use_settings(&module);
        }
    }
    let used = overlay.env.get("DJANGO_SETTINGS_MODULE").cloned();
    // A command that names its own settings has its reasons, and its option wins over our variable anyway.
    if run.split_whitespace().any(|word| word.starts_with("--settings") || word.starts_with("--ds")) {
        return Ok(Vec::new());
    }
    let other_settings = setting.settings.as_ref().filter(|_| tests && used != setting.settings);
    if Server::of(&overlay.env).is_none() && other_settings.is_none() {
        // Nothing to point elsewhere and nothing to compare: a start of Django for nothing.
        return Ok(Vec::new());
    }
    let own = overlay.repoint(bench).await?;
    let mut findings = Vec::new();
    if let Some(production) = other_settings
        && own.module.as_deref() != Some(production)
    {
        let mut place = overlay.place();
        place.env.insert("DJANGO_SETTINGS_MODULE".to_owned(), production.clone());
        match place.settings(bench).await {
            Ok(settings) => findings.extend(sqlite_tests(&own, &settings)),
            Err(Halt::Failed(cause)) => findings.push(Finding {
                id: "DB-PRODUCTION-UNKNOWN".to_owned(),
                severity: Severity::Note,
                title: format!("Which database production uses could not be asked: {}.", cause.summary),
                cure: "Give the variables that the production settings read throw-away values in the stage's env.".to_owned(),
            }),
            Err(other) => return Err(other),
        }
    }
    Ok(findings)
}

/// Whether a command line runs a project's tests.
pub(in crate::runtime) fn is_test(run: &str) -> bool {
    run.contains("pytest")
        || run.contains("py.test")
        || run.contains("manage.py test")
        || run.contains("django test")
}

/// The settings that pytest-django would take from the project's files; the variable that we set would win.
pub(in crate::runtime) fn pytest_settings(project: &Path, run: &str) -> Option<String> {
    if !run.contains("pytest") && !run.contains("py.test") {
        return None;
    }
    let read = |name: &str| fs::read_to_string(project.join(name)).ok();
    let ini = |text: &str, section: &str| {
        let mut within = false;
        text.lines().find_map(|line| {
            if let Some(name) = line.trim().strip_prefix('[') {
                within = name.trim_end_matches(']') == section;
            }
            let (key, value) = line.split_once('=')?;
            (within && key.trim() == "DJANGO_SETTINGS_MODULE").then(|| value.trim().to_owned())
        })
    };
    if let Some(text) = read("pytest.ini").or_else(|| read(".pytest.ini")) {
        return ini(&text, "pytest");
    }
    let pyproject = read("pyproject.toml").and_then(|text| text.parse::<toml::Table>().ok());
    let options = pyproject.as_ref().and_then(|table| table.get("tool")?.get("pytest")?.get("ini_options"));
    if let Some(options) = options {
        return options.get("DJANGO_SETTINGS_MODULE")?.as_str().map(str::to_owned);
    }
    read("tox.ini")
        .and_then(|text| ini(&text, "pytest"))
        .or_else(|| read("setup.cfg").and_then(|text| ini(&text, "tool:pytest")))
}

fn sqlite_tests(tests: &Settings, production: &Settings) -> Option<Finding> {
    let word =
        |settings: &Settings| settings.databases.get("default").map(|database| database.word().to_owned());
    let (tests, production) = (word(tests)?, word(production)?);
    (tests == "SQLite" && production != "SQLite").then(|| Finding {
        id: "DB-TESTS-SQLITE".to_owned(),
        severity: Severity::Warning,
        title: format!("Tests run on SQLite and production runs on {production}: what differs is not tested."),
        cure: "Have the tests' settings use the production engine, and give the test stage services = [\"postgres\"]."
            .to_owned(),
    })
}

impl Server {
    fn of(env: &BTreeMap<String, String>) -> Option<Self> {
        let get = |name: &str, or: &str| env.get(name).cloned().unwrap_or_else(|| or.to_owned());
        Some(Self {
            host: env.get("PGHOST").cloned()?,
            port: get("PGPORT", "5432"),
            user: get("PGUSER", "postgres"),
            password: get("PGPASSWORD", ""),
            name: get("PGDATABASE", "postgres"),
        })
    }

    fn name_for(&self, alias: &str) -> String {
        if alias == "default" { self.name.clone() } else { format!("{}_{alias}", self.name) }
    }

    fn is(&self, database: &Database, name: &str) -> bool {
        !database.service
            && database.host == self.host
            && database.port == self.port
            && database.user == self.user
            && database.name == name
    }

    fn entry(&self, name: &str) -> BTreeMap<&'static str, String> {
        [
            ("HOST", self.host.as_str()),
            ("PORT", &self.port),
            ("USER", &self.user),
            ("PASSWORD", &self.password),
            ("NAME", name),
        ]
        .into_iter()
        .map(|(key, value)| (key, value.to_owned()))
        .collect()
    }
}

/// Candidate first, development second: a production package is always the candidate's. `addsitedir` reads the
/// `.pth` files there, so editable installs work.
fn write_path_file(site: &Path, cwd: &Path, candidate: &Path, development: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    if cwd.join("src").is_dir() && !cwd.join("src/manage.py").is_file() {
        text.push_str(&format!("{}\n", cwd.join("src").display()));
    }
    for venv in [candidate, development] {
        let packages = environment::site_packages(venv)?;
        text.push_str(&format!("import site; site.addsitedir({:?})\n", packages.display().to_string()));
    }
    let path = site.join("towpath.pth");
    fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))
}

/// The programs of an environment, made to start the overlay's interpreter; one that is there already stays.
fn remake_scripts(venv: &Path, bin: &Path, python: &Path) -> anyhow::Result<()> {
    let from = venv.join("bin");
    for entry in fs::read_dir(&from).with_context(|| format!("could not read {}", from.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let to = bin.join(name);
        let skipped = name.starts_with("python") || name.to_ascii_lowercase().starts_with("activate");
        if skipped || !path.is_file() || fs::symlink_metadata(&to).is_ok() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        match std::str::from_utf8(&bytes).ok().and_then(|text| with_interpreter(text, &from, python)) {
            Some(text) => {
                fs::write(&to, text).with_context(|| format!("could not write {}", to.display()))?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
            }
            // A compiled program (ruff, uv) needs no interpreter.
            None => std::os::unix::fs::symlink(&path, &to)
                .with_context(|| format!("could not link {}", to.display()))?,
        }
    }
    Ok(())
}

/// A script with another interpreter; `None` when it isn't a script of that environment.
fn with_interpreter(text: &str, bin: &Path, python: &Path) -> Option<String> {
    let own = bin.join("python").display().to_string();
    let (first, rest) = text.split_once('\n')?;
    let body = if first.starts_with("#!") && first.contains(&own) {
        rest
    } else if first == "#!/bin/sh" && rest.lines().next()?.contains(&own) {
        // The long form of pip and uv: `'''exec' /long/path/python "$0" "$@"`, then `' '''`.
        rest.splitn(3, '\n').nth(2)?
    } else {
        return None;
    };
    let python = python.display().to_string();
    let shebang = if python.len() + 3 <= SHEBANG_LIMIT && !python.contains(' ') {
        format!("#!{python}\n")
    } else {
        format!("#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n")
    };
    Some(shebang + body)
}

fn disagreements(candidate: &Freeze, development: &Freeze) -> Vec<Finding> {
    candidate
        .iter()
        .filter_map(|(name, version)| {
            let other = development.get(name).filter(|other| *other != version)?;
            Some(Finding {
                id: format!("PY-DISAGREE:{name}"),
                severity: Severity::Warning,
                title: format!("{name} is {version} in production and {other} in development: the checks saw another one."),
                cure: "Lock development's dependencies together with production's.".to_owned(),
            })
        })
        .collect()
}

/// A writable copy, without bytecode: the artifact's never looks whether its source has changed.
fn copy_tree(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("could not make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("could not read {}", from.display()))? {
        let entry = entry?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&path)?, &target)
                .with_context(|| format!("could not link {}", target.display()))?;
        } else if kind.is_dir() {
            if entry.file_name() != "__pycache__" {
                copy_tree(&path, &target)?;
            }
        } else {
            fs::copy(&path, &target).with_context(|| format!("could not copy {}", path.display()))?;
            let mode = fs::metadata(&target)?.permissions().mode() | 0o200;
            fs::set_permissions(&target, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_start_the_overlays_interpreter_in_both_forms() {
        let (bin, python) = (Path::new("/cache/v/bin"), Path::new("/work/o/bin/python"));
        let short = "#!/cache/v/bin/python3.11\nimport sys\n";
        assert_eq!(with_interpreter(short, bin, python).unwrap(), "#!/work/o/bin/python\nimport sys\n");
        let long = "#!/bin/sh\n'''exec' /cache/v/bin/python \"$0\" \"$@\"\n' '''\nimport sys\n";
        assert_eq!(with_interpreter(long, bin, python).unwrap(), "#!/work/o/bin/python\nimport sys\n");
        let far = PathBuf::from(format!("/{}/bin/python", "x".repeat(140)));
        let made = with_interpreter(short, bin, &far).unwrap();
        assert!(made.starts_with("#!/bin/sh\n'''exec' \"/xxx"), "{made}");
        assert!(made.ends_with("\n' '''\nimport sys\n"), "{made}");
        assert_eq!(with_interpreter("#!/bin/sh\necho hi\n", bin, python), None);
        assert_eq!(with_interpreter("#!/usr/bin/env node\n", bin, python), None);
    }

    #[test]
    fn pytests_settings_are_found_where_pytest_looks() {
        let cases = [
            ("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = a.test\n", Some("a.test")),
            (
                "pyproject.toml",
                "[tool.pytest.ini_options]\nDJANGO_SETTINGS_MODULE = 'b.test'\n",
                Some("b.test"),
            ),
            (
                "setup.cfg",
                "[x]\nDJANGO_SETTINGS_MODULE=no\n[tool:pytest]\nDJANGO_SETTINGS_MODULE=c.test\n",
                Some("c.test"),
            ),
            ("tox.ini", "[testenv]\nDJANGO_SETTINGS_MODULE=no\n", None),
        ];
        for (name, text, wanted) in cases {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), text).unwrap();
            assert_eq!(pytest_settings(dir.path(), "pytest -q").as_deref(), wanted, "{name}");
            assert_eq!(pytest_settings(dir.path(), "python manage.py test"), None);
        }
    }

    #[test]
    fn packages_that_differ_are_named() {
        let freeze = |list: &[(&str, &str)]| {
            list.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect::<Freeze>()
        };
        let found =
            disagreements(&freeze(&[("a", "1"), ("b", "1")]), &freeze(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert_eq!(found.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["PY-DISAGREE:b"]);
    }
}
