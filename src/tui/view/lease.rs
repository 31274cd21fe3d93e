//! Breaking a lease: what is taken from whom.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::confirm::{self, Sheet, columns, marked};
use crate::tui::lease::LeaseDialog;
use crate::tui::model::Model;
use crate::tui::target;
use crate::tui::theme::{Mark, Role};

pub(super) fn draw(model: &Model, dialog: &LeaseDialog, area: Rect, buffer: &mut Buffer) {
    confirm::draw(model, &sheet(model, dialog, area.width), area, buffer);
}

pub(super) fn sheet<'a>(model: &Model, dialog: &'a LeaseDialog, wide: u16) -> Sheet<'a> {
    let theme = &model.theme;
    let columns = columns(wide);
    let place = target::title(&model.state, &dialog.environment);
    let held = &dialog.holder;
    let text = format!(
        "{} holds it for {}, since {}; the last heartbeat was {}.",
        held.who,
        held.what,
        model.clock(held.since),
        model.ago(held.heartbeat)
    );
    let mut lines = marked(theme, (Role::Warn, theme.glyph(Mark::Inconclusive)), &text, columns);
    lines.push(Line::default());
    let told = format!(
        "Their deployment can change nothing on {place} from then on and stops where it is. What it has begun stays \
         half done until another deployment puts it right. Without a heartbeat the lease runs out by itself."
    );
    lines.extend(super::fold(&theme.words(&told), columns).into_iter().map(Line::from));
    let hint = match dialog.ready(model) {
        Ok(()) => "⏎ break it · esc back".to_owned(),
        Err((_, missing)) => format!("⏎ needs {missing} · esc back"),
    };
    Sheet {
        title: format!("Break the lease of {place}"),
        heavy: true,
        body: lines,
        word: Some((&dialog.word, dialog.wanted())),
        hint,
    }
}
