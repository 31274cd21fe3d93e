//! Starting git so that nothing of the user's configuration runs, and so that it ends.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::error::GitError;
use crate::text::sanitise::Sanitiser;
use crate::text::width::plain;

/// How long a question may take. Large repositories on slow disks answer within seconds.
pub(super) const QUESTION: Duration = Duration::from_secs(60);
/// How long a transfer may take: a first mirror, an export.
pub(super) const TRANSFER: Duration = Duration::from_secs(15 * 60);
/// Bytes of standard error that are kept: the last ones say why.
const SAID_BYTES: usize = 8 * 1024;
/// Bytes of one answer. A commit list or a tree of a million files is smaller.
const ANSWER_BYTES: u64 = 512 * 1024 * 1024;

/// Settings that win over every configuration file. What would run a program, ask a question, reach the network
/// or change bytes is off.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.askPass=",
    "core.sshCommand=false",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "core.alternateRefsCommand=true",
    "credential.helper=",
    "diff.external=",
    "log.showSignature=false",
    "log.mailmap=false",
    "color.ui=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "fetch.prune=false",
    "fetch.pruneTags=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "protocol.ext.allow=never",
    "filter.lfs.clean=",
    "filter.lfs.smudge=",
    "filter.lfs.process=",
    "filter.lfs.required=false",
    "i18n.logOutputEncoding=UTF-8",
];

/// Variables of the caller that git may see: they say where configuration is, not what is worked on.
const KEPT: &[&str] =
    &["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_COUNT", "GIT_EXEC_PATH"];

/// Where git works.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// In a directory, whose repository git finds by itself.
    Directory(PathBuf),
    /// On this bare repository.
    Bare(PathBuf),
}

/// A git command that is ready to be started.
pub(super) fn git<I, S>(place: &Place, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let configured = text.starts_with("GIT_CONFIG_KEY_") || text.starts_with("GIT_CONFIG_VALUE_");
        if text.starts_with("GIT_") && !KEPT.contains(&text) && !configured {
            command.env_remove(&name);
        }
    }
    command
        .env("LC_ALL", "C")
        .env("LANGUAGE", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "")
        .env("SSH_ASKPASS", "")
        .env("GIT_PAGER", "cat")
        .env("GIT_EDITOR", "false")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "file")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: what git starts ends with it.
        .process_group(0);
    for setting in SETTINGS {
        command.arg("-c").arg(setting);
    }
    command.arg("--no-pager").arg("--literal-pathspecs");
    match place {
        Place::Directory(directory) => {
            command.current_dir(directory);
        }
        Place::Bare(repository) => {
            let mut argument = std::ffi::OsString::from("--git-dir=");
            argument.push(repository);
            // Not the caller's directory: it may have been removed.
            command.current_dir("/").arg(argument);
        }
    }
    command.args(arguments);
    command
}

/// What git answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether it ended well.
    pub(super) ok: bool,
    /// Its standard output.
    pub(super) bytes: Vec<u8>,
    /// The end of its standard error, sanitised, in one line.
    pub(super) said: String,
    what: String,
}

impl Answer {
    /// The output, or [`GitError::Failed`].
    pub(super) fn success(self) -> Result<Vec<u8>, GitError> {
        if self.ok { Ok(self.bytes) } else { Err(GitError::Failed { what: self.what, said: self.said }) }
    }

    /// The output as one word, or [`GitError::Failed`].
    pub(super) fn word(self) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.success()?).trim().to_owned())
    }
}

/// Runs git to its end.
pub(super) fn ask<I, S>(place: &Place, timeout: Duration, arguments: I) -> Result<Answer, GitError>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut running = Running::start(git(place, arguments), timeout)?;
    let mut bytes = Vec::new();
    // A read that fails shows in how the command ends.
    let _ = running.output().take(ANSWER_BYTES).read_to_end(&mut bytes);
    let (ok, said, what) = running.finish()?;
    Ok(Answer { ok, bytes, said, what })
}

/// A git that runs, is watched, and is stopped when its time is up.
pub(super) struct Running {
    child: Child,
    what: String,
    timeout: Duration,
    /// Dropped when the child has ended; the watch then ends too.
    ended: Option<mpsc::Sender<()>>,
    watch: Option<JoinHandle<()>>,
    /// Whether the time was up; true before the child is stopped for it.
    up: Arc<AtomicBool>,
    said: Option<JoinHandle<Vec<u8>>>,
    output: Option<ChildStdout>,
}

impl Running {
    pub(super) fn start(mut command: Command, timeout: Duration) -> Result<Self, GitError> {
        let what = subcommand(&command);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            ErrorKind::NotFound => GitError::Missing { source },
            _ => GitError::Failed { what: what.clone(), said: source.to_string() },
        })?;
        let (ended, end) = mpsc::channel::<()>();
        let group = Pid::from_raw(child.id().cast_signed());
        let up = Arc::new(AtomicBool::new(false));
        let said_up = Arc::clone(&up);
        let watch = std::thread::spawn(move || {
            if end.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout) {
                said_up.store(true, Ordering::SeqCst);
                let _ = killpg(group, Signal::SIGKILL);
            }
        });
        let errors = child.stderr.take();
        let said = std::thread::spawn(move || errors.map(keep_end).unwrap_or_default());
        let output = child.stdout.take();
        Ok(Self {
            child,
            what,
            timeout,
            ended: Some(ended),
            watch: Some(watch),
            up,
            said: Some(said),
            output,
        })
    }

    /// Its standard output.
    pub(super) fn output(&mut self) -> Box<dyn Read + '_> {
        match &mut self.output {
            Some(output) => Box::new(output),
            None => Box::new(std::io::empty()),
        }
    }

    /// Takes its standard output.
    pub(super) const fn take_output(&mut self) -> Option<ChildStdout> {
        self.output.take()
    }

    /// Feeds its standard input from a thread of its own, so that neither side waits for the other.
    pub(super) fn feed(&mut self, bytes: Vec<u8>) {
        if let Some(mut input) = self.child.stdin.take() {
            // A command that stops reading says why when it ends.
            std::thread::spawn(move || drop(input.write_all(&bytes)));
        }
    }

    /// The error to give when its time was up: its output then ended early for that reason.
    pub(super) fn over_time(&self) -> Option<GitError> {
        let up = self.up.load(Ordering::SeqCst);
        up.then(|| GitError::TimedOut { what: self.what.clone(), after: self.timeout })
    }

    /// Waits for its end: whether it ended well, the end of its standard error, its subcommand.
    pub(super) fn finish(mut self) -> Result<(bool, String, String), GitError> {
        drop(self.output.take());
        let (ok, said) = self.end();
        if let Some(error) = self.over_time() {
            return Err(error);
        }
        let what = std::mem::take(&mut self.what);
        Ok((ok, one_line(&said), what))
    }

    fn end(&mut self) -> (bool, Vec<u8>) {
        // Not reaped yet, so that the watch cannot signal a process of another that got the same number.
        let pid = Pid::from_raw(self.child.id().cast_signed());
        while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            == Err(nix::errno::Errno::EINTR)
        {}
        drop(self.ended.take());
        let _ = self.watch.take().map(JoinHandle::join);
        let ok = self.child.wait().is_ok_and(|status| status.success());
        let said = self.said.take().and_then(|said| said.join().ok()).unwrap_or_default();
        (ok, said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_some() {
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL);
            self.end();
        }
    }
}

/// Reads to the end and keeps the last bytes.
fn keep_end(mut from: impl Read) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return kept,
            Ok(length) => {
                kept.extend_from_slice(chunk.get(..length).unwrap_or_default());
                kept.drain(..kept.len().saturating_sub(SAID_BYTES));
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}

/// git's words in one harmless line.
fn one_line(bytes: &[u8]) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(bytes);
    lines.extend(sanitiser.finish());
    let lines: Vec<String> =
        lines.iter().map(|line| plain(line).trim().to_owned()).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it did not say why".to_owned() } else { lines.join("; ") }
}

/// One harmless text without colours, for names and subjects that come from a repository.
pub(super) fn harmless(bytes: &[u8]) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(bytes);
    lines.extend(sanitiser.finish());
    plain(lines.join(" ").trim())
}

/// The first argument that is not a setting.
fn subcommand(command: &Command) -> String {
    let mut arguments = command.get_args();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == "-c" {
            arguments.next();
        } else if !text.starts_with('-') {
            return text.into_owned();
        }
    }
    String::new()
}

/// Whether a path is there.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
