//! The words to a run: cancel it, acknowledge a check.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::dialogs::{mark_chosen, open, place, prompt};
use super::{Words, fold, put};
use crate::domain::ids::{Owner, RunId};
use crate::domain::state::StepPhase;
use crate::tui::field::Field;
use crate::tui::model::Model;
use crate::tui::theme::Role;

pub(super) fn cancel(model: &Model, run: RunId, now: bool, area: Rect, buffer: &mut Buffer) {
    let running: Vec<&str> =
        model.steps().into_iter().filter(|(_, at)| at.is_open()).map(|(step, _)| step.id.as_str()).collect();
    let running = if running.is_empty() { "nothing runs".to_owned() } else { running.join(", ") };
    let spot = place(area, 68, if area.width < 68 { 8 } else { 7 });
    let inside = open(model, spot, &format!("Cancel run {run}"), "↑↓ choose · ⏎ do · esc leave it", buffer);
    let choices = [
        (false, "between steps", format!("what runs may end: {running}")),
        (true, "now", format!("what runs is stopped: {running}")),
    ];
    for (line, (choice, name, text)) in (1_u16..).zip(choices) {
        let chosen = choice == now;
        let mut words = Words::new(&model.theme);
        words.add(
            if chosen { Role::Accent } else { Role::Dim },
            model.theme.pick(if chosen { "●" } else { "○" }, if chosen { "(*)" } else { "( )" }),
        );
        words.add(Role::Text, " ").add(if chosen { Role::Strong } else { Role::Text }, name).to(20);
        words.cut(Role::Dim, &text, usize::from(inside.width).saturating_sub(20));
        put(buffer, inside, line, &words.line());
        mark_chosen(model, inside, line, chosen && line < inside.height, buffer);
    }
    let text = "A pipeline changes nothing outside. A retry goes on from there.";
    for (line, piece) in (4..).zip(fold(text, usize::from(inside.width))) {
        put(buffer, inside, line, &Line::styled(piece, model.theme.style(Role::Dim)));
    }
}

pub(super) fn acknowledge(
    model: &Model,
    run: RunId,
    step: &str,
    field: &Field,
    area: Rect,
    buffer: &mut Buffer,
) {
    let spot = place(area, 70, 10);
    let empty = field.text().trim().is_empty();
    let hint = if empty { "⏎ needs a reason · esc leave it" } else { "⏎ acknowledge · esc leave it" };
    let inside = open(model, spot, &format!("Acknowledge {step} of run {run}"), hint, buffer);
    let reason =
        model.state.steps(Owner::Run(run)).into_iter().find(|(known, _)| known.id.as_str() == step).map(
            |(_, at)| match &at.phase {
                StepPhase::Inconclusive { reason } => reason.clone(),
                // Somebody else was faster, or tried it again.
                _ => "It is no longer inconclusive.".to_owned(),
            },
        );
    let theme = &model.theme;
    let mut line = 0;
    for piece in fold(&theme.words(&reason.unwrap_or_default()), usize::from(inside.width)).iter().take(3) {
        let mut words = Words::new(theme);
        words.add(Role::Warn, piece);
        put(buffer, inside, line, &words.line());
        line += 1;
    }
    let mut words = Words::new(theme);
    words.add(Role::Dim, "Why is that acceptable? The journal keeps your words.");
    put(buffer, inside, line + 1, &words.line());
    let below = Rect {
        y: inside.y.saturating_add(line + 2),
        height: inside.height.saturating_sub(line + 2),
        ..inside
    };
    prompt(model, "why", field, Rect { width: below.width, ..below }, buffer);
}
