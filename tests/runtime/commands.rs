//! What a command is given, and what becomes of what it says.

use towpath::domain::plan::{Output, Verdict};

use crate::stage::{Stage, runs};

#[test]
fn a_command_runs_in_the_commit_and_not_in_the_working_tree() {
    let stage = Stage::new("cat README; cat name 2> /dev/null; exit 0").prepared();
    let report = stage.carried_out();
    assert_eq!(report.verdict, Verdict::Passed);
    assert!(stage.said("the commit's"));
    assert!(!stage.said("the working tree's"));
    assert!(!stage.dir.join("work").exists(), "what has passed needs no look");
}

#[test]
fn a_project_below_the_root_runs_there_and_a_missing_one_is_said() {
    let stage = Stage::new("cat name; cat ../README").setting(|s| s.root = "service".into()).prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    assert!(stage.said("inner"));
    assert!(stage.said("the commit's"));

    let stage = Stage::new("true").setting(|s| s.root = "nowhere".into()).prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    assert!(cause.summary.contains("nowhere"), "{cause:?}");
}

#[test]
fn the_environment_is_what_was_allowed_and_what_the_stage_says() {
    let mut stage = Stage::new(r#"env > "$TOWPATH_TEST/env""#).setting(|setting| {
        setting.env.insert("FROM_THE_STAGE".into(), "yes".into());
    });
    let venv = stage.file("venv");
    std::fs::create_dir_all(venv.join("bin")).unwrap();
    let output =
        Output { values: [("venv".to_owned(), venv.display().to_string())].into(), ..Output::default() };
    stage.spec.inputs.insert("install".into(), output);
    let stage = stage.prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    let env = stage.text("env");
    let value = |name: &str| env.lines().find_map(|line| line.strip_prefix(&format!("{name}=")));
    assert_eq!(value("FROM_THE_STAGE"), Some("yes"));
    assert_eq!(value("TOWPATH"), Some("1"));
    assert_eq!(value("TOWPATH_ATTEMPT"), stage.dir.to_str());
    assert_eq!(value("TOWPATH_COMMIT"), Some(stage.spec.commit.id.as_str()));
    assert_eq!(value("VIRTUAL_ENV"), venv.to_str());
    assert!(value("PATH").unwrap().starts_with(venv.join("bin").to_str().unwrap()));
    assert_eq!(value("FORCE_COLOR"), Some("1"));
    assert_eq!(value("NO_COLOR"), None);
    // cargo and nextest put many of these into a test's environment.
    assert!(!env.lines().any(|line| line.starts_with("CARGO")), "{env}");
}

#[test]
fn a_failure_says_how_and_keeps_the_place() {
    let mut stage = Stage::new("echo before; touch trace; exit 3");
    stage.spec.env.insert("PIP_INDEX_URL".into(), "https://reader:hunter2@packages.example/simple".into());
    let stage = stage.prepared();
    let report = stage.carried_out();
    let Verdict::Failed(cause) = report.verdict else { panic!("{:?}", report.verdict) };
    assert_eq!(cause.exit_code, Some(3));
    assert!(cause.measured.starts_with("exit code 3"), "{cause:?}");
    assert_eq!(cause.last_lines, ["before"]);
    let kept = report.output.kept.unwrap();
    assert!(std::path::Path::new(&kept.directory).join("trace").exists());
    assert_eq!(kept.env["TOWPATH"], "1");
    // A person's shell is not the attempt's, and what is kept goes into the journal.
    assert!(!kept.env.contains_key("TOWPATH_ATTEMPT"));
    assert!(!kept.env.contains_key("PIP_INDEX_URL"));
}

#[test]
fn a_program_that_is_not_there_fails_in_words() {
    let stage = Stage::new("no-such-program --check").prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    assert_eq!(cause.exit_code, Some(127));
    assert!(cause.last_lines.iter().any(|line| line.contains("no-such-program")), "{cause:?}");
}

#[test]
fn a_signal_is_said_by_its_name() {
    let stage = Stage::new("kill -SEGV $$").prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    assert!(cause.measured.contains("SIGSEGV"), "{cause:?}");
    assert_eq!(cause.exit_code, None);
}

#[test]
fn a_process_left_behind_with_the_output_open_neither_hangs_the_step_nor_outlives_it() {
    let stage =
        Stage::new(r#"sh -c 'echo $$ > "$TOWPATH_TEST/left"; exec sleep 1000' & sleep 0.2; echo done"#)
            .prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    assert!(stage.said("done"));
    assert!(stage.said("still holds its output"));
    assert!(!runs(stage.wait_for("left").parse().unwrap()));
}

#[test]
fn a_daemon_without_the_mark_does_not_outlive_its_step() {
    // It gives up session, environment and output: only its descent is left to know it by.
    let stage = Stage::new(
        r#"
env -i HERE="$TOWPATH_TEST" setsid sh -c '(echo 1; exec sleep 1000) > /dev/null 2>&1 & echo $! > "$HERE/left"' > /dev/null 2>&1
while [ ! -s "$TOWPATH_TEST/left" ]; do sleep 0.02; done
"#,
    )
    .prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    assert!(!runs(stage.wait_for("left").parse().unwrap()));
}

#[test]
fn fifty_megabytes_of_output_pass() {
    let stage = Stage::new(
        "head -c 50000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo; echo the last line; echo on stderr >&2; exit 1",
    )
    .prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    assert!(cause.last_lines.iter().any(|line| line == "the last line"));
    assert!(cause.last_lines.iter().any(|line| line == "on stderr"));
    assert!(stage.said("the last line"));
}

#[test]
fn one_endless_line_passes_too() {
    let stage = Stage::new("head -c 5000000 /dev/zero | tr '\\0' 'y'").prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    assert!(stage.log().iter().all(|line| line.len() < 64 * 1024));
}

#[test]
fn hostile_sequences_do_not_reach_the_log_and_colours_do() {
    let stage = Stage::new(
        r#"printf '\033]0;title\007\033[2J\033[5;5H\033P1;2\033\\\033]52;c;aGk=\007\0335\300\233\302\2332Jplain \033[31mred\033[0m\r\n\b\b\b\n\377\n'"#,
    )
    .prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
    let line =
        stage.log().into_iter().find(|line| line.contains("plain") && !line.starts_with("$ ")).unwrap();
    assert!(line.contains("\u{1b}[31mred"), "{line:?}");
    for entry in std::fs::read_dir(stage.dir.join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read_to_string(path).unwrap();
            // Nothing but colours is left of what steers a terminal.
            let mut rest = text.split('\u{1b}');
            rest.next();
            for sequence in rest {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                assert!(sequence.starts_with('[') && sequence[end..].starts_with('m'), "{sequence:?}");
            }
            assert!(text.chars().all(|c| c == '\n' || c == '\u{1b}' || !c.is_control()), "{text:?}");
        }
    }
}

#[test]
fn secrets_are_in_neither_log_nor_cause() {
    let mut stage = Stage::new(
        r#"echo "the password is correct-horse-battery"; echo "$PIP_INDEX_URL"; echo correct-horse-battery >&2; exit 1"#,
    );
    stage.spec.redact = vec!["correct-horse-battery".into()];
    stage.spec.env.insert("PIP_INDEX_URL".into(), "https://reader:hunter2@packages.example/simple".into());
    let stage = stage.prepared();
    let Verdict::Failed(cause) = stage.carried_out().verdict else { panic!("it should have failed") };
    let told = format!("{:?} {cause:?}", stage.log());
    assert!(told.contains("the password is"), "{told}");
    for secret in ["correct-horse-battery", "hunter2"] {
        assert!(!told.contains(secret), "{told}");
        assert!(!std::fs::read_to_string(stage.dir.join("result.json")).unwrap().contains(secret));
    }
}

#[test]
fn nothing_is_read_from_whoever_started_it() {
    let stage = Stage::new("read answer && exit 1; exit 0").prepared();
    assert_eq!(stage.carried_out().verdict, Verdict::Passed);
}
