//! The real thing on a real pty: the terminal is given back, whatever ends the console.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what is missing is a failed test"
)]

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::termios::LocalFlags;
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use towpath::tui::app::{Options, run};

const CHILD: &str = "TOWPATH_TEST_CONSOLE";

/// Not a test of its own: the console, when this file's binary is started by the tests below.
#[test]
fn console() {
    let Ok(how) = std::env::var(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let options = Options { name: "harbor".to_owned(), ..Options::default() };
    let connect = move || {
        let how = how.clone();
        async move {
            assert!(how != "panic", "the console panics on purpose");
            anyhow::bail!("No engine listens.")
        }
    };
    let exit = runtime.block_on(run(options, connect));
    // Where the terminal is gone there is nobody to tell; println would panic.
    let _ = writeln!(std::io::stdout(), "LEFT {exit:?}");
    runtime.shutdown_timeout(Duration::from_millis(100));
    std::process::exit(0);
}

struct Console {
    child: Box<dyn Child + Send + Sync>,
    master: Option<Box<dyn MasterPty + Send>>,
    writer: Option<Box<dyn std::io::Write + Send>>,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Lets go of the reading end of the pty.
    closed: Arc<AtomicBool>,
}

fn start(how: &str) -> Console {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let mut command = CommandBuilder::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "console", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, how);
    command.env("TERM", "xterm-256color");
    let child = pair.slave.spawn_command(command).expect("the console starts");
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().expect("a reader");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let closed = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&closed);
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            sink.lock().expect("the sink").extend_from_slice(&buffer[..count]);
            if stop.load(Ordering::SeqCst) {
                break;
            }
        }
    });
    let writer = pair.master.take_writer().expect("a writer");
    Console { child, master: Some(pair.master), writer: Some(writer), seen, closed }
}

impl Console {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("the sink")).into_owned()
    }

    fn wait_for(&self, what: &str) {
        let start = Instant::now();
        while !self.text().contains(what) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{what:?} never came; seen: {:?}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_for_end(&mut self) -> portable_pty::ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return status;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "it does not end; seen: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every mode that was taken is given back, in the bytes and in the terminal's own settings.
    fn is_given_back(&self) {
        let text = self.text();
        for (on, off) in [
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?2004h", "\x1b[?2004l"),
            ("\x1b[?1000h", "\x1b[?1000l"),
            ("\x1b[?25l", "\x1b[?25h"),
        ] {
            let (taken, given) = (text.rfind(on), text.rfind(off));
            assert!(taken.is_some() && given > taken, "{on:?} was not undone in {text:?}");
        }
        let modes =
            self.master.as_ref().and_then(|master| master.get_termios()).expect("the terminal's settings");
        // As bits: the pty library has another version of nix than ours.
        let wanted = (LocalFlags::ECHO | LocalFlags::ICANON).bits();
        assert_eq!(modes.local_flags.bits() & wanted, wanted, "it is still raw");
    }
}

fn signal(console: &Console, signal: nix::sys::signal::Signal) {
    let id = i32::try_from(console.child.process_id().expect("its id")).expect("an id");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).expect("the signal is sent");
}

#[test]
fn quit_gives_the_terminal_back() {
    let mut console = start("plain");
    console.wait_for("no engine");
    console.writer.as_mut().expect("a writer").write_all(b"q").expect("a key");
    console.wait_for("LEFT Ok(Exit { left: Quit");
    console.wait_for_end();
    console.is_given_back();
}

#[test]
fn signals_give_the_terminal_back() {
    use nix::sys::signal::Signal;
    for (name, word) in
        [(Signal::SIGTERM, "Signal(15)"), (Signal::SIGINT, "Signal(2)"), (Signal::SIGHUP, "TerminalGone")]
    {
        let mut console = start("plain");
        console.wait_for("no engine");
        signal(&console, name);
        console.wait_for(word);
        console.wait_for_end();
        console.is_given_back();
    }
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_readable() {
    let mut console = start("panic");
    console.wait_for("the console panics on purpose");
    console.wait_for("A part of the console failed");
    console.wait_for_end();
    console.is_given_back();
    let text = console.text();
    assert!(text.rfind("\x1b[?1049l") < text.rfind("the console panics on purpose"));
}

#[test]
fn a_terminal_that_is_closed_ends_the_console() {
    let mut console = start("plain");
    console.wait_for("no engine");
    console.closed.store(true, Ordering::SeqCst);
    console.writer = None;
    console.master = None;
    // The clock is drawn each second, so the reading thread lets go within one; then the kernel hangs up.
    let ended = console.wait_for_end();
    // Its own line about how it left has nowhere to go; that is no panic of the console's (101) all the same.
    assert_ne!(ended.exit_code(), 101, "it panicked: {:?}", console.text());
}
