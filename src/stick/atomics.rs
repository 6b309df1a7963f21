//! The atomics that tables are made of, and what else a model checker has to replace (`tests/stick_model.rs`).

pub(super) use std::sync::atomic::{AtomicU64, fence};

/// What hashes of a new table start from: clients must not know it.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
