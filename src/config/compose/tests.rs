use proptest::prelude::*;

use super::*;

const SHOP: &str = r#"name: shop
x-app: &app
  build: { context: ., target: production }
  environment: &env
    DJANGO_SETTINGS_MODULE: shop.settings
    SECRET_KEY: q8Zx-hunter2
    DATABASE_URL: postgres://shop:hunter2@db:5432/shop
    LOG_LEVEL: ${LOG_LEVEL:-info}
services:
  app:
    <<: *app
    command: gunicorn shop.wsgi --bind 0.0.0.0:$PORT
    ports: ["127.0.0.1:80:8001/tcp"]
    volumes: ["media:/app/media", "./src:/app/src"]
    stop_grace_period: 1m30s
    healthcheck: { test: ["CMD", "curl", "-f", "http://localhost:8001/health"] }
    depends_on: [db]
  worker:
    <<: *app
    command: ["celery", "-A", "shop", "worker"]
    deploy: { replicas: 3 }
  beat:
    <<: *app
    command: celery -A shop beat
  db:
    image: postgres:17
    environment: [POSTGRES_USER=shop, POSTGRES_PASSWORD=hunter2]
  cache:
    image: redis:7
  odd:
    image: redis:${TAG:-7}
"#;

fn reading(text: &str) -> Reading {
    read(text, "compose.yaml").unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn a_compose_file_becomes_a_configuration() {
    let reading = reading(SHOP);
    let file = super::super::parse(reading.toml.as_bytes(), "towpath.toml")
        .unwrap_or_else(|mistakes| panic!("{mistakes}\n{}", reading.toml));
    let roles: Vec<&str> = file.roles.iter().map(|role| role.name.value.as_str()).collect();
    assert_eq!(roles, ["beat", "web", "worker"]);
    assert_eq!(file.roles[1].port.as_ref().unwrap().value, 8001);
    assert_eq!(file.services.len(), 2);
    assert!(
        !reading.toml.contains("hunter2") && !format!("{:?}", reading.left).contains("hunter2"),
        "{reading:?}"
    );
    for part in [
        "target = \"production\"",
        "max = 1",
        "volumes = [\"media:/app/media\"]",
        "stop_timeout = \"1m30s\"",
        "replicas = { worker = 3 }",
        "health = \"/health\"",
        "LOG_LEVEL = \"${LOG_LEVEL:-info}\"",
        "SECRET_KEY = { env = \"SECRET_KEY\" }",
        "DATABASE_URL = { env = \"DATABASE_URL\" }",
        "ready = { postgres = \"postgres://shop@db:5432/shop\" }",
        "ready = { tcp = 6379 }",
    ] {
        assert!(reading.toml.contains(part), "{part}\n{}", reading.toml);
    }
    let left =
        |line: u32, words: &str| reading.left.iter().any(|(at, why)| *at == line && why.contains(words));
    assert!(
        left(14, "./src:/app/src") && left(17, "depends_on") && left(8, "LOG_LEVEL"),
        "{:?}",
        reading.left
    );
    assert!(left(30, "odd: image"), "{:?}", reading.left);
}

#[test]
fn what_is_hostile_ends_with_a_mistake() {
    let bomb: String =
        (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","))).collect();
    let cases = [
        format!("a0: &a0 [x]\n{bomb}services: {{}}\n"),
        "services: &a [*a]\n".to_owned(),
        format!("services: {}", "[".repeat(100_000)),
        format!("services: {}", "{a: ".repeat(50_000)),
        "x".repeat(300_000),
        "services: 1\n".to_owned(),
        "\t: [".to_owned(),
        String::new(),
    ];
    for text in cases {
        let said = read(&text, "compose.yaml").map(|reading| panic!("{reading:?}")).unwrap_err().to_string();
        assert!(said.starts_with("compose.yaml:") && said.len() < 500, "{said}");
    }
}

proptest! {
    /// Whatever stands in it: nothing panics, and what comes out is a configuration.
    #[test]
    fn what_is_written_is_always_a_configuration(pieces in prop::collection::vec(prop::sample::select(vec![
        "    build: .\n", "    image: redis\n", "    command: a \"b\" \\ c\n", "    command: [\"a b\", \"\\u0001\"]\n",
        "  web:\n", "  a_b:\n", "  Beat:\n", "    ports: [\"80:0\"]\n", "    ports: [8000]\n", "    environment:\n",
        "      PORT: 1\n", "      TOKEN: x\n", "      A: \"é\\\"\\n\"\n", "    volumes: [\"m1:/x\", \"m2:/x\", \"m:/\"]\n",
        "    stop_grace_period: 0s\n", "    deploy: { replicas: 99 }\n", "    scale: 2\n", "    command: celery beat\n",
        "    healthcheck: { test: \"curl http://a/b c\" }\n", "    image: a/b:1\n", "    environment: [A=1, B]\n",
    ]), 0..24)) {
        let text = format!("services:\n{}", pieces.concat());
        if let Ok(reading) = read(&text, "compose.yaml") {
            let parsed = crate::config::parse(reading.toml.as_bytes(), "towpath.toml");
            prop_assert!(parsed.is_ok(), "{}\n{}", parsed.unwrap_err(), reading.toml);
        }
    }
}
