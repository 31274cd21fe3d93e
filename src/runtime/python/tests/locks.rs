//! Each kind of lock, installed by its own tool, whole and broken.

use super::*;

/// Nothing half made is left marked complete.
fn no_environment_is_complete(world: &World) {
    let environments = world.cache().join("environments");
    for entry in std::fs::read_dir(environments).into_iter().flatten().flatten() {
        assert!(!entry.path().join("complete.json").exists(), "{}", entry.path().display());
    }
}

#[tokio::test]
async fn plain_requirements_are_installed_once_and_named_as_floating() {
    if !index_is_there("plain requirements") {
        return;
    }
    let world = World::django("5.2");
    world.write("requirements.txt", "asgiref==3.8.1\n");
    world.write("requirements-dev.txt", "-r requirements.txt\nsqlparse\n");
    let setting = world.setting(&world.commit());
    let first = world.install(&setting).await.unwrap();
    assert!(first.facts.contains(&"floating 1".to_owned()), "{:?}", first.facts);
    assert!(first.facts.contains(&"2 packages".to_owned()), "{:?}", first.facts);
    assert_eq!(ids(&first), ["PY-FLOATING"]);
    let freeze = std::fs::read_to_string(&first.values["freeze"]).unwrap();
    assert!(freeze.starts_with("asgiref==3.8.1\nsqlparse=="), "{freeze}");

    let again = world.install(&setting).await.unwrap();
    assert!(again.facts.contains(&"cache hit".to_owned()), "{:?}", again.facts);
    assert_eq!(again.values, first.values);

    // Its interpreter goes: the cached environment is noticed to be broken and made again.
    std::fs::remove_file(&first.values["python"]).unwrap();
    let rebuilt = world.install(&setting).await.unwrap();
    assert!(!rebuilt.facts.contains(&"cache hit".to_owned()), "{:?}", rebuilt.facts);
    sh(Path::new("/"), &format!("{} -c 'import asgiref, sqlparse'", rebuilt.values["python"]));

    // A package was added by hand: what is cached is no longer what was installed.
    let site = super::super::environment::site_packages(Path::new(&first.values["venv"])).unwrap();
    std::fs::create_dir(site.join("x-1.dist-info")).unwrap();
    std::fs::write(site.join("x-1.dist-info/METADATA"), "Name: x\nVersion: 1\n\nbody\n").unwrap();
    let rebuilt = world.install(&setting).await.unwrap();
    assert!(!rebuilt.facts.contains(&"cache hit".to_owned()), "{:?}", rebuilt.facts);

    world.write("requirements.txt", "asgiref==99.9\n");
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert_eq!(cause.summary, "pip: No matching distribution found for asgiref==99.9");
    assert!(cause.cure.contains("The index has no such version"), "{}", cause.cure);

    let zeros = "0".repeat(64);
    std::fs::remove_dir_all(world.cache().join("environments")).unwrap();
    world.write("requirements.txt", &format!("asgiref==3.8.1 --hash=sha256:{zeros}\n"));
    world.write("requirements-dev.txt", "");
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert_eq!(cause.summary, "pip: asgiref==3.8.1 does not match its locked hash");
    no_environment_is_complete(&world);
}

#[tokio::test]
async fn a_project_without_dependencies_gets_an_empty_environment() {
    let world = World { dir: tempfile::tempdir().unwrap() };
    std::fs::create_dir_all(world.repository()).unwrap();
    sh(&world.repository(), "git init -q -b main .");
    world.write("README", "x");
    let installed = world.install(&world.setting(&world.commit())).await.unwrap();
    assert_eq!(installed.facts[1..], ["no dependencies", "0 packages"]);
    assert_eq!(std::fs::read_to_string(&installed.values["freeze"]).unwrap(), "");
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_a_cause_that_names_those_that_are() {
    let world = World { dir: tempfile::tempdir().unwrap() };
    std::fs::create_dir_all(world.repository()).unwrap();
    sh(&world.repository(), "git init -q -b main .");
    let setting = Setting { python: Some("3.99".into()), ..world.setting(&world.commit()) };
    let cause = world.install(&setting).await.unwrap_err();
    assert_eq!(cause.summary, "Python 3.99 is not on this machine");
    assert!(cause.measured.starts_with("these run here: 3."), "{}", cause.measured);
}

#[tokio::test]
async fn a_poetry_lock_is_installed_and_a_stale_one_refused() {
    if !index_is_there("Poetry") {
        return;
    }
    let world = World::django("5.2");
    let poetry = tool("poetry", "poetry").join("poetry");
    // As a simple index, which a mirror has where it has no more than that.
    let ask = "python3 -c 'from pip._internal.models.index import PyPI; print(PyPI.simple_url)'";
    let index = sh(Path::new("/"), ask).trim().to_owned();
    let pyproject = |django: &str| {
        format!(
            "[tool.poetry]\nname = 'shop'\nversion = '0.1.0'\ndescription = ''\nauthors = []\npackage-mode = false\n\
             [tool.poetry.dependencies]\npython = '>=3.11,<4'\ndjango = '{django}'\n\
             [tool.poetry.group.dev.dependencies]\npytest = '8.3.4'\n\
             [[tool.poetry.source]]\nname = 'index'\nurl = '{index}'\npriority = 'primary'\n\
             [build-system]\nrequires = ['poetry-core']\nbuild-backend = 'poetry.core.masonry.api'\n"
        )
    };
    world.write("pyproject.toml", &pyproject("5.2.1"));
    sh(
        &world.repository(),
        &format!("POETRY_VIRTUALENVS_CREATE=false {} lock --no-interaction", poetry.display()),
    );
    let setting = world.setting(&world.commit());
    let installed = world.install(&setting).await.unwrap();
    assert!(installed.facts.contains(&"locked".to_owned()), "{:?}", installed.facts);
    let freeze = std::fs::read_to_string(&installed.values["freeze"]).unwrap();
    assert!(freeze.contains("django==5.2.1\n") && freeze.contains("pytest==8.3.4\n"), "{freeze}");

    let built = world.build(&setting, &installed).await.unwrap();
    let venv = Path::new(&built.artifact.as_ref().unwrap().location).join("venv");
    let production = super::super::environment::freeze(&venv).unwrap();
    assert_eq!(production.keys().collect::<Vec<_>>(), ["asgiref", "django", "sqlparse"]);

    world.write("pyproject.toml", &pyproject("5.2.2"));
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert_eq!(cause.summary, "poetry.lock is stale: pyproject.toml has changed since it was locked");
    assert_eq!(cause.cure, "Run `poetry lock` and commit poetry.lock.");

    world.write("pyproject.toml", &pyproject("5.2.1"));
    let excluded =
        world.read("poetry.lock").replace("python-versions = \">=3.11,<4\"", "python-versions = \">=3.99\"");
    world.write("poetry.lock", &excluded);
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert!(cause.summary.starts_with("poetry.lock is for Python >=3.99, not for 3."), "{}", cause.summary);
}

#[tokio::test]
async fn a_uv_lock_is_installed_and_a_stale_one_refused() {
    if !index_is_there("uv") {
        return;
    }
    let world = World::django("5.2");
    let uv = tool("uv", "uv").join("uv");
    let pyproject = |asgiref: &str| {
        format!(
            "[project]\nname = 'shop'\nversion = '0.1'\nrequires-python = '>=3.11'\ndependencies = ['django==5.2.1', 'asgiref=={asgiref}']\n\
             [dependency-groups]\ndev = ['ruff==0.8.4']\ntest = ['iniconfig==2.0.0']\n"
        )
    };
    world.write("pyproject.toml", &pyproject("3.8.1"));
    sh(&world.repository(), &format!("{} lock -q", uv.display()));
    let setting = world.setting(&world.commit());
    let installed = world.install(&setting).await.unwrap();
    let freeze = std::fs::read_to_string(&installed.values["freeze"]).unwrap();
    assert_eq!(
        freeze,
        "asgiref==3.8.1\ndjango==5.2.1\niniconfig==2.0.0\nruff==0.8.4\nsqlparse==0.5.3\n"
            .replace("sqlparse==0.5.3", freeze.lines().last().unwrap())
    );
    let built = world.build(&setting, &installed).await.unwrap();
    let venv = Path::new(&built.artifact.as_ref().unwrap().location).join("venv");
    let production = super::super::environment::freeze(&venv).unwrap();
    assert_eq!(production.keys().collect::<Vec<_>>(), ["asgiref", "django", "sqlparse"]);

    world.write("pyproject.toml", &pyproject("3.8.0"));
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert_eq!(cause.summary, "uv.lock is stale: pyproject.toml has changed since it was locked");

    world.write("pyproject.toml", &pyproject("3.8.1").replace(">=3.11", ">=3.99"));
    world.write(
        "uv.lock",
        &world.read("uv.lock").replace("requires-python = \">=3.11\"", "requires-python = \">=3.99\""),
    );
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert!(cause.cure.contains("Set `python` under [project]"), "{cause:?}");
}

#[tokio::test]
async fn a_pipfile_lock_is_installed_with_its_hashes() {
    if !index_is_there("Pipfile.lock") {
        return;
    }
    // As pipenv 2024 wrote it; its sha256 is of the Pipfile below.
    let world = World::django("5.2");
    world.write("Pipfile", super::super::pipfile::tests::PIPFILE);
    world.write("Pipfile.lock", super::super::pipfile::tests::LOCK);
    let installed = world.install(&world.setting(&world.commit())).await.unwrap();
    let freeze = std::fs::read_to_string(&installed.values["freeze"]).unwrap();
    assert_eq!(freeze, "asgiref==3.8.1\nsqlparse==0.5.1\n");
    world.write("Pipfile", &super::super::pipfile::tests::PIPFILE.replace("==3.8.1", "==3.8.0"));
    let cause = world.install(&world.setting(&world.commit())).await.unwrap_err();
    assert_eq!(cause.summary, "Pipfile.lock is stale: Pipfile has changed since it was locked");
}
