//! A deployment: what it does or waits for, how it ended, who wanted it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::brief::{phase_word, verdict_role, verdict_word};
use super::card::Card;
use super::steps::{self, said};
use super::{Words, bake, panel_of, put};
use crate::domain::ids::{DeploymentId, Owner};
use crate::domain::plan::{Replicas, Step, Work};
use crate::domain::state::{Deployment, DeploymentKind, DeploymentPhase, Ending, StepPhase, StepState};
use crate::tui::model::{Focus, Model};
use crate::tui::places::Row;
use crate::tui::schedule::deployment_schedule;
use crate::tui::theme::{Mark, Role};

/// Why a deployment exists, in a word.
pub(crate) const fn kind_word(kind: DeploymentKind) -> &'static str {
    match kind {
        DeploymentKind::Promotion => "promotion",
        DeploymentKind::Redeploy => "redeploy",
        DeploymentKind::Rollback { automatic: true, .. } => "automatic rollback",
        DeploymentKind::Rollback { automatic: false, .. } => "rollback",
    }
}

/// Where a deployment is, in a sentence.
pub(crate) fn sentence(model: &Model, number: DeploymentId, deployment: &Deployment) -> (Mark, String) {
    let (mark, word) = phase_word(deployment);
    let text = match &deployment.phase {
        DeploymentPhase::Leasing => {
            format!("waits for {}'s lease: only one deployment at a time", deployment.environment)
        }
        DeploymentPhase::Running => {
            let open = open_step(model, number);
            match open {
                Some((step, at)) => {
                    let so_far = at.started.map(|started| model.shown_at().since(started));
                    let so_far = so_far.map(|took| format!(", {}", steps::whole(took))).unwrap_or_default();
                    // A bake counts down; its numbers follow.
                    let so_far = if matches!(step.work, Work::Bake { .. }) { String::new() } else { so_far };
                    format!("{}{so_far}", doing(step, deployment))
                }
                None => "the next step is about to start".to_owned(),
            }
        }
        DeploymentPhase::Held { reason } => format!("held, waits for a person: {reason}"),
        DeploymentPhase::Observing { failed: None } => {
            "its steps are over; what is really live is being looked at".to_owned()
        }
        DeploymentPhase::Observing { failed: Some(why) } => {
            format!("stopped early ({why}); what is really live is being looked at")
        }
        DeploymentPhase::TakenBack { by, why } => format!("is being taken back by {by}: {why}"),
        DeploymentPhase::Ended(Ending::Live) => "live and verified".to_owned(),
        DeploymentPhase::Ended(Ending::LiveUnverified { why }) => format!("live, not verified: {why}"),
        DeploymentPhase::Ended(Ending::RolledBack { why }) => format!("{word}: {why}"),
        DeploymentPhase::Ended(Ending::Broken { why }) => {
            format!("BROKEN, a person has to look: {why}")
        }
    };
    (mark, text)
}

fn open_step(model: &Model, number: DeploymentId) -> Option<(&Step, &StepState)> {
    model.state.steps(Owner::Deployment(number)).into_iter().find(|(_, at)| at.is_open())
}

/// What a step does, as it is said while it does it.
fn doing(step: &Step, deployment: &Deployment) -> String {
    let release = deployment.release;
    match &step.work {
        Work::Fetch(_) => format!("brings {release} to the host and verifies it"),
        Work::Migrate(_) => format!("applies the migrations of {release}"),
        Work::Start(set) => format!("starts {}", those(set)),
        Work::AwaitHealthy(set) => format!("waits until {} answer well", those(set)),
        Work::Shift { weight, .. } => format!("gives {release} {weight} % of the traffic"),
        Work::Bake { weight, .. } => format!("watches {release} with {weight} % of the traffic"),
        Work::Hook(hook) => format!("runs {}", hook.run),
        Work::Drain(set) => format!("lets the requests to {} end", those(set)),
        Work::Stop(set) => format!("stops {}", those(set)),
        Work::Verify(_) => "asks what is really live".to_owned(),
        Work::Install(_) | Work::Exec(_) | Work::Build(_) | Work::Inspect(_) | Work::MigrateEmpty(_) => {
            step.id.0.clone()
        }
    }
}

/// Replicas in a few letters: `web ×4 of #12`.
fn those(set: &Replicas) -> String {
    let of = set.of.map(|of| format!(" of {of}")).unwrap_or_default();
    let count = if set.count == 1 { format!("-{}", set.first) } else { format!(" ×{}", set.count) };
    format!("{}{count}{of}", set.role)
}

/// What a waiting step is for; or why it is not done any more.
pub(super) fn waits(step: &Step, deployment: &Deployment) -> String {
    let stopped = deployment.plan.steps.iter().find_map(|one| {
        let at = deployment.steps.get(&one.id)?;
        matches!(at.phase, StepPhase::Failed { .. } | StepPhase::Cancelled)
            .then(|| format!("not done: {} {}", one.id, Mark::of_step(at).word()))
    });
    if let Some(stopped) = stopped {
        return stopped;
    }
    match &deployment.phase {
        DeploymentPhase::Ended(_) | DeploymentPhase::TakenBack { .. } | DeploymentPhase::Observing { .. } => {
            "not done".to_owned()
        }
        _ => doing(step, deployment),
    }
}

/// What there is to say of the deployment that is shown.
pub(crate) fn lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let Some((number, deployment)) = model.deployment() else { return Vec::new() };
    let inside = Rect { width: u16::try_from(columns).unwrap_or(u16::MAX), ..Rect::default() };
    let mut card = Card::new(model, inside);
    let (mark, text) = sentence(model, number, deployment);
    card.head(mark, &text);
    if let Some((key, step)) = bake::open_bake(number, deployment) {
        for line in bake::table(model, &key, step) {
            card.lines.push(line);
        }
    }
    if matches!(deployment.phase, DeploymentPhase::Held { .. }) {
        card.say("do", Role::Accent, "c lets it go on · R takes it back");
    }
    card.say("why", Role::Text, &deployment.reason);
    let who = format!("{} {}", deployment.by, model.ago(deployment.created));
    let took = deployment.ended.map(|ended| format!(", took {}", ended.since(deployment.created)));
    card.say("by", Role::Text, &format!("{who}{}", took.unwrap_or_default()));
    if deployment.ended.is_none() {
        let left = deployment_schedule(&model.state, number, model.shown_at()).left;
        let usual = model.state.plan_estimate(&deployment.environment, &deployment.plan);
        let so_far = steps::whole(model.shown_at().since(deployment.created));
        let text = match (left, usual) {
            (Some(left), _) => format!("{so_far} so far, {}", steps::time_left(left)),
            (None, Some(usual)) => format!("{so_far} so far, usually {}", steps::about(usual)),
            (None, None) => format!("{so_far} so far; some of its steps were never done here"),
        };
        card.say("time", Role::Text, &text);
        let target = deployment.way_back.target.and_then(|target| model.state.deployments.get(&target));
        let verdict = &deployment.way_back.verdict;
        let to = target.map(|one| format!("to {}: ", one.release)).unwrap_or_default();
        card.say("way back", verdict_role(verdict), &format!("{to}{}", verdict_word(verdict)));
    }
    card.lines
}

/// The panel beside the steps: the failed step's cause, else the deployment.
pub(crate) fn draw_card(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((number, deployment)) = model.deployment() else {
        return panel_none(model, area, buffer);
    };
    let focused = model.focus == Focus::Detail;
    let selected = model.step();
    let chosen = matches!(model.places.row, Some(Row::Step(_))) && model.places.open;
    let title = title(number, deployment);
    let inside = panel_of(model, area, false, focused, &title, &[], buffer);
    let mut card = Card::new(model, inside);
    let failed = selected.filter(|(_, at)| matches!(at.phase, StepPhase::Failed { .. }));
    if let Some((step, at)) = failed
        && let StepPhase::Failed { cause } = &at.phase
    {
        let (mark, text) = sentence(model, number, deployment);
        if deployment.is_open() {
            card.head(mark, &text);
            card.blank();
        }
        let mut cause = cause.clone();
        if !cause.summary.starts_with(step.id.as_str()) {
            cause.summary = format!("{}: {}", step.id, cause.summary);
        }
        card.cause(&cause, Mark::Failed, Some(at), &[crate::tui::action::Action::OpenLog]);
    } else {
        card.lines = lines(model, usize::from(inside.width));
        if let Some((step, at)) = selected.filter(|_| chosen) {
            card.blank();
            let (role, text) = said(model, step, at, || waits(step, deployment));
            card.say(&step.id.0, role, &text);
            card.describe(step);
        }
    }
    card.draw(buffer);
}

pub(super) fn title(number: DeploymentId, deployment: &Deployment) -> Vec<(Role, String)> {
    let (mark, word) = phase_word(deployment);
    vec![
        (Role::Strong, format!("{number} {}", deployment.release)),
        (Role::Dim, format!(" · {} · ", kind_word(deployment.kind))),
        (mark.role(), word.to_owned()),
    ]
}

pub(super) fn panel_none(model: &Model, area: Rect, buffer: &mut Buffer) {
    let inside = panel_of(model, area, false, false, &[(Role::Dim, "Deployment".to_owned())], &[], buffer);
    let mut words = Words::new(&model.theme);
    words.cut(Role::Dim, "nothing was deployed here yet", usize::from(inside.width));
    put(buffer, inside, 0, &words.line());
}
