//! The stages that a Django project gets by itself: each only where the project uses it.

use std::collections::BTreeMap;

use super::dependencies::{Dependencies, Manager};
use super::django::{self, Django};
use super::image;
use super::tools::{Tool, Use};
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::StepId;
use crate::domain::project::{ImageSettings, Judge, Place, Service, Stage, StageWork, When};
use crate::domain::time::Millis;

/// Every step that the preset knows, with its group, whether or not a project has it.
pub(super) const KNOWN: [(&str, &str); 18] = [
    ("install", "install"),
    ("ruff", "lint"),
    ("ruff-format", "lint"),
    ("flake8", "lint"),
    ("black", "lint"),
    ("isort", "lint"),
    ("mypy", "lint"),
    ("bandit", "security"),
    ("pip-audit", "security"),
    ("secrets", "security"),
    ("candidate", "candidate"),
    ("test", "test"),
    ("check", "test"),
    ("check-deploy", "test"),
    ("drift", "migrations"),
    ("inspect", "migrations"),
    ("migrate-empty", "migrations"),
    ("release", "release"),
];

/// How long the build of an image may take: it may have its base to fetch and every package to compile.
const BUILD_MINUTES: u64 = 30;

/// The steps of a project, in order, and why each is there or not.
#[derive(Debug, Default)]
pub(super) struct Preset {
    pub(super) stages: Vec<Stage>,
    pub(super) findings: Vec<Finding>,
    pub(super) detected: Vec<String>,
}

/// What the commands are made for.
pub(super) struct Project<'a> {
    pub(super) django: &'a Django,
    pub(super) dependencies: &'a Dependencies,
    /// `[project] settings`.
    pub(super) settings: Option<&'a str>,
    /// The image that is built; `None` on the process runtime.
    pub(super) image: Option<&'a ImageSettings>,
}

impl Preset {
    fn say(&mut self, line: impl Into<String>) {
        self.detected.push(line.into());
    }

    fn add(&mut self, name: &str, needs: &[&str], minutes: u64, work: StageWork) {
        let group = group_of(name).unwrap_or(name).to_owned();
        self.stages.push(Stage {
            name: StepId::from(name),
            group,
            needs: needs.iter().map(|need| StepId::from(*need)).collect(),
            work,
            services: Vec::new(),
            env: BTreeMap::new(),
            timeout: Millis::minutes(minutes),
            retries: 0,
            when: When::Always,
        });
    }
}

/// The group of a step that the preset knows.
pub(super) fn group_of(name: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(step, _)| *step == name).map(|(_, group)| *group)
}

/// The stages of a Django project.
pub(super) fn django(project: &Project<'_>) -> Preset {
    let mut preset = Preset::default();
    preset.say(match &project.dependencies.manager {
        Manager::None => "install: nothing, no file names dependencies".to_owned(),
        manager => format!("install: dependencies from {}", manager.word()),
    });
    preset.add("install", &[], 15, StageWork::Install);
    checks(project, &mut preset);
    preset.say(project.image.map_or_else(
        || "candidate: git archive of the commit, production dependencies, static files, bytecode".to_owned(),
        image::words,
    ));
    // Its needs follow once the configuration has added and removed checks.
    let minutes = if project.image.is_some() { BUILD_MINUTES } else { 15 };
    preset.add("candidate", &["install"], minutes, StageWork::Candidate);
    tests(project, &mut preset);
    migrations(project, &mut preset);
    preset
}

/// The one stage of a project that has nothing but an image: its build. What checks it is the configuration's.
pub(super) fn plain(image: &ImageSettings) -> Preset {
    let mut preset = Preset::default();
    preset.say(image::words(image));
    preset.add("candidate", &[], BUILD_MINUTES, StageWork::Candidate);
    preset
}

/// Lint and security: a step for each tool among the dependencies.
fn checks(project: &Project<'_>, preset: &mut Preset) {
    let Django { tools, options, .. } = project.django;
    for tool in Tool::ALL {
        let Some(seen) = tools.get(&tool) else {
            preset.say(format!("{}: no step, nothing names {}", tool.step(), tool.word()));
            continue;
        };
        // Ruff's formatter comes with Ruff.
        let dependency = seen.dependency.as_deref();
        let Some(from) = dependency.filter(|_| project.dependencies.has(tool.package())) else {
            not_installed(tool, seen, preset);
            continue;
        };
        let configured = match seen.configured.first() {
            Some(first) => format!("; configured by {first}"),
            None => String::new(),
        };
        let (run, judge, minutes) = match tool {
            Tool::Ruff => ("ruff check .".to_owned(), Judge::Ruff, 5),
            Tool::RuffFormat => ("ruff format --check .".to_owned(), Judge::Ruff, 5),
            Tool::Flake8 => ("flake8 .".to_owned(), Judge::ExitCode, 5),
            Tool::Black => ("black --check .".to_owned(), Judge::Black, 5),
            Tool::Isort => ("isort --check-only .".to_owned(), Judge::ExitCode, 5),
            Tool::Mypy if options.mypy_files => ("mypy".to_owned(), Judge::Mypy, 10),
            Tool::Mypy => ("mypy .".to_owned(), Judge::Mypy, 10),
            Tool::Bandit => (bandit(project.django), Judge::Bandit, 5),
            Tool::PipAudit => ("pip-audit --progress-spinner off".to_owned(), Judge::PipAudit, 5),
            Tool::DetectSecrets => (detect_secrets(seen), Judge::DetectSecrets, 5),
        };
        preset.say(format!("{}: {} ({} is in {from}{configured})", tool.step(), brief(&run), tool.word()));
        preset.add(tool.step(), &["install"], minutes, StageWork::Exec { run, place: Place::Source, judge });
    }
}

/// A tool that is configured but would not be there when its step runs.
fn not_installed(tool: Tool, seen: &Use, preset: &mut Preset) {
    let place = seen.configured.first().map_or("its configuration", String::as_str);
    preset.say(format!(
        "{}: no step, {} is configured ({place}) but not among the dependencies",
        tool.step(),
        tool.word()
    ));
    preset.findings.push(Finding {
        id: format!("PY-TOOL-MISSING:{}", tool.step()),
        severity: Severity::Note,
        title: format!(
            "{} is configured ({place}) but is not among the dependencies, so it is not run.",
            tool.word()
        ),
        cure: format!("Add {} to the development dependencies, or remove its configuration.", tool.package()),
    });
}

/// A command as one line of a report has room for it.
fn brief(run: &str) -> String {
    match run.rsplit_once("&& ") {
        Some((_, last)) if run.chars().count() > 90 => format!("… {last}"),
        _ => run.to_owned(),
    }
}

/// Bandit, never with `-q`: then it ends with 0 and without a word about files that it could not read.
fn bandit(django: &Django) -> String {
    let mut run = "bandit -r .".to_owned();
    if let Some(config) = &django.options.bandit_config {
        run.push_str(" -c ");
        run.push_str(config);
    }
    if !django.options.bandit_excludes {
        // Tests are full of asserts and of passwords that protect nothing.
        run.push_str(" -x '*/tests/*,*/tests.py,*/test_*.py,*/conftest.py'");
    }
    run
}

/// detect-secrets over exactly the files at hand.
///
/// It lists files with git, and outside a repository it passes without having looked at one. So the command
/// makes an index of its own in a temporary directory, of everything that is there: files that the project
/// ignores but has committed are the likeliest to hold a secret. Caches of checks that run beside it are left out.
fn detect_secrets(seen: &Use) -> String {
    let index = "export GIT_DIR=\"$(mktemp -d)\" GIT_WORK_TREE=\"$PWD\" && trap 'rm -rf \"$GIT_DIR\"' EXIT && \
                 git init -q && git add -A -f . ':(exclude,glob)**/.*_cache/**' \
                 ':(exclude,glob)**/__pycache__/**' && ";
    let scan = if seen.configured.iter().any(|file| file == ".secrets.baseline") {
        "git ls-files -z | xargs -0 -r -s 1000000 detect-secrets-hook --baseline .secrets.baseline"
    } else {
        "detect-secrets scan"
    };
    format!("{index}{scan}")
}

/// `manage.py` from its own directory, with the settings that production uses where asked for.
fn manage(django: &Django, arguments: &str, settings: Option<&str>) -> String {
    let path = django.manage_py.as_deref().unwrap_or("manage.py");
    let settings = settings.map(|module| format!(" --settings {module}")).unwrap_or_default();
    match django::directory_of(path) {
        "" => format!("python manage.py {arguments}{settings}"),
        directory => format!("cd {} && python manage.py {arguments}{settings}", quoted(directory)),
    }
}

/// A path as one word of a shell's command line.
fn quoted(path: &str) -> String {
    let plain = !path.starts_with('-')
        && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'));
    if plain { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

fn tests(project: &Project<'_>, preset: &mut Preset) {
    let Project { django, dependencies, settings, .. } = project;
    if django.has_tests {
        let (run, why) = test_command(django, dependencies);
        let beside = if django.uses_postgres { ", PostgreSQL beside it" } else { "" };
        preset.say(format!("test: {} ({why}{beside})", brief(&run)));
        let work = StageWork::Exec { run, place: Place::Candidate, judge: Judge::Pytest };
        preset.add("test", &["candidate"], 30, work);
        if django.uses_postgres {
            with_postgres(preset);
        }
        if django.uses_postgres && django.tests_on_sqlite {
            preset.findings.push(Finding {
                id: "DB-TESTS-SQLITE".into(),
                severity: Severity::Warning,
                title: "The tests run on SQLite although a PostgreSQL driver is among the dependencies."
                    .into(),
                cure:
                    "Let the settings that tests use take DATABASE_URL: a throw-away PostgreSQL server runs \
                       beside the step \"test\"."
                        .into(),
            });
        }
    } else {
        preset.say("test: no step, there is no tests.py, test_*.py or *_test.py");
        preset.findings.push(Finding {
            id: "PY-NO-TESTS".into(),
            severity: Severity::Warning,
            title: "There are no tests: a release is only built and checked.".into(),
            cure: "Add a tests.py to an app, or a [[stage]] with the command that tests the project.".into(),
        });
    }
    let exec = |run: String| StageWork::Exec { run, place: Place::Candidate, judge: Judge::ExitCode };
    preset.say("check, check-deploy: python manage.py check [--deploy]");
    preset.add("check", &["candidate"], 5, exec(manage(django, "check", *settings)));
    preset.add("check-deploy", &["candidate"], 5, exec(manage(django, "check --deploy", *settings)));
}

/// Gives the last step a throw-away PostgreSQL server.
fn with_postgres(preset: &mut Preset) {
    if let Some(stage) = preset.stages.last_mut() {
        stage.services.push(Service::Postgres);
    }
}

/// The command that runs the tests, and why this one.
fn test_command(django: &Django, dependencies: &Dependencies) -> (String, String) {
    let pytest_django = dependencies.has("pytest-django");
    let pytest = pytest_django || (dependencies.has("pytest") && django.pytest_config.is_some());
    let coverage = dependencies.has("coverage");
    let threshold = match &django.coverage.fail_under {
        Some(fail_under) => format!(", coverage at least {fail_under} %"),
        None => String::new(),
    };
    if pytest {
        let package = if pytest_django { "pytest-django" } else { "pytest" };
        let why = format!("{package} is among the dependencies");
        // Without a configuration at the root pytest has to start where `manage.py` is: from elsewhere
        // pytest-django finds no project.
        let file = django.pytest_config.as_deref();
        let at_root = file.is_some_and(|file| !file.contains('/') && file != "conftest.py");
        let beside = django::directory_of(django.manage_py.as_deref().unwrap_or("manage.py"));
        let directory = if at_root { "" } else { beside };
        let cd = if directory.is_empty() { String::new() } else { format!("cd {} && ", quoted(directory)) };
        if dependencies.has("pytest-cov") {
            let own = if django.options.pytest_cov { "" } else { " --cov" };
            let config = match &django.coverage.file {
                Some(file) if !directory.is_empty() => {
                    format!(" --cov-config={}{file}", "../".repeat(directory.split('/').count()))
                }
                _ => String::new(),
            };
            return (format!("{cd}pytest{own}{config}"), format!("{why}, with pytest-cov{threshold}"));
        }
        if coverage {
            let run = measured("-m pytest", django, directory);
            return (format!("{cd}{run}"), format!("{why}, with coverage{threshold}"));
        }
        return (format!("{cd}pytest"), why);
    }
    let why = "Django's own test runner, pytest-django is not among the dependencies".to_owned();
    if coverage {
        let path = django.manage_py.as_deref().unwrap_or("manage.py");
        let directory = django::directory_of(path);
        let run = measured("manage.py test --noinput", django, directory);
        let run = if directory.is_empty() { run } else { format!("cd {} && {run}", quoted(directory)) };
        return (run, format!("{why}, with coverage{threshold}"));
    }
    (manage(django, "test --noinput", None), why)
}

/// A command under coverage.py, and the report that holds it to the threshold.
fn measured(command: &str, django: &Django, directory: &str) -> String {
    // coverage.py looks for its configuration where it runs: elsewhere it has to be shown.
    let rcfile = match &django.coverage.file {
        Some(file) if !directory.is_empty() => {
            format!(" --rcfile={}{file}", "../".repeat(directory.split('/').count()))
        }
        _ => String::new(),
    };
    let combine =
        if django.coverage.parallel { format!("coverage combine{rcfile} && ") } else { String::new() };
    format!("coverage run{rcfile} {command} && {combine}coverage report{rcfile}")
}

fn migrations(project: &Project<'_>, preset: &mut Preset) {
    let Project { django, settings, .. } = project;
    let apps = match django.apps_with_migrations.len() {
        0 => "no app of its own has migrations".to_owned(),
        1 => "1 app has migrations".to_owned(),
        count => format!("{count} apps have migrations"),
    };
    // `--noinput`: a question about a rename would end in a crash where nobody can answer.
    let run = manage(django, "makemigrations --check --dry-run --noinput", *settings);
    preset.say(format!("drift: {run}"));
    let work = StageWork::Exec { run, place: Place::Candidate, judge: Judge::Drift };
    preset.add("drift", &["candidate"], 5, work);
    preset.say(format!("inspect: the candidate's migrations ({apps})"));
    preset.add("inspect", &["candidate"], 5, StageWork::Migrations);
    let database = if django.uses_postgres { "an empty PostgreSQL" } else { "an empty database" };
    preset.say(format!("migrate-empty: every migration on {database}, and a start of the application"));
    preset.add("migrate-empty", &["candidate"], 15, StageWork::MigrateEmpty);
    if django.uses_postgres {
        with_postgres(preset);
    }
}
