//! The stream as expressions, rules and balancing see it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::http::{RequestHead, ResponseHead};
use crate::log::{LevelOverride, LogFormat};
use crate::proxy::balance::KeySource;
use crate::proxy::{ProxyId, Server, ServerId};
use crate::proxy_protocol::Tlvs;
use crate::rules::MessageCx;
use crate::runtime;
use crate::sample::{
    BodyView, Buf, CaptureSide, Ctx, LastRule, Live, ProxyCount, ProxyIdx, Scope, Scratch, ServerCount,
    ServerIdx, TimeoutKind, TrackedEntry, VarStore,
};
use crate::stick::{TableId, Writer};

use super::state::Stream;
use super::worker::View;

impl Live for View {
    fn proxy_name(&self, p: ProxyIdx) -> &str {
        &self.proxy(ProxyId(p.0)).name
    }

    fn proxy_id(&self, p: ProxyIdx) -> i64 {
        i64::from(self.proxy(ProxyId(p.0)).uuid)
    }

    fn server_name(&self, s: ServerIdx) -> &str {
        &self.server(s).name
    }

    fn server_id(&self, s: ServerIdx) -> i64 {
        i64::from(self.server(s).uuid)
    }

    fn proxy_count(&self, p: ProxyIdx, what: ProxyCount) -> i64 {
        let id = ProxyId(p.0);
        let px = self.proxy(id);
        let live = &self.shared.live;
        let now_ns = runtime::now().0;
        match what {
            ProxyCount::UsableServers => usable(self, id),
            ProxyCount::AllServers => px.backend.as_ref().map_or(0, |b| b.servers.len() as i64),
            ProxyCount::FreeSlots => free_slots(self, id, true),
            ProxyCount::BeConnFree => free_slots(self, id, false),
            ProxyCount::FeConn => i64::from(live.frontend(id).sessions.get()),
            ProxyCount::BeConn => i64::from(live.backend(id).sessions.get()),
            ProxyCount::Queue => {
                let servers = px.backend.iter().flat_map(|b| &b.servers);
                let own: u32 = servers.map(|s| live.server(s.id).queued.get()).sum();
                i64::from(own + live.backend(id).queued.get())
            }
            ProxyCount::FeSessRate => {
                i64::from(live.frontend(id).session_rate.get(live.frontend_totals(id).sessions, now_ns))
            }
            ProxyCount::BeSessRate => {
                i64::from(live.backend(id).session_rate.get(live.backend_totals(id).sessions, now_ns))
            }
            ProxyCount::FeReqRate => {
                i64::from(live.frontend(id).request_rate.get(live.frontend_totals(id).requests, now_ns))
            }
        }
    }

    fn server_count(&self, s: ServerIdx, what: ServerCount) -> i64 {
        let srv = self.server(s);
        let live = &self.shared.live;
        let state = live.server(srv.id);
        match what {
            ServerCount::Conn => i64::from(state.sessions.get()),
            ServerCount::ConnFree => match srv.maxconn {
                0 => -1,
                max => i64::from(max) - i64::from(state.sessions.get()),
            },
            ServerCount::IsUp => i64::from(state.is_up()),
            ServerCount::Queue => i64::from(state.queued.get()),
            ServerCount::SessRate => {
                i64::from(state.session_rate.get(live.server_totals(srv.id).sessions, runtime::now().0))
            }
            ServerCount::Weight => i64::from(state.eweight() / crate::proxy::live::ServerState::WEIGHT_SCALE),
            ServerCount::InitialWeight => i64::from(srv.weight),
            ServerCount::UserWeight => i64::from(state.weight()),
        }
    }

    fn find_backend(&self, name: &str) -> Option<ProxyIdx> {
        self.shared.snapshot.backend(name).map(|p| ProxyIdx(p.id.0))
    }

    fn takes_routes(&self, backend: ProxyIdx) -> bool {
        self.shared.live.takes_routes(self.proxy(ProxyId(backend.0)))
    }

    fn find_server(&self, backend: ProxyIdx, name: &str) -> Option<ServerIdx> {
        let srv = self.proxy(ProxyId(backend.0)).backend.as_ref()?.server(name)?;
        Some(ServerIdx(srv.id.0))
    }

    fn threads(&self) -> i64 {
        self.shared.live.threads.len() as i64
    }

    fn act_conn(&self) -> i64 {
        i64::from(self.shared.live.process.connections.get())
    }
}

impl View {
    fn server(&self, s: ServerIdx) -> &Server {
        self.shared.snapshot.server(ServerId(s.0))
    }
}

/// `nbsrv`: the active servers that are usable, or the backup servers in their place.
fn usable(view: &View, id: ProxyId) -> i64 {
    let px = view.proxy(id);
    let (active, backup) = view.shared.live.usable_counts(px);
    let all = px.backend.as_ref().is_some_and(|b| b.allbackups);
    i64::from(match (active, backup) {
        (0, b) if all => b,
        (0, b) => b.min(1),
        (a, _) => a,
    })
}

/// `connslots` (with the queues' slots) and `be_conn_free`: -1 when a usable server has no limit.
fn free_slots(view: &View, id: ProxyId, queues: bool) -> i64 {
    let live = &view.shared.live;
    let mut free = 0;
    for srv in view.proxy(id).backend.iter().flat_map(|b| &b.servers) {
        let state = live.server(srv.id);
        if !state.is_usable() {
            continue;
        }
        if srv.maxconn == 0 || (queues && srv.maxqueue == 0) {
            return -1;
        }
        free += i64::from(srv.maxconn) - i64::from(state.sessions.get());
        if queues {
            free += i64::from(srv.maxqueue) - i64::from(state.queued.get());
        }
    }
    free.max(0)
}

impl Ctx for Stream<'_> {
    fn now(&self) -> Mono {
        runtime::now()
    }

    fn wall(&self) -> Wall {
        runtime::wall()
    }

    fn src(&self) -> Option<SocketAddr> {
        self.s.src
    }

    fn dst(&self) -> Option<SocketAddr> {
        self.s.dst()
    }

    fn proxy_header(&self) -> Option<&Tlvs> {
        self.s.header.as_ref().map(|h| &h.tlvs)
    }

    fn server_src(&self) -> Option<SocketAddr> {
        self.x.server_src
    }

    fn server_dst(&self) -> Option<SocketAddr> {
        let view = &self.s.view;
        view.shared.live.server_inet(self.srv(view)?)
    }

    fn listener_id(&self) -> Option<i64> {
        Some(i64::from(self.s.view.shared.snapshot.listener(self.s.listener).uuid))
    }

    fn listener_name(&self) -> Option<&str> {
        self.s.view.shared.snapshot.listener(self.s.listener).name.as_deref()
    }

    fn listener_conn(&self) -> Option<i64> {
        Some(i64::from(self.s.view.shared.live.listener(self.s.listener).sessions.get()))
    }

    fn bytes(&self) -> Option<(u64, u64)> {
        Some((self.x.bytes_in, self.x.bytes_out))
    }

    fn request(&self) -> Option<&RequestHead> {
        (self.x.has_request || self.x.request_seen).then_some(&self.x.request)
    }

    fn response(&self) -> Option<&ResponseHead> {
        self.x.has_response.then_some(&self.x.response)
    }

    fn request_body(&self) -> Option<BodyView<'_>> {
        if !self.x.has_request {
            return None;
        }
        let advertised = match self.x.request.framing() {
            crate::http::BodyLen::Length(n) => Some(n),
            crate::http::BodyLen::None => Some(0),
            _ => None,
        };
        Some(BodyView { bytes: &self.x.payload, complete: self.x.payload_complete, advertised })
    }

    fn response_body(&self) -> Option<BodyView<'_>> {
        if !self.x.has_response {
            return None;
        }
        let advertised = match self.x.response.framing() {
            crate::http::BodyLen::Length(n) => Some(n),
            crate::http::BodyLen::None => Some(0),
            _ => None,
        };
        Some(BodyView { bytes: &self.x.res_payload, complete: self.x.res_payload_complete, advertised })
    }

    fn request_payload(&self) -> Option<&[u8]> {
        Some(&self.x.payload)
    }

    fn response_payload(&self) -> Option<&[u8]> {
        self.x.inspects_response.then_some(&self.x.res_payload)
    }

    fn input_final(&self) -> bool {
        self.x.has_request || self.x.payload_final
    }

    fn first_request(&self) -> Option<bool> {
        Some(self.x.first)
    }

    fn frontend(&self) -> Option<ProxyIdx> {
        Some(ProxyIdx(self.s.frontend.0))
    }

    fn backend(&self) -> Option<ProxyIdx> {
        Some(ProxyIdx(self.x.backend.0))
    }

    fn server(&self) -> Option<ServerIdx> {
        let srv = self.srv(&self.s.view)?;
        Some(ServerIdx(srv.id.0))
    }

    fn live(&self) -> Option<&dyn Live> {
        Some(&*self.s.view)
    }

    fn writer(&self, table: TableId) -> Option<&Writer> {
        self.s.view.tables.get(table)
    }

    fn tracked(&self, sc: usize) -> Option<TrackedEntry<'_>> {
        self.tracked_entry(sc)
    }

    fn own_table(&self) -> Option<TableId> {
        self.s.view.proxy(self.x.ruling).table
    }

    fn vars(&self, scope: Scope) -> Option<&VarStore> {
        match scope {
            Scope::Sess => Some(&self.s.vars),
            Scope::Txn => Some(&self.x.vars_txn),
            Scope::Req => Some(&self.x.vars_req),
            Scope::Res => Some(&self.x.vars_res),
            Scope::Proc | Scope::Check => None,
        }
    }

    fn unique_id(&self) -> Option<Buf<'_>> {
        let id = super::logging::unique_id(self)?;
        Some(Buf::Borrowed(id))
    }

    fn capture(&self, side: CaptureSide, slot: usize) -> Option<Buf<'_>> {
        let captures = match side {
            CaptureSide::Request => self.x.req_captures.borrow(),
            CaptureSide::Response => self.x.res_captures.borrow(),
        };
        captures.get(slot).map(|v| Buf::Owned(Scratch::of(v)))
    }

    fn set_capture(&self, side: CaptureSide, slot: usize, value: &[u8]) {
        let log = &self.s.view.plan(self.s.frontend).log;
        let (decls, captures) = match side {
            CaptureSide::Request => (&log.request_captures, &self.x.req_captures),
            CaptureSide::Response => (&log.response_captures, &self.x.res_captures),
        };
        if let Some(decl) = decls.get(slot) {
            captures.borrow_mut().store(slot, decl.len, value);
        }
    }

    fn captured_method(&self) -> Option<&[u8]> {
        let line = self.received_line()?;
        line.split(|&b| b == b' ').next()
    }

    fn captured_uri(&self) -> Option<&[u8]> {
        self.received_line()?.split(|&b| b == b' ').nth(1)
    }

    fn last_rule(&self) -> Option<LastRule> {
        self.x.last_rule
    }

    fn timeout(&self, kind: TimeoutKind, current: bool) -> Option<Duration> {
        let view = &self.s.view;
        let (fe, be) = (&self.fe(view).timeouts, &self.be(view).timeouts);
        let o = &self.x.overrides;
        let (configured, own) = match kind {
            TimeoutKind::Client => (fe.client, o.client),
            TimeoutKind::Connect => (be.connect, o.connect),
            TimeoutKind::Queue => (be.queue(), o.queue),
            TimeoutKind::Server => (be.server, o.server),
            TimeoutKind::Tarpit => (be.tarpit(), o.tarpit),
            TimeoutKind::Tunnel => (be.tunnel, o.tunnel),
        };
        own.filter(|_| current).or(configured)
    }

    fn retries(&self, current: bool) -> Option<u32> {
        let configured = self.be(&self.s.view).backend.as_ref()?.retries;
        Some(self.x.overrides.retries.filter(|_| current).unwrap_or(configured))
    }

    fn client_rtt(&self) -> Option<(Duration, Duration)> {
        self.s.client.rtt().ok()
    }

    fn server_rtt(&self) -> Option<(Duration, Duration)> {
        self.x.server_rtt
    }

    fn thread(&self) -> i64 {
        self.s.worker.index() as i64
    }
}

impl Stream<'_> {
    fn received_line(&self) -> Option<&[u8]> {
        self.x.has_request.then(|| self.x.request.request_line())
    }
}

impl MessageCx for Stream<'_> {
    fn ctx(&self) -> &dyn Ctx {
        self
    }

    fn render(&self, format: &LogFormat, out: &mut Vec<u8>) {
        super::logging::render(self, format, out);
    }

    fn set_last_rule(&mut self, rule: LastRule) {
        self.x.last_rule = Some(rule);
    }

    fn request_mut(&mut self) -> Option<&mut RequestHead> {
        self.x.has_request.then_some(&mut self.x.request)
    }

    fn response_mut(&mut self) -> Option<&mut ResponseHead> {
        self.x.has_response.then_some(&mut self.x.response)
    }

    fn set_src(&mut self, addr: SocketAddr) {
        self.s.src = Some(addr);
    }

    fn set_dst(&mut self, addr: SocketAddr) {
        self.s.set_dst(addr);
    }

    fn set_log_level(&mut self, level: LevelOverride) {
        self.x.level = Some(level);
    }

    fn set_timeout(&mut self, which: TimeoutKind, value: Duration) {
        let o = &mut self.x.overrides;
        let slot = match which {
            TimeoutKind::Client => &mut o.client,
            TimeoutKind::Connect => &mut o.connect,
            TimeoutKind::Queue => &mut o.queue,
            TimeoutKind::Server => &mut o.server,
            TimeoutKind::Tarpit => &mut o.tarpit,
            TimeoutKind::Tunnel => &mut o.tunnel,
        };
        *slot = Some(value);
    }

    fn set_retries(&mut self, n: u32) {
        self.x.overrides.retries = Some(n);
    }

    fn set_mark(&mut self, mark: u32) {
        // Without the privilege it has no effect, as in the manual.
        let _ = self.s.client.set_mark(mark);
    }

    fn set_tos(&mut self, tos: u8) {
        let _ = self.s.client.set_tos(tos);
    }

    fn early_hint(&mut self, name: &[u8], value: &[u8], last: bool) {
        let hints = &mut self.x.early_hints;
        if hints.is_empty() {
            hints.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\n");
        }
        for part in [name, b": ", value, b"\r\n"] {
            hints.extend_from_slice(part);
        }
        if last {
            hints.extend_from_slice(b"\r\n");
            let bytes = std::mem::take(hints);
            if self.x.request.version() >= crate::http::Version::HTTP_11 {
                self.x.bytes_out += bytes.len() as u64;
                self.s.client.send(bytes);
            }
        }
    }

    fn is_tracking(&self, sc: usize, session: bool) -> bool {
        self.tracks_already(sc, session)
    }

    fn track(&mut self, sc: usize, table: TableId, key: &[u8], session: bool) {
        self.begin_tracking(sc, table, key, session);
    }

    fn expect_proxy(&mut self) {
        self.s.expects_header = true;
    }

    fn disable_l7_retry(&mut self) {
        self.x.no_l7_retry = true;
    }
}

impl KeySource for Stream<'_> {
    fn source(&self) -> Option<IpAddr> {
        self.s.src.map(|a| a.ip())
    }

    fn uri(&self) -> Option<&[u8]> {
        self.x.has_request.then(|| self.x.request.target())
    }

    fn header(&self, name: &[u8]) -> Option<&[u8]> {
        if self.x.has_request { self.x.request.fields.get(name) } else { None }
    }

    fn body(&self) -> Option<&[u8]> {
        (!self.x.payload.is_empty()).then_some(self.x.payload.as_slice())
    }

    fn context(&self) -> Option<&dyn Ctx> {
        Some(self)
    }
}
