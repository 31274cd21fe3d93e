//! Measurements on their way to viewers: lossy, kept for a while for those who come later.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::health::{ANSWERS_KEPT, Sample};
use crate::domain::ids::{AttemptKey, EnvironmentName};

/// The newest of each sort, and the health checks' answers of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Samples {
    replicas: BTreeMap<EnvironmentName, Sample>,
    hosts: BTreeMap<EnvironmentName, Sample>,
    leases: BTreeMap<EnvironmentName, Sample>,
    answers: BTreeMap<EnvironmentName, VecDeque<Sample>>,
    bakes: BTreeMap<AttemptKey, Sample>,
}

impl Samples {
    /// Keeps one.
    pub(super) fn keep(&mut self, sample: &Sample) {
        match sample {
            Sample::Replicas { environment, .. } => {
                self.replicas.insert(environment.clone(), sample.clone());
            }
            Sample::Http { environment, .. } => {
                let answers = self.answers.entry(environment.clone()).or_default();
                answers.push_back(sample.clone());
                while answers.len() > ANSWERS_KEPT {
                    answers.pop_front();
                }
            }
            Sample::Hosts { environment, .. } => {
                self.hosts.insert(environment.clone(), sample.clone());
            }
            Sample::Lease { environment, .. } => {
                self.leases.insert(environment.clone(), sample.clone());
            }
            Sample::Bake { key, .. } => {
                // One at a time in an environment; the one before is told of by its step's facts.
                self.bakes.retain(|other, _| other.owner != key.owner);
                self.bakes.insert(key.clone(), sample.clone());
            }
        }
    }

    /// All that is kept, oldest first of each sort; replicas last, so that who has those has all.
    pub(super) fn all(&self) -> impl Iterator<Item = &Sample> {
        let environments = self.hosts.values().chain(self.leases.values()).chain(self.replicas.values());
        self.answers.values().flatten().chain(self.bakes.values()).chain(environments)
    }
}
