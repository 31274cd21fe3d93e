//! What goes wrong without a router: each is said in words that help, and what was live stays live.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use towpath::domain::health::ReplicaState;
use towpath::runtime::replica::{self, last_lines};

use crate::program::free_port;
use crate::words;
use crate::world::{Clone, is_alive, members, wait_for};

const LINES: &str = "replicas = { web = 1 }\nstrategy = \"blue-green\"\nbake = \"0s\"\nhealth = { path = \"/health\", start \
                     = \"30s\" }";

pub(crate) fn story(shop: &Clone) {
    shop.environment("bare", LINES, &[]);
    shop.towpath(&["promote", "bare", "--release", "1", "--plain"]).ends(0);
    let live = shop.newest("bare");
    let dir = shop.replica("bare", live, "web", 1);
    let pid = replica::status(&dir).pid.expect("it runs");
    let stays = |title: &str, lines: &str, env: &[(&str, &str)], code: i32| {
        shop.environment("bare", lines, env);
        let said = words(title, shop.towpath(&["redeploy", "bare", "--plain"])).ends(code);
        assert_eq!(replica::status(&dir).pid, Some(pid), "{title}: what was live was touched\n{said}");
        let failed =
            shop.deployments("bare").into_iter().rfind(|number| !shop.ending(*number).contains("\"live\""));
        let failed = failed.expect("one that failed");
        assert!(
            members(&shop.replica("bare", failed, "web", 1)).is_empty(),
            "{title}: the new one still runs"
        );
        assert_eq!(shop.started("bare", live, 1), 1, "{title}");
        (said, failed)
    };
    let untouched = |title: &str, lines: &str, env: &[(&str, &str)]| {
        let (said, failed) = stays(title, lines, env, 4);
        assert!(!shop.has_begun(failed, "start web"), "{title}: it went too far\n{said}");
        said
    };
    let (said, _) = stays(
        "a replica that ends after three seconds",
        &LINES.replace("30s", "20s"),
        &[("MODE", "exits")],
        4,
    );
    said.says("no more tea").says("exit code 7");
    let (said, _) = stays("no health", &LINES.replace("30s", "3s"), &[("MODE", "silent")], 4);
    said.says("was not well within 3.0s").says("not listening");

    let secret = |source: &str| format!("{LINES}\nsecrets = {{ SECRET_KEY = {{ {source} }} }}");
    untouched("a secret's command that fails", &secret("command = \"echo no vault >&2; exit 9\""), &[])
        .says("SECRET_KEY")
        .says("exit code 9");
    untouched("a secret's variable that the engine does not have", &secret("env = \"NOT_THERE\""), &[])
        .says("NOT_THERE")
        .says("towpath engine stop");
    let url = format!("postgres://shop@127.0.0.1:{}/shop", free_port());
    untouched("no database", LINES, &[("DATABASE_URL", &url)])
        .says("could not be reached")
        .says("Nothing was touched");
    untouched("a database that cannot be opened", LINES, &[("DATABASE", "/proc/nothing.sqlite3")])
        .says("unable to open database file");
    shop.environment("bare", LINES, &[]);
    killed(shop, live);
}

/// What touches the configuration of every environment: told while nothing else is.
pub(crate) fn configured(shop: &Clone) {
    // The operator's tree has the role already, the release's commit does not.
    let roles = LINES.replace("web = 1", "web = 1, mail = 1");
    shop.environment("bare", &format!("{roles}\n[role.mail]\ncommand = \"sleep 600\""), &[]);
    let said = shop.towpath(&["redeploy", "bare", "--plain"]);
    words("a release without the role", said)
        .ends(4)
        .says("has no role mail")
        .says("Roles travel with the commit");
    assert!(!shop.has_begun(shop.deployments("bare").into_iter().rev().nth(1).unwrap(), "migrate"));

    // A mistake in the file is no reason to deploy by what it said before.
    let before = shop.deployments("bare");
    shop.environment("bare", &LINES.replace("web = 1", "web = 1, nobody = 1"), &[]);
    words("a mistake in towpath.toml", shop.towpath(&["redeploy", "bare", "--plain"])).ends(2).says("nobody");
    assert_eq!(shop.deployments("bare"), before);
    shop.environment("bare", LINES, &[]);
}

/// A replica that is killed is started again by its keeper; a keeper that is killed leaves it running, and the engine
/// gives it another.
fn killed(shop: &Clone, live: u64) {
    let dir = shop.replica("bare", live, "web", 1);
    let keeper = || {
        let text = std::fs::read_to_string(dir.join("alive")).ok()?;
        let json: serde_json::Value = serde_json::from_str(&text).ok()?;
        i32::try_from(json["pid"].as_i64()?).ok().filter(|pid| is_alive(*pid))
    };
    let first = keeper().expect("a keeper");
    let pid = replica::status(&dir).pid.unwrap();
    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    wait_for("another keeper is there", || keeper().is_some_and(|now| now != first));
    wait_for("it says so", || replica::status(&dir).state == ReplicaState::Up);
    assert_eq!(
        (replica::status(&dir).pid, shop.started("bare", live, 1)),
        (Some(pid), 1),
        "adopted, not started anew"
    );

    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    wait_for("it is started again", || {
        let status = replica::status(&dir);
        status.state == ReplicaState::Up && status.pid.is_some_and(|now| now != pid)
    });
    assert_eq!(
        (replica::status(&dir).restarts, shop.started("bare", live, 1)),
        (1, 2),
        "{:?}",
        last_lines(&dir, 20)
    );
    // The sample that tells of it is the engine's, taken now and then.
    wait_for("the restart is told of", || shop.towpath(&["environments", "--plain"]).out.contains("restart"));
    words("environments, after a replica was killed", shop.towpath(&["environments", "--plain"])).ends(0);
}
