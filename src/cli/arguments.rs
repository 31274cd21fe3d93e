//! The command line as clap reads it: its verbs, their options, their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::deployments;
use super::failure::EXIT_CODES;
use crate::domain::ids::{EnvironmentName, PlanDigest, ReleaseNumber, RunId};
use crate::domain::project::RuntimeKind;

/// A full-screen release console for Django applications.
///
/// Without a subcommand it opens the console. Every subcommand asks the same engine, which goes on when this
/// terminal is closed.
#[derive(Debug, Parser)]
#[command(name = "towpath", version, after_help = EXIT_CODES, after_long_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

#[derive(Debug, Args)]
pub(super) struct Common {
    /// Never move the cursor: lines only (the default where the output is no terminal)
    #[arg(long, global = true, conflicts_with = "json")]
    pub(super) plain: bool,
    /// One JSON object a line, each with its version: {"v":1,"kind":…}
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Draw with ASCII signs only
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// The project's directory, or one below it [default: the current directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub(super) repository: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
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
    /// Say what the engine does, where open runs are, which release is the newest, and what is live where
    #[command(after_help = EXIT_CODES)]
    Status,
    /// Print the log of a step; or, of an environment, what its replicas and its deployments' steps say
    #[command(after_help = EXIT_CODES)]
    Logs {
        /// The run, or an environment [default: the newest run]
        #[arg(value_name = "RUN|ENV")]
        of: Option<LogsOf>,
        /// The step, of a run [default: the one that failed first, or the last that was started]
        step: Option<String>,
        /// Which attempt at the step [default: the last]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        attempt: Option<u32>,
        /// Only what the replicas of this role say, of an environment
        #[arg(long, value_name = "ROLE")]
        role: Option<String>,
        /// Go on: of a step until its attempt has ended, of an environment until you leave
        #[arg(long, short)]
        follow: bool,
        /// The last so many lines [default: of a step all, of an environment 200]
        #[arg(long, short = 'n', value_name = "N")]
        lines: Option<u64>,
    },
    /// List runs and deployments, newest first
    #[command(after_help = EXIT_CODES)]
    History {
        /// How many of each at the most
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Read towpath.toml, and say what is detected, which steps would run and why; starts nothing
    #[command(after_help = EXIT_CODES)]
    Check {
        /// Read a Compose file instead, and write what it can become as towpath.toml; default: the project's own
        #[arg(long, value_name = "FILE", num_args = 0..=1)]
        compose: Option<Option<PathBuf>>,
    },
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
    /// Open a shell in what a failed step has kept: its directory, or a copy of its container
    #[command(after_help = EXIT_CODES)]
    Shell {
        /// The run
        run: RunId,
        /// The step
        step: String,
    },
    /// Write what is known of a step into one archive: log, specification, container, versions; no values of variables
    #[command(after_help = EXIT_CODES)]
    Bundle {
        /// The run
        run: RunId,
        /// The step
        step: String,
        /// Where to; nothing is overwritten [default: towpath-RUN-STEP-ATTEMPT.tar here]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
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
    /// Say what a promotion would do: commits, migrations, gates, steps; changes nothing
    #[command(after_help = EXIT_CODES)]
    Plan {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// Which release [default: the newest that may go there and is newer than what is live]
        #[arg(long, value_name = "N")]
        release: Option<ReleaseNumber>,
    },
    /// Make a release live in an environment, and watch until that has ended or is held
    #[command(after_help = EXIT_CODES)]
    Promote {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// Which release
        #[arg(long, value_name = "N")]
        release: ReleaseNumber,
        /// The plan that you looked at, as `towpath plan` names it: another one is refused
        #[arg(long, value_name = "DIGEST", value_parser = deployments::digest)]
        plan: Option<PlanDigest>,
        #[command(flatten)]
        word: Word,
        /// Don't watch
        #[arg(long)]
        detach: bool,
    },
    /// Make what was live before live again; while a deployment is under way, take that one back
    #[command(after_help = EXIT_CODES)]
    Rollback {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// The deployment (12) or the release (v3) to go back to [default: what was live before]
        #[arg(long, value_name = "N")]
        to: Option<deployments::Earlier>,
        #[command(flatten)]
        word: Word,
        /// Don't watch
        #[arg(long)]
        detach: bool,
    },
    /// Deploy the live release once more: after a change of its configuration or a secret
    #[command(after_help = EXIT_CODES)]
    Redeploy {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        #[command(flatten)]
        word: Word,
        /// Don't watch
        #[arg(long)]
        detach: bool,
    },
    /// Hold the deployment that is under way before its next step
    #[command(after_help = EXIT_CODES)]
    Hold {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
    },
    /// Go on with a held deployment: what failed is tried again, what could not be checked is accepted
    #[command(after_help = EXIT_CODES)]
    Go {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// Why it may go on; kept in the journal
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Don't watch
        #[arg(long)]
        detach: bool,
    },
    /// Take the deployment that is under way back
    #[command(after_help = EXIT_CODES)]
    Back {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// The environment's name, unless going back is SAFE
        #[arg(long, value_name = "ENV")]
        confirm: Option<String>,
        /// Why; kept in the journal
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Don't watch
        #[arg(long)]
        detach: bool,
    },
    /// End a held deployment as it is: nothing more is done, and its environment is free for another
    #[command(after_help = EXIT_CODES)]
    Leave {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// The environment's name
        #[arg(long, value_name = "ENV")]
        confirm: String,
        /// Why; kept in the journal
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Say who may change an environment now, or take that from them
    #[command(after_help = EXIT_CODES)]
    Lease {
        /// Where
        #[arg(value_name = "ENV")]
        environment: String,
        /// Take the lease from whoever holds it: they cannot change anything more
        #[arg(long = "break", requires = "confirm", requires = "reason")]
        breaks: bool,
        /// The environment's name
        #[arg(long, value_name = "ENV", requires = "breaks")]
        confirm: Option<String>,
        /// Why; kept in the journal
        #[arg(long, value_name = "TEXT", requires = "breaks")]
        reason: Option<String>,
    },
    /// Say what is live where, what is under way there, and how its replicas are
    #[command(visible_alias = "envs", after_help = EXIT_CODES)]
    Environments,
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
        /// What releases run on [default: process, or what the demo that is there runs on]
        #[arg(long, value_name = "RUNTIME")]
        runtime: Option<Runtime>,
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

/// What releases of the demo run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Runtime {
    /// Processes of this machine
    Process,
    /// Containers of a Docker engine on this machine
    Docker,
}

impl From<Runtime> for RuntimeKind {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Process => Self::Process,
            Runtime::Docker => Self::Docker,
        }
    }
}

/// What is said to something that matters.
#[derive(Debug, Args)]
pub(super) struct Word {
    /// The environment's name, where it has to be typed: a protected environment, a rollback that is not SAFE
    #[arg(long, value_name = "ENV")]
    pub(super) confirm: Option<String>,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LogsOf {
    /// A run's.
    Run(RunId),
    /// An environment's.
    Environment(EnvironmentName),
}

impl std::str::FromStr for LogsOf {
    type Err = std::convert::Infallible;

    /// A number is a run: no environment's name begins with a digit.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Environment(text.into()), Self::Run))
    }
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum EngineVerb {
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
