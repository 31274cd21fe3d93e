//! Properties: what holds for every sequence of inputs.

use proptest::prelude::*;

use super::Input;
use super::fixtures::{World, artifact, commit};
use crate::domain::command::{Command, Promote, Rollback};
use crate::domain::effect::{Effect, Found, Outcome};
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{Actor, DeploymentId, Epoch, Owner, PlanDigest, ReleaseNumber, RunId, Seq, StepId};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::planner;
use crate::domain::state::{DeploymentKind, DeploymentPhase, Ending, Live, RunPhase, State};
use crate::domain::time::Timestamp;

/// Something that may come in, said without knowing the state.
#[derive(Debug, Clone)]
enum Happening {
    StartRun(char),
    Cancel(u64, bool),
    Retry(u64, usize),
    Acknowledge(u64, usize),
    Branch(char),
    Restart,
    /// One of the effects that are pending ends so.
    Effect(usize, u8),
    Deadline(usize),
    /// To production?, the release, whether the digest was looked at, what was typed.
    Promote(bool, u64, bool, bool),
    Rollback(bool, bool),
    Go(u64),
    Hold(u64),
    Back(u64, bool),
    Leave(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        2 => prop::char::range('1', '4').prop_map(Happening::StartRun),
        1 => (1..4u64, any::<bool>()).prop_map(|(run, now)| Happening::Cancel(run, now)),
        1 => (1..4u64, 0..5usize).prop_map(|(run, step)| Happening::Retry(run, step)),
        1 => (1..4u64, 0..5usize).prop_map(|(run, step)| Happening::Acknowledge(run, step)),
        1 => prop::char::range('5', '8').prop_map(Happening::Branch),
        1 => Just(Happening::Restart),
        24 => (any::<usize>(), any::<u8>()).prop_map(|(which, how)| Happening::Effect(which, how)),
        1 => any::<usize>().prop_map(Happening::Deadline),
        6 => (any::<bool>(), 1..5u64, prop::bool::weighted(0.8), prop::bool::weighted(0.8))
            .prop_map(|(production, release, looked, typed)| Happening::Promote(production, release, looked, typed)),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(production, typed)| Happening::Rollback(production, typed)),
        1 => (1..6u64).prop_map(Happening::Go),
        1 => (1..6u64).prop_map(Happening::Hold),
        1 => (1..6u64, any::<bool>()).prop_map(|(deployment, typed)| Happening::Back(deployment, typed)),
        1 => (1..6u64).prop_map(Happening::Leave),
    ]
}

const STEPS: [&str; 5] = ["install", "lint", "audit", "candidate", "test"];

fn environment(production: bool) -> &'static str {
    if production { "production" } else { "staging" }
}

/// What a pending effect may come to.
fn outcome_of(state: &State, effect: &Effect, how: u8) -> Option<Outcome> {
    let verdict = || match how % 8 {
        0 => Verdict::Failed(Cause { summary: "failed".to_owned(), ..Cause::default() }),
        1 => Verdict::Inconclusive { reason: "no data".to_owned() },
        2 => Verdict::Cancelled,
        _ => Verdict::Passed,
    };
    let output = |key: &crate::domain::ids::AttemptKey| {
        let artifact = (key.step.as_str() == "candidate").then(|| artifact(&key.owner.to_string()));
        Box::new(Output { artifact, ..Output::default() })
    };
    Some(match effect {
        Effect::Prepare { run, .. } if how.is_multiple_of(8) => {
            Outcome::Prepared { run: *run, plan: Err(Cause::default()) }
        }
        Effect::Prepare { run, .. } => {
            let commit = &state.runs[run].commit;
            let plan = planner::pipeline(&super::fixtures::project(), commit, &[], None).unwrap();
            Outcome::Prepared { run: *run, plan: Ok((plan, Vec::new())) }
        }
        Effect::Attempt { key } => {
            Outcome::Finished { key: key.clone(), verdict: verdict(), output: output(key) }
        }
        Effect::Observe { key } => {
            let found = match how % 3 {
                0 => Found::Open,
                1 => Found::Lost,
                _ => Found::Finished { verdict: verdict(), output: output(key) },
            };
            Outcome::Observed { key: key.clone(), found }
        }
        Effect::Stop { key } => {
            Outcome::Finished { key: key.clone(), verdict: Verdict::Cancelled, output: output(key) }
        }
        Effect::AcquireLease { deployment, .. } => {
            let lease =
                if how.is_multiple_of(8) { Err("taken".to_owned()) } else { Ok(Epoch(u64::from(how))) };
            Outcome::Lease { deployment: *deployment, lease }
        }
        Effect::BreakLease { environment, .. } => {
            let done = if how.is_multiple_of(2) { Ok(()) } else { Err("somebody else holds it".to_owned()) };
            Outcome::LeaseBreak { environment: environment.clone(), done }
        }
        Effect::ObserveEnvironment { environment, deployment } => {
            let answers = match how % 4 {
                0 => None,
                1 => state.live(environment).map(|(live, _)| live),
                _ => Some(*deployment),
            };
            let live = answers.map(|deployment| Live { deployment, healthy: how % 16 != 3 });
            Outcome::EnvironmentObserved { environment: environment.clone(), deployment: *deployment, live }
        }
    })
}

/// Plays a happening; answers the digest that an operator confirmed, where one did.
fn play(world: &mut World, happening: &Happening) -> Option<PlanDigest> {
    let step = |index: &usize| StepId::from(STEPS[index % STEPS.len()]);
    let command = match happening {
        Happening::StartRun(digit) => Command::StartRun { commit: commit(*digit), until: None },
        Happening::Cancel(run, now) => Command::CancelRun { run: RunId(*run), now: *now },
        Happening::Retry(run, index) => Command::RetryStep { run: RunId(*run), step: step(index) },
        Happening::Acknowledge(run, index) => {
            Command::Acknowledge { run: RunId(*run), step: step(index), reason: "seen".to_owned() }
        }
        Happening::Branch(digit) => {
            world.outcome(Outcome::BranchSeen { branch: "main".to_owned(), commit: commit(*digit) });
            return None;
        }
        Happening::Restart => {
            world.outcome(Outcome::EngineStarted { version: "1".to_owned() });
            return None;
        }
        Happening::Effect(which, how) => {
            let pending = world.state.pending();
            if !pending.is_empty()
                && let Some(outcome) = outcome_of(&world.state, &pending[which % pending.len()], *how)
            {
                world.outcome(outcome);
            }
            return None;
        }
        Happening::Deadline(which) => {
            let keys: Vec<_> = world.state.pending();
            let attempts: Vec<_> = keys
                .into_iter()
                .filter_map(|effect| if let Effect::Attempt { key } = effect { Some(key) } else { None })
                .collect();
            if !attempts.is_empty() {
                world.input(Input::Deadline { key: attempts[which % attempts.len()].clone() }).unwrap();
            }
            return None;
        }
        Happening::Promote(production, release, looked, typed) => {
            if !world.state.releases.contains_key(&ReleaseNumber(*release)) {
                return None;
            }
            let mut promote: Promote = world.promotion(environment(*production), *release);
            if !looked {
                promote.plan = PlanDigest("0".repeat(64));
            }
            if !typed {
                promote.confirm = "yes".to_owned();
            }
            let digest = promote.plan.clone();
            return (world.command(Command::Promote(promote)).is_ok() && *typed).then_some(digest);
        }
        Happening::Rollback(production, typed) => {
            let name = environment(*production);
            let from = world.state.live(&name.into()).map_or(DeploymentId(0), |(live, _)| live);
            let confirm = if *typed { name.to_owned() } else { String::new() };
            Command::Rollback(Rollback {
                environment: name.into(),
                from,
                to: None,
                confirm,
                reason: "r".to_owned(),
            })
        }
        Happening::Go(deployment) => {
            Command::Go { deployment: DeploymentId(*deployment), reason: "g".to_owned() }
        }
        Happening::Hold(deployment) => Command::Hold { deployment: DeploymentId(*deployment) },
        Happening::Back(deployment, typed) => {
            let number = DeploymentId(*deployment);
            let name =
                world.state.deployments.get(&number).map(|deployment| deployment.environment.0.clone());
            let confirm = name.filter(|_| *typed).unwrap_or_default();
            Command::Back { deployment: number, confirm, reason: "b".to_owned() }
        }
        Happening::Leave(deployment) => {
            let deployment = DeploymentId(*deployment);
            let environment =
                world.state.deployments.get(&deployment).map(|known| known.environment.0.clone());
            Command::Leave { deployment, confirm: environment.unwrap_or_default(), reason: "l".to_owned() }
        }
    };
    let _ = world.command(command);
    None
}

/// Ends whatever is open, as well as a friendly world can: answers how many inputs it took.
fn let_it_end(world: &mut World) -> bool {
    for _ in 0..3000 {
        if let Some(effect) = world.state.pending().into_iter().next() {
            let outcome = match &effect {
                Effect::Observe { key } => Outcome::Observed { key: key.clone(), found: Found::Lost },
                other => outcome_of(&world.state, other, 7).unwrap(),
            };
            world.outcome(outcome);
            continue;
        }
        let held_run =
            world.state.runs.iter().find(|(_, run)| run.phase == RunPhase::Held).map(|(run, _)| *run);
        if let Some(run) = held_run {
            world.command(Command::CancelRun { run, now: true }).unwrap();
            continue;
        }
        let held = world
            .state
            .deployments
            .iter()
            .find(|(_, deployment)| matches!(deployment.phase, DeploymentPhase::Held { .. }));
        if let Some((deployment, _)) = held {
            let deployment = *deployment;
            world.command(Command::Go { deployment, reason: "on".to_owned() }).unwrap();
            continue;
        }
        return world.state.runs.values().all(|run| matches!(run.phase, RunPhase::Ended(_)))
            && world.state.deployments.values().all(|deployment| !deployment.is_open());
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a viewer folds from the journal is what the engine has.
    #[test]
    fn the_fold_of_the_journal_is_the_live_state(happenings in prop::collection::vec(happening(), 0..120)) {
        let mut world = World::with_releases();
        for happening in &happenings {
            play(&mut world, happening);
        }
        prop_assert_eq!(world.folded(), world.state.clone());
        let json = serde_json::to_string(&world.state).unwrap();
        prop_assert_eq!(serde_json::from_str::<State>(&json).unwrap(), world.state);
    }

    /// Nothing is live in a protected environment whose plan no operator confirmed, save a way back.
    #[test]
    fn no_unapproved_digest_goes_live_where_it_is_protected(
        happenings in prop::collection::vec(happening(), 0..200)
    ) {
        let mut world = World::with_releases();
        let mut approved = Vec::new();
        for happening in &happenings {
            approved.extend(play(&mut world, happening));
        }
        for deployment in world.state.deployments.values().filter(|d| d.environment.as_str() == "production") {
            let is_rollback = matches!(deployment.kind, DeploymentKind::Rollback { .. });
            prop_assert!(is_rollback || approved.contains(&deployment.plan.digest), "{:?}", deployment.plan.digest);
            if let DeploymentPhase::Ended(Ending::Live) = deployment.phase {
                let proven = world.state.deployments.values().any(|other| {
                    other.environment.as_str() == "staging" && other.release == deployment.release
                });
                prop_assert!(proven);
            }
        }
    }

    /// At most one deployment is under way in an environment, beside the one that it takes back; and only with a lease.
    #[test]
    fn one_deployment_an_environment(happenings in prop::collection::vec(happening(), 0..200)) {
        let mut world = World::with_releases();
        for happening in &happenings {
            play(&mut world, happening);
            for name in ["staging", "production"] {
                let open: Vec<_> = world
                    .state
                    .deployments
                    .values()
                    .filter(|d| d.environment.as_str() == name && d.is_open())
                    .filter(|d| !matches!(d.phase, DeploymentPhase::TakenBack { .. }))
                    .collect();
                prop_assert!(open.len() <= 1, "{open:?}");
                for deployment in open {
                    let started = deployment.steps.values().any(|state| state.attempt > 0);
                    prop_assert!(!started || deployment.lease.is_some());
                }
            }
        }
    }

    /// No more runs at once, and no more steps at once in a run, than the configuration says.
    #[test]
    fn nobody_takes_more_than_its_places(happenings in prop::collection::vec(happening(), 0..200)) {
        let mut world = World::with_releases();
        let pipeline = super::fixtures::project().pipeline;
        for happening in &happenings {
            play(&mut world, happening);
            let active: Vec<_> = world.state.runs.values().filter(|run| run.is_active()).collect();
            prop_assert!(active.len() <= usize::try_from(pipeline.runs).unwrap());
            for run in active {
                let open = run.steps.values().filter(|step| step.is_open()).count();
                prop_assert!(open <= usize::try_from(pipeline.jobs).unwrap(), "{:?}", run.steps);
            }
        }
    }

    /// From every prefix of a journal (an engine killed there) everything that was open can end.
    #[test]
    fn from_every_prefix_the_run_can_end(
        happenings in prop::collection::vec(happening(), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut world = World::with_releases();
        for happening in &happenings {
            play(&mut world, happening);
        }
        let length = 4 + cut.index(world.journal.len().saturating_sub(3));
        let mut restarted = World { state: State::default(), journal: Vec::new(), now: world.now };
        for envelope in world.journal.into_iter().take(length) {
            restarted.state.apply(&envelope);
            restarted.journal.push(envelope);
        }
        restarted.outcome(Outcome::EngineStarted { version: "1".to_owned() });
        prop_assert!(let_it_end(&mut restarted), "pending: {:?}\n{:#?}", restarted.state.pending(), restarted.state.deployments);
        prop_assert_eq!(restarted.folded(), restarted.state);
    }

    /// An event of something unknown folds to nothing (but its place).
    #[test]
    fn the_fold_never_fails(run in any::<u64>(), step in "[a-z]{0,5}") {
        let mut state = State::default();
        let key = crate::domain::ids::AttemptKey { owner: Owner::Run(RunId(run)), step: StepId(step), attempt: 3 };
        let event = Event::StepFinished { key, verdict: Verdict::Passed, output: Output::default() };
        state.apply(&Envelope { seq: Seq(1), at: Timestamp(1), actor: Actor::Engine, event });
        prop_assert!(state.runs.is_empty());
    }
}
