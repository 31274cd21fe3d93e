//! Which of the checks that Python projects use this one uses, and where that is seen.

use std::collections::BTreeMap;

use super::dependencies::{Dependencies, at};
use super::settings_file::Ini;
use super::tree::{self, Tree};

/// A check that the preset knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// Ruff's linter.
    Ruff,
    /// Ruff's formatter.
    RuffFormat,
    /// Flake8.
    Flake8,
    /// Black.
    Black,
    /// isort.
    Isort,
    /// mypy.
    Mypy,
    /// Bandit.
    Bandit,
    /// pip-audit.
    PipAudit,
    /// detect-secrets.
    DetectSecrets,
}

impl Tool {
    /// Every one, in the order of its step.
    pub const ALL: [Self; 9] = [
        Self::Ruff,
        Self::RuffFormat,
        Self::Flake8,
        Self::Black,
        Self::Isort,
        Self::Mypy,
        Self::Bandit,
        Self::PipAudit,
        Self::DetectSecrets,
    ];

    /// The package that brings it, normalised.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::Ruff | Self::RuffFormat => "ruff",
            Self::Flake8 => "flake8",
            Self::Black => "black",
            Self::Isort => "isort",
            Self::Mypy => "mypy",
            Self::Bandit => "bandit",
            Self::PipAudit => "pip-audit",
            Self::DetectSecrets => "detect-secrets",
        }
    }

    /// The name of its step.
    #[must_use]
    pub const fn step(self) -> &'static str {
        match self {
            Self::RuffFormat => "ruff-format",
            Self::DetectSecrets => "secrets",
            other => other.package(),
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ruff => "Ruff",
            Self::RuffFormat => "Ruff's formatter",
            Self::Flake8 => "Flake8",
            Self::Black => "Black",
            Self::Isort => "isort",
            Self::Mypy => "mypy",
            Self::Bandit => "Bandit",
            Self::PipAudit => "pip-audit",
            Self::DetectSecrets => "detect-secrets",
        }
    }
}

/// How a project uses a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Use {
    /// The file that asks for its package, where one does.
    pub dependency: Option<String>,
    /// Where it is configured: a file, a file's section, a hook.
    pub configured: Vec<String>,
}

/// The configuration files of tools, each read once.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) pyproject: toml::Table,
    pub(super) setup_cfg: Ini,
    pub(super) tox_ini: Ini,
    pub(super) files: Vec<String>,
    pre_commit: String,
}

impl Settings {
    pub(super) fn read(tree: &dyn Tree) -> Self {
        let ini = |path: &str| tree::text(tree, path).map(|text| Ini::parse(&text)).unwrap_or_default();
        let pyproject = tree::text(tree, "pyproject.toml").and_then(|text| text.parse().ok());
        Self {
            // That it is no TOML is said once, by the dependencies.
            pyproject: pyproject.unwrap_or_default(),
            setup_cfg: ini("setup.cfg"),
            tox_ini: ini("tox.ini"),
            files: tree.paths(),
            pre_commit: tree::text(tree, ".pre-commit-config.yaml").unwrap_or_default(),
        }
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.files.iter().any(|file| file == path)
    }

    pub(super) fn tool(&self, name: &str) -> Option<&toml::Value> {
        at(&self.pyproject, &["tool", name])
    }

    /// Whether a hook of pre-commit has this id. YAML is read line by line: an `id:` is always a line of its own.
    fn hook(&self, id: &str) -> bool {
        self.pre_commit.lines().any(|line| {
            let line = line.trim().trim_start_matches("- ").trim();
            let value = line.strip_prefix("id:").map(|value| value.split(" #").next().unwrap_or(value));
            value.is_some_and(|value| value.trim().trim_matches(['"', '\'']) == id)
        })
    }
}

/// Which tools a project uses, each with where it was seen.
pub(super) fn detect(settings: &Settings, dependencies: &Dependencies) -> BTreeMap<Tool, Use> {
    let mut tools = BTreeMap::new();
    for tool in Tool::ALL {
        let seen = Use {
            dependency: dependencies.direct.get(tool.package()).cloned(),
            configured: configured(settings, tool),
        };
        let used = match tool {
            // Ruff brings its formatter along: only a word of its own asks for it.
            Tool::RuffFormat => !seen.configured.is_empty(),
            _ => seen.dependency.is_some() || !seen.configured.is_empty(),
        };
        if used {
            tools.insert(tool, seen);
        }
    }
    tools
}

fn configured(settings: &Settings, tool: Tool) -> Vec<String> {
    let mut found = Vec::new();
    let files = |names: &[&str]| -> Vec<String> {
        names.iter().filter(|name| settings.has_file(name)).map(|name| (*name).to_owned()).collect()
    };
    let (own, table, sections, hooks): (Vec<String>, Option<&str>, &[&str], &[&str]) = match tool {
        Tool::Ruff => (files(&["ruff.toml", ".ruff.toml"]), Some("ruff"), &[], &["ruff", "ruff-check"]),
        Tool::RuffFormat => (Vec::new(), None, &[], &["ruff-format"]),
        Tool::Flake8 => (files(&[".flake8"]), Some("flake8"), &["flake8"], &["flake8"]),
        Tool::Black => (Vec::new(), Some("black"), &[], &["black", "black-jupyter"]),
        Tool::Isort => (files(&[".isort.cfg"]), Some("isort"), &["isort", "tool:isort"], &["isort"]),
        Tool::Mypy => (files(&["mypy.ini", ".mypy.ini"]), Some("mypy"), &["mypy"], &["mypy"]),
        Tool::Bandit => {
            (files(&[".bandit", "bandit.yaml", "bandit.yml"]), Some("bandit"), &["bandit"], &["bandit"])
        }
        Tool::PipAudit => (Vec::new(), Some("pip-audit"), &[], &["pip-audit"]),
        Tool::DetectSecrets => (files(&[".secrets.baseline"]), None, &[], &["detect-secrets"]),
    };
    found.extend(own);
    if let Some(table) = table.filter(|table| settings.tool(table).is_some()) {
        found.push(format!("[tool.{table}] in pyproject.toml"));
    }
    if tool == Tool::RuffFormat && at(&settings.pyproject, &["tool", "ruff", "format"]).is_some() {
        found.push("[tool.ruff.format] in pyproject.toml".into());
    }
    for section in sections {
        for (file, ini) in [("setup.cfg", &settings.setup_cfg), ("tox.ini", &settings.tox_ini)] {
            if ini.has(section) {
                found.push(format!("[{section}] in {file}"));
            }
        }
    }
    for hook in hooks.iter().filter(|hook| settings.hook(hook)) {
        found.push(format!("the hook {hook} in .pre-commit-config.yaml"));
    }
    found
}
