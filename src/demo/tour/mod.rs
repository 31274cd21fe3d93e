//! The story, walked and measured. It asks the engine as the other verbs do; what it claims it has counted from
//! outside: at the visitors' end, in the shop's own start log, in the database.
//!
//! | file | station |
//! |---|---|
//! | `first` | (a) v1.0.0 to staging and production |
//! | `canary` | (b) v1.1.0 by canary under load |
//! | `sick` | (c) v1.2.0 sickens from production's data and is taken back |
//! | `back` | (d) one-key rollback |
//! | `killed` | (e) the engine killed inside Migrate, Start and Shift |
//! | `chain` | (f) the journal, and an altered copy |
//! | `swept` | (g) on Docker: everything away again |
//! | `walk` | the connection to the engine, and what every station does with it |

mod back;
mod canary;
mod chain;
mod first;
mod killed;
mod sick;
mod swept;
mod walk;

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Place, Teller, millis, ready, stack};
use crate::cli::failure::{Failure, Sort};
use crate::cli::output::{Output, tell};
use crate::domain::project::RuntimeKind;
use walk::Walk;

/// The stations, in order, with what each shows.
const STATIONS: [(char, &str); 6] = [
    ('a', "v1.0.0 through the pipeline to staging, and to production by blue-green"),
    ('b', "v1.1.0 to production by canary, under load"),
    ('c', "v1.2.0 passes staging, sickens from production's data, and is taken back without a hand"),
    ('d', "one-key rollback to v1.0.0"),
    ('e', "the engine is killed inside Migrate, inside Start and inside Shift"),
    ('f', "the journal's chain verifies, and an altered copy does not"),
];

/// The one after them where releases run as containers: an engine is others' too, and nothing is left on it.
const SWEPT: (char, &str) = ('g', "everything goes, and the engine has nothing of the project any more");

/// Walks the story in a new demo; the exit code is 0 only if every station did what it should.
///
/// # Errors
/// When the tour cannot begin. A station that fails is told, and is the exit code 1.
pub fn run(output: &mut Output, directory: &Path, wanted: Option<RuntimeKind>) -> Result<u8, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| {
        Failure::new(Sort::Unclear, format!("The runtime cannot be set up: {error}."), "")
    })?;
    runtime.block_on(walk_all(output, directory, wanted))
}

async fn walk_all(output: &mut Output, directory: &Path, wanted: Option<RuntimeKind>) -> Result<u8, Failure> {
    let began = Instant::now();
    if let Some(place) = Place::find(directory)?
        && place.layout()?.journal().exists()
    {
        return Err(Failure::usage(
            format!(
                "The demo in {} has a history already; the tour counts from nothing.",
                place.root().display()
            ),
            "Take it away with `towpath demo --clean`, or name another directory with --dir DIR.",
        ));
    }
    let place = ready(directory, wanted, &mut Teller { output }).await?;
    let stack = stack::find(&place)?;
    let mut walk = Walk::begin(place.clone(), stack, Teller { output }).await?;
    let mut stations = Vec::new();
    let last_one = place.docker().map(|_| SWEPT);
    for (station, title) in STATIONS.into_iter().chain(last_one) {
        walk.teller.say("")?;
        walk.teller.say(&format!("({station}) {title}"))?;
        let began = Instant::now();
        let walked = match station {
            'a' => first::station(&mut walk).await,
            'b' => canary::station(&mut walk).await,
            'c' => sick::station(&mut walk).await,
            'd' => back::station(&mut walk).await,
            'e' => killed::station(&mut walk).await,
            'f' => chain::station(&mut walk).await,
            _ => swept::station(&mut walk).await,
        };
        match walked {
            Ok(figures) => {
                let figures = told(station, true, began, figures);
                if walk.teller.output.json {
                    walk.teller.output.json("station", &figures)?;
                }
                walk.teller.took(&format!("({station}) passed"), began)?;
                stations.push(figures);
            }
            Err(Failure::Closed) => return Err(Failure::Closed),
            Err(failure) => {
                let why = failure.to_string();
                walk.teller.took(&format!("({station}) FAILED"), began)?;
                stations.push(told(station, false, began, json!({ "why": why })));
                let json = walk.teller.output.json;
                if json && let Some(figures) = stations.last() {
                    walk.teller.output.json("station", figures)?;
                }
                tell(&failure, false);
                crate::cli::output::note(&format!(
                    "the tour failed at station ({station}); everything is left as it is, for a look:\n    towpath --repository \
                     {0}/shop\n    towpath demo --clean --dir {0}     takes it away",
                    place.root().display()
                ));
                last(walk.teller.output, "failed", began, &stations)?;
                return Ok(Sort::StepFailed.code());
            }
        }
    }
    walk.teller.say("")?;
    walk.teller.took("the tour passed", began)?;
    if place.docker().is_none() {
        walk.teller.say(&format!(
            "it all still runs: towpath --repository {0}/shop; towpath demo --clean --dir {0} takes it away",
            place.root().display()
        ))?;
    }
    last(walk.teller.output, "passed", began, &stations)?;
    Ok(0)
}

/// A station's figures with what every station has.
fn told(station: char, passed: bool, began: Instant, mut figures: Value) -> Value {
    if let Value::Object(fields) = &mut figures {
        fields.insert("station".to_owned(), json!(station));
        fields.insert("passed".to_owned(), json!(passed));
        fields.insert("took_ms".to_owned(), json!(millis(began).0));
    }
    figures
}

/// The last line; JSON for programs however the rest was told.
fn last(output: &mut Output, tour: &str, began: Instant, stations: &[Value]) -> Result<(), Failure> {
    let line = json!({ "v": 1, "tour": tour, "took_ms": millis(began).0, "stations": stations });
    output.line(&line.to_string())
}

/// A thing that a station wants to be so.
fn check(holds: bool, expected: &str, measured: impl std::fmt::Display) -> Result<(), Failure> {
    if holds {
        return Ok(());
    }
    Err(Failure::new(Sort::StepFailed, format!("Expected: {expected}. Measured: {measured}."), ""))
}
