//! Both builders: what they take, what they say, and what they leave behind.

use towpath::docker::build::{Builder, build, builder};
use towpath::docker::credentials::Keyring;
use towpath::docker::tags;

use crate::engines::{self, Dockerd};
use crate::support::{Name, built, engine, files, order};

/// Which files an image was given, by a listing that the build itself makes.
const LISTING: &str = "RUN find /app | sort; date +%Y -d @$(stat -c %Y /app/app.py)\n";

#[tokio::test]
async fn both_builders_take_the_same_files_and_say_their_steps() {
    let Some(dockerd) = Dockerd::start() else { return };
    let url = dockerd.url();
    let Some(base) = engines::python_image(&url) else { return };
    let engine = engine("local", &url).await;
    assert_eq!(builder(&engine).await.unwrap(), Builder::Kit);
    let name = Name::new(&[&url]);
    // Not from the cache of an earlier test: what is said then is another thing.
    let text = format!(
        "FROM {base}\nARG WHO\nCOPY . /app\n# {}\n{LISTING}RUN echo by $WHO {}\n",
        name.name, name.name
    );
    let context = files(&[
        ("Dockerfile", &text),
        (".dockerignore", "**/*.pyc\nsecret\n!deep/keep.pyc\nDockerfile\n"),
        ("app.py", "x"),
        ("secret/key", "k"),
        ("deep/gone.pyc", "k"),
        ("deep/keep.pyc", "k"),
    ]);
    let mut order = order(context.path(), &name);
    order.args.insert("WHO".into(), "us".into());
    let listing = ["/app", "/app/.dockerignore", "/app/app.py", "/app/deep", "/app/deep/keep.pyc", "2023"];
    for by in [Builder::Classic, Builder::Kit] {
        let (ended, said) = built(&engine, by, &order).await;
        let all = said.join("\n");
        let id = ended.unwrap_or_else(|cause| panic!("{cause:?}\n{all}"));
        let strip = |line: &String| match by {
            Builder::Kit => line.split_once(' ').map_or_else(String::new, |(_, rest)| rest.to_owned()),
            Builder::Classic => line.clone(),
        };
        let lines: Vec<String> = said.iter().map(strip).collect();
        for wanted in listing {
            assert!(lines.iter().any(|line| line == wanted), "{wanted} by {by:?}:\n{all}");
        }
        assert!(!all.contains("gone.pyc") && !all.contains("secret"), "{all}");
        // The classic builder takes a Dockerfile that is left out away again; to BuildKit it is one of the files.
        let copied = lines.iter().any(|line| line == "/app/Dockerfile");
        assert_eq!(copied, by == Builder::Kit, "{all}");
        let step = if by == Builder::Kit { "[3/4] RUN find" } else { "Step 4/6 : RUN find" };
        assert!(all.contains(step), "{all}");
        let found = tags::find(&engine, &id).await.unwrap().unwrap();
        assert_eq!(found.labels["towpath-test"], name.name);
        assert!(found.tags.is_empty() && found.layers >= 2 && found.bytes > 1_000_000, "{found:?}");
    }
}

#[tokio::test]
async fn a_failing_instruction_is_named_with_its_last_lines_and_its_exit_code() {
    let Some(dockerd) = Dockerd::start() else { return };
    let url = dockerd.url();
    let Some(base) = engines::python_image(&url) else { return };
    let engine = engine("local", &url).await;
    let name = Name::new(&[&url]);
    let text = format!("FROM {base}\nRUN echo before {}\nRUN echo the reason >&2; exit 7\n", name.name);
    let context = files(&[("Dockerfile", &text)]);
    for by in [Builder::Classic, Builder::Kit] {
        let (ended, said) = built(&engine, by, &order(context.path(), &name)).await;
        let cause = *ended.unwrap_err();
        assert!(cause.summary.contains("RUN echo the reason"), "{cause:?}\n{said:?}");
        assert!(cause.summary.ends_with("ended with exit code 7"), "{cause:?}");
        assert_eq!(cause.exit_code, Some(7), "{cause:?}");
        assert!(cause.last_lines.iter().any(|line| line == "the reason"), "{cause:?}");
        assert!(!cause.last_lines.iter().any(|line| line.contains("before")), "{cause:?}");
    }
    let wrong = files(&[("Dockerfile", "FORM x\n")]);
    for by in [Builder::Classic, Builder::Kit] {
        let cause = *built(&engine, by, &order(wrong.path(), &name)).await.0.unwrap_err();
        assert!(cause.summary.to_lowercase().contains("unknown instruction: form"), "{cause:?}");
        assert!(!cause.cure.is_empty());
    }
    let cause = *built(&engine, Builder::Kit, &order(files(&[]).path(), &name)).await.0.unwrap_err();
    assert_eq!(cause.summary, "the commit has no Dockerfile");
}

#[tokio::test]
async fn a_secret_reaches_buildkit_and_nothing_else() {
    let Some(dockerd) = Dockerd::start() else { return };
    let url = dockerd.url();
    let Some(base) = engines::python_image(&url) else { return };
    let engine = engine("local", &url).await;
    let name = Name::new(&[&url]);
    let text = format!(
        "FROM {base}\nRUN --mount=type=secret,id=token --mount=type=secret,id=other \
         test \"$(cat /run/secrets/token)\" = s3cret-value && sha256sum /run/secrets/other && echo read {}\n\
         RUN test ! -s /run/secrets/token\n",
        name.name
    );
    let context = files(&[("Dockerfile", &text)]);
    let mut order = order(context.path(), &name);
    order.secrets.insert("token".into(), "s3cret-value".into());
    order.secrets.insert("other".into(), "x".repeat(100_000));
    let (ended, said) = built(&engine, Builder::Kit, &order).await;
    let all = said.join("\n");
    let id = ended.unwrap_or_else(|cause| panic!("{cause:?}\n{all}"));
    assert!(said.iter().any(|line| line.ends_with(&format!("read {}", name.name))), "{all}");
    assert!(!all.contains("s3cret-value\n"), "{all}");
    let history = engine.client().image_history(&id).await.unwrap();
    assert!(history.len() > 2);
    let config = engine.client().inspect_image(&id).await.unwrap();
    let everything = format!("{history:?} {config:?}");
    // The instruction itself compares with it, so it stands there once a layer, as the commit wrote it.
    assert!(!everything.replace("= s3cret-value &&", "").contains("s3cret-value"), "{everything}");
    assert!(!everything.contains(&"x".repeat(100)));

    let Err(cause) = build(&engine, Builder::Classic, &order, &Keyring::default(), &mut |_| {}).await else {
        panic!("the classic builder has no secrets")
    };
    assert!(cause.summary.contains("classic builder alone, which has no build secrets"), "{cause:?}");
    assert!(cause.cure.contains("not passed as build arguments"), "{cause:?}");

    // A secret that the commit wants and nobody gave is the build's failure, said as such.
    order.secrets.remove("token");
    // Not the step that is in the cache: secrets are no part of what makes a step another.
    std::fs::write(context.path().join("Dockerfile"), text.replace("echo read", "echo read without"))
        .unwrap();
    let (ended, said) = built(&engine, Builder::Kit, &order).await;
    let cause = ended.unwrap_err();
    assert_eq!(cause.exit_code, Some(1), "{cause:?}\n{said:?}");
}

#[tokio::test]
async fn a_build_that_nobody_waits_for_is_given_up() {
    let Some(dockerd) = Dockerd::start() else { return };
    let url = dockerd.url();
    let Some(base) = engines::python_image(&url) else { return };
    let engine = engine("local", &url).await;
    let name = Name::new(&[&url]);
    let text = format!("FROM {base}\nRUN echo began {}; exec sleep 86399\n", name.name);
    let context = files(&[("Dockerfile", &text)]);
    for by in [Builder::Classic, Builder::Kit] {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut say = |line: &str| drop(tell.send(line.to_owned()));
        let order = order(context.path(), &name);
        let keyring = Keyring::default();
        {
            let running = build(&engine, by, &order, &keyring, &mut say);
            tokio::pin!(running);
            loop {
                tokio::select! {
                    ended = &mut running => panic!("{ended:?}"),
                    Some(line) = told.recv() => {
                        if line.ends_with(&format!("began {}", name.name)) && !line.contains("RUN") {
                            break;
                        }
                    }
                }
            }
            while !sleeps() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
        while sleeps() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Whether the instruction above runs, wherever.
fn sleeps() -> bool {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == b"sleep\x0086399\x00")
    })
}
