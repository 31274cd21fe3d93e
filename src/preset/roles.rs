//! What a release runs: the roles that are written, else those that a Django project's files tell of.

use std::collections::BTreeMap;

use super::dependencies::Dependencies;
use super::django::{self, Django};
use super::tree::{self, Tree};
use crate::config::{Mistake, RoleTable};
use crate::domain::finding::{Finding, Severity};
use crate::domain::project::{CONTAINER_PORT, Role, RuntimeKind, STOP_TIMEOUT};

/// The roles of a project, and the words about those that were detected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) roles: BTreeMap<String, Role>,
    pub(super) detected: Vec<String>,
}

/// The roles as written. One that is written replaces all that could be detected.
pub(super) fn written(
    tables: &[RoleTable],
    runtime: RuntimeKind,
    mistakes: &mut Vec<Mistake>,
    findings: &mut Vec<Finding>,
) -> Roles {
    for table in tables {
        match runtime {
            RuntimeKind::Process => of_containers(table, mistakes),
            RuntimeKind::Docker => findings.extend(unreachable(table)),
        }
    }
    let roles = tables.iter().map(|table| {
        let role = Role {
            stop_timeout: table.stop_timeout.as_ref().map_or(STOP_TIMEOUT, |timeout| timeout.value),
            max: table.max.as_ref().map(|max| max.value),
            port: table.port.as_ref().map_or(CONTAINER_PORT, |port| port.value),
            volumes: table.volumes.iter().flatten().map(|volume| volume.value.clone()).collect(),
            ..Role::new(&table.command.value)
        };
        (table.name.value.clone(), role)
    });
    Roles { roles: roles.collect(), detected: Vec::new() }
}

/// What only a container has.
fn of_containers(table: &RoleTable, mistakes: &mut Vec<Mistake>) {
    if let Some(port) = &table.port {
        mistakes.push(Mistake::new(
            port.place,
            "port is for containers, and the runtime is process.",
            "Leave it out: each replica is given a port of its own as $PORT; or write runtime = \"docker\" under \
             [artifact].",
        ));
    }
    if let Some(volume) = table.volumes.iter().flatten().next() {
        mistakes.push(Mistake::new(
            volume.place,
            "volumes are for containers, and the runtime is process.",
            "Leave them out: a process sees the machine's own directories; or write runtime = \"docker\" under \
             [artifact].",
        ));
    }
}

/// What listens at the loopback address inside of its container is reached by nobody outside of it.
fn unreachable(table: &RoleTable) -> Option<Finding> {
    let name = &table.name.value;
    let command = &table.command.value;
    let loopback = ["127.0.0.1:$PORT", "127.0.0.1:${PORT", "localhost:$PORT", "localhost:${PORT"];
    loopback.iter().any(|word| command.contains(word)).then(|| Finding {
        id: format!("ROLE-LOOPBACK:{name}"),
        severity: Severity::Warning,
        title: format!(
            "The role {name} listens at its container's own loopback address: nothing outside reaches it."
        ),
        cure: "Let it listen at 0.0.0.0:$PORT; its port is published at the host's address only.".into(),
    })
}

/// What a Django project runs by its files: gunicorn, and Celery's worker.
pub(super) fn detect(
    tree: &dyn Tree,
    found: &Django,
    dependencies: &Dependencies,
    runtime: RuntimeKind,
) -> Roles {
    // Inside of a container the loopback address is nobody else's.
    let bind = match runtime {
        RuntimeKind::Process => "127.0.0.1:$PORT",
        RuntimeKind::Docker => "0.0.0.0:$PORT",
    };
    let mut told = Roles::default();
    let beside = found.manage_py.as_deref().map_or("", django::directory_of);
    if !beside.split('/').all(|part| beside.is_empty() || is_path_part(part)) {
        return told;
    }
    // Commands run at the project's root; the package may lie deeper.
    let directory = |option: &str| match beside {
        "" => String::new(),
        beside => format!(" {option} {beside}"),
    };
    if let Some(from) = installed(dependencies, "gunicorn") {
        match application(tree, found, beside) {
            Some((application, why)) => {
                let command = format!("gunicorn{} {application} --bind {bind}", directory("--chdir"));
                told.add("web", &command, &format!("{from}, {why}"));
            }
            None => told.detected.push("web: gunicorn is there, but no wsgi.py; write [role.web]".to_owned()),
        }
    }
    let package = found.package.as_deref().filter(|package| is_word(package));
    if let (Some(from), Some(package)) = (installed(dependencies, "celery"), package) {
        let path = join(beside, &format!("{package}/celery.py"));
        if tree::text(tree, &path).is_some_and(|text| text.contains("Celery(")) {
            let command = format!("celery{} -A {package} worker", directory("--workdir"));
            told.add("worker", &command, &format!("{from}, {path}"));
        }
    }
    told
}

impl Roles {
    fn add(&mut self, name: &str, command: &str, why: &str) {
        self.detected.push(format!("{name}: {command} ({why})"));
        self.roles.insert(name.to_owned(), Role::new(command));
    }
}

/// Where a package is asked for, where production installs it.
fn installed(dependencies: &Dependencies, name: &str) -> Option<String> {
    dependencies.production.contains(name).then(|| {
        let from = dependencies.direct.get(name);
        from.map_or_else(|| format!("{name} is installed"), |from| format!("{name} in {from}"))
    })
}

/// The WSGI application as gunicorn takes it, and where it was found: what the settings name, else the package's.
fn application(tree: &dyn Tree, found: &Django, beside: &str) -> Option<(String, String)> {
    let there = |module: &str| {
        let path = join(beside, &format!("{}.py", module.replace('.', "/")));
        tree.read(&path).map(|_| path)
    };
    let settings = found.settings_module.as_deref();
    let settings = settings.map(|module| django::module_text(tree, beside, module)).unwrap_or_default();
    let named = settings.lines().find_map(|line| {
        let value = line.strip_prefix("WSGI_APPLICATION")?.trim_start().strip_prefix('=')?.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        value.get(1..)?.split(quote).next()
    });
    let named = named.and_then(|name| name.rsplit_once('.'));
    if let Some((module, object)) = named.filter(|(module, object)| is_module(module) && is_word(object))
        && let Some(path) = there(module)
    {
        // gunicorn takes `application` where nothing is named.
        let object = if object == "application" { String::new() } else { format!(":{object}") };
        return Some((format!("{module}{object}"), path));
    }
    let module = format!("{}.wsgi", found.package.as_deref().filter(|package| is_word(package))?);
    there(&module).map(|path| (module, path))
}

fn join(directory: &str, path: &str) -> String {
    if directory.is_empty() { path.to_owned() } else { format!("{directory}/{path}") }
}

/// Whether a text can stand in a command line as it is.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_path_part(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

fn is_module(text: &str) -> bool {
    text.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset::dependencies;
    use crate::preset::tree::Memory;

    fn told(files: &[(&'static str, &'static str)]) -> Vec<(String, String)> {
        let tree = Memory::from_iter(files.iter().copied());
        let dependencies = dependencies::detect(&tree);
        let found = django::detect(&tree, &dependencies);
        let roles = detect(&tree, &found, &dependencies, RuntimeKind::Process);
        roles.roles.into_iter().map(|(name, role)| (name, role.command)).collect()
    }

    fn pair(name: &str, command: &str) -> (String, String) {
        (name.to_owned(), command.to_owned())
    }

    const MANAGE: &str = "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'harbor.settings')";

    #[test]
    fn a_project_with_gunicorn_and_celery_tells_its_roles() {
        let all = told(&[
            ("manage.py", MANAGE),
            ("harbor/settings.py", ""),
            ("harbor/wsgi.py", ""),
            ("harbor/celery.py", "app = Celery('harbor')"),
            ("requirements.txt", "django==5.2\ngunicorn==23.0\ncelery==5.4\n"),
        ]);
        assert_eq!(
            all,
            [
                pair("web", "gunicorn harbor.wsgi --bind 127.0.0.1:$PORT"),
                pair("worker", "celery -A harbor worker"),
            ]
        );
    }

    #[test]
    fn what_the_settings_name_counts_where_it_is_there() {
        let settings = "WSGI_APPLICATION = \"config.wsgi.app\"\n";
        let files = [
            ("src/manage.py", MANAGE),
            ("src/harbor/settings.py", settings),
            ("src/harbor/wsgi.py", ""),
            ("requirements.txt", "django==5.2\ngunicorn==23.0\n"),
        ];
        let web = "gunicorn --chdir src harbor.wsgi --bind 127.0.0.1:$PORT";
        assert_eq!(told(&files), [pair("web", web)]);
        let mut files = files.to_vec();
        files.push(("src/config/wsgi.py", ""));
        let web = "gunicorn --chdir src config.wsgi:app --bind 127.0.0.1:$PORT";
        assert_eq!(told(&files), [pair("web", web)]);
    }

    #[test]
    fn nothing_is_told_of_what_is_not_there() {
        // gunicorn for development only; a celery.py that makes no app; no wsgi.py.
        let dev = [
            ("manage.py", MANAGE),
            ("harbor/settings.py", ""),
            ("harbor/wsgi.py", ""),
            ("harbor/celery.py", "import os"),
            ("requirements.txt", "django==5.2\ncelery==5.4\n"),
            ("requirements-dev.txt", "gunicorn==23.0\n"),
        ];
        assert_eq!(told(&dev), []);
        let bare = [("manage.py", MANAGE), ("requirements.txt", "django==5.2\ngunicorn==23.0\n")];
        assert_eq!(told(&bare), []);
        // A name that a shell would read otherwise never gets into a command line.
        let odd = [
            ("a b/manage.py", MANAGE),
            ("a b/harbor/wsgi.py", ""),
            ("requirements.txt", "django==5.2\ngunicorn==23.0\n"),
        ];
        assert_eq!(told(&odd), []);
    }
}
