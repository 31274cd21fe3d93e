//! Places as a person knows them: a cause names the project's files as the project does, and a package's as Python
//! does, not where an attempt happens to have laid them.

use std::path::{Path, PathBuf};

use crate::domain::plan::Cause;

use super::workbench::Workbench;

/// Directories of ours, whose paths say nothing to a person.
#[derive(Debug)]
pub(super) struct Places {
    /// Where the command ran; first, for it is the most exact.
    cwd: Option<PathBuf>,
    /// The attempt's working directory.
    work: PathBuf,
    /// Where artifacts lie.
    artifacts: PathBuf,
    /// Where caches lie.
    cache: PathBuf,
}

impl Places {
    /// Those of an attempt.
    pub(super) fn of(bench: &Workbench) -> Self {
        Self {
            cwd: bench.kept().map(|kept| PathBuf::from(&kept.directory)),
            work: bench.work(),
            artifacts: bench.spec().artifacts.clone(),
            cache: bench.spec().cache.clone(),
        }
    }

    /// Rewrites what a cause says. The step's own name before its summary stands beside it on every screen.
    pub(super) fn rewrite(&self, step: &str, cause: &mut Cause) {
        let summary = cause.summary.strip_prefix(step).and_then(|rest| rest.strip_prefix(": "));
        cause.summary = self.line(summary.unwrap_or(&cause.summary));
        cause.measured = self.line(&cause.measured);
        for line in &mut cause.last_lines {
            *line = self.line(line);
        }
    }

    /// A line with every path below our directories made short.
    fn line(&self, line: &str) -> String {
        let mut rest = line;
        let mut text = String::with_capacity(line.len());
        while let Some(at) = rest.find('/') {
            let (before, from) = rest.split_at(at);
            text.push_str(before);
            // A path begins where a word does: `sqlite:///x` and `a/b` are none of ours.
            let begins = !before.ends_with(|last: char| last.is_alphanumeric() || "/._-".contains(last));
            let length =
                from.find(|c: char| c.is_whitespace() || "\"'`,:;()<>".contains(c)).unwrap_or(from.len());
            let (path, after) = from.split_at(length);
            match self.short(Path::new(path)).filter(|_| begins) {
                Some(short) => text.push_str(&short),
                None => text.push_str(path),
            }
            rest = after;
        }
        text.push_str(rest);
        text
    }

    fn short(&self, path: &Path) -> Option<String> {
        let shown = |path: &Path| Some(path.display().to_string()).filter(|text| !text.is_empty());
        let ours = [Some(&self.work), Some(&self.artifacts), Some(&self.cache), self.cwd.as_ref()];
        if !ours.iter().flatten().any(|directory| path.starts_with(directory)) {
            return None;
        }
        if let Some((_, package)) = path.to_str().and_then(|text| text.rsplit_once("/site-packages/")) {
            return Some(package.to_owned());
        }
        if let Some(inside) = self.cwd.as_ref().and_then(|cwd| path.strip_prefix(cwd).ok()) {
            return shown(inside);
        }
        if let Ok(inside) = path.strip_prefix(&self.work) {
            let project = ["app", "source"].iter().find_map(|part| inside.strip_prefix(part).ok());
            return shown(project.unwrap_or(inside));
        }
        // `HASH/app/shop/models.py`
        let mut inside = path.strip_prefix(&self.artifacts).ok()?.components();
        inside.next()?;
        shown(inside.as_path().strip_prefix("app").ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_ours_are_said_as_the_project_says_them() {
        let places = Places {
            cwd: Some("/s/runs/1/test/1/work/app/services/shop".into()),
            work: "/s/runs/1/test/1/work".into(),
            artifacts: "/s/artifacts".into(),
            cache: "/c".into(),
        };
        let cases = [
            ("would reformat /s/runs/1/test/1/work/app/services/shop/a.py", "would reformat a.py"),
            ("File \"/s/runs/1/test/1/work/app/manage.py\", line 4", "File \"manage.py\", line 4"),
            (
                "(from -r /s/runs/1/test/1/work/source/requirements.txt (line 1))",
                "(from -r requirements.txt (line 1))",
            ),
            ("/s/artifacts/0a1b/app/shop/models.py:4: x", "shop/models.py:4: x"),
            ("'/s/artifacts/0a1b/venv/lib/python3.11/site-packages/django/db/x.py'", "'django/db/x.py'"),
            ("/c/environments/1/venv/lib/python3.11/site-packages/_pytest/x.py", "_pytest/x.py"),
            ("/usr/lib/python3/site-packages/x.py", "/usr/lib/python3/site-packages/x.py"),
            (
                "sqlite:///s/runs and a/s/runs, /s/runsaway and /s/runs/1",
                "sqlite:///s/runs and a/s/runs, /s/runsaway and /s/runs/1",
            ),
            ("see /s/runs/1/test/1/work/app for it", "see /s/runs/1/test/1/work/app for it"),
            ("größe: /s/runs/1/test/1/work/größe.txt", "größe: größe.txt"),
        ];
        for (line, wanted) in cases {
            assert_eq!(places.line(line), wanted);
        }
    }

    #[test]
    fn a_step_does_not_name_itself_twice() {
        let places = Places { cwd: None, work: "/w".into(), artifacts: "/a".into(), cache: "/c".into() };
        for (step, summary, wanted) in [
            ("ruff", "ruff: 2 violations", "2 violations"),
            ("lint", "ruff: 2 violations", "ruff: 2 violations"),
            ("ruff", "ruff format: 1 file", "ruff format: 1 file"),
        ] {
            let mut cause = Cause { summary: summary.to_owned(), ..Cause::default() };
            places.rewrite(step, &mut cause);
            assert_eq!(cause.summary, wanted);
        }
    }
}
