//! Building and running a thread's runtime: the loop.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::driver::{Driver, Kind, parse, token};
use super::exec::{Next, TaskId};
use super::io::Io;
use super::mailbox::{self, Mailbox, ThreadHandle};
use super::{CURRENT, EPOCH, NO_RUNTIME, NOW, RT, RUNTIME, Rt, WALL};
use crate::base::time::{Mono, Wall};
use crate::sys::ring::{self, Ring, RingConfig, Wait};
use crate::sys::{thread, waker};

/// Tasks polled per turn at most; the rest waits for the next one, after a look at the kernel's completions.
const POLLS_PER_TURN: usize = 1024;
/// How often the receive buffers are tended.
const TEND: std::time::Duration = std::time::Duration::from_secs(1);

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
    /// Receive buffers at most (32768 is the kernel's limit). Beyond 7/8 of them, received data moves to the heap.
    pub bufs_max: u32,
    /// Bytes that one socket may have received and not yet handed out.
    pub recv_window: usize,
    /// Drop a task that panics (the panic is reported by the hook) instead of ending the thread.
    pub survive_panics: bool,
    /// Use nothing newer than kernel 6.1: for tests.
    pub oldest_kernel: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            cpu: None,
            sq_entries: 1024,
            buf_size: 16384,
            bufs_initial: 64,
            bufs_max: 4096,
            recv_window: 65536,
            survive_panics: true,
            oldest_kernel: false,
        }
    }
}

/// Builds one thread's runtime. `Send`: made by the control thread, run by the worker.
pub struct Builder {
    config: Config,
    mailbox: Arc<Mailbox>,
}

impl Builder {
    /// A runtime for thread number `index`.
    pub fn new(index: usize, config: Config) -> Builder {
        Builder { config, mailbox: Mailbox::new(index) }
    }

    /// The handle, valid before the runtime runs: what is posted waits.
    pub fn handle(&self) -> ThreadHandle {
        ThreadHandle(self.mailbox.clone())
    }

    /// Blocks the calling thread until `root` is done, then drops the remaining tasks and waits until the kernel
    /// has given back every buffer.
    ///
    /// # Errors
    /// The ring cannot be set up (see `probe` for a readable reason), or fails for good.
    pub fn run<F: Future>(self, root: F) -> io::Result<F::Output> {
        if let Some(cpu) = self.config.cpu {
            thread::pin(cpu)?;
        }
        let config = &self.config;
        let mut ring = Ring::new(&RingConfig {
            entries: config.sq_entries,
            buf_size: config.buf_size,
            bufs_initial: config.bufs_initial,
            bufs_max: config.bufs_max,
            oldest_kernel: config.oldest_kernel,
        })
        .map_err(|e| io::Error::new(e.kind(), ring::explain(&e)))?;
        let Some(event) = &self.mailbox.event else {
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        };
        ring.poll(event.fd(), token(Kind::Wake, 0), libc::POLLIN as u32, true);
        self.mailbox.set_ring(ring.fd());
        let io = Io::new(Driver::Ring(Box::new(ring)), config.recv_window);
        run_on(io, &self.mailbox, config.survive_panics, root)
    }
}

/// Runs `root` on a driver.
pub(super) fn run_on<F: Future>(
    mut io: Io,
    mailbox: &Arc<Mailbox>,
    survive_panics: bool,
    root: F,
) -> io::Result<F::Output> {
    RT.with(|rt| {
        assert_eq!(RUNTIME.get(), NO_RUNTIME, "a runtime runs on this thread already");
        let handle = ThreadHandle(mailbox.clone());
        let id = mailbox::register(handle.clone());
        RUNTIME.set(id);
        EPOCH.set(EPOCH.get() + 1);
        NOW.set(io.driver.mono());
        WALL.set(Wall(0));
        *rt.handle.borrow_mut() = Some(handle);
        *rt.io.borrow_mut() = Some(io);
        rt.wheel.borrow_mut().start(NOW.get());
        let root_id = rt.exec.borrow_mut().start(id);
        let end = End { rt, mailbox };
        let mut turns = Turns { rt, mailbox, survive_panics, tend_at: NOW.get() + TEND, polled: 0, turns: 0 };
        let out = turns.run(pin!(root), root_id);
        drop(end);
        out
    })
}

/// Takes a runtime down, on a panic as well.
struct End<'a> {
    rt: &'a Rt,
    mailbox: &'a Arc<Mailbox>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let rt = self.rt;
        // Destructors may spawn, and use sockets and timers: everything stands until the last task is gone.
        loop {
            let Some(future) = rt.exec.borrow_mut().take_any() else { break };
            drop(future);
        }
        let hooks = std::mem::take(&mut *rt.hooks.borrow_mut());
        drop(hooks);
        rt.exec.borrow_mut().stop();
        drop(self.mailbox.close());
        mailbox::unregister(RUNTIME.replace(NO_RUNTIME));
        EPOCH.set(EPOCH.get() + 1);
        // The ring's destructor cancels and waits.
        let io = rt.io.borrow_mut().take();
        if let Some(mut io) = io {
            io.close_all();
        }
        rt.wheel.borrow_mut().start(Mono(0));
        rt.messages.borrow_mut().clear();
        *rt.handle.borrow_mut() = None;
        CURRENT.set(TaskId::NONE);
    }
}

struct Turns<'a> {
    rt: &'a Rt,
    mailbox: &'a Arc<Mailbox>,
    survive_panics: bool,
    tend_at: Mono,
    polled: u64,
    turns: u64,
}

impl Turns<'_> {
    fn run<F: Future>(&mut self, mut root: Pin<&mut F>, root_id: TaskId) -> io::Result<F::Output> {
        loop {
            self.turns += 1;
            let now = NOW.get();
            self.rt.wheel.borrow_mut().advance(now, |task| self.rt.exec.borrow_mut().wake(task));
            // Not before the root's first turn: what was posted to a thread that only begins finds it set up.
            if self.turns > 1 && self.mailbox.pending() {
                for job in self.mailbox.take() {
                    self.guard(job);
                }
            }
            if let Some(out) = self.run_tasks(root.as_mut(), root_id) {
                return Ok(out);
            }
            self.call_hooks();
            self.enter(now)?;
        }
    }

    /// Polls what is runnable, what becomes so meanwhile included, up to the limit. `Some` when the root is done.
    fn run_tasks<F: Future>(&mut self, mut root: Pin<&mut F>, root_id: TaskId) -> Option<F::Output> {
        for _ in 0..POLLS_PER_TURN {
            let next = self.rt.exec.borrow_mut().next();
            match next {
                None => break,
                Some(Next::Root) => {
                    let waker = waker::number_waker(root_id.bits(), super::wake_any);
                    CURRENT.set(root_id);
                    let polled = root.as_mut().poll(&mut Context::from_waker(&waker));
                    CURRENT.set(TaskId::NONE);
                    if let Poll::Ready(out) = polled {
                        return Some(out);
                    }
                }
                Some(Next::Task(id, mut future)) => {
                    let waker = waker::number_waker(id.bits(), super::wake_any);
                    CURRENT.set(id);
                    let polled = self.guard(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
                    match polled {
                        Some(Poll::Pending) => {
                            let aborted = self.rt.exec.borrow_mut().park(id, future);
                            drop(aborted);
                        }
                        Some(Poll::Ready(())) | None => {
                            self.rt.exec.borrow_mut().finish(id);
                            self.guard(|| drop(future));
                        }
                    }
                    CURRENT.set(TaskId::NONE);
                }
            }
            self.polled += 1;
        }
        None
    }

    /// Calls foreign code; `None` when it panicked and panics are survived.
    fn guard<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(f)) {
            Ok(v) => Some(v),
            Err(_) if self.survive_panics => None,
            Err(panic) => resume_unwind(panic),
        }
    }

    fn call_hooks(&self) {
        let mut hooks = std::mem::take(&mut *self.rt.hooks.borrow_mut());
        for hook in &mut hooks {
            self.guard(hook);
        }
        // A hook may have added others.
        let mut all = self.rt.hooks.borrow_mut();
        hooks.append(&mut all);
        *all = hooks;
    }

    /// One pass through the kernel.
    fn enter(&mut self, now: Mono) -> io::Result<()> {
        let mut table = self.rt.io.borrow_mut();
        let io = table.as_mut().expect("present while the loop runs");
        io.flush();
        let mut exec = self.rt.exec.borrow_mut();
        exec.next_turn();
        let wait = if exec.runnable() > 0 || self.mailbox.pending() {
            Wait::No
        } else {
            match self.rt.wheel.borrow().next() {
                Mono::NEVER => Wait::Forever,
                t => Wait::For(t.since(now)),
            }
        };
        io.driver.enter(wait)?;
        NOW.set(io.driver.mono());
        WALL.set(Wall(0));
        while let Some(c) = io.driver.next() {
            match parse(c.token) {
                (Kind::Ignore, _) => {}
                // The mailbox is looked at in every turn. A poll that ended (CQ overflow) is armed again.
                (Kind::Wake, _) => {
                    if !c.more
                        && let (Driver::Ring(ring), Some(event)) = (&mut io.driver, &self.mailbox.event)
                    {
                        ring.poll(event.fd(), c.token, libc::POLLIN as u32, true);
                    }
                }
                (Kind::Message, key) => {
                    let mailbox = self.rt.messages.borrow_mut().try_remove(key as usize);
                    if let Some(mailbox) = mailbox
                        && c.res < 0
                    {
                        ThreadHandle(mailbox).signal();
                    }
                }
                (kind, slot) => io.complete(kind, slot, c, &mut exec),
            }
        }
        if NOW.get() >= self.tend_at {
            self.tend_at = NOW.get() + TEND;
            if let Driver::Ring(ring) = &mut io.driver {
                ring.tend();
            }
        }
        Ok(())
    }
}

/// What a thread's runtime holds and has done: for tests, `show info` and leak checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tasks that have not ended, the root included.
    pub tasks: usize,
    /// Timers that exist.
    pub timers: usize,
    /// Sockets, those being closed included.
    pub sockets: usize,
    /// Listeners, those being closed included.
    pub listeners: usize,
    /// Operations that the kernel has not finished.
    pub inflight: usize,
    /// Receive buffers that exist.
    pub bufs: usize,
    /// Receive buffers held by received data.
    pub bufs_in_use: usize,
    /// `io_uring_enter` calls made.
    pub enters: u64,
}

/// This thread's figures.
///
/// # Panics
/// Outside of a runtime.
pub fn stats() -> Stats {
    RT.with(|rt| {
        let table = rt.io.borrow();
        let io = table.as_ref().expect("only on a thread that runs a runtime");
        let mut stats = Stats {
            tasks: rt.exec.borrow().live(),
            timers: rt.wheel.borrow().len(),
            sockets: io.socks.len(),
            listeners: io.acceptors.len(),
            ..Stats::default()
        };
        match &io.driver {
            Driver::Ring(ring) => {
                stats.inflight = ring.inflight();
                stats.bufs = ring.pool().total() as usize;
                stats.bufs_in_use = ring.pool().in_use() as usize;
                stats.enters = ring.enters();
            }
            Driver::Sim(sim) => stats.inflight = sim.inflight(),
        }
        stats
    })
}
