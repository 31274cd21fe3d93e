use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::ids::{DeploymentId, ReleaseNumber};
use crate::router::Share;
use crate::router::nginx::labelled;

fn member(deployment: u64, port: u16) -> Member {
    let host = std::net::Ipv4Addr::LOCALHOST.into();
    Member { deployment: DeploymentId(deployment), release: ReleaseNumber(deployment / 2), host, port }
}

fn route(shares: Vec<Share>) -> Route {
    Route { project: "har-bor".into(), environment: "production".into(), shares }
}

#[test]
fn a_canary_of_one_beside_a_set_of_three() {
    let v6 = Member { host: "2001:db8::1".parse().unwrap(), ..member(108, 8203) };
    let text = include_text(
        &route(vec![
            Share { members: vec![member(112, 8301)], weight: 10 },
            Share { members: vec![member(108, 8201), member(108, 8202), v6], weight: 90 },
        ]),
        Options::NEW,
    );
    insta::assert_snapshot!(text);
}

#[test]
fn nobody_is_a_text_too_and_the_name_tells_no_lies() {
    let route = Route { environment: "prod\n} evil".into(), ..route(vec![]) };
    let options = Options { client: ClientKeepalive::Unknown, close_to_replicas: false };
    insta::assert_snapshot!(include_text(&route, options));
}

#[test]
fn long_names_stay_within_what_nginx_can_hash_and_stay_apart() {
    let long = "a".repeat(60);
    let (one, other) = (Names::of(&long, "staging"), Names::of(&long, "production"));
    assert_ne!(one, other);
    for names in [one, other] {
        assert!(names.first.len() <= LONGEST_NAME && names.route.starts_with("towpath_aaa"), "{names:?}");
    }
    assert_eq!(Names::of("har-bor", "eu-1").route, "towpath_har_bor_eu_1");
}

#[test]
fn a_deployments_label_is_read_back_and_nothing_else() {
    assert_eq!(labelled(&label(DeploymentId(112))), Some(DeploymentId(112)));
    for bad in ["", "d", "112", "d-1", "d+1", "d1x", "d99999999999999999999", "D1"] {
        assert_eq!(labelled(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn shares_are_exact_and_weights_small(
        sizes in proptest::collection::vec((0_u8..=12, 0_u8..=100), 0..4),
    ) {
        let mut port = 8000;
        let shares: Vec<Share> = sizes.iter().enumerate().map(|(at, (size, weight))| {
            let members = (0..*size).map(|_| { port += 1; member(at as u64 + 1, port) }).collect();
            Share { members, weight: *weight }
        }).collect();
        let route = route(shares);
        let weighted = weights(&route);
        let total: u64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut by: BTreeMap<u64, u64> = BTreeMap::new();
        for (member, weight) in &weighted {
            prop_assert!(*weight > 0);
            *by.entry(member.deployment.0).or_default() += weight;
        }
        let live: u64 = route.shares.iter().filter(|share| !share.members.is_empty()).map(|share| u64::from(share.weight)).sum();
        for (at, share) in route.shares.iter().enumerate() {
            // weight / live == sum / total, without division.
            if !share.members.is_empty() {
                let sum = by.get(&(at as u64 + 1)).copied().unwrap_or(0);
                prop_assert_eq!(u64::from(share.weight) * total, sum * live);
            }
        }
        prop_assert!(weighted.iter().map(|(_, weight)| *weight).fold(0, gcd) <= 1);
        let text = include_text(&route, Options::NEW);
        prop_assert_eq!(text.matches("max_fails=0").count(), weighted.len());
        prop_assert_eq!(text.matches('{').count(), text.matches('}').count());
    }

    #[test]
    fn whatever_the_names_are_no_line_is_added(project in ".*", environment in ".*") {
        let plain = include_text(&route(vec![]), Options::NEW).lines().count();
        let text = include_text(&Route { project, environment, shares: vec![] }, Options::NEW);
        prop_assert_eq!(text.split(['\n', '\r']).count() - 1, plain);
    }
}
