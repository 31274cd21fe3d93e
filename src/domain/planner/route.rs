//! The steps of a deployment. A strategy only orders them.

use std::collections::{BTreeMap, BTreeSet};

use super::{DEPLOY_STEP, MIGRATE_STEP, ROUTED_ROLE};
use crate::domain::ids::{DeploymentId, EnvironmentName, ReplicaKey, StepId};
use crate::domain::plan::{Hook, Moment, Plan, PlanParts, Replicas, Share, Step, Target, Work, hash_of};
use crate::domain::project::{Environment, Strategy};
use crate::domain::release::Release;
use crate::domain::state::{Deployment, State};
use crate::domain::time::Millis;

/// The plan that makes a release live in an environment.
#[must_use]
pub fn deployment(
    state: &State,
    name: &EnvironmentName,
    environment: &Environment,
    release: &Release,
) -> Plan {
    let mut route = Route::new(state, name, environment, release);
    match &environment.strategy {
        Strategy::Recreate => route.recreate(),
        Strategy::Rolling => route.rolling(),
        Strategy::BlueGreen => route.by_weights(&[]),
        Strategy::Canary(weights) => route.by_weights(weights),
    }
    let findings: Vec<&String> = release.findings.iter().map(|finding| &finding.id).collect();
    let parts = PlanParts {
        artifact: release.artifact.id.0.clone(),
        config: hash_of(&(environment, &release.serving)),
        steps: String::new(),
        migrations: hash_of(&release.migrations),
        live: state.live(name).map(|(number, _)| number),
        findings: hash_of(&findings),
    };
    Plan::new(parts, route.steps)
}

/// The plan that takes `from` back to `to`. Where the old set is still warm it is one switch of traffic.
/// It binds target and live deployment alone: a flapping replica never stands in its way.
#[must_use]
pub fn rollback(
    state: &State,
    environment: &Environment,
    (from_number, from): (DeploymentId, &Deployment),
    (to_number, to_release): (DeploymentId, &Release),
) -> Plan {
    let mut route = Route::new(state, &from.environment, environment, to_release);
    let set = state.set_of(to_number);
    match warm(state, &from.environment, to_number) {
        Some(routed) => route.back_to(&set, &routed),
        None => {
            route.fetch();
            route.start_all();
            route.shift(100);
            route.hand_over();
        }
    }
    route.let_old_go();
    route.verify();
    let parts = PlanParts {
        artifact: to_release.artifact.id.0.clone(),
        live: Some(from_number),
        ..PlanParts::default()
    };
    Plan::new(parts, route.steps)
}

/// The routed replicas of a deployment's set, where all of them still run untouched: then going back to it is one
/// switch of traffic.
#[must_use]
pub fn warm(state: &State, environment: &EnvironmentName, to: DeploymentId) -> Option<BTreeSet<ReplicaKey>> {
    let routed: BTreeSet<ReplicaKey> =
        state.set_of(to).into_iter().filter(|key| key.role == ROUTED_ROLE).collect();
    (!routed.is_empty() && routed.is_subset(&state.untouched(environment))).then_some(routed)
}

/// Lays a deployment's steps one after the other.
struct Route<'a> {
    state: &'a State,
    environment: &'a Environment,
    release: &'a Release,
    target: Target,
    /// What runs and is not the new set: all of it goes in the end.
    old: BTreeSet<ReplicaKey>,
    /// The part of it that has traffic.
    routed: BTreeSet<ReplicaKey>,
    steps: Vec<Step>,
    last: Option<StepId>,
}

impl<'a> Route<'a> {
    fn new(
        state: &'a State,
        name: &EnvironmentName,
        environment: &'a Environment,
        release: &'a Release,
    ) -> Self {
        let target =
            Target { environment: name.clone(), release: release.number, artifact: release.artifact.clone() };
        let old = state.running(name);
        let with_traffic = state.traffic(name);
        let routed = with_traffic
            .iter()
            .flat_map(|share| share.replicas.of.map(|of| super::super::running::keys(&share.replicas, of)))
            .flatten()
            .filter(|key| old.contains(key))
            .collect();
        Self { state, environment, release, target, old, routed, steps: Vec::new(), last: None }
    }

    fn add(&mut self, id: &str, work: Work, timeout: Millis) {
        // A step's name is its identity: the same thing done twice is numbered.
        let is_taken = |id: &str| self.steps.iter().any(|step| step.id.as_str() == id);
        let mut name = id.to_owned();
        let mut number = 2;
        while is_taken(&name) {
            name = format!("{id} {number}");
            number += 1;
        }
        let id = StepId(name);
        let step = Step {
            id: id.clone(),
            group: self.target.environment.0.clone(),
            needs: self.last.replace(id).into_iter().collect(),
            work,
            timeout,
            retries: 0,
            skip: None,
        };
        self.steps.push(step);
    }

    fn hooks(&mut self, moment: Moment) {
        let (id, lines) = match moment {
            Moment::Before => ("before", &self.environment.hooks.before),
            Moment::AfterMigrate => ("after-migrate", &self.environment.hooks.after_migrate),
            Moment::Smoke => ("smoke", &self.environment.smoke),
            Moment::After => ("after", &self.environment.hooks.after),
        };
        for run in lines {
            let hook = Hook { target: self.target.clone(), moment, run: run.clone() };
            self.add(id, Work::Hook(hook), DEPLOY_STEP);
        }
    }

    fn fetch(&mut self) {
        self.add("fetch", Work::Fetch(self.target.clone()), DEPLOY_STEP);
    }

    /// Brings the artifact, runs what comes before, and migrates.
    fn prepare(&mut self) {
        self.fetch();
        self.hooks(Moment::Before);
        self.migrate();
    }

    fn migrate(&mut self) {
        if !self.release.migrations.is_empty() {
            self.add("migrate", Work::Migrate(self.target.clone()), MIGRATE_STEP);
        }
        self.hooks(Moment::AfterMigrate);
    }

    fn verify(&mut self) {
        self.add("verify", Work::Verify(self.target.clone()), DEPLOY_STEP);
    }

    fn close(&mut self) {
        self.verify();
        self.hooks(Moment::After);
    }

    fn routed_count(&self) -> u32 {
        self.environment.replicas.get(ROUTED_ROLE).copied().unwrap_or(0)
    }

    /// Gives the whole new set this share of the traffic, and what has it now the rest.
    fn shift(&mut self, weight: u8) {
        let count = self.routed_count();
        self.shift_some(&format!("shift {weight}"), weight, count, &self.routed.clone());
    }

    /// Gives the first `count` of the new set this share of the traffic, and `rest` what is left.
    fn shift_some(&mut self, id: &str, weight: u8, count: u32, rest: &BTreeSet<ReplicaKey>) {
        if self.routed_count() == 0 {
            return;
        }
        let new = Share { replicas: self.new_set(ROUTED_ROLE, 1, count), weight };
        let mut shares = vec![new];
        shares.extend(self.rest(100 - weight.min(100), rest));
        let weight = if rest.is_empty() { 100 } else { weight };
        if let (true, Some(new)) = (rest.is_empty(), shares.first_mut()) {
            new.weight = 100;
        }
        let work = Work::Shift { target: self.target.clone(), weight, of: None, shares };
        self.add(id, work, DEPLOY_STEP);
    }

    /// Spreads what is left over those that have traffic now, by how many they are.
    fn rest(&self, left: u8, rest: &BTreeSet<ReplicaKey>) -> Vec<Share> {
        let groups = self.state.grouped(rest);
        let all: u32 = groups.iter().map(|group| group.count).sum();
        let mut given: u32 = 0;
        let mut seen: u32 = 0;
        let share = |replicas: Replicas| {
            // Running totals, so that the parts add up to the whole.
            seen += replicas.count;
            let until = u32::from(left) * seen / all.max(1);
            let weight = u8::try_from(until - given).unwrap_or(0);
            given = until;
            Share { replicas, weight }
        };
        groups.into_iter().map(share).filter(|share| share.weight > 0).collect()
    }

    fn bake(&mut self, id: &str, weight: u8) {
        let window = if weight == 100 { self.environment.bake } else { self.environment.canary_window() };
        let against: BTreeSet<DeploymentId> = self.routed.iter().map(|key| key.deployment).collect();
        let work = Work::Bake {
            target: self.target.clone(),
            window,
            weight,
            against: against.into_iter().collect(),
        };
        self.add(id, work, Millis(window.0.saturating_add(DEPLOY_STEP.0)));
    }

    fn new_set(&self, role: &str, first: u32, count: u32) -> Replicas {
        Replicas { target: self.target.clone(), role: role.to_owned(), first, count, of: None }
    }

    fn is_exclusive(&self, role: &str) -> bool {
        role != ROUTED_ROLE
            && self.release.serving.roles.get(role).is_some_and(super::super::project::Role::is_exclusive)
    }

    /// The roles that may run beside the old set's, the routed one first.
    fn roles(&self) -> Vec<(String, u32)> {
        let wanted =
            self.environment.replicas.iter().filter(|(role, count)| **count > 0 && !self.is_exclusive(role));
        let mut roles: Vec<(String, u32)> = wanted.map(|(role, count)| (role.clone(), *count)).collect();
        roles.sort_by_key(|(role, _)| role != ROUTED_ROLE);
        roles
    }

    fn start(&mut self, role: &str, count: u32) {
        let set = self.new_set(role, 1, count);
        self.add(&format!("start {role}"), Work::Start(set.clone()), DEPLOY_STEP);
        self.add(&format!("await {role}"), Work::AwaitHealthy(set), DEPLOY_STEP);
    }

    fn start_all(&mut self) {
        for (role, count) in self.roles() {
            self.start(&role, count);
        }
    }

    /// Roles of which there may never be two: the old one stops, then the new one starts.
    fn hand_over(&mut self) {
        let wanted: BTreeMap<String, u32> = self.environment.replicas.clone();
        for (role, count) in wanted {
            if count == 0 || !self.is_exclusive(&role) {
                continue;
            }
            self.let_go_of(|key| key.role == role);
            self.start(&role, 1);
        }
    }

    fn let_old_go(&mut self) {
        self.let_go_of(|_| true);
    }

    /// Lets those of the old set go that are meant.
    fn let_go_of(&mut self, is_meant: impl Fn(&ReplicaKey) -> bool) {
        let (going, staying) = std::mem::take(&mut self.old).into_iter().partition(|key| is_meant(key));
        self.old = staying;
        self.let_go(&going, "");
    }

    fn let_go(&mut self, going: &BTreeSet<ReplicaKey>, suffix: &str) {
        for set in self.state.grouped(going) {
            let role = set.role.clone();
            // What nobody was ever sent to has nothing in flight.
            let is_asked = set.of.is_some_and(|of| self.state.had_traffic(of));
            if role == ROUTED_ROLE && is_asked {
                self.add(&format!("drain {role}{suffix}"), Work::Drain(set.clone()), DEPLOY_STEP);
            }
            self.add(&format!("stop {role}{suffix}"), Work::Stop(set), DEPLOY_STEP);
        }
    }

    /// Stops the old set before the new one starts: there is downtime.
    fn recreate(&mut self) {
        self.fetch();
        self.hooks(Moment::Before);
        self.let_old_go();
        self.routed.clear();
        self.migrate();
        self.start_all();
        self.shift(100);
        self.hand_over();
        self.hooks(Moment::Smoke);
        self.bake("bake", 100);
        self.close();
    }

    /// Replica by replica; the traffic follows the number that is already new.
    fn rolling(&mut self) {
        self.prepare();
        for (role, count) in self.roles() {
            for index in 1..=count {
                let set = self.new_set(&role, index, 1);
                self.add(&format!("start {role} {index}"), Work::Start(set.clone()), DEPLOY_STEP);
                self.add(&format!("await {role} {index}"), Work::AwaitHealthy(set), DEPLOY_STEP);
                // The next of the old ones in turn; the last new one takes the place of all that are left.
                let of_role = |key: &&ReplicaKey| key.role == role;
                let left = self.old.iter().filter(of_role).count();
                let going: BTreeSet<ReplicaKey> = match index == count {
                    true => self.old.iter().filter(of_role).cloned().collect(),
                    false => self.old.iter().filter(of_role).take(usize::from(left > 0)).cloned().collect(),
                };
                self.old.retain(|key| !going.contains(key));
                if role == ROUTED_ROLE {
                    self.routed.retain(|key| !going.contains(key));
                    let weight = u8::try_from(index.saturating_mul(100) / count).unwrap_or(100);
                    let rest = self.routed.clone();
                    self.shift_some(&format!("shift {role} {index}"), weight, index, &rest);
                }
                self.let_go(&going, &format!(" {index}"));
            }
        }
        self.hand_over();
        // Roles that are not wanted any more, and what earlier deployments have left.
        self.let_old_go();
        self.hooks(Moment::Smoke);
        self.bake("bake", 100);
        self.close();
    }

    /// A whole second set, then traffic by these weights, then all of it; the old set stays warm until the last
    /// bake has closed.
    fn by_weights(&mut self, weights: &[u8]) {
        self.prepare();
        self.start_all();
        // Ascending, each once, and less than all. With nothing before it there is nothing to compare with.
        let weights: BTreeSet<u8> = weights
            .iter()
            .copied()
            .filter(|weight| (1..100).contains(weight) && !self.routed.is_empty())
            .collect();
        for weight in weights {
            self.shift(weight);
            self.bake(&format!("bake {weight}"), weight);
        }
        self.shift(100);
        self.hand_over();
        self.hooks(Moment::Smoke);
        self.bake("bake", 100);
        self.let_old_go();
        self.close();
    }

    /// Gives the traffic back to a set that is still warm; what of it does not run any more is started.
    fn back_to(&mut self, set: &BTreeSet<ReplicaKey>, routed: &BTreeSet<ReplicaKey>) {
        let untouched = self.state.untouched(&self.target.environment);
        let of = routed.iter().next().map(|key| key.deployment);
        let shares = {
            self.old.retain(|key| !routed.contains(key));
            self.rest(100, routed)
        };
        self.add(
            "shift 100",
            Work::Shift { target: self.target.clone(), weight: 100, of, shares },
            DEPLOY_STEP,
        );
        let others: BTreeSet<&String> =
            set.iter().map(|key| &key.role).filter(|role| *role != ROUTED_ROLE).collect();
        for role in others {
            let members: BTreeSet<ReplicaKey> = set.iter().filter(|key| &key.role == role).cloned().collect();
            if members.is_subset(&untouched) {
                self.old.retain(|key| !members.contains(key));
                continue;
            }
            if self.is_exclusive(role) {
                self.let_go_of(|key| &key.role == role);
            }
            self.start(role, u32::try_from(members.len()).unwrap_or(1));
        }
    }
}
