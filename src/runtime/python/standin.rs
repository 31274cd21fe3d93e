//! Stands in for rooms that are built on other branches; deleted at the merge.
#![allow(missing_docs, clippy::missing_errors_doc)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context as _;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::domain::finding::Finding;
use crate::domain::ids::{CommitId, StepId};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::time::Millis;

const CAUSE_LINES: usize = 30;

/// What becomes of a command's standard output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdout {
    /// It goes into the log.
    #[default]
    Log,
    /// It is given back and not logged.
    Capture,
    /// Both.
    LogAndCapture,
}

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct CommandLine {
    /// The program, by path or by name on the command's own `PATH`.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Where; `None` is the attempt's working directory.
    pub cwd: Option<PathBuf>,
    /// What is added to the environment of the step, or takes the place of a part of it.
    pub env: BTreeMap<String, String>,
    /// What becomes of its standard output.
    pub stdout: Stdout,
    /// What it reads; `None` is nothing.
    pub stdin: Option<Vec<u8>>,
}

impl CommandLine {
    /// A program without arguments.
    pub fn new(program: impl Into<String>) -> Self {
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
        self.cwd = Some(cwd.into());
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

    /// With its standard output given back instead of logged.
    #[must_use]
    pub const fn capture(mut self) -> Self {
        self.stdout = Stdout::Capture;
        self
    }

    /// With something to read.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
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


#[derive(Debug, Clone)]
pub struct Facts { pub id: CommitId }

#[derive(Debug, Clone)]
pub struct Spec {
    pub commit: Facts,
    pub inputs: BTreeMap<StepId, Output>,
    pub mirror: PathBuf,
    pub artifacts: PathBuf,
    pub cache: PathBuf,
    pub env: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct Done {
    pub verdict: Verdict,
    pub output: Output,
}

#[derive(Debug)]
pub struct Workbench {
    pub spec: Spec,
    pub dir: PathBuf,
    pub said: Vec<String>,
}

impl Workbench {
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
    pub fn dir(&self) -> &Path {
        &self.dir
    }
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }
    pub fn say(&mut self, line: &str) {
        self.said.push(line.to_owned());
    }
    pub async fn run(&mut self, line: CommandLine) -> anyhow::Result<Ended> {
        let began = std::time::Instant::now();
        let mut env = self.spec.env.clone();
        env.extend(line.env.clone());
        let mut child = tokio::process::Command::new(&line.program)
            .args(&line.args)
            .current_dir(line.cwd.clone().unwrap_or_else(|| self.work()))
            .env_clear()
            .envs(&env)
            .stdin(if line.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {}", line.program))?;
        if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), line.stdin.clone()) {
            tokio::spawn(async move { let _ = pipe.write_all(&bytes).await; });
        }
        let mut stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let out = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stdout.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut lines = BufReader::new(stderr).lines();
        let mut errors = Vec::new();
        while let Ok(Some(text)) = lines.next_line().await {
            errors.push(text);
        }
        let status = child.wait().await?;
        let stdout = out.await?;
        let mut tail: Vec<String> =
            if line.stdout == Stdout::Capture { Vec::new() } else { stdout.lines().map(str::to_owned).collect() };
        tail.extend(errors);
        self.said.extend(tail.iter().cloned());
        let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
        Ok(Ended { exit: status.into(), took, tail, stdout: (line.stdout != Stdout::Log).then_some(stdout) })
    }
}

pub mod git {
    use super::*;
    pub struct Mirror(PathBuf);
    pub struct Exported {
        pub notices: Vec<Finding>,
    }
    impl Mirror {
        pub fn open(_repository: &Path, mirror: &Path) -> Self {
            Self(mirror.to_owned())
        }
        pub async fn export(&self, commit: &CommitId, root: &str, destination: &Path) -> anyhow::Result<Exported> {
            std::fs::create_dir_all(destination)?;
            let what = if root == "." { commit.0.clone() } else { format!("{commit}:{root}") };
            let line = format!(
                "git -C '{}' archive '{what}' | tar -x -C '{}'",
                self.0.display(),
                destination.display()
            );
            let status = tokio::process::Command::new("sh").args(["-c", &line]).status().await?;
            anyhow::ensure!(status.success(), "export failed");
            Ok(Exported { notices: Vec::new() })
        }
        pub async fn tree_hash(&self, commit: &CommitId) -> anyhow::Result<String> {
            let output = tokio::process::Command::new("git")
                .arg("-C")
                .arg(&self.0)
                .args(["rev-parse", &format!("{commit}^{{tree}}")])
                .output()
                .await?;
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        }
    }
}

pub fn detect(source: &Path) -> super::locked::Lock {
    use super::locked::Lock;
    let has = |name: &str| source.join(name).exists();
    if has("uv.lock") {
        Lock::Uv
    } else if has("poetry.lock") {
        Lock::Poetry
    } else if has("Pipfile.lock") {
        Lock::Pipfile
    } else if has("requirements.txt") {
        let development =
            if has("requirements-dev.txt") { vec!["requirements-dev.txt".into()] } else { Vec::new() };
        Lock::Requirements { production: vec!["requirements.txt".into()], development }
    } else if has("pyproject.toml") {
        Lock::Pyproject
    } else {
        Lock::Nothing
    }
}
