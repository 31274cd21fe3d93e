//! What the words to a deployment are about when nobody says it: which environment, release, deployment.

use super::model::{Link, Model};
use crate::domain::ids::{DeploymentId, EnvironmentName, ReleaseNumber};
use crate::domain::state::{
    Deployment, DeploymentKind, DeploymentPhase, Ending, RollbackVerdict, RunEnd, RunPhase, State, StepState,
};

/// The environments, each behind the one whose proof it takes.
pub(crate) fn chain(state: &State) -> Vec<&EnvironmentName> {
    let Some(project) = &state.project else { return Vec::new() };
    let all = &project.environments;
    let depth = |name: &EnvironmentName| {
        let before = std::iter::successors(Some(name), |name| all.get(name)?.after.as_ref());
        // A circle is refused by the configuration; here it only must end.
        before.take(all.len() + 1).count()
    };
    let mut names: Vec<&EnvironmentName> = all.keys().collect();
    names.sort_by_key(|name| depth(name));
    names
}

/// The environment beside this one in the chain; `None` where there is no other.
pub(crate) fn beside(state: &State, name: &EnvironmentName, by: isize) -> Option<EnvironmentName> {
    let chain = chain(state);
    let at = chain.iter().position(|other| *other == name)?;
    let count = isize::try_from(chain.len()).ok().filter(|count| *count > 1)?;
    let to = isize::try_from(at).ok()?.saturating_add(by).rem_euclid(count);
    chain.get(usize::try_from(to).ok()?).map(|name| (*name).clone())
}

/// Whether its name has to be typed for a promotion.
pub(crate) fn is_protected(state: &State, name: &EnvironmentName) -> bool {
    state.environment(name).is_ok_and(|environment| environment.protected)
}

/// An environment's name as it is shown: a protected one in capitals.
pub(crate) fn title(state: &State, name: &EnvironmentName) -> String {
    if is_protected(state, name) { name.as_str().to_uppercase() } else { name.as_str().to_owned() }
}

/// The environment that is selected where environments are listed; elsewhere none is.
const fn selected(model: &Model) -> Option<&EnvironmentName> {
    model.chosen_environment.as_ref()
}

/// The releases, newest first.
pub(crate) fn releases(state: &State) -> Vec<ReleaseNumber> {
    state.releases.keys().rev().copied().collect()
}

/// Where a promotion goes, and with what.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn promotion(model: &Model) -> Result<(EnvironmentName, ReleaseNumber), &'static str> {
    let state = &model.state;
    let chain = chain(state);
    let newest = state.releases.keys().next_back().copied();
    let last = *chain.last().ok_or("no environment")?;
    if let Some(chosen) = selected(model) {
        let after = state.environment(chosen).ok().and_then(|environment| environment.after.as_ref());
        let proven = after.and_then(|after| state.live(after)).map(|(_, live)| live.release);
        return Ok((chosen.clone(), proven.or(newest).ok_or("no release yet")?));
    }
    let release = match model.run() {
        Some((id, run)) => match run.phase {
            RunPhase::Ended(RunEnd::Passed { release: Some(release) }) => release,
            _ => {
                let made = state.releases.values().find(|release| release.run == id);
                made.ok_or("this run made no release")?.number
            }
        },
        None => newest.ok_or("no release yet")?,
    };
    let open = |name: &&EnvironmentName| state.live(name).is_none_or(|(_, live)| live.release != release);
    let missing: Vec<&EnvironmentName> = chain.into_iter().filter(open).collect();
    let ready = missing.iter().find(|name| state.promotable(name, release).is_ok());
    Ok(((*ready.or_else(|| missing.first()).unwrap_or(&last)).clone(), release))
}

/// What can be gone back to: deployments that were live and verified, the newest of each release but the live one.
pub(crate) fn earlier<'a>(state: &'a State, name: &EnvironmentName) -> Vec<(DeploymentId, &'a Deployment)> {
    let live = state.live(name).map(|(_, live)| live.release);
    let mut found: Vec<(DeploymentId, &Deployment)> = Vec::new();
    for (number, deployment) in state.deployments.iter().rev() {
        let was_live = &deployment.environment == name
            && matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live))
            && Some(deployment.release) != live;
        if was_live && found.iter().all(|(_, other)| other.release != deployment.release) {
            found.push((*number, deployment));
        }
    }
    found
}

/// Whether there is a way back in an environment: of what is under way, else of what is live.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn way_back(state: &State, name: &EnvironmentName) -> Result<(), &'static str> {
    let Some((_, deployment)) = state.under_way(name) else {
        state.live(name).ok_or("nothing is live")?;
        return if earlier(state, name).is_empty() { Err("nothing to go back to") } else { Ok(()) };
    };
    match (&deployment.kind, &deployment.phase, deployment.way_back.target) {
        (DeploymentKind::Rollback { .. }, ..) => Err("it is a rollback itself"),
        (_, DeploymentPhase::Running | DeploymentPhase::Held { .. }, Some(_)) => Ok(()),
        (_, _, None) => Err("nothing was live before it"),
        (_, _, Some(_)) => Err("it can’t be stopped now"),
    }
}

/// Where a rollback goes: the selected environment, else the one where a deployment is under way, else the last
/// with a way back.
///
/// # Errors
/// Why nothing can be gone back to, in a few words.
pub(crate) fn rollback(model: &Model) -> Result<EnvironmentName, &'static str> {
    let state = &model.state;
    if let Some(chosen) = selected(model) {
        return way_back(state, chosen).map(|()| chosen.clone());
    }
    let chain = chain(state);
    let ready = |name: &&&EnvironmentName| way_back(state, name).is_ok();
    let under_way = |name: &&&EnvironmentName| state.under_way(name).is_some();
    let found = chain.iter().rev().filter(under_way).find(ready).or_else(|| chain.iter().rev().find(ready));
    match (found, chain.last()) {
        (Some(name), _) => Ok((*name).clone()),
        (None, Some(last)) => Err(way_back(state, last).err().unwrap_or("nothing to go back to")),
        (None, None) => Err("no environment"),
    }
}

/// The promotion in a few words: `promote v57 → PRODUCTION`.
pub(crate) fn promotion_name(model: &Model) -> Option<String> {
    let (environment, release) = promotion(model).ok()?;
    Some(format!("promote {release} → {}", title(&model.state, &environment)))
}

/// The rollback in a few words: `roll PRODUCTION back → v56 SAFE`.
pub(crate) fn rollback_name(model: &Model) -> Option<String> {
    let state = &model.state;
    let environment = rollback(model).ok()?;
    let place = title(state, &environment);
    if let Some((number, deployment)) = state.under_way(&environment) {
        let verdict = verdict_word(&deployment.way_back.verdict);
        return Some(format!("take {number} of {place} back: {verdict}"));
    }
    let (_, live) = state.live(&environment)?;
    let (_, to) = state.rollback_target(&environment)?;
    let verdict = state.verdict_between(live.release, to.release);
    Some(format!("roll {place} back → {} {}", to.release, verdict_word(&verdict)))
}

/// A verdict's word.
pub(crate) const fn verdict_word(verdict: &RollbackVerdict) -> &'static str {
    match verdict {
        RollbackVerdict::Safe => "SAFE",
        RollbackVerdict::Unknown { .. } => "UNKNOWN",
        RollbackVerdict::NoTarget => "no way back",
    }
}

/// What can be said to a deployment under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Go on.
    Go,
    /// Hold before the next step.
    Hold,
    /// End it as it is.
    Leave,
}

impl Word {
    /// Whether it can be said to this deployment.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub(crate) fn fits(self, deployment: &Deployment) -> Result<(), &'static str> {
        let held = matches!(deployment.phase, DeploymentPhase::Held { .. });
        match self {
            Self::Hold if deployment.phase == DeploymentPhase::Running => Ok(()),
            Self::Hold if held => Err("it is held"),
            Self::Hold => Err("no step runs now"),
            Self::Go | Self::Leave if !held => Err("it is not held"),
            Self::Leave if deployment.steps.values().any(StepState::is_open) => Err("a step still runs"),
            Self::Go | Self::Leave => Ok(()),
        }
    }
}

/// The deployments that are under way where a person looks, newest first.
pub(crate) fn under_way(model: &Model) -> impl Iterator<Item = (DeploymentId, &Deployment)> {
    let chosen = selected(model);
    let all = model.state.deployments.iter().rev();
    all.filter(move |(_, deployment)| {
        deployment.is_open() && chosen.is_none_or(|chosen| &deployment.environment == chosen)
    })
    .map(|(number, deployment)| (*number, deployment))
}

/// The deployment that a word is said to: the newest that it fits.
///
/// # Errors
/// Why there is none, in a few words.
pub(crate) fn spoken_to(model: &Model, word: Word) -> Result<DeploymentId, &'static str> {
    let mut why = "nothing is under way";
    for (at, (number, deployment)) in under_way(model).enumerate() {
        match word.fits(deployment) {
            Ok(()) => return Ok(number),
            Err(reason) if at == 0 => why = reason,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Whether the engine can be asked.
///
/// # Errors
/// Why not.
pub(crate) fn linked(model: &Model) -> Result<(), &'static str> {
    if model.link == Link::Up { Ok(()) } else { Err("no engine") }
}
