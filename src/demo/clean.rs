//! Everything that the demo started is stopped, and everything that it wrote is removed. Nothing else is touched.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::services::{self, Kind};
use super::{ENVIRONMENTS, Place, Teller, on_docker};
use crate::cli::failure::{Failure, Sort};
use crate::cli::session;
use crate::docker::found;
use crate::runtime::{attempt, replica};
use crate::wire::protocol::Reply;

/// Stops the shop's engine, its steps, its replicas and the demo's services; then removes the shop's state, what the
/// project has on a Docker engine, and the demo's directory. Base images stay.
///
/// # Errors
/// What could not be stopped or removed. What is still there is found by the next try.
pub async fn clean(place: &Place, teller: &mut Teller<'_>) -> Result<(), Failure> {
    let layout = place.layout()?;
    if let Some(client) = session::connect_running(&layout, "demo").await? {
        let pid = client.welcome().pid;
        if let Ok(Reply::Failed { message }) = client.shutdown(true).await {
            return Err(Failure::new(Sort::Unclear, message, ""));
        }
        drop(client);
        if !session::wait_until_gone(&layout).await {
            return Err(Failure::new(
                Sort::Unclear,
                format!("Engine {pid} was asked to end, and still listens."),
                session::log_tail(&layout),
            ));
        }
        teller.say(&format!("engine {pid} has ended"))?;
    }
    let began = Instant::now();
    let mut steps = 0;
    for owner in ["runs", "deployments"] {
        for attempt in below(&layout.state.join(owner), 3) {
            if attempt.join("spec.json").exists() && !attempt.join("result.json").exists() {
                attempt::stop(&attempt).await.map_err(|error| cannot_stop(&attempt, &error))?;
                steps += 1;
            }
        }
    }
    let replicas: Vec<PathBuf> = below(&layout.state.join("environments"), 1)
        .iter()
        .flat_map(|environment| below(&environment.join("replicas"), 1))
        .filter(|dir| dir.join("spec.json").exists())
        .collect();
    let stopped = stop_all(&replicas).await?;
    teller.took(&format!("{stopped} replicas and {steps} open steps stopped"), began)?;
    if let Some(on) = place.docker() {
        let began = Instant::now();
        let engine = on_docker::engine().await?;
        let found = found::of_project(&engine, &on.project).await;
        let found = found.map_err(|cause| on_docker::failure(&cause))?;
        found::remove(&engine, &found).await.map_err(|cause| on_docker::failure(&cause))?;
        // Who was beside may have made something meanwhile: said, and found by the next try.
        let left =
            found::of_project(&engine, &on.project).await.map_err(|cause| on_docker::failure(&cause))?;
        if !left.is_empty() {
            return Err(Failure::new(
                Sort::Unclear,
                format!("{left} of {} are still on {}.", on.project, engine.name()),
                "Run the same command again.",
            ));
        }
        teller.took(&format!("{found} of {} removed from {}", on.project, engine.name()), began)?;
    }
    let began = Instant::now();
    // nginx first: nobody asks what goes.
    for kind in [Kind::Nginx, Kind::Valkey, Kind::Postgres] {
        let keepers: Vec<PathBuf> = ENVIRONMENTS
            .iter()
            .map(|environment| services::keeper(place, environment, kind))
            .filter(|dir| dir.join("spec.json").exists())
            .collect();
        stop_all(&keepers).await?;
    }
    teller.took("services stopped", began)?;
    for directory in [&layout.state, place.root()] {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::new(
                    Sort::Unclear,
                    format!("{} could not be removed: {error}.", directory.display()),
                    "Nothing of it runs any more; remove it by hand.",
                ));
            }
            Err(_) => {}
            Ok(()) => teller.say(&format!("{} removed", directory.display()))?,
        }
    }
    Ok(())
}

/// Stops them, side by side; how many lived.
async fn stop_all(directories: &[PathBuf]) -> Result<usize, Failure> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut lived = 0;
    for dir in directories {
        if replica::status(dir).pid.is_some() {
            lived += 1;
        }
        let dir = dir.clone();
        tasks.spawn(async move { replica::stop(&dir).await.map_err(|error| cannot_stop(&dir, &error)) });
    }
    while let Some(stopped) = tasks.join_next().await {
        match stopped {
            Ok(stopped) => drop(stopped?),
            Err(error) => return Err(Failure::new(Sort::Unclear, format!("A stop was lost: {error}."), "")),
        }
    }
    Ok(lived)
}

fn cannot_stop(dir: &Path, error: &anyhow::Error) -> Failure {
    Failure::new(
        Sort::Unclear,
        format!("What belongs to {} could not be stopped: {error:#}.", dir.display()),
        "Run the same command again.",
    )
}

/// The directories so many levels below one, links not followed.
fn below(directory: &Path, levels: u32) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    for _ in 0..levels {
        let next = found
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flat_map(Iterator::flatten);
        let next =
            next.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path());
        found = next.collect();
    }
    found
}
