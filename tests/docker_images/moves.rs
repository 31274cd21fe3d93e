//! From engine to engine, without a registry.

use towpath::docker::tags;
use towpath::docker::transfer::{Wanted, stream};

use crate::engines::{self, Dockerd};
use crate::support::{Name, engine, small};

#[tokio::test]
async fn an_image_streams_to_two_engines_and_is_the_same_there() {
    let Some(url) = engines::docker() else { return };
    let (Some(one), Some(two)) = (Dockerd::start(), Dockerd::start()) else { return };
    let name = Name::new(&[&url]);
    let from = engine("local", &url).await;
    let id = small(&from, &name, "a", 20_000_000).await;
    let wanted = Wanted { id: id.clone(), location: name.with("sha") };
    tags::tag(&from, &id, &wanted.location).await.unwrap();
    for dockerd in [&one, &two] {
        let to = engine("app", &dockerd.url()).await;
        assert!(!wanted.is_at(&to).await.unwrap());
        let mut told = Vec::new();
        stream::bring(&from, &to, &wanted, &mut |went, all| told.push((went, all))).await.unwrap();
        let found = tags::find(&to, &wanted.location).await.unwrap().unwrap();
        assert_eq!(found.id, id);
        let (went, all) = *told.last().unwrap();
        assert!(went > 20_000_000 && all >= 20_000_000, "{told:?}");
        assert!(told.is_sorted(), "{told:?}");
        // A second time nothing travels.
        let mut told = Vec::new();
        stream::bring(&from, &to, &wanted, &mut |went, _| told.push(went)).await.unwrap();
        assert!(told.is_empty());
    }
}

#[tokio::test]
async fn a_tampered_image_is_refused_and_left_alone() {
    let Some(url) = engines::docker() else { return };
    let Some(dockerd) = Dockerd::start() else { return };
    let name = Name::new(&[&url]);
    let from = engine("local", &url).await;
    let to = engine("app1", &dockerd.url()).await;
    let wanted = Wanted { id: small(&from, &name, "tested", 1000).await, location: name.with("sha") };
    let other = small(&to, &name, "tampered", 1000).await;
    tags::tag(&to, &other, &wanted.location).await.unwrap();
    let cause = stream::bring(&from, &to, &wanted, &mut |_, _| {}).await.unwrap_err();
    assert!(cause.summary.contains("moved tag") && cause.summary.contains("app1"), "{cause:?}");
    assert_eq!((cause.expected.as_str(), cause.measured.as_str()), (wanted.id.as_str(), other.as_str()));
    assert!(tags::find(&to, &wanted.id).await.unwrap().is_none(), "nothing was sent");
    assert_eq!(tags::find(&to, &wanted.location).await.unwrap().unwrap().id, other);
    // A name is given once: neither on the host nor where it is built.
    let moved = tags::tag(&from, &small(&from, &name, "next", 1000).await, &wanted.location).await;
    moved.unwrap();
    assert!(tags::tag(&from, &wanted.id, &wanted.location).await.is_err());
}

#[tokio::test]
async fn an_image_that_is_gone_is_said_to_be() {
    let Some(url) = engines::docker() else { return };
    let Some(dockerd) = Dockerd::start() else { return };
    let name = Name::new(&[&url]);
    let (from, to) = (engine("local", &url).await, engine("app1", &dockerd.url()).await);
    let wanted = Wanted { id: format!("sha256:{}", "0".repeat(64)), location: name.with("sha") };
    let cause = stream::bring(&from, &to, &wanted, &mut |_, _| {}).await.unwrap_err();
    assert!(cause.summary.contains("is not on local any more"), "{cause:?}");
}
