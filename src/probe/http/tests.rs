use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// Answers one connection with these bytes, after a while; gives what it was asked.
async fn serve(answer: Vec<u8>, after: Duration) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let read = stream.read(&mut asked).await.unwrap();
        tokio::time::sleep(after).await;
        let _ = stream.write_all(&answer).await;
        String::from_utf8_lossy(&asked[..read]).into_owned()
    });
    (address, asked)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn direct(address: SocketAddr) -> Ask {
    Ask::direct(address.ip(), address.port(), "/health", None, Duration::from_secs(20))
}

async fn ask(ask: &Ask) -> Answer {
    Prober::new().unwrap().ask(ask).await
}

#[tokio::test(flavor = "current_thread")]
async fn an_answer_is_told_with_whose_it_is_and_how_it_begins() {
    let head = "200 OK\r\nX-Towpath-Deployment: d112";
    let (address, asked) = serve(answer(head, b"all \x1b]0;title\x07well\n"), Duration::ZERO).await;
    let question =
        Ask { host: Some("shop.example".into()), forwarded_proto: Some("https".into()), ..direct(address) };
    let got = ask(&question).await;
    assert_eq!((got.status, got.healthy, got.why.as_str()), (Some(200), true, "200 OK"));
    assert_eq!((got.deployment.as_deref(), got.body_start.as_str()), (Some("d112"), "all well"));
    let asked = asked.await.unwrap().to_lowercase();
    assert!(asked.starts_with("get /health http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("host: shop.example\r\n") && asked.contains("x-forwarded-proto: https\r\n"),
        "{asked}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_status_is_healthy_below_500_or_as_expected() {
    for (head, expect_status, healthy, why) in [
        ("503 Service Unavailable", None, false, "503 Service Unavailable"),
        ("404 Not Found", None, true, "404 Not Found"),
        ("404 Not Found", Some(200), false, "404 Not Found, expected 200"),
        (
            "301 Moved Permanently\r\nLocation: https://shop.example/",
            None,
            true,
            "301 Moved Permanently to https://shop.example/",
        ),
        (
            "301 Moved Permanently\r\nLocation: https://shop.example/",
            Some(200),
            false,
            "301 Moved Permanently to https://shop.example/, expected 200",
        ),
    ] {
        let (address, _) = serve(answer(head, b""), Duration::ZERO).await;
        let got = ask(&Ask { expect_status, ..direct(address) }).await;
        assert_eq!((got.healthy, got.why.as_str()), (healthy, why));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn slow_and_silent_are_told_apart() {
    let (address, _) = serve(answer("200 OK", b"late"), Duration::from_millis(60)).await;
    let got = ask(&Ask { within: Some(Millis(50)), ..direct(address) }).await;
    assert!(!got.healthy && got.why.starts_with("slower than 50ms: "), "{got:?}");
    assert!(got.latency >= Millis(60) && got.status == Some(200), "{got:?}");

    let (address, _) = serve(answer("200 OK", b"late"), Duration::from_secs(60)).await;
    let got = ask(&Ask { timeout: Duration::from_millis(100), ..direct(address) }).await;
    assert_eq!((got.status, got.healthy, got.why.as_str()), (None, false, "no answer within 100ms"));
}

#[tokio::test(flavor = "current_thread")]
async fn no_answer_has_its_words() {
    let (address, _) = serve(Vec::new(), Duration::ZERO).await;
    assert_eq!(ask(&direct(address)).await.why, "connection closed without an answer");
    // Bound and not listening: nobody else gets the port, and nobody answers.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    assert_eq!(ask(&direct(taken.local_addr().unwrap())).await.why, "connection refused");
    let got = ask(&Ask::new("not a url", Duration::from_secs(5))).await;
    assert!(got.why.starts_with("not a request that can be made: "), "{}", got.why);
    let got = ask(&Ask::new("http://nobody.invalid/", Duration::from_secs(20))).await;
    assert!(got.why.starts_with("no such host"), "{}", got.why);
    let (address, _) = serve(answer("400 Bad Request", b"plain"), Duration::ZERO).await;
    let got = ask(&Ask::new(format!("https://{address}/"), Duration::from_secs(20))).await;
    assert!(got.why.starts_with("TLS: "), "{}", got.why);
}

#[tokio::test(flavor = "current_thread")]
async fn an_endless_body_is_read_to_its_bound_only() {
    let endless =
        [b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".as_slice(), &[b'x'; 80 * 1024]].concat();
    let (address, _) = serve(endless, Duration::ZERO).await;
    let got = ask(&direct(address)).await;
    assert_eq!((got.status, got.healthy, got.body_start.len()), (Some(200), true, MOST_SHOWN));
}

#[test]
fn a_direct_question_names_address_port_and_path() {
    let ask = Ask::direct("::1".parse().unwrap(), 8001, "health", None, Duration::from_secs(1));
    assert_eq!(ask.url, "http://[::1]:8001/health");
}
