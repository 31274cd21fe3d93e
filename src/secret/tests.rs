use super::*;

fn sources(source: SecretSource) -> BTreeMap<String, SecretSource> {
    BTreeMap::from([("KEY".to_owned(), source)])
}

async fn ask(source: SecretSource, home: &Path) -> Result<String, Trouble> {
    let env = |name: &str| (name == "HERE").then(|| "from env".to_owned());
    let mut values = resolve(&sources(source), home, &env).await?;
    Ok(values.remove("KEY").unwrap().expose().to_owned())
}

#[tokio::test]
async fn every_source_gives_its_value_without_the_last_line_end() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("key"), "two\nlines\n").unwrap();
    let cases = [
        (SecretSource::Env("HERE".into()), "from env"),
        (SecretSource::File("key".into()), "two\nlines"),
        (SecretSource::File(home.path().join("key").display().to_string()), "two\nlines"),
        (SecretSource::Command("cat key; echo said >&2".into()), "two\nlines"),
        (SecretSource::Command("printf '  kept  '".into()), "  kept  "),
    ];
    for (source, value) in cases {
        assert_eq!(ask(source, home.path()).await.unwrap(), value);
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_with_name_and_kind() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("empty"), "\n").unwrap();
    std::fs::write(home.path().join("binary"), b"a\0b").unwrap();
    let long = format!("head -c {} /dev/zero | tr '\\0' x", LONGEST + 1);
    let cases = [
        (SecretSource::Env("NOT_HERE".into()), "env", "without the environment variable NOT_HERE"),
        (SecretSource::File("missing".into()), "file", "does not exist"),
        (SecretSource::File(".".into()), "file", "cannot be read"),
        (SecretSource::File("empty".into()), "file", "is empty"),
        (SecretSource::File("binary".into()), "file", "is not text"),
        (SecretSource::Command("true".into()), "command", "is empty"),
        (SecretSource::Command(long), "command", "longer than"),
        (SecretSource::Command("echo locked >&2; exit 3".into()), "command", "exit code 3: locked"),
        (SecretSource::Command("kill -9 $$".into()), "command", "signal 9"),
    ];
    for (source, kind, part) in cases {
        let trouble = ask(source, home.path()).await.unwrap_err();
        let text = trouble.to_string();
        assert!(text.starts_with(&format!("secret KEY ({kind}): ")), "{text}");
        assert!(text.contains(part), "{text}");
        assert!(!trouble.cure.is_empty());
    }
    let trouble = ask(SecretSource::Env("NOT_HERE".into()), home.path()).await.unwrap_err();
    assert!(trouble.cure.contains("towpath engine stop"));
}

#[test]
fn a_value_does_not_print() {
    assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "…");
}

#[test]
fn a_source_is_written_as_the_configuration_writes_it() {
    let json = serde_json::to_string(&SecretSource::Env("DATABASE_URL".into())).unwrap();
    assert_eq!(json, r#"{"env":"DATABASE_URL"}"#);
}
