//! A waker that is a number: no allocation, no reference count.

use std::task::{RawWaker, RawWakerVTable, Waker};

/// Called with the number when such a waker wakes, on whatever thread that happens.
pub type WakeFn = fn(u64);

static WAKE: std::sync::OnceLock<WakeFn> = std::sync::OnceLock::new();

static VTABLE: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &VTABLE), wake, wake, |_| {});

fn wake(data: *const ()) {
    if let Some(f) = WAKE.get() {
        f(data.addr() as u64);
    }
}

/// A waker that calls `f(id)`. All callers must pass the same `f`: the first one stays.
pub fn number_waker(id: u64, f: WakeFn) -> Waker {
    let registered = WAKE.get_or_init(|| f);
    debug_assert!(std::ptr::fn_addr_eq(*registered, f));
    let data = std::ptr::without_provenance(id as usize);
    // SAFETY: the vtable upholds the contract trivially: the data is a plain number, cloning copies it, dropping does
    // nothing, and waking calls a safe function that may run on any thread.
    unsafe { Waker::from_raw(RawWaker::new(data, &VTABLE)) }
}

const _: () = assert!(usize::BITS == 64, "a waker's data pointer holds 64 bits");
