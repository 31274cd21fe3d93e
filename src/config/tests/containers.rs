//! Hosts, services and networks: every mistake with its place.

use super::{mistakes, parse};

/// A role to run, then one environment whose first line is line 4.
fn environment(body: &str) -> String {
    mistakes(&format!("[role.web]\ncommand = \"x\"\n[environment.a]\n{body}\n"))
}

#[test]
fn every_mistake_of_a_host_has_its_place_and_cure() {
    let cases = [
        ("hosts = \"default\"", "4:9: \"hosts\" is text. Write a list"),
        ("hosts = []", "4:9: hosts names no engine."),
        ("hosts = [1]", "4:10: \"a host\" is a number."),
        ("hosts = [\"app1\"]", "4:10: the url of a host begins with nothing that is known."),
        ("hosts = [\"http://app1\"]", "4:10: the url of a host begins with nothing"),
        ("hosts = [\"unix://sock\"]", "4:10: the url of a host has no absolute path"),
        ("hosts = [\"context:\"]", "4:10: the url of a host names no context"),
        ("hosts = [\"tcp://app1\"]", "4:10: the url of a host has no port"),
        ("hosts = [\"tcp://app1:99999\"]", "4:10: the url of a host has a port that cannot be one"),
        ("hosts = [\"ssh://a:hunter2@app1\"]", "4:10: the url of a host has a password in it."),
        ("hosts = [\"ssh://-oProxyCommand=x\"]", "4:10: the url of a host has no host"),
        ("hosts = [\"ssh://-l@app1\"]", "4:10: the url of a host has a user that cannot be one"),
        ("hosts = [\"ssh://app1/srv\"]", "4:10: the url of a host has a path behind the host"),
        ("hosts = [\"ssh://\"]", "4:10: the url of a host has no host"),
        ("hosts = [\"ssh://[::g]\"]", "4:10: the url of a host has no host"),
        ("hosts = [\"ssh://app1\", \"ssh://app1\"]", "4:24: this engine is there already, as \"app1\"."),
        ("hosts = [\"ssh://a@app1\", \"ssh://b@app1\"]", "4:26: there are two hosts called \"app1\"."),
        ("hosts = [{ name = \"a\" }]", "4:10: a host has no url."),
        ("hosts = [{ ulr = \"default\" }]", "4:12: unknown key \"ulr\". Did you mean \"url\"?"),
        ("hosts = [{ url = \"default\", name = \"a b\" }]", "4:36: name = \"a b\" cannot be used."),
        ("hosts = [{ url = \"default\", address = \"app1\" }]", "4:39: address = \"app1\" cannot be used."),
        (
            "hosts = [{ url = \"default\", address = \"0.0.0.0\" }]",
            "4:39: address = \"0.0.0.0\" would publish",
        ),
        ("hosts = [{ url = \"ssh://a\", tls = \"x\" }]", "4:35: tls is for tcp:// alone."),
        ("network = \"host\"", "4:11: the network \"host\" has no addresses"),
        ("network = \"a b\"", "4:11: network = \"a b\" cannot be used."),
    ];
    for (body, expected) in cases {
        let said = environment(body);
        let found = said.lines().any(|line| line.starts_with(&format!("towpath.toml:{expected}")));
        assert!(found, "{body}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn hosts_are_called_by_their_machines() {
    let text = "[environment.a]\nhosts = [\"ssh://deploy@app1.example.com:2222\", \"tcp://10.0.0.5:2376\", \
                \"unix:///run/docker.sock\", \"context:far\", \"ssh://[fd00::1]\"]\n";
    let file = parse(text.as_bytes(), "towpath.toml").unwrap();
    let hosts = file.environments[0].hosts.as_ref().unwrap();
    let names: Vec<&str> = hosts.iter().map(|host| host.value.name.as_str()).collect();
    assert_eq!(names, ["app1.example.com", "10.0.0.5", "local", "far", "fd00--1"]);
}

/// nginx is told addresses: what has none that can be read from its url needs one.
#[test]
fn a_router_needs_the_address_of_a_named_host() {
    let router = "url = \"http://e.com\"\nrouter = { nginx = { include = \"/a\" } }\n";
    for (host, has_address) in [
        ("\"ssh://app1\"", false),
        ("\"tcp://app1:2376\"", false),
        ("\"context:far\"", false),
        ("{ url = \"ssh://app1\", address = \"10.0.0.5\" }", true),
        ("\"ssh://10.0.0.5\"", true),
        ("\"tcp://[fd00::1]:2376\"", true),
        ("\"unix:///run/docker.sock\"", true),
        ("\"default\"", true),
    ] {
        let text = format!("[environment.a]\n{router}hosts = [{host}]\n");
        match parse(text.as_bytes(), "towpath.toml") {
            Ok(_) => assert!(has_address, "{host}"),
            Err(mistakes) => {
                let said = mistakes.to_string();
                assert!(!has_address && said.starts_with("towpath.toml:4:10: the host \""), "{host}: {said}");
            }
        }
    }
}

#[test]
fn every_mistake_of_a_service_has_its_place() {
    let cases = [
        ("", "1:10: the service \"db\" has no image."),
        ("image = \"Postgres:17\"", "2:9: image = \"Postgres:17\" cannot be used."),
        ("image = \"a\"\ncommand = \" \"", "3:11: command = \" \" cannot be used."),
        (
            "image = \"a\"\nenv = { A = \"AKIAIOSFODNN7EXAMPLE\" }",
            "3:13: the value of A looks like an AWS access key",
        ),
        ("image = \"a\"\nready = 5432", "3:9: \"ready\" is a number."),
        ("image = \"a\"\nready = {}", "3:9: ready has 0 probes."),
        ("image = \"a\"\nready = { tcp = 1, command = \"x\" }", "3:9: ready has 2 probes."),
        ("image = \"a\"\nready = { tpc = 1 }", "3:11: unknown key \"tpc\". Did you mean \"tcp\"?"),
        ("image = \"a\"\nready = { tcp = 0 }", "3:17: tcp = 0 is out of range."),
        ("image = \"a\"\nready = { postgres = \"redis://db\" }", "3:22: postgres is no address"),
        (
            "image = \"a\"\nready = { postgres = \"postgres://a:hunter2@live.example.com/a\" }",
            "3:22: postgres asks a",
        ),
    ];
    for (body, expected) in cases {
        let said = mistakes(&format!("[service.db]\n{body}\n"));
        assert!(said.starts_with(&format!("towpath.toml:{expected}")), "{body}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // What is thrown away may have a password that protects nothing.
    let text = "[service.db]\nimage = \"a\"\nready = { postgres = \"postgres://harbor:s3cr3tPa55word@db:5432/a\" }\n";
    parse(text.as_bytes(), "towpath.toml").unwrap();
}
