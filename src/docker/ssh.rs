//! An engine behind ssh: the user's own `ssh`, with the user's own configuration, forwards a socket of ours to the
//! engine's. One connection serves any number of requests; forwarded sockets are not counted by sshd's `MaxSessions`,
//! and the other machine needs no `docker` command.
//!
//! The connection lives as long as our end of its standard input: it ends with this process, however that ends.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::place::Surroundings;
use super::trouble::{Result, lines};
use crate::domain::plan::Cause;
use crate::domain::project::Host;

/// Finds the engine's socket on the other machine and then waits for the end of its input. `SOCKET` is what the url
/// names. The user's login shell may be any: it is only asked to run `sh`.
const SCRIPT: &str = r#"
named=SOCKET
denied=
for socket in "$named" "${DOCKER_HOST#unix://}" /var/run/docker.sock "$XDG_RUNTIME_DIR/docker.sock" "/run/user/$(id -u)/docker.sock"; do
  [ -z "$named" ] || [ "$socket" = "$named" ] || continue
  [ -S "$socket" ] || continue
  if [ -w "$socket" ]; then echo "towpath-socket $socket"; exec cat >/dev/null; fi
  denied=$socket
done
if [ -n "$denied" ]; then echo "towpath-denied $denied"; else echo "towpath-none"; fi
"#;

/// What ssh may say before it ends, bytes.
const STDERR: u64 = 16 * 1024;

/// An open connection. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Master {
    directory: PathBuf,
    _input: ChildStdin,
    _child: Child,
}

impl Master {
    /// The socket of ours at which the engine answers.
    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("engine")
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Where ssh goes.
pub(super) struct Destination<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    pub(super) socket: Option<&'a str>,
}

impl Destination<'_> {
    fn command(&self, around: &Surroundings, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        if let Some(path) = around.get("TOWPATH_SSH_CONFIG") {
            command.args(["-F", path]);
        }
        command.args(options);
        if let Some(user) = self.user {
            command.args(["-l", user]);
        }
        if let Some(port) = self.port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["--", self.host]).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

/// Opens the connection and forwards the socket.
///
/// # Errors
/// Why ssh does not come in, or finds no engine there.
pub(super) async fn open(host: &Host, to: &Destination<'_>, around: &Surroundings) -> Result<Master> {
    let trouble = |said: &str| told(host, vec![said.to_owned()]);
    let directory =
        directory().map_err(|error| trouble(&format!("no directory for its sockets: {error}")))?;
    let control = directory.join("master").display().to_string();
    let mut command = to.command(
        around,
        &[
            // One of our own: the user's may end when it likes.
            "-M",
            "-S",
            &control,
            "-o",
            "ControlPersist=no",
            "-T",
            // It must never ask anything, nor do there what the user's configuration does for people.
            "-o",
            "BatchMode=yes",
            "-o",
            "ConnectTimeout=8",
            "-o",
            "RemoteCommand=none",
            "-o",
            "RequestTTY=no",
            "-o",
            "ForwardAgent=no",
            "-o",
            "ForwardX11=no",
            "-o",
            "ClearAllForwardings=yes",
            "-o",
            "PermitLocalCommand=no",
            "-o",
            "StreamLocalBindMask=0177",
            // A machine that is gone is noticed in 45 s.
            "-o",
            "ServerAliveInterval=15",
            "-o",
            "ServerAliveCountMax=3",
        ],
    );
    command.arg("sh").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let started = command.spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let _ = std::fs::remove_dir_all(&directory);
            return Err(trouble(&format!("the program `ssh` does not start: {error}")));
        }
    };
    let (Some(input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(trouble("`ssh` has no pipes"));
    };
    let mut master = Master { directory, _input: input, _child: child };
    let script = SCRIPT.replace("SOCKET", to.socket.unwrap_or("''"));
    // Fails where ssh has ended already: what it said then comes below.
    let _ = master._input.write_all(script.as_bytes()).await;
    let mut words = BufReader::new(output).lines();
    let answer = loop {
        match words.next_line().await {
            // What a login says to people comes first.
            Ok(Some(line)) if !line.starts_with("towpath-") => {}
            Ok(line) => break line,
            Err(_) => break None,
        }
    };
    let Some(answer) = answer else {
        let mut text = Vec::new();
        let _ = errors.take(STDERR).read_to_end(&mut text).await;
        return Err(told(host, lines(&String::from_utf8_lossy(&text))));
    };
    let Some(socket) = answer.strip_prefix("towpath-socket ") else {
        return Err(told(host, vec![answer]));
    };
    // Somebody must take what ssh says later, or it would stop there.
    tokio::spawn(async move { tokio::io::copy(&mut BufReader::new(errors), &mut tokio::io::sink()).await });
    let forward = format!("{}:{socket}", master.socket().display());
    let mut command = to.command(around, &["-S", &control, "-O", "forward", "-L", &forward]);
    let ran = command.output().await.map_err(|error| trouble(&error.to_string()))?;
    if !ran.status.success() {
        return Err(told(host, lines(&String::from_utf8_lossy(&ran.stderr))));
    }
    Ok(master)
}

/// The name or address that ssh's configuration has for a host.
pub(super) async fn address(to: &Destination<'_>, around: &Surroundings) -> String {
    let said = to.command(around, &["-G"]).output().await;
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    let name = said.lines().find_map(|line| line.strip_prefix("hostname "));
    name.map_or_else(|| to.host.to_owned(), str::to_owned)
}

/// A directory for sockets, for this user alone. Their paths end at 108 bytes, of which ssh takes 17 for itself.
fn directory() -> std::io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let temporary = std::env::temp_dir();
    let root = if temporary.as_os_str().len() > 50 { Path::new("/tmp") } else { &temporary };
    sweep(root);
    let path =
        root.join(format!("towpath-ssh-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    // Of a process of the same number that was killed.
    let _ = std::fs::remove_dir_all(&path);
    std::fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(path)
}

/// Removes what processes left that were killed. What is another user's stays: it cannot be removed by us.
fn sweep(root: &Path) {
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("towpath-ssh-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| pid.parse::<u32>().is_ok() && !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What ssh said, or what was found there, as a cause.
fn told(host: &Host, said: Vec<String>) -> Box<Cause> {
    let all = said.join("\n");
    let has = |part: &str| all.contains(part);
    let last = said.last().cloned().unwrap_or_else(|| "ssh ended without a word".to_owned());
    let (what, cure) = if has("towpath-none") {
        let cure =
            "install and start Docker there, or name its socket: `ssh://USER@HOST/run/user/1000/docker.sock`";
        ("there is no Docker engine on that machine".to_owned(), cure)
    } else if let Some(socket) = all.strip_prefix("towpath-denied ") {
        let cure = "let that user use Docker: `sudo usermod -aG docker USER` there, then try again";
        (format!("that user may not use Docker's socket {socket}"), cure)
    } else if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let cure = "find out why the machine has another key; only then `ssh-keygen -R HOST` and connect once by hand";
        ("the machine's host key is not the one that is known".to_owned(), cure)
    } else if has("Host key verification failed") {
        let cure =
            "compare its fingerprint, then connect once by hand (`ssh USER@HOST`): that makes it known";
        ("the machine's host key is not known".to_owned(), cure)
    } else if has("Permission denied") {
        let cure = "`ssh USER@HOST` must come in without a question: a key in the agent, or an `IdentityFile` without a \
                    passphrase in ~/.ssh/config";
        ("ssh is not let in: permission denied".to_owned(), cure)
    } else if has("Could not resolve hostname") {
        (
            "there is no machine of that name".to_owned(),
            "correct the host's url, or add the name to ~/.ssh/config",
        )
    } else if has("Connection refused") {
        ("no ssh server listens there".to_owned(), "start sshd there, or correct the port in the host's url")
    } else if has("timed out") || has("No route to host") || has("unreachable") {
        let cure = "look whether this machine reaches that one at all (VPN, routes, firewall)";
        ("that machine does not answer".to_owned(), cure)
    } else {
        (last.clone(), "try it by hand: `ssh -o BatchMode=yes USER@HOST docker version`")
    };
    Box::new(Cause {
        summary: format!("the Docker engine could not be reached on {}: {what}", host.name),
        expected: "ssh comes in without a question and finds Docker's socket".to_owned(),
        measured: if last.starts_with("towpath-") { what } else { last },
        cure: cure.to_owned(),
        last_lines: if has("towpath-") { Vec::new() } else { said },
        ..Cause::default()
    })
}
