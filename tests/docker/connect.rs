//! Every way to an engine, and every way not to get there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use towpath::docker::{Engine, Surroundings};
use towpath::domain::plan::Cause;
use towpath::domain::project::Host;

use super::engines::{self, Dockerd, on_path, run, skip, wait};

fn host(url: &str) -> Host {
    Host { name: "app1".to_owned(), url: url.to_owned(), address: None, tls: None }
}

fn reach(host: &Host, around: &[(&str, &str)]) -> Result<Engine, Box<Cause>> {
    let variables = around.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    wait(async { Engine::connect_in(host, Path::new("/"), &Surroundings { variables }).await })
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[test]
fn a_socket_is_reached_and_its_clock_read() {
    let Some(url) = engines::docker() else { return };
    let engine = reach(&host(&url), &[]).unwrap();
    assert!(!engine.version().is_empty());
    assert_eq!(engine.address().to_string(), "127.0.0.1");
    assert!(engine.warnings().is_empty());
    let (there, here) = wait(async {
        let engine = Engine::connect(&host(&url), Path::new("/")).await.unwrap();
        (engine.now().await.unwrap(), engine.now().await.unwrap())
    });
    // Milliseconds since the epoch, not seconds; and it goes forwards.
    assert!(there.0 > 1_700_000_000_000 && here >= there, "{there:?} {here:?}");
    // What the environment says is where `default` leads.
    let engine = reach(&host("default"), &[("DOCKER_HOST", &url)]).unwrap();
    assert_eq!(engine.name(), "app1");
}

#[test]
fn a_socket_that_is_missing_or_silent_and_a_port_that_is_closed_are_told_apart() {
    let missing = reach(&host("unix:///nowhere/docker.sock"), &[]).unwrap_err();
    assert!(missing.summary.contains("/nowhere/docker.sock"), "{missing:?}");
    assert!(missing.cure.contains("start Docker"), "{missing:?}");
    let closed = reach(&host(&format!("tcp://127.0.0.1:{}", free_port())), &[]).unwrap_err();
    assert!(closed.cure.contains("nothing listens"), "{closed:?}");
    // It accepts, and never answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let cause = reach(&host(&url), &[]).unwrap_err();
    assert!(cause.summary.contains("did not answer"), "{cause:?}");
}

/// An authority, and what it signs: `ca.pem`, `cert.pem` and `key.pem` in a directory each.
fn certificates(directory: &Path) {
    let path = |name: &str| directory.join(name).display().to_string();
    for name in ["server", "client", "other"] {
        std::fs::create_dir_all(path(name)).unwrap();
    }
    for (authority, subject) in [("ca", "/CN=towpath test"), ("other/ca", "/CN=somebody else")] {
        let (key, made) = (path(&format!("{authority}.key")), path(&format!("{authority}.pem")));
        run(
            "openssl",
            &[
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject, "-keyout",
                &key, "-out", &made,
            ],
        );
    }
    let both = "extendedKeyUsage=serverAuth,clientAuth\nsubjectAltName=IP:127.0.0.1\n";
    std::fs::write(path("extensions"), both).unwrap();
    for name in ["server", "client"] {
        let (key, request, made) = (
            path(&format!("{name}/key.pem")),
            path(&format!("{name}/request")),
            path(&format!("{name}/cert.pem")),
        );
        run(
            "openssl",
            &[
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=engine",
                "-keyout",
                &key,
                "-out",
                &request,
            ],
        );
        run(
            "openssl",
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &path("ca.pem"),
                "-CAkey",
                &path("ca.key"),
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                &path("extensions"),
                "-out",
                &made,
            ],
        );
        std::fs::copy(path("ca.pem"), path(&format!("{name}/ca.pem"))).unwrap();
    }
    for file in ["cert.pem", "key.pem"] {
        std::fs::copy(path(&format!("client/{file}")), path(&format!("other/{file}"))).unwrap();
    }
}

#[test]
fn tls_is_checked_on_both_sides() {
    if !on_path("openssl") {
        return skip("`openssl` is not installed");
    }
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let path = |name: &str| directory.path().join(name).display().to_string();
    let listen = format!("tcp://127.0.0.1:{}", free_port());
    let (ca, cert, key) = (path("server/ca.pem"), path("server/cert.pem"), path("server/key.pem"));
    let arguments = ["-H", &listen, "--tlsverify", "--tlscacert", &ca, "--tlscert", &cert, "--tlskey", &key];
    let Some(_dockerd) = Dockerd::start_with(&arguments) else { return };
    let with = |tls: &str| Host { tls: Some(path(tls)), ..host(&listen) };
    let engine = reach(&with("client"), &[]).unwrap();
    assert!(engine.warnings().is_empty());
    assert_eq!(engine.address().to_string(), "127.0.0.1");
    let cause = reach(&with("other"), &[]).unwrap_err();
    assert!(cause.cure.contains("ca.pem"), "{cause:?}");
    let cause = reach(&with("nowhere"), &[]).unwrap_err();
    assert!(cause.summary.contains("nowhere/ca.pem"), "{cause:?}");
    let cause = reach(&host(&listen), &[]).unwrap_err();
    assert!(cause.cure.contains("wants TLS"), "{cause:?}");
    let around =
        [("DOCKER_HOST", listen.as_str()), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", &path("client"))];
    reach(&host("default"), &around).unwrap();
}

#[test]
fn without_tls_it_warns() {
    let listen = format!("tcp://127.0.0.1:{}", free_port());
    let Some(_dockerd) = Dockerd::start_with(&["-H", &listen, "--tls=false"]) else { return };
    let engine = reach(&host(&listen), &[]).unwrap();
    assert!(engine.warnings()[0].contains("without TLS"), "{:?}", engine.warnings());
}

/// An ssh server of the test's own.
struct Sshd(Child);

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn ssh_comes_in_without_a_question_or_says_why_not() {
    let sshd = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).exists());
    let (Some(sshd), true) = (sshd, on_path("ssh")) else { return skip("no sshd and ssh are installed") };
    let Some(dockerd) = Dockerd::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    for key in ["host", "user", "stranger"] {
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
    }
    std::fs::copy(path("user.pub"), path("authorized")).unwrap();
    let port = free_port();
    let settings = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
         PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nMaxSessions 2\n",
        path("host"),
        path("authorized"),
    );
    std::fs::write(path("sshd_config"), settings).unwrap();
    // Privilege separation wants it; a machine that has never started its own sshd has none.
    let _ = std::fs::create_dir_all("/run/sshd");
    let log = std::fs::File::create(path("log")).unwrap();
    let started = Command::new(sshd)
        .args(["-D", "-e", "-f", &path("sshd_config")])
        .stderr(log)
        .stdin(Stdio::null())
        .spawn();
    let _sshd = Sshd(started.unwrap());
    while std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let key = std::fs::read_to_string(path("host.pub")).unwrap();
    std::fs::write(path("known"), format!("[127.0.0.1]:{port} {key}")).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    let configure = |name: &str, identity: &str, known: &str| {
        let text = format!(
            "Host app1\nHostName 127.0.0.1\nPort {port}\nIdentityFile {}\nIdentitiesOnly yes\nIdentityAgent none\n\
             UserKnownHostsFile {}\nGlobalKnownHostsFile none\nRemoteCommand false\nForwardAgent yes\n",
            path(identity),
            path(known)
        );
        std::fs::write(path(name), text).unwrap();
        path(name)
    };
    let good = configure("good", "user", "known");
    let socket = dockerd.url().trim_start_matches("unix://").to_owned();
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let there = host(&format!("ssh://{user}@app1{socket}"));
    // The alias is the user's own; its address is what ssh makes of it. All in one runtime: the connection is its.
    wait(async {
        let around =
            Surroundings { variables: BTreeMap::from([("TOWPATH_SSH_CONFIG".to_owned(), good.clone())]) };
        let engine = match Engine::connect_in(&there, Path::new("/"), &around).await {
            Ok(engine) => engine,
            Err(cause) => panic!("{cause:?}\n{}", std::fs::read_to_string(path("log")).unwrap()),
        };
        assert_eq!(engine.address().to_string(), "127.0.0.1");
        // More at once than sshd allows sessions: one connection serves all.
        let asked = (0..20).map(|_| engine.client().ping());
        for answer in futures_util::future::join_all(asked).await {
            answer.unwrap();
        }
    });
    let refused = |config: &str, url: &str| reach(&host(url), &[("TOWPATH_SSH_CONFIG", config)]).unwrap_err();
    let cause = refused(&configure("unknown", "user", "empty"), &there.url);
    assert!(cause.summary.contains("host key is not known"), "{cause:?}");
    let cause = refused(&configure("denied", "stranger", "known"), &there.url);
    assert!(cause.summary.contains("permission denied"), "{cause:?}");
    let cause = refused(&good, &format!("ssh://{user}@app1{socket}-not"));
    assert!(cause.summary.contains("no Docker engine on that machine"), "{cause:?}");
    let closed = format!("ssh://127.0.0.1:{}", free_port());
    let cause = refused(&good, &closed);
    assert!(cause.summary.contains("no ssh server listens"), "{cause:?}");
}
