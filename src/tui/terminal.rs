//! The terminal: taken for the screen, and given back in every case.

use std::cell::Cell;
use std::io::{self, BufWriter, Stdout, Write as _};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, DisableMouseCapture, EnableBracketedPaste, EnableFocusChange,
    EnableMouseCapture,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::model::Model;

/// Whether the terminal is ours at this moment. One process has one terminal.
static OURS: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();
/// Held while a frame is written: a panic elsewhere gives the terminal back before or after it, never within.
static FRAME: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether this thread writes a frame: a panic in it must not wait for itself.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The screen. Dropping it gives the terminal back.
pub(crate) struct Screen {
    /// Never dropped: ratatui shows the cursor in its `Drop`, and prints where that fails. With the terminal gone
    /// printing panics. Whatever it has to undo is undone by [`give_back`], which passes over what fails.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
}

impl Screen {
    /// Takes the terminal. A panic anywhere gives it back before its message is written.
    pub(crate) fn take() -> io::Result<Self> {
        HOOK.call_once(|| {
            let next = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                give_back();
                next(info);
            }));
        });
        // Before the first byte is written, so that a failure half way is undone too.
        let guard = Returned;
        enter()?;
        let terminal =
            Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(64 * 1024, io::stdout())))?;
        std::mem::forget(guard);
        Ok(Self { terminal: ManuallyDrop::new(terminal) })
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> io::Result<(u16, u16)> {
        self.terminal.size().map(|size| (size.width, size.height))
    }

    /// Whether nobody has given the terminal back behind our back (a panic in a task does).
    pub(crate) fn is_ours(&self) -> bool {
        OURS.load(Ordering::SeqCst)
    }

    /// Draws one frame, as one update of the terminal. Once the terminal was given back, nothing is drawn: a frame
    /// would hide the cursor and write over what others say.
    pub(crate) fn draw(&mut self, model: &Model) -> io::Result<()> {
        let _frame = FRAME.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_ours() {
            return Ok(());
        }
        WRITES.set(true);
        let drawn = self.write_frame(model);
        WRITES.set(false);
        drawn
    }

    fn write_frame(&mut self, model: &Model) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let drawn = self.terminal.draw(|frame| super::view(model, frame)).map(|_| ());
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    /// Forgets what is on the screen: the next frame draws everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.terminal.clear()
    }

    /// Hands the terminal to somebody else.
    pub(crate) fn step_aside(&self) {
        give_back();
    }

    /// Takes the terminal again.
    pub(crate) fn come_back(&mut self) -> io::Result<()> {
        enter()?;
        self.terminal.clear()
    }

    /// Writes something that is no part of a frame: the bell, the clipboard.
    pub(crate) fn say(&mut self, command: impl crossterm::Command) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), command)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back when it is dropped.
struct Returned;

impl Drop for Returned {
    fn drop(&mut self) {
        give_back();
    }
}

/// One BEL.
pub(crate) struct Bell;

impl crossterm::Command for Bell {
    fn write_ansi(&self, f: &mut impl std::fmt::Write) -> std::fmt::Result {
        f.write_char('\x07')
    }
}

fn enter() -> io::Result<()> {
    OURS.store(true, Ordering::SeqCst);
    enable_raw_mode()?;
    execute!(
        io::stdout(),
        EnterAlternateScreen,
        EnableMouseCapture,
        EnableBracketedPaste,
        EnableFocusChange,
        Hide
    )
}

/// Once, whoever comes first. What fails is left: the terminal may be gone, and the rest must be tried.
fn give_back() {
    let _frame = (!WRITES.get()).then(|| FRAME.lock().unwrap_or_else(PoisonError::into_inner));
    if OURS.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout();
        let _ = execute!(
            out,
            EndSynchronizedUpdate,
            DisableFocusChange,
            DisableBracketedPaste,
            DisableMouseCapture
        );
        let _ = execute!(out, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}
