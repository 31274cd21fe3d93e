//! Roles and environments: every mistake with its place.

use super::mistakes;

/// A role to run, then one environment whose first line is line 4.
fn environment(body: &str) -> String {
    mistakes(&format!("[role.web]\ncommand = \"x\"\n[environment.a]\n{body}\n"))
}

#[test]
fn every_mistake_of_an_environment_has_its_place_and_cure() {
    let cases = [
        ("protcted = true", "4:1: unknown key \"protcted\". Did you mean \"protected\"?"),
        ("probe = []", "4:1: \"probe\" is not supported yet. Leave it out"),
        ("before = []", "4:1: unknown key \"before\". It belongs under hooks = { … }."),
        ("after = \"b\"", "4:9: there is no environment \"b\"."),
        ("after = \"a\"", "4:9: the environments wait for each other: a after a."),
        ("replicas = { web = 65 }", "4:20: web = 65 is out of range. Write a whole number from 0 to 64."),
        ("strategy = \"blue\"", "4:12: strategy = \"blue\" cannot be used."),
        ("strategy = { canary = [] }", "4:23: canary names no share"),
        ("strategy = { canary = [50, 10] }", "4:28: canary: 10 does not come after a smaller share."),
        ("strategy = { canary = [10, 100] }", "4:28: canary = 100 is out of range."),
        ("strategy = { bake = \"5m\" }", "4:12: the strategy has no canary."),
        ("bake = \"soon\"", "4:8: bake = \"soon\" cannot be used."),
        ("smoke = [\" \"]", "4:10: smoke = \" \" cannot be used. Write a command line."),
        ("hooks = [\"x\"]", "4:9: \"hooks\" is a list."),
        ("migrations = { lock_timeout = \"0s\" }", "4:31: lock_timeout = \"0s\" cannot be used."),
        ("health = \"health\"", "4:10: health = \"health\" cannot be used."),
        ("health = { status = 99 }", "4:21: status = 99 is out of range."),
        ("tolerance = { failed = \"1\" }", "4:24: failed = \"1\" cannot be used."),
        ("url = \"https://a:hunter2@e.com\"", "4:7: url has a login in it."),
        ("env = { PORT = \"1\" }", "4:16: PORT cannot be set."),
        ("env = { \"1A\" = \"x\" }", "4:9: \"1A\" cannot be the name"),
        ("secrets = { \"1A\" = { env = \"X\" } }", "4:13: \"1A\" cannot be the name"),
        ("secrets = { A = \"hunter2\" }", "4:17: A is a value; this file is committed. Write where it comes"),
        ("secrets = { A = {} }", "4:17: A has no source."),
        ("secrets = { A = { env = \"X\", file = \"/x\" } }", "4:17: A has 2 sources: env, file."),
        ("secrets = { A = { evn = \"X\" } }", "4:19: unknown key \"evn\". Did you mean \"env\"?"),
        ("secrets = { A = { env = \"hunter2!\" } }", "4:25: env has something that cannot be"),
        (
            "env = { A = \"1\" }\nsecrets = { A = { env = \"X\" } }",
            "5:13: A is among the secrets and, on line 4",
        ),
        ("router = {}", "4:10: the router is not named."),
        ("url = \"http://e.com\"\nrouter = { nginx = {} }", "5:20: nginx has no include."),
        ("router = { nginx = { include = \"/a\" } }", "4:20: the environment \"a\" has a router and no url."),
        ("url = \"http://e.com\"\nrouter = { nginx = { include = \"a\" } }", "5:32: include = \"a\" cannot"),
    ];
    for (body, expected) in cases {
        let said = environment(body);
        assert!(
            said.lines().any(|line| line.starts_with(&format!("towpath.toml:{expected}"))),
            "{body}: {said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn every_mistake_of_a_role_has_its_place() {
    let cases = [
        ("[role.web]\n", "1:7: the role \"web\" has no command."),
        ("[role.Web]\ncommand = \"x\"\n", "1:7: \"Web\" cannot be a name here."),
        ("[role.web]\ncommand = \"x\"\nmax = 1\n", "3:7: the role \"web\" cannot have max."),
        ("[role.beat]\ncommand = \"x\"\nmax = 2\n", "3:7: max = 2 is not supported."),
        (
            "[role.web]\ncommand = \"x\"\nport = 0\n",
            "3:8: port = 0 is out of range. Write a whole number from 1",
        ),
        ("[role.web]\ncommand = \"x\"\nvolumes = [\"media\"]\n", "3:12: volumes = \"media\" cannot be used."),
        (
            "[role.web]\ncommand = \"x\"\nvolumes = [\"a1:/x\", \"b1:/x\"]\n",
            "3:21: two volumes are mounted at /x.",
        ),
        ("[role]\nweb = \"x\"\n", "2:7: \"role.web\" is text."),
    ];
    for (text, expected) in cases {
        let said = mistakes(text);
        assert!(said.starts_with(&format!("towpath.toml:{expected}")), "{text}: {said}");
    }
}

#[test]
fn a_secret_in_env_is_sent_to_the_secrets_of_its_environment() {
    let said = environment("env = { SECRET_KEY = \"q8Zx-v!k2$9dLw0#mRt7^yPb4&uHc6*e\" }");
    assert!(said.contains("4:22: ") && said.contains("[environment.a.secrets]"), "{said}");
}

#[test]
fn a_circle_is_said_once() {
    let said = mistakes("[environment.a]\nafter = \"b\"\n[environment.b]\nafter = \"a\"\n");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("towpath.toml:2:9: the environments wait for each other: a after b after a."));
}
