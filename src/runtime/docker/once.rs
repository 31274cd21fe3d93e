//! One command in a container, its output in the step's log: what [`Workbench::run`] is for processes.

use std::time::Instant;

use crate::docker::labels::Kind;
use crate::docker::run::{self, OneOff, Over, Said};
use crate::domain::plan::Cause;
use crate::domain::time::Millis;
use crate::runtime::command::{self, CAPTURE_BYTES, Exit, Tail};
use crate::runtime::python::halt::Halt;
use crate::runtime::workbench::{Stopped, Workbench};
use crate::store::segment::Source;
use crate::text::sanitise::Sanitiser;

use super::ground::Ground;
use super::kept::Ended;

/// How a container of a step ended, and what it said.
#[derive(Debug, Clone)]
pub struct Carried {
    /// As a process's end is said.
    pub ended: command::Ended,
    /// What the engine says of it.
    pub over: Over,
}

impl Carried {
    /// The cause when the kernel killed a process of it for want of memory: no judge can see that in its words.
    #[must_use]
    pub fn out_of_memory(&self) -> Option<Cause> {
        (self.over.out_of_memory && !self.ended.success()).then(|| {
            let mut cause = self.ended.cause("the container ran out of memory and was killed");
            cause.expected = "a command that gets along with the memory there is".to_owned();
            cause.measured = format!("killed by the kernel (out of memory), {}", cause.measured);
            cause.cure =
                "Give the host more memory, or have the command use less (fewer test processes at once)."
                    .to_owned();
            cause
        })
    }
}

/// Runs a command in a container to its end; its output goes into the log, sanitised and redacted like that of any
/// command. Name and labels that are not said are the attempt's own. A stop of the step stops it.
///
/// # Errors
/// A cause when there is no such image or the container cannot be started, or it ran out of memory; [`Stopped`] when
/// the step is being stopped. A command that fails is no error: look at [`exit`](command::Ended::exit).
pub async fn once(bench: &mut Workbench, ground: &Ground, one: OneOff) -> Result<command::Ended, Halt> {
    let carried = carry(bench, ground, one, false).await?;
    match carried.out_of_memory() {
        Some(cause) => Err(cause.into()),
        None => Ok(carried.ended),
    }
}

/// The same with all that is known of its end; `capture` gives its standard output back as a whole.
///
/// # Errors
/// Like [`once`], but for memory; and when standard output to be given back grows past [`CAPTURE_BYTES`].
pub async fn carry(
    bench: &mut Workbench,
    ground: &Ground,
    mut one: OneOff,
    capture: bool,
) -> Result<Carried, Halt> {
    if bench.cancelled() {
        return Err(Stopped.into());
    }
    one.name.get_or_insert_with(|| ground.next_name());
    // Of a deployment nothing is kept: its commands have its secrets. (A run's go with the attempt's mark at its end.)
    let stays = !one.keep && bench.spec().deploy.is_none();
    if stays {
        one.keep = true;
        if let Some(before) = bench.take_ended() {
            let removed = run::remove(ground.engine(), &before.id).await;
            removed.map_err(Halt::Failed)?;
        }
    }
    for (name, value) in ground.labels(Kind::Step) {
        one.labels.entry(name).or_insert(value);
    }
    let mut stopping = bench.stopping();
    let stop = async move {
        // Whoever tells of a stop lives as long as the worker.
        if stopping.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let began = Instant::now();
    let log = bench.log();
    let mut tail = Tail::default();
    let (mut out, mut err) = (Sanitiser::new(), Sanitiser::new());
    let mut captured: Vec<u8> = Vec::new();
    let mut too_much = false;
    let over = run::run(ground.engine(), &one, stop, &mut |said| {
        let (source, lines) = match said {
            Said::Output(bytes) => {
                if capture && captured.len() + bytes.len() <= CAPTURE_BYTES {
                    captured.extend_from_slice(bytes);
                } else {
                    too_much = capture;
                }
                (Source::Output, out.push(bytes))
            }
            Said::Error(bytes) => (Source::Error, err.push(bytes)),
            Said::Note(text) => {
                let mut own = Sanitiser::new();
                let mut lines = own.push(text.as_bytes());
                lines.extend(own.finish());
                (Source::Towpath, lines)
            }
        };
        for line in lines {
            let written = log.line(source, &line);
            if source != Source::Towpath {
                tail.push(written);
            }
        }
        log.flush();
    })
    .await;
    for (source, rest) in [(Source::Output, out.finish()), (Source::Error, err.finish())] {
        if let Some(line) = rest {
            tail.push(log.line(source, &line));
        }
    }
    log.flush();
    if let Ok(over) = &over
        && stays
    {
        bench.ended_in(Ended {
            host: ground.engine().host().clone(),
            id: over.container.clone(),
            workdir: one.workdir.unwrap_or_else(|| "/".to_owned()),
            env: one.env,
            network: one.network.map(|joins| joins.network),
        });
    }
    if bench.cancelled() {
        return Err(Stopped.into());
    }
    let over = over.map_err(Halt::Failed)?;
    if too_much {
        return Err(anyhow::anyhow!(
            "a container wrote more than {} MiB to standard output, which is to be read as a whole",
            CAPTURE_BYTES >> 20
        )
        .into());
    }
    let took = Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX));
    let exit = Exit { code: i32::try_from(over.code).ok(), signal: None };
    let stdout = capture.then(|| String::from_utf8_lossy(&captured).into_owned());
    Ok(Carried { ended: command::Ended { exit, took, tail: tail.into_lines(), stdout }, over })
}
