//! The demo: a small shop with a history, everything that it needs to run, and a tour through its story.
//!
//! | file | is |
//! |---|---|
//! | `files`, [`layout`], [`repository`] | the shop's files and commits |
//! | [`stack`] | PostgreSQL, Valkey and nginx out of Python wheels |
//! | [`services`] | one of each for staging and for production, each with a keeper |
//! | [`project`] | the shop's environments, nginx's site, secrets |
//! | [`on_docker`], [`base`] | where releases run as containers: the engine, base images |
//! | [`data`] | goods, customers and orders; what the database says |
//! | [`load`] | visitors: requests through nginx, none of them repeated |
//! | [`clean`] | everything away again |
//! | [`tour`] | the story, walked and measured |
//!
//! | in the demo's directory | is |
//! |---|---|
//! | `demo.json` | that this is a demo, its ports, what its releases run on |
//! | `shop/` | the repository |
//! | `stack/` | the wheels |
//! | `services/ENVIRONMENT/SERVICE/` | `keeper/` (0700) and the service's own `data/` |
//! | `secrets/` (0700) | what the environments' secrets are taken from |
//! | `static/ENVIRONMENT/`, `starts-ENVIRONMENT.log` | static files of the running sets; a line for each start of a process |
//! | `starts/ENVIRONMENT.log` | on Docker: the same lines, in a directory that is mounted in every container |

pub mod base;
pub mod clean;
pub mod data;
mod files;
pub mod layout;
pub mod load;
pub mod on_docker;
pub mod project;
pub mod repository;
pub mod services;
pub mod stack;
pub mod tour;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::cli::failure::{Failure, Sort};
use crate::cli::output::Output;
use crate::domain::project::RuntimeKind;
use crate::domain::time::Millis;
use crate::runtime::replica;
use crate::store::durable;
use crate::store::layout::Layout;
use on_docker::OnDocker;
use repository::cannot;

/// The environments, in the order in which a release walks.
pub const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

/// The version of `demo.json`.
const VERSION: u32 = 1;

/// The ports of one environment, all on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// PostgreSQL's.
    pub postgres: u16,
    /// Valkey's.
    pub valkey: u16,
    /// nginx's: where visitors ask.
    pub nginx: u16,
}

/// What `demo.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    v: u32,
    ports: BTreeMap<String, Ports>,
    #[serde(default)]
    runtime: RuntimeKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    docker: Option<OnDocker>,
}

/// Where a demo is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    ports: BTreeMap<String, Ports>,
    docker: Option<OnDocker>,
}

impl Place {
    /// Where a demo is looked for when nobody says where.
    ///
    /// # Errors
    /// When there is no home directory.
    pub fn usual() -> Result<PathBuf, Failure> {
        // Root's own directories are closed to the account that PostgreSQL is dropped to.
        if nix::unistd::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/towpath/demo"));
        }
        let directories = directories::ProjectDirs::from("", "", "towpath");
        directories.map(|directories| directories.data_local_dir().join("demo")).ok_or_else(|| {
            Failure::usage(
                "There is no home directory to lay the demo out in.",
                "Name a directory with --dir DIR.",
            )
        })
    }

    /// The demo that was laid out there; `None` when none was.
    ///
    /// # Errors
    /// When there is something that cannot be read, or was laid out by another version.
    pub fn find(directory: &Path) -> Result<Option<Self>, Failure> {
        let Ok(root) = directory.canonicalize() else { return Ok(None) };
        let path = root.join("demo.json");
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error.to_string())),
        };
        let found: Remembered =
            serde_json::from_slice(&text).map_err(|error| unreadable(&path, &error.to_string()))?;
        if found.v != VERSION {
            return Err(unreadable(&path, &format!("it is of version {}, this reads {VERSION}", found.v)));
        }
        if (found.runtime == RuntimeKind::Docker) != found.docker.is_some() {
            return Err(unreadable(&path, "what it says of its runtime contradicts itself"));
        }
        Ok(Some(Self { root, ports: found.ports, docker: found.docker }))
    }

    /// Looks whether a directory will do for a new demo; nothing is written but the directory itself.
    ///
    /// # Errors
    /// When it is not empty, can't be made, its path can't stand in nginx's configuration or, on Docker, before a
    /// mount's colon, or, for root, other accounts cannot enter it.
    fn fit(directory: &Path) -> Result<PathBuf, Failure> {
        if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::usage(
                format!("{} is not empty and holds no demo; nothing in it is touched.", directory.display()),
                "Name a directory that does not exist yet with --dir DIR.",
            ));
        }
        std::fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
        let root = directory.canonicalize().map_err(|error| cannot(directory, &error))?;
        let unfit = |c: char| c.is_whitespace() || c.is_control() || "\"'\\;{}$#:".contains(c);
        if root.to_str().is_none_or(|path| path.contains(unfit)) {
            return Err(Failure::usage(
                format!("{} cannot stand in nginx's configuration, or in a mount's.", root.display()),
                "Name a directory whose path has no spaces, quotes, $ : ; { } or # with --dir DIR.",
            ));
        }
        if let Some(account) = services::Account::choose()? {
            enterable(&root, &account.name)?;
        }
        Ok(root)
    }

    /// Takes a directory that is empty, or does not exist yet, for a new demo; free ports are chosen once and
    /// remembered. `docker` is what there is for releases that run as containers.
    ///
    /// # Errors
    /// When the directory will not do, or no port is free.
    pub fn take(directory: &Path, docker: Option<OnDocker>) -> Result<Self, Failure> {
        let root = Self::fit(directory)?;
        let mut taken = BTreeSet::new();
        let mut free = || {
            let port = replica::free_port(&taken).map_err(|error| {
                Failure::new(
                    Sort::Unclear,
                    format!("No port is free: {error:#}."),
                    "Stop what listens there.",
                )
            })?;
            taken.insert(port);
            Ok::<u16, Failure>(port)
        };
        let mut ports = BTreeMap::new();
        for name in ENVIRONMENTS {
            ports.insert(name.to_owned(), Ports { postgres: free()?, valkey: free()?, nginx: free()? });
        }
        let place = Self { root, ports, docker };
        let remembered = Remembered {
            v: VERSION,
            ports: place.ports.clone(),
            runtime: place.runtime(),
            docker: place.docker.clone(),
        };
        let path = place.root.join("demo.json");
        let text =
            serde_json::to_vec_pretty(&remembered).map_err(|error| unreadable(&path, &error.to_string()))?;
        durable::write(&path, &text).map_err(|error| unreadable(&path, &error.to_string()))?;
        Ok(place)
    }

    /// One that is nowhere written down, without ports.
    #[cfg(test)]
    fn at(root: &Path, docker: Option<OnDocker>) -> Self {
        Self { root: root.to_owned(), ports: BTreeMap::new(), docker }
    }

    /// What its releases run on.
    #[must_use]
    pub const fn runtime(&self) -> RuntimeKind {
        match self.docker {
            Some(_) => RuntimeKind::Docker,
            None => RuntimeKind::Process,
        }
    }

    /// What is remembered where releases run as containers.
    #[must_use]
    pub const fn docker(&self) -> Option<&OnDocker> {
        self.docker.as_ref()
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        self.docker.as_ref().map_or(project::NAME, |on| &on.project)
    }

    /// Where the shop's processes reach this machine.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.docker.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |on| on.address)
    }

    /// That it is of the runtime that is asked for; nothing is asked for where none is named.
    ///
    /// # Errors
    /// When it is of another one.
    pub fn wanted(&self, runtime: Option<RuntimeKind>) -> Result<(), Failure> {
        let word = |runtime| match runtime {
            RuntimeKind::Process => "process",
            RuntimeKind::Docker => "docker",
        };
        match runtime {
            Some(wanted) if wanted != self.runtime() => Err(Failure::usage(
                format!(
                    "The demo in {} runs on the runtime {}, not on {}.",
                    self.root.display(),
                    word(self.runtime()),
                    word(wanted)
                ),
                "Name another directory with --dir DIR; or take this one away: `towpath demo --clean`.",
            )),
            _ => Ok(()),
        }
    }

    /// The demo's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The shop's repository.
    #[must_use]
    pub fn shop(&self) -> PathBuf {
        self.root.join("shop")
    }

    /// Where the wheels are installed.
    #[must_use]
    pub fn stack(&self) -> PathBuf {
        self.root.join("stack")
    }

    /// Everything of one service of an environment.
    #[must_use]
    pub fn service(&self, environment: &str, kind: services::Kind) -> PathBuf {
        self.root.join("services").join(environment).join(kind.word())
    }

    /// The file that a secret of an environment is taken from.
    #[must_use]
    pub fn secret(&self, environment: &str, name: &str) -> PathBuf {
        self.root.join("secrets").join(format!("{environment}.{name}"))
    }

    /// The static files of an environment's running sets.
    #[must_use]
    pub fn static_files(&self, environment: &str) -> PathBuf {
        self.root.join("static").join(environment)
    }

    /// The log with one line for each process of the shop that started there.
    #[must_use]
    pub fn start_log(&self, environment: &str) -> PathBuf {
        match self.docker {
            Some(_) => self.starts().join(format!("{environment}.log")),
            None => self.root.join(format!("starts-{environment}.log")),
        }
    }

    /// The directory of start logs that containers see.
    #[must_use]
    pub fn starts(&self) -> PathBuf {
        self.root.join("starts")
    }

    /// The ports of an environment.
    ///
    /// # Errors
    /// When `demo.json` does not have them.
    pub fn ports(&self, environment: &str) -> Result<Ports, Failure> {
        let ports = self.ports.get(environment).copied();
        ports.ok_or_else(|| {
            unreadable(&self.root.join("demo.json"), &format!("it has no ports of {environment}"))
        })
    }

    /// Where the shop's visitors ask.
    ///
    /// # Errors
    /// See [`Place::ports`].
    pub fn url(&self, environment: &str) -> Result<String, Failure> {
        Ok(format!("http://127.0.0.1:{}", self.ports(environment)?.nginx))
    }

    /// Where Towpath keeps the shop's state: where `towpath` finds it, started in the shop.
    ///
    /// # Errors
    /// When there is no place for state.
    pub fn layout(&self) -> Result<Layout, Failure> {
        Layout::of(&self.shop(), ".").map_err(|error| Failure::usage(format!("{error:#}."), ""))
    }
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::new(
        Sort::Unclear,
        format!("{} cannot be used: {why}.", path.display()),
        "Name another directory with --dir DIR.",
    )
}

/// Whether an account that is not ours can come to a directory.
fn enterable(root: &Path, account: &str) -> Result<(), Failure> {
    let closed = root.ancestors().find(|directory| {
        std::fs::metadata(directory).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0)
    });
    let Some(closed) = closed else { return Ok(()) };
    Err(Failure::usage(
        format!(
            "PostgreSQL refuses to run as root, and the account {account} that it is given cannot enter {}.",
            closed.display()
        ),
        "Name a directory that others may enter with --dir DIR, /var/lib/towpath/demo for example; or run the demo \
         as another user than root.",
    ))
}

/// Says what is done, for whoever reads lines.
#[derive(Debug)]
pub struct Teller<'a> {
    /// Where to.
    pub output: &'a mut Output,
}

impl Teller<'_> {
    /// A line; nothing where JSON is wanted.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        if self.output.json { Ok(()) } else { self.output.line(text) }
    }

    /// A line about something that has taken a while.
    ///
    /// # Errors
    /// See [`Teller::say`].
    pub fn took(&mut self, text: &str, began: Instant) -> Result<(), Failure> {
        let took = millis(began);
        self.say(&format!("{text}  {took}"))
    }
}

/// How long ago that was.
pub(crate) fn millis(began: Instant) -> Millis {
    Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Lays a new demo out, or finds the one that is there; then sees that everything of it runs.
///
/// # Errors
/// What is in the way, and what to do about it.
pub async fn ready(
    directory: &Path,
    runtime: Option<RuntimeKind>,
    teller: &mut Teller<'_>,
) -> Result<Place, Failure> {
    let place = match Place::find(directory)? {
        Some(place) => {
            place.wanted(runtime)?;
            teller.say(&format!("the demo in {} goes on", place.root().display()))?;
            if let Some(on) = place.docker() {
                on.see(&on_docker::engine().await?, teller).await?;
            }
            place
        }
        None => new(directory, runtime.unwrap_or_default(), teller).await?,
    };
    let began = Instant::now();
    if let Some(stack) = stack::install(&place).await? {
        teller.took(&format!("installed {stack}"), began)?;
    }
    let stack = stack::find(&place)?;
    project::write_secrets(&place)?;
    // A repository without the last tag was interrupted while it was laid out; nobody has worked in it.
    if !place.shop().join(".git/refs/tags/v1.3.0").exists() && !place.shop().join(".git/packed-refs").exists()
    {
        let began = Instant::now();
        if place.shop().exists() {
            std::fs::remove_dir_all(place.shop()).map_err(|error| cannot(&place.shop(), &error))?;
        }
        let (major, minor) = stack::python().await?.minor();
        let environments = project::environments(&place, &stack)?;
        let laid = layout::lay_out(&place, &format!("{major}.{minor}"), &environments)?;
        teller.took(
            &format!(
                "laid the shop out in {}: {} commits, {} tags",
                place.shop().display(),
                laid.commits,
                laid.tags
            ),
            began,
        )?;
    }
    for environment in ENVIRONMENTS {
        services::start(&place, &stack, environment, teller).await?;
    }
    if let Some(on) = place.docker() {
        on_docker::make_starts(&place)?;
        let began = Instant::now();
        on_docker::reach(&on_docker::engine().await?, &place, on).await?;
        teller.took(&format!("containers reach PostgreSQL and Valkey at {}", on.address), began)?;
    }
    Ok(place)
}

/// Takes a directory for a new demo, once there is all that its runtime needs.
async fn new(directory: &Path, runtime: RuntimeKind, teller: &mut Teller<'_>) -> Result<Place, Failure> {
    let root = Place::fit(directory)?;
    let docker = if runtime == RuntimeKind::Docker {
        let began = Instant::now();
        let engine = on_docker::engine().await?;
        let on = OnDocker::choose(&engine, teller).await?;
        teller.took(
            &format!(
                "Docker {} on {}; base images: {}, {}",
                engine.version(),
                engine.name(),
                on.images.python,
                on.images.postgres
            ),
            began,
        )?;
        Some(on)
    } else {
        None
    };
    let place = Place::take(&root, docker)?;
    teller.say(&format!("a new demo in {}", place.root().display()))?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_of_before_there_was_docker_is_one_of_processes() {
        let dir = tempfile::tempdir().unwrap();
        let remember = |text: &str| std::fs::write(dir.path().join("demo.json"), text).unwrap();
        remember(r#"{"v":1,"ports":{"staging":{"postgres":1,"valkey":2,"nginx":3}}}"#);
        let place = Place::find(dir.path()).unwrap().unwrap();
        assert_eq!((place.runtime(), place.project()), (RuntimeKind::Process, project::NAME));
        assert!(place.wanted(None).is_ok() && place.wanted(Some(RuntimeKind::Process)).is_ok());
        let said = place.wanted(Some(RuntimeKind::Docker)).unwrap_err().to_string();
        assert!(said.contains("runs on the runtime process, not on docker"), "{said}");
        remember(r#"{"v":1,"ports":{},"runtime":"docker"}"#);
        let said = Place::find(dir.path()).unwrap_err().to_string();
        assert!(said.contains("contradicts itself"), "{said}");
    }

    #[test]
    fn what_runs_on_docker_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let images = base::Images { python: "a:1".to_owned(), postgres: "b:1".to_owned() };
        let on = OnDocker { project: "shop-1".to_owned(), address: [172, 17, 0, 1].into(), images };
        // Root's services run as another account, which has to come to it.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let root = dir.path().join("demo");
        let taken = Place::take(&root, Some(on.clone())).unwrap();
        let found = Place::find(&root).unwrap().unwrap();
        assert_eq!(found, taken);
        assert_eq!((found.docker(), found.address(), found.project()), (Some(&on), on.address, "shop-1"));
    }
}
