//! What local traffic changed, for the peers: which entries, not what about them, so that an entry that changes all the
//! time costs nothing more than one that changed once.
//!
//! Each record has one flag, *noted*. Who changes an entry sets it, and puts the record's number into the ring of its
//! thread if the flag was not set before; so a record is in at most one ring, once, and a hot entry costs one load.
//! A ring that is full says so, and the flags themselves are looked through then. The one who drains takes a number,
//! clears its flag, and reads the entry after that, at any later time.
//!
//! The order that this needs: the change, then the look at the flag, there; the clearing of the flag, then the reading of
//! the entry, here. See [`barrier`].

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize};

use crate::sys::barrier;

/// Places of a thread's ring, at most.
const RING: usize = 4096;

thread_local! {
    /// The ring of this thread, in every table; `usize::MAX`: none, only the flags are set.
    static OWN_RING: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// This thread is worker number `thread`: nobody else uses its rings.
pub fn use_ring(thread: usize) {
    OWN_RING.set(thread);
}

/// One thread's changes: written by it, read by who drains. On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Ring {
    /// Next place to write; only the owner moves it.
    tail: AtomicUsize,
    /// A wake-up is on its way, or the drainer at work.
    awake: AtomicBool,
    /// Something did not fit.
    overflow: AtomicBool,
    /// Next place to read; only the drainer moves it.
    head: AtomicUsize,
    places: Box<[AtomicU32]>,
}

/// The changed entries of one table.
pub struct Changes {
    noted: Box<[AtomicU8]>,
    /// By thread; the last one, without places, stands for threads that have none.
    rings: Box<[Ring]>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Changes {
    /// For a table of `records`, written by that many threads.
    pub fn new(records: u32, threads: usize) -> Changes {
        barrier::register();
        let places = (records as usize).next_power_of_two().min(RING);
        let ring = |n: usize| Ring {
            tail: AtomicUsize::new(0),
            awake: AtomicBool::new(false),
            overflow: AtomicBool::new(false),
            head: AtomicUsize::new(0),
            places: (0..n).map(|_| AtomicU32::new(0)).collect(),
        };
        Changes {
            noted: (0..records).map(|_| AtomicU8::new(0)).collect(),
            rings: (0..threads).map(|_| ring(places)).chain([ring(0)]).collect(),
            wake: OnceLock::new(),
        }
    }

    /// `wake` is called, on the thread of a change, when there is something to drain: once for each thread until
    /// [`Changes::drain`]. Only the first call counts.
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// The record was changed by this thread.
    pub(super) fn mark(&self, record: u32) {
        let Some(noted) = self.noted.get(record as usize) else { return };
        barrier::light();
        if noted.load(Relaxed) == 0 {
            self.note(record, noted);
        }
    }

    #[cold]
    fn note(&self, record: u32, noted: &AtomicU8) {
        if noted.swap(1, AcqRel) != 0 {
            return;
        }
        let last = self.rings.len() - 1;
        let ring = &self.rings[OWN_RING.get().min(last)];
        if !ring.push(record) {
            ring.overflow.store(true, Release);
        }
        if !ring.awake.swap(true, AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Calls `f` for each changed record, at least once since its last change. One caller at a time. What `f` is told
    /// may be read when this has returned, not before.
    pub fn drain(&self, mut f: impl FnMut(u32)) {
        let mut any = false;
        for ring in &self.rings {
            if !ring.awake.swap(false, AcqRel) {
                continue;
            }
            while let Some(record) = ring.pop() {
                any |= self.take(record, &mut f);
            }
            if ring.overflow.swap(false, AcqRel) {
                for record in 0..self.noted.len() as u32 {
                    any |= self.take(record, &mut f);
                }
            }
        }
        if any {
            barrier::heavy();
        }
    }

    fn take(&self, record: u32, f: &mut impl FnMut(u32)) -> bool {
        let Some(noted) = self.noted.get(record as usize) else { return false };
        // A look first: passing over unchanged flags writes nothing.
        let set = noted.load(Relaxed) != 0 && noted.swap(0, AcqRel) != 0;
        if set {
            f(record);
        }
        set
    }
}

impl Ring {
    /// False when it is full.
    fn push(&self, record: u32) -> bool {
        let tail = self.tail.load(Relaxed);
        let used = tail.wrapping_sub(self.head.load(Acquire));
        if used >= self.places.len() {
            return false;
        }
        self.places[tail & (self.places.len() - 1)].store(record, Relaxed);
        self.tail.store(tail.wrapping_add(1), Release);
        true
    }

    fn pop(&self) -> Option<u32> {
        let head = self.head.load(Relaxed);
        if head == self.tail.load(Acquire) {
            return None;
        }
        let record = self.places[head & (self.places.len() - 1)].load(Relaxed);
        self.head.store(head.wrapping_add(1), Release);
        Some(record)
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Changes({} records, {} threads)", self.noted.len(), self.rings.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;

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
}
