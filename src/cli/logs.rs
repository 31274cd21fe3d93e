//! `towpath logs`: what a step printed.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::failure::{Failure, Sort, sentence};
use super::output::Output;
use super::{Invocation, session};
use crate::domain::event::Event;
use crate::domain::ids::{AttemptKey, Owner, RunId, Seq, StepId};
use crate::domain::plan::Verdict;
use crate::domain::query::{Answer, Query};
use crate::store::StoreError;
use crate::store::segment::{Line, Reader, Source};
use crate::text::width::plain;
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// How many rows of the run are read to find its attempts.
const ROWS: u32 = 10_000;

/// How often a growing log is looked at.
pub(super) const POLL: Duration = Duration::from_millis(150);

/// Which log.
pub(super) struct Wanted {
    pub(super) run: Option<RunId>,
    pub(super) step: Option<StepId>,
    pub(super) attempt: Option<u32>,
    pub(super) follow: bool,
    /// The last so many lines; `None` is all.
    pub(super) lines: Option<u64>,
}

pub(super) async fn logs(invocation: &mut Invocation, wanted: Wanted) -> Result<u8, Failure> {
    let layout = invocation.layout()?;
    let client = session::connect(&layout, "logs").await?;
    let run = match wanted.run {
        Some(run) => run,
        None => newest_run(&client).await?,
    };
    // Attached before the journal is read: an attempt that ends in between is not missed.
    let (_, mut stream) = session::attach(&client).await?;
    let attempts = attempts_of(&client, run).await?;
    let chosen = choose(&attempts, run, &wanted)?;
    let Answer::Log { directory } = session::ask(&client, Query::Log { key: chosen.key.clone() }).await?
    else {
        return Err(Failure::unexpected("where a log is"));
    };
    let mut log = Log::open(Path::new(&directory))?;
    match wanted.lines {
        Some(count) => log.print_last(&mut invocation.output, count)?,
        None => log.print_new(&mut invocation.output)?,
    }
    let mut open = chosen.ended.is_none() && wanted.follow;
    while open {
        tokio::select! {
            push = stream.recv() => match push {
                Some(FromEngine::Happened { envelope }) => {
                    open = !matches!(&envelope.event, Event::StepFinished { key, .. } if *key == chosen.key);
                }
                Some(_) => {}
                None => {
                    let message = client.ended().unwrap_or_else(|| "this viewer fell behind.".to_owned());
                    return Err(Failure::new(
                        Sort::Unreachable,
                        format!("The log cannot be followed on: {message}"),
                        "Ask again; the attempt itself is not touched by this.",
                    ));
                }
            },
            () = tokio::time::sleep(POLL) => {}
        }
        log.print_new(&mut invocation.output)?;
    }
    Ok(0)
}

async fn newest_run(client: &Client) -> Result<RunId, Failure> {
    match session::ask(client, Query::History { limit: 1 }).await? {
        Answer::History { runs } => match runs.first() {
            Some(run) => Ok(run.run),
            None => Err(Failure::usage("Nothing has run yet.", "`towpath run` starts a run.")),
        },
        _ => Err(Failure::unexpected("history")),
    }
}

/// One attempt as the journal tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    key: AttemptKey,
    ended: Option<Verdict>,
}

async fn attempts_of(client: &Client, run: RunId) -> Result<Vec<Attempt>, Failure> {
    let query = Query::Journal { run: Some(run), after: Seq(0), limit: ROWS };
    let Answer::Journal { rows } = session::ask(client, query).await? else {
        return Err(Failure::unexpected("the journal"));
    };
    if rows.is_empty() {
        return Err(Failure::usage(format!("There is no run {run}."), "`towpath history` lists the runs."));
    }
    let mut attempts: Vec<Attempt> = Vec::new();
    for row in rows {
        match row.event {
            Event::StepStarted { key } if key.owner == Owner::Run(run) => {
                attempts.push(Attempt { key, ended: None });
            }
            Event::StepFinished { key, verdict, .. } => {
                if let Some(attempt) = attempts.iter_mut().find(|attempt| attempt.key == key) {
                    attempt.ended = Some(verdict);
                }
            }
            _ => {}
        }
    }
    Ok(attempts)
}

/// The attempt that is meant: as named, else the last of the step that failed first, else the last started.
fn choose(attempts: &[Attempt], run: RunId, wanted: &Wanted) -> Result<Attempt, Failure> {
    let failed = |attempt: &&Attempt| matches!(attempt.ended, Some(Verdict::Failed(_)));
    let step = match &wanted.step {
        Some(step) => step,
        None => match attempts.iter().find(failed).or(attempts.last()) {
            Some(attempt) => &attempt.key.step,
            None => return Err(Failure::usage(format!("Run {run} has started no step yet."), "")),
        },
    };
    let of_step = || attempts.iter().filter(|attempt| &attempt.key.step == step);
    let found = match wanted.attempt {
        Some(number) => of_step().find(|attempt| attempt.key.attempt == number),
        None => of_step().next_back(),
    };
    found.cloned().ok_or_else(|| match (of_step().count(), wanted.attempt) {
        (0, _) => {
            let mut steps: Vec<&str> = attempts.iter().map(|attempt| attempt.key.step.as_str()).collect();
            steps.dedup();
            let started = if steps.is_empty() { "none".to_owned() } else { steps.join(", ") };
            Failure::usage(
                format!("Run {run} has started no step \"{step}\"."),
                format!("Started: {started}."),
            )
        }
        (count, _) => {
            Failure::usage(format!("{step} of run {run} was tried {count} times."), "Name one of them.")
        }
    })
}

/// A log that is read from its segments, as they grow.
struct Log {
    reader: Reader,
}

impl Log {
    fn open(directory: &Path) -> Result<Self, Failure> {
        Ok(Self { reader: Reader::open(directory).map_err(|error| unreadable(&error))? })
    }

    fn print_last(&mut self, output: &mut Output, count: u64) -> Result<(), Failure> {
        let lines = self.reader.tail(count).map_err(|error| unreadable(&error))?;
        lines.iter().try_for_each(|line| print(output, line, None))
    }

    fn print_new(&mut self, output: &mut Output) -> Result<(), Failure> {
        loop {
            let lines = self.reader.poll().map_err(|error| unreadable(&error))?;
            if lines.is_empty() {
                return Ok(());
            }
            lines.iter().try_for_each(|line| print(output, line, None))?;
        }
    }
}

/// Prints a line, after the label of where it comes from in a log of many.
pub(super) fn print(output: &mut Output, line: &Line, label: Option<&str>) -> Result<(), Failure> {
    let source = match line.source {
        Source::Output => "output",
        Source::Error => "error",
        Source::Towpath => "towpath",
    };
    if output.json {
        let text = plain(&line.text);
        let mut body = json!({ "number": line.number, "at": line.at, "source": source, "text": text });
        if let (Some(label), Some(body)) = (label, body.as_object_mut()) {
            body.insert("label".to_owned(), label.trim_end().into());
        }
        return output.json("log", &body);
    }
    let style = &output.style;
    let clock = style.dim(&style.clock(line.at));
    // What lies in segments is sanitised: colours are all that a terminal would obey in it.
    let text = match style.colour {
        true if line.text.contains('\x1b') => format!("{}\x1b[0m", line.text),
        true => line.text.clone(),
        false => plain(&line.text),
    };
    let text = if line.source == Source::Towpath { style.dim(&text) } else { text };
    let label = label.map(|label| format!("{} ", style.strong(label))).unwrap_or_default();
    output.line(&format!("{clock} {label}{text}"))
}

pub(super) fn unreadable(error: &StoreError) -> Failure {
    Failure::new(Sort::Unclear, sentence(&error.to_string()), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(step: &str, number: u32, ended: Option<Verdict>) -> Attempt {
        Attempt { key: AttemptKey { owner: Owner::Run(RunId(3)), step: step.into(), attempt: number }, ended }
    }

    #[test]
    fn the_attempt_that_is_meant() {
        let failed = || Some(Verdict::Failed(crate::domain::plan::Cause::default()));
        let attempts = [
            attempt("install", 1, Some(Verdict::Passed)),
            attempt("ruff", 1, failed()),
            attempt("pytest", 1, failed()),
            attempt("ruff", 2, None),
            attempt("mypy", 1, None),
        ];
        type Case = (Option<&'static str>, Option<u32>, Result<(&'static str, u32), &'static str>);
        let cases: [Case; 6] = [
            (None, None, Ok(("ruff", 2))),
            (Some("pytest"), None, Ok(("pytest", 1))),
            (Some("ruff"), Some(1), Ok(("ruff", 1))),
            (None, Some(1), Ok(("ruff", 1))),
            (Some("ruff"), Some(9), Err("tried 2 times")),
            (Some("black"), None, Err("started no step \"black\"")),
        ];
        for (step, number, expected) in cases {
            let wanted = Wanted {
                run: None,
                step: step.map(StepId::from),
                attempt: number,
                follow: false,
                lines: None,
            };
            match (choose(&attempts, RunId(3), &wanted), expected) {
                (Ok(found), Ok((step, number))) => {
                    assert_eq!((found.key.step.as_str(), found.key.attempt), (step, number));
                }
                (Err(failure), Err(words)) => assert!(failure.to_string().contains(words), "{failure}"),
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        }
    }
}
