//! Commits with what points at them.

use std::collections::{BTreeMap, BTreeSet};

use super::command::{Place, QUESTION, ask, harmless};
use super::error::GitError;
use crate::domain::command::CommitFacts;
use crate::domain::ids::CommitId;
use crate::domain::time::Timestamp;

/// The user's `HEAD`, in the mirror.
pub(super) const HEAD: &str = "refs/towpath/HEAD";
const FORMAT: &str = "--format=%H%x00%P%x00%an%x00%at%x00%s";

/// What a reference is, and which commit it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The whole name: `refs/heads/main`.
    pub(super) full: String,
    /// The name that people use: `main`, `origin/main`, `v1.2`.
    pub(super) short: String,
    /// The commit; tags are peeled.
    pub(super) commit: CommitId,
}

/// Every branch, remote-tracking branch and tag that means a commit, and the user's `HEAD`.
pub(super) fn references(place: &Place) -> Result<Vec<Reference>, GitError> {
    let answer = ask(
        place,
        QUESTION,
        [
            "for-each-ref",
            "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(*objecttype)%00%(*objectname)",
            "refs/heads",
            "refs/tags",
            "refs/remotes",
            HEAD,
        ],
    )?
    .success()?;
    let mut references = Vec::new();
    for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let text = String::from_utf8_lossy(line);
        let fields: Vec<&str> = text.split('\0').collect();
        let [full, kind, object, peeled_kind, peeled] = fields.as_slice() else { continue };
        // A tag may mean a tree or a file: not something to release.
        let commit = match (*kind, *peeled_kind) {
            ("commit", _) => *object,
            (_, "commit") => *peeled,
            _ => continue,
        };
        let short = ["refs/heads/", "refs/tags/", "refs/remotes/"]
            .iter()
            .find_map(|prefix| full.strip_prefix(prefix))
            .unwrap_or("HEAD");
        // `origin/HEAD` is another name for one of the others.
        if full.starts_with("refs/remotes/") && short.ends_with("/HEAD") {
            continue;
        }
        references.push(Reference {
            full: (*full).to_owned(),
            short: short.to_owned(),
            commit: CommitId::from(commit),
        });
    }
    Ok(references)
}

/// Commits as `rev-list` gives them (newest first by their dates, children before parents), with the references
/// that mean them.
pub(super) fn commits(
    place: &Place,
    references: &[Reference],
    arguments: &[&str],
) -> Result<Vec<CommitFacts>, GitError> {
    let mut all = vec!["rev-list", "--no-commit-header", FORMAT];
    all.extend_from_slice(arguments);
    let answer = ask(place, QUESTION, all)?.success()?;
    let mut names: BTreeMap<&CommitId, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for reference in references {
        let (tags, branches) = names.entry(&reference.commit).or_default();
        if reference.full.starts_with("refs/tags/") {
            tags.push(reference.short.clone());
        } else if reference.full != HEAD {
            branches.push(reference.short.clone());
        }
    }
    let mut commits = Vec::new();
    let mut parents: Vec<Vec<CommitId>> = Vec::new();
    for line in answer.split(|byte| *byte == b'\n') {
        let mut fields = line.splitn(5, |byte| *byte == 0);
        let (Some(id), Some(above), Some(author), Some(seconds), Some(subject)) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let id = CommitId(String::from_utf8_lossy(id).into_owned());
        parents.push(String::from_utf8_lossy(above).split_whitespace().map(CommitId::from).collect());
        let seconds: i64 = String::from_utf8_lossy(seconds).parse().unwrap_or(0);
        let (mut tags, mut branches) = names.get(&id).cloned().unwrap_or_default();
        tags.sort();
        branches.sort();
        commits.push(CommitFacts {
            id,
            subject: harmless(subject),
            author: harmless(author),
            authored: Timestamp(seconds.saturating_mul(1000)),
            tags,
            branches,
        });
    }
    Ok(children_first(commits, &parents))
}

/// The same order, but for parents that stand before a child: a rebase gives many commits one date, and git
/// orders all of history only by walking all of it.
fn children_first(commits: Vec<CommitFacts>, parents: &[Vec<CommitId>]) -> Vec<CommitFacts> {
    let places: BTreeMap<CommitId, usize> =
        commits.iter().enumerate().map(|(place, commit)| (commit.id.clone(), place)).collect();
    let above =
        |place: usize| parents.get(place).into_iter().flatten().filter_map(|parent| places.get(parent));
    let mut children = vec![0_usize; commits.len()];
    for place in 0..commits.len() {
        for parent in above(place) {
            if let Some(count) = children.get_mut(*parent) {
                *count += 1;
            }
        }
    }
    let mut commits: Vec<Option<CommitFacts>> = commits.into_iter().map(Some).collect();
    let mut ready: BTreeSet<usize> =
        (0..commits.len()).filter(|place| children.get(*place) == Some(&0)).collect();
    let mut ordered = Vec::with_capacity(commits.len());
    while let Some(place) = ready.pop_first() {
        ordered.extend(commits.get_mut(place).and_then(Option::take));
        for parent in above(place) {
            if let Some(count) = children.get_mut(*parent) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*parent);
                }
            }
        }
    }
    ordered
}

/// The name that is most like `wanted`: the same but for case, its last part, or a few letters away.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted_lower = wanted.to_lowercase();
    let bound = wanted.chars().count().div_ceil(3).min(4);
    names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let last = lower.rsplit('/').next().unwrap_or(&lower);
            let distance = if lower == wanted_lower
                || last == wanted_lower
                || last.trim_start_matches('v') == wanted_lower
            {
                0
            } else {
                distance(&wanted_lower, &lower)
            };
            (distance <= bound).then_some((distance, name))
        })
        .min()
        .map(|(_, name)| name)
}

/// Letters to insert, remove or replace to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(x != *y)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["main", "origin/main", "feature/gift-cards", "v1.2.0", "release-2"];
        let cases = [
            ("mian", Some("main")),
            ("MAIN", Some("main")),
            ("gift-cards", Some("feature/gift-cards")),
            ("1.2.0", Some("v1.2.0")),
            ("v1.2.1", Some("v1.2.0")),
            ("develop", None),
            ("", None),
        ];
        for (wanted, expected) in cases {
            assert_eq!(nearest(wanted, names.into_iter()), expected, "{wanted}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
