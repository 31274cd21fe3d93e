//! Environments as the engine would tell of them: a journal folded, then what was measured.

use std::collections::BTreeMap;

use towpath::domain::event::{Envelope, Event};
use towpath::domain::health::{
    BakeReport, HostSample, HttpSample, LeaseHolder, ReplicaSample, ReplicaState, Sample, Traffic,
};
use towpath::domain::ids::{
    Actor, AttemptKey, DeploymentId, EnvironmentName, Epoch, Owner, ReleaseNumber, Seq, StepId,
};
use towpath::domain::plan::{Cause, Output, Verdict, Work};
use towpath::domain::planner;
use towpath::domain::project::{Environment, HealthCheck, Nginx, Project, Router, Strategy};
use towpath::domain::release::Release;
use towpath::domain::state::{DeploymentKind, Ending, Live, State};
use towpath::domain::time::{Millis, Timestamp};
use towpath::tui::model::{Model, Msg};
use towpath::wire::protocol::FromEngine;

use crate::fixture::{ago, empty, project, send};

pub(crate) fn environments() -> Project {
    let nginx = Nginx {
        include: "/etc/nginx/towpath/harbor.conf".to_owned(),
        container: None,
        test: "nginx -t".to_owned(),
        reload: "nginx -s reload".to_owned(),
        access_log: Some("/var/log/nginx/harbor.log".to_owned()),
        static_files: None,
    };
    let health = HealthCheck { path: "/health".to_owned(), ..HealthCheck::default() };
    let staging = Environment {
        replicas: BTreeMap::from([("web".to_owned(), 2)]),
        router: Router::Nginx(nginx.clone()),
        health: health.clone(),
        ..Environment::default()
    };
    let production = Environment {
        after: Some("staging".into()),
        protected: true,
        strategy: Strategy::Canary(vec![10, 50]),
        replicas: BTreeMap::from([("web".to_owned(), 4)]),
        bake: Millis::minutes(5),
        router: Router::Nginx(nginx),
        health,
        ..Environment::default()
    };
    let environments = BTreeMap::from([("production".into(), production), ("staging".into(), staging)]);
    Project { environments, ..project() }
}

fn release(number: u64, hex: &str, subject: &str, version: Option<&str>) -> Release {
    let mut release = crate::fixture::release(number, number, hex);
    release.subject = subject.to_owned();
    release.version = version.map(str::to_owned);
    release.artifact.id =
        towpath::domain::ids::ArtifactId(format!("sha256:{hex}{}", "5d0e7aa91c2b0077e01d2"));
    release
}

pub(crate) struct Journal {
    pub(crate) state: State,
}

impl Journal {
    /// A project with staging and production, three releases, and nothing deployed.
    pub(crate) fn new() -> Self {
        let mut state = empty();
        state.project = Some(environments());
        for release in [
            release(55, "e5510aa", "Move the harbour map", None),
            release(56, "77e01d2", "Update Django to 5.2.8", Some("1.8.2")),
            release(57, "a1b9c3f", "Gift cards at checkout", Some("1.9.0")),
        ] {
            state.releases.insert(release.number, release);
        }
        Self { state }
    }

    pub(crate) fn write(&mut self, at: Timestamp, by: &str, event: Event) {
        let actor = match by {
            "towpath" => Actor::Engine,
            name => Actor::Operator { name: name.to_owned(), terminal: "pts/3".to_owned() },
        };
        let seq = Seq(self.state.seq.0 + 1);
        self.state.apply(&Envelope { seq, at, actor, event });
    }

    /// Confirms a promotion so many seconds ago.
    pub(crate) fn begin(&mut self, name: &str, number: u64, by: &str, when: u64, why: &str) -> DeploymentId {
        let environment: EnvironmentName = name.into();
        let settings = self.state.environment(&environment).expect("it is configured").clone();
        let release = &self.state.releases[&ReleaseNumber(number)];
        let plan = planner::deployment(&self.state, &environment, &settings, release);
        let way_back = self.state.way_back_from(&environment, ReleaseNumber(number));
        let last = self.state.deployments.keys().next_back().map_or(7, |last| last.0);
        let deployment = DeploymentId(last + 1);
        let created = Event::DeploymentCreated {
            deployment,
            environment,
            kind: DeploymentKind::Promotion,
            plan,
            release: ReleaseNumber(number),
            reason: why.to_owned(),
            lease: None,
            settings: Box::new(settings),
        };
        self.write(ago(when), by, created);
        self.write(ago(when), "towpath", Event::WayBackFixed { deployment, way_back });
        self.write(ago(when), "towpath", Event::LeaseAcquired { deployment, epoch: Epoch(deployment.0) });
        deployment
    }

    /// Walks a deployment's steps up to one that stays open (`None`: all of them). Returns seconds ago.
    pub(crate) fn walk(&mut self, deployment: DeploymentId, mut when: u64, until: Option<&str>) -> u64 {
        let steps = self.state.deployments[&deployment].plan.steps.clone();
        for step in steps {
            let key = AttemptKey { owner: Owner::Deployment(deployment), step: step.id.clone(), attempt: 1 };
            self.write(ago(when), "towpath", Event::StepStarted { key: key.clone() });
            if until == Some(step.id.as_str()) {
                return when;
            }
            let took = match &step.work {
                Work::Bake { .. } => 300,
                Work::AwaitHealthy(_) => 6,
                Work::Fetch(_) => 3,
                _ => 1,
            };
            when = when.saturating_sub(took);
            let facts: &[&str] = match &step.work {
                Work::Fetch(_) => &["18.2 MB", "verified"],
                Work::AwaitHealthy(_) => &["all well"],
                _ => &[],
            };
            let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
            let output = Output { facts, ..Output::default() };
            self.write(ago(when), "towpath", Event::StepFinished { key, verdict: Verdict::Passed, output });
        }
        when
    }

    pub(crate) fn end(&mut self, deployment: DeploymentId, when: u64, ending: Ending, why: Option<&str>) {
        let environment = self.state.deployments[&deployment].environment.clone();
        let why = why.map(str::to_owned);
        self.write(ago(when), "towpath", Event::DeploymentStepsEnded { deployment, why });
        let answers = match &ending {
            Ending::Live | Ending::LiveUnverified { .. } => Some(deployment),
            Ending::RolledBack { .. } | Ending::Broken { .. } => {
                self.state.live(&environment).map(|(number, _)| number)
            }
        };
        let live = answers.map(|deployment| Live { deployment, healthy: true });
        self.write(ago(when), "towpath", Event::EnvironmentObserved { environment, live });
        self.write(ago(when), "towpath", Event::DeploymentFinished { deployment, ending });
    }

    pub(crate) fn deploy(&mut self, name: &str, number: u64, by: &str, when: u64, why: &str) -> DeploymentId {
        let deployment = self.begin(name, number, by, when, why);
        let end = self.walk(deployment, when, None);
        self.end(deployment, end, Ending::Live, None);
        deployment
    }

    /// Production has had v55 and v56; staging has v57.
    pub(crate) fn lived() -> Self {
        let mut journal = Self::new();
        journal.deploy("staging", 55, "sven", 200_000, "");
        journal.deploy("production", 55, "marta", 190_000, "The map");
        journal.deploy("staging", 56, "sven", 40_000, "");
        journal.deploy("production", 56, "marta", 22_000, "Security release of Django");
        journal.deploy("staging", 57, "sven", 600, "");
        journal
    }

    /// Production is in the first bake of v57.
    pub(crate) fn canary() -> Self {
        let mut journal = Self::lived();
        let deployment = journal.begin("production", 57, "marta", 125, "Gift cards launch, ticket SHOP-311");
        journal.walk(deployment, 125, Some("bake 10"));
        journal
    }

    pub(crate) fn newest(&self) -> DeploymentId {
        *self.state.deployments.keys().next_back().expect("there is one")
    }

    /// The step that is open fails.
    pub(crate) fn fail(&mut self, step: &str, cause: Cause) {
        let key =
            AttemptKey { owner: Owner::Deployment(self.newest()), step: StepId::from(step), attempt: 1 };
        let event = Event::StepFinished { key, verdict: Verdict::Failed(cause), output: Output::default() };
        self.write(ago(10), "towpath", event);
    }
}

pub(crate) fn sampled(model: &mut Model, sample: Sample) {
    send(model, Msg::Pushed(Box::new(FromEngine::Sampled { sample })));
}

/// Answers to the health check, the last of them so many seconds ago.
pub(crate) fn answers(model: &mut Model, name: &str, seconds: u64, latencies: &[u64]) {
    let count = latencies.len() as u64;
    for (index, latency) in (0..).zip(latencies) {
        let healthy = *latency < 5_000;
        let answer = HttpSample {
            asked: format!("https://{name}.harbor.example/health"),
            status: healthy.then_some(200),
            latency: Millis(*latency),
            healthy,
            why: if healthy { "200 OK" } else { "no answer in 5.0s" }.to_owned(),
            deployment: None,
        };
        let at = ago(seconds + (count - 1 - index) * 2);
        sampled(model, Sample::Http { environment: name.into(), at, answer });
    }
}

/// All that is meant to live does, seen so many seconds ago; `change` makes an exception of some.
pub(crate) fn replicas(model: &mut Model, name: &str, seconds: u64, change: impl Fn(&mut ReplicaSample)) {
    let environment: EnvironmentName = name.into();
    let weights = model.weights(&environment);
    let samples = model.state.running(&environment).into_iter().enumerate().map(|(index, key)| {
        let number = u16::try_from(index).expect("few replicas");
        let deployment = &model.state.deployments[&key.deployment];
        let count =
            model.state.running(&environment).iter().filter(|one| one.deployment == key.deployment).count();
        let weight = weights
            .get(&key.deployment)
            .map(|weight| u8::try_from(usize::from(*weight) / count).expect("a share"));
        let mut sample = ReplicaSample {
            release: deployment.release,
            state: ReplicaState::Up,
            since: deployment.created,
            restarts: 0,
            last_exit: None,
            pid: Some(40_000 + i32::from(number)),
            port: Some(21_000 + number),
            weight,
            memory: Some((180 + u64::from(number) * 7) * 1024 * 1024),
            memory_limit: None,
            cpu_permille: None,
            host: None,
            health: None,
            oom: false,
            key,
        };
        change(&mut sample);
        sample
    });
    let replicas = samples.collect();
    sampled(model, Sample::Replicas { environment, at: ago(seconds), replicas });
}

/// What the open bake of production has counted.
pub(crate) fn bake(model: &mut Model, failed: u64, trouble: &str) {
    let deployment = *model.state.deployments.keys().next_back().expect("there is one");
    let traffic = |requests, failed, median, p95| Traffic {
        requests,
        failed,
        median: Some(Millis(median)),
        p95: Some(Millis(p95)),
    };
    let report = BakeReport {
        until: Timestamp(crate::fixture::NOW.0 + 192_000),
        weight: 10,
        new: Some(traffic(1_204, failed, 38, 121)),
        old: Some(traffic(10_920, 22, 41, 118)),
        checks: 52,
        failed_checks: u64::from(!trouble.is_empty()),
        trouble: trouble.to_owned(),
    };
    let key = AttemptKey { owner: Owner::Deployment(deployment), step: "bake 10".into(), attempt: 1 };
    sampled(model, Sample::Bake { key, at: ago(1), report });
}

pub(crate) const STEADY: [u64; 14] = [38, 41, 37, 44, 39, 40, 52, 38, 37, 41, 40, 39, 43, 38];

/// Everything is measured and well.
pub(crate) fn well(model: &mut Model) {
    for name in ["staging", "production"] {
        answers(model, name, 1, &STEADY);
        replicas(model, name, 1, |_| ());
    }
}

/// Production is on three engines: one cannot be reached, and a stranger's deployment runs on another.
pub(crate) fn on_hosts(model: &mut Model) {
    well(model);
    replicas(model, "production", 1, |sample| {
        let number = sample.key.index;
        sample.host =
            Some(["alpha", "beta", "gamma"][usize::try_from((number - 1) % 3).expect("small")].to_owned());
        sample.memory_limit = Some(512 << 20);
        sample.cpu_permille = Some(number * 17);
        sample.health = Some("healthy".to_owned());
        match number {
            2 => {
                (sample.oom, sample.restarts, sample.since) = (true, 1, ago(40));
                sample.last_exit = Some("exit code 137: ended for want of memory".to_owned());
                sample.health = Some("unhealthy".to_owned());
            }
            3 => {
                (sample.state, sample.since) = (ReplicaState::Unknown, ago(95));
                (sample.pid, sample.memory, sample.cpu_permille, sample.health) = (None, None, None, None);
            }
            _ => {}
        }
    });
    let host = |name: &str, reached: Result<&str, &str>, since, strays: &[&str]| HostSample {
        name: name.to_owned(),
        reached: reached.map(str::to_owned).map_err(str::to_owned),
        since: ago(since),
        strays: strays.iter().map(|stray| (*stray).to_owned()).collect(),
    };
    let hosts = vec![
        host("alpha", Ok("20.10.24"), 9_000, &[]),
        host(
            "beta",
            Ok("28.2.2"),
            9_000,
            &["harbor-production-web-d8-2 runs and is not meant to: web-2 of #8"],
        ),
        host("gamma", Err("connection refused"), 95, &[]),
    ];
    sampled(model, Sample::Hosts { environment: "production".into(), at: ago(1), hosts });
    let holder = Some(LeaseHolder {
        who: "jonas@build-2".to_owned(),
        what: "deployment #3 of /home/jonas/harbor".to_owned(),
        since: ago(340),
        heartbeat: ago(4),
        ours: false,
    });
    sampled(model, Sample::Lease { environment: "production".into(), at: ago(1), holder });
}

pub(crate) fn crashed_loop(sample: &mut ReplicaSample) {
    if sample.key.index == 2 && sample.release == ReleaseNumber(57) {
        sample.state = ReplicaState::Backoff;
        sample.since = ago(9);
        sample.restarts = 6;
        sample.last_exit = Some("exit code 3 after 1.2s".to_owned());
        (sample.pid, sample.memory) = (None, None);
    }
}
