//! Listening sockets.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};

use super::{BindOpts, SockAddr, Socket};
use crate::runtime::ThreadHandle;

/// A listening socket of this thread. Accepts in the background once `accept` has been called.
pub struct Listener {
    slot: u32,
}

impl Listener {
    /// Opens a listening socket's descriptor: callable from any thread, before the runtime runs (privileges). Unless
    /// `no_reuseport`, call it once per thread with the same address. A Unix path is bound under a temporary name and
    /// renamed over a stale socket.
    pub fn open(_addr: &SockAddr, _opts: &BindOpts) -> io::Result<OwnedFd> {
        todo!()
    }

    /// Takes a listening descriptor into this thread's ring.
    pub fn from_fd(_fd: OwnedFd) -> io::Result<Listener> {
        todo!()
    }

    /// `open` and `from_fd`; on a simulated runtime, a simulated listener.
    pub fn bind(_addr: &SockAddr, _opts: &BindOpts) -> io::Result<Listener> {
        todo!()
    }

    /// The next connection and its peer's address. A lack of descriptors or memory is waited out (100 ms steps), so errors
    /// mean that the listener itself is dead.
    pub async fn accept(&self) -> io::Result<(Socket, SockAddr)> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Poll form of `accept`.
    pub fn poll_accept(&self, _cx: &mut Context<'_>) -> Poll<io::Result<(Socket, SockAddr)>> {
        let _ = self.slot;
        todo!()
    }

    /// Accepts on this thread and deals the connections out to `threads` in turn: `serve` runs there. For handed listeners that
    /// all threads share. Runs until the listener is dead or the future is dropped.
    pub async fn deal(
        &self,
        _threads: Vec<ThreadHandle>,
        _serve: impl Fn(Socket, SockAddr) + Send + Clone + 'static,
    ) -> io::Result<()> {
        todo!()
    }

    /// Stops accepting; connections wait in the kernel's queue.
    pub fn pause(&self) {
        todo!()
    }

    /// Accepts again.
    pub fn resume(&self) {
        todo!()
    }

    /// The bound address (with the port that the kernel chose).
    pub fn local_addr(&self) -> io::Result<SockAddr> {
        todo!()
    }
}
