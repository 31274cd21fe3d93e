//! What is live where, what is under way there, and how it is: by the record, and by the newest samples.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::deployment::{kind_text, phase_mark, what_next};
use super::style::{Mark, Style, visible};
use crate::domain::health::{HostSample, HttpSample, LeaseHolder, ReplicaSample, ReplicaState, Sample};
use crate::domain::ids::{DeploymentId, EnvironmentName};
use crate::domain::project::Environment;
use crate::domain::state::{Deployment, DeploymentPhase, State};
use crate::domain::time::Timestamp;

/// The newest samples of each environment.
#[derive(Debug, Default)]
pub struct Measured {
    replicas: BTreeMap<EnvironmentName, (Timestamp, Vec<ReplicaSample>)>,
    answers: BTreeMap<EnvironmentName, (Timestamp, HttpSample)>,
    hosts: BTreeMap<EnvironmentName, (Timestamp, Vec<HostSample>)>,
    leases: BTreeMap<EnvironmentName, (Timestamp, Option<LeaseHolder>)>,
}

impl Measured {
    /// Takes a sample in; an older one than what is known changes nothing.
    pub fn take(&mut self, sample: Sample) {
        match sample {
            Sample::Replicas { environment, at, replicas } => {
                let newest = self.replicas.entry(environment).or_insert((at, Vec::new()));
                if newest.0 <= at {
                    *newest = (at, replicas);
                }
            }
            Sample::Http { environment, at, answer } => {
                if self.answers.get(&environment).is_none_or(|(before, _)| *before <= at) {
                    self.answers.insert(environment, (at, answer));
                }
            }
            Sample::Hosts { environment, at, hosts } => {
                if self.hosts.get(&environment).is_none_or(|(before, _)| *before <= at) {
                    self.hosts.insert(environment, (at, hosts));
                }
            }
            Sample::Lease { environment, at, holder } => {
                if self.leases.get(&environment).is_none_or(|(before, _)| *before <= at) {
                    self.leases.insert(environment, (at, holder));
                }
            }
            Sample::Bake { .. } => {}
        }
    }

    /// Who holds an environment's lease, as far as it was heard of.
    #[must_use]
    pub fn lease(&self, name: &EnvironmentName) -> Option<&LeaseHolder> {
        self.leases.get(name).and_then(|(_, holder)| holder.as_ref())
    }

    /// Whether every environment in which something runs by the record was heard of: its replicas and its answer.
    #[must_use]
    pub fn is_complete(&self, state: &State) -> bool {
        names(state)
            .into_iter()
            .filter(|name| !state.running(name).is_empty())
            .all(|name| self.replicas.contains_key(name) && self.answers.contains_key(name))
    }
}

/// The environments as configured, those that were deployed to and are configured no more included.
fn names(state: &State) -> Vec<&EnvironmentName> {
    let configured = state.project.iter().flat_map(|project| project.environments.keys());
    let mut names: Vec<&EnvironmentName> = configured.collect();
    let gone = state.deployments.values().map(|deployment| &deployment.environment);
    for name in gone {
        if !names.contains(&name) && !state.running(name).is_empty() {
            names.push(name);
        }
    }
    names
}

/// One block an environment.
#[must_use]
pub fn blocks(style: &Style, state: &State, measured: &Measured, now: Timestamp, place: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names(state) {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(block(style, state, measured, name, now, place));
    }
    lines
}

fn block(
    style: &Style,
    state: &State,
    measured: &Measured,
    name: &EnvironmentName,
    now: Timestamp,
    place: &str,
) -> Vec<String> {
    let marked = |mark: Mark, text: &str| format!("  {} {}", style.glyph(mark), style.words(&visible(text)));
    let mut lines = vec![style.strong(&style.words(&title(state, name)))];
    lines.push(match state.live(name) {
        Some((number, live)) => marked(phase_mark(&live.phase).0, &live_text(state, number, live, now)),
        None => marked(Mark::Waiting, "nothing is live here by the record"),
    });
    if let Some((number, deployment)) = state.under_way(name) {
        let (mark, _) = phase_mark(&deployment.phase);
        lines.push(marked(mark, &under_way_text(number, deployment, now)));
        if matches!(deployment.phase, DeploymentPhase::Held { .. }) {
            let next = what_next(deployment, place);
            lines.extend(
                next.iter()
                    .map(|(what, command)| format!("    to {what}: {}", style.words(&visible(command)))),
            );
        }
    }
    if let Some(holder) = measured.lease(name) {
        let mark = if holder.ours { Mark::Running } else { Mark::Warn };
        lines.push(marked(mark, &lease_text(holder, now)));
    }
    lines.extend(
        measured.hosts.get(name).into_iter().flat_map(|(_, all)| all).flat_map(|one| host(style, one, now)),
    );
    match measured.replicas.get(name) {
        Some((_, replicas)) if replicas.is_empty() => lines.push("  replicas: none".to_owned()),
        Some((_, replicas)) => lines.extend(roles(style, replicas)),
        None if state.running(name).is_empty() => {}
        None => lines.push(marked(Mark::Looking, "replicas: not heard of yet")),
    }
    if let Some((at, answer)) = measured.answers.get(name) {
        let mark = if answer.healthy { Mark::Good } else { Mark::Bad };
        let by = answer.deployment.map(|by| format!(" by {by}")).unwrap_or_default();
        let (asked, why, took) = (&answer.asked, &answer.why, answer.latency);
        let ago = now.since(*at);
        lines.push(marked(mark, &format!("http {asked}: {why}{by} in {took}, {ago} ago")));
    }
    let shares = shares(state, name);
    if !shares.is_empty() {
        let text: Vec<String> = shares
            .iter()
            .map(|(number, weight)| {
                let release = state.deployments.get(number).map(|one| format!(" {}", one.release));
                format!("{number}{} {weight} %", release.unwrap_or_default())
            })
            .collect();
        lines.push(format!("  traffic: {}", style.words(&text.join(" · "))));
    }
    lines
}

fn title(state: &State, name: &EnvironmentName) -> String {
    match configured(state, name) {
        None => format!("{name} · not in towpath.toml any more"),
        Some(environment) => {
            let protected = if environment.protected { " · protected" } else { "" };
            let after = environment.after.as_ref().map(|after| format!(" · after {after}"));
            format!("{name}{protected}{}", after.unwrap_or_default())
        }
    }
}

fn configured<'a>(state: &'a State, name: &EnvironmentName) -> Option<&'a Environment> {
    state.project.as_ref()?.environments.get(name)
}

fn live_text(state: &State, number: DeploymentId, live: &Deployment, now: Timestamp) -> String {
    let (_, word) = phase_mark(&live.phase);
    let commit = state
        .releases
        .get(&live.release)
        .map(|release| format!(" {} “{}”", release.commit.short(), visible(&release.subject)))
        .unwrap_or_default();
    let since = now.since(live.ended.unwrap_or(live.created));
    format!("{}{commit} is {word} · for {since} · by {} · deployment {number}", live.release, live.by)
}

fn under_way_text(number: DeploymentId, deployment: &Deployment, now: Timestamp) -> String {
    let (_, word) = phase_mark(&deployment.phase);
    let why = match &deployment.phase {
        DeploymentPhase::Held { reason } => format!(": {reason}"),
        DeploymentPhase::TakenBack { by, why } => format!(" by {by}: {why}"),
        _ => {
            let open = deployment.steps.iter().filter(|(_, step)| step.is_open());
            open.map(|(name, step)| {
                let took = step.started.map(|started| format!(" {}", now.since(started)));
                format!(" · {name}{}", took.unwrap_or_default())
            })
            .collect()
        }
    };
    let kind = kind_text(deployment.kind);
    format!("deployment {number}, {kind} {}, {word}{why}", deployment.release)
}

/// Who holds a lease: `lease: marta for deployment #13 of …, since 4m, last heartbeat 3s ago`.
#[must_use]
pub fn lease_text(holder: &LeaseHolder, now: Timestamp) -> String {
    let (since, heartbeat) = (now.since(holder.since), now.since(holder.heartbeat));
    format!("lease: {} for {}, for {since}, last heartbeat {heartbeat} ago", holder.who, holder.what)
}

/// A Docker engine: its version or why it is not reached, then a line for each thing that is not as it was deployed.
fn host(style: &Style, host: &HostSample, now: Timestamp) -> Vec<String> {
    let marked = |mark: Mark, text: &str| format!("  {} {}", style.glyph(mark), style.words(&visible(text)));
    let mut lines = vec![match &host.reached {
        Ok(version) => marked(Mark::Good, &format!("host {}: Docker {version}", host.name)),
        Err(why) => marked(
            Mark::Looking,
            &format!("host {}: unreachable for {}: {why}", host.name, now.since(host.since)),
        ),
    }];
    lines.extend(
        host.strays.iter().map(|stray| marked(Mark::Warn, &format!("drift on {}: {stray}", host.name))),
    );
    lines
}

/// One line a deployment's role: how many are up, and what is wrong with the others.
fn roles(style: &Style, replicas: &[ReplicaSample]) -> Vec<String> {
    let mut groups: BTreeMap<(DeploymentId, &str), Vec<&ReplicaSample>> = BTreeMap::new();
    for replica in replicas {
        groups.entry((replica.key.deployment, replica.key.role.as_str())).or_default().push(replica);
    }
    let mut lines = Vec::new();
    for ((number, role), members) in groups {
        let up = members.iter().filter(|one| one.state == ReplicaState::Up).count();
        let is_well = |one: &&ReplicaSample| !one.oom && one.health.as_deref() != Some("unhealthy");
        let mark = if up == members.len() && members.iter().copied().all(|one| is_well(&one)) {
            Mark::Good
        } else {
            Mark::Warn
        };
        let restarts: u32 = members.iter().map(|one| one.restarts).sum();
        let restarts = match restarts {
            0 => String::new(),
            1 => " · 1 restart".to_owned(),
            many => format!(" · {many} restarts"),
        };
        let others: String = members
            .iter()
            .filter(|one| one.state != ReplicaState::Up)
            .map(|one| {
                let exit = one.last_exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default();
                let host = one.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
                format!(" · {role}-{}{host} {}{exit}", one.key.index, one.state.word())
            })
            .chain(members.iter().filter(|one| one.oom).map(|one| format!(" · {role}-{} OOM", one.key.index)))
            .chain(
                members
                    .iter()
                    .filter(|one| one.health.as_deref() == Some("unhealthy"))
                    .map(|one| format!(" · {role}-{} unhealthy by Docker's check", one.key.index)),
            )
            .collect();
        let memory: u64 = members.iter().filter_map(|one| one.memory).sum();
        let memory = match memory {
            0 => String::new(),
            bytes => {
                let limit: Option<u64> = members.iter().map(|one| one.memory_limit).sum();
                let limit =
                    limit.map(|limit| format!(" of {}", super::plain::bytes(limit))).unwrap_or_default();
                format!(" · {}{limit}", super::plain::bytes(bytes))
            }
        };
        let cpu: Option<u32> =
            members.iter().filter_map(|one| one.cpu_permille).reduce(|one, other| one + other);
        let cpu =
            cpu.map(|permille| format!(" · cpu {}.{} %", permille / 10, permille % 10)).unwrap_or_default();
        let release = members.first().map_or_else(String::new, |one| one.release.to_string());
        let text = format!(
            "{role} of {number} {release}: {up} of {} up{memory}{cpu}{restarts}{others}",
            members.len()
        );
        lines.push(format!("  {} {}", style.glyph(mark), style.words(&visible(&text))));
    }
    lines
}

/// Who has which share of the traffic, by deployment.
fn shares(state: &State, name: &EnvironmentName) -> BTreeMap<DeploymentId, u32> {
    let mut shares = BTreeMap::new();
    for share in state.traffic(name) {
        if let Some(of) = share.replicas.of {
            *shares.entry(of).or_insert(0) += u32::from(share.weight);
        }
    }
    shares
}

/// One line an environment: what is live, and what is under way.
#[must_use]
pub fn brief(style: &Style, state: &State, now: Timestamp) -> Vec<String> {
    let line = |name: &EnvironmentName| {
        let live = state.live(name);
        let (mark, text) = match (state.under_way(name), live) {
            (Some((number, deployment)), live) => {
                let from = live.map(|(_, live)| format!("{} is live · ", live.release));
                let (mark, _) = phase_mark(&deployment.phase);
                let under_way = under_way_text(number, deployment, now);
                (mark, format!("{}{under_way}", from.unwrap_or_default()))
            }
            (None, Some((number, live))) => (phase_mark(&live.phase).0, live_text(state, number, live, now)),
            (None, None) => (Mark::Waiting, "nothing is live here by the record".to_owned()),
        };
        format!("{} {name}: {}", style.glyph(mark), style.words(&visible(&text)))
    };
    names(state).into_iter().map(line).collect()
}

/// The environments for a program, one object each.
#[must_use]
pub fn objects(state: &State, measured: &Measured) -> Vec<Value> {
    let object = |name: &EnvironmentName| {
        let settings = configured(state, name);
        let live = state.live(name).map(|(number, live)| {
            let commit = state.releases.get(&live.release).map(|release| &release.commit);
            json!({
                "deployment": number, "release": live.release, "commit": commit, "by": live.by,
                "since": live.ended, "phase": live.phase,
            })
        });
        let under_way = state.under_way(name).map(|(number, deployment)| {
            json!({
                "deployment": number, "release": deployment.release, "kind": deployment.kind,
                "phase": deployment.phase, "by": deployment.by, "created": deployment.created,
                "steps": deployment.steps,
            })
        });
        let traffic: Vec<Value> = shares(state, name)
            .into_iter()
            .map(|(number, weight)| json!({ "deployment": number, "weight": weight }))
            .collect();
        let replicas = measured.replicas.get(name);
        let answer = measured.answers.get(name);
        json!({
            "environment": name, "configured": settings.is_some(),
            "protected": settings.map(|settings| settings.protected),
            "after": settings.and_then(|settings| settings.after.as_ref()),
            "live": live, "under_way": under_way, "traffic": traffic,
            "replicas": replicas.map(|(at, replicas)| json!({ "at": at, "replicas": replicas })),
            "hosts": measured.hosts.get(name).map(|(at, hosts)| json!({ "at": at, "hosts": hosts })),
            "lease": measured.leases.get(name).map(|(at, holder)| json!({ "at": at, "holder": holder })),
            "http": answer.map(|(at, answer)| json!({ "at": at, "answer": answer })),
        })
    };
    names(state).into_iter().map(object).collect()
}

#[cfg(test)]
mod tests;
