//! Pauses between attempts that grow, and are never the same for all who wait for one engine.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The pauses after failures in a row.
#[derive(Debug)]
pub(super) struct Pause {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Pause {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, failures: 0 }
    }

    /// It went well: the next pause is the first one again.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next pause: twice the one before, of which any part from a half to the whole is taken.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let whole = doubled.min(self.longest);
        // Each `RandomState` has keys of its own: random enough to spread waiters, without a crate.
        let part = u32::try_from(RandomState::new().build_hasher().finish() % 501).unwrap_or(0);
        whole * (500 + part) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        let mut pause = Pause::new(first, longest);
        for failures in 0..40 {
            let whole = first.saturating_mul(1 << failures.min(16)).min(longest);
            let next = pause.next();
            assert!(next >= whole / 2 && next <= whole, "{next:?} after {failures}");
        }
        pause.reset();
        assert!(pause.next() <= first);
    }
}
