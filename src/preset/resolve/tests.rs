use proptest::prelude::*;

use super::*;
use crate::domain::project::{Judge, Place as RunPlace, Service, Stage, StageWork};
use crate::preset::tree::Memory;

const MANAGE: &str = "os.environ.setdefault(\n    'DJANGO_SETTINGS_MODULE',\n    'harbor.settings'\n)\n";

/// What `django-admin startproject` makes, with an app that has tests.
pub(super) fn plain_requirements() -> Memory {
    Memory::from_iter([
        ("manage.py", MANAGE),
        ("harbor/settings.py", "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3'}}\n"),
        ("requirements.txt", "django\ngunicorn==23.0.0\n"),
        ("shop/tests.py", ""),
        ("shop/migrations/__init__.py", ""),
    ])
}

/// Every tool, configured and installed.
pub(super) fn everything() -> Memory {
    Memory::from_iter([
        ("manage.py", MANAGE),
        ("harbor/settings.py", "import dj_database_url\nSTATIC_ROOT = BASE_DIR / 'static'\n"),
        ("requirements.txt", "django==5.2.1\npsycopg[binary]==3.2.1\n"),
        (
            "requirements-dev.txt",
            "-r requirements.txt\nruff==1\nflake8==1\nblack==1\nisort==1\nmypy==1\nbandit==1\npip_audit==1\n\
             detect-secrets==1\npytest-django==1\npytest-cov==1\n",
        ),
        (
            "pyproject.toml",
            "[project]\nname='x'\nrequires-python = '>=3.12'\n[tool.ruff.format]\n[tool.bandit]\n\
             exclude_dirs=['tests']\n[tool.coverage.report]\nfail_under = 85\n[tool.mypy]\nfiles = ['shop']\n\
             [tool.pytest.ini_options]\nDJANGO_SETTINGS_MODULE = 'harbor.settings'\n",
        ),
        (".secrets.baseline", "{}"),
        ("shop/tests/test_cart.py", ""),
    ])
}

fn file(text: &str) -> config::File {
    config::parse(text.as_bytes(), "towpath.toml").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

pub(super) fn resolved(text: &str, tree: &Memory) -> Resolved {
    resolve(&file(text), "harbor", ".", tree).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

pub(super) fn refused(text: &str, tree: &Memory) -> String {
    match resolve(&file(text), "harbor", ".", tree) {
        Ok(resolved) => panic!("no mistake in {text}: {:?}", names(&resolved)),
        Err(mistakes) => mistakes.to_string(),
    }
}

pub(super) fn names(resolved: &Resolved) -> Vec<&str> {
    resolved.project.stages.iter().map(|stage| stage.name.as_str()).collect()
}

pub(super) fn stage<'a>(resolved: &'a Resolved, name: &str) -> &'a Stage {
    resolved.project.stages.iter().find(|stage| stage.name.as_str() == name).unwrap()
}

pub(super) fn needs<'a>(resolved: &'a Resolved, name: &str) -> Vec<&'a str> {
    stage(resolved, name).needs.iter().map(crate::domain::ids::StepId::as_str).collect()
}

pub(super) fn run<'a>(resolved: &'a Resolved, name: &str) -> (&'a str, RunPlace, Judge) {
    match &stage(resolved, name).work {
        StageWork::Exec { run, place, judge } => (run, place.clone(), *judge),
        work => panic!("{name} is {work:?}"),
    }
}

pub(super) fn findings(resolved: &Resolved) -> Vec<&str> {
    resolved.findings.iter().map(|finding| finding.id.as_str()).collect()
}

#[test]
fn a_project_with_plain_requirements_gets_what_it_uses() {
    let resolved = resolve(&config::File::default(), "Harbor Shop.git", ".", &plain_requirements()).unwrap();
    assert_eq!(resolved.project.name, "harbor-shop");
    assert_eq!(
        names(&resolved),
        ["install", "candidate", "test", "check", "check-deploy", "drift", "inspect", "migrate-empty"]
    );
    assert_eq!(needs(&resolved, "candidate"), ["install"]);
    let (run, place, judge) = run(&resolved, "test");
    assert_eq!((run, place, judge), ("python manage.py test --noinput", RunPlace::Candidate, Judge::Pytest));
    assert_eq!(findings(&resolved), ["PY-FLOATING", "PY-UNFIXED"]);
    assert!(resolved.findings[0].title.starts_with("django floats: "), "{:?}", resolved.findings[0]);
    // No STATIC_ROOT: collectstatic could only fail.
    assert!(!resolved.project.artifact.collectstatic);
}

#[test]
fn a_project_with_everything_gets_everything() {
    let resolved = resolve(&config::File::default(), "harbor", ".", &everything()).unwrap();
    let mut said = String::new();
    for stage in &resolved.project.stages {
        let needs: Vec<&str> = stage.needs.iter().map(crate::domain::ids::StepId::as_str).collect();
        let work = match &stage.work {
            StageWork::Exec { run, place, judge } => format!("{place:?} {judge:?}: {run}"),
            work => format!("{work:?}"),
        };
        said.push_str(&format!(
            "{}/{} {} needs [{}] {:?}\n    {work}\n",
            stage.group,
            stage.name,
            stage.timeout,
            needs.join(", "),
            stage.services
        ));
    }
    said.push_str(&format!("\n{}\n\n{:#?}", resolved.detected.join("\n"), resolved.findings));
    insta::assert_snapshot!(said);
    assert!(resolved.project.artifact.collectstatic);
}

#[test]
fn a_step_of_ones_own_changes_only_what_it_writes() {
    let before = resolved("", &everything());
    let after =
        resolved("[[stage]]\nname = \"test\"\ntimeout = \"2m\"\nenv = { A = \"1\" }\n", &everything());
    let (old, new) = (stage(&before, "test"), stage(&after, "test"));
    assert_eq!(new.timeout, crate::domain::time::Millis::minutes(2));
    assert_eq!(
        (&new.work, &new.needs, &new.services, &new.group),
        (&old.work, &old.needs, &old.services, &old.group)
    );
    let run_only =
        resolved("[[stage]]\nname = \"test\"\nrun = \"pytest -x\"\nservices = []\n", &everything());
    assert_eq!(run(&run_only, "test"), ("pytest -x", RunPlace::Candidate, Judge::Pytest));
    assert_eq!(stage(&run_only, "test").services, Vec::<Service>::new());
}

#[test]
fn a_removed_step_hands_its_needs_on() {
    let text = "[[stage]]\nname = \"test\"\nenabled = false\n[[stage]]\nname = \"e2e\"\nrun = \"x\"\n\
                needs = [\"test\"]\n[[stage]]\nname = \"install\"\nenabled = false\n";
    let resolved = resolved(text, &plain_requirements());
    assert_eq!(needs(&resolved, "e2e"), ["candidate"]);
    assert_eq!(needs(&resolved, "candidate"), Vec::<&str>::new());
    assert!(!names(&resolved).contains(&"test") && !names(&resolved).contains(&"install"));
}

#[test]
fn a_group_is_replaced_or_removed_whole() {
    let replaced = resolved("[[stage]]\nname = \"lint\"\nrun = \"make lint\"\n", &everything());
    assert_eq!(names(&replaced)[..3], ["install", "lint", "bandit"]);
    assert_eq!(needs(&replaced, "lint"), ["install"]);
    assert_eq!(needs(&replaced, "candidate"), ["install", "lint", "bandit", "pip-audit", "secrets"]);
    assert_eq!(stage(&replaced, "lint").group, "lint");
    let removed = resolved("[[stage]]\nname = \"security\"\nenabled = false\n", &everything());
    assert_eq!(
        needs(&removed, "candidate"),
        ["install", "ruff", "ruff-format", "flake8", "black", "isort", "mypy"]
    );
    let none = resolved("[[stage]]\nname = \"lint\"\nrun = \"make lint\"\n", &plain_requirements());
    assert_eq!(needs(&none, "candidate"), ["install", "lint"]);
    let migrations = resolved("[[stage]]\nname = \"migrations\"\nrun = \"make m\"\n", &everything());
    assert_eq!(run(&migrations, "migrations").1, RunPlace::Candidate);
    assert_eq!(needs(&migrations, "migrations"), ["candidate"]);
}

#[test]
fn what_the_configuration_overrules_is_said_once() {
    let text = "[[stage]]\nname = \"pip-audit\"\nenabled = false\n\
                [[stage]]\nname = \"test\"\nrun = \"make test\"\n\
                [[stage]]\nname = \"check-deploy\"\nenabled = false\n\
                [[stage]]\nname = \"lint\"\nrun = \"make lint\"\n";
    let resolved = resolved(text, &everything());
    let said = |name: &str| -> Vec<&str> {
        let of =
            |line: &&str| line.split(": ").next().is_some_and(|head| head.split(", ").any(|one| one == name));
        resolved.detected.iter().map(String::as_str).filter(of).collect()
    };
    assert_eq!(said("pip-audit"), ["pip-audit: no step, towpath.toml removes it"]);
    assert_eq!(said("test"), ["test: make test (towpath.toml)"]);
    assert_eq!(said("ruff"), [""; 0]);
    assert_eq!(
        said("lint"),
        ["lint: make lint (towpath.toml, in the place of ruff, ruff-format, flake8, black, isort, mypy)"]
    );
    assert_eq!(said("check"), ["check, check-deploy: python manage.py check [--deploy]"]);
}

#[test]
fn stages_of_ones_own_find_their_place() {
    let text = "[[stage]]\nname = \"docs\"\nrun = \"make docs\"\n\
                [[stage]]\nname = \"e2e\"\nrun = \"pytest e2e\"\nin = \"candidate\"\nneeds = [\"lint\", \"test\"]\n\
                [[stage]]\nname = \"spelling\"\nrun = \"codespell\"\ngroup = \"lint\"\n\
                [[stage]]\nname = \"smoke\"\nrun = \"./smoke\"\nin = \"candidate\"\n";
    let resolved = resolved(text, &everything());
    assert_eq!(needs(&resolved, "docs"), ["install"]);
    assert_eq!(needs(&resolved, "smoke"), ["candidate"]);
    assert_eq!(needs(&resolved, "spelling"), ["install"]);
    assert!(needs(&resolved, "candidate").contains(&"spelling"));
    assert_eq!(
        needs(&resolved, "e2e"),
        ["ruff", "ruff-format", "flake8", "black", "isort", "mypy", "spelling", "test"]
    );
    assert_eq!(run(&resolved, "e2e").2, Judge::Pytest);
    let place = |name| names(&resolved).iter().position(|found| *found == name).unwrap();
    assert!(place("spelling") < place("candidate"));
}

#[test]
fn a_test_stage_without_detected_tests_is_the_test_step() {
    let mut tree = plain_requirements();
    tree.0.remove("shop/tests.py");
    assert!(findings(&resolved("", &tree)).contains(&"PY-NO-TESTS"));
    let resolved = resolved("[[stage]]\nname = \"test\"\nrun = \"make test\"\n", &tree);
    assert!(names(&resolved).contains(&"check"));
    assert_eq!(run(&resolved, "test"), ("make test", RunPlace::Candidate, Judge::ExitCode));
    assert_eq!(stage(&resolved, "test").group, "test");
}

#[test]
fn the_builds_environment_reaches_what_runs_in_the_candidate() {
    let text = "[artifact]\nenv = { SECRET_KEY = \"throw-away\", DATABASE_URL = \"sqlite://\" }\n\
                [[stage]]\nname = \"check\"\nenv = { SECRET_KEY = \"own\" }\n";
    let resolved = resolved(text, &everything());
    assert_eq!(stage(&resolved, "check").env["SECRET_KEY"], "own");
    assert_eq!(stage(&resolved, "drift").env["DATABASE_URL"], "sqlite://");
    // A database runs beside the tests: nothing leads past it.
    assert_eq!(stage(&resolved, "test").env.keys().collect::<Vec<_>>(), ["SECRET_KEY"]);
    assert!(stage(&resolved, "ruff").env.is_empty());
}

#[test]
fn what_only_shows_with_the_project_is_said_with_its_place() {
    let cases = [
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nneeds = [\"instal\"]\n",
            "4:10: the stage \"a\" needs \"instal\", which does not exist. Did you mean \"install\"?",
        ),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nneeds = [\"mypy\"]\n",
            "4:10: the stage \"a\" needs \"mypy\", which does not exist. The project does not use it",
        ),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nneeds = [\"b\"]\n[[stage]]\nname = \"b\"\nrun = \"x\"\nneeds = [\"a\"]\n",
            "4:10: stages need each other in a circle: a needs b needs a.",
        ),
        (
            "[[stage]]\nname = \"install\"\nneeds = [\"test\"]\n",
            "3:10: stages need each other in a circle: install needs test needs candidate needs install.",
        ),
        ("[[stage]]\nname = \"docs\"\ntimeout = \"1m\"\n", "2:8: the stage \"docs\" has no command."),
        (
            "[[stage]]\nname = \"mypy\"\ntimeout = \"1m\"\n",
            "2:8: this project has no step \"mypy\" that could be changed.",
        ),
        (
            "[[stage]]\nname = \"migrations\"\ntimeout = \"1m\"\n",
            "2:8: \"migrations\" is a group of steps; a stage of its name needs a command. Write run = \"…\" to replace the group, enabled = false to remove it, or a [[stage]] for one of its steps: drift, inspect, migrate-empty.",
        ),
        (
            "[[stage]]\nname = \"candidate\"\nrun = \"make\"\n",
            "3:7: the step \"candidate\" has work of its own",
        ),
        (
            "[[stage]]\nname = \"inspect\"\nin = \"source\"\n",
            "3:6: the step \"inspect\" has a place of its own",
        ),
        ("[[stage]]\nname = \"release\"\nrun = \"x\"\n", "2:8: \"release\" is what the pipeline ends in"),
        (
            "[[stage]]\nname = \"a\"\nrun = \"x\"\nin = \"candidate\"\nneeds = []\n",
            "2:8: the stage \"a\" runs in the candidate but does not need it.",
        ),
        ("[[stage]]\nname = \"candidate\"\nenabled = false\n", "runs in the candidate but does not need it."),
    ];
    for (text, expected) in cases {
        let said = refused(text, &plain_requirements());
        assert!(said.contains(expected), "{text}: {said}");
    }
    let nothing = Memory::default();
    assert!(refused("", &nothing).contains("there is nothing to do"));
    assert!(
        refused("[project]\nkind = \"django\"\n", &nothing)
            .contains("2:8: kind = \"django\", but there is no manage.py.")
    );
    assert!(
        refused("[[stage]]\nname = \"a\"\nrun = \"x\"\nin = \"candidate\"\n", &nothing)
            .contains("needs \"candidate\", which does not exist")
    );
}

#[test]
fn a_plain_project_has_only_its_own_stages() {
    let text = "[project]\nkind = \"plain\"\n[[stage]]\nname = \"lint\"\nrun = \"make lint\"\n\
                [[stage]]\nname = \"test\"\nrun = \"make test\"\nneeds = [\"lint\"]\n";
    let resolved = resolved(text, &everything());
    assert_eq!(names(&resolved), ["lint", "test"]);
    assert_eq!(needs(&resolved, "lint"), Vec::<&str>::new());
    assert_eq!(run(&resolved, "test").1, RunPlace::Source);
    assert_eq!(resolved.findings, []);
    assert!(!resolved.project.artifact.collectstatic);
}

#[test]
fn a_manage_py_in_a_subfolder_is_run_from_there() {
    let tree = Memory::from_iter([
        ("src/manage.py", MANAGE),
        ("src/deeper/example/manage.py", ""),
        ("node_modules/manage.py", ""),
        (
            "pyproject.toml",
            "[project]\nname='x'\ndependencies=['django', 'coverage']\n[tool.coverage.run]\nparallel=true\n",
        ),
        ("src/shop/tests.py", ""),
    ]);
    let resolved = resolved("[project]\nsettings = \"harbor.prod\"\n", &tree);
    assert_eq!(run(&resolved, "check").0, "cd src && python manage.py check --settings harbor.prod");
    assert_eq!(
        run(&resolved, "test").0,
        "cd src && coverage run --rcfile=../pyproject.toml manage.py test --noinput && \
         coverage combine --rcfile=../pyproject.toml && coverage report --rcfile=../pyproject.toml"
    );
}

#[test]
fn pytest_starts_where_it_finds_the_project() {
    let packages = "django==5\npytest-django==4\npytest-cov==7\n";
    let mut tree = Memory::from_iter([
        ("src/manage.py", MANAGE),
        ("src/shop/tests.py", ""),
        ("requirements.txt", packages),
        (".coveragerc", ""),
    ]);
    let command = |tree: &Memory| run(&resolved("", tree), "test").0.to_owned();
    assert_eq!(command(&tree), "cd src && pytest --cov --cov-config=../.coveragerc");
    tree.0.insert("pytest.ini".into(), b"[pytest]\naddopts = -q --cov=shop\n".to_vec());
    assert_eq!(command(&tree), "pytest");
}

#[test]
fn a_configured_tool_that_is_not_installed_is_a_finding() {
    let mut tree = plain_requirements();
    tree.0.insert(".flake8".into(), b"[flake8]\n".to_vec());
    tree.0.insert(
        ".pre-commit-config.yaml".into(),
        b"repos:\n- repo: x\n  hooks:\n  - id: ruff-check\n  - id: 'black' # x\n  # - id: mypy\n".to_vec(),
    );
    let resolved = resolved("", &tree);
    let missing: Vec<&str> =
        findings(&resolved).into_iter().filter(|id| id.starts_with("PY-TOOL-MISSING:")).collect();
    assert_eq!(missing, ["PY-TOOL-MISSING:ruff", "PY-TOOL-MISSING:flake8", "PY-TOOL-MISSING:black"]);
    assert!(!names(&resolved).contains(&"flake8"));
}

#[test]
fn tests_on_sqlite_beside_postgresql_are_a_finding() {
    let mut tree = plain_requirements();
    tree.0.insert("requirements.txt".into(), b"django==5.2\npsycopg2-binary==2.9.9\n".to_vec());
    assert!(findings(&resolved("", &tree)).contains(&"DB-TESTS-SQLITE"));
    let settings = b"from .base import *\n".to_vec();
    tree.0.insert("harbor/settings.py".into(), settings);
    tree.0.insert("harbor/base.py".into(), b"ENGINE = 'django.db.backends.postgresql'\n".to_vec());
    assert!(!findings(&resolved("", &tree)).contains(&"DB-TESTS-SQLITE"));
    assert_eq!(stage(&resolved("", &tree), "test").services, [Service::Postgres]);
}

#[test]
fn directory_names_become_valid_names() {
    let long = "a".repeat(39) + "-b";
    let cases = [
        ("harbor", "harbor"),
        ("Harbor_Shop.git", "harbor-shop"),
        ("--x--", "x"),
        ("…", "project"),
        ("", "project"),
        (&long, &"a".repeat(39)),
    ];
    for (directory, name) in cases {
        assert_eq!(name_from(directory), name);
    }
}

proptest! {
    /// Whatever stages are written: what comes out can be walked, with every need before what needs it.
    #[test]
    fn every_need_comes_first(tables in prop::collection::vec((
        prop::sample::select(vec!["test", "lint", "security", "migrations", "mypy", "install", "candidate", "drift", "inspect", "a", "b", "c"]),
        prop::option::of(Just("make")),
        prop::option::of(prop::collection::vec(prop::sample::select(vec!["test", "lint", "install", "candidate", "a", "b", "c", "mypy"]), 0..3)),
        prop::option::of(any::<bool>()),
        prop::option::of(prop::sample::select(vec!["source", "candidate"])),
        prop::option::of(prop::sample::select(vec!["lint", "test", "other"])),
    ), 0..6), full in any::<bool>()) {
        let mut text = String::new();
        let mut seen = std::collections::BTreeSet::new();
        for (name, run, needs, enabled, place, group) in tables {
            if !seen.insert(name) { continue; }
            text.push_str(&format!("[[stage]]\nname = \"{name}\"\n"));
            if let Some(run) = run { text.push_str(&format!("run = \"{run}\"\n")); }
            if let Some(mut needs) = needs { needs.retain(|need| *need != name); text.push_str(&format!("needs = {needs:?}\n")); }
            if let Some(enabled) = enabled { text.push_str(&format!("enabled = {enabled}\n")); }
            if let Some(place) = place { text.push_str(&format!("in = \"{place}\"\n")); }
            if let Some(group) = group { text.push_str(&format!("group = \"{group}\"\n")); }
        }
        let tree = if full { everything() } else { plain_requirements() };
        match resolve(&file(&text), "harbor", ".", &tree) {
            Err(mistakes) => prop_assert!(!mistakes.list.is_empty()),
            Ok(resolved) => {
                let mut done = std::collections::BTreeSet::new();
                for stage in &resolved.project.stages {
                    for need in &stage.needs {
                        prop_assert!(done.contains(need), "{} needs {need}\n{text}", stage.name);
                    }
                    prop_assert!(done.insert(stage.name.clone()), "two of {}\n{text}", stage.name);
                }
            }
        }
    }

    #[test]
    fn no_file_of_a_project_panics(files in prop::collection::btree_map(prop::sample::select(vec![
        "manage.py", "pyproject.toml", "requirements.txt", "requirements/dev.txt", "uv.lock", "poetry.lock",
        "Pipfile", "Pipfile.lock", "setup.cfg", "tox.ini", "mypy.ini", ".coveragerc", ".python-version",
        ".pre-commit-config.yaml", "pytest.ini", "harbor/settings.py", ".bandit",
    ]), prop::sample::select(vec![
        "", "[", "[[package]]\nname = 1\n", "[[package]]\nname='a'\ndependencies=[{name='a'}]\n", "{", "{\"default\": []}",
        "-r requirements.txt\n-r ../x\n-c -c\n-e .\n==\n[x]\n;\\\n", "DJANGO_SETTINGS_MODULE", "DJANGO_SETTINGS_MODULEé",
        "[tool]\npoetry = 1\n", "[project]\ndependencies = 1\nrequires-python = 3\n", "\u{feff}é\0", "from .... import *\nfrom . import *\n",
        "[tool.pytest]\nini_options = 3\n[tool.poetry]\ngroup = { a = 1 }\n",
    ]), 0..8)) {
        let tree = Memory::from_iter(files);
        let _ = resolve(&config::File::default(), "harbor", ".", &tree);
    }
}
