//! Against a small server that answers, and closes, as it is told.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What the server does with the next request, whichever connection it comes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// A good answer.
    Answer,
    /// One of status 500.
    Fail,
    /// A good answer that says that it is the connection's last.
    Last,
    /// A good answer, and the connection is closed without a word.
    CloseAfter,
    /// No answer: the connection is closed under the request.
    CloseUnder,
    /// Half of an answer.
    Half,
}

async fn serve(listener: TcpListener, script: Vec<Then>, done: tokio::sync::oneshot::Sender<()>) {
    let mut script = script.into_iter();
    let mut done = Some(done);
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        'connection: loop {
            while !read.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut chunk = [0; 1024];
                let count = stream.read(&mut chunk).await.unwrap_or(0);
                if count == 0 {
                    break 'connection;
                }
                read.extend_from_slice(&chunk[..count]);
            }
            read.clear();
            let Some(then) = script.next() else {
                if let Some(done) = done.take() {
                    done.send(()).unwrap();
                }
                // What is asked after the script counts nowhere: it never gets an answer.
                std::future::pending::<()>().await;
                return;
            };
            let answer = |status: &str, more: &str| {
                format!("HTTP/1.1 {status}\r\nX-Towpath-Deployment: d7\r\nContent-Length: 2\r\n{more}\r\nok")
            };
            let text = match then {
                Then::Answer | Then::CloseAfter => answer("200 OK", ""),
                Then::Fail => answer("500 Internal Server Error", ""),
                Then::Last => answer("200 OK", "Connection: close\r\n"),
                Then::CloseUnder => String::new(),
                Then::Half => "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf".to_owned(),
            };
            stream.write_all(text.as_bytes()).await.unwrap();
            if !matches!(then, Then::Answer | Then::Fail) {
                break;
            }
        }
    }
}

/// What one visitor counts against a script.
async fn counted(script: Vec<Then>) -> Counted {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (done, ended) = tokio::sync::oneshot::channel();
    tokio::spawn(serve(listener, script, done));
    let visitors = Visitors { port, connections: 1, paths: vec!["/".to_owned()], think: Duration::ZERO };
    let load = Load::begin(visitors, "first").unwrap();
    ended.await.unwrap();
    load.counted()
}

#[tokio::test]
async fn what_fails_counts_once_and_is_not_asked_again() {
    use Then::{Answer, CloseUnder, Fail, Half};
    let counted = counted(vec![Answer, Fail, Answer, CloseUnder, Answer, Half, Answer]).await;
    let phase = counted.phase("first");
    assert_eq!(phase.of("d7"), Answers { ok: 4, bad: 1 });
    assert_eq!((phase.broken, phase.failed(), phase.requests()), (2, 3, 7));
    assert!(counted.troubles.contains_key("500 from d7 at /"), "{:?}", counted.troubles);
}

#[tokio::test]
async fn a_connection_that_ends_with_its_answer_is_no_failure() {
    let counted = counted(vec![Then::Last, Then::Answer, Then::Last, Then::Answer]).await;
    let phase = counted.phase("first");
    assert_eq!((phase.failed(), phase.requests()), (0, 4));
}

#[tokio::test]
async fn a_close_between_two_requests_is_told_from_one_under_a_request() {
    // Whether it is seen before the next request is sent is the machine's timing: it counts as the one or the other,
    // never as both and never as nothing.
    let counted = counted(vec![Then::Answer, Then::CloseAfter, Then::Answer]).await;
    let phase = counted.phase("first");
    assert_eq!(phase.of("d7").ok, 3);
    assert_eq!(phase.broken + counted.reopened, 1);
}

#[tokio::test]
async fn nobody_there_is_broken() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let visitors = Visitors { port, connections: 2, paths: vec!["/".to_owned()], think: Duration::ZERO };
    let load = Load::begin(visitors, "a").unwrap();
    while load.counted().phase("a").broken < 2 {
        tokio::task::yield_now().await;
    }
    let counted = load.end().await;
    assert!(counted.all().broken >= 2);
    assert!(counted.troubles.keys().all(|why| why.starts_with("no connection")), "{:?}", counted.troubles);
}

#[tokio::test]
async fn marks_part_what_is_counted() {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (done, _ended) = tokio::sync::oneshot::channel();
    tokio::spawn(serve(listener, vec![Then::Answer; 2000], done));
    let visitors =
        Visitors { port, connections: 1, paths: vec!["/".to_owned()], think: Duration::from_millis(1) };
    let load = Load::begin(visitors, "one").unwrap();
    for (before, next) in [("one", Some("two")), ("two", None)] {
        while load.counted().phase(before).requests() == 0 {
            tokio::task::yield_now().await;
        }
        if let Some(next) = next {
            load.mark(next);
        }
    }
    let counted = load.counted();
    assert_eq!(counted.all().requests(), counted.phase("one").requests() + counted.phase("two").requests());
    assert!(counted.phase("two").first.contains_key("d7"));
}
