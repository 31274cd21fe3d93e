//! Services that do not do as they should.

use towpath::domain::plan::Verdict;
use towpath::domain::project::{Place, Ready, Service};

use crate::case::{Case, cause};
use crate::engines;

fn case(line: &str, command: &str, ready: Ready) -> Option<Case> {
    let url = engines::docker()?;
    let image = engines::python_image(&url)?;
    let case = Case::new(&[("README", "x\n")], line, Place::Image(image.clone()))?;
    Some(case.with(image, Some(command), &[], ready))
}

#[test]
fn a_service_is_reached_by_its_name_once_it_listens() {
    let line = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://beside:8123/\").status)'";
    let server = "sleep 1; exec python3 -m http.server 8123";
    let Some(case) = case(line, server, Ready::Tcp(8123)) else { return };
    let report = case.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{:?}\n{}", report.verdict, case.log());
    assert!(case.log().contains("200"), "{}", case.log());
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn a_service_that_ends_fails_the_step_with_its_last_words() {
    let Some(case) = case("true", "echo no such luck >&2; exit 4", Ready::Tcp(8123)) else { return };
    let cause = cause(&case, case.carried_out());
    assert!(cause.summary.contains("beside ended"), "{cause:?}");
    assert!(cause.measured.contains("exit code 4"), "{cause:?}");
    assert!(cause.last_lines.iter().any(|line| line.contains("no such luck")), "{cause:?}");
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn a_service_that_listens_where_nobody_reaches_it_is_never_ready_and_says_so() {
    let server = "echo up; exec python3 -m http.server 8123 --bind 127.0.0.1";
    let Some(mut case) = case("true", server, Ready::Tcp(8123)) else { return };
    case.spec.env.insert("TOWPATH_SERVICE_SECONDS".into(), "3".into());
    let cause = cause(&case, case.carried_out());
    assert!(cause.summary.contains("was not ready"), "{cause:?}");
    assert!(cause.measured.contains("127.0.0.1 alone"), "{cause:?}");
    assert_eq!(case.left(), Vec::<String>::new());
}

#[test]
fn a_command_inside_of_the_service_says_that_it_is_ready() {
    let Some(case) =
        case("true", "sleep 1; touch /ready; sleep 1000", Ready::Command("test -e /ready".into()))
    else {
        return;
    };
    let report = case.carried_out();
    assert_eq!(report.verdict, Verdict::Passed, "{:?}\n{}", report.verdict, case.log());
}

#[test]
fn the_machines_own_postgres_is_refused_beside_a_container() {
    let Some(case) = case("true", "sleep 1000", Ready::Image) else { return };
    let case = case.setting(|setting| setting.services = vec![Service::Postgres]);
    let cause = cause(&case, case.carried_out());
    assert!(cause.cure.contains("[service.postgres]"), "{cause:?}");
}
