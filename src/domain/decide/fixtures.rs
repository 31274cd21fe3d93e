//! What tests of decisions are made of.

use std::collections::BTreeMap;

use super::{Draft, Input, decide};
use crate::domain::command::{Command, CommitFacts, Promote, Refusal};
use crate::domain::effect::Outcome;
use crate::domain::event::{Envelope, Event};
use crate::domain::ids::{
    Actor, ArtifactId, AttemptKey, CommitId, EnvironmentName, Owner, ReleaseNumber, RunId, Seq, StepId,
};
use crate::domain::plan::{Output, Plan, Verdict};
use crate::domain::planner;
use crate::domain::project::{
    ArtifactSettings, Environment, Judge, Pipeline, Place, Project, ProjectKind, Stage, StageWork, Strategy,
    When,
};
use crate::domain::release::{Artifact, MigrationRef, Release};
use crate::domain::state::State;
use crate::domain::time::{Millis, Timestamp};

pub(super) fn commit(digit: char) -> CommitFacts {
    CommitFacts {
        id: CommitId(digit.to_string().repeat(40)),
        subject: format!("Commit {digit}"),
        author: "Marta".to_owned(),
        authored: Timestamp(0),
        tags: Vec::new(),
        branches: vec!["main".to_owned()],
    }
}

pub(super) fn stage(name: &str, needs: &[&str]) -> Stage {
    Stage {
        name: name.into(),
        group: name.to_owned(),
        needs: needs.iter().map(|need| StepId::from(*need)).collect(),
        work: match name {
            "candidate" => StageWork::Candidate,
            _ => StageWork::Exec { run: "true".to_owned(), place: Place::Source, judge: Judge::ExitCode },
        },
        services: Vec::new(),
        env: BTreeMap::new(),
        timeout: Millis::minutes(15),
        retries: 0,
        when: When::Always,
    }
}

pub(super) fn environment(after: Option<&str>, protected: bool, strategy: Strategy) -> Environment {
    Environment {
        after: after.map(EnvironmentName::from),
        protected,
        strategy,
        replicas: BTreeMap::from([("web".to_owned(), 2), ("worker".to_owned(), 1)]),
        bake: Millis::minutes(5),
        ..Environment::default()
    }
}

pub(super) fn project() -> Project {
    Project {
        name: "harbor".to_owned(),
        kind: ProjectKind::Plain,
        root: ".".to_owned(),
        python: None,
        settings: None,
        pipeline: Pipeline { branch: Some("main".to_owned()), ..Pipeline::default() },
        artifact: ArtifactSettings::default(),
        stages: vec![
            stage("install", &[]),
            stage("lint", &["install"]),
            stage("audit", &["install"]),
            stage("candidate", &["lint", "audit"]),
            stage("test", &["candidate"]),
        ],
        services: BTreeMap::new(),
        roles: BTreeMap::new(),
        environments: BTreeMap::from([
            ("staging".into(), environment(None, false, Strategy::Rolling)),
            ("production".into(), environment(Some("staging"), true, Strategy::Canary(vec![10, 50]))),
        ]),
    }
}

pub(super) fn artifact(id: &str) -> Artifact {
    Artifact {
        runtime: crate::domain::project::RuntimeKind::Process,
        id: ArtifactId(format!("sha256:{id}")),
        location: String::new(),
        inputs: id.to_owned(),
        bytes: 1,
        files: 1,
    }
}

pub(super) fn release(number: u64, migrations: &[&str]) -> Release {
    let migration = |name: &&str| MigrationRef { name: (*name).to_owned(), hash: "h".to_owned(), leaf: true };
    Release {
        number: ReleaseNumber(number),
        commit: commit(char::from_digit(u32::try_from(number % 10).unwrap(), 10).unwrap()).id,
        subject: format!("Release {number}"),
        version: None,
        artifact: artifact(&number.to_string()),
        run: RunId(number),
        created: Timestamp(0),
        migrations: migrations.iter().map(migration).collect(),
        findings: Vec::new(),
        serving: crate::domain::release::Serving::default(),
    }
}

/// A state that remembers the journal that made it.
pub(super) struct World {
    pub(super) state: State,
    pub(super) journal: Vec<Envelope>,
    pub(super) now: i64,
}

impl World {
    /// A project with staging and production, nothing has happened.
    pub(super) fn new() -> Self {
        let mut world = Self { state: State::default(), journal: Vec::new(), now: 0 };
        world.outcome(Outcome::ProjectLoaded { project: Box::new(project()), config: "c1".to_owned() });
        world
    }

    /// The same with two releases of the same schema and one with another.
    pub(super) fn with_releases() -> Self {
        let mut world = Self::new();
        for release in
            [release(1, &["shop.0001"]), release(2, &["shop.0001"]), release(3, &["shop.0001", "shop.0002"])]
        {
            world.write(vec![Event::ReleaseCreated { release }]);
        }
        world
    }

    pub(super) fn write(&mut self, events: Vec<Event>) {
        for event in events {
            let seq = Seq(self.state.seq.0 + 1);
            let envelope = Envelope { seq, at: Timestamp(self.now), actor: Actor::Engine, event };
            self.state.apply(&envelope);
            self.journal.push(envelope);
        }
    }

    pub(super) fn input(&mut self, input: Input) -> Result<Vec<Event>, Refusal> {
        self.now += 1000;
        let events = decide(&self.state, input, Timestamp(self.now))?;
        self.write(events.clone());
        Ok(events)
    }

    pub(super) fn command(&mut self, command: Command) -> Result<Vec<Event>, Refusal> {
        self.input(Input::Command(command))
    }

    pub(super) fn outcome(&mut self, outcome: Outcome) -> Vec<Event> {
        self.input(Input::Outcome(outcome)).unwrap()
    }

    /// Starts a run of a commit and plans it.
    pub(super) fn run(&mut self, digit: char) -> RunId {
        self.command(Command::StartRun { commit: commit(digit), until: None }).unwrap();
        let run = *self.state.runs.keys().next_back().unwrap();
        self.plan(run);
        run
    }

    pub(super) fn plan(&mut self, run: RunId) {
        let plan = planner::pipeline(&project(), &self.state.runs[&run].commit.clone(), &[], None).unwrap();
        self.outcome(Outcome::Prepared { run, plan: Ok((plan, Vec::new())) });
    }

    pub(super) fn ends(&mut self, owner: Owner, step: &str, verdict: Verdict) -> Vec<Event> {
        self.ends_with(owner, step, verdict, Output::default())
    }

    pub(super) fn ends_with(
        &mut self,
        owner: Owner,
        step: &str,
        verdict: Verdict,
        output: Output,
    ) -> Vec<Event> {
        let step = StepId::from(step);
        let states = match owner {
            Owner::Run(run) => &self.state.runs[&run].steps,
            Owner::Deployment(deployment) => &self.state.deployments[&deployment].steps,
        };
        let attempt = states[&step].attempt;
        let key = AttemptKey { owner, step, attempt };
        self.outcome(Outcome::Finished { key, verdict, output: Box::new(output) })
    }

    /// Confirms a promotion as an operator who has looked at today's plan would.
    pub(super) fn promote(&mut self, environment: &str, release: u64) -> Result<Vec<Event>, Refusal> {
        let promote = self.promotion(environment, release);
        self.command(Command::Promote(promote))
    }

    pub(super) fn promotion(&self, environment: &str, release: u64) -> Promote {
        let plan = self.preview(environment, release);
        Promote {
            environment: environment.into(),
            release: ReleaseNumber(release),
            plan: plan.digest,
            seen: Some(plan.parts),
            confirm: environment.to_owned(),
            reason: "why not".to_owned(),
        }
    }

    pub(super) fn preview(&self, environment: &str, release: u64) -> Plan {
        let name = environment.into();
        let settings = self.state.environment(&name).unwrap();
        planner::deployment(&self.state, &name, settings, &self.state.releases[&ReleaseNumber(release)])
    }

    /// The events that make one state from another, folded from nothing.
    pub(super) fn folded(&self) -> State {
        let mut state = State::default();
        self.journal.iter().for_each(|envelope| state.apply(envelope));
        state
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.events)
    }
}
