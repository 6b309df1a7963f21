//! The sessions of a thread as the admin socket sees them: a list, and a way to end one.
//!
//! A session's entry is made with the session; an exchange only sets a few of its cells. Sessions between two
//! exchanges are in the list too, but are not shown: nothing runs for them.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use slab::Slab;

use crate::base::time::{Mono, Wall};
use crate::proxy::{ListenerId, ProxyId, ServerId};
use crate::runtime::{self, TaskId, Timer};

/// Bits of a session's id below those of its thread.
const ID_BITS: u32 = 44;

thread_local! {
    static LIST: RefCell<Slab<Rc<Brief>>> = const { RefCell::new(Slab::new()) };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// What is known about a session from outside.
#[derive(Debug)]
pub(super) struct Brief {
    id: u64,
    slot: Cell<usize>,
    listener: ListenerId,
    frontend: ProxyId,
    src: Cell<Option<SocketAddr>>,
    /// An exchange runs.
    active: Cell<bool>,
    exchange: Cell<u32>,
    start: Cell<Mono>,
    start_wall: Cell<Wall>,
    backend: Cell<ProxyId>,
    server: Cell<Option<ServerId>>,
    deadline: Cell<Mono>,
    polls: Cell<u32>,
    /// The task that runs it, from the first time that it waits.
    task: Cell<TaskId>,
    killed: Cell<bool>,
}

impl Brief {
    pub fn is_killed(&self) -> bool {
        self.killed.get()
    }

    pub fn begin(&self, number: u32, start: Mono, wall: Wall) {
        self.active.set(true);
        self.exchange.set(number);
        self.start.set(start);
        self.start_wall.set(wall);
        self.backend.set(self.frontend);
        self.server.set(None);
    }

    pub fn src(&self, src: Option<SocketAddr>) {
        self.src.set(src);
    }

    pub fn backend(&self, backend: ProxyId) {
        self.backend.set(backend);
        self.server.set(None);
    }

    pub fn server(&self, server: ServerId) {
        self.server.set(Some(server));
    }

    pub fn end(&self) {
        self.active.set(false);
    }
}

/// A session's timer and its place in the list, until it is dropped. To whoever is shut down, the timer has struck.
pub(super) struct Alarm {
    timer: Timer,
    pub brief: Rc<Brief>,
}

impl Alarm {
    /// Puts a session into the list.
    pub fn new(listener: ListenerId, frontend: ProxyId, src: Option<SocketAddr>) -> Alarm {
        let number = NUMBER.get();
        NUMBER.set(number.wrapping_add(1));
        let brief = Rc::new(Brief {
            id: ((runtime::thread_index() as u64 + 1) << ID_BITS) | (number & ((1 << ID_BITS) - 1)),
            slot: Cell::new(0),
            listener,
            frontend,
            src: Cell::new(src),
            active: Cell::new(false),
            exchange: Cell::new(0),
            start: Cell::new(Mono(0)),
            start_wall: Cell::new(Wall(0)),
            backend: Cell::new(frontend),
            server: Cell::new(None),
            deadline: Cell::new(Mono::NEVER),
            polls: Cell::new(0),
            task: Cell::new(TaskId::NONE),
            killed: Cell::new(false),
        });
        brief.slot.set(LIST.with_borrow_mut(|list| list.insert(brief.clone())));
        Alarm { timer: Timer::new(), brief }
    }

    /// Strike at `t`.
    pub fn set(&mut self, t: Mono) {
        self.brief.deadline.set(t);
        self.timer.set(t);
    }

    /// Whether the session was shut down.
    pub fn is_killed(&self) -> bool {
        self.brief.is_killed()
    }

    /// Ready when the timer strikes, and when the session was shut down.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.brief.polls.set(self.brief.polls.get().wrapping_add(1));
        self.brief.task.set(runtime::current_task());
        if self.is_killed() { Poll::Ready(()) } else { self.timer.poll_expired(cx) }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        // The list goes with the thread: then nobody is left to miss the entry.
        let _ = LIST.try_with(|list| list.borrow_mut().try_remove(self.brief.slot.get()));
    }
}

/// One running exchange, copied out of the list.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Names the session, over all threads.
    pub id: u64,
    /// Its thread.
    pub thread: usize,
    /// The number of the exchange on the thread's list of requests.
    pub number: u32,
    /// Where it came in.
    pub listener: ListenerId,
    /// The frontend.
    pub frontend: ProxyId,
    /// The client's address; `None` for Unix sockets.
    pub src: Option<SocketAddr>,
    /// Start of the exchange.
    pub start: Mono,
    /// Start of the exchange.
    pub start_wall: Wall,
    /// The backend; the frontend while none was chosen.
    pub backend: ProxyId,
    /// The server, once there is one.
    pub server: Option<ServerId>,
    /// When the current wait is over.
    pub deadline: Mono,
    /// How often the session had to wait.
    pub waits: u32,
}

/// The exchanges that run on this thread, and pass.
pub fn running(pass: impl Fn(&Shown) -> bool) -> Vec<Shown> {
    let show = |b: &Rc<Brief>| Shown {
        id: b.id,
        thread: runtime::thread_index(),
        number: b.exchange.get(),
        listener: b.listener,
        frontend: b.frontend,
        src: b.src.get(),
        start: b.start.get(),
        start_wall: b.start_wall.get(),
        backend: b.backend.get(),
        server: b.server.get(),
        deadline: b.deadline.get(),
        waits: b.polls.get(),
    };
    LIST.with_borrow(|list| {
        list.iter().filter(|(_, b)| b.active.get()).map(|(_, b)| show(b)).filter(pass).collect()
    })
}

/// Ends the exchanges of this thread that pass, with `K` in their log lines. Gives their number.
pub fn kill(pass: impl Fn(&Shown) -> bool) -> usize {
    let doomed: Vec<u64> = running(pass).into_iter().map(|s| s.id).collect();
    let tasks: Vec<TaskId> = LIST.with_borrow(|list| {
        let hit = list.iter().filter(|(_, b)| doomed.contains(&b.id));
        hit.map(|(_, b)| {
            b.killed.set(true);
            b.task.get()
        })
        .collect()
    });
    tasks.into_iter().for_each(runtime::wake);
    doomed.len()
}
