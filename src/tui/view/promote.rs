//! The promotion that is looked at.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::confirm::{Sheet, columns, labelled, marked};
use super::dialogs::{mark_chosen, open, place};
use super::{Words, confirm, plan, put};
use crate::domain::gate::GateState;
use crate::domain::ids::ReleaseNumber;
use crate::domain::query::PromotionPreview;
use crate::tui::layout::first_shown;
use crate::tui::model::Model;
use crate::tui::promote::PromoteDialog;
use crate::tui::target;
use crate::tui::theme::{Mark, Role};

/// How many commits are shown, and how many migrations are named.
const COMMITS: usize = 4;
const MIGRATIONS: usize = 4;
/// With fewer rows than this not everything is in sight at once.
const SMALL: u16 = 20;

pub(super) fn draw(model: &Model, dialog: &PromoteDialog, area: Rect, buffer: &mut Buffer) {
    match dialog.picker {
        Some(at) => draw_picker(model, dialog, at, area, buffer),
        None => confirm::draw(model, &sheet(model, dialog, area.width), area, buffer),
    }
}

pub(super) fn sheet<'a>(model: &Model, dialog: &'a PromoteDialog, wide: u16) -> Sheet<'a> {
    let place = target::title(&model.state, &dialog.environment);
    let does = match dialog.ready(model) {
        Ok(_) => "⏎ promote".to_owned(),
        Err((_, missing)) => format!("⏎ needs {missing}"),
    };
    let other = match () {
        () if !dialog.word.is_untouched() => "",
        () if target::chain(&model.state).len() > 1 => " · ↑↓ release · tab environment",
        () => " · ↑↓ release",
    };
    Sheet {
        title: format!("Promote {} to {place}", dialog.release),
        heavy: target::is_protected(&model.state, &dialog.environment),
        body: body(model, dialog, columns(wide)),
        word: Some((&dialog.word, dialog.wanted(&model.state))),
        hint: format!("{does}{other} · esc back"),
    }
}

fn body(model: &Model, dialog: &PromoteDialog, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let mut lines = Vec::new();
    if let Some(why) = dialog.look.trouble() {
        lines.extend(marked(theme, (Role::Bad, theme.glyph(Mark::Failed)), why, columns));
    }
    let Some(preview) = dialog.look.shown() else {
        if lines.is_empty() {
            lines.push(Line::styled("Looking at what it would do…", theme.style(Role::Dim)));
        }
        return lines;
    };
    lines.extend(artifact(model, preview, columns));
    lines.push(Line::default());
    // With little room, what stands in the way comes before what it brings.
    let small = model.size.1 < SMALL;
    if small {
        lines.extend(gates(model, preview, columns));
    }
    lines.extend(commits(model, preview, columns));
    lines.extend(migrations(model, preview, columns));
    lines.push(Line::default());
    if !small {
        lines.extend(gates(model, preview, columns));
        lines.push(Line::default());
    }
    let label = format!("plan {}", preview.plan.digest.short());
    lines.extend(labelled(theme, &label, (Role::Text, &plan::steps(&preview.plan)), columns));
    lines.extend(labelled(theme, "", (Role::Dim, &plan::estimate(preview.estimate)), columns));
    lines
}

/// `1 commit`, `3 commits`, `no migration`.
fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}

/// From what to what, and which artifact that is.
fn artifact(model: &Model, preview: &PromotionPreview, columns: usize) -> Vec<Line<'static>> {
    let (state, theme) = (&model.state, &model.theme);
    let named = |number: ReleaseNumber| {
        let commit = state.releases.get(&number).map(|release| release.commit.short());
        commit.map_or_else(|| number.to_string(), |commit| format!("{number} {commit}"))
    };
    let mut words = Words::new(theme);
    match preview.from {
        Some((_, from)) if from == preview.release => {
            words
                .add(Role::Strong, &named(from))
                .add(Role::Dim, "  is live here: the same release once more");
        }
        Some((_, from)) => {
            words.add(Role::Text, &named(from)).add(Role::Dim, " → ");
            words.add(Role::Strong, &named(preview.release));
        }
        None => {
            words.add(Role::Dim, "nothing → ").add(Role::Strong, &named(preview.release));
        }
    }
    let Some(release) = state.releases.get(&preview.release) else { return vec![words.line()] };
    let version = release.version.as_ref().map(|version| format!("{version} · ")).unwrap_or_default();
    let about = format!("{version}“{}”", release.subject);
    let room = columns.saturating_sub(words.columns() + 2);
    words.add(Role::Dim, "  ").cut(Role::Dim, &about, room);
    let mut lines = vec![words.line()];
    let after =
        state.environment(&preview.environment).ok().and_then(|environment| environment.after.as_ref());
    let proven = after.filter(|_| state.promotable(&preview.environment, preview.release).is_ok());
    let same = proven.map_or_else(String::new, |after| format!("the very artifact that {after} ran"));
    let mut words = Words::new(theme);
    words.cut(Role::Dim, release.artifact.id.short(), columns).add(Role::Dim, "  ");
    let room = columns.saturating_sub(words.columns());
    words.cut(Role::Text, &same, room);
    lines.push(words.line());
    lines
}

fn commits(model: &Model, preview: &PromotionPreview, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let all = preview.commits.len();
    let mut lines = Vec::new();
    // One more line is worth a commit rather than the word that there is one more.
    let shown = if all <= COMMITS + 1 { all } else { COMMITS };
    for (at, commit) in preview.commits.iter().take(shown).enumerate() {
        let label = if at == 0 { count(all, "commit") } else { String::new() };
        let text = format!("{} {}", commit.id.short(), commit.subject);
        let text = crate::tui::measure::truncate(&text, confirm::beside_label(columns), theme.ellipsis());
        lines.extend(labelled(theme, &label, (Role::Text, &text), columns));
    }
    let more = match all - shown {
        0 => preview.commits_note.clone(),
        more if preview.commits_note.is_empty() => format!("… and {more} more"),
        more => format!("… and {more} more. {}", preview.commits_note),
    };
    if !more.is_empty() {
        lines.extend(labelled(theme, if all == 0 { "commits" } else { "" }, (Role::Dim, &more), columns));
    }
    lines
}

fn migrations(model: &Model, preview: &PromotionPreview, columns: usize) -> Vec<Line<'static>> {
    let all = preview.migrations.len();
    let shown = if all <= MIGRATIONS + 1 { all } else { MIGRATIONS };
    let names: Vec<&str> = preview.migrations.iter().take(shown).map(String::as_str).collect();
    let text = match (all, all - shown) {
        (0, _) => "the schema stays as it is".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} … and {more} more", names.join(", ")),
    };
    let role = if all == 0 { Role::Dim } else { Role::Text };
    labelled(&model.theme, &count(all, "migration"), (role, &text), columns)
}

fn gates(model: &Model, preview: &PromotionPreview, columns: usize) -> Vec<Line<'static>> {
    let theme = &model.theme;
    let mut lines = Vec::new();
    for gate in &preview.gates {
        let mark = match gate.state {
            GateState::Holds => Mark::Passed,
            GateState::Warns => Mark::Inconclusive,
            GateState::Fails => Mark::Failed,
        };
        lines.extend(marked(theme, (mark.role(), theme.glyph(mark)), &gate.words, columns));
        if !gate.cure.is_empty() {
            let cure = format!("→ {}", gate.cure);
            lines.extend(marked(theme, (Role::Accent, ""), &cure, columns));
        }
    }
    lines
}

fn draw_picker(model: &Model, dialog: &PromoteDialog, at: usize, area: Rect, buffer: &mut Buffer) {
    let (state, theme) = (&model.state, &model.theme);
    let releases = target::releases(state);
    let high = u16::try_from(releases.len()).unwrap_or(u16::MAX).saturating_add(2);
    let spot = place(area, confirm::COLUMNS, high.min(area.height.saturating_sub(4)).max(3));
    let title = format!("Promote to {}: which release?", target::title(state, &dialog.environment));
    let inside = open(model, spot, &title, "⏎ look at it · tab environment · esc back", buffer);
    let from = first_shown(releases.len(), at, usize::from(inside.height));
    for (line, (index, number)) in (0..inside.height).zip(releases.iter().enumerate().skip(from)) {
        let Some(release) = state.releases.get(number) else { continue };
        let is_live = |name: &&&crate::domain::ids::EnvironmentName| {
            state.live(name).is_some_and(|(_, live)| live.release == *number)
        };
        let chain = target::chain(state);
        let live: Vec<String> = chain.iter().filter(is_live).map(|name| target::title(state, name)).collect();
        let live = if live.is_empty() { String::new() } else { format!("live on {}", live.join(", ")) };
        let role = if index == at { Role::Strong } else { Role::Text };
        let mut words = Words::new(theme);
        words.add(role, &number.to_string()).to(6);
        words.cut(Role::Dim, release.version.as_deref().unwrap_or(""), 10).to(17);
        words.add(Role::Dim, release.commit.short()).to(26);
        let tail = crate::text::width::width(&live);
        let room = usize::from(inside.width).saturating_sub(words.columns() + tail + 2);
        words.cut(role, &release.subject, room).to(usize::from(inside.width).saturating_sub(tail));
        words.add(Role::Good, &live);
        put(buffer, inside, line, &words.line());
        mark_chosen(model, inside, line, index == at, buffer);
    }
}
