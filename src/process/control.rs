//! The main thread after the start: signals, the second's tick, the end.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use super::bind::Opened;
use super::handover::{self, Receivers};
use super::heirs::Heirs;
use super::inherit::{Held, Inherited, serving};
use super::link::ToWorker;
use super::pool::Fate;
use super::segments::Adopter;
use super::state::Keeper;
use super::worker::Peers;
use super::{messages, worker};
use crate::base::time::{Mono, Wall};
use crate::cli;
use crate::log::{self, Level};
use crate::net::Channel;
use crate::proxy::Proxy;
use crate::runtime::ThreadHandle;
use crate::stream::Shared;

/// The signals that are ours. Blocked in every thread, read from a descriptor.
const SIGNALS: [Signal; 9] = [
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGTTOU,
    Signal::SIGTTIN,
    Signal::SIGCHLD,
];

/// The signal queue.
pub struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Block the signals in this thread, and so in all that it starts, and queue them.
    pub fn new() -> nix::Result<Signals> {
        let set: SigSet = SIGNALS.into_iter().collect();
        set.thread_block()?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Signals { fd })
    }

    /// The next signal, if one comes within `wait` and before there is something to read from one of `other`.
    pub fn next_or<'a>(
        &'a self,
        wait: Duration,
        other: impl IntoIterator<Item = BorrowedFd<'a>>,
    ) -> Option<Signal> {
        if let Some(signal) = self.read() {
            return Some(signal);
        }
        let fds = std::iter::once(self.fd.as_fd()).chain(other);
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let _ = poll(&mut fds, PollTimeout::try_from(wait).unwrap_or(PollTimeout::MAX));
        self.read()
    }

    /// The next signal, if there is one.
    pub fn read(&self) -> Option<Signal> {
        let info = self.fd.read_signal().ok()??;
        Signal::try_from(info.ssi_signo as i32).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All connections ended after a soft stop.
    Finished,
    /// A signal said to stop now.
    Signal(Signal),
    /// A worker thread is gone that should not be.
    Broken,
}

/// What the control thread controls.
pub struct Control {
    /// Who takes over what others left in the stick tables.
    pub adopter: Adopter,
    /// What keeps live state for successors.
    pub keeper: Keeper,
    /// The configuration.
    pub shared: Arc<Shared>,
    /// The workers.
    pub handles: Vec<ThreadHandle>,
    /// The workers' ends.
    pub joins: Vec<JoinHandle<Result<(), String>>>,
    /// `hard-stop-after`.
    pub hard_stop_after: Option<Duration>,
    /// `grace`.
    pub grace: Duration,
    /// What the admin socket's commands act on.
    pub admin: Arc<cli::Context>,
    /// The channel to the master.
    pub link: Option<Arc<Channel>>,
    /// Take the connections of the processes that served before this one.
    pub receivers: Option<Arc<Receivers>>,
    /// The channel to the process that serves instead of this one now.
    pub successor: Option<Successor>,
    /// What becomes of the listening sockets.
    pub fates: Vec<Arc<Fate>>,
    /// What others may ask for.
    pub held: Held,
    /// Those that have asked.
    pub heirs: Option<Heirs>,
}

/// The process that serves instead of this one.
pub enum Successor {
    /// It was told of.
    Known(Channel),
    /// Connections go there.
    Served,
}

/// Time that threads have to close everything before the process exits all the same.
const HALT_MAX: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_secs(1);
/// While stopping, the last thread's end should be noticed soon.
const STOP_TICK: Duration = Duration::from_millis(20);

impl Control {
    /// Run until the end.
    pub fn run(mut self, signals: &Signals) -> End {
        let end = self.watch(signals);
        self.halt();
        self.keeper.save_last();
        end
    }

    /// Wait until every thread serves.
    ///
    /// # Errors
    /// One line for each thread that could not be started.
    pub fn await_threads(&mut self) -> Result<(), Vec<String>> {
        let (sender, started) = std::sync::mpsc::channel();
        for handle in &self.handles {
            let sender = sender.clone();
            handle.post(Box::new(move || {
                worker::when_started(move || {
                    let _ = sender.send(());
                });
            }));
        }
        drop(sender);
        let mut missing = self.handles.len();
        while missing > 0 {
            match started.recv_timeout(STOP_TICK) {
                Ok(()) => missing -= 1,
                Err(_) if self.joins.iter().any(JoinHandle::is_finished) => return Err(self.broken()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Let every thread serve its sockets.
    pub fn open(&mut self, opened: Opened, sections: Vec<crate::peers::Prepared>) {
        let Opened { threads, admin, peers, fates } = opened;
        self.fates = fates;
        let mut first = Some((admin, Peers { sections, listeners: peers }));
        for (handle, bound) in self.handles.iter().zip(threads) {
            let (admin, peers) = first.take().map_or((Vec::new(), None), |(a, p)| (a, Some(p)));
            let listening = worker::Listening { bound, admin, peers };
            handle.post(Box::new(move || worker::open(listening)));
        }
    }

    /// Tell the others that this process serves now.
    ///
    /// # Errors
    /// The master is gone, or does not read.
    pub fn ready(&mut self, inherited: &mut Inherited, predecessor: Option<Channel>) -> io::Result<()> {
        let keys: Vec<&str> = self.fates.iter().map(|fate| fate.key.as_str()).collect();
        self.held = inherited.ready(predecessor.as_ref(), &keys)?;
        Ok(())
    }

    /// Say which listening sockets are left to this process alone, before its threads stop: those whose keys are not
    /// among these.
    fn leave_sockets(&mut self, served: Option<HashSet<String>>) {
        self.held.clear();
        // Who does not say what it serves may serve all: then nobody is lost but in what it does not.
        if let Some(served) = served {
            self.fates.iter().filter(|fate| !served.contains(&fate.key)).for_each(|fate| fate.leave_to_us());
        }
        self.post(worker::leave_admin);
    }

    /// Let every thread close what it has open. Without that, the kernel would do it some time after our exit: a ring
    /// holds its listening sockets, and its destruction is left to a kernel worker, so that clients could still
    /// connect to a process that is gone, and a successor could not bind.
    fn halt(&self) {
        self.post(worker::halt);
        let until = mono() + HALT_MAX;
        while mono() < until && !self.joins.iter().all(JoinHandle::is_finished) {
            let _ = poll(&mut [], PollTimeout::from(2u8));
        }
    }

    fn watch(&mut self, signals: &Signals) -> End {
        let mut soft_stop: Option<Mono> = None;
        let mut listening = true;
        let mut next_tick = mono() + TICK;
        self.adopter.look();
        loop {
            let now = mono();
            if now >= next_tick {
                self.shared.live.tick(now.0);
                if soft_stop.is_none() {
                    self.adopter.look();
                }
                self.keeper.save();
                next_tick = now + TICK;
            }
            if self.successor.is_some() && soft_stop.is_none() {
                soft_stop = Some(now);
            }
            if let Some(since) = soft_stop {
                // `grace` leaves others time to notice that this process goes; a successor takes over at once.
                if listening && (self.successor.is_some() || now >= since + self.grace) {
                    listening = false;
                    self.stop_serving();
                    self.say_stopped();
                } else if !listening && matches!(self.successor, Some(Successor::Known(_))) {
                    self.stop_serving();
                }
                if self.joins.iter().all(JoinHandle::is_finished) {
                    return self.finish();
                }
                if self.hard_stop_after.is_some_and(|limit| now >= since + limit) {
                    messages::warning("soft-stop running for too long, performing a hard-stop.");
                    return End::Finished;
                }
            } else if self.joins.iter().any(JoinHandle::is_finished) {
                self.broken().iter().for_each(|why| messages::alert(why));
                return End::Broken;
            }
            let wait = if soft_stop.is_some() { STOP_TICK } else { next_tick.since(now) };
            let others = self.link.iter().map(|link| link.as_fd()).chain([self.keeper.changed()]);
            let signal = signals.next_or(wait, others.chain(self.heirs.iter().map(Heirs::as_fd)));
            self.keeper.save_changes();
            if let Some(heirs) = &mut self.heirs {
                heirs.look(&self.held);
            }
            // Also while it stops softly: when systemd stops the service, nobody else would end it.
            if signal.is_none() && !self.hear_master() {
                return End::Signal(Signal::SIGTERM);
            }
            match signal {
                None | Some(Signal::SIGCHLD) => {}
                Some(signal @ (Signal::SIGTERM | Signal::SIGINT)) => return End::Signal(signal),
                Some(Signal::SIGUSR1) => {
                    let heir = self.heirs.as_mut().and_then(Heirs::serving);
                    self.successor = self.successor.take().or(heir.map(Successor::Known));
                    soft_stop.get_or_insert(mono());
                }
                Some(signal) => self.report_or_pause(signal),
            }
        }
    }

    /// No more connections are accepted; those that are there end here, or go to the successor.
    fn stop_serving(&mut self) {
        self.shared.live.process.stopping.store(true, Relaxed);
        let receivers = self.receivers.take();
        match self.successor.replace(Successor::Served) {
            Some(Successor::Known(channel)) => {
                self.leave_sockets(serving::hear(&channel));
                handover::give(channel, self.shared.clone(), self.handles.clone(), receivers);
            }
            other => {
                self.successor = other;
                self.leave_sockets(Some(HashSet::new()));
                handover::stop_alone(&self.handles, receivers.as_deref());
            }
        }
    }

    /// What the master says. False: it is gone, and with it everybody who could start a successor.
    fn hear_master(&mut self) -> bool {
        let Some(link) = &self.link else { return true };
        match ToWorker::receive(link) {
            Ok(None) => {
                self.link = None;
                return false;
            }
            Ok(Some(message)) => self.obey(message),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => messages::warning(&format!("from the master: {error}")),
        }
        true
    }

    fn obey(&mut self, message: ToWorker) {
        match message {
            ToWorker::Successor(_, fd) => {
                self.successor.get_or_insert(Successor::Known(Channel::from_fd(fd)));
            }
            ToWorker::Gone(_) => {
                self.adopter.look();
                self.keeper.save();
            }
            ToWorker::Cli(access, fd) => match cli::Access::parse(&access) {
                Some(access) => {
                    let admin = self.admin.clone();
                    // While this process stops, its threads end one by one.
                    let runs = |join: &JoinHandle<_>| !join.is_finished();
                    let thread = self.joins.iter().position(runs).unwrap_or(0);
                    self.handles[thread].post(Box::new(move || worker::serve_admin(fd, access, admin)));
                }
                None => messages::warning(&format!("from the master: '{access}' is no level")),
            },
            other => messages::warning(&format!("from the master, too late: {other:?}")),
        }
    }

    fn report_or_pause(&self, signal: Signal) {
        match signal {
            Signal::SIGTTOU => self.pause(true),
            Signal::SIGTTIN => self.pause(false),
            Signal::SIGHUP => self.dump_servers(),
            Signal::SIGQUIT => self.dump_memory(),
            _ => {}
        }
    }

    fn post(&self, f: fn()) {
        for handle in &self.handles {
            handle.post(Box::new(f));
        }
    }

    fn pause(&self, paused: bool) {
        for handle in &self.handles {
            handle.post(Box::new(move || worker::pause(paused)));
        }
        let what = if paused { "Paused" } else { "Resumed" };
        for px in &self.shared.snapshot.proxies {
            if px.frontend.is_some() {
                self.announce(px, &format!("{what} {} {}.", kind(px), px.name));
            }
        }
    }

    fn say_stopped(&self) {
        for px in &self.shared.snapshot.proxies {
            let fe = self.shared.live.frontend_totals(px.id).connections;
            let be = self.shared.live.backend_totals(px.id).sessions;
            let name = &px.name;
            self.announce(px, &format!("Proxy {name} stopped (cumulated conns: FE: {fe}, BE: {be})."));
        }
    }

    fn announce(&self, px: &Proxy, text: &str) {
        messages::warning(text);
        log::emit_system(&self.shared.plans[px.id.index()].log, Level::Warning, text, wall());
    }

    /// SIGHUP: one line for each server, one for each proxy.
    fn dump_servers(&self) {
        messages::warning("SIGHUP received, dumping servers states.");
        for px in &self.shared.snapshot.proxies {
            let log = &self.shared.plans[px.id.index()].log;
            let intro = format!("SIGHUP received, dumping servers states for proxy {}.", px.name);
            log::emit_system(log, Level::Notice, &intro, wall());
            for line in self.states_of(px) {
                messages::warning(&line);
                log::emit_system(log, Level::Notice, &line, wall());
            }
        }
    }

    fn states_of(&self, px: &Proxy) -> Vec<String> {
        let live = &self.shared.live;
        let mut lines = Vec::new();
        for srv in px.backend.iter().flat_map(|b| &b.servers) {
            let state = live.server(srv.id);
            lines.push(format!(
                "SIGHUP: Server {}/{} is {}. Conn: {} act, {} pend, {} tot.",
                px.name,
                srv.name,
                if state.is_up() { "UP" } else { "DOWN" },
                state.sessions.get(),
                state.queued.get(),
                live.server_totals(srv.id).sessions
            ));
        }
        let (active, backup) = live.usable_counts(px);
        let count = lines.len();
        let usable = match (count, active + backup) {
            (0, _) => "has no servers.".to_owned(),
            (_, 0) => "has no server available !".to_owned(),
            _ => format!("has {active} active servers and {backup} backup servers available."),
        };
        let (fe, be) = (live.frontend(px.id), live.backend(px.id));
        let queued: u32 =
            px.backend.iter().flat_map(|b| &b.servers).map(|s| live.server(s.id).queued.get()).sum();
        let unassigned = be.queued.get();
        lines.push(format!(
            "SIGHUP: Proxy {} {usable} Conn: act(FE+BE): {}+{}, {} pend ({unassigned} unass), tot(FE+BE): {}+{}.",
            px.name,
            fe.sessions.get(),
            be.sessions.get(),
            queued + unassigned,
            live.frontend_totals(px.id).connections,
            live.backend_totals(px.id).sessions
        ));
        lines
    }

    /// SIGQUIT: HAProxy dumps its memory pools; ours is the process's memory as the kernel sees it.
    fn dump_memory(&self) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for line in status.lines().filter(|l| l.starts_with("Vm") || l.starts_with("Rss")) {
            messages::warning(&format!("SIGQUIT: {}", line.replace('\t', " ")));
        }
    }

    /// Why threads have ended that should not have.
    fn broken(&mut self) -> Vec<String> {
        let (ended, running) = self.joins.drain(..).partition(JoinHandle::is_finished);
        self.joins = running;
        let ended: Vec<JoinHandle<_>> = ended;
        let why = |join: JoinHandle<Result<(), String>>| match join.join() {
            Ok(Ok(())) => "a worker thread ended before its time.".to_owned(),
            Ok(Err(why)) => format!("a worker thread ended: {why}"),
            Err(_) => "a worker thread panicked.".to_owned(),
        };
        ended.into_iter().map(why).collect()
    }

    fn finish(&mut self) -> End {
        for join in self.joins.drain(..) {
            match join.join() {
                Ok(Ok(())) => {}
                Ok(Err(why)) => messages::alert(&format!("a worker thread ended: {why}")),
                Err(_) => return End::Broken,
            }
        }
        End::Finished
    }
}

fn kind(px: &Proxy) -> &'static str {
    if px.backend.is_some() { "proxy" } else { "frontend" }
}

/// The monotonic clock, for the control thread only: workers read theirs once per turn.
pub fn mono() -> Mono {
    let t: TimeSpec = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    Mono(t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// The wall clock, for the control thread only.
pub fn wall() -> Wall {
    let t: TimeSpec = clock_gettime(ClockId::CLOCK_REALTIME).unwrap_or(TimeSpec::new(0, 0));
    Wall(t.tv_sec() as u64 * 1_000_000 + t.tv_nsec() as u64 / 1000)
}
