//! The promotion that is looked at: choosing it, saying the word, and what comes back.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::confirm::{Confirmation, Part, Wanted};
use super::look::Look;
use super::model::{Dialog, Model, Request};
use super::target;
use crate::domain::command::{Command, Promote};
use crate::domain::gate::GateState;
use crate::domain::ids::{EnvironmentName, ReleaseNumber};
use crate::domain::query::{PromotionPreview, Query};
use crate::domain::state::State;

/// A promotion, before it is confirmed.
#[derive(Debug, Clone)]
pub struct PromoteDialog {
    /// Where.
    pub environment: EnvironmentName,
    /// What.
    pub release: ReleaseNumber,
    /// What the engine would do.
    pub look: Look<PromotionPreview>,
    /// What was said so far.
    pub word: Confirmation,
    /// While another release is chosen: which line of the list is selected.
    pub picker: Option<usize>,
}

impl PromoteDialog {
    /// What the engine is asked.
    pub(crate) fn question(&self) -> Query {
        Query::PreviewPromotion { environment: self.environment.clone(), release: self.release }
    }

    /// What has to be said: by the engine's preview, and until that is here by the configuration.
    pub(crate) fn wanted(&self, state: &State) -> Wanted {
        let by_preview = self.look.shown().map(|preview| preview.protected);
        let is_protected = by_preview.unwrap_or_else(|| target::is_protected(state, &self.environment));
        Wanted { reason: is_protected, name: is_protected.then(|| self.environment.clone()) }
    }

    /// The preview that would be confirmed now.
    ///
    /// # Errors
    /// What stands in the way, as it follows `⏎ needs `.
    pub(crate) fn ready(&self, model: &Model) -> Result<&PromotionPreview, (Part, String)> {
        let here = |why: &str| (self.word.part, why.to_owned());
        target::linked(model).map_err(|_| here("the engine"))?;
        if self.word.sent.is_some() {
            return Err(here("an answer: it was sent"));
        }
        let preview = self.look.fresh().map_err(|_| match self.look.trouble() {
            Some(_) => here("another choice: this one can’t be done"),
            None => here("the plan: it is being looked at"),
        })?;
        match preview.gates.iter().filter(|gate| gate.state == GateState::Fails).count() {
            0 => {}
            1 => return Err(here("every gate to hold: 1 does not")),
            more => return Err(here(&format!("every gate to hold: {more} do not"))),
        }
        self.word.missing(&self.wanted(&model.state)).map_or(Ok(preview), Err)
    }

    fn choose(&mut self, environment: EnvironmentName, release: ReleaseNumber, requests: &mut Vec<Request>) {
        if (&environment, release) == (&self.environment, self.release) {
            return;
        }
        *self = new(environment, release);
        requests.push(Request::Ask(self.question()));
    }

    /// A preview came.
    pub(crate) fn take(&mut self, answer: Result<PromotionPreview, String>, requests: &mut Vec<Request>) {
        // What ⏎ waited for is here now.
        self.word.said.take_if(|said| said.starts_with("⏎ needs"));
        if let (Ok(new), Some(old)) = (&answer, self.look.shown())
            && new.plan.digest != old.plan.digest
        {
            let changed = new.plan.parts.differences(&old.plan.parts).join(", ");
            // A refusal that has led to this says it already.
            if self.word.said.is_none() {
                self.word.said = Some(format!("Changed since you looked: {changed}. Look again."));
            }
            self.word.name = super::field::Field::new();
        }
        if self.look.take(answer) {
            requests.push(Request::Ask(self.question()));
        }
    }
}

fn new(environment: EnvironmentName, release: ReleaseNumber) -> PromoteDialog {
    PromoteDialog { environment, release, look: Look::asked(), word: Confirmation::default(), picker: None }
}

/// Opens the dialog.
pub(super) fn open(model: &mut Model, requests: &mut Vec<Request>) {
    if let Ok((environment, release)) = target::promotion(model) {
        let dialog = new(environment, release);
        requests.push(Request::Ask(dialog.question()));
        model.dialog = Some(Dialog::Promote(Box::new(dialog)));
    }
}

/// Takes a key; the dialog stays open unless it returns `None`.
pub(super) fn key(
    mut dialog: Box<PromoteDialog>,
    model: &Model,
    event: KeyEvent,
    requests: &mut Vec<Request>,
) -> Option<Box<PromoteDialog>> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let leaves = event.code == KeyCode::Esc || (control && event.code == KeyCode::Char('c'));
    if leaves {
        return dialog.picker.take().map(|_| dialog);
    }
    match event.code {
        KeyCode::Enter => enter(&mut dialog, model, requests),
        KeyCode::Up => step(&mut dialog, model, -1),
        KeyCode::Down => step(&mut dialog, model, 1),
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right
            if dialog.picker.is_some() || (dialog.word.is_untouched() && is_tab(event)) =>
        {
            let by = if matches!(event.code, KeyCode::BackTab | KeyCode::Left) { -1 } else { 1 };
            turn(&mut dialog, model, by, requests);
        }
        _ if dialog.picker.is_some() => {}
        _ => {
            let wanted = dialog.wanted(&model.state);
            dialog.word.key(event, &wanted);
        }
    }
    Some(dialog)
}

const fn is_tab(event: KeyEvent) -> bool {
    matches!(event.code, KeyCode::Tab | KeyCode::BackTab)
}

/// To the environment beside this one, with the list open or not.
fn turn(dialog: &mut PromoteDialog, model: &Model, by: isize, requests: &mut Vec<Request>) {
    let picker = dialog.picker;
    if let Some(environment) = target::beside(&model.state, &dialog.environment, by) {
        dialog.choose(environment, dialog.release, requests);
        dialog.picker = picker;
    }
}

/// Chooses another release while nothing is typed; else goes from field to field.
pub(super) fn step(dialog: &mut PromoteDialog, model: &Model, by: isize) {
    let releases = target::releases(&model.state);
    if let Some(at) = dialog.picker {
        dialog.picker = Some(at.saturating_add_signed(by).min(releases.len().saturating_sub(1)));
    } else if dialog.word.is_untouched() && dialog.word.sent.is_none() {
        dialog.picker = releases.iter().position(|release| *release == dialog.release);
    } else {
        let wanted = dialog.wanted(&model.state);
        dialog.word.turn(&wanted);
    }
}

fn enter(dialog: &mut PromoteDialog, model: &Model, requests: &mut Vec<Request>) {
    if let Some(at) = dialog.picker.take() {
        if let Some(release) = target::releases(&model.state).get(at) {
            dialog.choose(dialog.environment.clone(), *release, requests);
        }
        return;
    }
    match dialog.ready(model) {
        Ok(preview) => {
            // What was shown is what is confirmed, nothing that came since.
            let command = Command::Promote(Promote {
                environment: preview.environment.clone(),
                release: preview.release,
                plan: preview.plan.digest.clone(),
                seen: Some(preview.plan.parts.clone()),
                confirm: dialog.word.typed(),
                reason: dialog.word.reason(),
            });
            requests.push(Request::Send(command.clone()));
            dialog.word.sent = Some(command);
        }
        Err((part, missing)) => {
            dialog.word.part = part;
            dialog.word.said = Some(format!("⏎ needs {missing}."));
        }
    }
}

pub(super) fn paste(dialog: &mut PromoteDialog, state: &State, text: &str) {
    if dialog.picker.is_none() {
        let wanted = dialog.wanted(state);
        dialog.word.paste(text, &wanted);
    }
}
