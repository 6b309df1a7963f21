//! What a worker thread holds for its streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::base::time::Mono;
use crate::config::Section;
use crate::http1::Limits;
use crate::log::{self, ProxyLog};
use crate::net::{ConnectOpts, Keepalive, SockAddr};
use crate::proxy::balance::Balancer;
use crate::proxy::global::{GlobalConf, TuneConf};
use crate::proxy::live::{FrontendMode, ThreadCounters};
use crate::proxy::queue::Queues;
use crate::proxy::{Captures, ListenerId, Live, Proxy, ProxyId, Server, ServerId, Snapshot, TcpKeepAlive};
use crate::rules::ProxyRules;
use crate::runtime::{self, Notify};
use crate::sample::WantsServerRtt;
use crate::stick::{SrvKey, Tables, Writers, set_writers, use_ring};

use super::handover::{Heir, Successor};
use super::pool::Pools;
use super::server_keys::{self, ServerKeys};
use super::shut::Shuts;
use super::state::Exchange;
use super::stick;
use super::termination::Cause;
use super::track::Slots;

/// Recycled exchanges that a thread keeps.
const SPARE_EXCHANGES: usize = 256;

/// Process-wide settings that streams read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bounds of a message head.
    pub head_limits: Limits,
    /// `tune.http.logurilen`: bytes of the request line in a log line.
    pub log_uri_len: usize,
    /// `tune.bufsize`: bytes of a body that rules may look at.
    pub bufsize: usize,
    /// Connections from clients that the process takes; 0: no limit.
    pub maxconn: usize,
    /// `nosplice`.
    pub no_splice: bool,
    /// `maxconnrate`: connections per second over all frontends.
    pub max_conn_rate: Option<u32>,
    /// `maxsessrate`: sessions per second over all frontends.
    pub max_sess_rate: Option<u32>,
    /// `close-spread-time`.
    pub close_spread: Option<Duration>,
}

impl Settings {
    fn new(global: &GlobalConf, maxconn: usize) -> Settings {
        let tune = &global.tune;
        Settings {
            head_limits: Limits::from_tuning(tune.bufsize, tune.maxrewrite(), tune.max_headers),
            log_uri_len: tune.log_uri_len,
            bufsize: tune.bufsize,
            maxconn,
            no_splice: tune.no_splice,
            max_conn_rate: global.limits.maxconnrate,
            max_sess_rate: global.limits.maxsessrate,
            close_spread: global.process.close_spread,
        }
    }
}

/// What the streams of all threads share for one configuration.
pub struct Shared {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Live state and counters.
    pub live: Arc<Live>,
    /// Who waits for a server.
    pub queues: Arc<Queues>,
    /// Process-wide settings.
    pub settings: Settings,
    /// What each proxy's streams need, by `ProxyId`.
    pub plans: Vec<Plan>,
    /// The stick tables.
    pub stick: Arc<Tables>,
    /// The last invalid messages.
    pub captures: Arc<Captures>,
    /// How to connect to each server, by `ServerId`.
    pub(super) targets: Vec<Target>,
    /// What streams count in each table, by `TableId`.
    pub(super) slots: Vec<Slots>,
}

/// What the streams of one proxy need beyond [`crate::proxy::Proxy`]: looked up once, when it is loaded.
pub struct Plan {
    /// Logging.
    pub log: ProxyLog,
    /// Rules.
    pub rules: ProxyRules,
    /// Its log lines or unique ids show our address of the client connection.
    pub(super) shows_dst: bool,
    /// They show our address of the server connection.
    pub(super) shows_source: bool,
    /// Its expressions look at the round-trip time of server connections.
    pub(super) wants_rtt: bool,
}

impl Plan {
    fn new(px: &Proxy, global: &Section) -> Plan {
        let log = log::resolve(&px.section, global);
        let rules = px.section.get::<ProxyRules>().cloned().unwrap_or_default();
        let formats = [Some(&log.format), log.format_sd.as_ref(), log.unique_id.as_ref()];
        let shown: Vec<_> = formats.into_iter().flatten().map(|f| f.wants_addresses()).collect();
        let (shows_dst, shows_source) = (shown.iter().any(|s| s.0), shown.iter().any(|s| s.1));
        let wants_rtt = px.section.get::<WantsServerRtt>().is_some_and(|w| w.0);
        Plan { log, rules, shows_dst, shows_source, wants_rtt }
    }
}

/// How to connect to a server.
pub(super) struct Target {
    pub addr: Option<SockAddr>,
    pub opts: ConnectOpts,
}

impl Shared {
    /// Prepares a configuration. `maxconn`: connections from clients that the process takes, as computed from
    /// the configuration and the descriptors there are; 0: no limit.
    ///
    /// # Errors
    /// When there is no memory for the stick tables.
    pub fn new(
        snapshot: Arc<Snapshot>,
        live: Arc<Live>,
        queues: Arc<Queues>,
        maxconn: usize,
    ) -> std::io::Result<Arc<Shared>> {
        let tables = Tables::new(&snapshot.tables, live.threads.len())?;
        Ok(Shared::with_tables(snapshot, live, queues, maxconn, tables))
    }

    /// The same with tables that are there already.
    pub fn with_tables(
        snapshot: Arc<Snapshot>,
        live: Arc<Live>,
        queues: Arc<Queues>,
        maxconn: usize,
        tables: Tables,
    ) -> Arc<Shared> {
        let tables = Arc::new(tables);
        if !tables.is_empty() {
            server_keys::keep_in(tables.dict(), &snapshot, &live);
        }
        let global = &snapshot.global;
        let conf = global.get::<GlobalConf>().cloned().unwrap_or_default();
        let settings = Settings::new(&conf, maxconn);
        let tune = conf.tune;
        let plans = snapshot.proxies.iter().map(|px| Plan::new(px, global)).collect();
        let target = |&(px, index): &(ProxyId, usize)| {
            let px = snapshot.proxy(px);
            Target::new(px, &px.backend().servers[index], &tune)
        };
        let targets = snapshot.servers.iter().map(target).collect();
        let captures = Arc::new(Captures::new(snapshot.proxies.len()));
        let slots = Slots::of(&snapshot);
        Arc::new(Shared { captures, snapshot, live, queues, settings, plans, stick: tables, targets, slots })
    }

    /// What a proxy's streams need.
    pub fn plan(&self, id: ProxyId) -> &Plan {
        &self.plans[id.index()]
    }

    pub(super) fn target(&self, id: ServerId) -> &Target {
        &self.targets[id.index()]
    }
}

impl Target {
    fn new(px: &Proxy, srv: &Server, tune: &TuneConf) -> Target {
        let source = srv.source.as_ref().unwrap_or(&px.backend().source);
        let opts = ConnectOpts {
            source: source.fixed(),
            interface: source.interface.clone(),
            tfo: srv.tfo,
            nodelay: true,
            keepalive: keepalive(&px.conn.server_keep_alive),
            send_buffer: tune.sndbuf_server.and_then(|n| u32::try_from(n).ok()),
            recv_buffer: tune.rcvbuf_server.and_then(|n| u32::try_from(n).ok()),
            user_timeout_ms: srv.tcp_user_timeout.map(|d| u32::try_from(d.as_millis()).unwrap_or(u32::MAX)),
            ..ConnectOpts::default()
        };
        Target { addr: srv.addr.as_ref().and_then(SockAddr::configured), opts }
    }
}

/// The probing that `option clitcpka`, `srvtcpka` and their companions ask for.
pub(super) fn keepalive(k: &TcpKeepAlive) -> Option<Keepalive> {
    let seconds = |d: std::time::Duration| u32::try_from(d.as_secs().max(1)).unwrap_or(u32::MAX);
    k.enabled.then(|| Keepalive {
        idle_s: k.idle.map(seconds),
        interval_s: k.interval.map(seconds),
        count: k.count,
    })
}

/// One thread's view of a configuration.
pub struct View {
    /// The configuration and everything live.
    pub shared: Arc<Shared>,
    /// Balancing tables of this thread.
    pub balancer: RefCell<Balancer>,
    pub(super) pools: Pools,
    /// This thread's part of the stick tables.
    pub(super) tables: Rc<Writers>,
    pub(super) server_keys: ServerKeys,
    thread: usize,
}

impl View {
    fn new(thread: usize, shared: Arc<Shared>) -> Rc<View> {
        let pools = Pools::new(shared.snapshot.servers.len());
        let tables = Rc::new(Writers::claim(&shared.stick, thread));
        set_writers(tables.clone());
        use_ring(thread);
        let server_keys = ServerKeys::new(&shared.snapshot, &shared.stick);
        Rc::new(View { shared, balancer: RefCell::new(Balancer::new()), pools, tables, server_keys, thread })
    }

    /// A proxy.
    pub fn proxy(&self, id: ProxyId) -> &Proxy {
        self.shared.snapshot.proxy(id)
    }

    /// The frontend of a listener.
    pub fn proxy_of(&self, listener: ListenerId) -> &Proxy {
        self.proxy(self.shared.snapshot.listener(listener).proxy)
    }

    /// What its streams need.
    pub fn plan(&self, id: ProxyId) -> &Plan {
        self.shared.plan(id)
    }

    /// The key of a server in tables.
    pub(super) fn key_of(&self, srv: &Server, by: SrvKey) -> u64 {
        self.server_keys.get(&self.shared.live, self.shared.stick.dict(), srv, by)
    }

    /// Counts bytes of a running transfer.
    pub(super) fn count_stream(
        &self,
        listener: ListenerId,
        frontend: ProxyId,
        backend: ProxyId,
        server: Option<usize>,
        bytes_in: u64,
        bytes_out: u64,
    ) {
        let c = self.counters();
        let fe = &c.frontends[frontend.index()];
        fe.bytes_in.add(bytes_in);
        fe.bytes_out.add(bytes_out);
        let li = &c.listeners[listener.index()];
        li.bytes_in.add(bytes_in);
        li.bytes_out.add(bytes_out);
        c.process.bytes_out.add(bytes_out);
        if let Some(b) = &self.proxy(backend).backend {
            let be = &c.backends[backend.index()];
            be.bytes_in.add(bytes_in);
            be.bytes_out.add(bytes_out);
            if let Some(i) = server {
                let srv = &c.servers[b.servers[i].id.index()];
                srv.bytes_in.add(bytes_in);
                srv.bytes_out.add(bytes_out);
            }
        }
    }

    /// The counters that this thread writes.
    pub fn counters(&self) -> &ThreadCounters {
        self.shared.live.thread(self.thread)
    }
}

/// What a thread's streams share.
pub struct Worker {
    index: usize,
    view: RefCell<Rc<View>>,
    /// Boxed, because an exchange is too large to be moved about.
    #[expect(clippy::vec_box)]
    spare: RefCell<Vec<Box<Exchange>>>,
    requests: Cell<u32>,
    /// Woken when a client connection has ended: there may be room for another one.
    pub(super) room: Notify,
    pub(super) shuts: Shuts,
    stopping: Cell<bool>,
    /// When `stop` was called first.
    stopped: Cell<Mono>,
    /// Woken when the thread begins to stop.
    pub(super) stop: Notify,
    /// Who takes the connections of a stopping thread.
    heir: RefCell<Option<Rc<Heir>>>,
}

impl Worker {
    /// A worker for thread `index` (of those that `Live` has counters for).
    pub fn new(index: usize, shared: Arc<Shared>) -> Rc<Worker> {
        Rc::new(Worker {
            index,
            view: RefCell::new(View::new(index, shared)),
            spare: RefCell::new(Vec::new()),
            requests: Cell::new(0),
            room: Notify::new(),
            shuts: Shuts::default(),
            stopping: Cell::new(false),
            stopped: Cell::new(Mono::NEVER),
            stop: Notify::new(),
            heir: RefCell::new(None),
        })
    }

    /// Whether there are stick tables: they want [`Worker::maintain_tables`] now and then.
    pub fn has_tables(&self) -> bool {
        !self.view.borrow().tables.is_empty()
    }

    /// Frees what expired in this thread's part of the stick tables.
    pub fn maintain_tables(&self) {
        stick::maintain(&self.view.borrow().tables, crate::runtime::now());
    }

    /// The thread's index: where its counters are.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The current configuration.
    pub fn view(&self) -> Rc<View> {
        self.view.borrow().clone()
    }

    /// New connections use this configuration from now on; running ones keep theirs.
    pub fn swap(&self, shared: Arc<Shared>) {
        *self.view.borrow_mut() = View::new(self.index, shared);
    }

    /// The process stops: connections that wait for a request are closed, the others after their response.
    pub fn stop(&self) {
        if !self.stopping.replace(true) {
            self.stopped.set(runtime::now());
        }
        self.stop.notify_all();
    }

    /// The process stops, and another one takes the connections that carry nothing.
    pub fn stop_for(&self, successor: Arc<Successor>) {
        *self.heir.borrow_mut() = Some(Rc::new(Heir::new(successor)));
        self.stop();
    }

    pub(super) fn heir(&self) -> Option<Rc<Heir>> {
        self.heir.borrow().clone()
    }

    /// Whether the process stops, and another one takes the clients of this listener.
    pub(super) fn hands_over(&self, listener: ListenerId) -> bool {
        self.stopping.get() && self.heir.borrow().as_ref().is_some_and(|h| h.takes(listener))
    }

    /// Whether the process stops, and another one takes tunnels from this listener to that server.
    pub(super) fn hands_over_tunnel(&self, listener: ListenerId, server: ServerId) -> bool {
        self.stopping.get() && self.heir.borrow().as_ref().is_some_and(|h| h.takes_tunnels(listener, server))
    }

    /// End this thread's sessions on a server, with that cause in their log lines.
    pub fn shut_sessions(&self, server: ServerId, cause: Cause) {
        self.shuts.shut(server, cause);
    }

    /// Whether [`Worker::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// When a connection is to be closed that carries nothing, or its next response is the last one, because the process
    /// stops: somewhere in the time that `close-spread-time` gives, depending on `salt`.
    pub(super) fn closing_time(&self, spread: Option<Duration>, salt: u64) -> Mono {
        let stopped = self.stopped.get();
        match spread {
            _ if !self.is_stopping() => Mono::NEVER,
            None => stopped,
            Some(Duration::MAX) => Mono::NEVER,
            // The upper bits of a product by the golden ratio are spread evenly.
            Some(time) => {
                stopped
                    + time.mul_f64((salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as f64 / 4_294_967_296.0)
            }
        }
    }

    /// What the frontend of a listener was told at run time.
    pub fn frontend_state(&self, listener: ListenerId) -> FrontendMode {
        let view = self.view.borrow();
        view.shared.live.frontend(view.shared.snapshot.listener(listener).proxy).mode()
    }

    /// Woken when a client connection has ended: there may be room for another one.
    pub fn room(&self) -> &Notify {
        &self.room
    }

    pub(super) fn take_exchange(&self) -> Box<Exchange> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn put_exchange(&self, x: Box<Exchange>) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_EXCHANGES {
            spare.push(x);
        }
    }

    /// A number for a request (or a TCP session) that no other one of the process has, until it wraps.
    pub(super) fn number_request(&self, threads: usize) -> u32 {
        let n = self.requests.get();
        self.requests.set(n.wrapping_add(1));
        n.wrapping_mul(threads as u32).wrapping_add(self.index as u32)
    }
}
