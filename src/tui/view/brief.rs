//! Environments in a few words, and the words that all screens say of them alike.

use ratatui::text::Line;

use super::Words;
use crate::domain::ids::EnvironmentName;
use crate::domain::project::Environment;
use crate::domain::state::{Deployment, DeploymentPhase, Ending, RollbackVerdict};
use crate::tui::model::{Link, Model};
use crate::tui::places::Health;
use crate::tui::theme::{Mark, Role};

/// What an environment is called: protected ones in capitals.
pub(crate) fn shown_name(name: &EnvironmentName, settings: &Environment) -> String {
    if settings.protected { name.as_str().to_uppercase() } else { name.0.clone() }
}

/// The glyph, its role and the word for how an environment is.
pub(crate) fn health_word(model: &Model, name: &EnvironmentName) -> (&'static str, Role, String) {
    let theme = &model.theme;
    match model.health(name) {
        Health::Healthy => (theme.pick("●", "*"), Role::Good, "healthy".to_owned()),
        Health::Unhealthy(_) => (theme.glyph(Mark::Failed), Role::Bad, "not healthy".to_owned()),
        Health::Unknown(why) if why == "no engine" => ("?", Role::Warn, "unknown (no engine)".to_owned()),
        Health::Unknown(_) => ("?", Role::Warn, "unknown".to_owned()),
        Health::Nothing => (theme.glyph(Mark::Waiting), Role::Dim, "nothing is live".to_owned()),
    }
}

/// What a rollback would go back to.
pub(crate) fn rollback_hint(
    model: &Model,
    name: &EnvironmentName,
) -> Result<(String, RollbackVerdict), &'static str> {
    model.way_back(name)
}

/// What `R` does there: a deployment that is under way is taken back.
pub(crate) fn back_word(model: &Model, name: &EnvironmentName) -> &'static str {
    if model.state.under_way(name).is_some() { "take back" } else { "rollback" }
}

/// A verdict as it is said.
pub(crate) const fn verdict_word(verdict: &RollbackVerdict) -> &'static str {
    match verdict {
        RollbackVerdict::Safe => "SAFE",
        RollbackVerdict::Unknown { .. } => "UNKNOWN",
        RollbackVerdict::NoTarget => "NO TARGET",
    }
}

/// How a verdict looks.
pub(crate) const fn verdict_role(verdict: &RollbackVerdict) -> Role {
    match verdict {
        RollbackVerdict::Safe => Role::Good,
        RollbackVerdict::Unknown { .. } | RollbackVerdict::NoTarget => Role::Warn,
    }
}

/// What the Pipeline screen's bottom says of the environments.
pub(crate) fn strip(model: &Model, columns: usize) -> Line<'static> {
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, " ");
    for (index, (name, settings)) in model.environments().into_iter().enumerate() {
        if index > 0 {
            words.add(Role::Dim, " · ");
        }
        let room = columns.saturating_sub(words.columns() + 1);
        if room < 12 {
            words.cut(Role::Dim, "…", room);
            break;
        }
        words.add(if settings.protected { Role::Strong } else { Role::Text }, &shown_name(name, settings));
        short(model, name, &mut words);
    }
    words.line()
}

/// Where the selected environment is, and what a rollback would do.
pub(crate) fn status_line(model: &Model, columns: usize) -> Line<'static> {
    let mut words = Words::new(&model.theme);
    words.add(Role::Text, " ");
    let Some((name, settings)) = model.environment() else {
        let text = if model.link == Link::Up {
            "no environment is configured"
        } else {
            "connecting to the engine…"
        };
        words.cut(Role::Dim, text, columns.saturating_sub(1));
        return words.line();
    };
    words.add(if settings.protected { Role::Strong } else { Role::Text }, &shown_name(name, settings));
    short(model, name, &mut words);
    if let Ok((to, verdict)) = rollback_hint(model, name) {
        let word = back_word(model, name);
        words.add(Role::Dim, " · ").add(Role::Accent, "R").add(Role::Text, &format!(" {word} → {to} "));
        words.add(verdict_role(&verdict), verdict_word(&verdict));
    }
    words.line()
}

/// An environment in a few words: `v57 ● healthy 2/2`.
pub(crate) fn short(model: &Model, name: &EnvironmentName, words: &mut Words<'_>) {
    if let Some((number, deployment)) = model.state.live(name) {
        words.add(Role::Text, &format!(" {}", deployment.release));
        let (glyph, role, word) = health_word(model, name);
        words.add(role, &format!(" {glyph} {word}"));
        let up = model.up(name, number);
        let count = up.up.map_or_else(|| "?".to_owned(), |up| up.to_string());
        words.add(Role::Dim, &format!(" {count}/{}", up.wanted));
    } else if model.state.under_way(name).is_none() {
        words.add(Role::Dim, " nothing live");
    }
    if let Some((_, deployment)) = model.state.under_way(name) {
        let (mark, word) = phase_word(deployment);
        words.add(mark.role(), &format!(" {} {} {word}", model.theme.glyph(mark), deployment.release));
    } else if let Some((_, deployment, ending)) = model.sad_end(name) {
        let (mark, word) = match ending {
            Ending::Broken { .. } => (Mark::Failed, "BROKEN"),
            Ending::RolledBack { .. } => (Mark::Inconclusive, "rolled back"),
            Ending::LiveUnverified { .. } | Ending::Live => (Mark::Inconclusive, "not verified"),
        };
        words.add(mark.role(), &format!(" {} {} {word}", model.theme.glyph(mark), deployment.release));
    }
}

/// The glyph and the word for where a deployment is.
pub(crate) fn phase_word(deployment: &Deployment) -> (Mark, &'static str) {
    match &deployment.phase {
        DeploymentPhase::Leasing => (Mark::Waiting, "waits"),
        DeploymentPhase::Running => (Mark::Running, "under way"),
        DeploymentPhase::Held { .. } => (Mark::Inconclusive, "held"),
        DeploymentPhase::Observing { .. } => (Mark::Looking, "being looked at"),
        DeploymentPhase::TakenBack { .. } => (Mark::Inconclusive, "being taken back"),
        DeploymentPhase::Ended(Ending::Live) => (Mark::Passed, "live"),
        DeploymentPhase::Ended(Ending::LiveUnverified { .. }) => (Mark::Inconclusive, "live, not verified"),
        DeploymentPhase::Ended(Ending::RolledBack { .. }) => (Mark::Cancelled, "rolled back"),
        DeploymentPhase::Ended(Ending::Broken { .. }) => (Mark::Failed, "broken"),
    }
}
