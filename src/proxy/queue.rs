//! Waiting for a server: `maxconn`, `minconn`, `maxqueue`, across threads.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::{Live, Proxy, ServerId, Snapshot};

/// Who waits for what. One per process.
pub struct Queues {}

/// A session on a server: counts against its `maxconn` until dropped, then wakes the next waiter.
pub struct Slot {
    server: ServerId,
}

impl Slot {
    /// The server.
    pub fn server(&self) -> ServerId {
        self.server
    }
}

/// A place in a queue. Dropping it leaves the queue.
pub struct Ticket {
    /// Requests that were ahead in the server's queue (`srv_queue` of the log).
    pub ahead_in_server: u32,
    /// Requests that were ahead in the backend's queue (`backend_queue` of the log).
    pub ahead_in_backend: u32,
}

/// The answer to [`Queues::enter`].
pub enum Entered {
    /// Go ahead.
    Now(Slot),
    /// Wait.
    Wait(Ticket),
    /// The server's queue is as long as `maxqueue` allows: choose another one.
    QueueFull,
}

/// What a wait ends with.
pub enum Granted {
    /// A server is free: the one asked for, or any one of the backend.
    Slot(Slot),
    /// The server asked for went down: choose again.
    Redispatch,
}

impl Queues {
    /// Empty queues.
    pub fn new(_snapshot: Arc<Snapshot>, _live: Arc<Live>) -> Arc<Queues> {
        todo!()
    }

    /// Take a slot of that server (position in `Backend::servers`), or queue for it; `None`: queue for any
    /// server of the backend (after [`Pick::Full`](super::balance::Pick::Full)). A `sticky` request (cookie,
    /// `use-server`) waits for this server and no other.
    pub fn enter(self: &Arc<Self>, _px: &Proxy, _server: Option<usize>, _sticky: bool) -> Entered {
        todo!()
    }

    /// A server's state, weight or limit changed: whoever waits for it and may go elsewhere does, whoever may
    /// run now is woken.
    pub fn server_changed(&self, _px: &Proxy, _server: usize) {
        todo!()
    }
}

impl Ticket {
    /// Ready when the wait is over.
    pub fn poll_granted(&mut self, _cx: &mut Context<'_>) -> Poll<Granted> {
        todo!()
    }

    /// Ready when the wait is over.
    pub async fn granted(&mut self) -> Granted {
        std::future::poll_fn(|cx| self.poll_granted(cx)).await
    }
}
