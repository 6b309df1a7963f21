//! The master's loop: signals, what workers say, timers.

use std::io::{PipeWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::backoff::Backoff;
use super::cli::{self, Cli};
use super::conf::Conf;
use super::notify::{self, Notify};
use super::program::Program;
use super::state::{self, Record};
use super::store::Store;
use super::worker::{self, Phase, Why, Worker};
use super::{FIRST_WAIT, Kind, Ns, Places};
use crate::process::args::Args;
use crate::process::control::{Signals, mono};
use crate::process::daemon::PidFile;
use crate::process::{keys, messages};

/// A worker that is not ready after this time is given up.
const START_MAX: Duration = Duration::from_secs(300);
/// While a worker starts, systemd is asked for more time so often.
const EXTEND_EVERY: Duration = Duration::from_secs(10);
/// Who does not obey SIGTERM is killed.
pub const OBEY_MAX: Duration = Duration::from_secs(10);
/// Without anything to do, the loop turns all the same.
const TURN_MAX: Duration = Duration::from_secs(60);
/// Messages of one worker in a row.
const MESSAGES_MAX: usize = 256;

/// How starts of workers went.
#[derive(Debug, Default)]
pub struct Loads {
    /// Reloads that were asked for.
    pub reloads: u32,
    /// The last start that somebody asked for: how it went, and what was said.
    pub last: Option<Load>,
    /// Workers that have died and were replaced.
    pub crashes: u32,
    /// A reload was asked for while one was running.
    pub asked_again: bool,
    /// Failures since the last one that went well.
    pub failed: u32,
    /// The worker before is to end at once when the one that is started serves.
    pub hard: bool,
    /// The same for the reload that is put off.
    pub hard_again: bool,
}

/// The start of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// It serves.
    pub ok: bool,
    /// What it said.
    pub log: String,
}

/// How the master ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everybody was told to end: wait for them.
    All,
    /// It ends alone; the worker serves on, and systemd keeps what it needs.
    Alone,
}

/// The master.
pub struct Master {
    /// The command line.
    pub args: Args,
    /// What it was called as.
    pub kind: Kind,
    /// Programs and their options.
    pub places: Places,
    /// The configuration, as of its last start.
    pub conf: Conf,
    /// The service manager.
    pub notify: Notify,
    /// Descriptors for workers.
    pub store: Store,
    /// Workers, the oldest first.
    pub workers: Vec<Worker>,
    /// Helper programs.
    pub programs: Vec<Program>,
    /// Those of former configurations, which were told to end.
    pub leaving_programs: Vec<Program>,
    /// How starts went.
    pub loads: Loads,
    /// The admin socket.
    pub cli: Cli,
    /// It ends.
    pub stop: Option<Stop>,
    /// The exit code.
    pub code: u8,
    /// Crashes of workers.
    pub crashes: Backoff,
    /// When a worker is to be started in place of one that has died.
    pub again_ns: Option<Ns>,
    /// The pid file.
    pub pidfile: Option<PidFile>,
    /// The process that has started this daemon waits at the other end for an exit code.
    pub parent: Option<PipeWriter>,
    /// Monotonic time of its first start.
    pub started_ns: Ns,
    signals: Signals,
    watchdog: Option<Duration>,
    next_watchdog_ns: Ns,
    next_extension_ns: Ns,
}

impl Master {
    /// A master that has done nothing yet.
    ///
    /// # Errors
    /// No signals can be received.
    pub fn new(args: Args, kind: Kind, places: Places, conf: Conf) -> Result<Master, Vec<String>> {
        let signals = Signals::new().map_err(|e| vec![format!("startup : signalfd: {}", e.desc())])?;
        let managed = kind != Kind::Plain;
        let notify = if managed { Notify::of_environment() } else { Notify::default() };
        let watchdog = notify::watchdog().filter(|_| notify.is_on());
        Ok(Master {
            args,
            kind,
            places,
            conf,
            notify,
            store: Store::default(),
            workers: Vec::new(),
            programs: Vec::new(),
            leaving_programs: Vec::new(),
            loads: Loads::default(),
            cli: Cli::default(),
            stop: None,
            code: 0,
            crashes: Backoff::new(FIRST_WAIT),
            again_ns: None,
            pidfile: None,
            parent: None,
            started_ns: mono().0,
            signals,
            watchdog,
            next_watchdog_ns: 0,
            next_extension_ns: 0,
        })
    }

    /// Take over what there is, and start the first worker: after a new start (`None`), or after a reload with what the
    /// image before this one has written.
    ///
    /// # Errors
    /// The pid file of a new one cannot be written, or its admin socket cannot be opened.
    pub fn begin(&mut self, restored: Option<Vec<Record>>) -> Result<(), Vec<String>> {
        crate::process::limits::raise_soft_limit();
        let is_new = restored.is_none();
        let why = if let Some(records) = restored {
            self.restore(&records);
            Why::Reload
        } else {
            self.take_back();
            if self.serving().is_some() { Why::Reload } else { Why::First }
        };
        match self.open_cli() {
            Ok(()) => {}
            Err(why) if is_new => return Err(vec![why]),
            // A service that runs does not end because of that.
            Err(why) => messages::warning(&why),
        }
        if let (Some(file), true) = (&self.pidfile, self.kind != Kind::Wrapper) {
            match file.write(std::process::id() as i32) {
                Err(lines) if is_new => return Err(lines),
                Err(lines) => lines.iter().for_each(|line| messages::warning(line)),
                Ok(()) => {}
            }
        }
        self.start_worker(why);
        Ok(())
    }

    /// The worker that accepts.
    pub fn serving(&self) -> Option<&Worker> {
        self.workers.iter().rev().find(|w| w.is_serving())
    }

    /// A worker by its process id.
    pub fn worker(&mut self, pid: i32) -> Option<&mut Worker> {
        self.workers.iter_mut().find(|w| w.pid == pid)
    }

    /// Run until the end; gives the exit code.
    pub fn run(mut self) -> u8 {
        loop {
            self.hear();
            self.reap();
            self.look_at_timers();
            self.serve_cli();
            if let Some(code) = self.end() {
                return code;
            }
            self.wait();
            while let Some(signal) = self.signals.read() {
                self.obey(signal);
            }
        }
    }

    /// Wait for signals, messages, and the next timer.
    pub fn wait(&self) {
        let now = mono().0;
        let next = self.timers().min().unwrap_or(Ns::MAX);
        let limit = Duration::from_nanos(next.saturating_sub(now)).min(TURN_MAX);
        // Rounded up: a turn too early would be followed by another one at once.
        let limit = PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let links = self.workers.iter().filter_map(|w| w.link.as_ref());
        let fds = std::iter::once(self.signals.as_fd()).chain(links.map(AsFd::as_fd));
        let fds = fds.map(|fd| (fd, PollFlags::POLLIN)).chain(self.cli.interests());
        let mut fds: Vec<PollFd<'_>> = fds.map(|(fd, flags)| PollFd::new(fd, flags)).collect();
        let _ = poll(&mut fds, limit);
    }

    fn timers(&self) -> impl Iterator<Item = Ns> {
        let workers = self.workers.iter().filter_map(|w| {
            let start = w.is_starting().then(|| w.started_ns.saturating_add(START_MAX.as_nanos() as Ns));
            start.into_iter().chain(w.kill_ns).min()
        });
        let programs = self.programs.iter().chain(&self.leaving_programs);
        let programs = programs.filter_map(|p| p.again_ns.into_iter().chain(p.kill_ns).min());
        let watchdog = self.watchdog.map(|_| self.next_watchdog_ns);
        let starts = self.notify.is_on() && self.workers.iter().any(Worker::is_starting);
        let extension = starts.then_some(self.next_extension_ns);
        let own = self.again_ns.into_iter().chain(watchdog).chain(extension).chain(self.cli.timer());
        workers.chain(programs).chain(own)
    }

    fn look_at_timers(&mut self) {
        let now = mono().0;
        if let Some(every) = self.watchdog.filter(|_| now >= self.next_watchdog_ns) {
            self.notify.send("WATCHDOG=1");
            self.next_watchdog_ns = now + every.as_nanos() as Ns;
        }
        // Large lists and slow names take time; START_MAX bounds it.
        if now >= self.next_extension_ns && self.workers.iter().any(Worker::is_starting) {
            self.next_extension_ns = now + EXTEND_EVERY.as_nanos() as Ns;
            if now > self.started_ns + EXTEND_EVERY.as_nanos() as Ns {
                self.notify.send(&format!("EXTEND_TIMEOUT_USEC={}", 3 * EXTEND_EVERY.as_micros()));
            }
        }
        for worker in &mut self.workers {
            let late = worker.is_starting() && now >= worker.started_ns + START_MAX.as_nanos() as Ns;
            if late || worker.kill_ns.is_some_and(|at| now >= at) {
                messages::warning(&format!("worker {} does not go on: it is killed", worker.pid));
                worker.kill_ns = Some(Ns::MAX);
                worker.signal(Signal::SIGKILL, now);
            }
        }
        if self.again_ns.is_some_and(|at| now >= at) {
            self.start_worker(Why::Replace);
        }
        self.look_at_programs(now);
    }

    fn obey(&mut self, signal: Signal) {
        match signal {
            Signal::SIGUSR2 | Signal::SIGHUP => self.reload(),
            Signal::SIGTERM if self.may_leave() => self.leave(),
            Signal::SIGTERM | Signal::SIGINT | Signal::SIGUSR1 => self.stop_all(signal),
            Signal::SIGTTOU | Signal::SIGTTIN | Signal::SIGQUIT => self.signal_workers(signal),
            _ => {}
        }
    }

    /// Pass a signal on to the workers.
    fn signal_workers(&mut self, signal: Signal) {
        let now = mono().0;
        self.workers.iter_mut().for_each(|w| w.signal(signal, now));
    }

    /// systemd keeps what the worker needs, and starts another master or closes the worker's channel, as it was told.
    fn may_leave(&self) -> bool {
        self.stop.is_none() && self.notify.keeps() && self.serving().is_some()
    }

    fn leave(&mut self) {
        let pid = self.serving().map_or(0, |w| w.pid);
        messages::notice(&format!(
            "SIGTERM: the master ends; worker {pid} ends when nobody takes over from it"
        ));
        self.stop = Some(Stop::Alone);
        self.notify.send("STOPPING=1\nSTATUS=The master ends.");
        let now = mono().0;
        // One that is not ready yet would end by itself, a moment later.
        self.workers.iter_mut().filter(|w| w.is_starting()).for_each(|w| w.signal(Signal::SIGTERM, now));
        self.signal_programs(Signal::SIGTERM);
    }

    /// Everybody ends: at once, or when their connections do.
    pub fn stop_all(&mut self, signal: Signal) {
        let name = signal.as_str();
        messages::notice(&format!("{name}: passed on to {} workers", self.workers.len()));
        if self.stop.is_none() {
            self.notify.send(&format!("STOPPING=1\nSTATUS=Stopping ({name})."));
        }
        self.stop = Some(Stop::All);
        self.again_ns = None;
        self.signal_workers(signal);
        self.signal_programs(signal);
    }

    /// The exit code, when there is nothing left to wait for.
    fn end(&mut self) -> Option<u8> {
        let programs = self.programs.iter().chain(&self.leaving_programs).filter(|p| p.pid > 0).count();
        let workers = match self.stop? {
            Stop::All => self.workers.len(),
            Stop::Alone => self.workers.iter().filter(|w| w.is_starting()).count(),
        };
        if workers + programs > 0 {
            return None;
        }
        // A worker that has obeyed SIGTERM is no failure for HAProxy's master; its old wrapper passes 143 on.
        let obeyed = self.code == 128 + Signal::SIGTERM as u8 && self.kind != Kind::Wrapper;
        let code = if obeyed { 0 } else { self.code };
        messages::notice(&format!("exit, code {code}"));
        self.tell_parent(code);
        self.notify.barrier();
        Some(code)
    }

    /// Tell the process that has started this daemon how the start went.
    pub fn tell_parent(&mut self, code: u8) {
        if let Some(mut parent) = self.parent.take() {
            let _ = parent.write_all(&[code]);
        }
    }

    /// Read what workers say.
    fn hear(&mut self) {
        let pids: Vec<i32> = self.workers.iter().map(|w| w.pid).collect();
        for pid in pids {
            self.hear_one(pid, MESSAGES_MAX);
        }
    }

    /// For the next image.
    pub fn save(&self) -> Vec<Record> {
        let loads = &self.loads;
        let (ok, log) = loads.last.as_ref().map_or((true, ""), |load| (load.ok, load.log.as_str()));
        let master = Record::new("master").with(loads.reloads).with(self.started_ns);
        let master = master.with(u8::from(ok)).with(log).with(loads.crashes);
        let mut records = vec![master.with(loads.failed).with(u8::from(loads.hard))];
        self.store.save(&mut records);
        records.extend(self.workers.iter().filter_map(Worker::save));
        let current = self.programs.iter().map(|p| (p, false));
        let programs = current.chain(self.leaving_programs.iter().map(|p| (p, true)));
        records.extend(
            programs.filter(|(p, _)| p.pid > 0 || p.again_ns.is_some()).map(|(p, leaving)| p.save(leaving)),
        );
        self.cli.save(&mut records);
        records
    }

    /// Every descriptor that [`Master::save`] names.
    pub fn saved_fds(&self) -> Vec<BorrowedFd<'_>> {
        let links = self.workers.iter().filter_map(|w| w.link.as_ref()).map(AsFd::as_fd);
        let mut all: Vec<BorrowedFd<'_>> = self.store.iter().map(|(_, fd)| fd.as_fd()).chain(links).collect();
        self.cli.saved_fds(&mut all);
        all
    }

    fn restore(&mut self, records: &[Record]) {
        for record in records {
            match record.kind() {
                "master" => {
                    self.loads.reloads = record.number(1).unwrap_or(0);
                    self.started_ns = record.number(2).unwrap_or(self.started_ns);
                    let ok = record.number::<u8>(3) != Some(0);
                    self.loads.crashes = record.number(5).unwrap_or(0);
                    self.loads.last = Some(Load { ok, log: record.text(4).to_owned() });
                    self.loads.failed = record.number(6).unwrap_or(0);
                    self.loads.hard = record.number::<u8>(7) == Some(1);
                }
                "store" => {
                    if let Some(fd) = record.fd(1) {
                        self.store.restore(record.text(2).to_owned(), fd);
                    }
                }
                "worker" => self.workers.extend(Worker::restore(record)),
                "program" => match Program::restore(record) {
                    Some((program, true)) => self.leaving_programs.push(program),
                    Some((program, false)) => self.programs.push(program),
                    None => {}
                },
                _ => self.cli.restore(record),
            }
        }
    }

    /// What the service manager has kept for a master before this one, and the sockets that it has opened itself.
    fn take_back(&mut self) {
        let mut serving = None;
        for (n, (name, fd)) in notify::passed().into_iter().enumerate() {
            if cli::is_key(&name) {
                self.cli.take_back(name, fd);
                continue;
            }
            match (worker::of_key(&name), notify::origin(&name, &fd)) {
                (Some((pid, leaving)), _) => {
                    let phase = if leaving { Phase::Leaving } else { Phase::Serving };
                    self.workers.push(Worker::of_before(pid, fd, phase));
                    if !leaving {
                        serving = Some(pid);
                    }
                }
                (None, notify::Origin::Store) => self.store.restore(name, fd),
                (None, notify::Origin::Activation) => {
                    self.store.restore(keys::key(&["socket", &name, &n.to_string()]), fd);
                }
            }
        }
        if let Some(pid) = serving {
            messages::notice(&format!(
                "worker {pid} has served without a master: another one takes over from it; {} descriptors were kept",
                self.store.count()
            ));
        }
    }
}

/// Execute it anew: gives why it could not.
pub fn execute_anew(master: &Master) -> std::io::Error {
    let places = &master.places;
    state::execute(&places.own, &places.words, &master.save(), &master.saved_fds())
}
