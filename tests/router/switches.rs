//! Nothing is lost, and each gets its share.

use std::time::{Duration, Instant};

use towpath::domain::ids::DeploymentId;
use towpath::router::nginx::{Tail, Traffic};
use towpath::router::static_files;

use crate::load::{Connection, Load};
use crate::nginx::{LONG, Nginx, share};
use crate::program::free_port;
use crate::upstream::Upstream;

/// Whether this nginx can keep idle connections over a reload.
async fn keeps(nginx: &Nginx, port: u16) -> bool {
    let applied = nginx.apply(vec![share(1, &[port], 100)]).await.unwrap();
    if !applied.warnings.is_empty() {
        eprintln!("SKIPPED in part: {}", applied.warnings.join(" "));
    }
    applied.warnings.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_under_load_fail_no_request() {
    // More by hand: a switch is a second or two.
    let count: usize =
        std::env::var("TOWPATH_TEST_SWITCHES").ok().and_then(|count| count.parse().ok()).unwrap_or(30);
    let (one, two) = (Upstream::new("d1").await, Upstream::new("d2").await);
    let Some(nginx) = Nginx::started("", vec![share(1, &[one.port], 100)]).await else { return };
    let keeps = keeps(&nginx, one.port).await;
    let load = Load::start(nginx.port, 16, 3);
    let mut first = Vec::new();
    for at in 0..count {
        let (deployment, port) = if at % 2 == 0 { (2, two.port) } else { (1, one.port) };
        let applied = Instant::now();
        let shares = vec![share(deployment, &[port], 100)];
        assert!(nginx.apply(shares.clone()).await.unwrap().changed);
        let told = applied.elapsed();
        let confirmed = nginx.confirm(shares, deployment, LONG).await.unwrap();
        first.push((confirmed.first.0, told.as_millis(), confirmed.took.0));
    }
    let got = load.end().await;
    first.sort_unstable();
    eprintln!(
        "{count} switches: {:?}, {} failed; from the end of the reload command to the first new answer: median {} ms, worst {} ms; \
         writing, testing, reloading: about {} ms; certain after {} ms",
        got.by,
        got.failed.len(),
        first[count / 2].0,
        first[count - 1].0,
        first[count / 2].1,
        first[count / 2].2
    );
    assert!(got.by["d1"] > 100 && got.by["d2"] > 100, "{got:?}");
    if keeps {
        assert!(got.failed.is_empty(), "{} of {}: {:?}", got.failed.len(), got.total(), got.failed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_are_as_told_and_the_log_says_the_same() {
    let mut ups = Vec::new();
    for name in ["d1", "d1", "d1", "d2"] {
        ups.push(Upstream::new(name).await);
    }
    let old: Vec<u16> = ups[..3].iter().map(|up| up.port).collect();
    let shares = |weight| vec![share(2, &[ups[3].port], weight), share(1, &old, 100 - weight)];
    let Some(nginx) = Nginx::started("", shares(0)).await else { return };
    for weight in [10_u8, 50] {
        nginx.switch(shares(weight), 2).await;
        // On a busy machine a worker that is on its way out may still take connections, and spreads as it was told before:
        // a confirmation cannot tell two shares of the same sets apart.
        let began = Instant::now();
        let (mut tail, got) = loop {
            // Confirming asked too, and nginx logs after it has answered: wait until nothing comes any more.
            let tail = Tail::at_end(nginx.settings.access_log.clone().unwrap()).unwrap();
            let got = Load::of(nginx.port, 4_800).await;
            let canary = got.by["d2"] as f64 * 100.0 / got.total() as f64;
            eprintln!("{weight} %: {canary:.1} % of {}", got.total());
            if (canary - f64::from(weight)).abs() <= 5.0 {
                break (tail, got);
            }
            assert!(began.elapsed() < LONG, "{weight}: {canary}");
        };
        let began = Instant::now();
        loop {
            let told = tail.poll().unwrap();
            let of = |id| told.get(&DeploymentId(id)).copied().unwrap_or_default();
            // The last lines of the confirmation may come after the tail began: at most a few more.
            if of(1).requests >= got.by["d1"] && of(2).requests >= got.by["d2"] {
                assert!(of(1).requests + of(2).requests <= got.total() + 2, "{told:?} {got:?}");
                assert_eq!((of(1).failed, of(2).failed, tail.skipped()), (0, 0, 0));
                assert!(of(2).median.is_some() && of(2).p95 >= of(2).median);
                break;
            }
            assert!(began.elapsed() < LONG, "{told:?} {got:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_canary_hides_from_clients_and_not_from_the_log() {
    let one = Upstream::new("d1").await;
    let shares = vec![share(2, &[free_port()], 50), share(1, &[one.port], 50)];
    let Some(nginx) = Nginx::started("", shares).await else { return };
    let mut tail = Tail::at_end(nginx.settings.access_log.clone().unwrap()).unwrap();
    let got = Load::of(nginx.port, 800).await;
    assert_eq!(got.by["d1"], 800);
    let began = Instant::now();
    loop {
        let told = tail.poll().unwrap();
        if told.get(&DeploymentId(1)).is_some_and(|traffic| traffic.requests == 800) {
            let dead = told[&DeploymentId(2)];
            // nginx goes on asking it for its part: it is not taken out after the first failure.
            assert!(dead.failed >= 360 && dead.requests == dead.failed, "{dead:?}");
            assert_eq!(told[&DeploymentId(1)].failed, 0);
            break;
        }
        assert!(began.elapsed() < LONG, "{told:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(Traffic::default().requests, 800);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_connection_from_before_is_still_served_by_the_old_set() {
    let (one, two) = (Upstream::new("d1").await, Upstream::new("d2").await);
    let Some(nginx) = Nginx::started("", vec![share(1, &[one.port], 100)]).await else { return };
    let keeps = keeps(&nginx, one.port).await;
    let mut idle = Connection::open(nginx.port).await.unwrap();
    assert_eq!(idle.ask("GET", "/").await.unwrap(), (200, "d1".to_owned()));
    nginx.switch(vec![share(2, &[two.port], 100)], 2).await;
    if keeps {
        assert_eq!(idle.ask("POST", "/").await.unwrap(), (200, "d1".to_owned()));
        assert!(idle.closing, "the connection goes after that");
    }
    // Once the old set is gone only new connections are served, all of them.
    one.drain();
    let got = Load::of(nginx.port, 320).await;
    assert_eq!(got.by["d2"], 320);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn static_files_are_served_from_the_kept_directory() {
    let one = Upstream::new("d1").await;
    let Some(nginx) = Nginx::started("", vec![share(1, &[one.port], 100)]).await else { return };
    let release = nginx.path("release");
    std::fs::create_dir(&release).unwrap();
    std::fs::write(release.join("harbor.css"), "body {}").unwrap();
    static_files::merge(&nginx.path("static"), DeploymentId(1), &release).unwrap();
    let mut connection = Connection::open(nginx.port).await.unwrap();
    let mut ask = async |path| connection.ask("GET", path).await;
    // No deployment answers for a file, and its body is not a deployment's name.
    let css = ask("/static/harbor.css").await.unwrap_err().to_string();
    assert_eq!(css, " answered body {}");
    assert_eq!(ask("/static/.towpath-static.json").await.unwrap().0, 404);
}
