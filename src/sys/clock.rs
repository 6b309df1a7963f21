//! Clock reads. Only the runtime (once per turn) and the process start use them.

use crate::base::time::{Mono, Wall};

/// `CLOCK_MONOTONIC` now.
pub fn mono() -> Mono {
    let (s, ns) = read(libc::CLOCK_MONOTONIC);
    Mono(s as u64 * 1_000_000_000 + ns as u64)
}

/// `CLOCK_REALTIME` now.
pub fn wall() -> Wall {
    let (s, ns) = read(libc::CLOCK_REALTIME);
    Wall(s.max(0) as u64 * 1_000_000 + ns as u64 / 1000)
}

/// CPU time of the calling thread in nanoseconds (`CLOCK_THREAD_CPUTIME_ID`).
pub fn thread_cpu_ns() -> u64 {
    let (s, ns) = read(libc::CLOCK_THREAD_CPUTIME_ID);
    s as u64 * 1_000_000_000 + ns as u64
}

fn read(clock: libc::clockid_t) -> (i64, i64) {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid timespec to write to. These clocks always exist, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut ts) };
    (ts.tv_sec, ts.tv_nsec)
}
