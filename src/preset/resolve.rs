//! From what is written and what is found to what a project means.

use super::dependencies::{self, Dependencies};
use super::django;
use super::environments;
use super::graph;
use super::image;
use super::overrides;
use super::roles;
use super::steps;
use super::tree::Tree;
use crate::config::{self, Mistake, Mistakes, Place};
use crate::domain::finding::{Finding, Severity};
use crate::domain::project::{ArtifactSettings, ImageSettings, Pipeline, Project, ProjectKind};

/// What a project means, and what was noticed on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The project.
    pub project: Project,
    /// What is worth a person's attention.
    pub findings: Vec<Finding>,
    /// What was found, step by step, and why each step is there or not: the words of `towpath check`.
    pub detected: Vec<String>,
}

/// Works out what a project means.
///
/// `repository_name` is the repository's directory name, the default of the project's; `root` is the project's
/// directory inside the repository (`.` for its root), to which the tree's paths are relative.
///
/// # Errors
/// Every mistake of the configuration that only shows once the project is known.
pub fn resolve(
    file: &config::File,
    repository_name: &str,
    root: &str,
    tree: &dyn Tree,
) -> Result<Resolved, Mistakes> {
    let dependencies = dependencies::detect(tree);
    let found = django::detect(tree, &dependencies);
    let mut mistakes = Vec::new();
    let mut findings = Vec::new();
    let mut detected = Vec::new();
    let kind = match (&file.project.kind, &found.manage_py) {
        (Some(kind), None) if kind.value == ProjectKind::Django => {
            mistakes.push(Mistake::new(
                kind.place,
                "kind = \"django\", but there is no manage.py.",
                "Add it, or write kind = \"plain\".",
            ));
            ProjectKind::Plain
        }
        (Some(kind), _) => kind.value,
        (None, Some(_)) => ProjectKind::Django,
        (None, None) => ProjectKind::Plain,
    };
    let python = match &file.project.python {
        Some(python) => Some(python.value.clone()),
        None => dependencies.python.clone(),
    };
    let settings = file.project.settings.as_ref().map(|settings| settings.value.clone());
    let name =
        file.project.name.as_ref().map_or_else(|| name_from(repository_name), |name| name.value.clone());
    let runtime = image::runtime(file);
    let image = image::settle(file, &name, tree, &mut mistakes);
    let preset = if kind == ProjectKind::Django {
        let manage = found.manage_py.as_deref().unwrap_or("manage.py");
        let module = settings.as_deref().or(found.settings_module.as_deref()).unwrap_or("unknown");
        detected.push(format!("project: Django, {manage}, settings {module}"));
        detected.push(match (&file.project.python, &python) {
            (Some(python), _) => format!("python: {} (towpath.toml)", python.value),
            (None, Some(version)) => format!("python: {version} ({})", dependencies.python_from),
            (None, None) => "python: python3, whatever version that is".to_owned(),
        });
        python_findings(&dependencies, python.as_deref(), &mut findings);
        steps::django(&steps::Project {
            django: &found,
            dependencies: &dependencies,
            settings: settings.as_deref(),
            image: image.as_ref(),
        })
    } else {
        let why = if found.manage_py.is_none() { "there is no manage.py" } else { "towpath.toml says so" };
        detected.push(format!("project: plain, {why}; only the configured stages"));
        image.as_ref().map(steps::plain).unwrap_or_default()
    };
    findings.extend(preset.findings);
    let applied = overrides::apply(preset.stages, file, runtime);
    // One word a step, and the last one: what the configuration overrules is not said of the preset's.
    detected.extend(preset.detected.into_iter().filter(|line| {
        let names = line.split(": ").next().unwrap_or_default();
        !names.split(", ").all(|name| applied.overruled.contains(name))
    }));
    mistakes.extend(applied.mistakes);
    findings.extend(applied.findings);
    detected.extend(applied.detected);
    let roles = if file.roles.is_empty() && kind == ProjectKind::Django {
        roles::detect(tree, &found, &dependencies, runtime)
    } else {
        roles::written(&file.roles, runtime, &mut mistakes, &mut findings)
    };
    detected.extend(roles.detected);
    let environments = environments::settle(file, &roles.roles, runtime, &mut mistakes, &mut findings);
    let stages = graph::settle(&applied.drafts, &applied.silent, &mut mistakes);
    if stages.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::new(
            Place::START,
            "there is nothing to do: no manage.py was found and no stage is configured.",
            "Add a [[stage]] with a name and a command to towpath.toml.",
        ));
    }
    if !mistakes.is_empty() {
        let name = if file.name.is_empty() { config::FILE_NAME } else { &file.name };
        return Err(Mistakes::new(name, mistakes));
    }
    let collects = image.is_none() && kind == ProjectKind::Django && found.has_static_root;
    if image.is_some() {
        findings.extend(image::findings(file, kind));
    } else if kind == ProjectKind::Django && file.artifact.collectstatic.is_none() && !collects {
        detected.push("collectstatic: left out, no settings file names a STATIC_ROOT".to_owned());
    }
    let project = Project {
        name,
        kind,
        root: root.to_owned(),
        python,
        settings,
        pipeline: pipeline(file),
        artifact: artifact(file, image, collects),
        stages,
        services: applied.services,
        roles: roles.roles,
        environments,
    };
    Ok(Resolved { project, findings, detected })
}

fn pipeline(file: &config::File) -> Pipeline {
    let usual = Pipeline::default();
    let table = &file.pipeline;
    Pipeline {
        branch: table.branch.as_ref().map(|branch| branch.value.clone()),
        poll: table.poll.as_ref().map_or(usual.poll, |poll| poll.value),
        runs: table.runs.as_ref().map_or(usual.runs, |runs| runs.value),
        jobs: table.jobs.as_ref().map_or(usual.jobs, |jobs| jobs.value),
    }
}

/// How the artifact is built; `collects` is whether static files have anywhere to go.
fn artifact(file: &config::File, image: Option<ImageSettings>, collects: bool) -> ArtifactSettings {
    let usual = ArtifactSettings::default();
    let env = file.artifact.env.iter().flatten();
    // What is in an image is its Dockerfile's to say.
    let written = file.artifact.collectstatic.as_ref().filter(|_| image.is_none());
    ArtifactSettings {
        image,
        collectstatic: written.map_or(usual.collectstatic && collects, |written| written.value),
        env: env.map(|(name, value)| (name.clone(), value.value.clone())).collect(),
    }
}

/// A directory's name as the name of a project: `Harbor_Shop.git` becomes `harbor-shop`.
#[must_use]
pub fn name_from(directory: &str) -> String {
    let directory = directory.strip_suffix(".git").unwrap_or(directory);
    let mut name = String::new();
    for c in directory.chars().map(|c| c.to_ascii_lowercase()) {
        if name.len() == 40 {
            break;
        }
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "project".to_owned() } else { name.to_owned() }
}

/// How many requirements a finding names one by one.
const NAMED: usize = 8;

fn python_findings(dependencies: &Dependencies, python: Option<&str>, findings: &mut Vec<Finding>) {
    for (index, mistake) in dependencies.mistakes.iter().enumerate() {
        findings.push(Finding {
            id: format!("PY-UNREADABLE:{}", index + 1),
            severity: Severity::Warning,
            title: mistake.clone(),
            cure: "Repair the file; what it says could not be taken into account.".into(),
        });
    }
    let floating = &dependencies.floating;
    if !floating.is_empty() {
        let more = floating.len().saturating_sub(NAMED);
        let mut names = floating.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        let (verb, noun) = if floating.len() == 1 { ("floats", "version") } else { ("float", "versions") };
        findings.push(Finding {
            id: "PY-FLOATING".into(),
            severity: Severity::Warning,
            title: format!("{names} {verb}: no exact {noun}, so two builds of one commit can differ."),
            cure: "Lock them: uv lock, poetry lock, or pip-compile --generate-hashes.".into(),
        });
    }
    if dependencies.manager == dependencies::Manager::None {
        findings.push(Finding {
            id: "PY-NO-DEPENDENCIES".into(),
            severity: Severity::Warning,
            title: "No file names the project's dependencies, not even Django.".into(),
            cure: "Add a requirements.txt, or a pyproject.toml with a lock.".into(),
        });
    }
    if python.is_none() {
        findings.push(Finding {
            id: "PY-UNFIXED".into(),
            severity: Severity::Warning,
            title: "No Python version is fixed: the build takes whatever python3 is there.".into(),
            cure: "Write python = \"3.12\" under [project] in towpath.toml, or a .python-version file."
                .into(),
        });
    }
}

#[cfg(test)]
mod docker;
#[cfg(test)]
mod tests;
