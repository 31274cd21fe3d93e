//! The connection is lost between a container's start and the engine's reply.

use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::{Days, container, lease_is_given_back, lines, runs, web};

/// What is cut, and how often.
struct Cuts {
    left: [AtomicUsize; 2],
    cut: AtomicUsize,
}

impl Cuts {
    /// Whether the reply to this request is lost. What is made and what is started, each as often as wished.
    fn wants(&self, request: &[u8]) -> bool {
        let head = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        let Some(line) = head.lines().next().filter(|line| line.starts_with("POST ")) else { return false };
        let which = if line.contains("/containers/create?name=shop-lost-web") {
            0
        } else if line.contains("/containers/shop-lost-web") && line.contains("/start") {
            1
        } else {
            return false;
        };
        let taken =
            self.left[which].fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        taken.is_ok()
    }
}

/// Forwards one connection; cuts it when the engine answers a request whose reply is to be lost.
async fn forward(near: UnixStream, far: PathBuf, cuts: Arc<Cuts>) -> std::io::Result<()> {
    let far = UnixStream::connect(far).await?;
    let ((mut ask, mut answer), (mut replies, mut asks)) = (near.into_split(), far.into_split());
    let (mut asked, mut replied) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut is_lost = false;
    loop {
        tokio::select! {
            got = ask.read(&mut asked) => {
                let got = got?;
                if got == 0 {
                    asks.shutdown().await?;
                    // Whatever it still says is for nobody but one that only closed its side.
                    tokio::io::copy(&mut replies, &mut answer).await?;
                    return Ok(());
                }
                is_lost |= cuts.wants(&asked[..got]);
                asks.write_all(&asked[..got]).await?;
            }
            got = replies.read(&mut replied) => {
                let got = got?;
                if got == 0 {
                    return Ok(());
                }
                if is_lost {
                    cuts.cut.fetch_add(1, Ordering::SeqCst);
                    return Ok(());
                }
                answer.write_all(&replied[..got]).await?;
            }
        }
    }
}

pub(super) fn story(days: &Days) {
    let engine = PathBuf::from(days.two.url().strip_prefix("unix://").unwrap());
    let socket = engine.with_file_name("cut");
    let listener = UnixListener::bind(&socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let cuts = Arc::new(Cuts { left: [AtomicUsize::new(0), AtomicUsize::new(0)], cut: AtomicUsize::new(0) });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (to, shared) = (engine, Arc::clone(&cuts));
    runtime.spawn(async move {
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        while let Ok((near, _)) = listener.accept().await {
            tokio::spawn(forward(near, to.clone(), Arc::clone(&shared)));
        }
    });
    let url = format!("unix://{}", socket.display());
    let lines =
        lines(&[format!("{{ url = \"{url}\", name = \"far\", address = \"{}\" }}", days.two.address())]);
    days.live("lost", &lines, &[]);
    for (which, title) in [(1, "the reply to a start was lost"), (0, "the reply to a create was lost")] {
        cuts.left[which].store(1, Ordering::SeqCst);
        let before = cuts.cut.load(Ordering::SeqCst);
        days.configure("lost", &lines, &[("WORD", title)]);
        days.redeploy(title, "lost").ends(0);
        assert_eq!(cuts.cut.load(Ordering::SeqCst), before + 1, "{title}: it was not lost");
        let now = days.shop.newest("lost");
        runs(&days.two.url(), &web("lost", now));
        assert_eq!(days.shop.started("lost", now, 1), 1, "{title}: it was started twice");
        assert_eq!(container(&days.two.url(), &web("lost", now)).unwrap().restart_count, Some(0));
    }
    // Through what ends with this story.
    lease_is_given_back(&days.two.url(), "lost");
    days.hosts.lock().unwrap().entry("lost".to_owned()).or_default().insert(days.two.url());
}
