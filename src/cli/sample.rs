//! `towpath sample`: a small real Django project with one commit, to try Towpath with.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::failure::{Failure, Sort};
use super::{Invocation, quoted};

/// The project's files, as they are under `assets/sample/`.
const FILES: [(&str, &str); 17] = [
    (".gitignore", include_str!("../../assets/sample/gitignore")),
    ("README.md", include_str!("../../assets/sample/README.md")),
    ("manage.py", include_str!("../../assets/sample/manage.py")),
    ("requirements.txt", include_str!("../../assets/sample/requirements.txt")),
    ("towpath.toml", include_str!("../../assets/sample/towpath.toml")),
    ("harbor/__init__.py", ""),
    ("harbor/settings.py", include_str!("../../assets/sample/harbor/settings.py")),
    ("harbor/urls.py", include_str!("../../assets/sample/harbor/urls.py")),
    ("harbor/wsgi.py", include_str!("../../assets/sample/harbor/wsgi.py")),
    ("berths/__init__.py", ""),
    ("berths/apps.py", include_str!("../../assets/sample/berths/apps.py")),
    (
        "berths/migrations/0001_initial.py",
        include_str!("../../assets/sample/berths/migrations/0001_initial.py"),
    ),
    ("berths/migrations/__init__.py", ""),
    ("berths/models.py", include_str!("../../assets/sample/berths/models.py")),
    ("berths/static/berths/harbor.css", include_str!("../../assets/sample/berths/static/berths/harbor.css")),
    ("berths/tests.py", include_str!("../../assets/sample/berths/tests.py")),
    ("berths/views.py", include_str!("../../assets/sample/berths/views.py")),
];

pub(super) fn sample(invocation: &mut Invocation, directory: &Path) -> Result<u8, Failure> {
    let cannot = |what: &Path, error: std::io::Error| {
        Failure::usage(format!("{} cannot be written: {error}.", what.display()), "Name another directory.")
    };
    if std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Failure::usage(
            format!("{} is not empty, and nothing in it is touched.", directory.display()),
            "Name a directory that does not exist yet.",
        ));
    }
    for (name, text) in FILES {
        let path = directory.join(name);
        let parent = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(parent).map_err(|error| cannot(parent, error))?;
        std::fs::write(&path, text).map_err(|error| cannot(&path, error))?;
    }
    git(directory, &["init", "--quiet", "--initial-branch=main"])?;
    git(directory, &["add", "--all"])?;
    git(directory, &["commit", "--quiet", "--message", "Keep a list of berths"])?;
    let path = directory.display().to_string();
    let output = &mut invocation.output;
    if output.json {
        output.json("sample", &json!({ "directory": path, "files": FILES.len() }))?;
    } else {
        output.line(&format!("a Django project with {} files and one commit is in {path}", FILES.len()))?;
        output.line(&format!("walk it: towpath run --repository {}", quoted(&path)))?;
    }
    Ok(0)
}

/// The user's own git, without their hooks and signatures: this commit is nobody's work. A name is lent where
/// the user has none configured.
fn git(directory: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory);
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
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_TEMPLATE_DIR"]
    {
        command.env_remove(variable);
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
        format!("`git {}` failed in {}.", arguments.join(" "), directory.display()),
        format!("git says: {}", said.trim()),
    ))
}
