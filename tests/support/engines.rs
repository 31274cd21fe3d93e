//! Which Docker engines the tests use: the machine's own ([`docker`]), or one of the test's own ([`Dockerd`]) that may
//! be stopped, killed and thrown away. Without one a test says loudly that it is skipped; with
//! `TOWPATH_TEST_DOCKER=require` that is a failure. Include it with `#[path = "../support/engines.rs"] mod engines;`.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

mod base_images;
mod litter;

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bollard::Docker;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) use base_images::{empty_image, postgres_image, python_image};

/// How long an engine may take to start or to stop before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says that a test is skipped, and why; a failure where Docker is required.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("TOWPATH_TEST_DOCKER").as_deref() != Ok("require"),
        "{why}, and TOWPATH_TEST_DOCKER=require"
    );
    eprintln!("SKIPPED: {why}");
}

/// The url of this machine's engine; `None` after saying loudly that the test is skipped.
pub(crate) fn docker() -> Option<String> {
    static FOUND: OnceLock<Option<String>> = OnceLock::new();
    let found = FOUND.get_or_init(usual).clone();
    if found.is_none() {
        skip("no Docker engine answers at the local socket");
    }
    found
}

fn usual() -> Option<String> {
    let said = std::env::var("DOCKER_HOST").ok().filter(|url| url.starts_with("unix://"));
    let url = said.unwrap_or_else(|| "unix:///var/run/docker.sock".to_owned());
    answers(&url).then_some(url)
}

/// A client of the engine at a `unix://` url. Make it in the runtime that uses it.
pub(crate) fn client(url: &str) -> Docker {
    let path = url.strip_prefix("unix://").expect("a test's engine has a socket");
    Docker::connect_with_unix(path, 600, &bollard::ClientVersion { major_version: 1, minor_version: 41 })
        .unwrap()
}

/// Runs a future to its end on a thread and a runtime of its own: also from within a test's runtime.
pub(crate) fn wait<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(future)
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn answers(url: &str) -> bool {
    // A client of a socket that is not there yet cannot even be made.
    let is_there = url.strip_prefix("unix://").is_some_and(|path| Path::new(path).exists());
    is_there && wait(async { client(url).ping().await.is_ok() })
}

/// An engine of the test's own, with a bridge and addresses of its own. Dropping it takes everything away: its
/// containers, networks, processes, mounts and files.
pub(crate) struct Dockerd {
    /// Part of the names of all that belongs to it, and of nothing else.
    name: String,
    number: u8,
    directory: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Dockerd {
    /// Starts one; `None` after saying loudly that the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same, with more arguments for `dockerd`, e.g. to listen somewhere else too.
    pub(crate) fn start_with(arguments: &[&str]) -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            skip("a dockerd of the test's own needs root");
            return None;
        }
        for program in ["dockerd", "ip", "iptables"] {
            if !on_path(program) {
                skip(&format!("a dockerd of the test's own needs `{program}`"));
                return None;
            }
        }
        let (number, name) = litter::claim();
        // Sockets' paths end at 108 bytes: not below the target directory.
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&directory).unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut dockerd = Self { name, number, directory, arguments, child: None };
        dockerd.again();
        Some(dockerd)
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.directory.join("sock").display())
    }

    /// Its bridge's address: its containers may publish their ports there.
    pub(crate) fn address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, litter::BRIDGES, self.number, 1))
    }

    /// A client of it. Make it in the runtime that uses it.
    pub(crate) fn client(&self) -> Docker {
        client(&self.url())
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// Starts it (again), and waits until it answers.
    pub(crate) fn again(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let path = |name: &str| self.directory.join(name).display().to_string();
        // The machine's own settings would be at odds with the arguments below.
        std::fs::write(path("config.json"), "{}").unwrap();
        // Left by one that was killed; the next would take the numbers for living processes, where nobody reaps.
        let _ = std::fs::remove_file(path("pid"));
        litter::end_containerd(&self.directory);
        let _ = std::fs::remove_file(path("exec/containerd/containerd.pid"));
        let log = std::fs::File::options().create(true).append(true).open(path("log")).unwrap();
        let mut command = Command::new("dockerd");
        command
            .args([
                "--config-file",
                &path("config.json"),
                "--data-root",
                &path("data"),
                "--exec-root",
                &path("exec"),
            ])
            .args(["--pidfile", &path("pid"), "-H", &self.url(), "--bridge", &self.name])
            .args(["--containerd-namespace", &self.name])
            .args(["--containerd-plugins-namespace", &format!("{}-plugins", self.name)])
            // All of its containers' processes are found by this, whatever becomes of it.
            .args([
                "--cgroup-parent",
                &format!("/{}", self.name),
                "--exec-opt",
                "native.cgroupdriver=cgroupfs",
            ])
            // With rules of its own it would take those of the machine's engine away. Ports are its proxy's work.
            .args(["--iptables=false", "--ip6tables=false", "--shutdown-timeout", "2"]);
        // Only the first time: with pools of its own and networks from before, dockerd removes the machine's `docker0`.
        if !self.directory.join("data/network/files/local-kv.db").exists() {
            let (networks, number) = (litter::NETWORKS, self.number);
            command.arg(format!("--default-address-pool=base=10.{networks}.{number}.0/24,size=28"));
        }
        if let Some((driver, mtu)) = like_the_machines() {
            command.args(["--storage-driver", &driver, "--mtu", &mtu]);
        }
        command.args(&self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let began = Instant::now();
        while !answers(&self.url()) {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "dockerd does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it as an operator does; its containers stop with it.
    pub(crate) fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// Kills it: its containers go on without it.
    pub(crate) fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// Stops it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.again();
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        let _ = kill(pid, signal);
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > PATIENCE {
                let _ = kill(pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // Those that were made after a restart have addresses that tell nothing of whose they are.
        let bridges = if self.child.is_some() { self.bridges() } else { Vec::new() };
        self.end(Signal::SIGTERM);
        litter::clean(&self.name, self.number, &self.directory);
        for bridge in bridges {
            let _ = Command::new("ip").args(["link", "del", &bridge]).stderr(Stdio::null()).status();
        }
    }
}

impl Dockerd {
    /// The interfaces of its networks, as Docker calls them: by the beginning of the network's id.
    fn bridges(&self) -> Vec<String> {
        let url = self.url();
        let networks = wait(async { client(&url).list_networks(None).await.unwrap_or_default() });
        let own = networks.into_iter().filter(|network| network.driver.as_deref() == Some("bridge"));
        let own = own.filter(|network| network.name.as_deref() != Some("bridge"));
        own.filter_map(|network| Some(format!("br-{}", network.id?.get(..12)?))).collect()
    }
}

/// The storage driver and the bridge's MTU of the machine's engine, where it has one: what works there works here.
fn like_the_machines() -> Option<(String, String)> {
    static FOUND: OnceLock<Option<(String, String)>> = OnceLock::new();
    let ask = || {
        let url = usual()?;
        wait(async {
            let client = client(&url);
            let driver = client.info().await.ok()?.driver?;
            let bridge = client
                .inspect_network("bridge", None::<bollard::query_parameters::InspectNetworkOptions>)
                .await;
            let mtu = bridge.ok()?.options?.get("com.docker.network.driver.mtu").cloned();
            // Engines of today may keep their images elsewhere: a driver that dockerd does not take by name.
            let known = ["overlay2", "fuse-overlayfs", "btrfs", "zfs", "vfs"].contains(&driver.as_str());
            Some((
                if known { driver } else { "overlay2".to_owned() },
                mtu.unwrap_or_else(|| "1500".to_owned()),
            ))
        })
    };
    FOUND.get_or_init(ask).clone()
}

/// Whether a program is installed.
pub(crate) fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

/// Runs a command that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(ran.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
