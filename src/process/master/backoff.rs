//! How long to wait before what keeps failing is started again.

use std::time::Duration;

/// The longest wait.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// What has run this long was well: the next failure is the first again.
const WELL: Duration = Duration::from_secs(30);

/// Failures in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    failures: u32,
}

impl Backoff {
    /// The second attempt waits for `first`, each one after that twice as long.
    pub fn new(first: Duration) -> Backoff {
        Backoff { first, failures: 0 }
    }

    /// It failed after it had run so long: the wait before the next attempt. None before the first.
    pub fn failed(&mut self, ran: Duration) -> Duration {
        if ran >= WELL {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        match self.failures {
            1 => Duration::ZERO,
            n => self.first.saturating_mul(1 << (n - 2).min(16)).min(WAIT_MAX),
        }
    }

    /// Failures that were counted.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Forget all failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_of_crashes_slows_down_and_a_single_one_does_not_wait() {
        let mut backoff = Backoff::new(Duration::from_millis(100));
        let waits: Vec<u128> = (0..10).map(|_| backoff.failed(Duration::ZERO).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(backoff.failed(WELL), Duration::ZERO);
        assert_eq!(backoff.failed(Duration::from_secs(1)), Duration::from_millis(100));
        backoff.failures = u32::MAX;
        assert_eq!(backoff.failed(Duration::ZERO), WAIT_MAX);
    }
}
