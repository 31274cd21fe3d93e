//! What a Django project is, told from its files.

use std::collections::BTreeMap;

use super::dependencies::{Dependencies, at};
use super::settings_file::Ini;
use super::tools::{self, Settings, Tool, Use};
use super::tree::{self, Tree};

/// What a project's files say about its Django.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Django {
    /// Where `manage.py` is; the shallowest where there are several, `None` where there is none.
    pub manage_py: Option<String>,
    /// The settings module that `manage.py` sets by default.
    pub settings_module: Option<String>,
    /// The package of the settings: `harbor` of `harbor.settings.production`.
    pub package: Option<String>,
    /// The directories of apps with a `migrations` package, relative to the project's root.
    pub apps_with_migrations: Vec<String>,
    /// Whether there are files that test runners collect.
    pub has_tests: bool,
    /// Where pytest is configured.
    pub pytest_config: Option<String>,
    /// Which checks are used, and where that was seen.
    pub tools: BTreeMap<Tool, Use>,
    /// Whether a PostgreSQL driver is among the dependencies.
    pub uses_postgres: bool,
    /// How coverage is measured and judged.
    pub coverage: Coverage,
    /// Whether Celery is among the dependencies.
    pub celery: bool,
    /// Whether the settings name a `STATIC_ROOT`, so that `collectstatic` has somewhere to go.
    pub has_static_root: bool,
    /// Whether the settings that tests run with name SQLite and nothing else.
    pub tests_on_sqlite: bool,
    /// The options that mypy, Bandit and pytest bring in their own configuration.
    pub(super) options: Options,
}

/// How coverage is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The file that configures it, relative to the project's root.
    pub file: Option<String>,
    /// `fail_under` as written, in per cent.
    pub fail_under: Option<String>,
    /// Whether each process writes data of its own, to be combined.
    pub parallel: bool,
}

/// What tools' own configuration takes over from the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// mypy's configuration names the files.
    pub(super) mypy_files: bool,
    /// The file that Bandit has to be pointed at.
    pub(super) bandit_config: Option<String>,
    /// Bandit's configuration names what is left out.
    pub(super) bandit_excludes: bool,
    /// pytest's `addopts` has `--cov` in it.
    pub(super) pytest_cov: bool,
}

/// Reads what a project is. Never fails: what cannot be read is not there.
#[must_use]
pub fn detect(tree: &dyn Tree, dependencies: &Dependencies) -> Django {
    let settings = Settings::read(tree);
    let own: Vec<&str> =
        settings.files.iter().map(String::as_str).filter(|path| !tree::is_foreign(path)).collect();
    let manage_py = own
        .iter()
        .filter(|path| **path == "manage.py" || path.ends_with("/manage.py"))
        .min_by_key(|path| (path.matches('/').count(), **path))
        .map(|path| (*path).to_owned());
    let manage_text = manage_py.as_deref().and_then(|path| tree::text(tree, path)).unwrap_or_default();
    let settings_module = default_settings(&manage_text);
    let package = settings_module.as_deref().and_then(|module| module.split('.').next()).map(str::to_owned);
    let beside = manage_py.as_deref().map_or("", directory_of);
    let pytest = pytest(tree, &settings);
    let all_settings = settings_module.as_deref().map(|module| module_text(tree, beside, module));
    let all_settings = all_settings.unwrap_or_default();
    let test_settings = pytest
        .settings
        .as_deref()
        .map_or_else(|| all_settings.clone(), |module| module_text(tree, beside, module));
    let postgres = ["psycopg", "psycopg2", "psycopg2-binary", "psycopg-binary", "psycopg-c", "psycopg2cffi"];
    Django {
        settings_module,
        package,
        apps_with_migrations: apps(&own),
        has_tests: own.iter().any(|path| is_test(path)),
        tools: tools::detect(&settings, dependencies),
        uses_postgres: postgres.iter().any(|driver| dependencies.has(driver)),
        coverage: coverage(tree, &settings),
        celery: dependencies.has("celery"),
        has_static_root: static_root(tree, &own),
        tests_on_sqlite: only_sqlite(&test_settings),
        options: Options {
            mypy_files: mypy_files(tree, &settings),
            bandit_config: bandit_config(&settings),
            bandit_excludes: bandit_excludes(tree, &settings),
            pytest_cov: pytest.cov,
        },
        pytest_config: pytest.file,
        manage_py,
    }
}

/// The directory of a path, empty for the root.
pub(super) fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// What `manage.py` sets: `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "harbor.settings")`.
fn default_settings(manage: &str) -> Option<String> {
    let lines = manage.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let code: Vec<&str> = lines.collect();
    let code = code.join(" ");
    let (_, after) = code.split_once("DJANGO_SETTINGS_MODULE")?;
    let after = after.get(1..)?.trim_start_matches([' ', ',', ']', '=']);
    let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let module = after.get(1..)?.split(quote).next()?;
    let sound = !module.is_empty() && module.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    sound.then(|| module.to_owned())
}

/// The text of a settings module with those beside it that it takes over (`from .base import *`).
pub(super) fn module_text(tree: &dyn Tree, beside: &str, module: &str) -> String {
    let mut text = String::new();
    let mut open = vec![module.to_owned()];
    let mut seen = Vec::new();
    while let Some(module) = open.pop() {
        if seen.len() >= 8 || seen.contains(&module) {
            continue;
        }
        let path = module.replace('.', "/");
        let prefix = if beside.is_empty() { String::new() } else { format!("{beside}/") };
        let file = [format!("{prefix}{path}.py"), format!("{prefix}{path}/__init__.py")];
        let is_package = tree.read(&file[0]).is_none();
        seen.push(module.clone());
        let Some(one) = file.iter().find_map(|path| tree::text(tree, path)) else { continue };
        for line in one.lines().map(str::trim) {
            let from = line.strip_prefix("from ").and_then(|rest| rest.split_once(" import "));
            let from = from.filter(|(_, names)| names.trim_start().starts_with('*'));
            let Some((from, _)) = from else { continue };
            let dots = from.chars().take_while(|c| *c == '.').count();
            let rest = from.get(dots..).unwrap_or_default();
            if dots == 0 {
                open.push(rest.to_owned());
                continue;
            }
            let mut parts: Vec<&str> = module.split('.').collect();
            // In a package's `__init__.py` one dot is the package itself.
            let up = if is_package { dots - 1 } else { dots };
            parts.truncate(parts.len().saturating_sub(up));
            parts.extend(rest.split('.').filter(|part| !part.is_empty()));
            open.push(parts.join("."));
        }
        text.push_str(&one);
        text.push('\n');
    }
    text
}

/// Whether any settings file names `STATIC_ROOT`. Generous: without one `collectstatic` cannot run at all.
fn static_root(tree: &dyn Tree, own: &[&str]) -> bool {
    let settings = own.iter().filter(|path| path.ends_with(".py") && path.contains("settings"));
    settings.filter_map(|path| tree::text(tree, path)).any(|text| {
        text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains("STATIC_ROOT"))
    })
}

/// Whether settings name SQLite, and no word of theirs could mean another database.
fn only_sqlite(text: &str) -> bool {
    let others =
        ["postgres", "mysql", "oracle", "dj_database_url", "DATABASE_URL", "env.db(", "env.dj_db_url("];
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    code.contains("django.db.backends.sqlite3") && !others.iter().any(|word| code.contains(word))
}

fn apps(own: &[&str]) -> Vec<String> {
    let mut apps: Vec<String> = own
        .iter()
        .filter_map(|path| path.strip_suffix("/migrations/__init__.py"))
        .map(str::to_owned)
        .collect();
    apps.sort();
    apps
}

/// Whether a file is one that pytest or Django's runner collects.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(stem) = name.strip_suffix(".py") else { return false };
    stem == "tests" || stem.starts_with("test_") || stem.ends_with("_test") || stem.starts_with("tests_")
}

/// Where pytest is configured, and what of it matters here.
#[derive(Default)]
struct Pytest {
    file: Option<String>,
    cov: bool,
    settings: Option<String>,
}

fn pytest(tree: &dyn Tree, settings: &Settings) -> Pytest {
    // pytest's own order: the first file that configures it is the only one.
    for (file, section) in [
        ("pytest.ini", "pytest"),
        (".pytest.ini", "pytest"),
        ("pyproject.toml", ""),
        ("tox.ini", "pytest"),
        ("setup.cfg", "tool:pytest"),
    ] {
        let (there, options, module) = if file == "pyproject.toml" {
            let table = at(&settings.pyproject, &["tool", "pytest", "ini_options"])
                .or_else(|| at(&settings.pyproject, &["tool", "pytest"]));
            let words = |key: &str| match table.and_then(|table| table.get(key)) {
                Some(toml::Value::String(text)) => text.clone(),
                Some(toml::Value::Array(list)) => {
                    list.iter().filter_map(toml::Value::as_str).collect::<Vec<_>>().join(" ")
                }
                _ => String::new(),
            };
            (table.is_some(), words("addopts"), words("DJANGO_SETTINGS_MODULE"))
        } else {
            let text = tree::text(tree, file);
            let ini = text.as_deref().map(Ini::parse).unwrap_or_default();
            // A `pytest.ini` counts even when it is empty.
            let there = text.is_some() && (file.ends_with("pytest.ini") || ini.has(section));
            let word = |key: &str| ini.get(section, key).unwrap_or_default().to_owned();
            (there, word("addopts"), word("django_settings_module"))
        };
        if there {
            return Pytest {
                file: Some(file.to_owned()),
                cov: options.split_whitespace().any(|word| word == "--cov" || word.starts_with("--cov=")),
                settings: Some(module).filter(|module| !module.is_empty()),
            };
        }
    }
    let conftest =
        settings.files.iter().find(|path| path.as_str() == "conftest.py" || path.ends_with("/conftest.py"));
    Pytest { file: conftest.filter(|path| !tree::is_foreign(path)).cloned(), ..Pytest::default() }
}

fn coverage(tree: &dyn Tree, settings: &Settings) -> Coverage {
    let yes = |text: Option<&str>| {
        text.is_some_and(|text| matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on"))
    };
    if let Some(text) = tree::text(tree, ".coveragerc") {
        let ini = Ini::parse(&text);
        return Coverage {
            file: Some(".coveragerc".into()),
            fail_under: ini.get("report", "fail_under").map(str::to_owned),
            parallel: yes(ini.get("run", "parallel")),
        };
    }
    for (file, ini) in [("setup.cfg", &settings.setup_cfg), ("tox.ini", &settings.tox_ini)] {
        if ini.has_prefix("coverage:") {
            return Coverage {
                file: Some(file.into()),
                fail_under: ini.get("coverage:report", "fail_under").map(str::to_owned),
                parallel: yes(ini.get("coverage:run", "parallel")),
            };
        }
    }
    let Some(table) = settings.tool("coverage") else { return Coverage::default() };
    let value = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key));
    Coverage {
        file: Some("pyproject.toml".into()),
        fail_under: value("report", "fail_under")
            .map(|number| number.to_string().trim_matches('"').to_owned()),
        parallel: value("run", "parallel").and_then(toml::Value::as_bool) == Some(true),
    }
}

fn mypy_files(tree: &dyn Tree, settings: &Settings) -> bool {
    let keys = ["files", "packages", "modules"];
    // mypy's own order: the first file that configures it is the only one.
    for file in ["mypy.ini", ".mypy.ini"] {
        if let Some(ini) = tree::text(tree, file).map(|text| Ini::parse(&text)).filter(|ini| ini.has("mypy"))
        {
            return keys.iter().any(|key| ini.get("mypy", key).is_some());
        }
    }
    if let Some(table) = settings.tool("mypy") {
        return keys.iter().any(|key| table.get(*key).is_some());
    }
    keys.iter().any(|key| settings.setup_cfg.get("mypy", key).is_some())
}

fn bandit_config(settings: &Settings) -> Option<String> {
    let named = ["bandit.yaml", "bandit.yml"].into_iter().find(|file| settings.has_file(file));
    let table = settings.tool("bandit").map(|_| "pyproject.toml");
    named.or(table).map(str::to_owned)
}

fn bandit_excludes(tree: &dyn Tree, settings: &Settings) -> bool {
    let yaml = ["bandit.yaml", "bandit.yml"].iter().find_map(|file| tree::text(tree, file));
    let yaml = yaml.is_some_and(|text| text.lines().any(|line| line.starts_with("exclude_dirs:")));
    let ini = tree::text(tree, ".bandit").map(|text| Ini::parse(&text));
    let ini = ini
        .is_some_and(|ini| ["exclude", "excluded_files"].iter().any(|key| ini.get("bandit", key).is_some()));
    yaml || ini || settings.tool("bandit").is_some_and(|table| table.get("exclude_dirs").is_some())
}
