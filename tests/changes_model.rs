//! The list of changed entries under a model checker: the source itself, with loom's atomics in place of the machine's.
//!
//! Checked, for every order of steps with up to `HARING_PREEMPTIONS` (2 unless set) interruptions: whoever drains when
//! he is woken, and only then, has read the newest value of every entry in the end.

#![allow(dead_code, unused_imports)]

mod sys {
    /// Full barriers on both sides: what the cheap one amounts to when the kernel does its part.
    pub mod barrier {
        pub fn register() {}
        pub fn light() {
            loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
        }
        pub fn heavy() {
            loom::sync::atomic::fence(loom::sync::atomic::Ordering::SeqCst);
        }
    }
}

#[path = "."]
mod stick {
    #[path = "../src/stick/changes.rs"]
    pub mod changes;

    mod atomics {
        use std::cell::Cell;

        pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize};

        loom::thread_local! {
            static OWN_RING: Cell<usize> = Cell::new(usize::MAX);
        }

        pub fn own_ring() -> usize {
            OWN_RING.with(Cell::get)
        }

        pub fn set_own_ring(ring: usize) {
            OWN_RING.with(|own| own.set(ring));
        }
    }

    /// `mark` is the tables' own.
    pub fn mark(changes: &changes::Changes, record: u32) {
        changes.mark(record);
    }
}

use loom::sync::Arc;
use loom::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicU64};
use loom::thread;
use stick::changes::{Changes, use_ring};

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let set = std::env::var("HARING_PREEMPTIONS").ok().and_then(|n| n.parse().ok());
    builder.preemption_bound = Some(set.unwrap_or(2));
    builder.check(f);
}

/// Two writers change the same entry, or each its own, while somebody drains.
fn drains_everything(records: [u32; 2], rings: usize) {
    model(move || {
        let changes = Arc::new(Changes::new(2, rings));
        let values: Arc<[AtomicU64; 2]> = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let woken = Arc::new(AtomicBool::new(false));
        let flag = woken.clone();
        changes.on_change(move || {
            // Reads as well: loom would let a plain store come before the reset that it followed.
            flag.swap(true, SeqCst);
        });
        let writers: Vec<_> = (0..2)
            .map(|t| {
                let (changes, values) = (changes.clone(), values.clone());
                thread::spawn(move || {
                    use_ring(t);
                    let record = records[t];
                    values[record as usize].store(t as u64 + 1, Relaxed);
                    stick::mark(&changes, record);
                })
            })
            .collect();
        let mut seen = [0; 2];
        let mut look = |woken: &AtomicBool| {
            if woken.swap(false, SeqCst) {
                let mut told = Vec::new();
                changes.drain(|r| told.push(r));
                for r in told {
                    seen[r as usize] = values[r as usize].load(Relaxed);
                }
            }
        };
        look(&woken);
        writers.into_iter().for_each(|w| w.join().expect("no panic"));
        look(&woken);
        for r in 0..2 {
            assert_eq!(seen[r], values[r].load(Relaxed), "record {r}");
        }
    });
}

#[test]
fn two_threads_change_one_entry() {
    drains_everything([0, 0], 2);
}

#[test]
fn two_threads_change_two_entries() {
    drains_everything([0, 1], 2);
}

/// The second thread has no ring: what it changes is found by its flag.
#[test]
fn a_ring_that_takes_no_more_is_made_up_for() {
    drains_everything([0, 1], 1);
}
