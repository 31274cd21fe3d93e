use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::domain::ids::CommitId;
use crate::domain::time::Timestamp;

/// A real repository and a mirror of it.
struct Bench {
    directory: TempDir,
    repository: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let repository = directory.path().canonicalize().unwrap().join("a project");
        fs::create_dir(&repository).unwrap();
        let bench = Self { directory, repository };
        bench.git(&["init", "-q", "-b", "main"]);
        bench
    }

    fn git_in(directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(directory)
            .args([
                "-c",
                "user.name=Marta",
                "-c",
                "user.email=marta@example.com",
                "-c",
                "commit.gpgSign=false",
            ])
            .args(["-c", "protocol.file.allow=always", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z")
            .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        Self::git_in(&self.repository, arguments)
    }

    fn file(&self, path: &str, content: &[u8]) {
        let path = self.repository.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits everything; gives the commit.
    fn commit(&self, subject: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        CommitId(self.git(&["rev-parse", "HEAD"]))
    }

    fn mirror(&self) -> Mirror {
        let mirror = Mirror::open(&self.repository, &self.path("mirror.git")).unwrap();
        mirror.update().unwrap();
        mirror
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

#[test]
fn a_repository_is_found_from_inside() {
    let bench = Bench::new();
    bench.file("sub/dir/x", b"x");
    bench.commit("One");
    assert_eq!(discover(&bench.repository.join("sub/dir")).unwrap(), bench.repository);
    let link = bench.path("link");
    symlink(&bench.repository, &link).unwrap();
    assert_eq!(discover(&link.join("sub")).unwrap(), bench.repository, "the real path");
    let worktree = bench.path("worktree");
    bench.git(&["worktree", "add", "-q", worktree.to_str().unwrap()]);
    let worktree = worktree.canonicalize().unwrap();
    assert_eq!(discover(&worktree.join("sub")).unwrap(), worktree);
    assert_eq!(main_worktree(&worktree).unwrap(), bench.repository);
    assert_eq!(main_worktree(&bench.repository).unwrap(), bench.repository);
    let bare = bench.path("bare.git");
    Bench::git_in(&bench.repository, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
    assert!(matches!(discover(&bare), Err(GitError::Bare { .. })));
    assert!(matches!(discover(bench.directory.path()), Err(GitError::NoRepository { .. })));
    assert!(matches!(discover(&bench.repository.join(".git")), Err(GitError::NoRepository { .. })));
    assert!(matches!(discover(&bench.path("missing")), Err(GitError::Io { .. })));
    // A linked worktree can be mirrored too: with its own HEAD.
    let own = {
        fs::write(worktree.join("y"), b"y").unwrap();
        Bench::git_in(&worktree, &["add", "-A"]);
        Bench::git_in(&worktree, &["commit", "-q", "-m", "There"]);
        Bench::git_in(&worktree, &["rev-parse", "HEAD"])
    };
    let mirror = Mirror::open(&worktree, &bench.path("worktree.git")).unwrap();
    assert_eq!(mirror.update().unwrap().head, Some(CommitId(own)));
    assert_eq!(mirror.resolve("HEAD").unwrap().subject, "There");
}

#[test]
fn an_empty_repository_is_empty() {
    let bench = Bench::new();
    let mirror = bench.mirror();
    assert_eq!(mirror.update().unwrap().head, None);
    assert!(mirror.log(10).unwrap().is_empty());
    assert_eq!(mirror.tip("main").unwrap(), None);
    assert!(matches!(mirror.resolve("HEAD"), Err(GitError::NoCommit)));
    let first = bench.commit("First");
    assert_eq!(mirror.update().unwrap().head, Some(first));
}

#[test]
fn revisions_mean_what_the_user_means() {
    let bench = Bench::new();
    bench.file("a", b"1");
    let one = bench.commit("One");
    bench.git(&["tag", "v1.0.0"]);
    bench.git(&["tag", "-a", "v1.0.1", "-m", "annotated"]);
    bench.git(&["tag", "-a", "nested", "v1.0.1", "-m", "a tag of a tag"]);
    bench.git(&["tag", "tree-tag", "HEAD^{tree}"]);
    bench.git(&["checkout", "-q", "-b", "feature/gift-cards"]);
    bench.file("b", b"2");
    let two = bench.commit("Two");
    bench.git(&["checkout", "-q", "main"]);
    bench.git(&["merge", "-q", "--no-ff", "-m", "Merge", "feature/gift-cards"]);
    let merge = CommitId(bench.git(&["rev-parse", "HEAD"]));
    let mirror = bench.mirror();
    let cases = [
        ("main", &merge),
        ("HEAD", &merge),
        ("@", &merge),
        ("HEAD~1", &one),
        ("HEAD^2", &two),
        ("v1.0.0", &one),
        ("v1.0.1", &one),
        ("nested", &one),
        ("refs/tags/v1.0.1", &one),
        ("feature/gift-cards", &two),
        (two.as_str(), &two),
        (two.short(), &two),
        (" main ", &merge),
    ];
    for (revision, commit) in cases {
        assert_eq!(&mirror.resolve(revision).unwrap().id, commit, "{revision}");
    }
    let facts = mirror.resolve("v1.0.0").unwrap();
    assert_eq!((facts.subject.as_str(), facts.author.as_str()), ("One", "Marta"));
    assert_eq!(facts.tags, ["nested", "v1.0.0", "v1.0.1"]);
    assert_eq!(facts.authored, Timestamp(1_767_323_045_000));
    assert_eq!(facts.version(), Some("1.0.0".to_owned()));
    assert_eq!(mirror.resolve("main").unwrap().branches, ["main"]);
    let subjects: Vec<String> = mirror.log(10).unwrap().into_iter().map(|commit| commit.subject).collect();
    assert_eq!(subjects, ["Merge", "Two", "One"]);
    assert_eq!(mirror.log(1).unwrap()[0].id, merge);
    for hostile in ["--all", "-n1", "", "main:a", "tree-tag", "no\0pe", "main..HEAD", "^main"] {
        assert!(matches!(mirror.resolve(hostile), Err(GitError::UnknownRevision { .. })), "{hostile:?}");
    }
    let said = mirror.resolve("giftcards").unwrap_err().to_string();
    assert_eq!(said, "there is no branch, tag or commit “giftcards”");
    let said = mirror.resolve("gift-cards").unwrap_err().to_string();
    assert_eq!(said, "there is no branch, tag or commit “gift-cards”: did you mean “feature/gift-cards”?");
}

#[test]
fn what_is_ambiguous_is_said() {
    let bench = Bench::new();
    bench.commit("One");
    bench.git(&["tag", "release"]);
    bench.git(&["branch", "release"]);
    let mirror = bench.mirror();
    assert_eq!(mirror.resolve("release").unwrap().subject, "One", "both mean the same commit");
    bench.commit("Two");
    bench.git(&["branch", "-f", "release"]);
    mirror.update().unwrap();
    let Err(GitError::Ambiguous { candidates, .. }) = mirror.resolve("release") else { panic!() };
    assert_eq!(candidates, ["refs/heads/release", "refs/tags/release"]);
    assert_eq!(mirror.resolve("refs/tags/release").unwrap().subject, "One");
    // Short names of four digits: among 2000 commits two begin alike.
    many(&bench, 2000);
    mirror.update().unwrap();
    let all = mirror.log(3000).unwrap();
    assert_eq!(all.len(), 2002);
    assert_eq!(all[0].subject, "Commit 2000");
    let mut short: Vec<&str> = all.iter().map(|commit| &commit.id.as_str()[..4]).collect();
    short.sort_unstable();
    let twice = short.windows(2).find(|pair| pair[0] == pair[1]).expect("2000 names of 16 bits collide")[0];
    let Err(GitError::Ambiguous { candidates, .. }) = mirror.resolve(twice) else { panic!("{twice}") };
    assert!(candidates.len() >= 2 && candidates.iter().all(|name| name.starts_with(twice)), "{candidates:?}");
}

/// Many commits on `main`, by one `git fast-import`.
fn many(bench: &Bench, count: u32) {
    use std::fmt::Write as _;
    use std::io::Write as _;
    let mut stream = String::new();
    for number in 1..=count {
        let subject = format!("Commit {number}");
        let from = if number == 1 { "from refs/heads/main^0\n" } else { "" };
        let at = 1_800_000_000 + number;
        let length = subject.len();
        write!(stream, "commit refs/heads/main\ncommitter M <m@example.com> {at} +0000\ndata {length}\n{subject}\n{from}\n").unwrap();
    }
    let mut import = Command::new("git")
        .current_dir(&bench.repository)
        .args(["fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(import.wait().unwrap().success());
}

#[test]
fn the_mirror_follows_moves_and_deletions_and_forgets_no_commit() {
    let bench = Bench::new();
    bench.commit("One");
    bench.git(&["checkout", "-q", "-b", "topic"]);
    let gone = bench.commit("Gone");
    bench.git(&["update-ref", "refs/remotes/origin/main", "HEAD"]);
    bench.git(&["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"]);
    let mirror = bench.mirror();
    assert_eq!(mirror.tip("origin/main").unwrap().unwrap().id, gone);
    assert_eq!(mirror.tip("topic").unwrap().unwrap().branches, ["origin/main", "topic"]);
    // Forced to another history, one branch deleted, HEAD detached, a directory where a branch was.
    bench.git(&["checkout", "-q", "main"]);
    bench.git(&["branch", "-D", "topic"]);
    bench.git(&["update-ref", "-d", "refs/remotes/origin/HEAD"]);
    bench.git(&["update-ref", "-d", "refs/remotes/origin/main"]);
    bench.git(&["commit", "-q", "--amend", "--allow-empty", "-m", "Other"]);
    bench.git(&["branch", "topic/two"]);
    bench.git(&["checkout", "-q", "--detach"]);
    let detached = bench.commit("Detached");
    assert_eq!(mirror.update().unwrap().head, Some(detached.clone()));
    assert_eq!(mirror.resolve("HEAD").unwrap().id, detached);
    assert_eq!(mirror.log(9).unwrap()[0].subject, "Detached");
    assert_eq!(mirror.tip("main").unwrap().unwrap().subject, "Other");
    assert_eq!(mirror.tip("topic").unwrap(), None);
    assert_eq!(mirror.tip("origin/main").unwrap(), None);
    assert_eq!(mirror.tip("topic/two").unwrap().unwrap().subject, "Other");
    assert_eq!(mirror.resolve(gone.as_str()).unwrap().subject, "Gone", "what may be released stays");
}

#[test]
fn a_shallow_repository_is_said_and_later_made_whole() {
    let bench = Bench::new();
    bench.commit("One");
    bench.commit("Two");
    let clone = bench.path("clone");
    let url = format!("file://{}", bench.repository.display());
    Bench::git_in(bench.directory.path(), &["clone", "-q", "--depth=1", &url, clone.to_str().unwrap()]);
    let mirror = Mirror::open(&clone, &bench.path("mirror.git")).unwrap();
    let updated = mirror.update().unwrap();
    assert_eq!(updated.notices[0].id, "GIT-SHALLOW");
    assert_eq!(mirror.log(9).unwrap().len(), 1);
    Bench::git_in(&clone, &["fetch", "-q", "--unshallow"]);
    assert!(mirror.update().unwrap().notices.is_empty());
    assert_eq!(mirror.log(9).unwrap().len(), 2);
}

#[test]
fn a_partial_clone_is_said() {
    let bench = Bench::new();
    bench.file("old", b"only in the past");
    bench.commit("One");
    fs::remove_file(bench.repository.join("old")).unwrap();
    bench.commit("Two");
    bench.git(&["config", "uploadpack.allowFilter", "true"]);
    let clone = bench.path("clone");
    let url = format!("file://{}", bench.repository.display());
    let clone_to = clone.to_str().unwrap();
    Bench::git_in(bench.directory.path(), &["clone", "-q", "--filter=blob:none", &url, clone_to]);
    let mirror = Mirror::open(&clone, &bench.path("mirror.git")).unwrap();
    let error = mirror.update().unwrap_err().to_string();
    assert!(error.contains("your repository is a partial clone"), "{error}");
}

#[test]
fn nothing_of_the_users_configuration_runs() {
    let bench = Bench::new();
    let canary = bench.path("canary");
    let run = bench.path("run.sh");
    fs::write(&run, format!("#!/bin/sh\ntouch '{}'\ncat\n", canary.display())).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let hooks = bench.path("hooks");
    fs::create_dir(&hooks).unwrap();
    for hook in [
        "post-checkout",
        "reference-transaction",
        "post-rewrite",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "update",
        "post-update",
    ] {
        symlink(&run, hooks.join(hook)).unwrap();
    }
    bench.file("a.txt", b"$Id$ \r\nraw\n");
    bench.file(".gitattributes", b"* filter=evil ident text=auto eol=crlf\n");
    let commit = bench.commit("One");
    let evil = run.to_str().unwrap();
    let hooks = hooks.to_str().unwrap();
    let settings = [
        ("core.hooksPath", hooks),
        ("core.fsmonitor", evil),
        ("core.pager", evil),
        ("core.sshCommand", evil),
        ("core.askPass", evil),
        ("pager.log", evil),
        ("pager.rev-list", evil),
        ("alias.rev-list", &format!("!{evil}")),
        ("alias.fetch", &format!("!{evil}")),
        ("filter.evil.smudge", evil),
        ("filter.evil.clean", evil),
        ("filter.evil.required", "true"),
        ("diff.external", evil),
        ("gpg.program", evil),
        ("log.showSignature", "true"),
        ("credential.helper", evil),
    ];
    // What the user's own file says, the mirror's own file says here: both stand below the command line.
    let mirror = Mirror::open(&bench.repository, &bench.path("mirror.git")).unwrap();
    for (name, value) in settings {
        bench.git(&["config", name, value]);
        Bench::git_in(&bench.path("mirror.git"), &["config", name, value]);
    }
    assert_eq!(discover(&bench.repository).unwrap(), bench.repository);
    mirror.update().unwrap();
    assert_eq!(mirror.resolve("main").unwrap().id, commit);
    assert_eq!(mirror.log(5).unwrap().len(), 1);
    let out = bench.path("out");
    mirror.export(&commit, ".", &out).unwrap();
    assert_eq!(
        fs::read(out.join("a.txt")).unwrap(),
        b"$Id$ \nraw\n",
        "as committed: neither filtered nor expanded"
    );
    assert_eq!(mirror.tree(&commit).unwrap().read("a.txt").unwrap().unwrap(), b"$Id$ \nraw\n");
    assert!(!canary.exists(), "something of the configuration ran");
}

#[test]
fn an_export_is_exactly_the_commit() {
    let bench = Bench::new();
    let inner = Bench::new();
    inner.file("lib.py", b"x");
    inner.commit("Inner");
    bench.file("manage.py", b"#!/usr/bin/env python\n");
    fs::set_permissions(bench.repository.join("manage.py"), fs::Permissions::from_mode(0o755)).unwrap();
    bench.file("with space/ä\nnew line.txt", b"text");
    bench.file("empty", b"");
    bench.file("version.py", b"V = '$Format:%H$'\n");
    bench.file("docs/guide.md", b"kept");
    bench.file(
        ".gitattributes",
        b"docs export-ignore\nversion.py export-subst\n# x export-ignore\n*.bin filter=lfs\n",
    );
    bench.file("big.bin", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n");
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
    bench.file("large.dat", &large);
    symlink("manage.py", bench.repository.join("link")).unwrap();
    symlink("with space", bench.repository.join("dirlink")).unwrap();
    symlink("/etc/passwd", bench.repository.join("outside")).unwrap();
    let url = inner.repository.to_str().unwrap();
    bench.git(&["-c", "protocol.file.allow=always", "submodule", "add", "-q", url, "vendor/inner"]);
    let commit = bench.commit("All of it");
    let mirror = bench.mirror();
    let out = bench.path("out");
    let exported = mirror.export(&commit, ".", &out).unwrap();
    // The judge is git itself: the same files give the same tree.
    let tree = mirror.tree(&commit).unwrap();
    for (path, entry) in tree.entries() {
        let target = out.join(path);
        let kind = fs::symlink_metadata(&target).unwrap();
        match entry.kind {
            Kind::Submodule => assert!(kind.is_dir() && fs::read_dir(&target).unwrap().next().is_none()),
            Kind::Link => assert!(kind.is_symlink()),
            Kind::File | Kind::Executable => {
                let hash = Bench::git_in(
                    &bench.repository,
                    &["hash-object", "--no-filters", target.to_str().unwrap()],
                );
                assert_eq!(hash, entry.object, "{}", path.display());
                let mode = if entry.kind == Kind::Executable { 0o755 } else { 0o644 };
                assert_eq!(kind.permissions().mode() & 0o777, mode);
            }
        }
    }
    assert_eq!(exported.files, tree.entries().count() as u64 - 1);
    let ids: Vec<&str> = exported.notices.iter().map(|finding| finding.id.as_str()).collect();
    assert_eq!(
        ids,
        ["GIT-SUBMODULE", "GIT-LFS", "GIT-LINK-OUTSIDE", "GIT-EXPORT-IGNORE", "GIT-EXPORT-SUBST"]
    );
    assert_eq!(exported.notices[1].title, "Files are Git LFS pointers, not their content: big.bin.");
    assert_eq!(tree.kind("vendor/inner"), Some(Kind::Submodule));
    assert_eq!(tree.kind("link"), Some(Kind::Link));
    assert_eq!(tree.read("link").unwrap().unwrap(), b"#!/usr/bin/env python\n", "a link is followed");
    for missing in ["outside", "vendor/inner", "docs", "nothing"] {
        assert_eq!(tree.read(missing).unwrap(), None, "{missing}");
    }
    assert!(tree.paths().any(|path| path == "with space/ä\nnew line.txt"));
    assert!(!tree.paths().any(|path| path == "vendor/inner"));
    assert!(matches!(mirror.export(&commit, ".", &out), Err(GitError::Io { .. })), "not empty");
    // A directory of it.
    let docs = bench.path("docs-out");
    assert_eq!(mirror.export(&commit, "./docs/", &docs).unwrap().files, 1);
    assert_eq!(fs::read(docs.join("guide.md")).unwrap(), b"kept");
    assert!(matches!(mirror.export(&commit, "nowhere", &bench.path("n")), Err(GitError::NoDirectory { .. })));
    assert_ne!(mirror.subtree_hash(&commit, "docs").unwrap(), mirror.tree_hash(&commit).unwrap());
    assert_eq!(mirror.subtree_hash(&commit, ".").unwrap(), mirror.tree_hash(&commit).unwrap());
    assert!(matches!(mirror.subtree_hash(&commit, "nowhere"), Err(GitError::NoDirectory { .. })));
}

#[test]
fn a_hostile_tree_writes_nothing_outside() {
    use std::io::Write as _;
    let bench = Bench::new();
    bench.file("x", b"x");
    bench.commit("One");
    let blob = bench.git(&["rev-parse", "HEAD:x"]);
    for name in ["..", ".git"] {
        // `git mktree` refuses such names; a broken program does not.
        let raw: Vec<u8> =
            (0..20).map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap()).collect();
        let mut object = format!("100644 {name}\0").into_bytes();
        object.extend(raw);
        let mut write = Command::new("git")
            .current_dir(&bench.repository)
            .args(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        write.stdin.take().unwrap().write_all(&object).unwrap();
        let tree = String::from_utf8(write.wait_with_output().unwrap().stdout).unwrap();
        let commit = CommitId(bench.git(&["commit-tree", "-m", "hostile", tree.trim()]));
        bench.git(&["branch", "-f", "hostile", commit.as_str()]);
        let mirror = bench.mirror();
        let error = mirror.export(&commit, ".", &bench.path("out")).unwrap_err();
        assert!(matches!(error, GitError::HostilePath { .. }), "{error}");
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn words_of_a_commit_are_made_harmless() {
    let bench = Bench::new();
    bench.git(&[
        "commit",
        "-q",
        "--allow-empty",
        "-m",
        "\u{1b}]0;pwned\u{7}Fix\u{1b}[31m \u{202e}tax\u{1b}[2J",
    ]);
    let facts = bench.mirror().resolve("main").unwrap();
    assert_eq!(facts.subject, "Fix tax");
    let error = bench.mirror().resolve("\u{1b}[31mno").unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn what_does_not_end_is_stopped() {
    use std::time::Duration;
    // `cat-file --batch` waits for its input for ever.
    let bench = Bench::new();
    let mirror = bench.path("mirror.git");
    Mirror::open(&bench.repository, &mirror).unwrap();
    let place = command::Place::Bare(mirror);
    let mut wait = command::git(&place, ["cat-file", "--batch"]);
    wait.stdin(Stdio::piped());
    let running = command::Running::start(wait, Duration::from_millis(50)).unwrap();
    assert!(matches!(running.finish(), Err(GitError::TimedOut { what, .. }) if what == "cat-file"));
    // And when it is the output that is waited for.
    let mut wait = command::git(&place, ["cat-file", "--batch"]);
    wait.stdin(Stdio::piped());
    let mut running = command::Running::start(wait, Duration::from_millis(50)).unwrap();
    std::io::copy(&mut running.output(), &mut std::io::sink()).unwrap();
    assert!(matches!(running.over_time(), Some(GitError::TimedOut { .. })));
}
