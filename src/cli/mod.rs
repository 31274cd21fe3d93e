//! The command line: one file a subcommand. Each asks the engine or a library room, prints, and ends with a code.

mod ack;
mod cancel;
mod check;
mod console;
mod demo;
mod engine;
pub mod failure;
mod history;
mod logs;
pub mod output;
pub mod project;
mod retry;
mod run;
mod sample;
pub mod session;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::domain::event::Envelope;
use crate::domain::ids::{RunId, StepId};
use crate::store::layout::Layout;
use failure::{EXIT_CODES, Failure, Sort};
use output::Output;
use project::Location;

/// A full-screen release console for Django applications.
///
/// Without a subcommand it opens the console. Every subcommand asks the same engine, which goes on when this
/// terminal is closed.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Args)]
struct Common {
    /// Never move the cursor: lines only (the default where the output is no terminal)
    #[arg(long, global = true, conflicts_with = "json")]
    plain: bool,
    /// One JSON object a line, each with its version: {"v":1,"kind":…}
    #[arg(long, global = true)]
    json: bool,
    /// Draw with ASCII signs only
    #[arg(long, global = true)]
    ascii: bool,
    /// The project's directory, or one below it [default: the current directory]
    #[arg(long, global = true, value_name = "DIR")]
    repository: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Walk a commit through the pipeline, and watch until the run has ended or is held
    #[command(after_help = EXIT_CODES)]
    Run {
        /// The commit: a branch, a tag, a short or a full name
        #[arg(long, value_name = "REV", default_value = "HEAD")]
        commit: String,
        /// The last step to run, with everything that it needs
        #[arg(long, value_name = "STEP")]
        until: Option<String>,
    },
    /// Say what the engine does, where open runs are, and which release is the newest
    #[command(after_help = EXIT_CODES)]
    Status,
    /// Print the log of a step
    #[command(after_help = EXIT_CODES)]
    Logs {
        /// The run [default: the newest]
        run: Option<RunId>,
        /// The step [default: the one that failed first, or the last that was started]
        step: Option<String>,
        /// Which attempt at the step [default: the last]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        attempt: Option<u32>,
        /// Go on until the attempt has ended
        #[arg(long, short)]
        follow: bool,
    },
    /// List runs, newest first
    #[command(after_help = EXIT_CODES)]
    History {
        /// How many at the most
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Read towpath.toml, and say what is detected, which steps would run and why; starts nothing
    #[command(after_help = EXIT_CODES)]
    Check,
    /// Stop a run after the steps that are running
    #[command(after_help = EXIT_CODES)]
    Cancel {
        /// The run
        run: RunId,
        /// Stop the running steps too
        #[arg(long)]
        now: bool,
    },
    /// Try a step once more that failed, was stopped, or could not be checked; the run goes on from there
    #[command(after_help = EXIT_CODES)]
    Retry {
        /// The run
        run: RunId,
        /// The step
        step: String,
    },
    /// Accept a check that could not do its work
    #[command(after_help = EXIT_CODES)]
    Ack {
        /// The run
        run: RunId,
        /// The step
        step: String,
        /// Why that is acceptable; kept in the journal
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Verify the journal's hash chain
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// A copy of a journal [default: the project's own]
        file: Option<PathBuf>,
    },
    /// Look after the engine
    Engine {
        #[command(subcommand)]
        verb: EngineVerb,
    },
    /// Write a small Django project with one commit, to try Towpath with
    Sample {
        /// A directory that does not exist yet, or is empty
        directory: PathBuf,
    },
    /// Lay out a small shop with a history and all that it needs, and open the console on it
    #[command(after_help = EXIT_CODES)]
    Demo {
        /// Where; a demo that is there goes on [default: a directory of Towpath's own]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Walk the story by itself, measure, and say whether everything did what it should
        #[arg(long, conflicts_with = "clean")]
        tour: bool,
        /// Stop and remove all that the demo started
        #[arg(long)]
        clean: bool,
    },
    /// One attempt's worker; started by the engine
    #[command(hide = true)]
    StepWorker {
        /// The attempt's directory
        directory: PathBuf,
    },
    /// One replica's keeper; started by a deployment or by the engine
    #[command(hide = true)]
    ReplicaKeeper {
        /// The replica's directory
        directory: PathBuf,
        /// Start the keeper in a process of its own, and end
        #[arg(long)]
        detach: bool,
    },
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum EngineVerb {
    /// Say whether an engine runs; starts none
    Status,
    /// End the engine when nothing is under way
    Stop {
        /// End it even though work is under way: running steps go on, and the next engine finds them
        #[arg(long)]
        force: bool,
    },
    /// Run the engine in the foreground
    Run,
    /// Run the engine as a viewer starts it: in a session of its own, ending when nobody needs it
    #[command(hide = true)]
    Serve,
}

/// What a verb gets: where to look, where to print.
struct Invocation {
    output: Output,
    repository: Option<PathBuf>,
}

impl Invocation {
    fn start(&self) -> Result<PathBuf, Failure> {
        match &self.repository {
            Some(directory) => Ok(directory.clone()),
            None => std::env::current_dir().map_err(|error| {
                let hint = "Go to a directory that exists, or name one with --repository DIR.";
                Failure::usage(format!("The current directory cannot be read: {error}."), hint)
            }),
        }
    }

    fn location(&self) -> Result<Location, Failure> {
        Location::find(&self.start()?)
    }

    fn layout(&self) -> Result<Layout, Failure> {
        self.location()?.layout()
    }

    /// Says that a command was carried out: the sentence, or the journal's rows as JSON.
    fn carried_out(&mut self, kind: &str, rows: &[Envelope], said: &str) -> Result<u8, Failure> {
        if self.output.json {
            self.output.json(kind, &serde_json::json!({ "rows": rows }))?;
        } else {
            self.output.line(said)?;
        }
        Ok(0)
    }

    /// What has to be added to a suggested command so that it means this project from where the person is.
    fn place(&self) -> String {
        let directory = self.repository.as_ref().map(|directory| quoted(&directory.to_string_lossy()));
        directory.map(|directory| format!(" --repository {directory}")).unwrap_or_default()
    }
}

/// The program: reads the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // A closed output is the only way this fails, and then nobody reads.
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    if let Some(Verb::StepWorker { directory }) = &arguments.verb {
        return crate::runtime::worker::main(directory);
    }
    if let Some(Verb::ReplicaKeeper { directory, detach }) = &arguments.verb {
        return crate::runtime::replica::keeper::main(directory, *detach);
    }
    let Common { plain, json, ascii, repository } = arguments.common;
    let mut invocation = Invocation { output: Output::new(plain, json, ascii), repository };
    match dispatch(&mut invocation, arguments.verb) {
        Ok(code) => ExitCode::from(code),
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&failure, json);
            let Failure::Said { sort, .. } = failure else { return ExitCode::SUCCESS };
            ExitCode::from(sort.code())
        }
    }
}

fn dispatch(invocation: &mut Invocation, verb: Option<Verb>) -> Result<u8, Failure> {
    match verb {
        None => console::open(invocation),
        Some(Verb::Run { commit, until }) => in_runtime(run::run(invocation, &commit, until.map(StepId))),
        Some(Verb::Status) => in_runtime(status::status(invocation)),
        Some(Verb::Logs { run, step, attempt, follow }) => {
            let wanted = logs::Wanted { run, step: step.map(StepId), attempt, follow };
            in_runtime(logs::logs(invocation, wanted))
        }
        Some(Verb::History { limit }) => in_runtime(history::history(invocation, limit)),
        Some(Verb::Check) => check::check(invocation),
        Some(Verb::Cancel { run, now }) => in_runtime(cancel::cancel(invocation, run, now)),
        Some(Verb::Retry { run, step }) => in_runtime(retry::retry(invocation, run, StepId(step))),
        Some(Verb::Ack { run, step, reason }) => in_runtime(ack::ack(invocation, run, StepId(step), reason)),
        Some(Verb::Verify { file }) => in_runtime(verify::verify(invocation, file)),
        Some(Verb::Engine { verb: EngineVerb::Status }) => in_runtime(engine::status(invocation)),
        Some(Verb::Engine { verb: EngineVerb::Stop { force } }) => {
            in_runtime(engine::stop(invocation, force))
        }
        Some(Verb::Engine { verb: EngineVerb::Run }) => engine::run(invocation, false),
        Some(Verb::Engine { verb: EngineVerb::Serve }) => engine::run(invocation, true),
        Some(Verb::Sample { directory }) => sample::sample(invocation, &directory),
        Some(Verb::Demo { dir, tour, clean }) => {
            demo::demo(invocation, &demo::Wanted { directory: dir, tour, clean })
        }
        Some(Verb::StepWorker { .. } | Verb::ReplicaKeeper { .. }) => Ok(0),
    }
}

/// Runs a verb that talks to the engine: it waits nearly all the time, one thread is enough.
fn in_runtime<T>(verb: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::new(Sort::Unclear, format!("The runtime cannot be set up: {error}."), "")
    })?;
    runtime.block_on(verb)
}

/// A word as `sh` reads it back.
fn quoted(word: &str) -> String {
    let harmless = |sign: char| sign.is_alphanumeric() || "/._-+,:@%=".contains(sign);
    if !word.is_empty() && word.chars().all(harmless) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        for (word, shown) in
            [("/srv/shop", "/srv/shop"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")]
        {
            assert_eq!(quoted(word), shown);
        }
    }
}
