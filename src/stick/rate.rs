//! Event rates over a period, in two words that any number of threads add to.
//!
//! Each word holds when a period began (32 bits of milliseconds, wrapping) and that period's count. The word of the later
//! period is the current one; the other one is the period before, if it began exactly one period earlier. The first event
//! behind the end of the current period overwrites the older word: with the following period, or, when that would be over
//! as well, with one that begins at the event. So entering a new period is the same single CAS as adding to the current
//! one; there is no rotation that could be seen, or left, half done.

use std::sync::atomic::Ordering::Relaxed;

use crate::base::freq::estimate;

use super::RateParts;
use super::atomics::AtomicU64;

/// Other threads' clocks may be that much ahead of ours, in milliseconds.
const AHEAD_MAX: u32 = 60_000;

/// A period: when it began, and its count. A word of zeros is none.
#[derive(Clone, Copy)]
struct Period {
    began: u32,
    count: u32,
}

impl Period {
    fn of(word: u64) -> Option<Period> {
        (word != 0).then_some(Period { began: (word >> 32) as u32, count: word as u32 })
    }

    fn word(began: u32, count: u32) -> u64 {
        (u64::from(began) << 32) | u64::from(count)
    }

    /// Milliseconds since it began; below 0 when the one who began it was ahead of us.
    fn age(self, now_ms: u32) -> i64 {
        let age = now_ms.wrapping_sub(self.began);
        if age > u32::MAX - AHEAD_MAX { -i64::from(age.wrapping_neg()) } else { i64::from(age) }
    }
}

/// Which word has the later period, if any has one, and the two values.
fn latest(words: &[AtomicU64], now_ms: u32) -> (usize, Option<Period>, [u64; 2]) {
    let both = [words[0].load(Relaxed), words[1].load(Relaxed)];
    let [a, b] = both.map(Period::of);
    let second = match (a, b) {
        (Some(a), Some(b)) => b.age(now_ms) < a.age(now_ms),
        (a, b) => a.is_none() && b.is_some(),
    };
    (usize::from(second), if second { b } else { a }, both)
}

/// Add `n` events; gives the rate.
pub(super) fn add(words: &[AtomicU64], now_ms: u32, period_ms: u32, n: u64) -> u64 {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let period = i64::from(period_ms.max(1));
    loop {
        let (at, found, both) = latest(words, now_ms);
        let (target, new) = match found {
            Some(p) if p.age(now_ms) < period => (at, Period::word(p.began, p.count.saturating_add(n))),
            Some(p) if p.age(now_ms) < 2 * period => {
                (1 - at, Period::word(p.began.wrapping_add(period_ms.max(1)), n))
            }
            _ => (1 - at, Period::word(now_ms, n)),
        };
        if words[target].compare_exchange_weak(both[target], new, Relaxed, Relaxed).is_ok() {
            return read(words, now_ms, period_ms);
        }
    }
}

/// Events over the last period.
pub(super) fn read(words: &[AtomicU64], now_ms: u32, period_ms: u32) -> u64 {
    let RateParts { elapsed_ms, current, previous } = parts(words, now_ms, period_ms);
    let (current, previous) = (u64::from(current), u64::from(previous));
    // One event is one event until a whole period has gone by; a share of it would show as none.
    if current == 0 && previous <= 1 {
        return previous;
    }
    estimate(current, previous, u64::from(elapsed_ms), u64::from(period_ms.max(1)))
}

/// The two counts and where in its period the rate is.
pub(super) fn parts(words: &[AtomicU64], now_ms: u32, period_ms: u32) -> RateParts {
    let period = i64::from(period_ms.max(1));
    let (at, found, both) = latest(words, now_ms);
    let none = RateParts { elapsed_ms: 0, current: 0, previous: 0 };
    let Some(p) = found else { return none };
    let age = p.age(now_ms).max(0);
    if age >= 2 * period {
        return none;
    }
    if age >= period {
        return RateParts { elapsed_ms: (age - period) as u32, current: 0, previous: p.count };
    }
    let before = Period::of(both[1 - at]).filter(|b| p.began.wrapping_sub(b.began) == period_ms.max(1));
    RateParts { elapsed_ms: age as u32, current: p.count, previous: before.map_or(0, |b| b.count) }
}

/// Make it what somebody says (`set table`, peers).
pub(super) fn set(words: &[AtomicU64], now_ms: u32, period_ms: u32, parts: RateParts) {
    if u64::from(parts.elapsed_ms) >= 2 * u64::from(period_ms.max(1)) {
        words.iter().for_each(|w| w.store(0, Relaxed));
        return;
    }
    let began = now_ms.wrapping_sub(parts.elapsed_ms);
    words[0].store(Period::word(began, parts.current), Relaxed);
    words[1].store(Period::word(began.wrapping_sub(period_ms.max(1)), parts.previous), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: u32 = u32::MAX - 5000;

    fn words() -> [AtomicU64; 2] {
        [AtomicU64::new(0), AtomicU64::new(0)]
    }

    fn at(ms: u32) -> u32 {
        T.wrapping_add(ms)
    }

    #[test]
    fn slides_over_two_periods() {
        let w = words();
        for i in 0..100 {
            add(&w, at(i * 10), 1000, 1);
        }
        assert_eq!(read(&w, at(999), 1000), 100);
        assert_eq!(read(&w, at(1500), 1000), 50);
        assert_eq!(read(&w, at(2000), 1000), 0);
        assert_eq!(read(&w, at(500_000), 1000), 0);
    }

    #[test]
    fn a_single_event_counts_for_a_whole_period() {
        let w = words();
        assert_eq!(add(&w, at(0), 1000, 1), 1);
        assert_eq!(read(&w, at(1999), 1000), 1);
        assert_eq!(read(&w, at(2000), 1000), 0);
    }

    /// As measured of HAProxy 2.6 and 3.5-dev: 10 events 2.5 periods behind a single one.
    #[test]
    fn periods_begin_anew_after_a_pause() {
        let w = words();
        add(&w, at(0), 2000, 1);
        add(&w, at(5000), 2000, 10);
        let seen = [5100, 6999, 7100, 7350, 7600, 7850, 8100, 8350, 8600, 8850, 9100];
        let rates = seen.map(|t| read(&w, at(t), 2000));
        assert_eq!(rates, [10, 10, 9, 8, 7, 5, 4, 3, 2, 0, 0]);
    }

    #[test]
    fn a_clock_that_is_behind_adds_to_the_current_period() {
        let w = words();
        add(&w, at(100), 10, 1);
        assert_eq!(add(&w, at(95), 10, 1), 2);
        assert_eq!(read(&w, at(109), 10), 2);
    }

    #[test]
    fn can_be_set() {
        let w = words();
        let parts = |elapsed_ms, current, previous| RateParts { elapsed_ms, current, previous };
        set(&w, at(5250), 1000, parts(250, 10, 100));
        assert_eq!(read(&w, at(5250), 1000), 85);
        assert_eq!(super::parts(&w, at(5300), 1000), parts(300, 10, 100));
        assert_eq!(super::parts(&w, at(6300), 1000), parts(300, 0, 10));
        set(&w, at(10), 1000, parts(1400, 3, 4));
        assert_eq!(super::parts(&w, at(10), 1000), parts(400, 0, 3), "what is over is over");
        set(&w, at(10), 1000, parts(u32::MAX, 3, 4));
        assert_eq!(super::parts(&w, at(10), 1000), parts(0, 0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        /// Against a start, a current and a previous count, kept plainly.
        #[test]
        fn equals_the_plain_counter(gaps in proptest::collection::vec(0u32..2500, 1..60), start in any::<u32>()) {
            let w = words();
            let (mut t, mut began, mut current, mut previous) = (0u64, None, 0u64, 0u64);
            for g in gaps {
                t += u64::from(g);
                let age = began.map_or(u64::MAX, |b| t - b);
                if age >= 2000 {
                    (began, previous, current) = (Some(t), 0, 0);
                } else if age >= 1000 {
                    (began, previous, current) = (began.map(|b| b + 1000), current, 0);
                }
                current += 1;
                let elapsed = t - began.expect("set");
                let now = start.wrapping_add(t as u32);
                prop_assert_eq!(add(&w, now, 1000, 1), current + previous * (1000 - elapsed) / 1000);
            }
        }
    }
}
