//! Tunnels: a client, a server, and what an exchange knows of them.

use std::future::Future;
use std::io;
use std::pin::Pin;

use super::super::relay::RelayState;
use super::super::state::{Exchange, Session, Stream};
use super::super::tcp;
use super::super::worker::View;
use super::client::{resume_tracks, server_of, tracks_of};
use super::codec::Blob;
use super::state::{ClientState, ExchangeState, HeadState, Message, TimesState, Tunnel};
use crate::http::{Method, RequestHead, ResponseHead};
use crate::http1::{Limits, Parsed, Relax, parse_request, parse_response, write_request, write_response};
use crate::log::{Captures, LEVELS, LevelOverride, Timeline};
use crate::net::{MESSAGE_MAX, Socket};
use crate::proxy::cookie::{Done, Seen};
use crate::runtime::now;
use crate::sample::VarStore;

/// A tunnel at rest.
#[derive(Clone, Copy)]
pub(in crate::stream) struct Tunnelled<'a> {
    pub s: &'a Session,
    pub x: &'a Exchange,
    pub server: &'a Socket,
    pub relay: RelayState,
}

/// Gives a tunnel to the successor. False: it stays.
pub(in crate::stream) async fn leave_with_tunnel(view: &View, t: Tunnelled<'_>) -> bool {
    let Some(heir) = t.s.worker.heir() else { return false };
    let Some(message) = message(view, t, heir.known().listener(t.s.listener)) else { return false };
    heir.send(&message, &[&t.s.client, t.server]).await
}

fn message(view: &View, t: Tunnelled<'_>, listener: Option<&str>) -> Option<Vec<u8>> {
    let backend = view.proxy(t.x.backend);
    let state = Tunnel {
        client: ClientState::of(t.s, listener?.to_owned()),
        backend: backend.name.clone(),
        server: backend.backend().servers[t.x.server?].name.clone(),
        exchange: ExchangeState::of(t.x)?,
        up_closed: t.relay.up_closed,
        down_closed: t.relay.down_closed,
        client_active: t.relay.client_active,
        server_active: t.relay.server_active,
    };
    Some(Message::Tunnel(Box::new(state)).write())
}

/// The life of a tunnel that another process has begun.
///
/// # Errors
/// When its server is not here.
pub(super) fn go_on(
    mut s: Session,
    t: Tunnel,
    server: Socket,
) -> io::Result<Pin<Box<dyn Future<Output = ()>>>> {
    let view = s.view.clone();
    let srv = server_of(&view, &t.backend, &t.server).ok_or(io::ErrorKind::NotFound)?;
    let (backend, index) = view.shared.snapshot.servers[srv.id.index()];
    let state = RelayState {
        up_closed: t.up_closed,
        down_closed: t.down_closed,
        client_active: t.client_active,
        server_active: t.server_active,
    };
    Ok(Box::pin(async move {
        let exchanges = s.exchanges;
        let mut st = Stream::begin(&mut s);
        st.resume_in_backend(&view, backend, index);
        t.exchange.put_into(&mut st);
        st.s.exchanges = exchanges;
        tcp::go_on(&view, st, server, state).await;
        if s.reset {
            s.client.abort();
        }
    }))
}

/// What is written here must be understood there; what rules have made of a head may not be.
const LIMITS: Limits = Limits { head_bytes: MESSAGE_MAX, max_fields: 4096, accept_any_payload: true };

fn read_request(state: &HeadState, head: &mut RequestHead) -> bool {
    let read = parse_request(&state.bytes.0, &LIMITS, Relax::Unsafe, head);
    let whole = matches!(read, Ok(Parsed::Complete { .. }));
    if whole {
        head.set_request_line(&state.line.0);
    }
    whole
}

fn read_response(bytes: &[u8], method: Method, head: &mut ResponseHead) -> bool {
    matches!(parse_response(bytes, &LIMITS, Relax::Unsafe, method, head), Ok(Parsed::Complete { .. }))
}

fn captured(captures: &Captures) -> Vec<Option<Blob>> {
    captures.iter().map(|value| value.map(|v| Blob(v.to_vec()))).collect()
}

/// By position: there may be fewer or more of them here.
fn capture(state: &[Option<Blob>], captures: &mut Captures) {
    for (i, value) in state.iter().enumerate() {
        if let Some(Blob(value)) = value {
            captures.store(i, value.len(), value);
        }
    }
}

const SEEN: [Seen; 8] = [
    Seen::NotLooked,
    Seen::None,
    Seen::Invalid,
    Seen::Down,
    Seen::Valid,
    Seen::Expired,
    Seen::Old,
    Seen::Unused,
];
const DONE: [Done; 7] =
    [Done::Nothing, Done::None, Done::Inserted, Done::Passed, Done::Rewritten, Done::Deleted, Done::Updated];

impl TimesState {
    fn of(t: &Timeline) -> TimesState {
        TimesState {
            accept: t.accept,
            handshake: t.handshake,
            first_byte: t.first_byte,
            request: t.request,
            queue: t.queue,
            connect: t.connect,
            response: t.response,
        }
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            accept: self.accept.min(now()),
            handshake: self.handshake.min(now()),
            first_byte: self.first_byte,
            request: self.request,
            queue: self.queue,
            connect: self.connect,
            response: self.response,
            ..Timeline::default()
        }
    }
}

impl ExchangeState {
    /// `None` when one of its heads would not be understood again.
    fn of(x: &Exchange) -> Option<ExchangeState> {
        let mut request = None;
        if x.has_request || x.request_seen {
            let mut bytes = Vec::new();
            write_request(&x.request, &mut bytes);
            let state = HeadState { bytes: Blob(bytes), line: Blob(x.request.request_line().to_vec()) };
            if !read_request(&state, &mut RequestHead::new()) {
                return None;
            }
            request = Some(state);
        }
        let mut response = None;
        if x.has_response {
            let mut bytes = Vec::new();
            write_response(&x.response, &mut bytes);
            if !read_response(&bytes, x.request.method(), &mut ResponseHead::new()) {
                return None;
            }
            response = Some(Blob(bytes));
        }
        Some(ExchangeState {
            times: TimesState::of(&x.times),
            start_wall: x.start_wall,
            first: x.first,
            has_request: x.has_request,
            request,
            response,
            vars_txn: x.vars_txn.all(),
            vars_req: x.vars_req.all(),
            vars_res: x.vars_res.all(),
            tracks: tracks_of(&x.tracks),
            req_captures: captured(&x.req_captures.borrow()),
            res_captures: captured(&x.res_captures.borrow()),
            req_cookie: Blob(x.req_cookie.clone()),
            res_cookie: Blob(x.res_cookie.clone()),
            unique_id: x.unique_id.get().map(|id| Blob(id.clone())),
            status: x.status,
            bytes_in: (x.bytes_in, x.counted_in),
            bytes_out: (x.bytes_out, x.counted_out),
            retries: x.retries,
            redispatched: x.redispatched,
            persistent: x.persistent,
            srv_queue: x.srv_queue,
            be_queue: x.be_queue,
            cookie: (x.cookie.seen.log_char(), x.cookie_done.log_char()),
            level: x.level.map(|level| match level {
                LevelOverride::Silent => -1,
                LevelOverride::Level(level) => level as i64,
            }),
            client_timeout: x.overrides.client,
            server_timeout: x.overrides.server,
            tunnel_timeout: x.overrides.tunnel,
            server_src: x.server_src,
            server_rtt: x.server_rtt,
            logged: x.logged,
        })
    }

    /// Into an exchange that has just begun, on its server.
    fn put_into(self, st: &mut Stream<'_>) {
        let x = &mut *st.x;
        x.times = self.times.timeline();
        (x.start_wall, x.first) = (self.start_wall, self.first);
        if let Some(head) = &self.request {
            let whole = read_request(head, &mut x.request);
            x.has_request = whole && self.has_request;
            x.request_seen = whole && !self.has_request;
        }
        if let Some(Blob(bytes)) = &self.response {
            x.has_response = read_response(bytes, x.request.method(), &mut x.response);
        }
        x.vars_txn = VarStore::from_all(self.vars_txn);
        x.vars_req = VarStore::from_all(self.vars_req);
        x.vars_res = VarStore::from_all(self.vars_res);
        x.tracks = resume_tracks(&st.s.view, &self.tracks);
        capture(&self.req_captures, x.req_captures.get_mut());
        capture(&self.res_captures, x.res_captures.get_mut());
        (x.req_cookie, x.res_cookie) = (self.req_cookie.0, self.res_cookie.0);
        if let Some(Blob(id)) = self.unique_id {
            let _ = x.unique_id.set(id);
        }
        x.status = self.status;
        // More counted than there was would be less than nothing at the end.
        (x.bytes_in, x.counted_in) = (self.bytes_in.0, self.bytes_in.1.min(self.bytes_in.0));
        (x.bytes_out, x.counted_out) = (self.bytes_out.0, self.bytes_out.1.min(self.bytes_out.0));
        (x.retries, x.redispatched) = (self.retries, self.redispatched);
        x.persistent = self.persistent;
        (x.srv_queue, x.be_queue) = (self.srv_queue, self.be_queue);
        let (seen, done) = self.cookie;
        x.cookie.seen = SEEN.into_iter().find(|s| s.log_char() == seen).unwrap_or_default();
        x.cookie_done = DONE.into_iter().find(|d| d.log_char() == done).unwrap_or_default();
        x.level = self.level.map(|level| {
            let known = usize::try_from(level).ok().and_then(|level| LEVELS.get(level));
            known.map_or(LevelOverride::Silent, |(level, _)| LevelOverride::Level(*level))
        });
        x.overrides.client = self.client_timeout;
        x.overrides.server = self.server_timeout;
        x.overrides.tunnel = self.tunnel_timeout;
        (x.server_src, x.server_rtt) = (self.server_src, self.server_rtt);
        x.logged = self.logged;
    }
}
