//! The last invalid request and the last invalid response of each proxy, for `show errors`.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::{ProxyId, ServerId};
use crate::base::time::Wall;

/// Most bytes that are kept of a message.
pub const CAPTURE_MAX: usize = 16 << 10;

/// One invalid message.
#[derive(Clone, Debug)]
pub struct Capture {
    /// When it came.
    pub at: Wall,
    /// Its number, from 0 over all proxies; given by [`Captures`].
    pub event: u64,
    /// The client.
    pub src: Option<SocketAddr>,
    /// The frontend.
    pub frontend: ProxyId,
    /// The backend; the frontend itself or `None` while none was chosen.
    pub backend: Option<ProxyId>,
    /// The server.
    pub server: Option<ServerId>,
    /// Its first bytes, at most [`CAPTURE_MAX`].
    pub bytes: Box<[u8]>,
    /// How many bytes there were.
    pub len: usize,
    /// The byte that is wrong.
    pub position: usize,
    /// What is wrong.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Last {
    request: Mutex<Option<Capture>>,
    response: Mutex<Option<Capture>>,
}

/// The captures of every proxy.
#[derive(Debug, Default)]
pub struct Captures {
    proxies: Box<[Last]>,
    events: AtomicU64,
}

impl Captures {
    /// None yet, for so many proxies.
    pub fn new(proxies: usize) -> Captures {
        Captures { proxies: (0..proxies).map(|_| Last::default()).collect(), events: AtomicU64::new(0) }
    }

    fn slot(&self, px: ProxyId, response: bool) -> &Mutex<Option<Capture>> {
        let last = &self.proxies[px.index()];
        if response { &last.response } else { &last.request }
    }

    /// Keep an invalid request of a frontend, or an invalid response of a backend, instead of the one before.
    pub fn keep(&self, px: ProxyId, response: bool, mut capture: Capture) {
        debug_assert!(capture.bytes.len() <= CAPTURE_MAX);
        capture.event = self.events.fetch_add(1, Relaxed);
        *self.slot(px, response).lock().unwrap_or_else(PoisonError::into_inner) = Some(capture);
    }

    /// The last one of a proxy.
    pub fn last(&self, px: ProxyId, response: bool) -> Option<Capture> {
        self.slot(px, response).lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there were.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }
}
