//! A step's bar on the run's time axis.

use crate::tui::schedule::Span;
use crate::tui::theme::{Mark, Role, Theme};

/// A bar of half columns: what was done as a line, heavy on the critical path; what is foretold dotted.
pub(crate) fn bar(
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
