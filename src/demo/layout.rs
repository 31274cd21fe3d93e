//! The shop as a git repository: its history is told by `assets/demo/story.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::files::{FILES, ROLES, STORY};
use super::repository::{Origin, Repository};
use super::{Place, project};
use crate::cli::failure::{Failure, Sort};
use crate::config::FILE_NAME;

/// The file as the history tells it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Story {
    /// Files that are kept under a name that does nothing where they are kept.
    renamed: BTreeMap<String, String>,
    commit: Vec<Commit>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    directory: String,
    /// Only these of the directory's files; all of them without it.
    paths: Option<Vec<String>>,
    message: String,
    author: String,
    date: String,
    tag: Option<String>,
}

impl Commit {
    fn takes(&self, name: &str) -> bool {
        let named =
            |path: &String| if path.ends_with('/') { name.starts_with(path.as_str()) } else { name == path };
        self.paths.as_ref().is_none_or(|paths| paths.iter().any(named))
    }
}

/// What was laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Laid {
    /// Commits.
    pub commits: usize,
    /// Of them with a tag.
    pub tags: usize,
}

/// What the first commit has in addition where releases run as containers.
const DOCKER: &str = "docker";

/// Lays the shop's history out. `python` is the interpreter that this machine has for it, e.g. `3.12`; `environments`
/// is the part of its `towpath.toml` that belongs to this machine; it is in every commit, so that the working tree is
/// clean. The same part gives the same commits.
///
/// # Errors
/// When the directory is not empty, or cannot be written.
pub fn lay_out(place: &Place, python: &str, environments: &str) -> Result<Laid, Failure> {
    let story: Story = toml::from_str(STORY).map_err(|error| {
        Failure::new(Sort::Unclear, format!("The demo's own story cannot be read: {error}."), "")
    })?;
    let repository = Repository::create(&place.shop())?;
    let mut laid = Laid { commits: 0, tags: 0 };
    for commit in &story.commit {
        let mut from = vec![format!("{}/", commit.directory)];
        if laid.commits == 0 && place.docker().is_some() {
            from.push(format!("{DOCKER}/"));
        }
        let own = FILES.iter().filter_map(|(name, text)| {
            Some((from.iter().find_map(|prefix| name.strip_prefix(prefix.as_str()))?, text))
        });
        for (name, text) in own.filter(|(name, _)| commit.takes(name)) {
            let name = story.renamed.get(name).map_or(name, String::as_str);
            if name == FILE_NAME {
                let text = project::configuration(place, text, roles(), python, environments);
                repository.write(name, &text)?;
            } else {
                repository.write(name, text)?;
            }
        }
        let origin = Origin { author: Some(&commit.author), date: Some(&commit.date) };
        repository.commit(commit.message.trim(), origin)?;
        laid.commits += 1;
        if let Some(tag) = &commit.tag {
            repository.tag(tag)?;
            laid.tags += 1;
        }
    }
    Ok(laid)
}

/// The roles, without what their file says to its readers here.
fn roles() -> &'static str {
    ROLES.find("\n[role.").and_then(|at| ROLES.get(at + 1..)).unwrap_or(ROLES)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::demo::base::Images;
    use crate::demo::on_docker::OnDocker;

    fn on_docker() -> OnDocker {
        OnDocker {
            project: "saltmarsh-shop-0a1b2c".to_owned(),
            address: [172, 17, 0, 1].into(),
            images: Images { python: "python:3.12-slim".to_owned(), postgres: "postgres:17".to_owned() },
        }
    }

    fn git(directory: &Path, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_same_words_give_the_same_commits() {
        let base = tempfile::tempdir().unwrap();
        let told = ["one", "two", "three"].map(|name| {
            let directory = base.path().join(name);
            let place = Place::at(&directory, None);
            let laid =
                lay_out(&place, "3.12", if name == "three" { "# other\n" } else { "# same\n" }).unwrap();
            assert_eq!(laid, Laid { commits: 8, tags: 4 });
            let directory = place.shop();
            assert_eq!(git(&directory, &["status", "--porcelain"]), "");
            assert_eq!(git(&directory, &["tag"]), "v1.0.0\nv1.1.0\nv1.2.0\nv1.3.0\n");
            git(&directory, &["log", "--format=%H %an %ad"])
        });
        assert_eq!(told[0], told[1]);
        assert_ne!(told[0], told[2]);
        assert!(told[0].contains("Marta Nowak"), "{}", told[0]);
    }

    #[test]
    fn what_is_laid_out_is_a_configuration_without_mistakes() {
        let base = tempfile::tempdir().unwrap();
        for (at, docker) in [("process", None), ("docker", Some(on_docker()))] {
            let place = Place::at(&base.path().join(at), docker);
            lay_out(&place, "3.12", "").unwrap();
            let bytes = std::fs::read(place.shop().join(FILE_NAME)).unwrap();
            let roles = crate::config::parse(&bytes, FILE_NAME).unwrap().roles;
            let names: Vec<&str> = roles.iter().map(|role| role.name.value.as_str()).collect();
            assert_eq!(names.len(), 3, "{names:?}");
        }
    }

    #[test]
    fn on_docker_every_commit_has_an_image_and_its_containers_are_reached() {
        let base = tempfile::tempdir().unwrap();
        let place = Place::at(base.path(), Some(on_docker()));
        lay_out(&place, "3.12", "").unwrap();
        let shop = place.shop();
        for tag in ["v1.0.0", "v1.3.0"] {
            let text = git(&shop, &["show", &format!("{tag}:towpath.toml")]);
            let volume = format!("volumes = [\"{}:/starts\"]", place.starts().display());
            for wanted in [
                "python = \"3.12\"\nname = \"saltmarsh-shop-0a1b2c\"",
                "image = \"saltmarsh-shop-0a1b2c\"",
                "BASE = \"python:3.12-slim\"",
                "[service.postgres]\nimage = \"postgres:17\"",
                "command = \"gunicorn shop.wsgi --bind 0.0.0.0:$PORT",
                &volume,
            ] {
                assert!(text.contains(wanted), "{tag}: {wanted}: {text}");
            }
            assert_eq!(text.matches(&volume).count(), 3, "{text}");
            assert!(!text.contains("127.0.0.1"), "{text}");
            let names = git(&shop, &["ls-tree", "-r", "--name-only", tag]);
            assert!(names.contains("Dockerfile\n") && names.contains(".dockerignore\n"), "{names}");
        }
    }

    #[test]
    fn roles_travel_with_every_commit_and_files_get_their_real_names() {
        let base = tempfile::tempdir().unwrap();
        let place = Place::at(base.path(), None);
        lay_out(&place, "3.12", "[environment.staging]\n").unwrap();
        let shop = place.shop();
        for tag in ["v1.0.0", "v1.3.0"] {
            let text = git(&shop, &["show", &format!("{tag}:towpath.toml")]);
            for wanted in
                ["[project]\npython = \"3.12\"\nname", "[role.web]", "[role.beat]", "[environment.staging]"]
            {
                assert!(text.contains(wanted), "{tag}: {text}");
            }
        }
        let names = git(&shop, &["ls-tree", "-r", "--name-only", "v1.2.0"]);
        assert!(names.contains(".gitignore") && names.contains(".secrets.baseline"), "{names}");
        assert!(git(&shop, &["show", "v1.2.0:shop/__init__.py"]).contains("1.2.0"));
        assert!(!names.contains("Dockerfile"), "{names}");
        // The fix came after the release that needs it.
        let log = git(&shop, &["log", "--format=%s", "v1.2.0..v1.3.0"]);
        assert!(log.contains("Show no price of a piece where nobody counted"), "{log}");
    }
}
