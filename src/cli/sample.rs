//! `towpath sample`: a small real Django project with one commit, to try Towpath with.

use std::path::Path;

use serde_json::json;

use super::failure::Failure;
use super::{Invocation, quoted};
use crate::demo::repository::{Origin, Repository};

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
    let repository = Repository::create(directory)?;
    for (name, text) in FILES {
        repository.write(name, text)?;
    }
    repository.commit("Keep a list of berths", Origin::default())?;
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
