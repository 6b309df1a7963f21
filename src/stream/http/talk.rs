//! The exchange with the server: request out, response head in, replays, then the relay of what is left.

use std::task::{Context, Poll};

use crate::base::time::Mono;
use crate::http::{BodyLen, FieldId, Method, Version};
use crate::http1::connection::{Persistence, rewrite_request, rewrite_response};
use crate::http1::{Parsed, Relax, parse_response, write_request, write_response};
use crate::net::RecvBuf;
use crate::proxy::check::{Observed, observed};
use crate::proxy::{HttpClose, RetryOn};
use crate::runtime::{self, now};

use super::super::connect::{self, NoServer};
use super::super::pool::ServerConn;
use super::super::relay::{Body, Flow, FlowEnd};
use super::super::retry::Retry;
use super::super::state::{Stream, after};
use super::super::termination::{Cause, Phase};
use super::super::wait::until;
use super::super::worker::View;
use super::request::close_mode;
use super::{Next, answers, capture, response};

/// The request's way to the server: what was sent, what is left.
pub(in crate::stream) struct Upload {
    pub flow: Flow,
    /// The request went out completely.
    pub done: bool,
    /// The server takes nothing more.
    pub broken: bool,
}

/// Interim responses that may wait for the client before the server is no longer read.
const INTERIM_PENDING: usize = 64 * 1024;
/// Interim responses to one request: more of them is no response.
const INTERIM_RESPONSES: u32 = 10_000;

/// Why there is no response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// The server closed before the first byte.
    Empty,
    /// It closed in the middle of the head.
    Cut,
    /// It said something that is no response.
    Junk,
    /// `timeout server` struck.
    TimedOut,
    /// `timeout client` struck while it was sending the request.
    ClientSilent,
    /// The client broke off while it was sending the request.
    ClientBroke,
    /// The client's chunk framing is invalid.
    ClientJunk,
    /// The client closed, and `option abortonclose` cares.
    ClientLeft,
}

/// Finds a server, sends it the request, brings its response to the client.
pub(in crate::stream) async fn talk(view: &View, st: &mut Stream<'_>) -> Next {
    let framing = st.x.request.framing();
    let keep_body = st.be(view).backend().retry_on.0 & !RetryOn::CONN_FAILURE.0 != 0 && !st.x.no_l7_retry;
    let mut up = Upload {
        flow: Flow::new(Body::new(framing, false)),
        done: framing.is_empty() || framing == BodyLen::Tunnel,
        broken: false,
    };
    if keep_body && !up.done {
        up.flow.keep(view.shared.settings.bufsize);
    }
    prepare(view, st);
    let mut fresh = false;
    loop {
        let mut conn = match connect::establish(view, st, fresh).await {
            Ok(conn) => conn,
            Err(why) => return unreachable_server(view, st, why, &up),
        };
        if let Some(prefix) = st.srv(view).and_then(|s| s.redir.as_ref())
            && matches!(st.x.request.method(), Method::Get | Method::Head)
        {
            drop(conn);
            return answers::server_redirect(view, st, prefix);
        }
        conn.uses += 1;
        send_request(view, st, &conn, &mut up);
        let missing = match await_head(view, st, &conn, &mut up).await {
            Ok(()) if retry_status(view, st, &up) => {
                drop(conn);
                up.broken = false;
                match connect_again(view, st).await {
                    Ok(()) => continue,
                    Err(why) => return unreachable_server(view, st, why, &up),
                }
            }
            Ok(()) => return response::deliver(view, st, conn, up).await,
            Err(missing) => missing,
        };
        let reused = conn.reused;
        drop(conn);
        if reused && missing == Missing::Empty && replayable(st, &up) {
            // The server had closed an idle connection: not the request's fault, so not a retry.
            fresh = true;
            up.broken = false;
            reset_response(st);
            continue;
        }
        if replays(view, st, missing, &up) {
            up.broken = false;
            match connect_again(view, st).await {
                Ok(()) => continue,
                Err(why) => return unreachable_server(view, st, why, &up),
            }
        }
        settle(st, &up);
        return no_response(view, st, missing);
    }
}

/// Says how much of the request body is gone, before an answer of our own: what was sent to a server cannot be
/// thrown away any more.
pub(in crate::stream) fn settle(st: &mut Stream<'_>, up: &Upload) {
    if up.done || up.flow.bytes > 0 {
        st.x.body_taken = true;
        st.x.body_done = up.done;
    }
}

fn unreachable_server(view: &View, st: &mut Stream<'_>, why: NoServer, up: &Upload) -> Next {
    settle(st, up);
    match why {
        NoServer::Unavailable => answers::error(view, st, 503),
        // Nobody is there to read an answer, and the log shows that none was given.
        NoServer::ClientLeft => Next::Close,
    }
}

/// Gives the head the form in which it goes to a server.
fn prepare(view: &View, st: &mut Stream<'_>) {
    let (fe, be) = (st.fe(view), st.be(view));
    let close = match close_mode(fe, be) {
        HttpClose::KeepAlive | HttpClose::Tunnel => false,
        HttpClose::ServerClose | HttpClose::Close => !be.http.pretend_keepalive,
    };
    let persistence = if st.x.request.method() == Method::Connect {
        Persistence::Untouched
    } else if close {
        Persistence::Close
    } else {
        Persistence::KeepAlive
    };
    rewrite_request(&mut st.x.request, persistence);
    if st.x.request.fields.has_id(FieldId::Expect) && st.x.request.framing().is_empty() {
        // Nothing to wait for; a 100 would only confuse (RFC 9110 10.1.1).
        if st.x.request.expects_continue() {
            st.x.request.fields.remove_id(FieldId::Expect);
        }
    }
}

fn send_request(view: &View, st: &mut Stream<'_>, conn: &ServerConn, up: &mut Upload) {
    if let (Some(name), Some(srv)) = (&st.be(view).http.send_name_header, st.srv(view)) {
        st.x.request.fields.set(name, srv.name.as_bytes());
    }
    let mut out = runtime::take_vec();
    write_request(&st.x.request, &mut out);
    conn.socket.send(out);
    for part in up.flow.kept() {
        conn.socket.send(part);
    }
    conn.socket.arm_recv();
}

/// Waits for a complete response head other than an interim one, while the request body goes out.
async fn await_head(
    view: &View,
    st: &mut Stream<'_>,
    conn: &ServerConn,
    up: &mut Upload,
) -> Result<(), Missing> {
    let mut head: Vec<u8> = Vec::new();
    let mut interim = 0;
    let mut active = now();
    let result = loop {
        let (timeout, silent) = match st.server_timeout(view) {
            None if !up.done => (st.client_timeout(view), Missing::ClientSilent),
            limit => (limit, Missing::TimedOut),
        };
        let abort = st.be(view).http.abortonclose;
        let event = {
            let (client, timer, x) = (&st.s.client, &mut st.s.timer, &mut st.x);
            let mut sent = up.flow.bytes;
            let mut pending = conn.socket.send_pending();
            std::future::poll_fn(|cx| {
                let event = poll_server(cx, client, conn, up, abort);
                // The server is active as long as it takes something of the request.
                let left = conn.socket.send_pending();
                if up.flow.bytes != sent || (left > 0 && left < pending) {
                    x.bytes_in += up.flow.bytes - sent;
                    sent = up.flow.bytes;
                    active = now();
                }
                pending = left;
                if event.is_ready() {
                    return event;
                }
                timer.set(timeout.map_or(Mono::NEVER, |d| active + d));
                let waits = client.send_pending() > INTERIM_PENDING;
                timer.poll_expired(cx).map(|()| Err(if waits { Missing::ClientSilent } else { silent }))
            })
            .await
        };
        active = now();
        let buf = match event {
            Err(Missing::Empty) if !head.is_empty() => break Err(Missing::Cut),
            Err(missing) => break Err(missing),
            Ok(buf) => buf,
        };
        match take_head(view, st, conn, &mut head, &mut interim, buf) {
            Err(missing) => break Err(missing),
            Ok(true) => break Ok(()),
            Ok(false) => {}
        }
    };
    runtime::put_vec(head);
    result
}

fn poll_server(
    cx: &mut Context<'_>,
    client: &crate::net::Socket,
    conn: &ServerConn,
    up: &mut Upload,
    abort: bool,
) -> Poll<Result<RecvBuf, Missing>> {
    if !up.done && !up.broken {
        match up.flow.poll(cx, client, &conn.socket) {
            Poll::Pending => {}
            Poll::Ready(FlowEnd::Complete) => up.done = true,
            // The server may have answered before it stopped reading.
            Poll::Ready(FlowEnd::WriteError(_)) => up.broken = true,
            Poll::Ready(FlowEnd::BadFraming) => return Poll::Ready(Err(Missing::ClientJunk)),
            Poll::Ready(FlowEnd::Truncated | FlowEnd::ReadError(_) | FlowEnd::Eof) => {
                return Poll::Ready(Err(Missing::ClientBroke));
            }
        }
    }
    // Interim responses went there: the client has to take them, or to be there at all.
    match client.poll_sent(cx, INTERIM_PENDING) {
        Poll::Pending => return Poll::Pending,
        Poll::Ready(Err(_)) => return Poll::Ready(Err(Missing::ClientLeft)),
        Poll::Ready(Ok(())) => {}
    }
    match conn.socket.poll_recv(cx) {
        Poll::Ready(Ok(buf)) if !buf.is_empty() => return Poll::Ready(Ok(buf)),
        Poll::Ready(_) => return Poll::Ready(Err(Missing::Empty)),
        Poll::Pending => {}
    }
    if abort && client.poll_hup(cx).is_ready() {
        return Poll::Ready(Err(Missing::ClientLeft));
    }
    Poll::Pending
}

/// Parses what the server sent. True: the final head is in `st.x.response`; what follows it stays with the
/// socket. Interim responses are passed on.
fn take_head(
    view: &View,
    st: &mut Stream<'_>,
    conn: &ServerConn,
    head: &mut Vec<u8>,
    interim: &mut u32,
    mut buf: RecvBuf,
) -> Result<bool, Missing> {
    let limits = view.shared.settings.head_limits;
    let relax = if st.be(view).http.accept_unsafe_response { Relax::Unsafe } else { Relax::Strict };
    loop {
        if !head.is_empty() {
            head.extend_from_slice(&buf);
            buf = RecvBuf::empty();
        }
        let bytes: &[u8] = if head.is_empty() { &buf } else { head };
        let method = st.x.request.method();
        match parse_response(bytes, &limits, relax, method, &mut st.x.response) {
            Err(e) => {
                capture::response(view, st, bytes, e.at, e.kind.to_string());
                return Err(Missing::Junk);
            }
            Ok(Parsed::Partial) => {
                if head.is_empty() {
                    head.extend_from_slice(&buf);
                }
                return Ok(false);
            }
            Ok(Parsed::Complete { head_len }) => {
                let mut rest = if head.is_empty() { buf } else { RecvBuf::from_vec(std::mem::take(head)) };
                let bytes = rest.split_to(head_len);
                if !st.x.response.is_interim() {
                    if !rest.is_empty() {
                        conn.socket.unrecv(rest);
                    }
                    st.x.has_response = true;
                    st.x.times.response = Some(now());
                    st.count_server_status();
                    return Ok(true);
                }
                drop(bytes);
                *interim += 1;
                if *interim > INTERIM_RESPONSES {
                    return Err(Missing::Junk);
                }
                pass_interim(st);
                st.x.response.clear();
                if rest.is_empty() {
                    return Ok(false);
                }
                buf = rest;
            }
        }
    }
}

/// 100, 102, 103: for clients that know them (RFC 9110 15.2).
fn pass_interim(st: &mut Stream<'_>) {
    if st.x.request.version() >= Version::HTTP_11 {
        rewrite_response(&mut st.x.response, st.x.request.version(), Persistence::KeepAlive);
        let mut out = runtime::take_vec();
        write_response(&st.x.response, &mut out);
        st.x.bytes_out += out.len() as u64;
        st.s.client.send(out);
    }
}

fn reset_response(st: &mut Stream<'_>) {
    st.x.response.clear();
    st.x.has_response = false;
    st.x.times.response = None;
    st.x.times.connect = None;
}

/// Nothing of the request is lost, and sending it twice does no harm.
fn replayable(st: &Stream<'_>, up: &Upload) -> bool {
    st.x.request.method().is_idempotent() && up.flow.can_replay()
}

/// `retry-on` for a missing response.
fn replays(view: &View, st: &mut Stream<'_>, missing: Missing, up: &Upload) -> bool {
    let event = match missing {
        Missing::Empty => RetryOn::EMPTY_RESPONSE,
        Missing::Cut | Missing::Junk => RetryOn::JUNK_RESPONSE,
        Missing::TimedOut => RetryOn::RESPONSE_TIMEOUT,
        Missing::ClientSilent | Missing::ClientBroke | Missing::ClientJunk | Missing::ClientLeft => {
            return false;
        }
    };
    allowed(view, st, event, up)
}

/// `retry-on` for a status. The last response is delivered whatever it is.
fn retry_status(view: &View, st: &mut Stream<'_>, up: &Upload) -> bool {
    let event = RetryOn::of_status(st.x.response.status());
    event != RetryOn::NONE && allowed(view, st, event, up)
}

fn allowed(view: &View, st: &Stream<'_>, event: RetryOn, up: &Upload) -> bool {
    st.be(view).backend().retry_on.has(event)
        && !st.x.no_l7_retry
        && up.flow.can_replay()
        && connect::decide(view, st) != Retry::GiveUp
}

async fn connect_again(view: &View, st: &mut Stream<'_>) -> Result<(), NoServer> {
    reset_response(st);
    match connect::decide(view, st) {
        Retry::Elsewhere => connect::elsewhere(view, st).await.map(|_| ()),
        Retry::Same | Retry::GiveUp => {
            connect::count_retry(view, st);
            Ok(())
        }
    }
}

/// The exchange ends without a response from the server.
fn no_response(view: &View, st: &mut Stream<'_>, missing: Missing) -> Next {
    let c = view.counters();
    let server = |st: &Stream<'_>| {
        c.backends[st.x.backend.index()].resp_errors.inc();
        if let Some(srv) = st.srv(view) {
            c.servers[srv.id.index()].resp_errors.inc();
            observed(&view.shared.live, srv, Observed::NoResponse);
        }
        st.count_http_failure();
    };
    reset_connect_time(st);
    if st.s.timer.is_killed() {
        // Nobody's fault.
        st.note(Cause::Killed, Phase::Headers);
        return answers::error(view, st, 502);
    }
    match missing {
        Missing::Empty | Missing::Cut => {
            server(st);
            st.note(Cause::Server, Phase::Headers);
            answers::error(view, st, 502)
        }
        Missing::Junk => {
            server(st);
            st.note(Cause::Proxy, Phase::Headers);
            answers::error(view, st, 502)
        }
        Missing::TimedOut => {
            server(st);
            st.note(Cause::ServerTimeout, Phase::Headers);
            answers::error(view, st, 504)
        }
        Missing::ClientSilent => {
            st.note(Cause::ClientTimeout, Phase::Headers);
            st.x.keep_client = false;
            answers::error(view, st, 408)
        }
        Missing::ClientBroke => {
            st.note(Cause::Client, Phase::Data);
            Next::Close
        }
        Missing::ClientJunk => {
            c.frontends[st.s.frontend.index()].req_errors.inc();
            st.note(Cause::Proxy, Phase::Headers);
            st.x.keep_client = false;
            answers::error(view, st, 400)
        }
        Missing::ClientLeft => {
            st.note(Cause::Client, Phase::Headers);
            st.x.keep_client = false;
            answers::error(view, st, 400)
        }
    }
}

/// The response time is unknown; the head that did not come must not count as one.
fn reset_connect_time(st: &mut Stream<'_>) {
    st.x.times.response = None;
    st.x.response.clear();
    st.x.has_response = false;
}

/// Reads what is left of a request body for a while, so that the client finds its answer and the connection
/// stays in step. True when the body is complete.
pub(in crate::stream) async fn drain_upload(view: &View, st: &mut Stream<'_>, up: &mut Upload) -> bool {
    const DRAIN_BYTES: usize = 256 * 1024;
    let limit = st.client_timeout(view).unwrap_or(DRAIN_TIME).min(DRAIN_TIME);
    let deadline = after(Some(limit));
    let (client, x) = (&st.s.client, &mut st.x);
    let mut left = DRAIN_BYTES;
    let drained = until(&mut st.s.timer, deadline, |cx| {
        loop {
            let mut buf = match client.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(buf)) if !buf.is_empty() => buf,
                Poll::Ready(_) => return Poll::Ready(false),
            };
            let Some(taken) = up.flow.take_away(&mut buf) else { return Poll::Ready(false) };
            x.bytes_in += taken.len as u64;
            left = left.saturating_sub(taken.len);
            if !buf.is_empty() {
                client.unrecv(buf);
            }
            if taken.done || left == 0 {
                return Poll::Ready(taken.done);
            }
        }
    })
    .await;
    up.done = drained.unwrap_or(false);
    up.done
}

const DRAIN_TIME: std::time::Duration = std::time::Duration::from_secs(1);
