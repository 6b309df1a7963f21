//! Splice pipes, pooled per thread.

/// A kernel pipe of up to 1 MiB between two sockets; goes back to the thread's pool when dropped empty.
pub struct Pipe {
    held: usize,
}

impl Pipe {
    /// A pipe from the pool, or a new one; `None` when the kernel gives no large one (`pipe-user-pages-soft`):
    /// copy through buffers then.
    pub fn take() -> Option<Pipe> {
        todo!()
    }
    /// Bytes in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }
    /// Bytes that the pipe can hold at most.
    pub fn capacity(&self) -> usize {
        todo!()
    }
}
