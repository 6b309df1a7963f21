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

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::atomics::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, own_ring, set_own_ring};
use crate::sys::barrier;

/// Places of a thread's ring, at most.
pub(super) const RING: usize = 4096;

/// This thread is worker number `thread`: nobody else uses its rings.
pub fn use_ring(thread: usize) {
    set_own_ring(thread);
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
    /// A bit for each record.
    noted: Box<[AtomicU64]>,
    records: u32,
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
            noted: (0..records.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(),
            records,
            rings: (0..threads).map(|_| ring(places)).chain([ring(0)]).collect(),
            wake: OnceLock::new(),
        }
    }

    /// `wake` is called, on the thread of a change, when there is something to drain: once for each thread until
    /// [`Changes::drain`]. Only the first call counts.
    pub fn on_change(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.wake.set(Box::new(wake));
    }

    /// The word and the bit that say whether the record is noted.
    fn flag(&self, record: u32) -> Option<(&AtomicU64, u64)> {
        let word = self.noted.get(record as usize / 64).filter(|_| record < self.records)?;
        Some((word, 1 << (record % 64)))
    }

    /// The record was changed by this thread.
    pub(super) fn mark(&self, record: u32) {
        let Some((noted, bit)) = self.flag(record) else { return };
        barrier::light();
        if noted.load(Relaxed) & bit == 0 {
            self.note(record, noted, bit);
        }
    }

    #[cold]
    fn note(&self, record: u32, noted: &AtomicU64, bit: u64) {
        if noted.fetch_or(bit, AcqRel) & bit != 0 {
            return;
        }
        let last = self.rings.len() - 1;
        let ring = &self.rings[own_ring().min(last)];
        if !ring.push(record) {
            ring.overflow.swap(true, AcqRel);
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
                for (word, first) in self.noted.iter().zip((0..self.records).step_by(64)) {
                    if word.load(Relaxed) != 0 {
                        (first..=first | 63).for_each(|record| any |= self.take(record, &mut f));
                    }
                }
            }
        }
        if any {
            barrier::heavy();
        }
    }

    fn take(&self, record: u32, f: &mut impl FnMut(u32)) -> bool {
        let Some((noted, bit)) = self.flag(record) else { return false };
        // A look first: passing over unchanged flags writes nothing.
        let set = noted.load(Relaxed) & bit != 0 && noted.fetch_and(!bit, AcqRel) & bit != 0;
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
        write!(f, "Changes({} records, {} threads)", self.records, self.rings.len() - 1)
    }
}
