//! The words to a deployment under way that need a reason: go on, and leave it as it is.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::confirm::{Confirmation, Part, Wanted};
use super::model::{Dialog, Model, Request};
use super::target::{self, Word};
use crate::domain::command::Command;
use crate::domain::ids::DeploymentId;
use crate::domain::state::{Deployment, State};

/// A word, before it is said.
#[derive(Debug, Clone)]
pub struct WordDialog {
    /// Which word.
    pub kind: Word,
    /// To which deployment.
    pub deployment: DeploymentId,
    /// What was said so far.
    pub word: Confirmation,
}

impl WordDialog {
    /// The deployment.
    pub(crate) fn deployment<'a>(&self, state: &'a State) -> Option<&'a Deployment> {
        state.deployments.get(&self.deployment)
    }

    /// What has to be said.
    pub(crate) fn wanted(&self, state: &State) -> Wanted {
        let name = self.deployment(state).map(|deployment| deployment.environment.clone());
        Wanted { reason: true, name: name.filter(|_| self.kind == Word::Leave) }
    }

    /// Whether it can be said now.
    ///
    /// # Errors
    /// What stands in the way, as it follows `⏎ needs `.
    pub(crate) fn ready(&self, model: &Model) -> Result<(), (Part, String)> {
        let here = |why: &str| (self.word.part, why.to_owned());
        target::linked(model).map_err(|_| here("the engine"))?;
        if self.word.sent.is_some() {
            return Err(here("an answer: it was sent"));
        }
        let fits = self.deployment(&model.state).ok_or("it is not known").and_then(|it| self.kind.fits(it));
        fits.map_err(|why| here(&format!("another moment: {why}")))?;
        self.word.missing(&self.wanted(&model.state)).map_or(Ok(()), Err)
    }
}

/// Opens the dialog; holding needs none.
pub(super) fn open(model: &mut Model, kind: Word, requests: &mut Vec<Request>) {
    let Ok(deployment) = target::spoken_to(model, kind) else { return };
    if kind == Word::Hold {
        return requests.push(Request::Send(Command::Hold { deployment }));
    }
    let dialog = WordDialog { kind, deployment, word: Confirmation::default() };
    model.dialog = Some(Dialog::Word(Box::new(dialog)));
}

/// Takes a key; the dialog stays open unless it returns `None`.
pub(super) fn key(
    mut dialog: Box<WordDialog>,
    model: &Model,
    event: KeyEvent,
    requests: &mut Vec<Request>,
) -> Option<Box<WordDialog>> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.code == KeyCode::Esc || (control && event.code == KeyCode::Char('c')) {
        return None;
    }
    let wanted = dialog.wanted(&model.state);
    match event.code {
        KeyCode::Enter => enter(&mut dialog, model, requests),
        KeyCode::Up | KeyCode::Down => dialog.word.turn(&wanted),
        _ => dialog.word.key(event, &wanted),
    }
    Some(dialog)
}

fn enter(dialog: &mut WordDialog, model: &Model, requests: &mut Vec<Request>) {
    match dialog.ready(model) {
        Ok(()) => {
            let (deployment, reason) = (dialog.deployment, dialog.word.reason());
            let command = match dialog.kind {
                Word::Go => Command::Go { deployment, reason },
                Word::Hold => Command::Hold { deployment },
                Word::Leave => Command::Leave { deployment, confirm: dialog.word.typed(), reason },
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

pub(super) fn paste(dialog: &mut WordDialog, state: &State, text: &str) {
    let wanted = dialog.wanted(state);
    dialog.word.paste(text, &wanted);
}
