//! What was last measured in each environment, and how old that is. A measurement that is too old says nothing:
//! it is *unknown*, never well.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::health::{
    ANSWERS_KEPT, BakeReport, HostSample, HttpSample, LeaseHolder, ReplicaSample, Sample,
};
use crate::domain::ids::{AttemptKey, EnvironmentName};
use crate::domain::time::{Millis, Timestamp};

/// A measurement is stale after so many intervals without another.
pub const STALE_AFTER: u64 = 3;

/// A measurement, as far as it can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured<T> {
    /// It was taken just now.
    Fresh(T),
    /// It is from this moment, too long ago.
    Stale(Timestamp),
    /// There was none yet.
    Never,
}

impl<T> Measured<T> {
    /// The measurement, where it can be relied on.
    pub fn fresh(self) -> Option<T> {
        match self {
            Self::Fresh(value) => Some(value),
            Self::Stale(_) | Self::Never => None,
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Seen {
    replicas: Option<(Timestamp, Vec<ReplicaSample>)>,
    answers: VecDeque<(Timestamp, HttpSample)>,
    hosts: Option<(Timestamp, Vec<HostSample>)>,
    lease: Option<(Timestamp, Option<LeaseHolder>)>,
}

/// The newest measurements, as the engine passes them on.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    environments: BTreeMap<EnvironmentName, Seen>,
    bakes: BTreeMap<AttemptKey, (Timestamp, BakeReport)>,
}

impl Samples {
    /// Forgets everything: after a snapshot the engine says it anew.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes a measurement in. One that is older than what is known changes nothing.
    pub fn take(&mut self, sample: Sample) {
        match sample {
            Sample::Replicas { environment, at, replicas } => {
                let seen = self.environments.entry(environment).or_default();
                if seen.replicas.as_ref().is_none_or(|(known, _)| *known <= at) {
                    seen.replicas = Some((at, replicas));
                }
            }
            Sample::Http { environment, at, answer } => {
                let answers = &mut self.environments.entry(environment).or_default().answers;
                if answers.back().is_none_or(|(known, _)| *known < at) {
                    answers.push_back((at, answer));
                }
                while answers.len() > ANSWERS_KEPT {
                    answers.pop_front();
                }
            }
            Sample::Hosts { environment, at, hosts } => {
                let seen = self.environments.entry(environment).or_default();
                if seen.hosts.as_ref().is_none_or(|(known, _)| *known <= at) {
                    seen.hosts = Some((at, hosts));
                }
            }
            Sample::Lease { environment, at, holder } => {
                let seen = self.environments.entry(environment).or_default();
                if seen.lease.as_ref().is_none_or(|(known, _)| *known <= at) {
                    seen.lease = Some((at, holder));
                }
            }
            Sample::Bake { key, at, report } => {
                // Of one owner only the newest bake is looked at.
                self.bakes.retain(|known, _| known.owner != key.owner || known == &key);
                self.bakes.insert(key, (at, report));
            }
        }
    }

    /// An environment's replicas at a moment, where they are asked about at this interval.
    #[must_use]
    pub fn replicas(
        &self,
        name: &EnvironmentName,
        now: Timestamp,
        interval: Millis,
    ) -> Measured<&[ReplicaSample]> {
        let newest = self.environments.get(name).and_then(|seen| seen.replicas.as_ref());
        newest.map_or(Measured::Never, |(at, replicas)| measured(*at, replicas.as_slice(), now, interval))
    }

    /// The replicas as they were last seen, however long ago that is.
    #[must_use]
    pub fn last_replicas(&self, name: &EnvironmentName) -> Option<(Timestamp, &[ReplicaSample])> {
        let newest = self.environments.get(name)?.replicas.as_ref()?;
        Some((newest.0, newest.1.as_slice()))
    }

    /// An environment's Docker engines at a moment; `Never` of one on the process runtime.
    #[must_use]
    pub fn hosts(&self, name: &EnvironmentName, now: Timestamp, interval: Millis) -> Measured<&[HostSample]> {
        let newest = self.environments.get(name).and_then(|seen| seen.hosts.as_ref());
        newest.map_or(Measured::Never, |(at, hosts)| measured(*at, hosts.as_slice(), now, interval))
    }

    /// The Docker engines as they were last seen, however long ago that is.
    #[must_use]
    pub fn last_hosts(&self, name: &EnvironmentName) -> &[HostSample] {
        let newest = self.environments.get(name).and_then(|seen| seen.hosts.as_ref());
        newest.map_or(&[], |(_, hosts)| hosts.as_slice())
    }

    /// Who holds an environment's lease, as it was last heard of, and when that was.
    #[must_use]
    pub fn lease(&self, name: &EnvironmentName) -> Option<(Timestamp, &LeaseHolder)> {
        let (at, holder) = self.environments.get(name)?.lease.as_ref()?;
        holder.as_ref().map(|holder| (*at, holder))
    }

    /// The newest answer to an environment's health check at a moment, which is made at this interval.
    #[must_use]
    pub fn answer(&self, name: &EnvironmentName, now: Timestamp, interval: Millis) -> Measured<&HttpSample> {
        let newest = self.environments.get(name).and_then(|seen| seen.answers.back());
        newest.map_or(Measured::Never, |(at, answer)| measured(*at, answer, now, interval))
    }

    /// The last answers of an environment's health check, oldest first; at most [`ANSWERS_KEPT`].
    pub fn answers(&self, name: &EnvironmentName) -> impl DoubleEndedIterator<Item = &HttpSample> {
        self.environments.get(name).into_iter().flat_map(|seen| seen.answers.iter().map(|(_, answer)| answer))
    }

    /// The first answer that was not well since the last one that was; whether an earlier one may be forgotten.
    #[must_use]
    pub fn unwell_since(&self, name: &EnvironmentName) -> Option<(Timestamp, bool)> {
        let answers = &self.environments.get(name)?.answers;
        let count = answers.iter().rev().take_while(|(_, answer)| !answer.healthy).count();
        let (at, _) = answers.get(answers.len().checked_sub(count)?)?;
        Some((*at, count == answers.len()))
    }

    /// What a bake had counted when it was last heard of.
    #[must_use]
    pub fn bake(&self, key: &AttemptKey) -> Option<(Timestamp, &BakeReport)> {
        self.bakes.get(key).map(|(at, report)| (*at, report))
    }

    /// The next moment at which a measurement becomes stale, after `now`.
    #[must_use]
    pub fn next_stale(
        &self,
        now: Timestamp,
        interval: impl Fn(&EnvironmentName) -> Millis,
    ) -> Option<Timestamp> {
        let ends = self.environments.iter().flat_map(|(name, seen)| {
            let limit = i64::try_from(limit(interval(name)).0).unwrap_or(i64::MAX);
            let newest = [seen.replicas.as_ref().map(|(at, _)| *at), seen.answers.back().map(|(at, _)| *at)];
            newest
                .into_iter()
                .flatten()
                .map(move |at| Timestamp(at.0.saturating_add(limit).saturating_add(1)))
        });
        ends.filter(|at| *at > now).min()
    }
}

/// How old a measurement may be.
const fn limit(interval: Millis) -> Millis {
    Millis(interval.0.saturating_mul(STALE_AFTER))
}

fn measured<T>(at: Timestamp, value: T, now: Timestamp, interval: Millis) -> Measured<T> {
    if now.since(at) > limit(interval) { Measured::Stale(at) } else { Measured::Fresh(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Millis = Millis(2_000);

    fn answer(at: i64, healthy: bool) -> Sample {
        let answer = HttpSample {
            asked: "http://harbor/health".to_owned(),
            status: Some(200),
            latency: Millis(38),
            healthy,
            why: "200 OK".to_owned(),
            deployment: None,
        };
        Sample::Http { environment: "staging".into(), at: Timestamp(at), answer }
    }

    #[test]
    fn an_answer_is_stale_after_three_intervals_and_not_before() {
        let mut samples = Samples::default();
        let name = "staging".into();
        assert_eq!(samples.answer(&name, Timestamp(0), EVERY), Measured::Never);
        samples.take(answer(10_000, true));
        assert!(samples.answer(&name, Timestamp(16_000), EVERY).fresh().is_some());
        assert_eq!(samples.answer(&name, Timestamp(16_001), EVERY), Measured::Stale(Timestamp(10_000)));
        assert_eq!(samples.next_stale(Timestamp(12_000), |_| EVERY), Some(Timestamp(16_001)));
        assert_eq!(samples.next_stale(Timestamp(16_001), |_| EVERY), None);
    }

    #[test]
    fn what_is_older_than_what_is_known_changes_nothing() {
        let mut samples = Samples::default();
        let name = "staging".into();
        samples.take(answer(10_000, true));
        samples.take(answer(9_000, false));
        assert!(samples.answer(&name, Timestamp(10_000), EVERY).fresh().is_some_and(|answer| answer.healthy));
        assert_eq!(samples.answers(&name).count(), 1);
    }

    #[test]
    fn answers_are_bounded() {
        let mut samples = Samples::default();
        for at in 0..1_000 {
            samples.take(answer(at, true));
        }
        assert_eq!(samples.answers(&"staging".into()).count(), ANSWERS_KEPT);
    }
}
