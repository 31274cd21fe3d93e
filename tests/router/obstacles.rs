//! What stands in the way of a real nginx, and the words for it.

use std::process::Command;
use std::time::{Duration, Instant};

use towpath::probe::http::Ask;
use towpath::router::nginx::{ClientKeepalive, Options, include_text};
use towpath::router::{Share, Trouble};

use crate::nginx::{LONG, Nginx, route, share};
use crate::program::free_port;
use crate::upstream::Upstream;

const SOON: Duration = Duration::from_millis(600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_text_and_a_stopped_nginx_leave_the_old_file() {
    let Some(mut nginx) = Nginx::prepared("") else { return };
    let shares = vec![share(1, &[8001], 100)];
    // Tested well, but nothing runs that could be told.
    let trouble = nginx.apply(shares.clone()).await.unwrap_err();
    assert!(trouble.cure.starts_with("nginx does not run"), "{trouble:?}");
    assert!(!nginx.path("towpath/shop.conf").exists());
    nginx.settings.reload = "true".into();
    nginx.apply(vec![]).await.unwrap();
    let before = std::fs::read(nginx.path("towpath/shop.conf")).unwrap();
    std::fs::write(nginx.path("site.conf"), "nonsense;").unwrap();
    let trouble = nginx.apply(shares).await.unwrap_err();
    assert_eq!(trouble.summary, "nginx refuses the configuration");
    assert!(
        trouble.last_lines.iter().any(|line| line.contains("unknown directive \"nonsense\"")),
        "{trouble:?}"
    );
    assert_eq!(std::fs::read(nginx.path("towpath/shop.conf")).unwrap(), before);
    assert_eq!(std::fs::read_dir(nginx.path("towpath")).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_users_own_keepalive_min_timeout_is_left_to_them() {
    let Some(mut nginx) = Nginx::prepared("keepalive_min_timeout 5s;") else { return };
    nginx.settings.reload = "true".into();
    let shares = vec![share(1, &[8001], 100)];
    let applied = nginx.apply(shares.clone()).await;
    let text = std::fs::read_to_string(nginx.path("towpath/shop.conf")).unwrap_or_default();
    let options = Options { client: ClientKeepalive::Theirs, close_to_replicas: true };
    match applied {
        Ok(_) => assert_eq!(text, include_text(&route(shares), options)),
        // An nginx that does not know the directive refuses the user's line.
        Err(trouble) => {
            assert!(trouble.last_lines.iter().any(|line| line.contains("unknown directive")), "{trouble:?}");
        }
    }
}

/// The trouble that a confirmation ends in, once nginx has done what it was told: old workers answer for a moment.
async fn ends_in(nginx: &Nginx, shares: Vec<Share>, deployment: u64, summary: &str) -> Trouble {
    let began = Instant::now();
    loop {
        let trouble = nginx.confirm(shares.clone(), deployment, SOON).await.unwrap_err();
        if trouble.summary.contains(summary) {
            return trouble;
        }
        assert!(began.elapsed() < LONG, "{trouble:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_not_as_wanted_have_their_words() {
    let one = Upstream::new("d1").await;
    let Some(nginx) = Nginx::started("", vec![]).await else { return };
    let wanted = vec![share(1, &[one.port], 100)];
    // Nobody takes traffic.
    ends_in(&nginx, wanted.clone(), 1, "nginx gets no answer from d1: 502").await;
    nginx.switch(wanted.clone(), 1).await;
    // Another one does.
    let trouble =
        ends_in(&nginx, vec![share(2, &[one.port], 100)], 2, "d2 does not get the traffic as wanted").await;
    assert!(trouble.measured.contains("d1 "), "{trouble:?}");
    // A replica that is not there.
    nginx.apply(vec![share(3, &[free_port()], 100)]).await.unwrap();
    ends_in(&nginx, vec![share(3, &[1], 100)], 3, "nginx gets no answer from d3: 502").await;
    nginx.switch(wanted.clone(), 1).await;
    // The site lacks the line: the cure names it, exactly.
    let site = std::fs::read_to_string(nginx.path("site.conf")).unwrap();
    let lines: Vec<&str> = site.lines().filter(|line| !line.contains("add_header X-Towpath")).collect();
    std::fs::write(nginx.path("site.conf"), lines.join("\n")).unwrap();
    let dark = vec![share(4, &[one.port], 100)];
    nginx.apply(dark.clone()).await.unwrap();
    let trouble = ends_in(&nginx, dark, 4, "do not say which deployment").await;
    assert!(
        trouble.cure.contains("add_header X-Towpath-Deployment $towpath_shop_production always;"),
        "{trouble:?}"
    );
    assert!(trouble.cure.contains("proxy_pass http://towpath_shop_production;"), "{trouble:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_and_certificates_have_their_words() {
    let Some(nginx) = Nginx::prepared("") else { return };
    let trouble = nginx.confirm(vec![share(1, &[1], 100)], 1, SOON).await.unwrap_err();
    assert!(trouble.summary.ends_with("connection refused"), "{trouble:?}");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-days",
            "2",
            "-keyout",
        ])
        .arg(nginx.path("key.pem"))
        .arg("-out")
        .arg(nginx.path("cert.pem"))
        .output();
    if !made.is_ok_and(|made| made.status.success()) {
        eprintln!("SKIPPED in part: no openssl to make a certificate with");
        return;
    }
    let port = free_port();
    let root = nginx.directory.path().display();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; return 200; }}"
    );
    let Some(secure) = Nginx::started(&server, vec![]).await else { return };
    let answer = secure.prober.ask(&Ask::new(format!("https://localhost:{port}/"), LONG)).await;
    assert_eq!((answer.status, answer.healthy), (None, false));
    assert!(answer.why.starts_with("TLS: "), "{}", answer.why);
    eprintln!("a certificate of its own: {}", answer.why);
}
