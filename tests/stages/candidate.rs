//! Tests in a candidate.

use towpath::domain::plan::Verdict;
use towpath::domain::project::{Place, Ready};

use crate::case::Case;
use crate::engines;

const TEST: &str = "\
import os, six, pytest, pg8000.dbapi
def test_it():
    assert six.__version__ == '1.16.0' and os.getcwd() == '/app'
    assert os.getuid() == 33
    with pg8000.dbapi.connect('app', host='beside', password='pw', database='shop') as connection:
        cursor = connection.cursor()
        cursor.execute('select 6 * 7')
        assert cursor.fetchone() == [42] or cursor.fetchone() == (42,)
";

/// What the image has of it by hand: one module as a distribution.
const SIX: &str = "__version__ = '1.16.0'\n";

#[test]
fn pytest_runs_in_the_candidate_with_development_packages_on_top_and_postgres_beside() {
    let Some(url) = engines::docker() else { return };
    let Some(postgres) = engines::postgres_image(&url) else { return };
    let tree = [
        ("requirements.txt", "six==1.16.0\n"),
        ("requirements-dev.txt", "-r requirements.txt\npytest==8.3.4\npg8000==1.31.2\n"),
        ("test_it.py", TEST),
    ];
    let line = "pytest -q -p no:cacheprovider";
    let Some(case) = Case::new(&tree, line, Place::Candidate) else { return };
    let image = [("test_it.py", TEST), ("six.py", SIX)];
    let Some(case) = case.with_candidate(&image, "www-data") else { return };
    let env = [("POSTGRES_USER", "app"), ("POSTGRES_PASSWORD", "pw"), ("POSTGRES_DB", "shop")];
    let ready = Ready::Postgres("postgres://app:pw@beside:5432/shop".into());
    let case = case.with(postgres, None, &env, ready);
    let report = case.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{:?}\n{}", report.verdict, case.log());
    assert!(case.log().contains("1 passed"), "{}", case.log());
    assert!(case.log().contains("beside is ready"), "{}", case.log());
    assert_eq!(case.left(), Vec::<String>::new());

    // The second time the layer is there.
    let mut again = case;
    again.dir = again.dir.with_file_name("2");
    again.spec.key.attempt = 2;
    let report = again.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{}", again.log());
    assert!(again.log().contains("is there already"), "{}", again.log());
}

#[test]
fn an_image_that_has_all_packages_gets_no_layer() {
    let tree = [("requirements.txt", "pip\n"), ("requirements-dev.txt", "setuptools\n")];
    let Some(case) = Case::new(&tree, "python3 -c 'import pip'", Place::Candidate) else { return };
    let Some(case) = case.with_candidate(&[], "root") else { return };
    let report = case.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{}", case.log());
    assert!(case.log().contains("no layer is needed"), "{}", case.log());
    assert!(!case.log().contains("the entry point ran"), "{}", case.log());
}
