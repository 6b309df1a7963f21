//! Connections change processes: what a process that stops gives its successor, and how that one goes on.
//!
//! ```text
//! old process                                      new process
//! Worker::stop_for(Heir)                           Estate: knows its listeners and servers by name
//!   idle client ──┐
//!   part of a head├─ quiet ─> Successor::offer ──> Estate::read ─> Arrival ─> adopt ─> the same life goes on
//! ```
//! A connection is given away only when the kernel has nothing of ours in flight on it, and only when the successor
//! has said that it knows everything that the connection needs; else it stays and ends here as without a successor.
//! What is counted once (connections, sessions) stays counted here; gauges move.

mod client;
mod codec;
mod names;
mod state;
#[cfg(test)]
mod tests;
mod tunnel;

use std::cell::Cell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use crate::net::{Channel, Socket};
use crate::proxy::{ListenerId, ServerId, Snapshot};
use crate::runtime::{self, Notify, now};

pub use client::adopt;
pub(super) use client::{Left, RECEIVED_MAX, leave};
pub use names::{Arrival, Estate, Known};
pub(super) use tunnel::{Tunnelled, leave_with_tunnel};

/// The version of the messages: processes that say different ones hand nothing over.
pub const VERSION: u32 = 2;

/// How long a full channel is waited for before the successor counts as dead.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(2);

/// Brings connections to another process.
pub trait Carrier: Send + Sync {
    /// Brings a message and its descriptors there, or nothing of it.
    ///
    /// # Errors
    /// `WouldBlock`: later; `InvalidInput`: not this one; anything else: never again.
    fn carry(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()>;
}

impl Carrier for Channel {
    fn carry(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send(message, fds)
    }
}

/// The process that takes our connections.
pub struct Successor {
    carrier: Arc<dyn Carrier>,
    alive: AtomicBool,
    /// What it knows of our configuration.
    known: Known,
}

impl Successor {
    /// The process at the other end of a channel. `names`: what it said that it knows.
    pub fn new<'n>(
        carrier: Arc<dyn Carrier>,
        snapshot: &Snapshot,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Successor {
        Successor { carrier, alive: AtomicBool::new(true), known: Known::new(snapshot, names) }
    }

    /// It is gone.
    pub fn lose(&self) {
        self.alive.store(false, Relaxed);
    }

    /// Nothing more goes there.
    fn is_gone(&self) -> bool {
        !self.alive.load(Relaxed)
    }

    fn offer(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let sent = self.carrier.carry(message, fds);
        if sent
            .as_ref()
            .is_err_and(|e| !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::InvalidInput))
        {
            self.lose();
        }
        sent
    }
}

/// A thread's way to the successor: one connection at a time waits for room in the channel.
pub(super) struct Heir {
    successor: Arc<Successor>,
    sending: Cell<bool>,
    next: Notify,
}

/// The turn of one connection.
struct Turn<'a>(&'a Heir);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.sending.set(false);
        self.0.next.notify_one();
    }
}

impl Heir {
    pub fn new(successor: Arc<Successor>) -> Heir {
        Heir { successor, sending: Cell::new(false), next: Notify::new() }
    }

    /// Whether it takes clients of that listener.
    pub fn takes(&self, listener: ListenerId) -> bool {
        !self.successor.is_gone() && self.successor.known.listener(listener).is_some()
    }

    /// Whether it takes tunnels from that listener to that server.
    pub fn takes_tunnels(&self, listener: ListenerId, server: ServerId) -> bool {
        self.takes(listener) && self.successor.known.server(server)
    }

    pub fn known(&self) -> &Known {
        &self.successor.known
    }

    /// Sends a connection. False: it was not taken, and stays.
    pub async fn send(&self, message: &[u8], sockets: &[&Socket]) -> bool {
        while self.sending.get() {
            self.next.notified().await;
        }
        self.sending.set(true);
        let _turn = Turn(self);
        let limit = now() + PATIENCE;
        while !self.successor.is_gone() {
            match self.try_send(message, sockets) {
                Ok(()) => return true,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock && now() < limit => {
                    runtime::sleep(AGAIN).await
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.successor.lose(),
                Err(_) => return false,
            }
        }
        false
    }

    fn try_send(&self, message: &[u8], sockets: &[&Socket]) -> io::Result<()> {
        match sockets {
            [one] => one.lend(|a| self.successor.offer(message, &[a])),
            [one, two] => one.lend(|a| two.lend(|b| self.successor.offer(message, &[a, b]))),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// Descriptors that came with a message.
type Fds = Vec<OwnedFd>;
