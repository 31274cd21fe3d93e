//! What can go wrong with git.

use std::path::PathBuf;
use std::time::Duration;

/// Why git could not do what was wanted.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// No program of that name.
    #[error("git could not be started ({source}): install git, and see that it is in PATH")]
    Missing {
        /// What the system says.
        source: std::io::Error,
    },
    /// Not inside a repository.
    #[error("{} is not inside a git repository: go to your project, or run `git init` and commit there", path.display())]
    NoRepository {
        /// Where was looked.
        path: PathBuf,
    },
    /// A repository without a working tree.
    #[error("{} is a bare repository, without a working tree to read towpath.toml from: use a clone of it", path.display())]
    Bare {
        /// Where.
        path: PathBuf,
    },
    /// No such branch, tag or commit.
    #[error("there is no branch, tag or commit “{revision}”{}", nearest.as_ref().map(|name| format!(": did you mean “{name}”?")).unwrap_or_default())]
    UnknownRevision {
        /// As it was asked for.
        revision: String,
        /// The branch or tag whose name is most like it.
        nearest: Option<String>,
    },
    /// There is nothing to walk yet.
    #[error("the repository has no commit yet: make one, with towpath.toml in it")]
    NoCommit,
    /// A name that means several commits.
    #[error("“{revision}” can mean {}: say which", candidates.join(" or "))]
    Ambiguous {
        /// As it was asked for.
        revision: String,
        /// What it can mean, each in a form that means one thing.
        candidates: Vec<String>,
    },
    /// A directory that the commit does not have.
    #[error("commit {commit} has no directory “{root}”")]
    NoDirectory {
        /// The commit, short.
        commit: String,
        /// The directory.
        root: String,
    },
    /// A path in a commit that must not be written.
    #[error(
        "the commit has a file “{path}”, which would be written outside of its directory: nothing was written there"
    )]
    HostilePath {
        /// The path, printable.
        path: String,
    },
    /// git said no.
    #[error("git {what} failed: {said}")]
    Failed {
        /// The subcommand.
        what: String,
        /// The end of what it wrote to its standard error, sanitised.
        said: String,
    },
    /// git did not end.
    #[error("git {what} did not end within {} seconds and was stopped: see whether the repository's disk answers", after.as_secs())]
    TimedOut {
        /// The subcommand.
        what: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The system said no.
    #[error("{} could not be {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done, a participle.
        doing: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

impl GitError {
    /// From an error of the system while doing something to a path.
    pub(super) fn io(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, doing, source }
    }
}
