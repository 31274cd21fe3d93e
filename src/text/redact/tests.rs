use proptest::prelude::*;

use super::*;
use crate::text::sanitise::{LONGEST_LINE, Sanitiser};

fn one(line: &str) -> String {
    Redactor::default().redact(line).into_owned()
}

#[test]
fn what_looks_like_a_secret_is_masked() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r";
    let cases = [
        ("postgres://app:s3cr3t@db/app", "postgres://app:•••@db/app"),
        ("redis://:hunter22@cache:6379/0", "redis://:•••@cache:6379/0"),
        ("a postgres://a:b@h/x,postgres://c:d@h/y", "a postgres://a:•••@h/x,postgres://c:•••@h/y"),
        ("postgres://app:pa/ss?w@db/app", "postgres://app:•••@db/app"),
        ("postgres://app:p@ss@db/app", "postgres://app:•••@db/app"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key ••• used"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "•••"),
        ("(github_pat_11ABCDEFG0123456789_abcdef)", "(•••)"),
        ("glpat-0123456789abcdefghij", "•••"),
        (&format!("cookie={jwt};"), "cookie=•••;"),
        ("DB_PASSWORD=hunter2", "DB_PASSWORD=•••"),
        ("export SECRET_KEY='django insecure'", "export SECRET_KEY='•••'"),
        (r#"{"user": "a", "password": "hun\"ter2", "x": 1}"#, r#"{"user": "a", "password": "•••", "x": 1}"#),
        ("password: hunter2", "password: •••"),
        ("passwd = hunter", "passwd = •••"),
        ("api_key=abc&page=2", "api_key=•••&page=2"),
        ("PASSWORD=a&b,c;d", "PASSWORD=•••"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer •••"),
        ("{'token': 'abcdef'}", "{'token': '•••'}"),
        ("settings['password'] = 'x1y2'", "settings['password'] = '•••'"),
        ("connect(user=a, password=hunter2)", "connect(user=a, password=•••)"),
    ];
    for (line, expected) in cases {
        assert_eq!(one(line), expected);
    }
}

#[test]
fn ordinary_lines_stay() {
    let lines = [
        "the password is wrong",
        "password: must be at least 8 characters",
        "tests/test_token::test_secret PASSED",
        "tests/test_auth.py::test_password ........ [ 40%]",
        "if token == other:",
        "def login(token: str, password: Optional[str] = None):",
        "http://localhost:8000/a@b",
        "https://example.com/a:b",
        "http://[::1]:8000/",
        "ssh://deploy@staging.example.com",
        "postgres://postgres@postgres/postgres",
        "postgres://app:${DB_PASSWORD}@db/app",
        "SECRET_KEY = os.environ[\"SECRET_KEY\"]",
        "PASSWORD=$DB_PASSWORD",
        "AUTH_PASSWORD_VALIDATORS = [",
        "12 secrets found",
        "token: missing",
        "max_token=5",
        "AKIA is a prefix",
        "sha256:9f2c4e8d0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    ];
    for line in lines {
        assert_eq!(one(line), line);
    }
}

#[test]
fn known_values_are_masked_in_every_form() {
    let mut redactor = Redactor::new(["pä ss/wörd+1".to_owned(), "abc".to_owned()]);
    let cases = [
        ("is pä ss/wörd+1.", "is •••."),
        ("p%C3%A4%20ss%2Fw%C3%B6rd%2B1", "•••"),
        ("p%c3%a4%20ss%2fw%c3%b6rd%2b1", "•••"),
        ("p%C3%A4+ss%2Fw%C3%B6rd%2B1", "•••"),
        ("p%C3%A4%20ss/w%C3%B6rd%2B1", "•••"),
        ("cMOkIHNzL3fDtnJkKzE=", "•••="),
        ("abc is too short", "abc is too short"),
        ("\u{1b}[31mpä \u{1b}[1mss/wörd+1\u{1b}[0m!", "•••!"),
        ("\u{1b}[31mcolours stay\u{1b}[0m", "\u{1b}[31mcolours stay\u{1b}[0m"),
    ];
    for (line, expected) in cases {
        assert_eq!(redactor.redact(line), expected);
    }
    // `user:correct-horse-battery` as basic authorisation has it: the value begins inside a base64 digit.
    let mut redactor = Redactor::new(["correct-horse-battery".to_owned()]);
    for encoded in [
        "dXNlcjpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=",
        "YTpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=",
        "dXNyOmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==",
    ] {
        assert!(redactor.redact(encoded).contains(MASK), "{encoded}");
    }
}

const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED

MIIEowIBAAKCAQEAv3mUCdV1qS8S0JtTn0bYk1kN9qk0aCkq0m2dJ9xQm5r9mZbA
dQ0pXqfQm3nqS8S0JtTn0bYk1kN9qk0aCkq0m2dJ9xQm5r9mZbAv3mUCdV1qS8SA
Q2w=
-----END RSA PRIVATE KEY-----";

#[test]
fn a_private_key_is_masked_line_by_line() {
    let mut redactor = Redactor::default();
    let lines: Vec<String> = KEY.lines().map(|line| redactor.redact(line).into_owned()).collect();
    assert_eq!(lines[0], MASK);
    assert!(lines[1..6].iter().all(|line| line == MASKED_LINE), "{lines:?}");
    assert_eq!(lines[6], MASK);
    assert_eq!(redactor.redact("next line"), "next line");
    let escaped = format!("key={}; ok", KEY.replace('\n', "\\n"));
    assert!(!one(&escaped).contains("MIIE"));
}

#[test]
fn a_key_that_never_ends_does_not_eat_the_log() {
    let mut redactor = Redactor::default();
    redactor.redact("no -----BEGIN PRIVATE KEY----- in key.pem");
    let kept = (0..20).filter(|_| redactor.redact("an ordinary line") == "an ordinary line").count();
    assert!(kept >= 15, "{kept}");
    let body = "A".repeat(64);
    redactor.redact("-----BEGIN PRIVATE KEY-----");
    let masked = (0..10_000).filter(|_| redactor.redact(&body) == MASKED_LINE).count();
    assert!((100..1000).contains(&masked), "{masked}");
    assert_eq!(one("-----BEGIN CERTIFICATE-----"), "-----BEGIN CERTIFICATE-----");
}

#[test]
fn a_value_of_several_lines_is_caught_line_by_line() {
    let value = "first-part-1234\n  second-part-5678\nend\n".to_owned();
    let mut redactor = Redactor::new([value.clone()]);
    let lines: Vec<String> = value.lines().map(|line| redactor.redact(line).into_owned()).collect();
    assert_eq!(lines, [MASK, MASKED_LINE, MASKED_LINE]);
    assert_eq!(redactor.redact("end"), "end", "a short line is only known where it follows");
    assert_eq!(redactor.redact("12:00 x=second-part-5678"), "12:00 x=•••");
    assert_eq!(redactor.redact(&format!("{:?}", value.trim())), "\"•••\"");
}

#[test]
fn a_value_that_a_long_line_is_cut_in_is_caught() {
    let secret = "correct-horse-battery";
    for offset in 1..secret.len() {
        let mut sanitiser = Sanitiser::new();
        let text = format!("{}{secret}{}\n", "x".repeat(LONGEST_LINE - offset), "y".repeat(50));
        let mut redactor = Redactor::new([secret.to_owned()]);
        let lines: Vec<String> =
            sanitiser.push(text.as_bytes()).iter().map(|line| redactor.redact(line).into_owned()).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("x••• ↩"), "{offset}: {}", &lines[0][lines[0].len() - 40..]);
        assert_eq!(lines[1], format!("{MASK}{}", "y".repeat(50)), "{offset}");
    }
}

#[test]
fn configuration_that_looks_secret() {
    let cases: &[(&str, &str, Option<&str>)] = &[
        ("ALLOWED_HOSTS", "a.example.com", None),
        ("DATABASE_URL", "postgres://postgres@postgres/postgres", None),
        ("DATABASE_URL", "postgres://postgres:postgres@postgres/postgres", None),
        ("DATABASE_URL", "postgres://app:${DB_PASSWORD}@db/app", None),
        ("DATABASE_URL", "postgres://app:9fK2mQ@db/app", Some("it is an address with a password in it")),
        ("SECRET_KEY", "insecure-for-tests", None),
        ("SECRET_KEY", "x9-2kfo3!k", Some("its name says that it is a secret")),
        ("DB_PASSWORD", "hunter2", Some("its name says that it is a secret")),
        ("X-API-KEY", "abc123def", Some("its name says that it is a secret")),
        ("PASSWORD_RESET_TIMEOUT", "3600", None),
        ("MAX_TOKEN", "512", None),
        ("REQUIRE_TOKEN", "true", None),
        ("SECRET_KEY", "", None),
        ("SECRET_KEY", "$FROM_ELSEWHERE", None),
        ("ISSUER_TOKEN", "https://auth.example.com/token", None),
        ("PRIVATE_KEY", "/run/secrets/key.pem", None),
        ("ANY", "AKIAIOSFODNN7ABCDEFG", Some("it is an AWS access key")),
        ("ANY", "ghp_0123456789abcdefghijABCDEFGHIJ012345", Some("it is a GitHub token")),
        ("ANY", KEY, Some("it is a private key")),
        ("ANY", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVP", Some("it is a signed token (JWT)")),
        (
            "ANY",
            "q8Zt3LwX0vN6bR1mK9sYc5HdG2fJ7pAeU4iOxTlQ",
            Some("it is long and random, as generated keys are"),
        ),
        ("IMAGE", "registry.example.com/harbor@sha256:9f2c4e8d0a1b2c3d4e5f60718293a4b5", None),
        ("COMMIT", "9f2c4e8d0a1b2c3d4e5f60718293a4b5c6d7e8f9", None),
        ("DJANGO_SETTINGS_MODULE", "harbor.settings.production", None),
        ("TEXT", "A sentence with Words and 12 numbers that goes on for a while.", None),
        ("PATH_LIKE", "/usr/local/lib/python3.12/site-packages/Django/contrib", None),
        ("OPTIONS", "--workers=4 --bind=0.0.0.0:8000", None),
    ];
    for (key, value, expected) in cases {
        assert_eq!(looks_secret(key, value), *expected, "{key} = {value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_known_value_survives(
        value in "[!-~]{6,40}",
        before in "[ -~]{0,30}",
        after in "[ -~]{0,30}",
    ) {
        prop_assume!(!MASK.contains(&value) && !before.contains(&value) && !after.contains(&value));
        let line = format!("{before}{value}{after}");
        let masked = Redactor::new([value.clone()]).redact(&line).into_owned();
        prop_assert!(!masked.contains(&value), "{}", masked);
    }

    #[test]
    fn any_line_can_be_redacted(lines in proptest::collection::vec("\\PC{0,60}|[a-z:/=@'\"-]{0,40}|-----BEGIN PRIVATE KEY-----", 0..20)) {
        let mut redactor = Redactor::new(["secret-value".to_owned()]);
        for line in &lines {
            let _ = redactor.redact(line);
            let _ = looks_secret(line, line);
        }
    }
}
