//! A tiny application that says who it is.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) struct Upstream {
    pub(crate) port: u16,
    task: JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn new(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let _ = serve(stream, name).await;
                });
            }
        });
        Self { port, task }
    }

    /// As gunicorn ends: no new connection, and what is open is ended well.
    pub(crate) fn drain(self) {
        self.task.abort();
    }
}

/// One connection: its name for `/`, its name in 15 pieces over 1.5 s for `/slow`.
async fn serve(stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut first, mut length, mut close) = (String::new(), String::new(), 0, false);
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let lower = line.to_lowercase();
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            close |= lower.trim() == "connection: close";
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let body = format!("{name} ").repeat(15);
        let connection = if close { "close" } else { "keep-alive" };
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        if first.contains(" /slow") {
            for piece in body.as_bytes().chunks(name.len() + 1) {
                stream.write_all(piece).await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        } else {
            stream.write_all(body.as_bytes()).await?;
        }
        if close {
            return Ok(());
        }
    }
}
