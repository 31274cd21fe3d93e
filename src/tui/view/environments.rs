//! One panel an environment: where the panels are drawn.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::brief::{health_word, shown_name};
use super::facts::lines;
use super::{Words, fold, panel_of, put};
use crate::tui::arrange::{Arranged, place};
use crate::tui::model::{Focus, Model};
use crate::tui::theme::Role;

pub(crate) fn draw(model: &Model, parts: &Arranged, buffer: &mut Buffer) {
    let all = model.environments();
    if all.is_empty() {
        if let Some((_, area)) = parts.panels.first() {
            draw_none(model, *area, buffer);
        }
        return;
    }
    let here = place(model);
    for (index, area) in &parts.panels {
        let Some((name, settings)) = all.get(*index) else { continue };
        let chosen = *index == here;
        let focused = chosen && !model.places.open && model.focus == Focus::Steps;
        let mut title = Vec::new();
        if chosen {
            title.push((Role::Chosen, model.theme.pick("▸ ", "> ").to_owned()));
        }
        title.push((Role::Strong, shown_name(name, settings)));
        let (glyph, role, word) = health_word(model, name);
        let right = [(role, format!("{glyph} {word}"))];
        let inside = panel_of(model, *area, settings.protected, focused, &title, &right, buffer);
        let lines = lines(model, name, settings, usize::from(inside.width));
        for (line, text) in (0..inside.height).zip(&lines) {
            put(buffer, inside, line, text);
        }
    }
}

fn draw_none(model: &Model, area: Rect, buffer: &mut Buffer) {
    let title = [(Role::Strong, "Environments".to_owned()), (Role::Dim, " · none yet".to_owned())];
    let inside = panel_of(model, area, false, true, &title, &[], buffer);
    let columns = usize::from(inside.width);
    let told = "No environment is configured: releases have nowhere to go. Add one to towpath.toml in your \
                working tree:";
    let example = [
        "",
        "[environment.staging]",
        "replicas = { web = 2 }",
        "url = \"https://staging.example.com\"",
        "",
        "[environment.production]",
        "after = \"staging\"",
        "protected = true",
        "replicas = { web = 4 }",
        "strategy = { canary = [10, 50], bake = \"5m\" }",
        "",
    ];
    let then = "towpath.example.toml says what else there is; towpath check reads it before you commit.";
    let mut lines: Vec<Line<'static>> = Vec::new();
    let mut say = |role: Role, text: &str| {
        for piece in fold(&model.theme.words(text), columns) {
            let mut words = Words::new(&model.theme);
            words.add(role, &piece);
            lines.push(words.line());
        }
    };
    say(Role::Text, told);
    for line in example {
        say(Role::Accent, line);
    }
    say(Role::Dim, then);
    for (line, text) in (0..inside.height).zip(&lines) {
        put(buffer, inside, line, text);
    }
}
