//! What the tests of images share: names that are theirs alone, small contexts, and their end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};
use tempfile::TempDir;
use towpath::docker::Engine;
use towpath::docker::build::{Builder, Order, build};
use towpath::docker::credentials::Keyring;
use towpath::domain::plan::Cause;
use towpath::domain::project::Host;

use crate::engines;

/// A name that no other test has. Everything that is called so is removed when it is dropped, also by a panic.
pub(crate) struct Name {
    pub(crate) name: String,
    urls: Vec<String>,
}

impl Name {
    pub(crate) fn new(urls: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("towpath-test-image-{}-{number}", std::process::id());
        Self { name, urls: urls.iter().map(|&url| url.to_owned()).collect() }
    }

    /// The same below a registry.
    pub(crate) fn at(mut self, registry: &str) -> Self {
        self.name = format!("{registry}/{}", self.name);
        self
    }

    pub(crate) fn with(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        for url in &self.urls {
            engines::wait(async {
                let client = engines::client(url);
                let all = ListImagesOptionsBuilder::default().build();
                for image in client.list_images(Some(all)).await.unwrap_or_default() {
                    let ours = image.labels.get("towpath-test").is_some_and(|name| *name == self.name)
                        || image.repo_tags.iter().chain(&image.repo_digests).any(|tag| {
                            tag.starts_with(&format!("{}:", self.name))
                                || tag.starts_with(&format!("{}@", self.name))
                        });
                    if ours {
                        let force = RemoveImageOptionsBuilder::default().force(true).build();
                        let _ = client.remove_image(&image.id, Some(force), None).await;
                    }
                }
            });
        }
    }
}

/// An engine by its url.
pub(crate) async fn engine(name: &str, url: &str) -> Engine {
    let host = Host { name: name.into(), url: url.into(), ..Host::usual() };
    Engine::connect(&host, Path::new("/")).await.unwrap()
}

/// Files of a context.
pub(crate) fn files(all: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in all {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

pub(crate) fn order(context: &Path, name: &Name) -> Order {
    Order {
        context: context.to_owned(),
        dockerfile: "Dockerfile".into(),
        target: None,
        args: BTreeMap::new(),
        labels: BTreeMap::from([("towpath-test".to_owned(), name.name.clone())]),
        secrets: BTreeMap::new(),
        written: 1_700_000_000,
    }
}

/// What a build ended with, and what it said.
pub(crate) async fn built(
    engine: &Engine,
    by: Builder,
    order: &Order,
) -> (Result<String, Box<Cause>>, Vec<String>) {
    let mut said = Vec::new();
    let mut say = |line: &str| said.push(line.to_owned());
    let ended = build(engine, by, order, &Keyring::default(), &mut say).await;
    (ended, said)
}

/// An image without a system in it, of about `size` bytes that no compression makes less: its id.
pub(crate) async fn small(engine: &Engine, name: &Name, content: &str, size: usize) -> String {
    let mut noise = 88_172_645_463_325_252_u64;
    let bytes: String = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        char::from(b'!' + u8::try_from(noise % 90).unwrap())
    })
    .take(size)
    .collect();
    let context = files(&[
        ("Dockerfile", "FROM scratch\nCOPY content noise /\n"),
        ("content", content),
        ("noise", &bytes),
    ]);
    let (id, said) = built(engine, Builder::Kit, &order(context.path(), name)).await;
    id.unwrap_or_else(|cause| panic!("{cause:?}\n{}", said.join("\n")))
}
