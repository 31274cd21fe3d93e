use std::io::Write as _;

use super::*;

fn line(status: u16, seconds: &str, deployment: &str, first: &str, upstream: &str) -> String {
    format!(
        "{{\"time\":\"1767225600.123\",\"status\":\"{status}\",\"seconds\":\"{seconds}\",\"bytes\":\"512\",\"deployment\":\"{deployment}\",\"first\":\"{first}\",\"upstream_status\":\"{upstream}\"}}\n"
    )
}

fn ok(deployment: &str) -> String {
    line(200, "0.010", deployment, deployment, "200")
}

fn add(path: &Path, text: &str) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn requests(tail: &mut Tail, deployment: u64) -> u64 {
    tail.poll().unwrap().get(&DeploymentId(deployment)).map_or(0, |traffic| traffic.requests)
}

#[test]
fn only_what_comes_after_the_beginning_counts_per_deployment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    add(&path, &ok("d1").repeat(5));
    let mut tail = Tail::at_end(&path).unwrap();
    assert!(tail.poll().unwrap().is_empty());
    for millis in 1..=100 {
        add(&path, &line(200, &format!("0.{millis:03}"), "d1", "d1", "200"));
    }
    add(&path, &line(502, "0.001", "d2", "d2", "502"));
    add(&path, &line(499, "3.000", "d2", "d2", "-"));
    add(&path, &line(200, "0.001", "", "", ""));
    let counted = tail.poll().unwrap();
    let one = counted[&DeploymentId(1)];
    assert_eq!((one.requests, one.failed), (100, 0));
    assert_eq!((one.median, one.p95), (Some(Millis(50)), Some(Millis(95))));
    let two = counted[&DeploymentId(2)];
    assert_eq!((two.requests, two.failed), (2, 1));
    assert!(two.p95.unwrap() >= Millis(2_970), "{two:?}");
    assert_eq!((counted.len(), tail.skipped()), (2, 0));
}

#[test]
fn a_request_that_was_passed_on_is_a_failure_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let mut tail = Tail::at_end(&path).unwrap();
    add(&path, &line(200, "0.010", "d1", "d2", "502, 200"));
    add(&path, &line(200, "0.010", "d1", "d1", "502, 200"));
    let counted = tail.poll().unwrap();
    let (one, two) = (counted[&DeploymentId(1)], counted[&DeploymentId(2)]);
    assert_eq!((one.requests, one.failed, two.requests, two.failed), (3, 1, 1, 1));
    assert_eq!(two.median, None);
}

#[test]
fn rotation_and_truncation_lose_nothing_and_count_nothing_twice() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let mut tail = Tail::at_end(&path).unwrap();
    assert_eq!(requests(&mut tail, 1), 0);
    let half = ok("d1");
    let (begin, end) = half.split_at(20);
    add(&path, &ok("d1"));
    add(&path, begin);
    assert_eq!(requests(&mut tail, 1), 1);
    // A line that was cut by the reading, in a file that is renamed while its writer goes on.
    fs::rename(&path, &old).unwrap();
    add(&old, end);
    assert_eq!(requests(&mut tail, 1), 2);
    add(&path, &ok("d1"));
    assert_eq!(requests(&mut tail, 1), 3);
    add(&old, &ok("d1"));
    add(&path, &ok("d1"));
    assert_eq!(requests(&mut tail, 1), 5);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    assert_eq!(requests(&mut tail, 1), 5);
    add(&path, &ok("d1"));
    assert_eq!(requests(&mut tail, 1), 6);
    assert_eq!(tail.skipped(), 0);
}

#[test]
fn hostile_lines_are_skipped_and_counted_and_memory_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("access.log");
    let mut tail = Tail::at_end(&path).unwrap();
    add(&path, "GET / HTTP/1.1\n\n{}\n[1,2]\n{\"status\":7}\n");
    add(&path, &line(200, "NaN", "d1", "d1", "200"));
    add(&path, &line(200, "-1", "d1", "d1", "200"));
    add(&path, &line(200, "1e300", "d1", "d1", "200"));
    add(&path, &line(200, "0.1", "d1; rm", "d1", "200"));
    add(&path, &"x".repeat(3 * CHUNK));
    add(&path, "\n");
    File::options().append(true).open(&path).unwrap().write_all(b"\xff\xfe\n").unwrap();
    for deployment in 0..MOST_DEPLOYMENTS + 7 {
        add(&path, &ok(&format!("d{deployment}")));
    }
    assert_eq!(tail.poll().unwrap().len(), MOST_DEPLOYMENTS);
    assert_eq!(tail.skipped(), 5 + 4 + 1 + 1 + 7);
    assert!(tail.open.as_ref().unwrap().partial.capacity() <= 2 * LONGEST_LINE);
}
