//! Which keys the footer offers: those of the part that has the keys, each with its reason when it can't act.

use super::action::{ACTIONS, Action, Context, Key, context};
use super::layout::WIDE;
use super::model::{Focus, Link, Model, Screen};
use super::target;
use crate::domain::state::{DeploymentPhase, RunPhase};

/// One key of the footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FooterKey {
    /// What it does.
    pub(super) action: Action,
    /// The key.
    pub(super) key: String,
    /// Its name here.
    pub(super) name: String,
    /// Why it can't be done now.
    pub(super) reason: Option<&'static str>,
}

/// The footer's keys. What concerns the part without the keys is left to `?`.
#[must_use]
pub(super) fn footer(model: &Model) -> Vec<FooterKey> {
    let here = context(model);
    let nothing = model.screen == Screen::Pipeline && model.run_id().is_none();
    let elsewhere = model.screen != Screen::Pipeline;
    ACTIONS
        .iter()
        .filter(|entry| entry.footer && entry.contexts.contains(&here))
        .filter(|entry| match (here, entry.action) {
            (_, Action::NewRun | Action::Retry | Action::Shell) if elsewhere => false,
            (Context::Place, Action::Back) => true,
            (Context::Stream, Action::Back) => entry.action.availability(model).is_ok(),
            (
                Context::Place,
                Action::Follow | Action::Wrap | Action::Times | Action::Search | Action::Zoom,
            ) => false,
            (Context::Place, Action::Replicas) => entry.action.availability(model).is_ok(),
            (Context::Steps, Action::Back) => model.focus == Focus::Detail,
            (
                Context::Steps,
                Action::Follow | Action::Wrap | Action::Times | Action::Search | Action::Zoom,
            ) => false,
            (Context::Log, Action::Zoom) => model.size.0 >= WIDE,
            (Context::Steps, Action::Runs) => !nothing,
            (Context::Steps, Action::StartCommit) => nothing,
            (Context::Log, Action::Runs | Action::Findings) => false,
            (Context::Log, Action::Acknowledge | Action::Cancel) => false,
            // Without an environment there is nothing to deploy to, and nothing to say about it.
            (_, Action::Promote | Action::Rollback) => !target::chain(&model.state).is_empty(),
            (_, Action::GoOn | Action::Hold | Action::Leave) => target::under_way(model).next().is_some(),
            (_, Action::BreakLease) => super::lease::foreign(model).is_ok(),
            (_, Action::OpenLog | Action::Findings) => !nothing,
            (_, Action::Cancel | Action::Retry | Action::Shell | Action::Acknowledge) => !nothing,
            _ => true,
        })
        .map(|entry| {
            let name = match entry.action {
                Action::Up if nothing => "commit".to_owned(),
                Action::Up if matches!(here, Context::Log | Context::Stream) => "scroll".to_owned(),
                Action::Up if here == Context::Place => "line".to_owned(),
                Action::OpenLog if here == Context::Place => "log, deployment".to_owned(),
                Action::Replicas if model.places.replicas => "deployment".to_owned(),
                Action::NextScreen => "screen".to_owned(),
                Action::Quit if model.moves() && model.link == Link::Up => goes_on(model).to_owned(),
                Action::Promote => target::promotion_name(model).unwrap_or_else(|| entry.name.to_owned()),
                Action::Rollback => target::rollback_name(model).unwrap_or_else(|| entry.name.to_owned()),
                _ => entry.name.to_owned(),
            };
            let key = match entry.action {
                Action::Up => "↑↓".to_owned(),
                Action::StartCommit => "⏎".to_owned(),
                Action::NextPlace => "←→".to_owned(),
                _ => entry.keys.first().map(Key::label).unwrap_or_default(),
            };
            let reason = entry.action.availability(model).err();
            FooterKey { action: entry.action, key, name, reason }
        })
        .collect()
}

/// Leaving stops nothing.
fn goes_on(model: &Model) -> &'static str {
    let runs = model.state.runs.values().any(|run| !matches!(run.phase, RunPhase::Ended(_)));
    let deploys = model.state.deployments.values().any(|one| !matches!(one.phase, DeploymentPhase::Ended(_)));
    match (runs, deploys) {
        (true, false) => "quit: the run goes on",
        (false, true) => "quit: the deployment goes on",
        _ => "quit: all goes on",
    }
}
