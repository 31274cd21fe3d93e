//! `towpath logs ENV`: what the replicas of an environment and its newest deployments' steps say, merged by time.

use std::path::Path;

use super::failure::{Failure, Sort};
use super::logs::{POLL, print, unreadable};
use super::output::Output;
use super::{Invocation, session};
use crate::domain::event::Event;
use crate::domain::ids::EnvironmentName;
use crate::domain::query::{Answer, LogSource, Query};
use crate::store::segment::{Line, Reader};
use crate::text::width::{pad, width};
use crate::wire::client::Client;
use crate::wire::protocol::FromEngine;

/// How many lines are printed where nobody says how many.
const LINES: u64 = 200;

/// Which log.
pub(super) struct Wanted {
    pub(super) environment: EnvironmentName,
    pub(super) role: Option<String>,
    pub(super) follow: bool,
    pub(super) lines: Option<u64>,
}

pub(super) async fn logs(invocation: &mut Invocation, wanted: Wanted) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "logs").await?;
    // Attached before the sources are asked for: one that comes in between is not missed.
    let (state, mut stream) = session::attach(&client).await?;
    let Wanted { environment, role, follow, lines } = wanted;
    if !state.deployments.values().any(|one| one.environment == environment) {
        state.environment(&environment)?;
    }
    let mut merged = Merged { role, logs: Vec::new() };
    let known = sources(&client, &environment).await?;
    merged.take(&known)?;
    if merged.logs.is_empty() && !follow {
        return Err(merged.nothing(&environment, &known));
    }
    merged.print_last(&mut invocation.output, lines.unwrap_or(LINES))?;
    if !follow {
        return Ok(0);
    }
    loop {
        let mut is_new = false;
        tokio::select! {
            push = stream.recv() => match push {
                Some(FromEngine::Happened { envelope }) => {
                    is_new = matches!(
                        envelope.event,
                        Event::DeploymentCreated { .. } | Event::StepStarted { .. }
                    );
                }
                Some(_) => {}
                None => {
                    let message = client.ended().unwrap_or_else(|| "this viewer fell behind.".to_owned());
                    return Err(Failure::new(
                        Sort::Unreachable,
                        format!("The log cannot be followed on: {message}"),
                        "Ask again; the replicas are not touched by this.",
                    ));
                }
            },
            () = tokio::time::sleep(POLL) => {}
        }
        if is_new {
            merged.take(&sources(&client, &environment).await?)?;
        }
        merged.print_new(&mut invocation.output)?;
    }
}

async fn sources(client: &Client, environment: &EnvironmentName) -> Result<Vec<LogSource>, Failure> {
    match session::ask(client, Query::Sources { environment: environment.clone() }).await? {
        Answer::Sources { sources } => Ok(sources),
        _ => Err(Failure::unexpected("where logs are")),
    }
}

/// One log of many.
struct Log {
    label: String,
    directory: String,
    reader: Reader,
}

/// Logs that are read as one.
struct Merged {
    /// Only replicas of this role.
    role: Option<String>,
    logs: Vec<Log>,
}

impl Merged {
    /// Takes in what is not known yet.
    fn take(&mut self, sources: &[LogSource]) -> Result<(), Failure> {
        for source in sources {
            let role = source.replica.as_ref().map(|replica| &replica.role);
            let is_wanted = self.role.is_none() || self.role.as_ref() == role;
            if !is_wanted || self.logs.iter().any(|log| log.directory == source.directory) {
                continue;
            }
            let reader = Reader::open(Path::new(&source.directory)).map_err(|error| unreadable(&error))?;
            self.logs.push(Log { label: source.label.clone(), directory: source.directory.clone(), reader });
        }
        Ok(())
    }

    fn print_last(&mut self, output: &mut Output, count: u64) -> Result<(), Failure> {
        let mut all = self.read(|reader| reader.tail(count))?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.print(output, &all.split_off(all.len().saturating_sub(count)))
    }

    fn print_new(&mut self, output: &mut Output) -> Result<(), Failure> {
        loop {
            let lines = self.read(Reader::poll)?;
            if lines.is_empty() {
                return Ok(());
            }
            self.print(output, &lines)?;
        }
    }

    /// Reads something of each log; the lines by time, each with the place of its log. Lines of one log keep their
    /// order.
    fn read(
        &mut self,
        mut of: impl FnMut(&mut Reader) -> Result<Vec<Line>, crate::store::StoreError>,
    ) -> Result<Vec<(usize, Line)>, Failure> {
        let mut all = Vec::new();
        for (place, log) in self.logs.iter_mut().enumerate() {
            let lines = of(&mut log.reader).map_err(|error| unreadable(&error))?;
            all.extend(lines.into_iter().map(|line| (place, line)));
        }
        all.sort_by_key(|(_, line)| line.at);
        Ok(all)
    }

    fn print(&self, output: &mut Output, lines: &[(usize, Line)]) -> Result<(), Failure> {
        let widest = self.logs.iter().map(|log| width(&log.label)).max().unwrap_or(0);
        lines.iter().try_for_each(|(place, line)| {
            let label = self.logs.get(*place).map_or("", |log| log.label.as_str());
            print(output, line, Some(&pad(label, widest)))
        })
    }

    /// Why there is nothing to read.
    fn nothing(&self, environment: &EnvironmentName, known: &[LogSource]) -> Failure {
        let mut roles: Vec<&str> =
            known.iter().filter_map(|source| Some(source.replica.as_ref()?.role.as_str())).collect();
        roles.sort_unstable();
        roles.dedup();
        match &self.role {
            Some(role) if !known.is_empty() => {
                let there = if roles.is_empty() { "none".to_owned() } else { roles.join(", ") };
                Failure::usage(
                    format!("No replica of role \"{role}\" has a log on {environment}."),
                    format!("Roles with one: {there}."),
                )
            }
            _ => Failure::usage(
                format!("Nothing was deployed to {environment} yet."),
                format!("`towpath plan {environment}` says what could be."),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{DeploymentId, ReplicaKey};

    fn source(directory: &Path, role: &str, lines: &[(i64, &str)]) -> LogSource {
        let directory = directory.join(role);
        std::fs::create_dir_all(&directory).unwrap();
        let text: String = lines.iter().map(|(at, text)| format!("{at} o {text}\n")).collect();
        std::fs::write(directory.join("000000.log"), text).unwrap();
        let key = ReplicaKey {
            environment: "staging".into(),
            deployment: DeploymentId(1),
            role: role.to_owned(),
            index: 1,
        };
        LogSource {
            label: format!("{role}-1 #1"),
            deployment: DeploymentId(1),
            replica: Some(key),
            directory: directory.to_string_lossy().into_owned(),
        }
    }

    #[test]
    fn many_logs_are_read_as_one_by_time() {
        let place = tempfile::tempdir().unwrap();
        let web = source(place.path(), "web", &[(10, "a"), (30, "c"), (30, "d")]);
        let worker = source(place.path(), "worker", &[(20, "b"), (40, "e")]);
        let texts = |lines: Vec<(usize, Line)>| -> Vec<String> {
            lines.into_iter().map(|(_, line)| line.text).collect()
        };
        let mut all = Merged { role: None, logs: Vec::new() };
        all.take(&[web.clone(), worker.clone()]).unwrap();
        all.take(&[web.clone(), worker.clone()]).unwrap();
        assert_eq!(all.logs.len(), 2, "what is known is not taken twice");
        assert_eq!(texts(all.read(|reader| reader.tail(2)).unwrap()), ["b", "c", "d", "e"]);
        assert_eq!(texts(all.read(Reader::poll).unwrap()), Vec::<String>::new());

        let mut one = Merged { role: Some("worker".to_owned()), logs: Vec::new() };
        one.take(&[web.clone(), worker]).unwrap();
        assert_eq!(texts(one.read(Reader::poll).unwrap()), ["b", "e"]);

        let mut none = Merged { role: Some("beat".to_owned()), logs: Vec::new() };
        none.take(std::slice::from_ref(&web)).unwrap();
        let Failure::Said { hint, .. } = none.nothing(&"staging".into(), &[web]) else { panic!() };
        assert_eq!(hint, "Roles with one: web.");
    }
}
