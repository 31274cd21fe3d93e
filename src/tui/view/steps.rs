//! The steps of a run: state, name, facts, a bar on one time axis, how long; and what they come to.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::{Words, panel, put};
use crate::domain::finding::Severity;
use crate::domain::plan::{Step, Work};
use crate::domain::state::{Run, RunEnd, RunPhase, StepPhase, StepState};
use crate::domain::time::Millis;
use crate::text::width::width;
use crate::tui::layout::{first_shown, step_lines};
use crate::tui::model::{Focus, Model};
use crate::tui::schedule::{Schedule, Span, schedule};
use crate::tui::theme::{Mark, Role, Theme, run_word};

/// The longest heading and the longest name that get a column of their own.
const GROUP: usize = 12;
const NAME: usize = 18;
/// A duration is at most this wide (`~12m04s`).
const TIME: usize = 7;

pub(crate) fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((id, run)) = model.run() else { return };
    let schedule = schedule(&model.state, id, model.shown_at());
    let inside = panel(model, area, model.focus == Focus::Steps, &title(model, &schedule), &[], buffer);
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
        let row = row(model, run, (step, at), heading, chosen, &columns, &schedule);
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
    let foot = foot(model);
    let first = inside.height.saturating_sub(u16::try_from(foot.len()).unwrap_or(0)).max(lines);
    for (line, text) in (first..inside.height).zip(&foot) {
        put(buffer, inside, line, text);
    }
}

fn title(model: &Model, schedule: &Schedule) -> Vec<(Role, String)> {
    let Some((id, run)) = model.run() else { return Vec::new() };
    let mark = Mark::of_phase(run.phase);
    let mut title = vec![(Role::Strong, format!("Run {id}")), (Role::Dim, " · ".to_owned())];
    title.push((Role::Text, run.commit.id.short().to_owned()));
    title.push((Role::Dim, " · ".to_owned()));
    title.push((mark.role(), run_word(run).to_owned()));
    if let Some(took) = took(model, run) {
        title.push((Role::Dim, format!(" · {took}")));
    }
    if let Some(left) = schedule.left.filter(|_| run.phase == RunPhase::Running) {
        title.push((Role::Dim, format!(" · about {} left", rounded(left))));
    }
    title.push((Role::Dim, format!(" · “{}”", run.commit.subject)));
    title
}

/// How long a run has taken, once it has begun.
pub(crate) fn took(model: &Model, run: &Run) -> Option<Millis> {
    run.started.map(|started| run.ended.unwrap_or(model.shown_at()).since(started))
}

/// A foretold time, no more exact than it can be.
pub(crate) fn rounded(left: u64) -> String {
    let seconds = left.div_ceil(1000);
    match seconds {
        0..10 => "a few seconds".to_owned(),
        10..60 => format!("{}s", seconds.div_ceil(5) * 5),
        _ => Millis::seconds(seconds.div_ceil(10) * 10).to_string(),
    }
}

/// The columns of a row.
struct Columns {
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
        let fixed = 2 + group + 1 + name + 1 + TIME + 1;
        let free = columns.saturating_sub(fixed);
        let bar = match free {
            0..22 => 0,
            22..30 => 8,
            30..36 => 10,
            36..50 => 14,
            _ => 24,
        };
        Self { group, name, facts: free.saturating_sub(bar + usize::from(bar > 0)), bar }
    }
}

fn row(
    model: &Model,
    run: &Run,
    (step, at): (&Step, &StepState),
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
    let alone = step.group == step.id.0;
    if let Some(heading) = heading {
        words.cut(if alone { role } else { Role::Dim }, heading, columns.group);
    }
    words.to(2 + columns.group + 1);
    if !alone {
        words.cut(role, step.id.as_str(), columns.name);
    }
    words.to(2 + columns.group + 1 + columns.name + 1);
    let (facts_role, text) = facts(model, run, step, at);
    words.cut(facts_role, &text, columns.facts);
    words.to(2 + columns.group + 1 + columns.name + 1 + columns.facts);
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
            (Role::Dim, model.state.estimate(&step.id).map(|usual| format!("~{usual}")).unwrap_or_default())
        }
        (StepPhase::Skipped { .. }, ..) => (Role::Dim, String::new()),
        (StepPhase::Running | StepPhase::Observing, Some(started), _) => {
            (Role::Accent, model.shown_at().since(started).to_string())
        }
        (_, Some(started), Some(ended)) => (Role::Dim, ended.since(started).to_string()),
        _ => (Role::Dim, String::new()),
    }
}

/// The state's word, then what is known.
pub(crate) fn facts(model: &Model, run: &Run, step: &Step, at: &StepState) -> (Role, String) {
    let mark = Mark::of_step(at);
    let with =
        |word: &str, more: &str| if more.is_empty() { word.to_owned() } else { format!("{word} · {more}") };
    match &at.phase {
        StepPhase::Waiting => (Role::Dim, waits_for(model, run, step)),
        StepPhase::Running if at.timed_out => (Role::Warn, "running · too long: being stopped".to_owned()),
        StepPhase::Running => {
            let usual =
                model.state.estimate(&step.id).map(|usual| format!("usually {usual}")).unwrap_or_default();
            let again = match &at.earlier {
                Some(why) => format!("attempt {}, before: {}", at.attempt, without_name(why, step)),
                None if at.attempt > 1 => format!("attempt {}", at.attempt),
                None => usual,
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
    text.strip_prefix(step.id.as_str()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text)
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
            if jobs > 0 {
                format!("waits for a free place of {jobs}")
            } else {
                "waits for a free place".to_owned()
            }
        }
    }
}

/// A bar of half columns: what was done as a line, heavy on the critical path; what is foretold dotted.
fn bar(
    theme: &Theme,
    span: Option<&Span>,
    length: u64,
    columns: usize,
    mark: Mark,
    critical: bool,
) -> Vec<(Role, &'static str)> {
    let Some(span) = span else { return vec![(Role::Dim, " "); columns] };
    let halves = columns as u64 * 2;
    let place = |at: u64| at.saturating_mul(halves) / length.max(1);
    let from = place(span.from).min(halves - 1);
    let (done, to) = (place(span.now), place(span.to));
    let done = if span.begun { done.clamp(from + 1, halves) } else { from };
    let to = to.clamp(done, halves).max(from + 1);
    let solid_role = match mark {
        Mark::Failed => Role::Bad,
        Mark::Inconclusive | Mark::Accepted => Role::Warn,
        Mark::Running | Mark::Looking => Role::Accent,
        _ if critical => Role::Text,
        _ => Role::Dim,
    };
    (0..columns as u64)
        .map(|cell| {
            let (left, right) = (cell * 2, cell * 2 + 1);
            let solid = |half: u64| (from..done).contains(&half);
            let dotted = |half: u64| (done..to).contains(&half);
            match (solid(left), solid(right), theme.ascii, critical) {
                (true, true, false, true) => (solid_role, "━"),
                (true, true, false, false) => (solid_role, "─"),
                (true, false, false, true) => (solid_role, "╸"),
                (true, false, false, false) => (solid_role, "╴"),
                (false, true, false, true) => (solid_role, "╺"),
                (false, true, false, false) => (solid_role, "╶"),
                (true, _, true, true) | (_, true, true, true) => (solid_role, "="),
                (true, _, true, false) | (_, true, true, false) => (solid_role, "-"),
                (false, false, ascii, _) if dotted(left) || dotted(right) => {
                    (Role::Dim, if ascii { "." } else { "┄" })
                }
                (false, false, ..) => (Role::Dim, " "),
            }
        })
        .collect()
}

/// What the run comes to: its release, what it noticed, what comes after it.
pub(crate) fn foot(model: &Model) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if let Some((id, run)) = model.run() {
        lines.extend(release(model, id, run));
        lines.extend(findings(model));
    }
    let queued: Vec<String> = model
        .state
        .runs
        .iter()
        .filter(|(id, run)| run.phase == RunPhase::Queued && Some(**id) != model.run_id())
        .map(|(id, run)| format!("{id} {} “{}”", run.commit.id.short(), run.commit.subject))
        .collect();
    if !queued.is_empty() {
        let mut words = Words::new(&model.theme);
        words.add(Role::Dim, model.theme.glyph(Mark::Waiting));
        words.add(Role::Dim, &format!(" queued  {}", queued.join(" · ")));
        lines.push(words.line());
    }
    lines
}

fn release(model: &Model, id: crate::domain::ids::RunId, run: &Run) -> Option<Line<'static>> {
    let theme = &model.theme;
    let mut words = Words::new(theme);
    let made = match run.phase {
        RunPhase::Ended(RunEnd::Passed { release }) => {
            release.and_then(|number| model.state.releases.get(&number))
        }
        _ => None,
    };
    if let Some(release) = made {
        words
            .add(Role::Good, theme.pick("●", "*"))
            .add(Role::Strong, &format!(" release {}", release.number));
        if let Some(version) = &release.version {
            words.add(Role::Text, &format!(" · version {version}"));
        }
        words.add(Role::Dim, &format!("  {}", release.artifact.id.short()));
        return Some(words.line());
    }
    let builds = run.plan.as_ref()?.steps.iter().any(|step| matches!(step.work, Work::Build(_)));
    if !builds {
        return None;
    }
    let none = |words: &mut Words<'_>, why: &str| {
        words.add(Role::Dim, &format!("{} no release: {why}", theme.glyph(Mark::Skipped)));
    };
    match run.phase {
        RunPhase::Ended(RunEnd::Passed { .. }) => {
            let until = run
                .until
                .as_ref()
                .map_or("it ended early".to_owned(), |until| format!("it ran until {until}"));
            none(&mut words, &until);
        }
        RunPhase::Ended(RunEnd::Failed) => {
            let why =
                run.failed.as_ref().map_or("the run failed".to_owned(), |(step, _)| format!("{step} failed"));
            none(&mut words, &why);
        }
        RunPhase::Ended(RunEnd::Cancelled) | RunPhase::Cancelling { .. } => {
            none(&mut words, "the run was cancelled");
        }
        RunPhase::Ended(RunEnd::Superseded { by }) => none(&mut words, &format!("run {by} took its place")),
        _ if run.until.is_some() => {
            let until = run.until.as_ref().map_or("", |until| until.as_str());
            none(&mut words, &format!("it runs until {until}"));
        }
        RunPhase::Queued | RunPhase::Preparing | RunPhase::Running | RunPhase::Held => {
            let steps = model.steps();
            let left = |wanted: fn(&StepState) -> bool| -> Vec<&str> {
                steps.iter().filter(|(_, at)| wanted(at)).map(|(step, _)| step.id.as_str()).collect()
            };
            let word = left(StepState::wants_acknowledgement);
            let open = left(|at| matches!(at.phase, StepPhase::Waiting) || at.is_open());
            words.add(Role::Dim, theme.glyph(Mark::Waiting));
            words.add(Role::Text, &format!(" release{}", foretold(model, id, run)));
            let why = match (open.is_empty(), word.is_empty()) {
                (true, false) => format!("  waits for your word on {}", word.join(", ")),
                (true, true) => String::new(),
                (false, _) if open.len() > 3 => {
                    format!("  waits for {} and {} more", open[..2].join(", "), open.len() - 2)
                }
                (false, _) => format!("  waits for {}", open.join(", ")),
            };
            words.add(Role::Dim, &why);
        }
    }
    Some(words.line())
}

/// The number that the release will have, where no other run can take it first.
fn foretold(model: &Model, id: crate::domain::ids::RunId, run: &Run) -> String {
    if let Some(release) = model.state.release_of(&run.commit.id) {
        return format!(" {}", release.number);
    }
    let alone =
        model.state.runs.iter().all(|(other, run)| *other >= id || matches!(run.phase, RunPhase::Ended(_)));
    let next = model.state.releases.keys().next_back().map_or(1, |last| last.0 + 1);
    if alone { format!(" v{next}") } else { String::new() }
}

fn findings(model: &Model) -> Option<Line<'static>> {
    let findings = model.findings();
    let (_, worst) = findings.first()?;
    let count = |severity| findings.iter().filter(|(_, finding)| finding.severity == severity).count();
    let parts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (count(severity), severity.word()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
        .collect();
    let (glyph, role) = model.theme.severity(worst.severity);
    let mut words = Words::new(&model.theme);
    words.add(role, glyph).add(Role::Text, &format!(" {}", parts.join(", ")));
    words.add(Role::Dim, &format!("  {}", worst.title));
    Some(words.line())
}
