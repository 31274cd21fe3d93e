//! What a Django project in an image says of itself: the same scripts as for processes, put into a container and
//! their answers read back as files.

use serde::de::DeserializeOwned;

use crate::docker::files::{self, Put};
use crate::docker::run::{self, Command, OneOff};
use crate::runtime::command::Ended;
use crate::runtime::python::django::{self, FEED, Settings};
use crate::runtime::python::halt::Halt;
use crate::runtime::workbench::Workbench;

use super::once::{Carried, carry};
use super::stand::{OURS, Stand};

/// The longest answer that is read, bytes: a project of thousands of migrations says less.
const ANSWER: usize = 16 << 20;

/// `manage.py ARGS` with the image's own Python, or `python -m django ARGS` where there is no `manage.py`: in the
/// working directory, or in the one directory below that has one.
const MANAGE: &str = r#"PY=$(command -v python || command -v python3) || { echo "there is no Python on the image's PATH" >&2; exit 127; }
for MANAGE in manage.py */manage.py; do [ -f "$MANAGE" ] && break; done
if [ -f "$MANAGE" ]; then cd "$(dirname "$MANAGE")" && exec "$PY" manage.py "$@"; fi
PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" exec "$PY" -m django "$@""#;

impl Stand {
    /// A container for a management command.
    #[must_use]
    pub fn manage(&self, args: &[&str]) -> OneOff {
        let line = ["sh", "-c", MANAGE, "towpath"].into_iter().chain(args.iter().copied());
        self.one(Command::Argv(line.map(str::to_owned).collect()))
    }

    /// Runs a management command to its end; `capture` gives its standard output back.
    ///
    /// # Errors
    /// A cause when it cannot be run, or ran out of memory.
    pub async fn managed(&self, bench: &mut Workbench, args: &[&str], capture: bool) -> Result<Ended, Halt> {
        well(carry(bench, &self.ground, self.manage(args), capture).await?)
    }

    /// Runs one of our scripts inside the project and reads its answer; where it gave none, how it ended.
    ///
    /// # Errors
    /// A cause when it cannot be run, or ran out of memory.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        bench: &mut Workbench,
        script: &str,
    ) -> Result<Result<T, Ended>, Halt> {
        let (asked, answered) = (format!("{OURS}/ask.py"), format!("{OURS}/answer.json"));
        let mut one = self.manage(&["shell", "-c", FEED]);
        one.env.insert("TOWPATH_SCRIPT".to_owned(), asked.clone());
        one.env.insert("TOWPATH_ANSWER".to_owned(), answered.clone());
        one.files.push(Put::File { path: asked, bytes: script.as_bytes().to_vec(), mode: 0o644 });
        // An answer of the script before would be taken for this one's.
        one.files.push(Put::File { path: answered.clone(), bytes: Vec::new(), mode: 0o666 });
        one.keep = true;
        let carried = carry(bench, &self.ground, one, false).await?;
        let container = carried.over.container.clone();
        let engine = self.ground.engine();
        let answer = files::get(engine, &container, &answered, ANSWER).await.map_err(Halt::Failed)?;
        run::remove(engine, &container).await.map_err(Halt::Failed)?;
        let ended = well(carried)?;
        Ok(answer.and_then(|json| serde_json::from_slice(&json).ok()).ok_or(ended))
    }

    /// Asks the project's settings.
    ///
    /// # Errors
    /// A cause when they cannot be loaded.
    pub async fn settings(&self, bench: &mut Workbench) -> Result<Settings, Halt> {
        match self.ask(bench, django::SETTINGS).await? {
            Ok(settings) => Ok(settings),
            Err(ended) => Err(django::not_loaded(&ended).into()),
        }
    }
}

fn well(carried: Carried) -> Result<Ended, Halt> {
    match carried.out_of_memory() {
        Some(cause) => Err(cause.into()),
        None => Ok(carried.ended),
    }
}
