//! Our own bare mirror of the user's repository. Releases are read from it, so that nothing done in the working
//! tree, and no branch deleted there, changes what was tested.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::command::{Place, QUESTION, TRANSFER, ask, exists};
use super::error::GitError;
use super::export::{self, Exported};
use super::facts::{self, HEAD, Reference, nearest};
use super::tree::Tree;
use crate::domain::command::CommitFacts;
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::CommitId;

/// Commits of one date that a log's cut may fall into.
const SLACK: u32 = 64;

/// A mirror. Nothing in it is ever removed but names: a commit that was released stays.
#[derive(Debug, Clone)]
pub struct Mirror {
    pub(super) repository: PathBuf,
    path: PathBuf,
    pub(super) place: Place,
}

/// What an update noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// The user's `HEAD`; `None` before the first commit.
    pub head: Option<CommitId>,
    /// Worth saying once: a shallow repository.
    pub notices: Vec<Finding>,
}

impl Mirror {
    /// The mirror of a repository (its working tree's root), made when it is missing. It is empty until
    /// [`Mirror::update`].
    ///
    /// # Errors
    /// What git or the system says.
    pub fn open(repository: &Path, path: &Path) -> Result<Self, GitError> {
        let mirror = Self {
            repository: repository.to_owned(),
            path: path.to_owned(),
            place: Place::Bare(path.to_owned()),
        };
        if !exists(&path.join("HEAD")) {
            mirror.make()?;
        }
        Ok(mirror)
    }

    /// Takes over every branch, tag, remote-tracking branch and `HEAD` of the user's repository, moved and
    /// deleted ones too.
    ///
    /// # Errors
    /// [`GitError::Failed`] with git's words, [`GitError::TimedOut`].
    pub fn update(&self) -> Result<Updated, GitError> {
        let repository = Place::Directory(self.repository.clone());
        let word = |arguments: &[&str]| ask(&repository, QUESTION, arguments);
        let shallow = word(&["rev-parse", "--is-shallow-repository"])?.word()? == "true";
        if !shallow && exists(&self.path.join("shallow")) {
            // The history that was missing would have to be asked for commit by commit: begin anew.
            std::fs::remove_dir_all(&self.path).map_err(GitError::io(&self.path, "removed"))?;
            self.make()?;
        }
        let head = word(&["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?;
        let head = if head.ok { Some(CommitId(head.word()?)) } else { None };
        let from = self.repository.to_string_lossy().into_owned();
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--force",
            "--prune",
            "--no-tags",
            "--no-auto-gc",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--update-shallow",
            "--end-of-options",
            &from,
            "+refs/heads/*:refs/heads/*",
            "+refs/tags/*:refs/tags/*",
            "+refs/remotes/*:refs/remotes/*",
        ];
        let own_head = format!("+HEAD:{HEAD}");
        if head.is_some() {
            arguments.push(&own_head);
        }
        let answer = ask(&self.place, TRANSFER, &arguments)?;
        if !answer.ok && (answer.said.contains("lazy fetching") || answer.said.contains("promisor")) {
            return Err(GitError::Failed {
                what: "fetch".to_owned(),
                said: format!(
                    "your repository is a partial clone, without all of its files ({}): fetch them with \
                     `git fetch --refetch --no-filter`, or work in a whole clone",
                    answer.said
                ),
            });
        }
        answer.success()?;
        let mut notices = Vec::new();
        if shallow {
            notices.push(Finding {
                id: "GIT-SHALLOW".to_owned(),
                severity: Severity::Note,
                title: "The repository is shallow: older commits and some tags are missing.".to_owned(),
                cure: "Run `git fetch --unshallow --tags` where its history is wanted.".to_owned(),
            });
        }
        Ok(Updated { head, notices })
    }

    /// What a revision means: a branch, a tag, a remote-tracking branch, `HEAD`, a whole or short commit name,
    /// or what git makes of it (`main~2`).
    ///
    /// # Errors
    /// [`GitError::UnknownRevision`] with the nearest name, [`GitError::Ambiguous`], [`GitError::NoCommit`].
    pub fn resolve(&self, revision: &str) -> Result<CommitFacts, GitError> {
        let revision = revision.trim();
        let references = facts::references(&self.place)?;
        let unknown = || {
            if references.is_empty() {
                return GitError::NoCommit;
            }
            let names = references.iter().map(|reference| reference.short.as_str());
            GitError::UnknownRevision {
                revision: super::command::harmless(revision.as_bytes()),
                nearest: nearest(revision, names).map(str::to_owned),
            }
        };
        if revision.is_empty() || revision.starts_with('-') || revision.contains('\0') {
            return Err(unknown());
        }
        let id = match self.named(revision, &references)? {
            Some(commit) => commit,
            None => self.parsed(revision)?.ok_or_else(unknown)?,
        };
        self.facts(&id, &references)
    }

    /// The newest commits of all branches (remote-tracking ones too), tags and `HEAD`, newest first.
    ///
    /// # Errors
    /// What git says.
    pub fn log(&self, limit: u32) -> Result<Vec<CommitFacts>, GitError> {
        let references = facts::references(&self.place)?;
        // A few more than wanted: among commits of one date, git's cut may fall between a child and its parent.
        let count = format!("--max-count={}", limit.saturating_add(SLACK));
        let mut arguments = vec![count.as_str(), "--branches", "--tags", "--remotes"];
        if references.iter().any(|reference| reference.full == HEAD) {
            arguments.push(HEAD);
        }
        arguments.push("--");
        let mut commits = facts::commits(&self.place, &references, &arguments)?;
        commits.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(commits)
    }

    /// The commits that `to` has and `from` has not, newest first; from the beginning where there is no `from`.
    ///
    /// # Errors
    /// What git says.
    pub fn between(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: u32,
    ) -> Result<Vec<CommitFacts>, GitError> {
        let references = facts::references(&self.place)?;
        let count = format!("--max-count={limit}");
        let without = from.map(|from| format!("^{from}"));
        let mut arguments = vec![count.as_str(), to.as_str()];
        arguments.extend(without.as_deref());
        arguments.push("--");
        facts::commits(&self.place, &references, &arguments)
    }

    /// Where a branch is; a remote-tracking one (`origin/main`) where there is no branch of that name. `None`
    /// where there is neither.
    ///
    /// # Errors
    /// What git says.
    pub fn tip(&self, branch: &str) -> Result<Option<CommitFacts>, GitError> {
        let references = facts::references(&self.place)?;
        let find = |prefix: &str| {
            let full = format!("{prefix}{branch}");
            references.iter().find(|reference| reference.full == full)
        };
        match find("refs/heads/").or_else(|| find("refs/remotes/")) {
            Some(reference) => self.facts(&reference.commit, &references).map(Some),
            None => Ok(None),
        }
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// What git says; [`GitError::UnknownRevision`] when the mirror has no such commit.
    pub fn tree(&self, commit: &CommitId) -> Result<Tree, GitError> {
        Tree::read_from(&self.place, commit)
    }

    /// The object name of a commit's tree: equal trees have equal files.
    ///
    /// # Errors
    /// What git says.
    pub fn tree_hash(&self, commit: &CommitId) -> Result<String, GitError> {
        self.object(&format!("{commit}^{{tree}}"))
    }

    /// The object name of a directory of a commit, `.` for its root.
    ///
    /// # Errors
    /// [`GitError::NoDirectory`] when the commit has none of that name.
    pub fn subtree_hash(&self, commit: &CommitId, root: &str) -> Result<String, GitError> {
        let root = export::normal(root);
        if root.is_empty() {
            return self.tree_hash(commit);
        }
        let missing = || GitError::NoDirectory { commit: commit.short().to_owned(), root: root.clone() };
        // `^{tree}` cannot follow a path: it would be read as part of its name.
        let object = self.object(&format!("{commit}:{root}")).map_err(|error| match error {
            GitError::Failed { .. } => missing(),
            error => error,
        })?;
        let kind = ask(&self.place, QUESTION, ["cat-file", "-t", &object])?.word()?;
        if kind == "tree" { Ok(object) } else { Err(missing()) }
    }

    /// Writes the files of a commit's directory (`.` for all), byte for byte as they were committed: no filter,
    /// no line-end conversion, no `export-ignore`, no `export-subst`. The destination must be missing or empty.
    ///
    /// # Errors
    /// [`GitError::NoDirectory`], [`GitError::HostilePath`], [`GitError::TimedOut`], what the system says. The
    /// destination is then incomplete: remove it.
    pub fn export(&self, commit: &CommitId, root: &str, destination: &Path) -> Result<Exported, GitError> {
        let references = facts::references(&self.place)?;
        let facts = self.facts(commit, &references)?;
        export::export(&self.place, &self.tree(commit)?, &facts, root, destination)
    }

    fn make(&self) -> Result<(), GitError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(GitError::io(&self.path, "made"))?;
        let repository = Place::Directory(self.repository.clone());
        let format = ask(&repository, QUESTION, ["rev-parse", "--show-object-format"])?.word()?;
        let format = format!("--object-format={format}");
        // No template: it may carry hooks and attributes.
        ask(
            &self.place,
            QUESTION,
            ["init", "--quiet", "--bare", "--template=", "--initial-branch=towpath", &format],
        )?
        .success()?;
        Ok(())
    }

    /// The commit of a branch, tag or remote-tracking branch of exactly this name, or of `HEAD`.
    fn named(&self, revision: &str, references: &[Reference]) -> Result<Option<CommitId>, GitError> {
        let revision = if revision == "@" { "HEAD" } else { revision };
        let found: Vec<&Reference> = references
            .iter()
            .filter(|reference| reference.short == revision || reference.full == revision)
            .collect();
        let Some(first) = found.first() else { return Ok(None) };
        if found.iter().any(|reference| reference.commit != first.commit) {
            return Err(GitError::Ambiguous {
                revision: revision.to_owned(),
                candidates: found.iter().map(|reference| reference.full.clone()).collect(),
            });
        }
        Ok(Some(first.commit.clone()))
    }

    /// What git makes of a revision; `None` when it makes nothing.
    fn parsed(&self, revision: &str) -> Result<Option<CommitId>, GitError> {
        // `HEAD~2` and `@^` start from the user's HEAD, not from the mirror's.
        let mapped = ["HEAD", "@"]
            .iter()
            .filter_map(|head| revision.strip_prefix(head))
            .find(|rest| rest.starts_with(['~', '^']))
            .map(|rest| format!("{HEAD}{rest}"));
        let wanted = format!("{}^{{commit}}", mapped.as_deref().unwrap_or(revision));
        let answer = ask(&self.place, QUESTION, ["rev-parse", "--verify", "--end-of-options", &wanted])?;
        if answer.ok {
            return answer.word().map(|word| Some(CommitId(word)));
        }
        if answer.said.contains("ambiguous") && revision.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let all =
                ask(&self.place, QUESTION, ["rev-parse".to_owned(), format!("--disambiguate={revision}")])?;
            let all = all.word()?;
            let mut candidates: Vec<String> = Vec::new();
            for name in all.split_whitespace() {
                let kind = ask(&self.place, QUESTION, ["cat-file", "-t", name])?.word()?;
                if kind == "commit" {
                    candidates.push(name.get(..12).unwrap_or(name).to_owned());
                }
            }
            return Err(GitError::Ambiguous { revision: revision.to_owned(), candidates });
        }
        Ok(None)
    }

    fn facts(&self, commit: &CommitId, references: &[Reference]) -> Result<CommitFacts, GitError> {
        let found = facts::commits(
            &self.place,
            references,
            &["--max-count=1", "--end-of-options", commit.as_str(), "--"],
        )?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| GitError::UnknownRevision { revision: commit.to_string(), nearest: None })
    }

    fn object(&self, name: &str) -> Result<String, GitError> {
        ask(&self.place, QUESTION, ["rev-parse", "--verify", "--end-of-options", name])?.word()
    }
}
