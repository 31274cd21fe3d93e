//! What is really live: asked through the router where there is one, otherwise of the replicas that should be.

use std::time::Duration;

pub use super::healthy::{ask, ask_through};
use crate::domain::health::ReplicaState;
use crate::domain::ids::{DeploymentId, ReplicaKey};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::{Environment, Router};
use crate::domain::state::Live;
use crate::probe::http::Prober;
use crate::router::nginx::labelled;
use crate::runtime::fleet::Fleet;

/// How long it is tried to get a good answer before a bad one counts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(250);

/// Looks at what is live. `running` is what is meant to live; `given` who has the traffic by the record, for an
/// environment without a router. `None` when nothing of ours answers.
pub async fn live(
    settings: &Environment,
    fleet: &Fleet,
    running: &[ReplicaKey],
    given: &[DeploymentId],
) -> Option<Live> {
    let prober = Prober::new().ok()?;
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut seen = None;
    loop {
        seen = look(&prober, settings, fleet, running, given).await.or(seen);
        if seen.as_ref().is_some_and(|live| live.healthy) || tokio::time::Instant::now() > until {
            return seen;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn look(
    prober: &Prober,
    settings: &Environment,
    fleet: &Fleet,
    running: &[ReplicaKey],
    given: &[DeploymentId],
) -> Option<Live> {
    if let (Router::Nginx(_), Some(url)) = (&settings.router, &settings.url) {
        let answer = prober.ask(&ask_through(url, &settings.health, ANSWER)).await;
        let deployment = answer.deployment.as_deref().and_then(labelled)?;
        return Some(Live { deployment, healthy: answer.healthy });
    }
    let newest = given.iter().max()?;
    let mut healthy = true;
    let mut lives = false;
    for key in running.iter().filter(|key| &key.deployment == newest) {
        let status = fleet.status(key).await;
        let is_up = status.state == ReplicaState::Up;
        lives |= is_up;
        healthy &= match status.address.filter(|_| is_up && key.role == ROUTED_ROLE) {
            Some(at) => prober.ask(&ask(settings, at)).await.healthy,
            None => is_up,
        };
    }
    lives.then_some(Live { deployment: *newest, healthy })
}
