//! The tasks that check servers. Each server's checks run on one thread; the servers are dealt out to the threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::dialogue::{Dialogue, Todo};
use super::report::{self, Reason};
use super::rules::{Connect, Outcome, Ruleset};
use super::watch::{Watch, subject};
use super::{Change, CheckStatus, Health, OnError, ProxyCheck, Verdict};
use crate::base::time::Mono;
use crate::log::Level;
use crate::net::{ConnectOpts, SockAddr, Socket};
use crate::proxy::live::{AdminFlags, ServerState, ServerStatus};
use crate::proxy::{GlobalConf, HeaderVersion, Proxy, Server, ServerId};
use crate::proxy_protocol::{Endpoints, V2, write_v1};
use crate::runtime;

/// How often a task looks for what the traffic observer found.
const OBSERVE_LOOK: Duration = Duration::from_millis(50);
/// How many steps a slow start has.
const RAMP_STEPS: u32 = 20;

/// Start this thread's share of the checks: every `threads`-th server, beginning with `thread`.
pub fn start(watch: &Arc<Watch>, thread: usize, threads: usize) {
    let snapshot = watch.snapshot.clone();
    let global = snapshot.global.get::<GlobalConf>().cloned().unwrap_or_default();
    let all = || {
        snapshot
            .proxies
            .iter()
            .filter(|p| !p.disabled)
            .flat_map(|p| p.backend.iter())
            .flat_map(|b| &b.servers)
    };
    let checked: Vec<&Server> =
        all().filter(|s| s.check.enabled == Some(true) && s.track.is_none()).collect();
    let agents: Vec<&Server> = all().filter(|s| s.check.agent == Some(true) && s.track.is_none()).collect();
    // The first checks of all servers are spread over the shortest interval, so that they do not all start at once.
    let shortest = checked.iter().map(|s| s.check.inter()).min().unwrap_or_default();
    let spread = global.max_spread_checks.map_or(shortest, |max| shortest.min(max));
    let mut rules: Vec<Option<Arc<Ruleset>>> = vec![None; snapshot.proxies.len()];
    for (n, srv) in checked.iter().enumerate().filter(|(n, _)| n % threads == thread) {
        let px = snapshot.proxy(srv.proxy);
        let rules = rules[px.id.index()]
            .get_or_insert_with(|| {
                Arc::new(px.section.get::<ProxyCheck>().cloned().unwrap_or_default().ruleset())
            })
            .clone();
        let delay = spread.mul_f64(n as f64 / checked.len() as f64);
        let checker = Checker::new(watch.clone(), srv.id, rules, global.spread_checks, global.node.clone());
        runtime::spawn(checker.run(delay));
    }
    // The weight of one that was just coming up when this process took over climbs on.
    for (_, srv) in all().enumerate().filter(|(n, _)| n % threads == thread) {
        let state = watch.live.server(srv.id);
        if let Some(duration) = srv.slowstart.filter(|_| state.status() == ServerStatus::Starting) {
            let spent = runtime::now().since(Mono(state.changed_ns.load(Relaxed)));
            let done = spent.as_nanos() * u128::from(RAMP_STEPS) / duration.as_nanos().max(1);
            let done = u32::try_from(done).unwrap_or(RAMP_STEPS).min(RAMP_STEPS);
            runtime::spawn(climb(watch.clone(), srv.id, duration, done));
        }
    }
    for (n, srv) in agents.iter().enumerate().filter(|(n, _)| n % threads == thread) {
        let delay = srv.check.inter().mul_f64(n as f64 / agents.len() as f64);
        runtime::spawn(super::agent_run::run(watch.clone(), srv.id, delay));
    }
}

/// The records of checked servers before the first check: called once, before any thread starts.
pub fn prepare(watch: &Watch) {
    for (id, _) in watch.snapshot.servers.iter().enumerate() {
        let id = ServerId(id as u32);
        let srv = watch.snapshot.server(id);
        let state = watch.live.server(id);
        let up = state.status() != ServerStatus::Stopped;
        state.check_health.store(Health::new(srv.check.rise(), srv.check.fall(), up).count(), Relaxed);
        state.check_status.store(CheckStatus::Initializing as u32, Relaxed);
        if srv.check.agent == Some(true) {
            state.agent_health.store(1, Relaxed);
        }
    }
}

struct Checker {
    watch: Arc<Watch>,
    id: ServerId,
    rules: Arc<Ruleset>,
    spread_percent: u32,
    node: String,
    /// State of the pseudo-random spread.
    dice: u64,
}

impl Checker {
    fn new(
        watch: Arc<Watch>,
        id: ServerId,
        rules: Arc<Ruleset>,
        spread_percent: u32,
        node: Option<String>,
    ) -> Checker {
        let host =
            || nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
        let node = node.unwrap_or_else(host);
        Checker { watch, id, rules, spread_percent, node, dice: u64::from(id.0) + 1 }
    }

    fn srv(&self) -> &Server {
        self.watch.snapshot.server(self.id)
    }

    fn px(&self) -> &Proxy {
        self.watch.snapshot.proxy(self.srv().proxy)
    }

    fn state(&self) -> &ServerState {
        self.watch.live.server(self.id)
    }

    async fn run(mut self, delay: Duration) {
        runtime::sleep(delay).await;
        let mut last_status = CheckStatus::Initializing;
        loop {
            // A server in maintenance is not checked, nor one whose checks a command has disabled.
            if !self.is_paused() {
                let started = runtime::now();
                let outcome = self.check(started).await;
                // Maintenance may have begun meanwhile: what the check found is of no interest then.
                if !self.is_paused() {
                    self.conclude(&outcome, runtime::now().since(started), &mut last_status);
                }
            }
            self.pause().await;
        }
    }

    fn is_paused(&self) -> bool {
        self.state().admin().has(AdminFlags::MAINT) || self.state().check_control.is_off()
    }

    /// Wait for the next check; the traffic observer may cut it short.
    async fn pause(&mut self) {
        let interval = self.interval();
        let mut until = runtime::now() + interval;
        if self.srv().check.observe.is_none() {
            return runtime::sleep_until(until).await;
        }
        loop {
            let now = runtime::now();
            if now >= until {
                return;
            }
            runtime::sleep_until(until.min(now + OBSERVE_LOOK)).await;
            if self.state().events.swap(0, Relaxed) != 0 {
                self.observed();
                let fast = self.srv().check.fastinter.unwrap_or(self.srv().check.inter());
                until = until.min(runtime::now() + fast);
            }
        }
    }

    /// `error-limit` errors in a row were observed.
    fn observed(&self) {
        let srv = self.srv();
        let mut health = self.health();
        let limit = srv.check.error_limit();
        let info = format!("Detected {limit} consecutive errors, last one was: {}", self.observed_error());
        let outcome = Outcome::new(CheckStatus::Observed, info);
        let change = match srv.check.on_error.unwrap_or_default() {
            OnError::Fastinter => None,
            OnError::FailCheck => health.apply(Verdict::Failed).1,
            OnError::SuddenDeath => {
                health = Health::restore(
                    srv.check.rise(),
                    srv.check.fall(),
                    health.count().min(srv.check.rise()),
                    false,
                );
                None
            }
            OnError::MarkDown => health.force(false),
        };
        self.state().observed_failures.fetch_add(1, Relaxed);
        self.watch.note(self.id, &outcome, 0, health.count());
        if let Some(change) = change {
            self.watch.change(self.id, change, false, Reason::Observed(&outcome), runtime::now());
        }
    }

    fn observed_error(&self) -> &'static str {
        match self.srv().check.observe {
            Some(super::Observe::Layer7) => "Wrong http response",
            _ => "L4 unsuccessful connection",
        }
    }

    /// The counter as it stands in live state: commands may have changed it.
    fn health(&self) -> Health {
        let check = &self.srv().check;
        let state = self.state();
        let stopping = state.status() == ServerStatus::Stopping;
        Health::restore(check.rise(), check.fall(), state.check_health.load(Relaxed), stopping)
    }

    fn conclude(&self, outcome: &Outcome, duration: Duration, last_status: &mut CheckStatus) {
        let (px, srv, state) = (self.px(), self.srv(), self.state());
        let mut health = self.health();
        let verdict = outcome.verdict();
        if verdict == Verdict::Failed && health.is_up() {
            state.check_failures.fetch_add(1, Relaxed);
        }
        let (moved, change) = health.apply(verdict);
        self.watch.note(self.id, outcome, duration.as_nanos() as u64, health.count());
        let told = self.watch.logs_results(px) && (moved || outcome.status != *last_status);
        *last_status = outcome.status;
        if told {
            let line = report::check_line(subject(px, srv), outcome, duration, &health, state.weight());
            self.watch.say(self.id, Level::Notice, &line);
        }
        let Some(change) = change else { return };
        if change == Change::Up && state.agent_health.load(Relaxed) == 0 && srv.check.agent == Some(true) {
            // The agent keeps it down.
            return;
        }
        let reason = if told { Reason::Told } else { Reason::Check(outcome, duration) };
        come_up_or_go(&self.watch, self.id, change, reason);
    }

    /// `inter`, `fastinter` or `downinter`, with the spread.
    fn interval(&mut self) -> Duration {
        let check = &self.srv().check;
        let health = self.health();
        let inter = check.inter();
        let base = match (health.is_settled(), health.is_up()) {
            (false, _) => check.fastinter.unwrap_or(inter),
            (true, true) => inter,
            (true, false) => check.downinter.unwrap_or(inter),
        };
        if self.spread_percent == 0 {
            return base;
        }
        // Marsaglia's xorshift: this only has to differ between servers.
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let share = (self.dice % 2001) as f64 / 1000.0 - 1.0;
        base.mul_f64((1.0 + share * f64::from(self.spread_percent) / 100.0).max(0.1))
    }

    /// One check from connect to verdict.
    async fn check(&self, started: Mono) -> Outcome {
        let (px, srv) = (self.px(), self.srv());
        let inter = srv.check.inter();
        let timeout = px.timeouts.check;
        let connect = match timeout {
            Some(_) => px.timeouts.connect.map_or(inter, |c| c.min(inter)),
            None => inter,
        };
        let mut dialogue = Dialogue::new(&self.rules, self.state_field()).at(started, runtime::wall());
        let mut socket: Option<Socket> = None;
        let mut linger = false;
        let mut deadline = started + inter;
        let outcome = loop {
            match dialogue.todo() {
                Todo::Finish(outcome) => break outcome,
                Todo::Connect(step) => {
                    close(socket.take(), linger);
                    linger = step.linger;
                    match runtime::timeout_at(runtime::now() + connect, self.connect(step)).await {
                        Some(Ok(fresh)) => {
                            socket = Some(fresh);
                            dialogue.connected();
                        }
                        Some(Err(error)) => {
                            if let Some(outcome) = dialogue.io_error(&error) {
                                break outcome;
                            }
                        }
                        None => break dialogue.timed_out(),
                    }
                    deadline = timeout.map_or(started + inter, |t| runtime::now() + t);
                }
                Todo::Send(bytes) => {
                    let Some(socket) = &socket else { break dialogue.timed_out() };
                    socket.send(bytes);
                    match runtime::timeout_at(deadline, socket.flushed()).await {
                        Some(Ok(())) => {}
                        // What the server said before it closed may still be read.
                        Some(Err(_)) => {}
                        None => break dialogue.timed_out(),
                    }
                }
                Todo::Receive => {
                    let Some(socket) = &socket else { break dialogue.timed_out() };
                    match runtime::timeout_at(deadline, socket.recv()).await {
                        Some(Ok(buf)) if buf.is_empty() => dialogue.ended(),
                        Some(Ok(buf)) => dialogue.received(&buf),
                        Some(Err(error)) => {
                            if let Some(outcome) = dialogue.io_error(&error) {
                                break outcome;
                            }
                        }
                        None => break dialogue.timed_out(),
                    }
                }
            }
        };
        close(socket, linger);
        outcome
    }

    async fn connect(&self, step: &Connect) -> io::Result<Socket> {
        let (px, srv) = (self.px(), self.srv());
        let changed = &self.state().check_control;
        let ip = step.addr.or(changed.ip()).or(srv.check.addr);
        let port = step.port.or(changed.port()).or(srv.check.port).or(srv.check.addr_port);
        let addr = target(&self.watch.live, srv, ip, port)?;
        let socket = Socket::connect(&addr, &connect_opts(px, srv)).await?;
        // By itself only where normal traffic goes as well.
        let elsewhere = srv.check.port.is_some() || srv.check.addr.is_some() || step.port.is_some();
        let own = srv.check.send_proxy == Some(true) || (srv.send_proxy.is_some() && !elsewhere);
        if step.send_proxy || (step.default_options && own) {
            socket.send(proxy_header(srv, &socket));
            // A check of the connection alone ends here, with a reset.
            socket.flushed().await?;
        }
        Ok(socket)
    }

    /// `X-Haproxy-Server-State`.
    fn state_field(&self) -> String {
        if !self.rules.send_state {
            return String::new();
        }
        let (px, srv, state) = (self.px(), self.srv(), self.state());
        let health = self.health();
        let (at, of) = health.fraction();
        let word = match (health.is_up(), state.status()) {
            (false, _) => "DOWN",
            (true, ServerStatus::Stopping) => "NOLB",
            (true, _) => "UP",
        };
        let all = px.backend().servers.iter().map(|s| self.watch.live.server(s.id));
        let total: u32 = all.filter(|s| s.is_usable()).map(ServerState::weight).sum();
        let addr = self.watch.live.server_inet(srv);
        let be = self.watch.live.backend(px.id);
        format!(
            "{word} {at}/{of}; address={}; port={}; name={}/{}; node={}; weight={}/{total}; scur={}/{}; qcur={}",
            addr.map(|a| a.ip()).map_or("unix".to_owned(), |ip| ip.to_string()),
            addr.map(|a| a.port()).map_or("unix".to_owned(), |p| p.to_string()),
            px.name,
            srv.name,
            self.node,
            state.weight(),
            state.sessions.get(),
            be.sessions.get(),
            state.queued.get(),
        )
    }
}

/// Announce a change, with a slow start when the server has one.
pub(super) fn come_up_or_go(watch: &Arc<Watch>, id: ServerId, change: Change, reason: Reason<'_>) {
    let ramp = watch.snapshot.server(id).slowstart.filter(|_| change == Change::Up);
    if let Some(duration) = ramp {
        set_ramp(watch, id, 1);
        runtime::spawn(climb(watch.clone(), id, duration, 0));
    }
    watch.change(id, change, ramp.is_some(), reason, runtime::now());
}

fn set_ramp(watch: &Watch, id: ServerId, percent: u32) {
    let srv = watch.snapshot.server(id);
    let px = watch.snapshot.proxy(srv.proxy);
    let weight = watch.live.server(id).weight();
    watch.live.set_weight(px, srv.index, weight, percent, runtime::now());
    watch.queues.server_changed(px, srv.index);
}

/// `slowstart`: the weight climbs in steps, of which some are `done`; it ends when the server goes down.
async fn climb(watch: Arc<Watch>, id: ServerId, duration: Duration, done: u32) {
    let step = duration / RAMP_STEPS;
    for n in done + 1..=RAMP_STEPS {
        runtime::sleep(step).await;
        if watch.live.server(id).status() != ServerStatus::Starting {
            return set_ramp(&watch, id, 100);
        }
        set_ramp(&watch, id, 100 * n / RAMP_STEPS);
    }
    let srv = watch.snapshot.server(id);
    let px = watch.snapshot.proxy(srv.proxy);
    watch.live.set_status(px, srv.index, ServerStatus::Running, runtime::now());
}

/// Where a check connects to.
pub(super) fn target(
    live: &crate::proxy::Live,
    srv: &Server,
    ip: Option<std::net::IpAddr>,
    port: Option<u16>,
) -> io::Result<SockAddr> {
    let none = || io::Error::from_raw_os_error(libc::EADDRNOTAVAIL);
    let own = live.server_inet(srv);
    let own_port = own.map(|a| a.port());
    if let Some(ip) = ip.or_else(|| own.map(|a| a.ip())) {
        let port = port.or(own_port).ok_or_else(none)?;
        return Ok(SockAddr::Ip((ip, port).into()));
    }
    srv.addr.as_ref().and_then(SockAddr::configured).ok_or_else(none)
}

pub(super) fn connect_opts(px: &Proxy, srv: &Server) -> ConnectOpts {
    let source = srv.source.as_ref().unwrap_or(&px.backend().source);
    ConnectOpts {
        source: source.fixed(),
        interface: source.interface.clone(),
        nodelay: true,
        ..ConnectOpts::default()
    }
}

/// The header of the PROXY protocol for a connection of our own, of the version that the server gets for clients. In
/// version 1 it names both ends: some servers take no other (specification, 2.1).
fn proxy_header(srv: &Server, socket: &Socket) -> Vec<u8> {
    if let Some(conf) = srv.send_proxy.as_deref().filter(|c| c.version == HeaderVersion::V2) {
        let mut header = V2::local();
        if conf.checksum {
            header.checksum();
        }
        return header.finish();
    }
    let ip = |a: io::Result<SockAddr>| a.ok().and_then(|a| a.ip());
    let ends = ip(socket.local_addr()).zip(ip(socket.peer_addr()));
    write_v1(ends.map(|(src, dst)| Endpoints { src, dst })).into_bytes()
}

/// Checks end with a reset: a server must not collect sockets in TIME_WAIT from them.
pub(super) fn close(socket: Option<Socket>, linger: bool) {
    if let Some(socket) = socket {
        if linger { drop(socket) } else { socket.abort() }
    }
}
