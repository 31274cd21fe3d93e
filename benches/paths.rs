//! What must stay quick: deciding, folding, drawing, sanitising. Run with `cargo bench`; it prints the median of
//! many rounds and asserts nothing, for a loaded machine is no defect.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench says what it measured")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use towpath::domain::command::{Command, CommitFacts};
use towpath::domain::decide::{Input, decide};
use towpath::domain::effect::Outcome;
use towpath::domain::event::Envelope;
use towpath::domain::ids::{Actor, AttemptKey, CommitId, Owner, RunId, Seq, StepId};
use towpath::domain::plan::{Output, Verdict};
use towpath::domain::planner;
use towpath::domain::project::{
    ArtifactSettings, Judge, Pipeline, Place, Project, ProjectKind, Stage, StageWork, When,
};
use towpath::domain::state::State;
use towpath::domain::time::{Millis, Timestamp};
use towpath::text::redact::Redactor;
use towpath::text::sanitise::Sanitiser;

/// Runs of the journal that is folded: two years of ten a week.
const RUNS: u64 = 1000;

fn main() {
    let (journal, state) = history(RUNS);
    println!("{} runs, {} journal rows", RUNS, journal.len());
    report("fold the whole journal", 10, || {
        let mut state = State::default();
        journal.iter().for_each(|envelope| state.apply(envelope));
        state
    });
    report("decide on one command", 200, || {
        decide(&state, Input::Command(Command::StartRun { commit: commit(7), until: None }), Timestamp(0))
    });
    report("write and read a snapshot", 20, || {
        let json = serde_json::to_vec(&state).unwrap();
        serde_json::from_slice::<State>(&json).unwrap()
    });
    let output = "2026-11-22 14:02:31 \x1b[32mPASSED\x1b[0m shop/tests/test_cart.py::test_item [ 41%]\n"
        .repeat(10_000);
    report("sanitise and redact 10,000 lines", 20, || {
        let (mut sanitiser, mut redactor) = (Sanitiser::new(), Redactor::new(["hunter2hunter2".to_owned()]));
        let lines = sanitiser.push(output.as_bytes());
        lines.iter().map(|line| redactor.redact(line).len()).sum::<usize>()
    });
}

fn report<T>(what: &str, rounds: usize, mut work: impl FnMut() -> T) {
    let mut took: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("{what}: median {:?}, worst {:?}", took[rounds / 2], took[rounds - 1]);
}

fn commit(number: u64) -> CommitFacts {
    CommitFacts {
        id: CommitId(format!("{number:040x}")),
        subject: format!("Commit {number}"),
        author: "Marta".to_owned(),
        authored: Timestamp(0),
        tags: Vec::new(),
        branches: Vec::new(),
    }
}

fn project() -> Project {
    let stage = |index: usize| Stage {
        name: StepId(format!("step-{index}")),
        group: "test".to_owned(),
        needs: Vec::new(),
        work: StageWork::Exec { run: "true".to_owned(), place: Place::Source, judge: Judge::ExitCode },
        services: Vec::new(),
        env: BTreeMap::new(),
        timeout: Millis::minutes(15),
        retries: 0,
        when: When::Always,
    };
    Project {
        name: "harbor".to_owned(),
        kind: ProjectKind::Plain,
        root: ".".to_owned(),
        python: None,
        settings: None,
        pipeline: Pipeline::default(),
        artifact: ArtifactSettings::default(),
        stages: (0..15).map(stage).collect(),
        services: BTreeMap::new(),
        roles: BTreeMap::new(),
        environments: BTreeMap::new(),
    }
}

/// A journal of runs that passed, and the state that it folds to.
fn history(runs: u64) -> (Vec<Envelope>, State) {
    let (mut journal, mut state) = (Vec::new(), State::default());
    let mut input = |state: &mut State, input: Input| {
        for event in decide(state, input, Timestamp(0)).unwrap() {
            let envelope =
                Envelope { seq: Seq(state.seq.0 + 1), at: Timestamp(0), actor: Actor::Engine, event };
            state.apply(&envelope);
            journal.push(envelope);
        }
    };
    for number in 1..=runs {
        let run = RunId(number);
        let plan = planner::pipeline(&project(), &commit(number), &[], None).unwrap();
        input(&mut state, Input::Command(Command::StartRun { commit: commit(number), until: None }));
        input(&mut state, Input::Outcome(Outcome::Prepared { run, plan: Ok((plan, Vec::new())) }));
        for index in 0..15 {
            let key =
                AttemptKey { owner: Owner::Run(run), step: StepId(format!("step-{index}")), attempt: 1 };
            let output = Box::<Output>::default();
            input(&mut state, Input::Outcome(Outcome::Finished { key, verdict: Verdict::Passed, output }));
        }
    }
    (journal, state)
}
