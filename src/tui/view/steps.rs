//! The steps of a run: state, name, facts, a bar on one time axis, how long; and what they come to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::bar::bar;
use super::foot::foot;
use super::{Words, panel, put};
use crate::domain::plan::Step;
use crate::domain::state::{Run, RunPhase, StepPhase, StepState};
use crate::domain::time::Millis;
use crate::text::width::width;
use crate::tui::layout::{first_shown, step_lines};
use crate::tui::model::{Focus, Model};
use crate::tui::schedule::{Schedule, schedule};
use crate::tui::theme::{Mark, Role, run_word};

/// The longest heading and the longest name that get a column of their own.
const GROUP: usize = 12;
const NAME: usize = 18;
/// So much room for facts, or the steps' groups give way.
const FACTS: usize = 30;
/// A duration is at most this wide (`~12m04s`).
const TIME: usize = 7;

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((id, run)) = model.run() else { return };
    let schedule = schedule(&model.state, id, model.shown_at());
    let inside = panel(model, area, model.focus == Focus::Steps, &title(model), &[], buffer);
    let steps = model.steps();
    let lines = step_lines(model, inside.height);
    if steps.is_empty() {
        let text = match run.phase {
            RunPhase::Queued => "waits for its turn: other runs go first",
            RunPhase::Preparing | RunPhase::Running => "reading the commit and making its plan",
            _ if run.cause.is_some() => "it could not be planned: see why beside this",
            _ => "its steps are no longer kept in memory; the journal has them",
        };
        let mut words = Words::new(&model.theme);
        words.cut(Role::Dim, text, usize::from(inside.width));
        put(buffer, inside, 0, &words.line());
    }
    let columns = Columns::of(&steps, usize::from(inside.width));
    let selected = model.step().map(|(step, _)| step.id.clone());
    let here = steps.iter().position(|(step, _)| Some(&step.id) == selected.as_ref()).unwrap_or(0);
    let from = first_shown(steps.len(), here, usize::from(lines));
    let mut group = None;
    for (line, (index, (step, at))) in (0..lines).zip(steps.iter().enumerate().skip(from)) {
        let chosen = index == here;
        let heading = (group != Some(&step.group)).then_some(step.group.as_str());
        group = Some(&step.group);
        let said = facts(model, run, step, at);
        let row = row(model, (step, at), said, heading, chosen, &columns, &schedule);
        put(buffer, inside, line, &row);
        if chosen && inside.x > area.x + 1 {
            let style = model.theme.style(Role::Chosen);
            buffer.set_string(inside.x - 1, inside.y + line, model.theme.pick("▌", ">"), style);
        }
    }
    if steps.len() > usize::from(lines) {
        let text = format!(" {}–{} of {} ", from + 1, from + usize::from(lines), steps.len());
        let mut words = Words::new(&model.theme);
        words.add(Role::Dim, &text);
        let wide = u16::try_from(words.columns()).unwrap_or(0);
        if area.width > wide + 4 {
            buffer.set_line(area.right() - wide - 2, area.bottom().saturating_sub(1), &words.line(), wide);
        }
    }
    let foot = foot(model, usize::from(inside.width));
    let first = inside.height.saturating_sub(u16::try_from(foot.len()).unwrap_or(0)).max(lines);
    for (line, text) in (first..inside.height).zip(&foot) {
        put(buffer, inside, line, text);
    }
}

fn title(model: &Model) -> Vec<(Role, String)> {
    let Some((id, run)) = model.run() else { return Vec::new() };
    let mark = Mark::of_phase(run.phase);
    let mut title = vec![(Role::Strong, format!("Run {id}")), (Role::Dim, " · ".to_owned())];
    title.push((Role::Text, run.commit.id.short().to_owned()));
    title.push((Role::Dim, " · ".to_owned()));
    title.push((mark.role(), run_word(run).to_owned()));
    if let Some(took) = took(model, run) {
        title.push((
            Role::Dim,
            format!(" · {}", if run.ended.is_none() { whole(took) } else { took.to_string() }),
        ));
    }
    title.push((Role::Dim, format!(" · “{}”", run.commit.subject)));
    title
}

/// How long a run has taken, once it has begun. While it is held that stands still: nothing is done then, and
/// nothing draws a clock.
pub(crate) fn took(model: &Model, run: &Run) -> Option<Millis> {
    let held = || run.steps.values().filter_map(|at| at.ended).max();
    let until = match run.phase {
        RunPhase::Held => held(),
        _ => run.ended,
    };
    run.started.map(|started| until.unwrap_or(model.shown_at()).since(started))
}

/// A foretold time, no more exact than it can be: `a few seconds left`, `about 1m40s left`.
pub(crate) fn time_left(left: u64) -> String {
    let seconds = left.div_ceil(1000);
    match seconds {
        0..10 => "a few seconds left".to_owned(),
        10..60 => format!("about {}s left", seconds.div_ceil(5) * 5),
        _ => format!("about {} left", Millis::seconds(seconds.div_ceil(10) * 10)),
    }
}

/// A duration that still grows, in whole seconds: it is drawn once a second, at no even moment.
pub(crate) fn whole(took: Millis) -> String {
    if took.0 < 60_000 { format!("{}s", took.0 / 1000) } else { took.to_string() }
}

/// A usual duration, no more exact than a guess is.
pub(crate) fn about(usual: Millis) -> String {
    match usual.0 {
        0..1000 => "1s".to_owned(),
        1000..60_000 => format!("{}s", (usual.0 + 500) / 1000),
        _ => usual.to_string(),
    }
}

/// The columns of a row.
pub(crate) struct Columns {
    group: usize,
    name: usize,
    facts: usize,
    bar: usize,
}

impl Columns {
    fn of(steps: &[(&Step, &StepState)], columns: usize) -> Self {
        let most = |limit: usize, text: &mut dyn Iterator<Item = usize>| text.max().unwrap_or(0).min(limit);
        let group = most(GROUP, &mut steps.iter().map(|(step, _)| width(&step.group)));
        let alone = |step: &Step| step.group == step.id.0;
        let names = steps.iter().filter(|(step, _)| !alone(step)).map(|(step, _)| width(step.id.as_str()));
        let name = most(NAME, &mut names.into_iter());
        let grouped = Self::within(group, name, columns);
        if grouped.facts >= FACTS {
            return grouped;
        }
        // What a step found is worth more than which others are of its kind: its name says that well enough.
        Self::within(0, most(NAME, &mut steps.iter().map(|(step, _)| width(step.id.as_str()))), columns)
    }

    /// Of steps whose group says nothing.
    pub(crate) fn plain(steps: &[(&Step, &StepState)], columns: usize) -> Self {
        let names = steps.iter().map(|(step, _)| width(step.id.as_str()));
        Self::within(0, names.max().unwrap_or(0).min(NAME), columns)
    }

    fn within(group: usize, name: usize, columns: usize) -> Self {
        let fixed = 2 + group + usize::from(group > 0) + name + 1 + TIME + 1;
        let free = columns.saturating_sub(fixed);
        let bar = match free {
            0..22 => 0,
            22..30 => 8,
            30..46 => 10,
            46..60 => 16,
            _ => 24,
        };
        Self { group, name, facts: free.saturating_sub(bar + usize::from(bar > 0)), bar }
    }
}

pub(crate) fn row(
    model: &Model,
    (step, at): (&Step, &StepState),
    (facts_role, text): (Role, String),
    heading: Option<&str>,
    chosen: bool,
    columns: &Columns,
    schedule: &Schedule,
) -> Line<'static> {
    let theme = &model.theme;
    let mark = Mark::of_step(at);
    let mut words = Words::new(theme);
    words.add(mark.role(), theme.glyph(mark)).add(Role::Text, " ");
    let quiet = matches!(mark, Mark::Waiting | Mark::Skipped);
    let role = match (chosen, quiet) {
        (true, _) => Role::Strong,
        (false, true) => Role::Dim,
        (false, false) => Role::Text,
    };
    let alone = columns.group > 0 && step.group == step.id.0;
    if let Some(heading) = heading.filter(|_| columns.group > 0) {
        words.cut(if alone { role } else { Role::Dim }, heading, columns.group);
    }
    let named = 2 + columns.group + usize::from(columns.group > 0);
    words.to(named);
    if !alone {
        words.cut(role, step.id.as_str(), columns.name);
    }
    words.to(named + columns.name + 1);
    words.cut(facts_role, &text, columns.facts);
    words.to(named + columns.name + 1 + columns.facts);
    if columns.bar > 0 {
        words.add(Role::Text, " ");
        let critical = schedule.critical.contains(&step.id);
        for (role, text) in
            bar(theme, schedule.spans.get(&step.id), schedule.length, columns.bar, mark, critical)
        {
            words.add(role, text);
        }
    }
    words.add(Role::Text, " ");
    let (time_role, time) = time(model, step, at);
    let pad = TIME.saturating_sub(width(&time));
    words.add(Role::Text, &" ".repeat(pad)).add(time_role, &time);
    words.line()
}

fn time(model: &Model, step: &Step, at: &StepState) -> (Role, String) {
    match (&at.phase, at.started, at.ended) {
        (StepPhase::Waiting, ..) => {
            (Role::Dim, model.usual(step).map(|usual| format!("~{}", about(usual))).unwrap_or_default())
        }
        (StepPhase::Skipped { .. }, ..) => (Role::Dim, String::new()),
        (StepPhase::Running | StepPhase::Observing, Some(started), _) => {
            (Role::Accent, whole(model.shown_at().since(started)))
        }
        (_, Some(started), Some(ended)) => (Role::Dim, ended.since(started).to_string()),
        _ => (Role::Dim, String::new()),
    }
}

/// The state's word, then what is known.
pub(crate) fn facts(model: &Model, run: &Run, step: &Step, at: &StepState) -> (Role, String) {
    said(model, step, at, || waits_for(model, run, step))
}

/// The state's word, then what is known; `waits` says what a waiting step waits for.
pub(crate) fn said(
    model: &Model,
    step: &Step,
    at: &StepState,
    waits: impl FnOnce() -> String,
) -> (Role, String) {
    let mark = Mark::of_step(at);
    let with =
        |word: &str, more: &str| if more.is_empty() { word.to_owned() } else { format!("{word} · {more}") };
    match &at.phase {
        StepPhase::Waiting => (Role::Dim, waits()),
        StepPhase::Running if at.timed_out => (Role::Warn, "running · too long: being stopped".to_owned()),
        StepPhase::Running => {
            let usual = model.usual(step).map(|usual| format!("usually {}", about(usual)));
            let again = match &at.earlier {
                Some(why) => format!("attempt {}, before: {}", at.attempt, without_name(why, step)),
                None if at.attempt > 1 => format!("attempt {}", at.attempt),
                None => usual.unwrap_or_default(),
            };
            (Role::Text, with(mark.word(), &again))
        }
        StepPhase::Observing => (Role::Text, "being looked at after a restart".to_owned()),
        StepPhase::Passed => (Role::Dim, with(mark.word(), &at.output.facts.join(" · "))),
        StepPhase::Failed { cause } => (Role::Bad, with(mark.word(), without_name(&cause.summary, step))),
        StepPhase::Inconclusive { reason } => (
            Role::Warn,
            with(mark.word(), at.acknowledged.as_deref().unwrap_or_else(|| without_name(reason, step))),
        ),
        StepPhase::Cancelled => (Role::Dim, with(mark.word(), &at.output.facts.join(" · "))),
        StepPhase::Skipped { why } => (Role::Dim, with(mark.word(), why)),
    }
}

/// A sentence about a step, in its own row: there its name need not be said again.
fn without_name<'t>(text: &'t str, step: &Step) -> &'t str {
    let Some(rest) = text.strip_prefix(step.id.as_str()) else { return text };
    if rest.starts_with(" could not ") {
        return rest.trim_start();
    }
    // The step `test` speaks of `tests: 1 failed`.
    rest.strip_prefix('s').unwrap_or(rest).strip_prefix(": ").unwrap_or(text)
}

/// What a waiting step waits for, in words.
pub(crate) fn waits_for(model: &Model, run: &Run, step: &Step) -> String {
    let state = |id| run.steps.get(id);
    let over = matches!(run.phase, RunPhase::Ended(_));
    let stopped = step.needs.iter().find(|need| {
        state(need).is_some_and(|at| matches!(at.phase, StepPhase::Failed { .. } | StepPhase::Cancelled))
    });
    if let Some(need) = stopped {
        return format!("not run: {need} {}", state(need).map_or("failed", |at| Mark::of_step(at).word()));
    }
    if over {
        return "not run".to_owned();
    }
    let missing: Vec<&str> = step
        .needs
        .iter()
        .filter(|need| !state(need).is_some_and(StepState::lets_others_start))
        .map(crate::domain::ids::StepId::as_str)
        .collect();
    if !missing.is_empty() {
        return format!("waits for {}", missing.join(", "));
    }
    match run.phase {
        RunPhase::Queued => "waits for its turn".to_owned(),
        RunPhase::Cancelling { .. } => "not run: the run stops".to_owned(),
        _ => {
            let jobs = model.state.project.as_ref().map_or(0, |project| project.pipeline.jobs);
            if jobs > 0 { format!("waits: {jobs} run at once") } else { "waits for a free place".to_owned() }
        }
    }
}
