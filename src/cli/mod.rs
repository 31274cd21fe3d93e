//! The command line: one file a subcommand. Each asks the engine or a library room, prints, and ends with a code.

mod ack;
mod arguments;
mod back;
mod bundle;
mod cancel;
mod check;
mod check_compose;
mod check_environments;
mod console;
mod demo;
mod departure;
mod deployments;
mod engine;
mod environment_logs;
mod environments;
pub mod failure;
mod follow;
mod go;
mod history;
mod hold;
mod lease;
mod leave;
mod logs;
pub mod output;
mod plan;
pub mod project;
mod promote;
mod redeploy;
mod retry;
mod rollback;
mod run;
mod sample;
pub mod session;
mod shell;
mod status;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;

use crate::domain::event::Envelope;
use crate::domain::ids::{EnvironmentName, StepId};
use crate::store::layout::Layout;
use arguments::{Arguments, Common, EngineVerb, LogsOf, Verb};
use failure::{Failure, Sort};
use output::Output;
use project::Location;

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
        Some(Verb::Logs {
            of: Some(LogsOf::Environment(environment)),
            step,
            attempt,
            role,
            follow,
            lines,
        }) => {
            if step.is_some() || attempt.is_some() {
                let hint = format!("`towpath logs {environment} --role ROLE` narrows it to a role.");
                return Err(Failure::usage(
                    "A step and an attempt are of a run, not of an environment.",
                    hint,
                ));
            }
            let wanted = environment_logs::Wanted { environment, role, follow, lines };
            in_runtime(environment_logs::logs(invocation, wanted))
        }
        Some(Verb::Logs { of, step, attempt, role, follow, lines }) => {
            if role.is_some() {
                let hint = "Name the environment: `towpath logs ENV --role ROLE`.";
                return Err(Failure::usage("A role is of an environment, not of a run.", hint));
            }
            let run = of.and_then(|of| if let LogsOf::Run(run) = of { Some(run) } else { None });
            let wanted = logs::Wanted { run, step: step.map(StepId), attempt, follow, lines };
            in_runtime(logs::logs(invocation, wanted))
        }
        Some(Verb::History { limit }) => in_runtime(history::history(invocation, limit)),
        Some(Verb::Check { compose: Some(file) }) => check_compose::compose(invocation, file),
        Some(Verb::Check { compose: None }) => check::check(invocation),
        Some(Verb::Cancel { run, now }) => in_runtime(cancel::cancel(invocation, run, now)),
        Some(Verb::Retry { run, step }) => in_runtime(retry::retry(invocation, run, StepId(step))),
        Some(Verb::Shell { run, step }) => in_runtime(shell::shell(invocation, run, StepId(step))),
        Some(Verb::Bundle { run, step, output }) => {
            in_runtime(bundle::bundle(invocation, run, StepId(step), output))
        }
        Some(Verb::Ack { run, step, reason }) => in_runtime(ack::ack(invocation, run, StepId(step), reason)),
        Some(Verb::Plan { environment, release }) => {
            in_runtime(plan::plan(invocation, &EnvironmentName(environment), release))
        }
        Some(Verb::Promote { environment, release, plan, word, detach }) => {
            let wanted = promote::Wanted { environment: EnvironmentName(environment), release, plan, detach };
            in_runtime(promote::promote(invocation, wanted, word))
        }
        Some(Verb::Rollback { environment, to, word, detach }) => {
            in_runtime(rollback::rollback(invocation, EnvironmentName(environment), to, word, detach))
        }
        Some(Verb::Redeploy { environment, word, detach }) => {
            in_runtime(redeploy::redeploy(invocation, EnvironmentName(environment), word, detach))
        }
        Some(Verb::Hold { environment }) => in_runtime(hold::hold(invocation, &EnvironmentName(environment))),
        Some(Verb::Go { environment, reason, detach }) => {
            in_runtime(go::go(invocation, &EnvironmentName(environment), reason, detach))
        }
        Some(Verb::Back { environment, confirm, reason, detach }) => {
            let environment = EnvironmentName(environment);
            in_runtime(back::back(invocation, &environment, confirm.unwrap_or_default(), reason, detach))
        }
        Some(Verb::Leave { environment, confirm, reason }) => {
            in_runtime(leave::leave(invocation, &EnvironmentName(environment), confirm, reason))
        }
        Some(Verb::Lease { environment, breaks, confirm, reason }) => {
            let environment = EnvironmentName(environment);
            let word = breaks.then(|| (confirm.unwrap_or_default(), reason.unwrap_or_default()));
            in_runtime(lease::lease(invocation, &environment, word))
        }
        Some(Verb::Environments) => in_runtime(environments::environments(invocation)),
        Some(Verb::Verify { file }) => in_runtime(verify::verify(invocation, file)),
        Some(Verb::Engine { verb: EngineVerb::Status }) => in_runtime(engine::status(invocation)),
        Some(Verb::Engine { verb: EngineVerb::Stop { force } }) => {
            in_runtime(engine::stop(invocation, force))
        }
        Some(Verb::Engine { verb: EngineVerb::Run }) => engine::run(invocation, false),
        Some(Verb::Engine { verb: EngineVerb::Serve }) => engine::run(invocation, true),
        Some(Verb::Sample { directory }) => sample::sample(invocation, &directory),
        Some(Verb::Demo { dir, runtime, tour, clean }) => {
            let runtime = runtime.map(Into::into);
            demo::demo(invocation, &demo::Wanted { directory: dir, runtime, tour, clean })
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
