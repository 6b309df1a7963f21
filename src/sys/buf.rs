//! Receive buffers: slices of the ring's provided buffers, reference counted, and what can be sent.

use std::ops::Deref;
use std::sync::Arc;

/// A slice of received bytes. Cloning and splitting share the memory; a provided buffer goes back to its
/// ring when the last slice of it is dropped. Not `Send`: a buffer belongs to its thread.
#[derive(Clone, Debug)]
pub struct RecvBuf {
    _not_send: std::marker::PhantomData<*const ()>,
}

impl RecvBuf {
    /// An empty slice, without memory behind it.
    pub fn empty() -> RecvBuf {
        todo!()
    }

    /// Takes over heap memory as if it had been received.
    pub fn from_vec(_bytes: Vec<u8>) -> RecvBuf {
        todo!()
    }

    /// Cuts off and returns the first `n` bytes; both halves share the memory.
    ///
    /// # Panics
    /// When `n > self.len()`.
    pub fn split_to(&mut self, _n: usize) -> RecvBuf {
        todo!()
    }

    /// Drops the first `n` bytes.
    ///
    /// # Panics
    /// When `n > self.len()`.
    pub fn advance(&mut self, _n: usize) {
        todo!()
    }

    /// Keeps the first `n` bytes only; no effect when there are fewer.
    pub fn truncate(&mut self, _n: usize) {
        todo!()
    }
}

impl Deref for RecvBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}

/// Bytes handed to a socket for sending. The socket owns them until the kernel has taken them.
pub enum SendBuf {
    /// Owned bytes. The vector goes back to a per-thread pool when sent, see `runtime::take_vec`.
    Vec(Vec<u8>),
    /// Received bytes passed on without a copy.
    Recv(RecvBuf),
    /// Constant bytes (internal answers).
    Static(&'static [u8]),
    /// Bytes shared between connections and threads (error files).
    Shared(Arc<[u8]>),
}

impl SendBuf {
    /// The bytes to send.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            SendBuf::Vec(v) => v,
            SendBuf::Recv(r) => r,
            SendBuf::Static(s) => s,
            SendBuf::Shared(s) => s,
        }
    }
}

impl From<Vec<u8>> for SendBuf {
    fn from(v: Vec<u8>) -> Self {
        SendBuf::Vec(v)
    }
}
impl From<RecvBuf> for SendBuf {
    fn from(r: RecvBuf) -> Self {
        SendBuf::Recv(r)
    }
}
impl From<&'static [u8]> for SendBuf {
    fn from(s: &'static [u8]) -> Self {
        SendBuf::Static(s)
    }
}
impl From<Arc<[u8]>> for SendBuf {
    fn from(s: Arc<[u8]>) -> Self {
        SendBuf::Shared(s)
    }
}
