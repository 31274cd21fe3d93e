//! A stranger's container has the name that the next replica would have: it is left as it is.

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{Days, container, engines, host, lines, runs, web};

/// Other stories deploy meanwhile: the next number is one of so many.
const AHEAD: u64 = 25;

pub(super) fn story(days: &Days) {
    let url = days.one.url();
    let lines = lines(&[host("one", &days.one)]);
    let live = days.live("named", &lines, &[]);
    let before = runs(&url, &web("named", live));
    let image = engines::empty_image(&url);
    let strangers: Vec<(String, String)> = engines::wait(async {
        let client = engines::client(&url);
        let mut made = Vec::new();
        for number in live + 1..live + AHEAD {
            let name = web("named", number);
            let options = CreateContainerOptionsBuilder::new().name(&name).build();
            let body = ContainerCreateBody {
                image: Some(image.clone()),
                cmd: Some(vec!["x".to_owned()]),
                ..ContainerCreateBody::default()
            };
            made.push((name, client.create_container(Some(options), body).await.unwrap().id));
        }
        made
    });
    days.configure("named", &lines, &[("WORD", "stranger")]);
    days.redeploy("a stranger's container has the name", "named")
        .ends(4)
        .says("is there and is not ours")
        .says("on one")
        .says("rename or remove it");
    for (name, id) in strangers {
        let there = container(&url, &name).unwrap_or_else(|| panic!("{name} is gone"));
        assert_eq!(
            (there.id, there.state.unwrap().status.unwrap().to_string()),
            (Some(id), "created".into())
        );
    }
    assert_eq!(runs(&url, &web("named", live)), before, "what was live was touched");
}
