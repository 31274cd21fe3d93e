//! The words to a deployment under way.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::confirm;
use super::confirm::{Sheet, columns, labelled, marked};
use crate::domain::state::{Deployment, DeploymentPhase, StepPhase};
use crate::tui::model::Model;
use crate::tui::target::{self, Word};
use crate::tui::theme::{Mark, Role};
use crate::tui::word::WordDialog;

pub(super) fn draw(model: &Model, dialog: &WordDialog, area: Rect, buffer: &mut Buffer) {
    if let Some(sheet) = sheet(model, dialog, area.width) {
        confirm::draw(model, &sheet, area, buffer);
    }
}

pub(super) fn sheet<'a>(model: &Model, dialog: &'a WordDialog, wide: u16) -> Option<Sheet<'a>> {
    let state = &model.state;
    let deployment = dialog.deployment(state)?;
    let place = target::title(state, &deployment.environment);
    let (title, does) = match dialog.kind {
        Word::Go => (format!("Go on with deployment {}", dialog.deployment), "go on"),
        Word::Hold => (format!("Hold deployment {}", dialog.deployment), "hold"),
        Word::Leave => (format!("Leave deployment {} as it is", dialog.deployment), "leave it as it is"),
    };
    let hint = match dialog.ready(model) {
        Ok(()) => format!("⏎ {does} · esc back"),
        Err((_, missing)) => format!("⏎ needs {missing} · esc back"),
    };
    Some(Sheet {
        title: format!("{title}: {} to {place}", deployment.release),
        heavy: target::is_protected(state, &deployment.environment),
        body: body(model, dialog.kind, deployment, columns(wide)),
        word: Some((&dialog.word, dialog.wanted(state))),
        hint,
    })
}

fn body(model: &Model, kind: Word, deployment: &Deployment, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let mut lines = Vec::new();
    match &deployment.phase {
        DeploymentPhase::Held { reason } => {
            let mark = (Role::Warn, theme.glyph(Mark::Inconclusive));
            lines.extend(marked(theme, mark, &format!("held: {reason}"), columns));
        }
        _ => lines.push(Line::styled("It is not held any more.", theme.style(Role::Warn))),
    }
    lines.push(Line::default());
    if kind == Word::Leave {
        let place = target::title(&model.state, &deployment.environment);
        let text = format!(
            "Nothing more is done: what runs goes on running, what has the traffic keeps it. {place} is free for \
             another deployment. This one ends as broken."
        );
        lines.extend(super::fold(&theme.words(&text), columns).into_iter().map(Line::from));
        return lines;
    }
    let steps = |meant: fn(&StepPhase) -> bool, known: bool| -> Vec<&str> {
        let all = deployment.plan.steps.iter();
        let meant = all.filter(|step| {
            deployment
                .steps
                .get(&step.id)
                .is_some_and(|at| meant(&at.phase) && (!known || at.acknowledged.is_none()))
        });
        meant.map(|step| step.id.as_str()).collect()
    };
    let again = steps(|at| matches!(at, StepPhase::Failed { .. } | StepPhase::Cancelled), false);
    let accepted = steps(|at| matches!(at, StepPhase::Inconclusive { .. }), true);
    let next = steps(|at| matches!(at, StepPhase::Waiting), false);
    for (label, names) in [("tries again", again), ("accepts", accepted), ("then", next)] {
        if !names.is_empty() {
            lines.extend(labelled(theme, label, (Role::Text, &names.join(" · ")), columns));
        }
    }
    lines
}
