//! TCP mode: content rules, a server, the relay. Tunnels of HTTP mode use the same relay.

use std::task::Poll;

use crate::base::time::Mono;
use crate::http::BodyLen;
use crate::http1::{Parsed, Relax, parse_request};
use crate::log::Step;
use crate::net::{RecvBuf, Socket};
use crate::proxy::{Mode, ProxyId};
use crate::rules::Verdict;
use crate::runtime::{self, now};

use super::connect::{self, NoServer};
use super::handover::{self, Tunnelled};
use super::http::keepalive;
use super::logging;
use super::pool::ServerConn;
use super::relay::{Body, Flow, Kind, Leaving, Limits, Outcome, Relay, RelayState};
use super::state::{Session, Stream, after};
use super::stick;
use super::switch;
use super::termination::{Cause, Phase};
use super::wait::until;
use super::worker::View;

/// Bytes that the server may leave unread while its first ones are awaited.
const UNSENT_MAX: usize = 64 * 1024;

/// How a TCP session goes on.
enum Then {
    /// It is over.
    Close,
    /// It vanishes.
    Abort,
    /// What was received is HTTP, for this backend (or the frontend itself, where none is known yet).
    Http(ProxyId),
    /// Another process goes on with it.
    Moved,
}

/// Serves a TCP client to its end.
pub(super) async fn serve(s: &mut Session) {
    let view = s.view.clone();
    let mut st = Stream::begin(s);
    view.counters().process.sessions.inc();
    let then = session(&view, &mut st).await;
    match then {
        Then::Http(backend) => {
            st.end();
            s.exchanges = 0;
            s.tcp_http = Some(backend);
            keepalive::serve(s).await;
        }
        Then::Close => finish(&view, st).await,
        Then::Moved => moved(st),
        Then::Abort => {
            logging::finish(&view, &mut st);
            st.end();
            s.reset = true;
        }
    }
}

/// The end of a tunnel, or of what would have become one.
async fn finish(view: &View, mut st: Stream<'_>) {
    logging::finish(view, &mut st);
    let s = st.end();
    take_unread(s).await;
    keepalive::close(s).await;
}

/// Another process goes on: nothing is logged here, nor done to the connection.
pub(super) fn moved(st: Stream<'_>) {
    let s = st.end();
    s.tracks.clear();
    s.reset = false;
}

/// A tunnel that another process has begun, to its end.
pub(super) async fn go_on(view: &View, mut st: Stream<'_>, server: Socket, state: RelayState) {
    match tunnel(view, &mut st, &server, Some(state)).await {
        None => moved(st),
        Some(outcome) => {
            if outcome.cause != Cause::Normal {
                st.note(outcome.cause, Phase::Data);
            }
            finish(view, st).await;
        }
    }
}

/// Takes what the client sent and nobody read: a close with unread data would reset the connection.
async fn take_unread(s: &mut Session) {
    s.client.arm_recv();
    runtime::yield_now().await;
    while let Some(Ok(buf)) = s.client.try_recv()
        && !buf.is_empty()
    {}
}

async fn session(view: &View, st: &mut Stream<'_>) -> Then {
    if let Some(then) = content_rules(view, st, st.s.frontend).await {
        return then;
    }
    let Some(backend) = switch::choose_backend(view, st) else {
        st.note(Cause::Server, Phase::Connect);
        return Then::Close;
    };
    if view.proxy(backend).mode == Mode::Http {
        give_back(st);
        return Then::Http(backend);
    }
    st.enter_backend(view, backend);
    if backend != st.s.frontend
        && let Some(then) = content_rules(view, st, backend).await
    {
        return then;
    }
    // Balancing and stick rules may want to look at it, too.
    let conn = match connect::establish(view, st, true).await {
        Ok(conn) => conn,
        Err(NoServer::Unavailable | NoServer::ClientLeft) => return Then::Close,
    };
    give_back(st);
    st.x.times.response = st.x.times.connect;
    if let Some(then) = response_rules(view, st, &conn).await {
        return then;
    }
    if view.plan(st.x.backend).wants_rtt || view.plan(st.s.frontend).wants_rtt {
        st.x.server_rtt = conn.socket.rtt().ok();
    }
    logging::log_early(view, st, Step::Connect, true);
    let Some(outcome) = tunnel(view, st, &conn.socket, None).await else { return Then::Moved };
    if outcome.cause != Cause::Normal {
        st.note(outcome.cause, Phase::Data);
    }
    Then::Close
}

/// `tcp-request content` rules over what the client sends, as long as the inspect delay lets them wait.
async fn content_rules(view: &View, st: &mut Stream<'_>, id: ProxyId) -> Option<Then> {
    let plan = view.plan(id);
    let rules = &plan.rules.tcp_content;
    st.x.ruling = id;
    if rules.is_empty() {
        return None;
    }
    let deadline = match plan.rules.request_delay {
        Some(d) => now() + d,
        None => now(),
    };
    let mut at = 0;
    st.x.payload_final = false;
    while let Some(Ok(buf)) = st.s.client.try_recv() {
        if buf.is_empty() {
            st.s.client.unrecv(buf);
            st.x.payload_final = true;
            break;
        }
        st.x.payload.extend_from_slice(&buf);
    }
    loop {
        st.x.payload_final |= now() >= deadline || st.x.payload.len() >= view.shared.settings.bufsize;
        see_request(view, st);
        match rules.run(&mut at, st) {
            Verdict::Wait if !st.x.payload_final => more_payload(view, st, deadline).await,
            Verdict::Pause(time) => runtime::sleep(time).await,
            Verdict::Reject | Verdict::Deny(_) | Verdict::Close => {
                count_denied(view, st);
                st.note(Cause::Proxy, Phase::Request);
                return Some(Then::Close);
            }
            Verdict::SilentDrop => {
                st.note(Cause::Proxy, Phase::Request);
                return Some(Then::Abort);
            }
            Verdict::SwitchToHttp => {
                give_back(st);
                return Some(Then::Http(id));
            }
            _ => return None,
        }
    }
}

/// Lets rules ask for parts of an HTTP request when that is what the client has sent.
fn see_request(view: &View, st: &mut Stream<'_>) {
    let x = &mut *st.x;
    if x.request_seen || x.payload.is_empty() {
        return;
    }
    let limits = &view.shared.settings.head_limits;
    x.request_seen = matches!(
        parse_request(&x.payload, limits, Relax::Strict, &mut x.request),
        Ok(Parsed::Complete { .. })
    );
}

fn count_denied(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.frontends[st.s.frontend.index()].req_denied.inc();
    c.listeners[st.s.listener.index()].req_denied.inc();
    if st.x.in_backend.is_some() {
        c.backends[st.x.backend.index()].req_denied.inc();
    }
}

async fn more_payload(view: &View, st: &mut Stream<'_>, deadline: Mono) {
    let deadline = deadline.min(after(st.client_timeout(view)));
    let client = &st.s.client;
    match until(&mut st.s.timer, deadline, |cx| client.poll_recv(cx)).await {
        Some(Ok(buf)) if !buf.is_empty() => st.x.payload.extend_from_slice(&buf),
        Some(Ok(end)) => {
            st.s.client.unrecv(end);
            st.x.payload_final = true;
        }
        Some(Err(_)) | None => st.x.payload_final = true,
    }
}

/// `tcp-response content` rules over what the server sends first, and what stick tables learn of it. Meanwhile the
/// server gets what the client sends. Without `tcp-response inspect-delay` nothing is waited for.
async fn response_rules(view: &View, st: &mut Stream<'_>, conn: &ServerConn) -> Option<Then> {
    let plan = view.plan(st.x.backend);
    let rules = &plan.rules.tcp_response;
    let deadline = plan.rules.response_delay.map_or(now(), |d| now() + d);
    st.x.inspects_response = true;
    st.x.payload_final = false;
    let mut at = 0;
    let then = loop {
        st.x.payload_final |= now() >= deadline || st.x.res_payload.len() >= view.shared.settings.bufsize;
        match rules.run(&mut at, st) {
            Verdict::Wait if !st.x.payload_final => more_response(view, st, conn, deadline).await,
            Verdict::Pause(time) => runtime::sleep(time).await,
            Verdict::Reject | Verdict::Deny(_) | Verdict::Close => {
                count_response_denied(view, st);
                st.note(Cause::Proxy, Phase::Data);
                break Some(Then::Close);
            }
            Verdict::SilentDrop => {
                st.note(Cause::Proxy, Phase::Data);
                break Some(Then::Abort);
            }
            _ => {
                stick::store(view, st);
                break None;
            }
        }
    };
    st.x.inspects_response = false;
    let payload = std::mem::take(&mut st.x.res_payload);
    if !payload.is_empty() {
        conn.socket.unrecv(RecvBuf::from_vec(payload));
    }
    then
}

fn count_response_denied(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.frontends[st.s.frontend.index()].resp_denied.inc();
    c.backends[st.x.backend.index()].resp_denied.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].resp_denied.inc();
    }
}

/// Waits for more from the server, and brings it what the client sends.
async fn more_response(view: &View, st: &mut Stream<'_>, conn: &ServerConn, deadline: Mono) {
    let deadline = deadline.min(after(st.server_timeout(view)));
    let (client, server) = (&st.s.client, &conn.socket);
    let sent = &mut st.x.bytes_in;
    let (mut open, mut told) = (true, false);
    let received = until(&mut st.s.timer, deadline, |cx| {
        while open && server.poll_sent(cx, UNSENT_MAX).is_ready() {
            match client.poll_recv(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(buf)) if !buf.is_empty() => {
                    *sent += buf.len() as u64;
                    server.send(buf);
                }
                Poll::Ready(end) => {
                    open = false;
                    if let Ok(end) = end {
                        client.unrecv(end);
                    }
                }
            }
        }
        if !open && !told && server.poll_sent(cx, 0).is_ready() {
            // It may answer only then. The relay finds out by itself when this fails.
            told = true;
            let _ = server.shutdown_write();
        }
        server.poll_recv(cx)
    })
    .await;
    match received {
        Some(Ok(buf)) if !buf.is_empty() => st.x.res_payload.extend_from_slice(&buf),
        Some(Ok(end)) => {
            conn.socket.unrecv(end);
            st.x.payload_final = true;
        }
        Some(Err(_)) | None => st.x.payload_final = true,
    }
}

/// What rules have looked at goes back to the socket, for the relay.
fn give_back(st: &mut Stream<'_>) {
    if !st.x.payload.is_empty() {
        let payload = std::mem::take(&mut st.x.payload);
        st.s.client.unrecv(RecvBuf::from_vec(payload));
    }
}

/// Relays both directions until both have ended. `None`: another process goes on with it. `resumed`: where another one
/// has left off.
pub(super) async fn tunnel(
    view: &View,
    st: &mut Stream<'_>,
    server: &Socket,
    resumed: Option<RelayState>,
) -> Option<Outcome> {
    let t = (&st.fe(view).timeouts, &st.be(view).timeouts);
    let tunnel = st.tunnel_timeout(view);
    let limits = Limits {
        client: tunnel.or(st.client_timeout(view)),
        server: tunnel.or(st.server_timeout(view)),
        client_fin: t.0.client_fin,
        server_fin: t.1.server_fin,
        independent: st.fe(view).conn.independent_streams,
    };
    let flow = || {
        let mut f = Flow::new(Body::new(BodyLen::Tunnel, false));
        if view.shared.settings.no_splice {
            f.no_splice();
        }
        f
    };
    let mut relay = Relay::new(&st.s.client, server, flow(), flow(), Kind::Tunnel, limits);
    if let Some(state) = resumed {
        relay.resume(state);
    }
    let place = (st.s.listener, st.s.frontend, st.x.backend, st.x.server);
    let worker = st.s.worker.clone();
    let (be, srv) = (view.proxy(st.x.backend), st.srv(view));
    let mut shut = worker.shuts.watch(be, srv);
    loop {
        let mut meter = |up, down| {
            view.count_stream(place.0, place.1, place.2, place.3, up, down);
            super::track::bytes(&st.s.tracks, &st.x.tracks, up, down);
        };
        let leaving = srv.map(|srv| Leaving::new(&worker, place.0, srv.id));
        let outcome = relay.run(&mut st.s.timer, &mut meter, &mut shut, leaving).await;
        st.x.carried(relay.take_bytes());
        if !outcome.at_rest {
            return Some(outcome);
        }
        let what = Tunnelled { s: st.s, x: &st.x, server, relay: relay.state() };
        if Box::pin(handover::leave_with_tunnel(view, what)).await {
            return None;
        }
        relay.stay();
    }
}

/// `mode health`: says OK and closes.
pub(super) async fn health(s: &mut Session) {
    s.client.send(&b"OK"[..]);
    // What the checker sends is not read before: a close would reset the connection.
    keepalive::linger(s).await;
}
