//! The per-thread runtime: a small executor over one io_uring, a timer wheel, a mailbox.
//!
//! Everything here acts on the calling thread's runtime and panics outside of one. Futures are not `Send`.
//! Leaf futures (sockets, timers, `Notify`) wake the *task* that polled them last, so one socket has at
//! most one waiting task per direction.

pub mod sim;

use std::future::Future;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::time::{Mono, Wall};

pub use crate::sys::buf::{RecvBuf, SendBuf};

/// Monotonic time, read once per turn of the loop.
pub fn now() -> Mono {
    todo!()
}

/// Wall-clock time, read at most once per turn.
pub fn wall() -> Wall {
    todo!()
}

/// Names a task of one thread; stale ids are harmless.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct TaskId(u64);

/// Starts a task on this thread. It runs in this or the next turn, never inside this call.
pub fn spawn(_f: impl Future<Output = ()> + 'static) -> TaskId {
    todo!()
}

/// Drops a task's future at the next chance; no effect when it has ended.
pub fn abort(_task: TaskId) {
    todo!()
}

/// Lets the other runnable tasks, and a pass over the kernel's completions, go first.
pub async fn yield_now() {
    todo!()
}

/// Waits until `t` (millisecond resolution, never early).
pub async fn sleep_until(_t: Mono) {
    todo!()
}

/// Waits for `d` (millisecond resolution, never early).
pub async fn sleep(d: Duration) {
    sleep_until(now() + d).await;
}

/// Runs `f` until `t`: its output, or `None` when the time came first (`f` is dropped then).
pub async fn timeout_at<F: Future>(_t: Mono, _f: F) -> Option<F::Output> {
    todo!()
}

/// A re-armable deadline in the thread's timer wheel, at millisecond resolution and never early. Setting
/// it to a later time costs a store: the wheel moves the entry when the old time comes.
#[derive(Debug)]
pub struct Timer {
    slot: u32,
}

impl Timer {
    /// An unset timer.
    #[expect(clippy::new_without_default)]
    pub fn new() -> Timer {
        todo!()
    }
    /// A timer set to `t`.
    pub fn at(t: Mono) -> Timer {
        let mut timer = Timer::new();
        timer.set(t);
        timer
    }
    /// Sets or moves the deadline; `Mono::NEVER` clears it.
    pub fn set(&mut self, _t: Mono) {
        let _ = self.slot;
        todo!()
    }
    /// Forgets the deadline.
    pub fn clear(&mut self) {
        self.set(Mono::NEVER);
    }
    /// The deadline, `Mono::NEVER` when unset.
    pub fn deadline(&self) -> Mono {
        todo!()
    }
    /// Ready once the deadline has come, and ready again until it is moved or cleared.
    pub fn poll_expired(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
}

/// Posts work to a thread's runtime from anywhere.
#[derive(Clone)]
pub struct ThreadHandle {}

impl ThreadHandle {
    /// Runs `f` on that thread at the start of one of its next turns, in the order of posting. It is dropped
    /// without a call when the thread's runtime has ended.
    pub fn post(&self, _f: Box<dyn FnOnce() + Send>) {
        todo!()
    }
    /// The index that the thread's `Builder` was given.
    pub fn index(&self) -> usize {
        todo!()
    }
}

/// This thread's own handle.
pub fn handle() -> ThreadHandle {
    todo!()
}

/// The index that this thread's `Builder` was given.
pub fn thread_index() -> usize {
    todo!()
}

/// Calls `f` at the end of every turn, after the tasks and before the kernel is entered (log flush).
pub fn at_turn_end(_f: impl FnMut() + 'static) {
    todo!()
}

/// A cleared vector from the thread's pool; sending it as `SendBuf::Vec` or `put_vec` returns it.
pub fn take_vec() -> Vec<u8> {
    todo!()
}

/// Gives a vector back to the thread's pool.
pub fn put_vec(_v: Vec<u8>) {
    todo!()
}

/// A list of waiting tasks of one thread, in order of arrival. A permit is never stored: check the condition,
/// then wait.
#[derive(Default)]
pub struct Notify {}

impl Notify {
    /// An empty list.
    pub const fn new() -> Notify {
        Notify {}
    }
    /// Wakes the task that waits longest; false when there is none.
    pub fn notify_one(&self) -> bool {
        todo!()
    }
    /// Wakes all waiting tasks.
    pub fn notify_all(&self) {
        todo!()
    }
    /// Waits for a notification that comes after this call.
    pub fn notified(&self) -> Notified<'_> {
        Notified { _list: self }
    }
}

/// The future of `Notify::notified`; dropping it leaves the list.
pub struct Notified<'a> {
    _list: &'a Notify,
}

impl Future for Notified<'_> {
    type Output = ();
    fn poll(self: std::pin::Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        todo!()
    }
}

/// What a thread's runtime is built with.
#[derive(Clone, Debug)]
pub struct Config {
    /// CPU to pin the thread to.
    pub cpu: Option<usize>,
    /// Submission queue entries (a power of two).
    pub sq_entries: u32,
    /// Size of one receive buffer in bytes.
    pub buf_size: usize,
    /// Receive buffers at the start.
    pub bufs_initial: u32,
    /// Receive buffers at most (32768 is the kernel's limit).
    pub bufs_max: u32,
    /// Bytes that one socket may have received and not yet handed out.
    pub recv_window: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cpu: None,
            sq_entries: 1024,
            buf_size: 16384,
            bufs_initial: 256,
            bufs_max: 32768,
            recv_window: 65536,
        }
    }
}

/// Builds one thread's runtime. `Send`: made by the control thread, run by the worker.
pub struct Builder {}

impl Builder {
    /// A runtime for thread number `index`.
    pub fn new(_index: usize, _config: Config) -> Builder {
        todo!()
    }
    /// The handle, valid before the runtime runs: what is posted waits.
    pub fn handle(&self) -> ThreadHandle {
        todo!()
    }
    /// Blocks the calling thread until `root` is done, then drops the remaining tasks and waits until the kernel
    /// has given back every buffer.
    pub fn run<F: Future>(self, _root: F) -> io::Result<F::Output> {
        todo!()
    }
}

/// Checks that this kernel can run us. The error is one line for the operator.
pub fn probe() -> Result<(), String> {
    todo!()
}
