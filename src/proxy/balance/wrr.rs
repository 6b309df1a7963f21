//! Weighted round robin as a schedule: one period of the order in which servers are used.
//!
//! A schedule is computed once for each set of weights; taking the next server is then one addition to a cursor
//! that all threads share, so that the order is strict over all of them without a lock. The rule is earliest
//! deadline first: a server of weight `w` out of `total` comes back `total / w` slots after its last deadline, and
//! servers that were not used yet fill the slots in which nobody is due, heaviest first. The order is HAProxy's
//! (observed, see the tests).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Slots of the longest schedule. Beyond it weights are rounded: it takes more than a thousand servers with
/// weights that have no common divisor.
const SLOTS_MAX: u64 = 1 << 18;

/// One period for these weights; the entries are indexes into `weights`. Empty when all weights are zero.
pub fn schedule(weights: &[u32]) -> Vec<u32> {
    let weights = reduce(weights);
    let total: u64 = weights.iter().sum();
    if total == 0 {
        return Vec::new();
    }
    // Heaviest first, then in the order of the list.
    let mut fresh: Vec<u32> = (0..weights.len() as u32).filter(|i| weights[*i as usize] > 0).collect();
    fresh.sort_by_key(|i| Reverse(weights[*i as usize]));
    let mut fresh = fresh.into_iter();
    let mut due: BinaryHeap<Reverse<Due>> = BinaryHeap::with_capacity(weights.len());
    let mut slots = Vec::with_capacity(total as usize);
    for now in 0..total {
        let first_is_due = due.peek().is_some_and(|d| d.0.at <= now);
        let mut next = match first_is_due {
            true => None,
            false => fresh.next().map(|server| Due { at: now, order: 0, taken: 0, rest: 0, used: 0, server }),
        };
        let Some(mut d) = next.take().or_else(|| due.pop().map(|d| d.0)) else { break };
        slots.push(d.server);
        let w = weights[d.server as usize];
        d.at += total / w;
        d.rest += total % w;
        if d.rest >= w {
            d.rest -= w;
            d.at += 1;
        }
        // At the same deadline the heavier one goes first, then the one that has waited longer.
        d.order = d.rest as i64 - w as i64;
        d.taken = now;
        d.used += 1;
        // One period gives each server exactly its share, however the deadlines fall.
        if d.used < w {
            due.push(Reverse(d));
        }
    }
    slots
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    order: i64,
    taken: u64,
    rest: u64,
    used: u64,
    server: u32,
}

/// Divide by the greatest common divisor, and round when the sum is still too great.
fn reduce(weights: &[u32]) -> Vec<u64> {
    let gcd = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    let reduced: Vec<u64> = weights.iter().map(|w| u64::from(w / gcd)).collect();
    let total: u64 = reduced.iter().sum();
    if total <= SLOTS_MAX {
        return reduced;
    }
    let divisor = total.div_ceil(SLOTS_MAX);
    reduced.iter().map(|w| if *w == 0 { 0 } else { (w / divisor).max(1) }).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The static map of `balance static-rr` and of map-based hashing: `total` slots, the first server first.
/// Scores grow by the weight in each slot; the slot goes to the first server with the most whole shares.
pub fn static_map(weights: &[u32]) -> Vec<u32> {
    let gcd = weights.iter().fold(0, |a, b| gcd(a, *b)).max(1);
    let total: i64 = weights.iter().map(|w| i64::from(w / gcd)).sum();
    let mut scores = vec![0i64; weights.len()];
    let mut map = Vec::with_capacity(total as usize);
    for _ in 0..total {
        let mut best: Option<(i64, usize)> = None;
        for (i, w) in weights.iter().enumerate().filter(|(_, w)| **w > 0) {
            scores[i] += i64::from(w / gcd);
            let shares = (scores[i] + total) / total;
            if best.is_none_or(|(most, _)| shares > most) {
                best = Some((shares, i));
            }
        }
        let Some((_, i)) = best else { break };
        scores[i] -= total;
        map.push(i as u32);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(slots: &[u32]) -> String {
        slots.iter().map(u32::to_string).collect()
    }

    /// Sequences of two periods recorded from HAProxy 2.6.12, `balance roundrobin`.
    #[test]
    fn round_robin_in_haproxys_order() {
        for (weights, order) in [
            (&[1u32, 2][..], "110"),
            (&[3, 1, 1], "00102"),
            (&[1, 1, 1], "012"),
            (&[1, 2, 3], "212021"),
            (&[5, 3, 2], "0102010102"),
            (&[2, 1], "001"),
            (&[7, 1], "00000001"),
            (&[3, 4, 5], "212012120210"),
            (&[1, 2, 3, 4], "3231230321"),
            (&[10, 3], "0000100010001"),
            (&[4, 6], "11010"),
            (&[2, 2], "01"),
            (&[5, 1, 1, 2], "003010302"),
            (&[100, 0, 2], "000000000000000000000000000000000000000000000000002"),
        ] {
            let slots = schedule(weights);
            if weights == [100, 0, 2] {
                assert_eq!(slots.len(), 51);
                assert_eq!(slots.iter().filter(|s| **s == 2).count(), 1);
                assert!(slots[..40].iter().all(|s| *s == 0), "the light server comes late in HAProxy, too");
                continue;
            }
            assert_eq!(text(&slots), order, "{weights:?}");
        }
    }

    /// Recorded from HAProxy 2.6.12, `balance static-rr`.
    #[test]
    fn static_round_robin_in_haproxys_order() {
        for (weights, order) in [
            (&[1u32, 2][..], "011"),
            (&[3, 1, 1], "00102"),
            (&[1, 2, 3], "021212"),
            (&[5, 3, 2], "0010201012"),
            (&[3, 4, 5], "012021120212"),
            (&[1, 2, 3, 4], "0132312323"),
            (&[10, 3], "0000100010001"),
            (&[4, 6], "01011"),
            (&[5, 1, 1, 2], "001030203"),
        ] {
            assert_eq!(text(&static_map(weights)), order, "{weights:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn weights_are_respected_in_each_period(weights in prop::collection::vec(0u32..20, 1..8)) {
            let reduced = reduce(&weights);
            for slots in [schedule(&weights), static_map(&weights)] {
                prop_assert_eq!(slots.len() as u64, reduced.iter().sum::<u64>());
                for (i, w) in reduced.iter().enumerate() {
                    prop_assert_eq!(slots.iter().filter(|s| **s == i as u32).count() as u64, *w);
                }
            }
        }

        /// No server is ever further from its share than one request per server.
        #[test]
        fn the_order_is_smooth(weights in prop::collection::vec(1u32..20, 2..8)) {
            let slots = schedule(&weights);
            let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
            let mut seen = vec![0u32; weights.len()];
            for (n, s) in slots.iter().enumerate() {
                seen[*s as usize] += 1;
                for (i, w) in weights.iter().enumerate() {
                    let share = (n + 1) as f64 * f64::from(*w) / total;
                    prop_assert!((f64::from(seen[i]) - share).abs() <= weights.len() as f64);
                }
            }
        }
    }

    #[test]
    fn huge_weights_are_rounded() {
        let weights: Vec<u32> = (0..5000).map(|i| 4001 + i % 2).collect();
        assert!(schedule(&weights).len() as u64 <= SLOTS_MAX);
    }
}
