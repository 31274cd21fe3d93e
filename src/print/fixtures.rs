//! What tests of deployments' words are made of: a project with two environments and three releases, and the
//! engine's own decisions about it.

use std::collections::BTreeMap;

use crate::domain::command::{Command, Promote, Refusal, Rollback};
use crate::domain::decide::{Input, decide};
use crate::domain::effect::Outcome;
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{
    Actor, ArtifactId, AttemptKey, DeploymentId, EnvironmentName, Epoch, Owner, ReleaseNumber, RunId, Seq,
    StepId,
};
use crate::domain::plan::{Cause, Output, Verdict};
use crate::domain::project::{ArtifactSettings, Environment, Pipeline, Project, ProjectKind, Role, Strategy};
use crate::domain::release::{Artifact, MigrationRef, Release, Serving};
use crate::domain::state::{Live, State};
use crate::domain::time::{Millis, Timestamp};

fn environment(after: Option<&str>, protected: bool, strategy: Strategy) -> Environment {
    Environment {
        after: after.map(EnvironmentName::from),
        protected,
        strategy,
        replicas: BTreeMap::from([("web".to_owned(), 2), ("worker".to_owned(), 1)]),
        bake: Millis::minutes(5),
        ..Environment::default()
    }
}

fn project() -> Project {
    Project {
        name: "harbor".to_owned(),
        kind: ProjectKind::Plain,
        root: ".".to_owned(),
        python: None,
        settings: None,
        pipeline: Pipeline::default(),
        artifact: ArtifactSettings::default(),
        stages: Vec::new(),
        services: BTreeMap::new(),
        roles: BTreeMap::new(),
        environments: BTreeMap::from([
            ("staging".into(), environment(None, false, Strategy::BlueGreen)),
            ("production".into(), environment(Some("staging"), true, Strategy::Canary(vec![10]))),
        ]),
    }
}

/// v1 and v2 carry the same migration, v3 one more.
fn release(number: u64) -> Release {
    let migration = |name: &str| MigrationRef { name: name.to_owned(), hash: "h".to_owned(), leaf: true };
    let mut migrations = vec![migration("shop.0001_initial")];
    migrations.extend((number == 3).then(|| migration("shop.0002_gift_card")));
    let role = || Role { stop_timeout: Millis::seconds(10), ..Role::new("x") };
    let roles = BTreeMap::from([("web".to_owned(), role()), ("worker".to_owned(), role())]);
    let digits = number.to_string().repeat(40);
    Release {
        number: ReleaseNumber(number),
        commit: digits.as_str().into(),
        subject: format!("Release \u{1b}[31m{number}"),
        version: None,
        artifact: Artifact {
            runtime: crate::domain::project::RuntimeKind::Process,
            id: ArtifactId(format!("sha256:{digits}")),
            location: "/artifacts/x".to_owned(),
            inputs: String::new(),
            bytes: 31_049_000,
            files: 1204,
        },
        run: RunId(number),
        created: Timestamp(0),
        migrations,
        findings: Vec::new(),
        serving: Serving { roles, ..Serving::default() },
    }
}

/// A state with the journal that made it, two seconds between rows.
pub(crate) struct Story {
    pub(crate) state: State,
    pub(crate) journal: Vec<Envelope>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let mut story = Self { state: State::default(), journal: Vec::new() };
        let outcome = Outcome::ProjectLoaded { project: Box::new(project()), config: "c".to_owned() };
        story.input(Input::Outcome(outcome)).unwrap();
        for number in 1..=3 {
            story.write(Event::ReleaseCreated { release: release(number) }, &Actor::Engine);
        }
        story
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.journal.last().map_or(Timestamp(0), |row| row.at)
    }

    pub(crate) fn write(&mut self, event: Event, actor: &Actor) {
        let seq = Seq(self.state.seq.0 + 1);
        let at = Timestamp(self.now().0 + 2_000);
        let envelope = Envelope { seq, at, actor: actor.clone(), event };
        self.state.apply(&envelope);
        self.journal.push(envelope);
    }

    pub(crate) fn input(&mut self, input: Input) -> Result<(), Refusal> {
        let actor = match &input {
            Input::Command(_) => Actor::Operator { name: "marta".to_owned(), terminal: "pts/3".to_owned() },
            _ => Actor::Engine,
        };
        for event in decide(&self.state, input, self.now())? {
            self.write(event, &actor);
        }
        Ok(())
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.input(Input::Command(command)).unwrap();
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.input(Input::Outcome(outcome)).unwrap();
    }

    fn newest(&self) -> DeploymentId {
        *self.state.deployments.keys().next_back().unwrap()
    }

    /// Confirms a promotion; its lease is had.
    pub(crate) fn promotes(&mut self, environment: &str, release: u64) -> DeploymentId {
        let (environment, release) = (EnvironmentName::from(environment), ReleaseNumber(release));
        let plan = self.state.preview_promotion(&environment, release).unwrap().plan;
        self.command(Command::Promote(Promote {
            confirm: environment.0.clone(),
            environment,
            release,
            plan: plan.digest,
            seen: Some(plan.parts),
            reason: "SHOP-311".to_owned(),
        }));
        let deployment = self.newest();
        self.outcome(Outcome::Lease { deployment, lease: Ok(Epoch(7)) });
        deployment
    }

    pub(crate) fn rolls_back(&mut self, environment: &str) -> DeploymentId {
        let environment = EnvironmentName::from(environment);
        let from = self.state.live(&environment).unwrap().0;
        let confirm = environment.0.clone();
        let reason = "slow".to_owned();
        self.command(Command::Rollback(Rollback { environment, from, to: None, confirm, reason }));
        let deployment = self.newest();
        self.outcome(Outcome::Lease { deployment, lease: Ok(Epoch(8)) });
        deployment
    }

    /// The step that runs; `None` when none does.
    pub(crate) fn open(&self, deployment: DeploymentId) -> Option<StepId> {
        let steps = self.state.deployments[&deployment].steps.iter();
        steps.filter(|(_, state)| state.is_open()).map(|(step, _)| step.clone()).next()
    }

    pub(crate) fn ends(&mut self, deployment: DeploymentId, verdict: Verdict, facts: &[&str]) {
        let step = self.open(deployment).unwrap();
        let attempt = self.state.deployments[&deployment].steps[&step].attempt;
        let facts = facts.iter().map(|fact| (*fact).to_owned()).collect();
        self.outcome(Outcome::Finished {
            key: AttemptKey { owner: Owner::Deployment(deployment), step, attempt },
            verdict,
            output: Box::new(Output { facts, ..Output::default() }),
        });
    }

    /// Lets every step pass, up to the named one (exclusive).
    pub(crate) fn walks(&mut self, deployment: DeploymentId, until: Option<&str>) {
        while let Some(step) = self.open(deployment) {
            if Some(step.as_str()) == until {
                return;
            }
            self.ends(deployment, Verdict::Passed, &[]);
        }
    }

    pub(crate) fn sees(&mut self, deployment: DeploymentId, live: Option<DeploymentId>, healthy: bool) {
        let environment = self.state.deployments[&deployment].environment.clone();
        let live = live.map(|deployment| Live { deployment, healthy });
        self.outcome(Outcome::EnvironmentObserved { environment, deployment, live });
    }

    pub(crate) fn goes_live(&mut self, environment: &str, release: u64) -> DeploymentId {
        let deployment = self.promotes(environment, release);
        self.walks(deployment, None);
        self.sees(deployment, Some(deployment), true);
        deployment
    }

    /// A step's end that has everything a cause can have.
    pub(crate) fn failure() -> Verdict {
        Verdict::Failed(Cause {
            summary: "web-2 does not answer".to_owned(),
            expected: "an answer below 500 within 1m00s".to_owned(),
            measured: "connection refused".to_owned(),
            exit_code: None,
            last_lines: vec!["\u{1b}[31mModuleNotFoundError: giftcards\u{1b}[0m".to_owned()],
            cure: "Look at its log.".to_owned(),
        })
    }
}
