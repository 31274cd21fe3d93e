//! From configuration to plans. A strategy only orders steps.

mod route;

use super::command::CommitFacts;
use super::ids::StepId;
use super::plan::{Build, Exec, Plan, PlanParts, Setting, Step, Work, hash_of};
use super::project::{Judge, Place, Project, Stage, StageWork, When};
use super::time::Millis;

pub use route::{deployment, rollback, warm};

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
            Work::Exec(Exec { setting, run: run.clone(), place: place.clone(), judge: *judge })
        }
        StageWork::Candidate => {
            Work::Build(Build { setting, artifact: project.artifact.clone(), roles: project.roles.clone() })
        }
        StageWork::Migrations => Work::Inspect(setting),
        StageWork::MigrateEmpty => Work::MigrateEmpty(Exec {
            setting,
            run: String::new(),
            place: Place::Candidate,
            judge: Judge::ExitCode,
        }),
    }
}
