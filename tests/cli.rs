//! The real binary: what it says to mistakes on the command line, and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn towpath(directory: &Path, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_towpath"));
    command.current_dir(directory).stdin(Stdio::null());
    command.env("TOWPATH_STATE_DIR", state.join("state")).env("TOWPATH_CACHE_DIR", state.join("cache"));
    // A repository around the temporary directory is not looked for.
    command.env("GIT_CEILING_DIRECTORIES", state.parent().unwrap_or(state));
    command.env_remove("TERM").env_remove("COLUMNS").env_remove("GIT_DIR");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } =
            towpath(self.path(), self.path()).args(arguments).output().unwrap();
        (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git").arg("-C").arg(self.path()).args(arguments).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn help_documents_every_exit_code() {
    let (code, out, _) = Place::new().run(&["--help"]);
    assert_eq!(code, 0);
    insta::assert_snapshot!("help", out);
}

#[test]
fn mistakes_on_the_command_line_are_usage() {
    let place = Place::new();
    let cases: [(&[&str], &str); 29] = [
        (&["--plain", "--json", "status"], "cannot be used with"),
        (&["rum"], "similar subcommand exists: 'run'"),
        (&["cancel"], "<RUN>"),
        (&["cancel", "latest"], "invalid value 'latest'"),
        (&["ack", "3", "pip-audit"], "--reason"),
        (&["ack", "3", "pip-audit", "--reason", " "], "The reason is empty."),
        (&["retry", "3"], "<STEP>"),
        (&["logs", "1", "ruff", "--attempt", "0"], "0 is not in 1.."),
        (&["promote", "production"], "--release <N>"),
        (&["promote", "production", "--release", "latest"], "invalid value 'latest'"),
        (&["promote", "production", "--release", "v3", "--plan", "7f31a"], "6 to 64 hexadecimal digits"),
        (&["promote", "production", "--release", "3", "--plan", "7f31ag"], "6 to 64 hexadecimal digits"),
        (&["plan"], "<ENV>"),
        (&["rollback", "production", "--to", "yesterday"], "a release by v and its number"),
        (&["go", "production"], "--reason"),
        (&["go", "production", "--reason", " "], "The reason is empty."),
        (&["back", "production"], "--reason"),
        (&["back", "production", "--reason", ""], "The reason is empty."),
        (&["leave", "production", "--reason", "x"], "--confirm"),
        (&["leave", "production", "--confirm", "production", "--reason", ""], "The reason is empty."),
        (&["logs", "production", "migrate"], "are of a run, not of an environment"),
        (&["logs", "production", "--attempt", "2"], "are of a run, not of an environment"),
        (&["logs", "58", "--role", "web"], "A role is of an environment"),
        (&["demo", "--runtime", "swarm"], "possible values: process, docker"),
        (&["demo", "--runtime", "docker", "--tour", "--clean"], "cannot be used with"),
        (&["engine"], "Usage"),
        (&[], "The console needs a terminal"),
        (&["--json"], "The console has no JSON."),
        (&["status", "--repository", "/nowhere/at/all"], "cannot be entered"),
    ];
    for (arguments, said) in cases {
        let (code, out, err) = place.run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {out}{err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
}

#[test]
fn a_demo_of_another_runtime_than_is_asked_for_is_left_alone() {
    let place = Place::new();
    let path = place.path().join("demo.json");
    let of = |runtime: &str, more: &str| {
        std::fs::write(&path, format!(r#"{{"v":1,"ports":{{}}{runtime}{more}}}"#)).unwrap();
    };
    let dir = place.path().display().to_string();
    for more in [vec![], vec!["--tour"], vec!["--clean"]] {
        of("", "");
        let arguments = [&["demo", "--runtime", "docker", "--dir", &dir][..], &more].concat();
        let (code, _, err) = place.run(&arguments);
        assert_eq!(code, 2, "{more:?}: {err}");
        assert!(err.contains("runs on the runtime process, not on docker"), "{more:?}: {err}");
        let on =
            r#","docker":{"project":"shop-1","address":"172.17.0.1","images":{"python":"a","postgres":"b"}}"#;
        of(r#","runtime":"docker""#, on);
        let arguments = [&["demo", "--runtime", "process", "--dir", &dir][..], &more].concat();
        let (code, _, err) = place.run(&arguments);
        assert_eq!(code, 2, "{more:?}: {err}");
        assert!(err.contains("runs on the runtime docker, not on process"), "{more:?}: {err}");
    }
    assert!(path.exists());
}

#[test]
fn outside_of_a_repository_and_without_a_configuration_it_says_what_to_do() {
    let place = Place::new();
    for verb in [
        vec!["run"],
        vec!["status"],
        vec!["history"],
        vec!["check"],
        vec!["verify"],
        vec!["logs"],
        vec!["environments"],
        vec!["plan", "staging"],
        vec!["hold", "staging"],
    ] {
        let (code, _, err) = place.run(&verb);
        assert_eq!(code, 2, "{verb:?}: {err}");
        assert!(err.contains("is not inside a git repository"), "{verb:?}: {err}");
    }
    place.git(&["init", "--quiet"]);
    let (code, _, err) = place.run(&["run"]);
    assert_eq!(code, 2);
    assert!(err.contains("There is no towpath.toml in") && err.contains("[project]"), "{err}");
    let (code, out, _) = place.run(&["run", "--json"]);
    assert_eq!(code, 2);
    let error: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&error["kind"], &error["error"], &error["exit"]),
        (&"error".into(), &"usage".into(), &2.into())
    );
}

#[test]
fn without_an_engine_status_says_so_and_starts_none() {
    let place = Place::new();
    place.git(&["init", "--quiet"]);
    std::fs::create_dir_all(place.path().join("services/shop/app")).unwrap();
    std::fs::write(place.path().join("services/shop/towpath.toml"), "[project]\nname = \"shop\"\n").unwrap();
    for directory in ["services/shop", "services/shop/app"] {
        let (code, out, err) = place.run(&["status", "--repository", directory]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.starts_with("no engine runs"), "{out}");
        let (code, out, _) = place.run(&["status", "--json", "--repository", directory]);
        assert_eq!(
            (code, out.trim()),
            (0, r#"{"engine":null,"environments":null,"kind":"status","release":null,"runs":null,"v":1}"#)
        );
        assert_eq!(place.run(&["engine", "stop", "--repository", directory]).1, "no engine runs\n");
    }
    assert!(!place.path().join("state").exists(), "asking for the status leaves nothing behind");
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::new();
    place.git(&["init", "--quiet"]);
    std::fs::write(place.path().join("towpath.toml"), "").unwrap();
    for arguments in [&["status"][..], &["status", "--json"], &["engine", "status"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = towpath(place.path(), place.path());
        let output = command.args(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_sample_is_a_repository_with_one_commit_and_nothing_is_overwritten() {
    let place = Place::new();
    let sample = place.path().join("harbor");
    let path = sample.to_str().unwrap();
    let (code, out, err) = place.run(&["sample", path]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&format!("towpath run --repository {path}")), "{out}");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(&sample).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert_eq!(git(&["log", "--format=%s", "main"]).trim(), "Keep a list of berths");
    assert_eq!(git(&["status", "--porcelain", "--ignored"]), "");
    assert!(git(&["ls-files"]).contains("berths/migrations/0001_initial.py"));
    let (code, _, err) = place.run(&["sample", path]);
    assert_eq!(code, 2);
    assert!(err.contains("is not empty"), "{err}");
    // Every file of the assets is written, and nothing else.
    let mut assets = Vec::new();
    walk(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/sample")), "", &mut assets);
    let written = git(&["ls-files"]);
    for name in assets {
        let name = if name == "gitignore" { ".gitignore".to_owned() } else { name };
        assert!(written.lines().any(|line| line == name), "{name} is not written");
    }
}

#[test]
fn check_says_what_would_run_and_where_every_mistake_is() {
    let place = Place::new();
    let sample = place.path().join("harbor");
    let path = sample.to_str().unwrap().to_owned();
    assert_eq!(place.run(&["sample", &path]).0, 0);
    let (code, out, err) = place.run(&["check", "--repository", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    for said in
        ["project harbor", "Django, manage.py, settings harbor.settings", "requirements.txt", "candidate"]
    {
        assert!(out.contains(said), "{said} is missing: {out}");
    }
    assert!(!out.contains("differs from the last commit"), "{out}");
    let (code, out, _) = place.run(&["check", "--json", "--repository", &path]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["kind"], &value["project"]["name"]), (0, &"check".into(), &"harbor".into()));

    std::fs::write(sample.join("towpath.toml"), "[project]\nname = \"quay\"\n").unwrap();
    let (code, out, _) = place.run(&["check", "--ascii", "--repository", &path]);
    assert!(code == 0 && out.contains("differs from the last commit") && out.is_ascii(), "{out}");

    std::fs::write(sample.join("towpath.toml"), "[project]\nnam = \"quay\"\n\n[pipelin]\n").unwrap();
    let (code, out, err) = place.run(&["check", "--repository", &path]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("towpath.toml has 2 mistakes."), "{err}");
    assert!(err.lines().any(|line| line.starts_with("towpath.toml:2:1: ")), "{err}");
    let (code, out, _) = place.run(&["check", "--json", "--repository", &path]);
    assert_eq!((code, out.lines().count()), (2, 2));
    let first: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!((&first["kind"], &first["line"]), (&"mistake".into(), &2.into()));
}

#[test]
fn a_copy_of_a_journal_is_verified_without_an_engine() {
    use towpath::domain::event::Event;
    use towpath::domain::ids::Actor;
    use towpath::domain::time::Timestamp;
    let place = Place::new();
    let path = place.path().join("journal.db");
    let mut journal = towpath::store::journal::Journal::open(&path).unwrap();
    for version in ["0.1.0", "0.1.1", "0.1.2"] {
        let event = Event::EngineStarted { version: version.to_owned() };
        journal.append(Timestamp(5), &Actor::Engine, &[event]).unwrap();
    }
    drop(journal);
    let name = path.to_str().unwrap();
    let (code, out, err) = place.run(&["verify", name]);
    assert_eq!((code, out.as_str()), (0, "the chain holds: 3 rows\n"), "{err}");

    // One byte of the second row is another one.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(5).position(|window| window == b"0.1.1").unwrap();
    bytes[at + 4] = b'7';
    std::fs::write(&path, &bytes).unwrap();
    let (code, _, err) = place.run(&["verify", name]);
    assert_eq!(code, 7);
    assert!(err.contains("broken at row 2"), "{err}");
    let (code, out, _) = place.run(&["verify", "--json", name]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &value["kind"], &value["broken"]["seq"]), (7, &"chain".into(), &2.into()));

    assert_eq!(place.run(&["verify", "/no/such/journal"]).0, 2);
}

fn walk(directory: &Path, prefix: &str, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{name}/"), into);
        } else {
            into.push(name);
        }
    }
}

#[test]
fn a_compose_file_is_read_where_there_is_no_configuration_yet() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("compose.yaml"),
        "services:\n  web:\n    build: .\n    command: gunicorn shop.wsgi\n    ports: [\"8000:8000\"]\n  db:\n    image: \
         postgres:16\n    environment: { POSTGRES_PASSWORD: hunter2 }\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_towpath"))
        .args(["check", "--compose"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("[role.web]") && text.contains("[service.db]"), "{text}");
    assert!(text.contains("# compose.yaml:8: db: the value of POSTGRES_PASSWORD"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
