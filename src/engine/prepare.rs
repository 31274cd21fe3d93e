//! From a commit to a plan: its configuration is read from the commit itself, its presets are detected in its
//! tree, and the planner lays the steps.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::Mutex;

use crate::config;
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::{CommitId, StepId};
use crate::domain::plan::{Cause, Plan, hash_of};
use crate::domain::planner;
use crate::domain::project::Project;
use crate::git::{self, Mirror};
use crate::preset::{self, tree::Tree};
use crate::store::layout::Layout;

/// The configuration's file name.
pub const CONFIG: &str = "towpath.toml";

/// The project as the operator's working tree describes it, with its hash. Environments and limits are his; the
/// stages of a run come from its commit.
///
/// # Errors
/// Every mistake in the file, with its place.
pub fn working_tree(layout: &Layout) -> anyhow::Result<(Project, String)> {
    let directory = layout.repository.join(&layout.root);
    let file = match std::fs::read(directory.join(CONFIG)) {
        Ok(text) => config::parse(&text, CONFIG)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => config::File::default(),
        Err(error) => return Err(error).with_context(|| format!("reading {CONFIG}")),
    };
    let tree = preset::tree::Directory::new(&directory)
        .with_context(|| format!("reading {}", directory.display()))?;
    let resolved = preset::resolve(&file, &name_of(layout), &layout.root, &tree)?;
    let hash = hash_of(&resolved.project);
    Ok((resolved.project, hash))
}

/// The repository's directory name, from which a project without a name takes one.
fn name_of(layout: &Layout) -> String {
    let directory = layout.repository.join(&layout.root);
    let named = std::fs::canonicalize(&directory).unwrap_or(directory);
    named.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Plans a commit.
#[expect(clippy::result_large_err, reason = "once a run, and the cause is what the screen shows")]
pub(super) async fn plan(
    layout: Arc<Layout>,
    gate: Arc<Mutex<()>>,
    commit: CommitId,
    until: Option<StepId>,
) -> Result<(Plan, Vec<Finding>), Cause> {
    let guard = gate.lock_owned().await;
    let planned = tokio::task::spawn_blocking(move || {
        let planned = plan_commit(&layout, &commit, until.as_ref());
        drop(guard);
        planned
    });
    match planned.await {
        Ok(planned) => planned,
        Err(error) => Err(Cause {
            summary: "planning the commit failed inside Towpath".to_owned(),
            measured: error.to_string(),
            ..Cause::default()
        }),
    }
}

#[expect(clippy::result_large_err, reason = "once a run, and the cause is what the screen shows")]
fn plan_commit(
    layout: &Layout,
    commit: &CommitId,
    until: Option<&StepId>,
) -> Result<(Plan, Vec<Finding>), Cause> {
    let unreadable = |error: git::GitError| Cause {
        summary: format!("{} could not be read", commit.short()),
        expected: format!("the tree of {commit}"),
        measured: format!("{error}"),
        cure: "See that the commit is still in the repository.".to_owned(),
        ..Cause::default()
    };
    let mirror = Mirror::open(&layout.repository, &layout.mirror()).map_err(unreadable)?;
    mirror.update().map_err(unreadable)?;
    let facts = mirror.resolve(commit.as_str()).map_err(unreadable)?;
    let branches = mirror.branches_with(commit).map_err(unreadable)?;
    let tree = CommitTree { tree: mirror.tree(commit).map_err(unreadable)?, root: layout.root.clone() };

    let mut findings = Vec::new();
    let file = match tree.read(CONFIG) {
        Some(text) => config::parse(&text, CONFIG).map_err(|mistakes| mistaken(commit, &mistakes))?,
        None => {
            findings.push(Finding {
                id: "CONFIG-MISSING".to_owned(),
                severity: Severity::Note,
                title: format!("{} has no {CONFIG}: what was detected is used as it is.", commit.short()),
                cure: format!("Commit {CONFIG}: a commit's stages come from the commit itself."),
            });
            config::File::default()
        }
    };
    let resolved = preset::resolve(&file, &name_of(layout), &layout.root, &tree)
        .map_err(|mistakes| mistaken(commit, &mistakes))?;
    findings.extend(resolved.findings);
    let plan = planner::pipeline(&resolved.project, &facts, &branches, until).map_err(|error| Cause {
        summary: format!("{} has no plan: {error}", commit.short()),
        expected: "stages that can be put in order".to_owned(),
        measured: error.to_string(),
        cure: format!("Mend {CONFIG} and commit it; `towpath check` shows what would run."),
        ..Cause::default()
    })?;
    Ok((plan, findings))
}

fn mistaken(commit: &CommitId, mistakes: &config::Mistakes) -> Cause {
    let lines: Vec<String> = mistakes.to_string().lines().map(ToOwned::to_owned).collect();
    Cause {
        summary: format!("{CONFIG} of {} has a mistake", commit.short()),
        expected: format!("a {CONFIG} without mistakes"),
        measured: lines.first().cloned().unwrap_or_default(),
        exit_code: None,
        last_lines: lines,
        cure: format!("Mend {CONFIG} and commit it; `towpath check` reads the working tree's."),
    }
}

/// A commit's tree, seen from the project's directory.
struct CommitTree {
    tree: git::Tree,
    root: String,
}

impl CommitTree {
    fn prefix(&self) -> String {
        if self.root == "." { String::new() } else { format!("{}/", self.root) }
    }
}

impl Tree for CommitTree {
    fn paths(&self) -> Vec<String> {
        let prefix = self.prefix();
        self.tree.paths().filter_map(|path| path.strip_prefix(&prefix)).map(ToOwned::to_owned).collect()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        // A file that git cannot give is as good as none here: the export of the commit fails and says why.
        self.tree.read(format!("{}{path}", self.prefix())).ok().flatten()
    }
}
