//! Live state into an image, and out of it into the live state of a successor, which may have another configuration.
//!
//! What was changed at run time stays, unless the configured value of it is another one now: then the configuration
//! wins. Counters go into [`Live::past`]; a predecessor that is still at work counts on, and what it counted after the
//! image was read is added when it is gone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use super::image::{Index, Kind, Record, View};
use super::{
    AdminFlags, BackendState, BackendTotals, CheckControl, FrontendMode, FrontendState, FrontendTotals,
    Gauge, Limit, ListenerTotals, Live, ProcessTotals, Rate, ServerState, ServerStatus, ServerTotals,
};
use crate::base::time::{Mono, Wall};
use crate::proxy::check::Notes;
use crate::proxy::{ListenerConf, Proxy, Server, Snapshot};

/// When the first one of these processes started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// By the monotonic clock.
    pub mono: Mono,
    /// By the wall clock.
    pub wall: Wall,
}

/// What is configured, or computed at the start, of what commands change in the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Configured {
    /// Connections.
    pub maxconn: u32,
    /// Connections per second.
    pub maxconnrate: u32,
    /// Sessions per second.
    pub maxsessrate: u32,
}

const PROCESS: &str = "process";
const FRONTEND: &str = "frontend";
const BACKEND: &str = "backend";
const SERVER: &str = "server";
const LISTENER: &str = "listener";

/// A record in the making.
#[derive(Default)]
struct Row {
    fields: Vec<&'static str>,
    values: Vec<u64>,
}

impl Row {
    fn put(&mut self, field: &'static str, value: impl Into<u64>) {
        self.fields.push(field);
        self.values.push(value.into());
    }

    fn totals(&mut self, names: &[&'static str], values: Vec<u64>) {
        self.fields.extend(names);
        self.values.extend(values);
    }
}

/// Everything of one kind; `row` gives the name, the values and the texts of each.
fn kind<T>(
    name: &str,
    texts: &[&str],
    all: impl Iterator<Item = T>,
    row: impl Fn(T) -> (String, Row, Vec<String>),
) -> Kind {
    let mut kind = Kind { name: name.to_owned(), ..Kind::default() };
    kind.texts = texts.iter().map(|t| (*t).to_owned()).collect();
    for (name, row, texts) in all.map(row) {
        if kind.fields.is_empty() {
            kind.fields = row.fields.iter().map(|f| (*f).to_owned()).collect();
        }
        kind.records.push(Record { name, values: row.values, texts });
    }
    kind
}

fn server_name(px: &Proxy, srv: &Server) -> String {
    format!("{}/{}", px.name, srv.name)
}

fn listener_name(snapshot: &Snapshot, listener: &ListenerConf) -> String {
    let of = &snapshot.proxy(listener.proxy).name;
    match &listener.name {
        Some(name) => format!("{of}/{name}"),
        None => format!("{of}/{}", listener.addr),
    }
}

fn servers(snapshot: &Snapshot) -> impl Iterator<Item = (&Proxy, &Server)> {
    snapshot
        .proxies
        .iter()
        .flat_map(|px| px.backend.iter().flat_map(move |b| b.servers.iter().map(move |s| (px, s))))
}

/// Stands for the address that is configured: the name, when it is one, whatever it resolves to.
fn address_mark(srv: &Server) -> u64 {
    let host = srv.hostname.clone().or_else(|| srv.addr.as_ref().map(|a| a.to_string()));
    let port = srv.addr.as_ref().and_then(|a| a.inet()).map(|a| a.port());
    xxhash_rust::xxh3::xxh3_64(format!("{host:?} {port:?} {:?}", srv.port_offset).as_bytes())
}

/// Whether something says if the server is up.
fn is_checked(srv: &Server) -> bool {
    srv.track.is_some() || srv.check.enabled == Some(true) || srv.check.agent == Some(true)
}

impl Live {
    /// The image of all this.
    pub fn image(&self, snapshot: &Snapshot, notes: &Notes, since: Since, conf: Configured) -> Vec<Kind> {
        let frontends = || snapshot.proxies.iter().filter(|px| px.frontend.is_some());
        let backends = || snapshot.proxies.iter().filter(|px| px.backend.is_some());
        let none = Vec::new;
        vec![
            kind(PROCESS, &[], std::iter::once(()), |()| {
                (String::new(), self.process_row(since, conf), none())
            }),
            kind(FRONTEND, &[], frontends(), |px| (px.name.clone(), self.frontend_row(px), none())),
            kind(BACKEND, &[], backends(), |px| (px.name.clone(), self.backend_row(px), none())),
            kind(LISTENER, &[], snapshot.listeners.iter(), |l| {
                let mut row = Row::default();
                row.put("sessions_max", self.listener(l.id).sessions.max());
                row.totals(ListenerTotals::NAMES, self.listener_totals(l.id).values());
                (listener_name(snapshot, l), row, none())
            }),
            kind(SERVER, &["note", "agent_note", "agent_send"], servers(snapshot), |(px, srv)| {
                let send = notes.agent_send(srv.id).unwrap_or_default();
                let texts =
                    vec![notes.get(srv.id), notes.agent(srv.id), String::from_utf8_lossy(&send).into_owned()];
                (server_name(px, srv), self.server_row(srv), texts)
            }),
        ]
    }

    fn process_row(&self, since: Since, conf: Configured) -> Row {
        let (mut row, state) = (Row::default(), &self.process);
        row.put("started_ns", since.mono.0);
        row.put("started_wall", since.wall.0);
        for (limit, name, conf, conf_name) in limits(self, conf) {
            row.put(conf_name, conf);
            row.put(name, limit.raw());
        }
        row.put("connections_max", state.connections.max());
        for (rate, name, _) in process_rates(self) {
            row.put(name, rate.max());
        }
        row.totals(ProcessTotals::NAMES, self.process_totals().values());
        row
    }

    fn frontend_row(&self, px: &Proxy) -> Row {
        let (mut row, state) = (Row::default(), self.frontend(px.id));
        row.put("conf_maxconn", px.frontend.as_ref().map_or(0, |f| f.maxconn));
        row.put("maxconn", state.maxconn.load(Relaxed));
        row.put("mode", state.mode() as u32);
        row.put("sessions_max", state.sessions.max());
        for (rate, name, _) in frontend_rates(state) {
            row.put(name, rate.max());
        }
        row.totals(FrontendTotals::NAMES, self.frontend_totals(px.id).values());
        row
    }

    fn backend_row(&self, px: &Proxy) -> Row {
        let (mut row, state) = (Row::default(), self.backend(px.id));
        row.put("conf_unpublished", px.backend().unpublished);
        row.put("unpublished", state.unpublished.load(Relaxed));
        row.put("sessions_max", state.sessions.max());
        row.put("queued_max", state.queued.max());
        for (word, name) in backend_words(state) {
            row.put(name, word.load(Relaxed));
        }
        for (rate, name, _) in backend_rates(state) {
            row.put(name, rate.max());
        }
        row.totals(BackendTotals::NAMES, self.backend_totals(px.id).values());
        row
    }

    fn server_row(&self, srv: &Server) -> Row {
        let (mut row, state) = (Row::default(), self.server(srv.id));
        row.put("conf_weight", srv.weight);
        row.put("conf_maxconn", srv.maxconn);
        row.put("conf_disabled", srv.disabled);
        row.put("conf_checked", is_checked(srv));
        row.put("conf_address", address_mark(srv));
        row.put("weight", state.weight());
        row.put("eweight", state.eweight());
        row.put("maxconn", state.maxconn.load(Relaxed));
        row.put("admin", state.admin().0);
        row.put("status", state.status() as u8);
        put_address(&mut row, ["addr_high", "addr_low", "addr_port"], state.address.get());
        let names = ["check_off", "check_port", "check_high", "check_low", "check_ip"];
        put_control(&mut row, names, &state.check_control);
        let names = ["agent_off", "agent_port", "agent_high", "agent_low", "agent_ip"];
        put_control(&mut row, names, &state.agent_control);
        row.put("sessions_max", state.sessions.max());
        row.put("queued_max", state.queued.max());
        row.put("session_rate_max", state.session_rate.max());
        for (word, name) in server_words(state) {
            row.put(name, word.load(Relaxed));
        }
        for (word, name) in server_small_words(state) {
            row.put(name, word.load(Relaxed));
        }
        row.totals(ServerTotals::NAMES, self.server_totals(srv.id).values());
        row
    }

    /// Begin with what the image says, before any thread runs. Gives when the first process started.
    pub fn restore(
        &self,
        image: &Index,
        snapshot: &Snapshot,
        notes: &Notes,
        conf: Configured,
        now: Mono,
    ) -> Option<Since> {
        for px in &snapshot.proxies {
            if let Some(view) = image.find(FRONTEND, &px.name).filter(|_| px.frontend.is_some()) {
                self.restore_frontend(px, view);
            }
            if let Some(view) = image.find(BACKEND, &px.name).filter(|_| px.backend.is_some()) {
                self.restore_backend(px, view, now);
            }
        }
        for listener in &snapshot.listeners {
            if let Some(view) = image.find(LISTENER, &listener_name(snapshot, listener)) {
                raise(&self.listener(listener.id).sessions, view, "sessions_max");
            }
        }
        for (px, srv) in servers(snapshot) {
            if let Some(view) = image.find(SERVER, &server_name(px, srv)) {
                self.restore_server(srv, view, now);
                restore_notes(notes, srv, view);
            }
        }
        self.inherit_from_tracked(snapshot);
        for px in snapshot.proxies.iter().filter(|px| px.backend.is_some()) {
            self.backend(px.id).epoch.fetch_add(1, SeqCst);
        }
        self.preload_means(image, snapshot);
        self.add_past(image, None, snapshot);
        let view = image.find(PROCESS, "")?;
        for (limit, name, conf, conf_name) in limits(self, conf) {
            if let Some(set) = view.get(name).filter(|_| view.get(conf_name) == Some(conf)) {
                set.checked_sub(1).and_then(|n| u32::try_from(n).ok()).into_iter().for_each(|n| limit.set(n));
            }
        }
        raise(&self.process.connections, view, "connections_max");
        process_rates(self).iter().for_each(|(rate, name, _)| rate.raise_max(view.small(name)));
        let mono = view.get("started_ns").filter(|at| *at > 0 && *at <= now.0)?;
        Some(Since { mono: Mono(mono), wall: Wall(view.count("started_wall")) })
    }

    fn restore_frontend(&self, px: &Proxy, view: View<'_>) {
        let state = self.frontend(px.id);
        if view.get("conf_maxconn") == px.frontend.as_ref().map(|f| f.maxconn.into()) {
            state.maxconn.store(view.small("maxconn"), Relaxed);
        }
        // One that was shut down comes back, as after every restart.
        if view.get("mode") == Some(FrontendMode::Paused as u64) {
            state.set_mode(FrontendMode::Paused);
        }
        raise(&state.sessions, view, "sessions_max");
        frontend_rates(state).iter().for_each(|(rate, name, _)| rate.raise_max(view.small(name)));
    }

    fn restore_backend(&self, px: &Proxy, view: View<'_>, now: Mono) {
        let state = self.backend(px.id);
        if view.get("conf_unpublished") == Some(px.backend().unpublished.into()) {
            state.unpublished.store(u32::from(view.count("unpublished") != 0), SeqCst);
        }
        raise(&state.sessions, view, "sessions_max");
        raise(&state.queued, view, "queued_max");
        restore_words(&backend_words(state), view, now);
        backend_rates(state).iter().for_each(|(rate, name, _)| rate.raise_max(view.small(name)));
    }

    fn restore_server(&self, srv: &Server, view: View<'_>, now: Mono) {
        let state = self.server(srv.id);
        if view.get("conf_weight") == Some(srv.weight.into()) {
            let weight = view.small("weight").min(crate::base::limits::MAX_WEIGHT);
            let full = weight * ServerState::WEIGHT_SCALE;
            state.store_weight(weight, view.small("eweight").clamp(weight.min(1), full));
        }
        if view.get("conf_maxconn") == Some(srv.maxconn.into()) {
            state.maxconn.store(view.small("maxconn"), SeqCst);
        }
        let place = |names: [&str; 3]| address_of(view, names);
        if view.get("conf_address") == Some(address_mark(srv))
            && let Some(addr) = place(["addr_high", "addr_low", "addr_port"])
        {
            state.address.set(addr);
        }
        let resolved = AdminFlags::RESOLVE_MAINT.0;
        if view.get("conf_disabled") == Some(srv.disabled.into()) {
            let own = AdminFlags::FORCED_MAINT.0 | AdminFlags::FORCED_DRAIN.0 | AdminFlags::CONFIG_MAINT.0;
            state.store_admin(AdminFlags((view.count("admin") as u8 & own) | (state.admin().0 & resolved)));
        }
        if view.get("conf_checked") == Some(is_checked(srv).into()) {
            let status = ServerStatus::from_u8(view.small("status").min(255) as u8);
            let over = status == ServerStatus::Starting && srv.slowstart.is_none();
            if over {
                state.store_weight(state.weight(), state.weight() * ServerState::WEIGHT_SCALE);
            }
            state.store_status(if over { ServerStatus::Running } else { status });
        } else if !state.admin().has(AdminFlags::MAINT) {
            state.store_status(ServerStatus::Running);
        }
        let names = ["check_high", "check_low", "check_ip"];
        restore_control(&state.check_control, view, "check_off", "check_port", place(names));
        let names = ["agent_high", "agent_low", "agent_ip"];
        restore_control(&state.agent_control, view, "agent_off", "agent_port", place(names));
        raise(&state.sessions, view, "sessions_max");
        raise(&state.queued, view, "queued_max");
        state.session_rate.raise_max(view.small("session_rate_max"));
        restore_words(&server_words(state), view, now);
        if view.get("conf_checked") == Some(is_checked(srv).into()) {
            for (word, name) in server_small_words(state) {
                view.get(name).into_iter().for_each(|_| word.store(view.small(name), Relaxed));
            }
            let most = srv.check.rise() + srv.check.fall() - 1;
            state.check_health.fetch_min(most, Relaxed);
        }
    }

    /// Flags and states of servers that follow others: as those have them now.
    pub(in crate::proxy) fn inherit_from_tracked(&self, snapshot: &Snapshot) {
        for (_, srv) in servers(snapshot) {
            let (mut flags, mut leader) = (0, srv.track);
            // The chain cannot be longer than there are servers.
            for _ in 0..snapshot.servers.len() {
                let Some(id) = leader else { break };
                let admin = self.server(id).admin();
                let own = AdminFlags(AdminFlags::FORCED_MAINT.0 | AdminFlags::RESOLVE_MAINT.0);
                for (asked, inherited) in [
                    (own, AdminFlags::INHERITED_MAINT),
                    (AdminFlags::FORCED_DRAIN, AdminFlags::INHERITED_DRAIN),
                ] {
                    flags |= if admin.has(asked) { inherited.0 } else { 0 };
                }
                let next = snapshot.server(id).track;
                if next.is_none() {
                    self.server(srv.id).store_status(self.server(id).status());
                }
                leader = next;
            }
            let state = self.server(srv.id);
            let inherited = AdminFlags::INHERITED_MAINT.0 | AdminFlags::INHERITED_DRAIN.0;
            state.store_admin(AdminFlags((state.admin().0 & !inherited) | flags));
        }
    }

    fn preload_means(&self, image: &Index, snapshot: &Snapshot) {
        let n = self.threads.len().max(1) as u64;
        for (px, srv) in servers(snapshot) {
            if let Some(view) = image.find(SERVER, &server_name(px, srv)) {
                self.threads
                    .iter()
                    .for_each(|t| t.servers[srv.id.index()].preload_means(n, |f| view.count(f)));
            }
        }
        for px in snapshot.proxies.iter().filter(|px| px.backend.is_some()) {
            if let Some(view) = image.find(BACKEND, &px.name) {
                self.threads
                    .iter()
                    .for_each(|t| t.backends[px.id.index()].preload_means(n, |f| view.count(f)));
            }
        }
    }

    /// Add what another process counted, without what it had counted when `before` was read. By the control thread.
    pub fn add_past(&self, image: &Index, before: Option<&Index>, snapshot: &Snapshot) {
        let find = |kind: &'static str, name: &str| {
            let old = before.and_then(|before| before.find(kind, name));
            image.find(kind, name).map(|view| {
                move |field: &str| {
                    // Of a maximum, all counts. Counters that were cleared meanwhile stay.
                    let old = old.filter(|_| !field.ends_with("_max")).map_or(0, |old| old.count(field));
                    view.count(field).saturating_sub(old)
                }
            })
        };
        let skip = |rates: &[(&Rate, &str, &str)], value: &dyn Fn(&str) -> u64| {
            rates.iter().for_each(|(rate, _, counter)| rate.skip(value(counter)));
        };
        if let Some(value) = find(PROCESS, "") {
            skip(&process_rates(self), &value);
            self.past.process.add_counts(value);
        }
        for px in &snapshot.proxies {
            if let Some(value) = find(FRONTEND, &px.name).filter(|_| px.frontend.is_some()) {
                skip(&frontend_rates(self.frontend(px.id)), &value);
                self.past.frontends[px.id.index()].add_counts(value);
            }
            if let Some(value) = find(BACKEND, &px.name).filter(|_| px.backend.is_some()) {
                skip(&backend_rates(self.backend(px.id)), &value);
                self.past.backends[px.id.index()].add_counts(value);
            }
        }
        for listener in &snapshot.listeners {
            if let Some(value) = find(LISTENER, &listener_name(snapshot, listener)) {
                self.past.listeners[listener.id.index()].add_counts(value);
            }
        }
        for (px, srv) in servers(snapshot) {
            if let Some(value) = find(SERVER, &server_name(px, srv)) {
                self.server(srv.id).session_rate.skip(value("sessions"));
                self.past.servers[srv.id.index()].add_counts(value);
            }
        }
    }
}

type Limits<'a> = [(&'a Limit, &'static str, u64, &'static str); 3];

fn limits(live: &Live, conf: Configured) -> Limits<'_> {
    let p = &live.process;
    [
        (&p.maxconn, "maxconn", conf.maxconn.into(), "conf_maxconn"),
        (
            &p.max_connection_rate,
            "connection_rate_limit",
            conf.maxconnrate.into(),
            "conf_connection_rate_limit",
        ),
        (&p.max_session_rate, "session_rate_limit", conf.maxsessrate.into(), "conf_session_rate_limit"),
    ]
}

/// Rates, what their maximum is called, and the counter that they are made from.
type Rates<'a, const N: usize> = [(&'a Rate, &'static str, &'static str); N];

fn process_rates(live: &Live) -> Rates<'_, 3> {
    let p = &live.process;
    [
        (&p.connection_rate, "connection_rate_max", "connections"),
        (&p.session_rate, "session_rate_max", "sessions"),
        (&p.request_rate, "request_rate_max", "requests"),
    ]
}

fn frontend_rates(state: &FrontendState) -> Rates<'_, 3> {
    [
        (&state.connection_rate, "connection_rate_max", "connections"),
        (&state.session_rate, "session_rate_max", "sessions"),
        (&state.request_rate, "request_rate_max", "requests"),
    ]
}

fn backend_rates(state: &BackendState) -> Rates<'_, 2> {
    [
        (&state.session_rate, "session_rate_max", "sessions"),
        (&state.request_rate, "request_rate_max", "requests"),
    ]
}

fn backend_words(state: &BackendState) -> [(&AtomicU64, &'static str); 4] {
    [
        (&state.changed_ns, "changed_at_ns"),
        (&state.last_session_ns, "last_session_at_ns"),
        (&state.down_ns, "down_ns"),
        (&state.downs, "downs"),
    ]
}

fn server_words(state: &ServerState) -> [(&AtomicU64, &'static str); 8] {
    [
        (&state.changed_ns, "changed_at_ns"),
        (&state.last_session_ns, "last_session_at_ns"),
        (&state.down_ns, "down_ns"),
        (&state.check_failures, "check_failures"),
        (&state.downs, "downs"),
        (&state.observed_failures, "observed_failures"),
        (&state.check_duration_ns, "check_duration_ns"),
        (&state.agent_duration_ns, "agent_duration_ns"),
    ]
}

/// What depends on the checks being the same.
fn server_small_words(state: &ServerState) -> [(&AtomicU32, &'static str); 7] {
    [
        (&state.consecutive_errors, "consecutive_errors"),
        (&state.check_status, "check_status"),
        (&state.check_code, "check_code"),
        (&state.check_health, "check_health"),
        (&state.agent_status, "agent_status"),
        (&state.agent_code, "agent_code"),
        (&state.agent_health, "agent_health"),
    ]
}

/// Times of the clock are never in the future.
fn restore_words(words: &[(&AtomicU64, &str)], view: View<'_>, now: Mono) {
    for (word, name) in words {
        let most = if name.ends_with("_at_ns") { now.0 } else { u64::MAX };
        view.get(name).into_iter().for_each(|value| word.store(value.min(most), Relaxed));
    }
}

fn raise(gauge: &Gauge, view: View<'_>, name: &str) {
    gauge.raise_max(view.small(name));
}

fn restore_notes(notes: &Notes, srv: &Server, view: View<'_>) {
    notes.set(srv.id, view.text("note"));
    notes.set_agent(srv.id, view.text("agent_note"));
    let send = view.text("agent_send");
    if !send.is_empty() {
        notes.set_agent_send(srv.id, send.as_bytes());
    }
}

/// Marks of the word that holds the port: there is an address, it is an IPv6 one.
const SET: u64 = 1 << 17;
const V6: u64 = 1 << 16;

fn put_address(row: &mut Row, [high, low, port]: [&'static str; 3], addr: Option<SocketAddr>) {
    let (bits, mark) = match addr.map(|a| a.ip()) {
        None => (0, 0),
        Some(IpAddr::V4(ip)) => (u128::from(ip.to_bits()), SET),
        Some(IpAddr::V6(ip)) => (ip.to_bits(), SET | V6),
    };
    row.put(high, (bits >> 64) as u64);
    row.put(low, bits as u64);
    row.put(port, addr.map_or(0, |a| u64::from(a.port())) | mark);
}

fn address_of(view: View<'_>, [high, low, port]: [&str; 3]) -> Option<SocketAddr> {
    let port = view.get(port).filter(|port| port & SET != 0)?;
    let bits = u128::from(view.count(high)) << 64 | u128::from(view.count(low));
    let ip: IpAddr = match port & V6 {
        0 => Ipv4Addr::from_bits(bits as u32).into(),
        _ => Ipv6Addr::from_bits(bits).into(),
    };
    Some((ip, port as u16).into())
}

fn put_control(row: &mut Row, names: [&'static str; 5], control: &CheckControl) {
    let [off, port, high, low, ip] = names;
    row.put(off, control.is_off());
    row.put(port, control.port().unwrap_or(0));
    put_address(row, [high, low, ip], control.ip().map(|ip| (ip, 0).into()));
}

fn restore_control(control: &CheckControl, view: View<'_>, off: &str, port: &str, addr: Option<SocketAddr>) {
    control.set_off(view.count(off) != 0);
    control.set_port(u16::try_from(view.count(port)).unwrap_or(0));
    addr.into_iter().for_each(|a| control.set_ip(a.ip()));
}
