//! From a commit to a tested candidate, on Django 4.2 and 5.2.

use super::super::overlay;
use super::*;

async fn installed_and_built(world: &World, setting: &Setting) -> (Output, Output) {
    let installed = world.install(setting).await.unwrap();
    let built = world.build(setting, &installed).await.unwrap();
    (installed, built)
}

#[tokio::test]
async fn a_candidate_without_django_is_said_before_anything_runs_in_it() {
    let world = World::django("5.2");
    world.write("requirements.txt", "");
    let setting = world.setting(&world.commit());
    let installed = world.install(&setting).await.unwrap();
    let cause = world.build(&setting, &installed).await.unwrap_err();
    assert_eq!(cause.summary, "Django is not among the production dependencies");
    assert_eq!(cause.measured, "no package at all");
}

#[tokio::test]
async fn a_candidate_is_built_once_and_an_altered_one_never_used() {
    if !index_is_there("the candidate") {
        return;
    }
    let world = World::django("5.2");
    world.write("requirements.txt", "django==5.2.1\n");
    let setting = world.setting(&world.commit());
    let (installed, built) = installed_and_built(&world, &setting).await;
    let artifact = built.artifact.clone().unwrap();
    let home = Path::new(&artifact.location);
    assert!(built.facts.iter().any(|fact| fact.starts_with("collectstatic 1")), "{:?}", built.facts);
    assert!(home.join("app/staticfiles/admin/css/base.css").is_file());
    assert!(home.join("app/shop/__pycache__").is_dir());
    assert!(!home.join("venv/bin/pip").exists());
    assert_eq!(super::super::candidate::verify(home).unwrap(), artifact.id);

    let again = world.build(&setting, &installed).await.unwrap();
    assert!(again.facts.contains(&"cache hit".to_owned()));
    assert_eq!(again.artifact, built.artifact);

    // The same inputs elsewhere in time give the same bytes.
    let kept = world.dir.path().join("first");
    std::fs::rename(home, &kept).unwrap();
    let rebuilt = world.build(&setting, &installed).await.unwrap();
    let manifest = |home: &Path| std::fs::read_to_string(home.join("manifest")).unwrap();
    let (one, other) = (manifest(&kept), manifest(home));
    let differ: Vec<_> = one.lines().zip(other.lines()).filter(|(one, other)| one != other).take(5).collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert_eq!(rebuilt.artifact, built.artifact);

    let file = home.join("app/shop/urls.py");
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, "urlpatterns = []\n").unwrap();
    let altered = super::super::candidate::verify(home).unwrap_err();
    assert_eq!(altered.to_string(), "app/shop/urls.py was changed");
    let mended = world.build(&setting, &installed).await.unwrap();
    assert!(ids(&mended)[0].starts_with("ARTIFACT-ALTERED:"), "{:?}", mended.findings);
    assert_eq!(mended.artifact, built.artifact);
    assert!(home.with_extension("altered-1").is_dir());

    // Two builds of the same inputs at once: one builds, the other finds it built.
    std::fs::rename(home, world.dir.path().join("second")).unwrap();
    let build =
        Build { setting: setting.clone(), artifact: ArtifactSettings::default(), roles: BTreeMap::new() };
    let bench = |name| world.bench(name, Work::Build(build.clone()), &[("install", &installed)]);
    let (mut one, mut two) = (bench("one"), bench("two"));
    let (first, second) = tokio::join!(
        super::super::candidate::run(&mut one, &build),
        super::super::candidate::run(&mut two, &build)
    );
    let hits =
        [first.unwrap(), second.unwrap()].map(|done| done.output.facts.contains(&"cache hit".to_owned()));
    assert_eq!(hits.iter().filter(|hit| **hit).count(), 1);
}

#[tokio::test]
async fn static_files_only_where_the_settings_have_a_place_for_them() {
    if !index_is_there("collectstatic") {
        return;
    }
    let world = World::django("4.2");
    world.write("requirements.txt", "django==4.2.16\n");
    let settings = world.read("shop/settings.py");
    world.write("shop/settings.py", &settings.replace("STATIC_ROOT = BASE_DIR / 'staticfiles'", ""));
    let setting = world.setting(&world.commit());
    let (installed, built) = installed_and_built(&world, &setting).await;
    assert!(built.facts.contains(&"no STATIC_ROOT".to_owned()), "{:?}", built.facts);

    world.write("shop/settings.py", &settings.replace("BASE_DIR / 'staticfiles'", "'/var/www/none-such'"));
    let built = world.build(&world.setting(&world.commit()), &installed).await.unwrap();
    assert_eq!(ids(&built), ["STATIC-OUTSIDE"]);

    world.write(
        "shop/settings.py",
        &settings.replace(
            "DEBUG = True",
            "import os\nDEBUG = os.environ['SHOP_DEBUG']\nopen(BASE_DIR / 'log.txt', 'w')",
        ),
    );
    let commit = world.commit();
    let cause = world.build(&world.setting(&commit), &installed).await.unwrap_err();
    assert!(
        cause.summary.starts_with("Django does not start: KeyError: 'SHOP_DEBUG' ("),
        "{}",
        cause.summary
    );
    assert!(cause.summary.contains("shop/settings.py, line "), "{}", cause.summary);
    assert!(cause.cure.contains("[artifact] env"), "{}", cause.cure);
    let mut setting = world.setting(&commit);
    setting.env.insert("SHOP_DEBUG".into(), "1".into());
    let built = world.build(&setting, &installed).await.unwrap();
    assert_eq!(ids(&built), ["BUILD-STRAY:log.txt"]);
    assert!(!Path::new(&built.artifact.unwrap().location).join("app/log.txt").exists());
}

#[tokio::test]
async fn tests_run_in_the_candidate_with_development_packages_beside() {
    if !index_is_there("the overlay") {
        return;
    }
    let world = World::django("5.2");
    world.write("requirements.txt", "django==5.2.1\n");
    world.write("requirements-dev.txt", "-r requirements.txt\npytest==8.3.4\npytest-django==4.9.0\n");
    world.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\npython_files = test_*.py\n");
    world.write(
        "books/test_it.py",
        "import django, pytest, pathlib\nfrom books.models import Book\n\n\
         @pytest.mark.django_db\ndef test_where():\n    Book.objects.create(title='x')\n\
         \x20   assert '/artifacts/' in django.__file__\n    assert '/environments/' in pytest.__file__\n\
         \x20   assert '/artifacts/' not in __file__\n    pathlib.Path('made').write_text('x')\n",
    );
    let setting = world.setting(&world.commit());
    let (installed, built) = installed_and_built(&world, &setting).await;
    let mut bench = world.bench(
        "test",
        Work::Exec(exec(&setting, "pytest -q")),
        &[("install", &installed), ("candidate", &built)],
    );
    let mut over = overlay::prepare(&mut bench).await.unwrap();
    let findings = overlay::databases(&mut bench, &mut over).await.unwrap();
    assert_eq!((over.findings.as_slice(), findings.as_slice()), (&[][..], &[][..]));
    let line = crate::runtime::command::CommandLine::shell("pytest -q").cwd(&over.cwd).envs(over.env.clone());
    let ended = bench.run(line).await.unwrap();
    assert!(ended.success(), "{}", ended.tail.join("\n"));
    over.verify().await.unwrap();

    let path = Path::new(&built.artifact.as_ref().unwrap().location).join("app/made");
    std::fs::write(&path, "x").unwrap();
    let cause = over.verify().await.unwrap_err();
    assert_eq!(cause.summary, "this step wrote into the artifact: app/made was added");
    std::fs::remove_file(path).unwrap();

    // Production on another engine than the tests: said.
    world.write("shop/production.py", "from .settings import *\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'x'}}\n");
    let mut setting = world.setting(&world.commit());
    setting.settings = Some("shop.production".into());
    world.write("requirements.txt", "django==5.2.1\npsycopg[binary]==3.2.3\n");
    setting.commit = world.commit();
    let (installed, built) = installed_and_built(&world, &setting).await;
    let mut bench = world.bench(
        "test",
        Work::Exec(exec(&setting, "pytest -q")),
        &[("install", &installed), ("candidate", &built)],
    );
    let mut over = overlay::prepare(&mut bench).await.unwrap();
    let findings = overlay::databases(&mut bench, &mut over).await.unwrap();
    assert_eq!(findings.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(), ["DB-TESTS-SQLITE"]);
    assert!(findings[0].title.contains("SQLite and production runs on PostgreSQL"), "{}", findings[0].title);
}

#[tokio::test]
async fn a_project_on_postgresql_is_pointed_at_the_throw_away_server() {
    if !index_is_there("PostgreSQL beside a step") {
        return;
    }
    let world = World::django("5.2");
    world.write("requirements.txt", "django==5.2.1\npsycopg[binary]==3.2.3\n");
    world.write("requirements-dev.txt", "-r requirements.txt\npytest==8.3.4\npytest-django==4.9.0\n");
    world.write("pytest.ini", "[pytest]\nDJANGO_SETTINGS_MODULE = shop.settings\npython_files = test_*.py\n");
    world.write(
        "books/test_it.py",
        "import pytest\nfrom django.db import connection\nfrom books.models import Book\n\n\
         @pytest.mark.django_db\ndef test_where():\n    Book.objects.create(title='x')\n    assert connection.vendor == 'postgresql'\n",
    );
    let settings = world.read("shop/settings.py");
    let elsewhere = "\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop', 'USER': 'shop', \
                     'HOST': 'db.example', 'PORT': 5433, 'OPTIONS': {'sslmode': 'verify-full'}}}\n";
    world.write("shop/settings.py", &(settings + elsewhere));
    let mut setting = world.setting(&world.commit());
    setting.services = vec![crate::domain::project::Service::Postgres];
    let (installed, built) = installed_and_built(&world, &setting).await;

    let inputs = [("install", &installed), ("candidate", &built)];
    let mut bench = world.bench("test", Work::Exec(exec(&setting, "pytest -q")), &inputs);
    bench.serve(&setting.services).await.unwrap();
    let mut over = overlay::prepare(&mut bench).await.unwrap();
    let findings = overlay::databases(&mut bench, &mut over).await.unwrap();
    assert_eq!(findings, []);
    let line = crate::runtime::command::CommandLine::shell("pytest -q").cwd(&over.cwd).envs(over.env.clone());
    let ended = bench.run(line).await.unwrap();
    assert!(ended.success(), "{}", ended.tail.join("\n"));
    over.verify().await.unwrap();
    bench.services.stop(false).await.unwrap();

    let migrated = world.migrate(&setting, &installed, &built).await.unwrap();
    assert!(migrated.facts[0].ends_with("migrations applied to an empty PostgreSQL"), "{:?}", migrated.facts);
    world.write(
        "books/migrations/0002_sql.py",
        "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    dependencies = [('books', '0001_initial')]\n    operations = [migrations.RunSQL('ALTER TABLE nowhere ADD x int')]\n",
    );
    let setting = Setting { commit: world.commit(), ..setting };
    let built = world.build(&setting, &installed).await.unwrap();
    let cause = world.migrate(&setting, &installed, &built).await.unwrap_err();
    let wanted = "migration books.0002_sql failed: django.db.utils.ProgrammingError: relation \"nowhere\" does not exist";
    assert_eq!(cause.summary, wanted);
}

#[tokio::test]
async fn migrations_are_listed_applied_and_their_failures_named() {
    if !index_is_there("migrations") {
        return;
    }
    for version in ["4.2.16", "5.2.1"] {
        let world = World::django(version.rsplit_once('.').unwrap().0);
        world.write("requirements.txt", &format!("django=={version}\n"));
        // The database file is committed, and must not be the one that is migrated.
        world.write("db.sqlite3", "not a database");
        let setting = world.setting(&world.commit());
        let (installed, built) = installed_and_built(&world, &setting).await;
        let found = world.inspect(&setting, &installed, &built).await.unwrap();
        let book = found.migrations.iter().find(|migration| migration.name == "books.0001_initial").unwrap();
        assert!(book.leaf);
        let hash = super::super::manifest::content_hash(
            &world.repository().join("books/migrations/0001_initial.py"),
        );
        assert_eq!(book.hash, hash.unwrap());
        assert!(
            found.migrations.iter().any(|migration| migration.name == "auth.0001_initial" && !migration.leaf)
        );
        assert!(found.facts.contains(&"1 of the project's own".to_owned()), "{:?}", found.facts);
        let migrated = world.migrate(&setting, &installed, &built).await.unwrap();
        assert!(migrated.facts[0].ends_with("migrations applied to an empty SQLite"), "{:?}", migrated.facts);
        assert_eq!(migrated.facts[1], "application starts, GET / answers 200", "{:?}", migrated.findings);

        // Raises when applied.
        let raising = "from django.db import migrations\n\ndef go(apps, schema):\n    1 / 0\n\nclass Migration(migrations.Migration):\n    dependencies = [('books', '0001_initial')]\n    operations = [migrations.RunPython(go)]\n";
        world.write("books/migrations/0002_raises.py", raising);
        let setting = world.setting(&world.commit());
        let built = world.build(&setting, &installed).await.unwrap();
        let cause = world.migrate(&setting, &installed, &built).await.unwrap_err();
        assert_eq!(cause.summary, "migration books.0002_raises failed: ZeroDivisionError: division by zero");
        if version.starts_with("4.2") {
            // The rest reads files and Django's words, which are the same; each part costs a build.
            continue;
        }

        // Two leaves.
        world.write("books/migrations/0002_other.py", &raising.replace("1 / 0", "pass"));
        let setting = world.setting(&world.commit());
        let built = world.build(&setting, &installed).await.unwrap();
        let cause = world.inspect(&setting, &installed, &built).await.unwrap_err();
        assert_eq!(cause.summary, "books has 2 last migrations: 0002_other, 0002_raises");
        std::fs::remove_file(world.repository().join("books/migrations/0002_other.py")).unwrap();

        // Can't be imported.
        world.write("books/migrations/0002_raises.py", "import nowhere_to_be_found\n");
        let setting = world.setting(&world.commit());
        let built = world.build(&setting, &installed).await.unwrap();
        let cause = world.inspect(&setting, &installed, &built).await.unwrap_err();
        let wanted = "migration books.0002_raises can't be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'";
        assert_eq!(cause.summary, wanted);

        // The application doesn't start.
        std::fs::remove_file(world.repository().join("books/migrations/0002_raises.py")).unwrap();
        world.write("shop/wsgi.py", "raise RuntimeError('no licence')\n");
        let setting = world.setting(&world.commit());
        let built = world.build(&setting, &installed).await.unwrap();
        let cause = world.migrate(&setting, &installed, &built).await.unwrap_err();
        assert_eq!(
            cause.summary,
            "the application does not start: shop.wsgi.application: RuntimeError: no licence"
        );
    }
}
