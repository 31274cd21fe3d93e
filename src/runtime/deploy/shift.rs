//! Traffic is moved: the router is told, and asked, through itself, who answers now.

use std::time::Duration;

use anyhow::Result;

use super::healthy::address;
use super::{Deploy, failed, passed};
use crate::domain::finding::{Finding, Severity};
use crate::domain::ids::{DeploymentId, ReplicaKey};
use crate::domain::plan::{Cause, Share};
use crate::domain::planner::ROUTED_ROLE;
use crate::domain::project::Router;
use crate::probe::http::{Ask, Prober};
use crate::router::nginx::{Wanted, apply, confirm};
use crate::router::{self, Member, Route};
use crate::runtime::workbench::{Done, Workbench};

/// How long the router may take until every answer comes from where it should: old workers that still serve are
/// gone from new connections at once; a loaded machine takes its time.
const CONFIRM: Duration = Duration::from_secs(20);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);

pub(super) async fn run(
    bench: &mut Workbench,
    deploy: &Deploy,
    weight: u8,
    of: Option<DeploymentId>,
    shares: &[Share],
) -> Result<Done> {
    let Router::Nginx(nginx) = &deploy.settings.router else {
        return Ok(passed(["no router: nothing to switch".to_owned()]));
    };
    let Some(url) = &deploy.settings.url else {
        return Ok(failed(Cause {
            summary: format!("the environment {} has no url to confirm a switch at", deploy.environment),
            cure: format!("Write url = \"…\" under [environment.{}].", deploy.environment),
            ..Cause::default()
        }));
    };
    let wanted = of.unwrap_or(deploy.deployment);
    let route = match route(deploy, shares).await {
        Ok(route) => route,
        Err(cause) => return Ok(failed(cause)),
    };
    let mut lines = Vec::new();
    let applied = apply(nginx, &route, &deploy.home, &mut |line| lines.push(line.to_owned())).await;
    for line in lines {
        bench.say(&line);
    }
    let applied = match applied {
        Ok(applied) => applied,
        Err(trouble) => return Ok(failed(trouble)),
    };
    let prober = Prober::new().map_err(anyhow::Error::msg)?;
    let ask = Ask::new(address(url, &deploy.settings.health.path), ANSWER);
    let confirmed = match confirm(&prober, &ask, &route, &Wanted::of(&route, wanted), CONFIRM).await {
        Ok(confirmed) => confirmed,
        Err(trouble) => return Ok(failed(trouble)),
    };
    bench.say(&format!("Confirmed through {url} after {}.", confirmed.took));
    let mut done =
        passed([format!("{weight} % to {wanted}"), format!("first answer after {}", confirmed.first)]);
    done.output.findings = applied
        .warnings
        .into_iter()
        .map(|title| Finding {
            id: "ROUTER-KEEPALIVE".to_owned(),
            severity: Severity::Warning,
            title,
            cure: "See assets/nginx/site.conf.example for what nginx 1.27.4 and later can do.".to_owned(),
        })
        .collect();
    Ok(done)
}

/// Who gets what. Those that run and get nothing are in it as well: answers that they still give are theirs by name.
async fn route(deploy: &Deploy, shares: &[Share]) -> Result<Route, Cause> {
    let mut route = Route {
        project: deploy.project.clone(),
        environment: deploy.environment.0.clone(),
        shares: Vec::new(),
    };
    let own: Vec<ReplicaKey> = shares.iter().flat_map(|share| deploy.keys(&share.replicas)).collect();
    let fleet = deploy.fleet(&own);
    let mut routed = Vec::new();
    for share in shares {
        let mut members = Vec::new();
        for key in deploy.keys(&share.replicas) {
            let status = fleet.status(&key).await;
            let Some(at) = status.address else {
                let measured = status.waits_for.unwrap_or_else(|| status.state.word().to_owned());
                return Err(Cause {
                    summary: format!("{key} has no port: {measured}"),
                    expected: "a replica that was started".to_owned(),
                    measured,
                    ..Cause::default()
                });
            };
            members.push(Member {
                deployment: key.deployment,
                release: share.replicas.target.release,
                host: at.ip(),
                port: at.port(),
            });
            routed.push(key);
        }
        route.shares.push(router::Share { members, weight: share.weight });
    }
    let is_idle = |key: &ReplicaKey| key.role == ROUTED_ROLE && !routed.contains(key);
    let mut members = Vec::new();
    for member in deploy.running.iter().filter(|member| is_idle(&member.key)) {
        if let Some(at) = fleet.status(&member.key).await.address {
            let deployment = member.key.deployment;
            members.push(Member { deployment, release: member.release, host: at.ip(), port: at.port() });
        }
    }
    route.shares.push(router::Share { members, weight: 0 });
    Ok(route)
}
