//! A host whose disk is full.

use std::path::PathBuf;

use bollard::query_parameters::ListImagesOptionsBuilder;
use towpath::docker::transfer::{Wanted, stream};

use crate::engines::{self, Dockerd};
use crate::support::{Name, engine, small};

/// A small file system of the test's own, unmounted when it is dropped.
struct Small(PathBuf, Option<Dockerd>);

impl Drop for Small {
    fn drop(&mut self) {
        // The engine first: it holds files there.
        self.1 = None;
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_no_half_image() {
    let Some(url) = engines::docker() else { return };
    if !nix::unistd::geteuid().is_root() {
        return engines::skip("a file system of the test's own needs root");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display().to_string();
    engines::run("mount", &["-t", "tmpfs", "-o", "size=48m", "tmpfs", &path]);
    let mut held = Small(dir.path().to_owned(), None);
    // Where images are taken in first is on the small file system too.
    held.1 = Dockerd::start_with(&["--data-root", &path]);
    let Some(dockerd) = &held.1 else { return };
    let name = Name::new(&[&url]);
    let (from, to) = (engine("local", &url).await, engine("app1", &dockerd.url()).await);
    let wanted = Wanted { id: small(&from, &name, "big", 100_000_000).await, location: name.with("sha") };
    let cause = stream::bring(&from, &to, &wanted, &mut |_, _| {}).await.unwrap_err();
    assert!(cause.summary.contains("could not be loaded on app1"), "{cause:?}");
    assert!(cause.summary.to_lowercase().contains("no space left"), "{cause:?}");
    assert!(cause.cure.contains("Make room on the disk of app1"), "{cause:?}");
    let all = ListImagesOptionsBuilder::default().all(true).build();
    assert!(to.client().list_images(Some(all)).await.unwrap().is_empty());
    // And the room that it took is given back: what fits still comes.
    let fits = Wanted { id: small(&from, &name, "fits", 5_000_000).await, location: name.with("fits") };
    stream::bring(&from, &to, &fits, &mut |_, _| {}).await.unwrap();
    assert!(fits.is_at(&to).await.unwrap());
}
