//! What lines about runs and lines about deployments have in common: a clock, a glyph, a sentence, and how a step
//! ended.

use super::style::{Mark, Style, visible};
use crate::domain::finding::Finding;
use crate::domain::ids::StepId;
use crate::domain::plan::{Cause, Kept, Output, Plan, Verdict};
use crate::domain::time::{Millis, Timestamp};

/// The clock, a glyph and what happened.
pub(super) fn line(style: &Style, at: Timestamp, mark: Mark, text: &str) -> String {
    let text = visible(text);
    let clock = style.dim(&style.clock(at));
    format!("{clock} {} {}", style.glyph(mark), style.words(&text))
}

/// A line that belongs to the one above.
pub(super) fn indented(style: &Style, text: &str) -> String {
    format!("         {}", visible(&style.words(text)))
}

/// The cause card: what was expected, what was measured, the last lines, the cure.
pub(super) fn cause(style: &Style, at: Timestamp, headline: &str, cause: &Cause) -> Vec<String> {
    let mut lines = vec![line(style, at, Mark::Bad, headline)];
    let facts = [("expected", &cause.expected), ("measured", &cause.measured)];
    for (word, fact) in facts.into_iter().filter(|(_, fact)| !fact.is_empty()) {
        lines.push(indented(style, &format!("{word}: {fact}")));
    }
    let bar = if style.ascii { "| " } else { "│ " };
    for last in &cause.last_lines {
        lines.push(format!("         {}{}", style.dim(bar), visible(last)));
    }
    // A cure may hold lines to copy: each stays one.
    for (place, line) in cause.cure.lines().enumerate() {
        let line = if place == 0 { format!("what to do: {line}") } else { format!("  {line}") };
        lines.push(indented(style, &line));
    }
    lines
}

/// Something that was noticed, with its cure.
pub(super) fn finding(style: &Style, finding: &Finding) -> Vec<String> {
    let glyph = style.glyph(Mark::of_severity(finding.severity));
    let title = visible(&finding.title);
    let text = format!("{}: {title} ({})", finding.severity.word(), finding.id);
    let mut lines = vec![format!("         {glyph} {}", style.words(&text))];
    if !finding.cure.is_empty() {
        lines.push(format!("           {}", visible(&style.words(&finding.cure))));
    }
    lines
}

/// What a plan will do, and what it leaves out.
pub(super) fn planned(style: &Style, at: Timestamp, plan: &Plan) -> Vec<String> {
    let run: Vec<&str> =
        plan.steps.iter().filter(|step| step.skip.is_none()).map(|step| step.id.as_str()).collect();
    let steps = if run.len() == 1 { "step" } else { "steps" };
    let text = format!("plan {} · {} {steps}: {}", plan.digest.short(), run.len(), run.join(", "));
    let mut lines = vec![line(style, at, Mark::Note, &text)];
    let skipped = plan.steps.iter().filter_map(|step| Some((step, step.skip.as_ref()?)));
    for (step, why) in skipped {
        lines.push(line(style, at, Mark::Skipped, &format!("{} skipped: {why}", step.id)));
    }
    lines
}

/// That an attempt started, and what to expect of it.
pub(super) fn step_started(step: &StepId, attempt: u32, estimate: Option<Millis>) -> String {
    match (attempt, estimate) {
        (0 | 1, Some(estimate)) => format!("{step} started · usually {estimate}"),
        (0 | 1, None) => format!("{step} started"),
        (attempt, _) => format!("{step} started · attempt {attempt}"),
    }
}

/// That an attempt passed its time limit.
pub(super) fn step_timed_out(step: &StepId, limit: Option<Millis>) -> String {
    let limit = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
    format!("{step} passed its time limit{limit}; it is being stopped")
}

/// How a step ended. `accept` is the command that accepts an inconclusive one, `look` are those
/// that look at a failed one's container; empty where there are none.
pub(super) fn step_finished(
    style: &Style,
    at: Timestamp,
    step: &StepId,
    (verdict, output): (&Verdict, &Output),
    took: Option<Millis>,
    (accept, look): (&str, &str),
) -> Vec<String> {
    let took = took.map(|took| format!(" {took}")).unwrap_or_default();
    let facts: String = output.facts.iter().map(|fact| format!(" · {fact}")).collect();
    let mut lines = match verdict {
        Verdict::Passed => {
            let took = if took.is_empty() { took } else { format!(" in{took}") };
            vec![line(style, at, Mark::Good, &format!("{step} passed{took}{facts}"))]
        }
        Verdict::Failed(why) => {
            let took = if took.is_empty() { took } else { format!(" after{took}") };
            cause(style, at, &format!("{step} failed{took} · {}", why.summary), why)
        }
        Verdict::Inconclusive { reason } => {
            let mut lines =
                vec![line(style, at, Mark::Warn, &format!("{step} is inconclusive: {reason}{facts}"))];
            if !accept.is_empty() {
                lines.push(indented(style, &format!("to accept that: {accept}")));
            }
            lines
        }
        Verdict::Cancelled => vec![line(style, at, Mark::Stopped, &format!("{step} cancelled"))],
    };
    lines.extend(output.findings.iter().flat_map(|one| finding(style, one)));
    match (verdict, &output.kept) {
        (_, Some(Kept { container: Some(container), .. })) => {
            let left = container.until.since(at).in_minutes();
            lines.push(indented(style, &format!("kept for {left}: {look}")));
        }
        (Verdict::Failed(_), Some(kept)) => {
            lines.push(indented(style, &format!("kept for a look: {}", kept.directory)));
        }
        _ => {}
    }
    lines
}
