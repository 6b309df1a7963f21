//! The response: rules, cookies, what the proxy changes, and its delivery.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::http::{BodyLen, FieldId, Method};
use crate::http1::connection::{BodyForm, Persistence, check_switch, rewrite_response, server_keeps_alive};
use crate::http1::{Relax, write_response};
use crate::log::Step;
use crate::proxy::check::{Observed, observed};
use crate::proxy::cookie::{self, Edit, Exchange as CookieExchange};
use crate::proxy::{HttpClose, HttpReuse};
use crate::rules::{ProxyRules, RuleSet, Verdict};
use crate::runtime::{self, wall};

use super::super::logging;
use super::super::pool::ServerConn;
use super::super::relay::{Body, Flow, Kind, Limits, Outcome, Relay};
use super::super::state::Stream;
use super::super::stick;
use super::super::termination::{Cause, Phase};
use super::super::worker::View;
use super::cacheable::Cacheable;
use super::request::close_mode;
use super::talk::{Upload, drain_upload, settle};
use super::{Next, answers, body};

/// Brings the response whose head is in `st.x.response` to the client.
pub(in crate::stream) async fn deliver(
    view: &View,
    st: &mut Stream<'_>,
    conn: ServerConn,
    mut up: Upload,
) -> Next {
    logging::capture_response(view, st);
    if view.plan(st.x.backend).wants_rtt || view.plan(st.s.frontend).wants_rtt {
        st.x.server_rtt = conn.socket.rtt().ok();
    }
    if let Some(srv) = st.srv(view) {
        observed(&view.shared.live, srv, Observed::Response(st.x.response.status()));
    }
    settle(st, &up);
    if let Some(next) = response_rules(view, st, &conn, |r| &r.tcp_response).await {
        return next;
    }
    // Before the rules that may change the response.
    stick::store(view, st);
    if let Some(next) = response_rules(view, st, &conn, |r| &r.http_response).await {
        return next;
    }
    if st.be(view).http.checkcache && leaks_cookie(st) {
        count_denied(view, st);
        st.note(Cause::Proxy, Phase::Headers);
        st.x.times.response = None;
        return answers::error(view, st, 502);
    }
    cookies(view, st);
    answers::after_response_rules(view, st);
    let framing = st.x.response.framing();
    if framing == BodyLen::Tunnel && !may_switch(view, st) {
        st.note(Cause::Proxy, Phase::Headers);
        count_response_error(view, st);
        st.x.times.response = None;
        return answers::error(view, st, 502);
    }
    let server_keeps = keeps_server(view, st, &up);
    let form = send_head(st, framing);
    logging::log_early(view, st, Step::Response, true);
    if framing == BodyLen::Tunnel {
        return tunnel(view, st, &conn, up).await;
    }
    let dechunk = form == BodyForm::Dechunked;
    let outcome = carry(view, st, &conn, &mut up, Body::new(framing, dechunk)).await;
    st.x.keep_client &= outcome.cause == Cause::Normal && outcome.down_complete;
    if outcome.cause != Cause::Normal {
        return aborted(view, st, outcome, &up);
    }
    if server_keeps && up.done {
        release(view, st, conn);
    }
    if !up.done && !drain_upload(view, st, &mut up).await {
        st.x.keep_client = false;
        return Next::Linger;
    }
    if st.x.keep_client { Next::KeepAlive } else { Next::Close }
}

/// `option checkcache`: a cookie that a cache on the way may give to somebody else.
fn leaks_cookie(st: &Stream<'_>) -> bool {
    let has_cookie =
        [FieldId::SetCookie, FieldId::SetCookie2].iter().any(|&id| st.x.response.fields.has_id(id));
    let cacheable = Cacheable::of(&st.x.request, &st.x.response);
    has_cookie && cacheable.response && cacheable.cookies
}

/// A 101 must answer what the request asked for (RFC 9110 15.2.2).
fn may_switch(view: &View, st: &Stream<'_>) -> bool {
    let relax = if st.be(view).http.accept_unsafe_response { Relax::Unsafe } else { Relax::Strict };
    st.x.request.method() == Method::Connect || check_switch(&st.x.request, &st.x.response, relax).is_ok()
}

fn count_response_error(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.backends[st.x.backend.index()].resp_errors.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].resp_errors.inc();
        observed(&view.shared.live, srv, Observed::NoResponse);
    }
}

/// One kind of rules on the response: the backend's first, then the frontend's.
async fn response_rules(
    view: &View,
    st: &mut Stream<'_>,
    conn: &ServerConn,
    set: fn(&ProxyRules) -> &RuleSet,
) -> Option<Next> {
    let (be, fe) = (st.x.backend, st.s.frontend);
    for id in [Some(be), (fe != be).then_some(fe)].into_iter().flatten() {
        let rules = set(&view.plan(id).rules);
        st.x.ruling = id;
        if rules.is_empty() {
            continue;
        }
        let mut at = 0;
        let next = loop {
            match rules.run(&mut at, st) {
                Verdict::Pause(time) => runtime::sleep(time).await,
                Verdict::WaitForBody { time, at_least } => {
                    let deadline = runtime::now() + time;
                    if !body::buffer_response(view, st, &conn.socket, deadline, at_least).await {
                        break Some(too_late(view, st));
                    }
                }
                verdict => break carry_out(view, st, verdict),
            }
        };
        if next.is_some() {
            return next;
        }
    }
    None
}

/// `wait-for-body` waited in vain.
fn too_late(view: &View, st: &mut Stream<'_>) -> Next {
    count_response_error(view, st);
    st.note(Cause::ServerTimeout, Phase::Headers);
    st.x.times.response = None;
    // A session that was shut down had time left.
    answers::error(view, st, if st.s.timer.is_killed() { 502 } else { 504 })
}

fn carry_out(view: &View, st: &mut Stream<'_>, verdict: Verdict<'_>) -> Option<Next> {
    let next = match verdict {
        Verdict::Deny(answer) => {
            count_denied(view, st);
            st.note(Cause::Proxy, Phase::Headers);
            st.x.times.response = None;
            answers::answer(view, st, answer)
        }
        Verdict::Return(answer) => {
            st.note(Cause::Local, Phase::Headers);
            st.x.times.response = None;
            answers::answer(view, st, answer)
        }
        Verdict::Redirect(r) => {
            st.note(Cause::Local, Phase::Headers);
            st.x.times.response = None;
            answers::redirect(view, st, &r)
        }
        Verdict::Reject => {
            count_denied(view, st);
            st.note(Cause::Proxy, Phase::Headers);
            Next::Close
        }
        Verdict::Close => {
            count_denied(view, st);
            st.note(Cause::Proxy, Phase::Headers);
            answers::error(view, st, 502)
        }
        Verdict::SilentDrop => {
            st.note(Cause::Proxy, Phase::Headers);
            Next::Abort
        }
        _ => return None,
    };
    Some(next)
}

fn count_denied(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    c.frontends[st.s.frontend.index()].resp_denied.inc();
    c.backends[st.x.backend.index()].resp_denied.inc();
    if let Some(srv) = st.srv(view) {
        c.servers[srv.id.index()].resp_denied.inc();
    }
}

/// Persistence cookies.
fn cookies(view: &View, st: &mut Stream<'_>) {
    let be = st.be(view);
    let (Some(_), Some(server)) = (&be.backend().cookie, st.x.server) else { return };
    let (outcome, places) = {
        let (places, values): (SmallVec<[usize; 4]>, SmallVec<[&[u8]; 4]>) =
            st.x.response.fields.with_id(FieldId::SetCookie).map(|f| (f.index, f.value)).unzip();
        let exchange = CookieExchange {
            server,
            request: &st.x.cookie,
            post: st.x.request.method() == Method::Post,
            ignore: st.x.ignore_persist,
        };
        (cookie::response(be, &exchange, &values, wall()), places)
    };
    // Only a response that a cache could keep needs to be marked.
    let keepable = outcome.cache_private
        && Cacheable::of(&st.x.request, &st.x.response).response
        && Cacheable::has_freshness(&st.x.response.fields);
    let fields = &mut st.x.response.fields;
    for (at, edit) in &outcome.edits {
        match edit {
            Edit::Remove => fields.remove_at(places[*at]),
            Edit::Replace(value) => fields.set_value_at(places[*at], value),
        }
    }
    if let Some(value) = &outcome.add {
        fields.add(b"Set-Cookie", value);
    }
    if outcome.cache_private && keepable {
        fields.add(b"Cache-Control", b"private");
    }
    st.x.cookie_done = outcome.done;
}

/// Whether the server's connection can be kept after this response. `up`: its request must be complete too.
fn keeps_server(view: &View, st: &Stream<'_>, up: &Upload) -> bool {
    let mode = close_mode(st.fe(view), st.be(view));
    matches!(mode, HttpClose::KeepAlive | HttpClose::Tunnel)
        && !up.broken
        && server_keeps_alive(&st.x.response)
}

fn send_head(st: &mut Stream<'_>, framing: BodyLen) -> BodyForm {
    let x = &mut st.x;
    x.keep_client &= !matches!(framing, BodyLen::UntilClose | BodyLen::Tunnel) && !st.s.must_close();
    // A rule gave it a status that has no body: what comes all the same must not pass for the next response.
    let bodiless = matches!(x.response.status(), 100..=199 | 204 | 304);
    x.keep_client &= !bodiless || framing.is_empty() || framing == BodyLen::Tunnel;
    let persistence = match framing {
        BodyLen::Tunnel => Persistence::Untouched,
        _ if x.keep_client => Persistence::KeepAlive,
        _ => Persistence::Close,
    };
    let form = rewrite_response(&mut x.response, x.request.version(), persistence);
    x.keep_client &= form == BodyForm::AsIs;
    let mut out = runtime::take_vec();
    write_response(&x.response, &mut out);
    x.status = Some(x.response.status());
    x.bytes_out += out.len() as u64;
    st.s.client.send(out);
    form
}

/// Relays what is left of both messages.
async fn carry(view: &View, st: &mut Stream<'_>, conn: &ServerConn, up: &mut Upload, body: Body) -> Outcome {
    let mut down = Flow::new(body);
    if view.shared.settings.no_splice {
        down.no_splice();
    }
    if up.done && down.pass_received(&conn.socket, &st.s.client) {
        st.x.bytes_out += down.bytes;
        return Outcome { up_complete: true, down_complete: true, ..Outcome::default() };
    }
    let limits =
        Limits { client: st.client_timeout(view), server: st.server_timeout(view), ..Limits::default() };
    let flow = std::mem::replace(&mut up.flow, Flow::done());
    let flow = if up.done { Flow::done() } else { flow };
    let mut relay = Relay::new(&st.s.client, &conn.socket, flow, down, Kind::Message, limits);
    if up.broken {
        relay.up_is_broken();
    }
    let place = (st.s.listener, st.s.frontend, st.x.backend, st.x.server);
    let worker = st.s.worker.clone();
    let mut shut = worker.shuts.watch(st.be(view), st.srv(view));
    let (connection, exchange) = (&st.s.tracks, &st.x.tracks);
    let mut meter = |up, down| {
        view.count_stream(place.0, place.1, place.2, place.3, up, down);
        super::super::track::bytes(connection, exchange, up, down);
    };
    let outcome = relay.run(&mut st.s.timer, &mut meter, &mut shut, None).await;
    let bytes = relay.take_bytes();
    up.flow = relay.into_up();
    st.x.carried(bytes);
    up.done |= outcome.up_complete;
    outcome
}

/// A tunnel: after a 101, or a 2xx to CONNECT.
async fn tunnel(view: &View, st: &mut Stream<'_>, conn: &ServerConn, up: Upload) -> Next {
    let _ = up;
    let Some(outcome) = super::super::tcp::tunnel(view, st, &conn.socket, None).await else {
        return Next::Moved;
    };
    if outcome.cause != Cause::Normal {
        st.note(outcome.cause, Phase::Data);
    }
    Next::Close
}

/// The relay was cut.
fn aborted(view: &View, st: &mut Stream<'_>, outcome: Outcome, up: &Upload) -> Next {
    let _ = up;
    let phase =
        if outcome.cause == Cause::Client && outcome.down_complete { Phase::Last } else { Phase::Data };
    st.note(outcome.cause, phase);
    if matches!(outcome.cause, Cause::Server | Cause::ServerTimeout) {
        // What was received goes out; then the close tells the client that something is missing.
        count_response_error(view, st);
    }
    Next::Close
}

/// Keeps the server's connection for another request.
fn release(view: &View, st: &mut Stream<'_>, mut conn: ServerConn) {
    let Some(srv) = st.srv(view) else { return };
    conn.private |= asks_for_authenticated_connection(st);
    if conn.private || st.be(view).http.reuse == HttpReuse::Never {
        if st.x.keep_client {
            st.s.own = Some(Box::new(conn));
        }
        return;
    }
    let view: &Rc<View> = &st.s.view;
    view.pools.put(view, srv, conn);
}

/// NTLM and Negotiate authenticate the connection, not the request (RFC 4559): it then belongs to its client.
fn asks_for_authenticated_connection(st: &Stream<'_>) -> bool {
    let name: &[u8] = match st.x.response.status() {
        401 => b"www-authenticate",
        407 => b"proxy-authenticate",
        _ => return false,
    };
    st.x.response.fields.values(name).any(|v| {
        let scheme = v.split(|&b| b == b' ').next().unwrap_or(v);
        scheme.eq_ignore_ascii_case(b"ntlm") || scheme.eq_ignore_ascii_case(b"negotiate")
    })
}
