//! The list of changed entries, with threads. `tests/changes_model.rs` has every order of steps.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use super::changes::{Changes, RING, use_ring};

fn drained(c: &Changes) -> Vec<u32> {
    let mut all = Vec::new();
    c.drain(|r| all.push(r));
    all
}

#[test]
fn each_change_is_told_once() {
    use_ring(0);
    let c = Changes::new(10, 2);
    let wakes = Arc::new(AtomicU64::new(0));
    let count = wakes.clone();
    c.on_change(move || {
        count.fetch_add(1, Relaxed);
    });
    for r in [3, 1, 3, 3, 1, 99] {
        c.mark(r);
    }
    assert_eq!(wakes.load(Relaxed), 1);
    assert_eq!(drained(&c), [3, 1]);
    assert_eq!(drained(&c), []);
    c.mark(3);
    assert_eq!(wakes.load(Relaxed), 2);
    assert_eq!(drained(&c), [3]);
}

#[test]
fn nothing_is_lost_when_a_ring_is_full() {
    use_ring(0);
    let n = RING as u32 + 100;
    let c = Changes::new(n, 1);
    (0..n).for_each(|r| c.mark(r));
    let mut all = drained(&c);
    all.sort_unstable();
    assert_eq!(all, (0..n).collect::<Vec<_>>());
    assert_eq!(drained(&c), []);
    c.mark(n - 1);
    assert_eq!(drained(&c), [n - 1], "the ring is usable again");
    // A thread without a ring.
    use_ring(usize::MAX);
    c.mark(7);
    assert_eq!(drained(&c), [7]);
}

/// The newest value is always read in the end, whatever the drainer's luck.
#[test]
fn no_change_is_missed() {
    let (threads, records, rounds) = (3usize, 32u32, if cfg!(miri) { 50u64 } else { 20_000 });
    let c = Changes::new(records, threads);
    let values: Vec<AtomicU64> = (0..records).map(|_| AtomicU64::new(0)).collect();
    let running = AtomicUsize::new(threads);
    let mut seen = vec![0; records as usize];
    std::thread::scope(|scope| {
        for t in 0..threads {
            let (c, values, running) = (&c, &values, &running);
            scope.spawn(move || {
                use_ring(t);
                for i in 1..=rounds {
                    let r = ((i * 7 + t as u64) % u64::from(records)) as u32;
                    // A plain store, no read-modify-write that would be a barrier itself.
                    values[r as usize].store(i * 10 + t as u64, Relaxed);
                    c.mark(r);
                }
                running.fetch_sub(1, Release);
            });
        }
        loop {
            let over = running.load(Acquire) == 0;
            for r in drained(&c) {
                seen[r as usize] = values[r as usize].load(Relaxed);
            }
            if over {
                break;
            }
        }
    });
    for (r, v) in values.iter().enumerate() {
        assert_eq!(seen[r], v.load(Relaxed), "record {r}");
    }
}

#[test]
fn flags_of_neighbours_are_their_own() {
    use_ring(9);
    // No thread has a ring: all is found by the flags.
    let c = Changes::new(130, 0);
    for r in [0, 63, 64, 127, 128, 129, 130, 191] {
        c.mark(r);
    }
    assert_eq!(drained(&c), [0, 63, 64, 127, 128, 129]);
    c.mark(64);
    assert_eq!(drained(&c), [64]);
}
