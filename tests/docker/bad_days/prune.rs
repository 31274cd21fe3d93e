//! The image is missing on one of three hosts: somebody was short of room and pruned everything there.

use super::{Days, container, engines, host, lines, runs, web};
use crate::three::remove_all;

pub(super) fn story(days: &Days) {
    let machine = format!("{{ url = \"{}\", name = \"machine\" }}", days.usual);
    let lines = lines(&[machine, host("one", &days.one), host("two", &days.two)]);
    let live = days.live("pruned", &lines, &[]);
    let on_two = format!("shop-pruned-web-d{live}-3");
    runs(&days.two.url(), &on_two);
    engines::wait(async {
        let client = days.two.client();
        remove_all(&client, "towpath.project=shop").await;
        let images = client.list_images(None::<bollard::query_parameters::ListImagesOptions>).await.unwrap();
        assert!(images.iter().all(|image| !image.repo_tags.concat().contains("towpath-test")), "{images:?}");
    });
    days.redeploy("the image, the network and the replica were pruned on one of three hosts", "pruned")
        .ends(0)
        .says("two");
    let now = days.shop.newest("pruned");
    runs(&days.two.url(), &format!("shop-pruned-web-d{now}-3"));
    runs(&days.usual, &web("pruned", now));
    assert!(container(&days.two.url(), &on_two).is_none());
}
