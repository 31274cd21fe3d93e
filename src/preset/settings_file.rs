//! The INI files that Python's tools keep their settings in (`setup.cfg`, `tox.ini`, `mypy.ini`, `.coveragerc`).

use std::collections::BTreeMap;

/// Sections with their keys; keys in lower case, continued lines joined with a line end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ini(BTreeMap<String, BTreeMap<String, String>>);

impl Ini {
    /// Reads what can be read; a line that is neither section nor key is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let mut section = String::new();
        let mut key = String::new();
        for line in text.lines() {
            let bare = line.trim();
            if bare.is_empty() || bare.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t']) && !key.is_empty() {
                if let Some(value) = sections.get_mut(&section).and_then(|keys| keys.get_mut(&key)) {
                    value.push('\n');
                    value.push_str(bare);
                }
                continue;
            }
            if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                section = name.trim().to_owned();
                sections.entry(section.clone()).or_default();
                key.clear();
                continue;
            }
            let Some((name, value)) = bare.split_once(['=', ':']) else { continue };
            key = name.trim().to_ascii_lowercase();
            sections.entry(section.clone()).or_default().insert(key.clone(), value.trim().to_owned());
        }
        Self(sections)
    }

    pub(super) fn has(&self, section: &str) -> bool {
        self.0.contains_key(section)
    }

    /// Whether any section's name begins so.
    pub(super) fn has_prefix(&self, prefix: &str) -> bool {
        self.0.keys().any(|section| section.starts_with(prefix))
    }

    pub(super) fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.0.get(section)?.get(key).map(String::as_str)
    }
}
