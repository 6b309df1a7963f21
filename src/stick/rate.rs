//! Event rates over a period, in two words that any number of threads add to.
//!
//! Time is divided into periods, counted from the entry's creation. Each word holds the number of the period it is
//! about and that period's count: even periods in the first, odd ones in the second. So entering a new period is the
//! same single CAS as adding to the current one; there is no rotation that could be seen, or left, half done.

use std::sync::atomic::Ordering::Relaxed;

use crate::base::freq::estimate;

use super::atomics::AtomicU64;
use super::remote::RateParts;

fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

fn join(period: u32, count: u32) -> u64 {
    (u64::from(period) << 32) | u64::from(count)
}

/// Periods are numbered from 1 up, so that a word of zeros is about none.
fn number(age_ms: u32, period_ms: u32) -> u32 {
    (age_ms / period_ms.max(1)).wrapping_add(1)
}

/// Add `n` events at `age_ms` after the entry's creation; gives the rate.
pub(super) fn add(words: &[AtomicU64], age_ms: u32, period_ms: u32, n: u64) -> u64 {
    let number = number(age_ms, period_ms);
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let slot = &words[(number & 1) as usize];
    let mut old = slot.load(Relaxed);
    loop {
        let (period, count) = split(old);
        // Another thread's clock may be a turn ahead of ours: never go back to an older period.
        let ahead = period.wrapping_sub(number) as i32 > 0;
        let new = match period == number || ahead {
            true => join(period, count.saturating_add(n)),
            false => join(number, n),
        };
        match slot.compare_exchange_weak(old, new, Relaxed, Relaxed) {
            Ok(_) => return read(words, age_ms, period_ms),
            Err(now) => old = now,
        }
    }
}

/// Events over the last period.
pub(super) fn read(words: &[AtomicU64], age_ms: u32, period_ms: u32) -> u64 {
    let number = number(age_ms, period_ms);
    let of = |n: u32| match split(words[(n & 1) as usize].load(Relaxed)) {
        (period, count) if period == n && n != 0 => u64::from(count),
        _ => 0,
    };
    let (current, previous) = (of(number), of(number.wrapping_sub(1)));
    // One event is one event until a whole period has gone by; a share of it would show as none.
    if current == 0 && previous <= 1 {
        return previous;
    }
    estimate(current, previous, u64::from(age_ms % period_ms.max(1)), u64::from(period_ms.max(1)))
}

/// Make the rate `current` in this period and `previous` in the one before (`set table`, peers).
pub(super) fn set(words: &[AtomicU64], age_ms: u32, period_ms: u32, current: u32, previous: u32) {
    let number = number(age_ms, period_ms);
    words[(number & 1) as usize].store(join(number, current), Relaxed);
    let before = number.wrapping_sub(1);
    words[(before & 1) as usize].store(join(before, previous), Relaxed);
}

/// The two counts and where in its period the rate is.
pub(super) fn parts(words: &[AtomicU64], age_ms: u32, period_ms: u32) -> RateParts {
    let number = number(age_ms, period_ms);
    let of = |n: u32| match split(words[(n & 1) as usize].load(Relaxed)) {
        (period, count) if period == n && n != 0 => count,
        _ => 0,
    };
    RateParts {
        elapsed_ms: age_ms % period_ms.max(1),
        current: of(number),
        previous: of(number.wrapping_sub(1)),
    }
}

/// The current and the previous count, in our periods, of a rate whose periods began at other times.
pub(super) fn shift(theirs: RateParts, age_ms: u32, period_ms: u32) -> (u32, u32) {
    let period = u64::from(period_ms.max(1));
    let RateParts { elapsed_ms, current, previous } = theirs;
    // Whole periods that have gone by there without an event.
    let (current, previous) = match u64::from(elapsed_ms) / period {
        0 => (u64::from(current), u64::from(previous)),
        1 => (0, u64::from(current)),
        _ => (0, 0),
    };
    let there = u64::from(elapsed_ms) % period;
    let here = u64::from(age_ms) % period;
    if number(age_ms, period_ms) == 1 {
        // There is no period before the first.
        return (clamp(current + previous * (period - there) / period), 0);
    }
    let (ours, before) = if here >= there {
        let early = previous * (here - there) / period;
        (current + early, previous - early)
    } else {
        let late = current * here / there;
        (late, current - late + previous * (period - (there - here)) / period)
    };
    (clamp(ours), clamp(before))
}

fn clamp(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words() -> [AtomicU64; 2] {
        [AtomicU64::new(0), AtomicU64::new(0)]
    }

    #[test]
    fn slides_over_two_periods() {
        let w = words();
        for i in 0..100 {
            add(&w, i * 10, 1000, 1);
        }
        assert_eq!(read(&w, 999, 1000), 100);
        assert_eq!(read(&w, 1500, 1000), 50);
        assert_eq!(read(&w, 2000, 1000), 0);
        assert_eq!(read(&w, 500_000, 1000), 0);
    }

    #[test]
    fn a_single_event_counts_for_a_whole_period() {
        let w = words();
        assert_eq!(add(&w, 0, 1000, 1), 1);
        assert_eq!(read(&w, 1999, 1000), 1);
        assert_eq!(read(&w, 2000, 1000), 0);
    }

    #[test]
    fn parts_go_over_to_other_periods() {
        let theirs = RateParts { elapsed_ms: 400, current: 40, previous: 100 };
        assert_eq!(shift(theirs, 5400, 1000), (40, 100), "the same periods");
        assert_eq!(shift(theirs, 5700, 1000), (70, 70));
        assert_eq!(shift(theirs, 5200, 1000), (20, 20 + 80));
        assert_eq!(shift(theirs, 200, 1000), (100, 0), "our first period takes what still counts");
        let late = RateParts { elapsed_ms: 1400, ..theirs };
        assert_eq!(shift(late, 5400, 1000), (0, 40));
        assert_eq!(shift(RateParts { elapsed_ms: u32::MAX, ..theirs }, 5400, 1000), (0, 0));
        let w = words();
        add(&w, 900, 1000, 5);
        add(&w, 1300, 1000, 7);
        assert_eq!(parts(&w, 1300, 1000), RateParts { elapsed_ms: 300, current: 7, previous: 5 });
        assert_eq!(parts(&w, 3300, 1000), RateParts { elapsed_ms: 300, current: 0, previous: 0 });
    }

    #[test]
    fn can_be_set() {
        let w = words();
        set(&w, 5250, 1000, 10, 100);
        assert_eq!(read(&w, 5250, 1000), 85);
        set(&w, 10, 1000, 3, 4);
        assert_eq!(read(&w, 10, 1000), 3, "there is no period before the first");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against the list of events.
        #[test]
        fn equals_the_naive_count(gaps in proptest::collection::vec(0u32..700, 1..60)) {
            let w = words();
            let mut t = 0;
            let mut events = Vec::new();
            for g in gaps {
                t += g;
                events.push(t);
                let rate = add(&w, t, 1000, 1);
                let of = |p: Option<u32>| events.iter().filter(|e| Some(**e / 1000) == p).count() as u64;
                let (cur, prev) = (of(Some(t / 1000)), of((t / 1000).checked_sub(1)));
                prop_assert_eq!(rate, cur + prev * u64::from(1000 - t % 1000) / 1000);
            }
        }
    }
}
