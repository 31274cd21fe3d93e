//! Clients that keep their connections and never try again: whatever breaks is a failed request.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Debug, Default)]
pub(crate) struct Got {
    /// Answers with status 200, by deployment.
    pub(crate) by: BTreeMap<String, u64>,
    pub(crate) failed: Vec<String>,
}

impl Got {
    pub(crate) fn total(&self) -> u64 {
        self.by.values().sum()
    }
}

pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    /// Whether nginx has said that it closes it.
    pub(crate) closing: bool,
}

impl Connection {
    pub(crate) async fn open(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), closing: false })
    }

    /// Asks once: status and deployment. The whole body has come, and is the deployment's own.
    pub(crate) async fn ask(&mut self, method: &str, path: &str) -> std::io::Result<(u16, String)> {
        let body = if method == "POST" { "Content-Length: 5\r\n\r\nhello" } else { "\r\n" };
        let request = format!("{method} {path} HTTP/1.1\r\nHost: shop.example.org\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        let (mut status, mut deployment, mut length) = (0, String::new(), 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(std::io::Error::other("closed before the answer"));
            }
            let line = line.trim();
            let lower = line.to_lowercase();
            if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest.split(' ').next().unwrap().parse().unwrap();
            } else if let Some(value) = lower.strip_prefix("x-towpath-deployment:") {
                value.trim().clone_into(&mut deployment);
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if lower == "connection: close" {
                self.closing = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        let named = String::from_utf8(body).unwrap();
        if status == 200 && !named.split_whitespace().all(|word| word == deployment) {
            return Err(std::io::Error::other(format!("{deployment} answered {named}")));
        }
        Ok((status, deployment))
    }
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Got>,
}

impl Load {
    /// So many clients each, one after the other on its own connection, until told to end.
    pub(crate) fn start(port: u16, fast: usize, slow: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for at in 0..fast + slow {
            let (stop, path) = (Arc::clone(&stop), if at < fast { "/" } else { "/slow" });
            clients.spawn(async move {
                let mut got = Got::default();
                let mut connection = None;
                let mut turn = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    let mut open = match connection.take() {
                        Some(open) => open,
                        None => Connection::open(port).await.unwrap(),
                    };
                    turn += 1;
                    let method = if turn.is_multiple_of(4) { "POST" } else { "GET" };
                    match open.ask(method, path).await {
                        Ok((200, deployment)) => *got.by.entry(deployment).or_default() += 1,
                        Ok((status, deployment)) => got.failed.push(format!("{status} of {deployment}")),
                        Err(error) => {
                            got.failed.push(error.to_string());
                            continue;
                        }
                    }
                    if !open.closing {
                        connection = Some(open);
                    }
                }
                got
            });
        }
        Self { stop, clients }
    }

    pub(crate) async fn end(mut self) -> Got {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Got::default();
        while let Some(got) = self.clients.join_next().await {
            let got = got.unwrap();
            all.failed.extend(got.failed);
            for (deployment, count) in got.by {
                *all.by.entry(deployment).or_default() += count;
            }
        }
        all
    }

    /// So many requests over 16 connections.
    pub(crate) async fn of(port: u16, requests: u64) -> Got {
        let mut clients = JoinSet::new();
        for _ in 0..16 {
            clients.spawn(async move {
                let mut connection = Connection::open(port).await.unwrap();
                let mut by: BTreeMap<String, u64> = BTreeMap::new();
                for _ in 0..requests / 16 {
                    if connection.closing {
                        connection = Connection::open(port).await.unwrap();
                    }
                    let (status, deployment) = connection.ask("GET", "/").await.unwrap();
                    assert_eq!(status, 200);
                    *by.entry(deployment).or_default() += 1;
                }
                by
            });
        }
        let mut all = Got::default();
        while let Some(by) = clients.join_next().await {
            for (deployment, count) in by.unwrap() {
                *all.by.entry(deployment).or_default() += count;
            }
        }
        all
    }
}
