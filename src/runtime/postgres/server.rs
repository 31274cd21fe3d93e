//! The server's life: made, started, asked, stopped.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tokio::process::{Child, Command};

use super::ask::ask;
use super::{DATABASE, USER};
use crate::runtime::python::django::throw_away_secret;
use crate::runtime::reap;
use crate::runtime::workbench::{Stopped, Workbench};

/// How often another port is tried.
const PORTS: u32 = 5;
/// How long a server may take until it answers. It takes about one second.
const START: Duration = Duration::from_secs(60);
/// How long a fast shutdown may take.
const FAST: Duration = Duration::from_secs(5);

/// Whom the server runs as: it refuses to run as root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    /// Ourselves; or, as root, `postgres` where there is such an account, else `nobody`.
    pub(super) fn choose() -> Result<Self> {
        if !geteuid().is_root() {
            return Ok(Self(None));
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name).context("the machine's accounts cannot be read")? {
                return Ok(Self(Some((user.uid.as_raw(), user.gid.as_raw()))));
            }
        }
        bail!("PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody`")
    }

    /// User and group to drop to.
    pub(super) fn dropped(&self) -> Option<(u32, u32)> {
        self.0
    }

    pub(super) fn is_ourselves(&self) -> bool {
        self.0.is_none()
    }
}

/// Makes the server's directory, closed to everybody but its account.
pub(super) fn make_directory(directory: &Path, account: &Account) -> Result<()> {
    // `create` refuses a name that is taken, a link included: in /tmp it may be somebody else's.
    DirBuilder::new()
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("{} could not be made", directory.display()))?;
    if let Some((uid, gid)) = account.dropped() {
        chown(directory, Some(uid), Some(gid))
            .with_context(|| format!("{} could not be given to the server's account", directory.display()))?;
    }
    Ok(())
}

/// A server that answers.
pub struct Server {
    child: Child,
    pid: i32,
    directory: PathBuf,
    port: u16,
    password: String,
    version: String,
}

/// Makes a cluster, starts it, waits until it answers, makes the database.
pub(super) async fn start(
    bench: &mut Workbench,
    bin: &Path,
    directory: &Path,
    account: &Account,
) -> Result<Server> {
    let password = throw_away_secret();
    initdb(bench, bin, directory, account, &password).await?;
    for _ in 0..PORTS {
        let port = free_port()?;
        let log = directory.join("server.log");
        let mut child = program(bench, &bin.join("postgres"), directory, account)
            .arg("-D")
            .arg(directory.join("data"))
            .arg("-k")
            .arg(directory)
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            // Nothing in it outlives the step.
            .args(["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"])
            .args(["-c", "logging_collector=off", "-c", "log_destination=stderr"])
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .context("postgres could not be started")?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).context("postgres ended at once")?;
        let socket = directory.join(format!(".s.PGSQL.{port}"));
        let until = Instant::now() + START;
        let trouble = loop {
            if let Some(status) = child.try_wait()? {
                break format!("postgres ended with {status}: {}", last_words(&log));
            }
            if bench.cancelled() {
                let _ = child.kill().await;
                return Err(Stopped.into());
            }
            match ask(&socket, USER, "postgres", "SHOW server_version").await {
                Ok(version) => {
                    ask(&socket, USER, "postgres", &format!("CREATE DATABASE {DATABASE}"))
                        .await
                        .context("the database could not be made")?;
                    // `15.18 (Debian 15.18-0+deb12u1)`
                    let version = version.unwrap_or_default();
                    let version =
                        version.split_whitespace().next().unwrap_or("of an unknown version").to_owned();
                    let directory = directory.to_owned();
                    return Ok(Server { child, pid, directory, port, password, version });
                }
                Err(error) if Instant::now() > until => {
                    let _ = child.kill().await;
                    break format!(
                        "it did not answer within {}s ({error:#}): {}",
                        START.as_secs(),
                        last_words(&log)
                    );
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        // Somebody took the port between our look and the server's: try another.
        if !fs::read_to_string(&log).unwrap_or_default().contains("could not bind") {
            bail!("{trouble}");
        }
    }
    bail!("{PORTS} free ports in a row were taken by others before the server could have them")
}

async fn initdb(
    bench: &Workbench,
    bin: &Path,
    directory: &Path,
    account: &Account,
    password: &str,
) -> Result<()> {
    let data = directory.join("data");
    let secret = directory.join("password");
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&secret)?;
    file.write_all(password.as_bytes())?;
    if let Some((uid, gid)) = account.dropped() {
        chown(&secret, Some(uid), Some(gid))?;
    }
    let mut trouble = String::new();
    // C.UTF-8 knows letters beyond ASCII; not every machine has it.
    for locale in ["--locale=C.UTF-8", "--no-locale"] {
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let ended = program(bench, &bin.join("initdb"), directory, account)
            .arg("-D")
            .arg(&data)
            // Its own directory is closed to everybody but its account; the port is open to every user of the
            // machine, and a superuser of the database can run programs as that account.
            .args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile"])
            .arg(&secret)
            .args(["-U", USER, "--no-sync", "-E", "UTF8", locale])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .await
            .context("initdb could not be started")?;
        if ended.status.success() {
            return fs::remove_file(&secret).context("the server's password file could not be removed");
        }
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        trouble =
            format!("initdb ended with {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim());
    }
    bail!("{trouble}")
}

/// One of the server's programs, as its account, with the attempt's mark.
fn program(bench: &Workbench, path: &Path, directory: &Path, account: &Account) -> Command {
    let mut command = Command::new(path);
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TZ", "UTC")
        .env(reap::VARIABLE, bench.dir())
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(false);
    if let Some((uid, gid)) = account.dropped() {
        command.uid(uid).gid(gid);
    }
    command
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).context("no port is free on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(5)..).unwrap_or_default().join(" / ")
}

impl Server {
    /// What a step is told.
    pub(in crate::runtime) fn env(&self) -> BTreeMap<String, String> {
        let port = self.port.to_string();
        let password = &self.password;
        [
            ("DATABASE_URL", format!("postgres://{USER}:{password}@127.0.0.1:{port}/{DATABASE}")),
            ("PGHOST", "127.0.0.1".into()),
            ("PGPORT", port.clone()),
            ("PGUSER", USER.into()),
            ("PGPASSWORD", password.clone()),
            ("PGDATABASE", DATABASE.into()),
            ("POSTGRES_HOST", "127.0.0.1".into()),
            ("POSTGRES_PORT", port),
            ("POSTGRES_USER", USER.into()),
            ("POSTGRES_DB", DATABASE.into()),
            ("POSTGRES_PASSWORD", password.clone()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Its version, e.g. `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(in crate::runtime) fn process(&self) -> i32 {
        self.pid
    }

    /// Stops it and removes its directory.
    pub(in crate::runtime) async fn stop(mut self) -> Result<()> {
        // INT is PostgreSQL's fast shutdown: clients that are still connected are sent away. (TERM waits for them.)
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGINT);
        if tokio::time::timeout(FAST, self.child.wait()).await.is_err() {
            // QUIT, then KILL, are in what removes it; here only the zombie is cleared away.
            let directory = self.directory.clone();
            let removed = tokio::task::spawn_blocking(move || super::remove(&directory));
            let _ = self.child.wait().await;
            return removed.await?;
        }
        super::remove(&self.directory)
    }
}
