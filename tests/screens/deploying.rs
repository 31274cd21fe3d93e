//! Two environments, three releases, and what was deployed, built as the engine's planner would.

use std::collections::BTreeMap;

use towpath::domain::ids::{Actor, DeploymentId, EnvironmentName, Epoch, ReleaseNumber, StepId};
use towpath::domain::plan::{Cause, Work};
use towpath::domain::planner;
use towpath::domain::project::{Environment, Hooks, Strategy};
use towpath::domain::query::{Answer, Query};
use towpath::domain::release::MigrationRef;
use towpath::domain::state::{
    Deployment, DeploymentKind, DeploymentPhase, Ending, State, StepPhase, StepState,
};
use towpath::domain::time::Millis;
use towpath::tui::model::{Asked, Model, Msg, Request};
use towpath::wire::protocol::Reply;

use crate::fixture::{ago, commit, release, released, send};

pub(crate) fn name(text: &str) -> EnvironmentName {
    EnvironmentName::from(text)
}

fn environment(after: Option<&str>, protected: bool, strategy: Strategy, web: u32) -> Environment {
    Environment {
        after: after.map(name),
        protected,
        strategy,
        replicas: BTreeMap::from([("web".to_owned(), web), ("worker".to_owned(), 1)]),
        bake: Millis::minutes(5),
        hooks: Hooks { before: vec!["./warm-cache".to_owned()], ..Hooks::default() },
        ..Environment::default()
    }
}

/// Releases 55 to 57 are there, nothing is deployed. Release 57 brings migrations where `migrates`.
pub(crate) fn project(migrates: bool) -> State {
    let mut state = released();
    let project = state.project.as_mut().expect("a project");
    project.environments = BTreeMap::from([
        (name("staging"), environment(None, false, Strategy::Rolling, 2)),
        (name("production"), environment(Some("staging"), true, Strategy::Canary(vec![10, 50]), 4)),
    ]);
    let migration = |name: &str| MigrationRef { name: name.to_owned(), hash: name.to_owned(), leaf: true };
    for (number, hex, subject) in [
        (55, "91c2b00", "Typo in the shipping mail"),
        (56, "77e01d2", "Update Django to 5.2.8"),
        (57, "a1b9c3f", "Gift cards at checkout"),
    ] {
        let mut release = release(number, number + 1, hex);
        release.subject = subject.to_owned();
        release.version = Some(format!("1.{}.0", number - 48));
        release.artifact.id.0 = format!("sha256:{number}2c41ab77e05d0e7aa91c2b0077e01d2a1b9c3f");
        release.migrations = vec![migration("shop.0011_gift_card")];
        if migrates && number == 57 {
            release.migrations.push(migration("shop.0012_order_reference"));
            release.migrations.push(migration("shop.0013_index_created"));
        }
        state.releases.insert(ReleaseNumber(number), release);
    }
    state
}

/// A deployment of a release, all of its steps passed.
pub(crate) fn deployed(state: &mut State, number: u64, place: &str, release: u64) {
    let place = name(place);
    let settings = state.environment(&place).expect("it is configured").clone();
    let wanted = state.release(ReleaseNumber(release)).expect("it is there").clone();
    let plan = planner::deployment(state, &place, &settings, &wanted);
    let way_back = state.way_back_from(&place, wanted.number);
    let passed = |id: &StepId| {
        let at = StepState { phase: StepPhase::Passed, attempt: 1, ..StepState::default() };
        (id.clone(), at)
    };
    let steps = plan.steps.iter().map(|step| passed(&step.id)).collect();
    let deployment = Deployment {
        environment: place,
        release: wanted.number,
        kind: DeploymentKind::Promotion,
        plan,
        settings,
        reason: String::new(),
        by: Actor::Engine,
        created: ago(3_600),
        ended: Some(ago(3_000)),
        way_back,
        lease: Some(Epoch(1)),
        phase: DeploymentPhase::Ended(Ending::Live),
        steps,
    };
    state.deployments.insert(DeploymentId(number), deployment);
}

/// v57 is verified on staging, production runs v56 and ran v55 before. No step has an estimate yet.
pub(crate) fn ready(migrates: bool) -> State {
    let mut state = project(migrates);
    for (number, place, release) in [
        (11, "staging", 55),
        (12, "production", 55),
        (13, "staging", 56),
        (14, "production", 56),
        (15, "staging", 57),
    ] {
        deployed(&mut state, number, place, release);
    }
    state
}

/// The same, and every step of a promotion to production was done there before.
pub(crate) fn known(migrates: bool) -> State {
    let mut state = ready(migrates);
    let place = name("production");
    for number in [57, 56, 55] {
        let preview = state.preview_promotion(&place, ReleaseNumber(number)).expect("a preview");
        let back = state.preview_rollback(&place, None).expect("a way back");
        let past = state.deployment_durations.entry(place.clone()).or_default();
        for step in preview.plan.steps.iter().chain(&back.plan.steps) {
            past.insert(step.id.clone(), [Millis::seconds(4)].into());
        }
    }
    state
}

/// v57 is on its way to production: the canary has 10 % and is watched. Held, where there is a reason.
pub(crate) fn under_way(held: Option<&str>) -> State {
    let mut state = ready(true);
    deployed(&mut state, 16, "production", 57);
    let deployment = state.deployments.get_mut(&DeploymentId(16)).expect("it is there");
    deployment.ended = None;
    deployment.phase =
        held.map_or(DeploymentPhase::Running, |reason| DeploymentPhase::Held { reason: reason.to_owned() });
    let mut reached = false;
    for step in &deployment.plan.steps {
        let at = deployment.steps.get_mut(&step.id).expect("it is there");
        if reached {
            *at = StepState::default();
        } else if matches!(step.work, Work::Bake { .. }) {
            reached = true;
            at.phase = StepPhase::Running;
            if held.is_some() {
                let cause = Cause { summary: "3 of 40 requests failed".to_owned(), ..Cause::default() };
                at.phase = StepPhase::Failed { cause };
            }
        }
    }
    state
}

/// Answers every preview that was asked for, from the console's own state, as the engine would.
pub(crate) fn answer(model: &mut Model, requests: &[Request]) -> Vec<Request> {
    let mut more = Vec::new();
    for request in requests {
        let Request::Ask(query) = request else { continue };
        let told = match query {
            Query::PreviewPromotion { environment, release } => {
                model.state.preview_promotion(environment, *release).map(|mut preview| {
                    preview.commits =
                        ["a1b9c3f Gift cards at checkout", "5d0e7aa Fix tax of returned orders"]
                            .into_iter()
                            .chain(std::iter::repeat_n("0c41e9b Round totals once, at the end", 14))
                            .map(|text| text.split_once(' ').expect("a name and a subject"))
                            .map(|(hex, subject)| commit(hex, subject, &[], &[]))
                            .collect();
                    Answer::Promotion { preview: Box::new(preview) }
                })
            }
            Query::PreviewRollback { environment, to } => model
                .state
                .preview_rollback(environment, *to)
                .map(|preview| Answer::Rollback { preview: Box::new(preview) }),
            _ => continue,
        };
        let reply = match told {
            Ok(answer) => Reply::Answer { answer: Box::new(answer) },
            Err(refusal) => Reply::Refused { refusal },
        };
        let request = Box::new(Asked::Query(query.clone()));
        more.extend(send(model, Msg::Answered { request, reply }));
    }
    more
}
