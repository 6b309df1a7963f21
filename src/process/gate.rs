//! How many connections may be accepted: global `maxconn`, the frontends' `maxconn`, `maxconnrate`,
//! `maxsessrate`, `rate-limit sessions`. Connections that may not be accepted yet wait in the kernel's queue.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::time::Mono;
use crate::proxy::ProxyId;
use crate::runtime::ThreadHandle;

/// A number of things and its limit; 0 means no limit.
#[derive(Debug, Default)]
struct Limit {
    current: AtomicU32,
    max: AtomicU32,
}

impl Limit {
    fn new(max: u32) -> Limit {
        Limit { current: AtomicU32::new(0), max: AtomicU32::new(max) }
    }

    fn is_full(&self) -> bool {
        let max = self.max.load(SeqCst);
        max != 0 && self.current.load(SeqCst) >= max
    }

    fn take(&self) -> bool {
        let max = self.max.load(SeqCst);
        let more = |n: u32| (max == 0 || n < max).then_some(n + 1);
        self.current.fetch_update(SeqCst, SeqCst, more).is_ok()
    }
}

/// At most so many events per second, with bursts of up to one second's worth: the "generic cell rate" form, one
/// atomic word. The word is the time at which the bucket will be empty again.
#[derive(Debug)]
struct RateLimit {
    per_second: u32,
    empty_at_ns: AtomicU64,
}

const SECOND_NS: u64 = 1_000_000_000;

impl RateLimit {
    fn new(per_second: u32) -> RateLimit {
        RateLimit { per_second, empty_at_ns: AtomicU64::new(0) }
    }

    /// When the next event is allowed; `None`: now.
    fn later(&self, now: Mono) -> Option<Mono> {
        if self.per_second == 0 {
            return None;
        }
        let step = SECOND_NS / u64::from(self.per_second);
        let full_at = self.empty_at_ns.load(SeqCst).max(now.0) + step;
        let at = Mono(full_at.saturating_sub(SECOND_NS.max(step)));
        (at > now).then_some(at)
    }

    /// Account one event.
    fn add(&self, now: Mono) {
        if self.per_second > 0 {
            let step = SECOND_NS / u64::from(self.per_second);
            let _ =
                self.empty_at_ns.fetch_update(SeqCst, SeqCst, |empty_at| Some(empty_at.max(now.0) + step));
        }
    }
}

/// One per process.
pub struct Gate {
    process: Limit,
    process_rate: RateLimit,
    session_rate: RateLimit,
    frontends: Vec<(Limit, RateLimit)>,
    anybody_waits: AtomicBool,
    waiting: Mutex<Vec<ThreadHandle>>,
}

/// What [`Gate::enter`] says.
pub enum Entry {
    /// Accept one connection and keep this until it ends.
    Pass(Pass),
    /// Full: wait until somebody leaves.
    Full,
    /// Too fast: try again then.
    Later(Mono),
}

/// The right to one connection.
pub struct Pass {
    gate: Arc<Gate>,
    proxy: usize,
}

/// Limits of the gate.
#[derive(Clone, Debug, Default)]
pub struct GateLimits {
    /// Connections of the process.
    pub maxconn: u32,
    /// `maxconnrate`.
    pub maxconnrate: u32,
    /// `maxsessrate`.
    pub maxsessrate: u32,
    /// `maxconn` and `rate-limit sessions` of each proxy, by `ProxyId`.
    pub frontends: Vec<(u32, u32)>,
}

impl Gate {
    /// An open gate. 0 is no limit everywhere.
    pub fn new(limits: &GateLimits) -> Arc<Gate> {
        Arc::new(Gate {
            process: Limit::new(limits.maxconn),
            process_rate: RateLimit::new(limits.maxconnrate),
            session_rate: RateLimit::new(limits.maxsessrate),
            frontends: limits
                .frontends
                .iter()
                .map(|(maxconn, rate)| (Limit::new(*maxconn), RateLimit::new(*rate)))
                .collect(),
            anybody_waits: AtomicBool::new(false),
            waiting: Mutex::new(Vec::new()),
        })
    }

    /// Ask for the right to one connection of `proxy`.
    pub fn enter(self: &Arc<Self>, proxy: ProxyId, now: Mono) -> Entry {
        if let Some(at) = self.later(proxy, now) {
            return Entry::Later(at);
        }
        let index = proxy.index();
        let (limit, rate) = &self.frontends[index];
        if !self.process.take() {
            return Entry::Full;
        }
        if !limit.take() {
            self.process.current.fetch_sub(1, SeqCst);
            return Entry::Full;
        }
        self.process_rate.add(now);
        self.session_rate.add(now);
        rate.add(now);
        Entry::Pass(Pass { gate: self.clone(), proxy: index })
    }

    /// Whether [`Gate::enter`] would say [`Entry::Full`].
    pub fn is_full(&self, proxy: ProxyId) -> bool {
        self.process.is_full() || self.frontends[proxy.index()].0.is_full()
    }

    /// When the rate limits allow the next connection; `None`: now.
    pub fn later(&self, proxy: ProxyId, now: Mono) -> Option<Mono> {
        let rates = [&self.process_rate, &self.session_rate, &self.frontends[proxy.index()].1];
        rates.iter().filter_map(|r| r.later(now)).max()
    }

    /// Be woken (by a message to that thread) when a connection ends. Check again after this call: it may just have
    /// happened.
    pub fn wait(&self, thread: ThreadHandle) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|t| t.index() == thread.index()) {
            waiting.push(thread);
        }
        self.anybody_waits.store(true, SeqCst);
    }

    /// Change the limit of connections of a frontend (0: none), or of the process.
    pub fn set_maxconn(&self, proxy: Option<ProxyId>, maxconn: u32) {
        match proxy {
            Some(id) => self.frontends[id.index()].0.max.store(maxconn, SeqCst),
            None => self.process.max.store(maxconn, SeqCst),
        }
        self.wake();
    }

    /// Connections that passed and have not ended.
    pub fn connections(&self) -> u32 {
        self.process.current.load(SeqCst)
    }

    /// The process's limit, 0 for none.
    pub fn maxconn(&self) -> u32 {
        self.process.max.load(SeqCst)
    }

    fn wake(&self) {
        if !self.anybody_waits.swap(false, SeqCst) {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in waiting {
            thread.post(Box::new(super::worker::room_again));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gate.process.current.fetch_sub(1, SeqCst);
        self.gate.frontends[self.proxy].0.current.fetch_sub(1, SeqCst);
        self.gate.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(maxconn: u32, frontend: u32, rate: u32) -> Arc<Gate> {
        Gate::new(&GateLimits { maxconn, frontends: vec![(frontend, rate), (0, 0)], ..GateLimits::default() })
    }

    #[test]
    fn limits_hold_and_are_given_back() {
        let g = gate(3, 2, 0);
        let (a, b) = (ProxyId(0), ProxyId(1));
        let mut held: Vec<Entry> = (0..2).map(|_| g.enter(a, Mono(0))).collect();
        assert!(matches!(g.enter(a, Mono(0)), Entry::Full), "the frontend is full");
        held.push(g.enter(b, Mono(0)));
        assert!(matches!(g.enter(b, Mono(0)), Entry::Full), "the process is full");
        assert_eq!(g.connections(), 3);
        held.clear();
        assert_eq!(g.connections(), 0);
        assert!(matches!(g.enter(a, Mono(0)), Entry::Pass(_)));
    }

    #[test]
    fn rate_allows_a_second_of_burst_then_a_steady_flow() {
        let g = gate(0, 0, 10);
        let a = ProxyId(0);
        for i in 0..10 {
            assert!(matches!(g.enter(a, Mono(0)), Entry::Pass(_)), "{i}");
        }
        let Entry::Later(at) = g.enter(a, Mono(0)) else { panic!("the burst is used up") };
        assert_eq!(at, Mono(SECOND_NS / 10));
        assert!(matches!(g.enter(a, at), Entry::Pass(_)));
        assert!(matches!(g.enter(a, at), Entry::Later(_)));
    }
}
