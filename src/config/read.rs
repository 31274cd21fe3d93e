//! From a parsed TOML table to what is written, collecting every mistake on the way.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes, Place};
use super::nearest::nearest;
use super::schema::{self, Table};
use super::{
    File, PipelineTable, ProjectTable, Written, artifact, environment, role, secret, service, stage, value,
};
use crate::domain::project::ProjectKind;
use crate::domain::time::Millis;

/// Reads values of the wanted type and remembers what was wrong.
pub(super) struct Reader<'a> {
    text: &'a str,
    name: &'a str,
    mistakes: Vec<Mistake>,
}

/// More roles or environments than this are mistyped, or an attack.
const NAMED_LIMIT: usize = 64;

/// A value with its place, as the parser gives it.
pub(super) type Node<'t, 'i> = &'t Spanned<DeValue<'i>>;

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, name: &'a str) -> Self {
        Self { text, name, mistakes: Vec::new() }
    }

    /// The file, where nothing was wrong.
    pub(super) fn finish(self, mut file: File) -> Result<File, Mistakes> {
        if self.mistakes.is_empty() {
            file.name = self.name.to_owned();
            return Ok(file);
        }
        Err(Mistakes::new(self.name, self.mistakes))
    }

    /// Where something is written.
    pub(super) fn place<T>(&self, spanned: &Spanned<T>) -> Place {
        Place::of(self.text, spanned.span().start)
    }

    pub(super) fn mistake(&mut self, place: Place, message: impl Into<String>, cure: impl Into<String>) {
        self.mistakes.push(Mistake::new(place, message, cure));
    }

    /// Says which keys of a table are unknown.
    pub(super) fn known_keys(&mut self, table: &DeTable<'_>, schema: Table) {
        for (key, _) in table {
            let word = key.get_ref().as_ref();
            if schema.keys.contains(&word) {
                continue;
            }
            let place = self.place(key);
            let later = schema::LATER.iter().find(|(table, key, _)| *table == schema.name && *key == word);
            if let Some((_, _, cure)) = later {
                self.mistake(place, format!("\"{word}\" is not supported yet."), *cure);
                continue;
            }
            let cure = match (nearest(word, schema.keys.iter().copied()), schema::owner(word)) {
                (Some(near), _) => format!("Did you mean \"{near}\"?"),
                (None, Some(table)) => format!("It belongs under {}.", table.heading()),
                (None, None) => format!("{} takes {}.", schema.heading(), schema.keys.join(", ")),
            };
            self.mistake(place, format!("unknown key \"{}\".", shown(word)), cure);
        }
    }

    /// A value of another type than wanted.
    pub(super) fn wrong_type(&mut self, node: Node<'_, '_>, key: &str, wanted: &str) {
        let found = match node.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let place = self.place(node);
        self.mistake(place, format!("\"{key}\" is {found}."), format!("Write {wanted}."));
    }

    pub(super) fn text(&mut self, node: Node<'_, '_>, key: &str, wanted: &str) -> Option<Written<String>> {
        let DeValue::String(text) = node.get_ref() else {
            self.wrong_type(node, key, wanted);
            return None;
        };
        let place = self.place(node);
        // TOML's own escapes can bring a NUL in; no command line or environment can carry one.
        if text.contains('\0') {
            self.mistake(place, format!("\"{key}\" has a NUL character in it."), "Remove it.");
            return None;
        }
        Some(Written { value: text.clone().into_owned(), place })
    }

    /// A text that has to fit a rule.
    pub(super) fn checked<T>(
        &mut self,
        node: Node<'_, '_>,
        key: &str,
        wanted: &str,
        rule: impl Fn(&str) -> Option<T>,
    ) -> Option<Written<T>> {
        let Written { value, place } = self.text(node, key, wanted)?;
        if let Some(value) = rule(&value) {
            return Some(Written { value, place });
        }
        let message = format!("{key} = \"{}\" cannot be used.", shown(&value));
        self.mistake(place, message, format!("Write {wanted}."));
        None
    }

    pub(super) fn flag(&mut self, node: Node<'_, '_>, key: &str) -> Option<Written<bool>> {
        let DeValue::Boolean(value) = node.get_ref() else {
            self.wrong_type(node, key, "true or false, without quotes");
            return None;
        };
        Some(Written { value: *value, place: self.place(node) })
    }

    pub(super) fn count(
        &mut self,
        node: Node<'_, '_>,
        key: &str,
        least: u32,
        most: u32,
    ) -> Option<Written<u32>> {
        let wanted = format!("a whole number from {least} to {most}");
        let DeValue::Integer(integer) = node.get_ref() else {
            self.wrong_type(node, key, &wanted);
            return None;
        };
        let place = self.place(node);
        let digits = integer.as_str().replace('_', "");
        match u32::from_str_radix(digits.trim_start_matches('+'), integer.radix()) {
            Ok(value) if (least..=most).contains(&value) => Some(Written { value, place }),
            _ => {
                let message = format!("{key} = {} is out of range.", shown(integer.as_str()));
                self.mistake(place, message, format!("Write {wanted}."));
                None
            }
        }
    }

    /// A port.
    pub(super) fn port(&mut self, node: Node<'_, '_>, key: &str) -> Option<Written<u16>> {
        let Written { value, place } = self.count(node, key, 1, u32::from(u16::MAX))?;
        u16::try_from(value).ok().map(|value| Written { value, place })
    }

    /// A duration that is longer than nothing.
    pub(super) fn duration(&mut self, node: Node<'_, '_>, key: &str) -> Option<Written<Millis>> {
        let wanted = "a duration of at most a week, such as \"500ms\", \"60s\", \"15m\" or \"1h30m\"";
        self.checked(node, key, wanted, |text| value::duration(text).filter(|millis| millis.0 > 0))
    }

    /// A duration that may be nothing at all.
    pub(super) fn duration_or_zero(&mut self, node: Node<'_, '_>, key: &str) -> Option<Written<Millis>> {
        let wanted = "a duration of at most a week, such as \"0s\", \"90s\", \"5m\" or \"1h30m\"";
        self.checked(node, key, wanted, value::duration)
    }

    /// A command line for a shell; a word that looks like a secret is a mistake with this cure.
    pub(super) fn command(&mut self, node: Node<'_, '_>, key: &str, cure: &str) -> Option<Written<String>> {
        let wanted = "a command line";
        let run =
            self.checked(node, key, wanted, |text| (!text.trim().is_empty()).then(|| text.to_owned()))?;
        if let Some(what) = secret::in_command(&run.value) {
            // The value itself is never repeated: messages end up in logs.
            let message = format!("a word of this command looks like {what}; this file is committed.");
            self.mistake(run.place, message, cure);
        }
        Some(run)
    }

    /// A list of command lines.
    pub(super) fn commands(
        &mut self,
        node: Node<'_, '_>,
        key: &str,
        cure: &str,
    ) -> Option<Vec<Written<String>>> {
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_type(node, key, &format!("a list of command lines: {key} = [\"…\"]"));
            return None;
        };
        Some(items.iter().filter_map(|item| self.command(item, key, cure)).collect())
    }

    /// A list of texts that each have to fit a rule.
    pub(super) fn list<T>(
        &mut self,
        node: Node<'_, '_>,
        key: &str,
        wanted: &str,
        rule: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<Written<T>>> {
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_type(node, key, &format!("a list: {key} = [\"…\"]"));
            return None;
        };
        let read = items.iter().filter_map(|item| self.checked(item, key, wanted, &rule));
        Some(read.collect())
    }

    /// A table of environment variables of checks and builds; none may look like a secret.
    pub(super) fn env(&mut self, node: Node<'_, '_>) -> Option<BTreeMap<String, Written<String>>> {
        self.variables(
            node,
            "env",
            "Checks and builds need no real secret: write a throw-away value here, keep the real one in your \
             secret manager and let the environment that is deployed to bring it; if it was ever committed, \
             replace it.",
        )
    }

    /// A table of environment variables; one that looks like a secret is a mistake with this cure.
    pub(super) fn variables(
        &mut self,
        node: Node<'_, '_>,
        key: &str,
        cure: &str,
    ) -> Option<BTreeMap<String, Written<String>>> {
        let DeValue::Table(table) = node.get_ref() else {
            self.wrong_type(node, key, &format!("a table: {key} = {{ NAME = \"value\" }}"));
            return None;
        };
        let mut env = BTreeMap::new();
        for (key, node) in table {
            let name = key.get_ref().as_ref();
            if !self.variable_name(self.place(key), name) {
                continue;
            }
            let Some(written) = self.text(node, name, "text in quotes, numbers too") else { continue };
            if let Some(what) = secret::looks_secret(name, &written.value) {
                // The value itself is never repeated: messages end up in logs.
                let message = format!("the value of {name} looks like {what}; this file is committed.");
                self.mistake(written.place, message, cure);
                continue;
            }
            env.insert(name.to_owned(), written);
        }
        Some(env)
    }

    /// Whether this can be the name of an environment variable; says so where not.
    pub(super) fn variable_name(&mut self, place: Place, name: &str) -> bool {
        let valid = value::valid_variable(name);
        if !valid {
            let message = format!("\"{}\" cannot be the name of an environment variable.", shown(name));
            self.mistake(place, message, "Use letters, digits and _, and no digit first.");
        }
        valid
    }

    /// A table inside another one, its keys looked at; `example` shows how it is written.
    pub(super) fn inner<'t, 'i>(
        &mut self,
        outer: &'t DeTable<'i>,
        schema: Table,
        example: &str,
    ) -> Option<&'t DeTable<'i>> {
        let node = outer.get(schema.name)?;
        let DeValue::Table(table) = node.get_ref() else {
            self.wrong_type(node, schema.name, example);
            return None;
        };
        self.known_keys(table, schema);
        Some(table)
    }

    /// The tables `[name.NAME]`, each with its name and the place of it, in the order of the file.
    pub(super) fn named<'t, 'i>(
        &mut self,
        root: &'t DeTable<'i>,
        schema: Table,
    ) -> Vec<(Written<String>, &'t DeTable<'i>)> {
        let heading = schema.heading();
        let Some(node) = root.get(schema.name) else { return Vec::new() };
        let DeValue::Table(table) = node.get_ref() else {
            self.wrong_type(node, schema.name, &format!("{heading} for each, NAME being its name"));
            return Vec::new();
        };
        let mut named = Vec::new();
        for (key, node) in table {
            let (name, place) = (key.get_ref().as_ref(), self.place(key));
            if named.len() == NAMED_LIMIT {
                let message = format!("there are more than {NAMED_LIMIT} of {heading}.");
                self.mistake(place, message, "Nobody could keep watch over that many: remove some.");
                break;
            }
            let DeValue::Table(inner) = node.get_ref() else {
                let key = format!("{}.{}", schema.name, shown(name));
                self.wrong_type(node, &key, &format!("a table: {heading}"));
                continue;
            };
            if !value::valid_name(name) {
                let message = format!("\"{}\" cannot be a name here.", shown(name));
                self.mistake(place, message, format!("Write {}.", name_rule()));
                continue;
            }
            self.known_keys(inner, schema);
            named.push((Written { value: name.to_owned(), place }, inner));
        }
        named.sort_by_key(|(name, _)| name.place);
        named
    }

    /// A top-level table.
    fn table<'t, 'i>(&mut self, root: &'t DeTable<'i>, schema: Table) -> Option<&'t DeTable<'i>> {
        let node = root.get(schema.name)?;
        let DeValue::Table(table) = node.get_ref() else {
            self.wrong_type(node, schema.name, &format!("a table: [{}]", schema.name));
            return None;
        };
        self.known_keys(table, schema);
        Some(table)
    }
}

/// What came from outside, fit for a message: bounded, without control characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// Reads the whole file.
pub(super) fn file(reader: &mut Reader<'_>, root: &DeTable<'_>) -> File {
    let tables = schema::TABLES.map(|table| table.name);
    for (key, _) in root {
        let word = key.get_ref().as_ref();
        if tables.contains(&word) {
            continue;
        }
        let place = reader.place(key);
        let cure = match (nearest(word, tables), schema::owner(word)) {
            (Some(near), _) => format!("Did you mean \"{near}\"?"),
            (None, Some(table)) => format!("It belongs under {}.", table.heading()),
            (None, None) => {
                let headings = schema::TABLES.map(|table| table.heading());
                format!("The file has {}.", headings.join(", "))
            }
        };
        reader.mistake(place, format!("unknown key \"{}\".", shown(word)), cure);
    }
    let mut file = File::default();
    if let Some(table) = reader.table(root, schema::PROJECT) {
        file.project = project(reader, table);
    }
    if let Some(table) = reader.table(root, schema::PIPELINE) {
        file.pipeline = pipeline(reader, table);
    }
    if let Some(table) = reader.table(root, schema::ARTIFACT) {
        file.artifact = artifact::read(reader, table);
    }
    if let Some(node) = root.get(schema::STAGE.name) {
        match node.get_ref() {
            DeValue::Array(stages) => file.stages = stage::read(reader, stages),
            _ => reader.wrong_type(node, "stage", "[[stage]] with two brackets, once for each stage"),
        }
    }
    file.services = service::read(reader, root);
    file.roles = role::read(reader, root);
    file.environments = environment::read(reader, root);
    file
}

fn project(reader: &mut Reader<'_>, table: &DeTable<'_>) -> ProjectTable {
    ProjectTable {
        name: table.get("name").and_then(|node| name(reader, node, "name")),
        kind: table.get("kind").and_then(|node| {
            reader.checked(node, "kind", "\"django\" or \"plain\"", |text| match text {
                "django" => Some(ProjectKind::Django),
                // What has only an image and roles is called by what it is, too.
                "plain" | "container" => Some(ProjectKind::Plain),
                _ => None,
            })
        }),
        python: table.get("python").and_then(|node| {
            let wanted = "a version in quotes, such as \"3.12\"";
            reader.checked(node, "python", wanted, |text| value::valid_python(text).then(|| text.to_owned()))
        }),
        settings: table.get("settings").and_then(|node| {
            let wanted = "a Python module, such as \"harbor.settings.production\"";
            reader
                .checked(node, "settings", wanted, |text| value::valid_module(text).then(|| text.to_owned()))
        }),
    }
}

fn pipeline(reader: &mut Reader<'_>, table: &DeTable<'_>) -> PipelineTable {
    PipelineTable {
        branch: table.get("branch").and_then(|node| {
            let wanted = "the name of a branch, such as \"main\"";
            reader.checked(node, "branch", wanted, |text| value::valid_branch(text).then(|| text.to_owned()))
        }),
        poll: table.get("poll").and_then(|node| reader.duration(node, "poll")),
        runs: table.get("runs").and_then(|node| reader.count(node, "runs", 1, 64)),
        jobs: table.get("jobs").and_then(|node| reader.count(node, "jobs", 1, 256)),
    }
}

/// What a name has to look like.
fn name_rule() -> String {
    format!(
        "lower-case letters, digits and -, a letter or digit first and last, at most {} characters",
        value::NAME_LIMIT
    )
}

/// A name that becomes part of other names.
pub(super) fn name(reader: &mut Reader<'_>, node: Node<'_, '_>, key: &str) -> Option<Written<String>> {
    reader.checked(node, key, &name_rule(), |text| value::valid_name(text).then(|| text.to_owned()))
}
