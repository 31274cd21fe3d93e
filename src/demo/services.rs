//! PostgreSQL, Valkey and nginx for each environment. Every one has a keeper, as replicas do: it outlives this
//! process, is started again when it dies, and is found again.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::unistd::{Group, User, geteuid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::repository::cannot;
use super::stack::Stack;
use super::{Place, Teller, project};
use crate::cli::failure::{Failure, Sort};
use crate::domain::health::ReplicaState;
use crate::domain::time::Millis;
use crate::runtime::OWN_PROGRAM;
use crate::runtime::replica::{self, Spec, StopSignal, spec};

/// How long a service may take until it answers. PostgreSQL takes about a second.
const START: Duration = Duration::from_secs(60);
/// How often it is asked.
const LOOK: Duration = Duration::from_millis(50);

/// The database's superuser, and the shop's user.
pub const DATABASE_USER: &str = "shop";
/// The database.
pub const DATABASE: &str = "shop";

/// Sorts of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The database.
    Postgres,
    /// The broker of the shop's tasks.
    Valkey,
    /// The proxy before the replicas.
    Nginx,
}

impl Kind {
    /// All of them, in the order in which they are started.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Valkey, Self::Nginx];

    /// Its directory's name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Valkey => "valkey",
            Self::Nginx => "nginx",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Valkey => "Valkey",
            Self::Nginx => "nginx",
        }
    }
}

/// The account that servers are given which must not, or need not, run as root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its group's name.
    pub group: String,
    user: u32,
    gid: u32,
}

impl Account {
    /// As root `postgres` where there is such an account, else `nobody`; `None` where we are not root.
    ///
    /// # Errors
    /// When there is neither.
    pub fn choose() -> Result<Option<Self>, Failure> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                let group = Group::from_gid(user.gid).ok().flatten().map(|group| group.name);
                let (user, gid) = (user.uid.as_raw(), user.gid.as_raw());
                return Ok(Some(Self { name: name.to_owned(), group: group.unwrap_or_default(), user, gid }));
            }
        }
        Err(Failure::usage(
            "PostgreSQL does not run as root, and there is neither an account `postgres` nor `nobody`.",
            "Run the demo as another user than root.",
        ))
    }
}

/// The keeper's directory of a service.
#[must_use]
pub fn keeper(place: &Place, environment: &str, kind: Kind) -> PathBuf {
    place.service(environment, kind).join("keeper")
}

/// The service's own directory.
#[must_use]
pub fn data(place: &Place, environment: &str, kind: Kind) -> PathBuf {
    place.service(environment, kind).join("data")
}

/// Sees that an environment's services run and answer.
///
/// # Errors
/// Which one does not, with its last words.
pub async fn start(
    place: &Place,
    stack: &Stack,
    environment: &str,
    teller: &mut Teller<'_>,
) -> Result<(), Failure> {
    let ports = place.ports(environment)?;
    for kind in Kind::ALL {
        let began = Instant::now();
        let dir = keeper(place, environment, kind);
        let port = match kind {
            Kind::Postgres => ports.postgres,
            Kind::Valkey => ports.valkey,
            Kind::Nginx => ports.nginx,
        };
        let at = addresses(place, kind);
        if replica::status(&dir).state == ReplicaState::Up && answer(kind, &at, port).await.is_ok() {
            continue;
        }
        prepare(place, stack, environment, kind)?;
        let spec = spec_of(place, stack, environment, kind, port)?;
        let broken = |error: anyhow::Error| {
            Failure::new(
                Sort::Unclear,
                format!("{} of {environment} cannot be started: {error:#}.", kind.name()),
                "",
            )
        };
        replica::prepare(&dir, &spec).map_err(broken)?;
        replica::start_again(&dir).map_err(broken)?;
        let env = crate::runtime::environment::allowed(std::env::vars());
        replica::launch(&dir, Path::new(OWN_PROGRAM), &env).await.map_err(broken)?;
        await_answer(kind, environment, (&at, port), &dir).await?;
        let at: Vec<String> = at.iter().map(|address| format!("{address}:{port}")).collect();
        teller.took(&format!("{environment}: {} answers at {}", kind.name(), at.join(" and ")), began)?;
    }
    Ok(())
}

/// Where a service listens: on the loopback, and where containers of the shop reach it.
fn addresses(place: &Place, kind: Kind) -> Vec<IpAddr> {
    let mut all = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if kind != Kind::Nginx && !all.contains(&place.address()) {
        all.push(place.address());
    }
    all
}

/// The same as a service's configuration has it.
fn listening(place: &Place, kind: Kind, between: &str) -> String {
    let all: Vec<String> = addresses(place, kind).iter().map(ToString::to_string).collect();
    all.join(between)
}

async fn await_answer(
    kind: Kind,
    environment: &str,
    (at, port): (&[IpAddr], u16),
    dir: &Path,
) -> Result<(), Failure> {
    let until = Instant::now() + START;
    loop {
        let status = replica::status(dir);
        let silent = answer(kind, at, port).await;
        if status.state == ReplicaState::Up && silent.is_ok() {
            return Ok(());
        }
        let silent = silent.err().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let ends_again_and_again = status.restarts > 2;
        if ends_again_and_again || Instant::now() > until {
            let last = replica::last_lines(dir, 8).join("\n  ");
            let how = status.last_exit.unwrap_or_else(|| format!("it is {}", status.state));
            return Err(Failure::new(
                Sort::Unclear,
                format!(
                    "{} of {environment} does not answer at {silent}:{port} ({how}). It says:\n  {last}",
                    kind.name()
                ),
                "If something else listens there by now, stop that; or begin anew: `towpath demo --clean`, then \
                 `towpath demo`.",
            ));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether it answers at each of these addresses; otherwise the first where it does not.
async fn answer(kind: Kind, at: &[IpAddr], port: u16) -> Result<(), IpAddr> {
    for &address in at {
        if !answers(kind, SocketAddr::new(address, port)).await {
            return Err(address);
        }
    }
    Ok(())
}

/// Whether it speaks as such a service does.
async fn answers(kind: Kind, at: SocketAddr) -> bool {
    // The first bytes of a conversation, and how the answer begins.
    let (ask, begins): (&[u8], &[u8]) = match kind {
        // PostgreSQL's SSLRequest (8 bytes, code 80877103): one byte comes back, S or N.
        Kind::Postgres => (&[0, 0, 0, 8, 4, 210, 22, 47], b""),
        // Without the password; that it wants one is answer enough.
        Kind::Valkey => (b"PING\r\n", b"-NOAUTH"),
        Kind::Nginx => (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 "),
    };
    let talk = async {
        let mut stream = TcpStream::connect(at).await.ok()?;
        stream.write_all(ask).await.ok()?;
        let mut answer = [0; 16];
        let read = stream.read(&mut answer).await.ok()?;
        let answer = answer.get(..read)?;
        (read > 0 && answer.starts_with(begins)).then_some(())
    };
    matches!(tokio::time::timeout(Duration::from_secs(3), talk).await, Ok(Some(())))
}

fn spec_of(place: &Place, stack: &Stack, environment: &str, kind: Kind, port: u16) -> Result<Spec, Failure> {
    let data = data(place, environment, kind);
    let account = Account::choose()?;
    let (command, stop_signal) = match kind {
        Kind::Postgres => (
            format!(
                // What the last half second wrote may be lost with the machine: a demo's database.
                "exec {} -D {} -h {} -p {port} -c unix_socket_directories= -c synchronous_commit=off \
                 -c shared_buffers=64MB -c max_connections=80 -c log_destination=stderr -c logging_collector=off",
                stack.postgres.join("postgres").display(),
                data.join("cluster").display(),
                listening(place, kind, ",")
            ),
            StopSignal::Int,
        ),
        Kind::Valkey => (
            format!("exec {} {}", stack.valkey.display(), data.join("valkey.conf").display()),
            StopSignal::Term,
        ),
        Kind::Nginx => (format!("exec {} -g 'daemon off;'", project::nginx(&data, stack)), StopSignal::Quit),
    };
    let mut env = BTreeMap::new();
    env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    env.insert("LC_ALL".to_owned(), "C".to_owned());
    Ok(Spec {
        v: spec::VERSION,
        name: format!("demo-{environment}-{}-{port}", kind.word()),
        command,
        cwd: data,
        env,
        secrets: BTreeMap::new(),
        home: place.root().to_owned(),
        port: None,
        stop_timeout: Millis::seconds(20),
        stop_signal,
        lock: None,
        // nginx drops to it by itself, and writes its log before.
        user: account.filter(|_| kind != Kind::Nginx).map(|account| (account.user, account.gid)),
    })
}

/// Makes what a service needs before its first start.
fn prepare(place: &Place, stack: &Stack, environment: &str, kind: Kind) -> Result<(), Failure> {
    let service = place.service(environment, kind);
    let data = data(place, environment, kind);
    std::fs::create_dir_all(&service).map_err(|error| cannot(&service, &error))?;
    if kind == Kind::Nginx {
        // Below it nginx makes a directory for each sort of what it puts aside.
        let temp = data.join("temp");
        std::fs::create_dir_all(&temp).map_err(|error| cannot(&temp, &error))?;
        return project::write_site(place, stack, environment);
    }
    if data.join("complete").exists() {
        return Ok(());
    }
    if data.exists() {
        std::fs::remove_dir_all(&data).map_err(|error| cannot(&data, &error))?;
    }
    let account = Account::choose()?;
    DirBuilder::new().mode(0o700).create(&data).map_err(|error| cannot(&data, &error))?;
    let give = |path: &Path| match &account {
        Some(account) => {
            chown(path, Some(account.user), Some(account.gid)).map_err(|error| cannot(path, &error))
        }
        None => Ok(()),
    };
    give(&data)?;
    if kind == Kind::Valkey {
        let path = data.join("valkey.conf");
        let port = place.ports(environment)?.valkey;
        let password = project::password(place, environment, "valkey")?;
        let text = format!(
            "bind {}\nport {port}\nrequirepass {password}\ndir {}\nsave \"\"\nappendonly yes\n",
            listening(place, kind, " "),
            data.display()
        );
        project::write_private(&path, &text)?;
        give(&path)?;
    } else {
        let path = data.join("password");
        project::write_private(&path, &project::password(place, environment, "postgres")?)?;
        give(&path)?;
        let program = |name: &str| {
            let mut command = Command::new(stack.postgres.join(name));
            command.current_dir(&data).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
            if let Some(account) = &account {
                command.uid(account.user).gid(account.gid);
            }
            command
        };
        let cluster = data.join("cluster");
        let mut initdb = program("initdb");
        initdb.args(["-U", DATABASE_USER, "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"]);
        initdb.arg("--pwfile").arg(&path).arg("-D").arg(&cluster);
        run(initdb, "", "initdb")?;
        let mut single = program("postgres");
        single.args(["--single", "-D"]).arg(&cluster).arg("postgres");
        run(single, &format!("CREATE DATABASE {DATABASE};\n"), "postgres --single")?;
        std::fs::remove_file(&path).map_err(|error| cannot(&path, &error))?;
        if place.docker().is_some() {
            // Containers come from the addresses of their networks; that they know the password is what counts.
            let rules = cluster.join("pg_hba.conf");
            let written = OpenOptions::new()
                .append(true)
                .open(&rules)
                .and_then(|mut file| writeln!(file, "host {DATABASE} {DATABASE_USER} all scram-sha-256"));
            written.map_err(|error| cannot(&rules, &error))?;
        }
    }
    std::fs::write(data.join("complete"), "").map_err(|error| cannot(&data, &error))
}

/// Runs a server's own program to its end.
fn run(mut command: Command, input: &str, name: &str) -> Result<(), Failure> {
    let failed =
        |why: String| Failure::new(Sort::Unclear, format!("{name} could not make a database: {why}"), "");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| failed(format!("{error}.")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(format!("{error}.")))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(format!("{error}.")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = crate::print::style::visible_lines(said.trim());
    Err(failed(format!("{}; it says:\n  {said}", output.status)))
}
