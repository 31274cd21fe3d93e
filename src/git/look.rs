//! Small looks that do not need the mirror to be brought up to date.

use super::command::{Place, QUESTION, ask};
use super::error::GitError;
use super::mirror::Mirror;
use crate::domain::ids::CommitId;

impl Mirror {
    /// Where a branch is in the user's repository right now, without fetching it: cheap enough to ask every few
    /// seconds. A remote-tracking one (`origin/main`) where there is no branch of that name; `None` where there
    /// is neither.
    ///
    /// # Errors
    /// What git says.
    pub fn peek(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        let repository = Place::Directory(self.repository.clone());
        for prefix in ["refs/heads/", "refs/remotes/"] {
            let name = format!("{prefix}{branch}");
            let arguments = ["for-each-ref", "--count=1", "--format=%(objectname)", "--", name.as_str()];
            let commit = ask(&repository, QUESTION, arguments)?.word()?;
            if !commit.is_empty() {
                return Ok(Some(CommitId(commit)));
            }
        }
        Ok(None)
    }

    /// The branches of the mirror that a commit is on, by name.
    ///
    /// # Errors
    /// What git says.
    pub fn branches_with(&self, commit: &CommitId) -> Result<Vec<String>, GitError> {
        let contains = format!("--contains={commit}");
        let arguments =
            ["for-each-ref", contains.as_str(), "--format=%(refname:lstrip=2)", "--", "refs/heads/"];
        let names = ask(&self.place, QUESTION, arguments)?.success()?;
        Ok(String::from_utf8_lossy(&names).lines().map(ToOwned::to_owned).collect())
    }
}
