//! Visitors: connections that stay open and ask one thing after the other. Nothing is asked a second time: what
//! fails counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::domain::time::Millis;
use crate::probe::http::DEPLOYMENT;

/// How long one answer may take; longer counts as broken.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest latency that is told apart, milliseconds.
const LONGEST: u64 = 60_000;
/// How long a visitor who got no connection leaves it alone.
const PAUSE: Duration = Duration::from_millis(20);
/// How many different troubles are remembered.
const MOST_TROUBLES: usize = 8;

/// Who asks what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitors {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// How many connections.
    pub connections: usize,
    /// What is asked, in turn.
    pub paths: Vec<String>,
    /// How long each waits after an answer: without it they take all of a small machine for themselves.
    pub think: Duration,
}

/// The answers of one deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answers {
    /// 2xx.
    pub ok: u64,
    /// Any other status.
    pub bad: u64,
}

/// What was counted since a mark, until the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phase {
    /// By the deployment that the header names; empty where it names none.
    pub by: BTreeMap<String, Answers>,
    /// Requests without a whole answer.
    pub broken: u64,
    /// How long after the mark each deployment's first answer was there.
    pub first: BTreeMap<String, Duration>,
}

impl Phase {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.broken + self.by.values().map(|answers| answers.ok + answers.bad).sum::<u64>()
    }

    /// Requests that failed: any answer but 2xx, and those without one.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.broken + self.by.values().map(|answers| answers.bad).sum::<u64>()
    }

    /// A deployment's answers.
    #[must_use]
    pub fn of(&self, label: &str) -> Answers {
        self.by.get(label).copied().unwrap_or_default()
    }
}

/// What was counted altogether.
#[derive(Debug, Clone)]
pub struct Counted {
    /// By the names of the marks.
    pub phases: BTreeMap<String, Phase>,
    /// Connections that the server closed between two requests, and that were opened again.
    pub reopened: u64,
    /// What went wrong, in words, with how often.
    pub troubles: BTreeMap<String, u64>,
    /// Half of the answers took at most this.
    pub median: Millis,
    /// 99 of 100 did.
    pub p99: Millis,
    /// The slowest.
    pub slowest: Millis,
}

impl Counted {
    /// All phases as one.
    #[must_use]
    pub fn all(&self) -> Phase {
        let mut all = Phase::default();
        for phase in self.phases.values() {
            all.broken += phase.broken;
            for (label, answers) in &phase.by {
                let sum = all.by.entry(label.clone()).or_default();
                sum.ok += answers.ok;
                sum.bad += answers.bad;
            }
        }
        all
    }

    /// A phase; an empty one where nothing was counted.
    #[must_use]
    pub fn phase(&self, name: &str) -> Phase {
        self.phases.get(name).cloned().unwrap_or_default()
    }
}

struct Inside {
    phase: String,
    since: Instant,
    phases: BTreeMap<String, Phase>,
    troubles: BTreeMap<String, u64>,
    latencies: Histogram<u64>,
}

struct Shared {
    visitors: Visitors,
    host: String,
    next: AtomicU64,
    reopened: AtomicU64,
    over: AtomicBool,
    inside: Mutex<Inside>,
}

impl Shared {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Visitors that ask.
pub struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

impl Load {
    /// Lets them begin, in a phase of that name.
    ///
    /// # Errors
    /// When nothing can be counted (never, with the limits above).
    pub fn begin(visitors: Visitors, phase: &str) -> anyhow::Result<Self> {
        let inside = Inside {
            phase: phase.to_owned(),
            since: Instant::now(),
            phases: BTreeMap::new(),
            troubles: BTreeMap::new(),
            latencies: Histogram::new_with_bounds(1, LONGEST * 1000, 3)?,
        };
        let shared = Arc::new(Shared {
            host: format!("127.0.0.1:{}", visitors.port),
            visitors,
            next: AtomicU64::new(0),
            reopened: AtomicU64::new(0),
            over: AtomicBool::new(false),
            inside: Mutex::new(inside),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..shared.visitors.connections {
            tasks.spawn(visit(Arc::clone(&shared)));
        }
        Ok(Self { shared, tasks })
    }

    /// What is answered from now on counts under another name. What comes first after a mark is measured from here.
    pub fn mark(&self, phase: &str) {
        let mut inside = self.shared.inside();
        phase.clone_into(&mut inside.phase);
        inside.since = Instant::now();
    }

    /// What was counted so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let inside = self.shared.inside();
        let latency = |quantile: f64| Millis(inside.latencies.value_at_quantile(quantile) / 1000);
        Counted {
            phases: inside.phases.clone(),
            reopened: self.shared.reopened.load(Ordering::Relaxed),
            troubles: inside.troubles.clone(),
            median: latency(0.5),
            p99: latency(0.99),
            slowest: Millis(inside.latencies.max() / 1000),
        }
    }

    /// Lets each finish what it asked, and gives what was counted.
    pub async fn end(mut self) -> Counted {
        self.shared.over.store(true, Ordering::Release);
        while self.tasks.join_next().await.is_some() {}
        self.counted()
    }
}

/// A connection, and what tells when it closes.
type Sender = SendRequest<Empty<Bytes>>;

async fn visit(shared: Arc<Shared>) {
    let mut connection: Option<Sender> = None;
    while !shared.over.load(Ordering::Acquire) {
        let mut sender = match connection.take() {
            Some(sender) => sender,
            None => match connect(&shared).await {
                Ok(sender) => sender,
                Err(why) => {
                    broken(&shared, &why);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        // Closed between two requests: nothing was asked of it yet.
        if sender.ready().await.is_err() {
            shared.reopened.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        connection = ask(&shared, sender).await;
        if !shared.visitors.think.is_zero() {
            tokio::time::sleep(shared.visitors.think).await;
        }
    }
}

async fn connect(shared: &Shared) -> Result<Sender, String> {
    let stream = TcpStream::connect(("127.0.0.1", shared.visitors.port)).await;
    let stream = stream.map_err(|error| format!("no connection: {error}"))?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        // What went wrong on it the request says as well.
        let _ = connection.await;
    });
    Ok(sender)
}

/// Asks once. The connection, where it can be used again.
async fn ask(shared: &Shared, mut sender: Sender) -> Option<Sender> {
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    let paths = &shared.visitors.paths;
    let turn = usize::try_from(number).unwrap_or(0).checked_rem(paths.len()).unwrap_or(0);
    let path = paths.get(turn).map_or("/", String::as_str);
    let request = Request::get(path).header(HOST, &shared.host).body(Empty::new());
    let began = Instant::now();
    let answered = async {
        let response = sender.send_request(request.map_err(|error| error.to_string())?).await;
        let (head, mut body) = response.map_err(|error| broken_by(&error))?.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| format!("an answer that ends early: {}", broken_by(&error)))?;
        }
        Ok::<_, String>(Response::from_parts(head, ()))
    };
    let answered = tokio::time::timeout(ANSWER, answered).await;
    let response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(why)) => {
            broken(shared, &why);
            return None;
        }
        Err(_) => {
            broken(shared, &format!("no answer within {} s", ANSWER.as_secs()));
            return None;
        }
    };
    let now = Instant::now();
    let label = response.headers().get(DEPLOYMENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    {
        let mut inside = shared.inside();
        let micros = u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX);
        inside.latencies.saturating_record(micros.max(1));
        let after = now.saturating_duration_since(inside.since);
        let name = inside.phase.clone();
        let phase = inside.phases.entry(name).or_default();
        let answers = phase.by.entry(label.to_owned()).or_default();
        if response.status().is_success() {
            answers.ok += 1;
        } else {
            answers.bad += 1;
        }
        phase.first.entry(label.to_owned()).or_insert(after);
        if !response.status().is_success() {
            trouble(&mut inside, &format!("{} from {label} at {path}", response.status().as_u16()));
        }
    }
    let closes = response
        .headers()
        .get(CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    (!closes).then_some(sender)
}

/// The system's own word behind hyper's.
fn broken_by(error: &hyper::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn broken(shared: &Shared, why: &str) {
    let mut inside = shared.inside();
    let name = inside.phase.clone();
    inside.phases.entry(name).or_default().broken += 1;
    trouble(&mut inside, why);
}

fn trouble(inside: &mut Inside, why: &str) {
    if inside.troubles.contains_key(why) || inside.troubles.len() < MOST_TROUBLES {
        *inside.troubles.entry(why.to_owned()).or_insert(0) += 1;
    }
}

#[cfg(test)]
mod tests;
