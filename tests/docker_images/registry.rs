//! Through a registry: Debian's own, run by the test.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use towpath::docker::tags;
use towpath::docker::transfer::{Wanted, registry};

use crate::engines::{self, Dockerd};
use crate::support::{Name, engine, small};

/// A registry on a free port, gone with its files when it is dropped.
struct Registry {
    child: Child,
    address: String,
    _files: TempDir,
}

impl Registry {
    fn start() -> Option<Self> {
        if !engines::on_path("docker-registry") {
            engines::skip("a registry of the test's own needs `docker-registry`");
            return None;
        }
        let files = tempfile::tempdir().unwrap();
        loop {
            // Another program may take the port meanwhile: then the registry ends, and the next port is tried.
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let config = files.path().join("config.yml");
            let root = files.path().join("data");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
                root.display()
            );
            std::fs::write(&config, text).unwrap();
            let mut child = Command::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() {
                if std::net::TcpStream::connect(&address).is_ok() {
                    return Some(Self { child, address, _files: files });
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry that answers everything with this status; how often it was asked.
fn sick(status: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            if matches!(stream.read(&mut request), Ok(1..)) {
                count.fetch_add(1, Ordering::Relaxed);
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    (address, asked)
}

#[tokio::test]
async fn an_image_is_pushed_once_and_pulled_by_its_digest() {
    let Some(url) = engines::docker() else { return };
    let Some(registry_) = Registry::start() else { return };
    let Some(dockerd) = Dockerd::start() else { return };
    let name = Name::new(&[&url]).at(&registry_.address);
    let (from, to) = (engine("local", &url).await, engine("app1", &dockerd.url()).await);
    let wanted = Wanted { id: small(&from, &name, "a", 3_000_000).await, location: name.with("sha") };
    assert_eq!(registry::digest(&from, &wanted.location, None).await.unwrap(), None);
    let digest = registry::push(&from, &wanted, None, &mut |_, _| {}).await.unwrap();
    assert!(digest.starts_with("sha256:") && digest != wanted.id, "{digest}");
    assert_eq!(registry::push(&from, &wanted, None, &mut |_, _| {}).await.unwrap(), digest);
    assert_eq!(
        registry::digest(&to, &wanted.location, None).await.unwrap().as_deref(),
        Some(digest.as_str())
    );
    registry::pull(&to, &wanted, &digest, None, &mut |_, _| {}).await.unwrap();
    assert_eq!(tags::find(&to, &wanted.location).await.unwrap().unwrap().id, wanted.id);
    // An engine that has it from elsewhere, and never pushed it, finds out that it is the same.
    let found = tags::find(&to, &wanted.id).await.unwrap().unwrap();
    assert!(found.digests.iter().any(|known| known.ends_with(&digest)), "{found:?}");
}

#[tokio::test]
async fn a_tag_that_was_moved_in_the_registry_is_refused_and_left() {
    let Some(url) = engines::docker() else { return };
    let Some(registry_) = Registry::start() else { return };
    let Some(dockerd) = Dockerd::start() else { return };
    let name = Name::new(&[&url]).at(&registry_.address);
    let (from, to) = (engine("local", &url).await, engine("app1", &dockerd.url()).await);
    let wanted = Wanted { id: small(&from, &name, "tested", 1000).await, location: name.with("sha") };
    registry::push(&from, &wanted, None, &mut |_, _| {}).await.unwrap();
    // Somebody else pushes another image under the tag, from another machine.
    let other = small(&to, &name, "other", 1000).await;
    tags::tag(&to, &other, &wanted.location).await.unwrap();
    let options = PushImageOptionsBuilder::default().tag("sha").build();
    let pushed: Vec<_> = to.client().push_image(&name.name, Some(options), None).collect().await;
    assert!(pushed.iter().all(Result::is_ok), "{pushed:?}");
    let there = registry::digest(&from, &wanted.location, None).await.unwrap().unwrap();
    let cause = registry::push(&from, &wanted, None, &mut |_, _| {}).await.unwrap_err();
    assert!(cause.summary.contains("moved tag"), "{cause:?}");
    assert_eq!((cause.expected.as_str(), cause.measured.as_str()), (wanted.id.as_str(), other.as_str()));
    assert_eq!(
        registry::digest(&from, &wanted.location, None).await.unwrap().unwrap(),
        there,
        "left as it was"
    );
    assert!(tags::find(&from, &other).await.unwrap().is_none(), "it was not kept");
    // A digest that is another image's gives the host nothing that could be started.
    tags::remove(&to, &wanted.location).await.unwrap();
    let cause = registry::pull(&to, &wanted, &there, None, &mut |_, _| {}).await.unwrap_err();
    assert!(cause.summary.contains("is not the image that was tested"), "{cause:?}");
    assert!(tags::find(&to, &wanted.location).await.unwrap().is_none());
}

#[tokio::test]
async fn a_registry_that_does_not_work_is_said_with_a_cure() {
    let Some(url) = engines::docker() else { return };
    let from = engine("local", &url).await;
    let (broken, asked) = sick("500 Internal Server Error");
    let (closed, _) = sick("401 Unauthorized");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let cases =
        [(broken.as_str(), "trouble of its own"), (&closed, "docker login"), (&nobody, "runs and that")];
    for (address, cure) in cases {
        let name = Name::new(&[&url]).at(address);
        let wanted = Wanted { id: small(&from, &name, "a", 1000).await, location: name.with("sha") };
        let cause = registry::push(&from, &wanted, None, &mut |_, _| {}).await.unwrap_err();
        assert!(cause.cure.contains(cure), "{cause:?}");
        assert!(cause.summary.contains(address) && cause.summary.contains("local"), "{cause:?}");
    }
    assert!(asked.load(Ordering::Relaxed) >= 3, "a 500 may pass: it is asked again");
}
