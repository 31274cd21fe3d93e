//! Asking through nginx until the answers come from where they should.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Names, label, labelled};
use crate::domain::ids::DeploymentId;
use crate::domain::time::Millis;
use crate::probe::http::{Answer, Ask, DEPLOYMENT, Prober};
use crate::router::{Route, Trouble};

/// Answers in a row that must all be right: while nginx reloads, old workers still take some connections.
const IN_A_ROW: u32 = 8;
/// After an answer that was not right. Right ones are followed by the next question at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Who should answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Must be seen at least once.
    pub deployment: DeploymentId,
    /// May answer too. Empty: only the wanted one.
    pub others: BTreeSet<DeploymentId>,
}

impl Wanted {
    /// What a route should show once nginx has read it: this deployment, and whoever else gets traffic.
    #[must_use]
    pub fn of(route: &Route, deployment: DeploymentId) -> Self {
        let others = route.routed().map(|(member, _)| member.deployment);
        Self { deployment, others: others.filter(|other| *other != deployment).collect() }
    }

    fn allows(&self, deployment: DeploymentId) -> bool {
        deployment == self.deployment || self.others.contains(&deployment)
    }

    fn words(&self) -> String {
        let only = if self.others.is_empty() { "only " } else { "" };
        let others: Vec<String> = self.others.iter().map(|other| label(*other)).collect();
        let beside = if others.is_empty() { String::new() } else { format!(" beside {}", others.join(", ")) };
        format!("{only}{}{beside} in {IN_A_ROW} answers in a row", label(self.deployment))
    }
}

/// What was seen until the traffic was where it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// From the beginning of the asking to the first answer of the wanted deployment.
    pub first: Millis,
    /// Until it was certain.
    pub took: Millis,
    /// How many answers came from whom.
    pub seen: BTreeMap<DeploymentId, u64>,
    /// How many questions got another answer or none.
    pub strays: u64,
}

/// Asks through nginx, each time with a new connection, until the wanted deployment has answered and
/// eight answers in a row came from those who may answer; `within` this time. What the answers say is not
/// judged (a 500 of the application is an answer), except that a 502 or 504 is nginx's own.
///
/// From 10 to 50 per cent the same deployments answer before and after; then this confirms that both answer, and
/// the measured traffic says how much.
///
/// # Errors
/// What came instead, with its cure.
pub async fn confirm(
    prober: &Prober,
    ask: &Ask,
    route: &Route,
    wanted: &Wanted,
    within: Duration,
) -> Result<Confirmed, Trouble> {
    let began = Instant::now();
    let mut seen = Seen::default();
    let mut first = None;
    let mut in_a_row = 0;
    loop {
        let left = within.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(seen.trouble(ask, route, wanted, within));
        }
        let answer = prober.ask(&Ask { timeout: ask.timeout.min(left), ..ask.clone() }).await;
        // The last question has less time than it should have: that it got no answer says nothing.
        if answer.status.is_none() && began.elapsed() >= within && seen.last.is_some() {
            return Err(seen.trouble(ask, route, wanted, within));
        }
        match seen.note(answer).filter(|deployment| wanted.allows(*deployment)) {
            Some(deployment) => {
                in_a_row += 1;
                if deployment == wanted.deployment {
                    first.get_or_insert_with(|| since(began));
                }
                if let Some(first) = first.filter(|_| in_a_row >= IN_A_ROW) {
                    let took = since(began);
                    return Ok(Confirmed { first, took, seen: seen.deployments, strays: seen.strays });
                }
            }
            None => {
                in_a_row = 0;
                tokio::time::sleep(PAUSE.min(left)).await;
            }
        }
    }
}

#[derive(Default)]
struct Seen {
    deployments: BTreeMap<DeploymentId, u64>,
    /// Answers without the header, or with one that is no deployment's.
    unnamed: u64,
    strays: u64,
    last: Option<Answer>,
}

impl Seen {
    /// Whose the answer is; `None` when nobody's.
    fn note(&mut self, answer: Answer) -> Option<DeploymentId> {
        let of_nginx = matches!(answer.status, None | Some(502 | 504));
        let deployment = answer.deployment.as_deref().and_then(labelled).filter(|_| !of_nginx);
        match deployment {
            Some(deployment) => *self.deployments.entry(deployment).or_default() += 1,
            None => {
                self.strays += 1;
                self.unnamed += u64::from(!of_nginx);
            }
        }
        self.last = Some(answer);
        deployment
    }

    fn trouble(&self, ask: &Ask, route: &Route, wanted: &Wanted, within: Duration) -> Trouble {
        let within = Millis(u64::try_from(within.as_millis()).unwrap_or(u64::MAX));
        let names = Names::of(&route.project, &route.environment);
        let why = self.last.as_ref().map_or("nothing was asked", |answer| answer.why.as_str());
        let status = self.last.as_ref().and_then(|answer| answer.status);
        let body = self.last.iter().map(|answer| answer.body_start.clone()).filter(|body| !body.is_empty());
        let (summary, cure) = match status {
            Some(502 | 504) => (
                format!("nginx gets no answer from {}: {why}", label(wanted.deployment)),
                "look whether the replicas run, listen at the addresses in the included file, and answer in time"
                    .to_owned(),
            ),
            Some(_) if self.deployments.is_empty() && self.unnamed > 0 => (
                format!("answers at {} do not say which deployment they come from", ask.url),
                format!(
                    "the site does not use Towpath's file yet, or the file is not included: put into its `location`, once,\n\
                     proxy_pass http://{route};\n\
                     add_header {DEPLOYMENT} ${route} always;\n\
                     and before the `server` that holds it an `include` of the file that Towpath writes; then reload nginx",
                    route = names.route
                ),
            ),
            Some(_) => (
                format!("{} does not get the traffic as wanted", label(wanted.deployment)),
                "nginx was told to read the file and still gives the traffic as before: look into its error log (a \
                 reload can fail after the command has ended), and whether the commands reach the nginx that answers here"
                    .to_owned(),
            ),
            None => (
                format!("no answer at {}: {why}", ask.url),
                if why.starts_with("TLS") {
                    "give an address with a certificate that this machine trusts, or ask nginx by http on the inside"
                } else {
                    "see to it that nginx runs and listens there, and that the address is the site's"
                }
                .to_owned(),
            ),
        };
        let seen: Vec<String> = self
            .deployments
            .iter()
            .map(|(deployment, count)| format!("{} {count}×", label(*deployment)))
            .collect();
        let seen = if seen.is_empty() { "none of a deployment".to_owned() } else { seen.join(", ") };
        Trouble {
            summary,
            expected: wanted.words(),
            measured: format!("within {within}: {seen}, others {}; last: {why}", self.strays),
            last_lines: body.collect(),
            cure,
        }
    }
}

fn since(began: Instant) -> Millis {
    Millis(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX))
}
