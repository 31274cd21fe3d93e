//! One command of a step: what is run, how it ended, and the pipes between it and the log.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::log::Log;
use crate::domain::plan::Cause;
use crate::domain::time::Millis;
use crate::store::segment::Source;
use crate::text::sanitise::Sanitiser;

/// How many of a command's last lines are kept for whoever judges it.
pub const TAIL_LINES: usize = 2000;
/// How many bytes of them at most.
const TAIL_BYTES: usize = 4 << 20;
/// How many bytes of captured standard output are kept at most.
pub const CAPTURE_BYTES: usize = 64 << 20;
/// How long a command's output is still read after the command itself has ended: a process that it left behind
/// may hold the pipe for ever.
pub const LINGER: Duration = Duration::from_secs(2);
/// How many lines a cause shows.
const CAUSE_LINES: usize = 30;

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// The program, by path or by name on the command's own `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where; empty is the attempt's working directory.
    pub cwd: PathBuf,
    /// What is added to the environment of the step, or takes the place of a part of it.
    pub env: BTreeMap<String, String>,
    /// Whether its standard output is given back as a whole (it is logged all the same).
    pub capture: bool,
}

impl CommandLine {
    /// A program without arguments.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), ..Self::default() }
    }

    /// A line for `sh -c`.
    pub fn shell(line: impl Into<String>) -> Self {
        Self::new("sh").arg("-c").arg(line)
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// In this directory.
    #[must_use]
    pub fn cwd(mut self, cwd: impl Into<PathBuf>) -> Self {
        self.cwd = cwd.into();
        self
    }

    /// With one more variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// With more variables.
    #[must_use]
    pub fn envs(mut self, env: impl IntoIterator<Item = (String, String)>) -> Self {
        self.env.extend(env);
        self
    }

    /// With its standard output given back too.
    #[must_use]
    pub const fn capture(mut self) -> Self {
        self.capture = true;
        self
    }
}

/// With which code, or by which signal, a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that killed it.
    pub signal: Option<i32>,
}

impl Exit {
    /// Whether it said that all is well.
    #[must_use]
    pub fn success(&self) -> bool {
        self.code == Some(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        Self { code: status.code(), signal: status.signal() }
    }
}

/// `exit code 1`, `signal SIGKILL`.
impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => match Signal::try_from(signal) {
                Ok(name) => write!(f, "signal {name}"),
                Err(_) => write!(f, "signal {signal}"),
            },
            (None, None) => f.write_str("no exit code"),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit.
    pub exit: Exit,
    /// How long it took.
    pub took: Millis,
    /// Its last lines, both streams in the order in which they came, oldest first: sanitised, redacted, without
    /// colours, at most [`TAIL_LINES`].
    pub tail: Vec<String>,
    /// Its standard output where it was asked for: as it came, neither sanitised nor redacted.
    pub stdout: Option<String>,
}

impl Ended {
    /// Whether it said that all is well.
    #[must_use]
    pub fn success(&self) -> bool {
        self.exit.success()
    }

    /// A cause for a command that should have ended with 0.
    #[must_use]
    pub fn cause(&self, summary: impl Into<String>) -> Cause {
        Cause {
            summary: summary.into(),
            expected: "exit code 0".into(),
            measured: format!("{} after {}", self.exit, self.took),
            exit_code: self.exit.code,
            last_lines: self.tail[self.tail.len().saturating_sub(CAUSE_LINES)..].to_vec(),
            cure: String::new(),
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started, or standard output to be given back grows past [`CAPTURE_BYTES`]. (A command that
/// fails is no error.)
pub(super) async fn run(
    log: &mut Log,
    line: &CommandLine,
    cwd: &Path,
    env: &BTreeMap<String, String>,
) -> anyhow::Result<Ended> {
    let began = Instant::now();
    let mut child = spawn(line, cwd, env)?;
    let mut out = child.stdout.take().map(|pipe| Stream::new(pipe, Source::Output));
    let mut err = child.stderr.take().map(|pipe| Stream::new(pipe, Source::Error));
    let mut tail = Tail::default();
    let mut captured = line.capture.then(Vec::new);

    let mut exit: Option<ExitStatus> = None;
    let patience = tokio::time::sleep(Duration::MAX / 4);
    tokio::pin!(patience);
    while exit.is_none() || out.is_some() || err.is_some() {
        tokio::select! {
            status = child.wait(), if exit.is_none() => {
                exit = Some(status.context("the command's end could not be waited for")?);
                patience.as_mut().reset(tokio::time::Instant::now() + LINGER);
            }
            chunk = next(&mut out), if out.is_some() => {
                if let (Some(bytes), Some(captured)) = (&chunk, &mut captured) {
                    if captured.len() + bytes.len() > CAPTURE_BYTES {
                        bail!("{} wrote more than {} MiB to standard output, which is to be read as a whole",
                            line.program.display(), CAPTURE_BYTES >> 20);
                    }
                    captured.extend_from_slice(bytes);
                }
                take(&mut out, chunk.as_deref(), log, &mut tail);
            }
            chunk = next(&mut err), if err.is_some() => take(&mut err, chunk.as_deref(), log, &mut tail),
            () = &mut patience, if exit.is_some() => {
                log.line(Source::Towpath, "The command has ended, but a process that it left behind still holds its output; not waiting for it.");
                take(&mut out, None, log, &mut tail);
                take(&mut err, None, log, &mut tail);
            }
        }
    }
    log.flush();
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    Ok(Ended {
        exit: exit.map_or(Exit { code: None, signal: None }, Exit::from),
        took,
        tail: tail.into_lines(),
        stdout: captured.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    })
}

fn spawn(line: &CommandLine, cwd: &Path, env: &BTreeMap<String, String>) -> anyhow::Result<Child> {
    if !cwd.is_dir() {
        bail!("{} cannot be run in {}: there is no such directory", line.program.display(), cwd.display());
    }
    Command::new(&line.program)
        .args(&line.args)
        .current_dir(cwd)
        .env_clear()
        .envs(env)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: a signal that it sends to its group does not reach the worker.
        .process_group(0)
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => anyhow::anyhow!(
                "{} was not found; looked for on PATH={}",
                line.program.display(),
                env.get("PATH").map_or("", String::as_str)
            ),
            _ => {
                anyhow::Error::new(error).context(format!("{} could not be started", line.program.display()))
            }
        })
}

/// One of a command's pipes.
struct Stream<T> {
    pipe: T,
    source: Source,
    sanitiser: Sanitiser,
    buffer: Vec<u8>,
}

impl<T> Stream<T> {
    fn new(pipe: T, source: Source) -> Self {
        Self { pipe, source, sanitiser: Sanitiser::new(), buffer: vec![0; 64 << 10] }
    }
}

/// The next bytes; `None` at the end. A pipe that cannot be read has ended.
async fn next<T: AsyncRead + Unpin>(stream: &mut Option<Stream<T>>) -> Option<Vec<u8>> {
    let stream = stream.as_mut()?;
    match stream.pipe.read(&mut stream.buffer).await {
        Ok(0) | Err(_) => None,
        Ok(count) => stream.buffer.get(..count).map(<[u8]>::to_vec),
    }
}

fn take<T>(stream: &mut Option<Stream<T>>, chunk: Option<&[u8]>, log: &mut Log, tail: &mut Tail) {
    let Some(open) = stream.as_mut() else { return };
    let lines = match chunk {
        Some(bytes) => open.sanitiser.push(bytes),
        None => open.sanitiser.finish().into_iter().collect(),
    };
    for line in lines {
        tail.push(log.line(open.source, &line));
    }
    log.flush();
    if chunk.is_none() {
        *stream = None;
    }
}

/// The last lines, bounded in number and in bytes.
#[derive(Default)]
pub(super) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    /// One more line.
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > TAIL_LINES || (self.bytes > TAIL_BYTES && self.lines.len() > 1) {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    /// The lines, oldest first.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_reads_as_people_say_it() {
        assert_eq!(Exit { code: Some(3), signal: None }.to_string(), "exit code 3");
        assert_eq!(Exit { code: None, signal: Some(9) }.to_string(), "signal SIGKILL");
        assert_eq!(Exit { code: None, signal: Some(200) }.to_string(), "signal 200");
    }

    #[test]
    fn the_tail_is_bounded_in_lines_and_in_bytes() {
        let mut tail = Tail::default();
        for number in 0..TAIL_LINES + 5 {
            tail.push(number.to_string());
        }
        assert_eq!(tail.lines.len(), TAIL_LINES);
        assert_eq!(tail.lines[0], "5");
        tail.push("x".repeat(TAIL_BYTES + 1));
        assert_eq!(tail.lines.len(), 1);
        assert_eq!(tail.bytes, TAIL_BYTES + 1);
    }
}
