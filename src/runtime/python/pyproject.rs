//! `pyproject.toml` where no lock stands beside it: its dependencies as requirement lines.

use anyhow::Context as _;
use toml::{Table, Value};

/// What a `pyproject.toml` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// `[project] dependencies`.
    pub production: Vec<String>,
    /// Every extra and every dependency group.
    pub development: Vec<String>,
    /// `[project] requires-python`.
    pub python: Option<String>,
    /// Poetry's own tables hold the dependencies, and only Poetry can read those.
    pub only_poetry: bool,
}

/// Reads it.
///
/// # Errors
/// When it isn't TOML, or a dependency group includes one that isn't there.
pub fn read(text: &str) -> anyhow::Result<Declared> {
    let table: Table = text.parse().context("pyproject.toml can't be read")?;
    let project = table.get("project").and_then(Value::as_table);
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let production = project.and_then(|project| project.get("dependencies")).map(strings).unwrap_or_default();
    let mut development = Vec::new();
    let extras = project.and_then(|project| project.get("optional-dependencies")).and_then(Value::as_table);
    for extra in extras.into_iter().flat_map(Table::values) {
        development.extend(strings(extra));
    }
    if let Some(groups) = table.get("dependency-groups").and_then(Value::as_table) {
        for name in groups.keys() {
            group(groups, name, &mut Vec::new(), &mut development)?;
        }
    }
    // An extra may name the project itself (`harbor[postgres]`): its parts are all in already.
    let own = project.and_then(|project| project.get("name")).and_then(Value::as_str);
    if let Some(own) = own.map(super::requirements::normalised) {
        development.retain(|line| {
            let name = line.split(|letter: char| "[=<>!~;@ (".contains(letter)).next().unwrap_or(line);
            super::requirements::normalised(name) != own
        });
    }
    development.sort();
    development.dedup();
    let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
    let only_poetry =
        poetry.is_some_and(|poetry| poetry.get("dependencies").is_some()) && production.is_empty();
    let python = project.and_then(|project| project.get("requires-python")).and_then(Value::as_str);
    Ok(Declared { production, development, python: python.map(str::to_owned), only_poetry })
}

fn group(groups: &Table, name: &str, within: &mut Vec<String>, into: &mut Vec<String>) -> anyhow::Result<()> {
    let wanted = super::requirements::normalised(name);
    anyhow::ensure!(
        !within.contains(&wanted),
        "the dependency groups of pyproject.toml include each other: {name}"
    );
    let Some((_, entries)) = groups.iter().find(|(key, _)| super::requirements::normalised(key) == wanted)
    else {
        anyhow::bail!("pyproject.toml includes a dependency group that isn't there: {name}");
    };
    within.push(wanted);
    for entry in entries.as_array().into_iter().flatten() {
        if let Some(line) = entry.as_str() {
            into.push(line.to_owned());
        } else if let Some(included) = entry.get("include-group").and_then(Value::as_str) {
            group(groups, included, within, into)?;
        }
    }
    within.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_extras_and_groups_are_found() {
        let declared = read(
            "[project]\nname = 'harbor'\nrequires-python = '>=3.11'\ndependencies = ['django>=5', 'redis']\n\
             [project.optional-dependencies]\npg = ['psycopg']\nall = ['Harbor[pg]']\n\
             [dependency-groups]\nlint = ['ruff']\ndev = ['pytest', {include-group = 'lint'}]\n",
        )
        .unwrap();
        assert_eq!(declared.production, ["django>=5", "redis"]);
        assert_eq!(declared.development, ["psycopg", "pytest", "ruff"]);
        assert_eq!(declared.python.as_deref(), Some(">=3.11"));
        assert!(!declared.only_poetry);
    }

    #[test]
    fn poetrys_own_tables_are_noticed() {
        assert!(read("[tool.poetry.dependencies]\npython = '^3.11'\ndjango = '^5'\n").unwrap().only_poetry);
    }

    #[test]
    fn groups_in_a_circle_are_refused() {
        let text = "[dependency-groups]\na = [{include-group = 'b'}]\nb = [{include-group = 'a'}]\n";
        assert!(read(text).unwrap_err().to_string().contains("include each other"));
    }
}
