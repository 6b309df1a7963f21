//! The request: its head, rules, choice of the backend, what the proxy adds to it.

use std::future::Future;
use std::task::Poll;

use smallvec::SmallVec;

use crate::http::{Method, RequestHead};
use crate::http1::connection::client_keeps_alive;
use crate::http1::{Parsed, Relax, parse_request};
use crate::net::RecvBuf;
use crate::proxy::{ForwardedFor, HttpClose, Mode, Proxy, ProxyId, RestrictNames};
use crate::rules::{ProxyRules, RuleSet, Verdict};
use crate::runtime::{self, now};

use super::super::logging;
use super::super::state::{Stream, after};
use super::super::switch;
use super::super::termination::{Cause, Phase};
use super::super::wait::until;
use super::super::worker::View;
use super::exchange::no_request;
use super::keepalive::Silence;
use super::{Next, answers, body, capture};

/// Reads the head; `first` is what was received so far. What follows the head stays with the socket.
pub(in crate::stream) async fn read_head(
    view: &View,
    st: &mut Stream<'_>,
    mut first: RecvBuf,
) -> Result<(), Next> {
    match parse(view, st, &first) {
        Ok(Some(head_len)) => {
            first.advance(head_len);
            if !first.is_empty() {
                st.s.client.unrecv(first);
            }
            return Ok(());
        }
        Ok(None) => {}
        Err(status) => return Err(bad_request(view, st, first.len(), status)),
    }
    let mut head = runtime::take_vec();
    head.extend_from_slice(&first);
    drop(first);
    let done = read_more(view, st, &mut head).await;
    if let Ok(head_len) = done
        && head_len < head.len()
    {
        st.s.client.unrecv(RecvBuf::from_vec(head[head_len..].to_vec()));
    }
    runtime::put_vec(head);
    done.map(|_| ())
}

/// The slow path: a head that comes in pieces. Gives its length.
async fn read_more(view: &View, st: &mut Stream<'_>, head: &mut Vec<u8>) -> Result<usize, Next> {
    let t = st.s.request_timeouts(view);
    let first_byte = st.x.times.first_byte.unwrap_or(now());
    let begin = if st.x.first { st.x.times.handshake } else { first_byte };
    let worker = st.s.worker.clone();
    let (listener, stays) = (st.s.listener, st.s.stays);
    let mut stop = std::pin::pin!(worker.stop.notified());
    let limit = t.http_request().map_or(crate::base::time::Mono::NEVER, |d| begin + d);
    loop {
        let deadline = limit.min(after(st.client_timeout(view)));
        let client = &st.s.client;
        let received = until(&mut st.s.timer, deadline, |cx| match client.poll_recv(cx) {
            Poll::Pending if !stays && worker.hands_over(listener) => Poll::Ready(None),
            Poll::Pending => {
                let _ = stop.as_mut().poll(cx);
                Poll::Pending
            }
            Poll::Ready(received) => Poll::Ready(Some(received)),
        })
        .await;
        let silence = match received {
            Some(None) => {
                st.s.client.unrecv(RecvBuf::from_vec(std::mem::take(head)));
                return Err(Next::Leave(first_byte));
            }
            None => Some(Silence::TimedOut),
            Some(Some(Err(_))) => Some(Silence::Broken),
            Some(Some(Ok(buf))) if buf.is_empty() => Some(Silence::Closed),
            Some(Some(Ok(buf))) => {
                head.extend_from_slice(&buf);
                None
            }
        };
        if let Some(why) = silence {
            st.x.bytes_in += head.len() as u64;
            return Err(no_request(view, st, why));
        }
        match parse(view, st, head) {
            Ok(Some(head_len)) => return Ok(head_len),
            Ok(None) => {}
            Err(status) => return Err(bad_request(view, st, head.len(), status)),
        }
    }
}

/// The head's length, `None` while it is not complete, or the status for a bad one.
fn parse(view: &View, st: &mut Stream<'_>, bytes: &[u8]) -> Result<Option<usize>, u16> {
    let relax = if st.fe(view).http.accept_unsafe_request { Relax::Unsafe } else { Relax::Strict };
    match parse_request(bytes, &view.shared.settings.head_limits, relax, &mut st.x.request) {
        Ok(Parsed::Complete { head_len }) => {
            st.x.has_request = true;
            st.x.bytes_in += head_len as u64;
            st.x.times.request = Some(now());
            Ok(Some(head_len))
        }
        Ok(Parsed::Partial) => Ok(None),
        Err(e) => {
            capture::request(view, st, bytes, e.at, e.kind.to_string());
            Err(e.status())
        }
    }
}

fn bad_request(view: &View, st: &mut Stream<'_>, received: usize, status: u16) -> Next {
    view.counters().frontends[st.s.frontend.index()].req_errors.inc();
    view.counters().listeners[st.s.listener.index()].req_errors.inc();
    st.x.bytes_in += received as u64;
    st.count_http_request();
    st.count_http_error();
    st.note(Cause::Proxy, Phase::Request);
    answers::error(view, st, status)
}

/// Counts the request, keeps what the log wants of it, decides on the client's persistence.
pub(in crate::stream) fn begin(view: &View, st: &mut Stream<'_>) {
    let c = view.counters();
    c.process.requests.inc();
    c.process.sessions.inc();
    c.frontends[st.s.frontend.index()].requests.inc();
    st.count_http_request();
    logging::capture_request(view, st);
    st.x.keep_client = client_keeps_alive(&st.x.request) && st.fe(view).http.close != HttpClose::Close;
}

/// The frontend's part. Some: the exchange is over.
pub(in crate::stream) async fn frontend(view: &View, st: &mut Stream<'_>) -> Option<Next> {
    let fe = st.fe(view);
    if let Some(uri) = fe.frontend.as_ref().and_then(|f| f.monitor_uri.as_ref())
        && is_monitored(&st.x.request, uri)
    {
        let fail = switch::monitor_fails(view, st);
        return Some(answers::monitor(view, st, fail));
    }
    if wants_body(fe, st)
        && let Some(next) = body::buffer_all(view, st).await
    {
        return Some(next);
    }
    if let Some(next) = rule_sets(view, st, fe.id).await {
        return Some(next);
    }
    match switch::choose_backend(view, st) {
        Some(id) => st.enter_backend(view, id),
        None => return Some(no_server(view, st)),
    }
    None
}

/// `monitor-uri` as written, or its path in a request in absolute form.
fn is_monitored(request: &RequestHead, uri: &[u8]) -> bool {
    request.target() == uri || (uri.starts_with(b"/") && request.uri().path_and_query() == Some(uri))
}

/// No backend, or no server in it.
pub(in crate::stream) fn no_server(view: &View, st: &mut Stream<'_>) -> Next {
    if st.x.in_backend.is_some() {
        view.counters().backends[st.x.backend.index()].conn_errors.inc();
    }
    st.note(Cause::Server, Phase::Connect);
    answers::error(view, st, 503)
}

/// The backend's part, up to the moment when a server is needed.
pub(in crate::stream) async fn backend(view: &View, st: &mut Stream<'_>) -> Option<Next> {
    let be = st.be(view);
    view.counters().backends[be.id.index()].requests.inc();
    if be.id != st.s.frontend {
        if wants_body(be, st)
            && let Some(next) = body::buffer_all(view, st).await
        {
            return Some(next);
        }
        if let Some(next) = rule_sets(view, st, be.id).await {
            return Some(next);
        }
    }
    add_fields(view, st);
    switch::persistence(view, st);
    None
}

/// `option http-buffer-request`, or a balancing key that may stand in the body of a POST.
fn wants_body(proxy: &Proxy, st: &Stream<'_>) -> bool {
    let in_post = || proxy.backend.as_ref().is_some_and(|b| b.balance.looks_into_posts());
    proxy.http.buffer_request || (st.x.request.method() == Method::Post && in_post())
}

/// The rules of one proxy in the manual's order.
async fn rule_sets(view: &View, st: &mut Stream<'_>, id: ProxyId) -> Option<Next> {
    let sets: [fn(&ProxyRules) -> &RuleSet; 3] = [|r| &r.tcp_content, |r| &r.http_request, |r| &r.redirect];
    for set in sets {
        let rules = set(&view.plan(id).rules);
        st.x.ruling = id;
        if !rules.is_empty()
            && let Some(next) = run_rules(view, st, rules).await
        {
            return Some(next);
        }
    }
    restrict_names(view, st, id)
}

/// `option http-restrict-req-hdr-names` of one proxy, behind its rules.
fn restrict_names(view: &View, st: &mut Stream<'_>, id: ProxyId) -> Option<Next> {
    let what = view.proxy(id).http.restrict_names;
    if what == RestrictNames::Preserve {
        return None;
    }
    let is_odd = |name: &[u8]| !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    let fields = st.x.request.fields.entries();
    let odd: SmallVec<[usize; 4]> = fields.filter(|f| is_odd(f.name)).map(|f| f.index).collect();
    if what == RestrictNames::Reject && !odd.is_empty() {
        count_denied(view, st);
        st.note(Cause::Proxy, Phase::Request);
        return Some(answers::error(view, st, 403));
    }
    odd.into_iter().for_each(|at| st.x.request.fields.remove_at(at));
    None
}

async fn run_rules(view: &View, st: &mut Stream<'_>, rules: &RuleSet) -> Option<Next> {
    let mut at = 0;
    loop {
        match rules.run(&mut at, st) {
            Verdict::WaitForBody { time, at_least } => {
                if let Some(next) = body::buffer(view, st, now() + time, at_least).await {
                    return Some(next);
                }
            }
            Verdict::Pause(time) => runtime::sleep(time).await,
            Verdict::Tarpit(answer) => {
                st.count_http_error();
                tarpit(view, st).await;
                count_denied(view, st);
                return Some(answers::answer(view, st, answer));
            }
            verdict => return carry_out(view, st, verdict),
        }
    }
}

/// The verdicts that need no waiting.
fn carry_out(view: &View, st: &mut Stream<'_>, verdict: Verdict<'_>) -> Option<Next> {
    match verdict {
        Verdict::Deny(answer) => {
            st.count_http_error();
            count_denied(view, st);
            st.note(Cause::Proxy, Phase::Request);
            Some(answers::answer(view, st, answer))
        }
        Verdict::Return(answer) => {
            count_intercepted(view, st);
            st.note(Cause::Local, Phase::Request);
            Some(answers::answer(view, st, answer))
        }
        Verdict::Redirect(r) => {
            count_intercepted(view, st);
            Some(answers::redirect(view, st, &r))
        }
        Verdict::Auth { realm } => {
            st.count_http_error();
            count_intercepted(view, st);
            Some(answers::ask_credentials(view, st, realm))
        }
        Verdict::Reject | Verdict::Close => {
            count_denied(view, st);
            st.note(Cause::Proxy, Phase::Request);
            Some(Next::Close)
        }
        Verdict::SilentDrop => {
            st.note(Cause::Proxy, Phase::Request);
            Some(Next::Abort)
        }
        Verdict::UseService(_) => {
            st.note(Cause::Internal, Phase::Request);
            Some(answers::error(view, st, 503))
        }
        _ => None,
    }
}

fn count_denied(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.frontends[st.s.frontend.index()].req_denied.inc();
    c.listeners[st.s.listener.index()].req_denied.inc();
    if st.x.in_backend.is_some() {
        c.backends[st.x.backend.index()].req_denied.inc();
    }
}

fn count_intercepted(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    if st.x.in_backend.is_some() && st.x.backend != st.s.frontend {
        c.backends[st.x.backend.index()].intercepted.inc();
    } else {
        c.frontends[st.s.frontend.index()].intercepted.inc();
    }
}

/// Holds the client for `timeout tarpit`; the log shows the time as the queue's.
async fn tarpit(view: &View, st: &mut Stream<'_>) {
    let time = st.x.overrides.tarpit.or(st.be(view).timeouts.tarpit());
    let abort = st.be(view).http.abortonclose;
    let client = &st.s.client;
    let gone = until(&mut st.s.timer, after(time), |cx| match abort {
        true => client.poll_hup(cx),
        false => Poll::Pending,
    })
    .await
    .is_some();
    st.x.times.request = None;
    st.x.times.queue = Some(now());
    st.note(if gone { Cause::Client } else { Cause::Proxy }, Phase::Tarpit);
}

/// What the proxy adds to the request: `X-Forwarded-For`, `X-Original-To`, the unique id.
fn add_fields(view: &View, st: &mut Stream<'_>) {
    let (fe, be) = (st.fe(view), st.be(view));
    if let Some(f) = either(fe, be, |p| p.http.forwardfor.as_ref()) {
        let src = st.s.src.map(|a| a.ip());
        add_address(&mut st.x.request, f, fe, be, src, |p| p.http.forwardfor.as_ref());
    }
    if let Some(f) = either(fe, be, |p| p.http.originalto.as_ref()) {
        let dst = st.s.dst().map(|a| a.ip());
        add_address(&mut st.x.request, f, fe, be, dst, |p| p.http.originalto.as_ref());
    }
    if let Some(name) = &view.plan(st.s.frontend).log.unique_id_header {
        let id = logging::unique_id(st).map(<[u8]>::to_vec);
        if let Some(id) = id {
            st.x.request.fields.add(name.as_bytes(), &id);
        }
    }
}

/// The backend's setting, else the frontend's.
fn either<'v, T>(fe: &'v Proxy, be: &'v Proxy, get: fn(&'v Proxy) -> Option<T>) -> Option<T> {
    get(be).or_else(|| get(fe))
}

fn add_address(
    request: &mut RequestHead,
    f: &ForwardedFor,
    fe: &Proxy,
    be: &Proxy,
    addr: Option<std::net::IpAddr>,
    get: for<'a> fn(&'a Proxy) -> Option<&'a ForwardedFor>,
) {
    let Some(addr) = addr else { return };
    let settings = || [get(fe), get(be)].into_iter().flatten();
    if settings().any(|s| s.is_excepted(addr)) {
        return;
    }
    // `if-none` holds only when every side that asks for the header says so.
    if settings().all(|s| s.if_none) && request.fields.has(&f.header) {
        return;
    }
    let mut text = runtime::take_vec();
    let _ = std::io::Write::write_fmt(&mut text, format_args!("{}", addr.to_canonical()));
    request.fields.add(&f.header, &text);
    runtime::put_vec(text);
}

/// The persistence mode of both sides together: the strongest wins.
pub(in crate::stream) fn close_mode(fe: &Proxy, be: &Proxy) -> HttpClose {
    let rank = |m: HttpClose| match m {
        HttpClose::KeepAlive | HttpClose::Tunnel => 0,
        HttpClose::ServerClose => 1,
        HttpClose::Close => 2,
    };
    let (f, b) = (fe.http.close, be.http.close);
    let f = if fe.mode == Mode::Http { f } else { HttpClose::KeepAlive };
    if rank(f) >= rank(b) { f } else { b }
}
