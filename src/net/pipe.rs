//! Splice pipes, pooled per thread.

use std::cell::RefCell;

use crate::runtime::{self, RawPipe};

/// Pipes kept per thread. An empty one holds no pages, but counts against `pipe-user-pages-soft`.
const POOLED: usize = 32;

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
            let pooled = if io.driver.is_sim() { None } else { POOL.with_borrow_mut(Vec::pop) };
            pooled.or_else(|| io.driver.pipe().ok())
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
        // One with bytes in it (the connection broke) is closed, and so are the simulation's.
        if let Some(raw @ RawPipe::Kernel(_)) = self.raw.take()
            && self.held == 0
        {
            let _ = POOL.try_with(|pool| {
                let mut pool = pool.borrow_mut();
                if pool.len() < POOLED {
                    pool.push(raw);
                }
            });
        }
    }
}
