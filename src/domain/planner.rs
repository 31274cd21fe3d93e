//! From configuration to plans. A strategy only orders steps.

use std::collections::{BTreeMap, BTreeSet};

use super::command::CommitFacts;
use super::ids::{DeploymentId, EnvironmentName, StepId};
use super::plan::{Build, Exec, Plan, PlanParts, Replicas, Setting, Step, Target, Work, hash_of};
use super::project::{Environment, Judge, Place, Project, Stage, StageWork, Strategy, When};
use super::release::Release;
use super::state::{Deployment, State, StepPhase};
use super::time::Millis;

/// The role that gets traffic.
pub const ROUTED_ROLE: &str = "web";

/// How long bringing an artifact to a host, starting, draining or stopping may take before somebody has to look:
/// generous, for it only ends waits that would never end.
const DEPLOY_STEP: Millis = Millis::minutes(10);

/// How long a migration may take. Long ones are backfills and belong outside of a deployment.
const MIGRATE_STEP: Millis = Millis::minutes(60);

/// Why a configuration gives no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplannable {
    /// A stage needs one that does not exist.
    #[error("stage \"{stage}\" needs \"{need}\", which does not exist")]
    UnknownNeed {
        /// Who needs.
        stage: StepId,
        /// What.
        need: StepId,
    },
    /// Stages need each other in a circle.
    #[error("these stages need each other in a circle: {}", .0.join(", "))]
    Circle(Vec<String>),
    /// `until` names no stage.
    #[error("there is no step \"{until}\"; the steps are: {}", .steps.join(", "))]
    UnknownUntil {
        /// What was asked for.
        until: StepId,
        /// What there is.
        steps: Vec<String>,
    },
    /// `until` names a step that this commit does not get.
    #[error("the step \"{until}\" is skipped: {why}")]
    SkippedUntil {
        /// What was asked for.
        until: StepId,
        /// Why it is skipped.
        why: String,
    },
    /// There is nothing to do.
    #[error("there is nothing to run: no stage is configured, and no Django project was found")]
    Empty,
}

/// The plan of a commit's pipeline.
///
/// # Errors
/// When the stages do not form a DAG, there is none, or `until` names none.
pub fn pipeline(
    project: &Project,
    commit: &CommitFacts,
    branches: &[String],
    until: Option<&StepId>,
) -> Result<Plan, Unplannable> {
    let stages = in_order(&project.stages)?;
    if stages.is_empty() {
        return Err(Unplannable::Empty);
    }
    let wanted = until.map(|until| wanted_for(&stages, until)).transpose()?;
    let mut steps: Vec<Step> = Vec::with_capacity(stages.len());
    for stage in &stages {
        let unneeded = wanted.as_ref().filter(|wanted| !wanted.contains(&&stage.name));
        let skip = match (unneeded, until) {
            (Some(_), Some(until)) => Some(format!("not needed for {until}")),
            _ => skipped_by(&stage.when, commit, branches).or_else(|| without_candidate(stage, &steps)),
        };
        if let Some(why) = skip.as_ref().filter(|_| until == Some(&stage.name)) {
            return Err(Unplannable::SkippedUntil { until: stage.name.clone(), why: why.clone() });
        }
        let step = Step {
            id: stage.name.clone(),
            group: stage.group.clone(),
            needs: needs_past_skipped(stage, &steps),
            work: work_of(project, commit, stage),
            timeout: stage.timeout,
            retries: stage.retries,
            skip,
        };
        steps.push(step);
    }
    let parts = PlanParts { artifact: commit.id.0.clone(), config: hash_of(project), ..PlanParts::default() };
    Ok(Plan::new(parts, steps))
}

/// Why a stage that runs in the candidate has none to run in.
fn without_candidate(stage: &Stage, before: &[Step]) -> Option<String> {
    let in_candidate = match &stage.work {
        StageWork::Exec { place, .. } => *place == Place::Candidate,
        StageWork::Migrations | StageWork::MigrateEmpty => true,
        StageWork::Install | StageWork::Candidate => false,
    };
    let candidate = before.iter().find(|step| matches!(step.work, Work::Build(_)))?;
    let why = candidate.skip.as_ref().filter(|_| in_candidate)?;
    Some(format!("there is no {}: {why}", candidate.id))
}

/// What a stage needs. What needs a skipped step needs what that one needed, for a skipped step waits for nothing.
fn needs_past_skipped(stage: &Stage, before: &[Step]) -> Vec<StepId> {
    let mut needs: Vec<StepId> = Vec::new();
    for need in &stage.needs {
        let skipped = before.iter().find(|step| &step.id == need && step.skip.is_some());
        // A step before this one: its own needs have been followed already.
        for need in skipped.map_or(std::slice::from_ref(need), |step| &step.needs) {
            if !needs.contains(need) {
                needs.push(need.clone());
            }
        }
    }
    needs
}

/// The stages so that each comes after what it needs, otherwise in the order they were written.
fn in_order(stages: &[Stage]) -> Result<Vec<&Stage>, Unplannable> {
    for stage in stages {
        if let Some(need) = stage.needs.iter().find(|need| stages.iter().all(|other| &other.name != *need)) {
            return Err(Unplannable::UnknownNeed { stage: stage.name.clone(), need: need.clone() });
        }
    }
    let mut left: Vec<&Stage> = stages.iter().collect();
    let mut ordered: Vec<&Stage> = Vec::new();
    while !left.is_empty() {
        let is_next = |stage: &&Stage| {
            stage.needs.iter().all(|need| ordered.iter().any(|earlier| &earlier.name == need))
        };
        let Some(next) = left.iter().position(is_next) else {
            return Err(Unplannable::Circle(left.iter().map(|stage| stage.name.0.clone()).collect()));
        };
        ordered.push(left.remove(next));
    }
    Ok(ordered)
}

/// `until` and everything that it stands on.
fn wanted_for<'a>(stages: &[&'a Stage], until: &StepId) -> Result<Vec<&'a StepId>, Unplannable> {
    if stages.iter().all(|stage| &stage.name != until) {
        let steps = stages.iter().map(|stage| stage.name.0.clone()).collect();
        return Err(Unplannable::UnknownUntil { until: until.clone(), steps });
    }
    let mut wanted: Vec<&StepId> = Vec::new();
    // Backwards, so that whoever needs a stage has been seen before the stage itself.
    for stage in stages.iter().rev() {
        let needed = |other: &&&Stage| wanted.contains(&&other.name) && other.needs.contains(&stage.name);
        if &stage.name == until || stages.iter().any(|other| needed(&other)) {
            wanted.push(&stage.name);
        }
    }
    Ok(wanted)
}

fn skipped_by(when: &When, commit: &CommitFacts, branches: &[String]) -> Option<String> {
    match when {
        When::Always => None,
        When::Tag if commit.tags.is_empty() => Some("only for a commit with a tag".to_owned()),
        When::Tag => None,
        When::Branch(branch) if branches.contains(branch) => None,
        When::Branch(branch) => Some(format!("only for commits on {branch}")),
    }
}

fn work_of(project: &Project, commit: &CommitFacts, stage: &Stage) -> Work {
    let setting = Setting {
        project: project.name.clone(),
        kind: project.kind,
        commit: commit.id.clone(),
        root: project.root.clone(),
        python: project.python.clone(),
        settings: project.settings.clone(),
        env: stage.env.clone(),
        services: stage.services.clone(),
    };
    match &stage.work {
        StageWork::Install => Work::Install(setting),
        StageWork::Exec { run, place, judge } => {
            Work::Exec(Exec { setting, run: run.clone(), place: *place, judge: *judge })
        }
        StageWork::Candidate => Work::Build(Build { setting, artifact: project.artifact.clone() }),
        StageWork::Migrations => Work::Inspect(setting),
        StageWork::MigrateEmpty => Work::MigrateEmpty(Exec {
            setting,
            run: String::new(),
            place: Place::Candidate,
            judge: Judge::ExitCode,
        }),
    }
}

/// The plan that makes a release live in an environment.
#[must_use]
pub fn deployment(
    state: &State,
    name: &EnvironmentName,
    environment: &Environment,
    release: &Release,
) -> Plan {
    let live = state.live(name);
    let target =
        Target { environment: name.clone(), release: release.number, artifact: release.artifact.clone() };
    let old = live.and_then(|(number, _)| set_of(state, number));
    let mut route = Route { environment, target, old, steps: Vec::new(), last: None };
    match &environment.strategy {
        Strategy::Recreate => route.recreate(),
        Strategy::Rolling => route.rolling(),
        Strategy::BlueGreen => route.by_weights(&[]),
        Strategy::Canary(weights) => route.by_weights(weights),
    }
    let findings: Vec<&String> = release.findings.iter().map(|finding| &finding.id).collect();
    let parts = PlanParts {
        artifact: release.artifact.id.0.clone(),
        config: hash_of(&(&state.config, environment)),
        steps: String::new(),
        migrations: hash_of(&release.migrations),
        live: live.map(|(number, _)| number),
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
    let target = Target {
        environment: from.environment.clone(),
        release: to_release.number,
        artifact: to_release.artifact.clone(),
    };
    let old = set_of(state, from_number);
    let mut route = Route { environment, target, old, steps: Vec::new(), last: None };
    match set_of(state, to_number) {
        // The set that still runs belongs to an earlier deployment.
        Some(warm) if is_warm(from, warm.of) => route.shift_to(100, Some(warm.of)),
        rest => {
            route.fetch();
            route.start_all();
            route.shift(100);
            // Taken back half-way, some of the earlier set still runs beside the new one.
            if let Some(rest) = rest.filter(|_| from.is_open()) {
                for (role, count) in &rest.roles {
                    route.let_go(&rest, role, 1, *count, &format!(" of {}", rest.of));
                }
            }
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

/// The replicas of one deployment, as its plan started them.
struct Set {
    of: DeploymentId,
    target: Target,
    roles: BTreeMap<String, u32>,
}

/// The set that a deployment gave the traffic to: its own, or, where a rollback found an earlier one still warm,
/// that one. Told from the plans and not from today's configuration, which may want other roles and other numbers.
fn set_of(state: &State, number: DeploymentId) -> Option<Set> {
    let deployment = state.deployments.get(&number)?;
    let given_to = deployment.plan.steps.iter().find_map(|step| match &step.work {
        Work::Shift { of, .. } => *of,
        _ => None,
    });
    // An earlier one always: this ends.
    if let Some(earlier) = given_to.filter(|earlier| *earlier < number) {
        return set_of(state, earlier);
    }
    let artifact = state.releases.get(&deployment.release)?.artifact.clone();
    let mut roles = BTreeMap::new();
    for step in &deployment.plan.steps {
        if let Work::Start(replicas) = &step.work {
            *roles.entry(replicas.role.clone()).or_insert(0) += replicas.count;
        }
    }
    let target =
        Target { environment: deployment.environment.clone(), release: deployment.release, artifact };
    Some(Set { of: number, target, roles })
}

/// Whether the set of `old` still runs beside `current`: nothing that drains or stops it has begun.
#[must_use]
pub fn is_warm(current: &Deployment, old: DeploymentId) -> bool {
    let mut lets_go = current.plan.steps.iter().filter(|step| match &step.work {
        Work::Drain(replicas) | Work::Stop(replicas) => replicas.of == Some(old),
        _ => false,
    });
    let untouched = |step: &Step| {
        current.steps.get(&step.id).is_some_and(|state| matches!(state.phase, StepPhase::Waiting))
    };
    let first = lets_go.next();
    first.is_some_and(untouched) && lets_go.all(untouched)
}

/// Lays a deployment's steps one after the other.
struct Route<'a> {
    environment: &'a Environment,
    target: Target,
    old: Option<Set>,
    steps: Vec<Step>,
    last: Option<StepId>,
}

impl Route<'_> {
    fn add(&mut self, id: &str, work: Work, timeout: Millis) {
        let id = StepId(id.to_owned());
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

    fn fetch(&mut self) {
        self.add("fetch", Work::Fetch(self.target.clone()), DEPLOY_STEP);
    }

    fn migrate(&mut self) {
        self.add("migrate", Work::Migrate(self.target.clone()), MIGRATE_STEP);
    }

    fn verify(&mut self) {
        self.add("verify", Work::Verify(self.target.clone()), DEPLOY_STEP);
    }

    fn shift(&mut self, weight: u8) {
        self.shift_to(weight, None);
    }

    fn shift_to(&mut self, weight: u8, of: Option<DeploymentId>) {
        let work = Work::Shift { target: self.target.clone(), weight, of };
        self.add(&format!("shift {weight}"), work, DEPLOY_STEP);
    }

    fn bake(&mut self, id: &str) {
        let window = self.environment.bake;
        let work = Work::Bake { target: self.target.clone(), window };
        self.add(id, work, Millis(window.0.saturating_add(DEPLOY_STEP.0)));
    }

    fn new_set(&self, role: &str, first: u32, count: u32) -> Replicas {
        Replicas { target: self.target.clone(), role: role.to_owned(), first, count, of: None }
    }

    fn roles(&self) -> BTreeMap<String, u32> {
        self.environment.replicas.clone()
    }

    fn start_all(&mut self) {
        for (role, count) in self.roles() {
            let set = self.new_set(&role, 1, count);
            self.add(&format!("start {role}"), Work::Start(set.clone()), DEPLOY_STEP);
            self.add(&format!("await {role}"), Work::AwaitHealthy(set), DEPLOY_STEP);
        }
    }

    fn let_old_go(&mut self) {
        let Some(old) = self.old.take() else { return };
        for (role, count) in &old.roles {
            self.let_go(&old, role, 1, *count, "");
        }
    }

    fn let_go(&mut self, old: &Set, role: &str, first: u32, count: u32, suffix: &str) {
        let target = old.target.clone();
        let set = Replicas { target, role: role.to_owned(), first, count, of: Some(old.of) };
        if role == ROUTED_ROLE {
            self.add(&format!("drain {role}{suffix}"), Work::Drain(set.clone()), DEPLOY_STEP);
        }
        self.add(&format!("stop {role}{suffix}"), Work::Stop(set), DEPLOY_STEP);
    }

    /// Stops the old set before the new one starts: there is downtime.
    fn recreate(&mut self) {
        self.fetch();
        self.let_old_go();
        self.migrate();
        self.start_all();
        self.shift(100);
        self.bake("bake");
        self.verify();
    }

    /// Replica by replica; a role's weight follows the number that is already new.
    fn rolling(&mut self) {
        self.fetch();
        self.migrate();
        let old = self.old.take();
        let old_count = |role: &str| old.as_ref().and_then(|old| old.roles.get(role)).copied().unwrap_or(0);
        let roles = self.roles();
        for (role, count) in &roles {
            let count = *count;
            for index in 1..=count {
                let set = self.new_set(role, index, 1);
                self.add(&format!("start {role} {index}"), Work::Start(set.clone()), DEPLOY_STEP);
                self.add(&format!("await {role} {index}"), Work::AwaitHealthy(set), DEPLOY_STEP);
                if role == ROUTED_ROLE {
                    let weight = u8::try_from(index.saturating_mul(100) / count.max(1)).unwrap_or(100);
                    self.add(
                        &format!("shift {role} {index}"),
                        Work::Shift { target: self.target.clone(), weight, of: None },
                        DEPLOY_STEP,
                    );
                }
                if let Some(old) = old.as_ref().filter(|_| index <= old_count(role)) {
                    self.let_go(old, role, index, 1, &format!(" {index}"));
                }
            }
        }
        // What the old set had more of: replicas, or whole roles.
        if let Some(old) = &old {
            for (role, count) in &old.roles {
                let first = roles.get(role).map_or(1, |new| new.saturating_add(1));
                if first <= *count {
                    self.let_go(old, role, first, count - first + 1, " rest");
                }
            }
        }
        self.bake("bake");
        self.verify();
    }

    /// A whole second set, then traffic by these weights, then all of it; the old set stays warm until the last
    /// bake has closed.
    fn by_weights(&mut self, weights: &[u8]) {
        self.fetch();
        self.migrate();
        self.start_all();
        // Ascending, each once, and less than all: a step's name is its identity.
        let weights: BTreeSet<u8> =
            weights.iter().copied().filter(|weight| (1..100).contains(weight)).collect();
        for weight in weights {
            self.shift(weight);
            self.bake(&format!("bake {weight}"));
        }
        self.shift(100);
        self.bake("bake");
        self.let_old_go();
        self.verify();
    }
}
