//! Counts of what goes on at this moment (`conn_cur`): one word, in which each process that uses the table has its own
//! part (21 bits), so that what a killed one counted can be taken back exactly.

use std::sync::atomic::Ordering::Relaxed;

use super::atomics::AtomicU64;
use super::index::PROCESSES;

const BITS: u32 = 21;
const MAX: u64 = (1 << BITS) - 1;

fn part(word: u64, process: usize) -> u64 {
    (word >> (BITS * process as u32)) & MAX
}

fn total(word: u64) -> u64 {
    (0..PROCESSES).map(|p| part(word, p)).sum()
}

/// Change a process's part; gives the new total. Parts stay between 0 and 2097151.
fn update(word: &AtomicU64, process: usize, f: impl Fn(u64, u64) -> u64) -> u64 {
    let shift = BITS * process as u32;
    let mut old = word.load(Relaxed);
    loop {
        let own = f(part(old, process), total(old)).min(MAX);
        let new = (old & !(MAX << shift)) | (own << shift);
        if new == old {
            return total(old);
        }
        match word.compare_exchange_weak(old, new, Relaxed, Relaxed) {
            Ok(_) => return total(new),
            Err(now) => old = now,
        }
    }
}

pub(super) fn read(word: &AtomicU64) -> u64 {
    total(word.load(Relaxed))
}

pub(super) fn add(word: &AtomicU64, process: usize, n: u64) -> u64 {
    update(word, process, |own, _| own.saturating_add(n))
}

pub(super) fn sub(word: &AtomicU64, process: usize, n: u64) {
    update(word, process, |own, _| own.saturating_sub(n));
}

/// Make the total `value`, as far as this process's part allows.
pub(super) fn set(word: &AtomicU64, process: usize, value: u64) {
    update(word, process, |own, total| value.saturating_sub(total - own));
}

/// The process is gone.
pub(super) fn give_back(word: &AtomicU64, process: usize) {
    update(word, process, |_, _| 0);
}
