//! A person's word: a reason, and where it is wanted the environment's name, typed by hand.

use crossterm::event::{KeyCode, KeyEvent};

use super::field::Field;
use crate::domain::command::Command;
use crate::domain::ids::EnvironmentName;

/// Which field has the keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// The reason.
    #[default]
    Why,
    /// The environment's name.
    Name,
}

/// What has to be said.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// Whether there must be a reason.
    pub(crate) reason: bool,
    /// The name that must be typed.
    pub(crate) name: Option<EnvironmentName>,
}

/// What was said so far.
#[derive(Debug, Clone, Default)]
pub struct Confirmation {
    /// The reason.
    pub why: Field,
    /// The environment's name, as typed.
    pub name: Field,
    /// Which of them has the keys.
    pub part: Part,
    /// What is to be told: what is missing, what changed, why it was refused.
    pub said: Option<String>,
    /// What was sent, until it is answered.
    pub sent: Option<Command>,
    /// The first line that is shown of what is to be read.
    pub top: usize,
}

impl Confirmation {
    /// Whether nothing has been typed.
    pub(crate) fn is_untouched(&self) -> bool {
        self.why.text().is_empty() && self.name.text().is_empty()
    }

    /// The reason, without blanks around it.
    pub(crate) fn reason(&self) -> String {
        self.why.text().trim().to_owned()
    }

    /// What was typed for a name, as it is.
    pub(crate) fn typed(&self) -> String {
        self.name.text().to_owned()
    }

    /// What is still missing, with the field that it belongs into; `None` when all is said.
    pub(crate) fn missing(&self, wanted: &Wanted) -> Option<(Part, String)> {
        let reason = wanted.reason && self.reason().is_empty();
        let name = wanted.name.as_ref().filter(|name| self.name.text() != name.as_str());
        match (reason, name) {
            (false, None) => None,
            (true, None) => Some((Part::Why, "a reason".to_owned())),
            (true, Some(name)) => Some((Part::Why, format!("a reason and “{name}” typed"))),
            (false, Some(name)) if self.name.text().is_empty() => {
                Some((Part::Name, format!("“{name}” typed")))
            }
            (false, Some(name)) => Some((Part::Name, format!("“{name}”, letter by letter"))),
        }
    }

    /// Takes a key that is not a movement.
    pub(crate) fn key(&mut self, event: KeyEvent, wanted: &Wanted) {
        match event.code {
            KeyCode::Tab | KeyCode::BackTab => self.turn(wanted),
            _ => {
                self.said = None;
                match self.part {
                    Part::Name if wanted.name.is_some() => self.name.key(event),
                    Part::Name | Part::Why => self.why.key(event),
                };
            }
        }
    }

    /// Goes to the other field, where there are two.
    pub(crate) const fn turn(&mut self, wanted: &Wanted) {
        self.part = match (self.part, &wanted.name) {
            (Part::Why, Some(_)) => Part::Name,
            _ => Part::Why,
        };
    }

    /// Takes a paste. What is pasted is a reason, never a confirmation.
    pub(crate) fn paste(&mut self, text: &str, wanted: &Wanted) {
        match (self.part, &wanted.name) {
            (Part::Name, Some(name)) => {
                self.said = Some(format!("A paste does not confirm: type “{name}” by hand."));
            }
            _ => {
                self.why.paste(text);
                self.said = None;
            }
        }
    }

    /// It was refused, or what was looked at is not so any more: the reason stays, the typed name does not.
    pub(crate) fn take_back(&mut self, said: String) {
        self.said = Some(said);
        self.sent = None;
        self.name = Field::new();
    }
}
