//! The dialogs about deployments, all alike: keys, pastes, what the journal and the engine's answers do to them.

use crossterm::event::{KeyCode, KeyEvent};

use super::confirm::Confirmation;
use super::model::{Dialog, Model, Request};
use super::{lease, promote, rollback, target, word};
use crate::domain::command::{Command, Refusal};
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{DeploymentId, Owner};
use crate::domain::query::{Answer, Query};
use crate::wire::protocol::Reply;

/// How far a page key goes in what is to be read.
const PAGE: usize = 4;

/// Takes a key for one of these dialogs. Returns whether one is open.
pub(super) fn key(model: &mut Model, event: KeyEvent, requests: &mut Vec<Request>) -> bool {
    if matches!(event.code, KeyCode::PageUp | KeyCode::PageDown) {
        let last = super::view::dialogs::last_top(model);
        return word_of(model).is_some_and(|word| {
            let to =
                if event.code == KeyCode::PageUp { word.top.saturating_sub(PAGE) } else { word.top + PAGE };
            word.top = to.min(last);
            true
        });
    }
    model.dialog = match model.dialog.take() {
        Some(Dialog::Promote(dialog)) => promote::key(dialog, model, event, requests).map(Dialog::Promote),
        Some(Dialog::Rollback(dialog)) => rollback::key(dialog, model, event, requests).map(Dialog::Rollback),
        Some(Dialog::Word(dialog)) => word::key(dialog, model, event, requests).map(Dialog::Word),
        Some(Dialog::Lease(dialog)) => lease::key(dialog, model, event, requests).map(Dialog::Lease),
        other => {
            model.dialog = other;
            return false;
        }
    };
    true
}

/// Moves the selection in one of these dialogs.
pub(super) fn step(model: &mut Model, by: isize) {
    match model.dialog.take() {
        Some(Dialog::Promote(mut dialog)) => {
            promote::step(&mut dialog, model, by);
            model.dialog = Some(Dialog::Promote(dialog));
        }
        Some(Dialog::Rollback(mut dialog)) => {
            rollback::step(&mut dialog, model, by);
            model.dialog = Some(Dialog::Rollback(dialog));
        }
        other => model.dialog = other,
    }
}

/// Takes a paste for one of these dialogs.
pub(super) fn paste(model: &mut Model, text: &str) {
    match &mut model.dialog {
        Some(Dialog::Promote(dialog)) => promote::paste(dialog, &model.state, text),
        Some(Dialog::Rollback(dialog)) => rollback::paste(dialog, &model.state, text),
        Some(Dialog::Word(dialog)) => word::paste(dialog, &model.state, text),
        Some(Dialog::Lease(dialog)) => lease::paste(dialog, text),
        _ => {}
    }
}

/// The journal moved: what is looked at may have changed with it.
pub(super) fn moved(model: &mut Model, event: &Event, requests: &mut Vec<Request>) {
    let matters = match event {
        Event::StepStarted { key } | Event::StepTimedOut { key } | Event::StepFinished { key, .. } => {
            matches!(key.owner, Owner::Deployment(_))
        }
        Event::EngineStarted { .. }
        | Event::BranchSeen { .. }
        | Event::BranchNotSeen { .. }
        | Event::RunQueued { .. }
        | Event::RunSuperseded { .. }
        | Event::RunStarted { .. }
        | Event::RunPlanned { .. }
        | Event::RunUnplannable { .. }
        | Event::RunHeld { .. }
        | Event::RunCancelled { .. }
        | Event::StepRetried { .. }
        | Event::RunFinished { .. } => false,
        // Deployments, the configuration, releases, acknowledgements.
        _ => true,
    };
    if matters {
        ask(model, requests);
    }
}

fn ask(model: &mut Model, requests: &mut Vec<Request>) {
    let question = match &mut model.dialog {
        Some(Dialog::Promote(dialog)) => dialog.look.ask().then(|| dialog.question()),
        Some(Dialog::Rollback(dialog)) if dialog.is_looking() => dialog.look.ask().then(|| dialog.question()),
        _ => None,
    };
    requests.extend(question.map(Request::Ask));
}

/// The connection is a new one.
pub(super) fn reconnected(model: &mut Model, requests: &mut Vec<Request>) {
    let question = match &mut model.dialog {
        Some(Dialog::Promote(dialog)) => {
            dialog.look.ask_anew();
            dialog.question()
        }
        Some(Dialog::Rollback(dialog)) if dialog.is_looking() => {
            dialog.look.ask_anew();
            dialog.question()
        }
        _ => return,
    };
    requests.push(Request::Ask(question));
}

/// What came of a preview's question. One that nobody waits for any more is dropped.
pub(super) fn previewed(model: &mut Model, query: &Query, reply: Reply, requests: &mut Vec<Request>) {
    let answer = match reply {
        Reply::Answer { answer } => Ok(*answer),
        Reply::Refused { refusal } => Err(sentence(&refusal)),
        Reply::Failed { message } => Err(message),
        Reply::Done { .. } => return,
    };
    match (&mut model.dialog, answer) {
        (Some(Dialog::Promote(dialog)), answer) if &dialog.question() == query => match answer {
            Ok(Answer::Promotion { preview }) => dialog.take(Ok(*preview), requests),
            Err(why) => dialog.take(Err(why), requests),
            Ok(_) => {}
        },
        (Some(Dialog::Rollback(dialog)), answer) if &dialog.question() == query => match answer {
            Ok(Answer::Rollback { preview }) => dialog.take(Ok(*preview), requests),
            Err(why) => dialog.take(Err(why), requests),
            Ok(_) => {}
        },
        _ => {}
    }
}

fn word_of(model: &mut Model) -> Option<&mut Confirmation> {
    match &mut model.dialog {
        Some(Dialog::Promote(dialog)) => Some(&mut dialog.word),
        Some(Dialog::Rollback(dialog)) => Some(&mut dialog.word),
        Some(Dialog::Word(dialog)) => Some(&mut dialog.word),
        Some(Dialog::Lease(dialog)) => Some(&mut dialog.word),
        _ => None,
    }
}

/// What came of a command that one of these dialogs sent: done, it closes; else it stays, says why, and looks
/// again. Returns whether it is said in the dialog.
pub(super) fn answered(
    model: &mut Model,
    command: &Command,
    reply: &Reply,
    requests: &mut Vec<Request>,
) -> bool {
    let Some(word) = word_of(model).filter(|word| word.sent.as_ref() == Some(command)) else { return false };
    let why = match reply {
        Reply::Refused { refusal } => sentence(refusal),
        Reply::Failed { message } => message.clone(),
        Reply::Done { .. } | Reply::Answer { .. } => {
            model.dialog = None;
            return false;
        }
    };
    word.take_back(why);
    ask(model, requests);
    true
}

fn sentence(refusal: &Refusal) -> String {
    if refusal.hint.is_empty() {
        refusal.message.clone()
    } else {
        format!("{} {}", refusal.message, refusal.hint)
    }
}

/// What is said of a command to a deployment that was carried out: what happens now, and how to undo it.
pub(super) fn done(model: &Model, command: &Command, rows: &[Envelope]) -> Option<String> {
    let state = &model.state;
    let begun = rows.iter().find_map(|row| match &row.event {
        Event::DeploymentCreated { deployment, release, .. } => Some((*deployment, *release)),
        _ => None,
    });
    let place = |number: &DeploymentId| {
        state.deployments.get(number).map(|deployment| target::title(state, &deployment.environment))
    };
    let release_of =
        |number: &DeploymentId| state.deployments.get(number).map(|deployment| deployment.release);
    Some(match (command, begun) {
        (Command::Promote(promote), Some((number, release))) => {
            let place = target::title(state, &promote.environment);
            format!("{release} goes to {place}: deployment {number}. To undo it: R takes it back.")
        }
        (Command::Rollback(back), Some((number, release))) => {
            let place = target::title(state, &back.environment);
            let undo = release_of(&back.from)
                .map(|left| format!(" To undo it: promote {left} again (p)."))
                .unwrap_or_default();
            format!("{place} goes back to {release}: deployment {number}.{undo}")
        }
        (Command::Back { deployment, .. }, Some((number, release))) => {
            let undo = release_of(deployment)
                .map(|left| format!(" To undo it: promote {left} again (p)."))
                .unwrap_or_default();
            let place = place(deployment).unwrap_or_else(|| "It".to_owned());
            format!("{place} goes back to {release}: deployment {number} takes {deployment} back.{undo}")
        }
        (Command::Go { deployment, .. }, _) => format!("Deployment {deployment} goes on. H holds it again."),
        (Command::Hold { deployment }, _) => {
            format!("Deployment {deployment} holds before its next step. c goes on, R takes it back.")
        }
        (Command::BreakLease { environment, who, .. }, _) => {
            format!("The lease of {} is being taken from {who}.", target::title(state, environment))
        }
        (Command::Leave { deployment, .. }, _) => {
            let place = place(deployment).unwrap_or_else(|| "its environment".to_owned());
            format!("Deployment {deployment} is left as it is; {place} is free for another one.")
        }
        _ => return None,
    })
}
