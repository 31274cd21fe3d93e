//! The two commands that the user has configured: bounded in time and output, without input.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::FusedFuture as _;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::docker::Engine;
use crate::docker::exec::exec;
use crate::domain::project::Host;
use crate::domain::time::Millis;
use crate::router::Trouble;
use crate::text::sanitise::Sanitiser;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long is waited for output after the end: a child that lives on may hold the pipe open.
const LINGER: Duration = Duration::from_millis(300);
/// Lines of output that are kept, and their sum of bytes while reading.
const MOST_LINES: usize = 20;
const MOST_BYTES: usize = 64 * 1024;

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its exit code; `None` when a signal or the time limit ended it.
    pub(super) code: Option<i32>,
    /// How it ended, in words.
    pub(super) how: String,
    /// Its last lines, both streams, sanitised.
    pub(super) lines: Vec<String>,
}

impl Ended {
    pub(super) fn well(&self) -> bool {
        self.code == Some(0)
    }

    pub(super) fn says(&self, words: &str) -> bool {
        self.lines.iter().any(|line| line.contains(words))
    }
}

/// Runs a command line through `sh -c`.
pub(super) async fn run(line: &str, cwd: &Path) -> Result<Ended, Trouble> {
    run_within(line, cwd, LIMIT).await
}

/// Runs a command line through `sh -c` inside of a container of this machine's usual engine.
pub(super) async fn run_inside(container: &str, line: &str, home: &Path) -> Result<Ended, Trouble> {
    let began = Instant::now();
    let ran = async {
        let engine = Engine::connect(&Host::usual(), home).await?;
        exec(&engine, container, &["sh", "-c", line]).await
    };
    let ran = tokio::time::timeout(LIMIT, ran).await;
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    match ran {
        Err(_) => Ok(Ended { code: None, how: format!("no end after {took}"), lines: Vec::new() }),
        Ok(Err(cause)) => Err(Trouble {
            summary: cause.summary,
            expected: format!("the container {container}, which nginx runs in"),
            measured: cause.measured,
            last_lines: cause.last_lines,
            cure: if cause.cure.is_empty() {
                "start it, or write its name under nginx = { container = … }".to_owned()
            } else {
                cause.cure
            },
        }),
        Ok(Ok((code, said))) => {
            let mut sanitiser = Sanitiser::new();
            let mut lines = sanitiser.push(said.as_bytes());
            lines.extend(sanitiser.finish());
            lines.drain(..lines.len().saturating_sub(MOST_LINES));
            Ok(Ended { code: i32::try_from(code).ok(), how: format!("exit code {code} after {took}"), lines })
        }
    }
}

async fn run_within(line: &str, cwd: &Path, limit: Duration) -> Result<Ended, Trouble> {
    let began = Instant::now();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .current_dir(cwd)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Trouble {
            summary: format!("`{line}` could not be started"),
            expected: "a command that can be started".into(),
            measured: error.to_string(),
            cure: format!("see to it that {} exists and sh is on PATH", cwd.display()),
            ..Trouble::default()
        })?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let status = {
        let reading = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) }.fuse();
        tokio::pin!(reading);
        let reads_on = async {
            (&mut reading).await;
            std::future::pending::<()>().await;
        };
        let status = tokio::select! {
            status = tokio::time::timeout(limit, child.wait()) => Some(status),
            () = reads_on => None,
        };
        if let (Some(Err(_)), Some(group)) = (&status, group) {
            // Whatever it started goes with it; that it is gone already is just as well.
            let _ = killpg(group, Signal::SIGKILL);
        }
        if !reading.is_terminated() {
            let _ = tokio::time::timeout(LINGER, &mut reading).await;
        }
        status
    };
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    let (code, how) = match status {
        None | Some(Err(_)) => (None, format!("no end after {took}; ended by force")),
        Some(Ok(Err(error))) => (None, error.to_string()),
        Some(Ok(Ok(status))) => {
            (status.code(), format!("{status} after {took}").replace("exit status: ", "exit code "))
        }
    };
    Ok(Ended { code, how, lines: lines(&[out, err]) })
}

/// Keeps the last bytes of a stream.
async fn keep(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut chunk = vec![0; 8192];
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        kept.extend(chunk.iter().take(read));
        let beyond = kept.len().saturating_sub(MOST_BYTES);
        kept.drain(..beyond);
    }
}

fn lines(streams: &[Vec<u8>]) -> Vec<String> {
    let mut all = Vec::new();
    for stream in streams {
        let mut sanitiser = Sanitiser::new();
        all.extend(sanitiser.push(stream));
        all.extend(sanitiser.finish());
    }
    all.retain(|line| !line.trim().is_empty());
    let beyond = all.len().saturating_sub(MOST_LINES);
    all.drain(..beyond);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_end_and_the_last_lines_are_kept_and_sanitised() {
        let ended =
            run("echo one; printf 'bad \\033]0;title\\007end\\n' >&2; exit 3", Path::new("/")).await.unwrap();
        assert_eq!((ended.code, ended.lines), (Some(3), vec!["one".to_owned(), "bad end".to_owned()]));
        assert!(ended.how.starts_with("exit code 3 after "), "{}", ended.how);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let ended =
            run_within("echo begun; sleep 600 & sleep 600", Path::new("/"), Duration::from_millis(200))
                .await
                .unwrap();
        assert_eq!((ended.code, ended.lines), (None, vec!["begun".to_owned()]));
        assert!(ended.how.contains("ended by force"), "{}", ended.how);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_child_that_lives_on_does_not_hold_the_command_up() {
        let ended = run("sleep 5 & echo started", Path::new("/")).await.unwrap();
        assert_eq!((ended.code, ended.lines), (Some(0), vec!["started".to_owned()]));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn much_output_is_bounded() {
        let ended = run("seq 1 200000", Path::new("/")).await.unwrap();
        assert_eq!(ended.lines.len(), MOST_LINES);
        assert_eq!(ended.lines.last().map(String::as_str), Some("200000"));
    }
}
