//! What a promotion or a rollback would do, for a person who is about to say his word.

use super::deployment::verdict_text;
use super::style::{Mark, Style, visible};
use crate::domain::gate::{Gate, GateState};
use crate::domain::ids::EnvironmentName;
use crate::domain::plan::{Plan, Work};
use crate::domain::query::{PromotionPreview, RollbackPreview};
use crate::domain::state::State;
use crate::domain::time::Millis;
use crate::text::width::{pad, width};

/// What a promotion would do, step by step; its last line is the command that does exactly that. `place` is added
/// to that command.
#[must_use]
pub fn promotion(style: &Style, state: &State, preview: &PromotionPreview, place: &str) -> Vec<String> {
    let mut lines = promotion_summary(style, state, preview);
    lines.extend(steps(style, state, &preview.environment, &preview.plan, preview.estimate));
    let verdict = verdict_text(&preview.way_back.verdict);
    let back = match preview.way_back.target {
        Some(target) => format!("way back afterwards: to {target}, {verdict}"),
        None => "way back afterwards: none, nothing is live here yet".to_owned(),
    };
    lines.push(style.words(&back).into_owned());
    if fails(&preview.gates) {
        lines.push(format!("it is refused today: see {} above", style.glyph(Mark::Bad)));
        return lines;
    }
    let name = &preview.environment;
    let typed = match preview.protected {
        true => format!(" --confirm {name} --reason \"…\""),
        false => String::new(),
    };
    let digest = preview.plan.digest.0.get(..DIGITS).unwrap_or(&preview.plan.digest.0);
    let number = preview.release.0;
    let command = format!("towpath promote {name} --release {number} --plan {digest}{typed}{place}");
    lines.push(style.words(&format!("to promote just this: {command}")).into_owned());
    lines
}

/// How many digits of a plan's digest are suggested: enough that another plan has other ones.
const DIGITS: usize = 12;

/// What would go live, and whether it may.
#[must_use]
pub fn promotion_summary(style: &Style, state: &State, preview: &PromotionPreview) -> Vec<String> {
    let release = state.releases.get(&preview.release);
    let commit = release.map(|one| format!(" {} “{}”", one.commit.short(), visible(&one.subject)));
    let from = preview.from.map_or_else(
        || "nothing yet".to_owned(),
        |(number, release)| format!("{release} (deployment {number})"),
    );
    let protected = if preview.protected { " · protected" } else { "" };
    let title = format!(
        "{from} → {}{} on {}{protected}",
        preview.release,
        commit.unwrap_or_default(),
        preview.environment
    );
    let mut lines = vec![style.strong(&style.words(&title))];
    if let Some(release) = release {
        let artifact = &release.artifact;
        let size = super::plain::bytes(artifact.bytes);
        let text = format!("  artifact {} · {}, {size}", artifact.id.short(), artifact.parts());
        lines.push(style.words(&text).into_owned());
    }
    let commits = counted(preview.commits.len(), "commit");
    let note = match preview.commits_note.as_str() {
        "" => String::new(),
        note => format!(" · {}", visible(note)),
    };
    lines.push(style.words(&format!("  {commits}{note}")).into_owned());
    for commit in &preview.commits {
        let text = format!("    {} {} · {}", commit.id.short(), commit.subject, commit.author);
        lines.push(style.words(&visible(&text)).into_owned());
    }
    let migrations = match preview.migrations.as_slice() {
        [] => "no migration that the live release does not have".to_owned(),
        some => format!("{}: {}", counted(some.len(), "migration"), some.join(", ")),
    };
    lines.push(format!("  {}", style.words(&visible(&migrations))));
    lines.extend(preview.gates.iter().flat_map(|one| gate(style, one)));
    lines
}

/// What a rollback would do.
#[must_use]
pub fn rollback(style: &Style, state: &State, preview: &RollbackPreview) -> Vec<String> {
    let ((from, from_release), (to, to_release)) = (preview.from, preview.to);
    let how =
        if preview.warm { "still warm: one switch of traffic" } else { "its replicas are started anew" };
    let title = format!(
        "{from_release} (deployment {from}) → {to_release} (deployment {to}) on {} · {how}",
        preview.environment
    );
    let mut lines = vec![style.strong(&style.words(&title))];
    let mark = match preview.verdict {
        crate::domain::state::RollbackVerdict::Safe => Mark::Good,
        _ => Mark::Warn,
    };
    let verdict = verdict_text(&preview.verdict);
    lines.push(format!("  {} schema: {}", style.glyph(mark), style.words(&visible(&verdict))));
    lines.extend(steps(style, state, &preview.environment, &preview.plan, preview.estimate));
    lines
}

/// Whether a gate stands in the way.
#[must_use]
pub fn fails(gates: &[Gate]) -> bool {
    gates.iter().any(|gate| gate.state == GateState::Fails)
}

fn gate(style: &Style, gate: &Gate) -> Vec<String> {
    let mark = match gate.state {
        GateState::Holds => Mark::Good,
        GateState::Warns => Mark::Warn,
        GateState::Fails => Mark::Bad,
    };
    let mut lines = vec![format!("  {} {}", style.glyph(mark), style.words(&visible(&gate.words)))];
    if !gate.cure.is_empty() {
        lines.push(format!("    what to do: {}", style.words(&visible(&gate.cure))));
    }
    lines
}

/// The steps in their order, each with how long it usually takes.
fn steps(
    style: &Style,
    state: &State,
    name: &EnvironmentName,
    plan: &Plan,
    estimate: Option<Millis>,
) -> Vec<String> {
    let about = match estimate {
        Some(estimate) => format!("about {estimate}"),
        None => "how long it takes is not known yet".to_owned(),
    };
    let count = counted(plan.steps.len(), "step");
    let title = format!("plan {} · {count} · {about}", plan.digest.short());
    let mut lines = vec![style.words(&title).into_owned()];
    let widest = plan.steps.iter().map(|step| width(&step.id.0)).max().unwrap_or(0);
    for step in &plan.steps {
        let usually = match (&step.work, state.deployment_estimate(name, step)) {
            (Work::Bake { .. }, Some(window)) => window.to_string(),
            (_, Some(usual)) => format!("usually {usual}"),
            (_, None) => "not done here yet".to_owned(),
        };
        let what = work(&step.work);
        let sign = if what.is_empty() { "" } else { " · " };
        let text = format!("  {}  {usually}{sign}{what}", pad(&step.id.0, widest));
        lines.push(style.words(&visible(&text)).into_owned());
    }
    lines
}

/// What a step's name does not say.
fn work(work: &Work) -> String {
    match work {
        Work::Start(set) | Work::AwaitHealthy(set) | Work::Drain(set) | Work::Stop(set) => {
            let of = set.of.map(|of| format!(" of {of}")).unwrap_or_default();
            let count = if set.count == 1 { "replica" } else { "replicas" };
            format!("{} {} {count}{of}, {}", set.count, set.role, set.target.release)
        }
        Work::Shift { weight, of, .. } => {
            let of = of.map_or_else(|| "the new set".to_owned(), |of| format!("the set of {of}"));
            format!("{weight} % of the traffic to {of}")
        }
        Work::Bake { weight, .. } => format!("watched with {weight} % of the traffic"),
        Work::Hook(hook) => hook.run.clone(),
        _ => String::new(),
    }
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::CommitFacts;
    use crate::domain::ids::ReleaseNumber;
    use crate::domain::time::Timestamp;
    use crate::print::fixtures::Story;

    fn production(story: &Story, release: u64) -> PromotionPreview {
        let mut found = story.state.preview_promotion(&"production".into(), ReleaseNumber(release)).unwrap();
        found.commits = vec![CommitFacts {
            id: "a1b9c3f0aa".into(),
            subject: "Gift \u{1b}]0;cards\u{7} at checkout".to_owned(),
            author: "Marta".to_owned(),
            authored: Timestamp(0),
            tags: Vec::new(),
            branches: Vec::new(),
        }];
        found.commits_note = "the oldest 3 are left out".to_owned();
        found
    }

    #[test]
    fn a_plan_is_read_before_it_is_confirmed() {
        let mut story = Story::new();
        story.goes_live("staging", 1);
        story.goes_live("production", 1);
        story.goes_live("staging", 3);
        let found = production(&story, 3);
        let style = Style::bare();
        let place = " --repository /srv/shop";
        insta::assert_snapshot!("promotion", promotion(&style, &story.state, &found, place).join("\n"));
        let ascii = Style { ascii: true, ..Style::bare() };
        let text = promotion(&ascii, &story.state, &found, place).join("\n");
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn a_gate_that_does_not_hold_is_said_with_its_cure_and_nothing_is_suggested() {
        let story = Story::new();
        let found = production(&story, 2);
        let text = promotion(&Style::bare(), &story.state, &found, "").join("\n");
        assert!(fails(&found.gates));
        assert!(text.contains("✖ v2 was never verified on staging"), "{text}");
        assert!(text.contains("what to do: Deploy it to staging first."), "{text}");
        assert!(!text.contains("towpath promote"), "{text}");
    }

    #[test]
    fn a_rollback_is_read_before_it_is_confirmed() {
        let mut story = Story::new();
        story.goes_live("staging", 1);
        story.goes_live("staging", 3);
        let found = story.state.preview_rollback(&"staging".into(), None).unwrap();
        insta::assert_snapshot!("rollback", rollback(&Style::bare(), &story.state, &found).join("\n"));
    }
}
