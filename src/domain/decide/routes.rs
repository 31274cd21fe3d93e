//! What plans of deployments do with traffic and with roles of which there may be only one.

use std::collections::BTreeMap;

use super::fixtures::{World, environment, project, release};
use super::tests::{go_live, lease, newest, walk};
use crate::domain::command::Command;
use crate::domain::effect::Outcome;
use crate::domain::event::Event;
use crate::domain::ids::DeploymentId;
use crate::domain::plan::{Plan, Share, Work};
use crate::domain::project::{Role, Strategy};
use crate::domain::release::Serving;
use crate::domain::time::Millis;
use crate::domain::watch::Watch;

fn world(strategy: Strategy) -> World {
    let mut world = World::new();
    let mut project = project();
    let mut staging = environment(None, false, strategy);
    staging.replicas.insert("beat".to_owned(), 1);
    project.environments.insert("staging".into(), staging);
    world.outcome(Outcome::ProjectLoaded { project: Box::new(project), config: "c2".to_owned() });
    for number in [1, 2] {
        let role = |max| Role { stop_timeout: Millis::seconds(1), max, ..Role::new("x") };
        let roles = BTreeMap::from([
            ("web".to_owned(), role(None)),
            ("worker".to_owned(), role(None)),
            ("beat".to_owned(), role(Some(1))),
        ]);
        let mut release = release(number, &["shop.0001"]);
        release.serving = Serving { roles, ..Serving::default() };
        world.write(vec![Event::ReleaseCreated { release }]);
    }
    world
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.id.as_str()).collect()
}

fn shares(plan: &Plan) -> Vec<&Vec<Share>> {
    let shares = plan.steps.iter().filter_map(|step| match &step.work {
        Work::Shift { shares, .. } => Some(shares),
        _ => None,
    });
    shares.collect()
}

#[test]
fn a_role_that_may_run_once_is_handed_over_and_never_doubled() {
    for strategy in
        [Strategy::BlueGreen, Strategy::Rolling, Strategy::Recreate, Strategy::Canary(vec![10, 50])]
    {
        let mut world = world(strategy.clone());
        go_live(&mut world, "staging", 1);
        let plan = world.preview("staging", 2);
        let ids = ids(&plan);
        let at = |id: &str| ids.iter().position(|one| *one == id).unwrap_or_else(|| panic!("{id}: {ids:?}"));
        assert!(at("stop beat") < at("start beat"), "{strategy:?}: {ids:?}");
        assert!(at("await beat") < at("bake"), "{strategy:?}: {ids:?}");
        assert_eq!(ids.iter().filter(|id| id.starts_with("stop beat")).count(), 1);
    }
}

#[test]
fn shares_are_the_whole_of_the_traffic() {
    for strategy in
        [Strategy::BlueGreen, Strategy::Rolling, Strategy::Recreate, Strategy::Canary(vec![10, 33, 50])]
    {
        let mut world = world(strategy.clone());
        let first = world.preview("staging", 1);
        go_live(&mut world, "staging", 1);
        let second = world.preview("staging", 2);
        for plan in [first, second] {
            for shares in shares(&plan) {
                let all: u32 = shares.iter().map(|share| u32::from(share.weight)).sum();
                assert_eq!(all, 100, "{strategy:?}");
            }
        }
    }
}

#[test]
fn the_first_deployment_of_a_canary_has_nothing_to_be_compared_with() {
    let world = world(Strategy::Canary(vec![10, 50]));
    let plan = world.preview("staging", 1);
    assert!(!ids(&plan).contains(&"shift 10"), "{:?}", ids(&plan));
}

#[test]
fn back_in_a_bake_is_one_switch_and_hands_the_single_role_back() {
    let mut world = world(Strategy::BlueGreen);
    let first = go_live(&mut world, "staging", 1);
    world.promote("staging", 2).unwrap();
    let second = newest(&world);
    lease(&mut world, second);
    walk(&mut world, second, Some("bake"));
    let name = "staging".into();
    assert!(world.state.preview_rollback(&name, None).unwrap().warm);
    let back = Command::Back { deployment: second, confirm: String::new(), reason: "r".to_owned() };
    world.command(back).unwrap();
    let third = newest(&world);
    let plan = &world.state.deployments[&third].plan;
    assert_eq!(
        ids(plan),
        [
            "shift 100",
            "stop beat",
            "start beat",
            "await beat",
            "drain web",
            "stop web",
            "stop worker",
            "verify"
        ]
    );
    let given: Vec<Option<DeploymentId>> = shares(plan)[0].iter().map(|share| share.replicas.of).collect();
    assert_eq!(given, [Some(first)]);
    let set = world.state.set_of(third);
    let owners = |role: &str| {
        let of_role = set.iter().filter(|key| key.role == role).map(|key| key.deployment);
        of_role.collect::<Vec<_>>()
    };
    assert_eq!((owners("web"), owners("beat")), (vec![first, first], vec![third]));
}

#[test]
fn what_is_meant_to_live_is_kept_alive_and_nothing_else() {
    let mut world = world(Strategy::BlueGreen);
    let kept = |world: &World| {
        let keeps = world.state.watches().into_iter().filter_map(|watch| match watch {
            Watch::KeepReplica { replica } => Some(replica.to_string()),
            _ => None,
        });
        keeps.collect::<Vec<_>>()
    };
    assert!(kept(&world).is_empty());
    go_live(&mut world, "staging", 1);
    assert_eq!(kept(&world), ["beat-1 of #1", "web-1 of #1", "web-2 of #1", "worker-1 of #1"]);
    go_live(&mut world, "staging", 2);
    assert_eq!(kept(&world), ["beat-1 of #2", "web-1 of #2", "web-2 of #2", "worker-1 of #2"]);
}

#[test]
fn what_a_broken_deployment_left_running_goes_with_the_next_one() {
    let mut world = world(Strategy::BlueGreen);
    world.promote("staging", 1).unwrap();
    let broken = newest(&world);
    lease(&mut world, broken);
    walk(&mut world, broken, Some("shift 100"));
    world.command(Command::Hold { deployment: broken }).unwrap();
    let owner = crate::domain::ids::Owner::Deployment(broken);
    world.ends(owner, "shift 100", crate::domain::plan::Verdict::Passed);
    let (confirm, reason) = ("staging".to_owned(), "r".to_owned());
    world.command(Command::Leave { deployment: broken, confirm, reason }).unwrap();
    let plan = world.preview("staging", 2);
    let ids = ids(&plan);
    assert!(ids.contains(&"stop web") && ids.contains(&"stop worker"), "{ids:?}");
}
