//! Tables on `decide`.

use super::Input;
use super::fixtures::{World, artifact, commit};
use crate::domain::command::{Command, RefusalKind, Rollback};
use crate::domain::effect::{Effect, Found, Outcome};
use crate::domain::event::Event;
use crate::domain::ids::{AttemptKey, DeploymentId, Epoch, Owner, ReleaseNumber, RunId, StepId};
use crate::domain::plan::{Cause, Output, Verdict, Work};
use crate::domain::project::{Place, StageWork, When};
use crate::domain::state::{
    DeploymentKind, DeploymentPhase, Ending, Live, RollbackVerdict, RunEnd, RunPhase, StepPhase,
};
use crate::domain::watch::Watch;

fn failed(summary: &str) -> Verdict {
    Verdict::Failed(Cause { summary: summary.to_owned(), ..Cause::default() })
}

fn inconclusive() -> Verdict {
    Verdict::Inconclusive { reason: "no advisory data".to_owned() }
}

fn running(world: &World, run: RunId) -> Vec<String> {
    let steps = world.state.runs[&run].steps.iter();
    steps.filter(|(_, state)| state.is_open()).map(|(step, _)| step.0.clone()).collect()
}

fn built() -> Output {
    Output { artifact: Some(artifact("a")), ..Output::default() }
}

#[test]
fn a_commit_becomes_a_release() {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    assert_eq!(running(&world, run), ["install"]);
    world.ends(owner, "install", Verdict::Passed);
    assert_eq!(running(&world, run), ["audit", "lint"], "what does not need each other runs at once");
    world.ends(owner, "lint", Verdict::Passed);
    world.ends(owner, "audit", Verdict::Passed);
    world.ends_with(owner, "candidate", Verdict::Passed, built());
    world.ends(owner, "test", Verdict::Passed);
    let release = &world.state.releases[&ReleaseNumber(1)];
    assert_eq!(release.artifact, artifact("a"));
    assert_eq!(
        world.state.runs[&run].phase,
        RunPhase::Ended(RunEnd::Passed { release: Some(ReleaseNumber(1)) })
    );
    assert!(world.state.pending().is_empty());
}

#[test]
fn the_same_commit_keeps_its_release() {
    let mut world = World::new();
    for _ in 0..2 {
        let run = world.run('a');
        for step in ["install", "lint", "audit", "test"] {
            if step == "test" {
                world.ends_with(Owner::Run(run), "candidate", Verdict::Passed, built());
            }
            world.ends(Owner::Run(run), step, Verdict::Passed);
        }
    }
    assert_eq!(world.state.releases.len(), 1);
    assert_eq!(
        world.state.runs[&RunId(2)].phase,
        RunPhase::Ended(RunEnd::Passed { release: Some(ReleaseNumber(1)) })
    );
}

#[test]
fn a_failure_ends_the_run_and_a_retry_goes_on() {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    world.ends(owner, "install", Verdict::Passed);
    world.ends(owner, "lint", failed("4 violations"));
    assert_eq!(world.state.runs[&run].phase, RunPhase::Running, "the audit still runs");
    world.ends(owner, "audit", Verdict::Passed);
    assert_eq!(world.state.runs[&run].phase, RunPhase::Ended(RunEnd::Failed));
    assert_eq!(world.state.runs[&run].failed, Some(("lint".into(), "4 violations".to_owned())));

    world.command(Command::RetryStep { run, step: "lint".into() }).unwrap();
    assert_eq!(running(&world, run), ["lint"]);
    assert_eq!(world.state.runs[&run].steps[&StepId::from("lint")].attempt, 2);
    assert_eq!(world.state.runs[&run].failed, None);
    world.ends(owner, "lint", Verdict::Passed);
    assert_eq!(running(&world, run), ["candidate"]);
}

#[test]
fn an_inconclusive_check_holds_the_release_until_a_person_says_why_not() {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    world.ends(owner, "install", Verdict::Passed);
    world.ends(owner, "lint", Verdict::Passed);
    world.ends(owner, "audit", inconclusive());
    world.ends_with(owner, "candidate", Verdict::Passed, built());
    world.ends(owner, "test", Verdict::Passed);
    assert_eq!(world.state.runs[&run].phase, RunPhase::Held);
    assert!(world.state.releases.is_empty());
    let empty = Command::Acknowledge { run, step: "audit".into(), reason: "  ".to_owned() };
    assert_eq!(world.command(empty).unwrap_err().kind, RefusalKind::Confirmation);
    world.command(Command::Acknowledge { run, step: "audit".into(), reason: "offline".to_owned() }).unwrap();
    assert_eq!(world.state.releases.len(), 1);
}

#[test]
fn a_failure_is_never_acknowledged() {
    let mut world = World::new();
    let run = world.run('a');
    world.ends(Owner::Run(run), "install", failed("no such version"));
    let command = Command::Acknowledge { run, step: "install".into(), reason: "please".to_owned() };
    assert_eq!(world.command(command).unwrap_err().kind, RefusalKind::Gate);
}

#[test]
fn cancelling_waits_for_running_steps_unless_it_is_now() {
    for now in [false, true] {
        let mut world = World::new();
        let run = world.run('a');
        world.command(Command::CancelRun { run, now }).unwrap();
        let key = AttemptKey { owner: Owner::Run(run), step: "install".into(), attempt: 1 };
        let stops = world.state.pending().contains(&Effect::Stop { key });
        assert_eq!(stops, now);
        world.ends(Owner::Run(run), "install", if now { Verdict::Cancelled } else { Verdict::Passed });
        assert_eq!(world.state.runs[&run].phase, RunPhase::Ended(RunEnd::Cancelled));
        assert_eq!(running(&world, run), Vec::<String>::new());
    }
}

#[test]
fn a_cancelled_run_goes_on_from_where_it_stopped() {
    let mut world = World::new();
    let run = world.run('a');
    world.command(Command::CancelRun { run, now: false }).unwrap();
    world.ends(Owner::Run(run), "install", Verdict::Passed);
    world.command(Command::RetryStep { run, step: "lint".into() }).unwrap();
    assert_eq!(running(&world, run), ["audit", "lint"]);
}

#[test]
fn one_run_at_once_and_the_rest_queue() {
    let mut world = World::new();
    let first = world.run('a');
    world.command(Command::StartRun { commit: commit('b'), until: None }).unwrap();
    let second = RunId(first.0 + 1);
    assert_eq!(world.state.runs[&second].phase, RunPhase::Queued);
    world.ends(Owner::Run(first), "install", failed("x"));
    assert_eq!(world.state.runs[&second].phase, RunPhase::Preparing);
    let again = Command::StartRun { commit: commit('b'), until: None };
    assert_eq!(world.command(again).unwrap_err().kind, RefusalKind::State);
}

#[test]
fn a_followed_branch_starts_runs_and_newer_commits_supersede_queued_ones() {
    let mut world = World::new();
    let seen = |digit| Outcome::BranchSeen { branch: "main".to_owned(), commit: commit(digit) };
    world.outcome(seen('a'));
    assert!(world.state.runs.is_empty(), "the first sight is only where we come in");
    world.outcome(seen('b'));
    assert_eq!(world.state.runs[&RunId(1)].phase, RunPhase::Preparing);
    world.outcome(seen('c'));
    world.outcome(seen('d'));
    assert_eq!(world.state.runs[&RunId(2)].phase, RunPhase::Ended(RunEnd::Superseded { by: RunId(3) }));
    assert_eq!(world.state.runs[&RunId(3)].phase, RunPhase::Queued);
    assert!(world.outcome(seen('d')).is_empty());
}

#[test]
fn after_a_restart_every_open_attempt_is_looked_at_first() {
    let key = |attempt| AttemptKey { owner: Owner::Run(RunId(1)), step: "install".into(), attempt };
    let finished = Found::Finished { verdict: Verdict::Passed, output: Box::default() };
    let cases = [
        (Found::Open, StepPhase::Running, 1),
        (Found::Lost, StepPhase::Running, 2),
        (finished, StepPhase::Passed, 1),
    ];
    for (found, phase, attempt) in cases {
        let mut world = World::new();
        world.run('a');
        world.outcome(Outcome::EngineStarted { version: "1".to_owned() });
        assert_eq!(
            world.state.pending(),
            [Effect::Observe { key: key(1) }],
            "nothing else before it is known"
        );
        world.outcome(Outcome::Observed { key: key(1), found });
        let state = &world.state.runs[&RunId(1)].steps[&StepId::from("install")];
        assert_eq!((&state.phase, state.attempt), (&phase, attempt));
        assert_eq!(world.state.runs[&RunId(1)].failed, None);
    }
}

#[test]
fn a_deadline_counts_from_the_beginning_whatever_happens_to_engines() {
    let mut world = World::new();
    let run = world.run('a');
    let key = AttemptKey { owner: Owner::Run(run), step: "install".into(), attempt: 1 };
    let deadline = |world: &World| {
        let mut watches = world.state.watches().into_iter();
        watches.find(|watch| matches!(watch, Watch::Deadline { key: of, .. } if of == &key))
    };
    let before = deadline(&world);
    let Some(Watch::Deadline { since, .. }) = &before else { panic!("no deadline") };
    assert_eq!(Some(*since), world.state.runs[&run].steps[&key.step].started);
    world.outcome(Outcome::EngineStarted { version: "2".into() });
    assert_eq!(deadline(&world), None, "it may have ended in time: that is looked at first");
    world.outcome(Outcome::Observed { key: key.clone(), found: Found::Open });
    assert_eq!(deadline(&world), before);
}

#[test]
fn a_followed_branch_that_is_gone_is_said_until_it_is_back() {
    let mut world = World::new();
    let seen = |sign| Outcome::BranchSeen { branch: "main".into(), commit: commit(sign) };
    let not_seen = Outcome::BranchNotSeen { branch: "main".into(), why: "Gone.".into() };
    world.outcome(seen('a'));
    world.outcome(not_seen.clone());
    assert_eq!(world.state.unseen.get("main").map(String::as_str), Some("Gone."));
    let rows = world.state.seq;
    world.outcome(not_seen);
    assert_eq!(world.state.seq, rows, "said once");
    world.outcome(seen('a'));
    assert!(world.state.unseen.is_empty() && world.state.runs.is_empty(), "back where it was: nothing new");
    world.outcome(seen('b'));
    assert_eq!(world.state.runs.len(), 1);
}

#[test]
fn an_attempt_found_alive_keeps_when_it_began() {
    let mut world = World::new();
    let run = world.run('a');
    let step = StepId::from("install");
    let began = world.state.runs[&run].steps[&step].started;
    world.outcome(Outcome::EngineStarted { version: "1".to_owned() });
    let key = AttemptKey { owner: Owner::Run(run), step: step.clone(), attempt: 1 };
    world.outcome(Outcome::Observed { key, found: Found::Open });
    assert_eq!(world.state.runs[&run].steps[&step].started, began);
}

#[test]
fn a_deadline_stops_the_attempt_and_is_its_cause() {
    let mut world = World::new();
    let run = world.run('a');
    let key = AttemptKey { owner: Owner::Run(run), step: "install".into(), attempt: 1 };
    let watch = world.state.watches().into_iter().find(|watch| matches!(watch, Watch::Deadline { .. }));
    assert!(watch.is_some());
    world.input(Input::Deadline { key: key.clone() }).unwrap();
    assert!(world.state.pending().contains(&Effect::Stop { key: key.clone() }));
    world.ends(Owner::Run(run), "install", Verdict::Cancelled);
    let StepPhase::Failed { cause } = &world.state.runs[&run].steps[&key.step].phase else {
        panic!("not failed")
    };
    assert!(cause.summary.contains("did not end within 15m00s"), "{}", cause.summary);
    assert!(world.input(Input::Deadline { key }).unwrap().is_empty(), "a late deadline changes nothing");
}

#[test]
fn retries_are_tried_by_themselves_and_then_it_is_a_failure() {
    let mut world = World::new();
    let mut project = super::fixtures::project();
    project.stages[0].retries = 1;
    world.command(Command::StartRun { commit: commit('a'), until: None }).unwrap();
    let plan = crate::domain::planner::pipeline(&project, &commit('a'), &[], None).unwrap();
    world.outcome(Outcome::Prepared { run: RunId(1), plan: Ok((plan, Vec::new())) });
    world.ends(Owner::Run(RunId(1)), "install", failed("flaky"));
    assert_eq!(running(&world, RunId(1)), ["install"]);
    world.ends(Owner::Run(RunId(1)), "install", failed("flaky"));
    assert_eq!(world.state.runs[&RunId(1)].phase, RunPhase::Ended(RunEnd::Failed));
}

#[test]
fn until_runs_only_what_it_needs_and_makes_no_release() {
    let mut world = World::new();
    let until = Some(StepId::from("lint"));
    world.command(Command::StartRun { commit: commit('a'), until: until.clone() }).unwrap();
    let plan =
        crate::domain::planner::pipeline(&super::fixtures::project(), &commit('a'), &[], until.as_ref())
            .unwrap();
    world.outcome(Outcome::Prepared { run: RunId(1), plan: Ok((plan, Vec::new())) });
    world.ends(Owner::Run(RunId(1)), "install", Verdict::Passed);
    world.ends(Owner::Run(RunId(1)), "lint", Verdict::Passed);
    assert_eq!(world.state.runs[&RunId(1)].phase, RunPhase::Ended(RunEnd::Passed { release: None }));
}

#[test]
fn what_stands_on_a_skipped_step_waits_for_what_that_one_stood_on() {
    let plan = |change: fn(&mut crate::domain::project::Project), until: Option<&str>| {
        let mut project = super::fixtures::project();
        change(&mut project);
        crate::domain::planner::pipeline(&project, &commit('a'), &[], until.map(StepId::from).as_ref())
    };
    let tagged = plan(
        |project| {
            for stage in &mut project.stages[1..=2] {
                stage.when = When::Tag;
            }
        },
        None,
    )
    .unwrap();
    assert_eq!(tagged.step(&"candidate".into()).unwrap().needs, [StepId::from("install")]);

    let without_candidate = |project: &mut crate::domain::project::Project| {
        project.stages[3].when = When::Tag;
        let StageWork::Exec { place, .. } = &mut project.stages[4].work else { panic!() };
        *place = Place::Candidate;
    };
    let skipped = plan(without_candidate, None).unwrap();
    let why = skipped.step(&"test".into()).unwrap().skip.as_deref();
    assert_eq!(why, Some("there is no candidate: only for a commit with a tag"));
    let refused = plan(without_candidate, Some("candidate")).unwrap_err();
    assert_eq!(refused.to_string(), "the step \"candidate\" is skipped: only for a commit with a tag");
}

// ── deployments ─────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_retried_run_waits_for_its_place() {
    let mut world = World::new();
    let run = world.run('a');
    world.ends(Owner::Run(run), "install", failed("no such version"));
    let other = world.run('b');
    world.command(Command::RetryStep { run, step: "install".into() }).unwrap();
    assert_eq!(world.state.runs[&run].phase, RunPhase::Queued, "one run at once");
    assert_eq!(running(&world, run), Vec::<String>::new());
    world.ends(Owner::Run(other), "install", failed("no such version"));
    assert_eq!(world.state.runs[&run].phase, RunPhase::Running);
    assert_eq!(running(&world, run), ["install"]);
    assert_eq!(world.state.runs[&run].steps[&StepId::from("install")].attempt, 2);
}

#[test]
fn a_retried_step_waits_for_its_place() {
    let mut world = World::new();
    let mut project = super::fixtures::project();
    project.pipeline.jobs = 1;
    world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
    let run = world.run('a');
    world.ends(Owner::Run(run), "install", Verdict::Passed);
    world.ends(Owner::Run(run), "lint", failed("4 violations"));
    assert_eq!(running(&world, run), ["audit"]);
    world.command(Command::RetryStep { run, step: "lint".into() }).unwrap();
    assert_eq!(running(&world, run), ["audit"], "one step at once");
    world.ends(Owner::Run(run), "audit", Verdict::Passed);
    assert_eq!(running(&world, run), ["lint"]);
}

#[test]
fn what_has_passed_is_not_opened_again() {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    for step in ["install", "lint"] {
        world.ends(owner, step, Verdict::Passed);
    }
    world.ends(owner, "audit", inconclusive());
    world.ends_with(owner, "candidate", Verdict::Passed, built());
    world.ends(owner, "test", Verdict::Passed);
    world.command(Command::Acknowledge { run, step: "audit".into(), reason: "offline".to_owned() }).unwrap();
    let refusal = world.command(Command::RetryStep { run, step: "audit".into() }).unwrap_err();
    assert_eq!(refusal.message, "Run 1 has passed and made v1.");
}

#[test]
fn a_step_is_not_retried_on_a_need_that_failed() {
    let mut world = World::new();
    let run = world.run('a');
    let owner = Owner::Run(run);
    world.ends(owner, "install", inconclusive());
    world.ends(owner, "lint", failed("4 violations"));
    world.command(Command::RetryStep { run, step: "install".into() }).unwrap();
    world.ends(owner, "audit", Verdict::Passed);
    world.ends(owner, "install", failed("no such version"));
    let refusal = world.command(Command::RetryStep { run, step: "lint".into() }).unwrap_err();
    assert_eq!(refusal.hint, "Retry install.");
}

#[test]
fn a_newer_commit_does_not_take_the_place_of_a_run_that_a_person_retries() {
    let mut world = World::new();
    let seen = |digit| Outcome::BranchSeen { branch: "main".to_owned(), commit: commit(digit) };
    world.outcome(seen('1'));
    world.outcome(seen('2'));
    let followed = RunId(1);
    world.plan(followed);
    world.ends(Owner::Run(followed), "install", failed("no such version"));
    let other = world.run('a');
    world.command(Command::RetryStep { run: followed, step: "install".into() }).unwrap();
    world.outcome(seen('3'));
    assert_eq!(world.state.runs[&followed].phase, RunPhase::Queued);
    world.command(Command::CancelRun { run: other, now: true }).unwrap();
    world.ends(Owner::Run(other), "install", Verdict::Cancelled);
    assert_eq!(running(&world, followed), ["install"]);
}

pub(super) fn lease(world: &mut World, deployment: DeploymentId) {
    world.outcome(Outcome::Lease { deployment, lease: Ok(Epoch(7)) });
}

pub(super) fn newest(world: &World) -> DeploymentId {
    *world.state.deployments.keys().next_back().unwrap()
}

/// Lets every step of a deployment pass, up to the named one (exclusive).
pub(super) fn walk(world: &mut World, deployment: DeploymentId, until: Option<&str>) {
    loop {
        let open = world.state.deployments[&deployment].steps.iter().find(|(_, state)| state.is_open());
        let Some(step) = open.map(|(step, _)| step.0.clone()) else { return };
        if Some(step.as_str()) == until {
            return;
        }
        world.ends(Owner::Deployment(deployment), &step, Verdict::Passed);
    }
}

fn observe(world: &mut World, deployment: DeploymentId, live: Option<DeploymentId>) -> Vec<Event> {
    let environment = world.state.deployments[&deployment].environment.clone();
    let live = live.map(|deployment| Live { deployment, healthy: true });
    world.outcome(Outcome::EnvironmentObserved { environment, deployment, live })
}

pub(super) fn go_live(world: &mut World, environment: &str, release: u64) -> DeploymentId {
    world.promote(environment, release).unwrap();
    let deployment = newest(world);
    lease(world, deployment);
    walk(world, deployment, None);
    observe(world, deployment, Some(deployment));
    assert_eq!(world.state.deployments[&deployment].phase, DeploymentPhase::Ended(Ending::Live));
    deployment
}

#[test]
fn a_release_goes_to_production_only_after_staging_and_a_typed_word() {
    let mut world = World::with_releases();
    assert_eq!(world.promote("production", 1).unwrap_err().kind, RefusalKind::Gate);
    go_live(&mut world, "staging", 1);
    let mut wrong = world.promotion("production", 1);
    wrong.confirm = "prod".to_owned();
    assert_eq!(world.command(Command::Promote(wrong)).unwrap_err().kind, RefusalKind::Confirmation);
    go_live(&mut world, "production", 1);
    assert_eq!(world.state.live(&"production".into()).unwrap().1.release, ReleaseNumber(1));
}

#[test]
fn nothing_is_promotable_that_was_taken_back_where_it_was_proven() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    let second = go_live(&mut world, "staging", 2);
    rollback(&mut world, "staging", second, None, "").unwrap();
    let back = newest(&world);
    lease(&mut world, back);
    walk(&mut world, back, None);
    observe(&mut world, back, Some(back));
    assert!(world.promote("production", 2).unwrap_err().message.contains("taken back"));
    assert!(world.promote("production", 1).is_ok());
}

#[test]
fn a_stale_digest_is_refused_with_what_changed() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    go_live(&mut world, "staging", 2);
    let looked_at = world.promotion("production", 2);
    go_live(&mut world, "production", 1);
    let refusal = world.command(Command::Promote(looked_at.clone())).unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Stale);
    assert!(refusal.message.contains("what is live"), "{}", refusal.message);

    let mut project = super::fixtures::project();
    project.environments.get_mut(&"production".into()).unwrap().replicas.insert("web".to_owned(), 4);
    let fresh = world.promotion("production", 2);
    world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
    let refusal = world.command(Command::Promote(fresh)).unwrap_err();
    assert!(refusal.message.contains("the configuration, the steps"), "{}", refusal.message);
}

fn rollback(
    world: &mut World,
    environment: &str,
    from: DeploymentId,
    to: Option<DeploymentId>,
    confirm: &str,
) -> Result<Vec<Event>, crate::domain::command::Refusal> {
    world.command(Command::Rollback(Rollback {
        environment: environment.into(),
        from,
        to,
        confirm: confirm.to_owned(),
        reason: "it is sick".to_owned(),
    }))
}

#[test]
fn a_rollback_goes_to_the_newest_verified_deployment_of_another_artifact() {
    let mut world = World::with_releases();
    let first = go_live(&mut world, "staging", 1);
    let second = go_live(&mut world, "staging", 2);
    let again = go_live(&mut world, "staging", 2);
    assert_eq!(world.state.deployments[&again].kind, DeploymentKind::Redeploy);
    let stale = rollback(&mut world, "staging", second, None, "").unwrap_err();
    assert_eq!(stale.kind, RefusalKind::Stale);
    let target = world.state.rollback_target(&"staging".into()).unwrap().0;
    assert_eq!(target, first, "the same artifact is no way back");
    rollback(&mut world, "staging", again, None, "").unwrap();
    assert_eq!(world.state.deployments[&newest(&world)].release, ReleaseNumber(1));
}

#[test]
fn a_rollback_over_different_migrations_wants_the_typed_name() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    let third = go_live(&mut world, "staging", 3);
    let verdict = world.state.verdict_between(ReleaseNumber(3), ReleaseNumber(1));
    assert!(matches!(verdict, RollbackVerdict::Unknown { .. }));
    let refusal = rollback(&mut world, "staging", third, None, "").unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Confirmation);
    rollback(&mut world, "staging", third, None, "staging").unwrap();
}

#[test]
fn a_failed_bake_is_taken_back_by_itself_once() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    go_live(&mut world, "staging", 2);
    go_live(&mut world, "production", 1);
    world.promote("production", 2).unwrap();
    let sick = newest(&world);
    assert_eq!(
        world.state.deployments[&sick].way_back.verdict,
        RollbackVerdict::Safe,
        "known before anything starts"
    );
    lease(&mut world, sick);
    walk(&mut world, sick, Some("bake 10"));
    world.ends(Owner::Deployment(sick), "bake 10", failed("5 % of requests failed"));
    let first = DeploymentId(3);
    observe(&mut world, sick, Some(first));
    let back = newest(&world);
    let rollback = &world.state.deployments[&back];
    assert_eq!(rollback.kind, DeploymentKind::Rollback { of: sick, automatic: true });
    assert_eq!(rollback.lease, Some(Epoch(7)), "the lease is handed on");
    assert_eq!(world.state.deployments[&sick].lease, None);
    assert_eq!(rollback.plan.steps[0].id, StepId::from("shift 100"), "the old set is warm: one switch");
    walk(&mut world, back, None);
    observe(&mut world, back, Some(first));
    let phase = &world.state.deployments[&sick].phase;
    assert!(
        matches!(phase, DeploymentPhase::Ended(Ending::RolledBack { why }) if why.contains("5 %")),
        "{phase:?}"
    );
    assert_eq!(world.state.live(&"production".into()).unwrap().1.release, ReleaseNumber(1));
}

#[test]
fn a_failed_rollback_holds_and_never_loops() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    let second = go_live(&mut world, "staging", 2);
    rollback(&mut world, "staging", second, None, "").unwrap();
    let back = newest(&world);
    lease(&mut world, back);
    walk(&mut world, back, Some("start web"));
    world.ends(Owner::Deployment(back), "start web", failed("exit code 1"));
    observe(&mut world, back, Some(second));
    assert!(matches!(world.state.deployments[&back].phase, DeploymentPhase::Held { .. }));
    assert_eq!(newest(&world), back);
    world.command(Command::Go { deployment: back, reason: "the disk has room again".to_owned() }).unwrap();
    walk(&mut world, back, None);
    observe(&mut world, back, Some(back));
    assert_eq!(world.state.deployments[&back].phase, DeploymentPhase::Ended(Ending::Live));
}

#[test]
fn a_denied_lease_touches_nothing() {
    let mut world = World::with_releases();
    world.promote("staging", 1).unwrap();
    let deployment = newest(&world);
    world.outcome(Outcome::Lease { deployment, lease: Err("sven holds it since 14:02".to_owned()) });
    let phase = &world.state.deployments[&deployment].phase;
    assert!(
        matches!(phase, DeploymentPhase::Ended(Ending::RolledBack { why }) if why.contains("sven")),
        "{phase:?}"
    );
}

#[test]
fn an_inconclusive_bake_holds_and_goes_on_with_a_reason() {
    let mut world = World::with_releases();
    world.promote("staging", 1).unwrap();
    let deployment = newest(&world);
    lease(&mut world, deployment);
    walk(&mut world, deployment, Some("bake"));
    world.ends(Owner::Deployment(deployment), "bake", inconclusive());
    assert!(matches!(world.state.deployments[&deployment].phase, DeploymentPhase::Held { .. }));
    world.command(Command::Go { deployment, reason: "a quiet Sunday".to_owned() }).unwrap();
    walk(&mut world, deployment, None);
    observe(&mut world, deployment, Some(deployment));
    assert_eq!(world.state.deployments[&deployment].phase, DeploymentPhase::Ended(Ending::Live));
}

#[test]
fn an_end_is_said_from_what_is_really_there() {
    let mut world = World::with_releases();
    let first = go_live(&mut world, "staging", 1);
    world.promote("staging", 2).unwrap();
    let second = newest(&world);
    lease(&mut world, second);
    walk(&mut world, second, None);
    observe(&mut world, second, Some(first));
    let phase = &world.state.deployments[&second].phase;
    assert!(matches!(phase, DeploymentPhase::Ended(Ending::Broken { .. })), "{phase:?}");
}

#[test]
fn going_back_stops_what_runs_before_it_begins() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    go_live(&mut world, "staging", 2);
    go_live(&mut world, "production", 1);
    world.promote("production", 2).unwrap();
    let canary = newest(&world);
    lease(&mut world, canary);
    walk(&mut world, canary, Some("bake 50"));
    world
        .command(Command::Back {
            deployment: canary,
            confirm: String::new(),
            reason: "I saw enough".to_owned(),
        })
        .unwrap();
    let back = newest(&world);
    let bake = AttemptKey { owner: Owner::Deployment(canary), step: "bake 50".into(), attempt: 1 };
    assert!(world.state.pending().contains(&Effect::Stop { key: bake }));
    assert!(
        world.state.deployments[&back].steps.values().all(|state| state.attempt == 0),
        "not before it has ended"
    );
    world.ends(Owner::Deployment(canary), "bake 50", Verdict::Cancelled);
    assert_eq!(world.state.deployments[&back].steps[&StepId::from("shift 100")].phase, StepPhase::Running);
}

/// The first release on production fails while it is judged: there is nothing to go back to.
fn held_without_a_way_back(world: &mut World) -> DeploymentId {
    world.promote("staging", 1).unwrap();
    let deployment = newest(world);
    lease(world, deployment);
    walk(world, deployment, Some("bake"));
    world.ends(Owner::Deployment(deployment), "bake", failed("5 % of requests failed"));
    observe(world, deployment, Some(deployment));
    assert!(matches!(world.state.deployments[&deployment].phase, DeploymentPhase::Held { .. }));
    deployment
}

#[test]
fn a_held_deployment_that_cannot_go_on_or_back_can_be_left() {
    let mut world = World::with_releases();
    let deployment = held_without_a_way_back(&mut world);
    let back = Command::Back { deployment, confirm: "staging".to_owned(), reason: "r".to_owned() };
    assert!(world.command(back).unwrap_err().hint.contains("leave it as it is"));
    let leave = |confirm: &str, reason: &str| Command::Leave {
        deployment,
        confirm: confirm.to_owned(),
        reason: reason.to_owned(),
    };
    assert_eq!(world.command(leave("yes", "r")).unwrap_err().kind, RefusalKind::Confirmation);
    assert_eq!(world.command(leave("staging", " ")).unwrap_err().kind, RefusalKind::Confirmation);
    world.command(leave("staging", "2 is mended")).unwrap();
    let left = &world.state.deployments[&deployment];
    assert!(
        matches!(&left.phase, DeploymentPhase::Ended(Ending::Broken { why }) if why.contains("2 is mended"))
    );
    assert_eq!(left.lease, None);
    go_live(&mut world, "staging", 2);
}

#[test]
fn a_running_deployment_is_not_left() {
    let mut world = World::with_releases();
    world.promote("staging", 1).unwrap();
    let deployment = newest(&world);
    lease(&mut world, deployment);
    world.command(Command::Hold { deployment }).unwrap();
    let leave = Command::Leave { deployment, confirm: "staging".to_owned(), reason: "r".to_owned() };
    assert_eq!(world.command(leave).unwrap_err().kind, RefusalKind::State, "a step still runs");
}

#[test]
fn an_environment_that_is_gone_from_the_configuration_holds_what_cannot_be_taken_back() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    world.promote("staging", 2).unwrap();
    let sick = newest(&world);
    lease(&mut world, sick);
    walk(&mut world, sick, Some("bake"));
    let mut project = super::fixtures::project();
    project.environments.clear();
    world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
    let back = Command::Back { deployment: sick, confirm: String::new(), reason: "r".to_owned() };
    assert_eq!(world.command(back).unwrap_err().kind, RefusalKind::Unknown);
    world.ends(Owner::Deployment(sick), "bake", failed("5 % of requests failed"));
    observe(&mut world, sick, Some(sick));
    let phase = &world.state.deployments[&sick].phase;
    assert!(
        matches!(phase, DeploymentPhase::Held { reason } if reason.contains("no environment \"staging\"")),
        "{phase:?}"
    );
}

#[test]
fn a_rollback_that_broke_on_the_way_still_took_its_release_back() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    let second = go_live(&mut world, "staging", 2);
    rollback(&mut world, "staging", second, None, "").unwrap();
    let back = newest(&world);
    lease(&mut world, back);
    walk(&mut world, back, None);
    observe(&mut world, back, None);
    assert!(matches!(world.state.deployments[&back].phase, DeploymentPhase::Ended(Ending::Broken { .. })));
    assert!(world.promote("production", 2).unwrap_err().message.contains("taken back"));
}

/// What a plan lets go: `deployment role first count`.
fn let_go(plan: &crate::domain::plan::Plan) -> Vec<String> {
    let stopped = plan.steps.iter().filter_map(|step| match &step.work {
        Work::Stop(set) => Some(format!("{} {} {} {}", set.of.unwrap(), set.role, set.first, set.count)),
        _ => None,
    });
    stopped.collect()
}

#[test]
fn a_plan_lets_go_of_what_really_runs_and_not_of_what_is_wanted_today() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    let mut project = super::fixtures::project();
    let staging = project.environments.get_mut(&"staging".into()).unwrap();
    staging.replicas = [("web".to_owned(), 1), ("beat".to_owned(), 1)].into();
    world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
    let plan = world.preview("staging", 2);
    assert_eq!(let_go(&plan), ["#1 web 1 2", "#1 worker 1 1"]);
}

#[test]
fn after_a_switch_back_to_a_warm_set_that_set_is_what_runs() {
    let mut world = World::with_releases();
    go_live(&mut world, "staging", 1);
    go_live(&mut world, "staging", 2);
    let first = go_live(&mut world, "production", 1);
    world.promote("production", 2).unwrap();
    let canary = newest(&world);
    lease(&mut world, canary);
    walk(&mut world, canary, Some("bake 50"));
    let back = Command::Back { deployment: canary, confirm: String::new(), reason: "r".to_owned() };
    world.command(back).unwrap();
    let back = newest(&world);
    world.ends(Owner::Deployment(canary), "bake 50", Verdict::Cancelled);
    let plan = world.state.deployments[&back].plan.clone();
    assert!(
        matches!(plan.steps[0].work, Work::Shift { of: Some(of), .. } if of == first),
        "{:?}",
        plan.steps[0]
    );
    walk(&mut world, back, None);
    observe(&mut world, back, Some(first));
    let next = world.preview("production", 2);
    assert_eq!(let_go(&next), [format!("{first} web 1 2"), format!("{first} worker 1 1")]);
}

#[test]
fn taken_back_half_way_both_sets_are_let_go() {
    let mut world = World::with_releases();
    let first = go_live(&mut world, "staging", 1);
    world.promote("staging", 2).unwrap();
    let half = newest(&world);
    lease(&mut world, half);
    walk(&mut world, half, Some("start web 2"));
    let back = Command::Back { deployment: half, confirm: String::new(), reason: "r".to_owned() };
    world.command(back).unwrap();
    let plan = &world.state.deployments[&newest(&world)].plan;
    // What was begun, and nothing else: the first of the earlier set has been stopped, the new worker never started.
    let stopped = [format!("{first} web 2 1"), format!("{half} web 1 2"), format!("{first} worker 1 1")];
    assert_eq!(let_go(plan), stopped);
}

#[test]
fn every_step_of_a_plan_has_a_name_of_its_own() {
    use crate::domain::project::Strategy;
    for weights in [vec![10, 10], vec![100], vec![0, 50, 100], vec![50, 10]] {
        let mut world = World::with_releases();
        let mut project = super::fixtures::project();
        project.environments.get_mut(&"staging".into()).unwrap().strategy = Strategy::Canary(weights.clone());
        world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
        go_live(&mut world, "staging", 1);
        let plan = world.preview("staging", 2);
        let names: std::collections::BTreeSet<&StepId> = plan.steps.iter().map(|step| &step.id).collect();
        assert_eq!(names.len(), plan.steps.len(), "{weights:?}");
    }
}
