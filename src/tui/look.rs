//! What the engine would do, as it said when it was last asked.

/// A preview that is asked for again whenever something moved. At most one question is under way.
#[derive(Debug, Clone)]
pub struct Look<T> {
    /// What is shown; it may be old while a question is under way.
    shown: Option<T>,
    /// Why there is none.
    trouble: Option<String>,
    asked: bool,
    again: bool,
}

impl<T> Look<T> {
    /// Just asked for.
    pub(crate) const fn asked() -> Self {
        Self { shown: None, trouble: None, asked: true, again: false }
    }

    /// Wants it anew. Returns whether the question is to be sent now; else it is sent after the answer that is
    /// still to come.
    pub(crate) const fn ask(&mut self) -> bool {
        let now = !self.asked;
        self.again = self.asked;
        self.asked = true;
        now
    }

    /// The connection is a new one: whatever was under way on the old one is asked again.
    pub(crate) const fn ask_anew(&mut self) {
        (self.asked, self.again) = (true, false);
    }

    /// An answer came. Returns whether something moved meanwhile, so that it is asked once more.
    pub(crate) fn take(&mut self, answer: Result<T, String>) -> bool {
        match answer {
            Ok(shown) => (self.shown, self.trouble) = (Some(shown), None),
            Err(why) => self.trouble = Some(why),
        }
        self.asked = std::mem::take(&mut self.again);
        self.asked
    }

    /// What is shown, be it old or not.
    pub(crate) const fn shown(&self) -> Option<&T> {
        self.shown.as_ref()
    }

    /// Why it could not be had.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What is shown, when nothing is known to have moved since.
    ///
    /// # Errors
    /// Why a person can't act on it, in a few words.
    pub(crate) fn fresh(&self) -> Result<&T, &'static str> {
        match &self.shown {
            _ if self.trouble.is_some() => Err("it can’t be done"),
            Some(shown) if !self.asked => Ok(shown),
            Some(_) => Err("it is being looked at again"),
            None => Err("it is being looked at"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_while_it_was_looked_at_is_looked_at_again() {
        let mut look: Look<u8> = Look::asked();
        assert!(look.fresh().is_err());
        assert!(!look.ask() && !look.ask(), "one question at a time");
        assert!(look.take(Ok(1)), "both wishes are one more question");
        assert!(look.fresh().is_err() && look.shown() == Some(&1));
        assert!(!look.take(Ok(2)));
        assert_eq!(look.fresh(), Ok(&2));
        assert!(look.ask());
        assert!(!look.take(Err("gone".to_owned())));
        assert!(look.fresh().is_err() && look.trouble() == Some("gone"));
    }
}
