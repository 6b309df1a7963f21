//! From a backend to a server connection: choosing a server, waiting for a slot, connecting, retrying.

use std::io;
use std::task::Poll;
use std::time::Duration;

use crate::net::{ConnectOpts, SockAddr, Socket, Source};
use crate::proxy::balance::{self, Pick, Request};
use crate::proxy::check::{Observed, observed};
use crate::proxy::cookie::Seen;
use crate::proxy::pool::may_reuse;
use crate::proxy::queue::{Entered, Granted, Ticket};
use crate::proxy::{HttpReuse, Server, UseSource};
use crate::runtime::now;
use crate::sample::Ctx;

use super::header;
use super::pool::ServerConn;
use super::retry::{self, Failed, Retry};
use super::state::{Stream, after};
use super::stick;
use super::switch;
use super::termination::{Cause, Phase};
use super::wait::until;
use super::worker::View;

/// The longest wait before the same server is tried again.
const TURN_AROUND: Duration = Duration::from_secs(1);

/// No connection could be had. The termination state is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoServer {
    /// No server can take requests, or none could be reached.
    Unavailable,
    /// The client left, and `option abortonclose` cares.
    ClientLeft,
}

/// What a failed connection attempt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// Refused, reset, unreachable.
    Failed,
    /// `timeout connect` struck.
    TimedOut,
    /// We lack descriptors, memory or ports.
    Exhausted,
}

/// A connection to a server of the backend: `st.x.server` says which.
pub(super) async fn establish(view: &View, st: &mut Stream<'_>, fresh: bool) -> Result<ServerConn, NoServer> {
    loop {
        if st.x.server.is_none() {
            assign(view, st, None).await?;
        }
        if !fresh && let Some(conn) = pooled(view, st) {
            st.x.times.connect = Some(now());
            note_source(view, st, &conn);
            return Ok(conn);
        }
        let failure = match connect(view, st).await {
            Ok(conn) => {
                note_source(view, st, &conn);
                return Ok(conn);
            }
            Err(Some(failure)) => failure,
            Err(None) => {
                st.note(Cause::Client, Phase::Connect);
                return Err(NoServer::ClientLeft);
            }
        };
        again(view, st, failure).await?;
    }
}

/// After a failed attempt: waits, chooses another server, or gives up.
async fn again(view: &View, st: &mut Stream<'_>, failure: Attempt) -> Result<(), NoServer> {
    let retry = decide(view, st);
    match retry {
        Retry::GiveUp => {
            let cause = match failure {
                Attempt::Failed => Cause::Server,
                Attempt::TimedOut => Cause::ServerTimeout,
                Attempt::Exhausted => Cause::Resource,
            };
            st.note(cause, Phase::Connect);
            count_conn_error(view, st);
            return Err(NoServer::Unavailable);
        }
        Retry::Same => {
            count_retry(view, st);
            if failure == Attempt::TimedOut {
                return Ok(());
            }
        }
        Retry::Elsewhere => {
            if elsewhere(view, st).await? || failure == Attempt::TimedOut {
                return Ok(());
            }
        }
    }
    let wait = st.be(view).timeouts.connect.unwrap_or(TURN_AROUND).min(TURN_AROUND);
    let abort = st.be(view).http.abortonclose;
    let client = &st.s.client;
    let gone = until(&mut st.s.timer, now() + wait, |cx| match abort {
        true => client.poll_hup(cx),
        false => Poll::Pending,
    })
    .await;
    if gone.is_some() {
        st.note(Cause::Client, Phase::Connect);
        return Err(NoServer::ClientLeft);
    }
    if retry == Retry::Elsewhere {
        // A new choice ends with the wait, also when it is the same server again.
        st.x.times.queue = Some(now());
    }
    Ok(())
}

/// What is to be done about a failed attempt on the current server.
pub(super) fn decide(view: &View, st: &Stream<'_>) -> Retry {
    let be = st.be(view);
    let conf = be.backend();
    let server_up = st.srv(view).is_some_and(|s| view.shared.live.server(s.id).is_up());
    let (active, backup) = view.shared.live.usable_counts(be);
    retry::decide(&Failed {
        retries: st.x.retries,
        max: st.max_retries(view),
        redispatch: conf.redispatch,
        persistent: st.x.persistent,
        forced: st.x.force_persist,
        server_up,
        any_server: retry::any_server(&conf.balance.algorithm),
        usable: if active > 0 { active } else { backup },
    })
}

/// Leaves the current server for another choice, which counts as a retry. True when it is another server.
pub(super) async fn elsewhere(view: &View, st: &mut Stream<'_>) -> Result<bool, NoServer> {
    let before = st.x.server.take();
    st.x.slot = None;
    st.x.persistent = false;
    let counted = before.map(|i| st.be(view).backend().servers[i].id);
    assign(view, st, before).await?;
    let other = st.x.server != before;
    st.x.retries += 1;
    let c = view.counters();
    c.backends[st.x.backend.index()].retries.inc();
    if let Some(id) = counted {
        c.servers[id.index()].retries.inc();
        if other {
            st.x.redispatched = true;
            if st.x.cookie.seen == Seen::Valid {
                // As the reference logs it: the server that the cookie names counts as down.
                st.x.cookie.seen = Seen::Down;
            }
            c.servers[id.index()].redispatches.inc();
            c.backends[st.x.backend.index()].redispatches.inc();
        }
    }
    Ok(other)
}

/// Counts one more attempt on the same server.
pub(super) fn count_retry(view: &View, st: &mut Stream<'_>) {
    st.x.retries += 1;
    let c = view.counters();
    c.backends[st.x.backend.index()].retries.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].retries.inc();
    }
}

fn count_conn_error(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.backends[st.x.backend.index()].conn_errors.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].conn_errors.inc();
        observed(&view.shared.live, srv, Observed::ConnectFailed);
    }
}

/// Chooses a server and takes a slot on it, waiting for one where limits say so.
async fn assign(view: &View, st: &mut Stream<'_>, avoid: Option<usize>) -> Result<(), NoServer> {
    let be = st.be(view);
    let mut avoid = avoid;
    for _ in 0..=be.backend().servers.len() {
        let wanted = match avoid {
            None => preferred(view, st),
            Some(_) => None,
        };
        let sticky = wanted.is_some();
        let picked = match wanted {
            Some(i) => Pick::Server(i),
            None => balanced(view, st, avoid),
        };
        let index = match picked {
            Pick::Server(i) => Some(i),
            Pick::Full => None,
            Pick::None => break,
        };
        st.x.persistent = sticky;
        match view.shared.queues.enter(be, index, sticky) {
            Entered::Now(slot) => {
                st.x.slot = Some(slot);
                assigned(view, st);
                return Ok(());
            }
            Entered::Wait(ticket) => match wait_in_queue(view, st, ticket).await? {
                true => {
                    assigned(view, st);
                    return Ok(());
                }
                false => avoid = None,
            },
            Entered::QueueFull => avoid = index,
        }
        // The server went down, or takes no more waiters: whoever may go elsewhere does.
        st.x.cookie.server = None;
        st.x.stick_server = None;
        st.x.persistent = false;
    }
    count_conn_error(view, st);
    st.note(Cause::Server, Phase::Connect);
    Err(NoServer::Unavailable)
}

/// The slot says which server it is.
fn assigned(view: &View, st: &mut Stream<'_>) {
    let Some(slot) = &st.x.slot else { return };
    let id = slot.server();
    let (_, index) = view.shared.snapshot.servers[id.index()];
    st.x.server = Some(index);
    st.s.last_server = Some(id);
    st.s.timer.brief.server(id);
    st.x.times.queue = Some(now());
    let c = view.counters();
    c.servers[id.index()].sessions.inc();
    if st.x.has_request {
        c.servers[id.index()].requests.inc();
    }
    let live = &view.shared.live;
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    live.server(id).last_session_ns.store(now().0, relaxed);
    live.backend(st.x.backend).last_session_ns.store(now().0, relaxed);
    if !st.x.persistent {
        c.servers[id.index()].chosen.inc();
        c.backends[st.x.backend.index()].chosen.inc();
    }
}

/// The server that a rule, a cookie or a stick table asks for.
fn preferred(view: &View, st: &mut Stream<'_>) -> Option<usize> {
    if !st.x.stick_done {
        st.x.stick_done = true;
        st.x.stick_server = stick::preferred(view, st);
    }
    let live = &view.shared.live;
    if let Some(id) = switch::use_server(view, st) {
        let (_, index) = view.shared.snapshot.servers[id.index()];
        st.x.cookie.overrule(index);
        st.x.force_persist |= !live.server(id).is_up();
        return Some(index);
    }
    if let Some(index) = st.x.cookie.server {
        return Some(index);
    }
    if let Some(index) = st.x.stick_server {
        return Some(index);
    }
    let own = st.s.own.as_ref().map(|c| c.server);
    let last = own?;
    let (px, index) = view.shared.snapshot.servers[last.index()];
    // A private connection is kept for the sake of its client only if balancing allows; a client that the
    // application authenticated on its connection depends on it.
    let usable = px == st.x.backend && live.server(last).is_usable();
    let private = st.s.own.as_ref().is_some_and(|c| c.private);
    (usable && private).then_some(index)
}

fn balanced(view: &View, st: &Stream<'_>, avoid: Option<usize>) -> Pick {
    let be = st.be(view);
    let last = st.s.last_server.and_then(|id| {
        let (px, index) = view.shared.snapshot.servers[id.index()];
        (px == be.id).then_some(index)
    });
    let request = Request { key: balance::key(be, st), avoid, last, random: st.random() };
    view.balancer.borrow_mut().pick(be, &view.shared.live, &request)
}

/// Waits in a queue. True: `st.x.slot` is taken; false: choose again.
async fn wait_in_queue(view: &View, st: &mut Stream<'_>, mut ticket: Ticket) -> Result<bool, NoServer> {
    st.x.srv_queue += u64::from(ticket.place_in_server);
    st.x.be_queue += u64::from(ticket.place_in_backend);
    let be = st.be(view);
    let limit = st.x.overrides.queue.or(be.timeouts.queue());
    let abort = be.http.abortonclose;
    let client = &st.s.client;
    let granted = until(&mut st.s.timer, after(limit), |cx| {
        if let Poll::Ready(g) = ticket.poll_granted(cx) {
            return Poll::Ready(Some(g));
        }
        if abort && client.poll_hup(cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await;
    drop(ticket);
    match granted {
        Some(Some(Granted::Slot(slot))) => {
            st.x.slot = Some(slot);
            Ok(true)
        }
        Some(Some(Granted::Redispatch)) => Ok(false),
        Some(None) => {
            st.x.times.queue = Some(now());
            st.note(Cause::Client, Phase::Queue);
            Err(NoServer::ClientLeft)
        }
        None => {
            st.x.times.queue = Some(now());
            st.note(Cause::ServerTimeout, Phase::Queue);
            view.counters().backends[st.x.backend.index()].conn_errors.inc();
            Err(NoServer::Unavailable)
        }
    }
}

/// An idle connection to the chosen server, if the reuse mode lets this request use one.
fn pooled(view: &View, st: &mut Stream<'_>) -> Option<ServerConn> {
    if !st.x.has_request {
        return None;
    }
    let srv = st.srv(view)?;
    if let Some(own) = st.s.own.take()
        && own.server == srv.id
        && own.is_current(&view.shared.live)
        && own.socket.is_idle_alive()
        && own.header == header::of_server(st, srv)
    {
        let mut conn = *own;
        conn.reused = true;
        count_reuse(view, st);
        return Some(conn);
    }
    let mode = st.be(view).http.reuse;
    if mode == HttpReuse::Never || per_client_source(view, st, srv).is_some() {
        return None;
    }
    let replayable = st.x.request.method().is_idempotent() && st.x.request.framing().is_empty();
    let any = may_reuse(mode, st.x.first, false, false) || (mode == HttpReuse::Replayable && replayable);
    let proven = !any && may_reuse(mode, st.x.first, true, false);
    if !any && !proven {
        return None;
    }
    let header = header::of_server(st, srv);
    let conn = view.pools.take(&view.shared.live, srv.id, proven, header.as_deref())?;
    count_reuse(view, st);
    Some(conn)
}

fn count_reuse(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.backends[st.x.backend.index()].reuses.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].reuses.inc();
    }
}

/// One attempt. `Err(None)`: the client left.
async fn connect(view: &View, st: &mut Stream<'_>) -> Result<ServerConn, Option<Attempt>> {
    let Some(srv) = st.srv(view) else { return Err(Some(Attempt::Failed)) };
    let target = view.shared.target(srv.id);
    let state = view.shared.live.server(srv.id);
    let version = state.address.version();
    let moved = state.address.get().map(SockAddr::Ip);
    let Some(addr) = address(moved.as_ref().or(target.addr.as_ref()), st, srv) else {
        return Err(Some(Attempt::Failed));
    };
    let source = per_client_source(view, st, srv);
    let private = source.is_some();
    let special;
    let opts = match source {
        None => &target.opts,
        Some(source) => {
            special = ConnectOpts { source: Some(source), ..target.opts.clone() };
            &special
        }
    };
    let c = view.counters();
    c.servers[srv.id.index()].connects.inc();
    c.backends[st.x.backend.index()].connects.inc();
    let limit = st.x.overrides.connect.or(st.be(view).timeouts.connect);
    let abort = st.be(view).http.abortonclose;
    let id = srv.id;
    let mut connecting = std::pin::pin!(Socket::connect(&addr, opts));
    let client = &st.s.client;
    let done = until(&mut st.s.timer, after(limit), |cx| {
        if let Poll::Ready(r) = connecting.as_mut().poll(cx) {
            return Poll::Ready(Some(r));
        }
        if abort && client.poll_hup(cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await;
    match done {
        None => Err(Some(Attempt::TimedOut)),
        Some(None) => Err(None),
        Some(Some(Err(e))) => Err(Some(attempt(&e))),
        Some(Some(Ok(socket))) => {
            st.x.times.connect = Some(now());
            observed(&view.shared.live, srv, Observed::Connected);
            let header = header::of_server(st, srv);
            if let Some(header) = &header {
                // In front of everything else; it leaves with what is sent next, or alone at the end of the turn.
                socket.send(header.to_vec());
            }
            Ok(ServerConn { socket, server: id, version, uses: 0, reused: false, private, header })
        }
    }
}

/// Our end of the connection, when a log line shows it.
fn note_source(view: &View, st: &mut Stream<'_>, conn: &ServerConn) {
    if view.plan(st.s.frontend).shows_source {
        st.x.server_src = conn.socket.local_addr().ok().and_then(|a| a.ip());
    }
}

fn attempt(e: &io::Error) -> Attempt {
    match e.raw_os_error() {
        Some(
            libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN,
        ) => Attempt::Exhausted,
        _ => Attempt::Failed,
    }
}

/// The server's address. Its port may depend on the port that the client connected to; an address of zeroes
/// stands for the one that the client connected to.
fn address(addr: Option<&SockAddr>, st: &Stream<'_>, srv: &Server) -> Option<SockAddr> {
    let addr = addr?;
    let SockAddr::Ip(a) = addr else { return Some(addr.clone()) };
    let ip = if a.ip().is_unspecified() { st.s.dst()?.ip() } else { a.ip() };
    let port = match srv.port_offset {
        Some(offset) => u16::try_from(i32::from(st.s.dst()?.port()) + offset).ok()?,
        None => a.port(),
    };
    Some(SockAddr::Ip((ip, port).into()))
}

/// `source ... usesrc`: the connection comes from the client's address, or from one in a header.
fn per_client_source(view: &View, st: &Stream<'_>, srv: &Server) -> Option<Source> {
    let source = srv.source.as_ref().unwrap_or(&st.be(view).backend().source);
    let transparent = |ip, port: Option<u16>| Source { ip, ports: port.map(|p| p..=p), transparent: true };
    match source.usesrc.as_ref()? {
        UseSource::Client => st.s.src.map(|a| transparent(a.ip(), Some(a.port()))),
        UseSource::ClientIp => st.s.src.map(|a| transparent(a.ip(), None)),
        UseSource::HeaderIp { name, occurrence } => {
            let value = st.x.request.fields.value_nth(name, i64::from(*occurrence))?;
            let ip = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
            Some(transparent(ip, None))
        }
        UseSource::Address(a) => {
            let a = a.inet()?;
            Some(transparent(a.ip(), (a.port() != 0).then_some(a.port())))
        }
    }
}
