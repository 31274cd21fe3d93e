//! Which project is meant: the repository around a directory, and where in it `towpath.toml` lies.

use std::path::{Path, PathBuf};

use super::failure::{Failure, sentence};
use crate::git;
use crate::preset::resolve::name_from;
use crate::store::layout::Layout;

/// The file that makes a directory a project.
pub const CONFIGURATION: &str = crate::config::FILE_NAME;

/// What to do where there is no repository.
const NAME_IT: &str = "Go to your project, or name it with --repository DIR.";

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
        let repository =
            git::discover(&start).map_err(|error| Failure::usage(sentence(&error.to_string()), NAME_IT))?;
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
                    name_from(&directory_name(&repository))
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
        Layout::of(&self.repository, &self.root)
            .map_err(|error| Failure::usage(sentence(&format!("{error:#}")), ""))
    }
}

/// The last part of a path, as text.
fn directory_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
