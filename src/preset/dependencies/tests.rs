use super::*;
use crate::preset::tree::Memory;

fn detected(files: &[(&str, &str)]) -> Dependencies {
    detect(&files.iter().copied().collect::<Memory>())
}

fn set(names: &BTreeSet<String>) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[test]
fn names_are_compared_as_pep_503_says() {
    for name in ["Friendly-Bard", "friendly_bard", "FRIENDLY.--__bard", " friendly-bard "] {
        assert_eq!(normalise(name), "friendly-bard");
    }
}

#[test]
fn requirements_are_read_with_what_they_include() {
    let found = detected(&[
        ("requirements/production.txt", "-r base.txt\ngunicorn==23.0.0\n"),
        (
            "requirements/base.txt",
            "Django>=5\npsycopg[binary] ~= 3.2 ; python_version > '3'\n-c ../pins.txt\n",
        ),
        ("pins.txt", "django==5.2.1\n"),
        (
            "requirements/dev.txt",
            "-r production.txt\n--index-url x\nruff  # lint\n-e git+https://x/y@main#egg=My_Lib\n",
        ),
    ]);
    assert_eq!(
        found.manager,
        Manager::Requirements {
            production: vec!["requirements/production.txt".into()],
            development: vec!["requirements/dev.txt".into()],
            hashed: false
        }
    );
    assert_eq!(set(&found.production), ["django", "gunicorn", "psycopg"]);
    assert_eq!(set(&found.development), ["my-lib", "ruff"]);
    // A constraint pins what is named elsewhere.
    assert_eq!(found.floating, ["my-lib", "psycopg", "ruff"]);
    assert_eq!(found.direct["django"], "requirements/base.txt");
    assert_eq!(found.mistakes, Vec::<String>::new());
}

#[test]
fn what_is_pinned_and_hashed_is_told_apart() {
    let hashed =
        "django==5.2.1 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nasgiref==3.8 --hash=sha256:cc\n";
    assert!(matches!(
        detected(&[("requirements.txt", hashed)]).manager,
        Manager::Requirements { hashed: true, .. }
    ));
    let cases = [
        ("a==1.0", true),
        ("a===1.0", true),
        ("a == 1.0 ; python_version < '4'", true),
        ("a[b,c]==1.0", true),
        ("a", false),
        ("a>=1,<2", false),
        ("a==1.*", false),
        ("a==1,!=2", false),
        ("a @ git+https://x/y@0123456789012345678901234567890123456789", true),
        ("a @ git+https://x/y@main", false),
        ("a @ https://x/a.whl#sha256=abc", true),
    ];
    for (line, pinned) in cases {
        let found = detected(&[("requirements.txt", line)]);
        assert_eq!(found.floating.is_empty(), pinned, "{line}");
        assert!(found.has("a"), "{line}");
    }
}

#[test]
fn includes_that_loop_or_lead_outside_end() {
    let found = detected(&[
        (
            "requirements.txt",
            "-r requirements.txt\n-r a.txt\n-r ../../etc/passwd\n-r /etc/passwd\n-r none.txt\ndjango==1\n",
        ),
        ("a.txt", "-r b.txt\n"),
        ("b.txt", "-r a.txt\nx==1\n"),
    ]);
    assert_eq!(set(&found.production), ["django", "x"]);
    assert_eq!(found.mistakes.len(), 3, "{:?}", found.mistakes);
    let deep: Vec<(String, String)> =
        (0..30).map(|n| (format!("r{n}.txt"), format!("-r r{}.txt\n", n + 1))).collect();
    let mut files: Vec<(&str, &str)> = deep.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    files.push(("requirements.txt", "-r r0.txt"));
    assert_eq!(detected(&files).mistakes.len(), 1);
}

#[test]
fn the_wanted_python_is_the_most_exact_word() {
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (
            &[
                (".python-version", "# pyenv\n3.12.4\n"),
                ("pyproject.toml", "[project]\nrequires-python='>=3.10'"),
            ],
            Some("3.12.4"),
        ),
        (&[("pyproject.toml", "[project]\nrequires-python='>=3.10,<4'")], Some("3.10")),
        (&[("pyproject.toml", "[project]\nrequires-python='<4,>=3.11.2'")], Some("3.11.2")),
        (&[("pyproject.toml", "[project]\nrequires-python='==3.12.*'")], Some("3.12")),
        (&[("pyproject.toml", "[project]\nrequires-python='<4'")], None),
        (&[("pyproject.toml", "[tool.poetry.dependencies]\npython='^3.11'")], Some("3.11")),
        (&[("pyproject.toml", "[tool.poetry.dependencies]\npython='~3.11 || ^3.13'")], Some("3.11")),
        (&[("Pipfile", "[requires]\npython_version='3.9'")], Some("3.9")),
        (&[(".python-version", "pypy3.10\n")], None),
        (&[], None),
    ];
    for (files, expected) in cases {
        assert_eq!(detected(files).python.as_deref(), *expected, "{files:?}");
    }
}

#[test]
fn pyproject_alone_floats() {
    let found = detected(&[(
        "pyproject.toml",
        "[project]\nname='x'\ndependencies=['Django>=5', 'gunicorn==23']\n[project.optional-dependencies]\n\
         test=['pytest']\n[dependency-groups]\ndev=['ruff==1', {include-group='x'}]\n",
    )]);
    assert_eq!(found.manager, Manager::Pyproject);
    assert_eq!(set(&found.production), ["django", "gunicorn"]);
    assert_eq!(set(&found.development), ["pytest", "ruff"]);
    assert_eq!(found.floating, ["django", "pytest"]);
}

#[test]
fn a_pyproject_of_tools_only_is_no_dependency_file() {
    assert_eq!(detected(&[("pyproject.toml", "[tool.ruff]\nline-length=99")]).manager, Manager::None);
}

#[test]
fn broken_files_are_named() {
    let found = detected(&[("uv.lock", "[[package"), ("pyproject.toml", "[")]);
    assert_eq!(found.manager, Manager::Uv);
    assert_eq!(found.mistakes.len(), 2);
    assert!(found.mistakes[1].starts_with("uv.lock is not TOML: "), "{:?}", found.mistakes);
}

// What uv, Poetry, Pipenv and pip-compile really wrote, without files, hashes and hosts.

#[test]
fn uv_locks_are_read() {
    let found = detected(&[
        ("uv.lock", include_str!("fixtures/uv.lock")),
        ("pyproject.toml", include_str!("fixtures/uv.pyproject.toml")),
    ]);
    assert_eq!(found.manager, Manager::Uv);
    // tzdata and colorama come with markers for Windows; the lock has them nevertheless.
    for name in ["django", "asgiref", "sqlparse", "psycopg2-binary"] {
        assert!(found.production.contains(name), "{name}: {found:?}");
    }
    for name in ["ruff", "pytest-django", "pytest", "pylint", "isort"] {
        assert!(found.development.contains(name) && !found.production.contains(name), "{name}: {found:?}");
    }
    let direct: Vec<&str> = found.direct.keys().map(String::as_str).collect();
    assert_eq!(direct, ["django", "psycopg2-binary", "pylint", "pytest-django", "ruff"]);
    assert_eq!((found.floating.len(), found.python.as_deref()), (0, Some("3.11")));
}

#[test]
fn poetry_locks_are_read() {
    let found = detected(&[
        ("poetry.lock", include_str!("fixtures/poetry.lock")),
        ("pyproject.toml", include_str!("fixtures/poetry.pyproject.toml")),
    ]);
    assert_eq!(found.manager, Manager::Poetry);
    for name in ["django", "asgiref", "gunicorn"] {
        assert!(found.production.contains(name), "{name}: {found:?}");
    }
    assert!(found.development.contains("astroid") && !found.production.contains("astroid"));
    let direct: Vec<&str> = found.direct.keys().map(String::as_str).collect();
    assert_eq!(direct, ["django", "gunicorn", "pylint"]);
    assert_eq!((found.floating.len(), found.python.as_deref()), (0, Some("3.11")));
}

/// Locks of older Poetry say less: the groups follow from what the project asks for, or from the category.
#[test]
fn older_poetry_locks_are_read() {
    let asked =
        "[tool.poetry.dependencies]\npython='^3.9'\nDjango='*'\n[tool.poetry.dev-dependencies]\npytest='*'\n";
    let bare = "[[package]]\nname='django'\n[package.dependencies]\nasgiref='*'\n[[package]]\nname='asgiref'\n\
                [[package]]\nname='pytest'\n[package.dependencies]\npluggy='*'\n[[package]]\nname='pluggy'\n";
    let found = detected(&[("poetry.lock", bare), ("pyproject.toml", asked)]);
    assert_eq!(set(&found.production), ["asgiref", "django"]);
    assert_eq!(set(&found.development), ["pluggy", "pytest"]);
    let category = "[[package]]\nname='django'\ncategory='main'\n[[package]]\nname='x'\ncategory='dev'\n";
    let found = detected(&[("poetry.lock", category), ("pyproject.toml", asked)]);
    assert!(found.production.contains("django") && found.development.contains("x"));
}

#[test]
fn pipenv_locks_are_read() {
    let found = detected(&[
        ("Pipfile.lock", include_str!("fixtures/Pipfile.lock")),
        ("Pipfile", include_str!("fixtures/Pipfile")),
    ]);
    assert_eq!(found.manager, Manager::Pipenv);
    assert_eq!(set(&found.production), ["asgiref", "django", "sqlparse"]);
    assert!(found.development.contains("click"));
    let direct: Vec<&str> = found.direct.keys().map(String::as_str).collect();
    assert_eq!(direct, ["black", "django"]);
    assert_eq!(found.python.as_deref(), Some("3.11"));
}

#[test]
fn compiled_requirements_are_read() {
    let both = [
        ("requirements.txt", include_str!("fixtures/requirements.txt")),
        ("requirements-dev.txt", include_str!("fixtures/requirements-dev.txt")),
    ];
    let sources = [
        ("requirements.in", include_str!("fixtures/requirements.in")),
        ("requirements-dev.in", include_str!("fixtures/requirements-dev.in")),
    ];
    // What is direct is told by the sources where they are there, else by pip-compile's own comments.
    for files in [both.to_vec(), [both, sources].concat()] {
        let found = detected(&files);
        assert!(matches!(found.manager, Manager::Requirements { hashed: true, .. }), "{:?}", found.manager);
        let direct: Vec<&str> = found.direct.keys().map(String::as_str).collect();
        assert_eq!(direct, ["django", "pylint", "pymysql", "pytest"]);
        // isort came along with pylint: no sign that the project sorts its imports with it.
        assert!(found.has("isort") && found.has("cryptography"));
        assert_eq!(found.floating, Vec::<String>::new());
    }
}
