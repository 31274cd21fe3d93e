//! A Django project through real workers: installed, built, tested in the candidate beside a real PostgreSQL.
//!
//! Needs a package index, as every installation does.

use towpath::domain::ids::{AttemptKey, CommitId};
use towpath::domain::plan::{Build, Exec, Output, Verdict, Work};
use towpath::domain::project::{ArtifactSettings, Judge, Place, ProjectKind, Service};
use towpath::domain::time::Millis;
use towpath::runtime::attempt::{attend, prepare};

use crate::stage::{Stage, block_on, commit_all, program};

const MANAGE: &str = r#"
import os, sys
from django.core.management import execute_from_command_line
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
execute_from_command_line(sys.argv)
"#;

const SETTINGS: &str = r#"
import os
SECRET_KEY = os.environ["SECRET_KEY"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql", "NAME": "shop", "HOST": "database.example", "USER": "shop",
}}
USE_TZ = True
"#;

const TESTS: &str = r#"
from django.db import connection
from django.contrib.auth.models import User
from django.test import TestCase
class Users(TestCase):
    def test_on_postgresql(self):
        self.assertEqual(connection.vendor, "postgresql")
        User.objects.create(username="one")
        self.assertEqual(User.objects.count(), 1)
"#;

/// Carries one step out and gives its output; its log is said when it does not pass.
fn step(stage: &mut Stage, id: &str, work: Work) -> Output {
    stage.spec.step.id = id.into();
    stage.spec.step.work = work;
    stage.spec.step.timeout = Millis::minutes(10);
    stage.spec.key = AttemptKey { step: id.into(), ..stage.spec.key.clone() };
    stage.dir = stage.base.join("runs/1").join(id).join("1");
    prepare(&stage.dir, &stage.spec).unwrap();
    let report = block_on(attend(&stage.dir, program(), &crate::stage::NONE)).unwrap();
    assert_eq!(report.verdict, Verdict::Passed, "{id}: {:#?}", stage.log());
    stage.spec.inputs.insert(id.into(), report.output.clone());
    report.output
}

#[test]
fn a_project_is_installed_built_and_tested_in_its_candidate_beside_postgresql() {
    let mut stage = Stage::new("");
    let repository = stage.base.join("repository");
    std::fs::create_dir_all(repository.join("shop")).unwrap();
    for (name, text) in [
        ("manage.py", MANAGE),
        ("requirements.txt", "Django==5.2.1\npsycopg[binary]==3.2.9\n"),
        ("shop/__init__.py", ""),
        ("shop/settings.py", SETTINGS),
        ("shop/tests.py", TESTS),
    ] {
        std::fs::write(repository.join(name), text).unwrap();
    }
    let commit: CommitId = commit_all(&repository, "A shop");
    stage.spec.commit.id = commit.clone();
    let Work::Exec(Exec { mut setting, .. }) = stage.spec.step.work.clone() else { unreachable!() };
    setting.kind = ProjectKind::Django;
    setting.commit = commit;

    step(&mut stage, "install", Work::Install(setting.clone()));
    let build = Build {
        setting: setting.clone(),
        artifact: ArtifactSettings::default(),
        roles: std::collections::BTreeMap::new(),
    };
    let built = step(&mut stage, "candidate", Work::Build(build));
    assert!(built.artifact.is_some());

    setting.services = vec![Service::Postgres];
    let run = "python manage.py test --noinput".to_owned();
    let test = Exec { setting, run, place: Place::Candidate, judge: Judge::ExitCode };
    let tested = step(&mut stage, "test", Work::Exec(test.clone()));
    assert!(tested.facts.iter().any(|fact| fact.starts_with("PostgreSQL ")), "{:?}", tested.facts);
    assert!(stage.said("Ran 1 test"));

    // Once more, by itself: the whole plan on an empty database.
    step(&mut stage, "migrate", Work::MigrateEmpty(Exec { run: String::new(), ..test }));
}
