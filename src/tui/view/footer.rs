//! The status line and the keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Words, put, steps};
use crate::domain::ids::Owner;
use crate::domain::state::{Run, RunEnd, RunPhase, StepState};
use crate::tui::layout::footer_keys;
use crate::tui::model::{Link, Model, Screen, Tone};
use crate::tui::schedule::schedule;
use crate::tui::theme::{Mark, Role, run_word};

pub(crate) fn status(model: &Model, area: Rect, buffer: &mut Buffer) {
    put(buffer, area, 0, &status_line(model, usize::from(area.width)));
}

/// The news, else what is wrong, else where the run is.
pub(crate) fn status_line(model: &Model, columns: usize) -> Line<'static> {
    let theme = &model.theme;
    let mut words = Words::new(theme);
    let room = columns.saturating_sub(4);
    words.add(Role::Text, " ");
    if let Some(news) = &model.news {
        let mark = match news.tone {
            Tone::Done => (Role::Good, theme.glyph(Mark::Passed)),
            Tone::Trouble => (Role::Warn, theme.glyph(Mark::Inconclusive)),
        };
        words.add(mark.0, mark.1).add(Role::Text, " ").cut(Role::Text, &news.text, room);
        return words.line();
    }
    if let Link::Lost { since, why, again } = &model.link {
        let wait = again.since(model.now).0.div_ceil(1000);
        let next = if wait == 0 { "trying again".to_owned() } else { format!("trying again in {wait}s") };
        let shown = if model.state.seq.0 == 0 {
            format!("no engine · {next} · {why}")
        } else {
            format!("no engine: what is shown is from {} · {next} · {why}", model.clock(*since))
        };
        words.add(Role::Bad, theme.glyph(Mark::Failed)).add(Role::Text, " ").cut(Role::Bad, &shown, room);
        return words.line();
    }
    // Where a run has something to say of itself, that goes first; the header says it in a word all the while.
    let quiet =
        |run: &Run| matches!(run.phase, RunPhase::Ended(RunEnd::Passed { .. } | RunEnd::Superseded { .. }));
    if let (Some(why), true) = (model.state.branch_trouble(), model.run().is_none_or(|(_, run)| quiet(run))) {
        words.add(Role::Warn, theme.glyph(Mark::Inconclusive)).add(Role::Text, " ").cut(
            Role::Text,
            why,
            room,
        );
        return words.line();
    }
    if model.screen != Screen::Pipeline {
        return super::brief::status_line(model, columns);
    }
    let Some((id, run)) = model.run() else {
        words.cut(
            Role::Dim,
            if model.link == Link::Up { "no run yet" } else { "connecting to the engine…" },
            room,
        );
        return words.line();
    };
    let mark = Mark::of_phase(run.phase);
    words.add(mark.role(), theme.glyph(mark)).add(Role::Text, " ");
    let steps = model.state.steps(Owner::Run(id));
    let open: Vec<&str> =
        steps.iter().filter(|(_, at)| at.is_open()).map(|(step, _)| step.id.as_str()).collect();
    let over = steps.iter().filter(|(_, at)| at.lets_others_start() && !at.wants_acknowledgement()).count();
    let mut text = format!("run {id} {}", run_word(run));
    match run.phase {
        RunPhase::Running | RunPhase::Cancelling { .. } => {
            if !open.is_empty() {
                text.push_str(&format!(" · {}", open.join(", ")));
            }
            text.push_str(&format!(" · {over} of {} steps done", steps.len()));
            let left =
                schedule(&model.state, id, model.shown_at()).left.filter(|_| run.phase == RunPhase::Running);
            if let Some(left) = left {
                text.push_str(&format!(" · {}", steps::time_left(left)));
            }
        }
        RunPhase::Held => {
            let waits: Vec<&str> = steps
                .iter()
                .filter(|(_, at)| StepState::wants_acknowledgement(at))
                .map(|(step, _)| step.id.as_str())
                .collect();
            text.push_str(&format!(
                " · waits for your word on {}: a acknowledges it, r tries again",
                waits.join(", ")
            ));
        }
        RunPhase::Ended(RunEnd::Failed) => {
            if let Some((step, summary)) = &run.failed {
                let said = summary.starts_with(step.as_str());
                text.push_str(&if said {
                    format!(" · {summary}")
                } else {
                    format!(" · {step}: {summary}")
                });
            } else if let Some(cause) = &run.cause {
                text.push_str(&format!(" · {}", cause.summary));
            }
        }
        RunPhase::Ended(RunEnd::Passed { release: Some(release) }) => {
            text.push_str(&format!(" · release {release}"));
        }
        RunPhase::Ended(RunEnd::Superseded { by }) => text.push_str(&format!(" by run {by}")),
        RunPhase::Queued | RunPhase::Preparing | RunPhase::Ended(_) => {}
    }
    if let (RunPhase::Ended(_), Some(took)) = (run.phase, steps::took(model, run)) {
        text.push_str(&format!(" · took {took}"));
    }
    words.cut(Role::Text, &text, room);
    words.line()
}

pub(crate) fn keys(model: &Model, area: Rect, buffer: &mut Buffer) {
    for placed in footer_keys(model, area) {
        let mut words = Words::new(&model.theme);
        match placed.item.reason {
            None => words
                .add(Role::Accent, &placed.item.key)
                .add(Role::Text, " ")
                .add(Role::Text, &placed.item.name),
            Some(reason) => {
                words.add(Role::Dim, &format!("{} {}: {reason}", placed.item.key, placed.item.name))
            }
        };
        let place = Rect { x: area.x + placed.x, y: area.y + placed.y, width: placed.width, height: 1 };
        put(buffer, place.intersection(area), 0, &words.line());
    }
}
