//! Work posted to a thread from others.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::exec::{RUNTIMES, TaskId};
use crate::sys::event::Event;

pub(super) type Job = Box<dyn FnOnce() + Send>;

/// The shared side of one thread's mailbox.
pub(super) struct Mailbox {
    pub(super) index: usize,
    /// `None` once the runtime has ended.
    queue: Mutex<Option<Vec<Job>>>,
    /// Something was posted (or the wake-up is on its way); set by the first poster, cleared by the owner.
    pending: AtomicBool,
    /// The ring to wake by MSG_RING, -1 while there is none.
    ring: AtomicI32,
    /// Wakes the ring from threads without one; `None` when descriptors had run out: `run` reports it.
    pub(super) event: Option<Event>,
}

impl Mailbox {
    pub(super) fn new(index: usize) -> Arc<Mailbox> {
        Arc::new(Mailbox {
            index,
            queue: Mutex::new(Some(Vec::new())),
            pending: AtomicBool::new(false),
            ring: AtomicI32::new(-1),
            event: Event::new().ok(),
        })
    }

    pub(super) fn set_ring(&self, fd: i32) {
        self.ring.store(fd, Ordering::Release);
    }

    /// Something waits in it.
    pub(super) fn pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Takes everything posted. Clears `pending` first: what is posted after that wakes again.
    pub(super) fn take(&self) -> Vec<Job> {
        self.pending.swap(false, Ordering::AcqRel);
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the rest, and refuses what comes later.
    pub(super) fn close(&self) -> Vec<Job> {
        self.set_ring(-1);
        self.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Job>>> {
        // A poisoned lock means that a push ran out of memory: the list is still one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, job: Job) -> bool {
        match self.lock().as_mut() {
            Some(queue) => queue.push(job),
            // The job is dropped, after the lock is released.
            None => return false,
        }
        !self.pending.swap(true, Ordering::AcqRel)
    }
}

/// Posts work to a thread's runtime from anywhere.
#[derive(Clone)]
pub struct ThreadHandle(pub(super) Arc<Mailbox>);

impl ThreadHandle {
    /// Runs `f` on that thread at the start of one of its next turns, in the order of posting. It is dropped
    /// without a call when the thread's runtime has ended.
    pub fn post(&self, f: Box<dyn FnOnce() + Send>) {
        if self.0.post(f) {
            self.wake();
        }
    }

    fn wake(&self) {
        let ring = self.0.ring.load(Ordering::Acquire);
        // Its own thread looks before it sleeps; another ring's thread sends a message with its next submission.
        if ring >= 0 && super::wake_ring(&self.0, ring) {
            return;
        }
        self.signal();
    }

    /// Wakes through the eventfd, at once.
    pub(super) fn signal(&self) {
        if let Some(event) = &self.0.event {
            event.signal();
        }
    }

    /// The index that the thread's `Builder` was given.
    pub fn index(&self) -> usize {
        self.0.index
    }
}

impl std::fmt::Debug for ThreadHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ThreadHandle({})", self.0.index)
    }
}

/// The running runtimes by id: what a waker that is used on another thread looks up.
static RUNNING: Mutex<Vec<Option<ThreadHandle>>> = Mutex::new(Vec::new());

/// Registers a runtime; its id is part of its tasks' ids.
pub(super) fn register(handle: ThreadHandle) -> u32 {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let id = match running.iter().position(Option::is_none) {
        Some(id) => id,
        None => {
            running.push(None);
            running.len() - 1
        }
    };
    assert!(id < RUNTIMES, "more than {RUNTIMES} runtimes");
    running[id] = Some(handle);
    id as u32
}

pub(super) fn unregister(id: u32) {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)[id as usize] = None;
}

/// Wakes a task of another thread.
pub(super) fn wake_remote(id: TaskId) {
    let handle = {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(id.runtime() as usize).cloned().flatten()
    };
    if let Some(handle) = handle {
        handle.post(Box::new(move || super::wake(id)));
    }
}
