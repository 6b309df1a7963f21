//! Splice pipes, pooled per thread.

use std::cell::RefCell;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::runtime::{self, RawPipe};

/// Pipes kept per thread. An empty one holds no pages, but counts against `pipe-user-pages-soft`.
const POOLED: usize = 32;

/// Pipes that the process may have, and has: each costs two descriptors, which connections need more.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static EXISTING: AtomicUsize = AtomicUsize::new(0);
/// Those of them that wait in the threads' pools.
static IDLE: AtomicUsize = AtomicUsize::new(0);

/// Sets how many pipes all threads together may have. Beyond it data is copied through buffers.
pub fn limit_pipes(max: usize) {
    LIMIT.store(max, Relaxed);
}

/// How many pipes are in use, and how many wait to be used again (`PipesUsed`, `PipesFree`).
pub fn pipe_counts() -> (usize, usize) {
    let idle = IDLE.load(Relaxed);
    (EXISTING.load(Relaxed).saturating_sub(idle), idle)
}

thread_local! {
    static POOL: RefCell<Vec<RawPipe>> = const { RefCell::new(Vec::new()) };
}

/// A kernel pipe of up to 1 MiB between two sockets; goes back to the thread's pool when dropped empty.
#[derive(Debug)]
pub struct Pipe {
    /// `None` only while it is dropped.
    raw: Option<RawPipe>,
    held: usize,
}

impl Pipe {
    /// A pipe from the pool, or a new one; `None` when the kernel gives no large one (`pipe-user-pages-soft`, or no
    /// descriptors): copy through buffers then.
    pub fn take() -> Option<Pipe> {
        let raw = runtime::with_io(|io| {
            if io.driver.is_sim() {
                return io.driver.pipe().ok();
            }
            if let Some(pooled) = POOL.with_borrow_mut(Vec::pop) {
                IDLE.fetch_sub(1, Relaxed);
                return Some(pooled);
            }
            let allowed = EXISTING.fetch_add(1, Relaxed) < LIMIT.load(Relaxed);
            let made = if allowed { io.driver.pipe().ok() } else { None };
            if made.is_none() {
                EXISTING.fetch_sub(1, Relaxed);
            }
            made
        })?;
        Some(Pipe { raw: Some(raw), held: 0 })
    }

    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes that the pipe can hold at most (fewer when its pages are partly filled).
    pub fn capacity(&self) -> usize {
        match &self.raw {
            Some(RawPipe::Kernel(pair)) => pair.capacity(),
            _ => 1 << 20,
        }
    }

    pub(super) fn raw(&mut self) -> &mut RawPipe {
        self.raw.as_mut().expect("present until dropped")
    }

    pub(super) fn filled(&mut self, n: usize) {
        self.held += n;
    }

    pub(super) fn drained(&mut self, n: usize) {
        self.held -= n;
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(raw @ RawPipe::Kernel(_)) = self.raw.take() else { return };
        // One with bytes in it (the connection broke) is closed, and so are the simulation's.
        if self.held == 0 {
            let refused = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < POOLED {
                    pool.push(raw);
                    IDLE.fetch_add(1, Relaxed);
                    return false;
                }
                true
            });
            if refused == Ok(false) {
                return;
            }
        }
        EXISTING.fetch_sub(1, Relaxed);
    }
}
