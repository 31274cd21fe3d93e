use std::os::unix::fs::symlink;

use super::*;

struct Trees {
    root: tempfile::TempDir,
}

impl Trees {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn served(&self) -> PathBuf {
        self.path("served")
    }

    fn tree(&self, release: &str, files: &[(&str, &str)]) -> PathBuf {
        for (name, content) in files {
            let at = self.path(release).join(name);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, content).unwrap();
            fs::set_permissions(&at, fs::Permissions::from_mode(0o644)).unwrap();
        }
        self.path(release)
    }

    /// What is served, without the index.
    fn all(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        walk(&self.served(), Path::new(""), &mut found, &mut Filled::default()).unwrap();
        let read = |name: &PathBuf| fs::read_to_string(self.served().join(name)).unwrap();
        found.iter().map(|name| (name.to_str().unwrap().to_owned(), read(name))).collect()
    }
}

fn files(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

const OLD: DeploymentId = DeploymentId(1);
const NEW: DeploymentId = DeploymentId(2);

#[test]
fn both_sets_are_served_and_the_old_one_goes_alone() {
    let trees = Trees::new();
    let old = trees.tree("old", &[("css/a.111.css", "old"), ("css/a.css", "old"), ("old/only.js", "x")]);
    let new = trees.tree("new", &[("css/a.222.css", "new"), ("css/a.css", "new")]);
    assert_eq!(merge(&trees.served(), OLD, &old).unwrap().added, 3);
    let filled = merge(&trees.served(), NEW, &new).unwrap();
    assert_eq!((filled.added, filled.replaced), (1, 1));
    let both = files(&[
        ("css/a.111.css", "old"),
        ("css/a.222.css", "new"),
        ("css/a.css", "new"),
        ("old/only.js", "x"),
    ]);
    assert_eq!(trees.all(), both);
    // Again: nothing changes.
    assert_eq!(merge(&trees.served(), NEW, &new).unwrap().same, 2);
    assert_eq!(trees.all(), both);
    let filled = forget(&trees.served(), OLD, &[(NEW, new.clone())]).unwrap();
    assert_eq!(filled.removed, 2);
    let only_new = files(&[("css/a.222.css", "new"), ("css/a.css", "new")]);
    assert_eq!(trees.all(), only_new);
    assert!(!trees.served().join("old").exists());
    assert_eq!(forget(&trees.served(), OLD, &[(NEW, new)]).unwrap(), Filled::default());
    assert_eq!(trees.all(), only_new);
}

#[test]
fn a_release_that_is_given_up_gives_the_older_content_back() {
    let trees = Trees::new();
    let old = trees.tree("old", &[("a.css", "old")]);
    let new = trees.tree("new", &[("a.css", "new"), ("b.css", "new")]);
    merge(&trees.served(), OLD, &old).unwrap();
    merge(&trees.served(), NEW, &new).unwrap();
    forget(&trees.served(), NEW, &[(OLD, old.clone())]).unwrap();
    assert_eq!(trees.all(), files(&[("a.css", "old")]));
    // The trees themselves are as they were, although they may be linked.
    assert_eq!(fs::read_to_string(old.join("a.css")).unwrap(), "old");
    assert_eq!(fs::read_to_string(new.join("a.css")).unwrap(), "new");
    forget(&trees.served(), OLD, &[]).unwrap();
    assert!(trees.all().is_empty() && trees.served().is_dir());
}

#[test]
fn what_others_put_there_is_never_removed() {
    let trees = Trees::new();
    trees.tree("served", &[("logo.svg", "theirs"), ("a.css", "theirs"), ("css/x.css", "theirs")]);
    let new = trees.tree("new", &[("a.css", "new"), ("css/b.css", "new"), ("deep/er/c.css", "new")]);
    merge(&trees.served(), NEW, &new).unwrap();
    // Changed afterwards by somebody: it is theirs now.
    fs::remove_file(trees.served().join("css/b.css")).unwrap();
    fs::write(trees.served().join("css/b.css"), "edited by hand").unwrap();
    forget(&trees.served(), NEW, &[]).unwrap();
    let left = files(&[
        ("a.css", "new"),
        ("css/b.css", "edited by hand"),
        ("css/x.css", "theirs"),
        ("logo.svg", "theirs"),
    ]);
    assert_eq!(trees.all(), left);
    assert!(!trees.served().join("deep").exists());
}

#[test]
fn links_lead_nowhere_outside() {
    let trees = Trees::new();
    let outside = trees.tree("outside", &[("secret", "secret")]);
    let new = trees.tree("new", &[("a.css", "new"), ("escape/b.css", "new")]);
    symlink(outside.join("secret"), new.join("leak")).unwrap();
    symlink(&outside, new.join("leaks")).unwrap();
    symlink("a.css", new.join("same.css")).unwrap();
    fs::create_dir(trees.served()).unwrap();
    symlink(&outside, trees.served().join("escape")).unwrap();
    let filled = merge(&trees.served(), NEW, &new).unwrap();
    assert_eq!(filled.left_out.len(), 3, "{filled:?}");
    assert_eq!(fs::read_to_string(trees.served().join("same.css")).unwrap(), "new");
    assert!(!trees.served().join("leak").exists() && !trees.served().join("leaks").exists());
    forget(&trees.served(), NEW, &[]).unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(fs::symlink_metadata(trees.served().join("escape")).unwrap().is_symlink());
}

#[test]
fn readable_files_are_linked_and_closed_ones_copied_readable() {
    let trees = Trees::new();
    let new = trees.tree("new", &[("open.css", "open"), ("closed.css", "closed")]);
    fs::set_permissions(new.join("closed.css"), fs::Permissions::from_mode(0o600)).unwrap();
    merge(&trees.served(), NEW, &new).unwrap();
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(trees.served().join("open.css")), inode(new.join("open.css")));
    assert_ne!(inode(trees.served().join("closed.css")), inode(new.join("closed.css")));
    assert_eq!(fs::metadata(trees.served().join("closed.css")).unwrap().mode() & 0o777, 0o644);
}

#[test]
fn a_merge_that_was_cut_off_is_finished_or_taken_away() {
    let trees = Trees::new();
    let new = trees.tree("new", &[("css/a.css", "new"), ("b.css", "new")]);
    fs::create_dir(trees.served()).unwrap();
    // As a kill after the first file leaves it: everything is noted, not everything is there.
    let mut index = Index::default();
    index.bring(Path::new("css/a.css"), NEW, false);
    index.bring(Path::new("b.css"), NEW, false);
    index.directories.insert("css".into());
    index.write(&trees.served()).unwrap();
    fs::write(trees.served().join("b.css"), "new").unwrap();
    let filled = merge(&trees.served(), NEW, &new).unwrap();
    assert_eq!((filled.added, filled.same), (1, 1));
    forget(&trees.served(), NEW, &[]).unwrap();
    assert!(trees.all().is_empty() && !trees.served().join("css").exists());
}

#[test]
fn an_index_of_another_version_is_refused_with_its_cure() {
    let trees = Trees::new();
    trees.tree("served", &[(index::NAME, "{\"files\": 7}")]);
    let new = trees.tree("new", &[("a.css", "new")]);
    let trouble = merge(&trees.served(), NEW, &new).unwrap_err();
    assert!(trouble.cure.contains("move it away"), "{trouble:?}");
    let trouble = merge(&trees.served(), NEW, &trees.path("missing")).unwrap_err();
    assert!(trouble.summary.contains("missing"), "{trouble:?}");
}
