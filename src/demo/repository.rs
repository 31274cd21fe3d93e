//! A small git repository out of files that the program carries.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::failure::{Failure, Sort};

/// Whose commit it is, and of when: with both a commit's name is always the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// `Name <mail>`; without one the user's own name, or ours where git knows none.
    pub author: Option<&'a str>,
    /// As git reads it; without one it is now.
    pub date: Option<&'a str>,
}

/// A repository that is being made.
#[derive(Debug)]
pub struct Repository {
    directory: PathBuf,
}

impl Repository {
    /// Makes one with the branch `main`, in a directory that is empty or does not exist yet.
    ///
    /// # Errors
    /// When something is in the directory already, or git cannot make one there.
    pub fn create(directory: &Path) -> Result<Self, Failure> {
        if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Failure::usage(
                format!("{} is not empty, and nothing in it is touched.", directory.display()),
                "Name a directory that does not exist yet.",
            ));
        }
        std::fs::create_dir_all(directory).map_err(|error| cannot(directory, &error))?;
        let repository = Self { directory: directory.to_owned() };
        repository.git(&["init", "--quiet", "--initial-branch=main"], Origin::default())?;
        Ok(repository)
    }

    /// Writes a file; directories are made as needed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.directory.join(name);
        let parent = path.parent().unwrap_or(&self.directory);
        std::fs::create_dir_all(parent).map_err(|error| cannot(parent, &error))?;
        std::fs::write(&path, text).map_err(|error| cannot(&path, &error))
    }

    /// Commits everything that was written.
    ///
    /// # Errors
    /// When git does not.
    pub fn commit(&self, message: &str, origin: Origin<'_>) -> Result<(), Failure> {
        self.git(&["add", "--all"], origin)?;
        self.git(&["commit", "--quiet", "--message", message], origin)
    }

    /// Tags the last commit.
    ///
    /// # Errors
    /// When git does not.
    pub fn tag(&self, name: &str) -> Result<(), Failure> {
        self.git(&["tag", "--no-sign", name], Origin::default())
    }

    /// The user's own git, without their hooks and signatures: these commits are nobody's work. A name is lent where
    /// the user has none configured.
    fn git(&self, arguments: &[&str], origin: Origin<'_>) -> Result<(), Failure> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.directory);
        command.args([
            "-c",
            "commit.gpgSign=false",
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.autocrlf=false",
        ]);
        command.args(["-c", "user.name=Towpath", "-c", "user.email=towpath@localhost"]);
        // The repository around a hook or a worktree must not be mistaken for the new one.
        for variable in
            ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_TEMPLATE_DIR"]
        {
            command.env_remove(variable);
        }
        if let Some((name, mail)) =
            origin.author.and_then(|author| author.trim_end_matches('>').split_once(" <"))
        {
            for who in ["AUTHOR", "COMMITTER"] {
                command.env(format!("GIT_{who}_NAME"), name).env(format!("GIT_{who}_EMAIL"), mail);
            }
        }
        if let Some(date) = origin.date {
            command.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
        }
        let output = command.args(arguments).stdin(Stdio::null()).output().map_err(|error| {
            let hint = "Towpath uses your own git; install it, or put it on PATH.";
            Failure::new(Sort::Unreachable, format!("git cannot be started: {error}."), hint)
        })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(
            Sort::Unclear,
            format!("`git {}` failed in {}.", arguments.join(" "), self.directory.display()),
            format!("git says: {}", said.trim()),
        ))
    }
}

/// Something that the demo or the sample writes cannot be written.
pub(super) fn cannot(what: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("{} cannot be written: {error}.", what.display()), "Name another directory.")
}
