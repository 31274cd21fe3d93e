//! Environments as the console looks at them: their order, which one is selected, how each of them is.

use std::collections::{BTreeMap, BTreeSet};

use super::action::Action;
use super::model::{Focus, Link, Model, Screen};
use super::samples::Measured;
use crate::domain::health::{HostSample, ReplicaSample, ReplicaState};
use crate::domain::ids::{DeploymentId, EnvironmentName, Owner, ReplicaKey, StepId};
use crate::domain::planner::{self, ROUTED_ROLE};
use crate::domain::project::Environment;
use crate::domain::state::{Deployment, DeploymentPhase, Ending, RollbackVerdict};
use crate::domain::time::{Millis, Timestamp};

/// A line of an environment's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A step of the deployment that is shown.
    Step(StepId),
    /// A deployment of the environment's history.
    Deployment(DeploymentId),
}

/// What is selected on the Environments screen.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The selected environment; `None` is the one that wants to be looked at.
    pub at: Option<EnvironmentName>,
    /// Whether its page has the keys, and not the panels.
    pub open: bool,
    /// The deployment that was chosen from the history; `None` is the newest.
    pub shown: Option<DeploymentId>,
    /// The selected line of the page; `None` goes with what happens.
    pub row: Option<Row>,
    /// Whether a narrow page shows the replicas in place of the deployment.
    pub replicas: bool,
}

/// How an environment is, in a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Its health check was answered well, just now.
    Healthy,
    /// It was not.
    Unhealthy(String),
    /// Nobody knows: why.
    Unknown(String),
    /// Nothing of ours is there.
    Nothing,
}

/// How many replicas of a deployment live, of those that are meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Up {
    /// Those that live; `None` where nobody knows.
    pub up: Option<usize>,
    /// Those that are meant to live.
    pub wanted: usize,
}

impl Model {
    /// The environments, what stands after another on its right.
    #[must_use]
    pub fn environments(&self) -> Vec<(&EnvironmentName, &Environment)> {
        let Some(project) = &self.state.project else { return Vec::new() };
        let depth = |name: &EnvironmentName| {
            let mut depth = 0_usize;
            let mut at = project.environments.get(name);
            // Bounded: a chain that closes is refused where the configuration is read.
            while let Some(before) = at.and_then(|environment| environment.after.as_ref())
                && depth < project.environments.len()
            {
                depth += 1;
                at = project.environments.get(before);
            }
            depth
        };
        let mut all: Vec<_> = project.environments.iter().collect();
        all.sort_by_key(|(name, environment)| (depth(name), environment.protected));
        all
    }

    /// The selected environment: the chosen one, else one where something is under way, else the first.
    #[must_use]
    pub fn environment(&self) -> Option<(&EnvironmentName, &Environment)> {
        let all = self.environments();
        let chosen = all.iter().find(|(name, _)| Some(*name) == self.places.at.as_ref());
        let busy = || all.iter().rev().find(|(name, _)| self.state.under_way(name).is_some());
        chosen.or_else(busy).or_else(|| all.first()).copied()
    }

    /// The deployments of the selected environment, newest first.
    #[must_use]
    pub fn history(&self) -> Vec<(DeploymentId, &Deployment)> {
        let Some((name, _)) = self.environment() else { return Vec::new() };
        let all = self.state.deployments.iter().rev().filter(|(_, one)| &one.environment == name);
        all.map(|(number, one)| (*number, one)).collect()
    }

    /// The deployment whose steps are shown: the chosen one, else the newest of the selected environment.
    #[must_use]
    pub fn deployment(&self) -> Option<(DeploymentId, &Deployment)> {
        let (name, _) = self.environment()?;
        let chosen = self.places.shown.and_then(|number| self.state.deployments.get_key_value(&number));
        let chosen = chosen.filter(|(_, one)| &one.environment == name).map(|(number, one)| (*number, one));
        chosen.or_else(|| self.history().into_iter().next())
    }

    /// Whose steps are looked at on this screen.
    #[must_use]
    pub fn owner(&self) -> Option<Owner> {
        match self.screen {
            Screen::Pipeline => self.run_id().map(Owner::Run),
            Screen::Environments => self.deployment().map(|(number, _)| Owner::Deployment(number)),
            Screen::Logs => None,
        }
    }

    /// The lines of the selected environment's page, in their order.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let steps = self.steps().into_iter().map(|(step, _)| Row::Step(step.id.clone()));
        steps.chain(self.history().into_iter().map(|(number, _)| Row::Deployment(number))).collect()
    }

    /// The selected line of the page: the chosen one, else the step that wants to be looked at.
    #[must_use]
    pub fn row(&self) -> Option<Row> {
        let rows = self.rows();
        let chosen = self.places.row.clone().filter(|row| rows.contains(row));
        chosen.or_else(|| self.step().map(|(step, _)| Row::Step(step.id.clone())))
    }

    /// How often an environment is asked how it is.
    #[must_use]
    pub fn interval(&self, name: &EnvironmentName) -> Millis {
        let project = self.state.project.as_ref();
        let settings = project.and_then(|project| project.environments.get(name));
        settings.map_or_else(|| Environment::default().health.interval, |one| one.health.interval)
    }

    /// An environment's replicas, as far as that is known now.
    #[must_use]
    pub fn replicas(&self, name: &EnvironmentName) -> Measured<&[ReplicaSample]> {
        self.samples.replicas(name, self.now, self.interval(name))
    }

    /// How an environment is, from the answers to its health check.
    #[must_use]
    pub fn health(&self, name: &EnvironmentName) -> Health {
        if self.state.running(name).is_empty() {
            return Health::Nothing;
        }
        if self.link != Link::Up {
            return Health::Unknown("no engine".to_owned());
        }
        match self.samples.answer(name, self.now, self.interval(name)) {
            // Part of it may be well behind a router while nobody knows of the rest.
            Measured::Fresh(answer) if answer.healthy => match self.unreachable(name) {
                Some(host) => Health::Unknown(format!("{host} is unreachable")),
                None => Health::Healthy,
            },
            Measured::Fresh(answer) => Health::Unhealthy(answer.why.clone()),
            Measured::Stale(at) => Health::Unknown(format!("last asked {}", self.ago(at))),
            Measured::Never => Health::Unknown("not asked yet".to_owned()),
        }
    }

    /// A Docker engine of an environment that cannot be asked, though something of it is meant to live there.
    #[must_use]
    pub fn unreachable(&self, name: &EnvironmentName) -> Option<&str> {
        let replicas = self.replicas(name).fresh()?;
        let unknown = replicas.iter().find(|one| one.state == ReplicaState::Unknown)?;
        unknown.host.as_deref()
    }

    /// An environment's Docker engines, as far as that is known now.
    #[must_use]
    pub fn hosts(&self, name: &EnvironmentName) -> Measured<&[HostSample]> {
        self.samples.hosts(name, self.now, self.interval(name))
    }

    /// How many replicas of a deployment's set live.
    #[must_use]
    pub fn up(&self, name: &EnvironmentName, number: DeploymentId) -> Up {
        let running = self.state.running(name);
        let mut set = self.state.set_of(number);
        set.retain(|key| running.contains(key));
        let lives = |sample: &&ReplicaSample| sample.state == ReplicaState::Up && set.contains(&sample.key);
        let up = match (&self.link, self.replicas(name)) {
            (Link::Up, Measured::Fresh(samples)) => Some(samples.iter().filter(lives).count()),
            _ => None,
        };
        Up { up, wanted: set.len() }
    }

    /// Which deployment has how many per cent of the traffic, by the last switch that was confirmed.
    #[must_use]
    pub fn weights(&self, name: &EnvironmentName) -> BTreeMap<DeploymentId, u16> {
        let mut weights = BTreeMap::new();
        for share in self.state.traffic(name) {
            if let Some(of) = share.replicas.of {
                *weights.entry(of).or_insert(0) += u16::from(share.weight);
            }
        }
        weights
    }

    /// The deployment whose whole set still runs without traffic, so that going back to it is one switch.
    #[must_use]
    pub fn warm(&self, name: &EnvironmentName) -> Option<(DeploymentId, &Deployment)> {
        let weights = self.weights(name);
        let target = match self.state.under_way(name) {
            Some((_, deployment)) => deployment.way_back.target?,
            None => self.state.rollback_target(name)?.0,
        };
        let set = planner::warm(&self.state, name, target)?;
        let idle = |key: &ReplicaKey| weights.get(&key.deployment).is_none_or(|weight| *weight == 0);
        let deployment = self.state.deployments.get(&target)?;
        set.iter().all(idle).then_some((target, deployment))
    }

    /// Where what was seen differs from the record, a sentence each.
    #[must_use]
    pub fn drift(&self, name: &EnvironmentName) -> Vec<String> {
        let mut drift = Vec::new();
        // What the engine says of its hosts minds what is under way; what is said below does not.
        for host in self.hosts(name).fresh().unwrap_or_default() {
            drift.extend(host.strays.iter().map(|stray| format!("{}: {stray}", host.name)));
        }
        // While something is changed, the two differ on purpose.
        if self.state.under_way(name).is_some() {
            return drift;
        }
        let recorded = self.state.live(name).map(|(number, _)| number);
        if let Some(observed) = self.state.observed.get(name) {
            match (observed.live.as_ref().map(|live| live.deployment), recorded) {
                (Some(seen), Some(record)) if seen != record && !self.is_set_of(seen, record) => {
                    drift.push(format!("deployment {seen} answers, and {record} is recorded as live"));
                }
                (Some(seen), None) => drift.push(format!("{seen} answers, and none is recorded as live")),
                (None, Some(record)) => drift.push(format!("nothing of ours answered, and {record} should")),
                _ => {}
            }
        }
        let running = self.state.running(name);
        if let Some(samples) = self.replicas(name).fresh() {
            let seen: BTreeMap<&ReplicaKey, &ReplicaSample> =
                samples.iter().map(|sample| (&sample.key, sample)).collect();
            for key in &running {
                // Of a container its host tells more.
                let is_gone =
                    |sample: &&ReplicaSample| sample.state == ReplicaState::Gone && sample.host.is_none();
                if seen.get(key).is_none_or(is_gone) {
                    drift.push(format!("{key} should live, and nothing of it does"));
                }
            }
            let stays = |sample: &&ReplicaSample| {
                matches!(sample.state, ReplicaState::Up | ReplicaState::Backoff | ReplicaState::Starting)
            };
            for sample in samples.iter().filter(stays).filter(|sample| !running.contains(&sample.key)) {
                drift.push(format!("{} lives, and the record says it was stopped", sample.key));
            }
        }
        drift
    }

    /// Whether what answers is the earlier set that a rollback made live again.
    fn is_set_of(&self, seen: DeploymentId, record: DeploymentId) -> bool {
        self.state.set_of(record).iter().any(|key| key.role == ROUTED_ROLE && key.deployment == seen)
    }

    /// What a rollback would go back to, and what that means: `v55 SAFE`.
    ///
    /// # Errors
    /// Why there is nothing to go back to.
    pub fn way_back(&self, name: &EnvironmentName) -> Result<(String, RollbackVerdict), &'static str> {
        let (from, target) = match self.state.under_way(name) {
            Some((_, deployment)) => (deployment.release, deployment.way_back.target),
            None => {
                let (_, live) = self.state.live(name).ok_or("nothing is live here")?;
                (live.release, self.state.rollback_target(name).map(|(number, _)| number))
            }
        };
        let target = target.and_then(|number| self.state.deployments.get(&number));
        let target = target.ok_or("nothing to go back to")?;
        Ok((target.release.to_string(), self.state.verdict_between(from, target.release)))
    }

    /// The newest deployment, where its end wants to be known until something newer comes.
    #[must_use]
    pub fn sad_end(&self, name: &EnvironmentName) -> Option<(DeploymentId, &Deployment, &Ending)> {
        let newest = self.state.deployments.iter().rev().find(|(_, one)| &one.environment == name)?;
        match &newest.1.phase {
            DeploymentPhase::Ended(ending) if ending != &Ending::Live => Some((*newest.0, newest.1, ending)),
            _ => None,
        }
    }

    /// The deployments that have replicas here, newest first.
    #[must_use]
    pub fn sets(&self, name: &EnvironmentName) -> Vec<DeploymentId> {
        let running = self.state.running(name);
        let sets: BTreeSet<DeploymentId> = running.iter().map(|key| key.deployment).collect();
        sets.into_iter().rev().collect()
    }

    /// When a deployment became live, or ended another way.
    #[must_use]
    pub fn since(&self, deployment: &Deployment) -> Timestamp {
        deployment.ended.unwrap_or(deployment.created)
    }
}

/// Does what an action means on the Environments screen. Returns whether it was one of its own.
pub(super) fn perform(model: &mut Model, wanted: Action) -> bool {
    if model.focus == Focus::Log && !matches!(wanted, Action::Back) {
        return false;
    }
    match wanted {
        Action::NextPlace => select(model, 1),
        Action::PreviousPlace => select(model, -1),
        Action::OpenPlace => model.places.open = true,
        Action::Replicas => model.places.replicas = !model.places.replicas,
        Action::Up => move_row(model, -1),
        Action::Down => move_row(model, 1),
        Action::PageUp => move_row(model, -PAGE),
        Action::PageDown => move_row(model, PAGE),
        Action::First => move_row(model, isize::MIN / 2),
        Action::Last => move_row(model, isize::MAX / 2),
        Action::OpenLog => open(model),
        Action::Back => match model.focus {
            // The hits go first, and the width: as in the log of a run.
            Focus::Log if model.log.hits.is_some() || model.zoom => return false,
            Focus::Log | Focus::Detail => model.focus = Focus::Steps,
            Focus::Steps if model.places.replicas => model.places.replicas = false,
            Focus::Steps => model.places = Places { at: model.places.at.take(), ..Places::default() },
        },
        _ => return false,
    }
    true
}

/// How far a page key goes in the list.
const PAGE: isize = 10;

/// Selects an environment by its distance from the one that is selected.
pub(super) fn select(model: &mut Model, by: isize) {
    let here = super::arrange::place(model);
    let all = model.environments();
    let count = isize::try_from(all.len()).unwrap_or(1).max(1);
    let here = isize::try_from(here).unwrap_or(0);
    let next = usize::try_from((here + by).rem_euclid(count)).unwrap_or(0);
    let name = all.get(next).map(|(name, _)| (*name).clone());
    model.places = Places { at: name, ..Places::default() };
}

pub(super) fn move_row(model: &mut Model, by: isize) {
    model.places.replicas = false;
    let rows = model.rows();
    let row = model.row();
    let here = rows.iter().position(|one| Some(one) == row.as_ref()).unwrap_or(0);
    let to = here.saturating_add_signed(by).min(rows.len().saturating_sub(1));
    // The environment stays the one whose rows these are, whatever happens elsewhere meanwhile.
    model.places.at = model.environment().map(|(name, _)| name.clone());
    model.places.row = rows.get(to).cloned();
}

fn open(model: &mut Model) {
    if let Some(Row::Deployment(number)) = model.row() {
        model.places.shown = Some(number);
        model.places.row = None;
        return;
    }
    let parts = super::layout::regions(model);
    let beside = parts.body.width >= super::layout::WIDE;
    let card = model.focus == Focus::Steps && !beside && model.has_card();
    model.focus = match (model.attempt().is_some() && !card, beside) {
        (true, _) => Focus::Log,
        (false, true) => Focus::Steps,
        (false, false) => Focus::Detail,
    };
}
