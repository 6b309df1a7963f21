//! A worker thread: its listeners, its share of the checks, its end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::Poll;
use std::time::Duration;

use super::bind::{AdminBound, Bound};
use super::demo;
use super::pool::Fate;
use crate::net::{Channel, Listener, SockAddr, Socket};
use crate::proxy::live::FrontendMode;
use crate::proxy::{ListenerId, ServerId};
use crate::runtime::{self, Notify, ThreadHandle};
use crate::stream::handover::{self, Arrival, Successor};
use crate::stream::termination::Cause;
use crate::stream::{self, Shared, Worker};
use crate::{cli, peers};

/// What a thread is started with.
pub struct Start {
    /// Its number.
    pub index: usize,
    /// Everything about the configuration.
    pub shared: Arc<Shared>,
    /// The handles of all threads, for dealing out.
    pub threads: Vec<ThreadHandle>,
    /// Listeners of all threads that deal their connections out and are open.
    pub dealers: Arc<AtomicUsize>,
    /// Connections that run on each thread.
    pub loads: Arc<[Load]>,
    /// What the admin sockets' commands act on.
    pub admin_context: Arc<cli::Context>,
    /// The demonstration's servers.
    pub demo: Option<demo::Servers>,
}

/// What a thread listens on.
pub struct Listening {
    /// Sockets for clients.
    pub bound: Vec<Bound>,
    /// Admin sockets.
    pub admin: Vec<AdminBound>,
    /// The peers sections and their listeners, on the thread that runs them.
    pub peers: Option<Peers>,
}

/// The peers sections, and their listeners by the section's position.
pub struct Peers {
    /// The sections.
    pub sections: Vec<peers::Prepared>,
    /// Position and socket.
    pub listeners: Vec<(usize, OwnedFd)>,
}

/// How many connections run on a thread; on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
pub struct Load(AtomicUsize);

/// This thread's state, for what other threads post to it.
struct Local {
    worker: Rc<Worker>,
    threads: Vec<ThreadHandle>,
    dealers: Arc<AtomicUsize>,
    /// Connections that run on each thread, or are on their way to it.
    loads: Arc<[Load]>,
    /// Accept loops that have not ended.
    listening: Cell<usize>,
    stopping: Cell<bool>,
    halted: Cell<bool>,
    paused: Cell<bool>,
    /// Any of the above changed.
    changed: Notify,
    /// What the admin sockets' commands act on.
    admin: Arc<cli::Context>,
    /// This process does not serve the admin sockets any more.
    left: Notify,
}

impl Local {
    /// Nothing is left to do on this thread.
    fn is_over(&self) -> bool {
        let idle = self.sessions() == 0 && self.listening.get() == 0 && peers::is_over();
        // Another thread may still deal a connection to this one.
        self.halted.get() || (self.stopping.get() && idle && self.dealers.load(SeqCst) == 0)
    }
}

/// Something to do with this thread's state.
type Early = Box<dyn FnOnce(&Rc<Local>)>;

impl Local {
    /// Connections that run on this thread.
    fn sessions(&self) -> usize {
        self.loads[runtime::thread_index()].0.load(Relaxed)
    }

    /// The one with the fewest connections among some threads; this one unless another has less to do, so that clients
    /// who come one after the other find the server connections that they left.
    fn least_loaded(&self, among: &[usize]) -> usize {
        least_loaded(&self.loads, among.iter().copied(), runtime::thread_index())
    }

    fn stop(&self) {
        self.stopping.set(true);
        peers::stop();
        self.changed.notify_all();
    }
}

fn least_loaded(loads: &[Load], among: impl Iterator<Item = usize>, preferred: usize) -> usize {
    let load = |i: usize| loads[i].0.load(Relaxed);
    among.fold(preferred, |best, i| if load(i) < load(best) { i } else { best })
}

/// The way for connections of a predecessor to the threads. No thread ends as long as this lives.
pub struct Arrivals {
    threads: Vec<ThreadHandle>,
    dealers: Arc<AtomicUsize>,
    loads: Arc<[Load]>,
    shared: Arc<Shared>,
}

impl Arrivals {
    /// Made before the threads are started.
    pub fn new(
        threads: Vec<ThreadHandle>,
        dealers: Arc<AtomicUsize>,
        loads: Arc<[Load]>,
        shared: Arc<Shared>,
    ) -> Arrivals {
        dealers.fetch_add(1, SeqCst);
        Arrivals { threads, dealers, loads, shared }
    }

    /// The process has as many connections as it may have, counting those on their way to a thread.
    pub fn are_full(&self) -> bool {
        let configured = u32::try_from(self.shared.settings.maxconn).unwrap_or(u32::MAX);
        let limit = self.shared.live.process.maxconn.get(configured) as usize;
        limit > 0 && self.loads.iter().map(|l| l.0.load(Relaxed)).sum::<usize>() >= limit
    }

    /// Gives a connection to the thread that has the fewest.
    pub fn post(&self, arrival: Arrival) {
        let thread = least_loaded(&self.loads, 0..self.loads.len(), 0);
        self.loads[thread].0.fetch_add(1, Relaxed);
        self.threads[thread].post(Box::new(move || with_local(move |local| go_on(local, arrival))));
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.dealers.fetch_sub(1, SeqCst);
        for thread in &self.threads {
            thread.post(Box::new(look_again));
        }
    }
}

/// A predecessor's connection goes on here.
fn go_on(local: &Rc<Local>, arrival: Arrival) {
    let session = Session { local: local.clone() };
    match handover::adopt(local.worker.clone(), arrival) {
        Ok(served) => {
            runtime::spawn(async move {
                served.await;
                drop(session);
            });
        }
        Err(error) => {
            super::messages::warning(&format!("a connection of the predecessor was closed: {error}"))
        }
    }
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
    static EARLY: RefCell<Vec<Early>> = const { RefCell::new(Vec::new()) };
}

/// Do something with this thread's state. What other threads post may come before this one has begun: it waits until
/// then. (A connection that was dealt out by a faster thread was lost otherwise.)
fn with_local(f: impl FnOnce(&Rc<Local>) + 'static) {
    match LOCAL.with_borrow(Clone::clone) {
        Some(local) => f(&local),
        None => EARLY.with_borrow_mut(|all| all.push(Box::new(f))),
    }
}

/// Do this when the thread has begun.
pub fn when_started(f: impl FnOnce() + 'static) {
    with_local(move |_| f());
}

/// Stop accepting on this thread; it ends when its last connection does.
pub fn stop() {
    with_local(|local| {
        local.worker.stop();
        local.stop();
    });
}

/// The same, and connections that carry nothing go to the successor.
pub fn stop_for(successor: Arc<Successor>) {
    with_local(|local| {
        local.worker.stop_for(successor);
        local.stop();
    });
}

/// End this thread now, with everything that runs on it.
pub fn halt() {
    with_local(|local| {
        local.halted.set(true);
        local.changed.notify_all();
    });
}

/// End this thread's sessions on a server.
pub fn shut_sessions(server: ServerId, cause: Cause) {
    with_local(move |local| {
        local.worker.shut_sessions(server, cause);
    });
}

/// Limits or frontends were changed: see what may be accepted now.
pub fn look_again() {
    with_local(|local| local.changed.notify_all());
}

/// Stop accepting for a while, or go on.
pub fn pause(paused: bool) {
    with_local(move |local| {
        local.paused.set(paused);
        local.changed.notify_all();
    });
}

/// The life of a thread: returns when it was stopped and its last connection has ended.
pub async fn run(start: Start) {
    let worker = Worker::new(start.index, start.shared);
    crate::log::batch_on_this_thread();
    runtime::at_turn_end(crate::log::flush);
    let local = Rc::new(Local {
        worker,
        threads: start.threads,
        dealers: start.dealers,
        loads: start.loads,
        listening: Cell::new(0),
        stopping: Cell::new(false),
        halted: Cell::new(false),
        paused: Cell::new(false),
        changed: Notify::new(),
        admin: start.admin_context.clone(),
        left: Notify::new(),
    });
    LOCAL.set(Some(local.clone()));
    for early in EARLY.take() {
        early(&local);
    }
    crate::proxy::check::start(&start.admin_context.watch, start.index, local.threads.len());
    if local.worker.has_tables() {
        runtime::spawn(maintain_tables(local.clone()));
    }
    if let Some(servers) = start.demo {
        servers.spawn(&start.admin_context);
    }
    while !local.is_over() {
        local.changed.notified().await;
    }
    let until = runtime::now() + ADMIN_END;
    while cli::open_sessions() > 0 && !local.halted.get() && runtime::now() < until {
        first(local.changed.notified(), runtime::sleep(DRAIN)).await;
    }
    peers::forget();
    crate::log::flush();
    LOCAL.set(None);
}

/// Time that the admin socket's clients have for an answer when nothing else is left to do.
const ADMIN_END: Duration = Duration::from_secs(1);

/// How often expired entries of stick tables are collected, and records handed to threads that ask for some.
const TABLES_INTERVAL: Duration = Duration::from_millis(50);

/// Collects expired entries of stick tables, as long as the thread runs.
async fn maintain_tables(local: Rc<Local>) {
    loop {
        runtime::sleep_until(runtime::now() + TABLES_INTERVAL).await;
        local.worker.maintain_tables();
    }
}

/// Begin to serve, once every thread of the process has begun.
pub fn open(listening: Listening) {
    with_local(move |local| {
        let Listening { bound, admin: admin_sockets, peers } = listening;
        local.listening.set(local.listening.get() + bound.len() + admin_sockets.len());
        for bound in bound {
            runtime::spawn(listen(local.clone(), bound));
        }
        for bound in admin_sockets {
            runtime::spawn(admin(local.clone(), bound));
        }
        if let Some(Peers { sections, listeners }) = peers {
            let local = Rc::downgrade(local);
            peers::start(sections, listeners, move || {
                if let Some(local) = local.upgrade() {
                    local.changed.notify_all();
                }
            });
        }
    });
}

/// Accept no more connections to the admin sockets of this thread.
pub fn leave_admin() {
    with_local(|local| local.left.notify_all());
}

async fn admin(local: Rc<Local>, bound: AdminBound) {
    match Listener::from_fd(bound.fd) {
        Ok(listener) => serve_admins(&local, &listener, &bound.conf, &bound.fate).await,
        Err(error) => super::messages::alert(&format!("admin socket: {error}")),
    }
    local.listening.set(local.listening.get() - 1);
    local.changed.notify_all();
}

/// Serves until the process stops, and then those who have come by then.
async fn serve_admins(local: &Rc<Local>, listener: &Listener, conf: &cli::SocketConf, fate: &Fate) {
    let context = local.admin.clone();
    first(local.left.notified(), cli::serve(listener, conf, context.clone())).await;
    let access = cli::Access::from(conf.level);
    let serve = |socket, _| {
        runtime::spawn(cli::serve_one(socket, access, context.clone()));
    };
    stop_accepting(listener, serve).await;
    if fate.is_alone() {
        listener.shut();
    }
}

/// Serve one connection as the admin socket does. On the thread that serves those.
pub fn serve_admin(fd: OwnedFd, access: cli::Access, context: Arc<cli::Context>) {
    when_started(move || match Socket::from_fd(fd) {
        Ok(socket) => {
            runtime::spawn(cli::serve_one(socket, access, context));
        }
        Err(error) => super::messages::warning(&format!("from the master: {error}")),
    });
}

/// What wakes an accept loop.
enum Event {
    Connection(Socket, SockAddr),
    /// Look around: stopping, pausing, room.
    Changed,
    Dead,
}

async fn listen(local: Rc<Local>, bound: Bound) {
    let (id, dealt) = (bound.id, bound.dealt.as_deref());
    let done = if bound.is_pair {
        receive_loop(&local, bound.fd, id, dealt).await
    } else {
        match Listener::from_fd(bound.fd) {
            Ok(listener) => {
                accept_loop(&local, &listener, id, dealt).await;
                if local.stopping.get() && bound.fate.is_alone() {
                    empty(&local, &listener, id).await;
                } else {
                    drain(&local, &listener, id).await;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    };
    if let Err(error) = done {
        super::messages::alert(&format!("listening socket {}: {error}", bound.fate.key));
    }
    if dealt.is_some() {
        local.dealers.fetch_sub(1, SeqCst);
        for thread in &local.threads {
            thread.post(Box::new(|| with_local(|local| local.changed.notify_all())));
        }
    }
    local.listening.set(local.listening.get() - 1);
    local.changed.notify_all();
}

/// Serves the connections that come over a connected Unix socket (`sockpair@`), in messages with a descriptor each.
async fn receive_loop(
    local: &Rc<Local>,
    fd: OwnedFd,
    id: ListenerId,
    dealt: Option<&[usize]>,
) -> std::io::Result<()> {
    let channel = Channel::from_fd(fd.try_clone()?);
    let socket = Socket::from_fd(fd)?;
    while !local.stopping.get() && local.worker.frontend_state(id) != FrontendMode::Shut {
        if local.worker.frontend_state(id) == FrontendMode::Paused || room(local, id) == 0 {
            let news = first(local.worker.room().notified(), local.changed.notified());
            first(runtime::sleep(LOOK_AGAIN), news).await;
            continue;
        }
        match channel.receive() {
            Ok(Some(packet)) => {
                for socket in packet.fds.into_iter().filter_map(|fd| Socket::from_fd(fd).ok()) {
                    let Ok(peer) = socket.peer_addr() else { continue };
                    let thread = dealt.map_or_else(runtime::thread_index, |among| local.least_loaded(among));
                    hand_over(local, thread, id, socket, peer);
                }
            }
            Ok(None) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // What it knows of before this is out of date.
                socket.resume_recv();
                std::future::poll_fn(|cx| socket.poll_pause_recv(cx)).await;
                let readable = async { drop(std::future::poll_fn(|cx| socket.poll_readable(cx)).await) };
                first(readable, local.changed.notified()).await;
            }
            // More descriptors than one: it is lost, the next one is not.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn accept_loop(local: &Rc<Local>, listener: &Listener, id: ListenerId, dealt: Option<&[usize]>) {
    loop {
        if local.stopping.get() {
            return;
        }
        match local.worker.frontend_state(id) {
            FrontendMode::Open => {}
            FrontendMode::Paused => {
                stand_aside(local, listener, id).await;
                continue;
            }
            FrontendMode::Shut => {
                drain(local, listener, id).await;
                // Other processes may hold it: nobody may wait in its queue for ever.
                listener.shut();
                return;
            }
        }
        listener.set_room(room(local, id));
        if room(local, id) == 0 {
            wait_for_room(local, listener, id).await;
            continue;
        }
        match event(local, listener).await {
            Event::Dead => return,
            Event::Changed => {}
            Event::Connection(socket, peer) => {
                // Asked for while there was room: another thread may have taken the last place since.
                if room(local, id) == 0 {
                    wait_for_room(local, listener, id).await;
                }
                let thread = dealt.map_or_else(runtime::thread_index, |among| local.least_loaded(among));
                hand_over(local, thread, id, socket, peer);
            }
        }
    }
}

/// How many more connections may come in now.
fn room(local: &Local, id: ListenerId) -> u32 {
    if local.paused.get() { 0 } else { stream::room(&local.worker.view(), id) }
}

/// Accepts nothing until there is room, or the frontend is disabled, or the thread stops.
async fn wait_for_room(local: &Local, listener: &Listener, id: ListenerId) {
    listener.pause();
    let open = || local.worker.frontend_state(id) == FrontendMode::Open;
    while room(local, id) == 0 && open() && !local.stopping.get() {
        let news = first(local.worker.room().notified(), local.changed.notified());
        first(runtime::sleep(LOOK_AGAIN), news).await;
    }
    listener.set_room(room(local, id));
    listener.resume();
}

/// `disable frontend`: the port is released, so that another process may have it, until the frontend is enabled again
/// or the thread stops. Sockets without a port just stop accepting.
async fn stand_aside(local: &Rc<Local>, listener: &Listener, id: ListenerId) {
    drain(local, listener, id).await;
    let released = listener.release();
    let waits = || local.worker.frontend_state(id) == FrontendMode::Paused && !local.stopping.get();
    while waits() {
        local.changed.notified().await;
    }
    if released
        && !local.stopping.get()
        && let Err(error) = listener.listen_again()
    {
        let view = local.worker.view();
        let name = &view.proxy_of(id).name;
        super::messages::alert(&format!("frontend '{name}': cannot listen again: {error}"));
    }
    listener.resume();
}

/// How long a full thread waits for other threads' connections to end before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

async fn event(local: &Rc<Local>, listener: &Listener) -> Event {
    let mut changed = pin!(local.changed.notified());
    std::future::poll_fn(|cx| {
        match listener.poll_accept(cx) {
            Poll::Ready(Ok((socket, peer))) => return Poll::Ready(Event::Connection(socket, peer)),
            Poll::Ready(Err(_)) => return Poll::Ready(Event::Dead),
            Poll::Pending => {}
        }
        changed.as_mut().poll(cx).map(|()| Event::Changed)
    })
    .await
}

/// Time that is left for connections which the kernel had given us when accepting stopped.
const DRAIN: Duration = Duration::from_millis(5);

/// How long nobody may have come before a queue is taken for empty: who was answered before new clients were turned
/// away may be a slow acknowledgement away from it.
const QUIET: Duration = Duration::from_millis(250);

/// After the stop, when no other process will: serve everybody who has got through to this socket, and nobody new.
async fn empty(local: &Rc<Local>, listener: &Listener, id: ListenerId) {
    // What has a port; a Unix socket's clients are in the queue as soon as they are connected.
    let is_inet = matches!(listener.local_addr(), Ok(SockAddr::Ip(_)));
    if is_inet {
        listener.resume();
    } else {
        drain(local, listener, id).await;
    }
    if let Err(error) = listener.refuse_new() {
        // Some kernels take socket filters from root alone. Who comes in the last moment is reset then.
        if error.kind() != std::io::ErrorKind::PermissionDenied {
            super::messages::warning(&format!("listening socket: new clients are not turned away: {error}"));
        }
        return drain(local, listener, id).await;
    }
    loop {
        let room = stream::room(&local.worker.view(), id);
        listener.set_room(room);
        if room == 0 {
            first(runtime::sleep(LOOK_AGAIN), local.worker.room().notified()).await;
            continue;
        }
        let next = if is_inet {
            match runtime::timeout_at(runtime::now() + QUIET, listener.accept()).await {
                None if listener.has_waiting() => continue,
                accepted => accepted.and_then(Result::ok),
            }
        } else {
            listener.accept_now()
        };
        let Some((socket, peer)) = next else { break };
        hand_over(local, runtime::thread_index(), id, socket, peer);
    }
    if is_inet {
        drain(local, listener, id).await;
        listener.shut();
    }
}

/// How often `drain` looks again.
const DRAINS_MAX: u32 = 20;

/// Serve what was accepted already, and accept no more.
async fn drain(local: &Rc<Local>, listener: &Listener, id: ListenerId) {
    let thread = runtime::thread_index();
    stop_accepting(listener, |socket, peer| hand_over(local, thread, id, socket, peer)).await;
}

/// Accepts no more; `each` gets what was accepted already.
async fn stop_accepting(listener: &Listener, mut each: impl FnMut(Socket, SockAddr)) {
    let mut left = DRAINS_MAX;
    loop {
        listener.pause();
        runtime::sleep(DRAIN).await;
        // What the kernel accepts after the look would be closed.
        while !listener.is_quiet() {
            runtime::sleep(DRAIN).await;
        }
        while let Some((socket, peer)) = listener.take_accepted() {
            each(socket, peer);
        }
        // The kernel tells one waiter about a new connection. If that was us while we turned away, the other process
        // on this socket does not know of it.
        if left == 0 || !listener.has_waiting() {
            return;
        }
        left -= 1;
        listener.resume();
        let accepted = runtime::timeout_at(runtime::now() + DRAIN, listener.accept()).await;
        if let Some(Ok((socket, peer))) = accepted {
            each(socket, peer);
        }
    }
}

fn hand_over(local: &Rc<Local>, thread: usize, id: ListenerId, socket: Socket, peer: SockAddr) {
    let own = runtime::thread_index();
    local.loads[thread].0.fetch_add(1, Relaxed);
    if thread == own {
        return serve(local, id, socket, peer);
    }
    match socket.into_fd() {
        Ok((fd, received)) => {
            debug_assert!(received.is_empty(), "receiving starts with the first look");
            local.threads[thread].post(Box::new(move || {
                with_local(move |local| {
                    if let Ok(socket) = Socket::from_fd(fd) {
                        serve(local, id, socket, peer);
                    }
                });
            }));
        }
        Err(socket) => {
            local.loads[thread].0.fetch_sub(1, Relaxed);
            local.loads[own].0.fetch_add(1, Relaxed);
            serve(local, id, socket, peer);
        }
    }
}

fn serve(local: &Rc<Local>, id: ListenerId, socket: Socket, peer: SockAddr) {
    let session = Session { local: local.clone() };
    // Counted from here on, not from the task's first turn: the limits see it at once.
    let served = stream::serve_client(local.worker.clone(), id, socket, peer);
    runtime::spawn(async move {
        served.await;
        drop(session);
    });
}

/// One running connection.
struct Session {
    local: Rc<Local>,
}

impl Drop for Session {
    fn drop(&mut self) {
        let own = &self.local.loads[runtime::thread_index()].0;
        let left = own.fetch_sub(1, Relaxed) - 1;
        if left == 0 && self.local.stopping.get() {
            self.local.changed.notify_all();
        }
    }
}

/// Wait for whichever comes first.
async fn first(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    std::future::poll_fn(
        |cx| if a.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { b.as_mut().poll(cx) },
    )
    .await;
}
