//! Keys and mouse. A thread waits in `poll(2)` for the terminal and for the word to stop.
//!
//! crossterm's own `EventStream` is not used: when the terminal goes away its reader spins (a read of nothing is
//! read again at once), with a lock held. Here a hang-up is seen before crossterm is asked to read.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::event::{Event, poll, read};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tokio::sync::mpsc::Sender;

/// What the terminal says.
#[derive(Debug)]
pub(crate) enum Input {
    /// An event.
    Event(Event),
    /// There is no terminal any more.
    Gone,
}

/// The word that the size is another one; any other word ends the thread.
const RESIZED: [u8; 1] = *b"w";

/// The thread that reads. Dropping it ends the thread.
pub(crate) struct Reading {
    stop: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Reading {
    /// Starts to read the terminal.
    pub(crate) fn start(sender: Sender<Input>) -> io::Result<Self> {
        let terminal: OwnedFd = if io::stdin().is_terminal() {
            io::stdin().as_fd().try_clone_to_owned()?
        } else {
            File::options().read(true).write(true).open("/dev/tty")?.into()
        };
        let (stop, stopped) = UnixStream::pair()?;
        let thread = std::thread::Builder::new()
            .name("terminal".to_owned())
            .spawn(move || read_all(&terminal, stopped, &sender))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Reading {
    /// The terminal has another size: crossterm takes its own word of that now. Left until the next key, the two
    /// come together; it then returns the size, forgets that the key is there, and finds it with the one after.
    pub(crate) fn resized(&self) {
        let _ = (&self.stop).write_all(&RESIZED);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.stop.write_all(b".");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read_all(terminal: &OwnedFd, mut stopped: UnixStream, sender: &Sender<Input>) {
    loop {
        let mut watched = [
            PollFd::new(terminal.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        match nix::poll::poll(&mut watched, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => return send(sender, Input::Gone),
        }
        let flags = |at: usize| watched.get(at).and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let (terminal_says, told) = (flags(0), flags(1));
        if !told.is_empty() {
            let mut byte = [0];
            if !matches!(stopped.read(&mut byte), Ok(1)) || byte != RESIZED {
                return;
            }
        }
        if terminal_says.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
            return send(sender, Input::Gone);
        }
        let mut any = false;
        while let Ok(true) = poll(Duration::ZERO) {
            any = true;
            match read() {
                // The size comes with SIGWINCH.
                Ok(Event::Resize(..)) => {}
                Ok(event) => send(sender, Input::Event(event)),
                Err(_) => return send(sender, Input::Gone),
            }
            if sender.is_closed() {
                return;
            }
        }
        if !any && terminal_says.contains(PollFlags::POLLIN) {
            // Half of a sequence, or bytes that mean nothing: give the rest a moment to come.
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn send(sender: &Sender<Input>, input: Input) {
    // Keys wait when the console is slow; nothing else waits for this thread. Motion is not worth waiting for.
    let motion = matches!(&input, Input::Event(Event::Mouse(mouse)) if mouse.kind == crossterm::event::MouseEventKind::Moved);
    if motion {
        return;
    }
    let _ = sender.try_send(input);
}
