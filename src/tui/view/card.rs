//! What there is to say of a step besides its log: why it failed, why nobody knows, what it waits for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use unicode_segmentation::UnicodeSegmentation as _;

use super::{Words, fold, panel, put, steps};
use crate::domain::plan::{Cause, Exec, Kept, Setting, Step, Work};
use crate::domain::project::{Place, Service};
use crate::domain::state::{StepPhase, StepState};
use crate::domain::time::Millis;
use crate::text::width::width;
use crate::tui::action::{Action, Key};
use crate::tui::model::{Focus, Model};
use crate::tui::theme::{Mark, Role, run_word};

/// The column of what is said; its heading stands before it.
const SAID: usize = 10;

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((_, run)) = model.run() else { return };
    let focused = model.focus == Focus::Detail;
    let Some((step, at)) = model.step() else {
        let mark = Mark::of_phase(run.phase);
        let title = [(mark.role(), run_word(run).to_owned())];
        let inside = panel(model, area, focused, &title, &[], buffer);
        let mut card = Card::new(model, inside);
        match (&run.cause, &run.failed) {
            (Some(cause), _) => card.cause(cause, mark, None, &[]),
            (None, Some((step, summary))) => card.head(mark, &format!("{step}: {summary}")),
            (None, None) => card.head(mark, run_word(run)),
        }
        return card.draw(buffer);
    };
    let mark = Mark::of_step(at);
    let mut title = vec![(Role::Strong, step.id.0.clone()), (Role::Dim, " · ".to_owned())];
    title.push((mark.role(), mark.word().to_owned()));
    if at.attempt > 1 {
        title.push((Role::Dim, format!(" · attempt {}", at.attempt)));
    }
    let inside = panel(model, area, focused, &title, &[], buffer);
    let mut card = Card::new(model, inside);
    match &at.phase {
        StepPhase::Failed { cause } => {
            card.cause(cause, mark, Some(at), &[Action::Retry, Action::Shell, Action::OpenLog]);
        }
        StepPhase::Inconclusive { reason } => {
            card.head(mark, reason);
            card.blank();
            match &at.acknowledged {
                Some(why) => card.say("accepted", Role::Text, why),
                None => {
                    let text = "It could not do its work, so it neither passed nor failed. The run holds until a \
                                person says what that is worth.";
                    card.say("", Role::Dim, text);
                }
            }
            card.kept(at.output.kept.as_ref());
            card.keys(&[Action::Acknowledge, Action::Retry, Action::Shell, Action::OpenLog]);
        }
        StepPhase::Skipped { why } => card.head(mark, why),
        StepPhase::Waiting
        | StepPhase::Running
        | StepPhase::Observing
        | StepPhase::Passed
        | StepPhase::Cancelled => {
            card.head(mark, &steps::facts(model, run, step, at).1);
            card.blank();
            card.describe(step);
            if at.attempt > 0 {
                card.keys(&[Action::Retry, Action::OpenLog]);
            }
        }
    }
    card.draw(buffer);
}

/// Lines about a step or a deployment, put together piece by piece.
pub(crate) struct Card<'m> {
    model: &'m Model,
    inside: Rect,
    pub(crate) lines: Vec<Line<'static>>,
    /// Where the last lines of the output stand; they get what room there is.
    quote: Option<(usize, Vec<String>)>,
}

impl<'m> Card<'m> {
    pub(crate) const fn new(model: &'m Model, inside: Rect) -> Self {
        Self { model, inside, lines: Vec::new(), quote: None }
    }

    fn columns(&self) -> usize {
        usize::from(self.inside.width)
    }

    pub(crate) fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    pub(crate) fn head(&mut self, mark: Mark, text: &str) {
        let theme = &self.model.theme;
        for (index, piece) in fold(text, self.columns().saturating_sub(2)).iter().enumerate() {
            let mut words = Words::new(theme);
            words.add(mark.role(), if index == 0 { theme.glyph(mark) } else { " " });
            let role = if mark == Mark::Failed { Role::Bad } else { Role::Strong };
            words.add(Role::Text, " ").add(role, piece);
            self.lines.push(words.line());
        }
    }

    pub(crate) fn say(&mut self, heading: &str, role: Role, text: &str) {
        if text.is_empty() {
            return;
        }
        for (index, piece) in fold(text, self.columns().saturating_sub(SAID)).iter().enumerate() {
            let mut words = Words::new(&self.model.theme);
            words.add(Role::Dim, if index == 0 { heading } else { "" }).to(SAID).add(role, piece);
            self.lines.push(words.line());
        }
    }

    /// Why a step failed; `keys` are offered below where there is an attempt.
    pub(crate) fn cause(&mut self, cause: &Cause, mark: Mark, at: Option<&StepState>, keys: &[Action]) {
        self.head(mark, if cause.summary.is_empty() { "It failed." } else { &cause.summary });
        self.blank();
        self.say("expected", Role::Text, &cause.expected);
        self.say("measured", Role::Text, &cause.measured);
        // Mostly it is what was measured, and said there.
        if let Some(code) = cause.exit_code
            && !cause.measured.contains(&format!("exit code {code}"))
        {
            self.say("exit code", Role::Text, &code.to_string());
        }
        self.say("do", Role::Accent, &cause.cure);
        if let Some(at) = at {
            self.kept(at.output.kept.as_ref());
        }
        if !cause.last_lines.is_empty() {
            self.blank();
            self.quote = Some((self.lines.len(), cause.last_lines.clone()));
        }
        if mark == Mark::Failed && at.is_some() {
            self.keys(keys);
        }
    }

    fn kept(&mut self, kept: Option<&Kept>) {
        match kept {
            Some(Kept { container: Some(container), .. }) => match container.until.since(self.model.now) {
                Millis(0) => self.say("kept", Role::Dim, "no longer: it is being removed"),
                left => {
                    let text = format!("for {}: s shell inside · r retry · o bundle", left.in_minutes());
                    self.say("kept", Role::Accent, &text);
                }
            },
            Some(kept) => self.say("kept", Role::Dim, &kept.directory),
            None => {}
        }
    }

    /// The next keys, with the reason where one can't act.
    fn keys(&mut self, actions: &[Action]) {
        self.blank();
        let mut words = Words::new(&self.model.theme);
        words.add(Role::Dim, "next").to(SAID);
        for action in actions {
            let Some(entry) = action.entry() else { continue };
            let key = entry.keys.first().map(Key::label).unwrap_or_default();
            let reason = action.availability(self.model).err();
            let text = reason.map_or(entry.name.to_owned(), |reason| format!("{}: {reason}", entry.name));
            let wide = width(&format!("{key} {text}"));
            if words.columns() > SAID && words.columns() + wide > self.columns() {
                self.lines.push(std::mem::replace(&mut words, Words::new(&self.model.theme)).line());
                words.to(SAID);
            }
            let (key_role, role) =
                if reason.is_some() { (Role::Dim, Role::Dim) } else { (Role::Accent, Role::Text) };
            words.add(key_role, &key).add(role, &format!(" {text}  "));
        }
        self.lines.push(words.line());
    }

    pub(crate) fn describe(&mut self, step: &Step) {
        let (what, setting): (&str, Option<&Setting>) = match &step.work {
            Work::Install(setting) => ("installs the locked dependencies", Some(setting)),
            Work::Exec(exec) => ("", Some(&exec.setting)),
            Work::Build(build) => ("builds the candidate from the commit", Some(&build.setting)),
            Work::Inspect(setting) => ("reads the candidate’s migrations", Some(setting)),
            Work::MigrateEmpty(exec) => (
                "applies every migration to an empty database and starts the application on it",
                Some(&exec.setting),
            ),
            Work::Fetch(_) => ("brings the artifact to the hosts", None),
            Work::Migrate(_) => ("applies the release’s migrations", None),
            Work::Start(_) => ("starts replicas", None),
            Work::AwaitHealthy(_) => ("waits until replicas answer well", None),
            Work::Shift { .. } => ("moves traffic", None),
            Work::Bake { .. } => ("watches the new set and judges it", None),
            Work::Hook(hook) => (hook.run.as_str(), None),
            Work::Drain(_) => ("lets requests in flight end", None),
            Work::Stop(_) => ("stops replicas", None),
            Work::Verify(_) => ("asks what is really live", None),
        };
        self.say("does", Role::Text, what);
        if let Work::Exec(Exec { run, place, .. }) = &step.work {
            self.say("runs", Role::Text, run);
            let place = match place {
                Place::Source => "a checkout of the commit".to_owned(),
                Place::Candidate => "a copy of the candidate".to_owned(),
                Place::Image(image) => format!("a container of {image}, with the commit's files"),
            };
            self.say("in", Role::Text, &place);
        }
        for service in setting.map(|setting| setting.services.as_slice()).unwrap_or_default() {
            let service = match service {
                Service::Postgres => "a throw-away PostgreSQL".to_owned(),
                Service::Container(service) => format!("{} ({})", service.name, service.image),
            };
            self.say("beside", Role::Text, &service);
        }
        let needs: Vec<&str> = step.needs.iter().map(crate::domain::ids::StepId::as_str).collect();
        self.say("needs", Role::Text, &needs.join(", "));
        if let Some(usual) = self.model.usual(step) {
            self.say("usually", Role::Text, &steps::about(usual));
        }
        self.say("at most", Role::Text, &step.timeout.to_string());
        if step.retries > 0 {
            self.say("retries", Role::Text, &format!("{} by itself", step.retries));
        }
    }

    pub(crate) fn draw(mut self, buffer: &mut Buffer) {
        if let Some((place, quote)) = self.quote.take() {
            let room = usize::from(self.inside.height).saturating_sub(self.lines.len());
            let sign = self.model.theme.pick("│ ", "| ");
            let columns = self.columns().saturating_sub(2);
            let quote: Vec<String> = quote.iter().map(|line| crate::text::width::plain(line)).collect();
            // Whole lines where they fit, the ends of long ones cut where not.
            let folded: Vec<String> = quote.iter().flat_map(|line| pieces(line, columns)).collect();
            let said = if folded.len() <= room { folded } else { quote };
            let quoted: Vec<Line<'static>> = said[said.len().saturating_sub(room)..]
                .iter()
                .map(|line| {
                    let mut words = Words::new(&self.model.theme);
                    words.add(Role::Border, sign).cut(Role::Text, line, columns);
                    words.line()
                })
                .collect();
            let place = place.min(self.lines.len());
            self.lines.splice(place..place, quoted);
        }
        for (line, text) in (0..self.inside.height).zip(&self.lines) {
            put(buffer, self.inside, line, text);
        }
    }
}

/// A line of output in pieces that fit, its blanks as they are.
fn pieces(line: &str, columns: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for cluster in line.graphemes(true) {
        let wide = width(cluster);
        if used + wide > columns.max(2) {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(cluster);
        }
    }
    pieces
}
