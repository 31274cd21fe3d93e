//! Taking an environment's lease from somebody who does not give it back.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::confirm::{Confirmation, Part, Wanted};
use super::model::{Dialog, Model, Request, Screen};
use super::target;
use crate::domain::command::Command;
use crate::domain::health::LeaseHolder;
use crate::domain::ids::EnvironmentName;

/// A lease, before it is broken.
#[derive(Debug, Clone)]
pub struct LeaseDialog {
    /// Whose.
    pub environment: EnvironmentName,
    /// Who was seen to hold it when this was opened.
    pub holder: LeaseHolder,
    /// What was said so far.
    pub word: Confirmation,
}

impl LeaseDialog {
    /// What has to be said.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { reason: true, name: Some(self.environment.clone()) }
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
        let now = model.samples.lease(&self.environment).map(|(_, holder)| (&holder.who, holder.since));
        if now != Some((&self.holder.who, self.holder.since)) {
            return Err(here("another look: somebody else holds it by now, or nobody"));
        }
        self.word.missing(&self.wanted()).map_or(Ok(()), Err)
    }
}

/// The lease that could be broken: somebody else's, of the selected environment.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn foreign(model: &Model) -> Result<(&EnvironmentName, &LeaseHolder), &'static str> {
    let (name, _) =
        model.environment().filter(|_| model.screen == Screen::Environments).ok_or("none is selected")?;
    match model.samples.lease(name) {
        None => Err("nobody holds the lease"),
        Some((_, holder)) if holder.ours => Err("the lease is our own deployment's"),
        Some((_, holder)) => Ok((name, holder)),
    }
}

/// Opens the dialog.
pub(super) fn open(model: &mut Model) {
    let Ok((name, holder)) = foreign(model) else { return };
    let dialog =
        LeaseDialog { environment: name.clone(), holder: holder.clone(), word: Confirmation::default() };
    model.dialog = Some(Dialog::Lease(Box::new(dialog)));
}

/// Takes a key; the dialog stays open unless it returns `None`.
pub(super) fn key(
    mut dialog: Box<LeaseDialog>,
    model: &Model,
    event: KeyEvent,
    requests: &mut Vec<Request>,
) -> Option<Box<LeaseDialog>> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    if event.code == KeyCode::Esc || (control && event.code == KeyCode::Char('c')) {
        return None;
    }
    let wanted = dialog.wanted();
    match event.code {
        KeyCode::Enter => enter(&mut dialog, model, requests),
        KeyCode::Up | KeyCode::Down => dialog.word.turn(&wanted),
        _ => dialog.word.key(event, &wanted),
    }
    Some(dialog)
}

fn enter(dialog: &mut LeaseDialog, model: &Model, requests: &mut Vec<Request>) {
    match dialog.ready(model) {
        Ok(()) => {
            let command = Command::BreakLease {
                environment: dialog.environment.clone(),
                who: dialog.holder.who.clone(),
                since: dialog.holder.since,
                confirm: dialog.word.typed(),
                reason: dialog.word.reason(),
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

pub(super) fn paste(dialog: &mut LeaseDialog, text: &str) {
    let wanted = dialog.wanted();
    dialog.word.paste(text, &wanted);
}
