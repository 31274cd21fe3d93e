//! What a demo whose releases run as containers has beside the others: an engine, this machine's address there, base
//! images, a name of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::chown;
use std::path::Path;

use nix::unistd::{geteuid, getuid};
use serde::{Deserialize, Serialize};

use super::base::Images;
use super::repository::cannot;
use super::{ENVIRONMENTS, Place, Teller, project};
use crate::cli::failure::{Failure, Sort, sentence};
use crate::docker::labels::{self, Kind};
use crate::docker::run::{Command, Joins, OneOff, Said, run};
use crate::docker::{Engine, network};
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::Cause;
use crate::domain::project::Host;
use crate::print::style::visible_lines;

/// Where the start logs are mounted in every container of the shop.
pub const STARTS: &str = "/starts";
/// Whom the shop's containers run as where we are root: nobody whom a machine knows.
const STRANGER: u32 = 10_001;

/// Connects to this machine's services from inside of a container.
const CONNECT: &str = "import socket, sys\nfor at in sys.argv[1:]:\n    host, port = at.rsplit(':', 1)\n    try:\n        \
                       socket.create_connection((host, int(port)), 5).close()\n    except OSError as error:\n        \
                       sys.exit(f'{at}: {error}')\n";

/// What is remembered of a demo on Docker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDocker {
    /// The project's name: another one for each demo, for what carries its label on the engine is the demo's.
    pub project: String,
    /// Where containers reach this machine.
    pub address: IpAddr,
    /// Base images.
    pub images: Images,
}

impl OnDocker {
    /// For a new demo.
    ///
    /// # Errors
    /// When the engine is on another machine, or base images cannot be had.
    pub async fn choose(engine: &Engine, teller: &mut Teller<'_>) -> Result<Self, Failure> {
        let address = here(engine).await?;
        let images = Images::choose(engine, teller).await?;
        let word = project::random()?;
        let project = format!("{}-{}", project::NAME, word.get(..6).unwrap_or_default());
        Ok(Self { project, address, images })
    }

    /// Sees that a demo's engine still has what it had.
    ///
    /// # Errors
    /// When this machine's address there is another one, or a base image is gone.
    pub async fn see(&self, engine: &Engine, teller: &mut Teller<'_>) -> Result<(), Failure> {
        let address = here(engine).await?;
        if address != self.address {
            return Err(Failure::new(
                Sort::Unclear,
                format!(
                    "The demo's containers know this machine as {}; on the engine's default bridge it is {address} now.",
                    self.address
                ),
                "Give the bridge its address back, or begin anew: `towpath demo --clean`, then `towpath demo --runtime docker`.",
            ));
        }
        self.images.see(engine, teller).await
    }
}

/// The engine that the demo uses: the one that `docker` would.
///
/// # Errors
/// Why it cannot be reached.
pub async fn engine() -> Result<Engine, Failure> {
    Engine::connect(&Host::usual(), Path::new("/")).await.map_err(|cause| failure(&cause))
}

/// A cause of the Docker room as a verb's failure.
#[must_use]
pub fn failure(cause: &Cause) -> Failure {
    let cure = if cause.cure.is_empty() { String::new() } else { sentence(&cause.cure) };
    Failure::new(Sort::Unreachable, sentence(&cause.summary), cure)
}

/// This machine's address on the engine's default bridge.
async fn here(engine: &Engine) -> Result<IpAddr, Failure> {
    let address = network::gateway(engine).await.map_err(|cause| failure(&cause))?;
    // Only an address of this machine's own can be listened at.
    match TcpListener::bind((address, 0)) {
        Ok(_) => Ok(address),
        Err(error) => Err(Failure::new(
            Sort::Unreachable,
            format!(
                "The engine's default bridge has the address {address}, and this machine has not ({error}): containers \
                 would not reach the demo's PostgreSQL and Valkey, which run here."
            ),
            "The demo wants an engine on this very machine, with its default bridge up (`ip addr show docker0`). Unset \
             DOCKER_HOST, or choose another context.",
        )),
    }
}

/// Whom the shop's containers run as: ourselves, so that what they write is ours; nobody where we are root.
#[must_use]
pub fn owner() -> u32 {
    if geteuid().is_root() { STRANGER } else { getuid().as_raw() }
}

/// Makes the directory of the start logs, where containers can write it.
///
/// # Errors
/// When it cannot be made.
pub fn make_starts(place: &Place) -> Result<(), Failure> {
    let directory = place.starts();
    std::fs::create_dir_all(&directory).map_err(|error| cannot(&directory, &error))?;
    if geteuid().is_root() {
        chown(&directory, Some(owner()), Some(owner())).map_err(|error| cannot(&directory, &error))?;
    }
    Ok(())
}

/// Sees that containers of every environment reach its services.
///
/// # Errors
/// Which one they do not reach: a firewall is in the way.
pub async fn reach(engine: &Engine, place: &Place, on: &OnDocker) -> Result<(), Failure> {
    for environment in ENVIRONMENTS {
        let ports = place.ports(environment)?;
        let name = EnvironmentName::from(environment);
        let services = [ports.postgres, ports.valkey].map(|port| format!("{}:{port}", on.address));
        let argv = ["python3", "-c", CONNECT].map(ToOwned::to_owned).into_iter().chain(services).collect();
        let env = BTreeMap::new();
        if let Err(said) = once(engine, on, &name, (&on.images.python, argv), env, Vec::new()).await? {
            return Err(Failure::new(
                Sort::Unreachable,
                format!("A container of {environment} does not reach this machine: {said}."),
                format!(
                    "A firewall of this machine may be in the way: let what comes from Docker's bridges in at {}.",
                    on.address
                ),
            ));
        }
    }
    Ok(())
}

/// Runs a command once in a container on an environment's network: its standard output, or how it failed, one line.
///
/// # Errors
/// When the engine cannot run it.
pub async fn once(
    engine: &Engine,
    on: &OnDocker,
    environment: &EnvironmentName,
    (image, argv): (&str, Vec<String>),
    env: BTreeMap<String, String>,
    volumes: Vec<String>,
) -> Result<Result<String, String>, Failure> {
    let network = network::of_environment(engine, &on.project, environment, None).await;
    let mut one = OneOff::new(image, Command::Argv(argv));
    one.network = Some(Joins { network: network.map_err(|cause| failure(&cause))?, aliases: Vec::new() });
    one.env = env;
    one.volumes = volumes;
    one.labels = labels::of_environment(Kind::Once, &on.project, environment);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let over = run(engine, &one, std::future::pending(), &mut |said| match said {
        Said::Output(bytes) => out.extend_from_slice(bytes),
        Said::Error(bytes) => err.extend_from_slice(bytes),
        Said::Note(_) => {}
    })
    .await
    .map_err(|cause| failure(&cause))?;
    let text = |bytes: &[u8]| visible_lines(String::from_utf8_lossy(bytes).trim());
    if over.code == 0 {
        return Ok(Ok(text(&out)));
    }
    let said = text(&err);
    Ok(Err(format!("exit code {}: {}", over.code, said.lines().last().unwrap_or_default())))
}
