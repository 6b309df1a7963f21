//! Waiting for a server: `maxconn`, `minconn`, `maxqueue`, across threads.
//!
//! Taking a session of a server is one compare-and-swap on the server's gauge as long as nobody waits. When the
//! server is full, or others wait already, the request gets a [`Ticket`] under the backend's lock. Whoever gives a
//! session back looks at the counts of waiters and, only if there are any, takes the lock and hands the session
//! on to the oldest one: of the server's own queue and of the backend's queue, whichever came first.
//!
//! No wake-up can be lost: a waiter first raises the count of waiters and then tries to take a session; a
//! session is first given back and then the count is read; all four are sequentially consistent, so at least
//! one of the two sees the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::balance::dynamic_limit;
use super::{Live, Proxy, ProxyId, Server, ServerId, Snapshot};

/// Who waits for what. One per process.
pub struct Queues {
    snapshot: Arc<Snapshot>,
    live: Arc<Live>,
    /// By [`ProxyId`].
    backends: Box<[Mutex<Waiting>]>,
}

/// Place in a queue: priority class (lower first), then the order of arrival.
type Place = (i32, u64);

/// The queues of one backend.
#[derive(Default)]
struct Waiting {
    arrivals: u64,
    /// Those who take any server.
    any: BTreeMap<Place, Arc<Waiter>>,
    /// Those who wait for one server, by its position; made when first needed.
    own: Vec<BTreeMap<Place, Arc<Waiter>>>,
}

struct Waiter {
    /// Stays with its server as long as that one is up.
    sticky: bool,
    state: Mutex<WaiterState>,
}

#[derive(Default)]
struct WaiterState {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Server(usize),
    Redispatch,
}

/// A session on a server: counts against its `maxconn` until dropped, then goes to the next waiter.
pub struct Slot {
    queues: Arc<Queues>,
    proxy: ProxyId,
    index: usize,
    server: ServerId,
}

impl Slot {
    /// The server.
    pub fn server(&self) -> ServerId {
        self.server
    }

    /// Its position in `Backend::servers`.
    pub fn index(&self) -> usize {
        self.index
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queues.release(self.proxy, self.index);
    }
}

/// A place in a queue. Dropping it leaves the queue.
pub struct Ticket {
    /// Position in the server's queue, from 1; 0 when it waits for any server (`srv_queue` of the log).
    pub place_in_server: u32,
    /// Position in the backend's queue, from 1; 0 when it waits for one server (`backend_queue` of the log).
    pub place_in_backend: u32,
    queues: Arc<Queues>,
    proxy: ProxyId,
    place: Place,
    waiter: Arc<Waiter>,
    done: bool,
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
    pub fn new(snapshot: Arc<Snapshot>, live: Arc<Live>) -> Arc<Queues> {
        let backends = snapshot.proxies.iter().map(|_| Mutex::default()).collect();
        Arc::new(Queues { snapshot, live, backends })
    }

    /// Take a slot of that server (position in `Backend::servers`), or queue for it; `None`: queue for any
    /// server of the backend (after [`Pick::Full`](super::balance::Pick::Full)). A `sticky` request (cookie,
    /// `use-server`) does not change to the backend's queue when its server goes down: it is asked to choose
    /// again if the backend redispatches, and waits on if not.
    pub fn enter(self: &Arc<Self>, px: &Proxy, server: Option<usize>, sticky: bool) -> Entered {
        self.enter_class(px, server, sticky, 0)
    }

    /// The slot of a session that another process has begun, whatever the limits are here.
    pub fn resume(self: &Arc<Self>, px: &Proxy, server: usize) -> Slot {
        self.live.server(px.backend().servers[server].id).sessions.inc();
        self.slot(px.id, server)
    }

    /// Like [`Queues::enter`], with a priority class: lower ones are served first (`set-priority-class`).
    pub fn enter_class(
        self: &Arc<Self>,
        px: &Proxy,
        server: Option<usize>,
        sticky: bool,
        class: i32,
    ) -> Entered {
        if let Some(i) = server {
            let srv = &px.backend().servers[i];
            if self.try_take(px, srv) {
                return Entered::Now(self.slot(px.id, i));
            }
            let queued = &self.live.server(srv.id).queued;
            if srv.maxqueue > 0 && queued.get() >= srv.maxqueue {
                return Entered::QueueFull;
            }
        }
        Entered::Wait(self.wait(px, server, sticky, class))
    }

    /// The fast path: nobody waits and the server has room.
    fn try_take(&self, px: &Proxy, srv: &Server) -> bool {
        let state = self.live.server(srv.id);
        let limit = dynamic_limit(px, srv, &self.live);
        if limit == 0 {
            state.sessions.inc();
            return true;
        }
        state.queued.get() == 0
            && self.live.backend(px.id).queued.get() == 0
            && state.sessions.inc_below(limit)
    }

    fn wait(self: &Arc<Self>, px: &Proxy, server: Option<usize>, sticky: bool, class: i32) -> Ticket {
        let waiter = Arc::new(Waiter { sticky, state: Mutex::default() });
        let mut waiting = self.lock(px.id);
        waiting.arrivals += 1;
        let place = (class, waiting.arrivals);
        let be = &self.live.backend(px.id).queued;
        let mut position = (0, be.get() + 1);
        match server {
            Some(i) => {
                let queued = &self.live.server(px.backend().servers[i].id).queued;
                position = (queued.get() + 1, 0);
                queued.inc();
                waiting.own_queue(i).insert(place, Arc::clone(&waiter));
            }
            None => {
                be.inc();
                waiting.any.insert(place, Arc::clone(&waiter));
            }
        }
        // Someone may have left before we were counted.
        match server {
            Some(i) => self.serve(px, &mut waiting, i),
            None => self.serve_all(px, &mut waiting),
        }
        drop(waiting);
        Ticket {
            place_in_server: position.0,
            place_in_backend: position.1,
            queues: Arc::clone(self),
            proxy: px.id,
            place,
            waiter,
            done: false,
        }
    }

    /// A server's state, weight or limit changed: whoever waits for it and may go elsewhere does, whoever may
    /// run now is woken.
    pub fn server_changed(&self, px: &Proxy, server: usize) {
        let Some(be) = &px.backend else { return };
        let mut waiting = self.lock(px.id);
        let state = self.live.server(be.servers[server].id);
        if !state.is_up() {
            let redispatch = be.redispatch != 0;
            let leaving: Vec<(Place, Arc<Waiter>)> =
                waiting.own_queue(server).extract_if(.., |_, w| !w.sticky || redispatch).collect();
            for (place, waiter) in leaving {
                state.queued.dec();
                if waiter.sticky {
                    waiter.finish(Outcome::Redispatch);
                } else {
                    self.live.backend(px.id).queued.inc();
                    waiting.any.insert(place, waiter);
                }
            }
        }
        self.serve_all(px, &mut waiting);
    }

    /// A session of server `index` ends.
    fn release(&self, proxy: ProxyId, index: usize) {
        let px = self.snapshot.proxy(proxy);
        let state = self.live.server(px.backend().servers[index].id);
        state.sessions.dec();
        if state.queued.get() == 0 && self.live.backend(proxy).queued.get() == 0 {
            return;
        }
        let mut waiting = self.lock(proxy);
        self.serve(px, &mut waiting, index);
    }

    fn serve_all(&self, px: &Proxy, waiting: &mut Waiting) {
        for i in 0..px.backend().servers.len() {
            self.serve(px, waiting, i);
        }
    }

    /// Hand free sessions of server `index` to the oldest waiters.
    fn serve(&self, px: &Proxy, waiting: &mut Waiting, index: usize) {
        let srv = &px.backend().servers[index];
        let state = self.live.server(srv.id);
        let for_all = takes_from_backend_queue(px, srv, &self.live);
        loop {
            let own = waiting.own.get(index).and_then(|q| q.keys().next().copied());
            let any = for_all.then(|| waiting.any.keys().next().copied()).flatten();
            if own.is_none() && any.is_none() {
                return;
            }
            let limit = dynamic_limit(px, srv, &self.live);
            if !state.sessions.inc_below(limit) {
                return;
            }
            let from_own = any.is_none_or(|a| own.is_some_and(|o| o < a));
            let next = if from_own { waiting.own_queue(index).pop_first() } else { waiting.any.pop_first() };
            let Some((_, waiter)) = next else {
                state.sessions.dec();
                return;
            };
            let gauge = if from_own { &state.queued } else { &self.live.backend(px.id).queued };
            gauge.dec();
            waiter.finish(Outcome::Server(index));
        }
    }

    fn slot(self: &Arc<Self>, proxy: ProxyId, index: usize) -> Slot {
        let server = self.snapshot.proxy(proxy).backend().servers[index].id;
        Slot { queues: Arc::clone(self), proxy, index, server }
    }

    fn lock(&self, proxy: ProxyId) -> MutexGuard<'_, Waiting> {
        // Nothing in a critical section panics half-way through a change of the lists.
        self.backends[proxy.index()].lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Leave the queue. False when the wait had ended before.
    fn leave(&self, proxy: ProxyId, place: Place) -> bool {
        let mut waiting = self.lock(proxy);
        if waiting.any.remove(&place).is_some() {
            self.live.backend(proxy).queued.dec();
            return true;
        }
        let servers = &self.snapshot.proxy(proxy).backend().servers;
        let found = waiting.own.iter_mut().position(|q| q.remove(&place).is_some());
        if let Some(i) = found {
            self.live.server(servers[i].id).queued.dec();
        }
        found.is_some()
    }
}

/// True when requests that take any server may run on this one: in use, and not a backup that stands by.
fn takes_from_backend_queue(px: &Proxy, srv: &Server, live: &Live) -> bool {
    if !live.server(srv.id).is_usable() {
        return false;
    }
    let be = px.backend();
    if !srv.backup {
        return true;
    }
    let usable = |s: &&Server| live.server(s.id).is_usable();
    if be.servers.iter().filter(|s| !s.backup).any(|s| usable(&s)) {
        return false;
    }
    be.allbackups || be.servers.iter().filter(|s| s.backup).find(usable).is_some_and(|s| s.index == srv.index)
}

impl Waiting {
    fn own_queue(&mut self, index: usize) -> &mut BTreeMap<Place, Arc<Waiter>> {
        if self.own.len() <= index {
            self.own.resize_with(index + 1, BTreeMap::new);
        }
        &mut self.own[index]
    }
}

impl Waiter {
    fn state(&self) -> MutexGuard<'_, WaiterState> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn finish(&self, outcome: Outcome) {
        let mut state = self.state();
        debug_assert!(state.outcome.is_none(), "a waiter leaves the lists when it gets its outcome");
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(w) = waker {
            w.wake();
        }
    }
}

impl Ticket {
    /// Ready when the wait is over.
    ///
    /// # Panics
    /// When polled again after it was ready.
    pub fn poll_granted(&mut self, cx: &mut Context<'_>) -> Poll<Granted> {
        assert!(!self.done, "a ticket is good for one grant");
        let mut state = self.waiter.state();
        let Some(outcome) = state.outcome.take() else {
            if !state.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        };
        drop(state);
        self.done = true;
        Poll::Ready(match outcome {
            Outcome::Server(i) => Granted::Slot(self.queues.slot(self.proxy, i)),
            Outcome::Redispatch => Granted::Redispatch,
        })
    }

    /// Ready when the wait is over.
    pub async fn granted(&mut self) -> Granted {
        std::future::poll_fn(|cx| self.poll_granted(cx)).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.done || self.queues.leave(self.proxy, self.place) {
            return;
        }
        // Granted, and nobody came for it: pass it on.
        let outcome = self.waiter.state().outcome.take();
        if let Some(Outcome::Server(i)) = outcome {
            self.queues.release(self.proxy, i);
        }
    }
}

#[cfg(test)]
mod tests;
