//! Which run a row belongs to.

use crate::domain::event::Event;
use crate::domain::ids::{Owner, RunId};

/// The run that an event is part of the story of; `None` for what concerns the project or a deployment.
#[must_use]
pub const fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::RunQueued { run, .. }
        | Event::RunSuperseded { run, .. }
        | Event::RunStarted { run }
        | Event::RunPlanned { run, .. }
        | Event::RunUnplannable { run, .. }
        | Event::RunHeld { run, .. }
        | Event::RunCancelled { run, .. }
        | Event::RunReopened { run }
        | Event::RunFinished { run, .. } => Some(*run),
        Event::StepStarted { key } | Event::StepTimedOut { key } | Event::StepFinished { key, .. } => {
            of_owner(key.owner)
        }
        Event::StepAcknowledged { owner, .. } => of_owner(*owner),
        Event::ReleaseCreated { release } => Some(release.run),
        Event::EngineStarted { .. }
        | Event::ProjectLoaded { .. }
        | Event::BranchSeen { .. }
        | Event::DeploymentCreated { .. }
        | Event::WayBackFixed { .. }
        | Event::LeaseAcquired { .. }
        | Event::LeaseDenied { .. }
        | Event::DeploymentHeld { .. }
        | Event::DeploymentResumed { .. }
        | Event::EnvironmentObserved { .. }
        | Event::DeploymentStepsEnded { .. }
        | Event::DeploymentFinished { .. } => None,
    }
}

const fn of_owner(owner: Owner) -> Option<RunId> {
    match owner {
        Owner::Run(run) => Some(run),
        Owner::Deployment(_) => None,
    }
}
