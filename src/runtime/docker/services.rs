//! Containers beside a step: on a network of the step's own, ready before the step's command starts, gone afterwards.
//! What they are is written down before they exist (see [`Ground`]), so they go after a crash too.

use std::time::{Duration, Instant};

use crate::docker::labels::Kind;
use crate::docker::service::{self, Answer, Started};
use crate::docker::{exec, mark};
use crate::domain::plan::Cause;
use crate::domain::project::{ContainerService, Ready, Service};
use crate::runtime::python::halt::Halt;
use crate::runtime::workbench::{Stopped, Workbench};
use crate::store::segment::Source;
use crate::text::sanitise::Sanitiser;

use super::ground::Ground;

/// How long a service may take to be ready: as long as a database's first start on a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);
/// Another patience, in seconds; for tests.
pub const PATIENCE_VARIABLE: &str = "TOWPATH_SERVICE_SECONDS";
/// How often it is asked.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How many of its last lines a cause shows.
const LAST_LINES: u32 = 15;

/// The services of a step that is carried out in containers.
#[derive(Debug, Default)]
pub struct Beside {
    /// Their network; `None` where there are none.
    pub network: Option<String>,
    /// What they are, for the step's row.
    pub facts: Vec<String>,
}

/// Starts the services of a step and waits until all of them are ready. `helper` is an image with `cat` that is on the
/// engine: the step's own.
///
/// # Errors
/// A cause when one of them cannot be had, ends, or is not ready in time; [`Stopped`] when the step is being stopped.
pub async fn start(
    bench: &mut Workbench,
    ground: &Ground,
    wanted: &[Service],
    helper: &str,
) -> Result<Beside, Halt> {
    let mut beside = Beside::default();
    if wanted.is_empty() {
        return Ok(beside);
    }
    let network = ground.name("net");
    mark::network(ground.engine(), &network, &ground.labels(Kind::Step)).await.map_err(Halt::Failed)?;
    let mut started = Vec::new();
    for service in wanted {
        let Service::Container(service) = service else { return Err(no_container().into()) };
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        bench.say(&format!("Starting the service {} from {}.", service.name, service.image));
        let (name, labels) = (ground.name(&service.name), ground.labels(Kind::Service));
        let mut told = |line: String| bench.say(&line);
        let one = service::start(ground.engine(), service, &name, &network, &labels, &mut told).await;
        started.push((service, one.map_err(Halt::Failed)?));
        beside.facts.push(format!("{} beside", service.image));
    }
    // Together: the slowest one counts, not the sum.
    for (service, one) in &started {
        wait(bench, ground, service, one, helper).await?;
    }
    beside.network = Some(network);
    Ok(beside)
}

fn patience(bench: &Workbench) -> Duration {
    let given = bench.spec().env.get(PATIENCE_VARIABLE).and_then(|text| text.parse().ok());
    given.map_or(PATIENCE, Duration::from_secs)
}

/// Asks one until it is ready.
async fn wait(
    bench: &mut Workbench,
    ground: &Ground,
    service: &ContainerService,
    started: &Started,
    helper: &str,
) -> Result<(), Halt> {
    let began = Instant::now();
    let patience = patience(bench);
    loop {
        if bench.cancelled() {
            return Err(Stopped.into());
        }
        let answer = service::ask(ground.engine(), started, &service.ready, helper).await;
        let said = match answer.map_err(Halt::Failed)? {
            Answer::Ready(note) => {
                let seconds = began.elapsed().as_secs_f32();
                bench.say(&format!("{} is ready after {seconds:.1}s.", service.name));
                if let Some(note) = note {
                    bench.say(&format!("{}: {note}.", service.name));
                }
                return Ok(());
            }
            Answer::NotYet(said) => said,
            Answer::Ended(code, out_of_memory) => {
                let memory = if out_of_memory { ", out of memory" } else { "" };
                let mut cause = unready(service, format!("it ended with exit code {code}{memory}"));
                cause.summary = format!("the service {} ended before it was ready", service.name);
                cause.last_lines = last_lines(bench, ground, started).await;
                return Err(cause.into());
            }
        };
        if began.elapsed() >= patience {
            let mut cause = unready(service, bench.clean(&said));
            cause.last_lines = last_lines(bench, ground, started).await;
            cause.summary =
                format!("the service {} was not ready within {}s", service.name, patience.as_secs());
            return Err(cause.into());
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn unready(service: &ContainerService, measured: String) -> Cause {
    let expected = match &service.ready {
        Ready::Image => "that its image's health check says healthy".to_owned(),
        Ready::Tcp(port) => format!("that it listens at port {port}"),
        Ready::Postgres(_) => "that PostgreSQL takes the user in".to_owned(),
        Ready::Command(line) => format!("that `{line}` ends with 0 inside of it"),
    };
    Cause {
        expected,
        measured,
        cure: format!(
            "Look at its last lines; correct image, env, command or ready of [service.{}] in towpath.toml.",
            service.name
        ),
        ..Cause::default()
    }
}

/// A service's last lines, into the log and for a cause.
async fn last_lines(bench: &mut Workbench, ground: &Ground, started: &Started) -> Vec<String> {
    let said = exec::last_words(ground.engine(), &started.id, LAST_LINES).await;
    let mut sanitiser = Sanitiser::new();
    let mut lines = sanitiser.push(&said);
    lines.extend(sanitiser.finish());
    let log = bench.log();
    let lines = lines.iter().map(|line| log.line(Source::Error, line)).collect();
    log.flush();
    lines
}

fn no_container() -> Cause {
    Cause {
        summary: "PostgreSQL beside a step in a container must be a container too".to_owned(),
        expected: "a service that the step can reach by its name".to_owned(),
        measured: "services = [\"postgres\"] without [service.postgres]: the throw-away server of this machine"
            .to_owned(),
        cure: "Add [service.postgres] with image = \"postgres:16\" to towpath.toml, and its address to the stage's env."
            .to_owned(),
        ..Cause::default()
    }
}
