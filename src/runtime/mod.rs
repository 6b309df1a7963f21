//! The per-thread runtime: a small executor over one io_uring, a timer wheel, a mailbox.
//!
//! Everything here acts on the calling thread's runtime and panics outside of one. Futures are not `Send`.
//! Leaf futures (sockets, timers, `Notify`) wake the *task* that polled them last, so one socket has at
//! most one waiting task per direction. Combinators that poll all their children (`select`-like) are fine; such
//! that poll only the child whose waker was used (`FuturesUnordered`) are not.
//!
//! A turn: read the clock, fire timers, run posted work, run tasks (bounded), call the turn-end hooks, submit
//! queued operations and wait in one `io_uring_enter`, book the completions. Completions only change tables and wake
//! tasks; protocol code runs in tasks.

mod driver;
mod exec;
pub(crate) mod io;
mod mailbox;
mod notify;
mod turn;
mod wheel;

pub mod sim;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::time::{Mono, Wall};
use crate::sys::ring;

pub(crate) use driver::RawPipe;
pub use exec::TaskId;
pub use mailbox::ThreadHandle;
pub use notify::{Notified, Notify};
pub use turn::{Builder, Config, Stats, stats};

pub use crate::sys::buf::{RecvBuf, SendBuf, put_vec, take_vec};

/// The runtime of one thread. The parts are borrowed apart, and never while foreign code runs.
pub(crate) struct Rt {
    exec: RefCell<exec::Exec>,
    wheel: RefCell<wheel::Wheel>,
    io: RefCell<Option<io::Io>>,
    handle: RefCell<Option<ThreadHandle>>,
    hooks: RefCell<Vec<Box<dyn FnMut()>>>,
    /// Mailboxes that a MSG_RING is on its way to, by key: when it fails, the eventfd is used.
    messages: RefCell<slab::Slab<std::sync::Arc<mailbox::Mailbox>>>,
}

thread_local! {
    static RT: Rt = const {
        Rt {
            exec: RefCell::new(exec::Exec::new()),
            wheel: RefCell::new(wheel::Wheel::new()),
            io: RefCell::new(None),
            handle: RefCell::new(None),
            hooks: RefCell::new(Vec::new()),
            messages: RefCell::new(slab::Slab::new()),
        }
    };
    static NOW: Cell<Mono> = const { Cell::new(Mono(0)) };
    /// 0 until it is read in this turn.
    static WALL: Cell<Wall> = const { Cell::new(Wall(0)) };
    static CURRENT: Cell<TaskId> = const { Cell::new(TaskId::NONE) };
    /// Counts the runs on this thread: a socket or timer that outlives its run must not touch the next one's.
    static EPOCH: Cell<u32> = const { Cell::new(0) };
    /// The id of the running runtime, `NO_RUNTIME` outside.
    static RUNTIME: Cell<u32> = const { Cell::new(NO_RUNTIME) };
}

const NO_RUNTIME: u32 = u32::MAX;

/// Acts on the socket table.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn with_io<R>(f: impl FnOnce(&mut io::Io) -> R) -> R {
    RT.with(|rt| f(rt.io.borrow_mut().as_mut().expect("only on a thread that runs a runtime")))
}

/// Acts on the socket table of run number `epoch`; `None` when that has ended. For destructors.
pub(crate) fn with_io_of<R>(epoch: u32, f: impl FnOnce(&mut io::Io) -> R) -> Option<R> {
    if EPOCH.try_with(Cell::get) != Ok(epoch) {
        return None;
    }
    RT.try_with(|rt| rt.io.borrow_mut().as_mut().map(f)).ok().flatten()
}

/// The number of this thread's current run.
pub(crate) fn epoch() -> u32 {
    EPOCH.get()
}

/// The task that is being polled.
pub(crate) fn current_task() -> TaskId {
    CURRENT.get()
}

/// Makes a task of this thread runnable.
pub(crate) fn wake(task: TaskId) {
    RT.with(|rt| rt.exec.borrow_mut().wake(task));
}

/// What a waker does, on any thread.
fn wake_any(bits: u64) {
    let id = TaskId::from_bits(bits);
    if RUNTIME.try_with(Cell::get) == Ok(id.runtime()) {
        wake(id);
    } else {
        mailbox::wake_remote(id);
    }
}

/// Wakes another thread's ring through ours: false when this thread has none. Nothing to do for our own.
fn wake_ring(mailbox: &std::sync::Arc<mailbox::Mailbox>, fd: i32) -> bool {
    RT.try_with(|rt| {
        if rt.handle.borrow().as_ref().is_some_and(|h| std::sync::Arc::ptr_eq(&h.0, mailbox)) {
            return true;
        }
        // Borrowed when called from inside the table (a destructor of posted work): use the eventfd then.
        let Ok(mut io) = rt.io.try_borrow_mut() else { return false };
        let Some(io::Io { driver: driver::Driver::Ring(ring), .. }) = io.as_mut() else { return false };
        let key = rt.messages.borrow_mut().insert(mailbox.clone());
        // The other side has nothing to book for it: coming out of `io_uring_enter` is the message.
        let remote = driver::token(driver::Kind::Ignore, 0);
        let sent = ring.msg_ring(fd, remote, driver::token(driver::Kind::Message, key as u32));
        if !sent {
            rt.messages.borrow_mut().remove(key);
        }
        sent
    })
    .unwrap_or(false)
}

/// Monotonic time, read once per turn of the loop.
pub fn now() -> Mono {
    NOW.get()
}

/// Wall-clock time, read at most once per turn.
pub fn wall() -> Wall {
    let wall = WALL.get();
    if wall != Wall(0) {
        return wall;
    }
    let wall = with_io(|io| io.driver.wall());
    WALL.set(wall);
    wall
}

/// Starts a task on this thread. It runs in this or the next turn, never inside this call.
pub fn spawn(f: impl Future<Output = ()> + 'static) -> TaskId {
    RT.with(|rt| rt.exec.borrow_mut().spawn(Box::pin(f)))
}

/// Drops a task's future: at once, or when its poll returns if it is the running one. No effect when it has ended.
pub fn abort(task: TaskId) {
    let future = RT.with(|rt| rt.exec.borrow_mut().abort(task));
    drop(future);
}

/// Lets the other runnable tasks, and a pass over the kernel's completions, go first.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|_| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        RT.with(|rt| rt.exec.borrow_mut().wake_later(current_task()));
        Poll::Pending
    })
    .await;
}

/// Waits until `t` (millisecond resolution, never early).
pub async fn sleep_until(t: Mono) {
    let mut timer = Timer::at(t);
    std::future::poll_fn(|cx| timer.poll_expired(cx)).await;
}

/// Waits for `d` (millisecond resolution, never early).
pub async fn sleep(d: Duration) {
    sleep_until(now() + d).await;
}

/// Runs `f` until `t`: its output, or `None` when the time came first (`f` is dropped then).
pub async fn timeout_at<F: Future>(t: Mono, f: F) -> Option<F::Output> {
    let mut f = pin!(f);
    let mut timer = Timer::at(t);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(v) = f.as_mut().poll(cx) {
            return Poll::Ready(Some(v));
        }
        timer.poll_expired(cx).map(|()| None)
    })
    .await
}

/// A re-armable deadline in the thread's timer wheel, at millisecond resolution and never early. Setting
/// it to a later time costs a store: the wheel moves the entry when the old time comes.
#[derive(Debug)]
pub struct Timer {
    key: u32,
    epoch: u32,
}

impl Timer {
    /// An unset timer.
    #[expect(clippy::new_without_default, reason = "it needs a running runtime")]
    pub fn new() -> Timer {
        let key = RT.with(|rt| rt.wheel.borrow_mut().insert());
        Timer { key, epoch: epoch() }
    }

    /// A timer set to `t`.
    pub fn at(t: Mono) -> Timer {
        let mut timer = Timer::new();
        timer.set(t);
        timer
    }

    /// Sets or moves the deadline; `Mono::NEVER` clears it.
    pub fn set(&mut self, t: Mono) {
        debug_assert_eq!(self.epoch, epoch());
        RT.with(|rt| rt.wheel.borrow_mut().set(self.key, t));
    }

    /// Forgets the deadline.
    pub fn clear(&mut self) {
        self.set(Mono::NEVER);
    }

    /// The deadline, `Mono::NEVER` when unset.
    pub fn deadline(&self) -> Mono {
        RT.with(|rt| rt.wheel.borrow().deadline(self.key))
    }

    /// Ready once the deadline has come, and ready again until it is moved or cleared.
    pub fn poll_expired(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        debug_assert_eq!(self.epoch, epoch());
        RT.with(|rt| {
            let mut wheel = rt.wheel.borrow_mut();
            if wheel.deadline(self.key) <= now() {
                return Poll::Ready(());
            }
            wheel.wait(self.key, current_task());
            Poll::Pending
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if EPOCH.try_with(Cell::get) == Ok(self.epoch) {
            let _ = RT.try_with(|rt| rt.wheel.borrow_mut().remove(self.key));
        }
    }
}

/// Whether nearly all receive buffers are held by data that waits for slow peers: hold less then.
///
/// # Panics
/// Outside of a runtime.
pub fn buffers_are_scarce() -> bool {
    with_io(|io| match &io.driver {
        driver::Driver::Ring(ring) => ring.pool().scarce(),
        driver::Driver::Sim(_) => false,
    })
}

/// This thread's own handle.
///
/// # Panics
/// Outside of a runtime.
pub fn handle() -> ThreadHandle {
    RT.with(|rt| rt.handle.borrow().clone().expect("only on a thread that runs a runtime"))
}

/// The index that this thread's `Builder` was given.
pub fn thread_index() -> usize {
    RT.with(|rt| rt.handle.borrow().as_ref().map_or(0, ThreadHandle::index))
}

/// Calls `f` at the end of every turn, after the tasks and before the kernel is entered (log flush).
pub fn at_turn_end(f: impl FnMut() + 'static) {
    RT.with(|rt| rt.hooks.borrow_mut().push(Box::new(f)));
}

/// Checks that this kernel can run us. The error is one line for the operator: what is missing and what to do.
pub fn probe() -> Result<(), String> {
    ring::probe()
}
