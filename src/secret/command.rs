//! The `command` source: a password manager's own program, asked through the shell.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::{LONGEST, Why};
use crate::text::redact::Redactor;
use crate::text::sanitise::Sanitiser;
use crate::text::width;

/// How long a command may take: one that asks a person something must not hold a deployment up for ever.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of what it says on standard error is kept.
const MOST_SAID: usize = 16 << 10;

/// Runs the command line and gives what it printed on standard output.
pub(super) async fn ask(line: &str, home: &Path) -> Result<Vec<u8>, Why> {
    within(line, home, TIMEOUT).await
}

/// Ends the command and what it started, in whichever way the future ends.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn within(line: &str, home: &Path, timeout: Duration) -> Result<Vec<u8>, Why> {
    if !home.is_dir() {
        return Err(Why::new(
            format!("its command cannot run in {}", home.display()),
            "there is no such directory",
            "Put the project's working tree back, or deploy again from where it is now.",
        ));
    }
    let cannot = |error: std::io::Error| {
        Why::new("its command could not be run", error.to_string(), "See that `sh` can be started here.")
    };
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(line)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(cannot)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let run = async {
        // A byte more than fits, so that a value that is too long is seen to be.
        let (out, err) = tokio::join!(first(out, LONGEST + 2), last(err));
        (out, err, child.wait().await)
    };
    let Ok((out, err, status)) = tokio::time::timeout(timeout, run).await else {
        return Err(Why::new(
            format!("its command did not end within {} seconds", timeout.as_secs()),
            "it was killed",
            "Let the command answer without asking a person: unlock the password manager before, or use a `file` source.",
        ));
    };
    // It has been waited for: its id may belong to another group soon.
    group.0 = None;
    let status = status.map_err(cannot)?;
    if status.success() {
        return Ok(out);
    }
    // Its last line may quote what it printed.
    let said = last_line(&err, &String::from_utf8_lossy(&out));
    let measured = if said.is_empty() { ended(status) } else { format!("{}: {said}", ended(status)) };
    Err(Why::new(
        "its command failed",
        measured,
        "Run the command by hand in the project's working tree; the engine's environment may lack what your shell has.",
    ))
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or(0)),
    }
}

/// The first bytes of a pipe; the rest is read and forgotten, so that the writer does not block.
async fn first(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    read(pipe, |kept, new| {
        let room = most.saturating_sub(kept.len());
        kept.extend(new.iter().take(room));
    })
    .await
}

/// The last bytes of a pipe.
async fn last(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    read(pipe, |kept, new| {
        kept.extend(new);
        let over = kept.len().saturating_sub(MOST_SAID);
        kept.drain(..over);
    })
    .await
}

async fn read(pipe: Option<impl AsyncRead + Unpin>, keep: impl Fn(&mut Vec<u8>, &[u8])) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return kept };
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        keep(&mut kept, buffer.get(..length).unwrap_or_default());
    }
    kept
}

/// The last line that says something, sanitised, without colours and without secrets.
fn last_line(bytes: &[u8], value: &str) -> String {
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(bytes);
    lines.extend(sanitiser.finish());
    let mut redactor = Redactor::new([value.to_owned()]);
    let lines: Vec<String> = lines.iter().map(|line| width::plain(&redactor.redact(line))).collect();
    lines
        .into_iter()
        .rev()
        .map(|line| line.trim().to_owned())
        .find(|line| !line.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_that_does_not_end_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let why = within("echo $$ > pid; sleep 600 & wait", directory.path(), Duration::from_secs(1)).await;
        assert!(why.err().unwrap().summary.contains("did not end within 1 seconds"));
        let pid: i32 = std::fs::read_to_string(directory.path().join("pid")).unwrap().trim().parse().unwrap();
        // The group is gone, `sleep` included, as soon as the kernel has delivered the signal.
        while std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z") && !stat.contains(") X"))
        {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_value_that_a_failing_command_prints_is_not_in_the_error() {
        let line = "echo s3cret-value; echo 'cannot use s3cret-value' >&2; exit 4";
        let why = within(line, Path::new("/"), TIMEOUT).await.err().unwrap();
        assert_eq!(why.measured, "exit code 4: cannot use •••");
    }
}
