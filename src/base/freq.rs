//! Two-period rate counters: events over a sliding period, from the current period's count and the share of
//! the previous one that still lies inside the window. Pure; the time is handed in.
//!
//! One writer. Concurrent tables keep these fields in atomics of their own and use [`estimate`].

use super::time::Mono;

/// Events over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FreqCounter {
    start: Mono,
    current: u64,
    previous: u64,
}

/// One second, the period of session and request rates.
pub const SECOND_NS: u64 = 1_000_000_000;

impl FreqCounter {
    /// An empty counter.
    pub const fn new() -> FreqCounter {
        FreqCounter { start: Mono(0), current: 0, previous: 0 }
    }

    /// Add `n` events at `now`; `period_ns` must be the same in every call on this counter.
    pub fn add(&mut self, now: Mono, period_ns: u64, n: u64) {
        self.rotate(now, period_ns);
        self.current = self.current.saturating_add(n);
    }

    /// Events over the last period.
    pub fn rate(&self, now: Mono, period_ns: u64) -> u64 {
        let mut copy = *self;
        copy.rotate(now, period_ns);
        estimate(copy.current, copy.previous, now.0.saturating_sub(copy.start.0), period_ns)
    }

    /// How many more events fit under `limit` per period, when `pending` are already on their way.
    pub fn remaining(&self, now: Mono, period_ns: u64, limit: u64, pending: u64) -> u64 {
        limit.saturating_sub(self.rate(now, period_ns).saturating_add(pending))
    }

    /// Nanoseconds to wait until one more event fits under `limit` per period; 0 when it fits now.
    pub fn next_slot_ns(&self, now: Mono, period_ns: u64, limit: u64) -> u64 {
        if limit == 0 {
            return period_ns;
        }
        let rate = self.rate(now, period_ns);
        if rate < limit {
            return 0;
        }
        // The surplus leaves the window at the pace of `limit` per period.
        let surplus = rate - limit + 1;
        mul_div(period_ns, surplus, limit).clamp(1, period_ns)
    }

    fn rotate(&mut self, now: Mono, period_ns: u64) {
        debug_assert!(period_ns > 0);
        let elapsed = now.0.saturating_sub(self.start.0);
        if elapsed < period_ns {
            return;
        }
        self.previous = if elapsed < period_ns.saturating_mul(2) { self.current } else { 0 };
        self.current = 0;
        // Periods stay aligned on the first one, so that a busy counter does not drift.
        self.start = Mono(now.0 - elapsed % period_ns);
    }
}

/// The estimate behind [`FreqCounter::rate`]: `current` plus the part of `previous` that is still inside the
/// window `elapsed_ns` after the current period's start.
pub fn estimate(current: u64, previous: u64, elapsed_ns: u64, period_ns: u64) -> u64 {
    let left = period_ns.saturating_sub(elapsed_ns);
    current.saturating_add(mul_div(previous, left, period_ns))
}

fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    let r = u128::from(a) * u128::from(b) / u128::from(c);
    u64::try_from(r).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn slides_over_two_periods() {
        let mut c = FreqCounter::new();
        let t0 = 10 * SECOND_NS;
        for i in 0..100 {
            c.add(Mono(t0 + i * 10 * MS), SECOND_NS, 1);
        }
        assert_eq!(c.rate(Mono(t0 + 999 * MS), SECOND_NS), 100);
        assert_eq!(c.rate(Mono(t0 + 1500 * MS), SECOND_NS), 50);
        assert_eq!(c.rate(Mono(t0 + 2000 * MS), SECOND_NS), 0);
        assert_eq!(c.rate(Mono(t0 + 500 * SECOND_NS), SECOND_NS), 0);
    }

    #[test]
    fn limits() {
        let mut c = FreqCounter::new();
        let t = Mono(5 * SECOND_NS);
        assert_eq!(c.next_slot_ns(t, SECOND_NS, 10), 0);
        c.add(t, SECOND_NS, 10);
        assert_eq!(c.remaining(t, SECOND_NS, 10, 0), 0);
        assert_eq!(c.remaining(t, SECOND_NS, 15, 2), 3);
        assert_eq!(c.next_slot_ns(t, SECOND_NS, 10), 100 * MS);
        assert_eq!(c.next_slot_ns(t, SECOND_NS, 0), SECOND_NS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against the exact count: the estimate never exceeds two whole periods and is exact for one period
        /// after the start.
        #[test]
        fn bounded_by_two_periods(gaps in proptest::collection::vec(0u64..400, 1..60)) {
            let mut c = FreqCounter::new();
            let mut t = 7 * SECOND_NS;
            let mut events = Vec::new();
            for g in gaps {
                t += g * MS;
                events.push(t);
                c.add(Mono(t), SECOND_NS, 1);
                let two = events.iter().filter(|e| **e + 2 * SECOND_NS > t).count() as u64;
                let rate = c.rate(Mono(t), SECOND_NS);
                prop_assert!(rate >= 1 && rate <= two, "rate {rate}, in two periods {two}");
            }
        }
    }
}
