//! What is going on: fixed-size records of atomics, no pointers, so that the whole can lie in shared memory.
//!
//! Two kinds of records. *Shared* state is what decisions need at once on every thread: sessions of a server,
//! its state, its weight, the queue lengths. *Counters* have one block per thread with a single writer (a plain
//! load and store, no locked instruction) and are summed on read. Rates are not counted at all: whoever calls
//! [`Live::tick`] once a second derives them from the counters.

mod address;
mod carry;
mod change;
mod control;
mod counters;
pub mod image;
mod state;

pub use address::LiveAddr;
pub use carry::{Configured, Since};
pub use change::Changed;
pub use control::CheckControl;
pub use counters::{
    BackendCounters, BackendTotals, Counter, FrontendCounters, FrontendTotals, ListenerCounters,
    ListenerTotals, Mean, MeanTotal, ProcessCounters, ProcessTotals, ServerCounters, ServerTotals,
};
pub use state::{
    AdminFlags, BackendState, FrontendMode, FrontendState, Gauge, Limit, ListenerState, ProcessState, Rate,
    ServerState, ServerStatus,
};

use std::net::SocketAddr;
use std::sync::atomic::Ordering::SeqCst;

use super::{ListenerId, Proxy, ProxyId, Server, ServerId, Snapshot};

/// Every record. Indexed by the ids of the snapshot that it was made for.
pub struct Live {
    /// The process.
    pub process: ProcessState,
    /// Shared server state.
    pub servers: Box<[ServerState]>,
    /// Shared state of the server side of each proxy (unused records for pure frontends).
    pub backends: Box<[BackendState]>,
    /// Shared state of the client side of each proxy (unused records for pure backends).
    pub frontends: Box<[FrontendState]>,
    /// Shared listener state.
    pub listeners: Box<[ListenerState]>,
    /// One block per thread.
    pub threads: Box<[ThreadCounters]>,
    /// What processes before this one counted. Written by the control thread only.
    pub past: ThreadCounters,
}

/// The counters that one thread writes.
pub struct ThreadCounters {
    /// The process.
    pub process: ProcessCounters,
    /// Servers.
    pub servers: Box<[ServerCounters]>,
    /// Server sides.
    pub backends: Box<[BackendCounters]>,
    /// Client sides.
    pub frontends: Box<[FrontendCounters]>,
    /// Listeners.
    pub listeners: Box<[ListenerCounters]>,
}

impl ThreadCounters {
    fn new(snapshot: &Snapshot) -> ThreadCounters {
        ThreadCounters {
            process: ProcessCounters::default(),
            servers: make(snapshot.servers.len()),
            backends: make(snapshot.proxies.len()),
            frontends: make(snapshot.proxies.len()),
            listeners: make(snapshot.listeners.len()),
        }
    }
}

impl Live {
    /// Records for `snapshot` and `threads` threads, in the state of a fresh start: servers up (down when they
    /// have no address), `disabled` ones in maintenance, weights as configured.
    pub fn new(snapshot: &Snapshot, threads: usize) -> Live {
        let n = snapshot.proxies.len();
        let live = Live {
            process: ProcessState::default(),
            servers: make(snapshot.servers.len()),
            backends: make(n),
            frontends: make(n),
            listeners: make(snapshot.listeners.len()),
            threads: (0..threads.max(1)).map(|_| ThreadCounters::new(snapshot)).collect(),
            past: ThreadCounters::new(snapshot),
        };
        for px in &snapshot.proxies {
            let unpublished = px.backend.as_ref().is_some_and(|b| b.unpublished);
            live.backend(px.id).unpublished.store(u32::from(unpublished), SeqCst);
            for srv in px.backend.iter().flat_map(|b| &b.servers) {
                live.server(srv.id).start(srv);
            }
        }
        live
    }

    /// Shared state of a server.
    pub fn server(&self, id: ServerId) -> &ServerState {
        &self.servers[id.index()]
    }

    /// The internet address of a server: the configured one, or the one that took its place.
    pub fn server_inet(&self, srv: &Server) -> Option<SocketAddr> {
        self.server(srv.id).address.get().or_else(|| srv.addr.as_ref()?.inet())
    }

    /// Shared state of a server side.
    pub fn backend(&self, id: ProxyId) -> &BackendState {
        &self.backends[id.index()]
    }

    /// True when the rules of other proxies may route to `px`: it is neither disabled nor unpublished.
    pub fn takes_routes(&self, px: &Proxy) -> bool {
        !px.disabled && self.backend(px.id).unpublished.load(SeqCst) == 0
    }

    /// Shared state of a client side.
    pub fn frontend(&self, id: ProxyId) -> &FrontendState {
        &self.frontends[id.index()]
    }

    /// Shared state of a listener.
    pub fn listener(&self, id: ListenerId) -> &ListenerState {
        &self.listeners[id.index()]
    }

    /// The counters that thread `index` writes.
    pub fn thread(&self, index: usize) -> &ThreadCounters {
        &self.threads[index]
    }

    /// The counters of every thread, and of the processes before this one.
    fn blocks(&self) -> impl Iterator<Item = &ThreadCounters> {
        self.threads.iter().chain([&self.past])
    }

    /// A server's counters, summed.
    pub fn server_totals(&self, id: ServerId) -> ServerTotals {
        ServerTotals::sum(self.blocks().map(|t| &t.servers[id.index()]))
    }

    /// A server side's counters, summed.
    pub fn backend_totals(&self, id: ProxyId) -> BackendTotals {
        BackendTotals::sum(self.blocks().map(|t| &t.backends[id.index()]))
    }

    /// A client side's counters, summed.
    pub fn frontend_totals(&self, id: ProxyId) -> FrontendTotals {
        FrontendTotals::sum(self.blocks().map(|t| &t.frontends[id.index()]))
    }

    /// A listener's counters, summed.
    pub fn listener_totals(&self, id: ListenerId) -> ListenerTotals {
        ListenerTotals::sum(self.blocks().map(|t| &t.listeners[id.index()]))
    }

    /// A second has passed: bring every rate up to date. One thread calls it.
    pub fn tick(&self, now_ns: u64) {
        let t = self.process_totals();
        self.process.connection_rate.tick(t.connections, now_ns);
        self.process.session_rate.tick(t.sessions, now_ns);
        self.process.request_rate.tick(t.requests, now_ns);
        for (i, state) in self.frontends.iter().enumerate() {
            let t = FrontendTotals::sum(self.blocks().map(|t| &t.frontends[i]));
            state.connection_rate.tick(t.connections, now_ns);
            state.session_rate.tick(t.sessions, now_ns);
            state.request_rate.tick(t.requests, now_ns);
        }
        for (i, state) in self.backends.iter().enumerate() {
            let t = BackendTotals::sum(self.blocks().map(|t| &t.backends[i]));
            state.session_rate.tick(t.sessions, now_ns);
            state.request_rate.tick(t.requests, now_ns);
        }
        for (i, state) in self.servers.iter().enumerate() {
            let t = ServerTotals::sum(self.blocks().map(|t| &t.servers[i]));
            state.session_rate.tick(t.sessions, now_ns);
        }
    }

    /// The process's counters, summed.
    pub fn process_totals(&self) -> ProcessTotals {
        ProcessTotals::sum(self.blocks().map(|t| &t.process))
    }
}

fn make<T: Default>(n: usize) -> Box<[T]> {
    std::iter::repeat_with(T::default).take(n).collect()
}

#[cfg(test)]
mod tests;
