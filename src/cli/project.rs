//! Which project is meant: the repository around a directory, and where in it `towpath.toml` lies.

use std::path::{Path, PathBuf};

use super::failure::{Failure, Sort};
use crate::store::layout::Layout;

/// The file that makes a directory a project.
pub const CONFIGURATION: &str = "towpath.toml";

/// Where a project is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The repository's real path.
    pub repository: PathBuf,
    /// The project's directory inside it, `.` for its root.
    pub root: String,
}

impl Location {
    /// Finds the project around a directory: the nearest `towpath.toml` between it and the repository's root.
    ///
    /// # Errors
    /// When there is no repository, or no `towpath.toml` in it there.
    pub fn find(start: &Path) -> Result<Self, Failure> {
        let start = start.canonicalize().map_err(|error| {
            Failure::usage(format!("{} cannot be entered: {error}.", start.display()), "")
        })?;
        let repository = repository_around(&start)?;
        let Some(directory) = start
            .ancestors()
            .take_while(|it| it.starts_with(&repository))
            .find(|it| it.join(CONFIGURATION).is_file())
        else {
            return Err(Failure::usage(
                format!("There is no {CONFIGURATION} in {} or above it.", start.display()),
                format!(
                    "Write one beside manage.py and commit it; two lines are enough:\n\n    [project]\n    name = \
                     \"{}\"\n",
                    suggested_name(&repository)
                ),
            ));
        };
        let root = match directory.strip_prefix(&repository) {
            Ok(inside) if !inside.as_os_str().is_empty() => inside.to_string_lossy().into_owned(),
            _ => ".".to_owned(),
        };
        Ok(Self { repository, root })
    }

    /// The project's `towpath.toml` in the working tree.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory().join(CONFIGURATION)
    }

    /// The project's directory in the working tree.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.repository.join(&self.root)
    }

    /// Where its state lies.
    ///
    /// # Errors
    /// When there is no home directory and nothing else says where.
    pub fn layout(&self) -> Result<Layout, Failure> {
        Layout::of(&self.repository, &self.root).map_err(|error| Failure::usage(format!("{error:#}"), ""))
    }
}

/// The repository's root: what the user's own git says.
fn repository_around(start: &Path) -> Result<PathBuf, Failure> {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(start)
        .args(["rev-parse", "--show-toplevel"])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| {
            let hint = "Towpath uses your own git; install it, or put it on PATH.";
            Failure::new(Sort::Unreachable, format!("git cannot be started: {error}."), hint)
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().trim_start_matches("fatal: ");
        return Err(Failure::usage(
            format!("{} is not in a git repository with a working tree (git says: {said}).", start.display()),
            "Go to your project, or name it with --repository DIR.",
        ));
    }
    use std::os::unix::ffi::OsStrExt as _;
    let line = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    Path::new(std::ffi::OsStr::from_bytes(line)).canonicalize().map_err(|error| {
        Failure::new(Sort::Unclear, format!("The repository's real path cannot be read: {error}."), "")
    })
}

/// The repository's directory as a project name: lower-case letters, digits and `-`.
fn suggested_name(repository: &Path) -> String {
    let name = repository.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String =
        name.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "shop".to_owned() } else { name }
}
