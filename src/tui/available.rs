//! Whether an action can be done now, and why not.

use super::action::Action;
use super::arrange;
use super::lease;
use super::model::{Focus, Link, Model, Screen};
use super::places::Row;
use super::target::{self, Word};
use crate::domain::state::{RunPhase, StepPhase};

impl Action {
    /// Whether it can be done now.
    ///
    /// # Errors
    /// Why not, in a few words.
    pub fn availability(self, model: &Model) -> Result<(), &'static str> {
        let need = |holds: bool, reason: &'static str| if holds { Ok(()) } else { Err(reason) };
        let linked = || need(model.link == Link::Up, "no engine");
        let step = model.step();
        // What is a run's belongs to the screen of runs, whichever key has it elsewhere.
        let runs = matches!(
            self,
            Self::NewRun | Self::StartCommit | Self::Cancel | Self::Retry | Self::Shell | Self::Acknowledge
        ) || matches!(
            self,
            Self::Findings | Self::Bundle | Self::Runs | Self::OlderRun | Self::NewerRun | Self::Live
        );
        if runs && model.screen != Screen::Pipeline {
            return Err("it is of a run: see 1 Pipeline");
        }
        match self {
            Self::NewRun => linked(),
            Self::StartCommit => {
                linked()?;
                need(model.run_id().is_none(), "there are runs: n picks a commit")?;
                need(model.commits.rows.as_ref().is_some_and(|rows| !rows.is_empty()), "no commits")
            }
            Self::Cancel => {
                linked()?;
                let (_, run) = model.run().ok_or("no run")?;
                match run.phase {
                    RunPhase::Ended(_) => Err("it has ended"),
                    RunPhase::Cancelling { now: true } => Err("it is stopping"),
                    _ => Ok(()),
                }
            }
            Self::Retry => {
                linked()?;
                let (_, at) = step.ok_or("no step")?;
                match at.phase {
                    StepPhase::Failed { .. } | StepPhase::Inconclusive { .. } | StepPhase::Cancelled => {
                        Ok(())
                    }
                    StepPhase::Running | StepPhase::Observing => Err("it runs"),
                    StepPhase::Waiting => Err("it has not run"),
                    StepPhase::Passed => Err("it passed"),
                    StepPhase::Skipped { .. } => Err("it is skipped"),
                }
            }
            Self::Shell => {
                let (_, at) = step.ok_or("no step")?;
                need(
                    matches!(at.phase, StepPhase::Failed { .. } | StepPhase::Inconclusive { .. }),
                    "it did not fail",
                )?;
                need(at.output.kept.is_some(), "nothing was kept")
            }
            Self::Acknowledge => {
                linked()?;
                let (_, at) = step.ok_or("no step")?;
                need(matches!(at.phase, StepPhase::Inconclusive { .. }), "not inconclusive")?;
                need(at.acknowledged.is_none(), "it was acknowledged")
            }
            Self::OpenLog
                if matches!(model.row(), Some(Row::Deployment(_)))
                    && model.screen == Screen::Environments =>
            {
                Ok(())
            }
            Self::OpenLog => {
                step.ok_or("no step")?;
                need(model.attempt().is_some() || model.has_card(), "it has not run")
            }
            Self::Search | Self::Follow | Self::Wrap | Self::Times | Self::Copy
                if model.screen == Screen::Logs =>
            {
                need(!model.stream.lines.is_empty(), "no log yet")
            }
            Self::NextHit | Self::PreviousHit if model.screen == Screen::Logs => {
                need(!model.stream.query.is_empty(), "nothing is searched for")?;
                need(!model.stream.hits().is_empty(), "not found")
            }
            Self::Back if model.screen == Screen::Logs => {
                need(!model.stream.query.is_empty(), "nothing to go back from")
            }
            Self::Sources => {
                need(model.stream.sources.as_ref().is_some_and(|all| !all.is_empty()), "there are none")
            }
            Self::OtherPlace => need(model.environments().len() > 1, "there is no other"),
            Self::ShowLogs => Ok(()),
            Self::Search | Self::Follow | Self::Wrap | Self::Zoom | Self::Times | Self::Copy => {
                need(model.attempt().is_some(), "no log yet")
            }
            Self::NextHit | Self::PreviousHit => {
                let hits = model.log.hits.as_ref().ok_or("nothing is searched for")?;
                need(hits.complete || !hits.lines.is_empty(), "it is being searched for")?;
                need(!hits.lines.is_empty(), "not found")
            }
            Self::Promote => linked().and_then(|()| target::promotion(model).map(|_| ())),
            Self::Rollback => linked().and_then(|()| target::rollback(model).map(|_| ())),
            Self::GoOn => linked().and_then(|()| target::spoken_to(model, Word::Go).map(|_| ())),
            Self::Hold => linked().and_then(|()| target::spoken_to(model, Word::Hold).map(|_| ())),
            Self::Leave => linked().and_then(|()| target::spoken_to(model, Word::Leave).map(|_| ())),
            Self::BreakLease => linked().and_then(|()| lease::foreign(model).map(|_| ())),
            Self::Bundle => {
                let (_, at) = step.ok_or("no step")?;
                need(at.attempt > 0, "it has not run")?;
                need(!at.is_open(), "it runs")
            }
            Self::Findings => need(!model.findings().is_empty(), "none"),
            Self::Runs => need(!model.state.runs.is_empty(), "no run yet"),
            Self::OlderRun => {
                let here = model.run_id().ok_or("no run yet")?;
                need(model.state.runs.range(..here).next().is_some(), "the first")
            }
            Self::NewerRun => {
                let here = model.run_id().ok_or("no run yet")?;
                need(model.state.runs.range(here..).nth(1).is_some(), "the newest")
            }
            Self::Live => need(model.chosen_run.is_some() || model.chosen_step.is_some(), "it does already"),
            Self::Back => {
                let inside = model.screen == Screen::Environments && model.places.open;
                need(
                    inside || model.focus != Focus::Steps || model.log.hits.is_some(),
                    "nothing to go back from",
                )
            }
            Self::Reconnect => need(model.link != Link::Up, "the engine is here"),
            Self::Up | Self::Down | Self::PageUp | Self::PageDown | Self::First | Self::Last => Ok(()),
            Self::NextPlace | Self::PreviousPlace => {
                need(model.environments().len() > 1, "there is no other")
            }
            Self::OpenPlace => need(!model.environments().is_empty(), "no environment is configured"),
            Self::Replicas => need(!arrange::is_one_page(model), "they are in sight"),
            Self::ShowPipeline | Self::ShowEnvironments | Self::NextScreen => Ok(()),
            Self::Help | Self::Palette | Self::Redraw | Self::Suspend | Self::Quit => Ok(()),
        }
    }
}
