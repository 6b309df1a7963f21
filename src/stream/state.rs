//! What a stream is made of: the session (as long as the client connection) and the exchange (one request
//! and its response, or one TCP session). An idle session owns no exchange and no buffer.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::base::SockAddr;
use crate::base::time::{Mono, Wall};
use crate::http::{RequestHead, ResponseHead};
use crate::log::{Captures, LevelOverride, Timeline};
use crate::net::{self, Socket};
use crate::proxy::cookie::{Done, RequestOutcome};
use crate::proxy::queue::Slot;
use crate::proxy::{ListenerId, Proxy, ProxyId, Server, ServerId, Timeouts};
use crate::proxy_protocol::Tlvs;
use crate::runtime::{now, wall};
use crate::sample::{LastRule, VarStore};

use super::list::Alarm;
use super::pool::ServerConn;
use super::termination::{Cause, Phase, Termination};
use super::track::Track;
use super::worker::{View, Worker, keepalive};

/// The PROXY protocol's header that a connection began with, but for the addresses.
#[derive(Debug, Default)]
pub(super) struct Proxied {
    /// When it was complete.
    pub at: Mono,
    pub tlvs: Tlvs,
}

/// A client connection.
pub(super) struct Session {
    pub worker: Rc<Worker>,
    pub view: Rc<View>,
    pub client: Socket,
    pub listener: ListenerId,
    pub frontend: ProxyId,
    /// The client's address; `None` for Unix sockets.
    pub src: Option<SocketAddr>,
    /// The address it connected to: asked of the kernel at first use.
    dst: OnceCell<Option<SocketAddr>>,
    /// What rules and expressions may ask of the PROXY protocol's header; `None`: there was none.
    pub header: Option<Box<Proxied>>,
    /// Such a header comes before anything else.
    pub expects_header: bool,
    /// Start of the current exchange: the accept, then the end of the exchange before.
    pub start: Mono,
    pub start_wall: Wall,
    pub vars: VarStore,
    pub timer: Alarm,
    /// Exchanges begun.
    pub exchanges: u32,
    /// Bytes sent to the client.
    pub sent: u64,
    /// A server connection that only this client may use.
    pub own: Option<Box<ServerConn>>,
    /// The server that was used last.
    pub last_server: Option<ServerId>,
    /// The HTTP backend that a TCP frontend's client speaks to: its timeouts hold for the requests.
    pub tcp_http: Option<ProxyId>,
    /// What connection and session rules track.
    pub tracks: Vec<Track>,
    /// The connection is to be closed with a reset.
    pub reset: bool,
    /// The successor did not take it: it ends here.
    pub stays: bool,
    _presence: Presence,
}

impl Session {
    /// A session that counts as a connection of process, frontend and listener until it is dropped.
    pub fn new(worker: Rc<Worker>, listener: ListenerId, client: Socket, peer: &net::SockAddr) -> Session {
        let s = Session::inherited(worker, listener, client, peer.ip());
        let c = s.view.counters();
        c.process.connections.inc();
        let (fe, li) = (&c.frontends[s.frontend.index()], &c.listeners[listener.index()]);
        fe.connections.inc();
        if !s.expects_header {
            // A session begins with the header; a connection without one stays a connection.
            fe.sessions.inc();
        }
        li.connections.inc();
        li.sessions.inc();
        if let Some(k) = keepalive(&s.view.proxy(s.frontend).conn.client_keep_alive) {
            // Without probes the connection works all the same.
            let _ = s.client.set_keepalive(&k);
        }
        s
    }

    /// The same for a connection that another process has counted as a new one.
    pub fn inherited(
        worker: Rc<Worker>,
        listener: ListenerId,
        client: Socket,
        src: Option<SocketAddr>,
    ) -> Session {
        let view = worker.view();
        let frontend = view.shared.snapshot.listener(listener).proxy;
        let live = &view.shared.live;
        live.process.connections.inc();
        live.frontend(frontend).sessions.inc();
        live.listener(listener).sessions.inc();
        Session {
            src,
            dst: OnceCell::new(),
            header: None,
            expects_header: view.shared.snapshot.listener(listener).accept_proxy,
            start: now(),
            start_wall: wall(),
            vars: VarStore::new(),
            timer: Alarm::new(listener, frontend, src),
            exchanges: 0,
            sent: 0,
            own: None,
            last_server: None,
            tcp_http: None,
            tracks: Vec::new(),
            reset: view.proxy(frontend).conn.nolinger,
            stays: false,
            _presence: Presence { worker: worker.clone(), view: view.clone(), listener, frontend },
            worker,
            view,
            client,
            listener,
            frontend,
        }
    }

    /// When the current exchange could begin: its start, or the end of the PROXY protocol's header.
    pub fn ready(&self) -> Mono {
        self.header.as_ref().map_or(self.start, |h| self.start.max(h.at))
    }

    /// The address that the client connected to. One system call, at the first use.
    pub fn dst(&self) -> Option<SocketAddr> {
        *self.dst.get_or_init(|| match &self.view.shared.snapshot.listener(self.listener).addr {
            SockAddr::Inet(a) if !a.ip().is_unspecified() && a.port() != 0 => Some(*a),
            SockAddr::Inet(_) | SockAddr::Fd(_) => self.client.local_addr().ok().and_then(|a| a.ip()),
            _ => None,
        })
    }

    /// The timeouts that hold while a request is awaited.
    pub fn request_timeouts<'v>(&self, view: &'v View) -> &'v Timeouts {
        &view.proxy(self.tcp_http.unwrap_or(self.frontend)).timeouts
    }

    /// `set-dst`.
    pub fn set_dst(&mut self, addr: SocketAddr) {
        self.dst = OnceCell::from(Some(addr));
    }

    /// Our address, if it was asked for or set.
    pub fn known_dst(&self) -> Option<Option<SocketAddr>> {
        self.dst.get().copied()
    }

    /// What [`Session::known_dst`] said in another process.
    pub fn set_known_dst(&mut self, dst: Option<Option<SocketAddr>>) {
        self.dst = dst.map_or_else(OnceCell::new, OnceCell::from);
    }

    /// The process stops, and another one takes this client between two requests.
    pub fn moves(&self) -> bool {
        !self.stays && self.worker.hands_over(self.listener)
    }

    /// The process stops, and nobody takes this client: it is closed after its response.
    pub fn must_close(&self) -> bool {
        self.worker.is_stopping() && !self.moves() && now() >= self.closing_time()
    }

    /// When this client is closed because the process stops.
    pub fn closing_time(&self) -> Mono {
        self.worker.closing_time(self.view.shared.settings.close_spread, self.start.0)
    }

    /// True for a client on a Unix socket.
    pub fn is_unix(&self) -> bool {
        self.view.shared.snapshot.listener(self.listener).addr.is_unix()
    }
}

/// A client connection's place in the counts, until it is dropped.
struct Presence {
    worker: Rc<Worker>,
    view: Rc<View>,
    listener: ListenerId,
    frontend: ProxyId,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let live = &self.view.shared.live;
        live.process.connections.dec();
        live.frontend(self.frontend).sessions.dec();
        live.listener(self.listener).sessions.dec();
        self.worker.room.notify_one();
    }
}

/// An exchange's place among a backend's sessions, until it is dropped.
pub(super) struct InBackend {
    view: Rc<View>,
    id: ProxyId,
}

impl Drop for InBackend {
    fn drop(&mut self) {
        self.view.shared.live.backend(self.id).sessions.dec();
    }
}

/// Timeouts that rules changed for one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overrides {
    pub client: Option<Duration>,
    pub connect: Option<Duration>,
    pub queue: Option<Duration>,
    pub server: Option<Duration>,
    pub tarpit: Option<Duration>,
    pub tunnel: Option<Duration>,
    pub retries: Option<u32>,
}

/// One exchange. Recycled: [`Exchange::clear`] keeps the memory.
#[derive(Default)]
pub(super) struct Exchange {
    pub request: RequestHead,
    pub response: ResponseHead,
    /// The request head is complete.
    pub has_request: bool,
    /// `request` is what TCP mode's client sends, for rules only: nothing treats it as HTTP.
    pub request_seen: bool,
    /// The response head is complete.
    pub has_response: bool,
    /// Start of the request body, or what the client sent first in TCP mode: for rules.
    pub payload: Vec<u8>,
    /// `payload` is the whole body.
    pub payload_complete: bool,
    /// Start of the response body, when a rule waited for it.
    pub res_payload: Vec<u8>,
    /// `res_payload` is the whole body.
    pub res_payload_complete: bool,
    /// `res_payload` is what the server sent first, for rules of TCP mode.
    pub inspects_response: bool,
    /// No more payload will be looked at: the delay is over, the buffer full or the stream at its end.
    pub payload_final: bool,
    pub times: Timeline,
    pub start_wall: Wall,
    pub first: bool,
    pub number: u32,
    /// The backend; the frontend itself while none was chosen.
    pub backend: ProxyId,
    /// The proxy whose rules are evaluated.
    pub ruling: ProxyId,
    /// What its rules track.
    pub tracks: Vec<Track>,
    /// Its place among the backend's sessions.
    pub in_backend: Option<InBackend>,
    /// The chosen server: position in `Backend::servers`.
    pub server: Option<usize>,
    /// It was chosen by a cookie or a rule.
    pub persistent: bool,
    /// `force-persist`.
    pub force_persist: bool,
    /// `ignore-persist`.
    pub ignore_persist: bool,
    /// Where the last rule that ended a rule set stands.
    pub last_rule: Option<LastRule>,
    pub slot: Option<Slot>,
    /// Where the connection to the server comes from.
    pub server_src: Option<SocketAddr>,
    /// Round-trip time of that connection and its variance, when an expression wants it.
    pub server_rtt: Option<(Duration, Duration)>,
    pub vars_txn: VarStore,
    pub vars_req: VarStore,
    pub vars_res: VarStore,
    pub req_captures: RefCell<Captures>,
    pub res_captures: RefCell<Captures>,
    pub req_cookie: Vec<u8>,
    pub res_cookie: Vec<u8>,
    pub unique_id: OnceCell<Vec<u8>>,
    pub term: Termination,
    pub status: Option<u16>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// What of the two is in the counters already.
    pub counted_in: u64,
    pub counted_out: u64,
    pub retries: u32,
    pub redispatched: bool,
    pub srv_queue: u64,
    pub be_queue: u64,
    pub cookie: RequestOutcome,
    pub cookie_done: Done,
    pub level: Option<LevelOverride>,
    pub overrides: Overrides,
    /// The line is written, or none is to be.
    pub logged: bool,
    /// Everything that was to be sent was handed to the client.
    pub no_l7_retry: bool,
    /// The client asked for, and may have, another exchange on its connection.
    pub keep_client: bool,
    /// The request body was thrown away (or is not to be read any more) ...
    pub body_taken: bool,
    /// ... completely.
    pub body_done: bool,
    /// The client's 103 fields, until the last one is there.
    pub early_hints: Vec<u8>,
    /// The `stick` rules on the request were gone through.
    pub stick_done: bool,
    /// The server that a stick table has for the request: position in `Backend::servers`.
    pub stick_server: Option<usize>,
    /// Keys for which tables are to learn the server.
    pub stick_stores: Vec<super::stick::Store>,
}

/// Empties some fields and gives the others their defaults, in place. The pattern makes sure that no field is
/// forgotten.
macro_rules! reset {
    ($exchange:expr; keep $($kept:ident)*; empty $($emptied:ident)*; default $($plain:ident)*) => {
        let Exchange { $($kept: _,)* $($emptied,)* $($plain,)* } = $exchange;
        $($emptied.clear();)*
        $(*$plain = Default::default();)*
    };
}

impl Exchange {
    /// Bytes went by: all, and those of them that are in the counters.
    pub fn carried(&mut self, (all, counted): ((u64, u64), (u64, u64))) {
        self.bytes_in += all.0;
        self.bytes_out += all.1;
        self.counted_in += counted.0;
        self.counted_out += counted.1;
    }

    /// Forgets everything, keeps the memory: this runs for every request.
    pub fn clear(&mut self) {
        let _ = self.unique_id.take();
        // The captures are reset for the frontend that begins the next exchange.
        reset! {
            self;
            keep req_captures res_captures unique_id;
            empty
            request response payload res_payload req_cookie res_cookie early_hints vars_txn vars_req vars_res
            stick_stores tracks;
            default
            has_request request_seen has_response payload_complete res_payload_complete inspects_response payload_final times start_wall first number backend ruling
            in_backend server persistent force_persist ignore_persist last_rule slot server_src server_rtt term status
            bytes_in bytes_out counted_in counted_out retries redispatched srv_queue be_queue cookie
            cookie_done level overrides logged no_l7_retry keep_client body_taken body_done stick_done stick_server
        }
    }
}

/// An exchange on its session: what rules, expressions and log lines look at.
pub(super) struct Stream<'s> {
    pub s: &'s mut Session,
    pub x: Box<Exchange>,
}

impl<'s> Stream<'s> {
    /// Begins an exchange.
    pub fn begin(s: &'s mut Session) -> Stream<'s> {
        let mut x = s.worker.take_exchange();
        x.times.accept = s.start;
        x.times.handshake = s.ready();
        x.start_wall = s.start_wall;
        let log = &s.view.plan(s.frontend).log;
        x.req_captures.get_mut().reset(log.request_captures.len());
        x.res_captures.get_mut().reset(log.response_captures.len());
        x.first = s.exchanges == 0;
        x.backend = s.frontend;
        x.ruling = s.frontend;
        x.number = s.worker.number_request(s.view.shared.live.threads.len());
        s.exchanges += 1;
        s.timer.brief.begin(x.number, s.start, s.start_wall);
        Stream { s, x }
    }

    /// The frontend.
    pub fn fe<'v>(&self, view: &'v View) -> &'v Proxy {
        view.proxy(self.s.frontend)
    }

    /// The backend; the frontend while none was chosen.
    pub fn be<'v>(&self, view: &'v View) -> &'v Proxy {
        view.proxy(self.x.backend)
    }

    /// The chosen server.
    pub fn srv<'v>(&self, view: &'v View) -> Option<&'v Server> {
        let index = self.x.server?;
        Some(&self.be(view).backend().servers[index])
    }

    /// Counts the exchange among the sessions of backend `id`.
    pub fn enter_backend(&mut self, view: &View, id: ProxyId) {
        debug_assert!(self.x.in_backend.is_none());
        if id != self.s.frontend {
            // What the frontend's rules said of the server's side gives way to the backend's own settings.
            let o = &mut self.x.overrides;
            (o.connect, o.queue, o.server, o.tunnel, o.retries) = (None, None, None, None, None);
        }
        self.x.backend = id;
        self.s.timer.brief.backend(id);
        view.shared.live.backend(id).sessions.inc();
        self.x.in_backend = Some(InBackend { view: self.s.view.clone(), id });
        view.counters().backends[id.index()].sessions.inc();
    }

    /// The same for an exchange that another process has counted as a new one. It holds a place on the server, too.
    pub fn resume_in_backend(&mut self, view: &View, id: ProxyId, server: usize) {
        let px = view.proxy(id);
        let srv = px.backend().servers[server].id;
        self.x.backend = id;
        self.x.server = Some(server);
        self.s.timer.brief.backend(id);
        self.s.timer.brief.server(srv);
        view.shared.live.backend(id).sessions.inc();
        self.x.in_backend = Some(InBackend { view: self.s.view.clone(), id });
        self.x.slot = Some(view.shared.queues.resume(px, server));
    }

    /// Gives back what the exchange holds of server and backend.
    pub fn leave_backend(&mut self) {
        self.x.slot = None;
        self.x.in_backend = None;
    }

    /// Ends the exchange: its memory serves the next one. Gives the session back.
    pub fn end(self) -> &'s mut Session {
        let Stream { s, mut x } = self;
        s.sent += x.bytes_out;
        s.timer.brief.end();
        x.clear();
        s.worker.put_exchange(x);
        s
    }

    /// Notes the end of the session, unless it was noted before.
    pub fn note(&mut self, cause: Cause, phase: Phase) {
        let cause = if self.s.timer.is_killed() { Cause::Killed } else { cause };
        self.x.term.note(cause, phase);
    }

    /// `timeout client`.
    pub fn client_timeout(&self, view: &View) -> Option<Duration> {
        self.x.overrides.client.or(self.fe(view).timeouts.client)
    }

    /// `timeout server`.
    pub fn server_timeout(&self, view: &View) -> Option<Duration> {
        self.x.overrides.server.or(self.be(view).timeouts.server)
    }

    /// `timeout tunnel`.
    pub fn tunnel_timeout(&self, view: &View) -> Option<Duration> {
        self.x.overrides.tunnel.or(self.be(view).timeouts.tunnel)
    }

    /// `retries`.
    pub fn max_retries(&self, view: &View) -> u32 {
        self.x.overrides.retries.unwrap_or(self.be(view).backend().retries)
    }
}

/// The instant after `d`; `None` never comes.
pub(super) fn after(d: Option<Duration>) -> Mono {
    d.map_or(Mono::NEVER, |d| now() + d)
}
