//! What a person sees before he says his word: what would be done, what must hold, how long it takes.

use super::command::{Refusal, RefusalKind};
use super::gate::{Gate, GateState};
use super::ids::{DeploymentId, EnvironmentName, ReleaseNumber};
use super::plan::Plan;
use super::planner;
use super::query::{PromotionPreview, RollbackPreview};
use super::release::Release;
use super::state::{Deployment, DeploymentPhase, Ending, RollbackVerdict, State, StepPhase, WayBack};
use super::time::Millis;

impl State {
    /// What a promotion would do, but for its commits: these are git's to say.
    ///
    /// # Errors
    /// When there is no such environment or release.
    pub fn preview_promotion(
        &self,
        name: &EnvironmentName,
        number: ReleaseNumber,
    ) -> Result<PromotionPreview, Refusal> {
        let environment = self.environment(name)?;
        let release = self.release(number)?;
        let plan = planner::deployment(self, name, environment, release);
        let live = self.live(name);
        let before = live.and_then(|(_, live)| self.releases.get(&live.release));
        let known = |name: &str| {
            before.is_some_and(|before| before.migrations.iter().any(|migration| migration.name == name))
        };
        let migrations =
            release.migrations.iter().map(|one| one.name.clone()).filter(|name| !known(name)).collect();
        let way_back = self.way_back_from(name, number);
        Ok(PromotionPreview {
            environment: name.clone(),
            release: number,
            from: live.map(|(number, live)| (number, live.release)),
            gates: self.gates(name, release, &way_back),
            estimate: self.plan_estimate(name, &plan),
            plan,
            commits: Vec::new(),
            commits_note: String::new(),
            migrations,
            way_back,
            protected: environment.protected,
        })
    }

    /// What is looked at before a promotion.
    #[must_use]
    pub fn gates(&self, name: &EnvironmentName, release: &Release, way_back: &WayBack) -> Vec<Gate> {
        let mut gates = Vec::new();
        let mut say = |state, words: String, cure: &str| {
            gates.push(Gate { state, words, cure: cure.to_owned() });
        };
        if let Some((number, _)) = self.under_way(name) {
            let words = format!("deployment {number} is under way on {name}");
            say(GateState::Fails, words, "Wait for its end, or take it back.");
        }
        let is_live = self.live(name).is_some_and(|(_, live)| live.release == release.number);
        let after = self.environment(name).ok().and_then(|environment| environment.after.clone());
        match (&after, self.promotable(name, release.number)) {
            (None, _) => say(GateState::Holds, "no environment comes before this one".to_owned(), ""),
            (Some(after), Ok(())) => {
                say(GateState::Holds, format!("verified on {after}, the very same artifact"), "");
            }
            (Some(_), Err(_)) if is_live => {
                say(GateState::Holds, "it is live here already".to_owned(), "");
            }
            (Some(_), Err(refusal)) => say(GateState::Fails, refusal.message, &refusal.hint),
        }
        for (step, why) in self.accepted(release) {
            say(GateState::Warns, format!("{step} was inconclusive; accepted: {why}"), "");
        }
        match &way_back.verdict {
            RollbackVerdict::Safe => {
                say(GateState::Holds, "rollback after this: SAFE, the same migrations".to_owned(), "");
            }
            RollbackVerdict::Unknown { why } => {
                say(GateState::Warns, format!("rollback after this: UNKNOWN. {why}"), "");
            }
            RollbackVerdict::NoTarget => {
                say(GateState::Warns, "nothing is live here yet: there is no way back".to_owned(), "");
            }
        }
        gates
    }

    /// The inconclusive checks of a release's run that a person accepted, with the reason.
    fn accepted<'a>(&'a self, release: &Release) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let steps = self.runs.get(&release.run).into_iter().flat_map(|run| &run.steps);
        steps.filter_map(|(step, state)| match (&state.phase, &state.acknowledged) {
            (StepPhase::Inconclusive { .. }, Some(why)) => Some((step.as_str(), why.as_str())),
            _ => None,
        })
    }

    /// How long a plan is likely to take; `None` where one of its steps was never done there.
    #[must_use]
    pub fn plan_estimate(&self, name: &EnvironmentName, plan: &Plan) -> Option<Millis> {
        let steps = plan.steps.iter().map(|step| self.deployment_estimate(name, step));
        steps.map(|estimate| estimate.map(|millis| millis.0)).sum::<Option<u64>>().map(Millis)
    }

    /// What a rollback would do; while a deployment is under way, what taking that one back would do.
    ///
    /// # Errors
    /// When there is nothing to take back or nothing to go back to.
    pub fn preview_rollback(
        &self,
        name: &EnvironmentName,
        to: Option<DeploymentId>,
    ) -> Result<RollbackPreview, Refusal> {
        let environment = self.environment(name)?;
        let nothing = |what: &str| Refusal::new(RefusalKind::Gate, what, "Promote another release instead.");
        let (from, current, target) = match self.under_way(name) {
            Some((number, deployment)) => (number, deployment, deployment.way_back.target),
            None => {
                let (number, live) =
                    self.live(name).ok_or_else(|| nothing(&format!("Nothing of ours is live on {name}.")))?;
                (number, live, to.or_else(|| self.rollback_target(name).map(|(number, _)| number)))
            }
        };
        let target = target.ok_or_else(|| {
            nothing(&format!(
                "There is nothing to go back to on {name}: no other artifact was live and verified here."
            ))
        })?;
        let Some(to) = self.deployments.get(&target) else {
            let message = format!("There is no deployment {target}.");
            return Err(Refusal::new(RefusalKind::Unknown, message, ""));
        };
        let plan = planner::rollback(self, environment, (from, current), (target, self.release(to.release)?));
        let was_live = |(number, deployment): &(&DeploymentId, &Deployment)| {
            &deployment.environment == name
                && **number != from
                && **number != target
                && matches!(deployment.phase, DeploymentPhase::Ended(Ending::Live))
        };
        Ok(RollbackPreview {
            environment: name.clone(),
            from: (from, current.release),
            to: (target, to.release),
            warm: planner::warm(self, name, target).is_some(),
            verdict: self.verdict_between(current.release, to.release),
            estimate: self.plan_estimate(name, &plan),
            plan,
            others: self
                .deployments
                .iter()
                .rev()
                .filter(was_live)
                .map(|(number, deployment)| (*number, deployment.release))
                .collect(),
        })
    }
}
