//! A memory barrier whose cost lies with the rare side.
//!
//! Two threads that each write one thing and then read the other's need a full barrier between both. Where one of them
//! runs for each request and the other some thousand times a second, the rare one asks the kernel to have all threads of
//! the process pass a barrier (membarrier(2)), and the frequent one keeps only the compiler from reordering.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, compiler_fence, fence};

// linux/membarrier.h
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// The kernel does it for us. Until then both sides use full barriers.
static REGISTERED: AtomicBool = AtomicBool::new(false);

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: takes three integers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Register the process, once. To be called before other threads use [`light`]; a thread that has not seen it yet
/// passes the full barrier, which is always right.
pub fn register() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        // Miri has no such call; a sandbox may forbid it.
        let works = !cfg!(miri) && membarrier(REGISTER_PRIVATE_EXPEDITED);
        REGISTERED.store(works, SeqCst);
    });
}

/// The frequent side's barrier, between its write and its read.
#[inline]
pub fn light() {
    if REGISTERED.load(Relaxed) { compiler_fence(SeqCst) } else { fence(SeqCst) }
}

/// The rare side's barrier, between its write and its read.
pub fn heavy() {
    fence(SeqCst);
    if REGISTERED.load(Relaxed) && !membarrier(PRIVATE_EXPEDITED) {
        // It was registered and cannot fail (membarrier(2)); be right all the same from now on.
        REGISTERED.store(false, SeqCst);
    }
}
