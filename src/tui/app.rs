//! The only place of this room with IO: the terminal, the engine's socket, logs, signals, the shell.
//!
//! One loop waits for whatever comes first, takes everything in that has come, and draws one frame if anything
//! changed. Nothing is polled but an open log that is looked at.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::Event;
use jiff::tz::TimeZone;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getppid, getsid};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::connection::{self, Engine};
use super::follow::Following;
use super::input::{Input, Reading};
use super::merging::Merging;
use super::model::{Asked, Model, Msg, Request};
use super::program;
use super::shell;
use super::terminal::{Bell, Screen};
use super::theme::Theme;
use super::update;
use crate::domain::ids::{RunId, StepId};
use crate::domain::plan::Kept;
use crate::domain::state::RunPhase;
use crate::domain::time::Timestamp;
use crate::wire::client::Client;
use crate::wire::protocol::Reply;

/// How the console is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Draw with ASCII alone.
    pub ascii: bool,
    /// Draw without colour. (`NO_COLOR` asks for it too.)
    pub no_color: bool,
    /// What to call the project until the engine says its name.
    pub name: String,
    /// The project's directory: for what this program is asked for beside the console.
    pub project: PathBuf,
}

/// Why the console was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// A person quit.
    Quit,
    /// A signal came: its number.
    Signal(i32),
    /// The terminal is gone.
    TerminalGone,
}

/// How the console ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Why.
    pub left: Left,
    /// The run that goes on without a viewer, if one does.
    pub open_run: Option<RunId>,
}

/// Runs the console until it is left. `connect` gives a connection to an engine, launching one if need be; it is
/// called again whenever the connection is lost. Whoever calls this ends the process soon after.
///
/// # Errors
/// When there is no terminal to draw on, or a part of the console failed.
pub async fn run<C, F>(options: Options, connect: C) -> anyhow::Result<Exit>
where
    C: Fn() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<Client>> + Send + 'static,
{
    let theme = Theme::detect(options.ascii, options.no_color, |name| std::env::var(name).ok());
    let mut signals = Signals::new().context("The console cannot listen for signals.")?;
    let screen = Screen::take().context("The console needs a terminal to draw on.")?;
    let size = screen.size().context("The terminal does not say how large it is.")?;
    let model = Model::new(&options.name, theme, size, now(), TimeZone::system());
    let (messages, mut incoming) = mpsc::channel(1024);
    let (keys, mut typed) = mpsc::channel(1024);
    let engine = connection::keep(connect, messages.clone());
    let reading = Reading::start(keys.clone()).context("The console cannot read the terminal.")?;
    let mut app = App {
        model,
        screen,
        reading: Some(reading),
        keys,
        engine,
        messages,
        following: None,
        merging: None,
        shell: None,
        project: options.project,
        dirty: true,
        redraw: false,
        left: None,
    };
    loop {
        if app.dirty && app.shell.is_none() && app.draw().is_err() {
            app.left = Some(Left::TerminalGone);
        }
        if let Some(left) = app.left {
            let open_run =
                app.model.run().filter(|(_, run)| !matches!(run.phase, RunPhase::Ended(_))).map(|(id, _)| id);
            return Ok(Exit { left, open_run });
        }
        if app.shell.is_none() && !app.screen.is_ours() {
            anyhow::bail!("A part of the console failed; its message is above.");
        }
        tokio::select! {
            Some(input) = typed.recv() => app.input(input).await,
            Some(msg) = incoming.recv() => app.take(msg).await,
            () = tick(&app.model, app.shell.is_some()) => app.dirty = true,
            ended = finished(&mut app.shell) => app.shell_ended(ended).await,
            number = signals.next() => app.signal(number).await,
        }
        // Whatever else has come: one frame shows it all.
        for _ in 0..4096 {
            if let Ok(input) = typed.try_recv() {
                app.input(input).await;
            } else if let Ok(msg) = incoming.try_recv() {
                app.take(msg).await;
            } else {
                break;
            }
        }
    }
}

/// The next moment at which what is drawn is no longer true: a second while something moves, else a minute.
async fn tick(model: &Model, aside: bool) {
    if aside {
        return std::future::pending().await;
    }
    let unit = if model.moves() { 1_000 } else { 60_000 };
    let into = now().0.rem_euclid(unit);
    // What was measured may become too old meanwhile; then it must not look well any longer.
    let stale = model.samples.next_stale(now(), |name| model.interval(name));
    let stale = stale.and_then(|at| u64::try_from(at.0 - now().0).ok()).unwrap_or(u64::MAX);
    let left = u64::try_from(unit - into).unwrap_or(1_000).min(stale.max(1));
    tokio::time::sleep(Duration::from_millis(left)).await;
}

async fn finished(shell: &mut Option<Child>) -> io::Result<std::process::ExitStatus> {
    match shell {
        Some(child) => child.wait().await,
        None => std::future::pending().await,
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(0))
}

struct App {
    model: Model,
    screen: Screen,
    reading: Option<Reading>,
    keys: mpsc::Sender<Input>,
    engine: Engine,
    messages: mpsc::Sender<Msg>,
    following: Option<Following>,
    merging: Option<Merging>,
    shell: Option<Child>,
    project: PathBuf,
    dirty: bool,
    redraw: bool,
    left: Option<Left>,
}

impl App {
    fn draw(&mut self) -> io::Result<()> {
        self.dirty = false;
        let size = self.screen.size()?;
        self.model.now = now();
        if size != self.model.size {
            self.model.size = size;
        }
        if std::mem::take(&mut self.redraw) {
            self.screen.clear()?;
        }
        self.screen.draw(&self.model)
    }

    async fn input(&mut self, input: Input) {
        let msg = match input {
            Input::Gone => {
                self.left = Some(Left::TerminalGone);
                return;
            }
            Input::Event(Event::Key(key)) => Msg::Key(key),
            Input::Event(Event::Mouse(mouse)) => Msg::Mouse(mouse),
            Input::Event(Event::Paste(text)) => Msg::Paste(text),
            Input::Event(Event::FocusGained) => Msg::Focus(true),
            Input::Event(Event::FocusLost) => Msg::Focus(false),
            Input::Event(Event::Resize(columns, rows)) => Msg::Resize(columns, rows),
        };
        self.take(msg).await;
    }

    async fn take(&mut self, msg: Msg) {
        self.model.now = now();
        self.dirty = true;
        for request in update(&mut self.model, msg) {
            if let Err(error) = self.carry_out(request).await {
                tell(&mut self.model, error);
            }
        }
    }

    async fn carry_out(&mut self, request: Request) -> anyhow::Result<()> {
        match request {
            Request::Send(command) => self.ask(Asked::Command(command)),
            Request::Ask(query) => self.ask(Asked::Query(query)),
            Request::FollowLog { key: None, .. } => self.following = None,
            Request::FollowLog { key: Some(key), open } => match &self.following {
                Some(following) if following.key() == &key && !open => following.closed(),
                _ => {
                    let client = self.engine.client.clone();
                    self.following = Some(Following::start(key, open, client, self.messages.clone()));
                }
            },
            Request::ReadLog { from, count } => {
                if let Some(following) = &self.following {
                    following.read(from, count);
                }
            }
            Request::SearchLog { query } => {
                if let Some(following) = &mut self.following {
                    following.search(query);
                }
            }
            Request::Merge { environment, directories } => {
                self.merging = environment
                    .map(|environment| Merging::start(environment, directories, self.messages.clone()));
            }
            Request::ReadStream { way, from } => {
                if let Some(merging) = &self.merging {
                    merging.read(way, from);
                }
            }
            Request::OpenShell { kept, of, title, hint } => {
                if let Err(error) = self.open_shell(&kept, &of, &title, &hint) {
                    let trouble = Some(format!("There is no shell: {error:#}."));
                    Box::pin(self.take(Msg::ShellEnded { trouble })).await;
                }
            }
            Request::Bundle { of } => {
                let (project, messages) = (self.project.clone(), self.messages.clone());
                tokio::spawn(async move {
                    let done = program::bundle(&project, &of).await;
                    let _ = messages.send(Msg::Bundled(done)).await;
                });
            }
            Request::Copy(text) => self.screen.say(CopyToClipboard::to_clipboard_from(text))?,
            Request::Bell => self.screen.say(Bell)?,
            Request::Suspend => self.suspend()?,
            Request::Redraw => self.redraw = true,
            Request::Reconnect => self.engine.hurry.notify_one(),
            Request::Quit => self.left = Some(Left::Quit),
        }
        Ok(())
    }

    fn ask(&self, asked: Asked) {
        let (client, messages) = (self.engine.client.borrow().clone(), self.messages.clone());
        tokio::spawn(async move {
            let reply = match (&asked, client) {
                (_, None) => Err("There is no engine.".to_owned()),
                (Asked::Command(command), Some(client)) => {
                    client.request(command.clone()).await.map_err(|gone| gone.to_string())
                }
                (Asked::Query(query), Some(client)) => {
                    client.ask(query.clone()).await.map_err(|gone| gone.to_string())
                }
            };
            let reply = reply.unwrap_or_else(|message| Reply::Failed { message });
            let _ = messages.send(Msg::Answered { request: Box::new(asked), reply }).await;
        });
    }

    /// Hands the terminal over. The console takes messages in meanwhile, and draws nothing.
    fn open_shell(
        &mut self,
        kept: &Kept,
        of: &(RunId, StepId),
        title: &str,
        hint: &str,
    ) -> anyhow::Result<()> {
        use std::io::Write as _;
        let directory = std::path::Path::new(&kept.directory);
        let inside = kept.container.is_some();
        anyhow::ensure!(inside || directory.is_dir(), "{} is not there any more", kept.directory);
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        self.reading = None;
        self.screen.step_aside();
        let mut out = io::stdout();
        let of_what = if inside { " of a copy of its container" } else { "" };
        let _ = writeln!(
            out,
            "towpath: {title}, in {}{of_what}; `exit` brings the console back.",
            kept.directory
        );
        if !hint.is_empty() {
            let _ = writeln!(out, "{hint}");
        }
        let mut command = match inside {
            true => program::shell(&self.project, of),
            false => shell::command(&shell, kept, title),
        };
        match command.spawn() {
            Ok(child) => {
                self.shell = Some(child);
                Ok(())
            }
            Err(error) => {
                self.come_back()?;
                Err(error).with_context(|| format!("{} does not start", shell.to_string_lossy()))
            }
        }
    }

    async fn shell_ended(&mut self, ended: io::Result<std::process::ExitStatus>) {
        let shell = self.shell.take();
        if self.come_back().is_err() {
            self.left = Some(Left::TerminalGone);
            return;
        }
        let trouble = match (ended, shell) {
            (Err(error), _) => Some(format!("The shell was lost: {error}.")),
            (Ok(_), Some(shell)) => program::no_shell(shell).await,
            (Ok(_), None) => None,
        };
        self.take(Msg::ShellEnded { trouble }).await;
    }

    fn come_back(&mut self) -> io::Result<()> {
        self.screen.come_back()?;
        self.reading = Some(Reading::start(self.keys.clone())?);
        self.dirty = true;
        Ok(())
    }

    /// Stops, as the shell's job control wants it, and comes back with `fg`.
    fn suspend(&mut self) -> anyhow::Result<()> {
        let parent = getppid();
        let controlled = getsid(Some(parent)).ok() == getsid(None).ok()
            && getpgid(Some(parent)).ok() != getpgid(None).ok();
        // A stop that nobody can undo would be the end of the console.
        anyhow::ensure!(
            controlled,
            "No shell with job control started this console, so it cannot step aside."
        );
        self.reading = None;
        self.screen.step_aside();
        kill(Pid::from_raw(0), Signal::SIGSTOP).context("The console could not be stopped.")?;
        self.come_back()?;
        Ok(())
    }

    async fn signal(&mut self, number: i32) {
        let aside = self.shell.is_some();
        match Signal::try_from(number) {
            Ok(Signal::SIGWINCH) => {
                if let Some(reading) = &self.reading {
                    reading.resized();
                }
                match self.screen.size() {
                    Ok((columns, rows)) => self.take(Msg::Resize(columns, rows)).await,
                    Err(_) => self.left = Some(Left::TerminalGone),
                }
            }
            // They are meant for the shell that has the terminal.
            Ok(Signal::SIGINT | Signal::SIGTSTP) if aside => {}
            Ok(Signal::SIGTSTP) => {
                if let Err(error) = self.suspend() {
                    tell(&mut self.model, error);
                    self.dirty = true;
                }
            }
            Ok(Signal::SIGHUP) => self.left = Some(Left::TerminalGone),
            _ => self.left = Some(Left::Signal(number)),
        }
    }
}

fn tell(model: &mut Model, error: anyhow::Error) {
    let text = format!("{error:#}");
    drop(error);
    model.news = Some(super::model::News { tone: super::model::Tone::Trouble, text });
}

/// The signals that end the console, stop it, or tell of another size.
struct Signals {
    listeners: Vec<(i32, tokio::signal::unix::Signal)>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let wanted = [
            Signal::SIGTERM,
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTSTP,
            Signal::SIGWINCH,
        ];
        let listen = |wanted: Signal| Ok((wanted as i32, signal(SignalKind::from_raw(wanted as i32))?));
        Ok(Self { listeners: wanted.into_iter().map(listen).collect::<io::Result<_>>()? })
    }

    async fn next(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, listener) in &mut self.listeners {
                if listener.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
