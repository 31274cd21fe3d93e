//! One-line text fields: `tui-textarea` with what a field of one line must not do left out.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tui_textarea::{CursorMove, TextArea};

/// A field of one line.
#[derive(Debug, Clone, Default)]
pub struct Field {
    area: TextArea<'static>,
}

impl Field {
    /// An empty field.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A field with text in it, the cursor behind it.
    #[must_use]
    pub fn with(text: &str) -> Self {
        let mut field = Self { area: TextArea::new(vec![one_line(text)]) };
        field.area.move_cursor(CursorMove::End);
        field
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        self.area.lines().first().map_or("", String::as_str)
    }

    /// Takes a key. Returns whether the text changed.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        // Everything that would make a second line.
        if matches!(key.code, KeyCode::Enter | KeyCode::Tab)
            || (control && matches!(key.code, KeyCode::Char('m' | 'j')))
        {
            return false;
        }
        if control && key.code == KeyCode::Char('u') {
            return self.area.delete_line_by_head();
        }
        self.area.input(key)
    }

    /// Takes a paste: its line ends become blanks, its control characters are left out.
    pub fn paste(&mut self, text: &str) {
        self.area.insert_str(one_line(text));
    }

    /// The widget, with the cursor drawn in it.
    pub(crate) const fn area(&self) -> &TextArea<'static> {
        &self.area
    }
}

fn one_line(text: &str) -> String {
    text.trim_end_matches(['\n', '\r'])
        .chars()
        .map(|sign| if matches!(sign, '\n' | '\r' | '\t') { ' ' } else { sign })
        .filter(|sign| !sign.is_control())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paste_of_many_lines_stays_one_line() {
        let mut field = Field::with("why: ");
        field.paste("first\r\nsecond\x1b[31m\n");
        assert_eq!(field.text(), "why: first  second[31m");
        assert!(!field.key(KeyEvent::from(KeyCode::Enter)));
        assert!(field.key(KeyEvent::from(KeyCode::Backspace)));
    }
}
