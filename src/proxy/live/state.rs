//! Shared state: what every thread must see at once. Written with atomic read-modify-write operations.

use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst,
};

use super::super::Server;
use super::{CheckControl, LiveAddr};

/// A number of things that exist now, with the most that ever existed.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Gauge {
    cur: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// One more. Returns the new value.
    pub fn inc(&self) -> u32 {
        let cur = self.cur.fetch_add(1, SeqCst) + 1;
        self.note(cur);
        cur
    }

    /// One less.
    pub fn dec(&self) {
        let before = self.cur.fetch_sub(1, SeqCst);
        debug_assert!(before > 0, "a gauge went below zero");
    }

    /// One more unless that would exceed `limit` (0: no limit). Returns whether it was taken.
    pub fn inc_below(&self, limit: u32) -> bool {
        if limit == 0 {
            self.inc();
            return true;
        }
        let taken = self.cur.fetch_update(SeqCst, SeqCst, |c| (c < limit).then_some(c + 1));
        if let Ok(before) = taken {
            self.note(before + 1);
        }
        taken.is_ok()
    }

    /// The current value.
    pub fn get(&self) -> u32 {
        self.cur.load(SeqCst)
    }

    /// The greatest value.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// Forget the maximum (`clear counters`).
    pub fn reset_max(&self) {
        self.max.store(self.cur.load(Relaxed), Relaxed);
    }

    /// There were that many before.
    pub(super) fn raise_max(&self, max: u32) {
        self.max.fetch_max(max, Relaxed);
    }

    fn note(&self, cur: u32) {
        if cur > self.max.load(Relaxed) {
            self.max.fetch_max(cur, Relaxed);
        }
    }
}

/// A rate per second, derived from a counter by whoever ticks once a second.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Rate {
    base: AtomicU64,
    since_ns: AtomicU64,
    last: AtomicU32,
    max: AtomicU32,
}

impl Rate {
    /// A second has passed (or a bit more): the counter now stands at `total`.
    pub fn tick(&self, total: u64, now_ns: u64) {
        let base = self.base.swap(total, Relaxed);
        let elapsed = now_ns.saturating_sub(self.since_ns.swap(now_ns, Relaxed)).max(1);
        let rate = (total.saturating_sub(base) as u128 * 1_000_000_000 / elapsed as u128) as u32;
        self.last.store(rate, Relaxed);
        self.max.fetch_max(rate, Relaxed);
    }

    /// Events in the last second, for a counter that stands at `total` now.
    pub fn get(&self, total: u64, now_ns: u64) -> u32 {
        let elapsed = now_ns.saturating_sub(self.since_ns.load(Relaxed));
        let fresh = total.saturating_sub(self.base.load(Relaxed)).min(u64::from(u32::MAX)) as u32;
        let left = 1_000_000_000u64.saturating_sub(elapsed);
        let old = (u64::from(self.last.load(Relaxed)) * left / 1_000_000_000) as u32;
        fresh.saturating_add(old)
    }

    /// The counter jumps by `n`: those events were not now.
    pub(super) fn skip(&self, n: u64) {
        self.base.fetch_add(n, Relaxed);
    }

    /// It was that high before.
    pub(super) fn raise_max(&self, max: u32) {
        self.max.fetch_max(max, Relaxed);
    }

    /// The greatest rate of a whole second.
    pub fn max(&self) -> u32 {
        self.max.load(Relaxed)
    }

    /// Forget the maximum.
    pub fn reset_max(&self) {
        self.max.store(0, Relaxed);
    }
}

/// Operational state of a server: what the checks say (`srv_op_state` of `show servers state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ServerStatus {
    /// Down.
    Stopped = 0,
    /// Coming up, with a reduced weight (`slowstart`).
    Starting = 1,
    /// Up.
    Running = 2,
    /// Up for persistent requests only (404 on the check, or a draining agent).
    Stopping = 3,
}

impl ServerStatus {
    pub(super) fn from_u8(v: u8) -> ServerStatus {
        match v {
            1 => ServerStatus::Starting,
            2 => ServerStatus::Running,
            3 => ServerStatus::Stopping,
            _ => ServerStatus::Stopped,
        }
    }
}

/// Administrative state: a bit set (`srv_admin_state` of `show servers state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AdminFlags(pub u8);

impl AdminFlags {
    /// Maintenance asked for on the command line.
    pub const FORCED_MAINT: AdminFlags = AdminFlags(0x01);
    /// Maintenance of the tracked server.
    pub const INHERITED_MAINT: AdminFlags = AdminFlags(0x02);
    /// The configuration said `disabled`: tells where the forced maintenance of the start came from, and no more.
    pub const CONFIG_MAINT: AdminFlags = AdminFlags(0x04);
    /// Drain asked for on the command line.
    pub const FORCED_DRAIN: AdminFlags = AdminFlags(0x08);
    /// Drain of the tracked server.
    pub const INHERITED_DRAIN: AdminFlags = AdminFlags(0x10);
    /// Maintenance because its name does not resolve.
    pub const RESOLVE_MAINT: AdminFlags = AdminFlags(0x20);
    /// Any maintenance.
    pub const MAINT: AdminFlags = AdminFlags(0x23);
    /// Any drain.
    pub const DRAIN: AdminFlags = AdminFlags(0x18);

    /// True when any bit of `o` is set.
    pub const fn has(self, o: AdminFlags) -> bool {
        self.0 & o.0 != 0
    }
}

/// Shared state of a server.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ServerState {
    /// Sessions (requests) that it serves now. Taken and released through [`Queues`](crate::proxy::queue::Queues).
    pub sessions: Gauge,
    /// Waiters in its own queue.
    pub queued: Gauge,
    status: AtomicU8,
    admin: AtomicU8,
    _pad: [u8; 2],
    weight: AtomicU32,
    /// Effective weight: the user's weight times 16, times the slow-start ramp.
    eweight: AtomicU32,
    /// `maxconn`, as changed at run time.
    pub maxconn: AtomicU32,
    /// Idle pooled connections over all threads.
    pub idle: Gauge,
    /// `lastchg`: when it last went up or down, nanoseconds of the monotonic clock.
    pub changed_ns: AtomicU64,
    /// `downtime`: nanoseconds in the down state, without the current period.
    pub down_ns: AtomicU64,
    /// When it last served a session; 0: never.
    pub last_session_ns: AtomicU64,
    /// `chkfail`: failed checks while it was up.
    pub check_failures: AtomicU64,
    /// `chkdown`: changes from up to down.
    pub downs: AtomicU64,
    /// `hanafail`: failures seen by `observe`.
    pub observed_failures: AtomicU64,
    /// Consecutive errors seen by `observe`.
    pub consecutive_errors: AtomicU32,
    /// `check_status`, as a number of the check's own table.
    pub check_status: AtomicU32,
    /// `check_code`: layer 5-7 code.
    pub check_code: AtomicU32,
    /// `check_health`: position between 0 and rise + fall - 1.
    pub check_health: AtomicU32,
    /// `check_duration`: nanoseconds.
    pub check_duration_ns: AtomicU64,
    /// `agent_status`, as a number of the check's own table.
    pub agent_status: AtomicU32,
    /// `agent_code`
    pub agent_code: AtomicU32,
    /// `agent_health`
    pub agent_health: AtomicU32,
    _pad2: u32,
    /// `agent_duration`: nanoseconds.
    pub agent_duration_ns: AtomicU64,
    /// The address that took the place of the configured one (`set server ... addr`).
    pub address: LiveAddr,
    /// Health checks, as commands changed them.
    pub check_control: CheckControl,
    /// The agent, as commands changed it.
    pub agent_control: CheckControl,
    /// `rate`, `rate_max`: sessions per second.
    pub session_rate: Rate,
    /// Time of the last `on-error` verdict or other event that a check task must see; it compares and acts.
    pub events: AtomicI64,
}

impl Default for ServerState {
    fn default() -> Self {
        ServerState {
            sessions: Gauge::default(),
            queued: Gauge::default(),
            status: AtomicU8::new(ServerStatus::Running as u8),
            admin: AtomicU8::new(0),
            _pad: [0; 2],
            weight: AtomicU32::new(1),
            eweight: AtomicU32::new(Self::WEIGHT_SCALE),
            maxconn: AtomicU32::new(0),
            idle: Gauge::default(),
            changed_ns: AtomicU64::new(0),
            down_ns: AtomicU64::new(0),
            last_session_ns: AtomicU64::new(0),
            check_failures: AtomicU64::new(0),
            downs: AtomicU64::new(0),
            observed_failures: AtomicU64::new(0),
            consecutive_errors: AtomicU32::new(0),
            check_status: AtomicU32::new(0),
            check_code: AtomicU32::new(0),
            check_health: AtomicU32::new(0),
            check_duration_ns: AtomicU64::new(0),
            agent_status: AtomicU32::new(0),
            agent_code: AtomicU32::new(0),
            agent_health: AtomicU32::new(0),
            _pad2: 0,
            agent_duration_ns: AtomicU64::new(0),
            address: LiveAddr::default(),
            check_control: CheckControl::default(),
            agent_control: CheckControl::default(),
            session_rate: Rate::default(),
            events: AtomicI64::new(0),
        }
    }
}

impl ServerState {
    /// Effective weights are user weights times this, so that a slow start has finer steps than 1.
    pub const WEIGHT_SCALE: u32 = 16;

    pub(super) fn start(&self, srv: &Server) {
        self.weight.store(srv.weight, SeqCst);
        self.eweight.store(srv.weight * Self::WEIGHT_SCALE, SeqCst);
        self.maxconn.store(srv.maxconn, SeqCst);
        let mut admin = 0;
        if srv.disabled {
            admin |= AdminFlags::CONFIG_MAINT.0 | AdminFlags::FORCED_MAINT.0;
        }
        if srv.addr.is_none() {
            admin |= AdminFlags::RESOLVE_MAINT.0;
        }
        self.admin.store(admin, SeqCst);
        let up = admin & AdminFlags::MAINT.0 == 0;
        let status = if up { ServerStatus::Running } else { ServerStatus::Stopped };
        self.status.store(status as u8, SeqCst);
    }

    /// Operational state.
    pub fn status(&self) -> ServerStatus {
        ServerStatus::from_u8(self.status.load(SeqCst))
    }

    /// Administrative flags.
    pub fn admin(&self) -> AdminFlags {
        AdminFlags(self.admin.load(SeqCst))
    }

    /// The user's weight, 0 to 256.
    pub fn weight(&self) -> u32 {
        self.weight.load(SeqCst)
    }

    /// Effective weight in units of 1/16.
    pub fn eweight(&self) -> u32 {
        self.eweight.load(SeqCst)
    }

    /// True when it may serve requests that must go there (persistence): not down, not in maintenance.
    pub fn is_up(&self) -> bool {
        self.status() != ServerStatus::Stopped && !self.admin().has(AdminFlags::MAINT)
    }

    /// True when load balancing may choose it: up, not stopping, not draining, weight above 0.
    pub fn is_usable(&self) -> bool {
        matches!(self.status(), ServerStatus::Starting | ServerStatus::Running)
            && !self.admin().has(AdminFlags(AdminFlags::MAINT.0 | AdminFlags::DRAIN.0))
            && self.eweight() > 0
    }

    pub(in crate::proxy) fn store_status(&self, s: ServerStatus) {
        self.status.store(s as u8, SeqCst);
    }

    pub(in crate::proxy) fn store_admin(&self, a: AdminFlags) {
        self.admin.store(a.0, SeqCst);
    }

    pub(in crate::proxy) fn store_weight(&self, weight: u32, eweight: u32) {
        self.weight.store(weight, SeqCst);
        self.eweight.store(eweight, SeqCst);
    }
}

/// Shared state of a proxy's server side.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct BackendState {
    /// `scur`: sessions now.
    pub sessions: Gauge,
    /// Waiters in the backend's own queue (those in servers' queues not included).
    pub queued: Gauge,
    /// Grows whenever a state or weight of a server changes: derived tables are rebuilt then.
    pub epoch: AtomicU32,
    /// 1: other proxies do not route to it (`be-unpublished`, `unpublish backend`).
    pub unpublished: AtomicU32,
    /// Position in the weighted round-robin schedule; shared by all threads so that the order is strict.
    pub cursor: AtomicU64,
    /// `lastchg`, nanoseconds.
    pub changed_ns: AtomicU64,
    /// `downtime`, nanoseconds.
    pub down_ns: AtomicU64,
    /// `chkdown`: times that all its servers were down.
    pub downs: AtomicU64,
    /// When it last served a session; 0: never.
    pub last_session_ns: AtomicU64,
    /// `rate`: sessions per second.
    pub session_rate: Rate,
    /// Requests per second.
    pub request_rate: Rate,
}

/// Shared state of a proxy's client side.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct FrontendState {
    /// `scur`: sessions now.
    pub sessions: Gauge,
    /// Run-time `maxconn` (`set maxconn frontend`); 0: the configured one.
    pub maxconn: AtomicU32,
    /// See [`FrontendMode`].
    mode: AtomicU32,
    /// `conn_rate`: connections per second.
    pub connection_rate: Rate,
    /// `rate`: sessions per second.
    pub session_rate: Rate,
    /// `req_rate`: requests per second.
    pub request_rate: Rate,
}

/// What a frontend was told at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FrontendMode {
    /// It accepts.
    Open = 0,
    /// `disable frontend`: it has let its ports go and may take them again.
    Paused = 1,
    /// `shutdown frontend`: it accepts nothing any more.
    Shut = 2,
}

impl FrontendState {
    /// What it was told last.
    pub fn mode(&self) -> FrontendMode {
        match self.mode.load(Relaxed) {
            0 => FrontendMode::Open,
            1 => FrontendMode::Paused,
            _ => FrontendMode::Shut,
        }
    }

    /// Tell it.
    pub fn set_mode(&self, mode: FrontendMode) {
        self.mode.store(mode as u32, Relaxed);
    }
}

/// A limit that can be changed at run time; 0 stands for no limit.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Limit(AtomicU64);

impl Limit {
    /// The limit in force, given the configured one.
    pub fn get(&self, configured: u32) -> u32 {
        // One more than what was set: 0 is "never set".
        self.0.load(Relaxed).checked_sub(1).map_or(configured, |n| n as u32)
    }

    /// What it was changed to, plus 1; 0: never.
    pub(super) fn raw(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Change it.
    pub fn set(&self, limit: u32) {
        self.0.store(u64::from(limit) + 1, Relaxed);
    }
}

/// Shared state of a listener.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct ListenerState {
    /// Connections now.
    pub sessions: Gauge,
}

/// Shared state of the process.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct ProcessState {
    /// Client connections now: what the global `maxconn` limits (`actconn` in logs).
    pub connections: Gauge,
    /// `set maxconn global`
    pub maxconn: Limit,
    /// `set rate-limit connections global`
    pub max_connection_rate: Limit,
    /// `set rate-limit sessions global`
    pub max_session_rate: Limit,
    /// `ConnRate`
    pub connection_rate: Rate,
    /// `SessRate`
    pub session_rate: Rate,
    /// Requests per second.
    pub request_rate: Rate,
    /// It accepts no more: what runs is ended, or left to a successor.
    pub stopping: AtomicBool,
}
