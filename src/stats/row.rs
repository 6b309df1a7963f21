//! One row of statistics: a frontend, a server or a backend.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use super::{FIELDS, FieldId};
use crate::base::time::Mono;
use crate::proxy::balance::Algorithm;
use crate::proxy::check::{CheckStatus, Notes};
use crate::proxy::live::{AdminFlags, FrontendMode, ServerState, ServerStatus};
use crate::proxy::{Live, Mode, Proxy, Server, Snapshot};

/// A field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A number of 32 bits.
    U32(u32),
    /// A number of 64 bits.
    U64(u64),
    /// A number that may be negative (-1: never).
    S32(i32),
}

impl Value {
    /// Its type in the typed and JSON forms.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "str",
            Value::U32(_) => "u32",
            Value::U64(_) => "u64",
            Value::S32(_) => "s32",
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(v) => v.fmt(f),
            Value::U32(v) => v.fmt(f),
            Value::U64(v) => v.fmt(f),
            Value::S32(v) => v.fmt(f),
        }
    }
}

impl From<u32> for Value {
    fn from(v: u32) -> Value {
        Value::U32(v)
    }
}
impl From<u64> for Value {
    fn from(v: u64) -> Value {
        Value::U64(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Value {
        Value::S32(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::Text(v)
    }
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Object {
    Frontend,
    Backend,
    Server,
}

impl Object {
    /// Letter of the typed form.
    pub fn letter(self) -> char {
        match self {
            Object::Frontend => 'F',
            Object::Backend => 'B',
            Object::Server => 'S',
        }
    }

    /// Name in the JSON form.
    pub fn name(self) -> &'static str {
        match self {
            Object::Frontend => "Frontend",
            Object::Backend => "Backend",
            Object::Server => "Server",
        }
    }

    /// The bit that selects it (`show stat <iid> <type> <sid>`).
    pub fn mask(self) -> u32 {
        match self {
            Object::Frontend => 1,
            Object::Backend => 2,
            Object::Server => 4,
        }
    }

    /// The number of the `type` field.
    fn number(self) -> u32 {
        match self {
            Object::Frontend => 0,
            Object::Backend => 1,
            Object::Server => 2,
        }
    }
}

/// One row.
pub struct Row {
    /// What it is about.
    pub object: Object,
    /// The proxy's number.
    pub iid: u32,
    /// The server's number, 0 for the others.
    pub sid: u32,
    values: Vec<Option<Value>>,
}

impl Row {
    fn new(px: &Proxy, object: Object, service: &str, sid: u32) -> Row {
        let mut row = Row { object, iid: px.uuid, sid, values: vec![None; FIELDS.len()] };
        row.set(FieldId::Pxname, px.name.as_str());
        row.set(FieldId::Svname, service);
        row.set(FieldId::Pid, 1u32);
        row.set(FieldId::Iid, px.uuid);
        row.set(FieldId::Sid, sid);
        row.set(FieldId::Type, object.number());
        row.set(FieldId::Mode, if px.mode == Mode::Http { "http" } else { "tcp" });
        row
    }

    /// The values in the order of the fields.
    pub fn values(&self) -> impl Iterator<Item = &Option<Value>> {
        self.values.iter()
    }

    /// One value.
    pub fn get(&self, field: FieldId) -> Option<&Value> {
        self.values[field as usize].as_ref()
    }

    fn set(&mut self, field: FieldId, value: impl Into<Value>) {
        self.values[field as usize] = Some(value.into());
    }

    /// Leave out what a proxy in another mode than HTTP cannot count.
    fn without_http(mut self, px: &Proxy) -> Row {
        if px.mode != Mode::Http {
            for field in HTTP_ONLY {
                self.values[*field as usize] = None;
            }
            if self.object != Object::Frontend {
                self.values[FieldId::ReqTot as usize] = None;
            }
        }
        self
    }
}

/// Fields of the HTTP protocol.
const HTTP_ONLY: &[FieldId] = &[
    FieldId::Hrsp1xx,
    FieldId::Hrsp2xx,
    FieldId::Hrsp3xx,
    FieldId::Hrsp4xx,
    FieldId::Hrsp5xx,
    FieldId::HrspOther,
    FieldId::Intercepted,
    FieldId::CacheLookups,
    FieldId::CacheHits,
];

/// Which rows are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Number of the proxy; `None`: all.
    pub iid: Option<u32>,
    /// Name of the proxy.
    pub proxy: Option<String>,
    /// Sum of [`Object::mask`]; `None`: all.
    pub kinds: Option<u32>,
    /// Number of the server; `None`: all.
    pub sid: Option<u32>,
    /// Servers that are up only.
    pub up: bool,
    /// No servers in maintenance.
    pub no_maint: bool,
}

impl Filter {
    fn wants(&self, object: Object) -> bool {
        self.kinds.is_none_or(|k| k & object.mask() != 0)
    }
}

/// What rows are made of.
pub struct Source<'a> {
    snapshot: &'a Snapshot,
    live: &'a Live,
    notes: &'a Notes,
    maxconn: u32,
    now: Mono,
}

/// Every row that `filter` wants. `maxconn` is the process's limit, the frontends' when they have none.
pub fn rows(
    snapshot: &Snapshot,
    live: &Live,
    notes: &Notes,
    maxconn: u32,
    now: Mono,
    filter: &Filter,
) -> Vec<Row> {
    let source = Source { snapshot, live, notes, maxconn, now };
    let mut out = Vec::new();
    let named = |px: &&Proxy| {
        filter.iid.is_none_or(|id| id == px.uuid) && filter.proxy.as_ref().is_none_or(|n| *n == px.name)
    };
    // Disabled proxies do not exist for tools.
    for px in snapshot.proxies.iter().filter(|p| !p.disabled).filter(named) {
        if px.frontend.is_some() && filter.wants(Object::Frontend) {
            out.push(source.frontend(px).without_http(px));
        }
        if px.backend.is_none() {
            continue;
        }
        if filter.wants(Object::Server) {
            let wanted = |s: &&Server| {
                let state = live.server(s.id);
                filter.sid.is_none_or(|id| id == s.uuid)
                    && (!filter.up || state.is_up())
                    && !(filter.no_maint && state.admin().has(AdminFlags::MAINT))
            };
            out.extend(
                px.backend()
                    .servers
                    .iter()
                    .filter(|s| !s.implicit)
                    .filter(wanted)
                    .map(|s| source.server(px, s).without_http(px)),
            );
        }
        if filter.wants(Object::Backend) {
            out.push(source.backend(px).without_http(px));
        }
    }
    out
}

/// Set fields of the same names from totals.
macro_rules! copy {
    ($row:ident, $totals:ident: $($field:ident = $from:ident,)*) => { $($row.set(FieldId::$field, $totals.$from);)* };
}

impl Source<'_> {
    fn frontend(&self, px: &Proxy) -> Row {
        let mut row = Row::new(px, Object::Frontend, "FRONTEND", 0);
        let state = self.live.frontend(px.id);
        let t = self.live.frontend_totals(px.id);
        let conf = px.frontend();
        let limit = match state.maxconn.load(Relaxed) {
            0 if conf.maxconn == 0 => self.maxconn,
            0 => conf.maxconn,
            changed => changed,
        };
        row.set(FieldId::Scur, state.sessions.get());
        row.set(FieldId::Smax, state.sessions.max());
        row.set(FieldId::Slim, limit);
        row.set(FieldId::Stot, t.sessions);
        let status = match state.mode() {
            FrontendMode::Open => "OPEN",
            FrontendMode::Paused => "PAUSED",
            FrontendMode::Shut => "STOP",
        };
        row.set(FieldId::Status, status);
        row.set(FieldId::Rate, state.session_rate.get(t.sessions, self.now.0));
        row.set(FieldId::RateLim, conf.rate_limit.unwrap_or(0));
        row.set(FieldId::RateMax, state.session_rate.max());
        row.set(FieldId::ConnRate, state.connection_rate.get(t.connections, self.now.0));
        row.set(FieldId::ConnRateMax, state.connection_rate.max());
        row.set(FieldId::ReqRate, state.request_rate.get(t.requests, self.now.0));
        row.set(FieldId::ReqRateMax, state.request_rate.max());
        copy!(row, t: Bin = bytes_in, Bout = bytes_out, Dreq = req_denied, Dresp = resp_denied, Ereq = req_errors,
            Hrsp1xx = resp_1xx, Hrsp2xx = resp_2xx, Hrsp3xx = resp_3xx, Hrsp4xx = resp_4xx, Hrsp5xx = resp_5xx,
            HrspOther = resp_other, ReqTot = requests, CompIn = comp_in, CompOut = comp_out, CompByp = comp_bypassed,
            CompRsp = comp_responses, ConnTot = connections, Intercepted = intercepted, Dcon = conn_denied,
            Dses = sess_denied, Wrew = rewrite_failures, CacheLookups = cache_lookups, CacheHits = cache_hits,
            Eint = internal_errors,);
        row
    }

    fn backend(&self, px: &Proxy) -> Row {
        let mut row = Row::new(px, Object::Backend, "BACKEND", 0);
        let state = self.live.backend(px.id);
        let t = self.live.backend_totals(px.id);
        let conf = px.backend();
        let servers = conf.servers.iter().map(|s| self.live.server(s.id));
        let in_servers: u32 = servers.map(|s| s.queued.get()).sum();
        let (active, backup) = self.live.usable_counts(px);
        // Only those that are in use count: the backups when no active server is left.
        let in_use = conf.servers.iter().filter(|s| s.backup == (active == 0));
        let in_use = in_use.map(|s| self.live.server(s.id)).filter(|s| s.is_usable());
        let weight: u32 = in_use.map(ServerState::weight).sum();
        let up = active + backup > 0 || conf.servers.is_empty();
        row.set(FieldId::Qcur, state.queued.get() + in_servers);
        row.set(FieldId::Qmax, state.queued.max());
        row.set(FieldId::Scur, state.sessions.get());
        row.set(FieldId::Smax, state.sessions.max());
        row.set(FieldId::Slim, conf.fullconn);
        row.set(FieldId::Stot, t.sessions);
        row.set(FieldId::Status, if up { "UP" } else { "DOWN" });
        row.set(FieldId::Weight, weight);
        row.set(FieldId::Uweight, weight);
        row.set(FieldId::Act, active);
        row.set(FieldId::Bck, backup);
        row.set(FieldId::Chkdown, state.downs.load(std::sync::atomic::Ordering::Relaxed));
        self.since(&mut row, &state.changed_ns, &state.down_ns, up);
        row.set(FieldId::Rate, state.session_rate.get(t.sessions, self.now.0));
        row.set(FieldId::RateMax, state.session_rate.max());
        row.set(FieldId::Lastsess, self.last(&state.last_session_ns));
        row.set(FieldId::Algo, algorithm(&conf.balance.algorithm));
        if let Some(cookie) = &conf.cookie {
            row.set(FieldId::Cookie, String::from_utf8_lossy(&cookie.name).into_owned());
        }
        copy!(row, t: Bin = bytes_in, Bout = bytes_out, Dreq = req_denied, Dresp = resp_denied, Econ = conn_errors,
            Eresp = resp_errors, Wretr = retries, Wredis = redispatches, Lbtot = chosen,
            Hrsp1xx = resp_1xx, Hrsp2xx = resp_2xx, Hrsp3xx = resp_3xx, Hrsp4xx = resp_4xx, Hrsp5xx = resp_5xx,
            HrspOther = resp_other, ReqTot = requests, CliAbrt = client_aborts, SrvAbrt = server_aborts,
            CompIn = comp_in, CompOut = comp_out, CompByp = comp_bypassed, CompRsp = comp_responses,
            Intercepted = intercepted, Wrew = rewrite_failures, Connect = connects, Reuse = reuses,
            CacheLookups = cache_lookups, CacheHits = cache_hits, Eint = internal_errors,);
        times(&mut row, [t.queue_time, t.connect_time, t.response_time, t.total_time]);
        let in_state = |f: fn(&ServerState) -> bool| {
            conf.servers.iter().filter(|s| f(self.live.server(s.id))).count() as u32
        };
        row.set(FieldId::AggServerStatus, in_state(ServerState::is_usable));
        row
    }

    fn server(&self, px: &Proxy, srv: &Server) -> Row {
        let mut row = Row::new(px, Object::Server, &srv.name, srv.uuid);
        let state = self.live.server(srv.id);
        let t = self.live.server_totals(srv.id);
        row.set(FieldId::Qcur, state.queued.get());
        row.set(FieldId::Qmax, state.queued.max());
        row.set(FieldId::Scur, state.sessions.get());
        row.set(FieldId::Smax, state.sessions.max());
        let maxconn = state.maxconn.load(std::sync::atomic::Ordering::Relaxed);
        if maxconn > 0 {
            row.set(FieldId::Slim, maxconn);
        }
        if srv.maxqueue > 0 {
            row.set(FieldId::Qlimit, srv.maxqueue);
        }
        row.set(FieldId::Stot, t.sessions);
        row.set(FieldId::Status, self.server_status(srv));
        row.set(FieldId::Weight, state.eweight().div_ceil(ServerState::WEIGHT_SCALE));
        row.set(FieldId::Uweight, state.weight());
        row.set(FieldId::Act, u32::from(!srv.backup));
        row.set(FieldId::Bck, u32::from(srv.backup));
        if state.status() == ServerStatus::Starting && state.weight() > 0 {
            row.set(
                FieldId::Throttle,
                (state.eweight() * 100 / (state.weight() * ServerState::WEIGHT_SCALE)).min(100),
            );
        }
        self.since(&mut row, &state.changed_ns, &state.down_ns, state.is_up());
        if srv.check.enabled != Some(true) {
            row.values[FieldId::Downtime as usize] = None;
        }
        row.set(FieldId::Rate, state.session_rate.get(t.sessions, self.now.0));
        row.set(FieldId::RateMax, state.session_rate.max());
        row.set(FieldId::Lastsess, self.last(&state.last_session_ns));
        if let Some(addr) = state.address.get() {
            row.set(FieldId::Addr, addr.to_string());
        } else if let Some(addr) = &srv.addr {
            row.set(FieldId::Addr, addr.to_string());
        }
        if let Some(cookie) = &srv.cookie {
            row.set(FieldId::Cookie, String::from_utf8_lossy(cookie).into_owned());
        }
        row.set(FieldId::SrvIcur, state.idle.get());
        row.set(FieldId::IdleConnCur, state.idle.get());
        row.set(FieldId::SafeConnCur, 0u32);
        row.set(FieldId::UsedConnCur, state.sessions.get());
        row.set(FieldId::NeedConnEst, state.sessions.max());
        copy!(row, t: Bin = bytes_in, Bout = bytes_out, Dresp = resp_denied, Econ = conn_errors, Eresp = resp_errors,
            Wretr = retries, Wredis = redispatches, Lbtot = chosen,
            Hrsp1xx = resp_1xx, Hrsp2xx = resp_2xx, Hrsp3xx = resp_3xx, Hrsp4xx = resp_4xx, Hrsp5xx = resp_5xx,
            HrspOther = resp_other, ReqTot = requests, CliAbrt = client_aborts, SrvAbrt = server_aborts,
            Wrew = rewrite_failures, Connect = connects, Reuse = reuses, Eint = internal_errors,);
        times(&mut row, [t.queue_time, t.connect_time, t.response_time, t.total_time]);
        self.check_fields(&mut row, srv, state);
        self.agent_fields(&mut row, srv, state);
        row
    }

    fn check_fields(&self, row: &mut Row, srv: &Server, state: &ServerState) {
        use std::sync::atomic::Ordering::Relaxed;
        if let Some(id) = srv.track {
            let other = self.snapshot.server(id);
            let name = format!("{}/{}", self.snapshot.proxy(other.proxy).name, other.name);
            row.set(FieldId::Tracked, name);
            return;
        }
        if srv.check.enabled != Some(true) {
            return;
        }
        let status = CheckStatus::from_u8(state.check_status.load(Relaxed) as u8);
        row.set(FieldId::Chkfail, state.check_failures.load(Relaxed));
        row.set(FieldId::Chkdown, state.downs.load(Relaxed));
        row.set(FieldId::CheckStatus, status.code());
        if status.has_code() {
            row.set(FieldId::CheckCode, state.check_code.load(Relaxed));
        }
        row.set(FieldId::CheckDuration, state.check_duration_ns.load(Relaxed) / 1_000_000);
        if srv.check.observe.is_some() {
            row.set(FieldId::Hanafail, state.observed_failures.load(Relaxed));
        }
        row.set(FieldId::CheckDesc, status.words());
        row.set(FieldId::LastChk, self.notes.get(srv.id));
        row.set(FieldId::CheckRise, srv.check.rise());
        row.set(FieldId::CheckFall, srv.check.fall());
        row.set(FieldId::CheckHealth, state.check_health.load(Relaxed));
    }

    fn agent_fields(&self, row: &mut Row, srv: &Server, state: &ServerState) {
        use std::sync::atomic::Ordering::Relaxed;
        if srv.check.agent != Some(true) {
            return;
        }
        let status = CheckStatus::from_u8(state.agent_status.load(Relaxed) as u8);
        row.set(FieldId::AgentStatus, status.code());
        row.set(FieldId::AgentDuration, state.agent_duration_ns.load(Relaxed) / 1_000_000);
        row.set(FieldId::AgentDesc, status.words());
        row.set(FieldId::LastAgt, self.notes.agent(srv.id));
        // One answer decides: an agent has no series of good or bad ones.
        row.set(FieldId::AgentRise, 1u32);
        row.set(FieldId::AgentFall, 1u32);
        row.set(FieldId::AgentHealth, state.agent_health.load(Relaxed));
    }

    /// `UP`, `UP 1/3`, `DOWN 1/2`, `NOLB`, `MAINT`, `DRAIN`, `no check`.
    fn server_status(&self, srv: &Server) -> String {
        use std::sync::atomic::Ordering::Relaxed;
        let state = self.live.server(srv.id);
        let admin = state.admin();
        if admin.has(AdminFlags::MAINT) {
            return match srv.track.filter(|_| admin.has(AdminFlags::INHERITED_MAINT)) {
                Some(id) => {
                    let via = self.snapshot.server(id);
                    format!("MAINT (via {}/{})", self.snapshot.proxy(via.proxy).name, via.name)
                }
                None if admin.has(AdminFlags::RESOLVE_MAINT) => "MAINT (resolution)".to_owned(),
                None => "MAINT".to_owned(),
            };
        }
        let checked = srv.track.map_or(srv, |id| self.snapshot.server(id));
        if checked.check.enabled != Some(true) && checked.check.agent != Some(true) {
            let plain = if admin.has(AdminFlags::DRAIN) { "DRAIN" } else { "no check" };
            return plain.to_owned();
        }
        let count = self.live.server(checked.id).check_health.load(Relaxed);
        let (rise, fall) = (checked.check.rise(), checked.check.fall());
        let partial = |word: &str, at: u32, of: u32| {
            if at == of || at == 0 { word.to_owned() } else { format!("{word} {at}/{of}") }
        };
        let agent = checked.check.agent == Some(true);
        let refused = agent && self.live.server(checked.id).agent_health.load(Relaxed) == 0;
        match state.status() {
            ServerStatus::Stopped if refused => "DOWN (agent)".to_owned(),
            ServerStatus::Stopped => partial("DOWN", count, rise),
            _ if admin.has(AdminFlags::DRAIN) && agent => "DRAIN (agent)".to_owned(),
            _ if admin.has(AdminFlags::DRAIN) => "DRAIN".to_owned(),
            ServerStatus::Stopping => partial("NOLB", (count + 1).saturating_sub(rise), fall),
            _ => partial("UP", (count + 1).saturating_sub(rise), fall),
        }
    }

    /// `lastchg` and `downtime`, in seconds.
    fn since(
        &self,
        row: &mut Row,
        changed_ns: &std::sync::atomic::AtomicU64,
        down_ns: &std::sync::atomic::AtomicU64,
        up: bool,
    ) {
        use std::sync::atomic::Ordering::Relaxed;
        let since = self.now.0.saturating_sub(changed_ns.load(Relaxed));
        let down = down_ns.load(Relaxed) + if up { 0 } else { since };
        row.set(FieldId::Lastchg, (since / 1_000_000_000) as u32);
        row.set(FieldId::Downtime, (down / 1_000_000_000) as u32);
    }

    /// Seconds since the last session, -1 when there was none.
    fn last(&self, at_ns: &std::sync::atomic::AtomicU64) -> i32 {
        match at_ns.load(std::sync::atomic::Ordering::Relaxed) {
            0 => -1,
            at => i32::try_from(self.now.0.saturating_sub(at) / 1_000_000_000).unwrap_or(i32::MAX),
        }
    }
}

fn times(row: &mut Row, [queue, connect, response, total]: [crate::proxy::live::MeanTotal; 4]) {
    let small = |v: u64| u32::try_from(v).unwrap_or(u32::MAX);
    for (mean_id, max_id, mean) in [
        (FieldId::Qtime, FieldId::QtimeMax, queue),
        (FieldId::Ctime, FieldId::CtimeMax, connect),
        (FieldId::Rtime, FieldId::RtimeMax, response),
        (FieldId::Ttime, FieldId::TtimeMax, total),
    ] {
        row.set(mean_id, small(mean.mean()));
        row.set(max_id, small(mean.max));
    }
}

fn algorithm(algorithm: &Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hash(_) => "hash",
        Algorithm::RdpCookie(_) => "rdp-cookie",
        Algorithm::RoundRobin => "roundrobin",
        Algorithm::StaticRr => "static-rr",
        Algorithm::LeastConn => "leastconn",
        Algorithm::First => "first",
        Algorithm::Source => "source",
        Algorithm::Uri { .. } => "uri",
        Algorithm::UrlParam { .. } => "url_param",
        Algorithm::Header { .. } => "hdr",
        Algorithm::Random { .. } => "random",
        Algorithm::Sticky => "sticky",
    }
}
