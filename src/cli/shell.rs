//! `towpath shell`: inside of what a failed step has kept, its directory or its container.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::failure::{Failure, Sort};
use super::output::note;
use super::{Invocation, session};
use crate::docker::Engine;
use crate::docker::terminal::{self, Inside};
use crate::domain::ids::{RunId, StepId};
use crate::domain::plan::{Cause, Kept, KeptContainer};
use crate::domain::query::{Answer, Query};

/// The size of a terminal that does not say its own.
const SIZE: (u16, u16) = (80, 24);

pub(super) async fn shell(invocation: &mut Invocation, run: RunId, step: StepId) -> Result<u8, Failure> {
    let client = session::connect(&invocation.layout()?, "shell").await?;
    let answer = session::ask(&client, Query::Kept { run, step: step.clone() }).await?;
    let Answer::Kept { kept } = answer else { return Err(Failure::unexpected("a question")) };
    drop(client);
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "A shell needs a terminal, and here is none.",
            format!("`towpath bundle {run} {step}` writes down what is known of the step."),
        ));
    }
    match &kept.container {
        Some(container) => in_container(&kept, container).await,
        None => in_directory(&kept, &format!("run {run} {step}")).await,
    }
}

/// The person's own shell in a directory of this machine.
async fn in_directory(kept: &Kept, title: &str) -> Result<u8, Failure> {
    let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
    // A Ctrl-C is meant for what runs in the shell.
    let _interrupts = listen(SignalKind::interrupt())?;
    let status = crate::tui::shell::command(&shell, kept, title).status().await.map_err(|error| {
        let text = format!("{} does not start: {error}.", shell.to_string_lossy());
        Failure::new(Sort::Unclear, text, "Set SHELL to a shell that is there.")
    })?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// The terminal as it was, whatever happens.
struct Raw;

impl Raw {
    fn take() -> Result<Self, Failure> {
        enable_raw_mode().map_err(|error| {
            Failure::new(Sort::Unclear, format!("The terminal cannot be used: {error}."), "")
        })?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = disable_raw_mode();
    }
}

async fn in_container(kept: &Kept, container: &KeptContainer) -> Result<u8, Failure> {
    let engine = Engine::connect(&container.host, Path::new("/")).await.map_err(|cause| failed(&cause))?;
    // Before anything is made: who is told to end meanwhile still removes it.
    let mut ends = Ends::listen()?;
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    let env = BTreeMap::from([("TERM".to_owned(), terminal)]);
    let opened = terminal::open(&engine, kept, container, &env, size().unwrap_or(SIZE)).await;
    let mut inside = opened.map_err(|cause| failed(&cause))?;
    let left = container.until.since(session::now()).in_minutes();
    note(&format!("a copy of the step's container, for {left} at the most; `exit` ends it."));
    let passed = {
        let _raw = Raw::take();
        match &_raw {
            Ok(_) => pass(&engine, &mut inside, &mut ends).await,
            Err(_) => Err(()),
        }
    };
    if passed.is_ok() {
        // A removal ends it too; then there is nothing to wait for.
        let _ = inside.ended(&engine).await;
    }
    match inside.close(&engine).await.map_err(|cause| failed(&cause))? {
        Some(code) if passed.is_ok() => Ok(u8::try_from(code & 0xff).unwrap_or(1)),
        None if passed.is_ok() => {
            note("the container was removed: its time was up, or the step was tried again.");
            Ok(Sort::Unclear.code())
        }
        _ => Ok(Sort::Left.code()),
    }
}

/// Passes bytes on both ways until the shell ends; an error when the terminal, or the wish, ended before it.
async fn pass(engine: &Engine, inside: &mut Inside, ends: &mut Ends) -> Result<(), ()> {
    let mut typed = typed();
    let mut typing = true;
    let Ends { told, resized } = ends;
    loop {
        tokio::select! {
            piece = inside.output.next() => {
                let Some(Ok(piece)) = piece else { return Ok(()) };
                let mut out = std::io::stdout().lock();
                out.write_all(piece.as_ref()).and_then(|()| out.flush()).map_err(|_| ())?;
            }
            bytes = typed.recv(), if typing => match bytes {
                Some(bytes) => {
                    let written = inside.input.write_all(&bytes).await;
                    typing = written.is_ok() && inside.input.flush().await.is_ok();
                }
                None => return Err(()),
            },
            Some(()) = resized.recv() => inside.resize(engine, size().unwrap_or(SIZE)).await,
            () = told.recv() => return Err(()),
        }
    }
}

/// What is typed, read by a thread of its own: it ends with the process, in the middle of its waiting.
fn typed() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut input = std::io::stdin().lock();
        loop {
            match input.read(&mut buffer) {
                Ok(count @ 1..) => {
                    let bytes = buffer.get(..count).unwrap_or_default().to_vec();
                    if sender.blocking_send(bytes).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return,
            }
        }
    });
    receiver
}

/// What ends a shell from outside, and what changes its size.
struct Ends {
    told: Told,
    resized: Signal,
}

/// A Ctrl-C is typed, and goes inside; a signal is somebody else's.
struct Told {
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
}

impl Ends {
    fn listen() -> Result<Self, Failure> {
        let told = Told {
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
        };
        Ok(Self { told, resized: listen(SignalKind::window_change())? })
    }
}

impl Told {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind)
        .map_err(|error| Failure::new(Sort::Unclear, format!("Signals cannot be listened for: {error}."), ""))
}

fn failed(cause: &Cause) -> Failure {
    Failure::new(Sort::Refused, format!("There is no shell: {}.", cause.summary), cause.cure.clone())
}
