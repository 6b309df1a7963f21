//! From a checked configuration to running threads.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;

use super::args::Args;
use super::bind::{self, Sockets};
use super::control::{Control, End, Signals, mono, wall};
use super::handover::Receivers;
use super::heirs::Heirs;
use super::inherit::{Held, Inherited};
use super::load::Ready;
use super::segments::Adopter;
use super::state::{self, Keeper, Legacy, Restored};
use super::worker::{self, Arrivals, Load, Start};
use super::{daemon, limits, messages, privileges, segments, version};
use crate::acl::PatternLists;
use crate::cli;
use crate::config::Tables;
use crate::proxy::check::{self, Watch};
use crate::proxy::global::{DescriptorNeeds, ProcessLimits};
use crate::proxy::live::{Configured, Since};
use crate::proxy::queue::Queues;
use crate::proxy::{GlobalConf, Live, SavedStates, Snapshot};
use crate::runtime::{self, Builder, Config, ThreadHandle};
use crate::stream::Shared;

/// Run it until its end.
pub fn start(args: &Args, ready: Ready, inherited: Inherited) -> ExitCode {
    match prepare(args, ready, inherited) {
        Ok(Prepared::Parent) => ExitCode::SUCCESS,
        Ok(Prepared::Run(running)) => running.until_the_end(),
        Err(lines) => {
            lines.iter().for_each(|l| messages::alert(l));
            ExitCode::FAILURE
        }
    }
}

/// What [`prepare`] ends with.
enum Prepared {
    /// This is the process that was started; the daemon runs on its own.
    Parent,
    /// This one runs.
    Run(Box<Running>),
}

struct Running {
    control: Control,
    signals: Signals,
}

/// One line as the only error.
fn one(line: impl Into<String>) -> Vec<String> {
    vec![line.into()]
}

fn prepare(args: &Args, ready: Ready, mut inherited: Inherited) -> Result<Prepared, Vec<String>> {
    let Ready { snapshot, global, admin, env, lists, tables, sources, demo, saved } = ready;
    if !super::load::listens(&snapshot, &admin) {
        return Err(one(
            "startup : nothing to listen on: no enabled proxy has a 'bind' line, and there is no 'stats socket'",
        ));
    }
    runtime::probe().map_err(one)?;
    let threads = thread_count(&global);
    let ids = privileges::look_up(&global).map_err(one)?;
    inherited.exposes = admin.iter().any(cli::SocketConf::exposes);
    let reuseport = !args.no_reuseport;
    let bound = bind::all(&snapshot, &admin, (threads, reuseport), &sources, &mut inherited);
    let mut sockets = bound.map_err(|mut lines| {
        lines.push("startup : not every address could be bound, nothing was started".to_owned());
        lines
    })?;
    if let Some(demo) = &demo {
        let _ = std::io::stdout().lock().write_all(demo.announcement().as_bytes());
    }
    let needs = needs(&snapshot, &global, &sockets, threads);
    let limits = limits::apply(&global, args, needs).map_err(one)?;
    crate::net::limit_pipes(limits::pipes(&global, &limits));
    let daemon = (args.daemon || global.process.daemon)
        && !(args.debug || args.foreground || args.foreground_service || global.process.debug);
    // Under a master, it is the master that goes there.
    let background = daemon && inherited.link.is_none();
    // What runs in a terminal has no pid file, as in HAProxy: trying a configuration out with -db must not touch
    // that of the service.
    let managed = background || args.foreground_service || args.master_worker || args.master_worker_notify;
    let pidfile = if managed { daemon::PidFile::open(args, &global)? } else { None };
    let (began, begins) = std::io::pipe().map_err(|e| one(format!("startup : no pipe: {e}")))?;
    let terminal = if daemon { Some(daemon::null().map_err(one)?) } else { None };
    let side = if background { daemon::fork().map_err(one)? } else { daemon::Side::Daemon };
    // The parent writes the daemon's id: a script that has started us finds it when we return, and somebody who serves.
    if let daemon::Side::Parent(child) = side {
        std::mem::drop(begins);
        daemon::await_child(began)?;
        pidfile.map_or(Ok(()), |file| file.write(child))?;
        return Ok(Prepared::Parent);
    }
    if let (Some(file), false) = (&pidfile, background) {
        file.write(nix::unistd::getpid().as_raw())?;
    }
    if privileges::changes(&global, ids) {
        sockets.take_paths().map_err(one)?;
    }
    privileges::drop(&global, ids).map_err(one)?;
    let signals = Signals::new().map_err(|e| one(format!("startup : signalfd: {}", e.desc())))?;
    let (env, lists, tables, saved) = (&env, &lists, &tables, &saved);
    let facts = Facts { args, global: &global, limits, threads, env, lists, tables, saved };
    let predecessor = inherited.predecessor_again().map_err(|e| one(format!("startup : {e}")))?;
    let (mut control, peers) = launch(snapshot, &sockets, demo, &facts, &mut inherited)?;
    control.await_threads()?;
    // From here on clients may come: nothing that could fail is left.
    control.open(sockets.listen(&mut inherited).map_err(one)?, peers);
    control
        .ready(&mut inherited, predecessor)
        .map_err(|e| one(format!("startup : the master does not listen: {e}")))?;
    terminal.map_or(Ok(()), daemon::leave_terminal_for).map_err(one)?;
    let _ = (&begins).write_all(b"!");
    daemon::signal_old(args);
    Ok(Prepared::Run(Box::new(Running { control, signals })))
}

/// One thread for each usable CPU, unless `nbthread` says otherwise.
fn thread_count(global: &GlobalConf) -> usize {
    let wanted = global.process.nbthread.unwrap_or_else(|| usable_cpus().len());
    let hard = global.process.thread_hard_limit.unwrap_or(usize::MAX);
    wanted.min(hard).clamp(1, crate::base::limits::MAX_THREADS)
}

/// The CPUs of the process's affinity mask.
fn usable_cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|c| set.is_set(*c).unwrap_or(false)).collect();
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Which CPUs a thread runs on: what `cpu-map` says, else one of the usable ones when there are enough.
fn cpus_of(thread: usize, threads: usize, global: &GlobalConf, usable: &[usize]) -> Vec<usize> {
    let count = usable.iter().max().map_or(1, |m| m + 1);
    let map = &global.process.cpu_map;
    if let Some(cpus) = map.cpus(thread, threads, global.process.thread_groups, count) {
        return cpus;
    }
    if map.is_empty() && threads <= usable.len() { vec![usable[thread]] } else { Vec::new() }
}

/// Each thread's runtime, and the CPUs it runs on.
fn builders(threads: usize, global: &GlobalConf) -> (Vec<Builder>, Vec<Vec<usize>>) {
    let usable = usable_cpus();
    let cpus: Vec<Vec<usize>> = (0..threads).map(|t| cpus_of(t, threads, global, &usable)).collect();
    let builder = |(index, cpus): (usize, &Vec<usize>)| {
        let cpu = if let [cpu] = cpus.as_slice() { Some(*cpu) } else { None };
        Builder::new(index, Config { cpu, buf_size: global.tune.bufsize, ..Config::default() })
    };
    (cpus.iter().enumerate().map(builder).collect(), cpus)
}

fn needs(snapshot: &Snapshot, global: &GlobalConf, sockets: &Sockets, threads: usize) -> DescriptorNeeds {
    let servers = snapshot.proxies.iter().filter_map(|p| p.backend.as_ref()).flat_map(|b| &b.servers);
    let splice = snapshot.proxies.iter().any(|p| {
        let s = p.conn.splice;
        s.auto || s.request || s.response
    });
    DescriptorNeeds {
        threads,
        // Those that others may ask for are open twice.
        listeners: sockets.count() * (1 + usize::from(sockets.admin().any(cli::SocketConf::exposes))),
        checks: servers.filter(|s| s.check.enabled == Some(true)).count(),
        admin: if sockets.admin().len() == 0 { 0 } else { global.stats.maxconn },
        splice: splice && !global.tune.no_splice,
        hard_limit: limits::hard_limit(),
    }
}

/// What is known when the threads are started.
struct Facts<'a> {
    args: &'a Args,
    global: &'a GlobalConf,
    limits: ProcessLimits,
    threads: usize,
    env: &'a crate::config::Env,
    lists: &'a Arc<PatternLists>,
    tables: &'a Arc<Tables>,
    saved: &'a SavedStates,
}

/// Starts the threads. They serve nothing yet.
fn launch(
    snapshot: Snapshot,
    sockets: &Sockets,
    demo: Option<super::demo::Servers>,
    facts: &Facts<'_>,
    inherited: &mut Inherited,
) -> Result<(Control, Vec<crate::peers::Prepared>), Vec<String>> {
    let global = facts.global;
    let snapshot = Arc::new(snapshot);
    let live = Arc::new(Live::new(&snapshot, facts.threads));
    let now = mono().0;
    live.servers.iter().for_each(|s| s.changed_ns.store(now, Relaxed));
    live.backends.iter().for_each(|b| b.changed_ns.store(now, Relaxed));
    let queues = Queues::new(snapshot.clone(), live.clone());
    let tables = segments::open(&snapshot, facts.threads, inherited)
        .map_err(|e| vec![format!("cannot make the stick tables: {e}")])?;
    let shared = Shared::with_tables(snapshot, live, queues, facts.limits.maxconn, tables);
    let (builders, cpus) = builders(facts.threads, global);
    let handles: Vec<ThreadHandle> = builders.iter().map(Builder::handle).collect();
    let watch = watch_over(&shared, &handles);
    let carried = Carried::restore(&shared, &watch, facts, inherited)?;
    let heirs = inherited.exposes.then(Heirs::new).transpose();
    let (heirs, sessions) = heirs.map_err(|e| one(format!("startup : no channel: {e}")))?.unzip();
    let context = admin_context(&shared, &watch, &carried, &handles, sockets, facts);
    let context = Arc::new(cli::Context { heirs: sessions, ..context });
    let keeper = carried.keeper(watch, inherited);
    let dealers = Arc::new(AtomicUsize::new(sockets.dealers()));
    let loads: Arc<[Load]> = (0..facts.threads).map(|_| Load::default()).collect();
    // No thread ends before there is something that takes connections over.
    let arrivals = || Arrivals::new(handles.clone(), dealers.clone(), loads.clone(), shared.clone());
    let predecessor = inherited.predecessor.take().map(|(_, channel)| (channel, arrivals()));
    let prepared =
        crate::peers::prepare(&shared.snapshot.peers, &shared.snapshot.tables, &shared.stick, facts.threads);
    let mut demo = demo;
    let mut joins = Vec::new();
    for (builder, cpus) in builders.into_iter().zip(cpus) {
        let start = Start {
            index: joins.len(),
            shared: shared.clone(),
            threads: handles.clone(),
            dealers: dealers.clone(),
            loads: loads.clone(),
            admin_context: context.clone(),
            demo: demo.take(),
        };
        joins.push(spawn(builder, start, cpus).map_err(|e| one(format!("cannot start a thread: {e}")))?);
    }
    let receivers = predecessor.map(|(channel, arrivals)| Receivers::take_all(channel, &shared, arrivals));
    let control = Control {
        adopter: Adopter::new(shared.stick.clone()),
        keeper,
        shared,
        handles,
        joins,
        hard_stop_after: global.process.hard_stop_after,
        grace: global.process.grace,
        admin: context,
        link: inherited.link.clone(),
        receivers: receivers.transpose().map_err(|e| one(format!("cannot take connections over: {e}")))?,
        successor: None,
        fates: Vec::new(),
        held: Held::new(),
        heirs,
    };
    Ok((control, prepared))
}

/// Who hears of changes of servers.
fn watch_over(shared: &Arc<Shared>, handles: &[ThreadHandle]) -> Arc<Watch> {
    let report = super::report::ProcessReport::new(shared.clone(), handles.to_vec());
    let (snapshot, live, queues) = (shared.snapshot.clone(), shared.live.clone(), shared.queues.clone());
    let watch = Arc::new(Watch::new(snapshot, live, queues, Box::new(report)));
    check::prepare(&watch);
    watch
}

fn spawn(
    builder: Builder,
    start: Start,
    cpus: Vec<usize>,
) -> std::io::Result<JoinHandle<Result<(), String>>> {
    std::thread::Builder::new().name(format!("haring/{}", start.index + 1)).spawn(move || {
        if cpus.len() > 1 {
            let mut set = CpuSet::new();
            // Best effort: a CPU may not exist, or be offline.
            for cpu in cpus {
                let _ = set.set(cpu);
            }
            let _ = sched_setaffinity(Pid::from_raw(0), &set);
        }
        builder.run(worker::run(start)).map_err(|e| e.to_string())
    })
}

fn host_name() -> String {
    nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Live state that was carried over from the process before this one, and what it takes to carry it on.
struct Carried {
    started: Since,
    conf: Configured,
    restored: Restored,
    changed: Arc<EventFd>,
}

impl Carried {
    fn restore(
        shared: &Shared,
        watch: &Watch,
        facts: &Facts<'_>,
        inherited: &mut Inherited,
    ) -> Result<Carried, Vec<String>> {
        let global = &facts.global.limits;
        let conf = Configured {
            maxconn: u32::try_from(facts.limits.maxconn).unwrap_or(u32::MAX),
            maxconnrate: global.maxconnrate.unwrap_or(0),
            maxsessrate: global.maxsessrate.unwrap_or(0),
        };
        let started = Since { mono: mono(), wall: wall() };
        let legacy = Legacy::of(inherited);
        let restored = legacy.restore(&shared.live, &shared.snapshot, &watch.notes, conf, started);
        // Who names a file means that.
        facts.saved.apply(&shared.live, &shared.snapshot, started.mono);
        // Rates begin now.
        shared.live.tick(started.mono.0);
        let changed = state::notice().map_err(|e| one(format!("startup : eventfd: {e}")))?;
        Ok(Carried { started, conf, restored, changed })
    }

    fn keeper(self, watch: Arc<Watch>, inherited: &mut Inherited) -> Keeper {
        Keeper::new(watch.live.clone(), watch, self.conf, self.restored, self.changed, inherited)
    }
}

fn admin_context(
    shared: &Arc<Shared>,
    watch: &Arc<Watch>,
    carried: &Carried,
    threads: &[ThreadHandle],
    sockets: &Sockets,
    facts: &Facts<'_>,
) -> cli::Context {
    let changed = carried.changed.clone();
    cli::Context {
        snapshot: shared.snapshot.clone(),
        live: shared.live.clone(),
        captures: shared.captures.clone(),
        stick: shared.stick.clone(),
        watch: watch.clone(),
        // When its number is full, there is something to read.
        on_change: Box::new(move || _ = changed.write(1)),
        threads: threads.to_vec(),
        lists: facts.lists.clone(),
        tables: facts.tables.clone(),
        facts: cli::ProcessFacts {
            version: version::VERSION.to_owned(),
            release_date: version::RELEASE_DATE,
            pid: std::process::id(),
            threads: facts.threads,
            limits: facts.limits,
            started: carried.started.mono,
            since: carried.restored.since.mono,
            since_wall: carried.restored.since.wall,
            node: facts.global.node.clone().unwrap_or_else(host_name),
            description: facts.global.description.clone(),
            maxconnrate: facts.global.limits.maxconnrate.unwrap_or(0),
            maxsessrate: facts.global.limits.maxsessrate.unwrap_or(0),
            memory_max_mb: facts.args.memory.unwrap_or(0),
            env: facts.env.clone(),
            sockets: sockets.admin().map(|conf| (conf.addr.to_string(), conf.level)).collect(),
            listeners: sockets.count(),
        },
        timeout: facts.global.stats.timeout,
        maxconn: facts.global.stats.maxconn,
        heirs: None,
    }
}

impl Running {
    fn until_the_end(self) -> ExitCode {
        let end = self.control.run(&self.signals);
        let _ = std::io::stderr().lock().flush();
        match end {
            End::Finished => ExitCode::SUCCESS,
            End::Broken => ExitCode::FAILURE,
            End::Signal(signal) => crate::sys::process::die_of(signal),
        }
    }
}
