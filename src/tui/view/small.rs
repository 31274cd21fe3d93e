//! What is drawn when there is little room.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::brief::{back_word, rollback_hint, short, shown_name, verdict_role, verdict_word};
use super::{Words, deployment, fold, footer, put, steps};
use crate::domain::state::DeploymentPhase;
use crate::tui::layout::{SMALLEST, first_shown};
use crate::tui::model::{Focus, Model, Screen};
use crate::tui::theme::{Mark, Role, run_word};

/// One line that says so.
pub(crate) fn too_small(model: &Model, area: Rect, buffer: &mut Buffer) {
    let (columns, rows) = SMALLEST;
    let text = format!("towpath needs {columns}×{rows}; this is {}×{}. q quits.", area.width, area.height);
    let columns = usize::from(area.width);
    let folded = fold(&model.theme.words(&text), columns);
    let lines = if folded.len() <= usize::from(area.height) { folded } else { vec![text] };
    for (line, piece) in (0..area.height).zip(&lines) {
        let mut words = Words::new(&model.theme);
        words.cut(Role::Text, piece, columns);
        put(buffer, area, line, &words.line());
    }
}

/// Which run, the current step and those around it, the status; the log on a second page.
pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    if model.screen == Screen::Environments && model.focus == Focus::Steps {
        return draw_places(model, area, buffer);
    }
    if model.screen != Screen::Pipeline {
        return draw_page(model, area, buffer);
    }
    let columns = usize::from(area.width);
    let theme = &model.theme;
    let mut head = Words::new(theme);
    head.add(Role::Text, " ").add(Role::Accent, model.project());
    if let Some((id, run)) = model.run() {
        let mark = Mark::of_phase(run.phase);
        head.add(Role::Dim, " · ").add(Role::Strong, &format!("run {id}")).add(Role::Dim, " · ");
        head.add(mark.role(), run_word(run));
        if let Some(took) = steps::took(model, run) {
            let took = if run.ended.is_none() { steps::whole(took) } else { took.to_string() };
            head.add(Role::Dim, &format!(" · {took}"));
        }
    }
    put(buffer, area, 0, &head.line());
    let status = footer::status_line(model, columns);
    let keys = Rect { y: area.bottom().saturating_sub(1), height: 1, ..area };
    put(buffer, area, area.height.saturating_sub(2), &status);
    let mut hint = Words::new(theme);
    let back = model.focus != Focus::Steps;
    for (key, name) in
        [("esc", "back"), ("↑↓", "step"), ("⏎", "log"), ("R", "roll back"), ("?", "help"), ("q", "quit")]
    {
        // On the second page the way out of it comes first; on the first one, the way back of a release.
        let shown = match key {
            "esc" => back,
            "⏎" | "R" => !back,
            _ => true,
        };
        if shown {
            hint.add(Role::Text, " ").add(Role::Accent, key).add(Role::Text, &format!(" {name}"));
        }
    }
    put(buffer, keys, 0, &hint.line());
    let body =
        Rect { y: area.y + 2, height: area.height.saturating_sub(5), x: area.x + 1, width: area.width - 2 };
    if model.run_id().is_none() {
        let rows: Vec<_> = model.commits.rows.iter().flatten().collect();
        return super::commits::draw_rows(model, &rows, body, buffer);
    }
    if back {
        return super::draw_right(
            model,
            Rect { y: area.y + 1, height: area.height.saturating_sub(3), ..area },
            buffer,
        );
    }
    let Some((_, run)) = model.run() else { return };
    let list = model.steps();
    let Some((chosen, at)) = model.step() else { return };
    let here = list.iter().position(|(step, _)| step.id == chosen.id).unwrap_or(0);
    // The selected step in full, below the list.
    let facts = steps::facts(model, run, chosen, at).1;
    let said = fold(&theme.words(&facts), usize::from(body.width).saturating_sub(2));
    let said: Vec<_> = said.into_iter().take(2).collect();
    let lines = body.height.saturating_sub(u16::try_from(said.len()).unwrap_or(0)).max(1);
    let from = first_shown(list.len(), here, usize::from(lines));
    let mut next = 0;
    for (index, (step, at)) in list.iter().enumerate().skip(from).take(usize::from(lines)) {
        let mark = Mark::of_step(at);
        let mut words = Words::new(theme);
        words.add(mark.role(), theme.glyph(mark)).add(Role::Text, " ");
        words.add(if index == here { Role::Strong } else { Role::Text }, step.id.as_str());
        words.add(Role::Dim, &format!(" · {}", mark.word()));
        if let (Some(started), true) = (at.started, at.is_open()) {
            words.add(Role::Accent, &format!(" {}", steps::whole(model.shown_at().since(started))));
        }
        put(buffer, body, next, &words.line());
        if index == here {
            buffer.set_string(area.x, body.y + next, theme.pick("▌", ">"), theme.style(Role::Chosen));
        }
        next += 1;
    }
    for (line, text) in (next..body.height).zip(said) {
        put(buffer, body, line, &Line::styled(format!("  {text}"), theme.style(Role::Dim)));
    }
}

/// A step's log or card, or the merged log, between a line that says where this is and the keys.
fn draw_page(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut head = Words::new(&model.theme);
    head.add(Role::Text, " ").add(Role::Accent, model.project());
    let body = Rect { y: area.y + 1, height: area.height.saturating_sub(3), ..area };
    let keys = if model.screen == Screen::Logs {
        head.add(Role::Dim, " · logs");
        super::logs::draw(model, body, buffer);
        [("2", "back"), ("s", "sources"), ("/", "search"), ("q", "quit")]
    } else {
        head.add(Role::Dim, " · environments");
        super::draw_right(model, body, buffer);
        [("esc", "back"), ("/", "search"), ("?", "help"), ("q", "quit")]
    };
    put(buffer, area, 0, &head.line());
    let status = footer::status_line(model, usize::from(area.width));
    put(buffer, area, area.height.saturating_sub(2), &status);
    let mut hint = Words::new(&model.theme);
    for (key, name) in keys {
        hint.add(Role::Text, " ").add(Role::Accent, key).add(Role::Text, &format!(" {name} "));
    }
    put(buffer, area, area.height.saturating_sub(1), &hint.line());
}

/// Each environment in a line, what happens to the selected one, and the way back from it.
fn draw_places(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = &model.theme;
    let mut head = Words::new(theme);
    head.add(Role::Text, " ").add(Role::Accent, model.project()).add(Role::Dim, " · environments");
    put(buffer, area, 0, &head.line());
    let room = area.height.saturating_sub(2);
    let mut line = 1;
    let here = model.environment().map(|(name, _)| name.clone());
    for (name, settings) in model.environments() {
        let chosen = Some(name) == here.as_ref();
        let mut words = Words::new(theme);
        words.add(Role::Chosen, if chosen { theme.pick("▸", ">") } else { " " });
        words.add(if settings.protected { Role::Strong } else { Role::Text }, &shown_name(name, settings));
        short(model, name, &mut words);
        if line < room {
            put(buffer, area, line, &words.line());
        }
        line += 1;
    }
    let Some(name) = here else {
        put(buffer, area, 1, &footer::status_line(model, usize::from(area.width)));
        return;
    };
    if let Some((number, one)) = model.state.under_way(&name) {
        let (mark, text) = deployment::sentence(model, number, one);
        let text = theme.words(&text).into_owned();
        for piece in fold(&text, usize::from(area.width).saturating_sub(2)) {
            if line < room.saturating_sub(1) {
                put(buffer, area, line, &Line::styled(format!(" {piece}"), theme.style(mark.role())));
            }
            line += 1;
        }
    }
    let mut hint = Words::new(theme);
    hint.add(Role::Text, " ");
    match rollback_hint(model, &name) {
        Ok((to, verdict)) => {
            let held = model.state.under_way(&name);
            if held.is_some_and(|(_, one)| matches!(one.phase, DeploymentPhase::Held { .. })) {
                hint.add(Role::Accent, "c").add(Role::Text, " go on ");
            }
            let word = back_word(model, &name);
            hint.add(Role::Accent, "R").add(Role::Text, &format!(" {word} → {to} "));
            hint.add(verdict_role(&verdict), verdict_word(&verdict));
        }
        Err(why) => {
            hint.add(Role::Dim, &format!("R rollback: {why}"));
        }
    }
    // News, and that there is no engine, go first: they may be why nothing moves.
    let said = model.news.is_some() || model.link != crate::tui::model::Link::Up;
    if said {
        put(buffer, area, area.height.saturating_sub(3), &hint.line());
        put(
            buffer,
            area,
            area.height.saturating_sub(2),
            &footer::status_line(model, usize::from(area.width)),
        );
    } else {
        put(buffer, area, area.height.saturating_sub(2), &hint.line());
    }
    let mut keys = Words::new(theme);
    for (key, name) in [("←→", "other"), ("1", "pipeline"), ("?", "help"), ("q", "quit")] {
        keys.add(Role::Text, " ").add(Role::Accent, key).add(Role::Text, &format!(" {name} "));
    }
    put(buffer, area, area.height.saturating_sub(1), &keys.line());
}
