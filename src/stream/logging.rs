//! Counters and the log line at the end of an exchange.

use crate::log::{self, LogAddr, LogFields, LogFormat, Origin, Step};
use crate::proxy::live::{BackendCounters, FrontendCounters, ServerCounters};
use crate::proxy::{Mode, ServerId};
use crate::runtime::{now, wall};

use super::state::Stream;
use super::termination::Cause;
use super::worker::{Plan, View};

/// Moves the bytes that were not counted yet into the counters: at the end, and now and then during long
/// transfers.
pub(super) fn count_bytes(view: &View, st: &mut Stream<'_>) {
    let x = &mut st.x;
    let (bytes_in, bytes_out) = (x.bytes_in - x.counted_in, x.bytes_out - x.counted_out);
    x.counted_in = x.bytes_in;
    x.counted_out = x.bytes_out;
    if bytes_in | bytes_out == 0 {
        return;
    }
    super::track::bytes(&st.s.tracks, &st.x.tracks, bytes_in, bytes_out);
    let server = st.x.server.filter(|_| st.x.in_backend.is_some());
    view.count_stream(st.s.listener, st.s.frontend, st.x.backend, server, bytes_in, bytes_out);
}

fn server_id(view: &View, st: &Stream<'_>) -> Option<ServerId> {
    st.srv(view).map(|s| s.id)
}

macro_rules! count_class {
    ($counters:expr, $status:expr) => {
        match $status / 100 {
            1 => $counters.resp_1xx.inc(),
            2 => $counters.resp_2xx.inc(),
            3 => $counters.resp_3xx.inc(),
            4 => $counters.resp_4xx.inc(),
            5 => $counters.resp_5xx.inc(),
            _ => $counters.resp_other.inc(),
        }
    };
}

fn count_status(view: &View, st: &Stream<'_>, status: u16) {
    let c = view.counters();
    let fe: &FrontendCounters = &c.frontends[st.s.frontend.index()];
    count_class!(fe, status);
    if st.x.in_backend.is_some() {
        let be: &BackendCounters = &c.backends[st.x.backend.index()];
        count_class!(be, status);
        // Only what a server said counts as its answer.
        if let Some(id) = server_id(view, st).filter(|_| st.x.times.response.is_some()) {
            let srv: &ServerCounters = &c.servers[id.index()];
            count_class!(srv, status);
        }
    }
}

/// The means of the statistics page, over requests that reached a server.
fn count_times(view: &View, st: &Stream<'_>) {
    let Some(id) = server_id(view, st) else { return };
    let t = &st.x.times;
    let (Some(queue), Some(connect)) = (t.queue, t.connect) else { return };
    let begin = t.request.unwrap_or(t.handshake);
    let c = view.counters();
    let (srv, be) = (&c.servers[id.index()], &c.backends[st.x.backend.index()]);
    let wait = queue.ms_since(begin);
    let connecting = connect.ms_since(queue);
    let total = t.end.ms_since(t.first_byte.unwrap_or(t.accept));
    for (queue_time, connect_time, total_time) in [
        (&srv.queue_time, &srv.connect_time, &srv.total_time),
        (&be.queue_time, &be.connect_time, &be.total_time),
    ] {
        queue_time.add(wait);
        connect_time.add(connecting);
        total_time.add(total);
    }
    if let Some(response) = t.response {
        srv.response_time.add(response.ms_since(connect));
        be.response_time.add(response.ms_since(connect));
    }
}

fn count_aborts(view: &View, st: &Stream<'_>) {
    let c = view.counters();
    let fe = &c.frontends[st.s.frontend.index()];
    let be = &c.backends[st.x.backend.index()];
    let srv = server_id(view, st).map(|id| &c.servers[id.index()]);
    // Before a server was asked it is a bad request, which is counted elsewhere.
    if st.x.times.connect.is_none() {
        return;
    }
    match st.x.term.cause() {
        Cause::Client | Cause::ClientTimeout => {
            fe.client_aborts.inc();
            be.client_aborts.inc();
            if let Some(s) = srv {
                s.client_aborts.inc();
            }
        }
        Cause::Server | Cause::ServerTimeout if st.x.times.response.is_some() => {
            fe.server_aborts.inc();
            be.server_aborts.inc();
            if let Some(s) = srv {
                s.server_aborts.inc();
            }
        }
        _ => {}
    }
}

/// Ends an exchange: gives back server and backend, counts, logs.
pub(super) fn finish(view: &View, st: &mut Stream<'_>) {
    st.x.times.end = now();
    count_bytes(view, st);
    if let Some(status) = st.x.status {
        count_status(view, st, status);
    }
    count_times(view, st);
    count_aborts(view, st);
    st.leave_backend();
    write_line(view, st, Origin::TxnClose, false);
}

/// Writes the line early when the format is complete at `step`, or `option logasap` asks for it. `last_step`
/// is the last moment before data flows.
pub(super) fn log_early(view: &View, st: &mut Stream<'_>, step: Step, last_step: bool) {
    let log = &view.plan(st.s.frontend).log;
    if st.x.logged || !(log.format.complete_at() <= step || (last_step && log.log_asap)) {
        return;
    }
    st.x.times.end = now();
    let origin = match step {
        Step::Accept => Origin::TxnAccept,
        Step::Request => Origin::TxnRequest,
        Step::Connect => Origin::TxnConnect,
        Step::Response => Origin::TxnResponse,
        Step::Close => Origin::TxnClose,
    };
    write_line(view, st, origin, true);
}

fn write_line(view: &View, st: &mut Stream<'_>, origin: Origin, incomplete: bool) {
    if std::mem::replace(&mut st.x.logged, true) {
        return;
    }
    let plan = view.plan(st.s.frontend);
    if plan.log.targets.is_empty() {
        return;
    }
    if plan.log.unique_id.is_some() {
        unique_id(st);
    }
    let req_captures = st.x.req_captures.borrow();
    let res_captures = st.x.res_captures.borrow();
    let mut fields = fields(view, plan, st);
    fields.origin = origin;
    fields.incomplete = incomplete;
    // What was no request has no captures: not even empty braces are printed.
    let captures = st.x.has_request || !fields.http;
    fields.request_captures = (captures && !plan.log.request_captures.is_empty()).then_some(&*req_captures);
    fields.response_captures = (captures && !plan.log.response_captures.is_empty()).then_some(&*res_captures);
    log::exchange(&plan.log, st.x.level, &fields, &*st, wall());
}

pub(super) fn fields<'a>(view: &'a View, plan: &'a Plan, st: &'a Stream<'_>) -> LogFields<'a> {
    let x = &st.x;
    let live = &view.shared.live;
    let snapshot = &view.shared.snapshot;
    let listener = snapshot.listener(st.s.listener);
    let unix = LogAddr::Unix { id: listener.uuid };
    let srv = st.srv(view);
    let http = st.fe(view).mode == Mode::Http || x.has_request || st.s.tcp_http.is_some();
    let cookie = cookie_letters(view, st);
    LogFields {
        accept_wall: x.start_wall,
        timeline: x.times,
        client: st.s.src.map_or(unix, LogAddr::Inet),
        frontend_addr: match (st.s.is_unix(), plan.shows_dst) {
            (true, _) => st.s.dst().map_or(unix, LogAddr::Inet),
            (false, true) => st.s.dst().into(),
            (false, false) => LogAddr::None,
        },
        backend_source: x.server_src.into(),
        server_addr: srv.and_then(|s| view.shared.live.server_inet(s)).into(),
        frontend: &st.fe(view).name,
        frontend_tls: false,
        http,
        backend: &st.be(view).name,
        server: srv.map(|s| s.name.as_str()),
        status: x.status,
        bytes_read: x.bytes_out,
        bytes_uploaded: x.bytes_in,
        termination: x.term.letters(if http { cookie } else { *b"--" }),
        actconn: live.process.connections.get(),
        feconn: live.frontend(st.s.frontend).sessions.get(),
        beconn: live.backend(x.backend).sessions.get(),
        srvconn: srv.map_or(0, |s| live.server(s.id).sessions.get()),
        retries: x.retries,
        redispatched: x.redispatched,
        srv_queue: x.srv_queue,
        be_queue: x.be_queue,
        request_line: request_line(view, st),
        request_cookie: (!x.req_cookie.is_empty()).then_some(&x.req_cookie),
        response_cookie: (!x.res_cookie.is_empty()).then_some(&x.res_cookie),
        unique_id: x.unique_id.get().map(Vec::as_slice),
        log_counter: plan.log.counter.load(std::sync::atomic::Ordering::Relaxed),
        request_counter: x.number,
        ..LogFields::default()
    }
}

/// The last two characters of the termination state. A backend with a cookie always says something.
fn cookie_letters(view: &View, st: &Stream<'_>) -> [u8; 2] {
    let x = &st.x;
    let has_cookie =
        st.be(view).backend.as_ref().is_some_and(|b| b.cookie.as_ref().is_some_and(|c| !c.is_silent()));
    let or_none = |c: u8| if has_cookie && c == b'-' { b'N' } else { c };
    [or_none(x.cookie.seen.log_char()), or_none(x.cookie_done.log_char())]
}

fn request_line<'a>(view: &View, st: &'a Stream<'_>) -> Option<&'a [u8]> {
    if !st.x.has_request {
        return None;
    }
    let line = st.x.request.request_line();
    Some(&line[..line.len().min(view.shared.settings.log_uri_len)])
}

/// Appends a format as a rule renders it, in the middle of the exchange.
pub(super) fn render(st: &Stream<'_>, format: &LogFormat, out: &mut Vec<u8>) {
    if let Some(text) = format.constant() {
        out.extend_from_slice(text);
        return;
    }
    let view = &st.s.view;
    let plan = view.plan(st.s.frontend);
    let mut fields = fields(view, plan, st);
    fields.timeline.end = now();
    format.render(&fields, st, out);
}

/// The unique id of the exchange, made at the first use. `None` when the frontend makes none.
pub(super) fn unique_id<'a>(st: &'a Stream<'_>) -> Option<&'a [u8]> {
    let view = &st.s.view;
    let plan = view.plan(st.s.frontend);
    let format = plan.log.unique_id.as_ref()?;
    if let Some(id) = st.x.unique_id.get() {
        return Some(id);
    }
    let mut id = Vec::new();
    format.render(&fields(view, plan, st), st, &mut id);
    Some(st.x.unique_id.get_or_init(|| id))
}

/// Keeps the request headers and the cookie that the frontend captures.
pub(super) fn capture_request(view: &View, st: &mut Stream<'_>) {
    let log = &view.plan(st.s.frontend).log;
    let x = &mut st.x;
    let captures = x.req_captures.get_mut();
    for (i, decl) in log.request_captures.iter().enumerate() {
        if let Some(value) = decl.header.as_ref().and_then(|h| x.request.fields.last(h.as_bytes())) {
            captures.store(i, decl.len, value);
        }
    }
    if let Some(cookie) = &log.cookie_capture {
        let mut values = x.request.fields.with_id(crate::http::FieldId::Cookie);
        if let Some(found) = values.find_map(|f| cookie.in_request(f.value)) {
            x.req_cookie.extend_from_slice(found);
        }
    }
}

/// Keeps the response headers and the cookie that the frontend captures.
pub(super) fn capture_response(view: &View, st: &mut Stream<'_>) {
    let log = &view.plan(st.s.frontend).log;
    let x = &mut st.x;
    let captures = x.res_captures.get_mut();
    for (i, decl) in log.response_captures.iter().enumerate() {
        if let Some(value) = decl.header.as_ref().and_then(|h| x.response.fields.last(h.as_bytes())) {
            captures.store(i, decl.len, value);
        }
    }
    if let Some(cookie) = &log.cookie_capture {
        let mut values = x.response.fields.with_id(crate::http::FieldId::SetCookie);
        if let Some(found) = values.find_map(|f| cookie.in_response(f.value)) {
            x.res_cookie.clear();
            x.res_cookie.extend_from_slice(found);
        }
    }
}
