use proptest::prelude::*;

use super::*;

mod containers;
mod environments;

fn mistakes(text: &str) -> String {
    match parse(text.as_bytes(), "towpath.toml") {
        Ok(file) => panic!("no mistake in {text}: {file:?}"),
        Err(mistakes) => mistakes.to_string(),
    }
}

#[test]
fn a_file_says_what_is_written_and_where() {
    let text = "[project]\nname = \"harbor\"\n[pipeline]\npoll = \"1m\"\n\n[[stage]]\nname = \"e2e\"\n\
                run = \"./e2e\"\nneeds = [\"test\"]\nwhen = \"branch:main\"\nenv = { A = \"1\" }\n";
    let file = parse(text.as_bytes(), "towpath.toml").unwrap();
    assert_eq!(
        file.project.name,
        Some(Written { value: "harbor".into(), place: Place { line: 2, column: 8 } })
    );
    assert_eq!(file.pipeline.poll.as_ref().unwrap().value, Millis::minutes(1));
    assert_eq!(file.pipeline.jobs, None);
    let stage = &file.stages[0];
    assert_eq!(stage.needs.as_ref().unwrap()[0].place, Place { line: 9, column: 10 });
    assert_eq!(stage.env.as_ref().unwrap()["A"].value, "1");
    assert_eq!(stage.timeout, None);
}

#[test]
fn an_empty_file_is_no_file_with_a_name() {
    let empty = parse(b"", "towpath.toml").unwrap();
    assert_eq!(empty, File { name: "towpath.toml".into(), ..File::default() });
}

/// One file with everything wrong that can be wrong: all of it is said, in order, with a cure.
#[test]
fn every_mistake_is_said_at_once() {
    let text = r#"name = "harbor"
[projct]
[project]
name = "Harbor Shop"
kind = "rails"
python = 3.12
settings = "harbor/settings.py"
[pipeline]
branch = "-f"
poll = "5"
runs = 0
jobs = "2"
timout = "15m"
[artifact]
runtime = "podman"
image = "Registry.example.com/harbor:latest"
dockerfile = "../Dockerfile"
target = "a b"
args = { TOKEN = "ghp_0123456789abcdefghijABCDEFGHIJ012345" }
secrets = { A = "hunter2" }
push = "always"
collectstatic = "yes"
env = { SECRET_KEY = "q8Zx-v!k2$9dLw0#mRt7^yPb4&uHc6*e", "1A" = "x", PORT = 8000 }
[[stage]]
name = "test"
needs = "candidate"
in = "image:Redis 7"
services = ["Redis"]
timeout = "0s"
retries = -1
when = "never"
enabled = 1
[[stage]]
name = "test"
needs = ["test", "Lint"]
run = "  "
comand = "x"
[[stage]]
run = "x"
group = "end to end"
env = ["A=1"]
"#;
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    let cases = [
        ("[project\nname = 1", "1:9: this is not TOML"),
        ("[project]\nname = harbor\n", "2:8: this is not TOML"),
        ("[project]\nname = \"a\"\nname = \"b\"\n", "3:1: duplicate key"),
        ("stage = 1", "1:9: \"stage\" is a number. Write [[stage]]"),
        ("[stage]\nname = \"a\"", "\"stage\" is a table. Write [[stage]]"),
        ("stage = [1]", "1:10: a stage is not a table."),
        ("[[project]]\nname = \"a\"", "\"project\" is a list. Write a table: [project]."),
        ("[project]\nname = \"a\\u0000\"", "2:8: \"name\" has a NUL character in it."),
    ];
    for (text, expected) in cases {
        let said = mistakes(text);
        assert!(said.starts_with("towpath.toml:") && said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn what_is_no_text_is_refused_clearly() {
    let cases: [(&[u8], &str); 5] = [
        (b"\xEF\xBB\xBF[project]", "towpath.toml:1:1: the file begins with a byte order mark."),
        (b"\xFF\xFE[\0p\0", "towpath.toml:1:1: the file is UTF-16."),
        (b"[project]\nname = \"\xFF\"", "towpath.toml:2:9: the text is not UTF-8 from here on."),
        (b"[project]\nna\0me = 1", "towpath.toml:2:3: there is a NUL byte in the text."),
        (&[b' '; SIZE_LIMIT + 1], "towpath.toml:1:1: the file has 1048577 bytes; the limit is 1048576."),
    ];
    for (bytes, expected) in cases {
        let said = parse(bytes, "towpath.toml").unwrap_err().to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn deep_nesting_is_refused_without_a_crash() {
    let cases = [
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "[".repeat(500_000)),
        format!("a = {}1{}", "{ a = ".repeat(50_000), " }".repeat(50_000)),
        format!("[{}]", vec!["a"; 200_000].join(".")),
        format!("{} = 1", vec!["a"; 200_000].join(".")),
        format!("a = {}", "\"\"\"".repeat(100_000)),
    ];
    for text in cases {
        let said = mistakes(&text);
        assert!(said.len() < 2000, "{} bytes of mistake", said.len());
    }
}

#[test]
fn a_secret_is_never_repeated() {
    let secret = "AKIAIOSFODNN7EXAMPLE";
    for text in [
        format!("[artifact]\nenv = {{ A = \"{secret}\" }}"),
        format!("[[stage]]\nname = \"a\"\nrun = \"x\"\n[stage.env]\nA = \"{secret}\"\n"),
        format!("[[stage]]\nname = \"a\"\nrun = \"upload --key={secret} x\"\n"),
    ] {
        let said = mistakes(&text);
        assert!(said.contains("looks like an AWS access key") && !said.contains(secret), "{said}");
    }
}

#[test]
fn too_many_stages_are_one_mistake() {
    let text: String = (0..300).map(|n| format!("[[stage]]\nname = \"s{n}\"\nrun = \"x\"\n")).collect();
    assert_eq!(mistakes(&text).lines().count(), 1);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes, "towpath.toml");
    }

    /// Text that is nearly a configuration: it gets past the parser more often.
    #[test]
    fn no_text_panics_and_every_mistake_is_placed(pieces in prop::collection::vec(prop::sample::select(vec![
        "[project]", "[pipeline]", "[artifact]", "[[stage]]", "[stage.env]", "[service.a]", "[role.web]", "[environment.a]", "\n", "\n", "name", "run", "needs",
        "env", "timeout", "in", "kind", "image", "hosts", "ready", "tcp", "url", "volumes", "args", "push", " = ", " = ", "\"test\"", "\"15m\"", "\"ssh://a@b:1\"", "\"image:a\"", "[", "]", "{", "}", ",", "1", "-1",
        "true", "1.5", "2026-01-01", "\"é\u{202e}\"", "'''", "\\", "99999999999999999999", "0x10", ".", "#", "\r",
    ]), 0..60)) {
        let text = pieces.concat();
        if let Err(mistakes) = parse(text.as_bytes(), "towpath.toml") {
            prop_assert!(!mistakes.list.is_empty());
            for mistake in &mistakes.list {
                let lines = u32::try_from(text.split('\n').count()).unwrap();
                prop_assert!(mistake.line >= 1 && mistake.line <= lines && mistake.column >= 1);
                prop_assert!(!mistake.message.is_empty() && !mistake.message.contains('\n'), "{mistake:?}");
            }
        }
    }
}
