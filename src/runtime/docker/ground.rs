//! An engine that a step works on.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::docker::labels::{self, Kind};
use crate::docker::{Engine, mark};
use crate::domain::project::Host;
use crate::runtime::python::halt::Halt;
use crate::runtime::workbench::Workbench;

use super::left::OnEngine;

/// An engine that a step works on, and the mark under which everything of the attempt is there. Once it is had, the
/// attempt's end removes what carries the mark, however it ends.
#[derive(Debug)]
pub struct Ground {
    engine: Engine,
    project: String,
    name: String,
    attempt: String,
    mark: String,
    made: AtomicU32,
}

impl Ground {
    /// Reaches the engine and writes down that there will be something on it.
    ///
    /// # Errors
    /// Why the engine cannot be reached; or when it cannot be written down.
    pub async fn reach(bench: &mut Workbench, host: &Host, project: &str) -> Result<Self, Halt> {
        let engine = Engine::connect(host, &bench.spec().home).await.map_err(Halt::Failed)?;
        let attempt = bench.dir().display().to_string();
        let known = bench.services.engines().iter().find(|known| &known.host == host).cloned();
        let on = match known {
            Some(known) => known,
            None => {
                let on = OnEngine { host: host.clone(), attempt: attempt.clone(), mark: random() };
                bench.services.note_engine(on.clone())?;
                on
            }
        };
        let step = bench.spec().key.step.0.clone();
        Ok(Self {
            engine,
            project: project.to_owned(),
            name: plain(&format!("{project}-{step}-{}", on.mark)),
            attempt,
            mark: on.mark,
            made: AtomicU32::new(0),
        })
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The labels of something of this attempt's, by which it is found and removed.
    #[must_use]
    pub fn labels(&self, kind: Kind) -> BTreeMap<String, String> {
        BTreeMap::from([
            (labels::KIND.to_owned(), kind.word().to_owned()),
            (labels::PROJECT.to_owned(), self.project.clone()),
            (labels::ATTEMPT.to_owned(), self.attempt.clone()),
            (mark::MARK.to_owned(), self.mark.clone()),
        ])
    }

    /// The name of the one thing of its sort that the attempt has there: its network, say.
    #[must_use]
    pub fn name(&self, what: &str) -> String {
        plain(&format!("{}-{what}", self.name))
    }

    /// A name that nothing else has yet.
    #[must_use]
    pub fn next_name(&self) -> String {
        format!("{}-{}", self.name, self.made.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Sixteen hexadecimal digits from the operating system's source of randomness.
fn random() -> String {
    // Each `RandomState` has keys of its own.
    let word = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{word:016x}")
}

/// As engines take names: letters, digits, `_`, `.`, `-`, a letter or digit first.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let name: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_engines_take_them() {
        assert_eq!(plain("harbor-unit tests/3.12-00ff"), "harbor-unit-tests-3.12-00ff");
        assert_eq!(plain("-ä-x"), "x");
        assert_ne!(random(), random());
    }
}
