//! Where everything lies. One project's state is one directory (0700) under a short hashed name: socket paths
//! end at 108 bytes.

use std::path::{Path, PathBuf};

use crate::domain::ids::{AttemptKey, DeploymentId, EnvironmentName, Owner, ReplicaKey, RunId};
use crate::domain::plan::hash_of;

/// Overrides the state directory's parent; for tests and for two installations beside each other.
pub const STATE_VARIABLE: &str = "TOWPATH_STATE_DIR";
/// Overrides the cache directory.
pub const CACHE_VARIABLE: &str = "TOWPATH_CACHE_DIR";

/// The longest path of a socket, in bytes: `sun_path` has 108 with its closing zero (unix(7)).
const SOCKET_PATH: usize = 107;

/// The paths of one project on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The repository's real path.
    pub repository: PathBuf,
    /// The project's directory inside the repository (where `towpath.toml` lies), `.` for its root.
    pub root: String,
    /// The project's state directory, 0700.
    pub state: PathBuf,
    /// Caches shared by all projects of this user: wheels, environments, tools. May be deleted at any time.
    pub cache: PathBuf,
}

impl Layout {
    /// The layout for a repository, from the user's directories.
    ///
    /// # Errors
    /// When neither a home directory nor the override variables say where state may lie, or the place is too deep
    /// for a socket.
    pub fn of(repository: &Path, root: &str) -> anyhow::Result<Self> {
        let directories = directories::ProjectDirs::from("", "", "towpath");
        let base = match (std::env::var_os(STATE_VARIABLE), &directories) {
            (Some(path), _) => PathBuf::from(path),
            (None, Some(directories)) => {
                directories.state_dir().unwrap_or_else(|| directories.data_local_dir()).to_owned()
            }
            (None, None) => anyhow::bail!(
                "there is no home directory to keep state in; set {STATE_VARIABLE} to a directory of yours"
            ),
        };
        // The engine does not run where its viewer does.
        let base = std::path::absolute(&base).unwrap_or(base);
        let cache = match (std::env::var_os(CACHE_VARIABLE), &directories) {
            (Some(path), _) => PathBuf::from(path),
            // PostgreSQL refuses to run as root, so root's tools must be readable by the user it is dropped to.
            _ if nix::unistd::geteuid().is_root() => PathBuf::from("/var/cache/towpath"),
            (None, Some(directories)) => directories.cache_dir().to_owned(),
            (None, None) => base.join("cache"),
        };
        let name = hash_of(&(repository.to_string_lossy(), root));
        let cache = std::path::absolute(&cache).unwrap_or(cache);
        let (repository, root) = (repository.to_owned(), root.to_owned());
        let layout = Self { repository, root, state: base.join(&name[..16]), cache };
        let length = layout.socket().as_os_str().len();
        anyhow::ensure!(
            length <= SOCKET_PATH,
            "the engine's socket would be {}, {length} bytes long, and the system allows {SOCKET_PATH}; set \
             {STATE_VARIABLE} to a directory with a shorter path",
            layout.socket().display()
        );
        Ok(layout)
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("socket")
    }
    /// Held (`flock`) by the living engine; its text is the engine's process id and version.
    #[must_use]
    pub fn engine_lock(&self) -> PathBuf {
        self.state.join("engine.lock")
    }
    /// What the engine itself has to say, for when it cannot be reached.
    #[must_use]
    pub fn engine_log(&self) -> PathBuf {
        self.state.join("engine.log")
    }
    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }
    /// Space put aside so that open work can end on a full disk.
    #[must_use]
    pub fn ballast(&self) -> PathBuf {
        self.state.join("ballast")
    }
    /// Our own bare mirror of the repository.
    #[must_use]
    pub fn mirror(&self) -> PathBuf {
        self.state.join("mirror.git")
    }
    /// Finished artifacts and those being built, by their inputs' hash.
    #[must_use]
    pub fn artifacts(&self) -> PathBuf {
        self.state.join("artifacts")
    }
    /// Everything of one run.
    #[must_use]
    pub fn run(&self, run: RunId) -> PathBuf {
        self.state.join("runs").join(run.to_string())
    }
    /// Everything of one attempt: its specification, its result, its log, its working directory.
    #[must_use]
    pub fn attempt(&self, key: &AttemptKey) -> PathBuf {
        let owner = match key.owner {
            Owner::Run(run) => self.run(run),
            Owner::Deployment(deployment) => self.deployment(deployment),
        };
        owner.join(&key.step.0).join(key.attempt.to_string())
    }
    /// Everything that a deployment's steps left.
    #[must_use]
    pub fn deployment(&self, deployment: DeploymentId) -> PathBuf {
        self.state.join("deployments").join(deployment.0.to_string())
    }
    /// Everything of one environment: its replicas, its lease, what its router was told.
    #[must_use]
    pub fn environment(&self, name: &EnvironmentName) -> PathBuf {
        self.state.join("environments").join(&name.0)
    }
    /// Everything of one replica.
    #[must_use]
    pub fn replica(&self, key: &ReplicaKey) -> PathBuf {
        replica_directory(&self.environment(&key.environment), key)
    }
    /// An attempt's log: a directory of segments.
    #[must_use]
    pub fn log(&self, key: &AttemptKey) -> PathBuf {
        self.attempt(key).join("log")
    }
}

/// A replica's directory below its environment's.
#[must_use]
pub fn replica_directory(environment: &Path, key: &ReplicaKey) -> PathBuf {
    environment.join("replicas").join(format!("d{}-{}-{}", key.deployment.0, key.role, key.index))
}
