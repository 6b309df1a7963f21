//! Changes of servers, told to everybody concerned: live state, queues, the servers that follow (`track`), logs.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::report::{self, Left, Reason, Subject};
use super::{Change, Notes};
use crate::base::time::Mono;
use crate::log::Level;
use crate::proxy::live::{AdminFlags, ServerStatus};
use crate::proxy::queue::Queues;
use crate::proxy::{Live, Proxy, Server, ServerId, Snapshot};

/// Where sentences go: the proxy's log and standard error.
pub trait Report: Send + Sync {
    /// Say `text` about `px`. `terminal` is the form for standard error when it differs.
    fn say(&self, px: &Proxy, level: Level, text: &str, terminal: Option<&str>);
    /// End the sessions of a server that went down (`on-marked-down shutdown-sessions`), or of the backup servers of a
    /// backend whose server came up (`on-marked-up shutdown-backup-sessions`).
    fn shut_sessions(&self, server: ServerId, change: Change);
    /// Let every thread look again at what it may accept: a frontend or a limit was changed.
    fn limits_changed(&self);
    /// `option log-health-checks`.
    fn logs_results(&self, px: &Proxy) -> bool;
}

/// Everything that a change of a server touches.
pub struct Watch {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// Live state.
    pub live: Arc<Live>,
    /// The queues.
    pub queues: Arc<Queues>,
    /// Words of the last checks.
    pub notes: Notes,
    report: Box<dyn Report>,
    /// Who tracks whom, by the tracked server.
    followers: Vec<Vec<ServerId>>,
}

impl Watch {
    /// Watch over the servers of `snapshot`.
    pub fn new(
        snapshot: Arc<Snapshot>,
        live: Arc<Live>,
        queues: Arc<Queues>,
        report: Box<dyn Report>,
    ) -> Watch {
        let mut followers = vec![Vec::new(); snapshot.servers.len()];
        for px in &snapshot.proxies {
            for srv in px.backend.iter().flat_map(|b| &b.servers) {
                if let Some(tracked) = srv.track {
                    followers[tracked.index()].push(srv.id);
                }
            }
        }
        let notes = Notes::new(&snapshot);
        Watch { snapshot, live, queues, notes, report, followers }
    }

    /// A frontend or a limit was changed: every thread looks again at what it may accept.
    pub fn limits_changed(&self) {
        self.report.limits_changed();
    }

    fn both(&self, id: ServerId) -> (&Proxy, &Server) {
        let srv = self.snapshot.server(id);
        (self.snapshot.proxy(srv.proxy), srv)
    }

    /// Say something about a server in its backend's name.
    pub fn say(&self, id: ServerId, level: Level, text: &str) {
        self.report.say(self.both(id).0, level, text, None);
    }

    /// The server's state changed as the checks, the observer or a command say. `starting`: its weight is climbing.
    pub fn change(&self, id: ServerId, change: Change, starting: bool, reason: Reason<'_>, now: Mono) {
        let status = match change {
            Change::Up | Change::Running if starting => ServerStatus::Starting,
            Change::Up | Change::Running => ServerStatus::Running,
            Change::Stopping => ServerStatus::Stopping,
            Change::Down => ServerStatus::Stopped,
        };
        let (px, srv) = self.both(id);
        if self.live.server(id).status() == status {
            return;
        }
        let in_maintenance = self.live.server(id).admin().has(AdminFlags::MAINT);
        let was_usable = self.live.has_usable(px);
        let left = self.apply(px, srv, |live| _ = live.set_status(px, srv.index, status, now));
        if !in_maintenance {
            let level = if change == Change::Down { Level::Alert } else { Level::Notice };
            self.report.say(px, level, &report::change_line(subject(px, srv), change, reason, left), None);
            self.after(px, srv, was_usable);
        }
        for follower in &self.followers[id.index()] {
            self.change(*follower, change, starting, Reason::Via(&px.name, &srv.name), now);
        }
    }

    /// Set and clear administrative flags, on this server and (as inherited ones) on those that follow it.
    pub fn administer(
        &self,
        id: ServerId,
        set: AdminFlags,
        clear: AdminFlags,
        via: Option<ServerId>,
        now: Mono,
    ) {
        let (px, srv) = self.both(id);
        let before = self.live.server(id).admin();
        let after = AdminFlags((before.0 & !clear.0) | set.0);
        if after == before {
            return;
        }
        let was_usable = self.live.has_usable(px);
        let left = self.apply(px, srv, |live| {
            let state = live.server(id);
            let (was, is) = (before.has(AdminFlags::MAINT), after.has(AdminFlags::MAINT));
            if is && !was {
                state.check_health.store(0, Relaxed);
            } else if was && !is {
                // It comes back at once, trusted as little as at the start: the first bad check takes it down again.
                let followed = srv.track.map(|t| live.server(t).status());
                let status = followed.unwrap_or(ServerStatus::Running);
                state.check_health.store(srv.check.rise(), Relaxed);
                live.set_status(px, srv.index, status, now);
            }
            live.set_admin(px, srv.index, after, now);
        });
        self.tell_admin(px, srv, (before, after), via, left);
        self.after(px, srv, was_usable);
        for follower in &self.followers[id.index()] {
            let inherited = |flags: AdminFlags| {
                let maint = if flags.has(AdminFlags::MAINT) { AdminFlags::INHERITED_MAINT.0 } else { 0 };
                let drain = if flags.has(AdminFlags::DRAIN) { AdminFlags::INHERITED_DRAIN.0 } else { 0 };
                maint | drain
            };
            let (had, has) = (inherited(before), inherited(after));
            self.administer(*follower, AdminFlags(has & !had), AdminFlags(had & !has), Some(id), now);
        }
    }

    fn tell_admin(
        &self,
        px: &Proxy,
        srv: &Server,
        (before, after): (AdminFlags, AdminFlags),
        via: Option<ServerId>,
        left: Left,
    ) {
        let who = subject(px, srv);
        let via_names = via.map(|id| {
            let (px, srv) = self.both(id);
            (px.name.as_str(), srv.name.as_str())
        });
        let up = self.live.server(srv.id).is_up();
        let was = |flags| before.has(flags);
        let is = |flags| after.has(flags);
        if is(AdminFlags::MAINT) && !was(AdminFlags::MAINT) {
            let text = report::admin_line(who, false, via_names, left);
            self.report.say(px, Level::Alert, &text, None);
        } else if !is(AdminFlags::MAINT) && was(AdminFlags::MAINT) {
            let text = report::leave_line(who, false, via.is_some(), up);
            self.report.say(px, Level::Notice, &text, None);
        } else if is(AdminFlags::DRAIN) && !was(AdminFlags::DRAIN) {
            let text = report::admin_line(who, true, via_names, left);
            self.report.say(px, Level::Notice, &text, None);
        } else if !is(AdminFlags::DRAIN) && was(AdminFlags::DRAIN) {
            // A follower's line says the same as its leader's.
            self.report.say(px, Level::Notice, &report::leave_line(who, true, false, up), None);
        }
    }

    /// Change live state and let the queues know; what is left afterwards.
    fn apply(&self, px: &Proxy, srv: &Server, act: impl FnOnce(&Live)) -> Left {
        let state = self.live.server(srv.id);
        let queued_before = state.queued.get();
        act(&self.live);
        self.queues.server_changed(px, srv.index);
        let (active, backup) = self.live.usable_counts(px);
        Left {
            active,
            backup,
            sessions: state.sessions.get(),
            requeued: queued_before.saturating_sub(state.queued.get()),
            queued: self.live.backend(px.id).queued.get(),
        }
    }

    /// What follows from a change: the backend is empty now, or sessions are to end.
    fn after(&self, px: &Proxy, srv: &Server, was_usable: bool) {
        if was_usable && !self.live.has_usable(px) {
            let text = format!("backend {} has no server available!", px.name);
            let terminal = format!("backend '{}' has no server available!", px.name);
            self.report.say(px, Level::Emerg, &text, Some(&terminal));
        }
        let up = self.live.server(srv.id).is_up();
        if !up && srv.check.shutdown_on_down == Some(true) {
            self.report.shut_sessions(srv.id, Change::Down);
        }
        if up && !srv.backup && srv.check.shutdown_backup_on_up == Some(true) {
            for backup in px.backend().servers.iter().filter(|s| s.backup) {
                self.report.shut_sessions(backup.id, Change::Up);
            }
        }
    }

    /// Whether every check that changes something gets a line of its own.
    pub fn logs_results(&self, px: &Proxy) -> bool {
        self.report.logs_results(px)
    }

    /// Note what a check found, for the statistics.
    pub fn note(&self, id: ServerId, outcome: &super::Outcome, duration_ns: u64, health: u32) {
        let state = self.live.server(id);
        state.check_status.store(outcome.status as u32, Relaxed);
        state.check_code.store(outcome.code, Relaxed);
        state.check_duration_ns.store(duration_ns, Relaxed);
        state.check_health.store(health, Relaxed);
        self.notes.set(id, &outcome.info);
    }
}

/// Names for sentences.
pub fn subject<'a>(px: &'a Proxy, srv: &'a Server) -> Subject<'a> {
    Subject { backend: &px.name, server: &srv.name, backup: srv.backup }
}
