//! The atomics that tables are made of, and what else a model checker has to replace (`tests/stick_model.rs`).

use std::cell::Cell;

pub(super) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};

thread_local! {
    /// The ring of this thread's changes, in every table; `usize::MAX`: none.
    static OWN_RING: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The ring of this thread's changes, in every table; `usize::MAX`: none.
pub(super) fn own_ring() -> usize {
    OWN_RING.get()
}

pub(super) fn set_own_ring(ring: usize) {
    OWN_RING.set(ring);
}

/// What hashes of a new table start from: clients must not know it.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
