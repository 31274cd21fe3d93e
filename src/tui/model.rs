//! What the console knows. Pure data: no IO, no clock.

use jiff::tz::TimeZone;

use super::field::Field;
use super::log::LogView;
use super::logs::Stream;
pub use super::message::{Asked, Msg, Request};
use super::places::{Places, Row};
use super::promote::PromoteDialog;
use super::rollback::RollbackDialog;
use super::samples::Samples;
use super::theme::{Colours, Theme};
use super::word::WordDialog;
use crate::domain::ids::{AttemptKey, RunId, StepId};
use crate::domain::query::CommitRow;
use crate::domain::state::{DeploymentPhase, Run, RunPhase, State, StepPhase, StepState};
use crate::domain::time::{Millis, Timestamp};
use crate::wire::protocol::Viewer;

/// How many commits the picker asks for.
pub const COMMITS: u32 = 200;

/// Whether there is an engine to talk to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Not yet: no snapshot has come.
    Opening,
    /// Yes.
    Up,
    /// No.
    Lost {
        /// The moment up to which what is shown is true.
        since: Timestamp,
        /// One sentence.
        why: String,
        /// When it is tried again.
        again: Timestamp,
    },
}

/// Which screen is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A commit's way to a release.
    Pipeline,
    /// What is live where, and how it gets there.
    Environments,
    /// What the replicas and the deployments of an environment say.
    Logs,
}

/// The screens that there are, with their keys, in their order.
pub const SCREENS: [(Screen, char, &str); 3] = [
    (Screen::Pipeline, '1', "Pipeline"),
    (Screen::Environments, '2', "Environments"),
    (Screen::Logs, '4', "Logs"),
];

/// Which part has the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The list of steps.
    Steps,
    /// What is to say of the selected step: the second page of a narrow terminal.
    Detail,
    /// The selected step's log.
    Log,
}

/// What a line of news means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It was done.
    Done,
    /// It was refused, or went wrong.
    Trouble,
}

/// The last thing that a key led to, until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// What it means.
    pub tone: Tone,
    /// One sentence.
    pub text: String,
}

/// The commits to pick from.
#[derive(Debug, Clone, Default)]
pub struct Commits {
    /// Newest first; `None` while they are asked for.
    pub rows: Option<Vec<CommitRow>>,
    /// Why they could not be had.
    pub trouble: Option<String>,
    /// Which of the lines that are shown is selected.
    pub at: usize,
    /// Whether the list was opened and its answer is still to come.
    pub opened: bool,
}

/// What lies over the screen.
#[derive(Debug, Clone)]
pub enum Dialog {
    /// Every key.
    Help {
        /// The first line that is shown.
        top: usize,
    },
    /// Every action, by its name.
    Palette {
        /// What was typed.
        field: Field,
        /// Which of the lines that are shown is selected.
        at: usize,
    },
    /// A commit to start a run for.
    Picker {
        /// What was typed.
        field: Field,
    },
    /// A run to look at.
    Runs {
        /// Which line is selected, newest run first.
        at: usize,
    },
    /// How to cancel.
    Cancel {
        /// Which run.
        run: RunId,
        /// With the running steps.
        now: bool,
    },
    /// Why an inconclusive check is acceptable.
    Acknowledge {
        /// Which run.
        run: RunId,
        /// Which step.
        step: StepId,
        /// The reason.
        field: Field,
    },
    /// What was noticed.
    Findings {
        /// The first line that is shown.
        top: usize,
    },
    /// A release to an environment.
    Promote(Box<PromoteDialog>),
    /// The way back.
    Rollback(Box<RollbackDialog>),
    /// A word to a deployment under way.
    Word(Box<WordDialog>),
    /// Somebody else's lease.
    Lease(Box<super::lease::LeaseDialog>),
}

/// Everything the console knows.
#[derive(Debug, Clone)]
pub struct Model {
    /// The project's name until the engine says it.
    pub name: String,
    /// What is true, as far as the engine has told.
    pub state: State,
    /// Who is attached.
    pub viewers: Vec<Viewer>,
    /// The moment.
    pub now: Timestamp,
    /// The viewer's zone.
    pub zone: TimeZone,
    /// The terminal's columns and rows.
    pub size: (u16, u16),
    /// Whether the terminal has the person's attention.
    pub attention: bool,
    /// How things look.
    pub theme: Theme,
    /// Whether there is an engine to talk to.
    pub link: Link,
    /// When the engine last said anything.
    pub heard: Timestamp,
    /// Which screen is looked at.
    pub screen: Screen,
    /// What was last measured.
    pub samples: Samples,
    /// What is selected on the Environments screen.
    pub places: Places,
    /// The merged log of an environment.
    pub stream: Stream,
    /// The run that a person chose to look at; `None` looks at the newest open one.
    pub chosen_run: Option<RunId>,
    /// The step that a person chose; `None` goes with what happens.
    pub chosen_step: Option<StepId>,
    /// Which part has the keys.
    pub focus: Focus,
    /// The log that is looked at.
    pub log: LogView,
    /// Whether the log has the whole width while it has the keys.
    pub zoom: bool,
    /// The commits to pick from.
    pub commits: Commits,
    /// What lies over the screen.
    pub dialog: Option<Dialog>,
    /// The last thing that a key led to.
    pub news: Option<News>,
    /// Whether a shell has the terminal.
    pub shell: bool,
}

impl Model {
    /// A console that has heard nothing yet.
    #[must_use]
    pub fn new(name: &str, theme: Theme, size: (u16, u16), now: Timestamp, zone: TimeZone) -> Self {
        Self {
            name: name.to_owned(),
            state: State::default(),
            viewers: Vec::new(),
            now,
            zone,
            size,
            attention: true,
            theme,
            link: Link::Opening,
            heard: now,
            screen: Screen::Pipeline,
            samples: Samples::default(),
            places: Places::default(),
            stream: Stream::default(),
            chosen_run: None,
            chosen_step: None,
            focus: Focus::Steps,
            log: LogView { follow: true, ..LogView::default() },
            zoom: false,
            commits: Commits::default(),
            dialog: None,
            news: None,
            shell: false,
        }
    }

    /// The run that is looked at: the chosen one, else the newest that is under way, else the newest.
    #[must_use]
    pub fn run_id(&self) -> Option<RunId> {
        if let Some(run) = self.chosen_run.filter(|run| self.state.runs.contains_key(run)) {
            return Some(run);
        }
        let under_way = |run: &Run| !matches!(run.phase, RunPhase::Ended(_) | RunPhase::Queued);
        let newest = self.state.runs.iter().rev();
        newest.clone().find(|(_, run)| under_way(run)).or_else(|| newest.clone().next()).map(|(id, _)| *id)
    }

    /// The run that is looked at.
    #[must_use]
    pub fn run(&self) -> Option<(RunId, &Run)> {
        let id = self.run_id()?;
        self.state.runs.get(&id).map(|run| (id, run))
    }

    /// The steps of the run or the deployment that is looked at.
    #[must_use]
    pub fn steps(&self) -> Vec<(&crate::domain::plan::Step, &StepState)> {
        self.owner().map(|owner| self.state.steps(owner)).unwrap_or_default()
    }

    /// The selected step: the chosen one, else the one that wants to be looked at.
    #[must_use]
    pub fn step(&self) -> Option<(&crate::domain::plan::Step, &StepState)> {
        let steps = self.steps();
        let chosen = match (self.screen, &self.places.row) {
            (Screen::Environments, Some(Row::Step(step))) => Some(step),
            (Screen::Environments, _) => None,
            (Screen::Pipeline | Screen::Logs, _) => self.chosen_step.as_ref(),
        };
        if let Some(chosen) = chosen
            && let Some(found) = steps.iter().find(|(step, _)| &step.id == chosen)
        {
            return Some(*found);
        }
        let first = |wanted: fn(&StepState) -> bool| steps.iter().find(|(_, at)| wanted(at)).copied();
        first(|at| matches!(at.phase, StepPhase::Failed { .. }))
            .or_else(|| first(StepState::is_open))
            .or_else(|| first(StepState::wants_acknowledgement))
            .or_else(|| {
                // Nothing special: what ended last, else the first.
                steps.iter().filter(|(_, at)| at.ended.is_some()).max_by_key(|(_, at)| at.ended).copied()
            })
            .or_else(|| steps.first().copied())
    }

    /// The attempt whose log belongs to the selected step.
    #[must_use]
    pub fn attempt(&self) -> Option<(AttemptKey, bool)> {
        let owner = self.owner()?;
        let (step, at) = self.step()?;
        (at.attempt > 0).then(|| {
            let key = AttemptKey { owner, step: step.id.clone(), attempt: at.attempt };
            (key, at.is_open())
        })
    }

    /// Whether the selected step failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.step().is_some_and(|(_, at)| matches!(at.phase, StepPhase::Failed { .. }))
    }

    /// Whether there is more to say of the selected step than its log.
    #[must_use]
    pub fn has_card(&self) -> bool {
        self.step().is_none_or(|(_, at)| match at.phase {
            StepPhase::Failed { .. } | StepPhase::Inconclusive { .. } => true,
            _ => at.attempt == 0,
        })
    }

    /// The moment that what is shown is true for: durations stand still while there is no engine.
    #[must_use]
    pub fn shown_at(&self) -> Timestamp {
        match &self.link {
            Link::Lost { since, .. } => *since,
            Link::Opening | Link::Up => self.now,
        }
    }

    /// Whether something moves with the clock, second by second.
    #[must_use]
    pub fn moves(&self) -> bool {
        matches!(self.link, Link::Lost { .. })
            || self
                .state
                .runs
                .values()
                .any(|run| !matches!(run.phase, RunPhase::Ended(_) | RunPhase::Held | RunPhase::Queued))
            || self
                .state
                .deployments
                .values()
                .any(|one| !matches!(one.phase, DeploymentPhase::Ended(_) | DeploymentPhase::Held { .. }))
    }

    /// How long a step of what is looked at is likely to take.
    #[must_use]
    pub fn usual(&self, step: &crate::domain::plan::Step) -> Option<Millis> {
        match self.screen {
            Screen::Environments => {
                let (_, deployment) = self.deployment()?;
                self.state.deployment_estimate(&deployment.environment, step)
            }
            Screen::Pipeline | Screen::Logs => self.state.estimate(&step.id),
        }
    }

    /// What was noticed in the run that is looked at: of the plan, then of each step.
    #[must_use]
    pub fn findings(&self) -> Vec<(Option<&StepId>, &crate::domain::finding::Finding)> {
        let Some((_, run)) = self.run() else { return Vec::new() };
        let planned = run.findings.iter().map(|finding| (None, finding));
        let noticed = self
            .steps()
            .into_iter()
            .flat_map(|(step, at)| at.output.findings.iter().map(move |finding| (Some(&step.id), finding)));
        let mut all: Vec<_> = planned.chain(noticed).collect();
        all.sort_by_key(|(_, finding)| std::cmp::Reverse(finding.severity));
        all
    }

    /// The project's name.
    #[must_use]
    pub fn project(&self) -> &str {
        self.state.project.as_ref().map_or(self.name.as_str(), |project| project.name.as_str())
    }

    /// Whether colours may be drawn.
    #[must_use]
    pub fn colours(&self) -> bool {
        self.theme.colours != Colours::None
    }

    /// A moment on the viewer's clock, `HH:MM:SS`.
    #[must_use]
    pub fn clock(&self, at: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(at.0).map_or_else(
            |_| "--:--:--".to_owned(),
            |moment| {
                let time = moment.to_zoned(self.zone.clone()).time();
                format!("{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
            },
        )
    }

    /// How long ago a moment was, as people say it: `just now`, `4m ago`, `2h ago`, `3d ago`.
    #[must_use]
    pub fn ago(&self, at: Timestamp) -> String {
        let seconds = self.now.since(at).0 / 1000;
        match seconds {
            0..60 => "just now".to_owned(),
            60..3600 => format!("{}m ago", seconds / 60),
            3600..86_400 => format!("{}h ago", seconds / 3600),
            _ => format!("{}d ago", seconds / 86_400),
        }
    }
}
