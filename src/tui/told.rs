//! What the engine tells: what happened, who is there, what came of what was asked.

use super::model::{Asked, COMMITS, Commits, Dialog, Link, Model, News, Request, Tone};
use super::update::show_run;
use super::{deploying, dialog, streaming};
use crate::domain::command::Command;
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::domain::query::{Answer, Query};
use crate::domain::state::RunPhase;
use crate::wire::protocol::{FromEngine, Reply};

pub(super) fn push(model: &mut Model, pushed: FromEngine, requests: &mut Vec<Request>) {
    model.heard = model.now;
    match pushed {
        FromEngine::Snapshot { state } => {
            model.state = *state;
            model.samples.clear();
            model.stream.known = None;
            model.link = Link::Up;
            if !model.log.read {
                // It may have been asked for while there was no engine to say where it is.
                model.log.key = None;
            }
            deploying::reconnected(model, requests);
            if model.run_id().is_none() || model.commits.rows.is_some() {
                requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
            }
        }
        FromEngine::Happened { envelope } => {
            if envelope.seq <= model.state.seq {
                return;
            }
            model.state.apply(&envelope);
            deploying::moved(model, &envelope.event, requests);
            let over = matches!(envelope.event, Event::RunFinished { .. } | Event::RunHeld { .. });
            // What a key led to is old news once the run has come further.
            let further = over || matches!(envelope.event, Event::StepFinished { .. });
            if further && model.news.as_ref().is_some_and(|news| news.tone == Tone::Done) {
                model.news = None;
            }
            if over && !model.attention {
                requests.push(Request::Bell);
            }
            if over && matches!(model.dialog, Some(Dialog::Picker { .. })) {
                requests.push(Request::Ask(Query::Commits { limit: COMMITS }));
            }
        }
        FromEngine::Present { viewers } => model.viewers = viewers,
        // A farewell comes again as the reason of the lost connection, and goes with it.
        FromEngine::Sampled { sample } => model.samples.take(sample),
        FromEngine::Bye { .. } | FromEngine::Welcome { .. } | FromEngine::Reply { .. } => {}
    }
}

pub(super) fn answer(model: &mut Model, request: Asked, reply: Reply, requests: &mut Vec<Request>) {
    let trouble = |text: String| Some(News { tone: Tone::Trouble, text });
    if let Asked::Command(command) = &request
        && deploying::answered(model, command, &reply, requests)
    {
        return;
    }
    match (request, reply) {
        (Asked::Command(command), Reply::Done { rows }) => {
            let queued = rows.iter().find_map(|row| match &row.event {
                Event::RunQueued { run, .. } => Some(*run),
                _ => None,
            });
            if let Some(run) = queued {
                show_run(model, Some(run));
            }
            // An answer may come after what it led to: that a run has ended is more than that it was asked to go on.
            let over = about(&command)
                .and_then(|run| model.state.runs.get(&run))
                .is_some_and(|run| matches!(run.phase, RunPhase::Ended(_)));
            let text = deploying::done(model, &command, &rows).unwrap_or_else(|| done(&command, queued));
            model.news = (!over).then_some(News { tone: Tone::Done, text });
        }
        (Asked::Command(_), Reply::Refused { refusal }) => {
            let text = if refusal.hint.is_empty() {
                refusal.message
            } else {
                format!("{} {}", refusal.message, refusal.hint)
            };
            model.news = trouble(text);
        }
        (Asked::Query(Query::Commits { .. }), Reply::Answer { answer }) => {
            if let Answer::Commits { commits } = *answer {
                // The selection stays on its commit while new ones come in above; a list that was just opened
                // begins with the newest.
                let opened = model.commits.opened && model.commits.at == 0;
                let chosen = dialog::listed(model).get(model.commits.at).map(|row| row.commit.id.clone());
                model.commits = Commits { rows: Some(commits), ..Commits::default() };
                let rows = dialog::listed(model);
                let at = rows.iter().position(|row| !opened && Some(&row.commit.id) == chosen.as_ref());
                model.commits.at = at.unwrap_or(0);
            }
        }
        (Asked::Query(Query::Commits { .. }), Reply::Failed { message }) => {
            model.commits.trouble = Some(message);
        }
        (Asked::Query(Query::Resolve { .. }), Reply::Answer { answer }) => {
            if let Answer::Resolved { commit } = *answer {
                requests.push(Request::Send(Command::StartRun { commit, until: None }));
            }
        }
        (Asked::Query(query @ (Query::PreviewPromotion { .. } | Query::PreviewRollback { .. })), reply) => {
            deploying::previewed(model, &query, reply, requests);
        }
        (Asked::Query(Query::Sources { environment }), Reply::Answer { answer }) => {
            if let Answer::Sources { sources } = *answer {
                streaming::sources(model, &environment, sources, requests);
            }
        }
        (Asked::Query(Query::Sources { .. }), Reply::Failed { message }) => {
            model.stream.trouble = Some(message);
        }
        (_, Reply::Failed { message }) => model.news = trouble(message),
        (Asked::Query(_), Reply::Refused { refusal }) => model.news = trouble(refusal.message),
        (Asked::Command(_), Reply::Answer { .. }) | (Asked::Query(_), _) => {}
    }
}

/// The run that a command is about, when there was one before it.
const fn about(command: &Command) -> Option<RunId> {
    match command {
        Command::CancelRun { run, .. }
        | Command::RetryStep { run, .. }
        | Command::Acknowledge { run, .. } => Some(*run),
        _ => None,
    }
}

fn done(command: &Command, queued: Option<RunId>) -> String {
    match command {
        Command::StartRun { commit, .. } => match queued {
            Some(run) => format!("Run {run} walks {}.", commit.id.short()),
            None => format!("A run was asked for {}.", commit.id.short()),
        },
        Command::CancelRun { run, now: false } => {
            format!("Run {run} stops when its running steps have ended.")
        }
        Command::CancelRun { run, now: true } => format!("Run {run} is being stopped."),
        Command::RetryStep { run, step } => format!("{step} of run {run} is tried again."),
        Command::Acknowledge { run, step, .. } => format!("{step} of run {run} is acknowledged."),
        Command::Promote(_)
        | Command::Rollback(_)
        | Command::Go { .. }
        | Command::Hold { .. }
        | Command::Back { .. }
        | Command::BreakLease { .. }
        | Command::Leave { .. } => "Done.".to_owned(),
    }
}
