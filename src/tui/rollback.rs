//! The way back that is looked at: from what is live, or from a deployment under way.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::confirm::{Confirmation, Part, Wanted};
use super::look::Look;
use super::model::{Dialog, Model, Request};
use super::target;
use crate::domain::command::{Command, Rollback};
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::query::{Query, RollbackPreview};
use crate::domain::state::{RollbackVerdict, State};

/// A rollback, before it is confirmed.
#[derive(Debug, Clone)]
pub struct RollbackDialog {
    /// Where.
    pub environment: EnvironmentName,
    /// The deployment to go back to; `None` is the rollback target.
    pub to: Option<DeploymentId>,
    /// What the engine would do.
    pub look: Look<RollbackPreview>,
    /// What was said so far.
    pub word: Confirmation,
    /// While another target is chosen: which line of the list is selected.
    pub picker: Option<usize>,
}

impl RollbackDialog {
    /// What the engine is asked.
    pub(crate) fn question(&self) -> Query {
        Query::PreviewRollback { environment: self.environment.clone(), to: self.to }
    }

    /// Whether a way back is looked at, be it behind the list of others. Where a person has to choose first, none is.
    pub(crate) const fn is_looking(&self) -> bool {
        self.picker.is_none() || self.look.shown().is_some()
    }

    /// The deployment under way that would be taken back; `None` when it is the live one.
    pub(crate) fn under_way(&self, state: &State) -> Option<DeploymentId> {
        state.under_way(&self.environment).map(|(number, _)| number)
    }

    /// What going back means for the data: for a deployment under way as it was fixed when it began.
    pub(crate) fn verdict<'a>(&'a self, state: &'a State) -> Option<&'a RollbackVerdict> {
        let preview = self.look.shown()?;
        let fixed = state.under_way(&self.environment).map(|(_, deployment)| &deployment.way_back.verdict);
        Some(fixed.unwrap_or(&preview.verdict))
    }

    /// What has to be said: the name, unless the verdict is SAFE.
    pub(crate) fn wanted(&self, state: &State) -> Wanted {
        let is_safe = self.verdict(state).is_none_or(|verdict| *verdict == RollbackVerdict::Safe);
        Wanted { reason: false, name: (!is_safe).then(|| self.environment.clone()) }
    }

    /// The preview that would be confirmed now.
    ///
    /// # Errors
    /// What stands in the way, as it follows `⏎ needs `.
    pub(crate) fn ready(&self, model: &Model) -> Result<&RollbackPreview, (Part, String)> {
        let here = |why: &str| (self.word.part, why.to_owned());
        target::linked(model).map_err(|_| here("the engine"))?;
        if self.word.sent.is_some() {
            return Err(here("an answer: it was sent"));
        }
        if let Err(why) = target::way_back(&model.state, &self.environment) {
            return Err(here(&format!("a way back: {why}")));
        }
        let preview = self.look.fresh().map_err(|_| match self.look.trouble() {
            Some(_) => here("another choice: this one can’t be done"),
            None => here("the way back: it is being looked at"),
        })?;
        self.word.missing(&self.wanted(&model.state)).map_or(Ok(preview), Err)
    }

    /// A preview came.
    pub(crate) fn take(&mut self, answer: Result<RollbackPreview, String>, requests: &mut Vec<Request>) {
        // What ⏎ waited for is here now.
        self.word.said.take_if(|said| said.starts_with("⏎ needs"));
        if let (Ok(new), Some(old)) = (&answer, self.look.shown())
            && (new.from, new.to, &new.verdict) != (old.from, old.to, &old.verdict)
        {
            if self.word.said.is_none() {
                self.word.said = Some("Changed since you looked. Look again.".to_owned());
            }
            self.word.name = super::field::Field::new();
        }
        if self.look.take(answer) {
            requests.push(Request::Ask(self.question()));
        }
    }

    fn choose(
        &mut self,
        environment: EnvironmentName,
        to: Option<DeploymentId>,
        state: &State,
        requests: &mut Vec<Request>,
    ) {
        *self = new(environment, to, state);
        if self.picker.is_none() {
            requests.push(Request::Ask(self.question()));
        }
    }

    /// The targets that can be chosen, newest first: none while a deployment is under way, whose way back is fixed.
    pub(crate) fn targets(&self, state: &State) -> Vec<DeploymentId> {
        match self.under_way(state) {
            Some(_) => Vec::new(),
            None => target::earlier(state, &self.environment).into_iter().map(|(number, _)| number).collect(),
        }
    }
}

/// Where nothing is gone back to by itself (all that was live before was taken back once), a person chooses.
fn new(environment: EnvironmentName, to: Option<DeploymentId>, state: &State) -> RollbackDialog {
    let by_itself = to.is_some()
        || state.under_way(&environment).is_some()
        || state.rollback_target(&environment).is_some()
        || target::earlier(state, &environment).is_empty();
    RollbackDialog {
        environment,
        to,
        look: Look::asked(),
        word: Confirmation::default(),
        picker: (!by_itself).then_some(0),
    }
}

/// Opens the dialog.
pub(super) fn open(model: &mut Model, requests: &mut Vec<Request>) {
    if let Ok(environment) = target::rollback(model) {
        let dialog = new(environment, None, &model.state);
        if dialog.picker.is_none() {
            requests.push(Request::Ask(dialog.question()));
        }
        model.dialog = Some(Dialog::Rollback(Box::new(dialog)));
    }
}

/// Takes a key; the dialog stays open unless it returns `None`.
pub(super) fn key(
    mut dialog: Box<RollbackDialog>,
    model: &Model,
    event: KeyEvent,
    requests: &mut Vec<Request>,
) -> Option<Box<RollbackDialog>> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.code == KeyCode::Esc || (control && event.code == KeyCode::Char('c')) {
        let stays = dialog.picker.take().is_some() && dialog.look.shown().is_some();
        return stays.then_some(dialog);
    }
    match event.code {
        KeyCode::Enter => enter(&mut dialog, model, requests),
        KeyCode::Up => step(&mut dialog, model, -1),
        KeyCode::Down => step(&mut dialog, model, 1),
        KeyCode::Tab | KeyCode::BackTab if dialog.word.is_untouched() => {
            let by = if event.code == KeyCode::BackTab { -1 } else { 1 };
            if let Some(environment) = target::beside(&model.state, &dialog.environment, by) {
                dialog.choose(environment, None, &model.state, requests);
            }
        }
        _ if dialog.picker.is_some() => {}
        _ => {
            let wanted = dialog.wanted(&model.state);
            dialog.word.key(event, &wanted);
        }
    }
    Some(dialog)
}

/// Chooses another target while nothing is typed; else goes from field to field.
pub(super) fn step(dialog: &mut RollbackDialog, model: &Model, by: isize) {
    let targets = dialog.targets(&model.state);
    if let Some(at) = dialog.picker {
        dialog.picker = Some(at.saturating_add_signed(by).min(targets.len().saturating_sub(1)));
    } else if dialog.word.is_untouched() && dialog.word.sent.is_none() && targets.len() > 1 {
        let shown = dialog.look.shown().map(|preview| preview.to.0);
        dialog.picker = Some(targets.iter().position(|one| Some(*one) == shown).unwrap_or(0));
    } else {
        let wanted = dialog.wanted(&model.state);
        dialog.word.turn(&wanted);
    }
}

fn enter(dialog: &mut RollbackDialog, model: &Model, requests: &mut Vec<Request>) {
    if let Some(at) = dialog.picker {
        if let Some(to) = dialog.targets(&model.state).get(at) {
            dialog.choose(dialog.environment.clone(), Some(*to), &model.state, requests);
        }
        return;
    }
    match dialog.ready(model) {
        Ok(preview) => {
            let (confirm, reason) = (dialog.word.typed(), dialog.word.reason());
            let command = match dialog.under_way(&model.state) {
                Some(deployment) => Command::Back { deployment, confirm, reason },
                // The target that was shown, whatever would be the target by now.
                None => Command::Rollback(Rollback {
                    environment: preview.environment.clone(),
                    from: preview.from.0,
                    to: Some(preview.to.0),
                    confirm,
                    reason,
                }),
            };
            requests.push(Request::Send(command.clone()));
            dialog.word.sent = Some(command);
        }
        Err((part, missing)) => {
            dialog.word.part = part;
            dialog.word.said = Some(format!("⏎ needs {missing}."));
        }
    }
}

pub(super) fn paste(dialog: &mut RollbackDialog, state: &State, text: &str) {
    if dialog.picker.is_none() {
        let wanted = dialog.wanted(state);
        dialog.word.paste(text, &wanted);
    }
}
